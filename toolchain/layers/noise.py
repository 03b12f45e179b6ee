"""Noise of noisy neurons: fresh in training, none or the chip's own at inference.

A noisy neuron fires when potential + noise exceeds its threshold; the noise does not stay in the
potential, so that without reset the chance to fire is Phi((V - V_th) / sigma). Wang et al., arXiv
2602.20548 (noisy LIF); Ma et al., arXiv 2305.16044.

training              Gaussian, from torch's generator, for every neuron, step and sample, rounded
                      to the lsb of the state
evaluation            none: a plain LIF, and exported as one
evaluation, with ``noise_at_inference``
                      ``hardware.noise.draw`` of the layer's ``noise_seed``: the numbers that every
                      target draws for the exported Program. Each sample starts them anew. (Step by
                      step a sample starts with the states of ``reset_mem()``.)

The spread that noise makes at inference is seen over seeds, never over calls::

    with snn.noise_seed(model, 3):
        trace = model(x)            # the numbers of the same network, built and exported with
                                    noise_seed = 3
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from hardware import noise as hardware_noise
from toolchain.errors import LayerError


class NoiseSource:
    """The noise of one neuron layer, in units of its state.

    sigma         whole number from 1
    at_inference  True: evaluation is noisy, too
    seed          of the noise at inference
    """

    def __init__(self, where: str, sigma: int, at_inference: bool, seed: int):
        if not 1 <= sigma <= hardware_noise.MAX_SIGMA:
            raise LayerError(
                f"{where}: a noise of {sigma} units of the state (2**-(fraction_bits + 6) V); "
                f"it must be 1 to {hardware_noise.MAX_SIGMA}"
            )
        if (
            isinstance(seed, bool)
            or not isinstance(seed, int)
            or not 0 <= seed <= hardware_noise.MAX_SEED
        ):
            raise LayerError(
                f"{where}: noise_seed is {seed!r}; it must be a whole number from 0 to "
                f"{hardware_noise.MAX_SEED}"
            )
        self.sigma, self.at_inference, self.seed = sigma, at_inference, seed
        self._kept: tuple[tuple[int, int], torch.Tensor] | None = None

    def drawn(self, training: bool, first: int, like: torch.Tensor) -> torch.Tensor | None:
        """Noise of the steps from ``first`` for a current ``like`` [time, batch, neuron]: int32
        [time, batch or 1, neuron]; None: none."""
        if training:
            return torch.round(
                torch.randn(like.shape, device=like.device, dtype=torch.float32) * self.sigma
            ).to(torch.int32)
        if not self.at_inference:
            return None
        steps, _, neurons = like.shape
        return self._exported(first + steps, neurons)[first : first + steps, None].to(like.device)

    def _exported(self, steps: int, neurons: int) -> torch.Tensor:
        """The numbers of every target, kept because a network that is called step by step, or
        attacked, asks for the same ones again."""
        key = (self.seed, neurons)
        kept = None if self._kept is None or self._kept[0] != key else self._kept[1]
        if kept is None or len(kept) < steps:
            longer = steps if kept is None else max(steps, 2 * len(kept))
            drawn = hardware_noise.draw(self.seed, self.sigma, longer, neurons)
            kept = torch.from_numpy(drawn).to(torch.int32)
            self._kept = (key, kept)
        return kept


def seed_noise(model: nn.Module, seed: int) -> None:
    """Give every noisy layer a seed of its own from the seed of the network
    (``hardware.noise.derived``, in the order of the layers)."""
    for number, source in enumerate(_sources(model)):
        source.seed = hardware_noise.derived(seed, number)


@contextmanager
def noise_seed(model: nn.Module, seed: int) -> Iterator[None]:
    """The model as if it had been built with this ``noise_seed``; plain networks are not changed.

    This is how an attack averages over noise at inference, and how its spread is measured: the
    Program that is exported inside draws the same numbers.
    """
    before = [(source, source.seed) for source in _sources(model)]
    seed_noise(model, seed)
    try:
        yield
    finally:
        for source, own in before:
            source.seed = own


def _sources(model: nn.Module) -> list[NoiseSource]:
    sources = (getattr(module, "noise", None) for module in model.modules())
    return [source for source in sources if isinstance(source, NoiseSource)]
