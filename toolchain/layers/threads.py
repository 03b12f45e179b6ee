"""Kernels on several cores: a range of work is cut into one part for each of PyTorch's threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Result = TypeVar("Result")

LEAST_WORK = 1 << 15
"""Elements below which a second thread costs more than it saves: some 0.1 ms of a scan."""

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
"""(process, threads) → pool. Threads do not survive a fork, so each process has its own."""


def divided(count: int, work: int, part: Callable[[int, int], Result]) -> list[Result]:
    """``part(first, last)`` for ranges that together are range(count), on as many threads as
    ``torch.get_num_threads()`` says.

    The parts must not share what they write, so the result does not depend on their number. They
    gain only where ``part`` releases the interpreter lock, as the kernels do.

    Args:
        count: what is divided, samples for example.
        work: elements in all; few of them are not divided.
        part: called once for each range.

    Returns:
        Results in the order of the ranges.
    """
    threads = min(torch.get_num_threads(), count)
    if threads <= 1 or work < LEAST_WORK:
        return [part(0, count)]
    bounds = [count * n // threads for n in range(threads + 1)]
    pool = _pool(threads - 1)
    waiting = [pool.submit(part, *bounds[n : n + 2]) for n in range(1, threads)]
    first = part(bounds[0], bounds[1])
    return [first, *(future.result() for future in waiting)]


def _pool(threads: int) -> ThreadPoolExecutor:
    key = (os.getpid(), threads)
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(threads, thread_name_prefix="spikeport-scan")
    return _pools[key]
