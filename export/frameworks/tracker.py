"""Running a model while following where every tensor comes from.

Leaf modules (weights, normalisations, neurons) are seen by hooks, operations between them by a
``TorchFunctionMode``. What the operations are thought to compute is checked against the numbers at
every layer's input, so that an operation that slips by unseen (through numpy, a view written to,
``Tensor.data``) ends in an error and not in a wrong graph. For that the spikes of every neuron are
replaced by random ones while tracing: a silent layer would prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from export.errors import UnsupportedError
from export.frameworks.bystanders import Bystanders
from export.frameworks.elements import MAXIMA, POOLS, RATE, chosen, pooled
from export.frameworks.leaves import Leaf
from export.frameworks.linear_layers import Derived
from export.frameworks.moved import Selection
from export.frameworks.operations import Interpreter, name_of
from export.frameworks.taint import Taint
from export.frameworks.values import (
    CURRENT,
    INPUT,
    POTENTIAL,
    SPIKES,
    WEIGHTED,
    Opaque,
    Sources,
    Stack,
    Term,
    Traced,
    Value,
    sources_of,
    tensors_in,
    terms_of,
)
from export.frameworks.wrappers import described

_MAXIMUM = (
    "the maximum of spikes is their OR, but that of other values is no sum; pool spikes, or use "
    "average pooling or a strided convolution"
)
ADVICE = {
    "max_pool1d": _MAXIMUM,
    "max_pool2d": _MAXIMUM,
    "relu": "the neurons are the only non-linearity; leave it out",
    "matmul": "use nn.Linear",
    "linear": "use the module nn.Linear",
    "conv1d": "use the module nn.Conv1d",
    "conv2d": "use the module nn.Conv2d",
    "bernoulli": "encode the input before the model",
    **dict.fromkeys(
        ("gt", "ge", "lt", "le", "heaviside", "where"), "use a neuron module such as snntorch.Leaky"
    ),
}
NUMBERS = {
    *(
        "item",
        "tolist",
        "numpy",
        "__array__",
        "__dlpack__",
        "__float__",
        "__int__",
        "__index__",
        "__complex__",
    ),
}
"""Operations that take numbers out of tensors, where nothing can follow them."""

DECISIONS = {"__bool__", "equal", "allclose", "is_nonzero"}
"""Operations by which a model decides what to do; only the way that it took is seen."""
Edge = tuple[int, float]
"""(steps that the source's output is old when it is used, scale)."""


@dataclass
class LeafNode:
    """A node of the traced graph.

    calls     for every call the edges into it, (source, port) → (age in steps, scale)
    steps     in which it was called, where its input says so
    derived   made of an operation, not of a module
    """

    leaf: Leaf
    calls: list[dict[tuple[str, str], Edge]] = field(default_factory=list)
    constant: bool = False
    steps: set[int] = field(default_factory=set)
    derived: bool = False

    def takes(self, edges: dict[tuple[str, str], Edge], step: int | None) -> bool:
        """Whether a call with these edges is the next of this node, not of another place in which
        the same layer is used."""
        if not self.calls:
            return True
        last = self.calls[-1]
        if step is None or self.constant:
            return self.constant and step is None and last == edges
        if step in self.steps:  # the same again, or another place
            return last == edges
        shared = last.keys() & edges.keys()
        alike = all(last[key] == edges[key] for key in shared)
        return alike and bool(shared or not last or not edges)


def _tolerance(tensor: torch.Tensor) -> float:
    """Relative to the largest number: what sums in another order may differ by in the tensor's
    precision."""
    return max(1e-5, 32 * torch.finfo(tensor.dtype).eps) if tensor.is_floating_point() else 1e-5


class Tracker(TorchFunctionMode):
    """Follows one run of a model. After it: ``nodes`` (name → LeafNode, the input excluded) and
    ``value_of(tensor)``."""

    def __init__(
        self,
        model: nn.Module,
        leaves: dict[str, Leaf],
        batch: int,
        seed: int = 0,
        *,
        uses: Mapping[str, int] | None = None,
        binary: bool = False,
    ) -> None:
        """``uses``: layers that are called several times in a step, and how often; ``binary``: the
        model's input is spikes."""
        super().__init__()
        self.batch = batch
        self.uses, self.binary = dict(uses or {}), binary
        self._called_in_steps: dict[str, int] = {}
        self._called_at_once: dict[str, int] = {}
        self._places: dict[str, list[LeafNode]] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.nodes: dict[str, LeafNode] = {}

        self.leaves = leaves
        self.modules = dict(model.named_modules())
        self.bystanders = Bystanders(model, leaves)
        self.taint = Taint(self.where)
        self.notes: list[str] = []
        self.random = torch.Generator().manual_seed(seed)

        self._values: dict[int, tuple[torch.Tensor, Traced]] = {}
        self._records: dict[tuple[str, str, int | None], torch.Tensor] = {}
        self._derived: dict[tuple[Any, ...], list[LeafNode]] = {}
        self._states: dict[str, dict[str, Any]] = {}
        self._paths: list[str] = []
        self._pending: tuple[Value | Stack, list[tuple[Value, torch.Tensor]]]
        self._depth = 0

        self._handles = []
        for path, module in self.modules.items():
            self._handles.append(
                module.register_forward_pre_hook(self._before(path), with_kwargs=True)
            )
            self._handles.append(module.register_forward_hook(self._after(path), with_kwargs=True))

    def close(self) -> None:
        """Take the hooks off the model."""
        for handle in self._handles:
            handle.remove()

    # values of tensors

    def track(self, tensor: torch.Tensor, value: Traced) -> None:
        """Say what a tensor stands for. The tensor is kept, so that its id stays its own."""
        self._values[id(tensor)] = (tensor, value)
        self.taint.mark(tensor, value)

    def value_of(self, tensor: torch.Tensor) -> Traced | None:
        """What a tensor stands for; zero if nothing traced went into it and it holds only zeros;
        None for another constant."""
        known = self._values.get(id(tensor))
        if known is not None:
            return known[1]
        unseen = self.taint.of(tensor)
        if unseen is not None:
            return unseen
        if tensor.numel() and not tensor.is_complex() and not bool(torch.count_nonzero(tensor)):
            return Value()
        return None

    def where(self) -> str:
        """Path of the module that runs."""
        return self._paths[-1] if self._paths else ""

    def place(self, path: str) -> str:
        """A module as messages name it."""
        return described(path, self.modules[path])

    def kept(self) -> list[tuple[str, str, Traced]]:
        """(path, attribute, value) of what modules that are no layers hold of the run."""
        entries: list[tuple[str, str, Traced]] = []
        for path, module in self.modules.items():
            if any(path == leaf or path.startswith(f"{leaf}.") for leaf in self.leaves):
                continue
            for name, held in (*vars(module).items(), *module._buffers.items()):
                tensors = (
                    [held]
                    if isinstance(held, torch.Tensor)
                    else held
                    if isinstance(held, list)
                    else []
                )
                values = [self.value_of(t) for t in tensors if isinstance(t, torch.Tensor)]
                last = values[-1] if values else None
                if last is not None and sources_of(last):
                    entries.append((path, name, last))
        return entries

    def record(self, node: str, port: str, step: int | None, tensor: torch.Tensor) -> None:
        """Keep the numbers of one output in one step, to check later inputs with."""
        self._records[(node, port, step)] = tensor.detach().clone()
        self.shapes.setdefault(node, tuple(tensor.shape[1:]))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self._depth:
            return func(*args, **kwargs)
        inputs = tensors_in((*args, *kwargs.values()))
        self.bystanders.see(inputs)
        if not any(id(t) in self._values for t in inputs):
            return func(*args, **kwargs)
        with self.taint.paused():
            before = {id(t): self.value_of(t) for t in inputs}
        name = name_of(func)
        if name in NUMBERS or name in DECISIONS:
            self._left(name, before.values())
        result = func(*args, **kwargs)
        with self.taint.paused():
            self._applied(func, args, kwargs, inputs, before, result)
        return result

    def _applied(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        inputs: list[torch.Tensor],
        before: Mapping[int, Traced | None],
        result: Any,
    ) -> None:
        """An operation was applied to ``inputs``, which stood for ``before``."""
        name = name_of(func)
        if name == "__setitem__":
            self._written(args, before)
            return

        if name in POOLS or name in MAXIMA:
            self.track(result, pooled(self, name, args, kwargs, before, result))
            return

        interpreter = Interpreter(
            lambda t: before[id(t)] if id(t) in before else self.value_of(t), self.batch
        )
        derived = interpreter.derive(func, args, kwargs, result, self.where())
        if any(isinstance(value, Opaque) for _, value in derived):
            choice = interpreter.chosen(func, args, kwargs, result)
            if choice is not None:
                for tensor, pieces in choice:
                    self.track(tensor, chosen(self, name, pieces, tensor))
                return

        for tensor, value in derived:
            if isinstance(value, Opaque) and value.reading is not None:
                self._check_read(inputs[0], before[id(inputs[0])])
            self.track(tensor, value)

    def _left(self, name: str, values: Iterable[Traced | None]) -> None:
        """Numbers leave the tensors, where they cannot be followed. Decisions by the model's input
        are noted, all else is refused."""
        sources: Sources = frozenset().union(*map(sources_of, values))
        if not sources:
            return
        nodes = ", ".join(sorted({repr(node) for node, _ in sources}))
        if name in DECISIONS and all(port == INPUT for _, port in sources):
            note = (
                f"{self.place(self.where())}: decides by the numbers of its input ({name!r}); "
                "traced is the way that it took"
            )
            if note not in self.notes:
                self.notes.append(note)
            return
        raise UnsupportedError(
            f"{self.place(self.where())}: the operation {name!r} takes numbers of {nodes} out of "
            f"their tensors, so that what is done "
            "with them cannot be followed; leave it out, or do it only in training (if "
            "self.training)"
        )

    def _check_read(self, tensor: torch.Tensor, value: Traced | None) -> None:
        if isinstance(value, (Value, Stack)):
            self.check_numbers("the model's output", value, tensor)

    def check_numbers(self, label: str, value: Value | Stack, tensor: torch.Tensor) -> None:
        """The terms of a value must add up to the numbers that are really there. Raises
        UnsupportedError."""
        items = (
            zip(value.items, value.split(tensor, self.batch))
            if isinstance(value, Stack)
            else [(value, tensor)]
        )
        for item, part in items:
            self._check_numbers(label, item, part)

    def _written(self, args: Sequence[Any], before: Mapping[int, Traced | None]) -> None:
        """``buffer[t] = value`` and ``buffer[:, t] = value`` fill a Stack item by item; anything
        else makes the buffer opaque."""
        buffer, index, new = args[0], args[1], args[2]
        old = before.get(id(buffer))
        value = before.get(id(new)) if isinstance(new, torch.Tensor) else None

        place, layout = (index, "SB") if isinstance(index, int) else (None, "")
        if (
            isinstance(index, tuple)
            and len(index) == 2
            and index[0] == slice(None)
            and isinstance(index[1], int)
        ):
            place, layout = index[1], "BS"
        axis = 0 if layout == "SB" else 1

        if id(buffer) not in self._values and not isinstance(old, Opaque):
            old = (
                Value()
            )  # an empty buffer: whatever it held is overwritten, or shows as a wrong number later
        sources = sources_of(old) | sources_of(value)
        unseen = next(
            (v for v in (value, old) if isinstance(v, Opaque)), Opaque("__setitem__", self.where())
        )
        opaque = replace(unseen, sources=sources, reading=None)
        if (
            place is None
            or not isinstance(value, Value)
            or buffer.dim() < 2
            or buffer.shape[1 - axis] != self.batch
        ):
            self.track(buffer, opaque)
            return

        if isinstance(old, Value) and not old.terms:
            old = Stack((Value(),) * buffer.shape[axis], layout)
        if isinstance(old, Stack) and old.layout == layout:
            items = list(old.items)
            items[place] = value
            self.track(buffer, Stack(tuple(items), layout))
        else:
            self.track(buffer, opaque)

    # layers

    def _before(self, path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
            if self._depth:
                self._depth += 1
                return
            self._paths.append(path)
            leaf = self.leaves.get(path)
            if leaf is None:
                return
            self._depth = 1
            with self.taint.paused():
                self._enter(path, leaf, module, args, kwargs)

        return hook

    def _enter(
        self,
        path: str,
        leaf: Leaf,
        module: nn.Module,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        given = args[0] if args else next(iter(kwargs.values()), None)
        if not isinstance(given, torch.Tensor):
            raise UnsupportedError(
                f"{leaf.label}: it must be called with a tensor, not with {type(given).__name__}"
            )
        value, items = self._items(leaf, self.value_of(given), given)
        leaf.accept(value.layout if isinstance(value, Stack) else None, kwargs)
        leaf.check_state(module, args[1:], kwargs, self._states.get(path), given)
        self._pending = (value, items)

    def _after(self, path: str) -> Callable[..., Any]:
        def hook(
            module: nn.Module, args: Sequence[Any], kwargs: dict[str, Any], output: Any
        ) -> Any:
            if self._depth > 1:
                self._depth -= 1
                return None
            self._depth, leaf = 1, self.leaves.get(path)
            try:
                with self.taint.paused():
                    return None if leaf is None else self._called(path, leaf, module, output)
            finally:
                self._depth = 0
                self._paths.pop()

        return hook

    def _items(
        self, leaf: Leaf, value: Traced | None, tensor: torch.Tensor
    ) -> tuple[Value | Stack, list[tuple[Value, torch.Tensor]]]:
        """The value of a layer's input, and the (value, tensor) of each of its steps, checked.
        Raises UnsupportedError for what cannot enter a layer."""
        if value is None:
            raise UnsupportedError(
                f"{leaf.label}: its input does not come from the model's input, nor from a layer, "
                "by operations that can be followed (a constant tensor, numpy, a custom autograd "
                "function?); it must come from outputs of layers or the model's input"
            )
        if isinstance(value, Opaque):
            raise UnsupportedError(
                f"{leaf.label}: its input passed through {self.unfollowed(value)}, which a chip "
                f"does not have between layers; "
                f"there may be sums, factors, elements chosen and moved, pooling of "
                f"spikes, average pooling and dropout{self.advice(value)}"
            )

        analog = [t for t in terms_of(value) if t.port in (POTENTIAL, CURRENT)]
        if analog:
            raise UnsupportedError(
                f"{leaf.label}: its input holds the {analog[0].port} of {analog[0].node!r}; "
                f"it must be spikes or weighted sums"
            )

        items = (
            list(zip(value.items, value.split(tensor, self.batch)))
            if isinstance(value, Stack)
            else [(value, tensor)]
        )
        for item, part in items:
            if part.dim() < 2 or part.shape[0] != self.batch:
                raise UnsupportedError(
                    f"{leaf.label}: its input has shape {tuple(part.shape)}; it must be [batch, "
                    f"features ...] with a batch of {self.batch}"
                )
            self._check_numbers(leaf.label, item, part)

        return value, items

    def unfollowed(self, value: Opaque) -> str:
        """The operation that was not followed, in words: its module, and after which layers."""
        nodes = ", ".join(sorted({repr(node) for node, _ in value.sources})) or "a constant"
        return f"the operation {value.operation!r} (in {self.place(value.where)}) after {nodes}"

    def advice(self, value: Opaque) -> str:
        """What to do instead of it, with a colon before."""
        advice = ADVICE.get(value.operation.strip("_"), "") or self.keepers(value.sources)
        return f": {advice}" if advice else ""

    def keepers(self, sources: Sources) -> str:
        """Modules that keep what came from these sources between steps, in words: a neuron written
        by hand does."""
        nodes = {node for node, _ in sources}
        kept = [
            f"{self.place(path)} keeps it in {name!r}"
            for path, name, value in self.kept()
            if {node for node, _ in sources_of(value)} & nodes
        ]
        return f"{'; '.join(kept)}: a neuron written by hand? use snntorch.Leaky" if kept else ""

    def _check_numbers(self, label: str, value: Value, tensor: torch.Tensor) -> None:
        """The terms of a value must add up to the numbers that are really there."""
        expected = torch.zeros(tensor.numel(), dtype=torch.float64)
        for term in value.terms:
            recorded = (
                self._records[(term.node, term.port, term.step)]
                .reshape(-1)
                .to("cpu", torch.float64)
            )
            if recorded.numel() != expected.numel():
                raise UnsupportedError(
                    f"{label}: its input has {expected.numel()} elements, the output of "
                    f"{term.node!r} that goes into it {recorded.numel()}"
                )
            expected += term.scale * recorded

        actual = tensor.detach().reshape(-1).to("cpu", torch.float64)
        tolerance = _tolerance(tensor) * max(1.0, float(expected.abs().amax()))
        if not bool(((actual - expected).abs() <= tolerance).all()):
            names = ", ".join(sorted({repr(t.node) for t in value.terms})) or "nothing"
            raise UnsupportedError(
                f"{label}: the numbers at its input are not what the operations on the output of "
                f"{names} give, so something changed them "
                "out of sight (a write into a view, Tensor.data, numpy, a forward hook); there "
                "must be operations on tensors alone"
            )

    def _edges(self, leaf: Leaf, value: Value, step: int | None) -> dict[tuple[str, str], Edge]:
        edges: dict[tuple[str, str], Edge] = {}
        for term in value.terms:
            key = (term.node, term.port)
            if key in edges:
                raise UnsupportedError(
                    f"{leaf.label}: its input holds {term.node!r} of two steps; "
                    "there must be one step of each source (a sum over time is a readout)"
                )
            edges[key] = (0 if term.step is None or step is None else step - term.step, term.scale)
        return edges

    def _called(self, path: str, leaf: Leaf, module: nn.Module, output: Any) -> Any:
        value, items = self._pending
        shape = tuple(items[0][1].shape[1:])
        if leaf.input_shape is None:
            leaf.see_shapes(shape)

        node = self._node(path, leaf, value, items)
        leaf = node.leaf
        for _, part in items:
            leaf.see_shapes(tuple(part.shape[1:]))

        outputs = list(output) if isinstance(output, (tuple, list)) else [output]
        ports = leaf.ports(len(outputs))
        steps: list[int | None] = []
        for item, _ in items:
            if leaf.stateless and item.constant:
                step, node.constant = None, True
                node.calls = [self._edges(leaf, item, None)]
            elif leaf.structural and item.terms:
                step = max(t.step for t in item.terms if t.step is not None)
                node.calls.append(self._edges(leaf, item, step))
                node.steps.add(step)
            else:
                step = len(node.calls)
                node.calls.append(self._edges(leaf, item, step))
            steps.append(step)

        traced = []
        for number, (tensor, port) in enumerate(zip(outputs, ports)):
            scale = 1.0
            if number == 0:
                self._split_check(leaf, value, tensor, items)
            if port == SPIKES and number == 0:
                scale = leaf.spike_scale
                tensor = (torch.rand(tensor.shape, generator=self.random) < RATE).to(tensor) * scale

            parts = value.split(tensor, self.batch) if isinstance(value, Stack) else [tensor]
            for step, part in zip(steps, parts):
                self.record(leaf.output_name, port, step, part / scale if scale != 1.0 else part)
                if number == 0:
                    leaf.see_output(tuple(part.shape[1:]))
            terms = [Value((Term(leaf.output_name, port, step, scale),)) for step in steps]
            self.track(
                tensor, Stack(tuple(terms), value.layout) if isinstance(value, Stack) else terms[0]
            )
            traced.append(tensor)

        self._states[path] = leaf.state(module, traced)
        for port, tensor in leaf.held(module):
            if id(tensor) not in self._values and not isinstance(value, Stack):
                self.record(leaf.output_name, port, steps[0], tensor)
                self.track(tensor, Value((Term(leaf.output_name, port, steps[0]),)))

        if isinstance(output, (tuple, list)):
            return type(output)(traced) if not hasattr(output, "_fields") else type(output)(*traced)
        return traced[0]

    def _node(
        self, path: str, leaf: Leaf, value: Traced, items: list[tuple[Value, torch.Tensor]]
    ) -> LeafNode:
        """The node of a call: a layer without memory has one for each place in which it is used."""
        places = self._places.setdefault(path, [])
        if not places:
            places.append(self.nodes.setdefault(leaf.name, LeafNode(leaf)))

        first = items[0][0]
        constant = leaf.stateless and first.constant
        if constant or (leaf.structural and first.terms):
            step = None if constant else max(t.step for t in first.terms if t.step is not None)
            edges = self._edges(leaf, first, step)
            fits = (n for n in places if n.takes(edges, step))
            return next(fits, None) or self._another(places, leaf)

        if not leaf.stateless:
            return places[0]
        if isinstance(value, Stack):
            place = self._called_at_once.get(path, 0)
            self._called_at_once[path] = place + 1
        else:
            call = self._called_in_steps.get(path, 0)
            self._called_in_steps[path] = call + 1
            place = call % self.uses.get(path, 1)

        return places[place] if place < len(places) else self._another(places, leaf)

    def _another(self, places: list[LeafNode], leaf: Leaf) -> LeafNode:
        """One more place of a layer, with a name of its own."""
        fresh = replace(
            leaf,
            name=self._unused(leaf.name),
            input_shape=None,
            output_shape=None,
            notes=list(leaf.notes),
        )
        node = LeafNode(fresh)
        self.nodes[fresh.name] = node
        places.append(node)
        return node

    def _split_check(
        self,
        leaf: Leaf,
        value: Value | Stack,
        tensor: torch.Tensor,
        items: Iterable[tuple[Value, torch.Tensor]],
    ) -> None:
        """A layer of weights must have computed what its exported weights compute."""
        parts = value.split(tensor, self.batch) if isinstance(value, Stack) else [tensor]
        expected = leaf.compute(torch.cat([given for _, given in items]))
        if expected is None:
            return
        actual = torch.cat(parts)
        tolerance = _tolerance(actual) * max(1.0, float(expected.abs().amax()))
        if expected.shape != actual.shape or not torch.allclose(
            actual.to(expected), expected, rtol=1e-4, atol=tolerance
        ):
            raise UnsupportedError(
                f"{leaf.label}: its output is not that of the plain layer with its weights (a "
                f"subclass or a forward hook changes it?); "
                "it must compute what its class computes"
            )

    def derived(
        self,
        leaf: Derived,
        value: Value,
        source: torch.Tensor,
        result: torch.Tensor,
        factor: float = 1.0,
        port: str = WEIGHTED,
    ) -> Value:
        """What an operation without a module of its own gives: a node for each thing that it does,
        and for each value that it is applied to."""
        self._check_numbers(leaf.label, value, source)
        common = value.common_scale
        inner = value if common is None else value.scaled(1.0 / common)
        scale = 1.0 if common is None else common
        step = None if value.constant else max(t.step for t in value.terms if t.step is not None)
        edges = self._edges(leaf, inner, step)

        known = self._derived.setdefault((type(leaf), leaf.name, leaf.what), [])
        node = next((n for n in known if n.takes(edges, step)), None)
        if node is None:
            node = LeafNode(replace(leaf, name=self._unused(leaf.name)), derived=True)
            known.append(node)
            self.nodes[node.leaf.name] = node

        if step is None:
            node.calls, node.constant = [edges], True
        else:
            node.calls.append(edges)
            node.steps.add(step)

        shaped = result.reshape(self.batch, *(node.leaf.output_shape or result.shape[1:]))
        self.record(node.leaf.output_name, port, step, shaped / (scale * factor))
        return Value((Term(node.leaf.output_name, port, step, scale * factor),))

    def chooses(self, output: str) -> bool:
        """Whether an output is elements that were chosen of others."""
        return output in self.nodes and isinstance(self.nodes[output].leaf, Selection)

    def behind(self, outputs: Iterable[str]) -> set[str]:
        """The outputs of layers that chosen elements come from."""
        reached: set[str] = set()
        for output in outputs:
            if self.chooses(output):
                calls = self.nodes[output].calls
                reached |= self.behind(source for call in calls for source, _ in call)
            else:
                reached.add(output)
        return reached

    def _unused(self, base: str) -> str:
        """A name that no node has and no layer will."""
        taken = {leaf.name for leaf in self.leaves.values()} | self.nodes.keys()
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        return name
