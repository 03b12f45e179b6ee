"""``spikeport study``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from toolchain import files
from toolchain.cli.options import PATH, force_option, json_option, salvage_option
from toolchain.cli.printing import line, progress, say_battery, say_salvaged, write_json
from toolchain.cli.values import OneOf, Whole
from toolchain.studies.registry import STUDIES


@click.command()
@click.argument("name", type=OneOf(STUDIES))
@click.argument("config", type=PATH, metavar="CONFIG.toml")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="RUN",
    help="Folder of the results; made or continued. Default: runs/NAME.",
)
@click.option(
    "--workers",
    type=Whole(min=1),
    metavar="N",
    help="Processes. Default: one for each core.",
)
@salvage_option
@json_option
@force_option
def command(
    name: str,
    config: Path,
    output: Path | None,
    workers: int | None,
    salvage: bool,
    json_file: Path | None,
    force: bool,
) -> None:
    """Answer one question with many networks, as CONFIG says; writes RUN/NAME.html and
    RUN/NAME.csv.

    A cell that is in RUN already is never computed again, so an interrupted study goes on where it
    stopped.

    \b
    Example:
      spikeport study leak examples/studies/leak.toml -o runs/leak
    """
    from toolchain.studies import study

    files.claim([json_file], force)
    folder = Path("runs") / name if output is None else output
    if salvage:
        say_salvaged(folder)
    typed = ["spikeport", "study", name, str(config), "-o", str(folder)]
    with progress(f"study {name}", "cell") as update:

        def report(label: str, done: int, total: int) -> None:
            if label:
                line(f"{done} of {total}: {label}")
            update(done, total)

        findings = study.run(
            name, config, folder, workers=workers, progress=report, command=shlex.join(typed)
        )
    click.echo(f"\n{findings.title}")
    click.echo(f"wrote {folder / name}.html and {folder / name}.csv")
    say_battery(findings.battery)
    write_json(json_file, "study", {"study": name, **findings.facts}, force)
