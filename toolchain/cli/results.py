"""``spikeport results``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import files
from toolchain.cli.options import PATH, force_option, json_option
from toolchain.cli.printing import say_battery, write_json


@click.command()
@click.argument("runs", type=PATH, nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="RESULTS.html|.md|.tex",
    help="The page, as HTML, Markdown or LaTeX.",
)
@json_option
@force_option
def command(runs: tuple[Path, ...], output: Path, json_file: Path | None, force: bool) -> None:
    """Make one table of RUNS, folders of spikeport bench: each method's accuracy, spikes and
    energy, mean and spread over trainings.

    Beside it published figures of the same data sets, with what their settings have otherwise.

    \b
    Example:
      spikeport results runs/digits-quick runs/mnist -o results.md
    """
    from toolchain.report import results
    from toolchain.report.facts import to_json

    files.claim([json_file], force)
    tables, tried = results.write(runs, output, force=force)
    click.echo(f"wrote {output}", err=True)
    say_battery(tried)
    content = {
        **{table.name: table.rows for table in tables},
        "battery": tried,
        "captions": {table.name: table.caption for table in tables},
    }  # what the numbers are, and the energy's error
    write_json(json_file, "results", to_json(content), force)
