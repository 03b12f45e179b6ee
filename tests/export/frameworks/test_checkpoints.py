"""Models by factory, with weights from files that nobody vouches for."""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from export.errors import ModelError
from export.frameworks import load_factory, open_factory, open_pickle
from export.frameworks.weight_files import read_weights
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
    (tmp_path / "own_factory_module.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Linear(2, 3)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_factory("own_factory_module:make").out_features == 3


FORMS = {
    "as it is": (lambda v: v, []),
    "under state_dict": (
        lambda v: {"state_dict": v, "epoch": 3, "optimizer": {"lr": 0.1}},
        ["weights taken from 'state_dict'; left aside: 'epoch', 'optimizer'"],
    ),
    "under net, twice": (
        lambda v: {"net": {"model_state_dict": v}},
        ["weights taken from 'net'", "weights taken from 'model_state_dict'"],
    ),
    "prefix": (lambda v: prefixed("model.", v), [r"prefix 'model\.' taken off \d+ names"]),
    "two prefixes": (
        lambda v: {"state_dict": prefixed("module._orig_mod.", v)},
        ["weights taken from 'state_dict'", r"prefix 'module\._orig_mod\.' taken off"],
    ),
    "hidden state of an older version": (
        lambda v: {**v, "lif1.mem": torch.zeros(3, 8)},
        ["hidden states 'lif1.mem' left out; a run starts from zero"],
    ),
    "hidden state behind a prefix": (
        lambda v: prefixed("net.", {**v, "lif2.mem": torch.zeros(3, 4)}),
        [r"prefix 'net\.' taken off", "hidden states 'lif2.mem' left out"],
    ),
    "buffers that are younger": (
        lambda v: {
            n: t for n, t in v.items() if not n.endswith(("mechanism_val", "spikes_factor"))
        },
        [
            r"kept as the model has it: 'lif1.graded_spikes_factor = 1.0', "
            r"'lif1.reset_mechanism_val = 0'"
        ],
    ),
}


def prefixed(prefix, values):
    return {prefix + name: tensor for name, tensor in values.items()}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", FORMS)
def test_forms_that_people_have(name, legacy, tmp_path):
    """Every form gives the same weights, and each thing that was done to it is one line."""
    change, says = FORMS[name]
    values = state()
    path = tmp_path / "weights.ckpt"
    torch.save(change(values), path, _use_new_zipfile_serialization=not legacy)
    opened = open_factory(FACTORY, path)
    own = opened.module.state_dict()
    assert all(torch.equal(own[n], tensor) for n, tensor in values.items())
    assert len(opened.notes) == len(says)
    assert all(re.search(wanted, note) for wanted, note in zip(says, opened.notes)), opened.notes


def test_what_was_done_is_never_silent_in_python(tmp_path):
    torch.save(prefixed("net.", state()), tmp_path / "w.pt")
    with pytest.warns(UserWarning, match=r"prefix 'net\.' taken off"):
        load_factory(FACTORY, tmp_path / "w.pt")


NOT_CERTAIN = {
    "two prefixes that fit": (
        lambda v: prefixed("a.", v) | prefixed("b.", v),
        r"lacks 'fc1\.bias'.*has 'a\.fc1\.bias'",
    ),
    "a prefix of some names": (
        lambda v: {("model." if n.startswith("fc1") else "") + n: t for n, t in v.items()},
        r"lacks 'fc1\.bias', 'fc1\.weight'; has 'model\.fc1\.bias', 'model\.fc1\.weight'",
    ),
    "more behind the prefix": (
        lambda v: prefixed("net.", v) | {"loss.weight": torch.ones(1)},
        r"has 'loss\.weight', which the model does not have",
    ),
    "a state that is no neuron's": (lambda v: v | {"fc1.mem": torch.ones(1)}, r"has 'fc1\.mem'"),
    "weights under two names": (
        lambda v: {"model": v, "net": v},
        r"holds weights under 'model', 'net'",
    ),
    "no weights": (lambda v: {"epoch": 3}, r"holds 'epoch'; it must hold a state dict"),
    "nothing": (lambda v: {}, r"holds nothing"),
    "a list": (lambda v: [torch.zeros(2)], "holds list; it must hold a state dict"),
}


@pytest.mark.parametrize("name", NOT_CERTAIN)
def test_what_is_not_certain_is_refused_by_name(name, tmp_path):
    change, says = NOT_CERTAIN[name]
    torch.save(change(state()), tmp_path / "w.pt")
    with pytest.raises(ModelError, match=says):
        load_factory(FACTORY, tmp_path / "w.pt")


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code in a pickle ran')",))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_pickles_never_run(tmp_path):
    writes = (lambda p: p.write_bytes(pickle.dumps(Evil())), lambda p: torch.save(Evil(), p))
    for number, write in enumerate(writes):
        path = tmp_path / f"{number}.pt"
        write(path)
        with pytest.raises(ModelError, match=r"\.pt: .*save the weights alone: torch\.save"):
            load_factory(FACTORY, path)


class Whole(nn.Module):
    """A module that can be pickled."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 3)


def test_pickled_modules_on_the_users_word_alone(tmp_path):
    whole = Whole()
    path = tmp_path / "whole.pt"
    torch.save(whole, path)
    name = "tests.export.frameworks.test_checkpoints:Whole"
    with pytest.raises(
        ModelError, match=r"pickled \S*Whole.*may run code.*trust_pickle=True reads"
    ):
        open_factory(name, path)
    for opened in (open_factory(name, path, trust_pickle=True), open_pickle(path)):
        assert torch.equal(opened.module.fc.weight, whole.fc.weight)
        assert "unpickled with all code in it, on your word" in opened.notes[0]
    torch.save(whole.state_dict(), path)
    with pytest.raises(ModelError, match="holds OrderedDict, no module"):
        open_pickle(path)
    with pytest.raises(ModelError, match="changes nothing without a file"):
        open_factory(name, trust_pickle=True)
    save_file(state(), tmp_path / "w.safetensors")
    with pytest.raises(ModelError, match="is no pickle"):
        open_factory(name, tmp_path / "w.safetensors", trust_pickle=True)


def repacked(source, target, change, how=zipfile.ZIP_STORED):
    """A copy of a zip archive; ``change(name, content)`` gives what stands in it instead."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", how) as new:
        for member in old.infolist():
            new.writestr(member.filename, change(member.filename, old.read(member)))


