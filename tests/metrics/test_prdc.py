"""Precision, recall, density, coverage: by hand, by definition, and what theory expects of equal distributions."""

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.metrics import prdc


def normal(seed: int, n: int, d: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def by_definition(real: np.ndarray, fake: np.ndarray, k: int, strict: bool) -> dict[str, float]:
    """One comparison at a time, on integers: nothing is rounded."""
    distance = lambda a, b: int(np.sum((a.astype(int) - b.astype(int)) ** 2))  # noqa: E731
    radii = lambda xs: [sorted(distance(a, b) for j, b in enumerate(xs) if j != i)[k - 1] for i, a in enumerate(xs)]  # noqa: E731
    inside = lambda d, r: d < r if strict else d <= r  # noqa: E731
    in_real = [[inside(distance(x, y), r) for y in fake] for x, r in zip(real, radii(real), strict=True)]
    in_fake = [[inside(distance(x, y), r) for y, r in zip(fake, radii(fake), strict=True)] for x in real]
    return {
        "precision": np.mean(np.any(in_real, axis=0)),
        "recall": np.mean(np.any(in_fake, axis=1)),
        "density": np.sum(in_real) / (k * len(fake)),
        "coverage": np.mean(np.any(in_real, axis=1)),
    }


def test_by_hand():
    """Real 0, 1, 3 have radii 1, 1, 2 at k = 1; fake 0.5, 5, 6 have 4.5, 1, 1.

    .5 is in the balls of 0 and 1; 5 is on the sphere of 3, and 6 nowhere. 0, 1 and 3 are all within 4.5 of .5.
    """
    real, fake = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [5.0], [6.0]])
    got = prdc.evaluate(real, fake, 1)
    assert got == pytest.approx({"precision": 1 / 3, "recall": 1, "density": 2 / 3, "coverage": 2 / 3}, rel=1e-12)
    got = prdc.evaluate(real, fake, 1, strict=False)
    assert got == pytest.approx({"precision": 2 / 3, "recall": 1, "density": 1, "coverage": 1}, rel=1e-12)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("k", [1, 3])
def test_by_definition_where_distances_repeat(k, strict):
    r = np.random.default_rng(0)
    real, fake = r.integers(0, 5, (60, 3)), r.integers(0, 4, (45, 3))
    want = by_definition(real, fake, k, strict)
    assert prdc.evaluate(real, fake, k, strict=strict) == pytest.approx(want, rel=1e-12)
    assert want != by_definition(real, fake, k, not strict)


def test_each_k_at_once():
    real, fake = normal(0, 200, 4), normal(1, 150, 4)
    each = [prdc.evaluate(real, fake, k) for k in (3, 5, 1)]
    assert prdc.evaluate_each(real, fake, (3, 5, 1)) == each
    assert prdc.evaluate_each(real, fake, (3, 5, 1), real_radii=prdc.radii(real, (3, 5, 1))) == each


def test_radii_by_hand():
    x = np.array([[0.0], [1.0], [3.0]])
    np.testing.assert_array_equal(prdc.radii(x, (2, 1)), [[9, 1], [4, 1], [9, 4]])
    with pytest.raises(UserError, match="k = 3 must be from 1 to 2"):
        prdc.radii(x, (3,))


def test_precision_is_recall_the_other_way_round():
    real, fake = normal(0, 200, 4), 0.5 * normal(1, 150, 4)
    one, other = prdc.evaluate(real, fake, 3), prdc.evaluate(fake, real, 3)
    assert (one["precision"], one["recall"]) == (other["recall"], other["precision"])
    assert one["precision"] > 0.95 and one["recall"] < 0.7  # a narrow fake is precise and covers less


def test_far_apart_and_equal():
    x = normal(0, 100, 4)
    assert set(prdc.evaluate(x, x + 100, 5).values()) == {0}
    same = prdc.evaluate(x, x, 5)
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    assert same["density"] == 1  # itself and 4 of its 5 neighbours: the fifth is on the sphere


def test_units_do_not_matter():
    real, fake = normal(0, 200, 4), normal(1, 150, 4)
    want = prdc.evaluate(real, fake, 3)
    for scale, shift in ((1e-20, 0.0), (1e20, 0.0), (1.0, 1e6)):
        assert prdc.evaluate(real * scale + shift, fake * scale + shift, 3) == want


def test_expected_coverage():
    """arXiv:2002.09797, lemma 2: N = M = 1,000 at k = 1 to 7, and 10,000 at 5."""
    got = [prdc.expected_coverage(1000, 1000, k) for k in range(1, 8)]
    np.testing.assert_allclose(got, [0.5003, 0.7504, 0.8754, 0.9378, 0.9690, 0.9845, 0.9923], atol=5e-5)
    assert prdc.expected_coverage(10_000, 10_000, 5) == pytest.approx(0.96877, abs=5e-6)


@pytest.mark.parametrize("d", [1, 20])
def test_equal_distributions_have_density_1_and_the_expected_coverage(d):
    """Whatever the dimension; precision is below 1, in 20 dimensions far."""
    n, m, k = 150, 100, 3
    got = [prdc.evaluate(normal(2 * i, n, d), normal(2 * i + 1, m, d), k) for i in range(60)]
    for name, want in (("density", 1), ("coverage", prdc.expected_coverage(n, m, k))):
        scores = [g[name] for g in got]
        assert abs(np.mean(scores) - want) < 4 * np.std(scores) / np.sqrt(60) < 0.1
    precision = np.mean([g["precision"] for g in got])
    assert precision > 0.9 if d == 1 else precision < 0.85


def test_bad_input_is_one_sentence():
    x = normal(0, 20, 3)
    for k in (0, -1, 10, 11):
        with pytest.raises(UserError, match=f"k = {k} must be from 1 to 9"):
            prdc.evaluate(x, x[:10], k)
    assert prdc.evaluate(x, x[:10], 9)["precision"] == 1
    with pytest.raises(UserError, match="at least 2 fake features, not 1"):
        prdc.evaluate(x, x[:1], 1)
    with pytest.raises(UserError, match="3 dimensions and fake features 2"):
        prdc.evaluate(x, x[:, :2], 1)
    with pytest.raises(UserError, match="all 20 fake features are equal"):
        prdc.evaluate(x, np.ones((20, 3)), 1)
    with pytest.raises(UserError, match="real features are not finite"):
        prdc.evaluate(x * np.nan, x, 1)
    with pytest.raises(UserError, match="k = 5 must be from 1 to n - 1"):
        prdc.expected_coverage(5, 10, 5)
