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


def _resnet(
    stem: int,
    stages: tuple[tuple[int, int], ...],
    last_pool: int,
    join: str = "current",
    hidden: int | None = None,
    classes: int = 10,
) -> tuple[dict[str, Any], ...]:
    """A 3 x 3 convolution, stages of (channels, blocks) with a stride of 2 from the second on, the
    mean over the map, dense layers; batch normalisation throughout."""
    layers: list[dict[str, Any]] = [{**_conv(stem), "norm": True}]
    for stage, (channels, blocks) in enumerate(stages):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            layers.append(
                {
                    "kind": "residual",
                    "channels": channels,
                    "stride": stride,
                    "join": join,
                    "norm": True,
                }
            )
    layers.append({"kind": "average_pool", "kernel": last_pool})
    if hidden is not None:
        layers.append({"kind": "dense", "features": hidden, "norm": True})
    return (*layers, {"kind": "dense", "features": classes})


_VGG16: tuple[int | str, ...] = (
    64,
    64,
    "A",
    128,
    128,
    "A",
    256,
    256,
    256,
    "A",
    512,
    512,
    512,
    "A",
    512,
    512,
    512,
    "A",
)

MODELS: dict[str, tuple[dict[str, Any], ...]] = {
    "conv_digits": (_conv(24), _POOL, _conv(48), _POOL, {"kind": "dense", "features": 10}),
    "conv_mnist": (_conv(32, 5, 2), _conv(64, 3, 2), {"kind": "dense", "features": 10}),
    "mlp": ({"kind": "dense", "features": 256}, {"kind": "dense", "features": 10}),
    "vgg5": _vgg((64, "A", 128, "D", 128, "A"), 0.2),
    "vgg9": _vgg((64, "A", 128, "D", 256, "A", 256, "D", 512, "A", 512, "A", 512), 0.3),
    "vgg11": _vgg(
        (64, "A", 128, "A", 256, "D", 256, "A", 512, "D", 512, "A", 512, "D", 512, "A"), 0.2
    ),
    "vgg16": (
        *(
            _POOL if isinstance(entry, str) else {**_conv(entry), "bias": False, "norm": True}
            for entry in _VGG16
        ),
        {"kind": "dense", "features": 10},
    ),
    "resnet18": _resnet(64, ((64, 2), (128, 2), (256, 2), (512, 2)), 4),
    "resnet20": _resnet(16, ((16, 3), (32, 3), (64, 3)), 8),
    "sew_resnet19": _resnet(128, ((128, 3), (256, 3), (512, 2)), 8, "spikes", 256),
    "wrn16_4": _resnet(16, ((64, 2), (128, 2), (256, 2)), 8),
    "conv_nmnist": (
        {**_conv(16, 5, 2), "norm": True},
        {**_conv(32, 3), "norm": True},
        _POOL,
        {**_conv(64, 3), "norm": True},
        _POOL,
        {"kind": "dense", "features": 10},
    ),
    "conv_gesture": (
        {"kind": "sum_pool", "kernel": 4},
        *(
            layer
            for channels in (16, 32, 64)
            for layer in ({**_conv(channels), "norm": True}, _POOL)
        ),
        {"kind": "dense", "features": 128, "norm": True},
        {"kind": "dense", "features": 11},
    ),
    "recurrent_delays": (
        {"kind": "dense", "features": 128, "recurrent": True},
        {"kind": "delay", "steps": 4},
        {"kind": "dense", "features": 128, "recurrent": True},
        {"kind": "delay", "steps": 4},
        {"kind": "dense", "features": 20},
    ),
    "vgg11_hybrid": _vgg(
        (64, "A", 128, "D", 256, "D", 256, "A", 512, "D", 512, "D", 512, "A", 512, "D", 512), 0.3
    ),
}
"""Name → layers; see ``toolchain.models.description.Layer``.

vgg5 and vgg11 follow the lists in the code of Sharmin et al. (ECCV 2020), vgg9 and the hybrid ones
those of Rathi et al. (ICLR 2020). vgg16 is configuration D of Simonyan and Zisserman (ICLR 2015)
with batch normalisation and one dense layer. The residual ones: He et al. (CVPR 2016; resnet20 for
CIFAR-10, resnet18 with a 3 x 3 first layer and no pooling behind it), Zheng et al. (AAAI 2021;
ResNet-19) with the blocks of Fang et al. (NeurIPS 2021; SEW with ADD), Zagoruyko and Komodakis
(BMVC 2016; widths and depth of WRN-16-4, with the neurons behind the sum, not before the first
convolution); their shortcuts that change size are 1 x 1 convolutions. recurrent_delays is for spike
trains over channels, such as SHD; conv_nmnist and conv_gesture are for events of 34 x 34 and
128 x 128 pixels; all three are ours. Where those do not say it, the choice is ours: 1024 units in
both hidden dense layers (Sharmin's VGG-5 has them), dropout behind every convolution that no pool
follows (hybrid) and behind the hidden dense layers. Rathi's list for VGG-5 is Sharmin's.
"""
