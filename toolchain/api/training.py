"""Training from a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from hardware import _tabular
from toolchain.api.arguments import text, whole, wrong
from toolchain.api.loading import Model
from toolchain.deploy.stage import Stage
from toolchain.deploy.summary import Accuracy, accuracy, accuracy_text
from toolchain.deploy.ways import Ways

if TYPE_CHECKING:
    import pandas
    from torch import nn

    from toolchain.training import Config, Result
    from toolchain.training.keeping import Keeping


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, which every other call takes.

    result   see ``toolchain.training.Result``
    """

    result: Result

    @property
    def module(self) -> nn.Module:
        """The PyTorch network."""
        return self.result.model

    @property
    def model(self) -> Model:
        """For ``export``, ``run``, ``compare`` ..."""
        return Model(Stage("trained network", "module", module=self.result.model), Ways())

    @property
    def accuracy(self) -> Accuracy:
        """Of the test split: {"correct", "samples", "share", "interval"}."""
        samples = self.result.test_samples
        return accuracy(round(self.result.accuracy * samples), samples)

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write a checkpoint, which holds the recipe, too.

        Args:
            path: ends in ``.safetensors``.
            force: replace a file that exists.

        Raises:
            CheckpointError, OutputError: where it cannot be written.
        """
        from toolchain.training import save_checkpoint

        target = Path(text("path", path, "the path of a file"))
        result = self.result
        kept = {"test": self.accuracy, "seconds": result.seconds, **result.details}
        save_checkpoint(target, result.model, result.config, results=kept, force=force)
        return target

    def __repr__(self) -> str:
        return f"Trained(test accuracy {accuracy_text(self.accuracy)})"

    def _repr_html_(self) -> str:
        return f"<div><strong>{escape(repr(self))}</strong></div>"

    def to_frame(self) -> pandas.DataFrame:
        """A data frame with a row for each epoch.

        Raises:
            MissingPackageError: where pandas is not installed.
        """
        names = list(dict.fromkeys(name for entry in self.result.history for name in entry))
        return _tabular.frame(self.result.history, names)


def train(
    recipe: str | Path | Config,
    *,
    seed: int | None = None,
    data_root: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    state: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
) -> Trained:
    """Train a quantisation-aware network.

    Args:
        recipe: a TOML file, or a ``toolchain.training.Config``.
        seed: of the training, in place of the recipe's.
        data_root: folder that holds data sets; None: SPIKEPORT_DATA.
        progress: called with (batches done, batches in all).
        state: file in which the state of the training is kept after each epoch and every ten
            minutes, and which is removed when the training is over; None: nothing is kept.
        resume: go on from ``state``, to the same weights as without a stop.
        force: begin anew although there is a ``state``.

    Raises:
        ArgumentError: for arguments of the wrong type.
        ConfigError, DataError: for a recipe that cannot be trained.
        CheckpointError, OutputError: for a state that is not there, not readable, another
            training's, or there although nobody said what to do with it.
    """
    from dataclasses import replace

    from toolchain import training

    if isinstance(recipe, (str, Path)):
        config = training.read_config(Path(recipe))
    elif isinstance(recipe, training.Config):
        config = recipe
    else:
        raise wrong("recipe", recipe, "the path of a TOML file, or a Config")
    own = whole("seed", seed, 0)
    if own is not None:
        config = replace(config, training=replace(config.training, seed=own))
    root = None if data_root is None else text("data_root", data_root, "a folder or None")
    kept = None
    if state is not None:
        path = Path(text("state", state, "the path of a file"))
        if isinstance(recipe, (str, Path)) and path.exists() and path.samefile(recipe):
            raise wrong("state", state, "another file than the recipe")
        kept = keeping(config, path, bool(resume), bool(force))
    elif resume:
        raise wrong("state", state, "the path of a file, with resume")
    result = training.train(config, root=root, progress=progress, keeping=kept)
    if kept is not None:
        kept.done()
    return Trained(result)


def keeping(
    config: Config, path: Path, resume: bool, force: bool, every_s: float = 600.0
) -> Keeping | None:
    """How the state of a training is kept; None: nothing is, of a purifier. Arguments as of
    ``toolchain.training.keeping.Keeping``."""
    from toolchain.cells import maker
    from toolchain.training.keeping import Keeping

    if config.purifier is not None and not resume:
        return None
    code = maker.of("toolchain.training.loop", *config.defence.modules).digest
    kept = Keeping(path, every_s, resume, force, code)
    kept.check()
    return kept
