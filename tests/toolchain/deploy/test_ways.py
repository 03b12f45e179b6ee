"""An option of lowering stands once, and is there in every place that takes one."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

import spikeport
from toolchain.cli.options import description_options, model_options
from toolchain.deploy.inputs import SampleSource
from toolchain.deploy.ways import DESCRIBING, LOWERING, READING, TRACING, Lowering, Ways
from toolchain.robustness.models import Options

OPTIONS = {field.name for field in fields(Ways)} - {"data"}


def test_every_option_is_in_one_group():
    named = {*LOWERING, *READING, *TRACING, *DESCRIBING}
    assert named == {field.name for field in fields(Ways)}


def test_python_and_the_command_line_take_every_option():
    assert set(inspect.signature(spikeport.load).parameters) >= OPTIONS

    command = description_options(model_options(lambda: None))
    there = {option.name for option in command.__click_params__}
    encoded = {field.name for field in fields(SampleSource)} - {"name", "samples", "rate"}
    assert there >= OPTIONS | encoded | {"spike_rate"}


def test_a_sweep_takes_every_option():
    assert {field.name for field in fields(Lowering)} <= {field.name for field in fields(Options)}
    assert Options(weight_bits=4, dt=1e-3).ways() == Ways(weight_bits=4, dt=1e-3)


@pytest.mark.parametrize("call", [spikeport.run, spikeport.compare, spikeport.assess])
def test_every_call_takes_the_same_words_about_its_data(call):
    wanted = {"data", "inputs", "labels", "samples", "data_root", "batch", "progress"}
    wanted |= {"encoding", "steps", "bits", "rate", "bin_us"}
    assert set(inspect.signature(call).parameters) >= wanted
