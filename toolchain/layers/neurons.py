"""Neurons: LIF (general), and Leaky, Synaptic, IF, LI with snnTorch's signatures.

Decays and thresholds are one number for the layer or tensors that broadcast over the neurons'
shape, as in snnTorch. A bias is part of the synapses (``Linear(..., bias=True)``): lowering moves
it to the chip's neuron, or to a constant source where the neuron has a synaptic current.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from toolchain.errors import LayerError
from toolchain.layers.neuron import Factor, Neuron, States
from toolchain.layers.surrogate import SpikeFunction

if TYPE_CHECKING:
    from typing_extensions import Unpack


class GridOptions(TypedDict, total=False):
    """Keywords of every neuron; ``LIF`` says what they mean, ``Neuron`` has the defaults."""

    fraction_bits: int
    overflow: str


class RestOptions(GridOptions, total=False):
    """Those, and the refractory period."""

    refractory: int


class StateOptions(GridOptions, total=False):
    """Those of every neuron, and where its states are kept."""

    init_hidden: bool
    output: bool


class FiringOptions(RestOptions, StateOptions, total=False):
    """Keywords of a neuron that fires."""

    reset: str
    spike_grad: SpikeFunction | None
    learn_threshold: bool


class LIFOptions(FiringOptions, total=False):
    """Keywords of the general neuron."""

    learn_alpha: bool
    learn_beta: bool
    noise: float
    noise_at_inference: bool
    noise_seed: int


def _only(layer: Neuron, options: Mapping[str, object], known: type) -> str:
    """How errors call a layer whose further keywords are all known. Raises TypeError, as Python
    does, for another one."""
    name = type(layer).__name__
    for option in options:
        if option not in known.__annotations__:
            raise TypeError(f"{name}() got an unexpected keyword argument {option!r}")
    return f"layer {name!r}"


def _remaining(
    where: str,
    factor_name: str,
    factor: Factor | None,
    decay_name: str,
    decay: Factor | None,
    tau_name: str,
    tau: Factor | None,
) -> Factor | None:
    """What remains each step, from whichever of the three was given; None where none was."""
    stated = {
        n: v
        for n, v in ((factor_name, factor), (decay_name, decay), (tau_name, tau))
        if v is not None
    }
    if len(stated) > 1:
        raise LayerError(f"{where}: {' and '.join(stated)} say the same thing; give one")

    if factor is not None:
        return factor
    if decay is not None:
        decay = torch.as_tensor(decay)
        if decay.is_floating_point() or not bool(((decay >= 0) & (decay <= 4096)).all()):
            raise LayerError(
                f"{where}: {decay_name} is {decay.tolist()!r}; it must be whole numbers from 0 "
                f"to 4096"
            )
        return 1 - decay.to(torch.float64) / 4096

    if tau is not None:
        tau = torch.as_tensor(tau, dtype=torch.float64)
        if not bool((tau >= 1).all()):
            raise LayerError(
                f"{where}: {tau_name} is {tau.tolist()!r} steps; it must be at least 1"
            )
        return 1 - 1 / tau

    return None


class LIF(Neuron):
    """Leaky integrate and fire, with or without synaptic current; the general neuron.

    Each decay can be given in one of three ways: alpha / beta, what remains in each step
    (snnTorch); current_decay / voltage_decay, the chip's integers 0 to 4096; tau_syn / tau_mem,
    time constants in steps, with remaining factor 1 - 1/tau (forward Euler, as NIR). Without any
    for the current the neuron has no synaptic current; voltage decay defaults to 0 (IF).

    threshold       volts; fires strictly above it
    reset           "zero" (the chip's own), "subtract" (takes off the threshold) or "none", in the
                    step of the spike
    refractory      steps after a spike in which the potential rests and no spike can occur; adds a
                    state ``rest``
    spike_grad      surrogate gradient; default atan
    learn_*         makes alpha, beta, threshold parameters (they must be given as factor)
    init_hidden     states are kept in the layer; output: they are returned as well
    fraction_bits   F: input currents are whole multiples of 2**-F volts
    overflow        "error": an input current that would wrap the 24-bit current raises; "wrap": it
                    wraps, as on the chip. (A synaptic current that accumulates beyond 24 bits
                    always wraps, as on the chip.)
    noise           standard deviation in volts of what is added to the potential in the comparison
                    with the threshold, and only there (rounded to the lsb of the state); 0: none.
                    In training fresh Gaussian numbers for every neuron, step and sample; spike_grad
                    then defaults to the normal density of that width
    noise_at_inference  False: evaluation, and the exported neuron, are a plain LIF; True: they are
                        noisy, too, with the numbers of
                    ``noise_seed``, the same for every sample. See ``toolchain.layers.noise``

    ``spk, mem = lif(cur, mem)``; with synaptic current ``spk, syn, mem = lif(cur, syn, mem)``; with
    refractory period a last state ``rest``. See ``Neuron.forward``.
    """

    def __init__(
        self,
        threshold: Factor = 1.0,
        *,
        alpha: Factor | None = None,
        beta: Factor | None = None,
        current_decay: Factor | None = None,
        voltage_decay: Factor | None = None,
        tau_syn: Factor | None = None,
        tau_mem: Factor | None = None,
        **options: Unpack[LIFOptions],
    ) -> None:
        where = _only(self, options, LIFOptions)
        alpha = _remaining(
            where, "alpha", alpha, "current_decay", current_decay, "tau_syn", tau_syn
        )
        beta = _remaining(where, "beta", beta, "voltage_decay", voltage_decay, "tau_mem", tau_mem)
        super().__init__(
            alpha=alpha, beta=1.0 if beta is None else beta, threshold=threshold, **options
        )


class IF(Neuron):
    """Integrate and fire without leak; reset to zero by default. ``spk, mem = neuron(cur,
    mem)``."""

    def __init__(self, threshold: Factor = 1.0, **options: Unpack[FiringOptions]) -> None:
        _only(self, options, FiringOptions)
        super().__init__(beta=1.0, threshold=threshold, **options)


class LI(Neuron):
    """Leaky integrator without spikes, for reading out potentials. ``mem = li(cur, mem)``; with
    alpha ``syn, mem = li(cur, syn, mem)``."""

    def __init__(
        self,
        beta: Factor = 1.0,
        *,
        alpha: Factor | None = None,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        **options: Unpack[StateOptions],
    ) -> None:
        _only(self, options, StateOptions)
        super().__init__(
            alpha=alpha,
            beta=beta,
            threshold=None,
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            **options,
        )


def _refuse(where: str, **arguments: tuple[Any, Any]) -> None:
    """snnTorch options that no integer network has; each with the only value that is accepted."""
    for name, (value, accepted) in arguments.items():
        if value is not accepted and value != accepted:
            raise LayerError(
                f"{where}: {name}={value!r} has no counterpart on the chip; it must be {accepted!r}"
            )


class Leaky(Neuron):
    """snnTorch's Leaky on integers: first-order LIF, reset by subtraction by default. ``spk, mem =
    lif(cur, mem)``.

    The one difference: the reset happens in the step of the spike, snnTorch's
    (``reset_delay=True``) in the next one. Arguments that no chip can follow are refused.
    Keyword-only arguments as in ``LIF``.
    """

    def __init__(
        self,
        beta: Factor,
        threshold: Factor = 1.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: object = False,
        output: bool = False,
        graded_spikes_factor: Factor = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = False,
        **options: Unpack[RestOptions],
    ) -> None:
        _refuse(
            _only(self, options, RestOptions),
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
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            init_hidden=init_hidden,
            output=output,
            **options,
        )

    def forward(
        self,
        input_: torch.Tensor,
        mem: torch.Tensor | None = None,
        *rest: torch.Tensor | None,
        sequence: bool = False,
        return_states: bool = False,
    ) -> States:
        """As ``Neuron.forward``; ``mem`` may be given by name, as in snnTorch."""
        states = () if mem is None else (mem, *rest)
        return super().forward(input_, *states, sequence=sequence, return_states=return_states)

    init_leaky = Neuron.reset_mem


class Synaptic(Neuron):
    """snnTorch's Synaptic on integers: LIF with synaptic current. ``spk, syn, mem = lif(cur, syn,
    mem)``.

    The reset takes the membrane only and happens in the step of the spike. (snnTorch's comes one
    step later, and its "zero" then also drops that step's input.)
    """

    def __init__(
        self,
        alpha: Factor,
        beta: Factor,
        threshold: Factor = 1.0,
        spike_grad: SpikeFunction | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: object = False,
        output: bool = False,
        reset_delay: bool = False,
        **options: Unpack[RestOptions],
    ) -> None:
        _refuse(
            _only(self, options, RestOptions),
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
            learn_alpha=learn_alpha,
            learn_beta=learn_beta,
            learn_threshold=learn_threshold,
            init_hidden=init_hidden,
            output=output,
            **options,
        )

    def forward(
        self,
        input_: torch.Tensor,
        syn: torch.Tensor | None = None,
        mem: torch.Tensor | None = None,
        *rest: torch.Tensor | None,
        sequence: bool = False,
        return_states: bool = False,
    ) -> States:
        """As ``Neuron.forward``; the states may be given by name, as in snnTorch."""
        states = () if syn is None and mem is None else (syn, mem, *rest)
        return super().forward(input_, *states, sequence=sequence, return_states=return_states)

    init_synaptic = Neuron.reset_mem
