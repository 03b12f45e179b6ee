"""snnTorch's neurons as NIR nodes, their reset rule included.

Rules, read in snnTorch 1.0.0 (``snntorch/_neurons``), for one step with input I:

    Leaky, RLeaky        mem = beta * mem + I
    Synaptic, RSynaptic  syn = alpha * syn + I;  mem = beta * mem + syn
    Lapicque             mem = (1 - time_step / RC) * mem + time_step / C * I
    all                  spike where mem > threshold (strictly); alpha and beta are brought into [0,
                         1]

A Program resets in the step of the spike. snnTorch does so with ``reset_delay=False``; by default
it resets in the next step, and:

    "subtract"   mem = beta * mem + I - threshold: the same spikes as taking threshold / beta off in
                 the step of the spike
    "zero"       Leaky forgets mem before it adds I: the same as zero in the step of the spike. All
                 others put the whole of the next mem to zero, its input included: the same as zero
                 in the step of the spike and a refractory period of one step

What a module really computes is compared with this in a run of its own (``prove``), so that a
subclass, a changed attribute or another version of snnTorch ends in an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import torch
from torch import nn

from export.errors import UnsupportedError
from export.frameworks.leaves import GraphPart, Leaf, Shape, array
from export.frameworks.values import CURRENT, POTENTIAL, SPIKES

RESETS = ("subtract", "zero", "none")
"""In the order of snnTorch's reset_mechanism_val."""

KINDS = ("RSynaptic", "RLeaky", "Synaptic", "Leaky", "Lapicque")
STATES = {
    "Leaky": ("mem",),
    "Lapicque": ("mem",),
    "Synaptic": ("syn", "mem"),
    "RLeaky": ("spk", "mem"),
    "RSynaptic": ("spk", "syn", "mem"),
}
"""State arguments of ``forward`` after the input, in order."""

NO_LEAK = 2.0**40
"""Time constant, in steps, of a decay of 0 where a node needs one: cancels exactly in r * dt / tau,
and rounds to 0 in 12 bits."""

PROBE_STEPS = 24


def _time_constant(leak: np.ndarray) -> np.ndarray:
    """In steps, from the share that is lost in a step."""
    return np.where(leak == 0, NO_LEAK, 1.0 / np.where(leak == 0, 1.0, leak))


def kind_of(module: nn.Module) -> str | None:
    """Name of snnTorch's own class that a module is an instance of; None if it is none of
    snnTorch's neurons."""
    for cls in type(module).__mro__:
        if cls.__module__.startswith("snntorch._neurons") or cls.__module__.startswith(
            "snntorch._layers"
        ):
            return cls.__name__
    return None


def leaf(path: str, module: nn.Module) -> SnntorchNeuron | None:
    """The leaf of one of snnTorch's neurons; None for other modules. Raises UnsupportedError for
    neurons that cannot be exported."""
    return None if kind_of(module) is None else SnntorchNeuron(path, module)


@dataclass(frozen=True, eq=False)
class NeuronRule:
    """The neuron in discrete form, one number for each neuron (shape of the population), float64.

    u = (1 - current_leak) * u + I (u = I without ``current_leak``);  v = (1 - leak) * v + gain * u;
        spike where v > threshold;
    then v = 0, or v -= amount, or nothing; then ``refractory`` steps of rest
    """

    leak: np.ndarray
    gain: np.ndarray
    threshold: np.ndarray
    reset: str
    amount: np.ndarray | None
    refractory: int
    current_leak: np.ndarray | None


