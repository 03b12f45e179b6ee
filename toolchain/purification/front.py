"""Image purification: a spiking network estimates the noise, a second one, given image and
estimate, removes it; a gate decides.

After Chen and Xu (arXiv 2404.17092): noise-level estimation SNN (``NoiseEstimator``), non-blind
residual spiking U-Net (``Reconstruction``), L-infinity detector (``detector.Gate``). The paper
gives no sizes; the structure follows CBDNet (Guo et al., CVPR 2019), and everything else is ours.

    images ─► noise estimator ─► noise map ─┐
       └──────────────────────── concatenate ─► U-Net ─► residual ─► + images, clip ─► P(x) ─┐
                 (chip)              (host)      (chip)                 (host)               │
       ┌─────────────────────────────────────────────────────────────────────────────────────┘
       └─► gate ─► classifier
          (host)

Both networks are layers of ``toolchain.layers``, read out by potentials, so each is a Program. What
is between them needs numbers that no spike carries (a residual is added to the image itself, the
gate compares and chooses) and is computed on the host, in float32, by the same lines of code in
training, in an attack and behind a target.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import toolchain.layers as snn
from hardware.program import Program
from hardware.recording import Recording
from toolchain.attacks.encoding import Direct
from toolchain.errors import ConfigError, LayerError, ModelError
from toolchain.layers.surrogate import SURROGATES
from toolchain.purification.detector import Gate, distance
from toolchain.purification.settings import Purifier
from toolchain.whole import whole

if TYPE_CHECKING:
    from export import Lowered

FRACTION_BITS = 10
"""Of all layers that read spikes."""

FINER = 5
"""The layers that read graded values have so many fraction bits more than these: their weights are
then multiples of 2**-4 V, and their currents may reach 2**(17 - FINER - bits) V, 32 V for 7 bits;
beyond that a typed error says so (ours, between resolution and range)."""

PARTS = ("noise", "reconstruction")
"""The spiking parts of a front, in the order in which they run."""

Execute = Callable[[str, torch.Tensor], torch.Tensor]
"""(part, values [step, sample, *shape]) → potentials of its read-out after the last step, volts,
[sample, *shape]."""

Classifier = TypeVar("Classifier", bound=nn.Module)

Versions: TypeAlias = tuple[tuple[torch.Tensor, int], ...]
"""Parameters, and how often each was written to."""

Runner = Callable[[str, nn.Module, Program, np.ndarray], Recording]
"""(part, its module, its Program, integer inputs [sample, step, *shape]) → Recording of a run."""


class _Factory:
    """Layers of one description."""

    def __init__(self, settings: Purifier) -> None:
        self.settings = settings

    def conv(
        self,
        channels: int,
        out: int,
        kernel: int,
        stride: int = 1,
        *,
        read: int = 0,
        bias: bool = True,
        gain: float = 1.0,
    ) -> snn.Conv2d:
        """A convolution that keeps the size (odd kernel), or divides it by the stride (kernel =
        stride), of values * 2**-read.

        Graded inputs (read: ``bits``) need finer weights; a pool of spikes (read: 2) does not.
        """
        bits = self.settings.bits + FINER if read == self.settings.bits else FRACTION_BITS
        layer = snn.Conv2d(
            channels,
            out,
            kernel,
            stride,
            kernel // 2 if stride == 1 else 0,
            bias=bias,
            fraction_bits=bits,
            source_fraction_bits=read,
        )
        nn.init.normal_(layer.weight, 0.0, gain * (2.0 / layer.weight[0].numel()) ** 0.5)
        if bias:
            nn.init.zeros_(layer.bias)
        return layer

    def lif(self, fraction_bits: int = FRACTION_BITS) -> snn.LIF:
        """Neurons of the purifier."""
        chosen = self.settings.surrogate
        surrogate = SURROGATES[chosen.name](chosen.parameter)
        return snn.LIF(
            self.settings.threshold,
            beta=self.settings.beta,
            spike_grad=surrogate,
            fraction_bits=fraction_bits,
        )


def noise_estimator(settings: Purifier, shape: tuple[int, ...]) -> snn.Network:
    """Plain 3 x 3 convolutions, LIF behind all but the last, integrators behind that: the noise
    map, as many channels as the image."""
    make = _Factory(settings)
    layers: dict[str, nn.Module] = {}
    channels, read = shape[0], settings.bits
    for number in range(1, settings.noise_layers):
        conv = make.conv(channels, settings.noise_width, 3, read=read)
        layers[f"conv{number}"] = conv
        layers[f"lif{number}"] = make.lif(conv.fraction_bits)
        channels, read = settings.noise_width, 0
    layers[f"conv{settings.noise_layers}"] = make.conv(channels, shape[0], 3, gain=0.1)
    layers["readout"] = snn.LI(1.0, fraction_bits=FRACTION_BITS)
    return snn.Network(
        layers,
        input_shape=shape,
        message_bits=settings.bits + 2,
        fraction_bits=settings.bits,
        decode="last_potential",
    )


class Reconstruction(nn.Module):
    """A spiking U-Net of depth d = len(channels) - 1: average pools by 2 on the way down, additive
    skips, sub-pixel convolutions up.

    input     image and noise map, [2 * channels, height, width], graded
    down      conv 3 x 3 and LIF in each resolution, an average pool of 2 x 2 between them
    up        a transposed convolution whose kernel is its stride r is a 1 x 1 convolution to r**2
              times as many channels, one for each position in an r x r block (Shi et al., CVPR
              2016). The decoder stays in that layout, [channels * r**2, height / r, width / r] of
              the coarsest resolution, so that every layer is an ordinary convolution of the chip
    skip      a convolution of stride r brings the encoder's spikes to the same layout; both
              currents are added up in the neurons
    readout   integrators in that layout; ``unfold`` puts their pixels into place, which moves
              numbers and computes none
    """

    def __init__(self, settings: Purifier, shape: tuple[int, ...]) -> None:
        super().__init__()
        make, widths = _Factory(settings), settings.channels
        self.depth, self.settings = len(widths) - 1, settings
        self.shape = (2 * shape[0], *shape[1:])

        whole = 2**self.depth
        if shape[1] % whole or shape[2] % whole:
            raise ConfigError(
                f"purifier: images of {shape[1]} x {shape[2]} cannot be halved {self.depth} times; "
                f"channels must have fewer entries"
            )

        channels, read = self.shape[0], settings.bits
        for level, width in enumerate(widths):
            conv = make.conv(channels, width, 3, read=read)
            self.add_module(f"down{level}", conv)
            self.add_module(f"encoder{level}", make.lif(conv.fraction_bits))
            if level < self.depth:
                self.add_module(f"pool{level}", snn.AvgPool2d(2))
            channels, read = width, 2

        for level in reversed(range(self.depth)):
            block = 2 ** (self.depth - level)
            out = widths[level] * block**2
            self.add_module(f"up{level}", make.conv(channels, out, 1, read=0))
            self.add_module(
                f"skip{level}", make.conv(widths[level], out, block, block, read=0, bias=False)
            )
            self.add_module(f"decoder{level}", make.lif())
            channels = out

        self.out = make.conv(channels, shape[0] * whole**2, 3, gain=0.1)
        self.readout = snn.LI(1.0, fraction_bits=FRACTION_BITS)
        snn.name_layers(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[step, sample, 2 * channels, height, width] → potentials [step, sample, channels * r**2,
        height / r, width / r]."""
        if x.dim() != 5 or tuple(x.shape[2:]) != self.shape:
            raise LayerError(
                f"the input has shape {tuple(x.shape)}; it must be [step, sample, "
                f"{', '.join(map(str, self.shape))}]"
            )
        part, encoded = dict(self.named_children()), []
        for level in range(self.depth + 1):
            x = part[f"encoder{level}"](part[f"down{level}"](x), sequence=True)
            encoded.append(x)
            if level < self.depth:
                x = part[f"pool{level}"](x)
        for level in reversed(range(self.depth)):
            current = part[f"up{level}"](x) + part[f"skip{level}"](encoded[level])
            x = part[f"decoder{level}"](current, sequence=True)
        potentials: torch.Tensor = self.readout(self.out(x), sequence=True)
        return potentials

    def unfold(self, potentials: torch.Tensor) -> torch.Tensor:
        """[sample, channels * r**2, height / r, width / r] → [sample, channels, height, width]."""
        return functional.pixel_shuffle(potentials, 2**self.depth)

    def spikeport_io(self) -> dict[str, Any]:
        """Input and output as the exporter reads them."""
        bits = self.settings.bits
        return {
            "input": {"shape": list(self.shape), "message_bits": bits + 2, "fraction_bits": bits},
            "output": {"decode": "last_potential"},
            "call": "sequence",
            "data": {},
            "origin": {"framework": "spikeport"},
        }


