"""Networks that are random, and networks with something before them: plans, scores, and what the
report makes of them."""

import numpy as np
import pytest
import torch

from tests.toolchain.robustness.test_models import job, scored
from toolchain.attacks.base import NotApplicable, Threat
from toolchain.attacks.batteries import battery
from toolchain.attacks.registry import AttackSpec, run
from toolchain.defences.threshold_guarding import near_threshold_of
from toolchain.report.analysis import analyse
from toolchain.report.further import detector, near_threshold
from toolchain.robustness import cells, flags, planning, sweep
from toolchain.robustness.models import open_model

PGD = {"attack": "pgd", "params": {"steps": 5}, "estimator": {"name": "atan", "params": {}}}


def described(**changes):
    values = {
        "data": {"name": "digits", "samples": 20, "inference_seeds": [0, 1, 2]},
        "models": [{"name": "x", "source": "a:b"}],
        "attacks": {"preset": "quick", "epsilons": [0.2]},
        "targets": {"names": ["software", "fast"]},
    }
    return sweep.parse(values | changes, "sweep")


@pytest.mark.parametrize("name", ["poisson", "noisy"])
def test_a_random_network_is_attacked_with_eot_and_scored_with_every_inference_seed(
    own_layers, digits, name
):
    model = own_layers[name]
    plan = planning.plan(described(), [model], digits)
    made = [j.spec for j in plan.jobs if j.spec is not None]
    assert all((s.eot, s.known_seed) in ((4, None), (1, 0)) for s in made)
    assert {s.known_seed for s in made} == {None, 0}
    assert [(s.target, s.seed) for s in plan.scores(plan.jobs[0])] == [
        (t, k) for t in ("software", "fast") for k in (0, 1, 2)
    ]
    crafted = job(model, digits)
    arrays = cells.craft(crafted, digits)
    margins = {}
    for seed in (0, 1, 2):
        software, fast = (scored(crafted, t, digits, arrays, seed) for t in ("software", "fast"))
        assert np.array_equal(software.margin, fast.margin)
        assert np.array_equal(software.activity["syn_ops"], fast.activity["syn_ops"])
        margins[seed] = fast.margin
    assert not np.array_equal(margins[0], margins[1])
    assert not np.array_equal(margins[1], margins[2])


def test_an_adversary_who_knows_the_seed_of_the_noise_is_in_the_battery_and_has_a_column_of_its_own(
    own_layers, digits
):
    standard = described(
        attacks={"preset": "standard", "epsilons": [0.2]},
        data={"name": "digits", "samples": 20, "inference_seeds": [4, 5]},
    )
    seeds = {}
    for name in ("noisy", "poisson"):
        specs = [
            j.spec
            for j in planning.plan(standard, [own_layers[name]], digits).jobs
            if j.spec is not None
        ]
        seeds[name] = {spec.known_seed for spec in specs}
    assert seeds == {"noisy": {None, 4}, "poisson": {None, 4}}
    model, records = own_layers["noisy"], []
    for spec in (None, AttackSpec(**PGD, eot=2), AttackSpec(**PGD, known_seed=4)):
        crafted = job(model, digits, spec)
        records.append(scored(crafted, "software", digits, cells.craft(crafted, digits), 4))
    (worst,) = analyse(records, {}).models[0].targets[0].worst
    assert worst.kinds["other gradients"].value == records[1].accuracy
    assert worst.kinds["knows the seed"].value == records[2].accuracy
    assert not list(flags.randomness_without_eot(flags.Evidence(records, 10, [])))
    single = scored(
        job(model, digits, AttackSpec(**PGD)),
        "software",
        digits,
        cells.craft(job(model, digits, AttackSpec(**PGD)), digits),
        4,
    )
    # beside the others it accuses nobody; alone it does
    assert not list(flags.randomness_without_eot(flags.Evidence([*records, single], 10, [])))
    assert list(flags.randomness_without_eot(flags.Evidence([records[0], single], 10, [])))


