"""What the report of a small made-up run writes, kept in ``golden/``: every table as CSV, and the
facts as JSON. Renewed by

    python -m tests.toolchain.report.golden

where a change of the output is meant; git shows what changed.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from tests.toolchain.report.synthetic import ATTACKS, MODELS, write_run
from toolchain.report import tables
from toolchain.report.facts import to_json
from toolchain.report.gather import gather
from toolchain.report.run import load

KEPT = Path(__file__).with_name("golden")
LONG = re.compile(r"\d+\.\d{10,}(?:e-?\d+)?")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+\+00:00")


def files(folder: Path) -> dict[str, str]:
    """Name → content of every file, from a run that is made in the folder.

    Two networks, of which the second differs on hardware; noise, a gradient attack and one on
    energy; two seeds. The facts are of the second network alone, since both have the same keys.
    """
    chosen = tuple(ATTACKS[number] for number in (0, 2, 5))
    write_run(
        folder / "run",
        MODELS[:2],
        targets={"software": 12, "lava": 4},
        epsilons=(0.1,),
        attacks=chosen,
    )
    facts, _ = gather(load(folder / "run"))
    paths = tables.write(facts, folder / "tables")
    found = {path.name: path.read_bytes().decode() for path in paths}

    plain = to_json(facts)
    plain["models"] = plain["models"][1:]
    plain["reported_by"] = "the version at hand"
    found["facts.json"] = json.dumps(plain, indent=0) + "\n"
    return {name: _steady(text) for name, text in found.items()}


def _steady(text: str) -> str:
    """Numbers to ten digits, because the last bits differ between processors and versions of
    SciPy; no times of day."""
    return LONG.sub(lambda number: f"{float(number[0]):.10g}", TIME.sub("a time", text))


def renew() -> None:
    """Write what the report writes now in place of what is kept."""
    KEPT.mkdir(exist_ok=True)
    for path in KEPT.iterdir():
        path.unlink()
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files(Path(folder)).items():
            (KEPT / name).write_bytes(text.encode())


if __name__ == "__main__":
    renew()
