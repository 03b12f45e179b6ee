"""Numbers from stored records: the four definitions of robustness in use, intervals, worst cases,
paired differences.

All take per-sample booleans, so that every definition comes from the same records and none has to
be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from toolchain.errors import ToolchainError
from toolchain.robustness.records import Scored
from toolchain.statistics import newcombe_paired, wilson


class StatisticsError(ToolchainError):
    """Records that cannot be put together: different samples, or none."""


@dataclass(frozen=True)
class Share:
    """A measured share with its 95 % Wilson interval."""

    value: float
    low: float
    high: float
    samples: int

    @classmethod
    def of(cls, correct: np.ndarray) -> Share:
        """From booleans [sample]."""
        correct = np.asarray(correct, bool)
        if not correct.size:
            return cls(float("nan"), 0.0, 1.0, 0)
        low, high = wilson(int(correct.sum()), correct.size)
        return cls(float(correct.mean()), low, high, correct.size)


@dataclass(frozen=True)
class Robustness:
    """The four definitions, from one clean and one attacked record of the same samples.

    attacked_accuracy      correct after the attack, over all samples (the definition of
                           RobustBench)
    drop                   clean accuracy minus attacked accuracy (Sharmin et al. 2020: "adversarial
                           loss")
    success_over_all       wrong after the attack, over all samples; errors on clean samples count
                           (ASSG's code)
    success_over_correct   wrong after the attack, over those that were correct before (HART's code)
    """

    attacked_accuracy: Share
    drop: float
    success_over_all: Share
    success_over_correct: Share


def robustness(clean: np.ndarray, attacked: np.ndarray) -> Robustness:
    """The four definitions from correctness before and after, booleans [sample]."""
    clean, attacked = _paired(clean, attacked)
    return Robustness(
        Share.of(attacked),
        float(clean.mean() - attacked.mean()),
        Share.of(~attacked),
        Share.of(~attacked[clean]),
    )


def _paired(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    one, other = np.asarray(one, bool), np.asarray(other, bool)
    if one.shape != other.shape or one.ndim != 1 or not one.size:
        raise StatisticsError(
            f"paired records need the same samples, at least one; found {one.shape} and "
            f"{other.shape}"
        )
    return one, other


def align(records: Sequence[Scored]) -> tuple[np.ndarray, list[np.ndarray]]:
    """(index, positions): the samples that all records share, in order, and where each record holds
    them.

    Raises StatisticsError where no sample is shared.
    """
    if not records:
        raise StatisticsError("there are no records")
    shared = records[0].index
    for record in records[1:]:
        shared = np.intersect1d(shared, record.index)
    if not shared.size:
        raise StatisticsError("the records have no sample in common")
    positions = []
    for record in records:
        order = np.argsort(record.index)
        positions.append(order[np.searchsorted(record.index[order], shared)])
    return shared, positions


def worst_case(records: Sequence[Scored]) -> np.ndarray:
    """Correct under every record, booleans [sample] over the shared samples: the number that
    counts."""
    _, positions = align(records)
    correct: np.ndarray = np.logical_and.reduce(
        [record.correct[where] for record, where in zip(records, positions)]
    )
    return correct


@dataclass(frozen=True)
class PairedDifference:
    """Accuracy of a first record minus accuracy of a second, on the same samples.

    low, high           95 % interval (Newcombe's for paired shares, see ``toolchain.statistics``)
    right_only_first    samples that only the first has right; right_only_second: only the second
    p_value             exact McNemar test: both kinds of disagreement equally likely
    """

    difference: float
    low: float
    high: float
    right_only_first: int
    right_only_second: int
    p_value: float
    samples: int


def paired_difference(first: np.ndarray, second: np.ndarray) -> PairedDifference:
    """Compare two correctness records of the same samples, booleans [sample]."""
    first, second = _paired(first, second)
    size = first.size
    both, neither = int(np.count_nonzero(first & second)), int(np.count_nonzero(~first & ~second))
    alone, other = int(np.count_nonzero(first & ~second)), int(np.count_nonzero(~first & second))

    low, high = newcombe_paired(both, alone, other, neither)
    p_value = float(binomtest(alone, alone + other).pvalue) if alone + other else 1.0
    return PairedDifference((alone - other) / size, low, high, alone, other, p_value, size)


@dataclass(frozen=True)
class Spread:
    """A number over several seeds: mean, sample standard deviation (nan for one seed), smallest,
    largest."""

    mean: float
    deviation: float
    low: float
    high: float
    seeds: int


def spread(values: Sequence[float]) -> Spread:
    """Over one value for each seed."""
    array = np.asarray(values, float)
    if not array.size:
        raise StatisticsError("there are no values")
    return Spread(
        float(array.mean()),
        float(array.std(ddof=1)) if array.size > 1 else float("nan"),
        float(array.min()),
        float(array.max()),
        array.size,
    )


def unseen_at_least(times: np.ndarray, occasions: int) -> float:
    """A lower bound of the share of samples that can be broken and were not: Chao's estimator of
    incidence, bias corrected.

    times      how many of the occasions (here: kinds of attack) broke each sample, whole numbers
               [sample]
    occasions  how many there were

    With a samples broken on one occasion alone and b on two, (m - 1) / m * a (a - 1) / (2 (b + 1))
    more are expected at least (Chao 1987, Biometrics 43:783; form of Chao & Chiu 2016). It stays a
    lower bound where some samples are easier than others for all occasions, which is so for
    attacks. It says nothing of samples that no occasion of these kinds can break.
    """
    times = np.asarray(times)
    if not times.size or occasions < 1:
        raise StatisticsError(
            f"{times.size} samples and {occasions} occasions; at least one of each is needed"
        )
    once, twice = int(np.count_nonzero(times == 1)), int(np.count_nonzero(times == 2))
    return (occasions - 1) / occasions * once * (once - 1) / (2 * (twice + 1)) / times.size
