"""Per-example losses of both players, as functions of the logits: `LOSSES[name].discriminator` and `.generator`.

Logits are D's raw outputs, real_logits on data and fake_logits on G(z). D's loss is the sum of its real and fake parts,
not their mean: published penalty weights assume the sum. The 2014 code uses the mean.

Both functions take the logits of the GLOBAL minibatch, gathered over devices: the relativistic average losses take
means over the logits (`jnp.mean`, with gradients through both means), and `relativistic` pairs example i of the data
with sample i of G. Computed per device, on shards of the minibatch, they would be different losses.

Every function preserves the dtype of the logits. The hyperparameters of a loss (targets, smoothing) are keyword-only
arguments, the same for both players; they default to the published values and may be traced.

To add a loss, write a pair of functions and add a line to `LOSSES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import relu, sigmoid, softplus
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxgan.arrays import AnyArray
from jaxgan.errors import UserError
from jaxgan.fields import TRACED, within

Logits: TypeAlias = Float[AnyArray, "*n"]  # [n] for a minibatch, or a scalar for one example
PerExample: TypeAlias = Float[AnyArray, "*n"]


class Loss(NamedTuple):
    """The losses of both players, and how to interpret D's output.

    `discriminator` and `generator` take (real_logits [n], fake_logits [n], **hyperparameters) and return [n], whose
    mean the players minimize. Unless `needs_real`, `generator` ignores real_logits, which may be None.
    """

    discriminator: Callable[..., Array]
    generator: Callable[..., Array]
    output: str  # describes the logit of an optimal D; p and q are the densities of data and of G
    posterior: Callable[..., Array] | None = None  # (logits, **hyperparameters) -> p/(p+q) in [0, 1] for an optimal D
    probability: bool = False  # sigmoid(logit) is p/(p+q) for an optimal D, so D(x) and V(D, G) are meaningful
    shift_invariant: bool = False  # only differences of logits are meaningful, not their sign or sigmoid
    needs_real: bool = False  # G's loss uses real examples: a new minibatch, or D's in simultaneous updates
    check: Callable[..., None] | None = None  # (**hyperparameters) -> None; raises UserError if invalid
    couples_examples: bool = False  # loss i depends on other examples' logits, so a minibatch cannot be split


# --- arXiv:1406.2661 -------------------------------------------------------------------------------------------------


RealTarget = Annotated[ArrayLike, TRACED, within(0, 1, "(]")]


def cross_entropy(real_logits: Logits, fake_logits: Logits, *, real_target: RealTarget = 1.0) -> PerExample:
    """-log D(x) - log(1 - D(G(z))) with D = sigmoid(logit); at real_target 1 its mean is -V(D, G).

    Args:
      real_target: in (0, 1], the target for data; values below 1 give one-sided label smoothing (arXiv:1606.03498,
        section 3.4): the first term becomes real_target * -log D(x) + (1 - real_target) * -log(1 - D(x)), and the
        optimal D is real_target * p/(p+q).

    Returns:
      [n] float, nats; 2 log 2 where D = 1/2.
    """
    # softplus(r) - softplus(-r) = r
    smoothing = (1 - _like(real_target, real_logits)) * real_logits
    return softplus(-real_logits) + smoothing + softplus(fake_logits)


def minimax_generator(real_logits: Logits | None, fake_logits: Logits, *, real_target: RealTarget = 1.0) -> PerExample:
    """log(1 - D(G(z))): G's part of eq. (1), which saturates when D is confident (section 3)."""
    return -softplus(fake_logits)


def non_saturating_generator(
    real_logits: Logits | None, fake_logits: Logits, *, real_target: RealTarget = 1.0
) -> PerExample:
    """-log D(G(z)): the same fixed point, with much stronger gradients early in training (section 3)."""
    return softplus(-fake_logits)


def cross_entropy_posterior(logits: Logits, *, real_target: RealTarget = 1.0) -> PerExample:
    return jnp.minimum(sigmoid(logits) / _like(real_target, logits), 1.0)