def test_files_that_declare_more_than_they_hold(tmp_path):
    """Refused by what they declare, before memory is taken for it."""
    plain, lying, bomb = (tmp_path / n for n in ("plain.pt", "lying.pt", "bomb.pt"))
    torch.save({"a": torch.zeros(10)}, plain)
    more = struct.pack("<cI", b"J", 1 << 30)  # numbers of elements and sizes, 10 before
    repacked(plain, lying, lambda n, c: c.replace(b"K\x0a", more) if n.endswith(".pkl") else c)
    with pytest.raises(ModelError, match=r"declares tensors of 4,294,967,296 bytes in a file of"):
        read_weights(lying)
    repacked(
        plain, bomb, lambda n, c: bytes(1 << 22) if n.endswith("/0") else c, zipfile.ZIP_DEFLATED
    )
    with pytest.raises(ModelError, match=r"compressed zip archive that unpacks to 4,"):
        read_weights(bomb)
    torch.save({"a": torch.zeros(1).expand(1 << 20, 1 << 20)}, tmp_path / "expanded.pt")
    with pytest.raises(ModelError, match=r"lacks 'bias', 'weight'; has 'a'"):
        load_factory("tests.export.frameworks.test_checkpoints:linear", tmp_path / "expanded.pt")


@pytest.mark.parametrize(
    ("record", "field", "value", "says"),
    [(b"PK\x01\x02", 6, 255, "zip file version"), (b"PK\x06\x07", 16, 9, "span multiple disks")],
    ids=["version", "disks"],
)
def test_archives_of_a_kind_that_is_not_read(tmp_path, record, field, value, says):
    """The numbers of a zip archive's directory are changed as in damage."""
    torch.save({"a": torch.zeros(10)}, tmp_path / "plain.pt")
    content = bytearray((tmp_path / "plain.pt").read_bytes())
    content[content.index(record) + field] = value
    (tmp_path / "other.pt").write_bytes(content)
    with pytest.raises(ModelError, match=f"a damaged zip archive: .*{says}"):
        read_weights(tmp_path / "other.pt")


