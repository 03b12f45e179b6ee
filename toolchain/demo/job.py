"""The steps of the demo. Every number on its page comes from the run itself."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from importlib import metadata as packages
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import export
from export import metadata as graph_metadata
from export.audit import Audit
from export.frameworks import trace
from hardware import placement, program_file
from hardware.chip import Chip
from hardware.chunks import Progress
from hardware.program import Population, Program
from hardware.recording import Record, Recording, check_inputs
from toolchain import data, files, training
from toolchain.demo import page, pictures
from toolchain.deploy import agreement, costs, execution, summary
from toolchain.deploy.stage import Stage
from toolchain.version import __version__

if TYPE_CHECKING:
    import nir

FILES = ("digits.toml", "digits.safetensors", "digits.nir", "digits.h5", "demo.json", "index.html")
"""What a run leaves in its folder."""

LAVA_SAMPLES = 24
"""Test digits that run as Lava processes and in the slow reference; the whole test set runs in
PyTorch and on the fast target."""

REQUIRED_ACCURACY = 0.96
DT_S = 1e-3
"""A step is a millisecond: NIR files state time constants in seconds."""

TARGET_NAMES = {"software": "PyTorch", "reference": "reference", "fast": "fast", "lava": "Lava"}

Say = Callable[[str], None]
Bar = Callable[[str, str], AbstractContextManager[Progress]]
"""(label, unit) → progress bar."""


def run(
    out: str | Path, *, seed: int = 0, force: bool = False, say: Say = print, bar: Bar
) -> dict[str, Any]:
    """Run the demo and leave FILES in the folder ``out``; returns what demo.json holds, as plain
    JSON values.

    ``passed`` is true where nothing differs, the network fits the chip, and the accuracy is at
    least REQUIRED_ACCURACY. Raises OutputError where a file exists (without ``force``),
    LavaEnvironmentError without Lava, both before any work.
    """
    started = time.perf_counter()
    printed: list[str] = []
    say = _keeping(printed, say)
    _require_lava()
    folder = files.claim_folder(out, FILES, force)

    stage, trained = _train(folder, seed, force, say, bar)
    program, audit, graph = _export(stage, folder, force, say)
    chip = _check(program, say)
    labels = data.load("digits", "test").labels
    inputs = check_inputs(program, data.inputs(program.metadata["data"], "test")[0])
    comparisons, recordings = _compare(stage, program, inputs, labels, say, bar)
    whole, shown = recordings["whole"], recordings["shown"]

    facts: dict[str, Any] = {
        "spikeport": __version__,
        "command": "demo",
        "seed": seed,
        "data": {
            "name": "digits",
            "steps": whole.steps,
            "encoding_text": "in every step the grey values enter as graded spikes of 0 to 16.",
        },
        "training": trained,
        "audit": audit.to_dict(),
        "fingerprint": program.fingerprint,
        "chip": chip,
        "accuracy": summary.accuracy(summary.correct(whole, labels), whole.samples),
        "comparisons": comparisons,
        "target_names": TARGET_NAMES,
        "layers": summary.layers(program, whole),
        "energy": _energy(program, whole, say),
        "weights": _weights(stage, graph),
        "shown": _shown(program, shown, labels),
        "versions": _versions(shown["lava"]),
        "printed": printed,
    }

    facts["identical"] = not any(
        c["spike_differences"] + c["potential_differences"] for c in comparisons
    )
    facts["passed"] = (
        facts["identical"] and chip["fits"] and facts["accuracy"]["share"] >= REQUIRED_ACCURACY
    )
    facts["commands"] = _commands(folder)
    facts["wall_time_s"] = time.perf_counter() - started

    drawn, panels = _pictures(program, stage, graph, shown, facts)
    files.write_json(folder / "demo.json", facts, force)
    files.write_text(folder / "index.html", page.build(facts, drawn, panels), force)
    return facts


def _keeping(printed: list[str], say: Say) -> Say:
    """``say``, which also keeps every line in ``printed``."""

    def keep(text: str) -> None:
        printed.append(text)
        say(text)

    return keep


def _require_lava() -> None:
    """Raise LavaEnvironmentError now rather than after the training."""
    from hardware.lava import environment

    environment.interpreter()


def _train(
    folder: Path, seed: int, force: bool, say: Say, bar: Bar
) -> tuple[Stage, dict[str, Any]]:
    recipe = resources.files("toolchain.demo").joinpath("digits.toml").read_text(encoding="utf-8")
    files.write_text(
        folder / "digits.toml", re.sub(r"(?m)^seed = 0$", f"seed = {seed}", recipe), force
    )

    config = training.read_config(folder / "digits.toml")
    samples = len(data.load("digits", "train"))
    say(
        f"train    a convolutional network on {samples:,} handwritten digits, "
        f"{config.training.epochs} epochs"
    )

    with bar("training", "batch") as update:
        result = training.train(config, progress=update)
    training.save_checkpoint(
        folder / "digits.safetensors",
        result.model,
        config,
        results={"accuracy": result.accuracy},
        force=force,
    )
    say(f"         {result.seconds:.0f} s, test accuracy {100 * result.accuracy:.2f} %")

    model, _ = training.load_checkpoint(folder / "digits.safetensors")
    facts = {
        "samples": samples,
        "epochs": config.training.epochs,
        "wall_time_s": result.seconds,
        "accuracy": result.accuracy,
        "history": result.history,
    }
    return Stage(str(folder / "digits.safetensors"), "checkpoint", module=model), facts


def _export(
    stage: Stage, folder: Path, force: bool, say: Say
) -> tuple[Program, Audit, nir.NIRGraph]:
    """Through the files, so that what is compared is what a user would have."""
    export.write(
        trace(stage.require_module("the demo"), dt=DT_S), folder / "digits.nir", force=force
    )
    graph = export.read(folder / "digits.nir")
    program, audit = export.lower(graph, source="digits.nir")
    program_file.save(program, folder / "digits.h5", force=force)
    say(
        f"export   digits.safetensors -> digits.nir -> digits.h5; {len(audit.layers)} parts, "
        f"audit: {audit.verdict}"
    )
    return program_file.load(folder / "digits.h5"), audit, graph


def _check(program: Program, say: Say) -> dict[str, Any]:
    chip = Chip.load("loihi2")
    report = placement.check(program, chip)
    resources = ("neurons", "synaptic_memory_words")
    rows = [
        [
            layer.population,
            f"{layer.neurons:,}",
            str(layer.cores),
            *(f"{layer.uses[r].used:,} / {layer.uses[r].maximum:,}" for r in resources),
        ]
        for layer in report.layers
    ]

    say(
        f"check    {'fits' if report.fits else 'DOES NOT FIT'} {chip.title}: {report.cores} of "
        f"{chip['cores_per_chip']} neurocores"
    )
    for violation in report.broken:
        say(f"         {violation.rule}: {violation.message}")

    return {
        "name": chip.title,
        "fits": report.fits,
        "cores_used": report.cores,
        "cores_max": chip["cores_per_chip"],
        "broken": [f"{v.rule}: {v.where}: {v.message}" for v in report.broken],
        "notes": [f"{v.where}: {v.message}" for v in report.violations if v not in report.broken],
        "estimates": list(placement.ESTIMATES),
        "head": [
            "Layer",
            "neurons",
            "cores",
            *(f"{r.replace('_', ' ')} of a core" for r in resources),
        ],
        "rows": rows,
    }


def _compare(
    stage: Stage, program: Program, inputs: dict[str, Any], labels: np.ndarray, say: Say, bar: Bar
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The whole test set in PyTorch and on fast; some of it everywhere. Keeps fast's recording of
    all, and everybody's of some."""
    kept: dict[str, Recording] = {}

    def execute(target: str, part: Mapping[str, np.ndarray], record: Record) -> Recording:
        with bar(target, "sample") as update:
            kept[target] = execution.execute(
                stage, program, part, target, record=record, progress=update
            )
        return kept[target]

    facts, recordings = [], {}
    some = {name: array[:LAVA_SAMPLES] for name, array in inputs.items()}
    for name, part, targets in (
        ("whole", inputs, ["software", "fast"]),
        ("shown", some, ["software", "reference", "lava"]),
    ):
        count = len(next(iter(part.values())))
        result = agreement.agree(program, part, targets, execute, labels[:count])
        recordings[name] = dict(kept)
        for comparison in result.comparisons:
            entry: dict[str, Any] = {
                "targets": list(comparison.targets),
                "samples": result.samples,
                "first": None,
            }
            for field in ("spikes", "spike_differences", "potentials", "potential_differences"):
                entry[field] = sum(getattr(layer, field) or 0 for layer in comparison.layers)
            if comparison.first is not None:
                entry["first"] = comparison.to_dict()["first"]
            entry["wall_time_s"] = {
                target: result.runs[target]["wall_time_s"] for target in comparison.targets
            }
            entry["accuracy"] = result.runs[comparison.targets[1]]["accuracy"]
            facts.append(entry)
            different = entry["spike_differences"] + entry["potential_differences"]
            say(
                f"compare  {comparison.targets[0]} and {comparison.targets[1]}, {result.samples} "
                f"digits: "
                f"{different:,} of {entry['spikes'] + entry['potentials']:,} spikes and potentials "
                f"differ"
            )
    whole = recordings["whole"]["fast"]
    accuracy = summary.accuracy(summary.correct(whole, labels), whole.samples)
    say(f"accuracy {summary.accuracy_text(accuracy)}")
    return facts, {"whole": whole, "shown": recordings["shown"]}


