"""Second-order corrections of the simultaneous gradients that damp rotation around equilibria.

The field xi(theta) is the gradient of each player's own loss over its own parameters, theta those of both. Its Jacobian
J is not symmetric, since the players descend different losses. Plain steps follow -xi; an adjustment adds a weight
times a linear map of xi, and leaves every point with xi = 0 where it is. Members of `train.update`, whose weight is
`objective.adjustment`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax

Field: TypeAlias = Any  # a tree like the parameters of both players
Product: TypeAlias = Callable[[Field], Field]

EPSILON = 0.1  # of the alignment: for a small argument the sign is positive


def consensus(xi: Field, jvp: Product, vjp: Product) -> Field:
    """J^T xi, the gradient of |xi|^2 / 2: consensus optimization (Mescheder et al., arXiv:1705.10461, Algorithm 2).

    Args:
      xi: the field at theta.
      jvp: v -> J v.
      vjp: v -> J^T v.
    """
    del jvp
    return vjp(xi)


def symplectic(xi: Field, jvp: Product, vjp: Product) -> Field:
    """A^T xi, where A = (J - J^T) / 2 turns the field (Balduzzi et al., arXiv:1802.05642, Algorithm 1, not aligned).

    It is 0 where the players have one loss in common (A = 0), and consensus optimization where the game is
    Hamiltonian (J = A). For the arguments see `consensus`.
    """
    return _symplectic(xi, jvp, vjp(xi))


def symplectic_aligned(xi: Field, jvp: Product, vjp: Product) -> Field:
    """`symplectic` with the sign that attracts to stable fixed points and repels from unstable ones (Algorithm 1).

    The sign of <xi, J^T xi> <A^T xi, J^T xi> / n + 1/10, with n the number of parameter arrays, as in the authors'
    notebook (google-deepmind/symplectic-gradient-adjustment), whose results have it.
    """
    gradient = vjp(xi)  # of |xi|^2 / 2
    term = _symplectic(xi, jvp, gradient)
    product = optax.tree.vdot(xi, gradient) * optax.tree.vdot(term, gradient)
    sign = jnp.sign(product / len(jax.tree.leaves(xi)) + EPSILON)
    return jax.tree.map(lambda t: sign * t, term)


def _symplectic(xi: Field, jvp: Product, gradient: Field) -> Field:
    return jax.tree.map(lambda transposed, straight: (transposed - straight) / 2, gradient, jvp(xi))


ADJUSTMENTS: dict[str, Callable[[Field, Product, Product], Field]] = {
    "consensus": consensus,
    "symplectic": symplectic,
    "symplectic_aligned": symplectic_aligned,
}
