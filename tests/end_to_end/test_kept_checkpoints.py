"""The trained networks that are kept in the repository: whole, small, and the same on every
target."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from toolchain.cli import run
from toolchain.robustness import sweep

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "checkpoints"
KEPT = sorted(FOLDER.glob("*.safetensors"))
DIGITS = sorted(FOLDER.glob("digits-*-0.safetensors"))
NO_PROGRAM = "digits-ann"


def test_their_hashes_are_those_that_were_measured():
    lines = dict(
        reversed(line.split()) for line in (FOLDER / "SHA256SUMS").read_text().splitlines()
    )
    assert lines == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in KEPT}
    assert len(KEPT) >= 3 * 15
    assert max(path.stat().st_size for path in KEPT) < 2e6


@pytest.mark.parametrize("name", ["defences", "cifar10-defences"])
def test_the_kept_results_are_of_the_networks_that_the_sweep_names(name):
    root = FOLDER.parents[1]
    models = sweep.load(root / "examples" / "robustness" / f"{name}.toml").models
    kept = {path.name for path in KEPT}
    assert {
        Path(m.source).name.replace("{seed}", str(seed)) for m in models for seed in m.seeds
    } <= kept
    text = (root / "docs" / "results" / f"{name}.md").read_text()
    for part in text.split("\n| method |")[1:3]:  # results, and what each kind of attack sees
        rows = [
            line.split("|")[1].strip() for line in part.splitlines()[2:] if line.startswith("| ")
        ]
        assert set(rows) >= {m.name for m in models}


@pytest.mark.parametrize(
    "path", [p for p in DIGITS if not p.stem.startswith(NO_PROGRAM)], ids=lambda p: p.stem
)
def test_software_and_integers_agree(path, capsys):
    assert (
        run(
            [
                "compare",
                str(path),
                "--data",
                "digits",
                "--samples",
                "8",
                "--targets",
                "software,fast",
            ]
        )
        == 0
    )
    assert "\nidentical" in capsys.readouterr().out


def test_software_and_integers_agree_on_cifar10(shared_data, monkeypatch):
    monkeypatch.setenv("SPIKEPORT_DATA", str(shared_data))
    path = FOLDER / "cifar10-small-0.safetensors"
    assert (
        run(
            [
                "compare",
                str(path),
                "--data",
                "cifar10",
                "--samples",
                "4",
                "--targets",
                "software,fast",
            ]
        )
        == 0
    )


@pytest.mark.lava
@pytest.mark.parametrize(
    "name",
    [
        "digits-tgo-0",
        "digits-tgo-noise-on-0",
        "digits-mlf-0",
        "digits-poisson-0",
        "digits-purifier-0",
    ],
)
def test_lava_agrees(name):
    path = FOLDER / f"{name}.safetensors"
    assert (
        run(
            [
                "compare",
                str(path),
                "--data",
                "digits",
                "--samples",
                "2",
                "--targets",
                "software,lava",
            ]
        )
        == 0
    )


def test_a_network_without_a_program_is_refused_by_name(capsys):
    ann = str(FOLDER / "digits-ann-0.safetensors")
    assert (
        run(["compare", ann, "--data", "digits", "--samples", "2", "--targets", "software,fast"])
        == 2
    )
    assert "spiking" in capsys.readouterr().err
