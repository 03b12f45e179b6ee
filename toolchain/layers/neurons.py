"""Neurons: LIF (general), and Leaky, Synaptic, IF, LI with snnTorch's signatures.

Decays and thresholds are one number for the layer or tensors that broadcast over the neurons' shape, as in snnTorch. A bias
is part of the synapses (``Linear(..., bias=True)``): lowering moves it to the chip's neuron, or to a constant source where
the neuron has a synaptic current.
"""

from __future__ import annotations

import torch
from torch import nn

from toolchain.errors import LayerError
from toolchain.layers import nir_nodes, surrogate
from toolchain.layers.grid import check_bits, quantise_decay, quantise_threshold
from toolchain.layers.scan import RESET_CODES, Parameters, Rules, scan


class Neuron(nn.Module):
    """What all neurons share; use one of the subclasses.

    ``spike_grad``      the surrogate, a plain attribute that may be replaced at any time
    ``backward_rule``   replaces the backward pass of whole sequences (scan.BackwardRule); None, the default: through time
    ``layer_name``      what errors call this layer; ``name_layers(model)`` sets it to the path in the model
    """

    temporal = True

    def __init__(
        self,
        *,
        alpha=None,
        beta=1.0,
        threshold=1.0,
        spike_grad=None,
        reset="zero",
        refractory=0,
        learn_alpha=False,
        learn_beta=False,
        learn_threshold=False,
        init_hidden=False,
        output=False,
        fraction_bits=10,
        overflow="error",
    ):
        super().__init__()
        self.layer_name = type(self).__name__
        check_bits(self.where, 8, fraction_bits)
        if reset not in RESET_CODES:
            raise LayerError(f"{self.where}: reset is {reset!r}; accepted are {', '.join(RESET_CODES)}")
        if isinstance(refractory, bool) or not isinstance(refractory, int) or not 0 <= refractory <= 1 << 15:
            raise LayerError(f"{self.where}: refractory is {refractory!r}; accepted are 0 to {1 << 15} steps")
        if overflow not in ("error", "wrap"):
            raise LayerError(f"{self.where}: overflow is {overflow!r}; accepted are error, wrap")
        self.fraction_bits, self.reset, self.refractory, self.overflow = fraction_bits, reset, refractory, overflow
        self.init_hidden, self.output = init_hidden, output
        self.spike_grad = surrogate.atan() if spike_grad is None else spike_grad
        self.backward_rule = None
        self._hidden: tuple[torch.Tensor, ...] = ()
        self._register("alpha", alpha, learn_alpha, (0, 1))
        self._register("beta", beta, learn_beta, (0, 1))
        self._register("threshold", threshold, learn_threshold, (0, float("inf")))
        if self.threshold is not None:
            quantise_threshold(self.where, self.threshold, fraction_bits)

    def _register(self, name: str, value, learn: bool, accepted: tuple[float, float]) -> None:
        if value is None:
            if learn:
                raise LayerError(f"{self.where}: learn_{name} without {name}")
            self.register_buffer(name, None)
            return
        tensor = torch.as_tensor(value, dtype=torch.get_default_dtype()).detach().clone()
        if not bool(((tensor >= accepted[0]) & (tensor <= accepted[1])).all()):
            raise LayerError(f"{self.where}: {name} is {value!r}; accepted are numbers from {accepted[0]} to {accepted[1]}")
        if learn:
            setattr(self, name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    @property
    def where(self) -> str:
        """How errors call this layer."""
        return f"layer {self.layer_name!r}"

    @property
    def spiking(self) -> bool:
        """False for an integrator."""
        return self.threshold is not None

    @property
    def states(self) -> tuple[str, ...]:
        """Names of the states in the order in which a step takes and returns them."""
        return (*(("syn",) if self.alpha is not None else ()), "mem", *(("rest",) if self.refractory else ()))

    def extra_repr(self) -> str:
        return f"fraction_bits={self.fraction_bits}, reset={self.reset!r}, spiking={self.spiking}, states={self.states}"

    def reset_mem(self):
        """Forget hidden states; returns the states that start a sample: one (empty) tensor, or a tuple of them."""
        self._hidden = ()
        device = self.beta.device
        empty = tuple(torch.zeros(0, device=device) for _ in self.states)
        return empty[0] if len(empty) == 1 else empty

    def forward(self, input_: torch.Tensor, *states: torch.Tensor | None, sequence: bool = False, return_states: bool = False):
        """One step, or with ``sequence=True`` all of them.

        One step: input_ [batch, *shape] volts and the states; returns (spk, *states), for an integrator the states, unwrapped
        where it is one tensor. With ``init_hidden`` states are kept here, and spikes (integrator: mem) alone are returned
        unless ``output``. Sequence: input_ [time, batch, *shape]; starts from the given states, or from zero; returns the
        spikes [time, batch, *shape] (integrator: mem); with ``return_states`` (spk, *states of every step).

        Raises GridError for an input off the grid, CurrentRangeError for one that wraps, LayerError for a wrong call.
        """
        if sequence:
            spikes, *traces = self._run(input_, states, traces=return_states or not self.spiking)
            if return_states:
                return (spikes, *traces) if self.spiking else tuple(traces)
            return spikes if self.spiking else traces[self.states.index("mem")]
        if return_states:
            raise LayerError(f"{self.where}: return_states goes with sequence=True")
        if self.init_hidden:
            if any(s is not None for s in states):
                raise LayerError(f"{self.where}: states were given, but init_hidden=True keeps them inside")
            states = self._hidden or tuple(None for _ in self.states)
        elif not states or any(s is None for s in states):
            raise LayerError(
                f"{self.where}: a step needs its states ({', '.join(self.states)}): start a sample with reset_mem(), use init_hidden=True, "
                "or give a whole sample with sequence=True"
            )
        spikes, *after = self._run(input_.unsqueeze(0), states, traces=False)
        after = [s.squeeze(0) for s in after]
        if spikes is not None:
            spikes = spikes.squeeze(0)
        if self.init_hidden:
            self._hidden = tuple(after)
            if not self.output:
                return spikes if self.spiking else after[self.states.index("mem")]
        everything = ((spikes,) if self.spiking else ()) + tuple(after)
        return everything[0] if len(everything) == 1 else everything

    def _run(self, current: torch.Tensor, states, traces: bool) -> list[torch.Tensor | None]:
        """(spikes, *states) with time first; ``current`` [time, batch, *shape], or of one or two dimensions [time, *shape]."""
        if len(states) not in (0, len(self.states)):
            raise LayerError(f"{self.where}: {len(states)} states were given; this layer has {len(self.states)}: {', '.join(self.states)}")
        given = dict(zip(self.states, states))
        shape = current.shape[2:] if current.dim() > 2 else current.shape[1:]
        batch = current.shape[1] if current.dim() > 2 else 1
        flat = (current.shape[0], batch, shape.numel())
        for name, state in given.items():
            if state is not None and state.numel() and state.shape != current.shape[1:]:
                raise LayerError(
                    f"{self.where}: state {name} has shape {tuple(state.shape)}, the input {tuple(current.shape[1:])}; accepted is the same"
                    " shape, or the empty state that reset_mem() returns"
                )
            given[name] = None if state is None or not state.numel() else state.reshape(flat[1:])
        integers, floats = self._on_grid(shape)
        rules = Rules(
            self.where,
            self.fraction_bits,
            self.alpha is not None,
            self.spiking,
            self.reset if self.spiking else "none",
            self.refractory,
            self.alpha is None and self.overflow == "error",
            self.spike_grad,
            traces,
            self.backward_rule,
        )
        spikes, syn, mem, rest = scan(
            rules, integers, current.reshape(flat), given.get("syn"), given.get("mem"), given.get("rest"), *floats
        )
        after = {"syn": syn, "mem": mem, "rest": None if rest is None else rest.unsqueeze(0)}
        shaped = [after[name].reshape(-1, *current.shape[1:]) for name in self.states]
        return [None if spikes is None else spikes.reshape(current.shape), *shaped]

    def integers(self, shape) -> dict[str, torch.Tensor]:
        """The integer parameters for neurons of this shape: current_decay, voltage_decay, threshold (spiking only), int64 [*shape]."""
        parameters, _ = self._on_grid(torch.Size(shape))
        found = {"current_decay": parameters.current_decay, "voltage_decay": parameters.voltage_decay}
        if self.spiking:
            found["threshold"] = parameters.threshold
        return {name: value.reshape(shape) for name, value in found.items()}

    def _on_grid(self, shape: torch.Size) -> tuple[Parameters, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        def spread(name, value):
            try:
                return value.expand(shape).reshape(-1)
            except RuntimeError:
                raise LayerError(
                    f"{self.where}: {name} has shape {tuple(value.shape)}, which does not broadcast over neurons of shape {tuple(shape)}"
                ) from None

        zero = torch.zeros((), device=self.beta.device, dtype=self.beta.dtype)
        current_decay, alpha = (
            (zero.to(torch.int64) + 4096, zero) if self.alpha is None else quantise_decay(self.where, "alpha", self.alpha)
        )
        voltage_decay, beta = quantise_decay(self.where, "beta", self.beta)
        mantissa, threshold = (
            (zero.to(torch.int64), zero) if self.threshold is None else quantise_threshold(self.where, self.threshold, self.fraction_bits)
        )
        integers = Parameters(
            *(spread(n, v).contiguous() for n, v in (("alpha", current_decay), ("beta", voltage_decay), ("threshold", mantissa)))
        )
        return integers, tuple(spread(n, v) for n, v in (("alpha", alpha), ("beta", beta), ("threshold", threshold)))

    def nir_node(self, input_shape, dt: float = 1.0):
        """(nir node, metadata) for neurons of this shape; see the package's docstring."""
        return nir_nodes.neuron(self, tuple(input_shape), dt)


def _remaining(where: str, factor_name: str, factor, decay_name: str, decay, tau_name: str, tau):
    """What remains each step, from whichever of the three was given; None where none was."""
    given = {n: v for n, v in ((factor_name, factor), (decay_name, decay), (tau_name, tau)) if v is not None}
    if len(given) > 1:
        raise LayerError(f"{where}: {' and '.join(given)} say the same thing; give one")
    if factor is not None:
        return factor
    if decay is not None:
        decay = torch.as_tensor(decay)
        if decay.is_floating_point() or not bool(((decay >= 0) & (decay <= 4096)).all()):
            raise LayerError(f"{where}: {decay_name} is {decay.tolist()!r}; accepted are whole numbers from 0 to 4096")
        return 1 - decay.to(torch.float64) / 4096
    if tau is not None:
        tau = torch.as_tensor(tau, dtype=torch.float64)
        if not bool((tau >= 1).all()):
            raise LayerError(f"{where}: {tau_name} is {tau.tolist()!r} steps; accepted are numbers of at least 1")
        return 1 - 1 / tau
    return None


class LIF(Neuron):
    """Leaky integrate and fire, with or without synaptic current; the general neuron.

    Each decay can be given in one of three ways: alpha / beta, what remains in each step (snnTorch); current_decay /
    voltage_decay, the chip's integers 0 to 4096; tau_syn / tau_mem, time constants in steps, with remaining factor 1 - 1/tau
    (forward Euler, as NIR). Without any for the current the neuron has no synaptic current; voltage decay defaults to 0 (IF).

    threshold       volts; fires strictly above it
    reset           "zero" (the chip's own), "subtract" (takes off the threshold) or "none", in the step of the spike
    refractory      steps after a spike in which the potential rests and no spike can occur; adds a state ``rest``
    spike_grad      surrogate gradient; default atan
    learn_*         makes alpha, beta, threshold parameters (they must be given as factor)
    init_hidden     states are kept in the layer; output: they are returned as well
    fraction_bits   F: input currents are whole multiples of 2**-F volts
    overflow        "error": an input current that would wrap the 24-bit current raises; "wrap": it wraps, as on the chip.
                    (A synaptic current that accumulates beyond 24 bits always wraps, as on the chip.)

    ``spk, mem = lif(cur, mem)``; with synaptic current ``spk, syn, mem = lif(cur, syn, mem)``; with refractory period a last
    state ``rest``. See ``Neuron.forward``.
    """

    def __init__(
        self,
        threshold=1.0,
        *,
        alpha=None,
        beta=None,
        current_decay=None,
        voltage_decay=None,
        tau_syn=None,
        tau_mem=None,
        reset="zero",
        refractory=0,
        spike_grad=None,
        learn_alpha=False,
        learn_beta=False,
        learn_threshold=False,
        init_hidden=False,
        output=False,
        fraction_bits=10,
        overflow="error",
    ):
        where = f"layer {type(self).__name__!r}"
        alpha = _remaining(where, "alpha", alpha, "current_decay", current_decay, "tau_syn", tau_syn)
        beta = _remaining(where, "beta", beta, "voltage_decay", voltage_decay, "tau_mem", tau_mem)
        super().__init__(
            alpha=alpha,
            beta=1.0 if beta is None else beta,
            threshold=threshold,
            spike_grad=spike_grad,
            reset=reset,
            refractory=refractory,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            init_hidden=init_hidden,
            output=output,
            fraction_bits=fraction_bits,
            overflow=overflow,
        )


class IF(Neuron):
    """Integrate and fire without leak; reset to zero by default. ``spk, mem = neuron(cur, mem)``."""

    def __init__(
        self,
        threshold=1.0,
        *,
        reset="zero",
        refractory=0,
        spike_grad=None,
        learn_threshold=False,
        init_hidden=False,
        output=False,
        fraction_bits=10,
        overflow="error",
    ):
        super().__init__(
            beta=1.0,
            threshold=threshold,
            spike_grad=spike_grad,
            reset=reset,
            refractory=refractory,
            learn_threshold=learn_threshold,
            init_hidden=init_hidden,
            output=output,
            fraction_bits=fraction_bits,
            overflow=overflow,
        )


class LI(Neuron):
    """Leaky integrator without spikes, for reading out potentials. ``mem = li(cur, mem)``; with alpha ``syn, mem = li(cur, syn, mem)``."""

    def __init__(
        self,
        beta=1.0,
        *,
        alpha=None,
        learn_alpha=False,
        learn_beta=False,
        init_hidden=False,
        output=False,
        fraction_bits=10,
        overflow="error",
    ):
        super().__init__(
            alpha=alpha,
            beta=beta,
            threshold=None,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            init_hidden=init_hidden,
            output=output,
            fraction_bits=fraction_bits,
            overflow=overflow,
        )


def _refuse(where: str, **arguments) -> None:
    """snnTorch options that no integer network has; each with the only value that is accepted."""
    for name, (value, accepted) in arguments.items():
        if value is not accepted and value != accepted:
            raise LayerError(f"{where}: {name}={value!r} has no counterpart on the chip; accepted is {accepted!r}")


class Leaky(Neuron):
    """snnTorch's Leaky on integers: first-order LIF, reset by subtraction by default. ``spk, mem = lif(cur, mem)``.

    The one difference: the reset happens in the step of the spike, snnTorch's (``reset_delay=True``) in the next one.
    Arguments that no chip can follow are refused. Keyword-only arguments as in ``LIF``.
    """

    def __init__(
        self,
        beta,
        threshold=1.0,
        spike_grad=None,
        surrogate_disable=False,
        init_hidden=False,
        inhibition=False,
        learn_beta=False,
        learn_threshold=False,
        reset_mechanism="subtract",
        state_quant=False,
        output=False,
        graded_spikes_factor=1.0,
        learn_graded_spikes_factor=False,
        reset_delay=False,
        *,
        refractory=0,
        fraction_bits=10,
        overflow="error",
    ):
        _refuse(
            f"layer {type(self).__name__!r}",
            surrogate_disable=(surrogate_disable, False),
            inhibition=(inhibition, False),
            state_quant=(state_quant, False),
            graded_spikes_factor=(graded_spikes_factor, 1.0),
            learn_graded_spikes_factor=(learn_graded_spikes_factor, False),
            reset_delay=(reset_delay, False),
        )
        super().__init__(
            beta=beta,
            threshold=threshold,
            spike_grad=spike_grad,
            reset=reset_mechanism,
            refractory=refractory,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            init_hidden=init_hidden,
            output=output,
            fraction_bits=fraction_bits,
            overflow=overflow,
        )

    def forward(self, input_, mem=None, *rest, sequence=False, return_states=False):
        """As ``Neuron.forward``; ``mem`` may be given by name, as in snnTorch."""
        states = () if mem is None else (mem, *rest)
        return super().forward(input_, *states, sequence=sequence, return_states=return_states)

    init_leaky = Neuron.reset_mem


class Synaptic(Neuron):
    """snnTorch's Synaptic on integers: LIF with synaptic current. ``spk, syn, mem = lif(cur, syn, mem)``.

    The reset takes the membrane only and happens in the step of the spike. (snnTorch's comes one step later, and its "zero"
    then also drops that step's input.)
    """

    def __init__(
        self,
        alpha,
        beta,
        threshold=1.0,
        spike_grad=None,
        surrogate_disable=False,
        init_hidden=False,
        inhibition=False,
        learn_alpha=False,
        learn_beta=False,
        learn_threshold=False,
        reset_mechanism="subtract",
        state_quant=False,
        output=False,
        reset_delay=False,
        *,
        refractory=0,
        fraction_bits=10,
        overflow="error",
    ):
        _refuse(
            f"layer {type(self).__name__!r}",
            surrogate_disable=(surrogate_disable, False),
            inhibition=(inhibition, False),
            state_quant=(state_quant, False),
            reset_delay=(reset_delay, False),
        )
        super().__init__(
            alpha=alpha,
            beta=beta,
            threshold=threshold,
            spike_grad=spike_grad,
            reset=reset_mechanism,
            refractory=refractory,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            init_hidden=init_hidden,
            output=output,
            fraction_bits=fraction_bits,
            overflow=overflow,
        )

    def forward(self, input_, syn=None, mem=None, *rest, sequence=False, return_states=False):
        """As ``Neuron.forward``; the states may be given by name, as in snnTorch."""
        states = () if syn is None and mem is None else (syn, mem, *rest)
        return super().forward(input_, *states, sequence=sequence, return_states=return_states)

    init_synaptic = Neuron.reset_mem


def reset(model: nn.Module) -> None:
    """Clear the hidden states of every layer of a model (``snntorch.utils.reset`` does not know these layers)."""
    for module in model.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()


def name_layers(model: nn.Module) -> None:
    """Let every layer's errors call it by its path in the model."""
    for path, module in model.named_modules():
        if hasattr(module, "layer_name") and path:
            module.layer_name = path
