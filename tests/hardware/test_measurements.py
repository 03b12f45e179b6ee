"""Measured tasks: complete, sourced, compared with what the estimate says of them, and inside its
bands.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hardware import measured_tasks, measurements
from hardware.charging import charge
from hardware.chip import Chip
from hardware.device import Device
from hardware.errors import DeviceError
from hardware.measured_tasks import rebuilt, tasks
from hardware.measurements import TaskComparison, compare, error, leave_one_out

SPIKING = ("loihi-davies2018", "loihi-sanafe", "keras-spiking")
CHIP = Chip.load("loihi2")


def row(dynamic: float, time: float, chip: str = "loihi2", task: str = "made up") -> TaskComparison:
    """Of a task of one joule and one second, the estimate's own figures."""
    return TaskComparison(
        task, task, "inference", chip, "table", dynamic, 1.0, dynamic, time, 1.0, time, "barrier"
    )


def test_every_task_says_where_it_was_read_and_the_rebuildable_one_is_first():
    found = tasks()
    assert len({task.name for task in found}) == len(found) >= 9
    assert all(len(task.source) > 10 and task.read in measured_tasks.READ for task in found)
    assert [task.name for task in found if task.counts] == ["pilotnet-snn"] == [found[0].name]
    pilotnet = found[0]
    assert pilotnet.total_mj == pytest.approx(pilotnet.dynamic_mj + pilotnet.static_mj)
    assert pilotnet.time_ms == pytest.approx(1e3 / 408.91, rel=1e-6)
    assert pilotnet.static_mj == pytest.approx(0.232078 * pilotnet.time_ms, rel=1e-4)


def test_static_shares_are_computed_from_the_tasks():
    number, low, high = measurements.static_shares()
    by_name = {task.name: task.static_share for task in tasks()}
    assert (number, low, high) == (4, by_name["pilotnet-snn"], by_name["autoencoder"])
    assert by_name["clp-snn"] == pytest.approx(0.743, abs=1e-3)
    assert by_name["braille"] == pytest.approx(89 / 163, abs=2e-3)
    assert by_name["pilotnet-sdnn"] is None


@pytest.mark.parametrize("name", SPIKING)
def test_bands_contain_what_was_measured(name):
    """The band of a table, widened by its error, holds every task that the error is from."""
    device = Device.load(name)
    for (task, kept), found in zip(rebuilt(), compare(device)):
        charged, wrong = charge(kept.workload, device), error(compare(device), CHIP)
        low, high = (
            charged.dynamic_low_j.mean() / wrong.dynamic_factor,
            charged.dynamic_high_j.mean() * wrong.dynamic_factor,
        )
        assert low <= task.dynamic_mj * 1e-3 <= high
        own = device.step_times.relative_error
        time = charged.time_s.mean()
        assert (
            time * (1 - own) / wrong.time_factor
            <= task.time_ms * 1e-3
            <= time * (1 + own) * wrong.time_factor
        )
        assert found.limited_by == "synaptic reads of conv_5"
        assert found.dynamic_ratio == pytest.approx(
            charged.dynamic_j.mean() / (task.dynamic_mj * 1e-3)
        )


def test_the_documentation_states_what_is_computed():
    """docs/energy.md holds figures of PilotNet: those of the measurement, and those of this
    package.
    """
    text = (Path(__file__).parents[2] / "docs" / "energy.md").read_text(encoding="utf-8")
    rows = [compare(Device.load(name))[0] for name in SPIKING]
    first = rows[0]
    assert (
        f"{' · '.join(f'{1e3 * row.dynamic_j:.2f}' for row in rows)} mJ (1.25 to 1.40 times)"
        in text
    )
    assert f"{1e3 * first.time_s:.2f} ms ({first.time_ratio:.2f} times)" in text
    assert f"{232 * first.time_s:.2f} mJ" in text

    dynamic, time = [], []
    for name in SPIKING:
        device = Device.load(name)
        found, wrong = charge(rebuilt()[0][1].workload, device), error(compare(device), CHIP)
        dynamic += [
            found.dynamic_low_j.mean() / wrong.dynamic_factor,
            found.dynamic_high_j.mean() * wrong.dynamic_factor,
        ]
        own = device.step_times.relative_error
        time += [
            found.time_s.mean() * (1 - own) / wrong.time_factor,
            found.time_s.mean() * (1 + own) * wrong.time_factor,
        ]
    assert f"{1e3 * min(dynamic):.2f} to {1e3 * max(dynamic):.1f} mJ" in text
    assert f"{1e3 * min(time):.1f} to {1e3 * max(time):.0f} ms" in text
    assert f"{120 * min(time):.2f} to {282 * max(time):.1f} mJ" in text


