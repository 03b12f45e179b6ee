"""Models by name: a factory in the user's own code."""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from export.errors import ModelError


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """A command in bin/ does not see the working directory; the one who calls it expects that."""
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added:
            sys.path.remove(here)


def make(name: str) -> nn.Module:
    """What ``package.module:factory`` returns when it is called without arguments. Its code runs.

    Raises ModelError where there is no such factory, or it returns no torch.nn.Module.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", name):
        raise ModelError(f"{name!r} names no factory; it must be 'package.module:factory'")

    where, function = name.split(":")
    with working_directory_importable():
        try:
            module = importlib.import_module(where)
        except ImportError as error:
            raise ModelError(f"{name!r}: cannot import {where!r}: {error}") from error

    factory = getattr(module, function, None)
    if not callable(factory):
        raise ModelError(f"{name!r}: {where!r} has no function {function!r}")

    try:
        model = factory()
    except Exception as error:
        raise ModelError(
            f"{name!r}: calling it without arguments failed: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{name!r} returned {type(model).__name__}; it must return a torch.nn.Module"
        )
    return model
