"""Every number by hand, on records small enough to count."""

import json
from dataclasses import replace

import numpy as np
import pytest

from toolchain.report import accuracy_tables
from toolchain.report.analysis import analyse
from toolchain.report.counts import SAME, change, mean
from toolchain.report.facts import Mean, to_json
from toolchain.report.methods import results
from toolchain.report.run import ReportError, check
from toolchain.robustness.records import Scored
from toolchain.robustness.statistics import Spread
from toolchain.statistics import wilson

ABOUT = {"models": [{"name": "second"}, {"name": "first"}]}


def record(
    name,
    correct,
    *,
    target="software",
    epsilon=0.1,
    seed=0,
    family="iterative",
    model="first",
    energy=2.0,
    index=None,
    **said,
):
    correct = np.asarray(correct, bool)
    size = len(correct)
    label = np.arange(size)
    clean = family == "clean"
    energies = np.broadcast_to(np.asarray(energy, float), size)
    dynamic = {"dynamic_j": energies, "dynamic_low_j": energies / 2, "dynamic_high_j": energies * 2}
    times = {"static_j": np.full(size, 7.0), "time_s": np.full(size, 0.5)}
    description = {
        "name": name,
        "family": family,
        "model": model,
        "target": target,
        "norm": "linf",
        "epsilon": 0.0 if clean else epsilon,
        "seed": seed,
        "crafted": f"{model} {name} {0.0 if clean else epsilon} {seed}",
        "crafted_on": "software",
        "optimiser": name,
        "estimator": "training" if family in ("single_step", "iterative", "energy") else None,
        "iterations": 10,
        "params": {},
        "eot": 1,
        "front": "through",
        "inference_seed": 0,
        "stochastic": False,
        "program": "p" * 64,
        "steps": 4,
        "chip": "loihi2",
        "cores": 2,
        "classes": 10,
        "twin_macs": 100,
        "twin_energy_j": {"cmos-45nm": 4.6e-10},
        "layers": ["in", "out"],
        "spikes_per_inference": {"in": 3.0, "out": None},
    }
    activity = {
        c: np.outer(np.ones(size), [1.0, 10.0])
        for c in ("spikes_in", "axon_out", "syn_ops", "dendrite_updates")
    }
    return Scored(
        description | said,
        np.arange(size) if index is None else np.asarray(index),
        correct,
        np.where(correct, 2.0, -1.0),
        np.full(size, 0.0 if clean else epsilon),
        activity,
        ("in", "out"),
        {"queries": np.full((1, size), 30)},
        {
            "loihi-davies2018": {**dynamic, **times},
            "loihi-sanafe": {n: 3 * v for n, v in dynamic.items()} | times,
            "cmos-45nm": dynamic,
        },
        label,
        np.where(correct, label, label + 1),
    )


CLEAN = record("clean", [1, 1, 1, 0], family="clean")
ONE = record("pgd", [1, 0, 0, 0], energy=[2, 2, 3, 3])
OTHER = record("apgd", [0, 1, 1, 0])
SPONGE = record("sponge", [1, 1, 1, 0], family="energy", energy=3.0)


def model(*records):
    return analyse(records, ABOUT).models[0]


def test_the_records_of_these_tests_are_such_as_the_report_accepts():
    check(CLEAN)
    check(ONE)


def test_the_four_definitions_of_one_attack():
    row = next(r for r in model(CLEAN, ONE).targets[0].attacks if r.name == "pgd")
    assert row.attacked_accuracy.value == 0.25
    assert (row.attacked_accuracy.low, row.attacked_accuracy.high) == wilson(1, 4)
    assert row.drop == 0.5
    assert row.success_over_all.value == 0.75
    assert (row.success_over_correct.value, row.success_over_correct.samples) == (
        2 / 3,
        3,
    )
    assert row.mean_margin == -0.25
    assert (
        row.mean_queries,
        row.largest_distance,
        row.spikes,
        row.syn_ops,
        row.dynamic_j,
    ) == (30, 0.1, 3.0, 11.0, 2.5)


def test_the_worst_case_is_sample_by_sample_and_the_energy_attack_is_no_part_of_it():
    row = model(CLEAN, ONE, OTHER, SPONGE).targets[0].worst[0]
    assert (row.share.value, row.share.samples, row.attacks) == (0.0, 4, 2)
    assert (row.strongest, row.strongest_share.value) == ("pgd", 0.25)


