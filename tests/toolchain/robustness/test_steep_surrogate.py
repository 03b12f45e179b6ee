"""A network whose own surrogate is next to zero nearly everywhere, though never exactly, trips the
flag of other gradients."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import toolchain.layers as snn
from toolchain.attacks.base import Threat
from toolchain.attacks.registry import AttackSpec, run
from toolchain.attacks.victims import PixelVictim
from toolchain.robustness.flags import Evidence, check
from toolchain.robustness.records import Scored

SAMPLES, EPSILON = 60, 0.15


def network(spike_grad) -> snn.Network:
    layers = {
        "flatten": snn.Flatten(),
        "hidden": snn.Linear(64, 48, source_fraction_bits=4),
        "lif": snn.LIF(1.0, beta=0.5, spike_grad=spike_grad),
        "last": snn.Linear(48, 10),
        "readout": snn.LI(1.0),
    }
    data = {"name": "digits", "encoding": "direct", "steps": 4}
    return snn.Network(
        layers,
        input_shape=(1, 8, 8),
        message_bits=6,
        fraction_bits=4,
        decode="last_potential",
        data=data,
    )


@pytest.fixture(scope="module")
def trained():
    """(state after a short training with a wide triangle, images and labels of the test)."""
    images, labels = load_digits(return_X_y=True)
    images = torch.from_numpy((images / 16).astype(np.float32)).reshape(-1, 1, 8, 8)
    labels = torch.from_numpy(labels.astype(np.int64))
    torch.manual_seed(0)
    model = network(snn.surrogate.triangle(2.0))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(4):
        for batch in torch.randperm(1200).split(60):
            loss = torch.nn.functional.cross_entropy(
                model.scores(images[batch].expand(4, *images[batch].shape)), labels[batch]
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return (
        model.state_dict(),
        images[1200 : 1200 + SAMPLES].numpy(),
        labels[1200 : 1200 + SAMPLES].numpy(),
    )


def evidence(trained, spike_grad) -> tuple[Evidence, float]:
    """(records of the same PGD along the network's surrogate and along atan, share of gradients
    that are exactly zero)."""
    state, images, labels = trained
    model = network(spike_grad).eval()
    model.load_state_dict(state)
    records, zero = [], 0.0
    for name, params in (("training", {}), ("atan", {"steepness": 2.0})):
        spec = AttackSpec("pgd", {"steps": 8}, {"name": name, "params": params})
        result = run(spec, PixelVictim(model), images, labels, Threat("linf", EPSILON))
        said = {
            "norm": "linf",
            "epsilon": EPSILON,
            "seed": 0,
            "crafted_on": "software",
            "target": "software",
            "stochastic": False,
        }
        described = said | spec.describe() | {"params": dict(spec.params)}
        history = {"zero_gradient": result.history["zero_gradient"]}
        zero = max(zero, float(history["zero_gradient"].mean()))
        nothing = np.zeros(SAMPLES)
        records.append(
            Scored(
                described, np.arange(SAMPLES), ~result.success, nothing, nothing, {}, (), history
            )
        )
    return Evidence(records, 10), zero


def test_a_fast_sigmoid_of_slope_200_hides_the_way_and_is_flagged(trained):
    found, zero = evidence(trained, snn.surrogate.fast_sigmoid(200.0))
    assert zero < 0.05  # nothing vanishes exactly: no other flag sees it
    along_own, along_atan = (record.accuracy for record in found.scored)
    assert along_own > along_atan + 0.15
    (flag,) = check(found)
    assert flag.name == "other_gradients_beat_training_surrogate"
    assert flag.attacks == ("pgd 8 · training",)


def test_a_wide_surrogate_of_the_same_network_trips_nothing(trained):
    assert check(evidence(trained, snn.surrogate.triangle(2.0))[0]) == []
