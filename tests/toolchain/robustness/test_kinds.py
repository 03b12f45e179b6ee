"""What an adversary may change goes with the kind of data, and a sweep that mixes them is refused
before anything runs."""

import copy

import numpy as np
import pytest
import torch

from hardware.populations import Input, Population
from hardware.program import Output, Program
from hardware.projections import Dense
from toolchain import training
from toolchain.attacks.base import AttackError, Threat
from toolchain.attacks.registry import AttackSpec
from toolchain.attacks.registry import run as attack
from toolchain.attacks.victims import EventVictim, ProgramVictim
from toolchain.errors import DataError
from toolchain.models import build
from toolchain.robustness import bench, sources
from toolchain.robustness.sweep import SweepError, load, parse

EVENTS = {
    "models": [
        {
            "name": "dvs",
            "source": "nowhere:net",
            "input_shape": [2, 34, 34],
            "call": "step",
            "dataset": "nmnist",
            "encoding": "events",
        }
    ],
    "attacks": {"preset": "quick", "norm": "flips", "epsilons": [2]},
}
IMAGES = {
    "models": [{"name": "grey", "recipe": "grey.toml"}],
    "attacks": {"preset": "quick", "epsilons": [0.1]},
}
TOML = {
    "events": 'models = [{name = "dvs", recipe = "dvs.toml"}]\n[attacks]\npreset = "quick"\nnorm = '
    '"linf"\nepsilons = [0.1]\n',
    "images": 'models = [{name = "grey", recipe = "grey.toml"}]\n[attacks]\npreset = "quick"\nnorm '
    '= "shift"\nepsilons = [1]\n',
}
RECIPES = {
    "dvs": '[data]\nname = "nmnist"\nencoding = "events"\nsteps = 4\n',
    "grey": '[data]\nname = "digits"\nsteps = 2\n',
}


@pytest.fixture
def folder(tmp_path):
    for name, text in RECIPES.items():
        (tmp_path / f"{name}.toml").write_text(text)
    for name, text in TOML.items():
        (tmp_path / f"{name}-sweep.toml").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (
            "events-sweep.toml",
            r"model 'dvs' reads events, and \[attacks\] norm is 'linf'; with events, norm must be "
            r"'flips' or 'shift'",
        ),
        (
            "images-sweep.toml",
            r"model 'grey' reads images, and \[attacks\] norm is 'shift'; with images, norm must "
            r"be 'linf' or 'l2'",
        ),
    ],
)
def test_a_recipe_says_its_kind_when_the_sweep_is_read(folder, sweep, message):
    with pytest.raises(SweepError, match=message):
        load(folder / sweep)


