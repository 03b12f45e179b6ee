"""Attacked accuracy against the number of time steps."""

from __future__ import annotations

from dataclasses import replace

from toolchain.errors import ConfigError
from toolchain.studies.setting import SHARMIN, Setting
from toolchain.training import Config


def put(config: Config, value: float) -> Config:
    """The recipe with so many steps. Where scores are sums over time, logit_scale, which is for the
    recipe's own steps, makes up for it."""
    if value != int(value) or not 1 <= value <= 1 << 16:
        raise ConfigError(f"steps: {value:g}; it must be a whole number from 1 to {1 << 16}")
    scale = config.training.logit_scale
    if config.model.readout in ("spike_count", "last_potential"):
        scale *= config.data.steps / value
    return replace(
        config,
        data=replace(config.data, steps=int(value)),
        training=replace(config.training, logit_scale=scale),
    )


STEPS = Setting(
    name="steps",
    title="Attacked accuracy against the number of time steps",
    axis="time steps",
    put=put,
    claim=(
        "Sharmin et al. (ECCV 2020): networks trained with spikes are more robust the fewer steps "
        "they take, because a Poisson spike train "
        "of few steps is a rough discretisation of the image; converted networks, of very many "
        "steps, do not change.",
        "Later work puts part of this down to the attack: the encoder’s randomness is not averaged "
        "over (no EOT), and fewer steps are "
        "noisier.",
    ),
    theirs=SHARMIN,
)
