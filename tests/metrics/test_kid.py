"""KID compared with its definition and its closed form, and the sampling of its subsets."""

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.metrics import kid


def normal(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def test_by_hand():
    # k(0, 2) = 1, k(1, 3) = 64; between 0: 1, 1; between 2 and 1, 3: 27, 343. 1 + 64 - 2 * 372 / 4.
    assert kid.unbiased(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])) == pytest.approx(-121, rel=1e-14)


@pytest.mark.parametrize("tile", [1000, 16])
def test_by_definition(tile, monkeypatch):
    monkeypatch.setattr(kid, "TILE_SIZE", tile)
    x, y = normal(0, 40, 5), normal(1, 57, 5) + 0.4
    k = lambda a, b: (np.dot(a, b) / 5 + 1) ** 3  # noqa: E731
    want = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    want += np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    want -= 2 * np.mean([k(a, b) for a in x for b in y])
    assert kid.unbiased(x, y) == pytest.approx(want, rel=1e-10)
    assert kid.unbiased(y, x) == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_unbiased_at_50_examples(shift):
    """N(0, I) against N(mu, I), m = ||mu||^2: 3m/d + 3m^2/d^2 + 3m/d^2 + (m^3 + 6m^2 + 6m)/d^3."""
    d = 8
    m = d * shift**2
    want = 3 * m / d + 3 * m**2 / d**2 + 3 * m / d**2 + (m**3 + 6 * m**2 + 6 * m) / d**3
    got = [kid.unbiased(normal(2 * i, 50, d), normal(2 * i + 1, 50, d) + shift) for i in range(600)]
    error = np.std(got) / np.sqrt(600)
    assert abs(np.mean(got) - want) < 4 * error and error < 0.02


def test_subsets_are_sampled_in_order():
    x, y = normal(0, 60, 4), normal(1, 70, 4) + 0.5
    random = np.random.RandomState(7)
    want = []
    for _ in range(3):
        a = x[random.permutation(60)[:20]]  # what `choice` without replacement draws
        want.append(kid.unbiased(a, y[random.permutation(70)[:20]]))
    got = kid.evaluate(x, y, subsets=3, size=20, seed=7)
    assert got == pytest.approx((np.mean(want), np.std(want)), rel=1e-12)
    assert got != kid.evaluate(x, y, subsets=3, size=20, seed=8)


def test_float32_features_are_computed_in_float64():
    x, y = (normal(i, 200, 64).astype(np.float32) * 3 + 2 for i in (0, 1))
    want = kid.unbiased(x.astype(np.float64), y.astype(np.float64))
    assert kid.unbiased(x, y) == want


def test_bad_input_is_one_sentence():
    x = normal(0, 20, 3)
    with pytest.raises(UserError, match="at least 1000 real features, not 20"):
        kid.evaluate(x, x)
    with pytest.raises(UserError, match="not 0 of 10"):
        kid.evaluate(x, x, subsets=0, size=10)
    with pytest.raises(UserError, match="not 5 of 1"):
        kid.evaluate(x, x, subsets=5, size=1)
    with pytest.raises(UserError, match="3 dimensions and fake features 2"):
        kid.unbiased(x, x[:, :2])
    with pytest.raises(UserError, match="all 20 real features are equal"):
        kid.unbiased(np.ones((20, 3)), x)
    with pytest.raises(UserError, match="real features are not finite"):
        kid.unbiased(x * np.inf, x)
