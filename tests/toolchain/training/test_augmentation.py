"""Augmentation: what each entry does to images and labels, and that the seed alone decides it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import toolchain.layers as snn
from toolchain.data import load
from toolchain.training import Augmentation, Config, Training, train
from toolchain.training.augmentation import MixedLabels, augmented, cutmix, mixup, moved
from toolchain.training.batches import BatchStep, Feed

SAMPLES = 400
RISING = torch.arange(1, 31.0).reshape(1, 1, 5, 6).expand(SAMPLES, 2, 5, 6) / 32
LABELS = torch.arange(SAMPLES)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_half_of_the_images_are_mirrored():
    found = moved(RISING, True, 0, rng())
    mirrored = [torch.equal(image, RISING[0].flip(-1)) for image in found]
    kept = [torch.equal(image, RISING[0]) for image in found]
    assert sum(mirrored) + sum(kept) == SAMPLES
    assert 150 < sum(mirrored) < 250
    assert moved(RISING, False, 0, rng()) is RISING


def test_a_crop_moves_an_image_and_black_comes_in():
    found = moved(RISING, False, 2, rng())
    padded = functional.pad(RISING[0], (2, 2, 2, 2))
    places = {(y, x): padded[:, y : y + 5, x : x + 6] for y in range(5) for x in range(5)}
    seen = [
        next(place for place, one in places.items() if torch.equal(one, image)) for image in found
    ]
    assert set(seen) == set(places)
    assert min(map(seen.count, places)) > 3


def test_both_at_once_are_a_crop_that_may_be_mirrored():
    found = moved(RISING, True, 1, rng())
    padded = functional.pad(RISING[0], (1, 1, 1, 1))
    crops = [padded[:, y : y + 5, x : x + 6] for y in range(3) for x in range(3)]
    for image in found:
        assert any(torch.equal(image, one) or torch.equal(image, one.flip(-1)) for one in crops)


def test_cutout_leaves_a_black_square_that_the_border_cuts():
    images = torch.ones(SAMPLES, 3, 9, 9)
    found, labels, mixed = augmented(Augmentation(cutout=4), images, LABELS, 1)
    assert mixed is None
    assert torch.equal(labels, LABELS)
    assert images.min() == 1
    sizes = set()
    for image in found:
        black = image == 0
        assert torch.equal(black[0], black[2])
        rows, columns = black[0].any(1).nonzero(), black[0].any(0).nonzero()
        height, width = len(rows), len(columns)
        assert int(black[0].sum()) == height * width  # nothing but a box
        assert int(rows.max() - rows.min()) + 1 == height
        sizes.add((height, width))
    assert (4, 4) in sizes
    assert sizes == {(h, w) for h in (2, 3, 4) for w in (2, 3, 4)}


def test_mixup_adds_two_images_and_their_labels():
    images = torch.rand(SAMPLES, 1, 2, 3, generator=torch.Generator().manual_seed(0))
    found, mixed = mixup(images, LABELS, 0.4, rng())
    share = mixed.share.reshape(-1, 1, 1, 1)
    assert torch.equal(found, share * images + (1 - share) * images[mixed.labels])
    assert 0 <= found.min() <= found.max() <= 1
    assert sorted(mixed.labels.tolist()) == LABELS.tolist()
    # of a beta distribution with parameters 0.4: its mean, and its variance 1 / (4 * (2 * 0.4 + 1))
    assert mixed.share.mean().item() == pytest.approx(0.5, abs=0.06)
    assert mixed.share.var().item() == pytest.approx(1 / 7.2, abs=0.02)


def test_cutmix_puts_a_box_of_another_image_in_and_counts_its_pixels():
    images = torch.arange(SAMPLES).reshape(-1, 1, 1, 1).expand(SAMPLES, 1, 8, 8).float()
    found, mixed = cutmix(images, LABELS, 1.0, rng())
    for place, (image, other, share) in enumerate(zip(found[:, 0], mixed.labels, mixed.share)):
        own = image == place
        if int(other) != place:
            assert torch.equal(image[~own], torch.full_like(image[~own], float(other)))
            assert own.float().mean() == share
    assert len(set(mixed.share.tolist())) > 20


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_the_larger_share_has_the_first_label(name):
    images = functional.one_hot(LABELS[:50], 50).float().reshape(50, 1, 5, 10)
    found, labels, mixed = augmented(Augmentation(**{name: 1.0}), images, LABELS[:50], 3)
    assert mixed.share.min() >= 0.5
    assert not torch.equal(labels, LABELS[:50])
    if name == "mixup":
        both = labels != mixed.labels
        flat = found.flatten(1)[both]
        assert torch.equal(flat.argmax(1), labels[both])
        assert torch.equal(flat.amax(1), mixed.share[both])


def test_a_coin_decides_where_a_recipe_has_both():
    settings = Augmentation(mixup=1.0, cutmix=1.0)
    images = RISING[:8].clone()
    images[::2] = 1 - images[::2]
    values = set(images.flatten().tolist())
    kinds = [
        set(augmented(settings, images, LABELS[:8], seed)[0].flatten().tolist()) <= values
        for seed in range(40)
    ]
    assert 10 < sum(kinds) < 30  # a box has pixels of the images alone


def test_the_seed_alone_decides():
    settings = Augmentation(True, 2, 3, 0.5, 0.5)
    before = torch.random.get_rng_state()
    one, other, third = (augmented(settings, RISING, LABELS, seed) for seed in (1, 1, 2))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[2].share, other[2].share)
    assert not torch.equal(one[0], third[0])
    assert torch.equal(torch.random.get_rng_state(), before)
    same = augmented(Augmentation(), RISING, LABELS, 1)
    assert torch.equal(same[0], RISING)
    assert same[2] is None


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_of_mixed_labels_is_that_of_both(smoothing):
    scores = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, -1.0]])
    labels, share = torch.tensor([0, 1]), torch.tensor([0.75, 0.5])
    mixed = MixedLabels(torch.tensor([2, 1]), share)
    settings = Training(label_smoothing=smoothing)
    found = BatchStep(None, settings, labels, 0.0, mixed=mixed).loss(scores)
    both = [
        functional.cross_entropy(scores, each, reduction="none", label_smoothing=smoothing)
        for each in (labels, mixed.labels)
    ]
    assert found.item() == pytest.approx((share * both[0] + (1 - share) * both[1]).mean().item())


TABLE = {
    "data": {"steps": 3},
    "model": {"layers": [{"kind": "dense", "features": 10}], "readout": "max_potential"},
    "training": {"epochs": 4, "samples": 120, "batch": 30},
    "augmentation": {"crop": 1, "cutout": 2, "mixup": 0.4, "cutmix": 1.0, "flip": True},
}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"data": {"encoding": "poisson", "steps": 4, "shift": 1}},
        {"data": {"encoding": "latency", "steps": 4}},
        {
            "training": {"loss": "rate"},
            "model": {"readout": "spike_count"},
            "neuron": {"threshold": 0.3},
        },
        {"defence": {"adversarial": {"attack": "fgsm", "epsilon": 0.0625}}},
    ],
    ids=["direct", "poisson", "latency", "rate", "adversarial"],
)
def test_a_network_learns_from_augmented_images(change):
    table = {name: TABLE.get(name, {}) | change.get(name, {}) for name in {*TABLE, *change}}
    result = train(Config.from_table(table))
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    again = train(Config.from_table(table))
    assert torch.equal(result.model.dense1.weight, again.model.dense1.weight)


def test_augmented_images_are_encoded_on_the_grid_and_others_in_every_epoch():
    config = Config.from_table(TABLE)
    model = snn.Network(
        {
            "flat": snn.Flatten(),
            "dense": snn.Linear(64, 10, source_fraction_bits=4),
            "lif": snn.LI(0.9),
        },
        input_shape=(1, 8, 8),
        message_bits=6,
        fraction_bits=4,
        decode="last_potential",
        data={"name": "digits", **config.data.encoder.describe()},
    )
    data = load("digits", "train", samples=30)
    feed = Feed(data, config, model, torch.device("cpu"), as_images=True)
    first, second = (next(feed.epoch(number)) for number in (0, 1))
    values = first.encode(first.images) * 16
    assert torch.equal(values, values.round())
    assert values.max() <= 16
    assert not torch.equal(first.images.sort(0).values, second.images.sort(0).values)
