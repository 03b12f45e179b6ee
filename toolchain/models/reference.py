"""The reference networks, as layers."""

from __future__ import annotations


def _conv(channels: int, kernel: int = 3, stride: int = 1) -> dict:
    return {"kind": "conv", "channels": channels, "kernel": kernel, "stride": stride, "padding": kernel // 2}


_POOL = {"kind": "average_pool", "kernel": 2}

MODELS: dict[str, tuple[dict, ...]] = {
    "conv_digits": (_conv(24), _POOL, _conv(48), _POOL, {"kind": "dense", "features": 10}),
    "conv_mnist": (_conv(32, 5, 2), _conv(64, 3, 2), {"kind": "dense", "features": 10}),
    "mlp": ({"kind": "dense", "features": 256}, {"kind": "dense", "features": 10}),
}
"""Name → layers; see ``toolchain.models.description.Layer``."""
