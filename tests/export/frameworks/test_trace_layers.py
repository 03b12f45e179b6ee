"""Weights, normalisations, pooling, factors and shapes on their way into the graph; each checked by
running the Program."""

from __future__ import annotations

import json

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

import export
from export.frameworks import trace
from hardware import targets
from tests.export.frameworks import snntorch_models as models


class Steps(nn.Module):
    """``body`` applied to every step, a Leaky behind it; input [time, batch, ...]."""

    def __init__(self, body, **leaky):
        super().__init__()
        self.body = body if isinstance(body, nn.Module) else None
        self.function = body
        self.lif = snn.Leaky(**({"beta": 0.5, "init_hidden": True} | leaky))

    def forward(self, x):
        self.lif.reset_mem()
        return torch.stack([self.lif(self.function(frame)) for frame in x])


def check(model, x, exact=True):
    """The Program spikes as the model does; the graph."""
    model.eval()
    with torch.no_grad():
        wanted = model(x).transpose(0, 1).numpy()
    graph = trace(model, x, time_first=True, dt=1e-3)
    program = export.lower(graph).program
    # an input may keep the shape that the model's first layer gives it
    inputs = models.samples_first(x).reshape(x.shape[1], x.shape[0], *program.inputs[0].shape)
    recording = targets.run(program, inputs, "reference")
    assert 0.02 < wanted.mean() < 0.98, "silent or saturated neurons prove nothing"
    if exact:
        assert np.array_equal(recording.spikes["lif"], wanted)
    else:
        assert np.mean(recording.spikes["lif"] == wanted) > 0.98
    return graph


def conv(*args, seed=1, **kwargs):
    return models.on_grid(nn.Conv2d(*args, **kwargs), seed)


CONVOLUTIONS = {
    "plain": (conv(2, 3, 3), (2, 6, 5)),
    "stride, padding, dilation": (
        conv(2, 3, 3, stride=(2, 1), padding=(1, 2), dilation=(2, 1)),
        (2, 7, 6),
    ),
    "kernel that is not square": (conv(2, 3, (1, 3), padding=(0, 1), seed=3), (2, 5, 4)),
    "groups": (conv(4, 6, 3, groups=2, padding=1), (4, 4, 5)),
    "depthwise": (conv(4, 4, 3, groups=4), (4, 5, 5)),
    "padding same": (conv(2, 3, 3, padding="same"), (2, 5, 4)),
    "padding same, even kernel": (conv(2, 3, 2, padding="same"), (2, 5, 4)),
    "padding valid, no bias": (conv(2, 3, 3, padding="valid", bias=False), (2, 5, 4)),
    "one dimension": (models.on_grid(nn.Conv1d(2, 3, 3, stride=2, padding=1), 2), (2, 9)),
    "one dimension, groups": (models.on_grid(nn.Conv1d(4, 4, 3, groups=2, dilation=2), 2), (4, 9)),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name):
    layer, shape = CONVOLUTIONS[name]
    graph = check(Steps(layer), models.spikes(10, 3, *shape))
    assert np.array_equal(graph.nodes["body"].weight, layer.weight.detach().numpy())


def test_weights_in_other_forms():
    """Transposed in memory, of single or double precision, made by a parametrisation: what counts
    is what the layer computes with."""
    fc = models.on_grid(nn.Linear(12, 12), 4)
    fc.weight = nn.Parameter(fc.weight.detach().t())
    nn.utils.parametrizations.weight_norm(fc)
    graph = check(Steps(fc), models.spikes(12, 3, 12), exact=False)
    assert np.array_equal(graph.nodes["body"].weight, fc.weight.detach().numpy())
    double = Steps(models.on_grid(nn.Linear(12, 6), 4)).double()
    assert (
        trace(double, torch.rand(3, 2, 12).double(), time_first=True).nodes["body"].weight.dtype
        == np.float64
    )
    half = Steps(models.on_grid(nn.Linear(12, 6), 4)).bfloat16()
    assert np.array_equal(
        trace(half, torch.rand(3, 2, 12).bfloat16(), time_first=True).nodes["body"].weight,
        half.body.weight.detach().float().numpy(),
    )


POOLS = {
    "module": nn.AvgPool2d(2),
    "window that is not square": nn.AvgPool2d((2, 1), stride=(1, 2)),
    "padding": nn.AvgPool2d(2, padding=1),
    "sum": nn.AvgPool2d(2, divisor_override=1),
    "adaptive": nn.AdaptiveAvgPool2d((3, 1)),
    "global": nn.AdaptiveAvgPool2d(1),
}


