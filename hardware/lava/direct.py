"""Runs a graph by calling Lava's Py*Model classes one after the other, without Lava's runtime.
Worker only.

The same processes, models, ports and steps as in the runtime; only the channels between the
processes are replaced, and everything happens in one process: the cheap oracle for many small
Programs. Synapses and delay lines send before they receive, so each is called twice in a step: the
first call sends and stops where it would wait, the second receives.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from lava.magma.compiler.builders.py_builder import PyProcessBuilder
from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs
from lava.magma.compiler.utils import VarInitializer
from lava.magma.core.model.py.ports import VirtualPortTransformer
from lava.magma.core.process.ports.ports import create_port_id
from lava.magma.core.run_configs import Loihi2SimCfg

_models: dict[type, type] = {}


class _WouldWait(Exception):
    """A model wants to receive what has not been sent yet."""


class _Channel:
    """Stands for a channel in shared memory: takes the shape and type of the sending port.

    A port receives from its channels one by one, so the first of them says whether all are ready:
    nothing is lost.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype
        self.waiting: deque[np.ndarray] = deque()
        self.muted = False
        self.needs: list[_Channel] = [self]

    def send(self, data: np.ndarray) -> None:
        if data.shape != self.shape:
            raise AssertionError(f"{data.shape} is sent over a channel of shape {self.shape}")
        if not self.muted:
            self.waiting.append(np.array(data).astype(self.dtype))

    def recv(self) -> np.ndarray:
        if not all(channel.waiting for channel in self.needs):
            raise _WouldWait
        return self.waiting.popleft()


def model_class(process: Any) -> type:
    """The model that Lava's compiler chooses for a process."""
    if type(process) not in _models:
        models = ProcGroupDiGraphs._find_proc_models(process)
        _models[type(process)] = Loihi2SimCfg(select_tag="fixed_pt").select(process, models)
    return _models[type(process)]


def build_model(process: Any) -> Any:
    """The model of a process with its variables, as Lava's builder makes it, still without
    ports."""
    builder = PyProcessBuilder(model_class(process), process.id, process.proc_params)
    builder.set_variables([VarInitializer(v.name, v.shape, v.init, v.id) for v in process.vars])
    return builder.build()


class DirectRuntime:
    """The interface of ``runtime.Runtime``."""

    def __init__(self, processes: list[Any]) -> None:
        self.step = 0
        self._models = {process.id: build_model(process) for process in processes}

        outgoing: dict[str, list[_Channel]] = {}
        for process in processes:
            model = self._models[process.id]
            for port in process.in_ports:
                kind = getattr(type(model), port.name)
                sources: dict[str, _Channel] = {}
                for source in port.get_src_ports():
                    key = create_port_id(source.process.id, source.name)
                    sources[key] = _Channel(
                        source.shape,
                        getattr(type(self._models[source.process.id]), source.name).d_type,
                    )
                    outgoing.setdefault(key, []).append(sources[key])

                inward = list(sources.values())
                if inward:
                    inward[0].needs = inward
                functions = port.get_incoming_transform_funcs()
                extra = (VirtualPortTransformer(sources, functions),) if functions else ()
                setattr(model, port.name, kind.cls(inward, model, port.shape, kind.d_type, *extra))

        self._out: dict[int, list[_Channel]] = {process.id: [] for process in processes}
        self._order: list[tuple[int, bool]] | None = None
        for process in processes:
            model = self._models[process.id]
            for port in process.out_ports:
                kind = getattr(type(model), port.name)
                channels = outgoing.get(create_port_id(process.id, port.name), [])
                self._out[process.id].extend(channels)
                setattr(model, port.name, kind.cls(channels, model, port.shape, kind.d_type))

    def advance(self, until: int, report: Callable[[int], None]) -> None:
        """Run up to and including Lava time step ``until``."""
        while self.step < until:
            self.step += 1
            for model in self._models.values():
                model.time_step = self.step
            if self._order is None:
                self._order = self._find_order()
            else:
                for key, again in self._order:
                    self._call(key, again)
        report(self.step)

    def _call(self, key: int, again: bool) -> bool:
        """One call of a model; False where it stopped because it would wait. ``again``: it has sent
        already."""
        for channel in self._out[key]:
            channel.muted = again
        try:
            self._models[key].run_spk()
        except _WouldWait:
            return False
        return True

    def _find_order(self) -> list[tuple[int, bool]]:
        """Run one step by trying, and return the calls that moved it on: (model, whether it was its
        second call)."""
        order: list[tuple[int, bool]] = []
        sent = dict.fromkeys(self._models, False)
        waiting = list(self._models)
        while waiting:
            before = len(order)
            for key in list(waiting):
                held = sum(len(channel.waiting) for channel in self._out[key])
                if self._call(key, sent[key]):
                    order.append((key, sent[key]))
                    waiting.remove(key)
                elif sum(len(channel.waiting) for channel in self._out[key]) > held:
                    order.append((key, False))
                    sent[key] = True
            if len(order) == before:
                raise RuntimeError("the graph of Lava processes waits for itself")
        return order

    def close(self) -> None:
        """Nothing to free."""
