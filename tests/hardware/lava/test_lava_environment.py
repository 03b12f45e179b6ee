"""Lava's interpreter: found in a stated order, made once, never used half-made. Nothing here needs
Lava or the network."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from hardware.lava import environment
from hardware.lava.errors import LavaEnvironmentError


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A machine without any Lava, whose environment would lie in this folder."""
    monkeypatch.delenv("SPIKEPORT_LAVA_PYTHON", raising=False)
    monkeypatch.setenv("SPIKEPORT_LAVA_ENV", str(tmp_path / "lava"))
    monkeypatch.setattr(environment, "_installed", lambda package: False)
    return tmp_path / "lava"


def program(path: Path, text: str = "exit 0") -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def complete(place: Path, lava_dl: bool = False) -> Path:
    """What a finished set-up leaves."""
    python = program(place / "bin" / "python")
    (place / "pyvenv.cfg").touch()
    (place / environment.MARKER).write_text(
        json.dumps({"requirements_sha256": environment._digest(lava_dl)})
    )
    return python


def test_without_lava_the_error_says_how_to_get_it(place):
    with pytest.raises(LavaEnvironmentError, match="spikeport lava setup"):
        environment.interpreter()
    with pytest.raises(LavaEnvironmentError, match="spikeport lava setup --lava-dl"):
        environment.interpreter(lava_dl=True)


def test_a_named_interpreter_goes_first(place, monkeypatch, tmp_path):
    complete(place)
    named = program(tmp_path / "mine")
    monkeypatch.setenv("SPIKEPORT_LAVA_PYTHON", str(named))
    assert environment.interpreter() == named


