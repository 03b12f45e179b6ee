"""Networks as attacks see them: a PyTorch model on images or on events, an integer Program, a purifier in front of either.

Scores are decoded as the Program's output is: spike counts are whole numbers, the same for software and Program; potentials are
volts for software, whole numbers for a Program. ``temperature`` is what the cross entropy divides scores by: the number of steps
for spike counts, so that its argument is the mean over time, as in the literature, and a long sample does not saturate it.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from torch import nn

from hardware import targets
from hardware.program import Program
from toolchain.attacks.base import AttackError, Victim
from toolchain.attacks.encoding import Direct, Encoder, Latency, Poisson, StraightThrough, integers
from toolchain.data.datasets import DATASETS
from toolchain.layers.network import decode


@contextmanager
def as_attacked(model: nn.Module):
    """The model in evaluation mode (a score must not depend on batch mates) and with constant parameters, for one forward pass."""
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


class _ModelVictim:
    """What the two model victims share."""

    def __init__(self, model: nn.Module, stochastic: bool):
        if not hasattr(model, "spikeport_io"):
            raise AttackError(f"{type(model).__name__} has no spikeport_io(), which says how its inputs and outputs are coded")
        self.model, self.io = model, model.spikeport_io()
        if self.io["call"] not in ("sequence", "step"):
            raise AttackError(f"{type(model).__name__}: call is {self.io['call']!r}; accepted are sequence, step")
        self.stochastic = stochastic

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

    def _trace(self, values: torch.Tensor, seed: int) -> torch.Tensor:
        """Output trace for values [step, sample, *shape]; random layers draw from the seed."""
        with as_attacked(self.model), torch.random.fork_rng(devices=[], enabled=self.stochastic):
            if self.stochastic:
                torch.manual_seed(seed & (2**63 - 1))
            if self.io["call"] == "sequence":
                found = self.model(values)
                return found[0] if isinstance(found, tuple) else found
            for module in self.model.modules():
                if hasattr(module, "reset_mem"):
                    module.reset_mem()
            steps = [self.model(step) for step in values]
            return torch.stack([s[0] if isinstance(s, tuple) else s for s in steps])

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Scores without gradient, float32 [sample, class]."""
        with torch.no_grad():
            return self.scores(torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self.device), seed=seed).cpu().numpy()


def encoder_of(io: dict) -> Encoder:
    """The encoder that a model's spikeport_io() asks for, the same function as ``toolchain.data.encoders`` on images that are the
    data set's values divided by the power of two above them: data.encoding "direct", "poisson" ("poisson_signed") or "latency"."""
    data, source = io.get("data", {}), io["input"]
    steps, how = data.get("steps"), data.get("encoding")
    if how == "direct":
        bits = (_largest_value(data) - 1).bit_length() if data.get("bits") is not None else 0
        return Direct(steps, source["message_bits"], source["fraction_bits"], max(0, bits - source["fraction_bits"]))
    if how in ("poisson", "poisson_signed"):
        return Poisson(steps, signed=how == "poisson_signed", rate=data.get("rate", 1.0))
    if how == "latency":
        largest = _largest_value(data)
        return Latency(steps, largest, float(1 << (largest - 1).bit_length()))
    raise AttackError(
        f"the model's encoding is {how!r}; accepted for images are direct, poisson, poisson_signed, latency; or give the victim an encoder"
    )


def _largest_value(data: dict) -> int:
    """Of the images of the data set that a model names."""
    if data.get("name") not in DATASETS or not DATASETS[data["name"]][2]:
        raise AttackError(
            f"the model's data set is {data.get('name')!r}; with this encoding accepted are those of images that toolchain.data has"
        )
    return DATASETS[data["name"]][2]


class PixelVictim(_ModelVictim):
    """A model on images [channels, height, width] in [0, 1]: encoder, network and decoding in one differentiable function.

    encoder      default: what the model's spikeport_io() says
    stochastic   True where the model itself is random (noisy neurons); a random encoder makes the victim stochastic anyway.
                 The model's random layers draw from PyTorch's generator, seeded for every call
    """

    def __init__(self, model: nn.Module, encoder: Encoder | None = None, *, stochastic: bool = False):
        super().__init__(model, stochastic)
        self.encoder = encoder_of(self.io) if encoder is None else encoder
        self.stochastic = stochastic or self.encoder.stochastic
        self.sample_shape = tuple(self.io["input"]["shape"])
        self.temperature = self._temperature(self.encoder.steps)

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """Scores [sample, class] of images [sample, *shape], differentiable."""
        return decode(self._trace(self.encoder(samples, seed), seed), self.io["output"]["decode"])


