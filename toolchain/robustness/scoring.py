"""One target's view of crafted samples: predictions, margins, counts and energy, sample by
sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from hardware.program import Program
from hardware.recording import Recording
from toolchain.attacks.base import NotApplicable, steps_moved
from toolchain.attacks.fronts import has_detector
from toolchain.attacks.victims import BATCH
from toolchain.cells.work import Arrays, Context, NotPossible, Tick
from toolchain.robustness.cells import ScoreJob, SweepData
from toolchain.robustness.models import Opened, open_model
from toolchain.robustness.records import Scored
from toolchain.whole import whole

NEAR = 0.3
"""How near is near, in thresholds: the half width that the kept networks were trained with
(examples/recipes). Ours: the paper of threshold guarding does not say its own."""


def score(
    job: ScoreJob,
    data: SweepData,
    crafted: Mapping[str, np.ndarray],
    tick: Tick = lambda done, total: None,
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(description, arrays) of a scored cell, see ``records.Scored``. Raises NotApplicable for a
    target that the model has nothing for."""
    opened, part = open_model(job.crafted.model), data.first(job.samples)
    adversarial = crafted["adversarial"][: job.samples]

    measured = (
        _on_software(opened, adversarial, job)
        if opened.program is None
        else _on_target(opened, adversarial, job, tick)
    )
    scores = measured.pop("scores")

    rows = np.arange(len(part.labels))
    others = scores.copy()
    others[rows, part.labels] = -np.inf
    prediction = scores.argmax(axis=1)
    read = detector(opened, adversarial) if job.target == "software" else None
    activity, layers, energy = (measured.pop(name) for name in ("activity", "layers", "energy"))

    description = job.description() | {
        "stochastic": opened.stochastic,
        "has_front": opened.front is not None,
        "has_detector": has_detector(opened.front),
        "spiking": opened.spiking,
        "exact": opened.exact,
        "layers": list(layers),
        "samples": len(rows),
        "classes": scores.shape[1],
        "near_threshold": near_threshold(opened, part.samples, job.seed)
        if _on_clean(job)
        else None,
        "detector_threshold": None
        if read is None or opened.front is None
        else float(opened.front.gate.threshold),
        **measured,
    }

    history = {
        name.removeprefix("history."): values[None, : job.samples]
        for name, values in crafted.items()
        if name.startswith("history.")
    }
    history["queries"] = crafted["queries"][None, : job.samples]

    record = Scored(
        description=description,
        index=part.index,
        correct=prediction == part.labels,
        margin=scores[rows, part.labels] - others.max(axis=1),
        distance=distance(part.samples, adversarial, job.crafted.norm),
        activity=activity,
        layers=tuple(layers),
        history=history,
        energy=energy,
        label=np.asarray(part.labels, np.int64),
        prediction=prediction,
        detector=read,
    )

    return description, record.to_arrays()


def score_cell(job: ScoreJob, context: Context) -> tuple[dict[str, Any], Arrays]:
    """A scored cell: its description and arrays. Raises NotPossible."""
    try:
        return score(job, context.data, context.inputs[0], context.tick)
    except NotApplicable as reason:
        raise NotPossible(str(reason)) from None


def _on_clean(job: ScoreJob) -> bool:
    """Potentials are looked at on clean inputs, in PyTorch: targets hold them after the reset."""
    return job.target == "software" and job.crafted.spec is None


def near_threshold(opened: Opened, samples: np.ndarray, seed: int) -> dict[str, Any] | None:
    """{"within": half width in thresholds, "share": of all potentials, "layers": name → share};
    None where no spiking layer is one of ours.

    Such layers compute the chip's integers, so the share is the chip's, too.
    """
    from toolchain.defences.threshold_guarding import NearThreshold, near_counts
    from toolchain.layers import observe

    counts: dict[str, tuple[int, int]] = {}
    victim = opened.victim()
    for start in range(0, len(samples), BATCH):
        with observe(opened.module) as seen:
            victim.predict(samples[start : start + BATCH], seed=seed)
        for name, (near, size) in near_counts(seen.layers(), NEAR, relative=True).items():
            before = counts.get(name, (0, 0))
            counts[name] = before[0] + near, before[1] + size
    share = NearThreshold.of(NEAR, counts)
    return {"within": NEAR, "share": share.share, "layers": share.layers} if counts else None


