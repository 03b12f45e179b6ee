"""The main job through the command line: train, export, check, run, compare; and the demo that does
all of it."""

from __future__ import annotations

import dataclasses
import json
import re
from html.parser import HTMLParser

import nir
import numpy as np
import pytest

from hardware import program_file, recording_file, targets
from hardware.lava import client, environment
from tests.docs import readme
from toolchain import demo, training
from toolchain.cli import run as command_line

RECIPE = """
[data]
name = "digits"
encoding = "direct"
steps = 4

[model]
name = "conv_digits"
readout = "max_potential"

[neuron]
beta = 0.9

[training]
epochs = 1
batch = 32
learning_rate = 0.01
samples = 192
seed = 5
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A checkpoint from a tiny training run, with what the command printed as JSON."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "tiny.toml").write_text(RECIPE)
    code = command_line(
        [
            "train",
            str(folder / "tiny.toml"),
            "-o",
            str(folder / "tiny.safetensors"),
            "--json",
            str(folder / "train.json"),
        ]
    )
    assert code == 0
    return folder / "tiny.safetensors"


def test_train_reports_what_it_did(trained, spikeport, tmp_path):
    facts = json.loads((trained.parent / "train.json").read_text())
    assert facts["test"]["samples"] == 364
    assert len(facts["history"]) == 1
    code, _, err = spikeport(
        "run", trained, "--data", "digits", "--target", "software", "--json", "run.json"
    )
    assert code == 0, err
    assert (
        json.loads((tmp_path / "run.json").read_text())["accuracy"]["correct"]
        == facts["test"]["correct"]
    )


def test_every_stage_is_the_same_program(trained, spikeport, tmp_path):
    assert spikeport("export", trained, "--dt", "1e-3", "-o", "a.nir")[0] == 0
    code, out, err = spikeport("export", "a.nir", "-o", "b.h5")
    assert code == 0, err
    assert "verdict: faithful" in out
    assert spikeport("export", trained, "-o", "c.h5")[0] == 0
    assert program_file.load("b.h5").fingerprint == program_file.load("c.h5").fingerprint
    assert type(nir.read("a.nir").nodes["lif1"]) in (nir.LIF, nir.CubaLIF)
    results = []
    for i, model in enumerate((trained, "a.nir", "b.h5")):
        code, _, err = spikeport(
            "run", model, "--data", "digits", "--samples", 50, "--json", f"{i}.json"
        )
        assert code == 0, err
        results.append(json.loads((tmp_path / f"{i}.json").read_text()))
    for name in ("accuracy", "layers", "program"):
        assert results[0][name] == results[1][name] == results[2][name]


def test_software_reference_and_fast_agree_in_everything(trained, spikeport):
    code, out, err = spikeport(
        "compare",
        trained,
        "--data",
        "digits",
        "--samples",
        20,
        "--targets",
        "software,reference,fast",
    )
    assert code == 0, out + err
    assert out.rstrip().endswith("identical")


@pytest.mark.lava
def test_lava_agrees_in_everything(trained, spikeport, tmp_path):
    code, out, err = spikeport(
        "compare",
        trained,
        "--data",
        "digits",
        "--samples",
        20,
        "--targets",
        "software,lava",
        "--json",
        "c.json",
    )
    assert code == 0, out + err
    layers = json.loads((tmp_path / "c.json").read_text())["comparisons"][0]["layers"]
    assert all(layer["potentials"] for layer in layers if layer["layer"] != "input")


def test_saved_recordings_of_two_targets_are_equal(trained, spikeport):
    for target in ("software", "fast"):
        code, _, err = spikeport(
            "run",
            trained,
            "--data",
            "digits",
            "--samples",
            6,
            "--target",
            target,
            "--save",
            f"{target}.h5",
            "--potentials",
        )
        assert code == 0, err
    one, other = (recording_file.load(f"{target}.h5") for target in ("software", "fast"))
    for quantity in ("spikes", "potentials"):
        assert getattr(one, quantity).keys() == getattr(other, quantity).keys()
        for layer, values in getattr(one, quantity).items():
            assert np.array_equal(values, getattr(other, quantity)[layer])


def test_check_says_whether_it_fits(trained, spikeport, tmp_path):
    code, out, err = spikeport("check", trained, "--chip", "loihi2", "--json", "check.json")
    assert code == 0, err
    assert "fits Intel Loihi 2" in out
    report = json.loads((tmp_path / "check.json").read_text())
    assert report["fits"]
    assert [layer["population"] for layer in report["layers"]] == ["lif1", "lif3", "readout"]


def test_check_fails_with_the_rule_by_name(spikeport, tmp_path, monkeypatch):
    program = program_of_soft_reset()
    program_file.save(program, tmp_path / "soft.h5")
    code, out, _ = spikeport("check", "soft.h5")
    assert code == 1
    assert "subtractive_reset_needs_microcode" in out
    assert "DOES NOT FIT" in out
    assert spikeport("check", "soft.h5", "--allow-microcode")[0] == 0


def program_of_soft_reset():
    """A Program that Loihi 2's own neuron cannot run."""
    from hardware import Dense, Input, Output, Population, Program

    return Program(
        inputs=(Input("in", (2,)),),
        populations=(Population("out", (2,), threshold=100, reset="subtract"),),
        projections=(Dense("a", "in", "out", np.full((2, 2), 10)),),
        outputs=(Output("out"),),
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ('steps = 4|steps = "four"', ["steps", "four"]),
        ("steps = 4|stepz = 4", ["stepz", "nearest is 'steps'"]),
        ("digits|letters", ["letters", "digits"]),
        ("[data]|[data", ["TOML"]),
    ],
)
def test_recipes_that_cannot_be_used(refused, tmp_path, change, words):
    old, new = change.split("|")
    (tmp_path / "bad.toml").write_text(RECIPE.replace(old, new, 1))
    refused("train", "bad.toml", "-o", "out.safetensors", words=words)


