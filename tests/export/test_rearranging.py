"""Rows of convolutions that move elements: whatever is asked for, they compute it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from export.errors import UnsupportedError
from export.rearranging import along_axes, selection
from tests.export.interpreter import linear


def through(row, x: np.ndarray) -> np.ndarray:
    for _, node in row.nodes:
        x = linear(node, x)
    return x


def numbered(function, shape) -> np.ndarray:
    """What a function of torch does to elements, as their numbers; -1 where there is none."""
    numbers = torch.arange(1, 1 + int(np.prod(shape)), dtype=torch.float64).reshape(1, *shape)
    return function(numbers)[0].long().numpy() - 1


MOVES = {
    "nothing": (lambda x: x, (3, 4, 5), 0),
    "some channels": (lambda x: x[:, 1:4], (6, 3, 2), 1),
    "channels in another order": (lambda x: x[:, [3, 0, 0, 2]], (4, 3, 3), 1),
    "channels shuffled in groups": (
        lambda x: x.reshape(1, 2, 3, 3, 4).transpose(1, 2).reshape(1, 6, 3, 4), (6, 3, 4), 1,
    ),
    "a crop": (lambda x: x[..., 1:5, 2:-1], (2, 7, 6), 1),
    "every other": (lambda x: x[..., ::2, 1::3], (2, 7, 6), 1),
    "uneven padding": (lambda x: functional.pad(x, (1, 3, 0, 2)), (2, 4, 5), 1),
    "padding that crops": (lambda x: functional.pad(x, (-1, 3, 2, -2)), (2, 4, 5), 1),
    "padding and every other": (lambda x: functional.pad(x, (2, 1, 1, 2))[..., ::2, ::2],
                                (2, 5, 6), 1),
    "a part of a concatenation": (lambda x: functional.pad(x, (0, 0, 0, 0, 2, 3)), (3, 4, 4), 1),
    "nothing is left": (lambda x: 0 * x[:, :2], (3, 4, 4), 1),
    "upsampled": (lambda x: functional.interpolate(x, scale_factor=2), (3, 4, 5), 4),
    "upsampled unevenly": (lambda x: functional.interpolate(x, size=(7, 5)), (3, 4, 5), 2),
    "mirrored": (lambda x: x.flip(-1), (3, 4, 5), 2),
    "rolled": (lambda x: x.roll((1, 2), (2, 3)), (2, 4, 5), 4),
    "pixels shuffled": (lambda x: functional.pixel_shuffle(x, 2), (12, 3, 4), 4),
    "pixels unshuffled": (lambda x: functional.pixel_unshuffle(x, 2), (3, 4, 6), 1),
    "zeros between": (
        lambda x: functional.conv_transpose2d(
            x, torch.ones(3, 1, 1, 1).double(), stride=3, groups=3
        ),
        (3, 4, 5), 4,
    ),
    "transposed": (lambda x: x.transpose(2, 3), (2, 3, 4), 3),
    "one dimension, upsampled": (lambda x: functional.interpolate(x, scale_factor=3), (2, 4), 2),
    "one dimension, crop": (lambda x: x[..., 1:], (2, 4), 1),
    "features": (lambda x: x.flip(1)[:, ::2], (9,), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_what_torch_does_to_elements(name):
    function, shape, nodes = MOVES[name]
    index = numbered(function, shape)
    row = selection(index, shape)
    assert len(row.nodes) == nodes
    assert row.out_shape == index.shape
    x = np.random.default_rng(0).integers(1, 99, shape).astype(float)
    expected = function(torch.from_numpy(x)[None])[0].numpy()
    np.testing.assert_array_equal(through(row, x), expected)


@pytest.mark.parametrize("seed", range(8))
def test_any_choice_of_elements(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 5, rng.integers(1, 4)))
    out = tuple(rng.integers(1, 5, len(shape)))
    index = rng.integers(-1, int(np.prod(shape)), out)
    x = rng.integers(1, 99, shape).astype(float)
    expected = np.where(index < 0, 0, x.reshape(-1)[np.maximum(index, 0)])
    np.testing.assert_array_equal(through(selection(index, shape), x), expected)


def test_few_weights_for_large_maps():
    index = numbered(lambda x: functional.interpolate(x, scale_factor=2), (64, 32, 32))
    row = selection(index, (64, 32, 32))
    assert sum(node.weight.size for _, node in row.nodes) < 1_000_000
    with pytest.raises(UnsupportedError, match="must have at most 16,777,216"):
        selection(np.random.default_rng(0).permutation(1 << 14).reshape(1, 128, 128), (1, 128, 128))


def test_matrices_along_the_axes():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 4, 5))
    a, b = rng.normal(size=(6, 4)), rng.normal(size=(1, 5))
    row = along_axes((3, 4, 5), [a, b])
    np.testing.assert_allclose(through(row, x), np.einsum("ij,kl,cjl->cik", a, b, x), rtol=1e-5)
    assert len(row.nodes) == 3  # the new width is 1
    assert len(along_axes((3, 4, 5), [np.eye(4), b]).nodes) == 1
