"""Runs a page of the documentation: its code blocks in turn, in one empty folder.

    ```python                  is executed; all blocks of a page share their names
    ```toml title="a.toml"     is written to that file
    ```console                 lines with "$ " are commands; the lines below are what they print

What a block prints must hold the lines that the page shows, in their order; other lines may stand
between them, and "…" in a shown line stands for anything. A command that does not end with exit
code 0 says so in a comment: ``$ spikeport check net.nir  # exit code 1``.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolchain.cli import run

FENCE = re.compile(
    r"^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$", re.M | re.S
)
EXIT_CODE = re.compile(r"\s+# exit code (\d+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its title ("" where it has none), its text, and its line in
    the page."""

    language: str
    title: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(match["language"], match["title"] or "", match["text"], line)


def execute(page: Path) -> None:
    """Run every block of a page in the working directory. Raises AssertionError where one does not
    do what the page says."""
    names: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for block in blocks(page):
        place = f"{page.name}, line {block.line}"
        if block.language == "python":
            printed = _python(block.text, f"{place}", names)
        elif block.language == "console":
            _console(block.text, place)
        elif block.language == "text":  # what the block before it prints
            expect(block.text.splitlines(), printed, place)
        elif block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text, encoding="utf-8")


def _python(source: str, place: str, names: dict[str, object]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, place, "exec"), names)
    return printed.getvalue()


def _console(text: str, place: str) -> None:
    joined = text.replace("\\\n", " ")
    for part in re.split(r"^\$ ", joined, flags=re.M)[1:]:
        command, *shown = part.splitlines()
        wanted = EXIT_CODE.search(command)
        program, *arguments = shlex.split(EXIT_CODE.sub("", command), comments=True)
        assert program == "spikeport", f"{place}: {command}: only spikeport's commands can be run"

        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = run(arguments)
        assert code == int(wanted[1] if wanted else 0), f"{place}: {command}: {printed.getvalue()}"
        expect(shown, printed.getvalue(), f"{place}: {command}")


def expect(shown: list[str], printed: str, place: str) -> None:
    """The lines of ``shown`` are among those of ``printed``, in this order."""
    lines = iter(line.rstrip() for line in printed.splitlines())
    for line in filter(str.strip, shown):
        pattern = ".*".join(map(re.escape, line.rstrip().split("…")))
        found = any(re.fullmatch(pattern, candidate) for candidate in lines)
        assert found, f"{place}: does not print\n{line}\nbut\n{printed}"
