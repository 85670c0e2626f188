"""The prior p_z: a table of distributions with mean 0 and variance 1 in each dimension."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from ml_collections import ConfigDict

from jaxgan.errors import UserError
from jaxgan.fields import TRACED, Choice, above, accepted_kwargs, at_least, within


def uniform(key: jax.Array, size: int) -> jax.Array:
    """Uniform on [-sqrt 3, sqrt 3], the 2014 code's for MNIST."""
    return jax.random.uniform(key, (size,), minval=-math.sqrt(3), maxval=math.sqrt(3))


def normal(key: jax.Array, size: int) -> jax.Array:
    """Standard normal."""
    return jax.random.normal(key, (size,))


def sphere(key: jax.Array, size: int) -> jax.Array:
    """A normal sample divided by its root mean square."""
    return scale_to_sphere(jax.random.normal(key, (size,)))


def mixture(
    key: jax.Array,
    size: int,
    *,
    components: Annotated[int, at_least(2)] = 2,
    deviation: Annotated[float, TRACED, within(0, 1, "()")] = 0.25,
) -> jax.Array:
    """A mixture of normal components in each dimension, for modes that a normal z reaches only through a steep G.

    Args:
      components: of the mixture, equally likely and equally spaced.
      deviation: standard deviation of each.
    """
    component_key, normal_key = jax.random.split(key)
    component = jax.random.randint(component_key, (size,), 0, components)
    half_spacing = jnp.sqrt((1 - deviation**2) * 3 / (components**2 - 1))
    centre = half_spacing * (2 * component - (components - 1)).astype(jnp.float32)
    return centre + deviation * jax.random.normal(normal_key, (size,))


Threshold = Annotated[float, TRACED, at_least(0.1)]


def truncated(key: jax.Array, size: int, *, threshold: Threshold = 2.0) -> jax.Array:
    """A normal sample truncated beyond a threshold in each dimension, divided by the standard deviation that is left.

    Args:
      threshold: in standard deviations before truncation.
    """
    return truncated_normal(key, size, threshold) / _truncated_deviation(threshold)


def truncated_normal(key: jax.Array, size: int, threshold: ArrayLike) -> jax.Array:
    """A standard normal sample resampled until it lies within +-threshold, in each dimension: [size] float32."""
    return jax.random.truncated_normal(key, jnp.negative(threshold), threshold, (size,))


def _truncated_deviation(threshold: ArrayLike) -> jax.Array:
    inside = jax.lax.erf(jnp.asarray(threshold, jnp.float32) / math.sqrt(2))
    return jnp.sqrt(1 - 2 * threshold * jax.scipy.stats.norm.pdf(threshold) / inside)


def unchanged(z: jax.Array) -> jax.Array:
    """The nearest point of the support of a distribution on the whole space."""
    return z


def clip_uniform(z: jax.Array) -> jax.Array:
    return jnp.clip(z, -math.sqrt(3), math.sqrt(3))


def scale_to_sphere(z: jax.Array) -> jax.Array:
    return z * jax.lax.rsqrt(jnp.mean(z * z))


def clip_truncated(z: jax.Array, *, threshold: ArrayLike) -> jax.Array:
    bound = threshold / _truncated_deviation(threshold)
    return jnp.clip(z, -bound, bound)


# n truncated samples; the last two lines are their standard deviation.
TRUNCATED_CODE = (
    "(jax.random.truncated_normal(jax.random.key(0), -{threshold}, {threshold}, (n, {size}))"
    " / (1 - {threshold} * (2 / np.pi) ** 0.5 * np.exp(-({threshold}**2) / 2)"
    " / jax.lax.erf({threshold} / 2**0.5)) ** 0.5)"
)


class Prior(NamedTuple):
    """A distribution of z [size] float32."""

    sample: Callable[..., jax.Array]  # (key, size, **fields) -> z
    code: str  # n samples: an expression of `rng`, np and jax, in which fields stand in braces
    straight: bool = False  # z on the line between two samples are as likely; else those on a great circle are
    # (z, **fields) -> the nearest point of the support, for steps in z; None if it has no neighbours to step to
    nearest: Callable[..., jax.Array] | None = None


PRIORS: dict[str, Prior] = {
    "uniform": Prior(uniform, "rng.uniform(-(3**0.5), 3**0.5, size=(n, {size}))", straight=True, nearest=clip_uniform),
    "normal": Prior(normal, "rng.normal(size=(n, {size}))", nearest=unchanged),
    "sphere": Prior(
        sphere,
        "(lambda z: z / np.sqrt(np.mean(z**2, axis=1, keepdims=True)))(rng.normal(size=(n, {size})))",
        nearest=scale_to_sphere,
    ),
    "mixture": Prior(
        mixture,
        "((3 * (1 - {deviation}**2) / ({components}**2 - 1)) ** 0.5 * (2 * rng.integers({components}, size=(n, {size}))"
        " - {components} + 1) + {deviation} * rng.normal(size=(n, {size})))",
        nearest=unchanged,
    ),
    "truncated": Prior(truncated, TRUNCATED_CODE, nearest=clip_truncated),
}


@dataclass(frozen=True)
class PriorSection:
    """The distribution of z."""

    name: Annotated[str, Choice(PRIORS)] = "normal"  # of jaxgan/game/prior.py
    size: Annotated[int, above(0)] = 64  # dimensions of z
    scale: Annotated[float, TRACED, above(0)] = 1.0  # z is multiplied by this


def nearest_in_prior(section: Mapping[str, Any], z: jax.Array) -> jax.Array:
    """The points of the prior's support nearest to z [n, size], for one of the priors that has them."""
    nearest = PRIORS[section["name"]].nearest
    assert nearest is not None  # `check`
    fields = accepted_kwargs(nearest, section)
    return jax.vmap(lambda z: nearest(z / section["scale"], **fields) * section["scale"])(z)


def sample_prior(section: Mapping[str, Any], key: jax.Array) -> jax.Array:
    """One z [size] float32 of the prior that the fields of the section `prior` describe."""
    sample = PRIORS[section["name"]].sample
    return sample(key, **accepted_kwargs(sample, section)) * section["scale"]


def check(config: ConfigDict) -> None:
    """Raises UserError for a step in z that the prior does not allow."""
    if config.objective.latent_optimization.rate and PRIORS[config.prior.name].nearest is None:
        allowed = ", ".join(name for name, prior in PRIORS.items() if prior.nearest)
        raise UserError(
            f"objective.latent_optimization moves z along a gradient, which prior.name={config.prior.name} does not "
            f"allow; take one of {allowed}, or set objective.latent_optimization.rate=0."
        )
