"""Chip files: what ships is complete and sourced, and a broken file says which key breaks which rule."""

import pickle

import pytest

from ascend_model.chipspec import STATUSES, ChipSpecError, list_chips, load_chip

VARIANTS = {  # pto-isa: SoC table of the 910B variants: clusters, core clock.
    "a2a3": (24, 1.85e9),
    "910b1": (24, 1.85e9),
    "910b2": (24, 1.80e9),
    "910b3": (20, 1.80e9),
    "910b4": (20, 1.50e9),
}


def test_shipped_chips_are_the_variants_of_the_soc_table():
    assert set(list_chips()) == set(VARIANTS)
    for name, (clusters, hz) in VARIANTS.items():
        spec = load_chip(name)
        assert (spec.name, spec.clusters, spec["clock.core_hz"]) == (name, clusters, hz)
        assert spec["cores.aiv_per_cluster"] == 2


@pytest.mark.parametrize("name", VARIANTS)
def test_every_number_names_its_source_and_none_is_fitted(name):
    for path, number in load_chip(name).numbers.items():
        assert number.status in STATUSES, path
        assert len(number.source) > 10, path
        assert number.fitted is False, path


def test_capacities_are_the_planned_ones():
    spec = load_chip("a2a3")
    kib = {"ub": 184, "l1": 512, "l0a": 64, "l0b": 64, "l0c": 128, "bias": 1}
    assert {key: spec[f"onchip.{key}_bytes"] / 1024 for key in kib} == kib


def test_extending_file_replaces_only_what_it_writes(tmp_path):
    file = write(tmp_path, MINIMAL + '[memory]\nhbm_bytes_per_s = { value = 1e12, unit = "byte/s" }\n' + ASSUMED)
    spec, base = load_chip(file), load_chip("a2a3")
    changed = {path for path, number in spec.numbers.items() if number != base.numbers[path]}
    assert changed == {"memory.hbm_bytes_per_s"}
    assert spec.content_hash != base.content_hash


def test_content_hash_depends_on_numbers_alone():
    assert load_chip("910b1").content_hash == load_chip("a2a3").content_hash
    hashes = {load_chip(name).content_hash for name in VARIANTS}
    assert len(hashes) == len(VARIANTS) - 1


def test_replace_value_makes_a_new_chip_and_checks_it():
    base = load_chip("a2a3")
    half = base.replace_value("memory.hbm_bytes_per_s", 0.8e12)
    assert (base["memory.hbm_bytes_per_s"], half["memory.hbm_bytes_per_s"]) == (1.6e12, 0.8e12)
    assert half.numbers["memory.hbm_bytes_per_s"].status == "assumed"
    with pytest.raises(ChipSpecError, match=r"did you mean memory\.hbm_bytes_per_s"):
        base.replace_value("memory.hbm_bytes_per_sec", 1.0)
    with pytest.raises(ChipSpecError, match="must be > 0"):
        base.replace_value("memory.hbm_bytes_per_s", 0)


def test_spec_survives_pickling():
    spec = load_chip("910b4")
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert again.content_hash == spec.content_hash


def test_section_lists_the_numbers_below_a_prefix():
    assert set(load_chip("a2a3").section("vector.exp")) == {"head_cycles", "slope_cycles", "tail_cycles"}


MINIMAL = 'extends = "a2a3"\nname = "mine"\ndescription = "a test chip"\n'
ASSUMED = 'status = "assumed"\nsource = "a test"\n'


def write(folder, text):
    file = folder / "mine.toml"
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[clock\n", "not valid TOML"),
        ('name = "mine"\n', "lacks clock.core_hz"),
        ('extends = "b200"\nname = "m"\n', "extends = 'b200'; allowed: 910b1"),
        ('extends = "a2a3"\ndescription = "d"\n', "'name' must be a non-empty text"),
        (MINIMAL + 'color = "red"\n', "unknown key 'color'"),
        (MINIMAL + "[clock]\ncore_hz = 1.85e9\n", "clock.core_hz = 1850000000.0; write a table"),
        (MINIMAL + "[clock]\ncore_hz = { value = 1e9 }\n" + ASSUMED, "clock.core_hz lacks unit"),
        (MINIMAL + '[clock]\ncore_hz = { value = 1e9, unit = "MHz" }\n' + ASSUMED, "unit 'MHz'; allowed: Hz"),
        (MINIMAL + '[clock]\ncore_hz = { value = -1, unit = "Hz" }\n' + ASSUMED, "must be > 0"),
        (MINIMAL + '[clock]\ncore_hz = { value = nan, unit = "Hz" }\n' + ASSUMED, "not a finite number"),
        (MINIMAL + '[clock]\ncore_hz = { value = true, unit = "Hz" }\n' + ASSUMED, "not a finite number"),
        (MINIMAL + '[clock]\ncore_hz = { value = 1e9, unit = "Hz" }\n', "clock.core_hz lacks status, source"),
        (MINIMAL + '[clock]\nstatus = "sure"\nsource = "s"\ncore_hz = { value = 1, unit = "Hz" }\n', "status 'sure'"),
        (MINIMAL + '[clock]\ncore_hz = { value = 1, unit = "Hz", src = "x" }\n' + ASSUMED, "unknown field 'src'"),
        (MINIMAL + '[clock]\ncor_hz = { value = 1, unit = "Hz" }\n' + ASSUMED, "did you mean clock.core_hz"),
        (MINIMAL + '[cores]\nclusters = { value = 1.5, unit = "count" }\n' + ASSUMED, "must be a whole number"),
        (
            MINIMAL + '[runtime]\nno_such_us = { value = 1, unit = "us" }\n' + ASSUMED,
            "'runtime.no_such_us' is no number",
        ),
        (MINIMAL + '[clock]\ncore_hz = { value = 1, unit = "Hz", fitted = 1 }\n' + ASSUMED, "allowed: true, false"),
    ],
)
def test_broken_file_names_file_key_and_rule(tmp_path, text, message):
    file = write(tmp_path, text)
    with pytest.raises(ChipSpecError) as caught:
        load_chip(file)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("chip", "message"), [("b200", "no chip 'b200'; give one of 910b1"), ("x.toml", "cannot be read")]
)
def test_unknown_chip_says_what_there_is(chip, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ChipSpecError, match=message):
        load_chip(chip)