def test_the_report_shows_the_spread_over_inference_seeds(own_layers, digits):
    model, records = own_layers["poisson"], []
    for crafted in (job(model, digits), job(model, digits, AttackSpec(**PGD, eot=2))):
        arrays = cells.craft(crafted, digits)
        records += [
            scored(crafted, target, digits, arrays, seed)
            for target in ("software", "fast")
            for seed in (0, 1, 2)
        ]
    entry = analyse(records, {}).models[0].targets[1]
    clean = [
        r.accuracy
        for r in records
        if r.description["target"] == "fast" and r.description["family"] == "clean"
    ]
    assert entry.clean.value == clean[0]
    assert entry.inference[0].each == tuple(clean)
    assert entry.inference[0].mean == pytest.approx(np.mean(clean))
    assert [row.epsilon for row in entry.inference] == [0.0, 0.2]


def test_noise_of_the_program_is_that_of_the_layers(own_layers):
    opened = open_model(own_layers["noisy"])
    assert opened.stochastic
    seeds = [
        {
            p.noise.seed
            for p in opened.reseeded(opened.program, k).populations
            if p.noise is not None
        }
        for k in (3, 4)
    ]
    assert seeds[0] != seeds[1]
    assert (
        opened.reseeded(opened.program, 3).fingerprint
        == opened.reseeded(opened.program, 3).fingerprint
    )


def test_the_battery_of_a_fronted_network_holds_every_way_around_it(own_layers, digits):
    plan = planning.plan(described(), [own_layers["smoothed"]], digits)
    fronts = {j.spec.front for j in plan.jobs if j.spec is not None}
    assert fronts == {"through", "skip", "bpda", "detector"}
    assert {s.front for s in battery("standard", "linf")} == {"through"}


def test_a_front_is_part_of_what_is_scored_and_attacked(own_layers, digits):
    model = own_layers["smoothed"]
    opened = open_model(model)
    front = opened.front
    threat, found = Threat("linf", 0.1), {}
    for how in ("through", "bpda", "skip", "detector"):
        spec = AttackSpec(**{**PGD, "params": {"steps": 15}}, front=how)
        crafted = job(model, digits, spec, epsilon=threat.epsilon)
        arrays = cells.craft(crafted, digits)
        record = scored(crafted, "fast", digits, arrays)
        assert np.array_equal(record.correct, scored(crafted, "software", digits, arrays).correct)
        assert np.array_equal(
            record.prediction, opened.victim().predict(arrays["adversarial"]).argmax(axis=1)
        )
        found[how] = record.accuracy, arrays["adversarial"]
    # an attack on the network alone is tried on the whole, so one that sees the whole does better
    assert found["through"][0] < found["skip"][0]
    # the detector-aware attack keeps below the threshold more often
    caught = {
        how: float((front.distance(torch.from_numpy(x)) > front.gate.threshold).float().mean())
        for how, (_, x) in found.items()
    }
    assert caught["detector"] < caught["through"]
    with pytest.raises(NotApplicable, match="nothing stands before the network"):
        run(
            AttackSpec(**PGD),
            open_model(own_layers["noisy"]).victim("bpda"),
            digits.samples[:2],
            digits.labels[:2],
            threat,
        )


def test_as_usually_published_stands_beside_the_worst_case(own_layers, digits):
    model, records = own_layers["smoothed"], []
    usual = {
        "attack": "pgd",
        "params": {"steps": 10},
        "estimator": {"name": "training", "params": {}},
    }
    specs = [
        None,
        AttackSpec(**usual, front="skip"),
        AttackSpec(**usual),
        AttackSpec(**usual, front="bpda"),
    ]
    for spec in specs:
        crafted = job(model, digits, spec, epsilon=0.05)
        records.append(scored(crafted, "fast", digits, cells.craft(crafted, digits)))
    row = analyse(records, {}).models[0].targets[0].worst[0]
    assert row.published_attacks == ("pgd 10 · training · skip",)
    assert row.published.value == records[1].accuracy
    assert row.share.value < row.published.value
    assert row.flattered.value == pytest.approx(row.published.value - row.share.value)


