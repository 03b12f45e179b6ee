"""Attacked accuracy against the bits of an image that reach the encoder (pre-quantisation)."""

from __future__ import annotations

from dataclasses import replace

from toolchain.errors import ConfigError
from toolchain.studies.setting import SHARMIN, Setting
from toolchain.training import Config


def put(config: Config, value: float) -> Config:
    """The recipe with so many bits of intensity."""
    if value != int(value) or not 1 <= value <= 8:
        raise ConfigError(f"quantisation: {value:g} bits; it must be a whole number from 1 to 8")
    return replace(config, data=replace(config.data, bits=int(value)))


QUANTISATION = Setting(
    name="quantisation",
    title="Attacked accuracy against the bits of the image",
    axis="bits of intensity that reach the encoder",
    put=put,
    claim=(
        "Sharmin et al. (ECCV 2020): quantising the image before the encoder makes networks "
        "trained with spikes more robust on top of "
        "few steps, and is the only discretisation that converted networks respond to.",
        "An attack that passes the rounding straight through (BPDA), as all here do, is not "
        "hindered by the rounding’s zero gradients.",
    ),
    theirs=SHARMIN,
)
