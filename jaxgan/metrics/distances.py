"""Nearest neighbours and ball memberships in Euclidean distance: exact, fast, in bounded memory.

One tile of ||x - y||^2 = ||x||^2 + ||y||^2 - 2 x.y at a time is computed in float32 on the device, with the data
centred to minimize rounding errors. Results that these errors could change are recomputed in float64 on the host, so
every result equals that of float64. For most data these are few; if distances are tiny relative to the spread of the
data (a collapsed G), all are recomputed, which takes about three times as long.

Memory beyond the inputs: a float32 copy of each set, and less than 1 GB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float, Float32, Float64, Int

TILE_SIZE = 2048  # examples per side: 16 MB of float32 squared distances
GROUP_SIZE = 16  # columns per group; the k smallest entries of a row lie in k groups
EXTRA_CANDIDATES = 4  # float32 candidates beyond k, among which float64 chooses
BLOCK_SIZE = 512  # examples whose float64 squared distances to all others are held on the host at a time
CHUNK_NUMBERS = 2**22  # float64 numbers in a temporary array on the host: 32 MB


def relative_squares(x: Float[Array, " d"], y: Float[Array, "m d"], norms: Float[Array, " m"]) -> Float[Array, " m"]:
    """||x - y||^2 - ||x||^2 of one x and each y, given norms = ||y||^2."""
    return norms - 2 * jnp.matmul(x, y.T, precision="highest")


class Normalization(NamedTuple):
    """x -> (x - mean) / scale, in which squared distances have small rounding errors and do not overflow."""

    mean: Float64[np.ndarray, " d"]
    scale: float  # a power of two, so that dividing by it is exact

    @classmethod
    def of(cls, *sets: np.ndarray) -> Normalization:
        total = sum(np.sum(a, axis=0, dtype=np.float64) for a in sets)
        mean = total / sum(len(a) for a in sets)
        max_abs = max(np.max(np.abs([a.min(axis=0) - mean, a.max(axis=0) - mean])) for a in sets)
        return cls(mean, 2.0 ** math.ceil(math.log2(max_abs)) if max_abs > 0 else 1.0)

    def apply(self, a: np.ndarray) -> np.ndarray:
        return (a.astype(np.float64) - self.mean) / self.scale


class DeviceSet(NamedTuple):
    """A normalized set on the device, padded to whole tiles by points with infinite norm."""

    x: Float32[Array, "N d"]
    norms: Float32[Array, " N"]  # inf for padding
    tile: int


# Squared distances, smallest first, and the indices of those at these distances.
Nearest: TypeAlias = tuple[Float64[np.ndarray, "n {k}"], Int[np.ndarray, "n {k}"]]


def nearest(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"], k: int) -> Nearest:
    """The k nearest neighbours in y of each x; all finite, m >= k."""
    normalization = Normalization.of(x, y)
    a, b = _to_device(x, normalization), _to_device(y, normalization)
    squares, index = _nearest(a, b, min(k + EXTRA_CANDIDATES, len(y)), a.tile, b.tile)
    return _refine(x, y, k, normalization, (squares, index), np.max(b.norms[: len(y)]), others=False)


def nearest_others(x: Float[np.ndarray, "n d"], k: int) -> Nearest:
    """The k nearest others of each x: as `nearest(x, x, k)` without x itself (copies of it count), in half the time;
    all finite, n > k.
    """
    normalization = Normalization.of(x)
    a = _to_device(x, normalization)
    squares, index = _nearest_others(a, min(k + EXTRA_CANDIDATES, len(x) - 1), a.tile)
    return _refine(x, x, k, normalization, (squares, index), np.max(a.norms[: len(x)]), others=True)


class Balls(NamedTuple):
    """Memberships of points in balls around the points of another set, for K radii per point."""

    counts: Int[np.ndarray, "n K"]  # number of y in the ball of this x
    x_in_any: Bool[np.ndarray, "n K"]  # this x is in a ball of some y
    y_in_any: Bool[np.ndarray, "m K"]  # this y is in a ball of some x


def balls(
    x: Float[np.ndarray, "n d"],
    x_radii: Float64[np.ndarray, "n K"],
    y: Float[np.ndarray, "m d"],
    y_radii: Float64[np.ndarray, "m K"],
    *,
    strict: bool,
) -> Balls:
    """Which y lie in the balls around x, and vice versa, for K radii per point at once.

    Args:
      x, y: finite.
      x_radii, y_radii: squared.
      strict: points on the sphere, to float64 rounding, are outside.
    """
    normalization = Normalization.of(x, y)
    a, b = _to_device(x, normalization), _to_device(y, normalization)
    scaled = [radii / normalization.scale**2 for radii in (x_radii, y_radii)]
    padded = [jnp.asarray(_pad(r.astype(np.float32), len(p.x))) for r, p in zip(scaled, (a, b), strict=True)]
    n, m = len(x), len(y)
    x_norms, y_norms = np.asarray(a.norms[:n], np.float64), np.asarray(b.norms[:m], np.float64)
    max_radius = max(np.max(scaled[0]), np.max(scaled[1]))
    x_error = _rounding(x_norms + y_norms.max() + max_radius, x.shape[1], np.float32)[:, None]
    y_error = _rounding(y_norms + x_norms.max() + max_radius, x.shape[1], np.float32)[:, None]

    errors = jnp.asarray(_pad(x_error.astype(np.float32), len(a.x)))
    bounds = _balls(a, padded[0], errors, b, padded[1], a.tile, b.tile)
    lower_count, upper_count, x_margin, y_margin = (
        np.asarray(f)[:size] for f, size in zip(bounds, (n, n, n, m), strict=True)
    )
    x_margin = x_margin + x_norms[:, None]
    result = Balls(lower_count.astype(int), x_margin < 0, y_margin < 0)

    ambiguous = np.any((lower_count != upper_count) | (np.abs(x_margin) <= x_error), axis=1)
    for rows, squares, error in _exact(x, y, np.flatnonzero(ambiguous), normalization):
        for k in range(x_radii.shape[1]):
            inside = _inside(squares, error, scaled[0][rows, k, None], strict)
            result.counts[rows, k] = inside.sum(axis=1)
            result.x_in_any[rows, k] = _inside(squares, error, scaled[1][None, :, k], strict).any(axis=1)
    ambiguous = np.any(np.abs(y_margin) <= y_error, axis=1)
    for rows, squares, error in _exact(y, x, np.flatnonzero(ambiguous), normalization):
        for k in range(x_radii.shape[1]):
            result.y_in_any[rows, k] = _inside(squares, error, scaled[0][None, :, k], strict).any(axis=1)
    return result


def _rounding(size: np.ndarray, d: int, dtype: type) -> np.ndarray:
    """Bound on the rounding error of a squared distance; `size` is ||x||^2 + ||y||^2 + the value it is compared with.

    Rounding errors of d products accumulate like a random walk; this is twice its standard deviation if each error were
    maximal, plus a margin for the norms, the mean and the sums. Measured errors are a tenth of it.
    """
    return 2 * (math.sqrt(d) + 4) * (np.finfo(dtype).eps / 2) * size


def _inside(squares: np.ndarray, error: np.ndarray, radii: np.ndarray, strict: bool) -> np.ndarray:
    slack = error + 4 * np.finfo(np.float64).eps * radii
    return squares < radii - slack if strict else squares <= radii + slack


def _pad(a: np.ndarray, n: int) -> np.ndarray:
    return np.concatenate([a, np.zeros((n - len(a), *a.shape[1:]), a.dtype)])


def _to_device(a: np.ndarray, normalization: Normalization) -> DeviceSet:
    n, d = a.shape
    tiles = -(-n // TILE_SIZE)
    tile = -(-n // (tiles * GROUP_SIZE)) * GROUP_SIZE
    padded = np.zeros((tiles * tile, d), np.float32)
    step = max(1, CHUNK_NUMBERS // d)
    for start in range(0, n, step):
        padded[start : min(start + step, n)] = normalization.apply(a[start : start + step])
    x = jnp.asarray(padded)
    norms = jnp.where(jnp.arange(len(x)) < n, jnp.sum(jnp.square(x), axis=1), jnp.inf)
    return DeviceSet(x, norms, tile)


# On the device, in float32.


def _slice(a: Array, i: Array, tile: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(a, i * tile, tile)


_tile = jax.vmap(relative_squares, in_axes=(0, None, None))


def _smallest(squares: Array, k: int) -> tuple[Array, Array]:
    """The k smallest of each row, and their columns; they lie in the k groups with the smallest minima."""
    n, m = squares.shape
    groups = m // GROUP_SIZE
    if groups < 2 * k:
        values, columns = jax.lax.top_k(-squares, k)
        return -values, columns
    grouped = squares.reshape(n, groups, GROUP_SIZE)
    _, best = jax.lax.top_k(-jnp.min(grouped, axis=-1), k)
    values, which = jax.lax.top_k(-jnp.take_along_axis(grouped, best[:, :, None], axis=1).reshape(n, k * GROUP_SIZE), k)
    return -values, jnp.take_along_axis(best, which // GROUP_SIZE, axis=1) * GROUP_SIZE + which % GROUP_SIZE


def _merge(best: tuple[Array, Array], squares: Array, first: Array) -> tuple[Array, Array]:
    """Merges the k smallest so far with those of a tile whose columns begin at `first`."""
    k = best[0].shape[1]
    values, columns = _smallest(squares, min(k, squares.shape[1]))
    values = jnp.concatenate([best[0], values], axis=1)
    columns = jnp.concatenate([best[1], columns + first], axis=1)
    negated, which = jax.lax.top_k(-values, k)
    return -negated, jnp.take_along_axis(columns, which, axis=1)


def _none(n: int, k: int) -> tuple[Array, Array]:
    return jnp.full((n, k), jnp.inf, jnp.float32), jnp.zeros((n, k), jnp.int32)


@partial(jax.jit, static_argnames=("k", "x_tile", "y_tile"))
def _nearest(a: DeviceSet, b: DeviceSet, k: int, x_tile: int, y_tile: int) -> tuple[Array, Array]:
    """Squared distances [N, k] and indices [N, k] int32 of the k nearest."""

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
def _nearest_others(a: DeviceSet, k: int, tile: int) -> tuple[Array, Array]:
    """`_nearest` within one set: each tile above the diagonal is used for its rows and its columns."""

    def update(best: tuple[Array, Array], i: Array, squares: Array, first: Array) -> tuple[Array, Array]:
        nearest, columns = (_slice(b, i, tile) for b in best)
        merged = _merge((nearest, columns), squares, first)
        nearest, columns = (
            jax.lax.dynamic_update_slice_in_dim(b, m, i * tile, 0) for b, m in zip(best, merged, strict=True)
        )
        return nearest, columns

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
    a: DeviceSet, a_radii: Array, errors: Array, b: DeviceSet, b_radii: Array, x_tile: int, y_tile: int
) -> tuple[Array, Array, Array, Array]:
    """For each x and radius, lower and upper bounds of the number of y inside, and the minimum of
    ||x - y||^2 - ||x||^2 - radius^2 over the balls of y; for each y that of ||x - y||^2 - radius^2 over the balls of x.
    """
    radius_indices = range(a_radii.shape[1])

    def row(y_margin: Array, i: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        x, norms, radii, error = (_slice(v, i, x_tile) for v in (a.x, a.norms, a_radii, errors))
        bound = radii - norms[:, None]
        low, high = bound - error, bound + error

        def column(j: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
            lower_count, upper_count, x_margin, y_margin = carry
            squares = _tile(x, _slice(b.x, j, y_tile), _slice(b.norms, j, y_tile))
            others = _slice(b_radii, j, y_tile)

            def count(bounds: Array) -> Array:  # in float32, whose sums are vectorized, and exact up to 2**24
                inside = [
                    jnp.where(squares < bounds[:, k, None], jnp.float32(1), jnp.float32(0)) for k in radius_indices
                ]
                return jnp.stack([jnp.sum(c, axis=1) for c in inside], axis=1).astype(jnp.int32)

            nearest_y = jnp.stack([jnp.min(squares - others[None, :, k], axis=1) for k in radius_indices], axis=1)
            nearest_x = jnp.stack([jnp.min(squares - bound[:, k, None], axis=0) for k in radius_indices], axis=1)
            y_margin = jax.lax.dynamic_update_slice_in_dim(
                y_margin, jnp.minimum(_slice(y_margin, j, y_tile), nearest_x), j * y_tile, 0
            )
            return lower_count + count(low), upper_count + count(high), jnp.minimum(x_margin, nearest_y), y_margin

        zeros = jnp.zeros((x_tile, len(radius_indices)), jnp.int32)
        start = (zeros, zeros, jnp.full(zeros.shape, jnp.inf, jnp.float32), y_margin)
        *results, y_margin = jax.lax.fori_loop(0, len(b.x) // y_tile, column, start)
        return y_margin, tuple(results)

    y_margin = jnp.full(b_radii.shape, jnp.inf, jnp.float32)
    y_margin, results = jax.lax.scan(row, y_margin, jnp.arange(len(a.x) // x_tile))
    lower, upper, x_margin = (f.reshape(-1, len(radius_indices)) for f in results)
    return lower, upper, x_margin, y_margin


# On the host, in float64.


def _refine(
    x: np.ndarray,
    y: np.ndarray,
    k: int,
    normalization: Normalization,
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
    step = max(1, CHUNK_NUMBERS // x.shape[1])
    for start in range(0, len(x), step):
        norms[start : start + step] = np.sum(np.square(normalization.apply(x[start : start + step])), axis=1)
    farthest = squares[:, -1] - _rounding(norms + largest, x.shape[1], np.float32)  # any other is at least as far
    ambiguous = np.flatnonzero(near[:, -1] / normalization.scale**2 > farthest)
    for rows, all_squares, _ in _exact(x, y, ambiguous, normalization):
        if others:
            all_squares[np.arange(len(rows)), rows] = np.inf
        closest = np.argpartition(all_squares, index.shape[1] - 1, axis=1)[:, : index.shape[1]]
        near[rows], index_near[rows] = _choose(x, y, rows, closest, k)
    return near, index_near


def _choose(x: np.ndarray, y: np.ndarray, rows: np.ndarray, index: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest among candidates y[index[i]] of x[rows[i]]: squares [r, k] from differences, and their index."""
    near, chosen = np.empty((len(rows), k)), np.empty((len(rows), k), int)
    step = max(1, CHUNK_NUMBERS // (x.shape[1] * index.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = y[index[part]].astype(np.float64) - x[rows[part], None].astype(np.float64)
        squares = np.einsum("nkd,nkd->nk", difference, difference)
        order = np.lexsort((index[part], squares), axis=1)[:, :k]  # ties: the first
        near[part] = np.take_along_axis(squares, order, axis=1)
        chosen[part] = np.take_along_axis(index[part], order, axis=1)
    return near, chosen


def _exact(
    x: np.ndarray, y: np.ndarray, rows: np.ndarray, normalization: Normalization
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields blocks of `rows`, float64 squared distances [r, m] of x[rows] to all y, and their error bounds."""
    step = max(1, CHUNK_NUMBERS // x.shape[1])
    for start in range(0, len(rows), BLOCK_SIZE):
        part = rows[start : start + BLOCK_SIZE]
        a = normalization.apply(x[part])
        norms = np.einsum("nd,nd->n", a, a)
        squares, error = np.empty((len(part), len(y))), np.empty((len(part), len(y)))
        for first in range(0, len(y), step):
            b = normalization.apply(y[first : first + step])
            size = norms[:, None] + np.einsum("nd,nd->n", b, b)[None]
            squares[:, first : first + step] = np.maximum(size - 2 * a @ b.T, 0)
            error[:, first : first + step] = _rounding(size, x.shape[1], np.float64)
        yield part, squares, error
