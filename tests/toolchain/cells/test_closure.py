"""What a result rests on is found from the source alone, and covers what was imported while it was
computed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.cells import closure, maker, source
from toolchain.cells.errors import CodeError
from toolchain.cells.source import ClosureError

ROOT = Path(__file__).parents[3]

COMPUTES = (
    "toolchain.robustness.cells",
    "toolchain.robustness.scoring",
    "toolchain.studies.attacking",
    "toolchain.studies.deploying",
)
"""Modules that compute cells."""


@pytest.fixture(scope="module")
def codes():
    return {entry: closure.of(entry) for entry in COMPUTES}


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A copy of our packages. A test that spoils a file mends it: to read them all anew takes
    seconds."""
    folder = tmp_path_factory.mktemp("packages")
    for name in closure.OURS:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(
    ("entry", "modules"),
    [
        (
            "toolchain.robustness.cells",
            "toolchain.training.loop toolchain.training.checkpoint toolchain.tables "
            "toolchain.files toolchain.deploy.stages "
            "toolchain.attacks.optimisers.square export.lower hardware.fast.kernels "
            "hardware.reference hardware.lava.worker "
            "hardware.lava.graph hardware.lava.processes.neurons hardware.lava.guardian",
        ),
        (
            "toolchain.robustness.scoring",
            "toolchain.deploy.software toolchain.deploy.execution hardware.energy "
            "hardware/devices/cmos-45nm.toml",
        ),
        (
            "toolchain.studies.deploying",
            "toolchain.deploy.software toolchain.training.loop toolchain.studies.flips "
            "hardware.targets export.lower",
        ),
        (
            "toolchain.studies.attacking",
            "toolchain.attacks.registry toolchain.training.checkpoint toolchain.data.encoders",
        ),
    ],
)
def test_a_file_that_changes_what_it_does_changes_the_digest(entry, modules, codes, packages):
    copied = closure.of(entry, root=packages)
    assert copied.digest == codes[entry].digest
    for name in modules.split():
        assert name in codes[entry].files
        path = copied.files[name]
        text = path.read_text()
        path.write_text(text + ("\n_ANOTHER = 1\n" if path.suffix == ".py" else "\n# another\n"))
        assert closure.Code(copied.files, ()).digest != copied.digest, name
        path.write_text(text)
    assert closure.Code(copied.files, ()).digest == copied.digest


@pytest.mark.parametrize(
    ("entry", "module", "old", "new"),
    [
        ("toolchain.studies.deploying", "toolchain.deploy.software", "return", "return None and"),
        ("toolchain.training.cell", "toolchain.training.run", "self.optimiser.step()", "pass"),
    ],
)
def test_what_once_left_a_stale_result_changes_the_digest(entry, module, old, new, packages):
    code = closure.of(entry, root=packages)
    before = code.digest
    text = code.files[module].read_text()
    assert old in text
    code.files[module].write_text(text.replace(old, new))
    assert closure.Code(code.files, ()).digest != before
    code.files[module].write_text(text)
    assert closure.Code(code.files, ()).digest == before


def test_what_only_shows_or_starts_is_no_part_of_it(codes):
    for code in codes.values():
        apart = [
            m
            for m in code.modules
            if m.startswith(
                ("toolchain.cli", "toolchain.report", "toolchain.demo", "toolchain.deploy.doctor")
            )
        ]
        assert not apart
        assert not code.modules & {
            "toolchain.cells.engine",
            "toolchain.cells.pool",
            "toolchain.cells.store",
            "toolchain.robustness.bench",
        }
        assert not any("distributed" in package for package in code.packages)
        assert {"numpy", "torch"} <= set(code.packages)


PROBE = """
import json, sys
sys.path.insert(0, {root!r})
from toolchain.robustness.models import ModelFile, sealed
from toolchain.robustness import cells, scoring
from toolchain.attacks.registry import AttackSpec
import numpy as np
from toolchain import data
found = data.load("digits", "test", samples=2)
given = cells.SweepData(found.images(), found.labels, np.arange(2))
model = sealed(ModelFile.read("a", {model!r}))
spec = AttackSpec("apgd_dlr", {{"steps": 2}}, {{"name": "assg", "params": {{}}}})
job = cells.CraftJob(model, given.key, spec, "linf", 0.1, 0, 2)
made = cells.craft(job, given)
scoring.score(cells.ScoreJob(job, "fast", 2), given, made)
scoring.score(cells.ScoreJob(job, "software", 2), given, made)
ours = [m for m in sys.modules if m.split(".")[0] in ("hardware", "export", "toolchain")]
print(json.dumps(ours))
"""


