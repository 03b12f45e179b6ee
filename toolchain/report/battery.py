"""What a page says of the battery behind its numbers: one set of words for pages, tables, terminal
and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from toolchain.pages import formats
from toolchain.robustness import strength
from toolchain.robustness.strength import Strength

BOUND = "upper bounds of robust accuracy"


def weakest(found: Iterable[Strength | None]) -> Strength | None:
    """The battery that several numbers can be believed by; None where nothing was attacked."""
    return strength.weakest(battery for battery in found if battery is not None)


def weak(battery: Strength | None) -> bool:
    """True where the numbers are a smoke test's."""
    return battery is not None and battery.weak


def title(battery: Strength | None) -> str:
    """What a headline begins with; "" where the battery is strong, or there is none."""
    return f"Smoke test: {BOUND}" if weak(battery) else ""


def warning(battery: Strength | None) -> str:
    """What stands under the headline; "" where the battery is strong."""
    if battery is None or not battery.weak:
        return ""
    return (
        "These figures are no result. The attacks are too weak to say how robust a network is: "
        "every accuracy under attack is an upper bound of its robust accuracy, and a stronger "
        f"battery finds less. The battery has fewer than {formats.listed(battery.missing)}."
    )


def caption(battery: Strength | None) -> str:
    """What the caption of a table with a worst case begins with; "" where the battery is strong."""
    return f"Smoke test: accuracies under attack are {BOUND}. " if weak(battery) else ""


def mark(battery: Strength | None) -> str | None:
    """What a row says of its battery; None where nothing was attacked."""
    if battery is None:
        return None
    return f"{battery.level}: upper bound" if battery.weak else battery.level


def flags(names: Sequence[str], battery: Strength | None) -> list[str]:
    """What a row says of its flags: their names, and where there are none whether that means
    anything."""
    return list(names) or ([formats.NOT_TESTED] if weak(battery) else [])


def no_flag(checks: int, battery: Strength | None) -> str:
    """The sentence about a network on which no check found anything."""
    if weak(battery):
        return (
            f"No flag, which here means nothing: {formats.NOT_TESTED}, because this battery is too "
            f"weak for {checks} checks to see that attacks failed."
        )
    return f"No flag: none of {checks} checks says that the attacks failed."
