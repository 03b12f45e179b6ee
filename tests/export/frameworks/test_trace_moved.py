"""What only moves elements, averages uneven windows or takes the maximum of spikes: followed and
exact, or refused with the reason."""

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
from export.errors import ExportError, UnsupportedError
from export.frameworks import trace
from hardware.chip import Chip
from hardware.placement import check as check_chip
from tests.export.frameworks import snntorch_models as models
from tests.export.frameworks.test_trace_layers import Steps, check, conv, normalised


def grid(layer: nn.Module, seed: int = 1) -> nn.Module:
    return models.on_grid(layer, seed)


class Applied(nn.Module):
    """A function as a module, with layers that it may use."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)

    def forward(self, x):
        return self.function(x, *self.layers)


BODIES = {
    "zero padding": (lambda: nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), conv(2, 3, 3)), (2, 5, 4)),
    "padding that crops": (
        lambda: Applied(lambda x, c: c(functional.pad(x, (-1, 2, 1, -1))), conv(2, 3, 3)),
        (2, 5, 5),
    ),
    "reflection": (lambda: nn.Sequential(nn.ReflectionPad2d(1), conv(2, 3, 3)), (2, 5, 4)),
    "a crop of the currents": (
        lambda: Applied(lambda x, c: c(x)[..., 1:-1, ::2], conv(2, 3, 3)), (2, 7, 6),
    ),
    "some channels": (lambda: Applied(lambda x, c: c(x[:, 1:3]), conv(2, 3, 3)), (4, 5, 4)),
    "channels shuffled": (
        lambda: nn.Sequential(conv(2, 4, 3), nn.ChannelShuffle(2), conv(4, 3, 1, groups=1)),
        (2, 5, 4),
    ),
    "features in another order": (
        lambda: Applied(lambda x, f: f(x.flip(1)[:, ::2]), grid(nn.Linear(6, 5))), (12,),
    ),
    "upsampling": (lambda: nn.Sequential(nn.Upsample(scale_factor=2), conv(2, 3, 2)), (2, 3, 4)),
    "upsampling of currents": (
        lambda: nn.Sequential(conv(2, 3, 2), nn.Upsample(scale_factor=(1, 3))), (2, 3, 4),
    ),
    "upsampling by hand": (
        lambda: Applied(lambda x, c: c(x.repeat_interleave(2, 2).repeat_interleave(2, 3)),
                        conv(2, 3, 2)),
        (2, 3, 4),
    ),
    "pixel shuffle": (lambda: nn.Sequential(conv(2, 8, 2), nn.PixelShuffle(2)), (2, 3, 4)),
    "pixel unshuffle": (lambda: nn.Sequential(nn.PixelUnshuffle(2), conv(4, 3, 2)), (1, 4, 6)),
    "transposed convolution": (lambda: grid(nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1)),
                               (2, 3, 4)),
    "transposed, all options": (
        lambda: grid(nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (2, 0), (1, 2), 2, False, (2, 1))),
        (4, 3, 4),
    ),
    "transposed, stride 1": (lambda: grid(nn.ConvTranspose2d(2, 3, 3, padding=1)), (2, 4, 3)),
    "transposed, one dimension": (lambda: grid(nn.ConvTranspose1d(2, 3, 3, stride=2)), (2, 5)),
    "concatenated parts": (
        lambda: Applied(lambda x, a, b: torch.cat([a(x), b(x[:, 1:])], 1), conv(2, 3, 3),
                        conv(1, 2, 3, seed=4)),
        (2, 5, 4),
    ),
    "concatenated side by side": (
        lambda: Applied(lambda x, a, b: b(torch.cat([x, a(x)], -1)), conv(1, 1, 1), conv(1, 2, 3)),
        (1, 4, 3),
    ),
    "concatenated features": (
        lambda: Applied(lambda x, a, b: torch.cat((a(x), x, b(x)), dim=1), grid(nn.Linear(6, 3)),
                        grid(nn.Linear(6, 2), 2)),
        (6,),
    ),
    "maximum of the input": (lambda: nn.Sequential(nn.MaxPool2d(2), conv(2, 3, 2)), (2, 6, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", BODIES)
def test_what_moves_elements(name):
    body, shape = BODIES[name]
    check(Steps(body()), models.spikes(12, 3, *shape))


UNEVEN = {
    "adaptive": nn.AdaptiveAvgPool2d((2, 3)),
    "border windows": nn.AvgPool2d(2, ceil_mode=True),
    "border windows and padding": nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True),
    "border counted out": nn.AvgPool2d((3, 2), stride=2, padding=1, count_include_pad=False),
    "divided by another number": nn.AvgPool2d(2, ceil_mode=True, divisor_override=3),
}


@pytest.mark.parametrize("name", UNEVEN)
def test_average_pooling_over_uneven_windows(name):
    check(
        Steps(nn.Sequential(UNEVEN[name], conv(2, 3, 2)), threshold=0.5),
        models.spikes(12, 3, 2, 5, 5),
        exact=False,
    )


def test_average_pooling_over_uneven_windows_of_one_dimension():
    body = nn.Sequential(nn.AdaptiveAvgPool1d(3), grid(nn.Conv1d(2, 4, 2)))
    check(Steps(body, threshold=0.5), models.spikes(12, 3, 2, 7), exact=False)


class Two(nn.Module):
    """lif1 → ``between`` → lif; input [time, batch, channels, height, width]."""

    def __init__(self, first, between, *layers, **leaky):
        super().__init__()
        self.first, self.between = first, between
        self.layers = nn.ModuleList(layers)
        self.lif1 = snn.Leaky(0.5, init_hidden=True, **leaky)
        self.lif = snn.Leaky(0.5, init_hidden=True)

    def forward(self, x):
        self.lif1.reset_mem(), self.lif.reset_mem()
        return torch.stack(
            [self.lif(self.between(self.lif1(self.first(step)), *self.layers)) for step in x]
        )


MAXIMA = {
    "module": (lambda s, p, c: c(p(s)), [nn.MaxPool2d(2), conv(3, 2, 2, seed=3)]),
    "overlapping, padded": (
        lambda s, p, c: c(p(s)), [nn.MaxPool2d(3, 2, 1), conv(3, 2, 2, seed=3)],
    ),
    "incomplete windows": (
        lambda s, p, c: c(p(s)), [nn.MaxPool2d(2, ceil_mode=True), conv(3, 2, 2, seed=3)],
    ),
    "dilation": (lambda s, p, c: c(p(s)), [nn.MaxPool2d(2, 1, dilation=2), conv(3, 2, 2, seed=3)]),
    "function": (lambda s, c: c(functional.max_pool2d(s, (1, 2))), [conv(3, 2, 2, seed=3)]),
    "twice": (lambda s, p, c: c(p(p(s))), [nn.MaxPool2d(2, 1), conv(3, 2, 2, seed=3)]),
    "of some channels": (
        lambda s, c: c(functional.max_pool2d(s[:, 1:], 2)), [conv(2, 2, 1)],
    ),
    "of a concatenation": (
        lambda s, c: c(functional.max_pool2d(torch.cat([s, s[:, :1]], 1), 2)), [conv(4, 2, 2)],
    ),
    "times a factor": (lambda s, c: c(functional.max_pool2d(0.5 * s, 2)), [conv(3, 2, 2, seed=3)]),
    "one dimension": (
        lambda s, f: f(functional.max_pool1d(s.flatten(2), 3, 2).flatten(1)),
        [grid(nn.Linear(3 * 12, 5))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MAXIMA)
def test_max_pooling_of_spikes_is_an_or(name):
    between, layers = MAXIMA[name]
    graph = check(
        Two(conv(2, 3, 3, padding=1), between, *layers, threshold=2.0),
        models.spikes(12, 3, 2, 5, 5),
    )
    assert any(isinstance(node, nir.Threshold) for node in graph.nodes.values())


def test_the_audit_says_what_max_pooling_costs():
    model = Two(conv(2, 3, 3), lambda s, p, c: c(p(s)), nn.MaxPool2d(2), conv(3, 2, 1))
    program, audit = export.lower(trace(model, models.spikes(4, 3, 2, 6, 6), time_first=True))
    assert "population of 12 neurons" in audit.table()
    assert program.metadata["maxima"] == ["layers.0"]
    pool = program.nodes["layers.0"]
    # decays that a chip has: what arrives fires and is reset, so nothing is ever left to decay
    assert (pool.shape, int(pool.voltage_decay), int(pool.threshold)) == ((3, 2, 2), 0, 1)
    assert "voltage_decay_range" not in [
        v.rule for v in check_chip(program, Chip.load("loihi2")).violations
    ]


def of_currents(x, c, p):
    return p(c(x))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (Applied(of_currents, conv(2, 3, 3), nn.MaxPool2d(2)), "'max_pool2d'"),
        (
            Applied(
                lambda x, p, c: c(p(functional.avg_pool2d(x, 2))), nn.MaxPool2d(2), conv(2, 3, 1)
            ),
            r"'max_pool2d'.*the maximum of spikes is their OR, but that of other values is no sum",
        ),
        (Applied(lambda x, c: c(functional.max_pool2d(-x, 2)), conv(2, 3, 1)), "'max_pool2d'"),
        (
            Applied(lambda x, c: c(functional.max_pool2d(x + x.flip(1), 2)), conv(2, 3, 1)),
            "'max_pool2d'",
        ),
        (
            Applied(
                lambda x, c: c(
                    functional.max_pool2d(
                        torch.cat([x[:, :1], x[:, 1:]], 1) + torch.cat([x[:, 1:], x[:, :1]], 1), 2
                    )
                ),
                conv(2, 3, 1),
            ),
            "'max_pool2d'",
        ),
        (
            Applied(
                lambda x, p, c: c(p(x)[0]), nn.MaxPool2d(2, return_indices=True), conv(2, 3, 1)
            ),
            "'max_pool2d_with_indices'",
        ),
        (Applied(lambda x, c: c(functional.interpolate(x, scale_factor=2, mode="bilinear")),
                 conv(2, 3, 1)), "'interpolate'"),
        (Applied(lambda x, c: c(functional.pad(x, (1, 1), value=1.0)), conv(2, 3, 1)), "'pad'"),
    ],
)  # fmt: skip
def test_what_is_no_or_and_no_choice(body, says):
    body = nn.Sequential(body, nn.Flatten(), nn.LazyLinear(3))
    body(torch.zeros(1, 2, 6, 6))
    with pytest.raises(UnsupportedError, match=says):
        trace(Steps(body), models.spikes(4, 3, 2, 6, 6), time_first=True)


def test_max_pooling_of_a_graded_input_is_refused():
    model = Steps(nn.Sequential(nn.MaxPool2d(2), conv(2, 3, 2)))
    graph = trace(model, models.spikes(4, 3, 2, 6, 4), time_first=True)
    text = json.loads(graph.metadata["spikeport"])
    del text["nodes"]["input"]
    graph.metadata["spikeport"] = json.dumps(text)
    with pytest.raises(UnsupportedError, match="max pooling of graded values of 'input'"):
        export.lower(graph, message_bits=4)
    with pytest.raises(UnsupportedError, match=r"max_pool2d.*is no sum"):
        trace(model, torch.rand(4, 3, 2, 6, 4), time_first=True)


NORMALISED = {
    "input, without padding": lambda: nn.Sequential(normalised(channels=2), conv(2, 3, 3)),
    "input, padded": lambda: nn.Sequential(normalised(channels=2), conv(2, 3, 3, padding=1)),
    "directly": lambda: normalised(channels=2),
}


@pytest.mark.parametrize("name", NORMALISED)
def test_normalisation_without_weights_before_it(name):
    check(Steps(NORMALISED[name]()), models.spikes(12, 3, 2, 5, 4), exact=False)


def test_normalisation_of_spikes_and_of_features():
    model = Two(
        conv(2, 3, 3),
        lambda s, norm, c, one, f: f(one(c(norm(s)).flatten(1))),
        normalised(channels=3), conv(3, 2, 3, padding=1), normalised(3, dims=1, channels=24),
        grid(nn.Linear(24, 20), 5),
    )  # fmt: skip
    graph = check(model, models.spikes(12, 3, 2, 6, 5), exact=False)
    assert isinstance(graph.nodes["layers.2"], nir.Affine)
    with pytest.raises(ExportError, match="there must be at most 2048"):
        trace(
            Steps(nn.Sequential(normalised(dims=1, channels=2049), nn.Linear(2049, 2))),
            torch.rand(3, 2, 2049),
            time_first=True,
        )


class Shared(nn.Module):
    """One convolution in two places of each step; ``sequence``: over all steps at once."""

    def __init__(self, sequence):
        super().__init__()
        self.conv = conv(2, 2, 3, padding=1)
        self.lif1, self.lif = (snn.Leaky(0.5, init_hidden=True) for _ in range(2))
        self.sequence = sequence

    def forward(self, x):
        self.lif1.reset_mem(), self.lif.reset_mem()
        if self.sequence:
            current = self.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            spikes = torch.stack([self.lif1(step) for step in current])
            current = self.conv(spikes.flatten(0, 1)).unflatten(0, x.shape[:2])
            return torch.stack([self.lif(step) for step in current])
        return torch.stack([self.lif(self.conv(self.lif1(self.conv(step)))) for step in x])


@pytest.mark.parametrize("sequence", [False, True])
def test_one_layer_in_two_places(sequence):
    graph = check(Shared(sequence), models.spikes(12, 3, 2, 5, 4))
    assert np.array_equal(graph.nodes["conv"].weight, graph.nodes["conv_2"].weight)
    assert {("lif1", "conv_2"), ("conv_2", "lif")} <= set(graph.edges)


def test_what_is_sliced_for_nothing_is_left_out():
    def between(spikes, layer):
        layer.seen = spikes[:, 2:].mean()
        return layer(spikes[:, :2])

    model = Two(conv(2, 3, 3), between, conv(2, 2, 1))
    graph = check(model, models.spikes(12, 3, 2, 5, 4))
    assert sum("slice" in name for name in graph.nodes) == 1


def test_elements_that_are_regrouped_before_they_are_moved():
    """Pixel shuffle by hand, and a map that is flattened in part."""

    def shuffled(x, layer):
        x = layer(x)
        batch, channels, height, width = x.shape
        apart = x.view(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
        return apart.reshape(batch, channels // 4, 2 * height, 2 * width)

    check(Steps(Applied(shuffled, conv(2, 8, 2))), models.spikes(12, 3, 2, 3, 4))
    lines = Applied(lambda x, a, c: c(a(x).flatten(2)), conv(2, 2, 2), grid(nn.Conv1d(2, 4, 3)))
    graph = check(Steps(lines), models.spikes(12, 3, 2, 3, 4))
    (flatten,) = (node for node in graph.nodes.values() if isinstance(node, nir.Flatten))
    assert (flatten.start_dim, flatten.end_dim) == (1, 2)


def test_some_of_the_spikes_are_no_output():
    model = Two(conv(2, 3, 3), lambda s, c: c(s), conv(3, 4, 1))
    model.eval()

    class Some(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = model

        def forward(self, x):
            return self.body(x)[:, :, 1:]

    with pytest.raises(UnsupportedError, match=r"some elements of 'body.lif', or all in another"):
        trace(Some(), models.spikes(4, 3, 2, 5, 4), time_first=True)
