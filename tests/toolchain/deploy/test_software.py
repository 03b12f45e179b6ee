import numpy as np
import pytest
import torch
from torch import nn

import export
import toolchain.layers as snn
from export.frameworks import trace
from hardware import Record, compare, run
from toolchain.deploy import software
from toolchain.errors import DataError, ModelError

RNG = np.random.default_rng(0)


def lowered(model, **options):
    return export.lower(trace(model, **options)).program


def network():
    torch.manual_seed(0)
    return snn.Network(
        {
            "conv": snn.Conv2d(2, 4, 3, padding=1, bias=True),
            "lif": snn.LIF(voltage_decay=400),
            "pool": snn.AvgPool2d(2),
            "flat": snn.Flatten(),
            "fc": snn.Linear(16, 6, source_fraction_bits=2, bias=True),
            "syn": snn.LIF(current_decay=1000, voltage_decay=300),
            "fc2": snn.Linear(6, 6),
            "rec": snn.Recurrent(snn.LIF(voltage_decay=100, refractory=2), snn.Linear(6, 6)),
        },
        input_shape=(2, 4, 4),
    )


def test_a_quantised_model_equals_its_program_and_is_left_as_it_was():
    model = network().train()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3)
    program = lowered(model)
    inputs = {program.inputs[0].name: RNG.integers(0, 2, (5, 9, 2, 4, 4))}
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    one = software.record(model, program, inputs, record=Record(True, True), batch=2)
    other = run(program, inputs, "reference", record=Record(True, True))
    found = compare(one, other)
    assert found.identical, found.first
    assert all(entry.potentials for entry in found.layers if entry.layer != program.inputs[0].name)
    assert all(one.spikes[name].any() for name in program.order if program.into(name))
    assert model.training
    assert before == {name: set(vars(module)) for name, module in model.named_modules()}


class Float(nn.Module):
    def __init__(self):
        super().__init__()
        import snntorch

        torch.manual_seed(1)
        self.fc, self.lif = nn.Linear(6, 4), snntorch.Leaky(0.75, reset_mechanism="zero")
        with torch.no_grad():
            self.fc.weight.copy_(torch.round(self.fc.weight * 64) / 32)
            self.fc.bias.zero_()

    def forward(self, x):
        mem, spikes = self.lif.reset_mem(), []
        for step in x:
            spk, mem = self.lif(self.fc(step), mem)
            spikes.append(spk)
        return torch.stack(spikes)


def test_a_float_model_is_recorded_in_units_of_the_state():
    model = Float()
    program = lowered(model, example_input=torch.zeros(4, 2, 6), time_first=True)
    inputs = {program.inputs[0].name: RNG.integers(0, 2, (7, 12, 6))}
    one = software.record(model, program, inputs, call="time-first", record=Record(True, True))
    other = run(program, inputs, "fast", record=Record(True, True))
    assert np.array_equal(one.spikes["lif"], other.spikes["lif"])
    assert one.spikes["lif"].any()
    assert one.potentials["lif"].dtype == np.float32
    assert np.allclose(one.potentials["lif"], other.potentials["lif"], rtol=1e-3, atol=64)


def neurons():
    """snnTorch's neurons in every way that they reset, with decays that 12 bits hold exactly."""
    import snntorch

    for reset in ("subtract", "zero", "none"):
        for delayed in (True, False):
            options = {"reset_mechanism": reset, "reset_delay": delayed}
            yield f"Leaky {reset} {delayed}", lambda o=options: snntorch.Leaky(0.75, **o), 1
            yield (
                f"Synaptic {reset} {delayed}",
                lambda o=options: snntorch.Synaptic(0.5, 0.75, **o),
                2,
            )


class OfOne(nn.Module):
    """A float network of one layer of neurons behind weights that integers hold exactly, each
    step's input below the threshold."""

    def __init__(self, lif, states):
        super().__init__()
        torch.manual_seed(1)
        self.fc, self.lif, self.states = nn.Linear(6, 5, bias=False), lif, states
        with torch.no_grad():
            self.fc.weight.copy_(torch.randint(-4, 10, (5, 6)) / 32)

    def forward(self, x):
        state, spikes = self.lif.reset_mem(), []
        state = state if isinstance(state, tuple) else (state,)
        for step in x:
            spk, *state = self.lif(self.fc(step), *state)
            spikes.append(spk)
        return torch.stack(spikes)


@pytest.mark.parametrize(
    ("make", "states"), [pytest.param(make, states, id=name) for name, make, states in neurons()]
)
def test_potentials_are_those_after_the_reset_whenever_snntorch_resets(make, states):
    model = OfOne(make(), states)
    program = lowered(model, example_input=torch.zeros(4, 2, 6), time_first=True)
    inputs = {program.inputs[0].name: RNG.integers(0, 2, (6, 30, 6))}
    one = software.record(model, program, inputs, call="time-first", record=Record(True, True))
    found = compare(one, run(program, inputs, "fast", record=Record(True, True)), program)
    assert found.spikes_identical
    layer = next(entry for entry in found.layers if entry.layer == "lif")
    assert one.spikes["lif"].any()
    assert layer.unit == "threshold"
    # what is left is the rounding of a state toward zero, a few of its steps in each time step
    assert layer.largest_difference < 0.002, (layer, found.first)


def test_scaled_spikes_are_spikes_and_others_are_refused(monkeypatch):
    import snntorch

    model = OfOne(snntorch.Leaky(0.75, graded_spikes_factor=0.5), 1)
    program = lowered(model, example_input=torch.zeros(4, 2, 6), time_first=True)
    inputs = {program.inputs[0].name: RNG.integers(0, 2, (4, 20, 6))}
    one = software.record(model, program, inputs, call="time-first", record=Record(True, True))
    # spikes of 0.5 were cut to 0
    assert one.spikes["lif"].any()
    assert np.array_equal(one.spikes["lif"], run(program, inputs, "fast").spikes["lif"])
    monkeypatch.setattr(
        OfOne,
        "forward",
        lambda self, x: torch.stack([self.lif(self.fc(step) * 1.0, None)[0] for step in x]),
    )
    model.lif.register_forward_hook(lambda module, given, found: (found[0] * 0.9, *found[1:]))
    with pytest.raises(DataError, match=r"spikes of layer 'lif': 0\.9 at"):
        software.record(model, program, inputs, call="time-first")


def test_what_cannot_be_recorded_is_named():
    model = Float()
    program = lowered(model, example_input=torch.zeros(4, 2, 6), time_first=True)
    inputs = {program.inputs[0].name: RNG.integers(0, 2, (2, 3, 6))}
    with pytest.raises(ModelError, match="time-first"):
        software.record(model, program, inputs)
    with pytest.raises(ModelError, match="'lif' is no module"):
        software.record(nn.Identity(), program, inputs, call="time-first")


class OwnSteps(Float):
    """Loops over its own 4 steps, whatever it is given."""

    def forward(self, x):
        return super().forward(torch.stack([x[step] for step in range(4)]))


@pytest.mark.parametrize(
    ("steps", "says"),
    [(3, "beyond the 3 time steps.*as many steps as the model"), (9, "gave 4 steps")],
)
def test_data_of_another_length_than_the_model_wants(steps, says):
    model = OwnSteps()
    program = lowered(model, example_input=torch.zeros(3, 2, 6), time_first=True)
    inputs = {program.inputs[0].name: RNG.integers(0, 2, (2, steps, 6))}
    with pytest.raises(ModelError, match=says):
        software.record(model, program, inputs, call="time-first")
