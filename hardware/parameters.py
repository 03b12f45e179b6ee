"""How a message names a parameter: as who called wrote it.

    raise ModelError(f"give {parameter('input_shape')}")

says ``input_shape`` to who calls from Python, and ``--input-shape`` to who typed a command. The
names are those of the public Python calls; the command line knows which option is which. Texts that
are stored (metadata, notes of an audit) name parameters as Python does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Form(Protocol):
    """Writes a parameter, with its value where that is told."""

    def __call__(self, name: str, value: object = None) -> str: ...


def in_python(name: str, value: object = None) -> str:
    """As an argument of a call."""
    return name if value is None else f"{name}={value!r}"


_form: ContextVar[Form] = ContextVar("form", default=in_python)


def parameter(name: str, value: object = None) -> str:
    """A parameter for a message.

    Args:
        name: of the argument in Python.
        value: that it is, or should be; None: it is named alone.
    """
    return _form.get()(name, value)


@contextmanager
def written(form: Form) -> Iterator[None]:
    """Messages that are made inside name parameters in this form."""
    token = _form.set(form)
    try:
        yield
    finally:
        _form.reset(token)
