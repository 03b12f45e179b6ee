"""Datasets, and encoders that turn them into the integers a Program takes.

    dataset = load("digits", "test")                      # values and labels as they are
    encoding = Encoding("direct", steps=12)
    arrays = encoding.encode(dataset, slice(0, 100))      # [sample, step, *shape]

    # the same from a model's own words
    arrays, labels = inputs({"name": "digits", "encoding": "direct", "steps": 12}, "test")

``digits`` comes with scikit-learn. mnist, cifar10 and nmnist are read from a folder: ``root``, or
the environment variable SPIKEPORT_DATA. Nothing is downloaded, and nothing is unpickled.
"""

from toolchain.data.datasets import DATASETS, Dataset, load
from toolchain.data.encoders import ENCODINGS, Encoding, inputs

__all__ = ["DATASETS", "ENCODINGS", "Dataset", "Encoding", "inputs", "load"]
