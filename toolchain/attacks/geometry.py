"""The balls of the L-infinity and L2 threats: random points, steepest steps, projection. Tensors
[sample, *shape], float32."""

from __future__ import annotations

import numpy as np
import torch

from toolchain.attacks.base import AttackError, Threat

TINY = 1e-12


def per_sample(values: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Values [sample] shaped so that they broadcast over ``like`` [sample, *shape]."""
    return values.reshape(-1, *(1,) * (like.dim() - 1))


def l2(x: torch.Tensor) -> torch.Tensor:
    """Euclidean length of every sample, [sample]."""
    length: torch.Tensor = x.flatten(1).norm(dim=1)
    return length


def project(x: torch.Tensor, clean: torch.Tensor, threat: Threat) -> torch.Tensor:
    """The allowed point nearest to x: into the ball, then into the range (which cannot leave the
    ball again)."""
    change = x - clean
    if threat.norm == "linf":
        change = change.clamp(-threat.epsilon, threat.epsilon)
    elif threat.norm == "l2":
        change = change * per_sample(
            (threat.epsilon / l2(change).clamp_min(TINY)).clamp_max(1.0), change
        )
    else:
        raise AttackError(f"threat {threat.norm!r} has no ball of images; it must be linf or l2")
    return (clean + change).clamp(threat.low, threat.high)


def steepest(gradient: torch.Tensor, norm: str) -> torch.Tensor:
    """The unit step that a linear function climbs most: the sign (linf) or the normalised gradient
    (l2)."""
    if norm == "linf":
        return gradient.sign()
    return gradient / per_sample(l2(gradient).clamp_min(TINY), gradient)


def uniform_in_ball(
    clean: torch.Tensor, threat: Threat, generators: list[np.random.Generator]
) -> torch.Tensor:
    """A point drawn uniformly from the ball around each sample, then put into the range."""
    shape = tuple(clean.shape[1:])
    if threat.norm == "linf":
        change = np.stack([g.uniform(-threat.epsilon, threat.epsilon, shape) for g in generators])
    else:
        directions = [g.standard_normal(shape) for g in generators]
        size = int(np.prod(shape))
        change = np.stack(
            [
                d / np.sqrt((d**2).sum()) * threat.epsilon * g.uniform() ** (1 / size)
                for d, g in zip(directions, generators)
            ]
        )
    return project(clean + torch.from_numpy(change).to(clean), clean, threat)


def on_the_sphere(
    clean: torch.Tensor, threat: Threat, generators: list[np.random.Generator]
) -> torch.Tensor:
    """A random point that touches the ball's surface (before it is put into the range); APGD's and
    SA-PGD's start."""
    shape = tuple(clean.shape[1:])
    if threat.norm == "linf":
        directions = [g.uniform(-1, 1, shape) for g in generators]
        change = np.stack([d / np.abs(d).max() * threat.epsilon for d in directions])
    else:
        directions = [g.standard_normal(shape) for g in generators]
        change = np.stack([d / np.sqrt((d**2).sum()) * threat.epsilon for d in directions])
    return project(clean + torch.from_numpy(change).to(clean), clean, threat)
