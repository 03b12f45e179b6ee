"""``spikeport bench``."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

from toolchain import files
from toolchain.cells.estimate import Left
from toolchain.cli.options import PATH, force_option, json_option, salvage_option
from toolchain.cli.printing import say_battery, say_salvaged, say_warnings, table, write_json
from toolchain.cli.values import Whole
from toolchain.remarks import Remark, chance, silence

if TYPE_CHECKING:
    from toolchain.report.facts import Analysis, ReportedModel, ReportedTarget
    from toolchain.robustness.statistics import Share

DELAY, REFRESH = 1.0, 0.2
"""Seconds before a bar is shown at all, and between two states of it."""

BARS = 8
"""Most cells that have a bar of their own at once."""


@click.command()
@click.argument("sweep", type=PATH)
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="RUN",
    help="Folder of the results; made or continued. Default: runs/NAME OF THE SWEEP.",
)
@click.option(
    "--scheduler",
    metavar="tls://HOST:PORT",
    help="An existing Dask cluster. Default: processes of this machine; no port is opened.",
)
@click.option(
    "--tls-ca",
    type=PATH,
    metavar="PEM",
    help="With --scheduler: the authority that signed the cluster's certificates.",
)
@click.option("--tls-cert", type=PATH, metavar="PEM", help="With --scheduler: our certificate.")
@click.option("--tls-key", type=PATH, metavar="PEM", help="With --scheduler: its private key.")
@click.option(
    "--insecure-scheduler",
    is_flag=True,
    help="With a --scheduler tcp://HOST:PORT that nobody else can reach: everybody who can runs "
    "code as you.",
)
@click.option(
    "--workers",
    type=Whole(min=1),
    metavar="N",
    help="Processes on this machine. Default: one for each core.",
)
@salvage_option
@json_option
@force_option
def command(
    sweep: Path,
    output: Path | None,
    scheduler: str | None,
    tls_ca: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure_scheduler: bool,
    workers: int | None,
    salvage: bool,
    json_file: Path | None,
    force: bool,
) -> None:
    """Measure accuracy under attack, spikes and energy as SWEEP, a TOML file, says: models x
    attacks x radii x targets x seeds.

    A cell that is in RUN already is never computed again, so an interrupted run goes on where it
    stopped.

    \b
    Example:
      spikeport bench examples/robustness/digits-quick.toml -o runs/digits-quick
      spikeport report runs/digits-quick -o digits-quick.html
    """
    if scheduler is not None and workers is not None:
        raise click.UsageError(
            "--workers goes with a run on this machine; a cluster at --scheduler has workers of "
            "its own"
        )
    tls = {"ca": tls_ca, "cert": tls_cert, "key": tls_key}
    if scheduler is None and (insecure_scheduler or any(tls.values())):
        raise click.UsageError(
            "--tls-ca, --tls-cert, --tls-key and --insecure-scheduler go with --scheduler"
        )
    from toolchain.cells.engine import EngineReport
    from toolchain.cells.remote import Scheduler
    from toolchain.report import run as reading
    from toolchain.report.analysis import analyse
    from toolchain.report.facts import to_json
    from toolchain.robustness import bench
    from toolchain.robustness.sweep import load

    cluster = (
        None
        if scheduler is None
        else Scheduler(scheduler, **tls, trusted_network=insecure_scheduler)
    )
    files.claim([json_file], force)
    wanted = load(sweep)
    folder = Path("runs") / sweep.stem if output is None else output
    if salvage:
        say_salvaged(folder)
    typed = ["spikeport", "bench", str(sweep), "-o", str(folder)]
    typed += ["--scheduler", scheduler] if scheduler else []
    typed += [
        part
        for name, path in tls.items()
        if path is not None
        for part in (f"--tls-{name}", str(path))
    ]
    typed += ["--insecure-scheduler"] if insecure_scheduler else []
    typed += ["--workers", str(workers)] if workers else []
    with Bars() as bars:
        report = EngineReport(cell=bars.cell, inside=bars.inside)
        bench.run(
            wanted,
            folder,
            scheduler=cluster,
            workers=workers,
            report=report,
            command=shlex.join(typed),
        )
    stored = reading.load(folder)
    facts = analyse(stored.records, stored.about)
    click.echo(summary(facts))
    for note in facts.about["sweep"]["data"].get("notes", ()):  # runs of before have none
        click.echo(f"data: {note}")
    warnings = remarks_of(facts)
    say_warnings(warnings)
    click.echo(
        f"\nresults are in {folder}; a page of them: spikeport report {shlex.quote(str(folder))} "
        f"-o report.html"
    )
    say_battery(facts.battery)
    notes = {"warnings": [remark.to_dict() for remark in warnings]}
    write_json(json_file, "bench", to_json(facts) | notes, force)


class Bars:
    """Progress on stderr: one bar with the time left over all, and one for each cell at work. Calls
    may come from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bars: dict[str, tqdm] = {}
        self._finished: set[str] = set()
        self._live = sys.stderr.isatty()
        self._began = self._said = time.monotonic()
        self._drawn, self._left = 0.0, Left()
        self._overall = tqdm(
            total=1,
            desc="all cells",
            file=sys.stderr,
            mininterval=REFRESH,
            disable=None,
            delay=DELAY,
            leave=False,
            bar_format="{desc}: {n_fmt} of {total_fmt} cells|{bar}| [{elapsed} gone{postfix}]",
        )

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._close_bars()
            self._overall.close()

    def _close_bars(self) -> None:
        for bar in self._bars.values():
            bar.close()
        self._bars.clear()

    def cell(self, name: str, done: int, total: int, left: Left) -> None:
        """A cell is finished."""
        with self._lock:
            if not name:  # the networks are trained, and the cells are counted
                self._close_bars()
            self._finished.add(name)
            if (bar := self._bars.pop(name, None)) is not None:
                bar.close()
            self._left, self._said = left, time.monotonic()
            self._overall.total, self._overall.n = total, done
            self._refresh()

    def inside(self, name: str, done: int, total: int) -> None:
        """A cell at work says how far it is."""
        with self._lock:
            # what a finished cell said last may arrive after its result
            if (
                not self._live
                or name in self._finished
                or (name not in self._bars and len(self._bars) >= BARS)
            ):
                return

            if name not in self._bars:
                options = {
                    "file": sys.stderr,
                    "leave": False,
                    "delay": DELAY,
                    "mininterval": REFRESH,
                }
                unit = "batch" if name.startswith("training ") else "sample"
                self._bars[name] = tqdm(desc=name, total=total, unit=unit, **options)

            bar = self._bars[name]
            bar.update(done - bar.n)
            self._refresh()

    def _refresh(self) -> None:
        """Draw the bar over all, with the time that is left by now."""
        now = time.monotonic()
        if now - self._began >= DELAY and now - self._drawn >= REFRESH:
            self._drawn = now
            ended = self._overall.n >= self._overall.total
            status = "" if ended else time_left(self._left, now - self._said)
            self._overall.set_postfix_str(status, refresh=False)
            self._overall.refresh()


