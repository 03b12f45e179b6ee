"""What a sweep measures, read from a TOML file: models × attacks × radii × targets × seeds.

[data]
name = "digits"            # default: the data set that the models were trained on; or
source = "own.npz"         # samples of your own: inputs and labels (docs/running.md)
samples = 200              # the first so many of the test set
inference_seeds = [0, 1, 2]   # of models that are random (Poisson, noisy neurons): every cell is
                              scored with each of them
[[models]]
name = "plain"
source = "plain.safetensors"      # a model at a stage with a PyTorch module; or
recipe = "digits.toml"            # a training configuration: trained once into the run's folder
seeds = [0, 1, 2]                 # of the recipe's training, one model each; or
                                  "NAME-{seed}.safetensors" is the source of each
weight_bits = 6                   # how a float model becomes integers: weight_bits, per_channel,
                                  discretization, allow_clipping, dt,
calibration = "digits"            # decode, reset, r_per, dialect (docs/dialects.md), and the data
                                  set that shows how large its numbers get
input_shape = [64]                # what a model without spikeport_io() reads: input_shape, call,
                                  dataset, encoding, steps, bits, rate, bin_us
[attacks]
preset = "quick"           # quick, standard, full; or list = [{attack = "pgd", ...}] in the form of
                           AttackSpec
norm = "linf"
epsilons = [0.05, 0.1]
seeds = [0]
transfer = true            # every model is also attacked with samples made on every other model; or
                           ["plain"]: on these alone
energy = true              # energy attacks as well
[corruptions]              # a second axis, apart from attacks
names = ["gaussian_noise"] # of toolchain.data.corruptions; default: all
severities = [1, 3, 5]
[targets]
names = ["software", "fast", "lava"]
chip = "loihi2"            # whose cores are counted, and whose static power is taken
lava_samples = 20          # Lava runs the first so many samples of every cell
lava_attacks = "all"       # "cascade": Lava scores clean samples and cascades alone, with the first
                           inference seed
[run]
batch = 100                # samples in one cell's computation at once
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolchain import tables
from toolchain.attacks.base import AttackError, Threat
from toolchain.robustness import kinds
from toolchain.robustness.parts import Sweep, SweepError, SweepFile

__all__ = ["Sweep", "SweepError", "load", "parse"]


def load(path: str | Path) -> Sweep:
    """Read a sweep file, and hold its attacks against the data that its models read (``kinds``),
    before anything runs.

    Raises:
        SweepError: it names the file, the table, the key, what came and what it must be.
        ToolchainError: what reading a damaged recipe or checkpoint raises.
    """
    path = Path(path)
    values = tables.load(SweepFile, path, "a sweep, a TOML file,", SweepError)
    sweep = _sweep(values, str(path), path.parent)
    kinds.check_stated(sweep)
    _check_radii(sweep)
    return sweep


def parse(values: Mapping[str, Any], where: str, folder: Path = Path(".")) -> Sweep:
    """A sweep from plain values; see ``load``. Looks at no other file."""
    sweep = _sweep(values, where, folder)
    _check_radii(sweep)
    return sweep


def _sweep(values: Mapping[str, Any], where: str, folder: Path) -> Sweep:
    file = tables.from_table(SweepFile, values, where, SweepError)
    return Sweep(**vars(file), folder=folder, where=where)


def _check_radii(sweep: Sweep) -> None:
    """After the kinds of data: that flips are of events says more than that they are counted."""
    for epsilon in sweep.attacks.epsilons:
        try:
            Threat(sweep.attacks.norm, epsilon)
        except AttackError as error:
            raise SweepError(f"{sweep.where}: [attacks] epsilons: {error}") from None