def detector(opened: Opened, samples: np.ndarray) -> np.ndarray | None:
    """What the detector of the front reads of each sample, float64 [sample]; None where there is
    none. It gives the same on every target."""
    import torch

    front = opened.front
    if front is None or not has_detector(front):
        return None
    with torch.no_grad():
        parts = [
            front.distance(torch.from_numpy(samples[i : i + BATCH].astype(np.float32)))
            for i in range(0, len(samples), BATCH)
        ]
    distances: np.ndarray = torch.cat(parts).double().numpy()
    return distances


def distance(clean: np.ndarray, adversarial: np.ndarray, norm: str) -> np.ndarray:
    """Size of each change, float64 [sample]: largest change of a pixel (linf, and corruptions),
    Euclidean length (l2), changed event cells (flips), steps that an event moved, mean over the
    sample's events (shift)."""
    change = (adversarial.astype(np.float64) - clean).reshape(len(clean), -1)
    size: np.ndarray
    if norm in ("linf", "corruption"):
        size = np.abs(change).max(axis=1)
    elif norm == "l2":
        size = np.sqrt((change**2).sum(axis=1))
    elif norm == "flips":
        size = np.count_nonzero(change, axis=1).astype(np.float64)
    else:
        sample, moved = steps_moved(clean, adversarial)
        events = np.bincount(sample, minlength=len(clean))
        size = np.bincount(sample, moved, len(clean)) / np.maximum(events, 1)
    return size


def _on_software(opened: Opened, samples: np.ndarray, job: ScoreJob) -> dict[str, Any]:
    """A model without a Program: predictions of the PyTorch model, and the multiply-accumulate
    operations of its layers."""
    from hardware.device import Device

    if job.target != "software":
        raise NotApplicable(f"no Program: {opened.no_program}")
    victim = opened.victim()
    scores = victim.predict(samples, seed=job.seed).astype(np.float64)
    macs, steps = multiply_accumulates(opened)
    total = sum(macs.values())
    energy, twin = {}, {}
    for name in ("cmos-45nm",):
        constant = Device.load(name).constants["mac_pj"]
        ends = {
            "dynamic_j": constant.value,
            "dynamic_low_j": constant.low,
            "dynamic_high_j": constant.high,
        }
        energy[name] = {
            end: np.full(len(samples), total * picojoules * 1e-12)
            for end, picojoules in ends.items()
        }
        twin[name] = total * constant.value * 1e-12
    return {
        "scores": scores,
        "layers": tuple(macs),
        "activity": {"macs": np.tile(np.array(list(macs.values()), np.float64), (len(samples), 1))},
        "energy": energy,
        "program": None,
        "no_program": opened.no_program,
        "steps": steps,
        "chip": None,
        "cores": None,
        "twin_macs": total,
        "twin_energy_j": twin,
        "spikes_per_inference": {},
    }


def multiply_accumulates(opened: Opened) -> tuple[dict[str, int], int]:
    """(layer → multiply-accumulate operations of one inference, passes through the network that
    they are of).

    Every product of a convolution and a linear layer, edges of images exact, those of what stands
    before the network ("front.") included. An input that is the same in every step (direct
    encoding, or none) needs one pass of a network without state, which gives the same scores every
    time; one with spiking neurons needs all of them.
    """
    import torch
    from torch import nn

    counts: dict[str, int] = {}

    def counted(name: str) -> Callable[..., None]:
        def after(module: Any, arguments: tuple[Any, ...], result: Any) -> None:
            inside = arguments[0].detach()

            if isinstance(module, nn.Linear):
                macs = (
                    module.in_features * module.out_features * inside.numel() // module.in_features
                )
            else:
                lead = inside.shape[: inside.dim() - module.weight.dim() + 1]
                ones = torch.ones(1, *inside.shape[len(lead) :])
                kernel = torch.ones_like(module.weight).cpu()
                convolve: Callable[..., torch.Tensor]
                convolve = {3: nn.functional.conv1d, 4: nn.functional.conv2d}[kernel.dim()]
                if isinstance(module, nn.ConvTranspose2d):
                    convolve = nn.functional.conv_transpose2d
                options = {
                    "stride": module.stride,
                    "padding": module.padding,
                    "dilation": module.dilation,
                    "groups": module.groups,
                }
                if isinstance(module, nn.ConvTranspose2d):
                    options["output_padding"] = module.output_padding
                macs = int(convolve(ones, kernel, **options).sum()) * int(np.prod(lead))

            counts[name] = counts.get(name, 0) + int(macs)

        return after

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
    modules = dict(opened.module.named_modules())
    front = opened.front
    if isinstance(front, nn.Module):
        modules |= {f"front.{name}": m for name, m in front.named_modules()}
    hooks = [
        m.register_forward_hook(counted(name))
        for name, m in modules.items()
        if isinstance(m, kinds)
    ]
    victim = opened.classifier()
    samples = torch.zeros(1, *victim.sample_shape)
    values = samples.transpose(0, 1) if opened.events else opened.encoder()(samples, 0)
    constant = opened.data.get("encoding", "direct") == "direct" and not opened.spiking
    values = values[:1] if constant else values
    try:
        with torch.no_grad():
            victim.run(values)
            if front is not None:
                front(samples)
    finally:
        for hook in hooks:
            hook.remove()
    return counts, len(values)


