"""Known to be masked, from a sweep to the report: the flags say so. A network without a gradient,
and one whose integers hide the way."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from tests.toolchain import masked
from tests.toolchain.robustness import networks
from tests.toolchain.robustness.conftest import as_file
from tests.toolchain.robustness.test_models import job, scored
from toolchain import data as datasets
from toolchain.attacks.batteries import battery
from toolchain.attacks.registry import AttackSpec
from toolchain.report.gather import gather
from toolchain.report.run import load
from toolchain.robustness import bench, cells, sweep
from toolchain.robustness.cells import SweepData
from toolchain.robustness.flags import Evidence, check
from toolchain.robustness.models import Options

RELEVANT = (
    ("pgd", "training"),
    ("pgd", "atan"),
    ("apgd_dlr", "assg"),
    ("square", None),
    ("fgsm", "training"),
)
"""Of the preset standard: the plain attacks, and those that need no gradient of the network's
own."""


def given(spec):
    """As a sweep's file says it: without what is not said."""
    return {name: value for name, value in spec.to_json().items() if value is not None}


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """Of a run of that part of the preset on the masked network, as a report has them."""
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("masked")
    images, labels = load_digits(return_X_y=True)
    images = torch.from_numpy((images / 16).astype(np.float32)).reshape(-1, 1, 8, 8)
    save_file(
        masked.trained(images[:1200], torch.from_numpy(labels)[:1200]).state_dict(),
        folder / "masked.safetensors",
    )
    specs = [
        s
        for s in battery("standard", "linf")
        if (s.attack, s.estimator and s.estimator["name"]) in RELEVANT and s.tuning is None
    ]
    assert len(specs) == len(RELEVANT)
    specs = [
        replace(s, params={**s.params, "queries": 200}) if s.attack == "square" else s
        for s in specs
    ]
    values = {
        "data": {"samples": 40},
        "models": [
            {
                "name": "masked",
                "source": "tests.toolchain.masked:network",
                "weights": str(folder / "masked.safetensors"),
            }
        ],
        "attacks": {"list": [given(s) for s in specs], "epsilons": [0.2]},
    }
    bench.run(sweep.parse(values, "sweep"), folder / "run", workers=1)
    return gather(load(folder / "run"))[0]


def test_the_battery_breaks_what_plain_pgd_does_not_and_the_flags_say_so(facts):
    model = facts.models[0]
    assert all(compared.identical for compared in model.comparisons)
    for entry in model.targets:
        attacked = {row.name: row.attacked_accuracy.value for row in entry.attacks}
        worst, clean = entry.worst[0], entry.clean.value
        assert attacked["pgd 40 · training"] > clean - 0.2
        assert worst.published.value > clean - 0.25
        assert worst.share.value < clean - 0.6
        assert worst.flattered.low > 0.3
        flags = {flag.name: flag for flag in entry.flags}
        # the training surrogate hides the gradient; others of the same battery do not, so not all
        # are zero
        assert "other_gradients_beat_training_surrogate" in flags
        assert "zero_gradients" not in flags
        assert "other_gradients_beat_training_surrogate" in worst.flags
    assert "other_gradients_beat_training_surrogate" in model.answer.flags


@pytest.mark.parametrize(("factory", "masks"), [("hint", True), ("float_network", False)])
def test_integers_that_hide_the_way_are_flagged(float_model, factory, masks):
    """A search that does not accept ties stands on the plateaus of the integers."""
    found = datasets.load("digits", "test", samples=100)
    data = SweepData((found.values / 16).astype(np.float32), found.labels, np.arange(100))
    model = float_model
    if masks:
        options = Options(
            **{**networks.DESCRIBED, "steps": 4},
            calibration="digits",
            weight_bits=4,
            per_channel=True,
            decode="last_potential",
        )
        model = as_file("hint", "hint", networks.knowing(), options)
    square, records = AttackSpec("square", {"queries": 150, "ties": False}), []
    for on in ("software", "fast"):
        crafted = job(model, data, square, on=on)
        records.append(scored(crafted, "fast", data, cells.craft(crafted, data)))
    flags = {flag.name: flag for flag in check(Evidence(records, 10))}
    assert ("quantisation_masks" in flags) == masks
    if masks:
        assert records[1].accuracy > records[0].accuracy + 0.05
        assert "crafted on fast, leaves" in flags["quantisation_masks"].finding
