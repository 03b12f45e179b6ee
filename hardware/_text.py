"""Values as they stand in messages: short, whatever they are."""

from __future__ import annotations

import reprlib

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = _SHORT.maxarray = 8
_SHORT.maxlevel = 3


def shown(value: object) -> str:
    """A value for a message: as ``repr``, cut short where it is long."""
    return shortened(_SHORT.repr(value), 200)


def shortened(text: str, most: int) -> str:
    """A text of at most ``most`` characters; what is left out is marked."""
    return text if len(text) <= most else text[: most - 4] + " ..."