def test_flips_of_images_are_refused_by_their_kind_before_their_radius(folder):
    text = (folder / "images-sweep.toml").read_text().replace('"shift"', '"flips"')
    (folder / "flips.toml").write_text(text.replace("epsilons = [1]", "epsilons = [0.1]"))
    with pytest.raises(SweepError, match=r"'grey' reads images, and \[attacks\] norm is 'flips'"):
        load(folder / "flips.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["attacks"].update(norm="l2"), "'dvs' reads events, .*norm is 'l2'"),
        (
            lambda v: v.update(corruptions={"severities": [1]}),
            "'dvs' reads events; .corruptions. are of images",
        ),
        (
            lambda v: v.update(data={"name": "digits"}),
            "'dvs' reads events, .*'digits', which are images; .* one of nmnist",
        ),
    ],
)
def test_what_the_sweep_says_of_a_model_is_enough(tmp_path, change, message):
    values = copy.deepcopy(EVENTS)
    change(values)
    with pytest.raises(SweepError, match=message):
        bench.run(parse(values, "sweep", tmp_path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_says_its_kind(tmp_path):
    config = training.Config.from_table({"data": {"name": "digits", "steps": 2}})
    model = build(
        config.model,
        config.neuron,
        config.grid,
        config.surrogate,
        dataset="digits",
        encoding=config.data.encoder,
    )
    training.save_checkpoint(tmp_path / "grey.safetensors", model, config)
    text = TOML["images"].replace('recipe = "grey.toml"', 'source = "grey.safetensors"')
    (tmp_path / "sweep.toml").write_text(text)
    with pytest.raises(SweepError, match="'grey' reads images"):
        load(tmp_path / "sweep.toml")


def test_a_factory_that_describes_itself_is_asked_before_another_model_is_trained(
    folder, monkeypatch
):
    monkeypatch.setattr(sources, "models", lambda *a, **k: pytest.fail("a model was made ready"))
    values = copy.deepcopy(IMAGES)
    values["models"].append({"name": "own", "source": "own_events:net"})
    opened = type("Opened", (), {"events": True})()
    monkeypatch.setattr(sources, "open_model", lambda file: opened)
    with pytest.raises(SweepError, match="'own' reads events"):
        bench.run(parse(values, "sweep", folder), folder / "run")


@pytest.mark.parametrize(
    ("attacks", "message"),
    [
        (
            {"list": [{"attack": "fgsm", "estimator": {"name": "training"}}]},
            r"list, entry 1: 'fgsm' keeps to norm linf or l2, and norm is 'flips'",
        ),
        (
            {
                "list": [
                    {"attack": "event_noise"},
                    {"attack": "retiming", "estimator": {"name": "training"}},
                ]
            },
            r"list, entry 2: 'retiming' keeps to norm shift.*with it go event_noise, sparse_flips",
        ),
        (
            {
                "list": [
                    {
                        "attack": "cascade",
                        "params": {"stages": [{"attack": "event_noise"}, {"attack": "square"}]},
                    }
                ]
            },
            r"list, entry 1, stage 2: 'square' keeps to norm linf or l2, and norm is 'flips'",
        ),
        ({"preset": "quick", "energy": True}, "energy: 'sponge' keeps to norm linf or l2"),
        ({"list": [{"attack": "corruption", "params": {"name": "fog"}}]}, "a table of their own"),
        (
            {
                "list": [
                    {
                        "attack": "transfer",
                        "params": {"source": "x", "spec": {"attack": "event_noise"}},
                    }
                ]
            },
            "transfer = true",
        ),
    ],
)
def test_every_attack_keeps_to_the_threat(attacks, message):
    with pytest.raises(SweepError, match=message):
        parse({**EVENTS, "attacks": {"norm": "flips", "epsilons": [2], **attacks}}, "sweep")


def test_a_data_set_that_there_is_not():
    with pytest.raises(SweepError, match="name is 'digit'; it must be one of digits"):
        parse({**IMAGES, "data": {"name": "digit"}}, "sweep")


class Sums(torch.nn.Module):
    """Two classes from events [step, sample, 1, 1, 2]."""

    def spikeport_io(self):
        return {
            "input": {"shape": [1, 1, 2], "message_bits": 0, "fraction_bits": 0},
            "output": {"decode": "spike_count"},
            "call": "sequence",
        }

    def forward(self, x):
        return x.flatten(2)


def test_a_victim_of_events_refuses_pixels_and_the_other_way_round():
    victim = EventVictim(Sums(), 3)
    events, labels = np.zeros((2, 3, 1, 1, 2), np.uint8), np.zeros(2, np.int64)
    with pytest.raises(
        AttackError, match="reads events, and the threat is 'linf'; with events go flips, shift"
    ):
        attack(AttackSpec("noise"), victim, events, labels, Threat("linf", 0.1))
    with pytest.raises(AttackError, match="reads events, and the threat is 'corruption'"):
        attack(
            AttackSpec("corruption", {"name": "fog"}),
            victim,
            events,
            labels,
            Threat("corruption", 1),
        )
    assert (
        attack(
            AttackSpec("event_noise"), victim, events, labels, Threat("flips", 1)
        ).adversarial.dtype
        == np.uint8
    )


def test_fractions_of_events_reach_no_target():
    weights = Dense("in to out", "in", "out", np.full((2, 2), 2))
    program = Program(
        (Input("in", (1, 1, 2)),), (Population("out", (2,)),), (weights,), (Output("out"),)
    )
    victim = ProgramVictim(program, steps=2)
    events = np.zeros((1, *victim.sample_shape), np.float32)
    assert victim.predict(events).shape == (1, victim.classes)
    events.flat[0] = 0.5
    with pytest.raises(DataError, match=r"events for target fast: 0\.5 at \[0, 0"):
        victim.predict(events)