def test_seeds_are_put_together_and_shown_apart():
    again = record("pgd", [0, 1, 0, 0], seed=1)
    entry = model(CLEAN, record("clean", [1, 1, 0, 0], family="clean", seed=1), ONE, again).targets[
        0
    ]
    assert entry.worst[0].share.value == 0.0
    assert entry.worst[0].over_seeds == Spread(0.25, 0.0, 0.25, 0.25, seeds=2)
    assert entry.worst[0].attacks == 1
    assert entry.clean_over_seeds.low == 0.5
    # each seed's attack is compared with the clean record of the same seed
    assert [row.drop for row in entry.attacks] == [0.5, 0.25]


def test_energy_with_its_band_and_its_change_under_attack():
    clean, attacked, costly = model(CLEAN, ONE, SPONGE).targets[0].energy
    assert (
        clean.inputs,
        clean.dynamic_j.value,
        clean.band_low_j,
        clean.band_high_j,
    ) == ("clean", 2.0, 1.0, 12.0)
    assert (clean.static_j, clean.time_s, clean.change) == (7.0, 0.5, None)
    assert clean.static_share == 7 / 9
    assert clean.tables["cmos-45nm"]["dynamic_j"] == 2.0
    assert (attacked.inputs, attacked.attack, attacked.change.value) == (
        "attacked",
        "pgd",
        0.25,
    )
    # differences 0, 0, 1, 1 of mean 2: t interval with 3 degrees of freedom
    half = 3.182446305284263 * np.std([0, 0, 1, 1], ddof=1) / 2 / 2
    assert (attacked.change.low, attacked.change.high) == pytest.approx((0.25 - half, 0.25 + half))
    assert (costly.inputs, costly.change.value) == ("energy attack", 0.5)


def test_another_table_is_used_where_the_usual_one_is_not_there():
    other = record("clean", [1], family="clean")
    other.energy.pop("loihi-davies2018")
    row = model(other).targets[0].energy[0]
    assert (row.table, row.dynamic_j.value) == ("loihi-sanafe", 6.0)


def test_software_and_hardware_on_the_same_samples():
    fast = [
        record("clean", [1, 1, 1, 0], family="clean", target="fast"),
        record("pgd", [0, 0, 1, 0], target="fast", energy=[2, 2, 3, 4]),
        record("apgd", [0, 1, 0, 0], target="fast"),
    ]
    found = model(CLEAN, ONE, OTHER, *fast)
    compared = found.comparisons[0]
    assert compared.targets == ("software", "fast")
    cells = {row.name: row for row in compared.cells}
    assert cells["clean"].identical
    assert not cells["pgd"].identical
    assert not compared.identical
    assert cells["pgd"].accuracy == (0.25, 0.25)
    assert (
        cells["pgd"].difference,
        cells["pgd"].right_only_on_baseline,
        cells["pgd"].right_only_on_target,
    ) == (0.0, 1, 1)
    assert cells["pgd"].predictions_that_differ == 2
    assert cells["pgd"].energy_change.value == pytest.approx(0.25 / 2.5)
    assert cells["apgd"].difference == -0.25  # hardware minus software
    assert (cells["apgd"].right_only_on_baseline, cells["apgd"].right_only_on_target) == (
        1,
        0,
    )
    # no sample differs in the clean cell, and four samples still say little
    assert cells["clean"].low < -0.1 < 0.1 < cells["clean"].high
    assert [share.value for share in compared.worst[0].shares] == [0.0, 0.0]
    assert compared.energy_change.value == 0.0
    told = found.answer
    assert (
        told.target,
        told.software.worst.difference,
        told.software.identical,
    ) == ("fast", 0.0, False)


def test_the_csv_says_who_has_what_right_and_what_the_ends_are():
    fast = [
        record("clean", [1, 1, 1, 0], family="clean", target="fast"),
        record("pgd", [0, 0, 0, 1], target="fast"),
    ]
    facts = analyse([CLEAN, ONE, record("pgd", [1, 1, 0, 0], seed=1), *fast], ABOUT)
    table = accuracy_tables.comparisons(facts)
    row = dict(zip(table.header(), next(r for r in table.records() if r[3] == "pgd")))
    # ONE: software has only sample 0 right, the fast target only sample 3
    assert (row["right_only_on_baseline"], row["right_only_on_target"]) == (1, 1)
    assert (row["baseline_accuracy"], row["target_accuracy"], row["target_minus_baseline"]) == (
        0.25,
        0.25,
        0.0,
    )
    assert row["target_minus_baseline_low"] < 0 < row["target_minus_baseline_high"]
    worst = accuracy_tables.worst(facts).header()
    assert {"worst_case_low", "one_seed_alone_smallest", "dynamic_j_band_low"} <= set(worst)


