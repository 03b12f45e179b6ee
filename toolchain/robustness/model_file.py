"""A model as it travels to a worker, and its key."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hardware import limits
from hardware._files import read_bytes
from toolchain.cells import closure
from toolchain.cells.source import ClosureError
from toolchain.errors import ModelError
from toolchain.robustness.options import Options

NONE = Options()
"""Nothing is said of a model."""


@dataclass(frozen=True)
class ModelFile:
    """A model as it travels to a worker: ``source`` (package.module:factory), or the bytes of a
    file with its name.

    modules  of the user, that a factory's network is made by; with every module of the user that
             they lead to
    opened   hash of what the model is once it is open (``Opened.content``); empty: nobody has
             looked
    """

    name: str
    source: str
    content: bytes = field(repr=False, default=b"")
    weights: bytes = field(repr=False, default=b"")
    options: Options = field(default_factory=Options)
    modules: tuple[str, ...] = ()
    opened: str = ""

    @classmethod
    def read(
        cls, name: str, source: str, weights: str | None = None, options: Options = NONE
    ) -> ModelFile:
        """From what a sweep names."""
        content = _bytes_of(source) if Path(source).is_file() else b""
        return cls(
            name,
            Path(source).name if content else source,
            content,
            b"" if weights is None else _bytes_of(weights),
            options,
        )

    @property
    def key(self) -> str:
        """SHA-256 of everything but the name; of a factory, what its modules do, and what it
        makes."""
        source = b"" if self.content else self.source.encode() + self._code().encode()
        digest = hashlib.sha256(source)
        for part in (
            self.content,
            self.weights,
            json.dumps(asdict(self.options), sort_keys=True).encode(),
            self.opened.encode(),
        ):
            digest.update(hashlib.sha256(part).digest())
        return digest.hexdigest()

    def _code(self) -> str:
        try:
            return closure.of_user(*(self.modules or (self.source.partition(":")[0],))).digest
        except ClosureError:
            return ""  # opening it says what is wrong


def _bytes_of(path: str) -> bytes:
    return read_bytes(path, ModelError, limits.MODEL_BYTES, "a model")
