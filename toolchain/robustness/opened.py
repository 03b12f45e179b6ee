"""A model that is open: what it reads, whether it is random, and as a victim of attacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from torch import nn

from hardware.program import Population, Program
from toolchain.attacks.base import NotApplicable
from toolchain.deploy.stages import Stage
from toolchain.errors import ModelError


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
    io: Mapping
    sample_shape: tuple[int, ...]
    no_program: str = ""
    content: str = ""
    modules: tuple[str, ...] = ()

    @property
    def data(self) -> dict:
        """What it says of its data: name, encoding, steps, …"""
        return dict(self.io.get("data", {}))

    @property
    def events(self) -> bool:
        """True: binary events; False: images."""
        return self.data.get("encoding") == "events"

    @property
    def front(self) -> nn.Module | None:
        """What stands before the network."""
        return getattr(self.module, "front", None)

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

    def classifier(self):
        """The PyTorch network as a victim, without what stands before it."""
        from toolchain.attacks.encoding import Reshaped
        from toolchain.attacks.victims import EventVictim, PixelVictim, encoder_of

        if self.events:
            return EventVictim(self.module, int(self.data["steps"]), io=self.io)
        encoder, shape = encoder_of(self.io), tuple(self.io["input"]["shape"])
        if shape != self.sample_shape:
            encoder = Reshaped(encoder, shape)
        return PixelVictim(self.module, encoder, io=self.io, sample_shape=self.sample_shape)

    def victim(self, front: str = "through"):
        """The PyTorch model as a victim; ``front``: see ``toolchain.attacks.fronts``. Raises
        NotApplicable."""
        from toolchain.attacks.fronts import ways

        return ways(self.classifier(), self.front, front)

    def integers(self, target: str, front: str = "through"):
        """The Program as a victim on a target, a black box. Raises NotApplicable where there is
        none."""
        from toolchain.attacks.victims import ProgramVictim

        if self.program is None:
            raise NotApplicable(f"no Program: {self.no_program}")
        if front not in ("through", "skip"):
            raise NotApplicable(
                f"a black box knows no gradient of what stands before the network that it could "
                f"treat as {front!r}"
            )
        reseeded = self.reseeded if noisy(self.program) else None
        if self.events:
            return ProgramVictim(
                self.program, steps=int(self.data["steps"]), target=target, reseeded=reseeded
            )
        return ProgramVictim(
            self.program,
            self.classifier().encoder,
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
            seeds = {p.name: modules[p.name].noise.seed for p in random}
        populations = [
            replace(p, noise=replace(p.noise, seed=seeds[p.name])) if p.name in seeds else p
            for p in program.populations
        ]
        return replace(program, populations=tuple(populations))


def noisy(program: Program | None) -> list[Population]:
    """The Program's noisy populations."""
    populations = () if program is None else program.populations
    return [p for p in populations if p.kind == "lif" and p.noise is not None]