def test_only_cells_with_the_same_samples_are_compared():
    elsewhere = record("pgd", [0, 0, 0, 0], target="fast", crafted="other samples")
    compared = model(
        CLEAN, ONE, record("clean", [1, 1, 1, 0], family="clean", target="fast"), elsewhere
    ).comparisons[0]
    assert [row.name for row in compared.cells] == ["clean"]
    assert compared.worst == ()


def test_the_answer_is_about_the_hardware_with_most_samples_and_names_others_that_agree():
    told = model(CLEAN, ONE, *on("lava", 2), *on("fast")).answer
    assert (told.target, told.samples, told.also_identical) == ("fast", 4, {"lava": 2})
    assert told.software.identical


def test_the_answer_takes_the_middle_radius_below_one():
    attacks = [record("pgd", [1, 0], epsilon=e) for e in (0.1, 0.2, 0.3, 1.0)]
    found = analyse([record("clean", [1, 1], family="clean"), *attacks], ABOUT)
    assert (found.radii, found.radius) == ((0.1, 0.2, 0.3, 1.0), 0.2)
    assert found.models[0].answer.worst.epsilon == 0.2
    steps = [record("shift", [1, 0], epsilon=e, norm="shift") for e in (1.0, 2.0)]
    assert (
        analyse([record("clean", [1, 1], family="clean", norm="shift"), *steps], ABOUT).radius
        == 1.0
    )


def test_layers_clean_and_attacked_at_the_largest_radius():
    stronger = record(
        "pgd", [0, 0, 0, 0], epsilon=0.2, spikes_per_inference={"in": 5.0, "out": None}
    )
    rows = model(CLEAN, ONE, stronger, SPONGE).targets[0].layers
    assert [(r.layer, r.inputs, r.spikes, r.epsilon) for r in rows[:3]] == [
        ("in", "clean", 3.0, 0.0),
        ("in", "attacked", 5.0, 0.2),
        ("in", "energy attack", 3.0, 0.1),
    ]
    assert (rows[3].layer, rows[3].spikes, rows[3].syn_ops) == ("out", None, 10.0)


def test_a_flag_is_at_the_number_that_it_accuses():
    many = np.arange(60)
    noise = [record("noise", many < 10, family="noise", epsilon=e) for e in (0.1, 0.2)]
    pgd = [record("pgd", many < (40 if e == 0.1 else 5), epsilon=e) for e in (0.1, 0.2)]
    entry = model(record("clean", many < 55, family="clean"), *noise, *pgd).targets[0]
    accused = {(row.name, row.epsilon): row.flags for row in entry.attacks}
    assert accused == {
        ("noise", 0.1): (),
        ("pgd", 0.1): ("noise_beats_gradient",),
        ("noise", 0.2): (),
        ("pgd", 0.2): (),
    }
    assert [row.flags for row in entry.worst] == [("noise_beats_gradient",), ()]


def test_a_worst_case_that_rests_on_single_attacks_is_flagged_itself():
    half = np.arange(40) < 20
    three = [record("pgd", half), record("apgd", ~half), record("cw", np.arange(40) < 39)]
    entry = model(record("clean", [1] * 40, family="clean"), *three[:2]).targets[0]
    assert entry.flags == ()  # two attacks of one kind say nothing of another
    # of three kinds: 39 of 40 broken by one alone, but none stands
    kinds = [
        replace(r, description=r.description | {"estimator": name})
        for r, name in zip(three, ("training", "atan 2", "hart 1"))
    ]
    entry = model(record("clean", [1] * 40, family="clean"), *kinds).targets[0]
    assert entry.flags == ()
    parts = (
        ("a", "training", range(8)),
        ("b", "atan 2", range(8, 14)),
        ("c", "hart 1", range(14, 18)),
    )
    some = [
        record(name, ~np.isin(np.arange(40), broken), estimator=estimator)
        for name, estimator, broken in parts
    ]
    entry = model(record("clean", [1] * 40, family="clean"), *some).targets[0]
    assert [flag.name for flag in entry.flags] == ["worst_case_not_reached"]
    assert entry.worst[0].flags == ("worst_case_not_reached",)
    assert [row.flags for row in entry.attacks] == [("worst_case_not_reached",), (), ()]


def test_models_come_in_the_order_of_the_sweep():
    records = [
        record("clean", [1, 0], family="clean", model=name)
        for name in ("first", "second", "unheard of")
    ]
    assert [m.name for m in analyse(records, ABOUT).models] == [
        "second",
        "first",
        "unheard of",
    ]


