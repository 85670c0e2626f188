"""Euclidean distances between sets of vectors: nearest neighbours and balls, exact, fast, in bounded memory.

One tile of ||x - y||^2 = ||x||^2 + ||y||^2 - 2 x.y at a time is computed in float32 on the device, about the mean of
the data, where rounding errors are smallest. What these errors could change is computed again in float64 on the host,
so that every answer is that of float64. That is little for most data, and everything where distances are tiny
beside the spread of the data (a collapsed generator); those take about three times as long.

Memory beyond the arrays given: a float32 copy of each set, and less than 1 GB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

TILE = 2048  # examples a side: 16 MB of float32 squares
GROUP = 16  # columns of which the smallest is found first, when the k smallest of a tile are
SPARE = 4  # neighbours beyond k that float32 finds, for float64 to choose from
BLOCK = 512  # examples whose float64 squares to all others the host holds at a time
CHUNK = 2**22  # float64 numbers of a temporary array on the host: 32 MB


def relative_squares(x: Array, y: Array, norms: Array) -> Array:
    """||x - y||^2 - ||x||^2 of one x [d] and each y [m, d], given norms = ||y||^2 [m]: [m]."""
    return norms - 2 * jnp.matmul(x, y.T, precision="highest")


class Frame(NamedTuple):
    """Where squares are computed: (x - mean) / scale has rounding errors that are small, and no overflow."""

    mean: np.ndarray  # [d] float64
    scale: float  # a power of two, so that dividing by it is exact

    @classmethod
    def of(cls, *sets: np.ndarray) -> Frame:
        total = sum(np.sum(a, axis=0, dtype=np.float64) for a in sets)
        mean = total / sum(len(a) for a in sets)
        reach = max(np.max(np.abs([a.min(axis=0) - mean, a.max(axis=0) - mean])) for a in sets)
        return cls(mean, 2.0 ** math.ceil(math.log2(reach)) if reach > 0 else 1.0)

    def put(self, a: np.ndarray) -> np.ndarray:
        return (a.astype(np.float64) - self.mean) / self.scale


class Placed(NamedTuple):
    """A set in its frame, on the device, padded to whole tiles by points at infinity."""

    x: Array  # [N, d] float32
    norms: Array  # [N] float32, inf for padding
    tile: int


def nearest(x: np.ndarray, y: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of y for each x.

    Args:
      x: [n, d], y: [m, d], finite, m >= k.

    Returns:
      Squared distances [n, k] float64, smallest first, and which of y they belong to, [n, k] int.
    """
    frame = Frame.of(x, y)
    a, b = _place(x, frame), _place(y, frame)
    squares, index = _nearest(a, b, min(k + SPARE, len(y)), a.tile, b.tile)
    return _refine(x, y, k, frame, (squares, index), np.max(b.norms[: len(y)]), others=False)


