"""Hooks of the documentation site: pages that are made from something else.

- ``tutorials/snntorch_to_loihi2.md`` from the notebook of that name, with the outputs it was saved
  with;
- ``reference/cli.md`` from the commands themselves;
- ``reference/keys.md`` from the dataclasses that TOML files fill.
"""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import keys
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebooks" / "snntorch_to_loihi2.ipynb"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    pages = {
        "tutorials/snntorch_to_loihi2.md": notebook_page(NOTEBOOK),
        "reference/cli.md": "\n\n".join(command_pages()),
        "reference/keys.md": "\n\n".join(keys.page()),
    }
    for address, content in pages.items():
        files.append(File.generated(config, address, content=content))
    return files


def notebook_page(path: Path) -> str:
    """A notebook as Markdown: its text, its code, and what the code printed."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts.extend(filter(None, map(_output, cell["outputs"])))
    return "\n\n".join(parts) + "\n"


def _output(output: dict) -> str:
    """What a cell printed or showed; "" for what is neither text nor a picture."""
    if output["output_type"] == "stream":
        text = "".join(output["text"])
        return f"```text\n{text.rstrip()}\n```" if output["name"] == "stdout" else ""
    data = output.get("data", {})
    if "image/png" in data:
        picture = "".join(data["image/png"]).replace("\n", "")
        return f'<img alt="What the cell above draws" src="data:image/png;base64,{picture}">'
    if "text/html" in data:
        return "".join(data["text/html"])
    return f"```text\n{''.join(data['text/plain'])}\n```" if "text/plain" in data else ""


def command_pages() -> Iterator[str]:
    """A section for each command: what it does, how it is called, its options."""
    from toolchain.cli import cli

    yield "# Command line"
    yield (
        "Every command has `--help`. Exit code 0: done, and the answer is yes; 1: done, and the "
        "answer is no (targets differ, a network does not fit the chip); 2: your input, in one "
        "line; 70: a fault of spikeport; 130: Ctrl-C."
    )
    context = click.Context(cli, info_name="spikeport")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        yield from _command(command, f"spikeport {name}", context, 2)


def _command(
    command: click.Command, title: str, parent: click.Context, level: int
) -> Iterator[str]:
    context = click.Context(command, parent, info_name=title.rsplit(" ", 1)[-1])
    yield f"{'#' * level} {title}"
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield _paragraph(paragraph)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"```text\n{title} {usage}\n```"
    rows = [record for p in command.get_params(context) if (record := p.get_help_record(context))]
    if rows:
        lines = [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in rows]
        yield "\n".join(["| Option | Meaning |", "|---|---|", *lines])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, f"{title} {name}", context, level + 1)


def _paragraph(text: str) -> str:
    """Click's own mark for text that is not to be wrapped begins an example."""
    if not text.startswith("\b"):
        return _plain(text)
    lines = text.lstrip("\b\n").split("\n")
    return f"{lines[0]}\n\n```text\n{textwrap.dedent(chr(10).join(lines[1:]))}\n```"


def _plain(text: str) -> str:
    return text.replace("*", "\\*").replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
