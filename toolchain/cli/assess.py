"""``spikeport assess``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hardware.chip import Chip
from hardware.targets import TARGETS
from toolchain import files
from toolchain.cli.options import (
    PATH,
    batch_option,
    chip_option,
    data_options,
    force_option,
    json_option,
    model_options,
    open_job,
    rate_option,
    samples_from,
    target_option,
)
from toolchain.cli.printing import progress, say_data, say_warnings, write_json
from toolchain.deploy import assessment, assessment_page
from toolchain.errors import OutputError


@click.command()
@model_options
@data_options
@target_option("Where the integers run", TARGETS)
@chip_option
@rate_option
@batch_option
@click.option("-o", "--output", type=PATH, metavar="PAGE.html", help="Write it as a page, too.")
@json_option
@force_option
def command(
    model: str,
    target: str,
    chip: str,
    rate: float | None,
    batch: int | None,
    output: Path | None,
    json_file: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Say what MODEL loses as integers and what it costs on a chip: accuracy in software and as
    integers, their difference sample by sample with its interval, how often both predict the same,
    neurocores, energy and time with their bands, and the verdict of the audit.

    A model without a PyTorch network (.nir, .net, .h5) is assessed as integers alone.

    \b
    Example:
      spikeport assess digits.safetensors --data digits
      spikeport assess mynet:make --weights w.pt --input-shape 784 --call time-first \\
        --data mnist --encoding direct --steps 25 -o mynet.html
    """
    if output is not None and output.suffix not in (".html", ".htm"):
        raise OutputError(f"{output}: -o writes a page, and its name must end in .html")
    files.claim([output, json_file], force)
    _ = TARGETS[target]  # an unknown one is an error before any work

    limits, source = Chip.load(chip), samples_from(options)
    assessed = assessment.assess(
        open_job(model, source, options),
        source,
        limits,
        target=target,
        rate_hz=rate,
        batch=batch,
        watch=progress,
    )

    click.echo(assessed.text())
    say_data(assessed.given)
    say_warnings(assessed.warnings)

    if output is not None:
        files.write_text(output, assessment_page.build(assessed), force)
        click.echo(f"wrote {output}", err=True)
    write_json(json_file, "assess", assessed.to_dict(), force)
