"""The prior p_z: a table of distributions with mean 0 and variance 1 in each dimension."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxgan.fields import TRACED, Choice, above, accepted_kwargs, at_least, within


def uniform(key: jax.Array, size: int) -> jax.Array:
    """Uniform on [-sqrt 3, sqrt 3], the 2014 code's for MNIST."""
    return jax.random.uniform(key, (size,), minval=-math.sqrt(3), maxval=math.sqrt(3))


def normal(key: jax.Array, size: int) -> jax.Array:
    """Standard normal."""
    return jax.random.normal(key, (size,))


def sphere(key: jax.Array, size: int) -> jax.Array:
    """A normal sample divided by its root mean square."""
    return onto_sphere(jax.random.normal(key, (size,)))


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


def truncated_bound(threshold: ArrayLike) -> jax.Array:
    """The largest absolute value of a number that `truncated` draws."""
    return jnp.asarray(threshold) / _truncated_deviation(threshold)


def onto_sphere(z: jax.Array) -> jax.Array:
    """The nearest z [..., size] of root mean square 1; 0 stays 0."""
    return z * jax.lax.rsqrt(jnp.maximum(jnp.mean(z * z, axis=-1, keepdims=True), 1e-20))


# The last two lines are the standard deviation.
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
    # (z [..., size], **fields) -> the nearest z that can be sampled; and a smooth map onto these, the last layer of an
    # encoder
    project: Callable[..., jax.Array] = lambda z: z
    squash: Callable[..., jax.Array] = lambda z: z


SQRT3 = math.sqrt(3)

PRIORS: dict[str, Prior] = {
    "uniform": Prior(
        uniform,
        "rng.uniform(-(3**0.5), 3**0.5, size=(n, {size}))",
        straight=True,
        project=lambda z: jnp.clip(z, -SQRT3, SQRT3),
        squash=lambda z: SQRT3 * jnp.tanh(z / SQRT3),
    ),
    "normal": Prior(normal, "rng.normal(size=(n, {size}))"),
    "sphere": Prior(
        sphere,
        "(lambda z: z / np.sqrt(np.mean(z**2, axis=1, keepdims=True)))(rng.normal(size=(n, {size})))",
        project=onto_sphere,
        squash=onto_sphere,
    ),
    "mixture": Prior(
        mixture,
        "((3 * (1 - {deviation}**2) / ({components}**2 - 1)) ** 0.5 * (2 * rng.integers({components}, size=(n, {size}))"
        " - {components} + 1) + {deviation} * rng.normal(size=(n, {size})))",
    ),
    "truncated": Prior(
        truncated,
        TRUNCATED_CODE,
        project=lambda z, *, threshold: jnp.clip(z, -truncated_bound(threshold), truncated_bound(threshold)),
        squash=lambda z, *, threshold: truncated_bound(threshold) * jnp.tanh(z / truncated_bound(threshold)),
    ),
}


@dataclass(frozen=True)
class PriorSection:
    """The distribution of z."""

    name: Annotated[str, Choice(PRIORS)] = "normal"  # of jaxgan/game/prior.py
    size: Annotated[int, above(0)] = 64  # dimensions of z
    scale: Annotated[float, TRACED, above(0)] = 1.0  # z is multiplied by this


def sample_prior(section: Mapping[str, Any], key: jax.Array) -> jax.Array:
    """One z [size] float32 of the prior that the fields of the section `prior` describe."""
    sample = PRIORS[section["name"]].sample
    return sample(key, **accepted_kwargs(sample, section)) * section["scale"]


def project_onto_prior(section: Mapping[str, Any], z: jax.Array) -> jax.Array:
    """The nearest z [n, size] that the prior of the section `prior` can sample."""
    scale = section["scale"]
    project = PRIORS[section["name"]].project
    return scale * project(z / scale, **accepted_kwargs(project, section))


def squash_onto_prior(section: Mapping[str, Any], raw: jax.Array) -> jax.Array:
    """Any numbers [n, size] as z that the prior of the section `prior` can sample: the last layer of an encoder."""
    scale = section["scale"]
    squash = PRIORS[section["name"]].squash
    return scale * squash(raw, **accepted_kwargs(squash, section))
