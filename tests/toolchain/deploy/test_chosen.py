"""Options of quantisation are refused where the weights are on the grid already."""

from __future__ import annotations

import pytest
import torch

import toolchain.layers as snn
from toolchain.deploy.stages import of, to_program
from toolchain.deploy.ways import Ways
from toolchain.errors import ModelError


def network():
    torch.manual_seed(0)
    layers = {"fc": snn.Linear(3, 2), "out": snn.LIF()}
    return snn.Network(layers, input_shape=(3,))


@pytest.mark.parametrize("option", [{"weight_bits": 16}, {"per_channel": True}])
def test_how_integers_are_chosen_changes_nothing_on_the_grid(option):
    to_program(of(network()), Ways())
    with pytest.raises(ModelError, match="changes nothing in a network whose weights are on"):
        to_program(of(network()), Ways(**option))
