"""What an adversary may change goes with the kind of data: pixels with L-infinity and L2, binary
events with flips and shifts.

A sweep is held against the kind of data of each of its models when it is read, before anything is
trained or run. What a model reads is stated by the sweep itself, by a recipe, or by a checkpoint; a
factory that describes itself has to be opened.
"""

from __future__ import annotations

from pathlib import Path

from toolchain.attacks.base import EVENTS, PIXELS
from toolchain.data import DATASETS
from toolchain.robustness.parts import ModelPart, Sweep, SweepError

NORMS_OF = {"images": PIXELS, "events": EVENTS}
"""Kind of data → the threats that go with it."""


def kind_of(encoding: str | None, dataset: str | None = None) -> str | None:
    """ "images" or "events"; None where neither an encoding nor a known data set is named."""
    if encoding is not None:
        return "events" if encoding == "events" else "images"
    if dataset is None or dataset not in DATASETS:
        return None
    return "events" if DATASETS[dataset][2] == 0 else "images"


def stated(sweep: Sweep, part: ModelPart) -> str | None:
    """Kind of data that a model says it reads, without opening it; None where no file says so.

    Raises what reading a damaged recipe or checkpoint raises.
    """
    from toolchain.training import read_config, read_recipe

    if part.options.encoding is not None or part.options.dataset is not None:
        return kind_of(part.options.encoding, part.options.dataset)
    if part.recipe is not None:
        path = Path(sweep.path(part.recipe))
        return kind_of(read_config(path).data.encoding) if path.is_file() else None
    if part.source is None:
        return None
    path = Path(sweep.path(part.source.replace("{seed}", str(part.trainings[0]))))
    return (
        kind_of(read_recipe(path).data.encoding)
        if path.suffix == ".safetensors" and path.is_file()
        else None
    )


def check(sweep: Sweep, name: str, kind: str) -> None:
    """Raises SweepError where attacks, corruptions or the data set of a sweep are of another kind
    than the data that a model reads."""
    attacks, fitting = sweep.attacks, NORMS_OF[kind]
    where = f"{sweep.where}: model {name!r} reads {kind}"
    if attacks.norm not in fitting:
        counted = "; their epsilons are whole numbers" if kind == "events" else ""
        raise SweepError(
            f"{where}, and [attacks] norm is {attacks.norm!r}; with {kind}, norm must be "
            f"{' or '.join(map(repr, fitting))}{counted}"
        )
    if sweep.corruptions is not None and kind == "events":
        raise SweepError(f"{where}; [corruptions] are of images: leave them out")
    stated = kind_of(None, sweep.data.name)
    if stated is not None and stated != kind:
        names = ", ".join(n for n in DATASETS if kind_of(None, n) == kind)
        raise SweepError(
            f"{where}, and [data] name is {sweep.data.name!r}, which are {stated}; with {kind}, it "
            f"must be one of {names}"
        )


def check_stated(sweep: Sweep) -> list[ModelPart]:
    """``check`` for every model that says what it reads; returns those that have to be opened for
    it."""
    unknown = []
    for part in sweep.models:
        kind = stated(sweep, part)
        if kind is None:
            unknown.append(part)
        else:
            check(sweep, part.name, kind)
    return unknown
