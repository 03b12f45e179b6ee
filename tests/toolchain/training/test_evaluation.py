"""Validation: what is held back is not trained on, the best epoch is kept, and the test split waits
until the end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from toolchain.data import load
from toolchain.errors import ConfigError
from toolchain.models import Layer, Model
from toolchain.training import Config, Data, Training, evaluate, evaluation, loop, run, train

SMALL = Config(
    data=Data(steps=2),
    model=Model(
        layers=(Layer("dense", features=16), Layer("dense", features=10)), readout="max_potential"
    ),
    training=Training(epochs=4, samples=200, batch=25, validation=0.25),
)


def test_what_is_held_back_is_drawn_by_the_seed_and_not_trained_on():
    data = load("digits", "train", samples=200)
    data = replace(data, labels=np.arange(200))
    kept, held = evaluation.split(data, 0.25, 3)
    assert (len(kept), len(held)) == (150, 50)
    assert sorted([*kept.labels, *held.labels]) == list(range(200))
    assert np.array_equal(held.values[0], data.values[held.labels[0]])
    assert np.array_equal(evaluation.split(data, 0.25, 3)[1].labels, held.labels)
    assert not np.array_equal(evaluation.split(data, 0.25, 4)[1].labels, held.labels)
    assert evaluation.split(data, 0.0, 3) == (data, None)


def test_a_part_of_events_is_a_list_of_events():
    data = replace(load("digits", "train", samples=4), maximum=0, values=[1, 2, 3, 4])
    assert data.part(np.array([2, 0])).values == [3, 1]


def test_the_test_split_is_not_read_before_the_training_is_over(monkeypatch):
    events = []
    monkeypatch.setattr(
        loop, "load", lambda name, split, **more: events.append(split) or load(name, split, **more)
    )
    train(SMALL, on_epoch=lambda entry: events.append(entry["epoch"]))
    assert events == ["train", 1, 2, 3, 4, "test"]


def test_the_best_epoch_is_kept(monkeypatch):
    # accuracies that training would not give; the weights of the second epoch are to be kept
    given = iter([(1.0, 0.5), (0.9, 0.75), (0.5, 0.75), (0.1, 0.25)])
    weights = []

    def told(model, held, config):
        weights.append(model.dense1.weight.detach().clone())
        assert len(held) == 50
        return next(given)

    monkeypatch.setattr(run, "measure", told)
    result = train(SMALL)
    assert result.details["kept"] == {"epoch": 3, "accuracy": 0.75, "loss": 0.5}
    assert torch.equal(result.model.dense1.weight, weights[2])
    assert not torch.equal(weights[2], weights[3])
    assert [entry["validation_accuracy"] for entry in result.history] == [0.5, 0.75, 0.75, 0.25]


@pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (2, 4)])
def test_training_stops_when_patience_is_at_an_end(monkeypatch, patience, epochs):
    given = iter([(1.0, 0.5), (1.0, 0.25), (0.5, 0.5), (0.5, 0.5)])
    monkeypatch.setattr(run, "measure", lambda *a: next(given))
    changed = replace(SMALL, training=replace(SMALL.training, patience=patience, epochs=4))
    assert len(train(changed).history) == epochs


def test_measured_is_the_network_as_it_is_exported():
    result = train(replace(SMALL, training=replace(SMALL.training, epochs=2)))
    data = load("digits", "train", samples=200)
    _, held = evaluation.split(data, 0.25, 0)
    loss, accuracy = evaluation.measure(result.model, held, SMALL)
    kept = result.details["kept"]
    assert (loss, accuracy) == (kept["loss"], kept["accuracy"])
    assert accuracy == evaluate(result.model, held, SMALL.data.encoder)


def test_nothing_to_train_or_to_validate_on_is_refused():
    with pytest.raises(ConfigError, match="leaves 1 samples to train on and 0 to validate on"):
        train(replace(SMALL, training=replace(SMALL.training, samples=1, validation=0.1)))
