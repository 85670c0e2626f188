"""Section 4 of the paper on densities: D*, KL, JSD and C(G), by the midpoint rule on a grid.

A density is an array of its values at the centres of equal cells of size dx (their length, area or
volume), in as many dimensions as the array has. It should integrate to 1 over the grid. Values below
the smallest normal number of their type (1.2e-38 in float32) count as 0. All divergences are in nats.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Num

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError


def optimal_discriminator(p_data: Num[AnyArray, "*grid"], p_g: Num[AnyArray, "*grid"]) -> Float[Array, "*grid"]:
    """D*(x) = p_data(x) / (p_data(x) + p_g(x)), the best D for a fixed G.

    Args:
      p_data, p_g: densities at the same points.

    Returns:
      D* at these points, in [0, 1]. Where both densities are 0 every D is optimal; 1/2 is returned,
      which favours neither.

    Raises:
      UserError: the two shapes differ.

    Source: Proposition 1, arXiv:1406.2661.
    """
    p_data, p_g = _on_one_grid(p_data, p_g)
    larger = jnp.maximum(p_data, p_g)
    empty = larger == 0
    scale = jnp.where(empty, 1.0, larger)  # or the sum could overflow
    data = jnp.where(empty, 1.0, p_data / scale)
    g = jnp.where(empty, 1.0, p_g / scale)
    return data / (data + g)


def kl_divergence(p: Num[AnyArray, "*grid"], q: Num[AnyArray, "*grid"], dx: ArrayLike) -> Float[Array, ""]:
    """KL(p || q) = E_p[log p - log q] in nats; inf where q = 0 < p.

    A p whose mass where q = 0 is below the type's resolution (1.2e-7 in float32) does not count: q's
    tails underflow before p's do.

    Args:
      p, q: densities on the same grid.
      dx: cell size.

    Raises:
      UserError: the two shapes differ.
    """
    p, q = _on_one_grid(p, q)
    escaped = _expectation(p, (q < jnp.finfo(q.dtype).tiny).astype(p.dtype), dx)
    unbounded = escaped > jnp.finfo(p.dtype).eps
    return jnp.where(unbounded, jnp.inf, _expectation(p, _log(p) - _log(q), dx))


def js_divergence(p: Num[AnyArray, "*grid"], q: Num[AnyArray, "*grid"], dx: ArrayLike) -> Float[Array, ""]:
    """JSD(p || q) = (KL(p || m) + KL(q || m)) / 2 with m = (p + q) / 2, in [0, log 2] nats.

    Args:
      p, q: densities on the same grid.
      dx: cell size.

    Raises:
      UserError: the two shapes differ.

    Source: Theorem 1, arXiv:1406.2661.
    """
    p, q = _on_one_grid(p, q)
    log_m = _log(p / 2 + q / 2)
    return (_expectation(p, _log(p) - log_m, dx) + _expectation(q, _log(q) - log_m, dx)) / 2


def generator_criterion(p_data: Num[AnyArray, "*grid"], p_g: Num[AnyArray, "*grid"], dx: ArrayLike) -> Float[Array, ""]:
    """C(G) = max_D V(D, G) = E_data[log D*] + E_g[log(1 - D*)], in [-log 4, 0].

    Computed from this definition, so that Theorem 1, C(G) = -log 4 + 2 JSD(p_data || p_g), can be tested against it.

    Args:
      p_data, p_g: densities on the same grid.
      dx: cell size.

    Raises:
      UserError: the two shapes differ.

    Source: eq. (4), arXiv:1406.2661.
    """
    p_data, p_g = _on_one_grid(p_data, p_g)
    logits = _log(p_data) - _log(p_g)  # D* = sigmoid(logits); its logarithm stays finite where D* is 0
    return _expectation(p_data, jax.nn.log_sigmoid(logits), dx) + _expectation(p_g, jax.nn.log_sigmoid(-logits), dx)


def _on_one_grid(p: ArrayLike, q: ArrayLike) -> tuple[Array, Array]:
    p, q = jnp.asarray(p, float), jnp.asarray(q, float)
    if p.shape != q.shape:
        raise UserError(f"densities of shapes {p.shape} and {q.shape} can't be compared; use one grid for both.")
    return p, q


def _log(p: Array) -> Array:
    # Finite at 0, in value and gradient; the value there is weighted by p = 0.
    return jnp.log(jnp.maximum(p, jnp.finfo(p.dtype).tiny))


def _expectation(p: Array, f: Array, dx: ArrayLike) -> Array:
    return jnp.sum(p * jnp.asarray(dx, p.dtype) * f)
