"""A model at any stage of its way to the chip, told by its content, and the rest of the way.

    stage = stages.load("digits.safetensors")           checkpoint, .nir, .net, Program .h5, or
        package.module:factory
    graph = stages.to_graph(stage, ways)                 NIR, where the stage lies before it
    program, audit = stages.to_program(stage, ways)      audit None: the stage was a Program already

"Before it" costs an import of torch; a Program needs none.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hardware import program_file
from hardware.parameters import parameter
from hardware.program import Program
from toolchain import calls
from toolchain.deploy import contract
from toolchain.deploy.stage import Stage
from toolchain.deploy.ways import DESCRIBING, LOWERING, READING, TRACING, Ways
from toolchain.errors import ModelError

if TYPE_CHECKING:
    import nir

    from export.audit import Audit

ACCEPTED = (
    "a checkpoint (.safetensors), a NIR graph (.nir), a Program (.h5), a lava-dl network (.net), "
    "or package.module:factory"
)

CALLS = calls.PLAIN
"""How a PyTorch model that does not say it itself is called, and what it takes."""


def _for_weights() -> str:
    return (
        f"for its weights give package.module:factory with {parameter('weights')}; a whole module "
        f"that was pickled is read with {parameter('trust_pickle', True)} alone, because that runs "
        f"all code in the file"
    )


_WRONG = {
    "recording": "a Recording, which is what a run produced",
    "hdf5": "an HDF5 file of another kind",
    "torch": "a PyTorch file",
    "pickle": "a pickle",
    "npz": "an array file",
    "npy": "an array file",
    "zip": "a zip archive",
    "empty": "an empty file (0 bytes)",
    "unknown": "a file of unknown kind, or a damaged one",
}


_KINDS = {
    "program": "a Program",
    "nir": "a NIR graph",
    "netx": "a lava-dl network",
    "safetensors": "a safetensors file",
}


def of(value: object) -> Stage | None:
    """The stage of a model that is at hand: a PyTorch module, a NIR graph or a Program; None for
    anything else."""
    if isinstance(value, Program):
        return Stage("Program", "program", program=value)
    kinds = {"nn.Module": ("torch.nn", "Module"), "graph": ("nir", "NIRGraph")}
    for kind, (package, name) in kinds.items():
        # an instance of a class cannot come from a package that nobody has imported
        there = sys.modules.get(package)
        if there is None or not isinstance(value, getattr(there, name)):
            continue
        if kind == "graph":
            return Stage("NIR graph", "graph", graph=value)
        return Stage(type(value).__name__, "module", module=value)
    return None


def load(source: str, weights: str | Path | None = None, *, trust_pickle: bool = False) -> Stage:
    """Find out what ``source`` is and read it.

    weights       a file of weights for package.module:factory
    trust_pickle  read a pickled module, or weights that hold more than tensors: runs the file's
                  code

    Raises ModelError, or the reader's own HardwareError, ExportError or ToolchainError.
    """
    if not Path(source).exists() and re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", source):
        from export.frameworks import open_factory

        opened = open_factory(source, weights, trust_pickle=trust_pickle)
        return Stage(source, "factory", module=opened.module, notes=opened.notes)
    if not Path(source).exists():
        raise ModelError(f"there is no file {source!r}; the model must be {ACCEPTED}")
    kind = program_file.sniff(source)
    if weights is not None:
        raise ModelError(
            f"{parameter('weights')} goes with package.module:factory; {source} is a file"
        )
    if trust_pickle and kind in ("torch", "pickle"):
        from export.frameworks import open_pickle

        opened = open_pickle(source)
        return Stage(source, "pickle", module=opened.module, notes=opened.notes)
    if trust_pickle:
        known = _WRONG.get(kind, _KINDS.get(kind, kind))
        raise ModelError(
            f"{source}: is {known}, no pickle, so {parameter('trust_pickle')} changes nothing; "
            f"leave it out"
        )
    if kind == "program":
        return Stage(source, "program", program=program_file.load(source))
    if kind == "nir":
        import export

        return Stage(source, "graph", graph=export.read(source))
    if kind == "netx":
        return Stage(source, "network")
    if kind == "safetensors":
        from toolchain.training import load_checkpoint

        return Stage(source, "checkpoint", module=load_checkpoint(source)[0])
    known = _WRONG[kind]
    if kind in ("torch", "pickle"):
        known = f"{known}; {_for_weights()}"
    elif kind in ("npz", "npy"):
        known = f"{known}, which goes with {parameter('data')}"
    raise ModelError(f"{source}: is {known}; the model must be {ACCEPTED}")


def data_of(stage: Stage) -> dict[str, Any]:
    """As ``Stage.data``."""
    return stage.data


def to_graph(stage: Stage, ways: Ways) -> nir.NIRGraph:
    """The model as a NIR graph, which states what its input means. Raises ModelError where it lies
    behind that stage already, ExportError where it cannot be one."""
    return contract.stated(_traced(stage, ways), ways, stage.source)


def _traced(stage: Stage, ways: Ways) -> nir.NIRGraph:
    """The same with what the model states alone."""
    _refuse_unused(stage, ways)
    if stage.graph is not None:
        import export

        return export.state(stage.graph, **ways.reading())
    module = stage.require_module("a NIR graph")
    from export.frameworks import trace

    describe = getattr(module, "spikeport_io", None)
    if callable(describe):
        if describe().get("program") is False:
            raise ModelError(
                f"{stage.source}: an ANN, which no chip of spiking neurons computes; it must be a "
                f"spiking network, such as one "
                "converted from it (model.init in a recipe)"
            )
        return trace(
            module, dt=ways.dt, decode=ways.decode, trace_steps=ways.trace_steps, notes=stage.notes
        )
    if ways.input_shape is None or ways.call is None:
        raise ModelError(
            f"{stage.source}: the model does not say what it takes: give "
            f"{parameter('input_shape')} and {parameter('call')} ({', '.join(CALLS)})"
        )
    import torch

    from export.errors import ExportError
    from export.frameworks.torch_trace import STEPS

    lead = {"time-first": (STEPS, 2), "batch-first": (2, STEPS), "step": (2,), "constant": (2,)}[
        ways.call
    ]
    time_first = {"time-first": True, "batch-first": False}.get(ways.call)
    example = torch.zeros(*lead, *ways.input_shape)
    try:
        return trace(
            module,
            example,
            time_first=time_first,
            single_step=ways.call == "step",
            dt=ways.dt,
            decode=ways.decode,
            trace_steps=ways.trace_steps,
            notes=stage.notes,
        )
    except ExportError as error:
        # what the model did with an input of another layout than its own looks like its own fault
        others = ", ".join(f"{name} {layout}" for name, layout in CALLS.items())
        error.args = (
            f"{error}. The model was called as {parameter('call', ways.call)} says, with an input "
            f"{list(example.shape)}; if it takes it in another way, say which: {others}",
            *error.args[1:],
        )
        raise


def to_program(stage: Stage, ways: Ways) -> tuple[Program, Audit | None]:
    """The model as a Program, with the audit of how it became one; None where it was one. Raises
    ModelError or ExportError."""
    _refuse_unused(stage, ways)
    if stage.program is not None:
        return stage.program, None
    if stage.kind == "network":
        from export import netx

        return netx.load(stage.source, input_shape=ways.input_shape)
    import export

    graph, how = lowering(stage, ways)
    program, audit = export.lower(graph, **how)
    return contract.with_data(program, ways), audit


def lowering(stage: Stage, ways: Ways) -> tuple[nir.NIRGraph, dict[str, Any]]:
    """The model as a graph, and the options of ``export.lower``.

    Raises:
        ModelError: where its integers are not chosen here: a Program, a lava-dl network.
        ExportError: where it cannot be a graph.
    """
    if stage.kind in ("program", "network"):
        raise ModelError(
            f"{stage.source}: is {_KINDS['program' if stage.program is not None else 'netx']}, "
            f"whose integers were not chosen here; the model must be one before that"
        )
    _refuse_unused(stage, ways)
    graph = _traced(stage, ways) if stage.graph is None else stage.graph
    _refuse_chosen(stage, graph, ways)
    # the name alone: a Program made from the same file in another folder is the same file
    source = stage.source if stage.kind in ("factory", "module") else Path(stage.source).name
    return graph, {
        "allow_clipping": ways.allow_clipping,
        "source": source,
        **ways.reading(),
        **ways.given(("weight_bits", "per_channel", "discretization", "calibration")),
        **contract.formats(graph, ways, stage.source),
    }


def _refuse_chosen(stage: Stage, graph: nir.NIRGraph, ways: Ways) -> None:
    """How integers are chosen changes nothing where the graph states all of them. Raises
    ModelError."""
    from export import metadata as graph_metadata

    names = ways.given(("weight_bits", "per_channel", "calibration", "allow_clipping"))
    entries = graph_metadata.of(graph)["nodes"]
    weighted = [name for name, node in graph.nodes.items() if hasattr(node, "weight")]
    on_grid = [name for name in weighted if "grid" in entries.get(name, {})]
    if names and weighted and len(on_grid) == len(weighted):
        raise ModelError(
            f"{stage.source}: {parameter(next(iter(names)))} changes nothing in a network whose "
            f"weights are on the chip's grid already; leave it out, or train with other numbers "
            f"([grid] of the recipe)"
        )


def _refuse_unused(stage: Stage, ways: Ways) -> None:
    """Options that would change nothing are a mistake. Raises ModelError."""
    of_kind = {"program": (), "network": ("input_shape",), "graph": (*LOWERING, *READING)}
    allowed: tuple[str, ...] = of_kind.get(stage.kind, (*LOWERING, *TRACING))
    if stage.module is not None and not callable(getattr(stage.module, "spikeport_io", None)):
        allowed = (*allowed, *DESCRIBING)
    for name in ways.given():
        if name not in allowed:
            raise ModelError(
                f"{stage.source}: {parameter(name)} changes nothing in a {stage.kind} "
                f"that states this itself; leave it out"
            )
