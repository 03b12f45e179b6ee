"""What all neurons share: parameters, states, the two ways to be called, and the path to the
integer scan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import nn

from hardware.arithmetic import STATE_SHIFT
from hardware.lif import LIF
from hardware.program import RESETS
from toolchain.errors import LayerError
from toolchain.layers import nir_nodes, surrogate
from toolchain.layers.grid import check_bits, quantise_decay, quantise_threshold
from toolchain.layers.memory import C_ORDER, Order
from toolchain.layers.noise import NoiseSource
from toolchain.layers.rules import BackwardRule, Parameters, Rules
from toolchain.layers.scan import scan

Factor: TypeAlias = float | torch.Tensor
"""One number for the layer, or a tensor that broadcasts over the neurons' shape."""

States: TypeAlias = torch.Tensor | tuple[torch.Tensor, ...]
"""What a step returns: one tensor, or spikes and states."""

NeuronRun: TypeAlias = tuple[torch.Tensor | None, list[torch.Tensor]]
"""Spikes, None of an integrator, and states, with time first."""

Observer: TypeAlias = Callable[[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]], object]
"""Called with (potential before the reset, threshold, noise or None), volts."""


class Neuron(nn.Module):
    """What all neurons share; use one of the subclasses.

    ``spike_grad``      the surrogate, a plain attribute that may be replaced at any time
    ``backward_rule``   replaces the backward pass of whole sequences (scan.BackwardRule); None, the
                        default: through time
    ``layer_name``      what errors call this layer; ``name_layers(model)`` sets it to the path in
                        the model
    ``noise``           the NoiseSource of a noisy neuron; None: no noise
    ``observer``        called with (potential before the reset, threshold, noise or None) of every
                        call, volts; set by ``observe(model)``
    """

    temporal = True

    # registered in __init__, as parameters where they are learned, else as buffers
    alpha: torch.Tensor | None
    beta: torch.Tensor
    threshold: torch.Tensor | None

    def __init__(
        self,
        *,
        alpha: Factor | None = None,
        beta: Factor = 1.0,
        threshold: Factor | None = 1.0,
        spike_grad: surrogate.SpikeFunction | None = None,
        reset: str = "zero",
        refractory: int = 0,
        learn_alpha: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        init_hidden: bool = False,
        output: bool = False,
        fraction_bits: int = 10,
        overflow: str = "error",
        noise: float = 0.0,
        noise_at_inference: bool = False,
        noise_seed: int = 0,
    ) -> None:
        super().__init__()
        self.layer_name = type(self).__name__
        check_bits(self.where, 8, fraction_bits)
        if reset not in RESETS:
            raise LayerError(
                f"{self.where}: reset is {reset!r}; it must be one of {', '.join(RESETS)}"
            )
        if (
            isinstance(refractory, bool)
            or not isinstance(refractory, int)
            or not 0 <= refractory <= LIF["refractory"].high
        ):
            raise LayerError(
                f"{self.where}: refractory is {refractory!r}; it must be 0 to "
                f"{LIF['refractory'].high} steps"
            )
        if overflow not in ("error", "wrap"):
            raise LayerError(f"{self.where}: overflow is {overflow!r}; it must be error or wrap")

        self.fraction_bits, self.reset, self.refractory, self.overflow = (
            fraction_bits,
            reset,
            refractory,
            overflow,
        )
        self.init_hidden, self.output = init_hidden, output
        self.noise = self._noise_source(noise, noise_at_inference, noise_seed)

        if spike_grad is None:
            spike_grad = surrogate.atan() if self.noise is None else surrogate.gaussian(noise)
        self.spike_grad: surrogate.SpikeFunction = spike_grad

        self.backward_rule: BackwardRule | None = None
        self.observer: Observer | None = None
        self._steps = 0
        self._hidden: tuple[torch.Tensor, ...] = ()

        self._register("alpha", alpha, learn_alpha, (0, 1))
        self._register("beta", beta, learn_beta, (0, 1))
        self._register("threshold", threshold, learn_threshold, (0, float("inf")))
        if self.threshold is not None:
            quantise_threshold(self.where, self.threshold, fraction_bits)

    def _register(
        self, name: str, value: Factor | None, learn: bool, accepted: tuple[float, float]
    ) -> None:
        if value is None:
            if learn:
                raise LayerError(f"{self.where}: learn_{name} without {name}")
            self.register_buffer(name, None)
            return
        tensor = torch.as_tensor(value, dtype=torch.get_default_dtype()).detach().clone()
        if not bool(((tensor >= accepted[0]) & (tensor <= accepted[1])).all()):
            raise LayerError(
                f"{self.where}: {name} is {value!r}; it must be from {accepted[0]} to {accepted[1]}"
            )
        if learn:
            setattr(self, name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def _noise_source(self, noise: float, at_inference: bool, seed: int) -> NoiseSource | None:
        if not 0 <= noise < float("inf"):
            raise LayerError(f"{self.where}: noise is {noise!r} V; it must be 0 or more")
        if not noise:
            if at_inference:
                raise LayerError(f"{self.where}: noise_at_inference without noise")
            return None
        return NoiseSource(
            self.where, round(noise * 2.0 ** (self.fraction_bits + STATE_SHIFT)), at_inference, seed
        )

    @property
    def stochastic(self) -> bool:
        """True where evaluation depends on the seed of the noise."""
        return self.noise is not None and self.noise.at_inference

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
        return (
            *(("syn",) if self.alpha is not None else ()),
            "mem",
            *(("rest",) if self.refractory else ()),
        )

    def extra_repr(self) -> str:
        return (
            f"fraction_bits={self.fraction_bits}, reset={self.reset!r}, spiking={self.spiking}, "
            f"states={self.states}"
        )

    def reset_mem(self) -> States:
        """Forget hidden states; returns the states that start a sample: one (empty) tensor, or a
        tuple of them."""
        self._hidden = ()
        self._steps = 0
        device = self.beta.device
        empty = tuple(torch.zeros(0, device=device) for _ in self.states)
        return empty[0] if len(empty) == 1 else empty

    def forward(
        self,
        input_: torch.Tensor,
        *states: torch.Tensor | None,
        sequence: bool = False,
        return_states: bool = False,
    ) -> States:
        """One step, or with ``sequence=True`` all of them.

        One step: input_ [batch, *shape] volts and the states; returns (spk, *states), for an
        integrator the states, unwrapped where it is one tensor. With ``init_hidden`` states are
        kept here, and spikes (integrator: mem) alone are returned unless ``output``. Sequence:
        input_ [time, batch, *shape]; starts from the given states, or from zero; returns the spikes
        [time, batch, *shape] (integrator: mem); with ``return_states`` (spk, *states of every
        step).

        Raises GridError for an input off the grid, CurrentRangeError for one that wraps, LayerError
        for a wrong call.
        """
        if sequence:
            spikes, traces = self._run(input_, states, traces=return_states or not self.spiking)
            if return_states:
                return tuple(traces) if spikes is None else (spikes, *traces)
            return traces[self.states.index("mem")] if spikes is None else spikes

        if return_states:
            raise LayerError(f"{self.where}: return_states goes with sequence=True")
        if self.init_hidden:
            if any(s is not None for s in states):
                raise LayerError(
                    f"{self.where}: states were given, but init_hidden=True keeps them inside"
                )
            states = self._hidden or tuple(None for _ in self.states)
        elif not states or any(s is None for s in states):
            raise LayerError(
                f"{self.where}: a step needs its states ({', '.join(self.states)}): start a sample "
                f"with reset_mem(), use init_hidden=True, "
                "or give a whole sample with sequence=True"
            )

        spikes, last = self._run(input_.unsqueeze(0), states, traces=False)
        after = tuple(s.squeeze(0) for s in last)
        if spikes is not None:
            spikes = spikes.squeeze(0)

        if self.init_hidden:
            self._hidden = after
            if not self.output:
                return after[self.states.index("mem")] if spikes is None else spikes

        everything = after if spikes is None else (spikes, *after)
        return everything[0] if len(everything) == 1 else everything

    def _run(
        self, current: torch.Tensor, states: Sequence[torch.Tensor | None], traces: bool
    ) -> NeuronRun:
        """(spikes or None, states) with time first; ``current`` [time, batch, *shape], or of one or
        two dimensions [time, *shape]."""
        if len(states) not in (0, len(self.states)):
            raise LayerError(
                f"{self.where}: {len(states)} states were given; this layer has "
                f"{len(self.states)}: {', '.join(self.states)}"
            )

        named = dict(zip(self.states, states))
        shape = current.shape[2:] if current.dim() > 2 else current.shape[1:]
        batch = current.shape[1] if current.dim() > 2 else 1
        flat = (current.shape[0], batch, shape.numel())
        # noise is drawn in C order
        order = Order.of(current) if self.noise is None else C_ORDER
        inner = order.inner(current)

        for name, state in named.items():
            if state is not None and state.numel() and state.shape != current.shape[1:]:
                raise LayerError(
                    f"{self.where}: state {name} has shape {tuple(state.shape)}, the input "
                    f"{tuple(current.shape[1:])}; it must have the same"
                    " shape, or be the empty state that reset_mem() returns"
                )
            if state is not None:
                named[name] = order.inner(state).reshape(flat[1:]) if state.numel() else None

        if all(state is None for state in named.values()):
            self._steps = 0  # a sample begins
        noise = (
            None
            if self.noise is None
            else self.noise.drawn(self.training, self._steps, inner.reshape(flat))
        )
        self._steps += len(current)

        integers, floats = self._on_grid(shape, order)
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
            self.observer is not None,
        )
        spikes, syn, mem, rest, potential = scan(
            rules,
            integers,
            inner.reshape(flat),
            named.get("syn"),
            named.get("mem"),
            named.get("rest"),
            *floats,
            noise,
        )

        around = inner.shape[2:] if current.dim() > 2 else shape
        if self.observer is not None and potential is not None:
            added = None
            if noise is not None:
                added = noise.to(potential.dtype) * 2.0 ** -(self.fraction_bits + STATE_SHIFT)
                added = added.reshape(flat[0], -1, *shape)
            self.observer(
                (
                    order.outer(potential.reshape(flat[0], batch, *around)),
                    order.outer(floats[2].reshape(around)),
                    added,
                )
            )

        # in the order of ``states``
        after = (syn, mem, None if rest is None else rest.unsqueeze(0))
        shaped = [order.outer(s.reshape(-1, *inner.shape[1:])) for s in after if s is not None]
        return None if spikes is None else order.outer(spikes.reshape(inner.shape)), shaped

    def integers(self, shape: Sequence[int]) -> dict[str, torch.Tensor]:
        """The integer parameters for neurons of this shape: current_decay, voltage_decay, threshold
        (spiking only), int64 [*shape]."""
        parameters, _ = self._on_grid(torch.Size(shape))
        values = {
            "current_decay": parameters.current_decay,
            "voltage_decay": parameters.voltage_decay,
        }
        if self.spiking:
            values["threshold"] = parameters.threshold
        return {name: value.reshape(shape) for name, value in values.items()}

    def _on_grid(
        self, shape: torch.Size, order: Order = C_ORDER
    ) -> tuple[Parameters, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        def spread(name: str, value: torch.Tensor) -> torch.Tensor:
            try:
                return order.inner(value.expand(shape)).reshape(-1)
            except RuntimeError:
                raise LayerError(
                    f"{self.where}: {name} has shape {tuple(value.shape)}, which does not "
                    f"broadcast over neurons of shape {tuple(shape)}"
                ) from None

        zero = torch.zeros((), device=self.beta.device, dtype=self.beta.dtype)
        current_decay, alpha = (
            (zero.to(torch.int64) + 4096, zero)
            if self.alpha is None
            else quantise_decay(self.where, "alpha", self.alpha)
        )
        voltage_decay, beta = quantise_decay(self.where, "beta", self.beta)
        mantissa, threshold = (
            (zero.to(torch.int64), zero)
            if self.threshold is None
            else quantise_threshold(self.where, self.threshold, self.fraction_bits)
        )
        integers = Parameters(
            spread("alpha", current_decay).contiguous(),
            spread("beta", voltage_decay).contiguous(),
            spread("threshold", mantissa).contiguous(),
        )
        floats = spread("alpha", alpha), spread("beta", beta), spread("threshold", threshold)
        return integers, floats

    def nir_node(self, input_shape: Sequence[int], dt: float = 1.0) -> nir_nodes.Described:
        """(nir node, metadata) for neurons of this shape; see the package's docstring."""
        return nir_nodes.neuron(self, tuple(input_shape), dt)


def reset(model: nn.Module) -> None:
    """Clear the hidden states of every layer of a model (``snntorch.utils.reset`` does not know
    these layers)."""
    for module in model.modules():
        reset_mem = getattr(module, "reset_mem", None)
        if reset_mem is not None:
            reset_mem()


def name_layers(model: nn.Module) -> None:
    """Let every layer's errors call it by its path in the model."""
    for path, module in model.named_modules():
        if hasattr(module, "layer_name") and path:
            module.layer_name = path
