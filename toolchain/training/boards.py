"""The learning curve in TensorBoard, while the training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hardware.errors import MissingPackageError
from hardware.parameters import parameter
from toolchain.training.curve import table


@contextmanager
def board(folder: str | Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Gives what writes an entry of the history into a folder of TensorBoard's: every number under
    the name that it has in the CSV file. Raises MissingPackageError where the package is not
    installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingPackageError(
            f"{parameter('tensorboard')} needs the package tensorboard, which is not installed: "
            "pip install 'spikeport[tensorboard]'"
        ) from None
    writer = SummaryWriter(str(folder))

    def write(entry: Mapping[str, Any]) -> None:
        (row,) = table([entry]).rows
        for name, value in row.items():
            if name != "epoch" and value is not None:
                writer.add_scalar(name, value, row["epoch"])
        writer.flush()

    try:
        yield write
    finally:
        writer.close()