def test_every_module_of_ours_that_a_cell_imports_is_in_its_closure(codes):
    model = ROOT / "examples" / "checkpoints" / "digits-purifier-0.safetensors"
    script = PROBE.format(root=str(ROOT), model=str(model))
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr
    imported = set(json.loads(found.stdout))
    covered = (
        codes["toolchain.robustness.cells"].modules | codes["toolchain.robustness.scoring"].modules
    )
    assert len(imported) > 80
    assert imported <= covered, sorted(imported - covered)


def written(folder, **files):
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_users_modules_are_followed_wherever_they_are_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    written(
        tmp_path,
        own_nets__init="",
        own_nets__model="import json, numpy\nfrom . import parts\ndef net():\n    from own_weights "
        "import zero\n",
        own_nets__parts="import torch\nfrom toolchain import layers",
        own_weights="zero = 1",
        own_other="",
    )
    (tmp_path / "own_nets" / "init.py").rename(tmp_path / "own_nets" / "__init__.py")
    seen = []
    found = closure.of_user("own_nets.model")
    before = found.digest
    assert found.modules == {"own_nets", "own_nets.model", "own_nets.parts", "own_weights"}
    with monkeypatch.context() as patch:  # a key of a model is asked for hundreds of times
        patch.setattr(closure, "read", lambda path: seen.append(path) or source.read(path))
        assert closure.of_user("own_nets.model").modules == found.modules
    assert len(seen) == len(found.files)
    whole = closure.of("toolchain.errors", "own_nets.model")
    assert {"toolchain.layers.neuron", "own_weights"} <= whole.modules
    assert {"numpy", "torch"} <= set(whole.packages)
    assert not {"json", "own_other"} & {*whole.modules, *whole.packages}
    (tmp_path / "own_weights.py").write_text("zero = 0.0")
    assert closure.of_user("own_nets.model").digest != before


def test_words_do_not_count_and_everything_else_does(tmp_path):
    def meaning(text):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.py"
        path.write_text(text)
        return source.read(path).meaning

    plain = meaning('def f(a):\n    return a in {"b", "c"}, a + 1\n')
    assert (
        meaning(
            '"""Words."""\n\n\ndef f(a):  # why\n    """More."""\n    return (a in {"b",\n        '
            '"c"}, a + 1)\n'
        )
        == plain
    )
    for one, other in (
        ("+ 1", "+ 2"),
        ("+", "-"),
        ('"c"', '"d"'),
        ("a in", "a not in"),
        ("def f", "def g"),
    ):
        assert (
            meaning('def f(a):\n    return a in {"b", "c"}, a + 1\n'.replace(one, other)) != plain
        )
    with pytest.raises(ClosureError, match="no Python"):
        meaning("def f(:\n")


def test_imports_for_type_checkers_are_left_out_and_those_in_blocks_are_not(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import one\nelse:\n    import "
        "two\n"
        "try:\n    import three\nexcept ImportError:\n    import four\n"
        "class C:\n    def f(self):\n        with self:\n            from .. import five\n"
    )
    found = source.read(path).imports
    assert [name for _, name, _ in found] == ["typing", "two", "three", "four", ""]
    assert found[-1] == (2, "", ("five",))


def test_what_a_text_does_is_looked_at_only_where_the_text_is_another(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    written(tmp_path, own_work="x = 1")
    manifest = maker.Maker(closure.of_user("own_work")).manifest
    with monkeypatch.context() as patch:
        patch.setattr(maker, "read", lambda path: pytest.fail("the text is the same"))
        maker.require(manifest)
    written(tmp_path, own_work="# one, once more\nx = 1")
    maker.require(manifest)
    written(tmp_path, own_work="x = 2")
    with pytest.raises(CodeError, match=r"own_work .* is not what it was"):
        maker.require(manifest)


def test_an_entry_that_is_nowhere_is_an_error():
    with pytest.raises(
        ClosureError, match="'no_such_module', which computes a cell, cannot be found"
    ):
        closure.of("no_such_module")
