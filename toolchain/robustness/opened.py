"""A model that is open: what it reads, whether it is random, and as a victim of attacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import nn

from hardware.program import Population, Program
from toolchain.attacks.base import NotApplicable
from toolchain.deploy.stage import Stage
from toolchain.errors import ModelError

if TYPE_CHECKING:
    from toolchain.attacks.base import Victim
    from toolchain.attacks.encoding import Encoder
    from toolchain.attacks.victims import EventVictim, PixelVictim, ProgramVictim
    from toolchain.purification.front import Front


@dataclass(frozen=True, eq=False)
class Opened:
    """A model, its Program where it has one (``no_program``: why not), and what it reads (``io``,
    see ``toolchain.layers``).

    content  SHA-256 of its weights and graph
    modules  of the user, that made it
    """

    stage: Stage
    module: nn.Module
    program: Program | None
    io: Mapping[str, Any]
    sample_shape: tuple[int, ...]
    no_program: str = ""
    content: str = ""
    modules: tuple[str, ...] = ()

    @property
    def data(self) -> dict[str, Any]:
        """What it says of its data: name, encoding, steps, …"""
        return dict(self.io.get("data", {}))

    @property
    def events(self) -> bool:
        """True: binary events; False: images."""
        return self.data.get("encoding") == "events"

    @property
    def front(self) -> Front | None:
        """What stands before the network."""
        front: Front | None = getattr(self.module, "front", None)
        return front

    @cached_property
    def exact(self) -> bool:
        """True where the PyTorch model computes the Program's own integers, so that both are
        attacked alike."""
        from toolchain.layers.neuron import Neuron

        if self.program is None:
            return False
        return all(isinstance(module, Neuron) for module in self._spiking())

    @property
    def spiking(self) -> bool:
        """False for a network without a spiking neuron, whose gradient is exact."""
        return bool(self._spiking())

    def _spiking(self) -> list[nn.Module]:
        return [
            m
            for m in self.module.modules()
            if hasattr(m, "spike_grad") and getattr(m, "threshold", None) is not None
        ]

    @cached_property
    def stochastic(self) -> bool:
        """True where an inference depends on a seed."""
        return self.classifier().stochastic

    def encoder(self) -> Encoder:
        """From images to what the network reads."""
        from toolchain.attacks.encoding import Reshaped
        from toolchain.attacks.victims import encoder_of

        encoder, shape = encoder_of(self.io), tuple(self.io["input"]["shape"])
        return encoder if shape == self.sample_shape else Reshaped(encoder, shape)

    def classifier(self) -> EventVictim | PixelVictim:
        """The PyTorch network as a victim, without what stands before it."""
        from toolchain.attacks.victims import EventVictim, PixelVictim

        if self.events:
            return EventVictim(self.module, int(self.data["steps"]), io=self.io)
        return PixelVictim(self.module, self.encoder(), io=self.io, sample_shape=self.sample_shape)

    def required(self) -> Program:
        """The Program. Raises NotApplicable where there is none."""
        if self.program is None:
            raise NotApplicable(f"no Program: {self.no_program}")
        return self.program

    def victim(self, front: str = "through") -> Victim:
        """The PyTorch model as a victim; ``front``: see ``toolchain.attacks.fronts``. Raises
        NotApplicable."""
        from toolchain.attacks.fronts import ways

        return ways(self.classifier(), self.front, front)

    def integers(self, target: str, front: str = "through") -> ProgramVictim:
        """The Program as a victim on a target, a black box. Raises NotApplicable where there is
        none."""
        from toolchain.attacks.victims import ProgramVictim

        program = self.required()
        if front not in ("through", "skip"):
            raise NotApplicable(
                f"a black box knows no gradient of what stands before the network that it could "
                f"treat as {front!r}"
            )
        reseeded = self.reseeded if noisy(program) else None
        if self.events:
            return ProgramVictim(
                program, steps=int(self.data["steps"]), target=target, reseeded=reseeded
            )
        return ProgramVictim(
            program,
            self.encoder(),
            target=target,
            reseeded=reseeded,
            front=self.front if front == "through" else None,
            sample_shape=self.sample_shape,
        )

    def reseeded(self, program: Program, seed: int) -> Program:
        """The Program whose noise is that of the PyTorch model with this seed of its noise; one
        without noise as it is."""
        from toolchain.layers.noise import noise_seed

        random = noisy(program)
        if not random:
            return program
        modules = dict(self.module.named_modules())
        unknown = [p.name for p in random if p.name not in modules]
        if unknown:
            raise ModelError(
                f"{self.stage.source}: the Program's noisy layer {unknown[0]!r} is no module of "
                f"the model, whose seed it has"
            )
        with noise_seed(self.module, seed):
            seeds = {p.name: _seed_of(modules[p.name]) for p in random}
        populations = {
            p.name: replace(p, noise=replace(p.noise, seed=seeds[p.name]))
            for p in random
            if p.noise is not None
        }
        changed = tuple(populations.get(p.name, p) for p in program.populations)
        return replace(program, populations=changed)


def _seed_of(noisy_layer: Any) -> int:
    seed: int = noisy_layer.noise.seed
    return seed


def noisy(program: Program | None) -> list[Population]:
    """The Program's noisy populations."""
    populations = () if program is None else program.populations
    return [p for p in populations if isinstance(p, Population) and p.noise is not None]