def test_spiking_parts_of_a_front_are_counted(own_layers, digits):
    model = own_layers["purified"]
    crafted = job(model, digits)
    record = scored(crafted, "fast", digits, cells.craft(crafted, digits))
    bare = job(own_layers["noisy"], digits)
    alone = scored(bare, "fast", digits, cells.craft(bare, digits))
    assert record.layers[-4:] != alone.layers
    assert {name.split(".")[1] for name in record.layers if name.startswith("front.")} == {
        "noise",
        "reconstruction",
    }
    parts = [column for column, name in enumerate(record.layers) if name.startswith("front.")]
    assert record.activity["syn_ops"][:, parts].sum() > 0
    assert (
        record.energy["loihi-davies2018"]["dynamic_j"].mean()
        > alone.energy["loihi-davies2018"]["dynamic_j"].mean()
    )
    assert np.array_equal(
        record.margin, scored(crafted, "software", digits, cells.craft(crafted, digits)).margin
    )


def test_a_clean_score_in_software_says_how_many_potentials_are_near_their_threshold(
    own_layers, float_model, digits
):
    crafted = job(own_layers["poisson"], digits)
    arrays = cells.craft(crafted, digits)
    found = scored(crafted, "software", digits, arrays).description["near_threshold"]
    assert scored(crafted, "fast", digits, arrays).description["near_threshold"] is None
    opened = open_model(own_layers["poisson"])
    inputs = opened.classifier().encoder(torch.from_numpy(digits.samples), 0)
    own = near_threshold_of(opened.module, inputs, found["within"])  # all thresholds are 1 V
    assert (found["share"], found["layers"]) == (own.share, own.layers)
    assert 0 < found["share"] < 1
    # one row for all layers, one for each
    records = [scored(crafted, target, digits, arrays) for target in ("software", "fast")]
    table = near_threshold(analyse(records, {}))
    assert [row["share"] for row in table.rows] == [own.share, *own.layers.values()]
    # snnTorch's neurons show no potential before the reset
    crafted = job(float_model, digits)
    assert (
        scored(crafted, "software", digits, cells.craft(crafted, digits)).description[
            "near_threshold"
        ]
        is None
    )


def test_the_report_says_what_the_detector_catches_and_how_well_it_tells(own_layers, digits):
    model = own_layers["smoothed"]
    crafted = [job(model, digits), job(model, digits, AttackSpec(**PGD, front="skip"))]
    made = [cells.craft(one, digits) for one in crafted]
    records = [
        scored(one, target, digits, arrays)
        for one, arrays in zip(crafted, made)
        for target in ("software", "fast")
    ]
    front = open_model(model).front
    clean, attacked = (
        front.distance(torch.from_numpy(arrays["adversarial"])).double().numpy() for arrays in made
    )
    assert np.array_equal(records[0].detector, clean)
    assert records[1].detector is None  # on fast: the same
    threshold = float(front.gate.threshold)
    rows = analyse(records, {}).models[0].targets[0].detector
    assert rows[0].caught.value == (clean > threshold).mean()
    assert rows[1].caught.value == (attacked > threshold).mean()
    pairs = np.sign(attacked[:, None] - clean[None])
    assert rows[1].auc == pytest.approx(((pairs + 1) / 2).mean())
    assert rows[0].auc is None
    assert [row["attack"] for row in detector(analyse(records, {})).rows] == [
        "clean",
        records[2].description["name"],
    ]
    crafted = job(own_layers["noisy"], digits)
    assert scored(crafted, "software", digits, cells.craft(crafted, digits)).detector is None
