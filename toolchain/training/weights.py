"""A training that starts from the weights of a network with the same layers: an ANN, or a spiking
network, also with another number of steps, another grid, other neurons.

Weights, biases and batch normalisations (with their statistics) are taken as they are. So an ANN
that is trained with batch normalisation becomes the start of a spiking network: its normalised
currents have the same mean and spread (Rathi et al., ICLR 2020, train on from a converted ANN;
normalisation takes the place of their thresholds). What neurons have is the recipe's own, but for
what they learn: where the other network learned a parameter of its neurons, this one must learn it
too, and goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

import toolchain.layers as snn
from toolchain.errors import ConfigError
from toolchain.models import AnyNetwork, Init
from toolchain.training.checkpoint import load_checkpoint
from toolchain.training.config import Config, read_config
from toolchain.training.result import Train

SHOWN = 4
"""Tensors that an error names."""


def named(config: Config) -> Init:
    """What the recipe says that the network starts from. Raises ConfigError where it says
    nothing."""
    if config.model.init is None:
        raise ConfigError("model: has no init, so there is nothing to start from")
    return config.model.init


def opened(
    config: Config, train: Train, root: str | Path | None = None
) -> tuple[AnyNetwork, Config]:
    """(the network that ``config.model.init`` names, its recipe), from a checkpoint, or trained
    from a recipe: the seed of this training is added to that of the recipe, so that a sweep over
    seeds varies both."""
    source = named(config).source
    if not source.endswith(".toml"):
        return load_checkpoint(source)
    recipe = read_config(source)
    seed = (recipe.training.seed + config.training.seed) % (1 << 32)
    result = train(replace(recipe, training=replace(recipe.training, seed=seed)), root=root)
    return result.model, result.config


def start(
    network: AnyNetwork, config: Config, train: Train, root: str | Path | None = None
) -> dict[str, Any]:
    """Give ``network`` the weights of the one that ``config.model.init`` names.

    Args:
        network: changed in place.
        config: its recipe.
        train: trains the other network where a recipe is named.
        root: folder of the data.

    Returns:
        What is kept with the result: {"network" (name of the file), "kind", "steps", "taken"
        (number of tensors)}.

    Raises:
        ConfigError: Names or shapes of the tensors are not the same.
    """
    source = named(config).source
    other, recipe = opened(config, train, root)
    taken = copy(other, network, source)
    return {
        "network": Path(source).name,
        "kind": recipe.model.kind,
        "steps": recipe.data.steps,
        "taken": taken,
    }


@torch.no_grad()
def copy(other: nn.Module, network: nn.Module, where: str) -> int:
    """Copy the tensors of ``other``, and say how many; ``where`` names it in errors. Raises
    ConfigError, and then nothing is copied."""
    synapses, learned = _parts(other)
    own, own_learned = _parts(network)
    _require_same(where, synapses, own)
    _require_same(where, learned, {n: t for n, t in own_learned.items() if n in learned}, LEARNED)
    for name, tensor in {**synapses, **learned}.items():
        (own | own_learned)[name].copy_(tensor)
    return len(synapses) + len(learned)


LEARNED = "; what its neurons learned can only be taken where they learn it here, too"


def _parts(network: nn.Module) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(tensors by name without those of neurons, parameters of neurons that are learned)."""
    neurons = {
        f"{name}." for name, module in network.named_modules() if isinstance(module, snn.Neuron)
    }

    def of_neurons(name: str) -> bool:
        return any(name.startswith(start) for start in neurons)

    synapses = {n: t for n, t in network.state_dict().items() if not of_neurons(n)}
    return synapses, {n: p for n, p in network.named_parameters() if of_neurons(n)}


def _require_same(
    where: str,
    there: Mapping[str, torch.Tensor],
    here: Mapping[str, torch.Tensor],
    hint: str = "",
) -> None:
    differs = [f"{name} is missing there" for name in here if name not in there]
    differs += [f"{name} is too much there" for name in there if name not in here]
    differs += [
        f"{name} has shape {tuple(there[name].shape)} there and {tuple(tensor.shape)} here"
        for name, tensor in here.items()
        if name in there and there[name].shape != tensor.shape
    ]
    if not differs:
        return
    if len(differs) > SHOWN:
        differs[SHOWN:] = [f"and {len(differs) - SHOWN} more"]
    raise ConfigError(
        f"model.init: {where}: its layers must have the same names and shapes: {', '.join(differs)}"
        f"{hint}"
    )
