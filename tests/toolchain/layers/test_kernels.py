"""What the two compiled scans share."""

from __future__ import annotations

from toolchain.layers import kernels, kernels_backward


def test_both_scans_have_the_same_codes_of_resets():
    here = (kernels.ZERO, kernels.SUBTRACT, kernels.NONE)
    there = (kernels_backward._ZERO, kernels_backward._SUBTRACT, kernels_backward._NONE)
    assert here == there
