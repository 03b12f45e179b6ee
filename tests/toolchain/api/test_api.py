"""The public calls: what they return is what the packages below compute, and wrong arguments are
named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import snntorch
import torch

import hardware
import spikeport
import toolchain
from hardware.errors import MissingPackageError
from tests.end_to_end.models import tiny_graph, tiny_inputs, tiny_program
from toolchain.deploy.paired import Paired

LABELS = np.array([0, 1, 2, 0])


def test_importing_it_costs_nothing_and_every_name_is_there():
    code = (
        "import sys, spikeport, toolchain; print({'torch', 'numpy', 'nir'} & set(sys.modules));"
        "print(set(toolchain.__all__) <= set(dir(spikeport)))"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.split("\n")[:2] == ["set()", "True"]


def test_the_two_packages_are_one():
    assert all(getattr(spikeport, name) is getattr(toolchain, name) for name in spikeport.__all__)
    with pytest.raises(AttributeError, match="bogus"):
        spikeport.bogus  # noqa: B018


def test_a_run_is_the_targets_recording_with_its_labels():
    found = spikeport.run(tiny_program(), inputs=tiny_inputs(), labels=LABELS, spikes=True)
    expected = hardware.run(tiny_program(), tiny_inputs(), "reference")
    assert isinstance(found, hardware.Recording)
    assert np.array_equal(found.spikes["out"], expected.spikes["out"])
    assert found.accuracy(found.labels) == expected.accuracy(LABELS)
    assert "4 samples x 6 steps" in repr(found)
    assert len(repr(found)) < 200
    assert "hidden" in found._repr_html_()


def test_first_samples_of_arrays():
    found = spikeport.run(tiny_program(), inputs=tiny_inputs(), labels=LABELS, samples=3)
    assert (found.samples, len(found.labels)) == (3, 3)


def test_compare_and_check_and_assess_a_program():
    agreement = spikeport.compare(
        tiny_program(), inputs=tiny_inputs(), labels=LABELS, targets=("reference", "fast")
    )
    assert agreement.identical
    assert (agreement.paired[0].same, agreement.paired[0].difference["value"]) == (4, 0)
    assert "identical" in repr(agreement)

    report = spikeport.check(tiny_program(), "loihi2")
    assert report.fits
    assert "fits" in repr(report)

    found = spikeport.assess(tiny_program(), inputs=tiny_inputs(), labels=LABELS)
    assert found.paired is None
    assert "no PyTorch model" in found.no_software
    assert list(found.accuracies) == ["fast"]
    assert found.cores == report.cores
    for value in (agreement, report, found):
        assert "<" in value._repr_html_()


def test_export_writes_what_it_says(tmp_path):
    exported = spikeport.export(tiny_graph())
    assert exported.audit.verdict == "approximate"
    assert exported.audit.verdict in repr(exported)
    assert len(repr(exported.audit)) < 200
    exported.save(tmp_path / "a.h5")
    exported.save(tmp_path / "a.nir")
    for name in ("a.h5", "a.nir"):
        again = spikeport.load(tmp_path / name).program
        assert again.fingerprint == exported.program.fingerprint
    with pytest.raises(toolchain.ToolchainError, match=r"\.h5 .* or \.nir"):
        exported.save(tmp_path / "a.pdf")


def test_a_nir_file_is_in_seconds_so_a_model_in_steps_needs_dt(tmp_path):
    root = Path(__file__).resolve().parents[3]
    source = root / "examples" / "checkpoints" / "digits-tgo-0.safetensors"
    exported = spikeport.export(source)
    with pytest.raises(spikeport.Error, match=r"in seconds: state the time step with dt$"):
        exported.save(tmp_path / "a.nir")
    exported.save(tmp_path / "a.nir", dt=2e-3)
    assert spikeport.load(tmp_path / "a.nir").program.metadata["dt_s"] == 2e-3

    told = spikeport.load(source, dt=1e-3)
    with pytest.raises(spikeport.ArgumentError, match=r"dt is 0.002 .* as the model was loaded"):
        told.save_nir(tmp_path / "b.nir", dt=2e-3)
    with pytest.raises(spikeport.ArgumentError, match="left out for a Program"):
        exported.save(tmp_path / "a.h5", dt=1e-3)


class Plain(torch.nn.Module):
    """A float network that says nothing of itself."""

    def __init__(self):
        super().__init__()
        self.fc, self.lif = torch.nn.Linear(64, 10), snntorch.Leaky(beta=0.9)

    def forward(self, x):
        mem, spikes = self.lif.init_leaky(), []
        for step in x:
            spike, mem = self.lif(self.fc(step), mem)
            spikes.append(spike)
        return torch.stack(spikes)


@pytest.mark.parametrize("early", [("data", "encoding"), ("encoding", "steps"), ("bits",)])
def test_what_load_is_told_of_the_data_need_not_be_said_again(early):
    told = {"data": "digits", "encoding": "direct", "steps": 3, "bits": 2}
    net = Plain()
    how = {"input_shape": (64,), "call": "time-first"}
    model = spikeport.load(net, **how, **{name: told[name] for name in early})
    late = {name: value for name, value in told.items() if name not in early}
    found = spikeport.run(model, **({"data": "digits"} | late), samples=2)
    whole = spikeport.run(spikeport.load(net, **how), **told, samples=2)
    assert (found.steps, found.program) == (3, whole.program)


def test_frames():
    pytest.importorskip("pandas")
    found = spikeport.run(tiny_program(), inputs=tiny_inputs())
    assert list(found.to_frame()["layer"]) == ["in", "hidden", "out"]
    assert list(spikeport.check(tiny_program()).to_frame()["layer"]) == ["hidden", "out"]
    audit = spikeport.export(tiny_graph()).audit
    assert len(audit.to_frame()) == sum(max(1, len(x.parameters)) for x in audit.layers)


def test_a_frame_without_pandas_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    found = spikeport.run(tiny_program(), inputs=tiny_inputs())
    with pytest.raises(MissingPackageError, match=r"spikeport\[frames\]"):
        found.to_frame()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: spikeport.load(3), ["source is 3 (int)", "a torch.nn.Module"]),
        (lambda p: spikeport.load(p, weight_bits="8"), ["weight_bits is '8'", "whole number"]),
        (lambda p: spikeport.load(p, call="backwards"), ["call is 'backwards'", "time-first"]),
        (lambda p: spikeport.load(p, input_shape="1,2"), ["input_shape", "(2, 34, 34)"]),
        (lambda p: spikeport.run(p), ["data is None", "inputs"]),
        (lambda p: spikeport.run(p, 7), ["data is 7 (int)", "a data set"]),
        (lambda p: spikeport.run(p, inputs="x"), ["inputs is 'x'", "[sample, step"]),
        (lambda p: spikeport.run(p, inputs=tiny_inputs(), target="gpu"), ["target", "fast"]),
        (lambda p: spikeport.run(p, inputs=tiny_inputs(), samples=0), ["samples is 0"]),
        (
            lambda p: spikeport.run(p, inputs=tiny_inputs(), labels=[0.5] * 4),
            ["labels is an array of type float64", "each of the 4 samples"],
        ),
        (
            lambda p: spikeport.compare(p, inputs=tiny_inputs(), targets="fast"),
            ["targets is 'fast'", "two or more"],
        ),
        (lambda p: spikeport.check(p, chip=2), ["chip is 2", "a Chip"]),
        (lambda p: spikeport.attack(p, None, None, 0.1), ["threat is 0.1", "Threat('linf'"]),
        (lambda p: spikeport.train(5), ["recipe is 5", "TOML"]),
        (lambda p: spikeport.open_run(5), ["folder is 5"]),
    ],
)
def test_a_wrong_argument_is_named_with_what_must_be_given(call, words):
    with pytest.raises(spikeport.ArgumentError) as refused:
        call(tiny_program())
    assert all(word in str(refused.value) for word in words), refused.value


def test_paired_shares_and_their_difference():
    one, other, labels = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 1]), np.array([0, 1, 1, 0])
    found = Paired.of(("software", "fast"), one, other, labels)
    assert (found.same, found.both, found.first, found.second, found.neither) == (2, 2, 0, 1, 1)
    difference = found.difference
    assert difference["value"] == 0.25
    assert difference["low"] < 0.25 < difference["high"]
    assert Paired.of(("a", "b"), one, other).difference is None
    assert "agree on 2 of 4" in found.lines()[0]