def _energy(program: Program, whole: Recording, say: Say) -> dict[str, Any]:
    """What an inference is estimated to cost, mean over the test set, with every table, band and
    error."""
    cost = costs.estimated({"": (program, whole)}, Chip.load("loihi2"))
    for name, text in zip(("energy", "time"), costs.short(cost)):
        say(f"{name:8} {text}")
    return cost.to_dict() | {"shown": costs.shown(cost).device.name}


def _grid_step(entry: dict[str, Any]) -> np.ndarray:
    """Distance of two weights on the chip in volts, per layer or output channel; weights of mixed
    signs lie 2**(9 - bits) apart."""
    grid = entry["grid"]
    exponent = np.asarray(grid["exponent"], float)
    places: int = 9 - grid["weight_bits"] - grid["fraction_bits"] + grid["source_fraction_bits"]
    return np.asarray(2.0 ** (places + exponent))


def _layers_of_weights(
    stage: Stage, graph: nir.NIRGraph
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]]:
    """Weight layer → (trained float weights, weights in the graph, step of their grid, its entry in
    the graph's metadata)."""
    modules = dict(stage.require_module("the demo").named_modules())
    layers = {}
    for name, entry in graph_metadata.of(graph)["nodes"].items():
        if "weight_bits" in entry.get("grid", {}):
            after = np.asarray(graph.nodes[name].weight, np.float64)
            step = _grid_step(entry)
            step = step.reshape(-1, *[1] * (after.ndim - 1)) if step.ndim else step
            before = modules[name].folded_weight().detach().double().numpy()
            layers[name] = (before, after, step, entry)
    return layers


