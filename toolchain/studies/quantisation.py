"""Attacked accuracy against the bits of an image that reach the encoder (pre-quantisation)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from toolchain.errors import ConfigError
from toolchain.studies import setting
from toolchain.studies.page import Findings
from toolchain.studies.setting import Plan, Setting, cells
from toolchain.training import Config

__all__ = ["cells", "findings", "read"]


def put(config: Config, value: float) -> Config:
    """The recipe with so many bits of intensity."""
    if value != int(value) or not 1 <= value <= 8:
        raise ConfigError(f"quantisation: {value:g} bits; accepted are whole numbers from 1 to 8")
    return replace(config, data=replace(config.data, bits=int(value)))


QUANTISATION = Setting(
    name="quantisation",
    title="Attacked accuracy against the bits of the image",
    axis="bits of intensity that reach the encoder",
    put=put,
    claim=(
        "Sharmin et al. (ECCV 2020): quantising the image before the encoder makes networks trained with spikes more robust on top of "
        "few steps, and is the only discretisation that converted networks respond to.",
        "An attack that passes the rounding straight through (BPDA), as all here do, is not hindered by the rounding’s zero gradients.",
    ),
    theirs=setting.SHARMIN,
)


def read(table: Mapping, where: str, folder: Path) -> Plan:
    """See ``toolchain.studies``."""
    return setting.read(QUANTISATION, table, where, folder)


def findings(plan: Plan, results: Mapping[str, dict]) -> Findings:
    """See ``toolchain.studies``."""
    return setting.findings(QUANTISATION, plan, results)