@pytest.mark.parametrize("name", POOLS)
def test_average_pooling_before_weights(name):
    pool = POOLS[name]
    size = pool(torch.zeros(1, 2, 6, 4)).numel()
    fc = models.on_grid(nn.Linear(size, 7), 5)
    graph = check(
        Steps(nn.Sequential(pool, nn.Flatten(), fc), threshold=0.5), models.spikes(12, 3, 2, 6, 4)
    )
    assert isinstance(graph.nodes["body.0"], nir.AvgPool2d)


def test_average_pooling_over_one_dimension():
    fc = models.on_grid(nn.Linear(8, 5), 5)
    graph = check(
        Steps(nn.Sequential(nn.AvgPool1d(2), nn.Flatten(), fc), threshold=0.5),
        models.spikes(12, 3, 2, 8),
    )
    assert np.all(graph.nodes["body.0"].weight == 0.5)


def test_one_pool_module_in_two_places():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = (
                conv(1, 2, 3, padding=1, seed=1),
                conv(2, 2, 3, padding=1, seed=2),
            )
            self.lif1, self.lif = (
                snn.Leaky(0.5, init_hidden=True),
                snn.Leaky(0.5, threshold=0.25, init_hidden=True),
            )
            self.pool = nn.AvgPool2d(2)

        def forward(self, x):
            self.lif1.reset_mem(), self.lif.reset_mem()
            return torch.stack(
                [
                    self.lif(self.pool(self.conv2(self.pool(self.lif1(self.conv1(frame))))))
                    for frame in x
                ]
            )

    graph = check(Net(), models.spikes(12, 3, 1, 8, 8))
    assert {("lif1", "pool"), ("pool", "conv2"), ("conv2", "pool_2"), ("pool_2", "lif")} <= set(
        graph.edges
    )


def normalised(seed=0, dims=2, channels=3, **options):
    """A batch normalisation with statistics of its own."""
    norm = (nn.BatchNorm2d if dims == 2 else nn.BatchNorm1d)(channels, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        norm.running_mean.uniform_(-0.5, 0.5, generator=generator)
        norm.running_var.uniform_(0.5, 2, generator=generator)
        if norm.affine:
            norm.weight.uniform_(0.5, 1.5, generator=generator)
            norm.bias.uniform_(-0.3, 0.3, generator=generator)
    return norm


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([conv(2, 3, 3), normalised()], (2, 6, 5)),
        ([conv(2, 3, 3, bias=False), normalised(affine=False)], (2, 6, 5)),
        ([models.on_grid(nn.Linear(12, 5, bias=False), 3), normalised(dims=1, channels=5)], (12,)),
        ([models.on_grid(nn.Conv1d(2, 3, 3), 3), normalised(dims=1)], (2, 9)),
    ],
)
def test_batch_normalisation_is_folded(layers, shape):
    model = Steps(nn.Sequential(*layers))
    graph = check(model, models.spikes(30, 4, *shape), exact=False)
    folded = graph.nodes["body.0"]
    x = models.spikes(1, 5, *shape)[0]
    plain = (
        functional.linear
        if isinstance(layers[0], nn.Linear)
        else functional.conv2d
        if len(shape) == 3
        else functional.conv1d
    )
    assert torch.allclose(
        plain(x, torch.from_numpy(folded.weight), torch.from_numpy(folded.bias)),
        model.body(x),
        atol=1e-5,
    )
    assert any(
        "batch normalisation 'body.1' folded" in n
        for n in json.loads(graph.metadata["spikeport"])["origin"]["notes"]
    )


FACTORS = {
    "input divided": lambda fc: lambda x: fc(x / 4),
    "current multiplied": lambda fc: lambda x: 0.5 * fc(x),
    "negated twice": lambda fc: lambda x: -fc(-x),
    "parameter as factor": lambda fc: lambda x: fc(x) * nn.Parameter(torch.tensor([0.5])),
    "subtracted from zero": lambda fc: lambda x: 0 - fc(0 - x),
    "added twice": lambda fc: lambda x: (y := fc(x)) * 0.25 + y * 0.25,
    "alpha": lambda fc: lambda x: torch.add(torch.zeros(6), fc(x), alpha=0.5),
    "after pooling": lambda fc: (
        lambda x: fc(functional.avg_pool1d(x.unsqueeze(1), 1).squeeze(1) * 2)
    ),
}


