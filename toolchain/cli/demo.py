"""``spikeport demo``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import demo, files
from toolchain.cli.options import PATH, force_option, json_option
from toolchain.cli.printing import line, progress, write_json
from toolchain.cli.values import Whole
from toolchain.demo import transcript


@click.command()
@click.option(
    "--out",
    default="demo",
    show_default=True,
    type=PATH,
    metavar="DIR",
    help="Folder for the page and the models.",
)
@click.option(
    "--seed",
    type=Whole(0, (1 << 32) - 1),
    default=0,
    show_default=True,
    help="Seed of the training.",
)
@json_option
@force_option
def command(out: Path, seed: int, json_file: Path | None, force: bool) -> int:
    """Train a small network on handwritten digits, export it through NIR, check it against Loihi 2,
    run it in PyTorch, the slow reference, the fast executor and Lava, compare every spike and
    potential, and write a page about it.

    Exit code 1 where anything differs, the network does not fit the chip, or fewer than 96 % of the
    test digits are read correctly.

    \b
    Example:
      spikeport demo --out demo
    """
    files.claim([json_file], force)
    facts = demo.run(out, seed=seed, force=force, say=line, bar=progress)
    for text in transcript.closing(facts, out):
        click.echo(text)
    write_json(json_file, "demo", facts, force)
    return 0 if facts["passed"] else 1
