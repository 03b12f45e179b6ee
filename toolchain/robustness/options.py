"""What a sweep says of a model that does not say it itself."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

from toolchain.data import DATASETS, ENCODINGS, Encoding
from toolchain.data.encoders import BinUs, Bits, Rate, Steps
from toolchain.deploy.stages import CALLS
from toolchain.deploy.ways import Lowering, Ways
from toolchain.table_rules import Text, one_of
from toolchain.tables import Settings


@dataclass(frozen=True)
class Options(Lowering, Settings):
    """How a model becomes a Program, and, where it does not say so itself, what it reads. None: as
    the model says.

    calibration   data set whose training part shows how large numbers get; the first 200 samples
    dataset, encoding, steps, bits, rate, bin_us   the data set and the fields of
        ``toolchain.data.Encoding``
    """

    TABLE = "models"

    call: Annotated[str, one_of(CALLS)] | None = None
    calibration: Text | None = None
    dataset: Annotated[str, one_of(DATASETS)] | None = None
    encoding: Annotated[str, one_of(ENCODINGS)] | None = None
    steps: Steps | None = None
    bits: Bits | None = None
    rate: Rate | None = None
    bin_us: BinUs | None = None

    ENCODING = ("encoding", "steps", "bits", "rate", "bin_us")
    DESCRIBING = ("input_shape", "call", "dataset", *ENCODING, "fraction_bits", "input_scale")

    def ways(self) -> Ways:
        """The same for a model at hand; without the calibration, whose shape is the model's.

        Raises:
            DataError: for what is no encoding.
        """
        own = {f.name: getattr(self, f.name) for f in fields(Lowering)}
        stated = self.given(self.ENCODING)
        if self.dataset is None or "encoding" not in stated or "steps" not in stated:
            return Ways(**own)
        encoding = Encoding(stated.pop("encoding"), stated.pop("steps"), **stated)
        return Ways(**own, data={"name": self.dataset, **encoding.describe()})
