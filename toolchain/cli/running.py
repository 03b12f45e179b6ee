"""``spikeport run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from hardware import recording_file
from hardware.chip import Chip
from hardware.recording import Record, Recording
from toolchain import files, remarks
from toolchain.cli.options import (
    PATH,
    batch_option,
    chip_option,
    data_from,
    data_options,
    force_option,
    json_option,
    model_options,
    open_model,
    rate_option,
)
from toolchain.cli.printing import (
    audited,
    count,
    data_facts,
    progress,
    reading,
    say_data,
    say_warnings,
    seconds,
    table,
    write_json,
)
from toolchain.deploy import costs, execution, fronts, inputs, stages, summary
from toolchain.deploy.targets import TARGETS


@click.command()
@model_options
@data_options
@click.option(
    "--target",
    metavar="TARGET",
    default="fast",
    show_default=True,
    shell_complete=lambda context, parameter, typed: [n for n in TARGETS if n.startswith(typed)],
    help=f"Where to run it: {', '.join(TARGETS)}.",
)
@chip_option
@rate_option
@batch_option
@click.option(
    "--save", type=PATH, metavar="REC.h5", help="Write the Recording: spikes of every layer."
)
@click.option(
    "--potentials", is_flag=True, help="With --save: membrane potentials of every layer, too."
)
@json_option
@force_option
def command(
    model,
    target,
    chip: str,
    rate: float | None,
    batch,
    save: Path | None,
    potentials: bool,
    json_file: Path | None,
    force: bool,
    **options,
) -> None:
    """Run MODEL on a target and print accuracy, spikes and synaptic operations for each layer and
    inference, and what one inference is estimated to cost on a chip: energy and time with their
    bands, and how far such estimates are from measurement.

    MODEL is any stage: a checkpoint, a .nir, a Program .h5, a lava-dl .net, or
    package.module:factory with --weights.

    \b
    Example:
      spikeport run digits.safetensors --data digits --target fast
      spikeport run digits.h5 --data digits --chip loihi2-152 --rate 30
      spikeport run digits.h5 --data my_digits.npz --target lava --samples 20 --save rec.h5
      --potentials
    """
    if potentials and save is None:
        raise click.UsageError("--potentials goes with --save REC.h5")
    source = data_from(options)
    files.claim([save, json_file], force)
    cost_on = Chip.load(chip)
    stage, ways = open_model(model, **options)
    execution.check_targets(stage, [target])
    program, audit = stages.to_program(stage, ways)
    reading(audit)
    front, recorded = fronts.of(stage), Record(spikes=save is not None, potentials=potentials)
    parts: dict = {}
    if front is None:
        given = inputs.load(program=program, **source)
    else:
        files.claim(fronts.files_of(front, save), force)
        taken = fronts.images(program, **source)
        purified, parts = fronts.run(front, taken.values, target, recorded, batch)
        given = taken.encoded(program, purified)
    with progress(target) as update:
        recording = execution.execute(
            stage,
            program,
            given.inputs,
            target,
            record=recorded,
            call=ways.call,
            batch=batch,
            progress=update,
        )
    wrote = (
        [] if save is None else _save(recording, parts, save, force)
    )  # before a rate may turn out to be too high
    facts = summary.summarise(program, recording, given.labels)
    ran = {f"front.{part}.": (front.programs()[part][0], found) for part, found in parts.items()}
    cost = costs.estimated({**ran, "": (program, recording)}, cost_on, rate)
    facts["energy"] = cost.to_dict()
    say_data(given)
    if facts["accuracy"] is not None:
        click.echo(f"accuracy   {summary.accuracy_text(facts['accuracy'])}")
    click.echo(
        f"ran        {recording.samples} samples x {recording.steps} steps on {target} in "
        f"{seconds(recording.wall_time_s)}"
    )
    if audit is not None:
        click.echo(f"audit      {audit.verdict} (spikeport export shows it in full)")
    summaries = {
        part: summary.summarise(front.programs()[part][0], found) for part, found in parts.items()
    }
    rows = [
        row for part, found in summaries.items() for row in _rows(found["layers"], f"front.{part}.")
    ] + _rows(facts["layers"])
    click.echo(
        "\nPer inference (mean):\n"
        + table(
            ("layer", "shape", "neurons", "spikes", "synaptic operations"), rows, right=(2, 3, 4)
        )
    )
    click.echo("\n" + "\n".join(costs.lines(cost)))
    warnings = [
        *remarks.of_model(audit),
        *given.warnings,
        *summary.warnings(program, recording, given.labels),
    ]
    say_warnings(warnings)
    facts["warnings"] = [remark.to_dict() for remark in warnings]
    if wrote:
        click.echo("\n" + "\n".join(f"wrote {path}" for path in wrote))
    if front is not None:
        facts["front"] = {"plan": front.plan(), "parts": summaries}
    write_json(
        json_file, "run", {"model": model, **data_facts(given), **audited(audit), **facts}, force
    )


def _save(
    recording: Recording, parts: Mapping[str, Recording], save: Path, force: bool
) -> list[Path]:
    """Write the Recording, and beside it those of what ran before the network; the files."""
    files = {save: recording} | {fronts.beside(save, part): found for part, found in parts.items()}
    for path, found in files.items():
        recording_file.save(found, path, force=force)
    return list(files)


def _rows(layers: list[dict], prefix: str = "") -> list[tuple]:
    return [
        (
            prefix + e["name"],
            " x ".join(map(str, e["shape"])),
            count(e["neurons"]),
            count(e["spikes"]),
            *((None,) if e["input"] else (count(e["syn_ops"]),)),
        )
        for e in layers
    ]
