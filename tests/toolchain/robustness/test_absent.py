"""From a sweep to the page: a network without a Program beside a float one; what cannot be is kept
with its reason and shown."""

import pytest
from safetensors.torch import save_file

from tests.toolchain.robustness import networks
from toolchain.report import page
from toolchain.report.gather import gather
from toolchain.report.neurobench import result
from toolchain.report.run import load
from toolchain.robustness import bench, sweep


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_file(networks.train(networks.Float(), 2).state_dict(), folder / "float.safetensors")
    save_file(networks.train(networks.Rectifiers(), 2).state_dict(), folder / "ann.safetensors")
    where = "tests.toolchain.robustness.networks"
    described = {
        **networks.DESCRIBED,
        "input_shape": [64],
        "calibration": "digits",
        "weight_bits": 5,
    }
    return {
        "data": {"samples": 8},
        "models": [
            {
                "name": "ann",
                "source": f"{where}:rectifiers",
                "weights": str(folder / "ann.safetensors"),
            },
            {
                "name": "float",
                "source": f"{where}:float_network",
                "weights": str(folder / "float.safetensors"),
                **described,
            },
        ],
        "attacks": {
            "epsilons": [0.2],
            "list": [
                {
                    "attack": "pgd",
                    "params": {"steps": 2},
                    "estimator": {"name": "training", "params": {}},
                },
                {
                    "attack": "pgd",
                    "params": {"steps": 2},
                    "estimator": {"name": "rga", "params": {}},
                },
                {"attack": "square", "params": {"queries": 6}},
            ],
        },
        "corruptions": {"names": ["gaussian_noise"], "severities": [3]},
        "targets": {"names": ["software", "fast"]},
    }


@pytest.fixture(scope="module")
def run(values, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    bench.run(sweep.parse(values, "sweep"), folder, workers=1)
    return folder


def test_every_cell_is_there_or_says_why_not(run, values, monkeypatch):
    facts, _ = gather(load(run))
    assert facts.unfinished == 0
    ann, other = facts.models
    assert [e.target for e in ann.targets] == ["software"]
    told = {(row.kind, row.what): row.reason for row in ann.absent}
    assert told["target", "fast"] == "no Program: the model is no spiking network"
    assert "finds no spiking neuron" in told["attack", "pgd 2 · rga"]
    assert [(row.kind, row.what) for row in other.absent] == [("attack", "pgd 2 · rga")]
    assert "needs whole sequences" in other.absent[0].reason
    # a float model is attacked by a black box on both; an ANN on the one that it has
    made = {
        m.name: sorted(r.crafted_on for r in m.targets[0].attacks if r.name == "square 6")
        for m in (ann, other)
    }
    assert made == {"ann": ["software"], "float": ["fast", "software"]}
    monkeypatch.setattr(bench, "Pool", lambda *a: pytest.fail("a finished run started a cluster"))
    bench.run(sweep.parse(values, "sweep"), run)


def test_the_page_says_it_too(run):
    found = load(run)
    facts, shown = gather(found)
    html = page.build(facts, shown)
    assert "no Program: the model is no spiking network" in html
    assert "estimator &#x27;rga&#x27; needs whole sequences" in html
    assert "gaussian_noise" in html
    assert '"weight_bits": 5' in html.replace("&quot;", '"')
    corrupted = facts.models[1].targets[1].corruptions
    assert [(row.name, row.severity) for row in corrupted] == [("gaussian_noise", 3)]
    assert all(
        "gaussian_noise" not in row.name
        for m in facts.models
        for e in m.targets
        for row in e.attacks
    )
    assert {entry["model"] for entry in result(found)["entries"]} == {"float"}
    energy = facts.models[0].targets[0].energy[0]
    assert energy.table == "cmos-45nm"
    assert energy.static_j is None
