"""The dialect of snnTorch against snnTorch's own neurons, from graphs with the numbers that its
exporter writes."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import snntorch
import torch
from torch import nn

from tests.export.nodes import float_as_read, inp, out
from tests.export.test_reading import SPIKES, WEIGHT

DT = 1e-4
ALPHA, BETA, THRESHOLD = 0.6, np.array([0.5, 0.7, 0.8, 0.9]), 1.5
FEEDBACK = np.random.default_rng(5).normal(0, 0.3, (4, 4))


def written(kind: str) -> nir.NIRGraph:
    """As ``snntorch.export_nir`` writes a network of one linear layer and one of its neurons."""
    steps, zeros = 1 / (1 - BETA), np.zeros(4)
    shared = {"r": steps, "v_leak": zeros, "v_threshold": np.full(4, THRESHOLD), "v_reset": zeros}
    if kind.endswith("Synaptic"):
        syn = np.full(4, 1 / (1 - ALPHA))
        neuron = nir.CubaLIF(tau_syn=DT * syn, tau_mem=DT * steps, w_in=syn, **shared)
    else:
        neuron = nir.LIF(tau=DT * steps, **shared)
    nodes = {"in": inp(6), "w": nir.Linear(WEIGHT), "n0": neuron, "out": out(4)}
    edges = [("in", "w"), ("w", "n0"), ("n0", "out")]
    if kind.startswith("R"):
        nodes["w_rec"] = nir.Linear(FEEDBACK)
        edges += [("n0", "w_rec"), ("w_rec", "n0")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def computed(kind: str, reset: str) -> np.ndarray:
    """Spikes of snnTorch's own neuron."""
    options = {"beta": torch.tensor(BETA), "threshold": torch.full((4,), THRESHOLD).double()}
    options |= {"init_hidden": True, "reset_mechanism": reset}
    if kind.endswith("Synaptic"):
        options["alpha"] = torch.full((4,), ALPHA).double()
    if kind.startswith("R"):
        options |= {"all_to_all": True, "linear_features": 4}
    neuron = getattr(snntorch, kind)(**options)
    if kind.startswith("R"):
        neuron.recurrent = nn.Linear(4, 4, bias=False).double()
        neuron.recurrent.weight.data = torch.tensor(FEEDBACK)
        neuron.recurrent.register_forward_pre_hook(lambda _, given: (given[0].double(),))
    drive = torch.tensor(SPIKES @ WEIGHT.T)
    with torch.no_grad():
        found = [neuron(drive[:, step]) for step in range(drive.shape[1])]
    return torch.stack(found, dim=1).numpy()


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize("kind", ["Leaky", "Synaptic", "RLeaky", "RSynaptic"])
def test_every_neuron_spikes_as_in_snntorch(kind, reset):
    expected = computed(kind, reset)
    told = {} if reset == "subtract" else {"reset": reset}
    found = float_as_read(written(kind), {"in": SPIKES}, dialect="snntorch", **told).spikes["n0"]
    assert 20 < expected.sum() < 780
    np.testing.assert_array_equal(found, expected)
