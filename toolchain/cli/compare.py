"""``spikeport compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hardware.comparison import LayerAgreement
from toolchain import files
from toolchain.cli.options import (
    batch_option,
    data_options,
    force_option,
    json_option,
    model_options,
    open_job,
    samples_from,
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
from toolchain.cli.values import Number
from toolchain.deploy import agreement, fronts, job, summary
from toolchain.errors import ToolchainError


@click.command()
@model_options
@data_options
@click.option(
    "--targets",
    default="software,fast",
    show_default=True,
    metavar="A,B,...",
    help="Every further target is compared with the first.",
)
@click.option(
    "--tolerance",
    type=Number(min=0, max=1),
    metavar="T",
    help="Of a floating-point model: potentials may differ by up to T thresholds where every spike "
    "agrees. Default: not at all.",
)
@click.option(
    "--min-agreement",
    type=Number(0, 1),
    metavar="SHARE",
    help="Of a floating-point model: passes where at least this share of predictions agree, "
    "whatever differs in spikes. For CI; 0.99 allows 1 sample of 100.",
)
@batch_option
@json_option
@force_option
def command(
    model: str,
    targets: str,
    tolerance: float | None,
    min_agreement: float | None,
    batch: int | None,
    json_file: Path | None,
    force: bool,
    **options: Any,
) -> int:
    """Run MODEL on several targets and compare every spike and every membrane potential, with zero
    tolerance.

    Exit code 1 where anything differs, or more than --tolerance or --min-agreement allow; the first
    difference is printed: the earliest sample, step, layer and neuron. Of a floating-point model
    also how often the predictions agree, and by how much accuracy changes. Potentials are those
    after the reset of a step, on every target. How large their differences are is printed in
    thresholds of the neurons; of a layer without threshold, in its largest potential.

    \b
    Example:
      spikeport compare digits.safetensors --data digits --samples 20 \\
        --targets software,reference,fast,lava
    """
    names = [name.strip() for name in targets.split(",")]
    if tolerance is not None and min_agreement is not None:
        raise click.UsageError(
            "--tolerance asks for equal spikes, --min-agreement for equal predictions: give one"
        )
    for option, value in (("tolerance", tolerance), ("min-agreement", min_agreement)):
        if value is not None and "software" not in names:
            raise ToolchainError(
                f"--{option} is for floating-point models on target software; integer targets must "
                f"be equal: leave it out"
            )
    source = samples_from(options)
    files.claim([json_file], force)
    opened = open_job(model, source, options, names)
    ran = job.compare(opened, source, names, batch=batch, watch=progress)
    result, parts, samples = ran.result, ran.parts, ran.given
    click.echo(f"{result.samples} samples x {result.steps} steps of {samples.description}")
    say_data(samples)
    for name, facts in result.runs.items():
        read = (
            ""
            if facts["accuracy"] is None
            else f", accuracy {summary.accuracy_text(facts['accuracy'])}"
        )
        click.echo(f"{name}: {seconds(facts['wall_time_s'])}{read}")
    for part, outcome in parts.items():
        _print(outcome, f"front: {part}: ")
    _print(result)
    for option, value in (("tolerance", tolerance), ("min-agreement", min_agreement)):
        if value is not None and not any(outcome.floating for outcome in ran.every):
            raise ToolchainError(
                f"--{option} is for floating-point models; these targets compute integers, which "
                f"must be equal: leave it out"
            )
    _print_paired(result)
    passed = _passed(ran, tolerance, min_agreement)
    warnings = ran.warnings()
    click.echo()
    say_warnings(warnings)
    click.echo(_verdict(ran.every, tolerance))
    if min_agreement is not None:
        smallest = min(pair.share for pair in result.paired)
        bound = "at least" if passed else "LESS than"
        click.echo(
            f"{100 * smallest:.2f} % of predictions agree, {bound} {100 * min_agreement:g} %"
        )

    facts = {
        "model": model,
        **data_facts(samples),
        "program": opened.program.fingerprint,
        **audited(opened.audit),
        **result.to_dict(),
        "identical": all(outcome.identical for outcome in ran.every),
        "tolerance": tolerance,
        "min_agreement": min_agreement,
        "passed": passed,
        "warnings": [remark.to_dict() for remark in warnings],
    }
    if (front := fronts.of(opened.stage)) is not None:
        facts["front"] = {
            "plan": front.plan(),
            "parts": {part: outcome.to_dict() for part, outcome in parts.items()},
        }
    write_json(json_file, "compare", facts, force)
    return 0 if passed else 1


def _passed(ran: job.ComparedRuns, tolerance: float | None, min_agreement: float | None) -> bool:
    """Whether the exit code is 0."""
    if min_agreement is None:
        return all(outcome.within(tolerance or 0.0) for outcome in ran.every)
    return ran.result.agrees(min_agreement) and all(part.identical for part in ran.parts.values())


def _verdict(every: list[agreement.Agreement], tolerance: float | None) -> str:
    """One line: identical, different, or the same spikes from potentials that quantisation changed,
    and by how much."""
    if all(each.identical for each in every):
        return "identical"
    comparisons = [c for each in every for c in each.comparisons]
    if any(not c.spikes_identical or not (c.identical or c.floating) for c in comparisons):
        return "DIFFERENT"
    largest = max(c.largest_difference for c in comparisons)
    differences = (
        f"every spike is identical; potentials of the floating-point model differ by up to "
        f"{largest:.3g} thresholds"
    )
    if tolerance is None:
        return f"DIFFERENT only by quantisation: {differences} (--tolerance says how much may be)"
    within = "within" if largest <= tolerance else "MORE than"
    return f"{differences}, {within} the tolerance of {tolerance:g}"


def _print_paired(result: agreement.Agreement) -> None:
    """Predictions side by side, where anything differs."""
    for comparison, pair in zip(result.comparisons, result.paired):
        if not comparison.identical:
            click.echo("\n" + "\n".join(pair.lines()))


def _print(result: agreement.Agreement, title: str = "") -> None:
    for comparison in result.comparisons:
        click.echo(f"\n{title}{' and '.join(comparison.targets)}")
        rows = [_row(entry) for entry in comparison.layers]
        head = (
            "layer",
            "spike values",
            "differ",
            "share",
            "potentials",
            "differ",
            "largest",
            "mean",
            "in units of",
        )
        click.echo(table(head, rows, right=range(1, 8)))

        firsts = {"first difference": comparison.first}
        if comparison.floating and comparison.first_spike is not comparison.first:
            firsts["first spike that differs"] = comparison.first_spike
        for heading, first in firsts.items():
            if first is not None:
                values = " and ".join(
                    f"{target} {value:g}" for target, value in zip(comparison.targets, first.values)
                )
                neuron = ", ".join(map(str, first.neuron))
                place = (
                    f"sample {first.sample}, step {first.step}, layer {first.layer}, neuron "
                    f"{neuron}"
                )
                click.echo(f"{heading}: {place}, {first.quantity}: {values}")


def _row(entry: LayerAgreement) -> tuple[str | None, ...]:
    share = None if entry.spike_share is None else f"{100 * entry.spike_share:.3g} %"
    counts = (count(entry.potentials), count(entry.potential_differences))
    spikes = (entry.layer, count(entry.spikes), count(entry.spike_differences), share)
    if entry.relative is None:
        return *spikes, *counts, None, None, None
    largest, mean = entry.relative
    unit = "thresholds" if entry.unit == "threshold" else "its largest potential"
    return *spikes, *counts, f"{largest:.3g}", f"{mean:.2g}", unit