@dataclass
class SnntorchNeuron(Leaf):
    """One of snnTorch's neurons."""

    module: Any  # snnTorch's modules have no types
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = kind_of(self.module)
        if kind is None or kind not in KINDS:
            raise UnsupportedError(
                f"{self.label}: it must be one of snntorch's {', '.join(sorted(KINDS))}"
            )
        self.kind = kind

        module = self.module
        if module.inhibition:
            raise UnsupportedError(
                f"{self.label}: inhibition=True lets one neuron of a layer silence the others; "
                f"it must be inhibition=False"
            )
        if module.state_quant:
            raise UnsupportedError(
                f"{self.label}: state_quant rounds the state to values that a chip does not have; "
                f"it must be state_quant=False"
            )

        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if name not in STATES[self.kind]:
                array(self.label, name, tensor)

        factor = array(self.label, "graded_spikes_factor", module.graded_spikes_factor)
        if factor.size != 1 or (factor.item() != 1.0 and self.kind.startswith("R")):
            raise UnsupportedError(
                f"{self.label}: graded_spikes_factor is {factor.tolist()}; it must be one number, "
                f"1 in a recurrent layer"
            )
        self.spike_scale = float(factor.item())

    @property
    def stateless(self) -> bool:
        return False

    @property
    def label(self) -> str:
        return f"layer {self.path or 'model'!r} (snntorch.{kind_of(self.module)})"

    def prepare(self) -> None:
        for name in STATES[self.kind]:
            setattr(self.module, name, torch.zeros(0, device=self.module.threshold.device))

    def accept(self, layout: str | None, kwargs: Mapping[str, Any]) -> None:
        if layout is not None:
            raise UnsupportedError(
                f"{self.label}: its input holds several time steps, which it takes for a batch; "
                f"call it step by step"
            )

    def held(self, module: nn.Module) -> list[tuple[str, torch.Tensor]]:
        ports = {"mem": POTENTIAL, "syn": CURRENT}
        states = {ports[name]: getattr(module, name) for name in STATES[self.kind] if name in ports}
        return [(port, state) for port, state in states.items() if isinstance(state, torch.Tensor)]

    def fixed(self) -> dict[str, torch.Tensor]:
        tensors = (*self.module.named_parameters(), *self.module.named_buffers())
        return {name: tensor for name, tensor in tensors if name not in STATES[self.kind]}

    def ports(self, count: int) -> tuple[str, ...]:
        return {1: (SPIKES,), 2: (SPIKES, POTENTIAL), 3: (SPIKES, CURRENT, POTENTIAL)}[count]

    def check_state(
        self,
        module: nn.Module,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        before: Mapping[str, Any] | None,
        given: torch.Tensor,
    ) -> None:
        for number, name in enumerate(STATES[self.kind]):
            passed = kwargs.get(name, args[number] if number < len(args) else None)
            value = getattr(module, name) if passed is None else passed
            if not isinstance(value, torch.Tensor) or value.shape != given.shape:
                if before is None:
                    continue  # snnTorch starts from zero then
                raise UnsupportedError(f"{self.label}: {name} changes its shape between two steps")
            if before is None:
                if bool(torch.count_nonzero(value)):
                    raise UnsupportedError(
                        f"{self.label}: {name} is not zero in the first step; it must start "
                        f"from zero"
                    )
            elif not any(torch.equal(value, known) for known in before[name]):
                raise UnsupportedError(
                    f"{self.label}: {name} is not what the layer returned in the step before; "
                    "only the layer itself must change its state"
                )

    def state(self, module: nn.Module, outputs: list[torch.Tensor]) -> dict[str, Any]:
        # the spikes that the model sees were replaced by the tracer; the module itself still holds
        # its own
        return {
            n: [getattr(module, n).detach().clone(), *((outputs[0].clone(),) if n == "spk" else ())]
            for n in STATES[self.kind]
        }

    def _parameter(self, name: str, shape: Shape) -> np.ndarray:
        values = array(self.label, name, getattr(self.module, name)).astype(np.float64)
        while values.ndim > len(shape) and values.shape[0] == 1:
            values = values[0]
        try:
            return np.array(np.broadcast_to(values, shape))
        except ValueError:
            raise UnsupportedError(
                f"{self.label}: {name} has shape {values.shape}; it must be one number or {shape}"
            ) from None

    def _reset(self) -> str:
        stated: str = self.module.reset_mechanism
        function = getattr(self.module.state_function, "__name__", "")
        bound = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}.get(function)
        loaded = dict(enumerate(RESETS)).get(int(self.module.reset_mechanism_val))
        if not stated == bound == loaded:
            raise UnsupportedError(
                f"{self.label}: reset_mechanism is {stated!r}, but the module resets by {bound!r} "
                f"and its buffer reset_mechanism_val says "
                f"{loaded!r}; "
                "make the model with the reset_mechanism that it was trained with"
            )
        return stated

    def rule(self) -> NeuronRule:
        """Its discrete form. Raises UnsupportedError where a Program's populations have none that
        is equal."""
        shape, kind, reset = self.given_shape, self.kind, self._reset()
        current_leak = None
        if kind == "Lapicque":
            resistance, capacitance, step = (
                self._parameter(n, shape) for n in ("R", "C", "time_step")
            )
            leak, gain = step / (resistance * capacitance), step / capacitance
            if leak.min() < 0 or leak.max() > 1:
                raise UnsupportedError(
                    f"{self.label}: time_step / (R * C) is {leak.max():g}; it must be from 0 to 1"
                )
        else:
            leak, gain = 1.0 - np.clip(self._parameter("beta", shape), 0, 1), np.ones(shape)
        if kind in ("Synaptic", "RSynaptic"):
            current_leak = 1.0 - np.clip(self._parameter("alpha", shape), 0, 1)

        threshold = self._parameter("threshold", shape)
        if threshold.min() < 0:
            raise UnsupportedError(
                f"{self.label}: threshold is {threshold.min():g}; it must be 0 or more"
            )

        # RSynaptic's immediate reset never reaches its state (snnTorch 1.0.0 assigns it to a local
        # name)
        delayed = kind in ("Lapicque", "RSynaptic") or bool(self.module.reset_delay)
        amount, refractory = None, 0
        if reset == "subtract":
            amount = threshold.copy()
            if delayed:
                if leak.max() == 1.0:
                    raise UnsupportedError(
                        f"{self.label}: beta is 0, so that the reset by subtraction acts on the "
                        f"next input alone; "
                        "it must have reset_delay=False, "
                        "reset_mechanism='zero', or a beta above 0"
                    )
                amount = threshold / (1.0 - leak)
        elif reset == "zero" and delayed and kind != "Leaky":
            refractory = 1

        return NeuronRule(leak, gain, threshold, reset, amount, refractory, current_leak)

    def potential_readable(self) -> bool:
        """Whether the mem that it returns is a Program's potential in every step."""
        delayed = self.kind in ("Lapicque", "RSynaptic") or bool(self.module.reset_delay)
        return self._reset() == "none" or not delayed

    def after_reset(self, potential: np.ndarray, fired: np.ndarray) -> np.ndarray:
        """The potential that a Program shows, in volts: after the reset in the step of the spike.

        potential, fired   what the module shows, and where it spiked, [..., *shape of the layer]

        snnTorch's delayed reset shows the potential before it. A reset by subtraction then takes
        the threshold off after the next decay, which is threshold / beta before it (see the
        module).
        """
        if self.potential_readable():
            return potential
        rule = self.rule()
        if rule.reset == "zero":
            return np.where(fired, 0.0, potential)
        amount = 0.0 if rule.amount is None else rule.amount
        return potential - np.where(fired, amount, 0.0)

    def part(self, dt: float) -> GraphPart:
        rule, shape = self.rule(), self.given_shape
        steps, zeros = _time_constant(rule.leak), np.zeros(shape)
        shared = {"v_threshold": rule.threshold, "v_reset": zeros}

        if rule.current_leak is not None:
            current = _time_constant(rule.current_leak)
            node = nir.CubaLIF(
                tau_syn=current * dt,
                tau_mem=steps * dt,
                r=steps * rule.gain,
                v_leak=zeros,
                w_in=current,
                **shared,
            )
        elif not rule.leak.any():
            node = nir.IF(r=rule.gain, **shared)
        else:
            node = nir.LIF(tau=steps * dt, r=steps * rule.gain, v_leak=zeros, **shared)

        entry: dict[str, Any] = {
            "reset": rule.reset,
            "threshold_comparison": ">",
            "refractory": rule.refractory,
        }
        if rule.amount is not None:
            flat = rule.amount.ravel()
            entry["reset_amount_v"] = float(flat[0]) if np.all(flat == flat[0]) else flat.tolist()
        if isinstance(node, nir.IF):
            entry["r_per"] = "step"

        part = GraphPart.single(self.name, node, entry)
        if self.caveats():
            entry["caveats"] = self.caveats()
        if self.kind.startswith("R"):
            feedback = f"{self.name}.recurrent"
            part.nodes[feedback] = (self._feedback(), {})
            part.edges = [(self.name, feedback), (feedback, self.name)]
        return part

    def _feedback(self) -> nir.NIRNode:
        recurrent, shape = self.module.recurrent, self.given_shape
        label = f"{self.label}, its feedback"
        if isinstance(recurrent, nn.Linear):
            weight = array(label, "weight", recurrent.weight)
            return (
                nir.Linear(weight=weight)
                if recurrent.bias is None
                else nir.Affine(weight=weight, bias=array(label, "bias", recurrent.bias))
            )

        if isinstance(recurrent, nn.Conv2d):
            weight = array(label, "weight", recurrent.weight)
            bias = (
                np.zeros(len(weight), weight.dtype)
                if recurrent.bias is None
                else array(label, "bias", recurrent.bias)
            )
            return nir.Conv2d(
                shape[1:],
                weight,
                recurrent.stride,
                recurrent.padding,
                recurrent.dilation,
                recurrent.groups,
                bias,
            )

        values = array(label, "V", recurrent.V).astype(np.float64)
        try:
            return nir.Scale(scale=np.array(np.broadcast_to(values, shape)))
        except ValueError:
            raise UnsupportedError(
                f"{label}: V has shape {values.shape}; it must be one number or {shape}"
            ) from None

    def caveats(self) -> list[str]:
        """Where a Program may differ from it."""
        immediate = (
            self._reset() == "subtract"
            and self.kind in ("Leaky", "Synaptic", "RLeaky")
            and not self.module.reset_delay
        )
        caveat = (
            "where a potential is still above the threshold after its reset (an input of more than "
            "twice the threshold), snnTorch with "
            "reset_delay=False compares the next one less another threshold; a Program compares "
            "the potential itself"
        )
        return [caveat] if immediate else []

    def remarks(self) -> list[str]:
        if self.kind == "RSynaptic" and not self.module.reset_delay and self._reset() != "none":
            remark = (
                "snnTorch 1.0 does not carry out RSynaptic's reset_delay=False; exported as what "
                "it computes, a reset one step later"
            )
            return [f"{self.name}: {remark}"]
        return []

    def prove(self) -> None:
        """Run the module alone and its rule beside it; they must spike alike."""
        rule, shape, module = self.rule(), self.given_shape, self.module
        device = module.threshold.device
        edge = module.spike_grad(
            torch.tensor([-1.0, -1e-3, 0.0, 1e-3, 1.0], device=device)
        ).tolist()
        if edge != [0.0, 0.0, 0.0, 1.0, 1.0]:
            raise UnsupportedError(
                f"{self.label}: its spike function gives {edge} for -1, -0.001, 0, 0.001 and 1 "
                f"above the threshold; "
                "it must be 0, 0, 0, 1, 1 (strictly above)"
            )

        random = np.random.default_rng(0)
        # within one threshold a step: see ``remarks``
        currents = (random.random((PROBE_STEPS, 2, *shape)) * 1.4 - 0.5) * np.where(
            rule.threshold > 0, rule.threshold, 1.0
        )
        if rule.current_leak is not None:
            currents *= np.maximum(rule.current_leak, 0.25)
        feedback = module.recurrent if self.kind.startswith("R") else None
        weight = next(iter(feedback.parameters()), None) if feedback is not None else None
        kind: torch.dtype = torch.float32 if weight is None else weight.dtype

        self.prepare()
        states: list[torch.Tensor] = []
        if not module.init_hidden:
            states = [torch.zeros(2, *shape, device=device, dtype=kind) for _ in STATES[self.kind]]
        u, v, s = (np.zeros((2, *shape)) for _ in range(3))
        rest: np.ndarray = np.zeros((2, *shape), int)

        for step, current in enumerate(currents):
            sent = torch.from_numpy(current).to(device, kind)
            back = (
                0.0
                if feedback is None
                else feedback(torch.from_numpy(s).to(device, kind)).double().cpu().numpy()
            )

            result = module(sent, *states)
            outputs = result if isinstance(result, tuple) else (result,)
            if not module.init_hidden:
                states = list(outputs if feedback is not None else outputs[1:])

            drive = sent.double().cpu().numpy() + back
            u = drive if rule.current_leak is None else (1 - rule.current_leak) * u + drive
            v = np.where(rest > 0, v, (1 - rule.leak) * v + rule.gain * u)
            # the module's rounding decides ties, so its spikes, not the rule's, go into the next
            # step
            near = (np.abs(v - rule.threshold) <= 1e-4 * (1 + rule.threshold + np.abs(v))) & (
                rest == 0
            )

            s = outputs[0].double().cpu().numpy() / self.spike_scale
            wrong = (s != ((v > rule.threshold) & (rest == 0))) & ~near
            if wrong.any():
                raise UnsupportedError(
                    f"{self.label}: it does not compute what snnTorch 1.0's {self.kind} with these "
                    f"settings computes; "
                    "in a trial run neuron "
                    f"{np.argwhere(wrong)[0][1:].tolist()} differs in step {step} (a subclass, a "
                    f"hook, or another version?)"
                )

            # the spike that was compared resets the rule's own state, as it did the module's
            rest = np.where(s > 0, rule.refractory, np.maximum(rest - 1, 0))
            if rule.reset == "zero":
                v = np.where(s > 0, 0.0, v)
            elif rule.amount is not None:
                v = v - rule.amount * s
