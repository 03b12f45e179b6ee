"""``spikeport compare``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import agreement, execution, files, fronts, inputs, stages, summary
from toolchain.cli.options import batch_option, data_from, data_options, force_option, json_option, model_options, open_model
from toolchain.cli.printing import count, progress, reading, seconds, table, write_json


@click.command()
@model_options
@data_options
@click.option(
    "--targets", default="software,fast", show_default=True, metavar="A,B,...", help="Every further target is compared with the first."
)
@batch_option
@json_option
@force_option
def command(model, targets: str, batch, json_file: Path | None, force: bool, **options) -> int:
    """Run MODEL on several targets and compare every spike and every membrane potential, with zero tolerance.

    Exit code 1 where anything differs; the first difference is printed: the earliest sample, step, layer and neuron.

    \b
    Example:
      spikeport compare digits.safetensors --data digits --samples 20 --targets software,reference,fast,lava
    """
    names = [name.strip() for name in targets.split(",")]
    source = data_from(options)
    files.claim([json_file], force)
    stage, ways = open_model(model, **options)
    execution.check_targets(stage, names)
    program, audit = stages.to_program(stage, ways)
    reading(audit)
    front, parts = fronts.of(stage), {}
    if front is None:
        given = inputs.load(program=program, **source)
    else:
        taken = fronts.images(program, **source)
        purified, parts = fronts.compare(front, taken.values, names, batch)
        given = taken.encoded(program, purified)

    def run(target, part, record):
        with progress(target) as update:
            return execution.execute(stage, program, part, target, record=record, call=ways.call, batch=batch, progress=update)

    result = agreement.agree(program, given.inputs, names, run, given.labels)
    click.echo(f"{result.samples} samples x {result.steps} steps of {given.description}")
    for name, facts in result.runs.items():
        read = "" if facts["accuracy"] is None else f", accuracy {summary.accuracy_text(facts['accuracy'])}"
        click.echo(f"{name}: {seconds(facts['wall_time_s'])}{read}")
    for part, found in parts.items():
        _print(found, f"front: {part}: ")
    _print(result)
    identical = result.identical and all(found.identical for found in parts.values())
    click.echo("\nidentical" if identical else "\nDIFFERENT")
    facts = {"model": model, "data": given.description, "program": program.fingerprint, **result.to_dict(), "identical": identical}
    if front is not None:
        facts["front"] = {"plan": front.plan(), "parts": {part: found.to_dict() for part, found in parts.items()}}
    write_json(json_file, "compare", facts, force)
    return 0 if identical else 1


def _print(result: agreement.Agreement, title: str = "") -> None:
    for comparison in result.comparisons:
        click.echo(f"\n{title}{' and '.join(comparison.targets)}")
        rows = [(e.layer, *map(count, (e.spikes, e.spike_differences, e.potentials, e.potential_differences))) for e in comparison.layers]
        click.echo(table(("layer", "spike values", "differ", "potentials", "differ"), rows, right=(1, 2, 3, 4)))
        if comparison.first is not None:
            first = comparison.first
            values = " and ".join(f"{target} {value:g}" for target, value in zip(comparison.targets, first.values))
            place = f"sample {first.sample}, step {first.step}, layer {first.layer}, neuron {', '.join(map(str, first.neuron))}"
            click.echo(f"first difference: {place}, {first.quantity}: {values}")
