"""Every attack on a small trained network: bounds, seeds, batch mates, strength against the
floor."""

import numpy as np
import pytest
import torch

from tests.toolchain.attacks import conftest
from toolchain.attacks import geometry
from toolchain.attacks.base import AttackError, Threat, verify
from toolchain.attacks.estimators import make_estimator
from toolchain.attacks.optimisers import apgd, sa_pgd, square
from toolchain.attacks.optimisers.apgd import APGD, TargetedAPGD
from toolchain.attacks.optimisers.carlini_wagner import CarliniWagner
from toolchain.attacks.optimisers.fab import FAB, onto_plane
from toolchain.attacks.optimisers.noise import Noise
from toolchain.attacks.optimisers.sa_pgd import SAPGD
from toolchain.attacks.optimisers.signed_steps import FGSM, PGD, RFGSM
from toolchain.attacks.optimisers.square import Square
from toolchain.attacks.optimisers.transfer import Transfer
from toolchain.attacks.search import Search
from toolchain.attacks.victims import PixelVictim, ProgramVictim

RADIUS = {"linf": 0.15, "l2": 0.6}

# attack → largest accuracy that it may leave on the small network, for linf and l2: measured, with
# some slack (clean: 0.875)
ATTACKS = {
    "fgsm": (FGSM(), 0.65, 0.7),
    "rfgsm": (RFGSM(), 0.8, 0.8),
    "bim": (PGD(10, restarts=0), 0.4, 0.6),
    "pgd": (PGD(10), 0.4, 0.55),
    "pgd restarts": (PGD(10, restarts=3), 0.35, 0.5),
    "pgd margin": (PGD(10, loss="margin"), 0.4, 0.5),
    "apgd ce": (APGD(20), 0.35, 0.5),
    "apgd dlr": (APGD(20, loss="dlr"), 0.4, 0.5),
    "apgd targeted": (TargetedAPGD(10, targets=3), 0.35, 0.5),
    "sa-pgd": (SAPGD(20), 0.4, 0.5),
    "cw": (CarliniWagner(30, rate=0.2, rounds=3), 0.5, 0.6),
    "fab": (FAB(20, targets=3), 0.55, 0.6),
    "square": (Square(80), 0.75, 0.75),
    "uniform": (Noise("uniform", 5), 0.85, 0.85),
    "gaussian": (Noise("gaussian", 5), 0.85, 0.85),
}


def attacked(name, victim, some, norm, **options):
    return ATTACKS[name][0](victim, *some, Threat(norm, RADIUS[norm]), **options)


@pytest.mark.parametrize("norm", RADIUS)
@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name, norm, victim, some, network):
    images, labels = some
    result = attacked(name, victim, some, norm, seed=3)
    verify(images, result.adversarial, Threat(norm, RADIUS[norm]))
    assert result.adversarial.dtype == np.float32
    # what is claimed is what the victim says
    assert np.array_equal(
        result.success, victim.predict(result.adversarial).argmax(axis=1) != labels
    )
    clean_wrong = victim.predict(images).argmax(axis=1) != labels
    assert not np.any(clean_wrong & ~result.success)
    assert np.all(result.queries >= 1)
    # reproducible, and changed by the seed where the attack is random
    again = attacked(name, victim, some, norm, seed=3)
    assert np.array_equal(result.adversarial, again.adversarial)
    assert np.array_equal(result.queries, again.queries)
    other = attacked(name, victim, some, norm, seed=4)
    assert np.array_equal(result.adversarial, other.adversarial) == (
        name in ("fgsm", "bim", "cw", "fab")
    )
    # a sample alone and in another order
    alone = attacked(name, victim, (images[[7, 2]], labels[[7, 2]]), norm, seed=3)
    assert np.allclose(alone.adversarial, result.adversarial[[7, 2]], atol=1e-6)
    assert 1 - result.success.mean() <= ATTACKS[name][1 + (norm == "l2")]


@pytest.mark.parametrize("norm", RADIUS)
def test_gradients_beat_noise(victim, some, norm):
    images, labels = some
    threat = Threat(norm, RADIUS[norm])
    floor = max(
        Noise(kind, 10)(victim, images, labels, threat).success.mean()
        for kind in ("uniform", "gaussian")
    )
    assert PGD(10)(victim, images, labels, threat).success.mean() > floor + 0.15


