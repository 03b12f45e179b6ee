"""``spikeport audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from toolchain import files
from toolchain.cli.options import (
    data_from,
    force_option,
    json_option,
    model_options,
    open_job,
    some_data_options,
)
from toolchain.cli.printing import write_json
from toolchain.deploy import precision
from toolchain.errors import ModelError


@click.command()
@model_options
@some_data_options
@click.option(
    "--attribute",
    is_flag=True,
    help="Say what each rounding costs in spikes, layer by layer: weights (and which outlier), "
    "biases, decays, threshold, states; on --data, or on the --calibration inputs. Takes about 15 "
    "times as long as a run in floating point.",
)
@json_option
@force_option
def command(
    model: str, attribute: bool, json_file: Path | None, force: bool, **options: Any
) -> None:
    """Print what became of every parameter of MODEL on its way to integers, and write nothing.

    \b
    Example:
      spikeport audit net.nir --dt 1e-3 --reset zero
      spikeport audit net.nir --dt 1e-3 --reset zero --attribute --data samples.npz
    """
    files.claim([json_file], force)
    source = data_from(options)
    if source is not None and source.samples is not None and not attribute:
        raise click.UsageError("--samples goes with --attribute")
    opened = open_job(model, source, options)
    if opened.audit is None:
        raise ModelError(f"{model}: is a Program, which holds no audit; give what it was made from")
    click.echo(opened.audit.table())
    facts: dict[str, Any] = {"program": opened.program.fingerprint, "audit": opened.audit.to_dict()}
    if attribute:
        attribution = precision.attribute(opened, source)
        click.echo(f"\n{attribution.table()}")
        facts["attribution"] = attribution.to_dict()
    write_json(json_file, "audit", facts, force)
