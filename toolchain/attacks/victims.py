"""Networks as attacks see them: a PyTorch model on images or on events, an integer Program
(``fronts``: a purifier before either).

Scores are decoded as the Program's output is: spike counts are whole numbers, the same for software
and Program; potentials are volts for software, whole numbers for a Program. ``temperature`` is what
the cross entropy divides scores by: the number of steps for spike counts, so that its argument is
the mean over time, as in the literature, and a long sample does not saturate it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from hardware import targets
from hardware.noise import MAX_SEED
from hardware.program import Population, Program
from hardware.recording import Recording
from toolchain import calls
from toolchain.attacks import levels
from toolchain.attacks.base import AttackError, NotApplicable
from toolchain.attacks.encoding import Encoder, Latency, Still, integers
from toolchain.attacks.readings import (
    TIE_BREAKER,
    Currents,
    Reading,
    join,
    thresholds,
    with_tie_breaker,
)
from toolchain.data import ENCODINGS, Encoding
from toolchain.data.datasets import DATASETS, intensity_bits
from toolchain.layers.network import decode
from toolchain.layers.noise import noise_seed
from toolchain.whole import whole

BATCH = 256
"""Most samples of one forward pass without gradient, which bounds its memory."""


@contextmanager
def as_attacked(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode (a score must not depend on batch mates) and with constant
    parameters, for one forward pass."""
    modes = [(m, m.training) for m in model.modules()]
    wanted = [(p, p.requires_grad) for p in model.parameters()]
    try:
        model.eval()
        for parameter, _ in wanted:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, needed in wanted:
            parameter.requires_grad_(needed)
        for module, training in modes:
            module.training = training


def is_stochastic(model: nn.Module) -> bool:
    """Whether any layer says that its evaluation depends on a seed (attribute ``stochastic``)."""
    return any(getattr(module, "stochastic", False) is True for module in model.modules())


