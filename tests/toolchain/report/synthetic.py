"""A run's folder as ``spikeport bench`` leaves it, with records made up from a seed, so that the
report can be tested in a second.

What the numbers are is chosen for what the page has to show: one model whose hardware agrees with
software in everything, one whose hardware differs, one whose attacks are weaker than noise (flags),
names that try to be HTML.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hardware import measurements, program_file
from hardware.device import Device
from hardware.program import Convolution, Dense, Input, Output, Population, Program
from toolchain.cells.store import Store, program_path
from toolchain.robustness.records import Scored

EVIL = "<script>alert(1)</script>\"'&amp;=1"
EVIL_LAYER = '"><img src=x onerror=alert(2)>'
COUNTERS = ("spikes_in", "axon_out", "syn_ops", "dendrite_updates")
DEVICES = {"loihi-davies2018": 1.0, "loihi-sanafe": 1.6, "keras-spiking": 1.2}
ATTACKS = (
    ("noise 5 uniform", "noise", "noise", 5, None),
    ("fgsm · training", "single_step", "fgsm", 1, "training"),
    ("pgd 10 · training", "iterative", "pgd", 10, "training"),
    ("pgd 10 · atan 2", "iterative", "pgd", 10, "atan"),
    ("square 200", "black_box", "square", 200, None),
    ("sponge 20 free synaptic_operations · atan 2", "energy", "sponge", 20, "atan"),
)
STRENGTH = {
    "noise 5 uniform": 0.4,
    "fgsm · training": 3.0,
    "pgd 10 · training": 4.5,
    "pgd 10 · atan 2": 5.0,
    "square 200": 2.0,
}


def program(hidden: int = 12, layer: str = "hidden") -> Program:
    """Images of 8 x 8 pixels through a convolution to ten classes."""
    rng = np.random.default_rng(hidden)
    shape = (4, 6, 6)
    return Program(
        inputs=(Input("image", (1, 8, 8), message_bits=6),),
        populations=(
            Population(layer, shape, voltage_decay=128, threshold=64),
            Population("dense", (hidden,), voltage_decay=128, threshold=64),
            Population("scores", (10,), threshold=None),
        ),
        projections=(
            Convolution("conv", "image", layer, rng.integers(-20, 20, (4, 1, 3, 3)) * 2),
            Dense("fc", layer, "dense", rng.integers(-20, 20, (hidden, 144)) * 2),
            Dense("read", "dense", "scores", rng.integers(-20, 20, (10, hidden)) * 2),
        ),
        outputs=(Output("scores", decode="max_potential"),),
    )


def _hash(*parts) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Model:
    """One made-up model: ``scale`` of its activity, ``noise`` of its hardware's margins, ``weak``:
    gradient attacks do next to nothing, ``method``: of which it is a training."""

    def __init__(
        self,
        name: str,
        network: Program,
        *,
        scale: float = 1.0,
        noise: float = 0.0,
        weak: bool = False,
        method: str | None = None,
    ):
        self.name, self.program, self.method = name, network, method or name
        self.scale, self.noise, self.weak = scale, noise, weak


MODELS = (
    Model("digits, 8 bits", program(12)),
    Model("digits, rounded after training", program(24), scale=2.2, noise=0.25),
    Model(EVIL, program(16, EVIL_LAYER), scale=1.4, weak=True),
)


def scored(model: Model, target: str, samples: int, attack, epsilon: float, seed: int) -> Scored:
    """One made-up record."""
    name, family, optimiser, iterations, estimator = attack
    clean = family == "clean"
    own = np.random.default_rng([len(model.name), 1])
    base = own.normal(2.6, 1.4, 400)[:samples]
    labels = np.random.default_rng(5).integers(0, 10, 400)[:samples]
    push = np.random.default_rng([len(name), seed, 2]).gamma(4.0, 0.25, 400)[:samples]
    strength = STRENGTH.get(name, 0.0)
    if model.weak:
        strength = {"noise": 4.0, "single_step": 1.0}.get(family, 0.5 if epsilon < 0.2 else 0.2)
    margin = base - 4 * epsilon * strength * push
    if target != "software" and model.noise:
        margin = (
            margin + np.random.default_rng([len(name), 3]).normal(0, model.noise, 400)[:samples]
        )
    correct = margin > 0
    prediction = np.where(correct, labels, (labels + 1) % 10)
    layers = [node.name for node in (*model.program.inputs, *model.program.populations)]
    rise = (
        1
        + epsilon * (2.5 if family == "energy" else 0.6)
        + (0.02 * model.noise if target != "software" else 0.0)
    )
    level = (
        np.random.default_rng([len(model.name), 4]).uniform(0.8, 1.2, (400, 1))[:samples]
        * model.scale
        * rise
    )
    sizes = np.array([model.program.nodes[n].size for n in layers], float)
    activity = {
        "spikes_in": level * sizes * 1.1,
        "axon_out": level * sizes * 0.8,
        "syn_ops": level * sizes * np.array([0.0, 40.0, 90.0, 12.0]),
        "dendrite_updates": np.ones((samples, 1)) * sizes * 8 * np.array([0.0, 1.0, 1.0, 1.0]),
    }
    dynamic = activity["syn_ops"].sum(1) * 23.6e-12 + activity["dendrite_updates"].sum(1) * 81e-12
    energy: dict[str, Mapping[str, np.ndarray]] = {
        device: {
            "dynamic_j": dynamic * factor,
            "dynamic_low_j": dynamic * factor * 0.8,
            "dynamic_high_j": dynamic * factor * 1.15,
            "static_j": np.full(samples, 1.1e-6),
            "static_low_j": np.full(samples, 0.6e-6),
            "static_high_j": np.full(samples, 2.4e-6),
            "time_s": np.full(samples, 12e-6),
            "time_low_s": np.full(samples, 8e-6),
            "time_high_s": np.full(samples, 24e-6),
            "dynamic_calibrated_j": dynamic * factor * 0.7,
            "time_calibrated_s": np.full(samples, 5e-6),
        }
        for device, factor in DEVICES.items()
    }
    energy["cmos-45nm"] = {
        "dynamic_j": dynamic * 0.1,
        "dynamic_low_j": dynamic * 0.1,
        "dynamic_high_j": dynamic * 0.1,
    }
    description = {
        "model": model.name,
        "name": name,
        "family": family,
        "optimiser": optimiser,
        "estimator": estimator,
        "iterations": iterations,
        "eot": 1,
        "front": "through",
        "inference_seed": 0,
        "params": {},
        "norm": "linf",
        "epsilon": 0.0 if clean else epsilon,
        "seed": seed,
        "crafted_on": "fast" if family == "black_box" else "software",
        "crafted": crafted_key(model, name, epsilon, seed),
        "target": target,
        "stochastic": False,
        "layers": layers,
        "program": model.program.fingerprint,
        "samples": samples,
        "steps": 8,
        "classes": 10,
        "near_threshold": {"within": 0.3, "share": 0.25, "layers": {"dense": 0.25}}
        if clean and target == "software"
        else None,
        "chip": "loihi2",
        "time_limit": {
            n: {"term": "synaptic reads", "layer": EVIL_LAYER, "cores": 2, "step_s": 1e-6}
            for n in DEVICES
        },
        "cores": 3,
        "twin_macs": 5000,
        "twin_energy_j": {"cmos-45nm": 2.3e-8},
        "spikes_per_inference": {
            n: None if n == "scores" else float(v)
            for n, v in zip(layers, activity["axon_out"].mean(0))
        },
    }
    return Scored(
        description=description,
        index=np.arange(samples),
        correct=correct,
        margin=margin,
        distance=np.full(samples, 0.0 if clean else epsilon),
        activity=activity,
        layers=tuple(layers),
        history={"queries": np.full((1, samples), iterations)},
        energy=energy,
        label=labels,
        prediction=prediction,
    )


def crafted_key(model: Model, name: str, epsilon: float, seed: int) -> str:
    """Of the samples that all targets share."""
    return _hash(model.name, name, 0.0 if name == "clean" else epsilon, seed)


def images(samples: int) -> np.ndarray:
    """Blurred spots, float32 [sample, 1, 8, 8] in [0, 1]."""
    y, x = np.mgrid[:8, :8]
    at = np.random.default_rng(8).uniform(2, 6, (samples, 2))
    return np.exp(-((x - at[:, :1, None]) ** 2 + (y - at[:, 1:, None]) ** 2) / 4).astype(
        np.float32
    )[:, None]


def write_run(
    folder: Path,
    models: tuple[Model, ...] = MODELS,
    *,
    targets: Mapping[str, int] = {"software": 120, "fast": 120, "lava": 20},
    epsilons: tuple[float, ...] = (0.1, 0.2),
    seeds: tuple[int, ...] = (0, 1),
    attacks: tuple[tuple, ...] = ATTACKS,
    unfinished: int = 0,
) -> Path:
    """Write a whole run; ``unfinished``: so many further cells are planned and not there."""
    pictures = images(max(targets.values()))
    keys = [f"{n:064x}" for n in range(unfinished)]
    made = {
        "code": "c" * 64,
        "versions": {"spikeport": "0.1.0", "python": "3.11.0", "numpy": "2.0"},
    }
    with Store(folder) as store:
        for model in models:
            path = program_path(folder, model.program.fingerprint)
            path.parent.mkdir(exist_ok=True)
            program_file.save(model.program, path, force=True)
            cells = [(("clean", "clean", "clean", 0, None), 0.0, s) for s in seeds]
            cells += [(attack, e, s) for attack in attacks for e in epsilons for s in seeds]
            for attack, epsilon, seed in cells:
                key = crafted_key(model, attack[0], epsilon, seed)
                sign = np.sign(
                    np.random.default_rng([len(attack[0]), seed]).normal(size=pictures.shape)
                ).astype(np.float32)
                samples = np.clip(pictures + epsilon * sign, 0, 1)
                store.put(key, "crafted", {"name": attack[0]}, {"adversarial": samples}, made)
                keys.append(key)
                for target, count in targets.items():
                    record = scored(model, target, count, attack, epsilon, seed)
                    keys.append(_hash(key, target))
                    store.put(
                        keys[-1], "scored", dict(record.description), record.to_arrays(), made
                    )
        store.remember(
            "sweep",
            {
                "data": {"name": "digits", "samples": max(targets.values()), "key": "d" * 64},
                "attacks": {"preset": "quick"},
            },
        )
        store.remember(
            "models",
            [
                {
                    "name": m.name,
                    "source": "digits.safetensors",
                    "key": "a" * 64,
                    "method": m.method,
                }
                for m in models
            ],
        )
        store.remember("energy", energy_tables())
        store.remember("command", "spikeport bench digits-quick.toml -o run")
        store.remember("keys", keys)
    return folder


def energy_tables() -> dict:
    """As ``toolchain.robustness.bench`` remembers them."""
    constant = {"value": 23.6, "low": 20.0, "high": 27.0, "source": "a source & a page"}
    devices = [
        {
            "name": n,
            "title": f"table {n}",
            "kind": "spiking",
            "measured_on": "loihi1",
            "constants": {"dense_syn_op_pj": constant},
            "step_times": None,
        }
        for n in DEVICES
    ]
    error = measurements.facts([Device.load(n) for n in DEVICES])
    return {
        "devices": devices,
        "assumptions": ["an assumption"],
        "not_covered": ["the host computer"],
        **error,
    }