def linear():
    return nn.Linear(2, 3)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_torchscript_archives(tmp_path):
    torch.jit.trace(nn.Linear(2, 3), torch.zeros(1, 2)).save(str(tmp_path / "scripted.pt"))
    with pytest.raises(ModelError, match=r"TorchScript archive.*not a state dict"):
        read_weights(tmp_path / "scripted.pt")


MISFITS = {
    "missing": (
        state(**{"fc1.bias": None}),
        r"lacks 'fc1.bias'; the names must be the model's \d+",
    ),
    "extra": (state(other=torch.zeros(1)), r"has 'other', which the model does not have"),
    "many": (state(**{f"x{n}": torch.zeros(1) for n in range(9)}), r"and 4 more"),
    "shape": (
        state(**{"fc1.weight": torch.zeros(12, 8)}),
        r"'fc1.weight' has shape \(12, 8\); the model's is \(8, 12\)",
    ),
    "integers": (
        state(**{"fc1.weight": torch.zeros(8, 12, dtype=torch.int8)}),
        r"has type torch.int8; the model's is torch.float32",
    ),
    "precision": (
        state(**{"fc1.weight": torch.full((8, 12), 0.1, dtype=torch.float64)}),
        r"do not survive as the model's torch.float32",
    ),
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
    "empty": (b"", r"is empty \(0 bytes\); a file of weights must be given"),
    "text": (b"hello world, this is no checkpoint", "not a safetensors file"),
    "huge header": (struct.pack("<Q", 1 << 60) + b"{}", "not a safetensors file"),
    "no JSON": (struct.pack("<Q", 4) + b"{abc", "damaged safetensors file"),
    "nested": (struct.pack("<Q", 500_000) + b'{"a":' * 100_000, "damaged safetensors file"),
    "large header": (
        struct.pack("<Q", 9 << 20) + b"{".ljust(9 << 20),
        "a header of 9,437,184 bytes; it must have at most 8,388,608",
    ),
    "another type": (
        struct.pack("<Q", 56)
        + b'{"a":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}} '
        + bytes(16),
        "damaged safetensors file",
    ),
    "truncated": (
        struct.pack("<Q", 60)
        + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}     '
        + b"\0" * 3,
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


@pytest.mark.parametrize("read", [read_weights, open_pickle])
def test_no_file_of_weights_is_waited_for(read, tmp_path):
    """A FIFO without a writer would wait, and a device would never end."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ModelError, match="fifo: is a FIFO; a file of weights must be given"):
        read(tmp_path / "fifo")
    with pytest.raises(ModelError, match="/dev/zero: is a device; a file of weights must be given"):
        read("/dev/zero")


def test_a_file_of_weights_is_no_larger_than_a_network(tmp_path):
    with (tmp_path / "sparse.pt").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match="must have at most 1,179,648,000"):
        read_weights(tmp_path / "sparse.pt")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tests.export.frameworks.snntorch_models", "it must be 'package.module:factory'"),
        ("no_such_module_here:make", "cannot import 'no_such_module_here'"),
        ("tests.export.frameworks.snntorch_models:nothing", "has no function 'nothing'"),
        ("tests.export.frameworks.snntorch_models:STEPS", "has no function 'STEPS'"),
        (
            "tests.export.frameworks.snntorch_models:on_grid",
            "calling it without arguments failed: TypeError",
        ),
        ("builtins:dict", "returned dict; it must return a torch.nn.Module"),
    ],
)
def test_factories_that_are_none(name, says):
    with pytest.raises(ModelError, match=says):
        load_factory(name)


@pytest.mark.parametrize("trust", [False, True])
def test_a_file_that_is_cut_short_is_called_so(trust, tmp_path):
    whole = tmp_path / "whole.pt"
    torch.save(state(), whole)
    (tmp_path / "cut.pt").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ModelError, match=r"cut\.pt: a PyTorch file that is cut short.*whole file"):
        read_weights(tmp_path / "cut.pt", trust_pickle=trust)


def test_trust_in_an_archive_without_a_pickle(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("note.txt", "no weights")
    with pytest.raises(ModelError, match=r"a zip archive of 'note\.txt', without the pickle"):
        read_weights(tmp_path / "a.zip", trust_pickle=True)