def nearest_others(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest others of each x: as `nearest(x, x, k)` without x itself (copies of it count), in half the time.

    Args:
      x: [n, d], finite, n > k.
    """
    frame = Frame.of(x)
    a = _place(x, frame)
    squares, index = _nearest_others(a, min(k + SPARE, len(x) - 1), a.tile)
    return _refine(x, x, k, frame, (squares, index), np.max(a.norms[: len(x)]), others=True)


class Balls(NamedTuple):
    """Which points lie in the balls about the points of another set, by radius."""

    counts: np.ndarray  # [n, K] int: how many y are in the ball of this x
    x_in_any: np.ndarray  # [n, K] bool: this x is in a ball of some y
    y_in_any: np.ndarray  # [m, K] bool: this y is in a ball of some x


def balls(x: np.ndarray, x_radii: np.ndarray, y: np.ndarray, y_radii: np.ndarray, *, strict: bool) -> Balls:
    """Which of y lie in the balls about x, and the reverse, for K radii of each at once.

    Args:
      x: [n, d], y: [m, d], finite.
      x_radii: [n, K], y_radii: [m, K], squared, float64.
      strict: a point on the sphere is outside. On it are all within float64's rounding of it.
    """
    frame = Frame.of(x, y)
    a, b = _place(x, frame), _place(y, frame)
    scaled = [radii / frame.scale**2 for radii in (x_radii, y_radii)]
    padded = [jnp.asarray(_pad(r.astype(np.float32), len(p.x))) for r, p in zip(scaled, (a, b), strict=True)]
    n, m = len(x), len(y)
    x_norms, y_norms = np.asarray(a.norms[:n], np.float64), np.asarray(b.norms[:m], np.float64)
    most = max(np.max(scaled[0]), np.max(scaled[1]))
    x_error = _rounding(x_norms + y_norms.max() + most, x.shape[1], np.float32)[:, None]
    y_error = _rounding(y_norms + x_norms.max() + most, x.shape[1], np.float32)[:, None]

    errors = jnp.asarray(_pad(x_error.astype(np.float32), len(a.x)))
    found = _balls(a, padded[0], errors, b, padded[1], a.tile, b.tile)
    sure, maybe, x_margin, y_margin = (np.asarray(f)[:size] for f, size in zip(found, (n, n, n, m), strict=True))
    x_margin = x_margin + x_norms[:, None]
    result = Balls(sure.astype(int), x_margin < 0, y_margin < 0)

    unsure = np.any((sure != maybe) | (np.abs(x_margin) <= x_error), axis=1)
    for rows, squares, error in _exact(x, y, np.flatnonzero(unsure), frame):
        for k in range(x_radii.shape[1]):
            inside = _inside(squares, error, scaled[0][rows, k, None], strict)
            result.counts[rows, k] = inside.sum(axis=1)
            result.x_in_any[rows, k] = _inside(squares, error, scaled[1][None, :, k], strict).any(axis=1)
    unsure = np.any(np.abs(y_margin) <= y_error, axis=1)
    for rows, squares, error in _exact(y, x, np.flatnonzero(unsure), frame):
        for k in range(x_radii.shape[1]):
            result.y_in_any[rows, k] = _inside(squares, error, scaled[0][None, :, k], strict).any(axis=1)
    return result


def _rounding(size: np.ndarray, d: int, dtype: type) -> np.ndarray:
    """How far a square may be off, where ||x||^2 + ||y||^2 + what it is compared with is `size`.

    Rounding errors of d products add up like a random walk; this is twice its deviation if every one were the largest
    possible, and a few more for the norms, the mean and the sums. Errors that were measured are a tenth of it.
    """
    return 2 * (math.sqrt(d) + 4) * (np.finfo(dtype).eps / 2) * size


def _inside(squares: np.ndarray, error: np.ndarray, radii: np.ndarray, strict: bool) -> np.ndarray:
    slack = error + 4 * np.finfo(np.float64).eps * radii
    return squares < radii - slack if strict else squares <= radii + slack


def _pad(a: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([a, np.zeros((n - len(a), *a.shape[1:]), a.dtype)])


def _place(a: np.ndarray, frame: Frame) -> Placed:
    n, d = a.shape
    tiles = -(-n // TILE)
    tile = -(-n // (tiles * GROUP)) * GROUP
    placed = np.zeros((tiles * tile, d), np.float32)
    step = max(1, CHUNK // d)
    for start in range(0, n, step):
        placed[start : min(start + step, n)] = frame.put(a[start : start + step])
    x = jnp.asarray(placed)
    norms = jnp.where(jnp.arange(len(x)) < n, jnp.sum(jnp.square(x), axis=1), jnp.inf)
    return Placed(x, norms, tile)


# On the device, in float32.


def _slice(a: Array, i: Array, tile: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(a, i * tile, tile)


_tile = jax.vmap(relative_squares, in_axes=(0, None, None))


def _smallest(squares: Array, k: int) -> tuple[Array, Array]:
    """The k smallest of each row and their columns. They lie in the k groups whose smallest are smallest."""
    n, m = squares.shape
    groups = m // GROUP
    if groups < 2 * k:
        values, columns = jax.lax.top_k(-squares, k)
        return -values, columns
    grouped = squares.reshape(n, groups, GROUP)
    _, best = jax.lax.top_k(-jnp.min(grouped, axis=-1), k)
    values, which = jax.lax.top_k(-jnp.take_along_axis(grouped, best[:, :, None], axis=1).reshape(n, k * GROUP), k)
    return -values, jnp.take_along_axis(best, which // GROUP, axis=1) * GROUP + which % GROUP


def _merge(best: tuple[Array, Array], squares: Array, first: Array) -> tuple[Array, Array]:
    """The k smallest so far and those of a tile whose columns begin at `first`."""
    k = best[0].shape[1]
    values, columns = _smallest(squares, min(k, squares.shape[1]))
    values = jnp.concatenate([best[0], values], axis=1)
    columns = jnp.concatenate([best[1], columns + first], axis=1)
    found, which = jax.lax.top_k(-values, k)
    return -found, jnp.take_along_axis(columns, which, axis=1)


def _none(n: int, k: int) -> tuple[Array, Array]:
    return jnp.full((n, k), jnp.inf, jnp.float32), jnp.zeros((n, k), jnp.int32)


@partial(jax.jit, static_argnames=("k", "x_tile", "y_tile"))
def _nearest(a: Placed, b: Placed, k: int, x_tile: int, y_tile: int) -> tuple[Array, Array]:
    """Squares [N, k] and columns [N, k] int32 of the k nearest."""

    def row(i: Array) -> tuple[Array, Array]:
        x, norms = _slice(a.x, i, x_tile), _slice(a.norms, i, x_tile)

        def column(j: Array, best: tuple[Array, Array]) -> tuple[Array, Array]:
            squares = _tile(x, _slice(b.x, j, y_tile), _slice(b.norms, j, y_tile))
            return _merge(best, squares, j * y_tile)

        relative, columns = jax.lax.fori_loop(0, len(b.x) // y_tile, column, _none(x_tile, k))
        return relative + norms[:, None], columns

    squares, columns = jax.lax.map(row, jnp.arange(len(a.x) // x_tile))
    return squares.reshape(-1, k), columns.reshape(-1, k)


@partial(jax.jit, static_argnames=("k", "tile"))
def _nearest_others(a: Placed, k: int, tile: int) -> tuple[Array, Array]:
    """As `_nearest`, of a set with itself: a tile above the diagonal serves its rows and its columns."""

    def update(best: tuple[Array, Array], i: Array, squares: Array, first: Array) -> tuple[Array, Array]:
        rows = tuple(_slice(b, i, tile) for b in best)
        merged = _merge(rows, squares, first)
        return tuple(jax.lax.dynamic_update_slice_in_dim(b, m, i * tile, 0) for b, m in zip(best, merged, strict=True))

    def step(best: tuple[Array, Array], tiles: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        i, j = tiles
        relative = _tile(_slice(a.x, i, tile), _slice(a.x, j, tile), _slice(a.norms, j, tile))
        squares = relative + _slice(a.norms, i, tile)[:, None]
        squares = jnp.where((i == j) & jnp.eye(tile, dtype=bool), jnp.inf, squares)
        best = update(best, i, squares, j * tile)
        return jax.lax.cond(i == j, lambda b: b, lambda b: update(b, j, squares.T, i * tile), best), None

    i, j = np.triu_indices(len(a.x) // tile)
    return jax.lax.scan(step, _none(len(a.x), k), (jnp.asarray(i, jnp.int32), jnp.asarray(j, jnp.int32)))[0]


@partial(jax.jit, static_argnames=("x_tile", "y_tile"))
def _balls(
    a: Placed, a_radii: Array, errors: Array, b: Placed, b_radii: Array, x_tile: int, y_tile: int
) -> tuple[Array, Array, Array, Array]:
    """For each x and radius, how many y are surely and how many are possibly inside, and the smallest of
    ||x - y||^2 - ||x||^2 - radius^2 over the balls of y; for each y that of ||x - y||^2 - radius^2 over the balls of x.
    """
    kinds = range(a_radii.shape[1])

    def row(y_margin: Array, i: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        x, norms, radii, error = (_slice(v, i, x_tile) for v in (a.x, a.norms, a_radii, errors))
        bound = radii - norms[:, None]
        low, high = bound - error, bound + error

        def column(j: Array, found: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            sure, maybe, x_margin, y_margin = found
            squares = _tile(x, _slice(b.x, j, y_tile), _slice(b.norms, j, y_tile))
            others = _slice(b_radii, j, y_tile)

            def count(bounds: Array) -> Array:  # in float32, whose sums are vectorized, and exact up to 2**24
                inside = [jnp.where(squares < bounds[:, k, None], jnp.float32(1), jnp.float32(0)) for k in kinds]
                return jnp.stack([jnp.sum(c, axis=1) for c in inside], axis=1).astype(jnp.int32)

            nearest_y = jnp.stack([jnp.min(squares - others[None, :, k], axis=1) for k in kinds], axis=1)
            nearest_x = jnp.stack([jnp.min(squares - bound[:, k, None], axis=0) for k in kinds], axis=1)
            y_margin = jax.lax.dynamic_update_slice_in_dim(
                y_margin, jnp.minimum(_slice(y_margin, j, y_tile), nearest_x), j * y_tile, 0
            )
            return sure + count(low), maybe + count(high), jnp.minimum(x_margin, nearest_y), y_margin

        zeros = jnp.zeros((x_tile, len(kinds)), jnp.int32)
        start = (zeros, zeros, jnp.full(zeros.shape, jnp.inf, jnp.float32), y_margin)
        *found, y_margin = jax.lax.fori_loop(0, len(b.x) // y_tile, column, start)
        return y_margin, tuple(found)

    y_margin = jnp.full(b_radii.shape, jnp.inf, jnp.float32)
    y_margin, found = jax.lax.scan(row, y_margin, jnp.arange(len(a.x) // x_tile))
    return *(f.reshape(-1, len(kinds)) for f in found), y_margin


# On the host, in float64.


def _refine(
    x: np.ndarray,
    y: np.ndarray,
    k: int,
    frame: Frame,
    candidates: tuple[Array, Array],
    largest: float,
    others: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the float32 candidates (squares, indices); of all points if a candidate may have been missed."""
    squares, index = (np.asarray(a)[: len(x)] for a in candidates)
    index = index.astype(int)
    near, index_near = _choose(x, y, np.arange(len(x)), index, k)
    if index.shape[1] == len(y) - others:
        return near, index_near
    norms = np.empty(len(x))
    step = max(1, CHUNK // x.shape[1])
    for start in range(0, len(x), step):
        norms[start : start + step] = np.sum(np.square(frame.put(x[start : start + step])), axis=1)
    farthest = squares[:, -1] - _rounding(norms + largest, x.shape[1], np.float32)  # any other is at least as far
    unsure = np.flatnonzero(near[:, -1] / frame.scale**2 > farthest)
    for rows, all_squares, _ in _exact(x, y, unsure, frame):
        if others:
            all_squares[np.arange(len(rows)), rows] = np.inf
        found = np.argpartition(all_squares, index.shape[1] - 1, axis=1)[:, : index.shape[1]]
        near[rows], index_near[rows] = _choose(x, y, rows, found, k)
    return near, index_near


def _choose(x: np.ndarray, y: np.ndarray, rows: np.ndarray, index: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest among candidates y[index[i]] of x[rows[i]]: squares [r, k] from differences, and their index."""
    near, chosen = np.empty((len(rows), k)), np.empty((len(rows), k), int)
    step = max(1, CHUNK // (x.shape[1] * index.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = y[index[part]].astype(np.float64) - x[rows[part], None].astype(np.float64)
        squares = np.einsum("nkd,nkd->nk", difference, difference)
        order = np.lexsort((index[part], squares), axis=1)[:, :k]  # ties: the first
        near[part] = np.take_along_axis(squares, order, axis=1)
        chosen[part] = np.take_along_axis(index[part], order, axis=1)
    return near, chosen


def _exact(
    x: np.ndarray, y: np.ndarray, rows: np.ndarray, frame: Frame
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Blocks of `rows`, the squares of x[rows] to all y in the frame, [r, m] float64, and how far these may be off."""
    step = max(1, CHUNK // x.shape[1])
    for start in range(0, len(rows), BLOCK):
        part = rows[start : start + BLOCK]
        a = frame.put(x[part])
        norms = np.einsum("nd,nd->n", a, a)
        squares, error = np.empty((len(part), len(y))), np.empty((len(part), len(y)))
        for first in range(0, len(y), step):
            b = frame.put(y[first : first + step])
            size = norms[:, None] + np.einsum("nd,nd->n", b, b)[None]
            squares[:, first : first + step] = np.maximum(size - 2 * a @ b.T, 0)
            error[:, first : first + step] = _rounding(size, x.shape[1], np.float64)
        yield part, squares, error
