"""The chooser of L0 tiles under pypto's name. Expected tiles: pypto, runtime/ops/test_dbc2_double_buffer.py."""

import pytest

from pto_sim.compat.l0_tile_chooser import L0TileConfig, Stationarity, choose_l0_tile
from pto_sim.program.errors import UnsupportedError


def chosen(m, n, k=64, **fields):
    config = L0TileConfig()
    config.M, config.K, config.N = m, k, n
    config.bytes_a = config.bytes_b = 4
    config.allow_double_buffer_c = True
    for name, value in fields.items():
        setattr(config, name, value)
    return choose_l0_tile(config)


@pytest.mark.parametrize(
    ("m", "n", "tile", "stationarity"),
    [
        (160, 160, (80, 128), Stationarity.OutputStationary),
        (144, 144, (48, 128), Stationarity.OutputStationary),
        (256, 256, (32, 256), Stationarity.BStationary),
        (448, 448, (112, 128), Stationarity.OutputStationary),
        (384, 256, (32, 256), Stationarity.BStationary),
    ],
)
def test_tiles_of_two_accumulators(m, n, tile, stationarity):
    found = chosen(m, n)
    assert ((found.m, found.n), found.k, found.stationarity) == (tile, 64, stationarity)
    assert found.double_buffer_c


@pytest.mark.parametrize(("m", "n", "tile", "holds_a"), [(16, 256, (16, 128), True), (256, 16, (128, 16), False)])
def test_which_operand_of_a_thin_grid_is_kept(m, n, tile, holds_a):
    found = chosen(m, n)
    assert ((found.m, found.n), found.os_holds_a) == (tile, holds_a)


@pytest.mark.parametrize(
    "fields", [{"l0c_bytes": 256 * 1024}, {"bytes_b": 2}, {"allow_a_stationary": False}, {"k": 8}, {"bytes_c": 2}]
)
def test_other_chips_and_gates_are_refused(fields):
    with pytest.raises(UnsupportedError, match="choose_l0_tile"):
        chosen(160, 160, **fields)