def _on_target(opened: Opened, samples: np.ndarray, job: ScoreJob, tick: Tick) -> dict[str, Any]:
    """A Program on a target, or the PyTorch model that it was made from, and what stands before it
    on the same target."""
    from contextlib import ExitStack

    from toolchain.attacks.encoding import integers
    from toolchain.deploy import execution, fronts, summary
    from toolchain.layers.noise import noise_seed

    parts: dict[str, tuple[Program, Recording]] = {}
    front = opened.front
    if front is not None:
        samples, recordings = fronts.run(
            front, np.ascontiguousarray(samples, np.float32), job.target
        )
        programs = front.programs()
        parts = {
            f"front.{name}": (programs[name].program, recording)
            for name, recording in recordings.items()
        }
    plain = opened.required()
    program = opened.reseeded(plain, job.seed)
    if opened.events:
        inputs = whole(samples, np.uint8, f"events for target {job.target}", 0, 1)
    else:
        inputs = integers(opened.encoder(), samples, job.seed)
    call = None if callable(getattr(opened.module, "spikeport_io", None)) else opened.io["call"]
    with ExitStack() as stack:
        if program is not plain:
            stack.enter_context(noise_seed(opened.module, job.seed))
        recording = execution.execute(
            opened.stage,
            program,
            {program.inputs[0].name: inputs},
            job.target,
            call=call,
            progress=tick,
        )
    parts[""] = program, recording
    spent = _energy(parts, job.chip)
    by_part = [summary.layers(*part) for part in parts.values()]
    prefixes = [f"{name}." if name else "" for name in parts]
    return {
        "scores": next(iter(recording.scores.values())),
        "layers": tuple(
            f"{prefix}{layer}"
            for prefix, (_, made) in zip(prefixes, parts.values())
            for layer in made.layers
        ),
        "activity": {
            counter: np.concatenate([_columns(made, counter) for _, made in parts.values()], axis=1)
            for counter in recording.counts
        },
        "program": plain.fingerprint,
        "steps": recording.steps,
        "spikes_per_inference": {
            f"{prefix}{entry['name']}": entry["spikes"]
            for prefix, entries in zip(prefixes, by_part)
            for entry in entries
        },
        **spent,
    }


def _columns(recording: Recording, counter: str) -> np.ndarray:
    return np.stack(
        [recording.counts[counter][layer] for layer in recording.layers], axis=1
    ).astype(np.float64)


def _energy(parts: Mapping[str, tuple[Program, Recording]], chip_name: str) -> dict[str, Any]:
    """Energy of all parts, one after the other: energies, times and cores add up."""
    from hardware.chip import Chip
    from hardware.energy import QUANTITIES, estimate
    from hardware.energy_parts import together

    chip = Chip.load(chip_name)
    each = {f"{name}." if name else "": estimate(*part, chip=chip) for name, part in parts.items()}
    spent = together(each, chip)
    energy = {
        entry.device.name: {
            name: values for name in QUANTITIES if (values := getattr(entry, name)) is not None
        }
        for entry in spent.devices
    }
    return {
        "energy": energy,
        "chip": spent.chip,
        "cores": spent.cores,
        "time_limit": {
            entry.device.name: asdict(entry.limit)
            for entry in spent.spiking
            if entry.limit is not None
        },
        "twin_macs": sum(spent.twin.macs.values()),
        "twin_energy_j": dict(spent.twin.energy_j),
    }
