"""In which order the layers of a network run, and what each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from toolchain.errors import LayerError

INPUT = "input"
"""What a layer reads that reads the network's input."""


@dataclass(frozen=True)
class Call:
    """One layer: what it reads, and what is read by no later layer."""

    name: str
    sources: tuple[str, ...]
    apart: bool
    done: tuple[str, ...]


class CallPlan:
    """The calls of a network's layers, in their order.

    Args:
        layers: name → layer, each listed behind what it reads.
        inputs: layer → the layers that it reads, or "input"; a layer that is not named reads the
            one before it, the first one the input.

    Raises:
        LayerError: A layer reads one that is not there or that comes later, or nothing reads it.
    """

    def __init__(
        self, layers: Mapping[str, nn.Module], inputs: Mapping[str, str | Sequence[str]]
    ) -> None:
        for name in inputs:
            if name not in layers:
                raise LayerError(f"inputs: {name!r} is no layer; there are {', '.join(layers)}")
        self.sources: dict[str, tuple[str, ...]] = {}
        before = INPUT
        for name in layers:
            self.sources[name] = self._sources(name, inputs.get(name, before))
            before = name
        self.output = before
        self._check_ends()
        self.calls = tuple(self._calls(layers))

    def _sources(self, name: str, stated: str | Sequence[str]) -> tuple[str, ...]:
        sources = (stated,) if isinstance(stated, str) else tuple(stated)
        if not sources:
            raise LayerError(f"inputs: {name!r} reads nothing; it must read at least one layer")
        for position, source in enumerate(sources):
            if source in sources[:position]:
                raise LayerError(
                    f"inputs: {name!r} reads {source!r} twice; it must read each layer once"
                )
            if source != INPUT and source not in self.sources:
                raise LayerError(
                    f"inputs: {name!r} reads {source!r}; it must read layers listed before it"
                    + (f" ({', '.join(self.sources)})" if self.sources else "")
                    + f', or "{INPUT}"'
                )
        return sources

    def _check_ends(self) -> None:
        read = {source for sources in self.sources.values() for source in sources}
        for name in self.sources:
            if name not in read and name != self.output:
                raise LayerError(
                    f"inputs: nothing reads {name!r}; every layer but the last must be read"
                )

    def _calls(self, layers: Mapping[str, nn.Module]) -> Iterator[Call]:
        last = {
            source: name for name, sources in self.sources.items() for source in sources
        }  # the last layer that reads each
        for name, sources in self.sources.items():
            apart = bool(getattr(layers[name], "several", False))
            done = tuple(dict.fromkeys(s for s in sources if last[s] == name))
            yield Call(name, sources, apart, done)

    @property
    def row(self) -> bool:
        """Whether every layer reads the one before it, and only that."""
        return not self.branches()

    def branches(self) -> dict[str, tuple[str, ...]]:
        """What ``inputs`` has to say: the sources of the layers that do not read just the one
        before."""
        by_layer, before = {}, INPUT
        for name, sources in self.sources.items():
            if sources != (before,):
                by_layer[name] = sources
            before = name
        return by_layer

    def run(self, x: torch.Tensor, call: Callable[..., torch.Tensor]) -> torch.Tensor:
        """The last layer's result; ``call(name, *inputs)`` runs one layer. Results are kept no
        longer than something reads them."""
        values = {INPUT: x}
        for step in self.calls:
            inputs = [values[source] for source in step.sources]
            for name in step.done:
                del values[name]
            if not step.apart and len(inputs) > 1:
                inputs = [total(step.name, inputs)]
            values[step.name] = call(step.name, *inputs)
            del inputs
        return values[self.output]


def total(name: str, given: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum of what a layer reads. Raises LayerError where the shapes differ."""
    shapes = {tuple(value.shape) for value in given}
    if len(shapes) > 1:
        listed = " and ".join(str(shape) for shape in sorted(shapes))
        raise LayerError(
            f"layer {name!r}: it reads the sum of results of shape {listed}; they must be alike"
        )
    result = given[0]
    for value in given[1:]:
        result = result + value
    return result
