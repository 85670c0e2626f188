"""Nearest neighbours and balls against their definition in float64, across tiles and where float32 can't tell."""

import numpy as np
import pytest

from jaxgan.metrics import distances


@pytest.fixture
def small_tiles(monkeypatch):
    """Several tiles of several groups, from sets that a test can afford."""
    monkeypatch.setattr(distances, "TILE_SIZE", 400)
    monkeypatch.setattr(distances, "BLOCK_SIZE", 50)
    monkeypatch.setattr(distances, "CHUNK_NUMBERS", 1000)


def squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.sum(np.square(x[:, None].astype(np.float64) - y[None].astype(np.float64)), axis=-1)


def sets(kind: str) -> tuple[np.ndarray, np.ndarray]:
    r = np.random.default_rng(0)
    x, y = r.normal(size=(901, 6)), r.normal(size=(1003, 6))
    if kind == "float32":
        x, y = x.astype(np.float32), y.astype(np.float32)
    if kind == "far away":  # float32 has no digits left for the differences, float64 has
        x, y = x + 1e7, y + 1e7
    if kind == "huge":  # squares overflow in float32
        x, y = x * 1e30, y * 1e30
    if kind == "tiny":  # and vanish
        x, y = x * 1e-30, y * 1e-30
    if kind == "collapsed":  # distances within y, which float32 can't resolve if there is an outlier
        y = y[:1] + 1e-6 * y
        y[0] = 100
    return x, y


KINDS = ["float64", "float32", "far away", "huge", "tiny", "collapsed"]


@pytest.mark.parametrize("kind", KINDS)
def test_nearest_by_definition(kind, small_tiles):
    x, y = sets(kind)
    for got, want in (
        (distances.nearest(x, y, 3), squares(x, y)),
        (distances.nearest_others(y, 7), np.where(np.eye(len(y)), np.inf, squares(y, y))),
    ):
        k = got[0].shape[1]
        np.testing.assert_array_equal(got[1], np.argsort(want, axis=1)[:, :k])
        np.testing.assert_allclose(got[0], np.sort(want, axis=1)[:, :k], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strict", [True, False])
def test_balls_by_definition(kind, strict, small_tiles):
    x, y = sets(kind)
    of_x, of_y = (np.sort(squares(a, a), axis=1)[:, [1, 3]] for a in (x, y))
    got = distances.balls(x, of_x, y, of_y, strict=strict)
    between = squares(x, y)[:, :, None]
    np.testing.assert_array_equal(got.counts, (between < of_x[:, None]).sum(axis=1))
    np.testing.assert_array_equal(got.x_in_any, (between < of_y[None]).any(axis=1))
    np.testing.assert_array_equal(got.y_in_any, (between < of_x[:, None]).any(axis=0))


def test_float32_would_not_do():
    """The cases above test the way to float64: in float32 their answers are others."""
    for kind in ("far away", "collapsed"):
        _, y = sets(kind)
        y32 = (y - y.mean(axis=0)).astype(np.float32) if kind == "collapsed" else y.astype(np.float32)
        norms = np.sum(np.square(y32), axis=1)
        expanded = norms[:, None] + norms[None] - 2 * y32 @ y32.T
        wrong = np.argsort(expanded + np.diag(np.full(len(y), np.inf)), axis=1)[:, 0]
        right = np.argsort(np.where(np.eye(len(y)), np.inf, squares(y, y)), axis=1)[:, 0]
        assert np.mean(wrong != right) > 0.3


def test_points_on_the_sphere():
    """On a lattice many distances are equal; a tenth as wide, they are so only in real numbers."""
    r = np.random.default_rng(0)
    for width in (1, 0.1):
        x, y = (r.integers(0, 4, (n, 3)).astype(np.float64) for n in (300, 200))
        radii = np.ones((300, 1)), np.full((200, 1), 2.0)
        between = squares(x, y)
        counts = {}
        for strict in (True, False):
            got = distances.balls(width * x, width**2 * radii[0], width * y, width**2 * radii[1], strict=strict)
            inside = (between < 1, between < 2) if strict else (between <= 1, between <= 2)
            np.testing.assert_array_equal(got.counts[:, 0], inside[0].sum(axis=1))
            np.testing.assert_array_equal(got.x_in_any[:, 0], inside[1].any(axis=1))
            np.testing.assert_array_equal(got.y_in_any[:, 0], inside[0].any(axis=0))
            counts[strict] = got.counts.sum()
        assert counts[False] > counts[True]


def test_copies_are_neighbours_at_distance_0():
    x = np.repeat(np.random.default_rng(0).normal(size=(40, 5)), 3, axis=0)
    near, index = distances.nearest_others(x, 3)
    assert (near[:, :2] == 0).all() and (near[:, 2] > 0).all()
    assert (index != np.arange(120)[:, None]).all()
    assert (index[:, :2] // 3 == np.arange(120)[:, None] // 3).all()


def test_ties_go_to_the_first():
    assert distances.nearest(np.zeros((1, 1)), np.array([[2.0], [1.0], [-1.0], [1.0]]), 3)[1].tolist() == [[1, 2, 3]]


@pytest.mark.parametrize("n, k", [(2, 1), (3, 2), (17, 16), (33, 5)])
def test_small_sets(n, k):
    x = np.random.default_rng(0).normal(size=(n, 4))
    want = np.where(np.eye(n), np.inf, squares(x, x))
    near, index = distances.nearest_others(x, k)
    np.testing.assert_array_equal(index, np.argsort(want, axis=1)[:, :k])
    np.testing.assert_allclose(near, np.sort(want, axis=1)[:, :k], rtol=1e-12)


def test_the_neighbours_of_float32_are_enough():
    """On ordinary data hardly any distances need float64, which would be slow."""
    r = np.random.default_rng(0)
    x, y = r.normal(size=(2000, 512)).astype(np.float32), r.normal(size=(2000, 512)).astype(np.float32)
    rows = []
    exact = distances._exact
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            distances, "_exact", lambda x, y, r, normalization: rows.append(len(r)) or exact(x, y, r, normalization)
        )
        radii = [distances.nearest_others(a, 5)[0][:, 4:] for a in (x, y)]
        distances.balls(x, radii[0], y, radii[1], strict=True)
    assert len(rows) == 4 and rows[0] == rows[1] == 0 and sum(rows) < 60
