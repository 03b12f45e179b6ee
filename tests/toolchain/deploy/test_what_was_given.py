"""What was given and is not what was meant: one line that says what, where, and what must be
given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from toolchain.cli import run
from toolchain.deploy import inputs, stages
from toolchain.errors import DataError, ModelError


class TimeFirst(nn.Module):
    """Takes [time, batch, 4] and must be called so."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([self.fc(x[t]) for t in range(x.shape[0])])


@pytest.mark.parametrize("call", ["batch-first", "step"])
def test_a_model_that_fails_says_how_it_was_called(call):
    stage = stages.Stage("net:make", "factory", module=TimeFirst())
    with pytest.raises(Exception, match=f"as call={call!r} says, .*time-first") as caught:
        stages.to_graph(stage, stages.Ways(input_shape=(4,), call=call))
    assert type(caught.value).__module__ == "export.errors"


def test_a_folder_is_no_data(tmp_path):
    with pytest.raises(DataError, match=r"is a folder; a file .*\.npz.* data_root says"):
        inputs.known(str(tmp_path), {}, None, "test")
    with pytest.raises(DataError, match=r"is a folder; typical inputs must be a \.npz file"):
        inputs.calibration(str(tmp_path), {})


@pytest.mark.parametrize("name", ["a.npz", "a.nir", "a.safetensors", "a.pt", "a.h5"])
def test_empty_files_are_called_empty(name, tmp_path):
    path = tmp_path / name
    path.touch()
    if name == "a.npz":
        with pytest.raises(DataError, match=r"is empty \(0 bytes\); it must be one with 'inputs'"):
            inputs.read_npz(path)
    else:
        with pytest.raises(
            ModelError, match=r"is an empty file \(0 bytes\); the model must be a checkpoint"
        ):
            stages.load(str(path))


def test_trust_in_a_file_that_is_no_pickle_names_what_it_is(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(2))
    with pytest.raises(ModelError, match=r"is an array file.*no pickle, so trust_pickle changes"):
        stages.load(str(tmp_path / "a.npz"), trust_pickle=True)


def test_a_file_as_the_folder_of_a_run(tmp_path, capsys):
    from toolchain.cells.errors import StoreError
    from toolchain.cells.store import Store

    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(StoreError, match="is a file; -o must name a folder"), Store(taken):
        pass
    assert taken.read_text() == "mine"


def test_what_the_packages_log_is_a_line_on_stderr(capsys, monkeypatch):
    import logging

    from toolchain.cli import doctor

    def says() -> list:
        logging.getLogger("hardware.fast.compilation").info("compiling")
        return []

    monkeypatch.setattr(doctor.command, "callback", lambda **options: says())
    assert run(["doctor"]) == 0
    assert capsys.readouterr().err == "spikeport: compiling\n"
    logging.getLogger("hardware.fast.compilation").info("after the command")
    assert capsys.readouterr().err == ""
