"""Encoders: dataset values → integers [sample, step, *shape] in the range of a Program's input.

direct    the image in every step, as graded integers: value * 2**-k volts-free units with k = log2
          of full intensity, so that full intensity is 1 (255 counts as 255/256)
direct_signed   the same, mapped to [-1, 1]: 2 * level - 1, which is the usual normalisation (mean
                0.5, deviation 0.5)
poisson   binary; in every step a spike with probability rate * level, level as in direct, drawn
          from a counter-based generator keyed by (seed, sample), so that a sample's spikes depend
          on nothing else
poisson_signed  spikes of both signs: with level' = 2 * level - 1 as in direct_signed, a spike of
                its sign with probability
          rate * |level'| (Sharmin et al., ECCV 2020)
latency   binary; one spike for each value above 0, the brighter the earlier (full intensity in step
          0)
events    binary; an event in bins of ``bin_us``; several in one bin and neuron are one spike, later
          than the last step are not part of the sample

The deterministic encodings are the same numbers as ``toolchain.attacks.encoding``, which has them
with a gradient. The Poisson encodings are two draws with one distribution, and must stay two: here
each sample has a generator of its own, so that a data set is encoded alike in every batch and
order; there one draw is shared by all samples of a batch and follows the seed of a call, because an
attack averages over draws. To join them would change the spikes of every kept network or attack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from toolchain.data.datasets import DATASETS, Dataset, intensity_bits, load
from toolchain.errors import DataError
from toolchain.table_rules import Seed, one_of
from toolchain.tables import Refused, Settings

ENCODINGS = ("direct", "direct_signed", "poisson", "poisson_signed", "latency", "events")


Steps = Annotated[int, Meta(ge=1, le=1 << 16)]
Bits = Annotated[int, Meta(ge=1, le=8)]
Rate = Annotated[float, Meta(gt=0, le=1)]
BinUs = Annotated[int, Meta(ge=1, le=1 << 23)]


class EncodingError(Refused, DataError):
    """An encoding cannot be what it is said to be."""


@dataclass(frozen=True)
class Encoding(Settings):
    """How values become integers; see the module.

    steps    time steps of a sample
    bits     direct and poisson: keep so many bits of the intensity (before anything is drawn);
             None: all
    rate     poisson: spike probability at full intensity, above 0 to 1
    seed     poisson
    bin_us   events: microseconds of a step
    """

    TABLE = "encoding"
    REFUSED = EncodingError

    kind: Annotated[str, one_of(ENCODINGS)] = "direct"
    steps: Steps = 8
    bits: Bits | None = None
    rate: Rate = 1.0
    seed: Seed = 0
    bin_us: BinUs = 1000

    def check(self) -> str | None:
        images = ("direct", "direct_signed", "poisson", "poisson_signed")
        for name, kinds in (
            ("bits", images),
            ("rate", images[2:]),
            ("seed", images[2:]),
            ("bin_us", ("events",)),
        ):
            default = type(self).__dataclass_fields__[name].default
            if self.kind not in kinds and getattr(self, name) != default:
                return (
                    f"{name} goes with encoding {' or '.join(map(repr, kinds))}, not {self.kind!r}"
                )
        return None

    def input_format(self, name: str) -> tuple[int, int]:
        """(message_bits, fraction_bits) of the Program's input for a dataset."""
        maximum = self._maximum(name)
        if self.kind == "poisson_signed":
            return 2, 0
        if not self.constant:
            return 0, 0
        top = maximum >> self._dropped(maximum)
        bits = intensity_bits(top)
        if self.kind == "direct":
            return top.bit_length() + 1, bits
        low, high = self._signed(np.array([0, top]), bits).tolist()
        return max(high.bit_length(), (-low - 1).bit_length()) + 1, max(bits - 1, 0)

    @property
    def constant(self) -> bool:
        """The same integers in every step."""
        return self.kind in ("direct", "direct_signed")

    @staticmethod
    def _signed(values: np.ndarray, bits: int) -> np.ndarray:
        """2 * value / 2**bits - 1 in units of 2**-(bits - 1), int16 (of 1 where there is but one
        bit)."""
        values = values.astype(np.int16)
        return 2 * values - 1 if bits == 0 else values - (1 << (bits - 1))

    def _maximum(self, name: str) -> int:
        maximum = DATASETS[name][2]
        if (maximum == 0) != (self.kind == "events"):
            raise DataError(
                f"{name}: encoding {self.kind!r}; it must be one of "
                f"{'events' if maximum == 0 else ', '.join(ENCODINGS[:-1])}"
            )
        return maximum

    def _dropped(self, maximum: int) -> int:
        """Low bits that ``bits`` leaves out."""
        return 0 if self.bits is None else max(0, intensity_bits(maximum) - self.bits)

    def encode(self, dataset: Dataset, which: slice | np.ndarray, epoch: int = 0) -> np.ndarray:
        """Encoded samples [sample, step, *shape], uint8; of the signed encodings int16.

        which   a slice or index array of samples; a sample's encoding does not depend on the others
        epoch   poisson: draws other spikes in every epoch of training
        """
        maximum = self._maximum(dataset.name)
        numbers = np.arange(len(dataset))[which]
        if self.kind == "events":
            return np.stack([self._bins(dataset.values[n], dataset.shape) for n in numbers])

        values = dataset.values[numbers]
        if self.constant:
            frames = values >> self._dropped(maximum)
            if self.kind == "direct_signed":
                frames = self._signed(frames, intensity_bits(maximum >> self._dropped(maximum)))
            return np.broadcast_to(frames[:, None], (len(frames), self.steps, *frames.shape[1:]))

        if self.kind == "latency":
            step = ((maximum - values.astype(np.int64)) * (self.steps - 1) * 2 + maximum) // (
                2 * maximum
            )
            fires: np.ndarray = (step[:, None] == np.arange(self.steps).reshape(1, -1, 1, 1, 1)) & (
                values[:, None] > 0
            )
            return fires.astype(np.uint8)

        return np.stack(
            [self._poisson(value, maximum, int(n), epoch) for value, n in zip(values, numbers)]
        )

    def _poisson(self, value: np.ndarray, maximum: int, number: int, epoch: int) -> np.ndarray:
        generator = np.random.Philox(key=[self.seed + (epoch << 32), number])
        # raw words of a counter-based generator: the same in every version of numpy
        drawn = generator.random_raw(self.steps * value.size).reshape(
            self.steps, *value.shape
        ) >> np.uint64(32)
        dropped = self._dropped(maximum)
        level = (value >> dropped << dropped).astype(np.float64)
        level /= 1 << intensity_bits(maximum)
        level = level if self.kind == "poisson" else 2 * level - 1
        spikes = drawn < np.floor(np.abs(level) * self.rate * (1 << 32)).astype(np.uint64)
        return (
            spikes.astype(np.uint8)
            if self.kind == "poisson"
            else spikes * np.sign(level).astype(np.int16)
        )

    def after_the_last_step(self, dataset: Dataset) -> int:
        """Events that come too late to be part of a sample; 0 for other encodings."""
        if self.kind != "events":
            return 0
        return sum(
            int(np.count_nonzero(events[:, 0] // self.bin_us >= self.steps))
            for events in dataset.values
        )

    def notes(self, dataset: Dataset) -> tuple[str, ...]:
        """What the encoding leaves out of a data set, for people."""
        late = self.after_the_last_step(dataset)
        note = (
            f"{late:,} events of {len(dataset)} recordings come after the last step and are no "
            f"part of the samples"
        )
        return (note,) if late else ()

    def _bins(self, events: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        frames = np.zeros((self.steps, *shape), np.uint8)
        step = events[:, 0] // self.bin_us
        inside = step < self.steps
        frames[step[inside], events[inside, 1], events[inside, 2], events[inside, 3]] = 1
        return frames

    def describe(self) -> dict[str, Any]:
        """Plain JSON values from which ``from_description`` makes it again: only what differs from
        the defaults, and the steps."""
        defaults = asdict(Encoding(self.kind, self.steps))
        own = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        return {"encoding": self.kind, "steps": self.steps, **own}

    @classmethod
    def from_description(cls, data: Mapping[str, Any]) -> Encoding:
        """The encoding that a model states in its data description; other entries are left alone.
        Raises DataError."""
        names = {"encoding": "kind"} | {
            name: name for name in ("steps", "bits", "rate", "seed", "bin_us")
        }
        return cls(**{field: data[entry] for entry, field in names.items() if entry in data})


def inputs(
    description: Mapping[str, Any],
    split: str = "test",
    *,
    samples: int | None = None,
    root: str | Path | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(inputs [sample, step, *shape] as a Program takes them, labels int64 [sample]) of the dataset
    that a model was made for.

    description  what the model says of its data: "name", "encoding", "steps", …
                 (``Program.metadata["data"]``)
    """
    if not isinstance(description.get("name"), str) or "encoding" not in description:
        raise DataError(
            "the model does not say how its data is encoded; it states 'name' and 'encoding' where "
            "it was trained with spikeport"
        )
    dataset = load(description["name"], split, root=root, samples=samples)
    return Encoding.from_description(description).encode(dataset, slice(None)), dataset.labels