# --- Least squares, arXiv:1611.04076: targets a for fakes, b for data, and c for fakes in G's loss --------------------
# (a, b, c) = (0, 1, 1) in public code; with (-1, 1, 0), G minimizes the Pearson chi^2 of p + q against 2 q
# (section 3.2).

Target = Annotated[ArrayLike, TRACED]


def least_squares_discriminator(
    real_logits: Logits, fake_logits: Logits, *, a: Target = 0.0, b: Target = 1.0, c: Target = 1.0
) -> PerExample:
    """(D(x) - b)^2 / 2 + (D(G(z)) - a)^2 / 2, on the raw output. Its mean is (b - a)^2 / 4 if p = q and D is optimal.

    Args:
      a: the target for samples in D's loss.
      b: the target for data in D's loss.
      c: the target for samples in G's loss.
    """
    real_error = real_logits - _like(b, real_logits)
    fake_error = fake_logits - _like(a, fake_logits)
    return 0.5 * jnp.square(real_error) + 0.5 * jnp.square(fake_error)


def least_squares_generator(
    real_logits: Logits | None, fake_logits: Logits, *, a: Target = 0.0, b: Target = 1.0, c: Target = 1.0
) -> PerExample:
    """(D(G(z)) - c)^2 / 2."""
    return 0.5 * jnp.square(fake_logits - _like(c, fake_logits))


def least_squares_posterior(logits: Logits, *, a: Target = 0.0, b: Target = 1.0, c: Target = 1.0) -> PerExample:
    a, b = _like(a, logits), _like(b, logits)
    return jnp.clip((logits - a) / (b - a), 0.0, 1.0)


def check_least_squares(*, a: float, b: float) -> None:
    if a == b:
        raise UserError(
            f"objective.a={a} and objective.b={b} are D's targets for fakes and data; make them differ, e.g. 0 and 1."
        )


# --- Hinge (arXiv:1802.05957, eqs. 16 and 17) and Wasserstein (arXiv:1701.07875) --------------------------------------


def hinge_discriminator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z)))."""
    return relu(1 - real_logits) + relu(1 + fake_logits)


def wasserstein_discriminator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """D(G(z)) - D(x), whose mean is minus the Wasserstein-1 distance for an optimal 1-Lipschitz D.

    It is unbounded below unless D's Lipschitz constant is bounded: by clipping weights, spectral normalization or a
    gradient penalty.
    """
    return fake_logits - real_logits


def negative_logit_generator(real_logits: Logits | None, fake_logits: Logits) -> PerExample:
    """-D(G(z)): G's loss in both the hinge and the Wasserstein GAN."""
    return -fake_logits


# --- Relativistic losses, arXiv:1807.00734, without the factor 1/2 of the author's code -------------------------------


def relativistic_discriminator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """RpGAN: -log sigmoid(D(x_i) - D(G(z_i))), one term per pair; log 2 if the two logits are equal."""
    return softplus(fake_logits - real_logits)


def relativistic_generator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """RpGAN: -log sigmoid(D(G(z_i)) - D(x_i))."""
    return softplus(real_logits - fake_logits)


def relativistic_average_discriminator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """-log sigmoid(r) - log(1 - sigmoid(f)), with r = D(x) - mean D(G(z)) and f = D(G(z)) - mean D(x)."""
    r, f = _relative(real_logits, fake_logits)
    return softplus(-r) + softplus(f)


def relativistic_average_generator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """D's loss with data and fakes exchanged."""
    return relativistic_average_discriminator(fake_logits, real_logits)


def relativistic_average_least_squares_discriminator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """(r - 1)^2 + (f + 1)^2, with r = D(x) - mean D(G(z)) and f = D(G(z)) - mean D(x)."""
    r, f = _relative(real_logits, fake_logits)
    return jnp.square(r - 1) + jnp.square(f + 1)


def relativistic_average_least_squares_generator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """D's loss with data and fakes exchanged."""
    return relativistic_average_least_squares_discriminator(fake_logits, real_logits)


