"""The garbage collector is as it was after a run's modelling, however that ends."""

import gc

import pytest

from pto_sim.backend.collector import collector_paused


@pytest.fixture(autouse=True)
def running_collector():
    gc.enable()
    yield
    gc.enable()


def test_the_collector_stands_still_and_goes_on() -> None:
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_goes_on_after_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), collector_paused():
        raise KeyboardInterrupt
    assert gc.isenabled()


def test_a_collector_that_its_owner_has_stopped_stays_so() -> None:
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()
