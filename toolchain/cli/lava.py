"""``spikeport lava setup``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import files
from toolchain.cli.options import force_option, json_option
from toolchain.cli.printing import write_json


@click.group()
def command() -> None:
    """Set up the environment in which Lava runs."""


@command.command()
@click.option(
    "--lava-dl",
    is_flag=True,
    help="With lava-dl and its PyTorch (several gigabytes), for cross-checks against it.",
)
@json_option
@force_option
def setup(lava_dl: bool, json_file: Path | None, force: bool) -> None:
    """Make an environment with Python 3.10 and lava-nc 0.10.0; returns at once where there is one.

    Lava needs exactly Python 3.10, so it has an environment of its own, which no other part of
    spikeport sees. It lies in your data folder; SPIKEPORT_LAVA_ENV names another place, and
    SPIKEPORT_LAVA_PYTHON an interpreter that has Lava already.

    \b
    Example:
      spikeport lava setup
    """
    from hardware.lava import environment

    files.claim([json_file], force)
    python = environment.setup(click.echo, lava_dl=lava_dl)
    write_json(json_file, "lava setup", {"python": str(python), "lava_dl": lava_dl}, force)
