"""``spikeport examples``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import examples, files
from toolchain.cli.options import PATH, force_option, json_option
from toolchain.cli.printing import write_json

TITLES = {
    "": "scripts",
    "checkpoints": "trained networks and their description",
    "notebooks": "notebooks",
    "recipes": "recipes (spikeport train)",
    "robustness": "sweeps (spikeport bench)",
    "studies": "study settings (spikeport study)",
}


@click.command()
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--checkpoints", is_flag=True, help="Copy the trained networks, too (6 MB).")
@json_option
@force_option
def command(folder: Path, checkpoints: bool, json_file: Path | None, force: bool) -> None:
    """Copy recipes, sweeps, study settings and scripts into the folder DIR.

    DIR is made where it does not exist. Files in it are never replaced without --force.

    \b
    Example:
      spikeport examples examples --checkpoints
      spikeport train examples/recipes/digits.toml -o digits.safetensors
    """
    files.claim([json_file], force)
    copied = examples.copy(folder, checkpoints, force)
    for kind, count in copied.counts.items():
        click.echo(f"{count:4} {TITLES.get(kind, kind)}: {copied.folder / kind}")
    if not checkpoints:
        click.echo("the sweeps attack trained networks: --checkpoints copies them, too")
    write_json(json_file, "examples", {"folder": str(copied.folder), "files": copied.counts}, force)
