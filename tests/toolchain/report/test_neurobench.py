"""NeuroBench's metrics, against what neurobench 2.3.0 itself said about the same network in
snnTorch, and by hand."""

import json

import numpy as np
import pytest

import hardware
from hardware.program import Convolution, Dense, Input, Output, Population, Program, Sparse
from toolchain.deploy import summary
from toolchain.report import neurobench
from toolchain.report.run import load
from toolchain.robustness.records import Scored


def recorded(program, inputs):
    """A record of a run on the reference target."""
    run = hardware.run(program, inputs, "reference")
    activity = {
        c: np.stack([run.counts[c][layer] for layer in run.layers], 1).astype(float)
        for c in run.counts
    }
    spikes = {entry["name"]: entry["spikes"] for entry in summary.layers(program, run)}
    size = run.samples
    said = {"spikes_per_inference": spikes, "steps": run.steps, "family": "clean"}
    return Scored(
        said,
        np.arange(size),
        np.arange(size) < 6,
        np.zeros(size),
        np.zeros(size),
        activity,
        run.layers,
    )


def test_a_convolutional_network_as_neurobench_measures_it():
    """Expected: neurobench 2.3.0 on Conv2d(1, 6, 3, padding=1), Leaky(beta=1, threshold=60, zero),
    Flatten, Linear(216, 5), Leaky."""
    rng = np.random.default_rng(0)
    kernels = rng.choice([-20, -10, 6, 12, 30, 40], (6, 1, 3, 3))
    rng.choice([-20, -10, 10, 20, 30], (5, 6 * 4 * 4))
    program = Program(
        inputs=(Input("i", (1, 6, 6)),),
        populations=(Population("h", (6, 6, 6), threshold=60), Population("o", (5,), threshold=60)),
        projections=(
            Convolution("a", "i", "h", kernels, padding=(1, 1)),
            Dense("b", "h", "o", rng.choice([-20, -10, 10, 20, 30], (5, 216))),
        ),
        outputs=(Output("o"),),
    )
    record = recorded(program, (rng.random((9, 7, 1, 6, 6)) < 0.3).astype(np.uint8))
    found = neurobench.workload(program, record)
    assert found["SynapticOperations"]["Effective_ACs"] == pytest.approx(5075.777777777777)
    assert found["SynapticOperations"]["Effective_MACs"] == 0.0
    assert found["SynapticOperations"]["Dense"] == 18312.0
    assert found["ActivationSparsity"] == pytest.approx(0.7490483372836314)
    assert neurobench.static(program)["ConnectionSparsity"] == 0.0
    assert found["ClassificationAccuracy"] == pytest.approx(6 / 9)
    assert set(found["ActivationSparsityByLayer"]) == {"h", "o"}


def test_graded_inputs_are_multiplied_and_spikes_are_added():
    program = Program(
        inputs=(Input("image", (2,), message_bits=4), Input("events", (3,))),
        populations=(
            Population("a", (4,), threshold=1),
            Population("scores", (5,), threshold=None),
        ),
        projections=(
            Dense("p", "image", "a", np.full((4, 2), 2)),
            Dense("q", "events", "a", np.full((4, 3), 2)),
            Dense("r", "a", "scores", np.full((5, 4), 2)),
        ),
        outputs=(Output("scores", decode="last_potential"),),
    )
    image, events = np.zeros((1, 3, 2), int), np.zeros((1, 3, 3), np.uint8)
    image[0, 0] = 3  # two graded spikes: 8 multiply-accumulate operations
    events[0, 1, 0] = 1  # one spike: 4 additions
    record = recorded(program, {"image": image, "events": events})
    macs, acs = neurobench.operations(program, record)
    sent = record.description["spikes_per_inference"]["a"]
    assert sent > 0
    assert (macs, acs) == pytest.approx((8.0, 4.0 + 5 * sent))
    assert neurobench.dense(program) == 8 + 12 + 20
    assert set(neurobench.workload(program, record)["ActivationSparsityByLayer"]) == {"a"}


def test_what_is_counted_of_a_program():
    program = Program(
        inputs=(Input("i", (3,)),),
        populations=(
            Population("a", (2,), threshold=1, bias=np.array([1, 0])),
            Population("b", (2,), threshold=1),
        ),
        projections=(
            Dense("p", "i", "a", np.array([[0, 32, 64], [0, 0, -32]]), weight_bits=4),
            Sparse(
                "q", "a", "b", np.array([4, 0]), rows=np.array([0, 1]), columns=np.array([0, 0])
            ),
        ),
        outputs=(Output("b"),),
    )
    found = neurobench.static(program)
    assert found["ParameterCount"] == 6 + 2 + 2
    assert found["ConnectionSparsity"] == round(4 / 8, 4)  # of the weights that are stored
    # weights 6 of 4 bits and 2 of 8, two exponents of 4; two populations: decays 12 + 12, threshold
    # 17, bias 13 (2 in a, 1 in b)
    assert found["Footprint"] == -(-(24 + 16 + 8 + 2 * (12 + 12 + 17) + 3 * 13) // 8)
    assert neurobench.dense(program) == 6 + 2


def test_a_file_of_a_whole_run(run_folder):
    run = load(run_folder)
    found = json.loads(json.dumps(neurobench.result(run), allow_nan=False))
    assert len(found["entries"]) == 3 * 3 * 3  # models, targets, clean and two radii
    clean = [e for e in found["entries"] if e["inputs"] == "clean"]
    assert len(clean) == 9
    for entry in found["entries"]:
        record = next(
            r
            for r in run.records
            if (r.description["model"], r.description["target"])
            == (entry["model"], entry["target"])
            and (r.description["name"], r.description["epsilon"])
            == (entry["attack"] or "clean", entry["epsilon"] or 0.0)
            and r.accuracy == entry["results"]["ClassificationAccuracy"]
        )
        assert entry["samples"] == len(record.index)
    assert any("zero weights" in text for text in found["conventions"])
