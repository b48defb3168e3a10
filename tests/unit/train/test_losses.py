"""Each loss against its equation written again in NumPy on vectors made from angles, against pytorch-metric-learning where it has the loss, at its
limits, and its gradient against finite differences."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from faceworks.errors import ConfigError  # noqa: E402
from faceworks.train.losses import LOSSES, build_loss  # noqa: E402
from faceworks.train.losses.margin import arc, multiple_angle  # noqa: E402

ANGLES = np.radians([0, 25, 60, 95, 140, 200, 290, 345])
LABELS = np.array([0, 0, 1, 1, 2, 2, 0, 2])
ROWS = np.radians([10, 80, 170])
NORMS = np.array([1.0, 2.0, 0.5, 3.0, 1.5, 1.0, 15.0, 40.0])


def turn(angles, norms=1.0):
    """Vectors of these angles (radians) and lengths: (N, 2)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.reshape(norms, (-1, 1))


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


X = turn(ANGLES, NORMS)
W = turn(ROWS, [1.0, 0.7, 2.0])


def between(a, b):
    """Angles between vectors of angles a and b, in 0..π: (N, C)."""
    return np.abs((a[:, None] - b[None] + math.pi) % (2 * math.pi) - math.pi)


THETA = between(ANGLES, ROWS)


def cross_entropy(logits):
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(logits)), LABELS]))


def with_target(logits, target):
    changed = logits.copy()
    changed[np.arange(len(LABELS)), LABELS] = target
    return changed


def made(name, **arguments):
    """The loss in float64 with the rows W, in eval mode (nothing it keeps changes)."""
    loss = build_loss(name, 3, 2, **arguments).double().eval()
    if hasattr(loss, "weight"):
        with torch.no_grad():
            loss.weight.copy_(tensor(W))
    return loss


def value(loss, x=X, labels=LABELS):
    return float(loss(tensor(x), torch.tensor(labels)).detach())


RIGHT = THETA[np.arange(len(LABELS)), LABELS]


def continued_arc(theta, margin):
    return np.where(theta + margin <= math.pi, np.cos(theta + margin), np.cos(theta) - margin * math.sin(margin))


def psi(theta, m):
    k = np.floor(m * theta / math.pi)
    return (-1) ** k * np.cos(m * theta) - 2 * k


# --- classification losses -------------------------------------------------------------------------------------------------------------------


def test_softmax_is_its_equation():
    loss = made("softmax")
    with torch.no_grad():
        loss.bias.copy_(tensor([0.3, -0.2, 0.1]))
    assert value(loss) == pytest.approx(cross_entropy(X @ W.T + [0.3, -0.2, 0.1]), abs=1e-12)


def test_normface_sees_angles_alone():
    assert value(made("normface", scale=8.0)) == pytest.approx(cross_entropy(8 * np.cos(THETA)), abs=1e-9)


def test_cosface_takes_the_margin_from_the_cosine():
    assert value(made("cosface", scale=8.0, margin=0.35)) == pytest.approx(
        cross_entropy(8 * with_target(np.cos(THETA), np.cos(RIGHT) - 0.35)), abs=1e-9
    )


def test_arcface_adds_the_margin_to_the_angle():
    assert (math.pi < RIGHT + 0.5).any(), "the angles must reach beyond π − m"
    assert value(made("arcface", scale=8.0)) == pytest.approx(cross_entropy(8 * with_target(np.cos(THETA), continued_arc(RIGHT, 0.5))), abs=1e-9)


def test_easy_margin_leaves_obtuse_angles_alone():
    target = np.where(math.pi / 2 > RIGHT, np.cos(RIGHT + 0.5), np.cos(RIGHT))
    assert value(made("arcface", scale=8.0, easy=True)) == pytest.approx(cross_entropy(8 * with_target(np.cos(THETA), target)), abs=1e-9)


@pytest.mark.parametrize(("start", "least"), [(0.0, 0.0), (1000.0, 5.0)])
def test_sphereface_multiplies_the_angle(start, least):
    ease = max(least, start)
    target = (ease * np.cos(RIGHT) + psi(RIGHT, 4)) / (1 + ease)
    assert value(made("sphereface", start=start, least=least)) == pytest.approx(
        cross_entropy(with_target(np.cos(THETA), target) * NORMS[:, None]), abs=1e-7
    )


