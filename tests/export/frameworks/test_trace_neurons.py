"""snnTorch's neurons: the same spikes as snnTorch's float32 forward wherever its numbers lie on the
grid."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

import export
from export.errors import UnsupportedError
from export.frameworks import trace
from export.frameworks.snntorch_neurons import SnntorchNeuron
from hardware import targets
from hardware.recording import Record
from tests.export.frameworks import snntorch_models as models

BETA = 0.5


def recurrent(neuron: nn.Module) -> nn.Module:
    models.on_grid(neuron.recurrent, 9)
    return neuron


def linear(kind, **options):
    return lambda: recurrent(kind(linear_features=8, init_hidden=True, **options))


NEURONS = {
    **{
        f"Leaky {reset} {'next step' if delay else 'same step'}": lambda reset=reset, delay=delay: (
            snn.Leaky(beta=BETA, init_hidden=True, reset_mechanism=reset, reset_delay=delay)
        )
        for reset in ("subtract", "zero", "none")
        for delay in (True, False)
    },
    **{
        f"Synaptic {reset} {'next step' if delay else 'same step'}": partial(
            snn.Synaptic,
            alpha=BETA,
            beta=BETA,
            threshold=1.5,
            init_hidden=True,
            reset_mechanism=reset,
            reset_delay=delay,
        )
        for reset in ("subtract", "zero", "none")
        for delay in (True, False)
    },
    "Leaky without leak": lambda: snn.Leaky(beta=1.0, init_hidden=True),
    "Leaky beta above 1": lambda: snn.Leaky(beta=1.5, threshold=2.0, init_hidden=True),
    "Leaky without memory": lambda: snn.Leaky(beta=0.0, init_hidden=True, reset_mechanism="zero"),
    "Leaky, each its own": lambda: snn.Leaky(
        beta=torch.tensor([1.0, 0.5, 0.5, 1.0, 0.0, 0.5, 1.0, 0.5]),
        threshold=torch.arange(1, 9) / 4,
        init_hidden=True,
        reset_mechanism="zero",
    ),
    "Leaky learns": lambda: snn.Leaky(
        beta=BETA, threshold=0.75, learn_beta=True, learn_threshold=True, init_hidden=True
    ),
    "Synaptic without leak": lambda: snn.Synaptic(alpha=BETA, beta=1.0, init_hidden=True),
    "Synaptic with everlasting current": lambda: snn.Synaptic(
        alpha=1.0, beta=BETA, init_hidden=True, threshold=4.0
    ),
    "RLeaky subtract": linear(snn.RLeaky, beta=BETA),
    "RLeaky zero": linear(snn.RLeaky, beta=BETA, reset_mechanism="zero"),
    "RLeaky zero same step": linear(
        snn.RLeaky, beta=BETA, reset_mechanism="zero", reset_delay=False
    ),
    "RLeaky one to one": lambda: snn.RLeaky(
        beta=BETA, all_to_all=False, V=torch.arange(-4, 4) / 8, init_hidden=True
    ),
    "RSynaptic subtract": linear(snn.RSynaptic, alpha=BETA, beta=BETA),
    "RSynaptic zero": linear(snn.RSynaptic, alpha=BETA, beta=BETA, reset_mechanism="zero"),
    "RSynaptic one to one": lambda: snn.RSynaptic(
        alpha=BETA, beta=BETA, all_to_all=False, V=-0.5, init_hidden=True
    ),
    "Lapicque subtract": lambda: snn.Lapicque(R=2.0, C=1.0, time_step=1.0, init_hidden=True),
    "Lapicque zero": lambda: snn.Lapicque(
        R=1.0, C=4.0, time_step=1.0, init_hidden=True, reset_mechanism="zero"
    ),
}


def run(model, x, dt=None, calibration=None):
    """(spikes of snnTorch, of the Program, audit), [sample, step, neuron]."""
    with torch.no_grad():
        wanted = model(x).transpose(0, 1).numpy()
    lowered = export.lower(trace(model, x, time_first=True, dt=dt), calibration=calibration)
    recording = targets.run(
        lowered.program, models.samples_first(x), "reference", record=Record(spikes=True)
    )
    return wanted, recording.spikes["lif"], lowered.audit


@pytest.mark.parametrize("name", NEURONS)
def test_same_spikes_as_snntorch(name):
    neuron = NEURONS[name]()
    model = models.Single(neuron)
    if name == "Leaky subtract same step" or name == "Synaptic subtract same step":
        # no input of twice the threshold: see the caveat
        with torch.no_grad():
            model.fc.weight.clamp_(-0.25, 0.25)
            model.fc.bias.zero_()
            neuron.threshold.fill_(1.5 if "Leaky" in name else 3.0)
    x = models.spikes(30, 6, 12)
    # nothing bounds a current that never decays: its room comes from data
    wanted, spikes, audit = run(
        model, x, dt=1e-3, calibration=models.samples_first(x) if "everlasting" in name else None
    )
    assert 0.02 < wanted.mean() < 0.98, "silent or saturated neurons prove nothing"
    assert np.array_equal(spikes, wanted)
    assert all(p.exact for layer in audit.layers for p in layer.parameters)


@pytest.mark.parametrize(
    "name",
    [
        "Leaky subtract next step",
        "Synaptic zero next step",
        "Leaky without leak",
        "Synaptic without leak",
    ],
)
def test_no_time_step_is_needed_for_a_program(name):
    wanted, spikes, audit = run(models.Single(NEURONS[name]()), models.spikes(20, 3, 12))
    assert np.array_equal(spikes, wanted)
    assert (audit.dt_s, audit.dt_source) == (None, "not needed: time constants are in steps")


def test_potential_above_threshold_after_the_reset_is_a_caveat():
    """The one rule of snnTorch that a Program does not have; it must not pass for faithful."""
    model = models.Single(NEURONS["Leaky subtract same step"]())
    wanted, spikes, audit = run(model, models.spikes(30, 6, 12), dt=1e-3)
    assert not np.array_equal(spikes, wanted)
    assert audit.layer("lif", "population").verdict == "approximate"
    assert any(
        "more than twice the threshold" in reason
        for reason in audit.layer("lif", "population").reasons
    )


def test_reset_by_subtraction_arrives():
    """Taken one step later, the threshold is worth threshold / beta at the time of the spike."""
    lowered = export.lower(
        trace(
            models.Single(snn.Leaky(beta=0.8, init_hidden=True)),
            torch.rand(3, 2, 12),
            time_first=True,
            dt=1e-3,
        )
    )
    amount = lowered.audit.layer("lif", "population").parameter("reset_amount")
    assert lowered.program.nodes["lif"].reset == "subtract"
    assert amount.values == pytest.approx(1.25)


def test_convolutional_feedback():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = models.on_grid(nn.Conv2d(1, 2, 3, padding=1), 3)
            self.lif = recurrent(
                snn.RLeaky(beta=BETA, conv2d_channels=2, kernel_size=3, init_hidden=True)
            )

        def forward(self, x):
            self.lif.reset_mem()
            return torch.stack([self.lif(self.fc(frame)) for frame in x])

    wanted, spikes, _ = run(Net(), models.spikes(15, 3, 1, 5, 4))
    assert 0.02 < wanted.mean() < 0.98
    assert np.array_equal(spikes, wanted)


def test_graded_spikes_are_folded_into_the_next_weights():
    class Net(models.TimeLoop):
        def __init__(self):
            super().__init__()
            self.lif1 = snn.Leaky(beta=BETA, graded_spikes_factor=0.5)

        def forward(self, x):
            return super().forward(x)[0]

    model = Net()
    x = models.spikes(20, 4, 12)
    graph = trace(model, x, time_first=True)
    assert np.array_equal(graph.nodes["fc2"].weight, model.fc2.weight.detach().numpy() / 2)
    recording = targets.run(export.lower(graph).program, models.samples_first(x), "reference")
    wanted = model(x).transpose(0, 1).detach().numpy()
    assert wanted.any()
    assert np.array_equal(recording.spikes["lif2"], wanted)


class Doubled(snn.Leaky):
    """A subclass that computes something else."""

    def _base_state_function(self, input_):
        return self.beta.clamp(0, 1) * self.mem + 2 * input_


def swapped(neuron):
    neuron.reset_mechanism = "zero"
    return neuron


def with_surrogate(function):
    return snn.Leaky(beta=BETA, init_hidden=True, spike_grad=function)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: snn.Leaky(beta=BETA, init_hidden=True, inhibition=True), "inhibition"),
        (lambda: snn.Leaky(beta=BETA, init_hidden=True, state_quant=lambda v: v), "state_quant"),
        (
            lambda: snn.Leaky(beta=BETA, init_hidden=True, graded_spikes_factor=torch.ones(8)),
            "graded_spikes_factor",
        ),
        (lambda: snn.Leaky(beta=0.0, init_hidden=True), "beta is 0"),
        (lambda: snn.Leaky(beta=BETA, threshold=-1.0, init_hidden=True), "threshold is -1"),
        (
            lambda: snn.Leaky(beta=torch.full((5,), BETA), init_hidden=True),
            "fails when it is called",
        ),
        (lambda: snn.Leaky(beta=torch.tensor(float("nan")), init_hidden=True), "NaN"),
        (lambda: snn.Lapicque(R=1.0, C=0.5, time_step=1.0, init_hidden=True), "time_step"),
        (lambda: swapped(snn.Leaky(beta=BETA, init_hidden=True)), "reset_mechanism is 'zero'"),
        (lambda: Doubled(beta=BETA, init_hidden=True), "does not compute"),
        (lambda: with_surrogate(lambda v: (v >= 0).float()), "spike function"),
        (lambda: with_surrogate(lambda v: (v > 0.5).float()), "spike function"),
        (lambda: with_surrogate(torch.sigmoid), "spike function"),
        (lambda: snn.Alpha(alpha=0.8, beta=0.5, init_hidden=True), "snntorch.Alpha"),
        (lambda: snn.SLSTM(12, 8, init_hidden=True), "snntorch.SLSTM"),
    ],
)
@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_refused(make, says):
    from export.errors import ExportError

    with pytest.raises(ExportError, match=says):
        trace(models.Single(make()), torch.rand(3, 2, 12), time_first=True)


def test_immediate_reset_of_rsynaptic_is_that_of_the_next_step():
    """snnTorch 1.0.0 computes the immediate reset of RSynaptic and throws it away; the audit says
    so."""

    class Net(nn.Module):
        def __init__(self, delay):
            super().__init__()
            self.fc = models.on_grid(nn.Linear(12, 8), 3)
            self.lif = recurrent(
                snn.RSynaptic(alpha=BETA, beta=BETA, linear_features=8, reset_delay=delay)
            )

        def forward(self, x):
            spk, syn, mem = (torch.zeros(x.shape[1], 8) for _ in range(3))
            out = []
            for frame in x:
                spk, syn, mem = self.lif(self.fc(frame), spk, syn, mem)
                out.append(spk)
            return torch.stack(out)

    x = models.spikes(20, 4, 12)
    wanted, spikes, audit = run(Net(False), x)
    assert 0.02 < wanted.mean() < 0.98
    assert np.array_equal(wanted, Net(True)(x).transpose(0, 1).detach().numpy())
    assert np.array_equal(spikes, wanted)
    assert any("does not carry out" in note for note in audit.notes)


def test_every_parameter_is_checked_for_its_shape():
    neuron = SnntorchNeuron("lif", snn.Leaky(beta=torch.full((5,), 0.5)), input_shape=(8,))
    with pytest.raises(UnsupportedError, match=r"beta has shape \(5,\)"):
        neuron.rule()
