"""The reference networks, as layers."""

from __future__ import annotations

from typing import Any


def _conv(channels: int, kernel: int = 3, stride: int = 1) -> dict[str, Any]:
    return {
        "kind": "conv",
        "channels": channels,
        "kernel": kernel,
        "stride": stride,
        "padding": kernel // 2,
    }


_POOL = {"kind": "average_pool", "kernel": 2}


def _vgg(
    features: tuple[int | str, ...], dropout: float, classes: int = 10
) -> tuple[dict[str, Any], ...]:
    """3 x 3 convolutions without bias by their channels, "A": average pool, "D": dropout; then
    1024, 1024 and the classes."""
    marks = {"A": _POOL, "D": {"kind": "dropout", "rate": dropout}}
    layers = [
        marks[entry] if isinstance(entry, str) else {**_conv(entry), "bias": False}
        for entry in features
    ]
    hidden = [{"kind": "dense", "features": 1024, "bias": False}, marks["D"]] * 2
    return (*layers, *hidden, {"kind": "dense", "features": classes, "bias": False})


MODELS: dict[str, tuple[dict[str, Any], ...]] = {
    "conv_digits": (_conv(24), _POOL, _conv(48), _POOL, {"kind": "dense", "features": 10}),
    "conv_mnist": (_conv(32, 5, 2), _conv(64, 3, 2), {"kind": "dense", "features": 10}),
    "mlp": ({"kind": "dense", "features": 256}, {"kind": "dense", "features": 10}),
    "vgg5": _vgg((64, "A", 128, "D", 128, "A"), 0.2),
    "vgg9": _vgg((64, "A", 128, "D", 256, "A", 256, "D", 512, "A", 512, "A", 512), 0.3),
    "vgg11": _vgg(
        (64, "A", 128, "A", 256, "D", 256, "A", 512, "D", 512, "A", 512, "D", 512, "A"), 0.2
    ),
    "vgg11_hybrid": _vgg(
        (64, "A", 128, "D", 256, "D", 256, "A", 512, "D", 512, "D", 512, "A", 512, "D", 512), 0.3
    ),
}
"""Name → layers; see ``toolchain.models.description.Layer``.

vgg5 and vgg11 follow the lists in the code of Sharmin et al. (ECCV 2020), vgg9 and the hybrid ones
those of Rathi et al. (ICLR 2020). Where those do not say it, the choice is ours: 1024 units in both
hidden dense layers (Sharmin's VGG-5 has them), dropout behind every convolution that no pool
follows (hybrid) and behind the hidden dense layers. Rathi's list for VGG-5 is Sharmin's.
"""