def test_sphereface_anneals_as_it_trains():
    loss = made("sphereface").train()
    for _ in range(10):
        value(loss)
    assert int(loss.steps) == 10
    assert value(loss.eval()) == pytest.approx(
        cross_entropy(with_target(np.cos(THETA), (500 * np.cos(RIGHT) + psi(RIGHT, 4)) / 501) * NORMS[:, None]), abs=1e-7
    )


def test_combined_margin_is_its_equation():
    target = psi(1.2 * RIGHT + 0.3, 1) - 0.2
    assert value(made("combined", scale=8.0, m1=1.2)) == pytest.approx(cross_entropy(8 * with_target(np.cos(THETA), target)), abs=1e-7)


@pytest.mark.parametrize("t", [0.0, 0.4])
def test_curricularface_presses_hard_others(t):
    loss = made("curricularface", scale=8.0)
    loss.t.fill_(t)
    cosine = np.cos(THETA)
    hard = cosine > np.cos(RIGHT + 0.5)[:, None]
    logits = with_target(np.where(hard, cosine * (t + cosine), cosine), continued_arc(RIGHT, 0.5))
    assert hard.any()
    assert not hard.all()
    assert value(loss) == pytest.approx(cross_entropy(8 * logits), abs=1e-9)


def test_curricularface_keeps_a_running_mean():
    loss = made("curricularface").train()
    value(loss)
    assert float(loss.t) == pytest.approx(0.01 * np.cos(RIGHT).mean(), abs=1e-9)


def test_magface_asks_more_of_long_vectors():
    a = np.clip(NORMS, 10, 110)
    margin = 0.45 + 0.35 * (a - 10) / 100
    target = np.where(RIGHT + margin < math.pi, np.cos(RIGHT + margin), np.cos(RIGHT) - margin * np.sin(margin))
    wanted = cross_entropy(8 * with_target(np.cos(THETA), target)) + 35 * np.mean(a / 110**2 + 1 / a)
    assert value(made("magface", scale=8.0)) == pytest.approx(wanted, abs=1e-9)


def test_adaface_turns_with_quality():
    loss = made("adaface", scale=8.0)
    loss.mean.fill_(5.0)
    loss.deviation.fill_(2.0)
    quality = np.clip((NORMS - 5) / (2 + 1e-3) * 0.333, -1, 1)
    assert quality.min() < 0 < quality.max()
    target = np.cos(np.clip(RIGHT - 0.4 * quality, 1e-3, math.pi - 1e-3)) - (0.4 * quality + 0.4)
    assert value(loss) == pytest.approx(cross_entropy(8 * with_target(np.cos(THETA), target)), abs=1e-9)


def test_adaface_keeps_running_lengths():
    loss = made("adaface").train()
    value(loss)
    assert float(loss.mean) == pytest.approx(0.99 * 20 + 0.01 * NORMS.mean())
    assert float(loss.deviation) == pytest.approx(0.99 * 100 + 0.01 * NORMS.std(ddof=1))


def test_center_is_its_equation_and_moves_by_the_papers_rule():
    loss = build_loss("center", 3, 2, weight=0.1).double().eval()
    centers = turn(ROWS)
    with torch.no_grad():
        loss.softmax.weight.copy_(tensor(W))
        loss.center.centers.copy_(tensor(centers))
    pull = np.mean(np.sum((X - centers[LABELS]) ** 2, axis=1)) / 2
    assert value(loss) == pytest.approx(cross_entropy(X @ W.T) + 0.1 * pull, abs=1e-9)
    value(loss.train())
    for person in range(3):
        own = X[person == LABELS]
        wanted = centers[person] - 0.5 * (centers[person] - own).sum(axis=0) / (1 + len(own))
        np.testing.assert_allclose(loss.center.centers[person], wanted, atol=1e-12)


# --- limits ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("cosface", {"margin": 0.0}), ("arcface", {"margin": 0.0}), ("combined", {"m1": 1.0, "m2": 0.0, "m3": 0.0})],
)
def test_without_a_margin_they_are_normface(name, arguments):
    assert value(made(name, scale=8.0, **arguments)) == pytest.approx(value(made("normface", scale=8.0)), abs=1e-9)


