"""``spikeport train``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from toolchain import files, training
from toolchain.api.training import keeping
from toolchain.cli.options import PATH, force_option, json_option
from toolchain.cli.printing import line, progress, seconds, write_json
from toolchain.cli.values import Number, Whole
from toolchain.deploy.summary import accuracy, accuracy_text
from toolchain.errors import OutputError
from toolchain.pages.table import to_csv
from toolchain.training import curve


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
@click.option(
    "--resume",
    is_flag=True,
    help="Go on from OUT.state, which a training that was stopped has left; to the same weights.",
)
@click.option(
    "--save-every",
    type=Number(min=0),
    default=10.0,
    show_default=True,
    metavar="MINUTES",
    help="Write OUT.state so often within an epoch, too; after each epoch it is written anyway.",
)
@click.option(
    "--page", type=PATH, metavar="FILE.html", help="Write the learning curve as a page, too."
)
@click.option(
    "--tensorboard",
    "board",
    type=PATH,
    metavar="FOLDER",
    help="Write the learning curve for TensorBoard, epoch by epoch.",
)
@json_option
@force_option
def command(
    config: Path,
    output: Path | None,
    root: Path | None,
    seed: int | None,
    resume: bool,
    save_every: float,
    page: Path | None,
    board: Path | None,
    json_file: Path | None,
    force: bool,
) -> None:
    """Train a network from a recipe; writes a safetensors checkpoint that holds the recipe, too,
    and its learning curve, OUT.history.csv.

    A training that is stopped leaves its state in OUT.state: --resume goes on from there.

    \b
    Example:
      spikeport train examples/recipes/digits.toml -o digits.safetensors
    """
    recipe = training.read_config(config)
    if seed is not None:
        recipe = replace(recipe, training=replace(recipe.training, seed=seed))
    output = output or Path(config.stem + ".safetensors")
    name = output.name.removesuffix(".safetensors")
    state, table = (output.with_name(f"{name}{ending}") for ending in (".state", ".history.csv"))
    for path in (output, state, table, page, json_file):
        if path is not None and path.exists() and path.samefile(config):
            raise OutputError(f"{path}: is the recipe; the output must be another file")
    files.claim([output, table, page, json_file], force)
    kept = keeping(recipe, state, resume, force, 60 * save_every)
    with ExitStack() as stack:
        observers: list[Callable[[dict[str, Any]], None]] = [_print_epoch]
        if board is not None:
            from toolchain.training.boards import board as opened

            observers.append(stack.enter_context(opened(board)))
        update = stack.enter_context(progress("training", "batch"))

        def tell(entry: dict[str, Any]) -> None:
            for observer in observers:
                observer(entry)

        result = training.train(
            recipe,
            root=root,
            progress=update,
            on_epoch=tell,
            keeping=kept,
        )
    test = accuracy(round(result.accuracy * result.test_samples), result.test_samples)
    click.echo(f"test accuracy {accuracy_text(test)} after {seconds(result.seconds)}")
    facts = {"test": test, "seconds": result.seconds, **result.details}
    training.save_checkpoint(output, result.model, result.config, results=facts, force=force)
    click.echo(f"wrote {output}")
    if kept is not None:
        kept.done()
    files.write_text(table, to_csv(curve.table(result.history)), force)
    click.echo(f"wrote {table}")
    if page is not None:
        answer = f"{name}: test accuracy {accuracy_text(test)}"
        best, described = result.details.get("kept"), result.config.to_table()
        text = curve.page(name, answer, result.history, described, best)
        files.write_text(page, text, force)
        click.echo(f"wrote {page}")
    write_json(
        json_file, "train", {"output": str(output), **facts, "history": result.history}, force
    )


def _print_epoch(entry: dict[str, Any]) -> None:
    parts = [f"{name} {value:.4f}" for name, value in entry.get("terms", {}).items()]
    loss = f"loss {entry['loss']:.4f}" + (f" ({' + '.join(parts)})" if parts else "")
    margin = []
    if "lambda" in entry:
        margin = [
            f"lambda {entry['lambda']:.3g}",
            f"{100 * entry['near_threshold']:.2f} % near threshold",
        ]
    held = []
    if "validation_accuracy" in entry:
        held = [f"validation accuracy {100 * entry['validation_accuracy']:.2f} %"]
    text = [
        loss,
        *margin,
        f"training accuracy {100 * entry['accuracy']:.2f} %",
        *held,
        seconds(entry["seconds"]),
    ]
    line(f"epoch {entry['epoch']}: " + ", ".join(text))