class EventVictim(_ModelVictim):
    """A model on binary events [step, channels, height, width].

    steps        time steps of a sample
    stochastic   True where the model is random
    """

    def __init__(self, model: nn.Module, steps: int, *, stochastic: bool = False):
        super().__init__(model, stochastic)
        self.sample_shape = (steps, *self.io["input"]["shape"])
        self.temperature = self._temperature(steps)

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """Scores [sample, class] of events [sample, step, *shape], differentiable."""
        return decode(self._trace(samples.transpose(0, 1), seed), self.io["output"]["decode"])


class ProgramVictim:
    """An integer Program on any hardware target, as a black box.

    encoder   for images; None: samples are events [step, *shape] that go in as they are
    steps     time steps of an event sample (no encoder)
    output    the Program's output that is read; default: its only one
    """

    def __init__(
        self, program: Program, encoder: Encoder | None = None, *, steps: int | None = None, target: str = "fast", output: str | None = None
    ):
        names = [o.population for o in program.outputs]
        if output is None and len(names) != 1:
            raise AttackError(f"the Program has {len(names)} outputs ({', '.join(names)}); say which one holds the classes")
        if len(program.inputs) != 1:
            raise AttackError(f"the Program has {len(program.inputs)} inputs; accepted is one")
        if (encoder is None) == (steps is None):
            raise AttackError("a ProgramVictim needs either an encoder (images) or steps (events)")
        self.program, self.encoder, self.target = program, encoder, target
        self.output = names[0] if output is None else output
        shape = program.inputs[0].shape
        self.sample_shape = tuple(shape) if encoder is not None else (steps, *shape)
        self.classes = program.nodes[self.output].size
        self.stochastic = encoder is not None and encoder.stochastic

    @property
    def model(self) -> nn.Module:
        raise AttackError(
            "an integer Program has no gradient; attack its PyTorch twin, or use a black-box attack (square, noise, transfer)"
        )

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """Refused: there is no gradient."""
        return self.model

    def recording(self, samples: np.ndarray, *, seed: int = 0):
        """The Recording of the samples, with counts and scores; float32 images or uint8 events [sample, *sample_shape]."""
        inputs = samples.astype(np.uint8) if self.encoder is None else integers(self.encoder, samples, seed)
        return targets.run(self.program, inputs, self.target)

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Scores, float64 [sample, class], in the Program's own units."""
        return np.asarray(self.recording(samples, seed=seed).scores[self.output])


class Purified:
    """A purifier in front of a victim, attacked through it.

    purify     images [sample, *shape] → images
    gradient   "identity": BPDA, the purifier's backward pass is the identity (Athalye et al., ICML 2018), which attacks any
               purifier; "through": its own derivative
    """

    def __init__(self, victim: Victim, purify, *, gradient: str = "identity"):
        if gradient not in ("identity", "through"):
            raise AttackError(f"purifier gradient is {gradient!r}; accepted are identity, through")
        self.victim, self.purify, self.gradient = victim, purify, gradient
        self.sample_shape, self.classes, self.stochastic = victim.sample_shape, victim.classes, victim.stochastic
        self.temperature = getattr(victim, "temperature", 1.0)

    @property
    def device(self) -> torch.device:
        return getattr(self.victim, "device", torch.device("cpu"))

    @property
    def model(self) -> nn.Module:
        """Every module that an estimator may change: the network, and the purifier where the gradient goes through it."""
        inside = isinstance(self.purify, nn.Module) and self.gradient == "through"
        return nn.ModuleList([self.victim.model, self.purify]) if inside else self.victim.model

    def scores(self, samples: torch.Tensor, *, seed: int = 0) -> torch.Tensor:
        """Scores of the purified samples, differentiable as ``gradient`` says."""
        return self.victim.scores(self._purified(samples), seed=seed)

    def predict(self, samples: np.ndarray, *, seed: int = 0) -> np.ndarray:
        """Scores without gradient."""
        with torch.no_grad():
            purified = self._purified(torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self.device))
        return self.victim.predict(purified.cpu().numpy(), seed=seed)

    def _purified(self, samples: torch.Tensor) -> torch.Tensor:
        if not isinstance(self.purify, nn.Module):
            run = self.purify
        else:

            def run(x):
                with as_attacked(self.purify):
                    return self.purify(x)

        if self.gradient == "through":
            return run(samples)
        with torch.no_grad():
            values = run(samples.detach())
        if values.shape != samples.shape:
            raise AttackError(f"the purifier turned shape {tuple(samples.shape)} into {tuple(values.shape)}; accepted is the same shape")
        return StraightThrough.apply(samples, values)
