"""Training: a TOML recipe → a network, and its checkpoint.

    config = read_config("examples/recipes/digits.toml")
    result = train(config)                    # result.model, result.accuracy, result.history
    save_checkpoint("digits.safetensors", result.model, config)
    model, config = load_checkpoint("digits.safetensors")

Defences of a recipe: ``toolchain.defences``.
"""

from toolchain.defences import Defence
from toolchain.training.augmentation import Augmentation
from toolchain.training.checkpoint import load_checkpoint, read_recipe, recipe_of, save_checkpoint
from toolchain.training.config import Config, Data, Training, read_config
from toolchain.training.evaluation import evaluate
from toolchain.training.loop import train
from toolchain.training.result import Result

__all__ = [
    "Augmentation",
    "Config",
    "Data",
    "Defence",
    "Result",
    "Training",
    "evaluate",
    "load_checkpoint",
    "read_config",
    "read_recipe",
    "recipe_of",
    "save_checkpoint",
    "train",
]
