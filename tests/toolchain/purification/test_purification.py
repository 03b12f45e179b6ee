"""The front: its Programs on every target, its checkpoint, its training, and the commands that take
it along."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from torch.nn import functional

from export import lower, read
from hardware import program_file
from toolchain import training
from toolchain.cli import run as command_line
from toolchain.data import load as load_data
from toolchain.deploy import fronts
from toolchain.errors import CheckpointError, ConfigError, DataError, LayerError, ModelError
from toolchain.models import Layer, Model, build
from toolchain.purification.detector import calibrate
from toolchain.purification.front import PARTS, Front, Reconstruction, attach
from toolchain.purification.settings import Purifier
from toolchain.training import Config, Data, Training, load_checkpoint, save_checkpoint
from toolchain.training.purifier import images_of

SMALL = Purifier(
    "classifier.safetensors",
    noise_width=4,
    channels=(4, 6),
    epsilon=0.15,
    epochs=2,
    samples=96,
    batch=16,
)


def front_of(settings: Purifier = SMALL, shape=(1, 8, 8), seed: int = 0) -> Front:
    """A front whose parts fire and whose gate lets some images pass."""
    torch.manual_seed(seed)
    front = Front(settings, shape).eval()
    with torch.no_grad():
        for name, parameter in front.named_parameters():
            if name.endswith("weight"):
                parameter.mul_(2.0)
        front.gate.threshold.fill_(float(front.distance(torch.from_numpy(images(shape))).median()))
    return front


def images(shape=(1, 8, 8), count: int = 6) -> np.ndarray:
    return np.random.default_rng(3).random((count, *shape)).astype(np.float32)


SHAPES = [((1, 8, 8), (4, 6)), ((3, 8, 8), (4, 3, 5)), ((1, 28, 28), (2, 3, 4)), ((2, 6, 6), (5,))]


@pytest.mark.parametrize(("shape", "channels"), SHAPES)
def test_modules_and_programs_give_the_same_images(shape, channels):
    front = front_of(replace(SMALL, channels=channels), shape)
    x = images(shape, 4)
    with torch.no_grad():
        expected = front(torch.from_numpy(x)).numpy()
    passed = (expected == x).all(axis=(1, 2, 3))
    assert passed.any()
    assert not passed.all()
    for target in ("fast", "software") if shape[1] > 8 else ("reference", "fast", "software"):
        found, recordings = fronts.run(front, x, target)
        assert np.array_equal(found, expected), target
        assert list(recordings) == list(PARTS)
    for part in PARTS:
        program, audit = front.programs()[part]
        assert audit.verdict == "faithful"
        recording = recordings[part]
        for name in program.order:
            assert not program.nodes[name].spiking or recording.counts["axon_out"][name].any(), name


@pytest.mark.parametrize(
    ("targets", "count"),
    [
        (["software", "reference", "fast"], 5),
        pytest.param(["software", "lava"], 2, marks=pytest.mark.lava),
    ],
)
def test_no_spike_and_no_potential_differs(targets, count):
    front = front_of()
    purified, found = fronts.compare(front, images(count=count), targets)
    assert all(agreement.identical for agreement in found.values())
    assert all(
        layer.potentials
        for a in found.values()
        for c in a.comparisons
        for layer in c.layers
        if layer.layer != "input"
    )
    assert np.array_equal(purified, front.run(images(count=count), "fast")[0])


def test_programs_follow_the_weights():
    front = front_of()
    before = front.programs()
    assert front.programs() is before
    with torch.no_grad():
        front.reconstruction.out.weight.mul_(1.5)
    assert (
        front.programs()["reconstruction"][0].fingerprint != before["reconstruction"][0].fingerprint
    )
    assert front.programs()["noise"][0].fingerprint == before["noise"][0].fingerprint


def test_going_up_is_a_transposed_convolution_with_its_kernel_as_stride():
    net = Reconstruction(replace(SMALL, channels=(3, 5)), (1, 8, 8))
    spikes = torch.randint(0, 2, (2, 5, 4, 4)).float()
    weight, _ = net.up0.quantised_weight()
    kernel = weight.reshape(3, 2, 2, 5).permute(3, 0, 1, 2)  # [in, out, row, column]
    assert torch.equal(
        net.unfold(net.up0(spikes[None])[0] - net.up0.quantised_bias()[:, None, None]),
        functional.conv_transpose2d(spikes, kernel, stride=2),
    )


def test_both_skip_and_bottom_reach_the_decoder():
    program = front_of().programs()["reconstruction"][0]
    assert sorted(p.source for p in program.into("decoder0")) == ["encoder0", "encoder1"]


def test_gradients_reach_the_image_through_both_networks():
    front = front_of()
    with torch.no_grad():
        front.gate.threshold.fill_(0.0)
    x = torch.from_numpy(images()).requires_grad_()
    front(x).sum().backward()
    through = x.grad.clone()
    assert through.isfinite().all()
    assert not torch.equal(through, torch.ones_like(through))
    assert front.noise.conv1.weight.grad.any()
    assert front.reconstruction.down0.weight.grad.any()


def test_the_plan_names_every_step_and_every_program():
    plan = front_of().plan()
    json.dumps(plan)
    assert [entry["step"] for entry in plan if entry["where"] == "chip"] == list(PARTS)
    assert {"detector", "gate", "residual", "noise map", "encode"} == {
        e["step"] for e in plan if e["where"] == "host"
    }
    assert all(entry["why"] for entry in plan)


def test_what_a_front_refuses():
    with pytest.raises(ConfigError, match="cannot be halved 2 times"):
        Front(replace(SMALL, channels=(2, 2, 2)), (1, 6, 6))
    with pytest.raises(LayerError, match="images of shape"):
        front_of()(torch.zeros(1, 1, 4, 4))
    with pytest.raises(ModelError, match="NaN"):
        front_of().run(np.full((1, 1, 8, 8), np.nan), "fast")


CONFIG = Config(
    data=Data(steps=4),
    model=Model(layers=(Layer("dense", features=24), Layer("dense", features=10))),
    training=Training(epochs=2),
)


def classifier(seed: int = 0):
    torch.manual_seed(seed)
    return build(
        CONFIG.model,
        CONFIG.neuron,
        CONFIG.grid,
        CONFIG.surrogate,
        dataset="digits",
        encoding=CONFIG.data.encoder,
    ).eval()


@pytest.fixture
def with_front(tmp_path):
    """(path, model) of a checkpoint with a front."""
    model = attach(classifier(), front_of())
    save_checkpoint(tmp_path / "p.safetensors", model, replace(CONFIG, purifier=SMALL))
    return tmp_path / "p.safetensors", model


def test_a_front_is_no_part_of_the_network():
    model = classifier()
    names, x = set(model.state_dict()), torch.randint(0, 17, (4, 2, 1, 8, 8)) / 16
    before = model(x)
    attach(model, front_of())
    assert set(model.state_dict()) == names
    assert torch.equal(model(x), before)
    with pytest.raises(ConfigError, match="front already"):
        attach(model, front_of())


def test_the_checkpoint_brings_both_back(with_front):
    path, model = with_front
    found, config = load_checkpoint(path)
    assert config.purifier == SMALL
    assert not found.front.training
    x = torch.from_numpy(images())
    with torch.no_grad():
        assert torch.equal(found.front(x), model.front(x))
    for name, tensor in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


def test_a_front_without_a_purifier_in_the_recipe_is_not_saved_and_neither_the_reverse(tmp_path):
    with pytest.raises(CheckpointError, match="front"):
        save_checkpoint(tmp_path / "a.safetensors", attach(classifier(), front_of()), CONFIG)
    with pytest.raises(CheckpointError, match="front"):
        save_checkpoint(tmp_path / "a.safetensors", classifier(), replace(CONFIG, purifier=SMALL))
    assert not list(tmp_path.iterdir())


def tampered(path, change_tensors=lambda t: None, change_table=lambda t: None) -> None:
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    described, tensors = json.loads(header["__metadata__"]["spikeport"]), load(content)
    change_tensors(tensors)
    change_table(described["config"])
    path.write_bytes(save(tensors, metadata={"spikeport": json.dumps(described)}))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"change_tensors": lambda t: t.pop("front.gate.threshold")},
            "lacks 'front.gate.threshold'",
        ),
        (
            {"change_tensors": lambda t: t.update({"front.extra": torch.zeros(1)})},
            "holds 'front.extra'",
        ),
        ({"change_tensors": lambda t: t["front.gate.threshold"].fill_(float("nan"))}, "NaN"),
        (
            {"change_tensors": lambda t: t.update({"front.gate.threshold": torch.zeros(3)})},
            "of shape",
        ),
        ({"change_table": lambda t: t.pop("purifier")}, "holds 'front."),
        ({"change_table": lambda t: t["purifier"].update(channels=[4, 6, 6, 6, 6])}, "channels"),
        (
            {
                "change_table": lambda t: (
                    t["purifier"].update(channels=[4, 6, 6, 6], noise_width=4)
                    or t["data"].update(name="mnist")
                )
            },
            "18,816 weights",
        ),
        ({"change_table": lambda t: t["purifier"].update(steps=10**9)}, "steps"),
        ({"change_table": lambda t: t["purifier"].update(surprise=1)}, "surprise"),
    ],
)
def test_hostile_checkpoints_are_refused(with_front, change, says):
    path, _ = with_front
    tampered(path, **change)
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(path)


def test_training_from_a_recipe_makes_a_front_before_the_unchanged_classifier(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    first = training.train(CONFIG)
    save_checkpoint("classifier.safetensors", first.model, CONFIG)
    (tmp_path / "p.toml").write_text(
        '[purifier]\nclassifier = "classifier.safetensors"\nnoise_width = 4\nchannels = [4, '
        "6]\nepsilon = 0.15\nepochs = 3\nsamples = 200\n"
    )
    assert command_line(["train", "p.toml", "-o", "out.safetensors", "--json", "out.json"]) == 0
    model, config = load_checkpoint("out.safetensors")
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert config.data == CONFIG.data
    assert config.purifier.classifier == "classifier.safetensors"
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["history"][-1]["loss"] < facts["history"][0]["loss"]
    assert facts["clean"]["undefended"] == pytest.approx(first.accuracy)
    assert facts["clean"]["front"] == pytest.approx(facts["test"]["share"])
    assert facts["fgsm"]["undefended"] < facts["clean"]["undefended"]
    clean = images_of(load_data("digits", "train", samples=200))
    with torch.no_grad():
        r = model.front.distance(clean).numpy()
    assert float(model.front.gate.threshold) == pytest.approx(calibrate(r, 0.95))
    assert np.mean(r <= float(model.front.gate.threshold)) >= 0.95
    again = training.train(training.read_config("p.toml"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(again.model.front.state_dict().values(), model.front.state_dict().values())
    )


def test_a_classifier_that_is_a_recipe_is_trained_first(tmp_path):
    (tmp_path / "c.toml").write_text(
        '[data]\nsteps = 4\n[model]\nlayers = [{ kind = "dense", features = 10 '
        "}]\n[training]\nepochs = 1\nsamples = 64\n"
    )
    (tmp_path / "p.toml").write_text(
        '[purifier]\nclassifier = "c.toml"\nnoise_width = 2\nnoise_layers = 2\nchannels = '
        "[2]\nepochs = 1\nsamples = 64\n"
    )
    found = training.train(training.read_config(tmp_path / "p.toml"))
    alone = training.train(training.read_config(tmp_path / "c.toml"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(found.model.state_dict().values(), alone.model.state_dict().values())
    )
    assert found.config.purifier.classifier == "c.toml"
    assert found.details["clean"]["undefended"] == pytest.approx(alone.accuracy)
    recipe = training.read_config(tmp_path / "p.toml")
    other = training.train(replace(recipe, training=replace(recipe.training, seed=3)))
    assert (other.config.training.seed, other.config.purifier.seed) == (3, 3)
    assert not torch.equal(next(other.model.parameters()), next(found.model.parameters()))
    assert not torch.equal(
        other.model.front.noise.conv1.weight, found.model.front.noise.conv1.weight
    )


def test_a_recipe_of_a_purifier_says_nothing_else(tmp_path):
    path = tmp_path / "p.toml"
    path.write_text('[purifier]\nclassifier = "c.safetensors"\n[neuron]\nbeta = 0.5\n')
    with pytest.raises(ConfigError, match="neuron beside purifier"):
        training.read_config(path)


def test_commands_take_the_front_along(with_front, tmp_path, monkeypatch, capsys):
    path, model = with_front
    monkeypatch.chdir(tmp_path)
    assert command_line(["export", str(path), "-o", "net.h5", "--json", "net.json"]) == 0
    facts = json.loads((tmp_path / "net.json").read_text())["front"]
    assert facts["plan"] == model.front.plan()
    for part in PARTS:
        assert (
            program_file.load(tmp_path / f"net.front.{part}.h5").fingerprint
            == facts["parts"][part]["program"]
        )
        assert facts["parts"][part]["audit"]["verdict"] == "faithful"
    assert "images pass a front" in capsys.readouterr().out
    (tmp_path / "net.h5").unlink()
    assert (
        command_line(["export", str(path), "-o", "net.h5"]) == 2
    )  # a part's file is there already
    assert not (tmp_path / "net.h5").exists()
    assert command_line(["export", str(path), "-o", "net.nir", "--dt", "1e-3"]) == 0
    lowered, _ = lower(read(tmp_path / "net.front.noise.nir"))
    assert np.array_equal(
        lowered.projections[0].weights, model.front.programs()["noise"][0].projections[0].weights
    )
    arguments = ["--data", "digits", "--samples", "12"]
    assert (
        command_line(["run", str(path), *arguments, "--json", "run.json", "--save", "rec.h5"]) == 0
    )
    found = json.loads((tmp_path / "run.json").read_text())
    assert set(found["front"]["parts"]) == set(PARTS)
    assert (tmp_path / "rec.front.noise.h5").exists()
    dataset = load_data("digits", "test", samples=12)
    with torch.no_grad():
        purified = model.front(images_of(dataset))
        scores = model.scores(torch.round(purified * 16).expand(4, *purified.shape) / 16)
    right = int((scores.argmax(1).numpy() == dataset.labels).sum())
    assert found["accuracy"]["correct"] == right
    assert (
        command_line(
            [
                "compare",
                str(path),
                *arguments,
                "--targets",
                "software,reference,fast",
                "--json",
                "same.json",
            ]
        )
        == 0
    )
    same = json.loads((tmp_path / "same.json").read_text())
    assert same["identical"]
    assert set(same["front"]["parts"]) == set(PARTS)
    assert command_line(["check", str(path), "--json", "check.json"]) == 0
    assert set(json.loads((tmp_path / "check.json").read_text())["front"]) == set(PARTS)


def test_a_front_takes_images_not_encoded_inputs(with_front, tmp_path):
    np.savez(tmp_path / "x.npz", inputs=np.zeros((1, 4, 1, 8, 8), np.int32))
    program = type(
        "Program", (), {"metadata": {"data": {"name": "digits", "encoding": "direct", "steps": 4}}}
    )()
    with pytest.raises(DataError, match="takes images"):
        fronts.images(program, str(tmp_path / "x.npz"))
    with pytest.raises(DataError, match="leave them out"):
        fronts.images(program, "digits", steps=3)
    with pytest.raises(DataError):
        fronts.images(program, "nmnist")