def test_combined_margin_holds_the_others():
    acute = math.pi - 0.5 > RIGHT
    x, labels = X[acute], LABELS[acute]
    assert value(made("combined", m1=1.0, m2=0.5, m3=0.0), x, labels) == pytest.approx(value(made("arcface"), x, labels), abs=1e-7)
    assert value(made("combined", m1=1.0, m2=0.0, m3=0.35)) == pytest.approx(value(made("cosface")), abs=1e-7)


def test_the_margin_of_arcface_moves_the_angle_by_m():
    theta = torch.linspace(0.01, math.pi - 0.51, 50, dtype=torch.float64)
    np.testing.assert_allclose(torch.acos(arc(torch.cos(theta), 0.5)), theta + 0.5, atol=1e-9)


@pytest.mark.parametrize("target", [lambda a: arc(torch.cos(a), 0.5), lambda a: multiple_angle(a, 4), lambda a: multiple_angle(1.3 * a + 0.4)])
def test_targets_fall_all_the_way(target):
    values = target(torch.linspace(0.001, math.pi - 0.001, 400, dtype=torch.float64))
    assert (values.diff() < 0).all()


@pytest.mark.parametrize("name", [name for name, kind in LOSSES.items() if kind.classes])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_gradients_are_finite_at_the_ends(name, sign):
    """A vector that lies on its row, or opposite to it, in float32."""
    loss = build_loss(name, 3, 2)
    rows = torch.tensor(W, dtype=torch.float32)
    if hasattr(loss, "weight"):
        loss.weight.data.copy_(rows)
    x = (sign * rows).clone().requires_grad_()
    result = loss(x, torch.arange(3))
    result.backward()
    assert torch.isfinite(result)
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if name not in ("circle", "adaface")])  # their weights are constants to the gradient
def test_gradient_is_the_slope(name):
    """Finite differences in float64; scale 8, as 64 makes the softmax a step. Vectors of length 1 to 3, or 20 to 40 where lengths matter."""
    arguments = {"scale": 8.0} if name not in ("contrastive", "triplet", "softmax", "center", "sphereface") else {}
    if name == "triplet":
        arguments = {"miner": "all", "margin": 1.0}
    loss = made(name, **arguments)
    rng = np.random.default_rng(3)
    x = tensor(turn(ANGLES + rng.uniform(0.01, 0.05, 8), NORMS.clip(1, 3) * (12 if name == "magface" else 1))).requires_grad_()
    labels = torch.tensor(LABELS)
    parameters = list(loss.parameters())

    def call(vectors, *_):
        return loss(vectors, labels)

    assert torch.autograd.gradcheck(call, (x, *parameters), eps=1e-7, atol=1e-5)


def test_adafaces_gradient_leaves_the_length_alone():
    """Quality has no gradient, and the rest sees angles: the gradient has no part along the vector."""
    loss = made("adaface", scale=8.0)
    x = tensor(X).requires_grad_()
    loss(x, torch.tensor(LABELS)).backward()
    along = (x.grad * x).sum(dim=1)
    assert x.grad.abs().max() > 1e-6
    assert along.abs().max() < 1e-12


# --- pairs -----------------------------------------------------------------------------------------------------------------------------------


def test_contrastive_is_its_equation():
    terms = []
    unit = turn(ANGLES)
    for i in range(8):
        for j in range(i + 1, 8):
            d = np.linalg.norm(unit[i] - unit[j])
            terms.append(d**2 / 2 if LABELS[i] == LABELS[j] else max(0, 1 - d) ** 2 / 2)
    assert value(made("contrastive")) == pytest.approx(np.mean(terms), abs=1e-12)


def test_contrastive_bears_equal_vectors_of_two_people():
    x = torch.ones(2, 3, requires_grad=True)
    made("contrastive").float()(x, torch.tensor([0, 1])).backward()
    assert torch.isfinite(x.grad).all()


def test_triplet_is_its_equation():
    unit = turn(ANGLES)
    squared = ((unit[:, None] - unit[None]) ** 2).sum(axis=2)
    terms = [
        max(0, squared[a, p] - squared[a, n] + 0.2)
        for a in range(8)
        for p in range(8)
        for n in range(8)
        if a != p and LABELS[a] == LABELS[p] and LABELS[a] != LABELS[n]
    ]
    assert value(made("triplet", miner="all")) == pytest.approx(np.mean(terms), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "labels"), [("contrastive", [0]), *((name, labels) for name in ("triplet", "circle") for labels in ([0, 1, 2], [0, 0, 0], [0]))]
)
def test_batches_without_a_comparison_have_loss_zero_and_a_gradient(name, labels):
    x = torch.randn(len(labels), 4, requires_grad=True)
    result = build_loss(name, 3, 4)(x, torch.tensor(labels))
    result.backward()
    assert float(result.detach()) == 0
    assert torch.equal(x.grad, torch.zeros_like(x))


