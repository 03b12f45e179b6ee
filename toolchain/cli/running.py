"""``spikeport run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hardware import recording_file
from hardware.chip import Chip
from hardware.recording import Record, Recording
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
from toolchain.cli.printing import (
    audited,
    count,
    data_facts,
    progress,
    say_data,
    say_warnings,
    seconds,
    table,
    write_json,
)
from toolchain.deploy import costs, fronts, job, summary
from toolchain.targets import TARGETS


@click.command()
@model_options
@data_options
@target_option("Where to run it", TARGETS)
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
    model: str,
    target: str,
    chip: str,
    rate: float | None,
    batch: int | None,
    save: Path | None,
    potentials: bool,
    json_file: Path | None,
    force: bool,
    **options: Any,
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
      spikeport run digits.h5 --data my_digits.npz --target lava --samples 20 --save rec.h5 \\
        --potentials
    """
    if potentials and save is None:
        raise click.UsageError("--potentials goes with --save REC.h5")
    source, cost_on = samples_from(options), Chip.load(chip)
    files.claim([save, json_file], force)
    opened = open_job(model, source, options, [target])
    files.claim(fronts.files_of(fronts.of(opened.stage), save), force)
    recorded = Record(spikes=save is not None, potentials=potentials)
    ran = job.run(opened, source, target, record=recorded, batch=batch, watch=progress)
    recording, samples = ran.recording, ran.given
    # before a rate may turn out to be too high
    wrote = [] if save is None else _save(recording, ran.parts, save, force)

    cost = costs.estimated(ran.programs(), cost_on, rate)
    facts = summary.summarise(opened.program, recording, samples.labels)
    facts["energy"] = cost.to_dict()
    say_data(samples)
    if facts["accuracy"] is not None:
        click.echo(f"accuracy   {summary.accuracy_text(facts['accuracy'])}")
    click.echo(
        f"ran        {recording.samples} samples x {recording.steps} steps on {target} in "
        f"{seconds(recording.wall_time_s)}"
    )
    if opened.audit is not None:
        click.echo(f"audit      {opened.audit.verdict} (spikeport export shows it in full)")

    layers = {prefix: summary.layers(*found) for prefix, found in ran.programs().items()}
    rows = [row for prefix, found in layers.items() for row in _rows(found, prefix)]
    head = ("layer", "shape", "neurons", "spikes", "synaptic operations")
    click.echo("\nPer inference (mean):\n" + table(head, rows, right=(2, 3, 4)))
    click.echo("\n" + "\n".join(costs.lines(cost)))
    warnings = ran.warnings()
    say_warnings(warnings)
    facts["warnings"] = [remark.to_dict() for remark in warnings]
    if wrote:
        click.echo("\n" + "\n".join(f"wrote {path}" for path in wrote))
    if (front := fronts.of(opened.stage)) is not None:
        programs = front.programs()
        parts = {part: summary.summarise(programs[part][0], r) for part, r in ran.parts.items()}
        facts["front"] = {"plan": front.plan(), "parts": parts}
    about = {"model": model, **data_facts(samples), **audited(opened.audit)}
    write_json(json_file, "run", about | facts, force)


def _save(
    recording: Recording, parts: Mapping[str, Recording], save: Path, force: bool
) -> list[Path]:
    """Write the Recording, and beside it those of what ran before the network; the files."""
    files = {save: recording} | {
        fronts.beside(save, part): part_recording for part, part_recording in parts.items()
    }
    for path, part_recording in files.items():
        recording_file.save(part_recording, path, force=force)
    return list(files)


def _rows(layers: list[dict[str, Any]], prefix: str = "") -> list[tuple[object, ...]]:
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
