"""What changes the weights: schedules, groups of parameters, the bound on a gradient, the target of
the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import toolchain.layers as snn
from toolchain.errors import ToolchainError
from toolchain.layers import norm
from toolchain.models import Layer, Model, Neuron
from toolchain.training import Config, Data, Training, run, train
from toolchain.training.batches import BatchStep
from toolchain.training.optimisation import clip, optimiser, schedule, split


def rates(settings: Training, total: int) -> list[float]:
    """The learning rate of each step."""
    chosen = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=settings.learning_rate)
    changes = schedule(settings, chosen, total)
    found = []
    for _ in range(total):
        found.append(chosen.param_groups[0]["lr"])
        chosen.step()
        changes.step()
    return found


def test_the_learning_rate_follows_its_schedule():
    settings = Training(schedule="cosine", learning_rate=0.4)
    assert rates(settings, 4) == pytest.approx(
        [0.2 * (1 + np.cos(np.pi * n / 4)) for n in range(4)]
    )
    assert schedule(Training(schedule="constant"), None, 4) is None
    assert schedule(settings, None, 0) is None


def test_a_cosine_rises_first_where_it_is_warmed_up():
    found = rates(Training(schedule="cosine", learning_rate=0.4, warmup=0.3), 10)
    assert found[:4] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    falling = [0.2 * (1 + np.cos(np.pi * n / 7)) for n in range(7)]
    assert found[3:] == pytest.approx(falling)


@pytest.mark.parametrize(("warmup", "top"), [(None, 2), (0.1, 2), (0.5, 10)])
def test_one_cycle_is_highest_where_it_is_told_to_be(warmup, top):
    found = rates(Training(learning_rate=0.4, warmup=warmup), 20)
    assert int(np.argmax(found)) in (top - 1, top)
    assert max(found) <= 0.4


def test_one_cycle_without_a_step_to_rise_begins_at_the_top():
    found = rates(Training(learning_rate=0.4), 9)
    assert found[0] == pytest.approx(0.4)
    assert found == sorted(found, reverse=True)


class Both(torch.nn.Module):
    """A synapse with batch norm before a neuron that learns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = snn.Conv2d(1, 2, 3, norm=True)
        self.lif = snn.LIF(1.0, beta=0.9, learn_beta=True)
        self.linear = snn.Linear(4, 2)


def test_only_weights_of_synapses_decay_where_norms_do_not():
    model = Both()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, others = ([names[id(p)] for p in part] for part in split(model))
    assert decayed == ["conv.weight", "linear.weight"]
    assert set(others) == set(names.values()) - set(decayed)
    assert {"lif.beta", "linear.bias", "conv.norm.weight", "conv.norm.bias"} <= set(others)

    settings = Training(weight_decay=0.5, decay_norms=False)
    assert [g["weight_decay"] for g in optimiser(settings, model).param_groups] == [0.5, 0.0]
    (group,) = optimiser(Training(weight_decay=0.5), model).param_groups
    assert group["weight_decay"] == 0.5
    assert len(group["params"]) == len(names)


def test_a_gradient_is_scaled_down_to_its_bound():
    model = torch.nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    clip(model, None)
    clip(model, 10.0)
    assert model.weight.grad.tolist() == [[3.0, 4.0]]
    clip(model, 1.0)
    assert model.weight.grad[0].tolist() == pytest.approx([0.6, 0.8])
    model.weight.grad[0, 0] = float("inf")
    with pytest.raises(ToolchainError, match="the norm of the gradient is inf"):
        clip(model, 1.0)


def test_a_smoothed_target_is_spread_over_the_classes():
    scores, settings = torch.tensor([[2.0, 0.0, 1.0]]), Training(label_smoothing=0.3)
    loss = BatchStep(None, settings, torch.tensor([0]), 0.0).loss(scores).item()
    target = torch.tensor([[0.8, 0.1, 0.1]])
    assert loss == pytest.approx(functional.cross_entropy(scores, target).item())


SMALL = Config(
    data=Data(steps=2),
    model=Model(
        layers=(Layer("dense", features=12), Layer("dense", features=10)), readout="max_potential"
    ),
    neuron=Neuron(),
    training=Training(epochs=5, samples=40, batch=20),
)


@pytest.mark.parametrize(("share", "expected"), [(0.0, [0] * 5), (0.4, [0, 0, 0, 1, 1])])
def test_norms_are_frozen_in_the_last_epochs(monkeypatch, share, expected):
    found, shown = [], []
    monkeypatch.setattr(
        run,
        "freeze_norms",
        lambda model, frozen: shown.append(frozen) or norm.freeze_norms(model, frozen),
    )
    config = Config.from_table(
        SMALL.to_table() | {"training": {"epochs": 5, "freeze_norms": share, "samples": 40}}
    )

    def normed(model):
        model.dense1 = snn.Linear(64, 12, source_fraction_bits=4, norm=True)

    result = train(
        config,
        prepare=normed,
        on_epoch=lambda entry: found.append(shown[-1]),
    )
    assert found == [bool(frozen) for frozen in expected]
    assert not result.model.dense1.norm.frozen
    assert int(result.model.dense1.norm.num_batches_tracked) == 2 * expected.count(0)
