"""The script that puts a run of the demo into README.md. What README.md shows is held against the
demo's own lines where a test runs it (tests/end_to_end/test_main_job.py)."""

from __future__ import annotations

from tests.docs import readme
from toolchain.demo import transcript


def test_the_script_puts_a_run_in_place_of_the_one_shown():
    facts = {"printed": ["train    a network", "time     1 s"], "passed": True, "wall_time_s": 5.0}
    script, before = readme.script(), readme.README.read_text(encoding="utf-8")
    after = script.updated(before, facts)

    shown = ["train    a network", "time     1 s"]
    shown += ["wrote    demo/index.html and demo.json, in 5.00 s", "passed: identical everywhere"]
    assert script.block(after) == shown == transcript.lines(facts)
    for text in (before.split("    train  ")[0], before.split("identical everywhere\n")[1]):
        assert text in after


def test_numbers_of_the_training_are_compared_by_form_alone():
    one, other = "accuracy 98.35 % (358 of 364)", "accuracy 9 % (1 of 364)"
    assert readme.form(one) == readme.form(other)
    assert readme.form("compare  0 of 24 differ") != readme.form("compare  1 of 24 differ")