def test_everything_is_plain_json():
    wrong = record("clean", [0, 0], family="clean")
    facts = analyse([wrong, record("pgd", [0, 0])], ABOUT)
    json.dumps(to_json(facts), allow_nan=False)
    row = facts.models[0].targets[0].attacks[0]
    assert row.success_over_correct.value is None  # no sample was right before
    assert facts.models[0].targets[0].worst[0].over_seeds.deviation is None


def test_without_clean_records_there_is_no_report():
    with pytest.raises(ReportError, match=r"'first'.*no clean record on target 'software'"):
        analyse([ONE], ABOUT)


def test_means_and_changes():
    assert mean(np.array([3.0])) == Mean(3.0, None, None, 1, "one sample")
    # two equal values have no spread, so no interval of 0 to 0 either
    assert mean(np.array([3.0, 3.0])) == Mean(3.0, None, None, 2, SAME)
    assert mean(np.array([1.0, 3.0])).no_interval is None
    assert change(np.ones(2), np.ones(2)) == Mean(0.0, None, None, 2, SAME)
    assert mean(np.array([1.0, 3.0])).value == 2.0
    assert change(np.zeros(2), np.ones(2)) is None
    assert change(np.array([2.0]), np.array([3.0])).value == 0.5


def test_the_facts_are_written_in_the_order_of_their_fields_and_hidden_ones_are_not():
    value = to_json(analyse([CLEAN, ONE], ABOUT))
    assert list(value) == ["norm", "radii", "radius", "battery", "about", "models"]
    row = value["models"][0]["targets"][0]["attacks"][0]
    assert "optimiser" not in row
    assert "method" not in value["models"][0]
    assert row["attacked_accuracy"] == {"value": 0.25, **row["attacked_accuracy"]}


def test_trainings_are_one_method_as_the_run_says_not_as_a_name_looks():
    records = [record("clean", [1], family="clean", model=name) for name in ("x seed 1", "y")]
    said = [{"name": "x seed 1", "method": "x seed 1"}, {"name": "y", "method": "of y"}]
    assert [m.method for m in analyse(records, {"models": said}).models] == ["x seed 1", "of y"]
    before = [{"name": name} for name in ("x seed 1", "y")]  # runs of before do not say it
    assert [m.method for m in analyse(records, {"models": before}).models] == ["x", "y"]


def on(target, count=None):
    """The same records on a target, the first ``count`` samples."""
    return [
        record(
            r.description["name"],
            r.correct[:count],
            target=target,
            family=r.description["family"],
            energy=r.energy["cmos-45nm"]["dynamic_j"][:count],
        )
        for r in (CLEAN, ONE)
    ]


def test_a_target_of_fewer_samples_that_agrees_in_all_repeats_the_others():
    found = model(CLEAN, ONE, *on("fast"), *on("lava", 2))
    assert [entry.target for entry in found.repeated] == ["lava"]
    assert found.agreement(found.target("lava")) == 2
    assert [entry.target for entry in found.measured] == ["software", "fast"]
    differs = [*on("lava", 2)[:1], record("pgd", [0, 1], target="lava")]
    assert model(CLEAN, ONE, *on("fast"), *differs).repeated == ()


def test_the_answer_is_of_software_where_hardware_only_repeats_it():
    told = model(CLEAN, ONE, *on("lava", 2)).answer
    assert (told.target, told.samples, told.software) == ("software", 4, None)
    assert told.also_identical == {"lava": 2}


def test_tables_have_no_accuracy_of_a_target_that_repeats_the_others():
    facts = analyse([CLEAN, ONE, *on("fast"), *on("lava", 2)], ABOUT)
    rows = {row["target"]: row for row in accuracy_tables.glance(facts).rows}
    assert rows["lava"]["agreement"] == "2 of 2 identical"
    assert rows["lava"]["clean_accuracy"] is rows["lava"]["worst_case_0.1"] is None
    assert rows["fast"]["agreement"] == "4 of 4 identical"
    assert rows["fast"]["clean_accuracy"].value == 0.75
    for table in (accuracy_tables.worst, accuracy_tables.attacks):
        assert {row["target"] for row in table(facts).rows} == {"software", "fast"}
    compared = [r for r in accuracy_tables.comparisons(facts).rows if r["target"] == "lava"]
    assert {row["target_accuracy"] for row in compared} == {None}
    assert [row["every_count_the_same"] for row in compared] == ["yes", "yes", None]
    (row,) = [r for r in results([facts]).rows if r["target"] == "lava"]
    assert (row["clean"], row["worst_case"], row["agreement"]) == (None, None, "2 of 2 identical")
