"""Numbers and names as people read them; the same on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from toolchain.targets import TARGETS

NOTHING = "–"
"""Printed where there is no number."""

NOT_TESTED = "not tested"
"""Stands for the flags of a battery that is too weak to raise any."""


class _Titles(Mapping[str, str]):
    def __getitem__(self, target: str) -> str:
        return TARGETS[target].title

    def __iter__(self) -> Iterator[str]:
        return iter(TARGETS)

    def __len__(self) -> int:
        return len(TARGETS)


TARGET_NAMES: Mapping[str, str] = _Titles()
"""Target → what a reader sees; TargetError for an unknown one."""

_PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"))


def percent(share: float | None, digits: int = 1) -> str:
    """A share, 0 to 1, in percent."""
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def interval(low: float | None, high: float | None, scale: float = 100.0, digits: int = 1) -> str:
    """Two ends of an interval, without a unit."""
    if low is None or high is None:
        return ""
    low, high = round(scale * low, digits) + 0.0, round(scale * high, digits) + 0.0
    dash = " to " if low < 0 or high < 0 else "–"
    return f"{_minus(f'{low:.{digits}f}')}{dash}{_minus(f'{high:.{digits}f}')}"


def signed(value: float | None, scale: float = 100.0, digits: int = 1) -> str:
    """A difference with its sign, without a unit; no sign at zero."""
    if value is None:
        return NOTHING
    value = round(scale * value, digits) + 0.0
    return _minus(f"{value:+.{digits}f}") if value else f"{value:.{digits}f}"


def _minus(text: str) -> str:
    return text.replace("-", "−")


def prefix(values: Iterable[float | None]) -> tuple[float, str]:
    """(factor, SI prefix) in which the largest of the values has one to three digits before the
    point."""
    largest = max((abs(v) for v in values if v), default=1.0)
    return next(((factor, name) for factor, name in _PREFIXES if largest >= factor), _PREFIXES[-1])


def significant(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, never in powers of ten, thousands separated."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    leading = (
        0 if whole else len(f"{abs(value):.15f}"[2:]) - len(f"{abs(value):.15f}"[2:].lstrip("0"))
    )
    return _minus(f"{value:,.{max(0, digits - whole + leading)}f}")


def small_number(value: float) -> str:
    """A number as it was given where that is short, else with three significant digits."""
    if 0 < abs(value) < 1e-4:
        return "< 0.0001" if value > 0 else "> −0.0001"
    if abs(value) >= 1000:
        return significant(value)
    short = _minus(f"{value:g}")
    return short if len(short) <= 6 and "e" not in short else significant(value)


def quantity(value: float | None, unit: str) -> str:
    """A number with its SI prefix, such as 1.23 µJ."""
    if value is None:
        return NOTHING
    factor, name = prefix([value])
    return f"{significant(value / factor)} {name}{unit}"


def count(value: float | None) -> str:
    """A count, or a mean of counts."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() or value >= 1000 else f"{value:,.1f}"


def seconds(value: float) -> str:
    """A duration for reading."""
    return (
        f"{value:.2f} s"
        if value < 10
        else f"{value:.1f} s"
        if value < 120
        else f"{value / 60:.1f} min"
    )


def radius(norm: str, epsilon: float | None) -> str:
    """How large a change is allowed."""
    if epsilon is None:
        return NOTHING
    return {
        "linf": f"ε = {epsilon:g}",
        "l2": f"ε₂ = {epsilon:g}",
        "flips": f"{epsilon:g} changed events",
        "shift": f"{epsilon:g} steps",
    }[norm]


def threat(norm: str) -> str:
    """What an adversary may change, in words."""
    return {
        "linf": "every pixel may change by up to ε, with pixels from 0 to 1",
        "l2": "the image may change by up to ε₂ in Euclidean distance, with pixels from 0 to 1",
        "flips": "so many events may be added or removed",
        "shift": "every event may move by up to so many time steps",
    }[norm]


def words(name: str) -> str:
    """An identifier as words."""
    return name.replace("_", " ")


def listed(parts: Iterable[str]) -> str:
    """a, b and c."""
    some = list(parts)
    return some[0] if len(some) == 1 else f"{', '.join(some[:-1])} and {some[-1]}" if some else ""