class Front(nn.Module):
    """What stands before a classifier: ``front(images [sample, channels, height, width] in [0,
    1])`` gives images to classify.

    Differentiable from end to end: surrogate gradients in the neurons, straight through the
    roundings, and the gate's own rule (``front.gate.gradient``).
    """

    def __init__(self, settings: Purifier, shape: tuple[int, ...]) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ConfigError(
                f"purifier: the classifier reads {shape}; it must read images, [channels, height, "
                f"width]"
            )
        self.settings, self.shape = settings, tuple(shape)
        self.encode = Direct(settings.steps, settings.bits + 2, settings.bits)
        self.noise = noise_estimator(settings, self.shape)
        self.reconstruction = Reconstruction(settings, self.shape)
        self.gate = Gate()
        self._lowered: tuple[Versions, Mapping[str, Lowered]] = ((), {})

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Raw images where the detector sees no perturbation, purified ones elsewhere."""
        chosen: torch.Tensor = self.gate(images, self.purify(images))
        return chosen

    def purify(self, images: torch.Tensor) -> torch.Tensor:
        """P(x) in [0, 1], whatever the detector says."""
        return self.restore(images, self._software)[0]

    def distance(self, images: torch.Tensor) -> torch.Tensor:
        """r = max |x - P(x)| of each image, [sample]."""
        return distance(images, self.purify(images))

    def restore(
        self, images: torch.Tensor, execute: Execute | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(P(x), noise map), both of the images' shape; ``execute`` runs the spiking parts (None:
        as PyTorch modules)."""
        if tuple(images.shape[1:]) != self.shape:
            raise LayerError(
                f"front: images of shape {tuple(images.shape)}; they must be [sample, "
                f"{', '.join(map(str, self.shape))}]"
            )
        execute = self._software if execute is None else execute
        steps = self.settings.steps
        noise = execute("noise", self.encode(images)) / steps
        residual = execute("reconstruction", self.encode(torch.cat([images, noise], dim=1))) / steps
        return (images + self.reconstruction.unfold(residual)).clamp(0.0, 1.0), noise

    def _software(self, part: str, values: torch.Tensor) -> torch.Tensor:
        trace: torch.Tensor = getattr(self, part)(values)
        return trace[-1]

    def programs(self) -> Mapping[str, Lowered]:
        """Part → (Program, Audit), made anew when a parameter changed."""
        import export
        from export.frameworks import trace

        state: Versions = tuple((t, t._version) for t in self.state_dict(keep_vars=True).values())
        known = self._lowered[0]
        if len(known) != len(state) or any(
            a is not b or m != n for (a, m), (b, n) in zip(known, state)
        ):
            lowered = {
                name: export.lower(trace(getattr(self, name)), source=f"front: {name}")
                for name in PARTS
            }
            self._lowered = (state, lowered)
        return self._lowered[1]

    @torch.no_grad()
    def run(
        self, images: np.ndarray, target: str, runner: Runner | None = None
    ) -> tuple[np.ndarray, dict[str, Recording]]:
        """(images after the gate, float32; part → Recording): the same numbers as
        ``front(images)``, its parts as Programs on a target.

        target   a hardware target; software runs the modules, see ``toolchain.deploy.fronts.run``
        runner   runs a part in another way than its Program on the target, and returns its
                 Recording

        Raises ModelError for images that are no finite numbers.
        """
        images = np.ascontiguousarray(images, np.float32)
        if not np.all(np.isfinite(images)):
            raise ModelError("front: NaN or infinite pixels; they must be numbers from 0 to 1")
        programs, recordings = self.programs(), {}

        def on_target(part: str, values: torch.Tensor) -> torch.Tensor:
            program = programs[part].program
            scaled = values.double().numpy() * 2.0**self.settings.bits
            inputs = whole(
                scaled, np.int32, f"front: {part}: inputs in units of 2**-{self.settings.bits}"
            ).swapaxes(0, 1)
            run = runner or self._runner(target)
            recordings[part] = run(part, getattr(self, part), program, inputs)
            output = program.outputs[0].population
            state = (
                recordings[part].scores[output].reshape(len(inputs), *program.nodes[output].shape)
            )
            return torch.from_numpy(
                (state * 2.0 ** -(program.metadata["fraction_bits"][output] + 6)).astype(np.float32)
            )

        x = torch.from_numpy(images)
        return self.gate(x, self.restore(x, on_target)[0]).numpy(), recordings

    def _runner(self, target: str) -> Runner:
        import hardware

        def run(part: str, module: nn.Module, program: Program, inputs: np.ndarray) -> Recording:
            return hardware.run(program, {"input": inputs}, target)

        return run

    def plan(self) -> list[dict[str, str]]:
        """What runs where, in order: {"step", "where": "host" or "chip", "what", "why"}; a "chip"
        step names its Program by "step"."""
        bits, steps = self.settings.bits, self.settings.steps
        threshold = float(self.gate.threshold)
        chip = (
            "neurons and weights of a Loihi-class chip; its potentials are read once, after the "
            "last step"
        )

        return [
            _host(
                "encode",
                f"pixels rounded to 2**-{bits}, sent as graded spikes in each of {steps} steps",
                "input to the chip",
            ),
            {
                "step": "noise",
                "where": "chip",
                "what": "noise-level estimation network",
                "why": chip,
            },
            _host(
                "noise map",
                f"potentials / {steps}, rounded to 2**-{bits} within ±2, beside the pixels as "
                f"further channels",
                "a potential becomes an input of another network",
            ),
            {
                "step": "reconstruction",
                "where": "chip",
                "what": "residual U-Net, skips as second projections into a population",
                "why": chip,
            },
            _host(
                "residual",
                f"potentials / {steps}, pixels put into place, added to the image, clipped to 0 "
                f"and 1",
                "the image itself is no spike train; float32",
            ),
            _host(
                "detector",
                f"r = max |x - P(x)|, perturbed where r > {threshold:.6g}",
                "a maximum over pixels is no sum of synapses",
            ),
            _host(
                "gate",
                "the raw image where r is not above the threshold, else P(x)",
                "a choice that depends on the data",
            ),
        ]


def _host(step: str, what: str, why: str) -> dict[str, str]:
    return {"step": step, "where": "host", "what": what, "why": why}


def attach(model: Classifier, front: Front) -> Classifier:
    """Put a front before a classifier: ``model.front``, which is no submodule of the network (the
    Program is without it).

    Raises ConfigError where one is there already.
    """
    if getattr(model, "front", None) is not None:
        raise ConfigError(
            "purifier: the classifier has a front already; it must be a checkpoint without one"
        )
    object.__setattr__(model, "front", front)
    return model