class _ModelVictim:
    """What the two model victims share. ``io``: what spikeport_io() would say, for a model that has
    none."""

    sample_shape: tuple[int, ...]

    def __init__(
        self, model: nn.Module, stochastic: bool | None, io: Mapping[str, Any] | None
    ) -> None:
        describe = getattr(model, "spikeport_io", None)
        if io is None and describe is not None:
            io = describe()
        if io is None:
            raise AttackError(
                f"{type(model).__name__} has no spikeport_io(), which says how its inputs and "
                f"outputs are coded"
            )
        self.model: nn.Module = model
        self.io: Mapping[str, Any] = io
        if self.io["call"] not in calls.CALLS:
            raise AttackError(
                f"{type(model).__name__}: call is {self.io['call']!r}; it must be one of "
                f"{', '.join(calls.CALLS)}"
            )
        self.stochastic = is_stochastic(model) if stochastic is None else stochastic

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        first = next(iter((*self.model.parameters(), *self.model.buffers())), None)
        return torch.device("cpu") if first is None else first.device

    @cached_property
    def classes(self) -> int:
        """Number of scores, found with one forward pass of a zero sample."""
        with torch.no_grad():
            return self.scores(torch.zeros(1, *self.sample_shape, device=self.device)).shape[1]

    def _temperature(self, steps: int) -> float:
        return float(steps) if self.io["output"]["decode"] == "spike_count" else 1.0

    def run(self, values: torch.Tensor, seed: int = 0) -> Reading:
        """Reading of what the network reads, [step, sample, *shape]."""
        if self.io["call"] == "images":
            with as_attacked(self.model):
                return Reading(self.model(values[0]))
        how = self.io["output"]["decode"]
        if how != "spike_count":
            return Reading(decode(self._trace(values, seed), how))
        with Currents().watching(self.model) as currents:
            scores = decode(self._trace(values, seed), how)
        return Reading(scores, currents.of_the_read_out(scores))

    def read(self, samples: torch.Tensor, *, seed: int = 0) -> Reading:
        """Scores and what breaks their ties, differentiable."""
        raise NotImplementedError

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """Scores [sample, class], differentiable."""
        return self.read(samples, seed=seed).scores

    def _trace(self, values: torch.Tensor, seed: int) -> torch.Tensor:
        """Output trace for values [step, sample, *shape]; random layers draw from the seed."""
        with ExitStack() as stack:
            stack.enter_context(as_attacked(self.model))
            if self.stochastic:
                stack.enter_context(torch.random.fork_rng(devices=[]))
                torch.manual_seed(seed & MAX_SEED)
                stack.enter_context(noise_seed(self.model, seed & MAX_SEED))
            return calls.trace(self.model, values, self.io["call"], self._read)

    def _read(self, found: Any) -> torch.Tensor:
        """The trace among what the model returns: spikes come first, potentials last, as in
        snnTorch."""
        trace: torch.Tensor = found
        if isinstance(found, (tuple, list)):
            trace = found[0 if self.io["output"]["decode"] == "spike_count" else -1]
        return trace

    def ask(self, samples: np.ndarray, *, seed: int = 0) -> Reading:
        """Scores and what breaks their ties, without gradient."""
        readings = []
        with torch.no_grad():
            for start in range(0, len(samples), BATCH):
                part = torch.from_numpy(
                    np.ascontiguousarray(samples[start : start + BATCH], np.float32)
                ).to(self.device)
                readings.append(self.read(part, seed=seed))
        return join(readings)

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Scores without gradient, float32 [sample, class]."""
        scores: np.ndarray = self.ask(samples, seed=seed).scores.cpu().numpy()
        return scores


def encoder_of(io: Mapping[str, Any]) -> Encoder:
    """The encoder that a model's spikeport_io() asks for; with ``input.scale`` (a power of two) the
    model takes that for full intensity. See ``_unscaled``."""
    scale = io["input"].get("scale", 1) if io.get("call") != "images" else 1
    return _unscaled(io) if scale == 1 else levels.Scaled(_unscaled(io), float(scale))


def _unscaled(io: Mapping[str, Any]) -> Encoder:
    """The encoder that a model's spikeport_io() asks for, the same function as
    ``toolchain.data.encoders`` on images that are the data set's values divided by the power of two
    above them: data.encoding "direct", "poisson" (or "…_signed"), or "latency"."""
    data, source = io.get("data", {}), io["input"]
    if io.get("call") == "images":
        return Still()

    steps, how = data.get("steps"), data.get("encoding")
    if how == "direct":
        bits = intensity_bits(_largest_value(data)) if data.get("bits") is not None else 0
        return levels.direct(steps, False, source["message_bits"], source["fraction_bits"], bits)
    if how == "direct_signed":
        formats = Encoding("direct", steps, data.get("bits")).input_format(data["name"])
        return levels.direct(steps, True, *formats, intensity_bits(_largest_value(data)))
    if how in ("poisson", "poisson_signed"):
        bits = intensity_bits(_largest_value(data)) if data.get("bits") is not None else 0
        return levels.poisson(
            steps, how == "poisson_signed", data.get("rate", 1.0), bits, data.get("bits")
        )
    if how == "latency":
        largest = _largest_value(data)
        return Latency(steps, largest, float(1 << intensity_bits(largest)))

    raise AttackError(
        f"the model's encoding is {how!r}; for images it must be one of "
        f"{', '.join(ENCODINGS[:-1])}; or give the victim an encoder"
    )


def _largest_value(data: Mapping[str, Any]) -> int:
    """Of the images of the data set that a model names."""
    if data.get("name") not in DATASETS or not DATASETS[data["name"]][2]:
        raise AttackError(
            f"the model's data set is {data.get('name')!r}; with this encoding it must be one "
            f"of images that toolchain.data has"
        )
    return DATASETS[data["name"]][2]


class PixelVictim(_ModelVictim):
    """A model on images [channels, height, width] in [0, 1]: encoder, network and decoding in one
    differentiable function.

    encoder        default: what the model's spikeport_io() says
    stochastic     None: True where a layer of the model says so (noisy neurons); a random encoder
                   makes the victim stochastic anyway. Noisy layers get their seeds from the call's;
                   others that are random draw from PyTorch's generator, seeded with it
    io             what spikeport_io() would say, for a model that has none
    sample_shape   of an image; default: what the model reads. Another one goes with an encoder that
                   lays it out anew
    """

    events = False

    def __init__(
        self,
        model: nn.Module,
        encoder: Encoder | None = None,
        *,
        stochastic: bool | None = None,
        io: Mapping[str, Any] | None = None,
        sample_shape: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(model, stochastic, io)
        self.encoder = encoder_of(self.io) if encoder is None else encoder
        self.stochastic |= self.encoder.stochastic
        self.sample_shape = (
            tuple(self.io["input"]["shape"]) if sample_shape is None else tuple(sample_shape)
        )
        self.temperature = self._temperature(self.encoder.steps)

    def read(self, samples: torch.Tensor, *, seed: int = 0) -> Reading:
        """Of images [sample, *shape]."""
        return self.run(self.encoder(samples, seed), seed)


class EventVictim(_ModelVictim):
    """A model on binary events [step, channels, height, width].

    steps        time steps of a sample
    stochastic, io   as for ``PixelVictim``
    """

    events = True

    def __init__(
        self,
        model: nn.Module,
        steps: int,
        *,
        stochastic: bool | None = None,
        io: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model, stochastic, io)
        self.sample_shape = (steps, *self.io["input"]["shape"])
        self.temperature = self._temperature(steps)

    def read(self, samples: torch.Tensor, *, seed: int = 0) -> Reading:
        """Of events [sample, step, *shape]."""
        return self.run(samples.transpose(0, 1), seed)


class RunsOnTarget(Protocol):
    """What stands before a network and has Programs of its own; see ``fronts``."""

    def run(self, images: np.ndarray, target: str) -> tuple[np.ndarray, object]:
        """Images as the network is given them, and what was recorded."""
        ...


class ProgramVictim:
    """An integer Program on any hardware target, as a black box.

    encoder   for images; None: samples are events [step, *shape] that go in as they are
    steps     time steps of an event sample (no encoder)
    output    the Program's output that is read; default: its only one
    reseeded  (Program, seed) → the Program with the noise of that seed; None: a Program without
              noise, or with the one it has
    front     what stands before the network and runs on the same target, see ``fronts``
    sample_shape   of an image; default: what the Program reads
    """

    def __init__(
        self,
        program: Program,
        encoder: Encoder | None = None,
        *,
        steps: int | None = None,
        target: str = "fast",
        output: str | None = None,
        reseeded: Callable[[Program, int], Program] | None = None,
        front: RunsOnTarget | None = None,
        sample_shape: tuple[int, ...] | None = None,
    ) -> None:
        names = [o.population for o in program.outputs]
        if output is None and len(names) != 1:
            raise AttackError(
                f"the Program has {len(names)} outputs ({', '.join(names)}); say which one holds "
                f"the classes"
            )
        if len(program.inputs) != 1:
            raise AttackError(f"the Program has {len(program.inputs)} inputs; there must be one")
        if (encoder is None) == (steps is None):
            raise AttackError("a ProgramVictim needs either an encoder (images) or steps (events)")

        self.program, self.encoder, self.target = program, encoder, target
        self.output = names[0] if output is None else output
        shape = program.inputs[0].shape
        self.sample_shape = tuple(sample_shape or shape) if steps is None else (steps, *shape)
        self.classes = program.nodes[self.output].size
        self.reseeded, self.front = reseeded, front
        self.stochastic = reseeded is not None or (encoder is not None and encoder.stochastic)

        # neurons of another kind than LIF have no current that could break their ties
        self._counted = isinstance(program.nodes[self.output], Population) and any(
            o.population == self.output and o.decode == "spike_count" for o in program.outputs
        )
        self._tie_breaking = with_tie_breaker(program, self.output) if self._counted else program
        self._seeded: tuple[int, Program] | None = None

    @property
    def events(self) -> bool:
        """True: samples are binary events; False: images."""
        return self.encoder is None

    @property
    def model(self) -> nn.Module:
        raise self._no_gradient()

    @staticmethod
    def _no_gradient() -> NotApplicable:
        return NotApplicable(
            "an integer Program has no gradient; attack its PyTorch twin, or use a black-box "
            "attack (square, noise, transfer)"
        )

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """Refused: there is no gradient."""
        raise self._no_gradient()

    def recording(self, samples: np.ndarray, *, seed: int = 0) -> Recording:
        """The Recording of the samples, with counts and scores; float32 images or uint8 events
        [sample, *sample_shape]."""
        program = self.program if self.reseeded is None else self.reseeded(self.program, seed)
        return targets.run(program, self._inputs(samples, seed), self.target)

    def ask(self, samples: np.ndarray, *, seed: int = 0) -> Reading:
        """Scores and what breaks their ties, float64 [sample, class]."""
        program = self._with_noise_of(seed)
        scores = targets.run(program, self._inputs(samples, seed), self.target).scores
        counts = torch.from_numpy(np.asarray(scores[self.output]))
        if not self._counted:
            return Reading(counts)
        return Reading(
            counts, torch.from_numpy(scores[TIE_BREAKER] / thresholds(self.program, self.output))
        )

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Scores, float64 [sample, class], in the Program's own units."""
        scores: np.ndarray = self.ask(samples, seed=seed).scores.numpy()
        return scores

    def _inputs(self, samples: np.ndarray, seed: int) -> np.ndarray:
        if self.front is not None:
            samples, _ = self.front.run(np.ascontiguousarray(samples, np.float32), self.target)
        if self.encoder is None:
            return whole(samples, np.uint8, f"events for target {self.target}", 0, 1)
        return integers(self.encoder, samples, seed)

    def _with_noise_of(self, seed: int) -> Program:
        """The Program that is asked, kept for the next call: executors prepare a Program once."""
        if self.reseeded is None:
            return self._tie_breaking
        if self._seeded is None or self._seeded[0] != seed:
            self._seeded = seed, self.reseeded(self._tie_breaking, seed)
        return self._seeded[1]
