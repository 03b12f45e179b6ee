"""``spikeport export``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import export
from export.errors import RefusedError
from hardware import program_file
from toolchain import files
from toolchain.cli.options import (
    PATH,
    data_from,
    description_options,
    force_option,
    json_option,
    model_options,
    open_model,
)
from toolchain.cli.printing import write_json
from toolchain.cli.values import Number
from toolchain.deploy import fronts, precision, stages
from toolchain.errors import OutputError

if TYPE_CHECKING:
    from toolchain.purification.front import Front


@click.command()
@model_options
@description_options
@click.option(
    "-o",
    "--output",
    required=True,
    type=PATH,
    metavar="OUT.nir|OUT.h5",
    help="The ending chooses: a NIR graph, or a Program.",
)
@click.option(
    "--agreement",
    type=Number(0, 1, min_open=True),
    metavar="SHARE",
    help="Take the cheapest setting at which this share of predictions is that of floating point, "
    "on the --calibration inputs (default: the training part of --data): one scale for each layer, "
    "for each channel, calibrated, 16 bits.",
)
@json_option
@force_option
def command(
    model: str,
    output: Path,
    agreement: float | None,
    json_file: Path | None,
    force: bool,
    **options: Any,
) -> None:
    """Turn MODEL into a NIR graph or an integer Program, and print what became of every parameter.

    MODEL is a checkpoint, a .nir, a lava-dl .net, or package.module:factory with --weights. The
    spiking parts of a purifier before it are written beside OUT, as OUT.front.PART, and the plan
    says what stays on the host.

    \b
    Example:
      spikeport export digits.safetensors -o digits.h5
      spikeport export my_models:build --weights w.safetensors --input-shape 1,28,28 \\
        --call time-first --calibration typical.npz --agreement 0.99 -o net.h5
      spikeport export old.nir --dialect sinabs --dt 1e-3 -o stated.nir   # the copy needs neither
      spikeport export my_models:build --weights w.safetensors --input-shape 1,28,28 \\
        --call time-first --dt 1e-3 -o net.nir
    """
    if output.suffix not in (".nir", ".h5"):
        raise OutputError(
            f"{output}: the ending says what to write; it must be .nir (a NIR graph) or .h5 (a "
            f"Program)"
        )
    if agreement is not None:
        _check_agreement(output, options)
    files.claim([output, json_file], force)

    stage, ways = open_model(model, source=data_from(options), **options)
    cheapest = None
    if agreement is not None:
        cheapest = precision.cheapest(stage, ways, agreement)
        ways = cheapest.ways
        click.echo("\n".join(cheapest.lines()) + "\n")

    front = fronts.of(stage)
    files.claim(fronts.files_of(front, output), force)
    graph = stages.to_graph(stage, ways) if output.suffix == ".nir" else None
    try:
        # a graph is read anew, so that the audit says who settled what; a model is not traced twice
        traced = stage if stage.graph is not None or graph is None else replace(stage, graph=graph)
        program, audit = stages.to_program(traced, ways)
    except RefusedError as error:
        click.echo(error.audit.table())
        raise

    if audit is not None:
        click.echo(audit.table() + "\n")
    if output.suffix == ".nir":
        export.write(graph, output, force=force)
    else:
        program_file.save(program, output, force=force)
    click.echo(f"wrote {output}" + (f": {program!r}" if output.suffix == ".h5" else ""))

    facts = {
        "output": str(output),
        "program": program.fingerprint,
        "audit": None if audit is None else audit.to_dict(),
    }
    if cheapest is not None:
        facts["agreement"] = {"asked": agreement, **cheapest.to_dict()}
    if front is not None:
        facts["front"] = _export_front(front, output, force, ways.dt)

    write_json(json_file, "export", facts, force)


def _check_agreement(output: Path, options: dict[str, Any]) -> None:
    """What goes with --agreement; typical inputs are the training part of the data set where none
    are given."""
    if output.suffix == ".nir":
        raise click.UsageError("--agreement chooses integers, which a .nir does not hold; give .h5")
    chosen = {
        "--weight-bits": options["weight_bits"] is not None,
        "--precise": options["precise"],
        "--per-channel": options["per_channel"] is not None,
    }
    for option in (name for name, value in chosen.items() if value):
        raise click.UsageError(f"--agreement chooses {option} itself: give one of them")
    if options["calibration"] is None:
        options["calibration"] = options["data"]
    if options["calibration"] is None:
        raise click.UsageError(
            "--agreement is measured on typical inputs: give --calibration, or --data NAME"
        )


def _export_front(front: Front, output: Path, force: bool, dt: float | None) -> dict[str, Any]:
    written = fronts.export(front, output, force, dt)
    parts: dict[str, Any] = {}
    for part, (program, audit) in front.programs().items():
        click.echo(f"\nfront: {part}\n{audit.table()}\nwrote {written[part]}: {program!r}")
        parts[part] = {
            "output": str(written[part]),
            "program": program.fingerprint,
            "audit": audit.to_dict(),
        }
    click.echo(f"\nplan, before the network:\n{fronts.plan_text(front)}")
    return {"plan": front.plan(), "parts": parts}
