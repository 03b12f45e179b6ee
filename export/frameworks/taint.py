"""Which memory holds something that was made from what is traced, however it came there.

The tracker sees operations as Python calls them. What runs below (a compiled function, a custom
operator, a write into a view) it does not see; PyTorch's dispatcher does. A tensor that looks like
a constant to the tracker, but lies in marked memory, is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from export.frameworks.values import Opaque, Sources, Traced, sources_of, tensors_in

CREATING = {
    *("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"),
    *("randint_like", "new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"),
}
"""Operations that take no more than shape and type from their argument."""


@dataclass(frozen=True)
class _Mark:
    """``operation`` and ``where``: the first operation on traced memory; None: traced itself."""

    operation: str | None
    where: str
    sources: Sources


class Taint(TorchDispatchMode):
    """Marks memory while it is entered. ``place()`` gives the path of the module that runs."""

    def __init__(self, place: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's
        self._place = place
        self._paused = False
        # the weak reference keeps the storage's address from being used again
        self._marks: dict[int, tuple[StorageWeakRef, _Mark]] = {}

    def mark(self, tensor: torch.Tensor, value: Traced) -> None:
        """Say what a tensor's memory holds. What nothing traced went into is not marked."""
        sources = sources_of(value)
        if not sources:
            return
        operation, where = None, ""
        if isinstance(value, Opaque) and value.reading is None:
            operation, where = value.operation, value.where
        self._put(tensor, _Mark(operation, where, sources))

    def of(self, tensor: torch.Tensor) -> Opaque | None:
        """What a tensor that is not traced was made from; None where from nothing that is."""
        mark = self._mark_of(tensor)
        return None if mark is None else Opaque(mark.operation or "view", mark.where, mark.sources)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """To skip it, PyTorch would import it, which takes seconds; nothing is compiled here."""
        return False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For operations that are not the model's."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        # called from here, the operation would be seen by the tracker, too, under another name
        with torch._C.DisableTorchFunction():
            result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if self._paused or name in CREATING:
            return result
        given = tensors_in((*args, *kwargs.values()))
        marks = [mark for tensor in given if (mark := self._mark_of(tensor)) is not None]
        if marks:
            self._spread(name, marks, func, args, result)
        return result

    def _spread(
        self, name: str, marks: list[_Mark], func: Any, args: Sequence[Any], result: Any
    ) -> None:
        first = next((m for m in marks if m.operation), _Mark(name, self._place(), frozenset()))
        sources: Sources = frozenset().union(*(m.sources for m in marks))
        mark = _Mark(first.operation, first.where, sources)
        written = []
        if func._schema.is_mutable:
            pairs = zip(func._schema.arguments, args)
            written = [a for s, a in pairs if s.alias_info is not None and s.alias_info.is_write]
        for tensor in tensors_in((result, *written)):
            # an alias of traced memory stays what it is
            if self._mark_of(tensor) is None:
                self._put(tensor, mark)

    def _mark_of(self, tensor: torch.Tensor) -> _Mark | None:
        try:
            known = self._marks.get(tensor.untyped_storage()._cdata)
        except (NotImplementedError, RuntimeError):  # a sparse tensor has no storage of its own
            return None
        return None if known is None else known[1]

    def _put(self, tensor: torch.Tensor, mark: _Mark) -> None:
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):
            return
        self._marks[storage._cdata] = (StorageWeakRef(storage), mark)
