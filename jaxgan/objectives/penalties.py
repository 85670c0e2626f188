"""Gradient penalties on s = |d logit(x) / dx|, one value per example: `PENALTIES[name](D, x, fake, key) -> [n]`.

A penalty evaluates the gradient norm s at certain points (data, fakes, between the two, around the data) and returns a
function of it. All are unweighted; their mean is to be added to D's undivided loss (`losses`). The points are
constants: no gradient flows into G. D must process each example independently (no batch norm), or the gradient is not
per example.

The norm is taken over all axes of an example, pixels and channels. In JAX the gradient of a norm is NaN at 0, so s is
sqrt(|.|^2 + 1e-12).

Arguments of every penalty:
  D: x [n, *shape] -> logits [n].
  x, fake: data and samples of G; None if the penalty does not use them.
  key: a PRNG key, or one per example, which make the result independent of how a minibatch is sharded over devices;
    None if the penalty is not random.
  axis_name: the mapped axis over which the global minibatch is sharded, or None. Penalties that couple examples reduce
    over it, so that the mean over devices equals that of one device with all examples; nothing is differentiated
    through these reductions, so the mean of the devices' gradients is right as well.
  Other keyword-only arguments are hyperparameters, which may be traced. A run configures only a weight per penalty and
    leaves them at their defaults.
They return the dtype of x, and raise UserError for integers, or if the shapes of data and fakes differ.

To add a penalty, write a function and add a line to `PENALTIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Key, UInt32

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError

DiscriminatorFn = Callable[[Array], Array]
Points: TypeAlias = Float[AnyArray, " n *shape"]
Keys: TypeAlias = Key[Array, "..."] | UInt32[Array, "... 2"]  # one, or one per example
PerExample: TypeAlias = Float[Array, " n"]
EPSILON = 1e-12


# --- Points -----------------------------------------------------------------------------------------------------------


def interpolates(x: Points, fake: Points, key: Keys) -> Points:
    """a x + (1 - a) G(z) with one a ~ U(0, 1) per example (arXiv:1704.00028, Algorithm 1)."""
    x, fake = _points(x), _points(fake)
    if x.shape != fake.shape:
        raise UserError(
            f"a penalty between data and fakes pairs them, but their shapes are {x.shape} and {fake.shape}; "
            "pass equally many of each."
        )
    a = _per_example(jax.vmap(lambda key: jax.random.uniform(key, (), x.dtype))(_keys(key, len(x))), x)
    return fake + a * (x - fake)


def perturbed_data(x: Points, key: Keys, *, noise: ArrayLike, axis_name: str | None = None) -> Points:
    """x + a * noise * std * u, u ~ U[0, 1) per element, a ~ U(0, 1) per example: DRAGAN's points as its authors run it.

    std is one number, the standard deviation of all elements of the global minibatch (divisor n). The perturbations
    are never negative: points are at least as bright as the data.
    """
    x = _points(x)
    scale = jnp.asarray(noise, x.dtype) * _std(x, axis_name)

    def perturb(x: Array, key: Array) -> Array:
        element_key, example_key = jax.random.split(key)
        u = jax.random.uniform(element_key, x.shape, x.dtype)
        a = jax.random.uniform(example_key, (), x.dtype)
        return x + a * scale * u

    return jax.vmap(perturb)(x, _keys(key, len(x)))


# --- Gradient norms ---------------------------------------------------------------------------------------------------


def squared_grad_norm(D: DiscriminatorFn, points: Points) -> PerExample:
    """s^2 = |d logit / dx|^2 at each point."""
    gradient = jax.grad(lambda x: jnp.sum(D(x)))(points)
    return jnp.sum(jnp.square(gradient), axis=tuple(range(1, points.ndim)))


def finite_difference(D: DiscriminatorFn, points: Points, key: Keys, deviation: ArrayLike) -> PerExample:
    """(D(x + deviation n) - D(x))^2 / (2 deviation^2) with n ~ N(0, 1) per element.

    Raises:
      UserError: a deviation, unless it is traced, below the square root of the machine epsilon of the points' dtype
        (3.5e-4 in float32): the difference would be one of rounding errors.
    """
    lowest = float(jnp.finfo(points.dtype).eps) ** 0.5
    if not isinstance(deviation, jax.core.Tracer) and not float(deviation) >= lowest:
        raise UserError(
            f"a finite difference with deviation={float(deviation):g} measures rounding errors of {points.dtype}; "
            f"make it at least {1.01 * lowest:.2g}."
        )
    noise = jax.vmap(lambda key: jax.random.normal(key, points.shape[1:], points.dtype))(_keys(key, len(points)))
    perturbed = points + jnp.asarray(deviation, points.dtype) * noise
    # One call for both, so that they are rounded alike; D's random numbers are those of the example in both.
    at_points, at_perturbed = jax.vmap(D)(jnp.stack([points, perturbed]))
    return 0.5 * jnp.square((at_perturbed - at_points) / jnp.asarray(deviation, at_points.dtype))


def relative_excess(squared: PerExample, target: ArrayLike) -> PerExample:
    """s / target - 1, from s^2."""
    return jnp.sqrt(squared + EPSILON) / jnp.asarray(target, squared.dtype) - 1


# --- Penalties --------------------------------------------------------------------------------------------------------


def r1(
    D: DiscriminatorFn, x: Points, fake: Points | None = None, key: Keys | None = None, *, axis_name: str | None = None
) -> PerExample:
    """s^2 / 2 at the data (arXiv:1801.04406, eq. 9).

    If D still has a gradient at the data when p_g = p_data, it keeps pushing G away; with the penalty the game
    converges locally. Weights from code without the 1/2 (the authors': 10) are half of the weight here.
    """
    return 0.5 * squared_grad_norm(D, _points(x))


def r2(
    D: DiscriminatorFn, x: Points | None, fake: Points, key: Keys | None = None, *, axis_name: str | None = None
) -> PerExample:
    """s^2 / 2 at the fakes (arXiv:1801.04406, eq. 10); a conditional D is given the labels of the fakes."""
    return 0.5 * squared_grad_norm(D, _points(fake))


def r1_finite_difference(
    D: DiscriminatorFn,
    x: Points,
    fake: Points | None,
    key: Keys,
    *,
    deviation: ArrayLike = 0.01,
    axis_name: str | None = None,
) -> PerExample:
    """R1 by finite differences: (D(x + deviation n) - D(x))^2 / (2 deviation^2), n normal (arXiv:2501.08316).

    It takes no second derivatives. For a linear D its mean over n is s^2 / 2 and its standard deviation sqrt 2 times
    that. Curvature adds deviation^2 / 2 times (tr H)^2 / 4 + |H|^2 / 2 + <gradient, gradient of tr H> to the mean, with
    the Hessian H of D, and terms in deviation^4. Weights are those of `r1`: the authors' w (100 at deviation .01),
    without the division, is 2 w deviation^2 here (.02).
    """
    return finite_difference(D, _points(x), key, deviation)


def r2_finite_difference(
    D: DiscriminatorFn,
    x: Points | None,
    fake: Points,
    key: Keys,
    *,
    deviation: ArrayLike = 0.01,
    axis_name: str | None = None,
) -> PerExample:
    """R2 by finite differences: `r1_finite_difference` at the fakes."""
    return finite_difference(D, _points(fake), key, deviation)


def gradient_penalty(
    D: DiscriminatorFn, x: Points, fake: Points, key: Keys, *, target: ArrayLike = 1.0, axis_name: str | None = None
) -> PerExample:
    """(s / target - 1)^2 between data and fakes (WGAN-GP, arXiv:1704.00028, eq. 3); target > 0."""
    return jnp.square(relative_excess(squared_grad_norm(D, interpolates(x, fake, key)), target))


def gradient_penalty_one_sided(
    D: DiscriminatorFn, x: Points, fake: Points, key: Keys, *, target: ArrayLike = 1.0, axis_name: str | None = None
) -> PerExample:
    """max(0, s / target - 1)^2 between data and fakes: smaller s is not penalized (WGAN-LP, arXiv:1709.08894)."""
    return jnp.square(jax.nn.relu(relative_excess(squared_grad_norm(D, interpolates(x, fake, key)), target)))


def zero_centered(
    D: DiscriminatorFn, x: Points, fake: Points, key: Keys, *, axis_name: str | None = None
) -> PerExample:
    """s^2 between data and fakes, without 1/2 (as GAN_stability's `wgangp0`)."""
    return squared_grad_norm(D, interpolates(x, fake, key))


def dragan(
    D: DiscriminatorFn,
    x: Points,
    fake: Points | None,
    key: Keys,
    *,
    target: ArrayLike = 1.0,
    noise: ArrayLike = 0.5,
    axis_name: str | None = None,
) -> PerExample:
    """(s / target - 1)^2 around the data (arXiv:1705.07215), at `perturbed_data`; target > 0, noise >= 0."""
    points = perturbed_data(x, key, noise=noise, axis_name=axis_name)
    return jnp.square(relative_excess(squared_grad_norm(D, points), target))


def max_gradient(D: DiscriminatorFn, x: Points, fake: Points, key: Keys, *, axis_name: str | None = None) -> PerExample:
    """The largest s^2 of the global minibatch, between data and fakes.

    The example with the largest s gets n s^2, with n the size of the global minibatch (divided evenly among ties), and
    the others 0. So the mean is the maximum, and its gradient the average of the devices' gradients.
    """
    squared = squared_grad_norm(D, interpolates(x, fake, key))
    largest, total = jnp.max(jax.lax.stop_gradient(squared)), len(squared)
    if axis_name is not None:
        largest, total = jax.lax.pmax(largest, axis_name), total * jax.lax.axis_size(axis_name)
    is_largest = (squared == largest).astype(squared.dtype)
    count = jnp.sum(is_largest)
    if axis_name is not None:
        count = jax.lax.psum(count, axis_name)
    return squared * is_largest * total / count


class Penalty(NamedTuple):
    """A penalty, and the properties that the training step depends on."""

    function: Callable[..., Array]
    at_fakes: bool = False  # evaluated at the fakes, so a conditional D is given their labels instead of the data's
    couples_examples: bool = False  # penalty i depends on other examples, so a minibatch cannot be split

    def __call__(self, D: DiscriminatorFn, x: Array, fake: Array, key: Array, **options) -> Array:
        return self.function(D, x, fake, key, **options)


PENALTIES: dict[str, Penalty] = {
    "r1": Penalty(r1),
    "r2": Penalty(r2, at_fakes=True),
    "gradient_penalty": Penalty(gradient_penalty),
    "gradient_penalty_one_sided": Penalty(gradient_penalty_one_sided),
    "zero_centered": Penalty(zero_centered),
    "dragan": Penalty(dragan, couples_examples=True),
    "max_gradient": Penalty(max_gradient, couples_examples=True),
    "r1_finite_difference": Penalty(r1_finite_difference),
    "r2_finite_difference": Penalty(r2_finite_difference, at_fakes=True),
}


def _points(x: ArrayLike) -> Array:
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise UserError(
            f"a penalty differentiates D with respect to its input, which is {x.dtype} here; pass floating-point "
            "numbers, such as pixels scaled to [0, 1]."
        )
    return jax.lax.stop_gradient(x)


def _keys(key: Array, n: int) -> Array:
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    return jax.random.split(key, n) if key.ndim == 0 else key


def _per_example(a: Array, x: Array) -> Array:
    return a.reshape(a.shape + (1,) * (x.ndim - 1))


def _std(x: Array, axis_name: str | None) -> Array:
    mean = jnp.mean(x)
    if axis_name is not None:
        mean = jax.lax.pmean(mean, axis_name)
    variance = jnp.mean(jnp.square(x - mean))
    if axis_name is not None:
        variance = jax.lax.pmean(variance, axis_name)
    return jnp.sqrt(variance)
