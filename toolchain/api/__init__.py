"""What a user calls from Python; ``import spikeport`` gives all of it.

    model = spikeport.load("digits.safetensors")
    exported = spikeport.export(model)                          exported.program, exported.audit
    recording = spikeport.run(model, data="digits", samples=100)
    lost = spikeport.attribute(model, data="digits", samples=20)   what each rounding costs
    agreement = spikeport.compare(model, data="digits", targets=("software", "fast"))
    checked = spikeport.check(model, chip="loihi2")
    assessment = spikeport.assess(model, data="digits")
    attacked = spikeport.attack(model, images, labels, spikeport.Threat("linf", 2 / 16))
    trained = spikeport.train("recipe.toml")
    opened = spikeport.open_run("runs/defences")

loading     a model at any stage, a data set
running     export, run, attribute, compare, check, assess: what the commands of these names
            (attribute: audit) do
attacking   one worst-case attack on arrays
training    a recipe
runs        the results of spikeport bench
arguments   what is refused, and how
"""

from toolchain.api.arguments import ArgumentError
from toolchain.api.attacking import Attacked, attack
from toolchain.api.loading import Model, dataset, load
from toolchain.api.running import (
    Exported,
    RunRecording,
    assess,
    attribute,
    check,
    compare,
    export,
    run,
)
from toolchain.api.runs import BenchRun, open_run
from toolchain.api.training import Trained, train
from toolchain.attacks.base import Threat

__all__ = [
    "ArgumentError",
    "Attacked",
    "BenchRun",
    "Exported",
    "Model",
    "RunRecording",
    "Threat",
    "Trained",
    "assess",
    "attack",
    "attribute",
    "check",
    "compare",
    "dataset",
    "export",
    "load",
    "open_run",
    "run",
    "train",
]