def test_train_refuses_an_existing_checkpoint_before_any_work(refused, tmp_path, monkeypatch):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    (tmp_path / "tiny.safetensors").write_text("old")
    monkeypatch.setattr(
        training, "train", lambda *a, **k: pytest.fail("trained before the output was checked")
    )
    refused("train", "tiny.toml", words=["tiny.safetensors", "--force"])


def test_weights_of_a_checkpoint_that_are_no_numbers(refused, trained, tmp_path):
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file

    with safe_open(trained, "np") as file:
        metadata = file.metadata()
    tensors = load_file(trained)
    tensors["conv1.weight"][0] = np.nan
    save_file(tensors, tmp_path / "nan.safetensors", metadata)
    refused(
        "export",
        "nan.safetensors",
        "-o",
        "out.h5",
        words=["nan.safetensors", "conv1.weight", "NaN"],
    )


@pytest.fixture
def quick_demo(monkeypatch, tmp_path):
    """The demo with one epoch of training, in an empty folder."""
    read = training.read_config

    def quick(path):
        config = read(path)
        return dataclasses.replace(
            config, training=dataclasses.replace(config.training, epochs=1, samples=192)
        )

    monkeypatch.setattr(training, "read_config", quick)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def no_lava_needed(monkeypatch):
    """The reference in Lava's place, for tests of what the demo does with its answers."""

    def stand_in(program, inputs, options, backend):
        options.details["lava"] = "none"
        return targets._reference(program, inputs, options)

    monkeypatch.setattr(client, "run_chunks", stand_in)
    monkeypatch.setattr(environment, "interpreter", lambda *a: None)


class _Page(HTMLParser):
    """Collects what a page refers to, and checks that elements are closed in order."""

    VOID = ("meta", "link", "br", "rect", "circle", "path", "polyline")

    def __init__(self, text: str):
        super().__init__()
        self.open, self.ids, self.references, self.links, self.words = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name == "aria-labelledby":
                self.references += value.split()
            if name in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.words.append(data)


def check_page(text: str, facts: dict) -> None:
    """Well-formed, self-contained, accessible, and with the numbers of demo.json."""
    page = _Page(text)
    assert not page.open
    assert len(set(page.ids)) == len(page.ids)
    assert set(page.references) <= set(page.ids)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"https?://|@import|url\(http", text)
    assert text.count("<script") == 1  # the house's; the page's policy lets no other run
    words = " ".join(page.words)
    assert f"{100 * facts['accuracy']['share']:.1f} %" in words
    for comparison in facts["comparisons"]:
        assert f"{comparison['potentials']:,}" in words
    for layer in facts["layers"]:
        assert layer["name"] in words
    assert text.count("<figure>") == text.count("<figcaption>") == 4
    assert text.count("<svg") == text.count('role="img"') == 5


def test_demo_that_trained_too_little_fails_and_says_so(
    quick_demo, no_lava_needed, spikeport, tmp_path
):
    code, out, _ = spikeport("demo", "--out", "d", "--seed", 3, "--json", "copy.json")
    facts = json.loads((tmp_path / "d" / "demo.json").read_text())
    assert facts["identical"]
    assert facts["accuracy"]["share"] < 0.96
    assert code == 1
    assert "FAILED" in out
    readme.check(out.splitlines())
    assert json.loads((tmp_path / "copy.json").read_text()) == facts
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == sorted(demo.FILES)
    assert "seed = 3" in (tmp_path / "d" / "digits.toml").read_text()
    check_page((tmp_path / "d" / "index.html").read_text(), facts)


def test_demo_shows_a_difference(quick_demo, no_lava_needed, spikeport, tmp_path, monkeypatch):
    def wrong(program, inputs, options, backend):
        options.details["lava"] = "none"
        for chunk in targets._reference(program, inputs, options):
            chunk.potentials["lif3"][0, 2, 5, 1, 1] += 1
            yield chunk

    monkeypatch.setattr(client, "run_chunks", wrong)
    assert spikeport("demo", "--out", "d")[0] == 1
    facts = json.loads((tmp_path / "d" / "demo.json").read_text())
    assert not facts["identical"]
    lava = facts["comparisons"][-1]
    assert (lava["spike_differences"], lava["potential_differences"]) == (0, 24)
    assert lava["first"]["layer"] == "lif3"
    text = (tmp_path / "d" / "index.html").read_text()
    assert "compared values differ" in text
    assert "is the same" not in text


def test_demo_refuses_to_replace_and_wants_lava_before_the_training(refused, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *a, **k: pytest.fail("trained first"))
    with monkeypatch.context() as patch:
        patch.setattr(environment, "interpreter", lambda *a: None)
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "index.html").write_text("mine")
        refused("demo", "--out", "d", words=["index.html", "--force"])
    monkeypatch.setenv("SPIKEPORT_LAVA_PYTHON", str(tmp_path / "none"))
    refused("demo", "--out", "e", words="SPIKEPORT_LAVA_PYTHON")
    assert not (tmp_path / "e").exists()


@pytest.mark.lava
@pytest.mark.slow
def test_demo_as_it_is(spikeport, tmp_path):
    code, out, err = spikeport("demo", "--out", "d")
    assert code == 0, out + err
    facts = json.loads((tmp_path / "d" / "demo.json").read_text())
    assert facts["passed"]
    assert facts["accuracy"]["share"] >= 0.96
    lava = facts["comparisons"][-1]
    assert lava["targets"] == ["software", "lava"]
    assert lava["samples"] >= 20
    check_page((tmp_path / "d" / "index.html").read_text(), facts)
