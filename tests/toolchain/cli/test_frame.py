"""The command line's frame: exit codes, one line for an error, help with an example for every
command."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import click
import pytest

import toolchain.cli
from hardware.errors import InputError
from hardware.lava import environment
from toolchain.cli import COMMANDS, printing, run
from toolchain.deploy import doctor
from toolchain.errors import DataError

LEAVES = [("lava", "setup") if name == "lava" else (name,) for name in COMMANDS]


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_command_has_help_with_an_example(path, capsys):
    assert run([*path, "--help"]) == 0
    text = capsys.readouterr().out
    assert re.search(rf"Example:\s+spikeport {' '.join(path)}", text)
    assert "--json" in text or path == ("schema",)  # which writes JSON and nothing else


@pytest.mark.parametrize(
    ("request_", "answer"),
    [("bash_source", "_spikeport_completion"), ("bash_complete", "plain,run")],
)
def test_the_shell_completes(request_, answer, monkeypatch, capsys):
    monkeypatch.setenv("_SPIKEPORT_COMPLETE", request_)
    monkeypatch.setenv("COMP_WORDS", "spikeport ru")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert run([]) == 0
    assert answer in capsys.readouterr().out


def test_overview_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys; from toolchain.cli import run; run(['--help']); "
        "print(sorted({'torch', 'numba', 'nir', 'h5py'} & set(sys.modules)))"
    )
    text = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    for name in COMMANDS:
        assert f"\n  {name} " in text
    assert text.rstrip().endswith("[]")


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["doctor", "--bogus"],
        ["doctor", "stray"],
        ["check"],
        ["lava", "bogus"],
        ["run", "--samples", "many", "x.h5"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, capsys):
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("spikeport: ")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["exprot"], "No such command 'exprot'. Did you mean 'export'?"),
        (["zzz"], "No such command 'zzz'."),
        (["run", "m", "--sampels", "3"], "No such option '--sampels'. (Did you mean one of:"),
        (
            ["study", "laek", "x"],
            "margin, networks. Did you mean 'leak'?",
        ),
        (["run", "m", "--samples", "x"], "--samples is 'x'; it must be a whole number from 1"),
        (["run", "m", "--samples", "0"], "--samples is '0'; it must be a whole number from 1"),
        (["run", "m", "--bits", "9"], "--bits is '9'; it must be a whole number from 1 to 8"),
        (["run", "m", "--dt", "nan"], "--dt is 'nan'; it must be a number above 0"),
        (["run", "m", "--spike-rate", "2"], "is '2'; it must be a number above 0 up to 1"),
        (["run", "m", "--input-shape", "2,a"], "--input-shape is '2,a'; it must be a shape, such"),
        (["check", "net:"], "there is no file 'net:'; the model must be a checkpoint"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_was_typed_wrong_is_named_with_what_it_must_be(arguments, said, capsys):
    assert run(arguments) == 2
    assert said in capsys.readouterr().err


@pytest.fixture
def failing(monkeypatch):
    """Makes ``spikeport doctor`` raise."""

    def install(error):
        @click.command()
        def command():
            raise error

        monkeypatch.setattr(toolchain.cli._Commands, "get_command", lambda self, ctx, name: command)

    return install


@pytest.mark.parametrize(
    "error",
    [
        InputError("first line\n  second line"),
        DataError("first line second line"),
        PermissionError(13, "first line second line", "x.h5"),
    ],
)
def test_expected_errors_are_one_line_and_exit_code_2(error, failing, capsys):
    failing(error)
    assert run(["doctor"]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert "first line second line" in text


def test_traceback_for_developers(failing, monkeypatch):
    failing(DataError("wrong"))
    monkeypatch.setenv(toolchain.cli.TRACEBACK, "1")
    with pytest.raises(DataError):
        run(["doctor"])


@pytest.mark.parametrize("error", [ZeroDivisionError("our fault"), OSError(5, "no path in it")])
def test_faults_of_our_own_are_told_apart(error, failing, capsys):
    failing(error)
    assert run(["doctor"]) == 70
    text = capsys.readouterr().err
    assert "Traceback" in text
    assert "fault of spikeport" in text


def test_interrupt(failing, capsys):
    failing(KeyboardInterrupt())
    assert run(["doctor"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_doctor_reports_and_refuses_an_existing_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SPIKEPORT_LAVA_PYTHON", str(tmp_path / "absent"))
    path = tmp_path / "doctor.json"
    assert run(["doctor", "--json", str(path)]) == 0
    facts = json.loads(path.read_text())
    assert facts["command"] == "doctor"
    targets = {t["name"]: t for t in facts["targets"]}
    assert targets["fast"]["ready"]
    assert not targets["lava"]["ready"]
    assert "absent" in targets["lava"]["missing"]
    assert "absent" in capsys.readouterr().out
    before = path.read_bytes()
    assert run(["doctor", "--json", str(path)]) == 2
    assert "--force" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert run(["doctor", "--json", str(path), "--force"]) == 0


@pytest.mark.parametrize("absent", [(), ("lava.proc.embedded_io",)])
def test_doctor_tells_whether_the_chip_can_be_reached(absent, monkeypatch):
    lava = {"python": "python3.10", "versions": {"lava-nc": "0.10.0"}, "missing": None}
    monkeypatch.setattr(environment, "status", lambda: {"lava": lava, "lava_dl": lava})
    monkeypatch.setattr(environment, "missing", lambda: None)
    monkeypatch.setattr(environment, "missing_back_end", lambda: absent)
    chip = next(t for t in doctor.examine()["targets"] if t["name"] == "loihi2")
    assert chip["ready"] == (not absent)
    assert all(name in chip["missing"] for name in absent)


@pytest.mark.lava
def test_missing_back_end_is_asked_of_the_right_interpreter():
    """This environment never has Intel's closed package; Lava's own modules are found there and not
    here."""
    assert environment.missing_back_end() == environment.CLOSED_MODULES


def test_output_that_nobody_reads_ends_quietly():
    process = subprocess.Popen(
        [sys.executable, "-m", "toolchain.cli", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""


def test_table_aligns_numbers_to_the_right():
    text = printing.table(("name", "count"), [("a", 5), ("bc", None)], right=(1,))
    assert text.splitlines() == ["name  count", "----  -----", "a         5", "bc        -"]
    assert printing.count(1234567) == "1,234,567"
    assert printing.count(2.25) == "2.2"
    assert [printing.seconds(s) for s in (1.234, 12.34, 180)] == ["1.23 s", "12.3 s", "3.0 min"]
