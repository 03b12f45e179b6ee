"""The scan on CPU tensors: calls of the compiled kernels over numpy views."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial, reduce
from operator import or_
from typing import TypeAlias

import numpy as np
import torch

from toolchain.layers import kernels, kernels_backward
from toolchain.layers.kernels_backward import FORMULAS, GIVEN
from toolchain.layers.memory import line
from toolchain.layers.rules import Gradients, Parameters, Rules, Saved, Scanned
from toolchain.layers.surrogate import derivative
from toolchain.layers.threads import divided

RESET_CODES = {"zero": kernels.ZERO, "subtract": kernels.SUBTRACT, "none": kernels.NONE}


Real: TypeAlias = type[np.float32] | type[np.float64]


def _numpy(tensor: torch.Tensor | None, empty: np.ndarray) -> np.ndarray:
    if tensor is None:
        return empty
    array: np.ndarray = tensor.detach().contiguous().numpy()
    return array


def _real(tensor: torch.Tensor) -> Real:
    return np.float64 if tensor.dtype == torch.float64 else np.float32


def forward(
    rules: Rules,
    parameters: Parameters,
    current: torch.Tensor,
    syn: torch.Tensor | None,
    mem: torch.Tensor | None,
    rest: torch.Tensor | None,
    noise: torch.Tensor | None,
    want_before: bool,
    every_syn: bool,
) -> Scanned:
    """Advance neurons through all steps of ``current`` [time, batch, neuron], on the CPU."""
    real = _real(current)
    none2, none3 = np.zeros((0, 0), real), np.zeros((0, 0, 0), real)
    steps, batch, neurons = current.shape
    shape, last = (steps, batch, neurons), (steps if rules.traces else 1, batch, neurons)

    spikes = torch.empty(shape, dtype=current.dtype) if rules.spiking else None
    before = torch.empty(shape, dtype=current.dtype) if want_before else None
    active = torch.empty(shape, dtype=torch.uint8) if rules.refractory and want_before else None
    mem_out = torch.empty(last, dtype=current.dtype)
    syn_out = (
        torch.empty(shape if every_syn else last, dtype=current.dtype)
        if rules.has_current
        else None
    )
    rest_out = torch.empty((batch, neurons), dtype=current.dtype) if rules.refractory else None

    given = kernels.Given(
        _numpy(current, none3),
        _numpy(syn, none2),
        _numpy(mem, none2),
        _numpy(rest, none2),
        _numpy(noise, np.zeros((0, 0, 0), np.int32)),
    )
    cells = kernels.Cells(
        parameters.current_decay.numpy(),
        parameters.voltage_decay.numpy(),
        parameters.threshold.numpy(),
        rules.has_current,
        rules.spiking,
        RESET_CODES[rules.reset],
        rules.refractory,
        real(2.0**rules.fraction_bits),
        rules.limit(current.dtype),
    )
    traces = kernels.Traces(
        _numpy(spikes, none3),
        _numpy(before, none3),
        _numpy(active, np.zeros((0, 0, 0), np.uint8)),
        _numpy(syn_out, none3),
        _numpy(mem_out, none3),
        _numpy(rest_out, none2),
    )

    kernel = kernels.plain_kernel() if plain(rules, cells, noise) else kernels.forward_kernel()
    parts = divided(batch, current.numel(), partial(kernel, given, cells, traces))
    flags = reduce(or_, parts, 0)
    return Scanned(flags, spikes, before, active, syn_out, mem_out, rest_out)


def plain(rules: Rules, cells: kernels.Cells, noise: torch.Tensor | None) -> bool:
    """Whether ``kernels.plain_kernel`` knows these neurons."""
    special = rules.has_current or rules.refractory or noise is not None
    return not special and cells.limit < 1 << 17


def backward(
    rules: Rules,
    needed: Sequence[bool],
    grad_spikes: torch.Tensor | None,
    grad_syn: torch.Tensor | None,
    grad_mem: torch.Tensor | None,
    grad_before: torch.Tensor | None,
    saved: Saved,
) -> Gradients:
    """Gradients of (current, syn0, mem0, alpha, beta, threshold), None where not ``needed``."""
    before = saved.before
    real = _real(before)
    none2, none3 = np.zeros((0, 0), real), np.zeros((0, 0, 0), real)
    batch, neurons = before.shape[1:]

    def wanted(index: int) -> np.ndarray:
        return np.zeros((batch, neurons), real) if needed[index] else none2

    spike_grad = rules.spike_grad
    formula = FORMULAS.get(type(spike_grad), GIVEN)
    if formula == GIVEN and grad_spikes is not None:
        # the kernel reads the slopes where it then writes the result
        slopes = derivative(spike_grad, before - saved.threshold.to(before.dtype))
        grad_current = slopes.to(before.dtype, copy=True, memory_format=torch.contiguous_format)
    else:
        grad_current = torch.empty_like(before)

    # an empty array asks the kernel for nothing
    syn_wanted, mem_wanted, alpha_wanted, beta_wanted, threshold_wanted = (
        wanted(i) for i in range(1, 6)
    )
    incoming = kernels_backward.Incoming(
        *(_numpy(gradient, none3) for gradient in (grad_spikes, grad_syn, grad_mem, grad_before))
    )
    kept = kernels_backward.Kept(
        _numpy(before, none3),
        _numpy(saved.spikes, none3),
        _numpy(saved.active, np.zeros((0, 0, 0), np.uint8)),
        _numpy(saved.syn, none3),
        _numpy(saved.syn0, none2),
        _numpy(saved.mem0, none2),
    )
    cells = kernels_backward.Slopes(
        rules.has_current,
        saved.alpha.numpy().astype(real),
        saved.beta.numpy().astype(real),
        saved.threshold.numpy().astype(real),
        RESET_CODES[rules.reset],
        real(rules.saturated),
        formula,
        real(getattr(spike_grad, "parameter", 0.0)),
    )
    outgoing = kernels_backward.Outgoing(
        grad_current.numpy(),
        syn_wanted,
        mem_wanted,
        alpha_wanted,
        beta_wanted,
        threshold_wanted,
    )

    kernel = kernels_backward.backward_kernel()
    divided(batch, before.numel(), partial(kernel, incoming, kept, cells, outgoing))
    states = (
        torch.from_numpy(w) if needed[i] else None for i, w in ((1, syn_wanted), (2, mem_wanted))
    )
    sums = (
        torch.from_numpy(w.sum(axis=0)) if needed[i] else None
        for i, w in ((3, alpha_wanted), (4, beta_wanted), (5, threshold_wanted))
    )
    return grad_current, *states, *sums


def largest(x: torch.Tensor, scale: float) -> tuple[int, int]:
    """(largest magnitude of x * scale, how many are no whole numbers of at most 24 bits) of a CPU
    tensor."""
    in_a_row = line(x)
    flat = (x.reshape(-1) if in_a_row is None else in_a_row).numpy()
    kernel, factor = kernels.largest_kernel(), flat.dtype.type(scale)
    parts = divided(len(flat), len(flat), lambda first, last: kernel(flat[first:last], factor))
    return max(int(top) for top, _ in parts), sum(int(broken) for _, broken in parts)


def round_in_place(x: torch.Tensor, scale: float) -> None:
    """``x = round(x * scale) / scale`` for a power of two and a CPU tensor in a row of memory
    (``toolchain.layers.memory.line``)."""
    flat = x.numpy()
    kernel, factor = kernels.round_kernel(), flat.dtype.type(scale)
    divided(len(flat), len(flat), lambda first, last: kernel(flat[first:last], factor))