def relativistic_average_hinge_discriminator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """max(0, 1 - r) + max(0, 1 + f), with r = D(x) - mean D(G(z)) and f = D(G(z)) - mean D(x)."""
    r, f = _relative(real_logits, fake_logits)
    return relu(1 - r) + relu(1 + f)


def relativistic_average_hinge_generator(real_logits: Logits, fake_logits: Logits) -> PerExample:
    """D's loss with data and fakes exchanged."""
    return relativistic_average_hinge_discriminator(fake_logits, real_logits)


def _relative(real_logits: Array, fake_logits: Array) -> tuple[Array, Array]:
    return real_logits - jnp.mean(fake_logits), fake_logits - jnp.mean(real_logits)


# --- f-GAN, arXiv:1606.00709: D maximizes E_p[g(v)] - E_q[f*(g(v))], where v is its raw output ------------------------

MAX_EXPONENT = 30.0


def capped_exp(v: AnyArray) -> Array:
    """exp(v), extended linearly beyond `MAX_EXPONENT`, so that values stay finite and the gradient is at most e^30.

    Clipping instead would make the gradient vanish exactly where D is most wrong.
    """
    return jnp.exp(jnp.minimum(v, MAX_EXPONENT)) * (1 + jnp.maximum(v - MAX_EXPONENT, 0))


def f_gan(
    g: Callable[[Array], Array],
    conjugate: Callable[[Array], Array],
    *,
    output: str,
    posterior: Callable[[Array], Array] | None,
    probability: bool = False,
) -> Loss:
    """The losses of an f-GAN: for an optimal D, the mean of D's loss is minus the f-divergence of p from q.

    G maximizes E_q[g(v)] instead of minimizing -E_q[f*(g(v))]. This is the alternative of section 3.2, and for the GAN
    divergence it is the non-saturating loss.

    Args:
      g: v -> T, the output activation; increasing, so that a larger v means a more realistic input.
      conjugate: v -> f*(g(v)), in a form without overflow or cancellation.
      output, posterior, probability: see `Loss`.
    """
    return Loss(
        discriminator=lambda real_logits, fake_logits: conjugate(fake_logits) - g(real_logits),
        generator=lambda real_logits, fake_logits: -g(fake_logits),
        output=output,
        posterior=posterior,
        probability=probability,
    )


def _pearson_posterior(v: Array) -> Array:
    ratio = relu(1 + v / 2)
    return ratio / (1 + ratio)


# --- Table of losses --------------------------------------------------------------------------------------------------

LOG_RATIO = "log p/q"
POTENTIAL = "a potential, up to an additive constant"