# --- the oracle ------------------------------------------------------------------------------------------------------------------------------


def oracles():
    losses, distances, reducers = (
        pytest.importorskip(f"pytorch_metric_learning.{part}", reason="the oracle is pytorch-metric-learning")
        for part in ("losses", "distances", "reducers")
    )
    return {
        "normface": (losses.NormalizedSoftmaxLoss(3, 2, temperature=1 / 8), {"scale": 8.0}),
        "cosface": (losses.CosFaceLoss(3, 2, margin=0.35, scale=8), {"scale": 8.0}),
        "arcface": (losses.ArcFaceLoss(3, 2, margin=math.degrees(0.5), scale=8), {"scale": 8.0}),
        "sphereface": (losses.SphereFaceLoss(3, 2, margin=4, scale=1), {"start": 0.0, "least": 0.0}),
        "circle": (losses.CircleLoss(m=0.25, gamma=16), {"scale": 16.0}),
        "triplet": (
            losses.TripletMarginLoss(margin=0.2, distance=distances.LpDistance(power=2), reducer=reducers.MeanReducer()),
            {"miner": "all"},
        ),
    }


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # the oracle's own
@pytest.mark.parametrize("name", ["normface", "cosface", "arcface", "sphereface", "circle", "triplet"])
def test_value_and_gradient_equal_pytorch_metric_learning(name):
    oracle, arguments = oracles()[name]
    oracle, loss = oracle.double(), made(name, **arguments)
    if hasattr(oracle, "W"):
        with torch.no_grad():
            oracle.W.copy_(tensor(W).T)
    results = []
    for item in (oracle, loss):
        x = tensor(X).requires_grad_()
        result = item(x, torch.tensor(LABELS))
        result.backward()
        results.append((float(result.detach()), x.grad))
    (wanted, slope), (got, own) = results
    assert got == pytest.approx(wanted, rel=1e-6)
    np.testing.assert_allclose(own, slope, rtol=1e-4, atol=1e-6)


# --- partial FC and the table ----------------------------------------------------------------------------------------------------------------


def test_partial_fc_takes_the_batchs_people_and_learns_drawn_rows_alone():
    torch.manual_seed(0)
    loss = build_loss("cosface", 50, 4, partial=0.2)
    labels = torch.tensor([3, 3, 41])
    drawn = loss.sample(labels)
    assert len(drawn) == 10
    assert {3, 41} <= set(drawn.tolist())
    torch.manual_seed(5)
    state = torch.get_rng_state()
    drawn = loss.sample(labels)
    torch.set_rng_state(state)
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    result = loss(x, labels)
    result.backward()
    touched = torch.nonzero(loss.loss.weight.grad.abs().sum(dim=1))[:, 0]
    assert touched.tolist() == drawn.tolist()
    cosine = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(loss.loss.weight[drawn]).T
    cosine[torch.arange(3), torch.searchsorted(drawn, labels)] -= 0.35
    wanted = torch.nn.functional.cross_entropy(64 * cosine, torch.searchsorted(drawn, labels))
    assert float(result.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert float(loss.eval()(x, labels).detach()) == pytest.approx(float(loss.loss(x, labels).detach()))


def test_partial_fc_of_all_classes_is_the_loss():
    whole, part = made("arcface"), build_loss("arcface", 3, 2, partial=1.0)
    assert type(part) is type(whole)


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("arcfac", {}, "arcface"),
        ("arcface", {"marging": 0.5}, "marging"),
        ("arcface", {"margin": 28.6}, "radians"),
        ("triplet", {"miner": "hardest"}, "semi-hard"),
        ("triplet", {"partial": 0.1}, "cannot be sampled"),
        ("softmax", {"partial": 0.1}, "margin loss"),
        ("sphereface", {"margin": 1.5}, "whole"),
    ],
)
def test_wrong_losses_are_refused_with_what_would_do(name, arguments, why):
    with pytest.raises(ConfigError, match=why):
        build_loss(name, 10, 4, **arguments)
