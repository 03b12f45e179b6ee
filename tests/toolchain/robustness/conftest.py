"""Trained networks of ``networks``, as a sweep reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save

from tests.toolchain.robustness import networks
from toolchain import data as datasets
from toolchain.robustness.cells import SweepData
from toolchain.robustness.models import ModelFile, Options


def as_file(name: str, factory: str, module, options: Options = Options()) -> ModelFile:
    """A module with its weights as a sweep reads it."""
    return ModelFile(
        name,
        f"tests.toolchain.robustness.networks:{factory}",
        b"",
        save(module.state_dict()),
        options,
    )


@pytest.fixture(scope="session")
def float_model() -> ModelFile:
    """A float snnTorch network, described."""
    torch.manual_seed(0)
    return as_file(
        "float",
        "float_network",
        networks.train(networks.Float()),
        Options(calibration="digits", **networks.DESCRIBED),
    )


@pytest.fixture(scope="session")
def coarse_model(float_model) -> ModelFile:
    """The same network in three bits."""
    return replace(float_model, name="coarse", options=replace(float_model.options, weight_bits=3))


@pytest.fixture(scope="session")
def ann() -> ModelFile:
    """An ANN."""
    torch.manual_seed(0)
    return as_file("ann", "rectifiers", networks.train(networks.Rectifiers()))


@pytest.fixture(scope="session")
def digits() -> SweepData:
    """The first 40 test digits as a sweep has them."""
    found = datasets.load("digits", "test", samples=40)
    return SweepData((found.values / 16).astype(np.float32), found.labels, np.arange(40))


@pytest.fixture(scope="session")
def own_layers() -> dict[str, ModelFile]:
    """Networks of toolchain.layers by the name of their factory."""
    found = {}
    for name in ("poisson", "noisy", "smoothed"):
        torch.manual_seed(0)
        module = networks.train(getattr(networks, name)())
        found[name] = as_file(name, name, module)
    found["purified"] = replace(
        found["smoothed"], name="purified", source="tests.toolchain.robustness.networks:purified"
    )
    return found