LOSSES: dict[str, Loss] = {
    "minimax": Loss(
        cross_entropy,
        minimax_generator,
        LOG_RATIO,
        posterior=cross_entropy_posterior,
        probability=True,
    ),
    "non_saturating": Loss(
        cross_entropy,
        non_saturating_generator,
        LOG_RATIO,
        posterior=cross_entropy_posterior,
        probability=True,
    ),
    "least_squares": Loss(
        least_squares_discriminator,
        least_squares_generator,
        "(b p + a q)/(p + q)",
        posterior=least_squares_posterior,
        check=check_least_squares,
    ),
    "hinge": Loss(hinge_discriminator, negative_logit_generator, "the sign of p - q"),
    "wasserstein": Loss(wasserstein_discriminator, negative_logit_generator, POTENTIAL, shift_invariant=True),
    "relativistic": Loss(
        relativistic_discriminator, relativistic_generator, POTENTIAL, shift_invariant=True, needs_real=True
    ),
    "relativistic_average": Loss(
        relativistic_average_discriminator,
        relativistic_average_generator,
        POTENTIAL,
        shift_invariant=True,
        needs_real=True,
        couples_examples=True,
    ),
    "relativistic_average_least_squares": Loss(
        relativistic_average_least_squares_discriminator,
        relativistic_average_least_squares_generator,
        POTENTIAL,
        shift_invariant=True,
        needs_real=True,
        couples_examples=True,
    ),
    "relativistic_average_hinge": Loss(
        relativistic_average_hinge_discriminator,
        relativistic_average_hinge_generator,
        POTENTIAL,
        shift_invariant=True,
        needs_real=True,
        couples_examples=True,
    ),
    # f(u) = u log u, u = p/q
    "f_kl": f_gan(
        g=lambda v: v,
        conjugate=lambda v: capped_exp(v - 1),
        output="1 + log p/q",
        posterior=lambda v: sigmoid(v - 1),
    ),
    # f(u) = -log u
    "f_reverse_kl": f_gan(
        g=lambda v: -capped_exp(-v),
        conjugate=lambda v: v - 1,
        output=LOG_RATIO,
        posterior=sigmoid,
        probability=True,
    ),
    # f(u) = (u - 1)^2
    "f_pearson": f_gan(
        g=lambda v: v,
        conjugate=lambda v: jnp.square(v) / 4 + v,
        output="2 (p/q - 1)",
        posterior=_pearson_posterior,
    ),
    # f(u) = (1 - u)^2 / u
    "f_neyman": f_gan(
        g=lambda v: 1 - capped_exp(-v),
        conjugate=lambda v: 2 - 2 * capped_exp(-v / 2),
        output="2 log p/q",
        posterior=lambda v: sigmoid(v / 2),
    ),
    # f(u) = (sqrt u - 1)^2
    "f_hellinger": f_gan(
        g=lambda v: 1 - capped_exp(-v),
        conjugate=lambda v: capped_exp(v) - 1,
        output="1/2 log p/q",
        posterior=lambda v: sigmoid(2 * v),
    ),
    # f(u) = u log u - (u + 1) log((u + 1)/2): twice the Jensen-Shannon divergence
    "f_js": f_gan(
        g=lambda v: math.log(2) - softplus(-v),
        conjugate=lambda v: softplus(v) - math.log(2),
        output=LOG_RATIO,
        posterior=sigmoid,
        probability=True,
    ),
    # f(u) = |u - 1| / 2
    "f_total_variation": f_gan(
        g=lambda v: jnp.tanh(v) / 2,
        conjugate=lambda v: jnp.tanh(v) / 2,
        output="infinite, with the sign of p - q",
        posterior=None,
    ),
}


# --- Top-k for G ------------------------------------------------------------------------------------------------------


def top_k_weights(logits: Float[AnyArray, " n"], share: ArrayLike) -> Float[Array, " n"]:
    """1/k for the k largest logits, 0 for the others; k is share * n, rounded down, and at least 1.

    Ties go to the earlier example. No gradient flows through the weights.

    Args:
      logits: D's logits on the fakes of the global minibatch (top-k per device would be a different algorithm).
      share: k/n in (0, 1]; may be traced.

    Returns:
      Weights with sum 1.

    Source: arXiv:2002.06224, Algorithm 1.
    """
    n = logits.shape[0]
    rounding = 1 + 1e-6  # .29 * 100 is 28.999998 in float32
    k = jnp.clip(jnp.floor(_like(share, logits) * n * rounding), 1, n)
    rank = jnp.argsort(jnp.argsort(-jax.lax.stop_gradient(logits)))
    return jnp.where(rank.astype(k.dtype) < k, 1 / k, 0)


def top_k_mean(values: Float[AnyArray, " n"], logits: Float[AnyArray, " n"], share: ArrayLike) -> Float[Array, ""]:
    """The mean of G's loss over the fakes with the largest logits; see `top_k_weights`.

    Args:
      values: G's loss per example.
      logits: D's logits on the same examples.
      share: in (0, 1]; may be traced; 1 gives the plain mean.
    """
    weights = top_k_weights(logits, share)
    return jnp.sum(jnp.where(weights > 0, weights * values, 0))


def _like(number: ArrayLike, array: Array) -> Array:
    return jnp.asarray(number, jnp.result_type(array))
