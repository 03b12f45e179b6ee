"""``spikeport doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from toolchain import files
from toolchain.cli.options import force_option, json_option
from toolchain.cli.printing import table, write_json
from toolchain.deploy import doctor


@click.command()
@json_option
@force_option
def command(json_file: Path | None, force: bool) -> None:
    """Show what is installed, what each target needs, and what is missing.

    \b
    Example:
      spikeport doctor
    """
    files.claim([json_file], force)
    facts = doctor.examine()
    click.echo(f"Python {facts['python']} on {facts['platform']}\n")
    click.echo(
        table(
            ("package", "version", "for"),
            [(p["name"], p["version"] or "missing", p["for"]) for p in facts["packages"]],
        )
    )

    for name, key in (("Lava", "lava"), ("lava-dl", "lava_dl")):
        installed = facts["lava"][key]
        if installed["python"]:
            versions = ", ".join(f"{package} {at}" for package, at in installed["versions"].items())
            click.echo(f"\n{name}: {installed['python']} ({versions})")

    click.echo(
        "\n"
        + table(
            ("target", "state", "needs"),
            [
                (t["name"], "ready" if t["ready"] else "missing", t["needs"])
                for t in facts["targets"]
            ],
        )
    )

    for target in facts["targets"]:
        if target["missing"]:
            click.echo(f"\n{target['name']}: {target['missing']}")

    write_json(json_file, "doctor", facts, force)