@pytest.mark.parametrize("attack", [PGD(20), APGD(20), SAPGD(20)])
def test_with_every_pixel_free_accuracy_is_at_most_chance(victim, some, attack):
    result = attack(victim, *some, Threat("linf", 1.0), estimator=make_estimator("atan"))
    assert 1 - result.success.mean() <= 0.1


def test_radius_zero_changes_nothing(victim, some):
    for name, (attack, *_) in ATTACKS.items():
        result = attack(victim, some[0][:4], some[1][:4], Threat("linf", 0.0))
        assert np.array_equal(result.adversarial, some[0][:4]), name


def test_the_toolboxs_steps_are_pgd(victim, some):
    """The adapter against the update rule written out."""
    images, labels = some
    threat, size, steps = Threat("linf", 0.15), 0.04, 6
    search = Search(victim, images, labels, threat)
    start = geometry.uniform_in_ball(search.clean, threat, search.generators("pgd 0"))
    x = start
    for _ in range(steps):
        x = x.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(
            victim.scores(x) / conftest.STEPS, torch.from_numpy(labels), reduction="sum"
        )
        (g,) = torch.autograd.grad(loss, x)
        x = (x.detach() + size * g.sign()).clamp(0, 1)
        x = (torch.from_numpy(images) + (x - torch.from_numpy(images)).clamp(-0.15, 0.15)).clamp(
            0, 1
        )
    from toolchain.attacks.toolbox import projected_gradient_descent

    found = projected_gradient_descent(search, steps, size, start)
    assert torch.allclose(found, x, atol=1e-6)


def bowl_search(some, threat, peak):
    """A search whose loss is -(x - peak)**2: a victim whose first score rises towards ``peak``."""

    class Bowl:
        sample_shape, classes, stochastic = (1, 8, 8), 2, False
        model = torch.nn.Module()

        def scores(self, samples, *, seed=0):
            distance = ((samples - peak) ** 2).flatten(1).sum(dim=1)
            return torch.stack([-distance, torch.full_like(distance, 100.0)], dim=1)

        def predict(self, samples, *, seed=0):
            return self.scores(torch.from_numpy(samples)).numpy()

    search = Search(Bowl(), some[0], np.ones(len(some[0]), np.int64), threat)
    search.goal = search.misclassify("margin")
    return search


@pytest.mark.parametrize("climb", [apgd.climb, sa_pgd.climb])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_optimisers_find_the_highest_point_of_a_bowl(some, climb, norm):
    threat = Threat(norm, 0.2)
    clean = torch.from_numpy(some[0])
    peak = (
        clean + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    ).clamp(0, 1)
    search = bowl_search(some, threat, peak)
    climb(search, 100, search.clean.clone())
    best = geometry.project(peak, clean, threat)
    assert float((search.best - best).abs().max()) < (0.005 if norm == "linf" else 0.02)


