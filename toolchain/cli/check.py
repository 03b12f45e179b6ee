"""``spikeport check``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hardware import placement
from hardware.chip import Chip
from toolchain import files, remarks
from toolchain.cli.options import (
    chip_option,
    data_from,
    description_options,
    force_option,
    json_option,
    model_options,
    open_job,
)
from toolchain.cli.printing import audited, count, say_warnings, table, write_json
from toolchain.deploy import fronts


@click.command()
@model_options
@description_options
@chip_option
@click.option(
    "--allow-microcode",
    is_flag=True,
    help="Neuron programs of one's own count as fitting (Loihi 2).",
)
@json_option
@force_option
def command(
    model: str,
    chip: str,
    allow_microcode: bool,
    json_file: Path | None,
    force: bool,
    **options: Any,
) -> int:
    """Check MODEL against a chip's limits: used and maximum of every layer, and every broken rule
    by name.

    Exit code 1 where it does not fit.

    \b
    Example:
      spikeport check digits.safetensors --chip loihi2
    """
    files.claim([json_file], force)
    limits = Chip.load(chip)
    opened = open_job(model, data_from(options), options)
    warnings = remarks.of_model(opened.audit)
    say_warnings(warnings)

    every = {"": opened.program, **fronts.made(fronts.of(opened.stage))}
    parts = {
        part: placement.check(program, limits, allow_microcode=allow_microcode)
        for part, program in every.items()
    }

    report = parts.pop("")
    for part, placed in parts.items():
        click.echo(f"front: {part}")
        _print(placed, limits)
        click.echo()
    _print(report, limits)

    facts = report.to_dict() | (
        {} if not parts else {"front": {part: placed.to_dict() for part, placed in parts.items()}}
    )
    write_json(
        json_file,
        "check",
        {**audited(opened.audit), "warnings": [remark.to_dict() for remark in warnings], **facts},
        force,
    )

    return 0 if report.fits and all(placed.fits for placed in parts.values()) else 1


def _print(report: placement.Report, limits: Chip) -> None:
    resources = list(dict.fromkeys(name for layer in report.layers for name in layer.uses))
    rows = [
        (
            layer.population,
            layer.neurons,
            layer.cores,
            *(
                f"{count(layer.uses[n].used)} / {count(layer.uses[n].maximum)}"
                if n in layer.uses
                else None
                for n in resources
            ),
            layer.binding,
        )
        for layer in report.layers
    ]

    click.echo(f"{limits.title}: used / maximum of a core, the fullest core of each layer\n")
    click.echo(
        table(
            ("layer", "neurons", "cores", *(n.replace("_", " ") for n in resources), "limited by"),
            rows,
            right=range(1, 3 + len(resources)),
        )
    )

    click.echo(
        f"\ncores: {report.cores} of {limits['cores_per_chip']} on a chip; stepping: "
        f"{limits.stepping}"
    )
    power, chips = report.static_power, "1 chip" if report.chips == 1 else f"{report.chips} chips"
    click.echo(
        f"static power of {chips}: {power.value:g} mW (band {power.low:g} to {power.high:g}), "
        f"whatever runs; spikeport run says "
        "what an inference is estimated to cost"
    )

    for violation in report.violations:
        click.echo(
            f"{violation.severity}: {violation.rule}: {violation.where}: {violation.message}"
        )
    for estimate in placement.ESTIMATES:
        click.echo(f"estimate: {estimate}")

    click.echo(
        f"\nfits {limits.title}"
        if report.fits
        else f"\nDOES NOT FIT {limits.title}: {len(report.broken)} broken rules"
    )
