"""Training: it learns, it repeats itself exactly, and each setting does what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import hardware
from export import lower
from export.frameworks import trace
from toolchain import data
from toolchain.data import load
from toolchain.errors import ConfigError, LayerError, ToolchainError
from toolchain.models import Grid, Layer, Model, Neuron, Surrogate
from toolchain.training import Config, Data, Training, evaluate, train
from toolchain.training.batches import BatchStep, shifted
from toolchain.training.result import device_of

SMALL = Config(
    data=Data(steps=4),
    model=Model(
        layers=(Layer("dense", features=32), Layer("dense", features=10)), readout="max_potential"
    ),
    training=Training(epochs=6, samples=300, batch=30),
)


@pytest.fixture(scope="module")
def trained():
    return train(SMALL)


def test_a_small_network_learns_the_digits(trained):
    assert trained.accuracy > 0.7
    assert trained.test_samples == 364
    assert [entry["epoch"] for entry in trained.history] == [1, 2, 3, 4, 5, 6]
    assert trained.history[-1]["loss"] < trained.history[0]["loss"] / 2
    assert trained.history[-1]["accuracy"] > trained.history[0]["accuracy"]
    assert not trained.model.training
    assert evaluate(trained.model, load("digits", "test"), SMALL.data.encoder) == trained.accuracy


def test_the_program_has_exactly_this_accuracy(trained):
    program, _ = lower(trace(trained.model))
    arrays, labels = data.inputs(program.metadata["data"])
    assert hardware.run(program, arrays).accuracy(labels) == trained.accuracy


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained):
    calls = []
    before = torch.random.get_rng_state()
    again = train(
        SMALL,
        progress=lambda done, total: calls.append((done, total)),
        on_epoch=lambda entry: calls.append(entry["epoch"]),
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, trained.model.state_dict()[name])
    assert calls[0] == (1, 60)
    assert calls[-2:] == [(60, 60), 6]
    other = train(replace(SMALL, training=replace(SMALL.training, seed=1, epochs=1)))
    assert not torch.equal(other.model.dense1.weight, trained.model.dense1.weight)


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"optimiser": "sgd", "learning_rate": 0.02}},
        {"training": {"schedule": "cosine", "learning_rate": 0.005}},
        {
            "training": {
                "optimiser": "adamw",
                "weight_decay": 0.01,
                "schedule": "constant",
                "learning_rate": 0.005,
            }
        },
        {
            "training": {"loss": "rate"},
            "model": {"readout": "spike_count"},
            "surrogate": {"parameter": 2.0},
        },
        {
            "training": {"logit_scale": 0.5},
            "model": {"readout": "spike_count"},
            "surrogate": {"name": "fast_sigmoid", "parameter": 2.0},
        },
        {"data": {"encoding": "poisson", "steps": 6}},
        {
            "data": {"encoding": "latency", "steps": 6},
            "neuron": {"alpha": 0.5, "learn_alpha": True, "learn_beta": True},
        },
        {"data": {"shift": 1, "steps": 3}, "grid": {"weight_bits": 4, "granularity": "channel"}},
        {
            "training": {
                "optimiser": "adamw",
                "weight_decay": 0.01,
                "decay_norms": False,
                "label_smoothing": 0.1,
                "gradient_clip": 1.0,
                "schedule": "cosine",
                "warmup": 0.2,
                "validation": 0.2,
            },
            "neuron": {"learn_beta": True},
        },
    ],
    ids=lambda change: "-".join(change),
)
def test_every_setting_trains(change):
    table = SMALL.to_table()
    for part, entries in change.items():
        table[part] = table.get(part, {}) | entries
    result = train(Config.from_table(table))
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.history[-1]["accuracy"] > 0.2


def test_a_direct_encoding_is_trained_as_its_copies_would_be(trained):
    dataset, encoding = load("digits", "test", samples=8), SMALL.data.encoder
    x = (
        torch.from_numpy(
            np.moveaxis(encoding.encode(dataset, slice(None)), 0, 1).astype(np.float32)
        )
        / 16
    )
    assert torch.equal(trained.model(x), trained.model(x[:1].expand(x.shape)))


def test_shifted_images_stay_the_same_in_every_step():
    x = torch.zeros(3, 50, 1, 5, 5)
    x[:, :, 0, 2, 2] = 1
    moved = shifted(x[:1].expand(x.shape), 2, np.random.default_rng(0))
    assert moved.shape == x.shape
    assert torch.equal(moved[0], moved[2])
    assert (moved[0].sum((1, 2, 3)) == 1).all()
    places = {tuple(place.tolist()) for place in moved[0].squeeze(1).nonzero()[:, 1:]}
    assert len(places) > 15
    assert shifted(x, 0, np.random.default_rng(0)) is x
    assert torch.equal(shifted(x, 2, np.random.default_rng(0)), moved)


def test_the_rate_loss_is_the_squared_difference_from_the_wanted_rates(trained):
    step = BatchStep(trained.model, Training(loss="rate"), torch.tensor([3]), 0.0)
    counts = torch.zeros(1, 10)
    counts[0, 3] = 2
    assert step.loss(counts).item() == pytest.approx(0.5**2 / 10)  # 2 of the 4 steps


def test_a_rate_that_destroys_the_network_ends_in_an_error():
    settings = replace(SMALL.training, optimiser="sgd", learning_rate=500.0, schedule="constant")
    with pytest.raises(
        (ToolchainError, LayerError), match=r"NaN|use fewer fraction_bits|the loss is|bias of"
    ):
        train(replace(SMALL, training=settings))


def test_a_grid_that_cannot_hold_the_network_is_refused():
    with pytest.raises(LayerError, match="threshold"):
        train(
            replace(
                SMALL,
                neuron=Neuron(threshold=200.0),
                model=replace(SMALL.model, readout="spike_count"),
                grid=Grid(),
                surrogate=Surrogate(),
            )
        )
    with pytest.raises(ConfigError, match="seed is -1"):
        Training(seed=-1)


def test_a_gpu_that_is_not_there_is_asked_for_in_vain(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ToolchainError, match="PyTorch sees no such GPU"):
        train(replace(SMALL, training=replace(SMALL.training, device="cuda")))
    assert device_of(Training(device="auto")) == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_network_trains_on_a_gpu_and_comes_back(trained):
    table = SMALL.to_table()
    table["training"] |= {"device": "cuda"}
    table["neuron"] |= {"noise": 0.1}
    table["defence"] = {
        "margin": {"delta": 0.3, "lambda_max": 1.0},
        "adversarial": {"attack": "pgd", "epsilon": 0.0625},
        "retraction": {"beta": 0.002},
        "sparsity": {"weight": 0.01, "h": 0.0625},
    }
    result = train(Config.from_table(table))
    assert result.accuracy > 0.4
    assert next(result.model.parameters()).device.type == "cpu"
    assert evaluate(result.model, load("digits", "test"), SMALL.data.encoder) == result.accuracy
