import copy

import pytest

from toolchain.robustness import planning, sources
from toolchain.robustness.models import ModelFile
from toolchain.robustness.parts import SweepFile
from toolchain.robustness.samples import BenchError
from toolchain.robustness.sweep import SweepError, load, parse

GOOD = {
    "data": {"name": "digits", "samples": 50},
    "models": [
        {"name": "plain", "source": "plain.safetensors"},
        {"name": "trained", "recipe": "digits.toml", "seeds": [0, 1]},
    ],
    "attacks": {"preset": "quick", "epsilons": [0.05, 0.1], "seeds": [0, 1], "transfer": True},
    "targets": {"names": ["software", "fast", "lava"], "lava_samples": 5},
}


def test_a_good_sweep(tmp_path):
    sweep = parse(GOOD, "sweep", tmp_path)
    assert [m.name for m in sweep.models] == ["plain", "trained"]
    assert sweep.models[1].seeds == (0, 1)
    assert sweep.attacks.epsilons == (0.05, 0.1)
    assert sweep.run.batch == 100
    assert sweep.path("plain.safetensors") == str(tmp_path / "plain.safetensors")
    assert sweep.path("package.module:factory") == "package.module:factory"


def test_an_explicit_list_of_attacks():
    values = copy.deepcopy(GOOD)
    values["attacks"] = {
        "epsilons": [0.1],
        "list": [
            {"attack": "pgd", "params": {"steps": 40}, "estimator": {"name": "atan", "params": {}}}
        ],
    }
    assert parse(values, "sweep").attacks.list[0].attack == "pgd"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda v: v.update(model=[]),
            "no key 'model' .the nearest is 'models'.; it must be one of models, attacks",
        ),
        (lambda v: v.pop("models"), "models is missing; it must be a list with at least one entry"),
        (lambda v: v["models"][0].update(recipe="x.toml"), "either source"),
        (lambda v: v["models"][0].update(seeds=[1]), "one is given without the other"),
        (
            lambda v: v["models"][0].update(source="plain-{seed}.h5"),
            "one is given without the other",
        ),
        (lambda v: v["models"][1].update(name="plain"), "same name"),
        (lambda v: v["models"][1].update(seeds=[0, 0]), "twice"),
        (lambda v: v["models"][0].pop("name"), "name is missing"),
        (lambda v: v["attacks"].pop("epsilons"), "epsilons is missing"),
        (lambda v: v["attacks"].update(epsilons=[0]), "above 0"),
        (lambda v: v["attacks"].update(preset="huge"), "quick, standard, full"),
        (lambda v: v["attacks"].pop("preset"), "either preset"),
        (lambda v: v["attacks"].update(transfer=1), "list with at least one entry"),
        (
            lambda v: v["targets"].update(names=["chip"]),
            "names, entry 1 is 'chip'; it must be one of software",
        ),
        (lambda v: v["targets"].update(lava_samples=0), "from 1"),
        (lambda v: v["data"].update(samples=True), "from 1"),
        (lambda v: v.update(run=3), "run is 3; it must be a table with batch"),
        (
            lambda v: v["models"][0].update(weight_bit=4),
            r"\[\[models\]\] 1: there is no key 'weight_bit' \(the nearest is 'weight_bits'\)",
        ),
        (lambda v: v["models"][0].update(input_shape=[0]), "from 1"),
        (
            lambda v: v["targets"].update(chip="loihi3"),
            r"\[targets\] chip is 'loihi3'; it must be one of loihi1, loihi2",
        ),
        (lambda v: v["data"].update(source="a.npz"), "give either name .* or source"),
        (lambda v: v["models"][0].update(call="twice"), "time-first, batch-first"),
        (lambda v: v["data"].update(inference_seeds=[]), "at least one entry"),
        (
            lambda v: v.update(corruptions={"names": ["fog of war"]}),
            "must be one of gaussian_noise",
        ),
        (
            lambda v: v.update(corruptions={"severities": [6]}),
            "severities, entry 1 is 6; it must be one of 1, 2, 3, 4, 5",
        ),
        (
            lambda v: v["attacks"].update(norm="corruption"),
            "norm is 'corruption'; it must be one of linf, l2, flips, shift",
        ),
    ],
)
def test_bad_values_are_named(change, message):
    values = copy.deepcopy(GOOD)
    change(values)
    with pytest.raises(SweepError, match=message):
        parse(values, "sweep")


def test_options_of_a_float_model():
    values = copy.deepcopy(GOOD)
    values["models"][0] |= {
        "weight_bits": 6,
        "input_shape": [64],
        "call": "time-first",
        "dataset": "digits",
        "encoding": "direct",
        "steps": 4,
    }
    values["corruptions"] = {"severities": [2]}
    sweep = parse(values, "sweep")
    assert sweep.models[0].options.given(("weight_bits", "input_shape", "per_channel")) == {
        "weight_bits": 6,
        "input_shape": (64,),
    }
    assert sweep.models[1].options.weight_bits is None
    assert sweep.corruptions.severities == (2,)
    assert sweep.corruptions.names is None


def test_event_radii_are_whole_numbers():
    values = copy.deepcopy(GOOD)
    values["attacks"].update(norm="flips", epsilons=[0.5])
    with pytest.raises(SweepError, match=r"\[attacks\] epsilons: .*whole number"):
        parse(values, "sweep")


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(SweepError, match="cannot be read"):
        load(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("models = [")
    with pytest.raises(SweepError, match=r"bad\.toml"):
        load(tmp_path / "bad.toml")


def test_the_smallest_sweep_is_shown_and_every_message_is_short(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(SweepFile.EXAMPLE.replace(" and ", "\n"))
    assert [model.name for model in load(path).models] == ["plain"]

    for content, message in (
        ("", "is empty; a sweep must hold at least models = "),
        ("models = []", "attacks is missing; it must be a table, such as {preset"),
        ("[attacks]\npreset = 'quick'\nepsilons = [0.1]", "models is missing; it must be a list"),
        ("[models]\n[attacks]\npreset = 'quick'\nepsilons = [0.1]", r"is written \[\[models\]\]"),
    ):
        path.write_text(content)
        with pytest.raises(SweepError, match=message) as raised:
            load(path)
        assert len(str(raised.value)) - len(str(path)) < 200


def test_a_source_for_each_seed(tmp_path):
    for seed in (0, 3):
        (tmp_path / f"plain-{seed}.safetensors").write_bytes(bytes([seed]))
    values = copy.deepcopy(GOOD)
    values["models"] = [{"name": "plain", "source": "plain-{seed}.safetensors", "seeds": [0, 3]}]
    files = sources.models(parse(values, "sweep", tmp_path), tmp_path / "run")
    assert [(f.name, f.source, f.content) for f in files] == [
        ("plain seed 0", "plain-0.safetensors", b"\x00"),
        ("plain seed 3", "plain-3.safetensors", b"\x03"),
    ]


def test_transfers_from_named_models():
    files = [ModelFile(name, f"{name}.safetensors", name.encode()) for name in ("a", "b", "c")]
    values = copy.deepcopy(GOOD)
    values["attacks"]["transfer"] = ["b"]
    wanted = parse(values, "sweep").attacks.transfer
    assert planning._sources(wanted, files) == files[1:2]
    assert planning._sources(True, files) == files
    assert planning._sources(False, files) == []
    with pytest.raises(BenchError, match="names 'd'; the models are a, b, c"):
        planning._sources(("d",), files)