def test_a_named_interpreter_must_exist(place, monkeypatch, tmp_path):
    complete(place)
    monkeypatch.setenv("SPIKEPORT_LAVA_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(LavaEnvironmentError, match=r"SPIKEPORT_LAVA_PYTHON names .*nowhere"):
        environment.interpreter()


def test_set_up_refuses_a_named_interpreter_without_lava(place, monkeypatch, tmp_path):
    monkeypatch.setenv("SPIKEPORT_LAVA_PYTHON", str(program(tmp_path / "mine", "echo '{}'")))
    with pytest.raises(LavaEnvironmentError, match="has no lava-nc"):
        environment.setup(print)


def test_this_interpreter_goes_before_the_environment(place, monkeypatch):
    complete(place)
    monkeypatch.setattr(environment, "_installed", lambda package: package == "lava-nc")
    monkeypatch.setattr(environment, "PYTHON", sys.version_info[:2])
    assert environment.interpreter() == Path(sys.executable)
    with pytest.raises(LavaEnvironmentError):
        environment.interpreter(lava_dl=True)


def test_lava_dl_has_a_folder_of_its_own(place):
    assert environment.folder(lava_dl=True) == place.with_name("lava-dl")
    python = complete(place.with_name("lava-dl"), lava_dl=True)
    assert environment.interpreter(lava_dl=True) == python
    with pytest.raises(LavaEnvironmentError):
        environment.interpreter()


def test_the_default_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("SPIKEPORT_LAVA_ENV", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert environment.folder() == tmp_path / "spikeport" / "lava"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert environment.folder().parts[-4:] == (
        "Library",
        "Application Support",
        "spikeport",
        "lava",
    )


def test_a_half_made_or_outdated_environment_is_not_used(place):
    complete(place)
    assert environment.interpreter() == place / "bin" / "python"
    for marker in ("", "{", json.dumps({"requirements_sha256": "of an older version"})):
        (place / environment.MARKER).write_text(marker)
        with pytest.raises(LavaEnvironmentError):
            environment.interpreter()
    (place / environment.MARKER).unlink()
    with pytest.raises(LavaEnvironmentError):
        environment.interpreter()


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """Stands for the programs that a set-up calls; ``steps.fail`` names the one that fails."""

    class Steps(list):
        fail = None

        def __call__(self, command, failure):
            self.append(" ".join(map(str, command)))
            if "venv" in self[-1].split():
                target = Path(command[-1])
                program(target / "bin" / "python", 'echo \'{"lava-nc": "0.10.0"}\'')
                (target / "pyvenv.cfg").touch()
            if self.fail and self.fail in self[-1]:
                raise LavaEnvironmentError(failure)

    steps = Steps()
    monkeypatch.setattr(environment, "_run", steps)
    monkeypatch.setattr(environment, "find_python", lambda: tmp_path / "python3.10")
    return steps


def test_set_up_makes_installs_checks_and_marks(place, steps):
    lines = []
    assert environment.setup(lines.append) == place / "bin" / "python"
    assert [("-m venv" in s, "pip install" in s, "import lava" in s) for s in steps] == [
        (1, 0, 0),
        (0, 1, 0),
        (0, 0, 1),
    ]
    assert "requirements-lava.txt" in steps[1]
    assert json.loads((place / environment.MARKER).read_text())["versions"]["lava-nc"] == "0.10.0"
    assert environment.interpreter() == place / "bin" / "python"
    assert len(lines) == 3


def test_a_second_set_up_does_nothing(place, steps):
    environment.setup(print)
    steps.clear()
    assert environment.setup(print) == place / "bin" / "python"
    assert steps == []


def test_set_up_repairs_an_environment_that_lost_a_package(place, steps):
    environment.setup(print)
    steps.clear()
    program(
        place / "bin" / "python", "echo \"ModuleNotFoundError: No module named 'lava'\" >&2; exit 1"
    )
    assert (
        "No module named 'lava'): `spikeport lava setup` makes it anew"
        in environment.status()["lava"]["missing"]
    )

    lines = []
    assert environment.setup(lines.append) == place / "bin" / "python"
    assert "is damaged (ModuleNotFoundError: No module named 'lava'); it is made anew" in lines[0]
    assert len(steps) == 3
    assert environment.status()["lava"]["missing"] is None


def test_a_set_up_that_was_interrupted_is_named(place):
    place.mkdir()
    (place / environment.BEGUN).touch()
    missing = environment.status()["lava"]["missing"]
    assert "was not installed to its end" in missing
    assert "`spikeport lava setup` makes it anew" in missing


def test_a_set_up_that_fails_leaves_no_marker_and_the_next_starts_anew(place, steps):
    steps.fail = "pip install"
    with pytest.raises(LavaEnvironmentError, match="the installation failed"):
        environment.setup(print)
    assert not (place / environment.MARKER).exists()
    (place / "left over").touch()
    steps.fail = None
    environment.setup(print)
    assert not (place / "left over").exists()
    assert environment.interpreter()


def test_set_up_with_lava_dl_uses_its_own_requirements(place, steps):
    assert environment.setup(print, lava_dl=True) == place.with_name("lava-dl") / "bin" / "python"
    assert "requirements-lava-dl.txt" in steps[1]
    assert "lava.lib.dl.netx" in steps[2]


def test_a_folder_in_other_use_is_left_alone(place, steps):
    place.mkdir()
    (place / "thesis.tex").touch()
    with pytest.raises(LavaEnvironmentError, match="not empty"):
        environment.setup(print)
    assert (place / "thesis.tex").exists()


def test_an_environment_that_somebody_else_made_is_left_alone(place, steps):
    """SPIKEPORT_LAVA_ENV may name the very environment that somebody works in."""
    place.mkdir()
    (place / "pyvenv.cfg").touch()
    with pytest.raises(LavaEnvironmentError, match="not made by this program"):
        environment.setup(print)
    assert (place / "pyvenv.cfg").exists()


def test_a_place_that_cannot_be_written(place, steps, monkeypatch):
    place.parent.joinpath("file").touch()
    monkeypatch.setenv("SPIKEPORT_LAVA_ENV", str(place.parent / "file" / "lava"))
    with pytest.raises(LavaEnvironmentError, match="cannot be made"):
        environment.setup(print)


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without Python 3.10; programs can be put into the folder that is its PATH."""
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(environment.sys, "executable", "/nowhere")
    return tmp_path / "path"


def test_no_python_3_10(bare):
    with pytest.raises(
        LavaEnvironmentError, match=r"uv python install 3\.10.*pyenv install 3\.10.*conda create"
    ):
        environment.find_python()


def test_python_3_10_on_the_path(bare):
    found = program(bare / "python3.10")
    assert environment.find_python() == found


def test_a_python_3_10_that_cannot_make_environments_is_passed_over(bare):
    program(bare / "python3.10", "exit 1")
    found = program(bare.parent / "pyenv" / "versions" / "3.10.13" / "bin" / "python")
    assert environment.find_python() == found


def test_python_3_10_of_uv(bare):
    found = program(bare.parent / "of-uv" / "python")
    program(bare / "uv", f'[ "$*" = "python find 3.10" ] && echo {found}')
    assert environment.find_python() == found


def test_python_3_10_of_conda(bare):
    found = program(bare.parent / "conda" / "envs" / "old" / "bin" / "python3.10")
    listed = json.dumps(
        {"envs": [str(bare.parent / "conda"), str(bare.parent / "conda" / "envs" / "old")]}
    )
    program(bare / "conda", f"echo '{listed}'")
    assert environment.find_python() == found


def test_a_failing_step_shows_what_it_said():
    with pytest.raises(LavaEnvironmentError, match=r"it failed \(exit code 3\).*\n.*no space left"):
        environment._run(["sh", "-c", "echo no space left; exit 3"], "it failed")


def test_status_names_what_is_missing(place):
    complete(place)
    status = environment.status()
    assert status["lava"]["python"] == str(place / "bin" / "python")
    assert "no lava-nc" in status["lava"]["missing"], "the script that stands for it has none"
    assert "lava setup --lava-dl" in status["lava_dl"]["missing"]
    json.dumps(status)


@pytest.mark.parametrize("lava_dl", [False, True])
def test_requirements_are_pinned_and_name_no_address(lava_dl):
    lines = [
        line
        for line in environment._requirements(lava_dl).read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert "lava-nc==0.10.0" in lines
    assert ("lava-dl==0.6.0" in lines) == lava_dl
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", line) for line in lines)
