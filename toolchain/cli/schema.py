"""``spikeport schema``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from toolchain import files
from toolchain.cli.options import PATH, force_option
from toolchain.cli.values import OneOf
from toolchain.errors import ConfigError
from toolchain.studies.registry import STUDIES

KINDS = ("recipe", "sweep", "study")


@click.command()
@click.argument("kind", type=OneOf(KINDS))
@click.argument("name", type=OneOf(STUDIES), required=False)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE.json",
    help="Default: on the standard output.",
)
@force_option
def command(kind: str, name: str | None, output: Path | None, force: bool) -> None:
    """Write the JSON schema of a TOML file: of recipes (spikeport train), of sweeps (bench), or of
    the study NAME.

    An editor that is told of it completes keys and underlines what would be refused: with Even
    Better TOML and Taplo by a first line "#:schema FILE.json" in the TOML file.

    \b
    Example:
      spikeport schema sweep -o sweep.schema.json
      spikeport schema study leak -o leak.schema.json
    """
    if (kind == "study") != (name is not None):
        raise click.UsageError(f"NAME goes with study, and only with it: {', '.join(STUDIES)}")
    files.claim([output], force)
    text = json.dumps(of(kind, name), indent=2) + "\n"
    if output is None:
        click.echo(text, nl=False)
    else:
        files.write_text(output, text, force)
        click.echo(f"wrote {output}")


def of(kind: str, name: str | None = None) -> dict[str, Any]:
    """The schema of a kind of file; name: of the study. Raises ConfigError."""
    from toolchain.table_schema import schema

    if kind == "recipe":
        from toolchain.training import Config

        return schema(Config, "spikeport: a training recipe")
    if kind == "sweep":
        from toolchain.robustness.parts import SweepFile

        return schema(SweepFile, "spikeport: a sweep")
    if name is None:
        raise ConfigError(f"which study? it must be one of {', '.join(STUDIES)}")
    from toolchain.studies import study

    return schema(study.named(name).settings, f"spikeport: the study {name}")
