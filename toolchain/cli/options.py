"""Options that several commands share, and how a model named on the command line is opened with
them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from export.dialects import DIALECTS
from export.reading import PER
from hardware.chip import known
from hardware.program import DECODINGS, RESETS
from toolchain.cli.printing import reading
from toolchain.cli.values import Number, OneOf, Shape, Whole
from toolchain.data import ENCODINGS
from toolchain.deploy import execution, inputs, job, stages
from toolchain.deploy.stage import Stage
from toolchain.deploy.ways import Ways

PATH = click.Path(path_type=Path)

PRECISE = 16
"""Weight bits of ``--precise``."""

json_option = click.option(
    "--json", "json_file", metavar="FILE", type=PATH, help="Write the result as JSON, too."
)
force_option = click.option("--force", is_flag=True, help="Replace output files that exist.")
chip_option = click.option(
    "--chip",
    default="loihi2",
    show_default=True,
    metavar="NAME|CHIP.toml",
    help=f"{', '.join(known())}, or a table of your own.",
)
rate_option = click.option(
    "--rate",
    type=Number(min=0, min_open=True),
    metavar="HZ",
    help="Inferences in a second that static energy is for. Default: one after the other, without "
    "a pause.",
)
salvage_option = click.option(
    "--salvage",
    is_flag=True,
    help="Where RUN is damaged: keep every cell that can be read, set the damaged file aside, and "
    "go on.",
)
batch_option = click.option(
    "--batch",
    type=Whole(min=1),
    metavar="B",
    help="Samples computed at once; bounds memory. Default: the target chooses.",
)


Command: TypeAlias = Callable[..., Any]
"""A command, or an option of click that decorates one."""


def target_option(what: str, names: Iterable[str]) -> Command:
    """``--target``, one of the ``names``. what: the target does, for the help."""
    return click.option(
        "--target",
        metavar="TARGET",
        default="fast",
        show_default=True,
        shell_complete=lambda context, parameter, typed: [n for n in names if n.startswith(typed)],
        help=f"{what}: {', '.join(names)}.",
    )


_DATA = (
    "A data set (its test part), an .npz file with 'inputs' and 'labels', or a recording of events "
    "(.npy, .npz with t, x, y, p)."
)

_ENCODING_OPTIONS = (
    click.option(
        "--data-root",
        "root",
        type=PATH,
        metavar="FOLDER",
        help="Folder that holds data sets. Default: SPIKEPORT_DATA.",
    ),
    click.option(
        "--encoding",
        type=OneOf(ENCODINGS),
        help="How a data set becomes inputs, where the model does not state it.",
    ),
    click.option(
        "--steps",
        type=Whole(min=1),
        metavar="T",
        help="Time steps of a sample. Default: as the model was trained.",
    ),
    click.option(
        "--bits",
        type=Whole(1, 8),
        metavar="B",
        help="Of images: keep so many bits of the intensity. Default: as the model was trained, "
        "else all.",
    ),
    click.option(
        "--spike-rate",
        type=Number(0, 1, min_open=True),
        metavar="P",
        help="Of encoding poisson: spike probability at full intensity. Default: as the model was "
        "trained, else 1.",
    ),
    click.option(
        "--bin-us",
        type=Whole(min=1),
        metavar="US",
        help="Of events: microseconds of a step. Default: as the model was trained.",
    ),
)

_DATA_OPTIONS = (
    click.option("--data", required=True, metavar="NAME|FILE", help=_DATA),
    click.option("--samples", type=Whole(min=1), metavar="N", help="Use the first N samples only."),
    *_ENCODING_OPTIONS,
)

_SOME_DATA_OPTIONS = (
    click.option("--data", metavar="NAME|FILE", help=_DATA),
    click.option("--samples", type=Whole(min=1), metavar="N", help="Use the first N samples only."),
    *_ENCODING_OPTIONS,
)

_DESCRIPTION_OPTIONS = (
    click.option(
        "--data",
        metavar="NAME",
        help="The data set that MODEL is given, where it does not state it: with --encoding and "
        "--steps it settles what the integers of the input mean.",
    ),
    *_ENCODING_OPTIONS,
)


def data_options(command: Command) -> Command:
    """--data and everything that says how it becomes inputs; see ``data_from``."""
    return _with(_DATA_OPTIONS, command)


def some_data_options(command: Command) -> Command:
    """The same where data may be left out; see ``data_from``."""
    return _with(_SOME_DATA_OPTIONS, command)


def description_options(command: Command) -> Command:
    """The same for a command that needs no sample; see ``data_from``."""
    return _with(_DESCRIPTION_OPTIONS, command)


def _with(options: Sequence[Command], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


_MODEL_OPTIONS = (
    click.argument("model"),
    click.option(
        "--weights",
        type=PATH,
        metavar="FILE",
        help="Weights (.safetensors, .pt, .pth, .ckpt) for MODEL package.module:factory.",
    ),
    click.option(
        "--trust-pickle",
        is_flag=True,
        help="Read a pickled module, or weights with other objects beside: runs all code in the "
        "file.",
    ),
    click.option(
        "--dt",
        type=Number(min=0, min_open=True),
        metavar="SECONDS",
        help="Time step, where the model does not state it.",
    ),
    click.option(
        "--dialect",
        type=OneOf(DIALECTS),
        help="The framework that wrote a .nir: states its reset, its units and more at once "
        "(docs/dialects.md).",
    ),
    click.option(
        "--reset",
        type=OneOf(RESETS),
        help="How neurons of a .nir are reset, where it does not state it.",
    ),
    click.option(
        "--r-per",
        type=OneOf(PER),
        help="What r of a .nir's IF and I counts by: step (r) or second (r * dt, NIR's equation).",
    ),
    click.option(
        "--weight-bits",
        type=Whole(2, 16),
        help="Bits of weights that are quantised here. Default: 8. More: two synapses carry each "
        "weight.",
    ),
    click.option("--precise", is_flag=True, help="Short for --weight-bits 16."),
    click.option(
        "--per-channel/--no-per-channel",
        default=None,
        help="One weight scale for each output channel, or for each layer. Default: for each "
        "channel where that helps.",
    ),
    click.option(
        "--discretization",
        type=OneOf(["euler", "exponential"]),
        help="How time constants become decays. Default: euler.",
    ),
    click.option(
        "--calibration",
        metavar="NAME|FILE.npz",
        help="Typical inputs (of a data set: its training part) that scales are chosen for.",
    ),
    click.option(
        "--allow-clipping",
        is_flag=True,
        help="Clip weights where that makes the error smaller; the audit counts them.",
    ),
    click.option(
        "--message-bits",
        type=Whole(0, 24),
        help="Bits of graded inputs, where the model does not state them; 0: spikes.",
    ),
    click.option(
        "--fraction-bits",
        type=Whole(-16, 24),
        metavar="K",
        help="An integer x of the input means x * 2**-K, where the model does not state it. "
        "Default: of a data set, images in [0, 1]; of a file, 0.",
    ),
    click.option(
        "--input-scale",
        type=Number(min=0, min_open=True),
        metavar="S",
        help="What the model takes for full intensity of an image, a power of two: 256 if it was "
        "trained on grey levels from 0 to 255. Default: 1.",
    ),
    click.option(
        "--input-shape",
        type=Shape(),
        metavar="C,H,W",
        help="Shape of one step of one sample, where the model does not state it.",
    ),
    click.option(
        "--call",
        type=OneOf(stages.CALLS),
        help="How MODEL package.module:factory takes its input.",
    ),
    click.option(
        "--trace-steps",
        type=Whole(min=1),
        metavar="T",
        help="Time steps that the model is traced with, where it wants its own number. Default: "
        "found out.",
    ),
    click.option(
        "--decode",
        type=OneOf(DECODINGS),
        help="How the output is read, where the model does not state it.",
    ),
)


def model_options(command: Command) -> Command:
    """The argument MODEL and everything that says how it becomes a Program; the command gets
    ``model`` and ``**ways``."""
    return _with(_MODEL_OPTIONS, command)


def data_from(options: dict[str, Any]) -> inputs.SampleSource | None:
    """Takes what ``data_options`` or ``description_options`` collected out of a command's
    options. None: no data was named."""
    encoded = {"rate": options.pop("spike_rate")}
    encoded |= {name: options.pop(name) for name in ("encoding", "steps", "bits", "bin_us")}
    name, root, samples = options.pop("data"), options.pop("root"), options.pop("samples", None)
    if name is None:
        stated = [key for key, value in encoded.items() if value is not None]
        if stated:
            option = "spike-rate" if stated[0] == "rate" else stated[0].replace("_", "-")
            raise click.UsageError(f"--{option} goes with --data NAME")
        return None
    return inputs.SampleSource(name, samples, root, **encoded)


def samples_from(options: dict[str, Any]) -> inputs.SampleSource:
    """The same of a command that needs samples."""
    source = data_from(options)
    if source is None:
        raise click.UsageError("--data is missing")
    return source


def open_model(
    model: str,
    weights: Path | None,
    calibration: str | None,
    trust_pickle: bool,
    source: inputs.SampleSource | None,
    precise: bool = False,
    **ways: Any,
) -> tuple[Stage, Ways]:
    """The model and the way on, from what ``model_options`` and ``data_from`` collected; prints the
    stage's notes."""
    if trust_pickle:
        click.echo(f"WARNING: --trust-pickle runs all code in {weights or model}", err=True)
    if precise:
        if ways["weight_bits"] is not None:
            raise click.UsageError("--precise is --weight-bits 16: give one of them")
        ways["weight_bits"] = PRECISE
    stage = stages.load(model, weights, trust_pickle=trust_pickle)
    for note in stage.notes:
        click.echo(f"note: {note}")
    return stage, job.settled(stage, Ways(**ways), source, calibration)


def open_job(
    model: str,
    source: inputs.SampleSource | None,
    options: dict[str, Any],
    targets: Sequence[str] = (),
) -> job.Job:
    """The model with its Program, which can run on ``targets``; prints the stage's notes and how it
    was read."""
    stage, ways = open_model(model, source=source, **options)
    execution.check_targets(stage, targets)
    opened = job.prepared(stage, ways)
    reading(opened.audit)
    return opened