@pytest.mark.parametrize("name", FACTORS)
def test_factors_are_folded(name):
    fc = models.on_grid(nn.Linear(12, 6), 8)

    class Net(Steps):
        def __init__(self):
            super().__init__(FACTORS[name](fc), threshold=0.25)
            self.fc = fc

    graph = check(Net(), models.spikes(15, 4, 12))
    assert not any(isinstance(node, nir.Scale) for node in graph.nodes.values())


def test_a_factor_that_fits_no_weights_becomes_a_scale():
    """Two uses of one layer's output with different factors, one of them without weights in
    between."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = (
                models.on_grid(nn.Linear(12, 6), 1),
                models.on_grid(nn.Linear(6, 6), 2),
            )
            self.lif1, self.lif = snn.Leaky(0.5, init_hidden=True), snn.Leaky(0.5, init_hidden=True)

        def forward(self, x):
            self.lif1.reset_mem(), self.lif.reset_mem()
            out = []
            for frame in x:
                spk = self.lif1(self.fc1(frame))
                out.append(self.lif(self.fc2(spk) + 0.5 * spk))
            return torch.stack(out)

    graph = check(Net(), models.spikes(15, 4, 12))
    assert graph.nodes["lif1_scale"].scale.tolist() == [0.5] * 6


def test_the_negative_of_a_single_zero():
    torch.manual_seed(0)
    linear = models.on_grid(nn.Linear(1, 1), 0)
    model = Steps(lambda frame: linear(frame + -(frame - frame)))
    model.linear = linear
    graph = trace(model, torch.rand(5, 1, 1), time_first=True)
    assert sorted(graph.edges) == [("input", "linear"), ("lif", "output"), ("linear", "lif")]


def test_shapes():
    """Flatten where the model flattens; the input as the model is given it, or as its first layer
    takes it."""
    flat = check(
        _WithLayer(lambda s, x: s.fc(x.flatten(1)), models.on_grid(nn.Linear(12, 6), 1)),
        models.spikes(9, 3, 3, 4),
    )
    assert flat.nodes["input"].input_type["input"].tolist() == [3, 4]
    assert ("input", "input_flatten") in flat.edges
    shaped = _WithLayer(lambda s, x: s.fc(x.view(-1, 1, 3, 4)), conv(1, 2, 3))
    given = models.spikes(9, 3, 12)
    graph = trace(shaped, given, time_first=True, dt=1e-3)
    assert graph.nodes["input"].input_type["input"].tolist() == [1, 3, 4]
    recording = targets.run(
        export.lower(graph).program, models.samples_first(given).reshape(3, 9, 1, 3, 4), "reference"
    )
    assert np.array_equal(recording.spikes["lif"], shaped(given).transpose(0, 1).detach().numpy())


class _WithLayer(Steps):
    def __init__(self, function, layer):
        super().__init__(lambda x: function(self, x))
        self.fc = layer


def test_extra_dimensions_of_one_are_no_shape():
    graph = trace(
        _WithLayer(lambda s, x: s.fc(x), models.on_grid(nn.Linear(12, 6), 1)),
        torch.rand(4, 2, 1, 12),
        time_first=True,
    )
    assert graph.nodes["lif"].output_type["output"].tolist() == [6]


def test_files_that_nir_reads(tmp_path):
    """Written and read back by nir itself: names, shapes, parameters, metadata."""
    graph = trace(models.TimeLoop(), torch.rand(3, 2, 12), time_first=True, dt=1e-3)
    export.write(graph, tmp_path / "net.nir")
    read = nir.read(tmp_path / "net.nir")
    assert set(read.nodes) == set(graph.nodes)
    assert sorted(read.edges) == sorted(graph.edges)
    assert np.array_equal(read.nodes["fc1"].weight, graph.nodes["fc1"].weight)
    assert json.loads(read.metadata["spikeport"])["nodes"]["lif1"]["reset"] == "subtract"
    assert (
        export.lower(export.read(tmp_path / "net.nir")).program.fingerprint
        == export.lower(graph).program.fingerprint
    )


def test_files_need_a_time_step(tmp_path):
    with pytest.raises(export.ExportError, match=r"state the time step with dt"):
        export.write(
            trace(models.TimeLoop(), torch.rand(3, 2, 12), time_first=True), tmp_path / "net.nir"
        )
    with pytest.raises(export.ExportError, match=r"time constants are in steps"):
        export.lower(trace(models.TimeLoop(), torch.rand(3, 2, 12), time_first=True), dt=1e-3)
