import numpy as np
import pytest
import torch
from torch import nn

import export
import toolchain.layers as snn
from export.frameworks import trace
from hardware import Record, compare, run
from toolchain import software
from toolchain.errors import ModelError

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
    silent = ~one.spikes["lif"].astype(bool)  # at a spike snnTorch shows the potential before its reset, the Program after it
    assert one.potentials["lif"].dtype == np.float32
    assert np.allclose(one.potentials["lif"][silent], other.potentials["lif"][silent], rtol=1e-3, atol=64)


def test_what_cannot_be_recorded_is_named():
    model = Float()
    program = lowered(model, example_input=torch.zeros(4, 2, 6), time_first=True)
    inputs = {program.inputs[0].name: RNG.integers(0, 2, (2, 3, 6))}
    with pytest.raises(ModelError, match="time-first"):
        software.record(model, program, inputs)
    with pytest.raises(ModelError, match="'lif' is no module"):
        software.record(nn.Identity(), program, inputs, call="time-first")
