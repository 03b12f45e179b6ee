"""A PyTorch model → NIR graph, by running it and following its tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import metadata as packages
from typing import Any

import nir
import torch
from torch import nn

from export import check
from export import metadata as graph_metadata
from export.errors import ExportError, GraphError, MissingInformationError, UnsupportedError
from export.frameworks import assembly, readout, returned
from export.frameworks import steps as time_steps
from export.frameworks.described import find
from export.frameworks.leaves import Leaf
from export.frameworks.model_state import untouched
from export.frameworks.snntorch_neurons import SnntorchNeuron
from export.frameworks.steps import MIN_STEPS
from export.frameworks.tracker import Tracker
from export.frameworks.values import INPUT, Stack, Term, Value
from export.frameworks.wrappers import refuse_scripted, unwrapped
from hardware.parameters import parameter

STEPS = MIN_STEPS
"""Steps of a run that the tracer chooses itself."""


@dataclass(frozen=True)
class _Plan:
    """How the model is called.

    layout    "SB" or "BS" for inputs with a time axis; None for one step, or for an input that is
              the same in every step
    binary    the user's example holds zeros and ones, both of them
    own_steps  the model's own number of time steps, where it wants another than it was given
    """

    example: torch.Tensor
    layout: str | None
    single_step: bool
    io: dict[str, Any]
    binary: bool
    own_steps: int | None = None


def _plan(
    model: nn.Module, example: torch.Tensor | None, time_first: bool | None, single_step: bool
) -> _Plan:
    describe = getattr(model, "spikeport_io", None)
    io = dict(describe()) if callable(describe) else {}

    if example is None:
        if not io:
            raise MissingInformationError(
                "trace needs example_input, a tensor as the model takes it; only models with "
                "spikeport_io() go without"
            )
        shape, bits = tuple(io["input"]["shape"]), int(io["input"]["message_bits"])
        low, high = (0, 1) if bits == 0 else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
        lead = (2,) if io["call"] == "step" else (STEPS, 2)
        generator = torch.Generator().manual_seed(0)
        values = torch.randint(low, high + 1, (*lead, *shape), generator=generator)
        kind = next((p for p in model.parameters()), torch.zeros(()))
        example = values.to(kind.device, torch.float32) * 2.0 ** -int(
            io["input"].get("fraction_bits", 0)
        )
        time_first, single_step = (None, True) if io["call"] == "step" else (True, False)

    if not isinstance(example, torch.Tensor):
        raise UnsupportedError(f"example_input is {type(example).__name__}; it must be a tensor")
    if single_step and time_first is not None:
        raise UnsupportedError(
            "single_step=True goes with an example of one step, [batch, ...], so time_first must "
            "be None"
        )

    axes = 2 if time_first is not None else 1
    if example.dim() <= axes or 0 in example.shape:
        form = {True: "[time, batch, ...]", False: "[batch, time, ...]", None: "[batch, ...]"}[
            time_first
        ]
        raise UnsupportedError(
            f"example_input has shape {tuple(example.shape)}; with "
            f"time_first={time_first} it must be {form}, all sizes positive"
        )

    layout = {True: "SB", False: "BS", None: None}[time_first]
    if layout and example.shape[layout.index("S")] < STEPS:
        raise UnsupportedError(
            f"example_input has {example.shape[layout.index('S')]} time steps; there must be "
            f"{STEPS} or more, so that feedback shows"
        )
    if example.is_floating_point() and not bool(torch.isfinite(example).all()):
        raise GraphError("example_input holds NaN or infinite values")

    uniform = bool((example == example.reshape(-1)[0]).all())
    binary = not uniform and bool(((example == 0) | (example == 1)).all())
    if uniform:
        # a constant example proves nothing about the order of its elements
        example = torch.randint(0, 2, example.shape, generator=torch.Generator().manual_seed(1)).to(
            example
        )
    return _Plan(example, layout, single_step, io, binary)


def _long_enough(
    model: nn.Module, leaves: dict[str, Any], plan: _Plan, steps: int | None
) -> tuple[_Plan, list[str]]:
    """The plan with an example of as many steps as are stated, or as the model wants; and what to
    say of it."""
    axis = plan.layout.index("S") if plan.layout else None
    if steps is not None:
        return replace(plan, example=time_steps.stated(plan.example, axis, steps)), []
    if axis is None or plan.io:
        return plan, []
    example, remarks = time_steps.wanted(model, leaves, plan.example, axis)
    return replace(
        plan, example=example, own_steps=example.shape[axis] if remarks else None
    ), remarks


def _call(model: nn.Module, given: torch.Tensor) -> Any:
    try:
        return model(given)
    except ExportError:
        raise
    except Exception as error:
        raise UnsupportedError(
            f"the model fails when it is called with a tensor of shape {tuple(given.shape)}: "
            f"{type(error).__name__}: {error} (where it wants a number of time steps of its own, "
            f"{parameter('trace_steps')} states it)"
        ) from error


def _run(model: nn.Module, plan: _Plan, tracker: Tracker, input_name: str) -> list[Any]:
    """Call the model; what each call returned."""
    batch = tracker.batch
    if plan.single_step:
        outputs = []
        for step in range(STEPS):
            given = plan.example.clone()
            tracker.track(given, Value((Term(input_name, INPUT, step),)))
            tracker.record(input_name, INPUT, step, given)
            outputs.append(_call(model, given))
        return outputs

    given = plan.example.clone()
    if plan.layout is None:
        tracker.track(given, Value((Term(input_name, INPUT, None),)))
        tracker.record(input_name, INPUT, None, given)
    else:
        steps = given.shape[plan.layout.index("S")]
        stack = Stack(
            tuple(Value((Term(input_name, INPUT, step),)) for step in range(steps)), plan.layout
        )
        tracker.track(given, stack)
        for step, part in enumerate(stack.split(given, batch)):
            tracker.record(input_name, INPUT, step, part)

    return [_call(model, given)]


def trace(
    model: nn.Module,
    example_input: torch.Tensor | None = None,
    *,
    time_first: bool | None = None,
    single_step: bool = False,
    dt: float | None = None,
    decode: str | None = None,
    trace_steps: int | None = None,
    notes: Sequence[str] = (),
) -> nir.NIRGraph:
    """The NIR graph of a model of snnTorch's neurons, of layers that describe themselves, and of
    PyTorch's linear layers.

    example_input   a tensor as the model takes it; small is enough, and its values do not matter.
                    None: the model's own ``spikeport_io()`` says what it takes
    time_first      True: it is [time, batch, ...]; False: [batch, time, ...]; None: it is [batch,
                    ...], shown to the model once, which presents it in every step of its own time
                    loop; or one step, with ``single_step``
    single_step     the model computes one step a call, [batch, ...], and keeps its state itself
                    (``init_hidden=True``)
    dt              length of a step in seconds. None: time constants are in steps, which is enough
                    for a Program, and the graph states no dt (NIR files need one)
    decode          how outputs are read, where the model returns every step and so does not say it.
                    It stands for no operation. One of ``hardware.program.DECODINGS``
    trace_steps     time steps that the model is run with, the example cut or repeated to that
                    length. None: as many as the example has; where the model wants another number
                    of its own, that one is found out, and noted
    notes           lines for the audit on how the model came to be (``open_factory``'s, for one)

    The model is run in evaluation mode for a few steps and left as it was: parameters, hidden
    state, training mode, random generators. The graph is checked and complete (shapes, canonical
    order); its metadata says reset, threshold comparison, decode, and in ``origin.notes``
    everything that was folded, left out or assumed.

    Raises UnsupportedError for what a chip does not compute (the text names the layer, the
    operation and what it must be), MissingInformationError for what must be stated, GraphError for
    NaN or infinite parameters.
    """
    if not isinstance(model, nn.Module):
        raise UnsupportedError(f"the model is {type(model).__name__}; it must be a torch.nn.Module")
    if dt is not None and not (isinstance(dt, (int, float)) and math.isfinite(dt) and dt > 0):
        raise UnsupportedError(
            f"{parameter('dt')} is {dt!r}; it must be a positive number of seconds, or None"
        )
    refuse_scripted(model)
    plan = _plan(model, example_input, time_first, single_step)
    batch_axis = 0 if plan.layout is None else plan.layout.index("B")
    batch = plan.example.shape[batch_axis]
    with unwrapped(model) as (model, taken_off), untouched(model), torch.no_grad():
        model.eval()
        leaves = find(model)
        if not leaves:
            raise UnsupportedError(
                "the model has no layers that can be exported; "
                "it must have snntorch's neurons, nn.Linear, nn.Conv1d, nn.Conv2d or spikeport's "
                "layers"
            )
        plan, remarks = _long_enough(model, leaves, plan, trace_steps)

        def attempt(plan: _Plan, uses: dict[str, int]) -> nir.NIRGraph:
            with untouched(model):
                model.eval()
                return _traced(model, plan, batch, decode, dt, [*notes, *taken_off, *remarks], uses)

        try:
            return attempt(plan, {})
        except UnsupportedError as error:
            first = error
        # perhaps a layer is called several times in a step, which no single call shows
        uses = _uses(model, plan)
        if uses:
            return attempt(plan, uses)
        if not plan.io or first.__cause__ is None:
            raise first
        # a network of sparse inputs may not take the dense ones that its io allows
        sparse = replace(plan, example=_thinned(plan.example))
        try:
            return attempt(sparse, _uses(model, sparse))
        except UnsupportedError:
            raise first from first.__cause__


def _uses(model: nn.Module, plan: _Plan) -> dict[str, int]:
    """Layers that are called several times in each step, and how often, from one more run."""
    leaves = find(model)
    counts = dict.fromkeys(leaves, 0)

    def count(path: str) -> Callable[[nn.Module, Any], None]:
        def hook(module: nn.Module, args: Any) -> None:
            counts[path] += 1

        return hook

    with untouched(model), ExitStack() as stack:
        model.eval()
        for path, leaf in leaves.items():
            leaf.prepare()
            assert leaf.module is not None, "leaves that are found are modules"
            handle = leaf.module.register_forward_pre_hook(count(path))
            stack.callback(handle.remove)
        try:
            for _ in range(STEPS if plan.single_step else 1):
                model(plan.example.clone())
        except Exception:
            return {}  # it fails as it did
    steps = (
        STEPS
        if plan.single_step
        else plan.example.shape[plan.layout.index("S")]
        if plan.layout
        else max((n for path, n in counts.items() if _has_memory(leaves[path])), default=0)
    )
    return {path: n // steps for path, n in counts.items() if steps and n > steps and not n % steps}


def _has_memory(leaf: Leaf) -> bool:
    return isinstance(leaf, SnntorchNeuron) or hasattr(leaf.module, "reset_mem")


def _traced(
    model: nn.Module,
    plan: _Plan,
    batch: int,
    decode: str | None,
    dt: float | None,
    notes: Sequence[str],
    uses: dict[str, int],
) -> nir.NIRGraph:
    """One run of the model, followed. ``uses``: see ``Tracker``."""
    leaves = find(model)
    input_name = "input"
    while input_name in {leaf.name for leaf in leaves.values()}:
        input_name += "_"
    for leaf in leaves.values():
        leaf.prepare()

    given = plan.io.get("input", {})
    binary = not given["message_bits"] if given else plan.binary
    tracker = Tracker(model, leaves, batch, uses=uses, binary=binary)
    with ExitStack() as stack:
        stack.callback(tracker.close)
        stack.enter_context(tracker.taint)
        stack.enter_context(tracker)
        outputs = _run(model, plan, tracker, input_name)

    tracker.bystanders.check()
    for node in tracker.nodes.values():
        node.leaf.prove()
    shape = tuple(plan.example.shape[1 if plan.layout is None else 2 :])

    net, readouts = _network(tracker, plan, outputs, input_name, shape, decode)
    apart = tracker.bystanders.notes(set(tracker.nodes))
    net.notes = [*notes, *net.notes, *tracker.notes, *apart]
    return _graph(model, net, readouts, plan, dt)


def _thinned(example: torch.Tensor) -> torch.Tensor:
    """One in 32 of its values, the others 0."""
    kept = torch.rand(example.shape, generator=torch.Generator().manual_seed(2)) < 1 / 32
    return example * kept.to(example)


def _network(
    tracker: Tracker,
    plan: _Plan,
    outputs: list[Any],
    input_name: str,
    shape: tuple[int, ...],
    decode: str | None,
) -> tuple[assembly.TracedNetwork, list[readout.Readout]]:
    called = [len(n.calls) for n in tracker.nodes.values() if not n.leaf.stateless]
    own_loop = STEPS if plan.single_step else max(called, default=0)
    steps = plan.example.shape[plan.layout.index("S")] if plan.layout else own_loop
    if steps < STEPS:
        raise UnsupportedError(
            f"the model ran {steps} time step{'s' * (steps != 1)} of its neurons; "
            f"there must be {STEPS} or more, so that feedback shows (or single_step=True for "
            "a model of one step)"
        )
    net = assembly.network(tracker.nodes, input_name, shape, steps)
    stated = decode or plan.io.get("output", {}).get("decode")

    def feeds_others(name: str) -> bool:
        return any(name not in net.reach(target) for target in net.out_of(name))

    readouts = readout.find(
        tracker, returned.collect(tracker, outputs), steps, feeds_others, stated
    )
    assembly.prune(net, [r.node for r in readouts])
    assembly.fold(net)
    return net, readouts


def _graph(
    model: nn.Module,
    net: assembly.TracedNetwork,
    readouts: list[readout.Readout],
    plan: _Plan,
    dt: float | None,
) -> nir.NIRGraph:
    given = plan.io.get("input", {})
    entry = (
        {"message_bits": given["message_bits"], "fraction_bits": given.get("fraction_bits", 0)}
        if given
        else {}
    )
    if not given and plan.binary:
        net.notes.append(
            f"{net.input}: the example holds zeros and ones only; taken for spikes (message_bits 0)"
        )
        entry = {"message_bits": 0, "fraction_bits": 0}

    graph = assembly.build(net, readouts, entry, 1.0 if dt is None else float(dt))
    notes = [*net.notes, *(note for r in readouts for note in r.notes)]
    for leaf in net.leaves.values():
        notes += leaf.remarks()

    origin: dict[str, Any] = {
        "framework": "snntorch"
        if any(type(m).__module__.startswith("snntorch") for m in model.modules())
        else "torch"
    }
    origin |= {"model": type(model).__qualname__, "torch": torch.__version__}
    if origin["framework"] == "snntorch":
        origin["version"] = packages.version("snntorch")
    origin |= {k: v for k, v in plan.io.get("origin", {}).items() if k != "notes"}
    if dt is None:
        origin["time_unit"] = "step"
    origin["notes"] = [*plan.io.get("origin", {}).get("notes", []), *notes]

    data = dict(plan.io.get("data", {}))
    if plan.layout is None and not plan.single_step:
        data.setdefault("presentation", "constant")
    if plan.own_steps is not None:
        data.setdefault("steps", plan.own_steps)

    metadata = {
        "dt_s": None if dt is None else float(dt),
        "nodes": graph.entries,
        "data": data,
        "origin": origin,
    }
    text = graph_metadata.dumps(metadata)
    return check.checked(
        nir.NIRGraph(
            graph.nodes, graph.edges, metadata={graph_metadata.KEY: text}, type_check=False
        )
    )