def test_sa_pgd_follows_its_rule(some):
    """The update written out; eta is halved after 22 % of the iterations, then 19 % later, 16 %, …
    never less than 6 %."""
    assert sa_pgd.halving_iterations(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sa_pgd.halving_iterations(10) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    threat = Threat("linf", 0.5)
    peak = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    search = bowl_search(some, threat, peak)
    x, m, v, eta = search.clean, 0.0, 0.0, 0.5
    for iteration in range(10):
        g = -2 * (x - peak)
        m = 0.5 * m + g / g.abs().mean(dim=(1, 2, 3), keepdim=True)
        v = 0.8 * v + g**2 / (g**2).mean(dim=(1, 2, 3), keepdim=True)
        x = x + (eta * m / (v.sqrt() + 1e-12)).clamp(-eta, eta)
        x = (search.clean + (x - search.clean).clamp(-0.5, 0.5)).clamp(0, 1)
        if iteration >= 1:
            eta /= 2
    visited = []
    search.evaluate = visited.append
    sa_pgd.climb(search, 10, search.clean)
    assert torch.allclose(visited[0], x, atol=1e-6)


def test_apgd_checkpoints():
    assert apgd.checkpoints(100) == [0, 22, 41, 57, 70, 80, 87, 93, 99]


def test_square_windows_shrink_and_reach_every_pixel():
    shares = [square.share_of_image(i, 1000, 0.8) for i in range(1000)]
    assert shares[0] == 0.8
    assert shares[-1] == 0.8 / 512
    assert sorted(shares, reverse=True) == shares
    generator, seen = np.random.default_rng(0), np.zeros((5, 7))
    for _ in range(300):
        seen[square._window(generator, (2, 5, 7), 2)[1:]] += 1
    assert np.all(seen > 0)


def test_square_l2_uses_the_whole_radius():
    generator = np.random.default_rng(0)
    change = square._tiles(generator, (2, 10, 10), 0.7)
    for _ in range(50):
        assert np.isclose(np.sqrt((change**2).sum()), 0.7)
        change = square._moved_mass(generator, change, 3, 0.7)


def test_square_asks_no_more_than_allowed_and_rests_once_broken(victim, some):
    result = Square(60)(victim, *some, Threat("linf", 0.15))
    assert result.queries.max() <= 60
    assert result.queries[~result.success].min() == 60
    assert result.queries[result.success].min() < 60


def test_carlini_wagner_finds_small_changes(victim, some):
    """The l2 form returns what is nearest; a larger radius must not make it any farther than the
    radius."""
    images, labels = some
    result = CarliniWagner(60, rate=0.1, rounds=4)(victim, images, labels, Threat("l2", 2.0))
    assert result.success.mean() > 0.9


def test_black_boxes_run_on_the_integer_program(network, some):
    from tests.toolchain.attacks.test_victims import program_of
    from toolchain.attacks.encoding import Direct

    images, labels = some[0][:15], some[1][:15]
    chip, software = (
        ProgramVictim(program_of(network), Direct(conftest.STEPS, 8, 4)),
        PixelVictim(network),
    )
    threat = Threat("linf", 0.15)
    for attack in (Noise(tries=3), Square(80)):
        on_chip, on_software = (
            attack(chip, images, labels, threat),
            attack(software, images, labels, threat),
        )
        # bit-identical twins: the same attack, the same samples
        assert np.array_equal(on_chip.adversarial, on_software.adversarial)
        assert np.array_equal(on_chip.success, on_software.success)
    transferred = Transfer(PGD(10), software)(chip, images, labels, threat)
    assert np.array_equal(transferred.success, PGD(10)(software, images, labels, threat).success)
    assert np.array_equal(transferred.queries, np.ones(15))
    with pytest.raises(AttackError, match="has no gradient"):
        PGD(3)(chip, images, labels, threat)


def test_transfer_between_networks(victim, second_network, some):
    other = PixelVictim(second_network)
    threat = Threat("linf", 0.15)
    crafted = PGD(10)(other, *some, threat, seed=2)
    result = Transfer(PGD(10), other)(victim, *some, threat, seed=2)
    assert np.array_equal(result.adversarial, crafted.adversarial)
    assert np.array_equal(result.history["source_success"][0], crafted.success)
    clean = (victim.predict(some[0]).argmax(axis=1) != some[1]).mean()
    assert clean < result.success.mean() <= PGD(10)(victim, *some, threat, seed=2).success.mean()


def test_eot_averages_over_seeds_and_freezes_the_rest(digits, poisson_network):
    victim = PixelVictim(poisson_network)
    images, labels = digits.test[:20], digits.test_labels[:20]
    threat = Threat("linf", 0.2)
    seen = []

    class Watching(type(make_estimator("assg"))):
        def applied(self, model, frozen=False):
            seen.append(frozen)
            return super().applied(model, frozen)

    result = SAPGD(6)(victim, images, labels, threat, estimator=Watching(0.9), eot=3)
    assert seen == [False, True, True] * 6
    # the clean sample and the last point, 6 gradients, each with 3 draws; the final prediction
    assert np.all(result.queries == 3 * 8 + 1)
    gradient = Search(victim, images, labels, threat, eot=4, seed=5).gradient(
        torch.from_numpy(images)
    )[0]
    search = Search(victim, images, labels, threat, eot=4, seed=5)
    parts = []
    for _ in range(4):
        x = torch.from_numpy(images).requires_grad_()
        scores = victim.scores(x, seed=search._next_seed()) / conftest.STEPS
        loss = torch.nn.functional.cross_entropy(scores, torch.from_numpy(labels), reduction="sum")
        parts.append(torch.autograd.grad(loss, x)[0])
    assert torch.allclose(gradient, torch.stack(parts).mean(dim=0), atol=1e-6)
    assert not torch.allclose(parts[0], parts[1])


def test_history_is_there_for_the_honesty_checks(victim, some):
    history = APGD(5)(victim, *some, Threat("linf", 0.1)).history
    assert (
        history["loss"].shape
        == history["zero_gradient"].shape
        == history["reached"].shape
        == (6, 40)
    )
    assert set(np.unique(history["zero_gradient"])) <= {0.0, 1.0}
    assert np.all(np.diff(history["reached"], axis=0) >= 0)


def test_progress(victim, some):
    for attack in (
        PGD(3, restarts=2),
        APGD(3),
        SAPGD(3),
        Square(10),
        Noise(tries=2),
        CarliniWagner(3),
    ):
        seen = []
        attack(
            victim,
            some[0][:3],
            some[1][:3],
            Threat("linf", 0.01),
            progress=lambda *state, seen=seen: seen.append(state),
        )
        assert seen[-1][0] == seen[-1][1], attack


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda v, x, y: PGD(0), "steps is 0"),
        (lambda v, x, y: PGD(3, step=0.1, step_size=0.1), "say the same thing"),
        (lambda v, x, y: PGD(3, step=-1.0), "positive"),
        (
            lambda v, x, y: PGD(3, loss="nll")(v, x, y, Threat("linf", 0.1)),
            "it must be one of ce, dlr, margin",
        ),
        (lambda v, x, y: RFGSM(1.0), "between 0 and 1"),
        (lambda v, x, y: APGD(3, loss="nll"), "it must be one of ce, dlr, margin"),
        (lambda v, x, y: Square(1), "queries is 1"),
        (lambda v, x, y: Square(10, share=0.0), "share is 0.0"),
        (lambda v, x, y: Noise("pink"), "uniform or gaussian"),
        (lambda v, x, y: CarliniWagner(rate=0.0), "positive"),
        (lambda v, x, y: PGD(3)(v, x, y, Threat("flips", 3)), "cannot keep to the threat 'flips'"),
        (lambda v, x, y: PGD(3)(v, x, y[:-1], Threat("linf", 0.1)), "one whole number from 0 to 9"),
        (lambda v, x, y: PGD(3)(v, x, y + 9, Threat("linf", 0.1)), "one whole number from 0 to 9"),
        (
            lambda v, x, y: PGD(3)(v, x[:, :, :4], y, Threat("linf", 0.1)),
            "it must be .sample, 1, 8, 8.",
        ),
        (lambda v, x, y: PGD(3)(v, x * 2, y, Threat("linf", 0.1)), "allowed are 0.0 to 1.0"),
        (
            lambda v, x, y: PGD(3)(v, x.astype(np.float64) + 1e-9, y, Threat("linf", 0.1)),
            "float32 cannot",
        ),
        (lambda v, x, y: PGD(3)(v, x, y, Threat("linf", 0.1), eot=0), "eot is 0"),
    ],
)
def test_refused(victim, some, make, said):
    with pytest.raises(AttackError, match=said):
        make(victim, *some)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fab_finds_the_nearest_point_of_a_plane_inside_the_box(norm):
    rng = np.random.default_rng(0)
    x, gradient = (torch.from_numpy(rng.random((30, 1, 2, 3)).astype(np.float32)) for _ in range(2))
    gradient = gradient - 0.4
    # planes that the box reaches: through another point of it
    other = torch.from_numpy(rng.random(x.shape).astype(np.float32))
    climb = -(gradient * (other - x)).flatten(1).sum(dim=1)
    found = onto_plane(x, gradient, climb, Threat(norm, 1.0))
    assert float((climb + (gradient * (found - x)).flatten(1).sum(dim=1)).abs().max()) < 1e-5
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1
    length = (lambda d: d.abs().flatten(1).amax(1)) if norm == "linf" else geometry.l2
    best = length(found - x)
    assert bool((best <= length(other - x) + 1e-6).all())
    # no nearer point of the plane: random directions inside it from the one found
    for _ in range(50):
        moved = torch.from_numpy(rng.normal(0, 0.05, x.shape).astype(np.float32))
        share = (gradient * moved).flatten(1).sum(1) / (gradient**2).flatten(1).sum(1)
        near = found + moved - geometry.per_sample(share, moved) * gradient
        inside = ((near >= 0) & (near <= 1)).flatten(1).all(dim=1)
        assert bool((length(near - x) >= best - 1e-5)[inside].all())