def _weights(stage: Stage, graph: nir.NIRGraph) -> list[dict[str, Any]]:
    table = []
    for name, (before, after, step, entry) in _layers_of_weights(stage, graph).items():
        integers = after / step * 2 ** (9 - entry["grid"]["weight_bits"])
        steps = np.unique(step).tolist()
        table.append(
            {
                "layer": name,
                "count": int(after.size),
                "bits": entry["grid"]["weight_bits"],
                "integers": [round(float(integers.min())), round(float(integers.max()))],
                "step_v": steps[0] if len(steps) == 1 else [steps[0], steps[-1]],
                "max_error_v": float(np.abs(after - before).max()),
                "max_error_steps": float((np.abs(after - before) / step).max()),
                "rms_relative_error": float(
                    np.sqrt(np.mean((after - before) ** 2) / np.mean(before**2))
                ),
            }
        )
    return table


def _shown(
    program: Program, recordings: dict[str, Recording], labels: np.ndarray
) -> dict[str, Any]:
    """The first of the Lava samples that Lava reads correctly (or the first of all), and the
    liveliest neuron of each layer in it."""
    lava = recordings["lava"]
    right = np.flatnonzero(lava.predictions() == labels[: lava.samples])
    sample = int(right[0]) if right.size else 0

    neurons = {}
    for name in program.order:
        if name == program.outputs[0].population:
            neurons[name] = int(lava.predictions()[sample])
            continue
        fired = np.count_nonzero(lava.spikes[name][sample].reshape(lava.steps, -1), axis=0)
        lively = lava.potentials[name][sample].reshape(lava.steps, -1).std(axis=0) * (
            (fired > 0) & (fired <= lava.steps // 2)
        )
        neurons[name] = int(lively.argmax())

    return {
        "sample": sample,
        "label": int(labels[sample]),
        "predictions": {
            target: int(recording.predictions()[sample]) for target, recording in recordings.items()
        },
        "spikes": {
            name: int(np.count_nonzero(spikes[sample])) for name, spikes in lava.spikes.items()
        },
        "neurons": neurons,
    }


def _versions(lava: Recording) -> dict[str, str]:
    versions = {
        "spikeport": __version__,
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
    }
    versions |= {name: packages.version(name) for name in ("nir", "numba", "numpy")}
    return versions | {"lava-nc": str(lava.details.get("lava"))}


def _commands(folder: Path) -> list[str]:
    model = folder / "digits.safetensors"
    return [
        f"spikeport train {folder / 'digits.toml'} -o my.safetensors",
        f"spikeport export {model} --dt {DT_S:g} -o my.nir",
        f"spikeport check {folder / 'digits.h5'} --chip loihi2",
        f"spikeport compare {model} --data digits --samples {LAVA_SAMPLES} --targets "
        f"software,reference,fast,lava",
    ]


def _pictures(
    program: Program,
    stage: Stage,
    graph: nir.NIRGraph,
    recordings: dict[str, Recording],
    facts: dict[str, Any],
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The pictures of the page, and the numbers behind the potentials."""
    shown, sample = facts["shown"], facts["shown"]["sample"]
    one, other = recordings["software"], recordings["lava"]
    digit = data.load("digits", "test")
    spikes = {name: _map(array[sample]) for name, array in other.spikes.items()}

    panels = []
    for name in program.order:
        scale = 2.0 ** -(program.metadata["fraction_bits"][name] + 6)
        neuron, population = shown["neurons"][name], program.population(name)
        traces = [
            recording.potentials[name][sample].reshape(one.steps, -1)[:, neuron] * scale
            for recording in (one, other)
        ]

        threshold = None
        if isinstance(population, Population) and population.threshold is not None:
            every = np.broadcast_to(population.threshold, population.shape)
            threshold = float(every.flat[neuron] * 64 * scale)
        fired = (
            np.flatnonzero(other.spikes[name][sample].reshape(one.steps, -1)[:, neuron]).tolist()
            if population.spiking
            else []
        )
        label = f"{name}, neuron {neuron}: " + (
            "never spikes, its potential is the answer"
            if not population.spiking
            else _moments(fired)
        )

        panels.append(
            {
                "label": label,
                "software": traces[0].tolist(),
                "lava": traces[1].tolist(),
                "threshold": threshold,
                "fired": fired,
            }
        )

    first, (before, after, step, _) = next(iter(_layers_of_weights(stage, graph).items()))
    described = ", ".join(f"{name} {count} spikes" for name, count in shown["spikes"].items())
    drawn = {
        "digit": pictures.image(
            np.asarray(digit.values[sample])[0] / digit.maximum,
            "digit",
            f"Test digit {sample}, a {shown['label']}",
        ),
        "raster": pictures.raster(
            spikes, "raster", "Spikes of every layer while one digit is shown", described
        ),
        "potentials": pictures.traces(
            [
                (
                    p["label"],
                    np.array(p["software"]),
                    np.array(p["lava"]),
                    p["threshold"],
                    p["fired"],
                )
                for p in panels
            ],
            "potentials",
            "Membrane potentials in PyTorch and in Lava",
            "One neuron of each layer; both runs lie on top of each other. The values are in the "
            "table below.",
        ),
        "kernels": pictures.kernels(
            before[:, 0],
            after[:, 0],
            "kernels",
            f"Kernels of {first} before and after quantisation",
            "Small squares, one for each weight.",
        ),
        "rounding": pictures.rounding(
            before,
            after,
            step,
            "rounding",
            f"Rounding of every weight of {first}",
            "One dot for each weight, within half a step of zero.",
        ),
    }

    return drawn, panels


def _map(spikes: np.ndarray) -> np.ndarray:
    """Spikes [step, *shape] as [step, row, column]: an image as it is, channels × pixels, or
    neurons × 1."""
    steps, channels = spikes.shape[:2]
    return (
        spikes[:, 0] if spikes.ndim == 4 and channels == 1 else spikes.reshape(steps, channels, -1)
    )


def _moments(steps: list[int]) -> str:
    if not steps:
        return "no spike"
    return ("spike in step " if len(steps) == 1 else "spikes in steps ") + ", ".join(
        map(str, steps)
    )
