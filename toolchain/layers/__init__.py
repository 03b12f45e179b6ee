"""Quantisation-aware spiking layers whose forward pass is the integer arithmetic of the Program
they export to.

``import toolchain.layers as snn`` in place of ``import snntorch as snn``, ``snn.Linear`` in place
of ``nn.Linear``, and a network computes in training exactly what the chip will compute: every
spike, every membrane potential.

Values
------
Between layers travel ordinary float tensors that are exact multiples of a grid:

    spikes                 0 and 1
    graded inputs          x_int * 2**-k (k: ``source_fraction_bits`` of the layer that reads them)
    input currents         volts, whole multiples of 2**-F (F: ``fraction_bits``, the same number in
                           a synapse and its neuron)
    mem, syn               volts, whole multiples of 2**-(F + 6), the lsb of the chip's 24-bit state

Weights are ``mantissa * 2**(exponent - F + k)`` volts with mantissas on the chip's mixed-sign grid
(multiples of 2**(9 - weight_bits) in [-256, 256 - 2**(9 - weight_bits)]); the exponent, 0 to 7, is
the smallest that clips no weight, found from the weights in every forward pass, for the whole layer
or for each output channel. With weight_bits 9 to 16 the mantissas are fractions and two synapses of
the chip carry each weight; the exponent is at least weight_bits - 9, so that a weight is a whole
multiple of 2**(k - F) volts. Thresholds are whole multiples of 2**-F, decays of 1/4096. The bias of
a synapse is a whole multiple of 2**-F (2**(1 - F) where it exceeds 4095 * 2**-F). Gradients pass
the rounding straight through.

Batch normalisation belongs to a synapse (``Conv2d(..., norm=True)``): the weights and the bias that
are quantised are the folded ones. In training with the statistics of the batch the currents are
rounded to the grid, but they are those of the batch's statistics; in evaluation, and after
``freeze_norms(model)``, they are the exported ones (``toolchain.layers.norm``).

A neuron resets in the step in which it spikes, as the chip does; snnTorch (``reset_delay=True``)
resets one step later. Returned ``mem`` is the potential after the reset. A neuron fires when its
potential is strictly above the threshold.

Two ways to call a layer, with identical results and gradients:

    spk, mem = lif(cur, mem)              one step, [batch, *shape], as snnTorch; ``mem =
                                          lif.reset_mem()`` starts a sample
    spk = lif(cur, sequence=True)         a whole sample, [time, batch, *shape], from zero state;
                                          fast

Synapses and pools take both shapes. Layers that need to know which it is (neurons, Flatten, Delay,
Recurrent) have a class attribute ``temporal = True`` and take ``sequence=``; ``Network`` passes it.

What a model tells the exporter and the runner (duck-typed; nobody needs to import this package)
-----------------------------------------------------------------------------------------------
Every layer here but Concat and Dropout is a leaf for a tracer, and has one of

``nir_node(input_shape, dt=1.0) -> (nir.NIRNode, metadata)``
    ``input_shape``: shape of its input without time and batch. ``metadata``: plain JSON values, the
    layer's own entry of the graph's ``"nodes"`` metadata. Raises toolchain.errors.LayerError where
    NIR has no node for it. Entries:

    neurons    {"reset": "zero" | "subtract" | "none", "threshold_comparison": ">", "refractory":
               int,
                "grid": {"fraction_bits": F, "current_decay": int | list, "voltage_decay": int |
                list,
                         "threshold": int | list (absent for integrators), "overflow": "error" |
                         "wrap", "noise": {"seed": int, "sigma": int} (only of a neuron that is
                         noisy at inference: hardware.noise, sigma in units of the state)}}
               lists are flat, one number for each neuron in C order. Node: IF / LIF / CubaLIF, for
               integrators I / LI / CubaLI, with r = tau / dt (1 for IF and I) and w_in = tau_syn /
               dt. Decay d: tau = dt * 4096 / d; d = 0 inside a node that needs a time constant: tau
               = dt * 2**40 (rounds to decay 0, and r * dt / tau is still exactly 1). "overflow"
               "wrap": the neuron's input current may wrap; a bias must then not be moved from
               current to potential (lowering refuses a bias into such a neuron unless it has a
               synaptic current).
    synapses   {"grid": {"weight_bits": b, "fraction_bits": F, "exponent": int | list per output
               channel,
                         "source_fraction_bits": k}}
               Node: Linear / Affine / Conv1d / Conv2d whose weights are the exact quantised volts;
               a bias is in volts, a whole multiple of 2**-F that fits 13 bits with exponent 6 (or
               7) in state lsb. The target neuron must have the same F.
    AvgPool2d, SumPool2d, Flatten   {} (AvgPool2d: the kernel area is a power of two)
    Upsample, ZeroPad2d, Crop, PixelShuffle, AdaptiveAvgPool2d   {"moves": text}: Conv2d nodes that
               move or average elements (export.rearranging), or {} of an AvgPool2d
    MaxPool2d  {"pooling": "maximum", "threshold_comparison": ">", "grid": {...}} of a Threshold of
               0.5 V behind a SumPool2d: fires where one spike of the window arrives
    Delay      {} Node: nir.Delay with delay = steps * dt for every element

``nir_parts(input_shape, dt=1.0) -> {"nodes": {NAME: (nir.NIRNode, metadata)}, "edges": [(FROM,
TO)], "input": NAME, "output": NAME}``
    for layers that are more than one node (Recurrent: the neuron and its feedback synapse). NAMEs
    are the paths of the submodules relative to the layer ("neuron", "recurrent"); an empty one is
    the layer's own path. "input" and
    "output" may be lists of NAMEs: every one of them is given the layer's input, and its output is
    their sum (MultiLevel: the levels). "notes", a list of texts, go to the audit.

``spikeport_io() -> dict`` on the model itself:
    {"input": {"shape": [...], "message_bits": 0..24, "fraction_bits": k},
     "output": {"decode": one of hardware.program.DECODINGS},
     "call": "sequence" | "step",
     "data": {"name": ..., "encoding": ..., "steps": ..., free},
     "origin": {"framework": "spikeport" | "snntorch" | ..., free},
     "program": False where no integer Program computes the model (an ANN; a layer with the
     attribute ``software_only``), and then "no_program": why}
    "sequence": ``model(x)`` takes a whole sample, float tensor x [step, batch, *shape] in real
    units (integer input times 2**-k), starts from zero state, and returns the output's trace [step,
    batch, n] (first of a tuple): spikes of a spiking output layer, potentials of an integrator.
    "step": ``model(x)`` takes one step [batch, *shape] and keeps its state in hidden variables,
    cleared by ``reset_mem()`` of its neurons.

``stochastic`` (bool) on a module: its evaluation depends on a seed. A noisy neuron with
``noise_at_inference`` is such a module; ``noise_seed(model, seed)`` varies the seed of a whole
network, which without it is the exported one.

The name of a population in the Program is the path of its neuron in the model
(``model.named_modules()``); that is how ``toolchain.deploy.software`` finds the module whose spikes
and potentials a Program's layer must equal.
"""