def test_a_conventional_table_is_compared_with_nothing():
    assert compare(Device.load("cmos-45nm")) == ()
    assert "their error is not known" in measurements.sentence(())


def test_error_of_one_task():
    one = error([row(1.25, 0.4)], CHIP)
    assert (one.dynamic_factor, one.time_factor) == (1.25, 2.5)
    assert (one.dynamic_calibration, one.time_calibration) == pytest.approx((0.8, 2.5))
    assert (one.dynamic_left_out, one.time_left_out, one.calibrated_on) == (
        None,
        None,
        ("made up",),
    )
    other = error([row(1.25, 0.4)], Chip.load("loihi1"))
    assert (other.dynamic_factor, other.dynamic_calibration, other.calibrated_on) == (
        1.25,
        None,
        (),
    )


def test_error_of_several_tasks_is_the_largest_and_calibration_their_geometric_mean():
    """The task of another generation widens the bands and calibrates nothing."""
    rows = [
        row(2.0, 1.0, task="a"),
        row(0.5, 4.0, task="b"),
        row(5.0, 1.0, chip="loihi1", task="c"),
    ]
    found = error(rows, CHIP)
    assert (found.dynamic_factor, found.time_factor) == (5.0, 4.0)
    assert (found.dynamic_calibration, found.time_calibration) == pytest.approx((1.0, 0.5))
    assert found.dynamic_left_out == pytest.approx((4.0, 0.25))
    assert found.time_left_out == pytest.approx((0.25, 4.0))
    assert "n = 3 tasks" in measurements.sentence(rows)


def test_leave_one_out_on_paper():
    assert leave_one_out([]) is None
    assert leave_one_out([2.0]) is None
    assert leave_one_out([1.0, 4.0, 16.0]) == pytest.approx((1 / 8, 1.0, 8.0))


def test_counts_survive_the_way_through_a_file(tmp_path, monkeypatch):
    kept = measured_tasks.counts("pilotnet-snn.toml")
    text = (
        'network_sha256 = "n"\ninputs_sha256 = "i"\nchip = "loihi2"\nsource = "a test"\n'
        + measured_tasks.to_toml(kept.workload)
    )
    (tmp_path / "again.toml").write_text(text)
    monkeypatch.setattr(measured_tasks, "FOLDER", tmp_path)
    again = measured_tasks.counts.__wrapped__("again.toml")
    assert len(again.workload.layers) == len(kept.workload.layers) == 10
    for one, other in zip(kept.workload.layers, again.workload.layers):
        for name in ("layer", "neurons", "cores", "fullest"):
            assert getattr(one, name) == getattr(other, name)
        for name in ("updates", "spikes", "graded", "messages_in", "messages_out"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert {kind: float(v[0]) for kind, v in one.operations.items()} == {
            k: float(v[0]) for k, v in other.operations.items()
        }


TASK = """[[task]]
name = "t"
title = "t"
chip = "loihi2"
unit = "inference"
dynamic_mj = 1.0
read = "file"
source = "made up for a test"
note = ""
"""
BROKEN = {
    "unknown": ("note =", "colour = 1\nnote =", "['colour']; it must have the texts"),
    "missing": ('title = "t"\n', "", "['title']; it must have the texts"),
    "negative": ("= 1.0", "= -1.0", "dynamic_mj is -1.0; it must be a positive number"),
    "read": ('"file"', '"seen"', "read must be one of file, abstract, quoted"),
    "no energy": (
        "dynamic_mj = 1.0\n",
        "",
        "one of total_mj, dynamic_mj, static_mj, unstated_mj must be stated",
    ),
    "counts without time": (
        "note =",
        'counts = "c.toml"\nnote =',
        "must state dynamic_mj and time_ms",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_malformed_task_is_refused_by_its_place(tmp_path, monkeypatch, case):
    before, after, message = BROKEN[case]
    (tmp_path / "tasks.toml").write_text(TASK.replace(before, after))
    monkeypatch.setattr(measured_tasks, "FOLDER", tmp_path)
    with pytest.raises(DeviceError) as found:
        tasks.__wrapped__()
    assert message in str(found.value)
    assert "tasks.toml: task 1" in str(found.value)


def test_text_of_a_comparison():
    assert (
        replace(row(1.25e-3, 5e-3), measured_dynamic_j=1e-3, measured_time_s=2e-3)
        .text()
        .startswith("made up, table: dynamic 1.25 mJ, measured 1.00 (")
    )
