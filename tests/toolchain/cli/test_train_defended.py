"""``spikeport train`` of a defended recipe: what an epoch prints, what is kept, and a checkpoint
that is the noisy network again."""

from __future__ import annotations

import json

import torch

from toolchain.cli import run
from toolchain.training import load_checkpoint

RECIPE = """
[data]
steps = 4
[model]
layers = [{ kind = "dense", features = 16 }, { kind = "dense", features = 10 }]
[neuron]
noise = 0.25
noise_at_inference = true
noise_seed = 7
[training]
epochs = 2
samples = 60
[defence]
margin = { delta = 0.3, lambda_max = 2.0 }
"""


def test_a_defended_recipe_says_what_its_loss_is_made_of(tmp_path, capsys):
    recipe, output, report = tmp_path / "r.toml", tmp_path / "m.safetensors", tmp_path / "r.json"
    recipe.write_text(RECIPE)
    assert run(["train", str(recipe), "-o", str(output), "--json", str(report)]) == 0
    printed = capsys.readouterr()
    last = next(line for line in (printed.out + printed.err).splitlines() if "epoch 2" in line)
    entry = json.loads(report.read_text())["history"][1]
    assert (
        f"loss {entry['loss']:.4f} (task {entry['terms']['task']:.4f} + margin "
        f"{entry['terms']['margin']:.4f})" in last
    )
    assert f"lambda 2, {100 * entry['near_threshold']:.2f} % near threshold" in last
    model, config = load_checkpoint(output)
    assert config.defence.margin.delta == 0.3
    assert config.surrogate is None
    assert model.lif1.stochastic
    x = torch.ones(4, 1, 1, 8, 8) / 2
    assert torch.equal(model(x), load_checkpoint(output)[0](x))