from toolchain.layers import surrogate
from toolchain.layers.dropout import Dropout
from toolchain.layers.multi_level import MultiLevel
from toolchain.layers.network import Add, Network, decode
from toolchain.layers.neuron import Neuron, name_layers, reset
from toolchain.layers.neurons import IF, LI, LIF, Leaky, Synaptic
from toolchain.layers.noise import noise_seed, seed_noise
from toolchain.layers.norm import BatchNorm, freeze_norms, measure_norms
from toolchain.layers.observation import observe
from toolchain.layers.rearranging import Concat, Crop, PixelShuffle, Upsample, ZeroPad2d
from toolchain.layers.recurrent import Recurrent, RLeaky
from toolchain.layers.shaping import AvgPool2d, Delay, Flatten, SumPool2d
from toolchain.layers.squeeze_excitation import SqueezeExcitation
from toolchain.layers.synapses import Conv1d, Conv2d, Linear
from toolchain.layers.transposed import ConvTranspose2d
from toolchain.layers.windows import AdaptiveAvgPool2d, MaxPool2d

__all__ = [
    "IF",
    "LI",
    "LIF",
    "AdaptiveAvgPool2d",
    "Add",
    "AvgPool2d",
    "BatchNorm",
    "Concat",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Crop",
    "Delay",
    "Dropout",
    "Flatten",
    "Leaky",
    "Linear",
    "MaxPool2d",
    "MultiLevel",
    "Network",
    "Neuron",
    "PixelShuffle",
    "RLeaky",
    "Recurrent",
    "SqueezeExcitation",
    "SumPool2d",
    "Synaptic",
    "Upsample",
    "ZeroPad2d",
    "decode",
    "freeze_norms",
    "measure_norms",
    "name_layers",
    "noise_seed",
    "observe",
    "reset",
    "seed_noise",
    "surrogate",
]
