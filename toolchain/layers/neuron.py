"""What all neurons share: parameters, states, the two ways to be called, and the path to the
integer scan."""

from __future__ import annotations

import torch
from torch import nn

from hardware.arithmetic import STATE_SHIFT
from hardware.lif import LIF
from hardware.program import RESETS
from toolchain.errors import LayerError
from toolchain.layers import nir_nodes, surrogate
from toolchain.layers.grid import check_bits, quantise_decay, quantise_threshold
from toolchain.layers.noise import NoiseSource
from toolchain.layers.rules import Parameters, Rules
from toolchain.layers.scan import scan


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
        noise=0.0,
        noise_at_inference=False,
        noise_seed=0,
    ):
        super().__init__()
        self.layer_name = type(self).__name__
        check_bits(self.where, 8, fraction_bits)
        if reset not in RESETS:
            raise LayerError(f"{self.where}: reset is {reset!r}; accepted are {', '.join(RESETS)}")
        if (
            isinstance(refractory, bool)
            or not isinstance(refractory, int)
            or not 0 <= refractory <= LIF["refractory"].high
        ):
            raise LayerError(
                f"{self.where}: refractory is {refractory!r}; accepted are 0 to "
                f"{LIF['refractory'].high} steps"
            )
        if overflow not in ("error", "wrap"):
            raise LayerError(f"{self.where}: overflow is {overflow!r}; accepted are error, wrap")
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
        self.spike_grad = spike_grad
        self.backward_rule = None
        self.observer = None
        self._steps = 0
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
            raise LayerError(
                f"{self.where}: {name} is {value!r}; accepted are numbers from {accepted[0]} to "
                f"{accepted[1]}"
            )
        if learn:
            setattr(self, name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def _noise_source(self, noise, at_inference: bool, seed: int) -> NoiseSource | None:
        if not 0 <= noise < float("inf"):
            raise LayerError(f"{self.where}: noise is {noise!r} V; accepted are numbers from 0")
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

    def reset_mem(self):
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
    ):
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
            spikes, *traces = self._run(input_, states, traces=return_states or not self.spiking)
            if return_states:
                return (spikes, *traces) if self.spiking else tuple(traces)
            return spikes if self.spiking else traces[self.states.index("mem")]
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
        """(spikes, *states) with time first; ``current`` [time, batch, *shape], or of one or two
        dimensions [time, *shape]."""
        if len(states) not in (0, len(self.states)):
            raise LayerError(
                f"{self.where}: {len(states)} states were given; this layer has "
                f"{len(self.states)}: {', '.join(self.states)}"
            )
        given = dict(zip(self.states, states))
        shape = current.shape[2:] if current.dim() > 2 else current.shape[1:]
        batch = current.shape[1] if current.dim() > 2 else 1
        flat = (current.shape[0], batch, shape.numel())
        for name, state in given.items():
            if state is not None and state.numel() and state.shape != current.shape[1:]:
                raise LayerError(
                    f"{self.where}: state {name} has shape {tuple(state.shape)}, the input "
                    f"{tuple(current.shape[1:])}; accepted is the same"
                    " shape, or the empty state that reset_mem() returns"
                )
            given[name] = None if state is None or not state.numel() else state.reshape(flat[1:])
        if all(state is None for state in given.values()):
            self._steps = 0  # a sample begins
        noise = (
            None
            if self.noise is None
            else self.noise.drawn(self.training, self._steps, current.reshape(flat))
        )
        self._steps += len(current)
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
            self.observer is not None,
        )
        spikes, syn, mem, rest, potential = scan(
            rules,
            integers,
            current.reshape(flat),
            given.get("syn"),
            given.get("mem"),
            given.get("rest"),
            *floats,
            noise,
        )
        if self.observer is not None:
            added = (
                None
                if noise is None
                else noise.to(potential.dtype) * 2.0 ** -(self.fraction_bits + STATE_SHIFT)
            )
            added = None if added is None else added.reshape(flat[0], -1, *shape)
            self.observer(
                (potential.reshape(flat[0], batch, *shape), floats[2].reshape(shape), added)
            )
        after = {"syn": syn, "mem": mem, "rest": None if rest is None else rest.unsqueeze(0)}
        shaped = [after[name].reshape(-1, *current.shape[1:]) for name in self.states]
        return [None if spikes is None else spikes.reshape(current.shape), *shaped]

    def integers(self, shape) -> dict[str, torch.Tensor]:
        """The integer parameters for neurons of this shape: current_decay, voltage_decay, threshold
        (spiking only), int64 [*shape]."""
        parameters, _ = self._on_grid(torch.Size(shape))
        found = {
            "current_decay": parameters.current_decay,
            "voltage_decay": parameters.voltage_decay,
        }
        if self.spiking:
            found["threshold"] = parameters.threshold
        return {name: value.reshape(shape) for name, value in found.items()}

    def _on_grid(
        self, shape: torch.Size
    ) -> tuple[Parameters, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        def spread(name, value):
            try:
                return value.expand(shape).reshape(-1)
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
            *(
                spread(n, v).contiguous()
                for n, v in (
                    ("alpha", current_decay),
                    ("beta", voltage_decay),
                    ("threshold", mantissa),
                )
            )
        )
        return integers, tuple(
            spread(n, v) for n, v in (("alpha", alpha), ("beta", beta), ("threshold", threshold))
        )

    def nir_node(self, input_shape, dt: float = 1.0):
        """(nir node, metadata) for neurons of this shape; see the package's docstring."""
        return nir_nodes.neuron(self, tuple(input_shape), dt)


def reset(model: nn.Module) -> None:
    """Clear the hidden states of every layer of a model (``snntorch.utils.reset`` does not know
    these layers)."""
    for module in model.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()


def name_layers(model: nn.Module) -> None:
    """Let every layer's errors call it by its path in the model."""
    for path, module in model.named_modules():
        if hasattr(module, "layer_name") and path:
            module.layer_name = path
