"""``spikeport report``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import files
from toolchain.cli.options import PATH, force_option, json_option, rate_option
from toolchain.cli.printing import say_battery, write_json

FORMS = (".html", ".tex")


@click.command()
@click.argument("run", type=PATH)
@click.option(
    "-o",
    "--output",
    type=PATH,
    required=True,
    metavar="REPORT.html|.tex",
    help="The page, or its tables as LaTeX.",
)
@json_option
@click.option(
    "--csv",
    "csv_folder",
    type=PATH,
    metavar="FOLDER",
    help="Write every table of the page as a CSV file into FOLDER, too.",
)
@click.option(
    "--figures",
    "figures_folder",
    type=PATH,
    metavar="FOLDER",
    help="Write every plot of the page as an SVG file into FOLDER, too.",
)
@click.option("--pdf", is_flag=True, help="With --figures: as PDF, too (needs spikeport[figures]).")
@click.option(
    "--samples",
    "samples_folder",
    type=PATH,
    metavar="FOLDER",
    help="Write the record of every sample and all attacked inputs as npz files into FOLDER, too.",
)
@click.option(
    "--parquet",
    is_flag=True,
    help="With --samples: the records as Parquet, too (needs spikeport[parquet]).",
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
    figures_folder: Path | None,
    pdf: bool,
    samples_folder: Path | None,
    parquet: bool,
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
      spikeport report runs/digits-quick -o digits.tex --figures figures --pdf
      spikeport report runs/digits-quick -o more.html --samples samples --parquet
    """
    if pdf and figures_folder is None:
        raise click.UsageError("--pdf goes with --figures")
    if parquet and samples_folder is None:
        raise click.UsageError("--parquet goes with --samples")
    from toolchain.report import figures, page, records, tables
    from toolchain.report import neurobench as benchmark
    from toolchain.report.facts import to_json
    from toolchain.report.gather import gather
    from toolchain.report.run import load

    files.require_ending(output, FORMS)
    files.claim([output, json_file, neurobench], force)
    stored = load(run)
    facts, shown = gather(stored, rate)

    # folders before the page: they may be refused
    if csv_folder is not None:
        written = tables.write(facts, csv_folder, force)
        click.echo(f"wrote {len(written)} tables to {csv_folder}", err=True)
    if figures_folder is not None:
        written = figures.write(facts, figures_folder, pdf=pdf, force=force)
        click.echo(f"wrote {len(written)} figures to {figures_folder}", err=True)
    if samples_folder is not None:
        written = records.write(stored, samples_folder, parquet=parquet, force=force)
        click.echo(f"wrote {len(written)} files to {samples_folder}", err=True)

    as_page = output.suffix == ".html"
    text = page.build(facts, shown) if as_page else tables.to_tex(facts)
    files.write_text(output, text, force)
    click.echo(f"wrote {output}", err=True)
    if facts.unfinished:
        click.echo(
            f"unfinished: {facts.unfinished} of {facts.about['cells']['planned']} cells are "
            "missing; the page says so"
        )
    say_battery(facts.battery)
    write_json(json_file, "report", to_json(facts), force)
    write_json(neurobench, "report --neurobench", benchmark.result(stored), force)
