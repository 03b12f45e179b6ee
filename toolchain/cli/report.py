"""``spikeport report``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import files
from toolchain.cli.options import PATH, force_option, json_option, rate_option
from toolchain.cli.printing import say_battery, write_json


@click.command()
@click.argument("run", type=PATH)
@click.option("-o", "--output", type=PATH, required=True, metavar="REPORT.html", help="The page.")
@json_option
@click.option(
    "--csv",
    "csv_folder",
    type=PATH,
    metavar="FOLDER",
    help="Write every table of the page as a CSV file into FOLDER, too.",
)
@click.option(
    "--neurobench",
    type=PATH,
    metavar="FILE",
    help="Write the result in NeuroBench's names, too (JSON).",
)
@rate_option
@force_option
def command(
    run: Path,
    output: Path,
    json_file: Path | None,
    csv_folder: Path | None,
    neurobench: Path | None,
    rate: float | None,
    force: bool,
) -> None:
    """Make one self-contained page of RUN, a folder that spikeport bench wrote: attacked accuracy
    and energy, software against hardware.

    \b
    Example:
      spikeport report runs/digits-quick -o digits-quick.html
      spikeport report runs/digits-quick -o digits.html --json digits.json --csv tables
      spikeport report runs/digits-quick -o again.html --neurobench neurobench.json
    """
    from toolchain.report import neurobench as benchmark
    from toolchain.report import page, tables
    from toolchain.report.facts import gather, unfinished
    from toolchain.report.run import load

    files.claim([output, json_file, neurobench], force)
    found = load(run)
    facts, shown = gather(found, rate)
    if csv_folder is not None:  # before the page: it may be refused
        written = tables.write(facts, csv_folder, force)
        click.echo(f"wrote {len(written)} tables to {csv_folder}", err=True)
    files.write_text(output, page.build(facts, shown), force)
    click.echo(f"wrote {output}", err=True)
    if missing := unfinished(facts):
        click.echo(
            f"unfinished: {missing} of {facts['about']['cells']['planned']} cells are missing; the "
            f"page says so"
        )
    say_battery(facts["battery"])
    write_json(json_file, "report", facts, force)
    write_json(neurobench, "report --neurobench", benchmark.result(found), force)
