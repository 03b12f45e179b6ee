"""``spikeport train``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from toolchain import files, training
from toolchain.cli.options import PATH, force_option, json_option
from toolchain.cli.printing import line, progress, seconds, write_json
from toolchain.cli.values import Whole
from toolchain.deploy.summary import accuracy, accuracy_text


@click.command()
@click.argument("config", type=PATH, metavar="RECIPE.toml")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="OUT.safetensors",
    help="Default: the recipe's name, in this folder.",
)
@click.option(
    "--data-root",
    "root",
    type=PATH,
    metavar="FOLDER",
    help="Folder that holds data sets. Default: SPIKEPORT_DATA.",
)
@click.option(
    "--seed",
    type=Whole(0, (1 << 32) - 1),
    help="Seed of the training, in place of the recipe's.",
)
@json_option
@force_option
def command(
    config: Path,
    output: Path | None,
    root: Path | None,
    seed: int | None,
    json_file: Path | None,
    force: bool,
) -> None:
    """Train a network from a recipe; writes a safetensors checkpoint that holds the recipe, too.

    \b
    Example:
      spikeport train examples/recipes/digits.toml -o digits.safetensors
    """
    recipe = training.read_config(config)
    if seed is not None:
        recipe = replace(recipe, training=replace(recipe.training, seed=seed))
    output = output or Path(config.stem + ".safetensors")
    files.claim([output, json_file], force)
    with progress("training", "batch") as update:
        result = training.train(recipe, root=root, progress=update, on_epoch=_print_epoch)
    test = accuracy(round(result.accuracy * result.test_samples), result.test_samples)
    click.echo(f"test accuracy {accuracy_text(test)} after {seconds(result.seconds)}")
    kept = {"test": test, "seconds": result.seconds, **result.details}
    training.save_checkpoint(output, result.model, result.config, results=kept, force=force)
    click.echo(f"wrote {output}")
    write_json(
        json_file, "train", {"output": str(output), **kept, "history": result.history}, force
    )


def _print_epoch(entry: dict) -> None:
    parts = [f"{name} {value:.4f}" for name, value in entry.get("terms", {}).items()]
    loss = f"loss {entry['loss']:.4f}" + (f" ({' + '.join(parts)})" if parts else "")
    margin = []
    if "lambda" in entry:
        margin = [
            f"lambda {entry['lambda']:.3g}",
            f"{100 * entry['near_threshold']:.2f} % near threshold",
        ]
    text = [
        loss,
        *margin,
        f"training accuracy {100 * entry['accuracy']:.2f} %",
        seconds(entry["seconds"]),
    ]
    line(f"epoch {entry['epoch']}: " + ", ".join(text))
