"""One attack under way: gradients through the chosen estimator, averaged over randomness, and the
best sample found so far."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

import numpy as np
import torch

from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, AttackResult, Threat, Victim, check_kind, verify
from toolchain.attacks.estimators.base import Estimator
from toolchain.attacks.goals import Goal, Misclassify, Outcome
from toolchain.attacks.randomness import derived_seed, generators
from toolchain.attacks.readings import Reading, ask, read
from toolchain.whole import whole

Progress = Callable[[int, int], None]


class SearchOptions(TypedDict, total=False):
    """What every attack takes besides victim, samples, labels and threat: see ``Search``."""

    seed: int
    estimator: Estimator | None
    eot: int
    progress: Progress | None
    start: np.ndarray | None


def without_gradients(options: SearchOptions) -> SearchOptions:
    """The same for an attack that makes none: an estimator is left out."""
    rest = options.copy()
    rest.pop("estimator", None)
    return rest


class Search:
    """Samples, labels, victim and threat of one call of an attack, with everything that every
    attack must do alike.

    - every point that is evaluated is a candidate, the clean sample first; of two the one that
      reaches the goal is kept, then the one with the larger rank (for misclassification: the
      margin). So a perturbation that went too far costs nothing, and samples that are wrong from
      the start are driven further all the same, which matters when they are tried elsewhere
    - EOT (Athalye et al., ICML 2018): with ``eot`` n and a victim that is random, gradients are the
      mean over n seeds, new ones in every iteration; a point counts as reaching the goal when it
      does in more than half of them. For a victim that is not random n is 1, because all seeds are
      alike
    - queries: forward passes for each sample
    """

    def __init__(
        self,
        victim: Victim,
        samples: np.ndarray,
        labels: np.ndarray,
        threat: Threat,
        *,
        seed: int = 0,
        estimator: Estimator | None = None,
        eot: int = 1,
        progress: Progress | None = None,
        norms: tuple[str, ...] = ("linf", "l2"),
        white_box: bool = True,
        goal: Goal | None = None,
        start: np.ndarray | None = None,
    ) -> None:
        if threat.norm not in norms:
            raise AttackError(
                f"this attack cannot keep to the threat {threat.norm!r}; it must be one of "
                f"{', '.join(norms)}"
            )
        check_kind(victim, threat)
        if isinstance(eot, bool) or not isinstance(eot, int) or eot < 1:
            raise AttackError(
                f"eot is {eot!r}; it must be a whole number of gradient samples from 1"
            )

        samples = np.asarray(samples)
        if samples.ndim < 2 or not len(samples) or samples.shape[1:] != tuple(victim.sample_shape):
            raise AttackError(
                f"samples have shape {samples.shape}; it must be [sample, "
                f"{', '.join(map(str, victim.sample_shape))}], at least one"
            )

        labels = np.asarray(labels)
        if (
            labels.shape != (len(samples),)
            or labels.dtype.kind not in "iu"
            or labels.min() < 0
            or labels.max() >= victim.classes
        ):
            raise AttackError(
                f"labels of type {labels.dtype}, shape {labels.shape}; "
                f"there must be one whole number from 0 to {victim.classes - 1} for each sample"
            )

        self.kind: type[np.float32] | type[np.uint8] = (
            np.float32 if threat.norm in ("linf", "l2") else np.uint8
        )
        self.samples: np.ndarray = np.ascontiguousarray(samples, dtype=self.kind)
        if not np.array_equal(self.samples, samples):
            raise AttackError(
                f"samples hold values that {np.dtype(self.kind).name} cannot; they must be float32 "
                f"images, or events 0 and 1"
            )
        verify(self.samples, self.samples, threat)

        self.victim, self.threat, self.seed, self.progress = victim, threat, seed, progress
        self.device: torch.device = getattr(victim, "device", torch.device("cpu"))
        self.clean = torch.from_numpy(self.samples).to(self.device, torch.float32)
        self.labels = torch.from_numpy(labels.astype(np.int64)).to(self.device)
        self.estimator = Estimator() if estimator is None else estimator
        self.goal: Goal = self.misclassify() if goal is None else goal
        self.repeats = eot if victim.stochastic else 1
        self.rows = torch.arange(len(samples), device=self.device)
        self.start = self._checked_start(start)

        self.queries = np.zeros(len(samples), np.int64)
        self.best = self.clean.clone()
        self.best_reached = torch.zeros(len(samples), dtype=torch.bool, device=self.device)
        self.best_rank = torch.full(
            (len(samples),), float("-inf"), dtype=torch.float64, device=self.device
        )
        self._draws = 0
        self._log: dict[str, list[np.ndarray]] = {}

        if white_box:
            self.estimator.begin()
            self.evaluate(self.clean)
            if self.start is not None:
                self.evaluate(self.start)

    def _checked_start(self, start: np.ndarray | None) -> torch.Tensor | None:
        if start is None:
            return None
        verify(self.samples, np.asarray(start), self.threat)
        return torch.from_numpy(np.ascontiguousarray(start, np.float32)).to(self.device)

    def first(self, run: int, draw: Callable[[int], torch.Tensor]) -> torch.Tensor:
        """Where run number ``run`` begins: the first one at the point that the search was given,
        others where ``draw`` says."""
        return self.start if run == 0 and self.start is not None else draw(run)

    def misclassify(self, loss: str = "ce", targets: torch.Tensor | None = None) -> Misclassify:
        """The goal of attacks on accuracy, with the victim's temperature."""
        return Misclassify(self.labels, loss, targets, getattr(self.victim, "temperature", 1.0))

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """A generator for each sample; see ``randomness``."""
        return generators(self.samples, self.seed, purpose)

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """Back into the ball and the range."""
        return geometry.project(x, self.clean, self.threat)

    def gradient(self, x: torch.Tensor) -> tuple[torch.Tensor, Outcome]:
        """(gradient of the goal's loss [sample, *shape], outcome) at x, whose samples are all of
        this search, in order."""
        total, outcomes = torch.zeros_like(self.clean), []
        parts = self.estimator.parts

        for draw in range(self.repeats):
            seed = self._next_seed()
            for part in parts:
                point = x.detach().clone().requires_grad_()
                with (
                    torch.enable_grad(),
                    self.goal.watching(),
                    part.applied(self.victim.model, frozen=draw > 0),
                ):
                    outcome = self._outcome(point, seed, self.rows)
                    (gradient,) = torch.autograd.grad(outcome.loss.sum(), point)
                total += gradient / len(parts)
                np.add.at(self.queries, self.rows.cpu().numpy(), 1)
            # all parts saw the same forward pass
            outcomes.append(outcome)

        self.estimator.advance()
        if not bool(torch.isfinite(total).all()):
            raise AttackError(
                f"estimator {self.estimator.name!r} gave a gradient that is not finite"
            )

        outcome = self._judge(x, outcomes, self.rows, counted=True)
        self.log(
            loss=outcome.loss,
            zero_gradient=(total == 0).flatten(1).all(dim=1),
            reached=self.best_reached,
        )

        return total / self.repeats, outcome

    @torch.no_grad()
    def evaluate(
        self, x: torch.Tensor, rows: torch.Tensor | None = None, *, candidate: bool = True
    ) -> Outcome:
        """Outcome at x [row, *shape] without gradient; ``rows``: numbers of the samples (all), each
        once where the points are candidates for the best one."""
        rows = self.rows if rows is None else rows
        outcomes = []
        for _ in range(self.repeats):
            with self.goal.watching():
                outcomes.append(self._outcome(x, self._next_seed(), rows))
        return self._judge(x, outcomes, rows, candidate)

    def query(
        self, x: torch.Tensor, rows: torch.Tensor | None = None, *, candidate: bool = True
    ) -> Outcome:
        """Outcome at x by ``victim.ask`` alone: all that a black-box attack may ask."""
        rows = self.rows if rows is None else rows
        arrays = self._samples(x)
        outcomes = []
        for _ in range(self.repeats):
            reading = ask(self.victim, arrays, self._next_seed())
            ties = None if reading.ties is None else reading.ties.to(self.device)
            outcomes.append(self.goal.outcome(Reading(reading.scores.to(self.device), ties), rows))
        return self._judge(x, outcomes, rows, candidate)

    def query_each(
        self, x: torch.Tensor, rows: torch.Tensor, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """(number of the best point, its rank), [row] each, of ``count`` points for each of some
        samples: x [row * count, *shape].

        One call of the victim for all of them; the best ones are candidates. A point that reaches
        the goal ranks above all others.
        """
        each = rows.repeat_interleave(count)
        outcome = self.query(x, each, candidate=False)
        rank = torch.where(outcome.reached, float("inf"), outcome.rank.double()).reshape(-1, count)
        best = rank.argmax(dim=1)
        chosen = torch.arange(len(rows), device=best.device) * count + best
        self._keep(
            x[chosen],
            Outcome(*(getattr(outcome, name)[chosen] for name in ("loss", "reached", "rank"))),
            rows,
        )
        return best.cpu().numpy(), rank.gather(1, best[:, None])[:, 0].cpu().numpy()

    def _samples(self, x: torch.Tensor) -> np.ndarray:
        """Points as samples: float32 images, or uint8 events, which must be 0 and 1."""
        values = x.detach().cpu().numpy()
        return (
            values.astype(self.kind)
            if self.kind is np.float32
            else whole(values, np.uint8, "attacked events", 0, 1)
        )

    def log(self, **values: torch.Tensor) -> None:
        """Append one line, [sample], to each named history."""
        for name, value in values.items():
            self._log.setdefault(name, []).append(value.detach().cpu().numpy().astype(np.float64))

    def tick(self, done: int, total: int) -> None:
        """Tell the caller how far the attack is."""
        if self.progress is not None:
            self.progress(done, total)

    def finish(self) -> AttackResult:
        """The best samples, verified; success by the victim's own prediction at the search's
        seed."""
        adversarial = self._samples(self.best)
        verify(self.samples, adversarial, self.threat)
        success = self.best_reached.cpu().numpy()
        if isinstance(self.goal, Misclassify):
            success = (
                np.asarray(self.victim.predict(adversarial, seed=self.seed)).argmax(axis=1)
                != self.labels.cpu().numpy()
            )
            self.queries += 1
        return AttackResult(
            adversarial,
            success,
            self.queries,
            {name: np.stack(lines) for name, lines in self._log.items()},
        )

    def _allowed(self, x: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Which points lie in the ball; some attacks (Carlini-Wagner) also visit others. Event
        attacks never leave theirs."""
        change = (x.detach() - self.clean[rows]).flatten(1).double()
        if self.threat.norm == "linf":
            return change.abs().amax(dim=1) <= self.threat.epsilon + 5e-7
        if self.threat.norm == "l2":
            return geometry.l2(change) <= self.threat.epsilon + 5e-7
        return torch.ones_like(rows, dtype=torch.bool)

    def _next_seed(self) -> int:
        self._draws += 1
        return derived_seed(self.seed, "draw", self._draws)

    def _outcome(self, x: torch.Tensor, seed: int, rows: torch.Tensor) -> Outcome:
        """The goal's outcome of one forward pass, less the penalty that a victim may put on its
        detector's reading."""
        outcome = self.goal.outcome(read(self.victim, x, seed), rows)
        penalty = getattr(self.victim, "penalty", None)
        return (
            outcome
            if penalty is None
            else Outcome(outcome.loss - penalty, outcome.reached, outcome.rank)
        )

    def _judge(
        self,
        x: torch.Tensor,
        outcomes: list[Outcome],
        rows: torch.Tensor,
        candidate: bool = True,
        counted: bool = False,
    ) -> Outcome:
        loss, rank = (
            torch.stack([getattr(o, n).detach() for o in outcomes]).mean(dim=0)
            for n in ("loss", "rank")
        )
        reached = torch.stack([o.reached for o in outcomes]).float().mean(dim=0) > 0.5
        if not counted:
            np.add.at(self.queries, rows.cpu().numpy(), len(outcomes))
        outcome = Outcome(loss, reached, rank)
        if candidate:
            self._keep(x, outcome, rows)
        return outcome

    def _keep(self, x: torch.Tensor, outcome: Outcome, rows: torch.Tensor) -> None:
        """Points [row, *shape], each sample once, that are better than the best so far take its
        place."""
        reached = outcome.reached
        known, rank = self.best_rank[rows], outcome.rank.to(self.best_rank)
        better = (reached & ~self.best_reached[rows]) | (
            (reached == self.best_reached[rows]) & (rank > known)
        )
        better &= self._allowed(x, rows)
        chosen = rows[better]
        self.best[chosen] = x.detach()[better].to(self.best)
        self.best_reached[chosen], self.best_rank[chosen] = reached[better], rank[better]
