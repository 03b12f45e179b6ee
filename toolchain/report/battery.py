"""What a page says of the battery behind its numbers: one set of words for pages, tables, terminal
and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict

from toolchain.pages import formats
from toolchain.robustness import strength
from toolchain.robustness.strength import Strength

"""In place of "no flag" where the battery is too weak to say it."""

BOUND = "upper bounds of robust accuracy"


def read(battery: Mapping | None) -> Strength | None:
    """From the plain values that ``analysis`` keeps."""
    return None if battery is None else Strength(battery["level"], tuple(battery["missing"]))


def weakest(found: Iterable[Mapping]) -> dict | None:
    """The battery that the numbers of several entries with a "battery" can be believed by; None
    where none of them was attacked."""
    weak = strength.weakest(b for b in (read(entry["battery"]) for entry in found) if b is not None)
    return None if weak is None else asdict(weak)


def weak(battery: Mapping | None) -> bool:
    """True where the numbers are a smoke test's."""
    found = read(battery)
    return found is not None and found.weak


def title(battery: Mapping | None) -> str:
    """What a headline begins with; "" where the battery is strong, or there is none."""
    return f"Smoke test: {BOUND}" if weak(battery) else ""


def warning(battery: Mapping | None) -> str:
    """What stands under the headline; "" where the battery is strong."""
    if not weak(battery):
        return ""
    return (
        "These figures are no result. The attacks are too weak to say how robust a network is: "
        "every accuracy under attack is an upper "
        f"bound of its robust accuracy, and a stronger battery finds less. The battery has fewer "
        f"than {formats.listed(battery['missing'])}."
    )


def caption(battery: Mapping | None) -> str:
    """What the caption of a table with a worst case begins with; "" where the battery is strong."""
    return f"Smoke test: accuracies under attack are {BOUND}. " if weak(battery) else ""


def mark(battery: Mapping | None) -> str | None:
    """What a row says of its battery; None where nothing was attacked."""
    found = read(battery)
    return None if found is None else f"{found.level}: upper bound" if found.weak else found.level


def flags(names: list[str], battery: Mapping | None) -> list[str]:
    """What a row says of its flags: their names, and where there are none whether that means
    anything."""
    return names or ([formats.NOT_TESTED] if weak(battery) else [])


def no_flag(checks: int, battery: Mapping | None) -> str:
    """The sentence about a network on which no check found anything."""
    if weak(battery):
        return (
            f"No flag, which here means nothing: {formats.NOT_TESTED}, because this battery is too "
            f"weak for {checks} checks to see that "
            "attacks failed."
        )
    return f"No flag: none of {checks} checks says that the attacks failed."
