"""Models by factory, with weights from files that nobody vouches for."""

from __future__ import annotations

import pickle
import struct

import pytest
import torch
from safetensors.torch import save_file

from export.errors import ModelError
from export.frameworks import load_factory
from tests.export.frameworks import snntorch_models as models

FACTORY = "tests.export.frameworks.snntorch_models:TimeLoop"


def state(**changes):
    values = {name: tensor.clone() for name, tensor in models.TimeLoop().state_dict().items()}
    values["fc1.weight"] = torch.rand(8, 12)
    values |= changes
    return {name: tensor for name, tensor in values.items() if tensor is not None}


def test_weights_are_loaded(tmp_path):
    values = state()
    save_file(values, tmp_path / "net.safetensors")
    model = load_factory(FACTORY, tmp_path / "net.safetensors")
    assert torch.equal(model.fc1.weight, values["fc1.weight"])
    assert not model.training
    assert torch.equal(load_factory(FACTORY).fc1.weight, models.TimeLoop().fc1.weight)


def test_factories_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "own_factory_module.py").write_text("from torch import nn\ndef make():\n    return nn.Linear(2, 3)\n")
    monkeypatch.chdir(tmp_path)
    assert load_factory("own_factory_module:make").out_features == 3


def test_pytorch_files_only_when_allowed(tmp_path):
    values = state()
    for number, content in enumerate((values, {"state_dict": values, "epoch": 3})):
        path = tmp_path / f"{number}.pt"
        torch.save(content, path)
        with pytest.raises(ModelError, match=r"pickle file, which may run code.*accepted is safetensors"):
            load_factory(FACTORY, path)
        assert torch.equal(load_factory(FACTORY, path, allow_torch=True).fc1.weight, values["fc1.weight"])


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a pickle ran')",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_never_run(tmp_path):
    for number, write in enumerate((lambda p: p.write_bytes(pickle.dumps(Evil())), lambda p: torch.save(Evil(), p))):
        path = tmp_path / f"{number}.pt"
        write(path)
        for allow in (False, True):
            with pytest.raises(ModelError, match=r"\.pt: "):
                load_factory(FACTORY, path, allow_torch=allow)
    path = tmp_path / "list.pt"
    torch.save([torch.zeros(2)], path)
    with pytest.raises(ModelError, match="holds list; accepted is a state dict"):
        load_factory(FACTORY, path, allow_torch=True)


MISFITS = {
    "missing": (state(**{"fc1.bias": None}), r"lacks 'fc1.bias'; accepted are exactly the model's \d+ entries"),
    "extra": (state(other=torch.zeros(1)), r"has 'other', which the model does not have"),
    "many": (state(**{f"x{n}": torch.zeros(1) for n in range(9)}), r"and 4 more"),
    "shape": (state(**{"fc1.weight": torch.zeros(12, 8)}), r"'fc1.weight' has shape \(12, 8\); the model's is \(8, 12\)"),
    "integers": (state(**{"fc1.weight": torch.zeros(8, 12, dtype=torch.int8)}), r"has type torch.int8; the model's is torch.float32"),
    "precision": (state(**{"fc1.weight": torch.full((8, 12), 0.1, dtype=torch.float64)}), r"do not survive as the model's torch.float32"),
    "NaN": (state(**{"fc1.weight": torch.full((8, 12), torch.nan)}), r"NaN among them"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_weights_that_do_not_fit(name, tmp_path):
    values, says = MISFITS[name]
    save_file(values, tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match=says):
        load_factory(FACTORY, tmp_path / "net.safetensors")


FILES = {
    "absent": (None, "cannot be read"),
    "empty": (b"", "not a safetensors file"),
    "text": (b"hello world, this is no checkpoint", "not a safetensors file"),
    "huge header": (struct.pack("<Q", 1 << 60) + b"{}", "not a safetensors file"),
    "no JSON": (struct.pack("<Q", 4) + b"{abc", "not a safetensors file"),
    "truncated": (
        struct.pack("<Q", 60) + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}     ' + b"\0" * 3,
        "damaged safetensors file",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_none(name, tmp_path):
    content, says = FILES[name]
    path = tmp_path / "net.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=says):
        load_factory(FACTORY, path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tests.export.frameworks.snntorch_models", "accepted is 'package.module:factory'"),
        ("no_such_module_here:make", "cannot import 'no_such_module_here'"),
        ("tests.export.frameworks.snntorch_models:nothing", "has no function 'nothing'"),
        ("tests.export.frameworks.snntorch_models:STEPS", "has no function 'STEPS'"),
        ("tests.export.frameworks.snntorch_models:on_grid", "calling it without arguments failed: TypeError"),
        ("builtins:dict", "returned dict; accepted is a torch.nn.Module"),
    ],
)
def test_factories_that_are_none(name, says):
    with pytest.raises(ModelError, match=says):
        load_factory(name)
