"""Reference networks, built from a description of their layers.

network = build(Model(name="conv_digits"), Neuron(), Grid(), Surrogate(), dataset="digits",
encoding=Encoding(steps=12))
"""

from toolchain.models.ann import AnyNetwork, ReluNetwork
from toolchain.models.building import build
from toolchain.models.description import Grid, Init, Layer, Model, Neuron, Norm, Surrogate
from toolchain.models.reference import MODELS

__all__ = [
    "MODELS",
    "AnyNetwork",
    "Grid",
    "Init",
    "Layer",
    "Model",
    "Neuron",
    "Norm",
    "ReluNetwork",
    "Surrogate",
    "build",
]
