"""Which attacked samples a report shows, and their pictures as PNG.

Chosen by a rule, not by eye: of every model, at the smallest radius at which an attack fools it,
the attack that leaves least, and of its samples the first that the model had right before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolchain.cells.store import Store
from toolchain.report.facts import ExampleFacts
from toolchain.report.run import ReportError, StoredRun
from toolchain.robustness.records import Scored
from toolchain.targets import in_order

SHOWN = 3
"""Samples of each model."""


@dataclass(frozen=True, eq=False)
class Example:
    """One sample before and after. ``clean``, ``attacked``: images [channel, height, width] in [0,
    1] or events [step, ...].

    predictions: target → (class before, class after).
    """

    model: str
    attack: str
    epsilon: float
    seed: int
    index: int
    label: int
    distance: float
    predictions: Mapping[str, tuple[int, int]]
    clean: np.ndarray
    attacked: np.ndarray


def choose(run: StoredRun, models: Sequence[str]) -> list[Example]:
    """A few samples of every model. Raises ReportError where the store does not hold them as
    records say."""
    with Store(run.folder, read_only=True) as store:
        return [example for model in models for example in _of_model(model, run.records, store)]


def _of_model(model: str, records: Sequence[Scored], store: Store) -> list[Example]:
    mine = [r for r in records if r.description["model"] == model]
    most = max(len(r.index) for r in mine)
    full = [r for r in mine if len(r.index) == most]

    # all integer targets compute the same numbers; software may not
    target = min(
        in_order(r.description["target"] for r in full),
        key=lambda name: (name == "software", name != "fast"),
    )

    here = [r for r in full if r.description["target"] == target]
    attacked = [
        r for r in here if r.description["family"] not in ("clean", "energy", "noise", "corruption")
    ]

    examples = []
    for record in sorted(
        attacked,
        key=lambda r: (
            r.description["epsilon"],
            r.accuracy,
            r.description["name"],
            r.description["seed"],
        ),
    ):
        clean = _clean_of(record, here)
        if clean is not None and (fooled := clean.correct & ~record.correct).any():
            examples = [
                _example(record, clean, place, mine, store)
                for place in np.flatnonzero(fooled)[:SHOWN]
            ]
            break
    return examples


def _clean_of(record: Scored, records: Sequence[Scored]) -> Scored | None:
    """The clean record of the same target and seed, of the same samples."""
    wanted = (record.description["target"], record.description["seed"])
    same = (
        r
        for r in records
        if r.description["family"] == "clean"
        and (r.description["target"], r.description["seed"]) == wanted
    )
    return next((r for r in same if np.array_equal(r.index, record.index)), None)


def _example(
    record: Scored, clean: Scored, place: int, mine: Sequence[Scored], store: Store
) -> Example:
    description, index = record.description, int(record.index[place])
    predictions = {}
    for other in mine:
        if other.description["crafted"] != description["crafted"] or index not in other.index:
            continue
        before = _clean_of(other, mine)
        if before is not None:
            at = int(np.flatnonzero(other.index == index)[0])
            predictions[other.description["target"]] = (
                int(before.classified[1][at]),
                int(other.classified[1][at]),
            )

    pictures = [_samples(store, r.description["crafted"], place) for r in (clean, record)]
    if pictures[0].shape != pictures[1].shape:
        raise ReportError(
            f"cell {description['crafted'][:12]}: samples of another shape than the clean ones"
        )

    return Example(
        description["model"],
        description["name"],
        description["epsilon"],
        description["seed"],
        index,
        int(record.classified[0][place]),
        float(record.distance[place]),
        predictions,
        *pictures,
    )


def _samples(store: Store, key: str, place: int) -> np.ndarray:
    arrays = store.get(key)[1]
    samples = arrays.get("adversarial")
    if (
        samples is None
        or samples.ndim < 2
        or place >= len(samples)
        or samples.dtype.kind not in "fu"
    ):
        raise ReportError(
            f"cell {key[:12]}: holds no samples; it must have an array 'adversarial' [sample, ...]"
        )
    sample: np.ndarray = samples[place]
    return sample


def facts(example: Example) -> ExampleFacts:
    """The same without the pictures."""
    return ExampleFacts(
        example.model,
        example.attack,
        example.epsilon,
        example.seed,
        example.index,
        example.label,
        example.distance,
        example.predictions,
    )


def pictures(example: Example) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """(clean, change, attacked) as uint8 [height, width] or [height, width, 3], and the change that
    is drawn at full scale.

    No change is middle grey; black and white are a change by the scale. Events are summed over the
    steps, the first channel minus the second, and middle grey is none.
    """
    clean, attacked = (_flat(array) for array in (example.clean, example.attacked))
    change = attacked - clean
    scale = float(np.abs(change).max())
    if example.clean.dtype.kind == "u":
        most = max(float(np.abs(clean).max()), float(np.abs(attacked).max()), 1.0)
        clean, attacked = (0.5 + array / (2 * most) for array in (clean, attacked))
    return (
        _grey(clean),
        _grey(0.5 + change / (2 * scale) if scale else np.full_like(change, 0.5)),
        _grey(attacked),
        scale,
    )


def _flat(sample: np.ndarray) -> np.ndarray:
    """[height, width] or [height, width, 3], float64."""
    values: np.ndarray = sample.astype(np.float64)
    if sample.dtype.kind == "u":
        values = values.sum(axis=0)
    if values.ndim == 3:
        if sample.dtype.kind == "u" and len(values) == 2:
            polarity: np.ndarray = values[0] - values[1]
            return polarity
        return values.transpose(1, 2, 0) if len(values) == 3 else values.mean(axis=0)
    return values.reshape(-1, values.shape[-1])


def _grey(values: np.ndarray) -> np.ndarray:
    levels: np.ndarray = np.clip(np.rint(values * 255), 0, 255)
    return levels.astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """uint8 [height, width] or [height, width, 3] as a PNG file (ISO/IEC 15948)."""
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 else 0
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(raw, 9))
        + chunk(b"IEND", b"")
    )
