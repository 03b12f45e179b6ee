"""``spikeport results``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain.cli.options import PATH, force_option


@click.command()
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option("-o", "--output", type=PATH, required=True, metavar="RESULTS.html|.md", help="The page, as HTML or Markdown.")
@force_option
def command(runs: tuple[Path, ...], output: Path, force: bool) -> None:
    """Make one table of RUNS, folders of spikeport bench: each method's accuracy, spikes and energy, mean and spread over trainings.

    Beside it published figures of the same data sets, with what their settings have otherwise.

    \b
    Example:
      spikeport results runs/digits-quick runs/mnist -o results.md
    """
    from toolchain.report import results

    results.write(runs, output, force=force)
    click.echo(f"wrote {output}", err=True)