def time_left(left: Left, gone: float = 0.0) -> str:
    """What the bar over all says of the time that is left.

    Args:
        left: as it was said last.
        gone: seconds since.
    """
    remaining = left.seconds - gone
    if remaining > 0:
        shown = tqdm.format_interval(remaining)
        return f"at least {shown} left" if left.unknown else f"about {shown} left"
    return "time left unknown"


def remarks_of(facts: Analysis) -> list[Remark]:
    """What looks like a mistake in a run: on clean inputs, layers that never spike and accuracies
    that guessing would give."""
    by_text: dict[str, Remark] = {}
    for model in facts.models:
        for entry in model.targets:
            for remark in _remarks(model, entry):
                text = f"{model.name}: {remark.message}"
                by_text.setdefault(text, Remark(remark.name, text))
    return list(by_text.values())


def _remarks(model: ReportedModel, entry: ReportedTarget) -> list[Remark]:
    clean, over = entry.clean, f"{entry.samples} samples of {model.steps} steps"
    rows = [row for row in entry.layers if row.inputs == "clean"]
    inputs = [row.layer for row in rows if not row.dendrite_updates]
    remarks = []
    if model.program is not None:
        remarks = silence({row.layer: row.spikes for row in rows}, inputs, over)
    return remarks + chance(round(clean.value * clean.samples), clean.samples, model.classes)


LEGEND = (
    "\nShares of samples classified correctly with 95 % intervals; worst: correct under every "
    "attack; dynamic, static: energy of one clean inference, an estimate; static without a pause "
    "between inferences."
)


def summary(facts: Analysis) -> str:
    """The table in the terminal: a row for each model and target."""
    from toolchain.pages import formats

    head = [
        "model",
        "target",
        "samples",
        "clean",
        *(f"worst, {formats.radius(facts.norm, e)}" for e in facts.radii),
        "dynamic",
        "static",
        "flags",
    ]
    rows = [_row(facts, model, entry) for model in facts.models for entry in model.targets]
    error = (facts.about.get("energy") or {}).get("measured_text")
    return (
        table(head, rows, right=range(2, len(head) - 1)) + LEGEND + (f"\n{error}" if error else "")
    )


def _row(facts: Analysis, model: ReportedModel, entry: ReportedTarget) -> tuple[object, ...]:
    """A target that ran fewer samples than the others and agrees in all has no accuracy of its own,
    but says so."""
    from toolchain.pages import formats
    from toolchain.report import battery
    from toolchain.report.rows import agreement

    worst = {row.epsilon: row.share for row in entry.worst}
    accuracies = (_share(entry.clean), *(_share(worst.get(epsilon)) for epsilon in facts.radii))
    if model.repeats(entry):
        accuracies = (agreement(model.agreement(entry)), *(None for _ in facts.radii))
    flags = battery.flags([flag.name for flag in entry.flags], entry.battery)
    return (
        model.name,
        entry.target,
        entry.samples,
        *accuracies,
        formats.quantity(entry.energy[0].dynamic_j.value, "J"),
        formats.quantity(entry.energy[0].static_j, "J"),
        ", ".join(flags) or None,
    )


def _share(share: Share | None) -> str | None:
    from toolchain.pages import formats

    if share is None:
        return None
    return f"{formats.percent(share.value)} ({formats.interval(share.low, share.high)})"
