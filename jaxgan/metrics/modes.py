"""Mode collapse on a mixture of isotropic Gaussians, whose modes are known.

All functions are pure and can be vmapped over sets of samples.
"""

from __future__ import annotations

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxgan.arrays import AnyArray
from jaxgan.data.mixture import Mixture, box
from jaxgan.errors import UserError
from jaxgan.metrics.protocol import Display, Metric
from jaxgan.objectives.theory import js_divergence, kl_divergence

HIGH_QUALITY = 3  # standard deviations from the nearest mode
MIN_BINS = 200  # per dimension, of the histogram behind a mixture's JSD
MAX_BINS = 2**20  # in total


def evaluate(samples: AnyArray, mixture: Mixture, cells: int | None = None) -> dict[str, Array]:
    """The scores of `coverage`, and `density_jsd` as `jsd`: five float32 scalars.

    All are NaN if a sample is not finite, so that a diverged generator gets no score.

    Args:
      samples: [n, d].
      mixture: in d = 1 or 2 dimensions; concrete, unless cells are given.
      cells: of the histogram, along each dimension; None: `histogram_cells(mixture)`, so that a cell is no larger
        than the smallest scale.

    Raises:
      UserError: as `coverage` and `density_jsd`.
    """
    return _evaluate(samples, mixture, histogram_cells(mixture) if cells is None else cells)


def histogram_cells(mixture: Mixture) -> int:
    """Cells along each dimension of the mixture's `box` for `density_jsd`.

    At least 200, and enough that no side of a cell is longer than the smallest scale, up to 2^20 cells in total (1,024
    along each of two dimensions, enough for modes 1,012 standard deviations apart).
    """
    means, scales = np.asarray(mixture.means, np.float64), np.asarray(mixture.scales, np.float64)
    radius = 6 * scales[:, None]
    widths = np.max(means + radius, axis=0) - np.min(means - radius, axis=0)
    num_cells = math.ceil(np.max(widths) / np.min(scales) * (1 - 1e-6))  # tolerates float32 rounding
    return min(max(MIN_BINS, num_cells), int(MAX_BINS ** (1 / means.shape[1])))


def count(labels: AnyArray, classes: int) -> dict[str, float]:
    """Modes of classified samples, such as the 1,000 triples of digits of Stacked MNIST.

    Args:
      labels: [n] integers from 0 to classes - 1.
      classes: number of modes.

    Returns:
      modes: the number of classes with a sample.
      mode_kl: KL(histogram of labels || uniform), nats, float64: in [0, log classes]. Uniformly sampled
        labels score about (classes - 1) / (2 n).

    Raises:
      UserError: no labels, or one outside the classes.

    Source: VEEGAN and PacGAN (arXiv:1705.07761, arXiv:1712.04086), with 25,600 or 26,000 samples.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.size == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels of type {labels.dtype} and shape {labels.shape} must be integers [n], at least one.")
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(f"labels from {labels.min()} to {labels.max()} are not all among {classes} classes.")
    shares = np.bincount(labels, minlength=classes) / len(labels)
    shares = shares[shares > 0]
    return {"modes": float(len(shares)), "mode_kl": float(np.sum(shares * np.log(shares * classes)))}


@partial(jax.jit, static_argnames="cells")
def _evaluate(samples: AnyArray, mixture: Mixture, cells: int) -> dict[str, Array]:
    scores = coverage(samples, mixture) | {"jsd": density_jsd(samples, mixture, cells)}
    finite = jnp.isfinite(jnp.asarray(samples)).all()
    return {name: jnp.where(finite, score, jnp.nan) for name, score in scores.items()}


def coverage(samples: AnyArray, mixture: Mixture) -> dict[str, Array]:
    """How many modes the samples capture, how precisely, and how evenly.

    A sample belongs to the mode that is nearest in standard deviations of that mode, and is of high
    quality within 3 of them (the mixture's own samples are with probability .9973 in 1-D, .9889 in 2-D).

    Args:
      samples: [n, d].
      mixture: of K components in d dimensions.

    Returns: float32 scalars
      modes: the number of modes with at least one high-quality sample.
      high_quality: the fraction of high-quality samples.
      mode_kl: KL(fraction of samples per mode || weights), nats. The mixture's own
        n samples score about (K - 1) / (2 n).
      mode_jsd: the same with JSD, in [0, log 2] nats.

    Raises:
      UserError: no samples, or another number of dimensions than the mixture's.

    Source: VEEGAN, section 4.1, arXiv:1705.07761, for the first two (there with 2,500 samples); KL over
      modes, in this direction, is Unrolled GANs' and PacGAN's (arXiv:1611.02163, arXiv:1712.04086).
    """
    samples, mixture = _validate(samples, mixture)
    belongs, good = _assign_modes(samples, mixture)
    weights = mixture.weights
    shares = jnp.mean(belongs, axis=0, dtype=jnp.float32)
    return {
        "modes": jnp.sum(jnp.any(belongs & good[:, None], axis=0), dtype=jnp.float32),
        "high_quality": jnp.mean(good, dtype=jnp.float32),
        "mode_kl": kl_divergence(shares, weights, 1.0),
        "mode_jsd": js_divergence(shares, weights, 1.0),
    }


def high_quality_kl(samples: AnyArray, mixture: Mixture) -> dict[str, Array]:
    """How evenly the high-quality samples cover the modes: PacGAN's reverse KL.

    `mode_kl` of `coverage` counts all samples; here those that are not of high quality are left out.

    Args:
      samples: [n, d].
      mixture: of K components in d dimensions.

    Returns:
      high_quality_kl: KL(fraction of high-quality samples per mode || weights), nats, float32
        scalar. The mixture's own n samples score about (K - 1) / (2 n). Without a high-quality sample it is
        its maximum, -log(smallest weight); NaN if a sample is not finite.

    Raises:
      UserError: no samples, or another number of dimensions than the mixture's.

    Source: the released code of PacGAN, arXiv:1712.04086, section 4.1 (there in 2,500 samples).
    """
    samples, mixture = _validate(samples, mixture)
    belongs, good = _assign_modes(samples, mixture)
    counts = jnp.sum(belongs & good[:, None], axis=0, dtype=jnp.float32)
    total = jnp.sum(counts)
    kl = kl_divergence(counts / jnp.maximum(total, 1), mixture.weights, 1.0)
    kl = jnp.where(total > 0, kl, -jnp.log(jnp.min(mixture.weights)))
    return {"high_quality_kl": jnp.where(jnp.isfinite(samples).all(), kl, jnp.nan)}


def density_jsd(samples: AnyArray, mixture: Mixture, cells: int) -> Array:
    """JSD(p_data || p_g) of the samples' histogram against the cells' exact probabilities, in nats.

    The cells divide the mixture's `box`; everything outside counts as one more cell. Merging points into
    cells can only lower the JSD, so cells should be no larger than a scale. The histogram's own noise
    raises it: n samples of the mixture itself score (C - 1) / (8 n), or up to a third more, with C the
    number of cells that expect at least a third of a sample. So compare scores at equal n and cells.

    Args:
      samples: [n, d], d = 1 or 2.
      mixture: in d dimensions.
      cells: along each dimension.

    Returns:
      float32 scalar in [0, log 2].

    Raises:
      UserError: no samples, another number of dimensions than the mixture's, or more than two.
    """
    samples, (weights, means, scales) = _validate(samples, mixture)
    d = means.shape[1]
    if d > 2:
        raise UserError(f"a histogram needs 1 or 2 dimensions, not {d}; use coverage() alone.")
    low, high = box(mixture)
    steps = (high - low) / cells

    edges = low[None] + steps[None] * jnp.arange(cells + 1, dtype=jnp.float32)[:, None]
    below = jax.scipy.stats.norm.cdf((edges[None] - means[:, None]) / scales[:, None, None])
    inside = jnp.diff(below, axis=1)  # [K, cells, d]: P(x in cell), by component and dimension
    formula = "k,ki->i" if d == 1 else "k,ki,kj->ij"
    p_data = jnp.einsum(formula, weights, *jnp.moveaxis(inside, -1, 0), precision="highest").reshape(-1)
    p_data = jnp.append(p_data, jnp.maximum(1 - jnp.sum(p_data), 0))

    position = jnp.floor((samples - low[None]) / steps[None])
    within = jnp.all((position >= 0) & (position < cells), axis=1)
    index = jnp.where(within[:, None], position, 0).astype(jnp.int32)
    cell = jnp.where(within, index[:, 0] if d == 1 else index[:, 0] * cells + index[:, 1], cells**d)
    p_g = jnp.bincount(cell, length=cells**d + 1).astype(jnp.float32) / len(samples)
    return js_divergence(p_data, p_g, 1.0)


def _validate(samples: AnyArray, mixture: Mixture) -> tuple[Array, Mixture]:
    samples = jnp.asarray(samples, jnp.float32)
    mixture = Mixture(*(jnp.asarray(a, jnp.float32) for a in mixture))
    d = mixture.means.shape[1]
    if samples.ndim != 2 or samples.shape[1] != d or len(samples) == 0:
        raise UserError(
            f"samples of shape {samples.shape} don't fit a mixture in {d} dimensions; give at least one, as [n, {d}]."
        )
    return samples, mixture


def _assign_modes(samples: Array, mixture: Mixture) -> tuple[Array, Array]:
    """The mode of each sample, [n, K] bool, one True per row, and whether it is of high quality, [n] bool."""
    distances = jnp.linalg.norm((samples[:, None] - mixture.means[None]) / mixture.scales[None, :, None], axis=-1)
    belongs = jnp.argmin(distances, axis=1)[:, None] == jnp.arange(len(mixture.weights))[None]
    return belongs, jnp.min(distances, axis=1) <= HIGH_QUALITY


METRIC = Metric(
    needs=("samples", "mixture"),
    evaluate=evaluate,
    outputs={
        "modes": Display("modes captured", 2, 1),
        "high_quality": Display("high-quality share", 3, 1),
        "jsd": Display("JSD (nats)", 3, -1),
        "mode_kl": Display("KL over modes (nats)", 3, -1),
    },
    best="jsd",
)


HIGH_QUALITY_METRIC = Metric(
    needs=("samples", "mixture"),
    evaluate=jax.jit(high_quality_kl),
    outputs={"high_quality_kl": Display("KL over modes of high-quality samples (nats)", 3, -1)},
    best="high_quality_kl",
)


def count_classes(fake_classes: AnyArray, classes: int) -> dict[str, float]:
    """`count` of classified samples, as {name: value}."""
    counts = count(fake_classes, classes)
    return {"class_modes": counts["modes"], "class_kl": counts["mode_kl"]}


CLASS_METRIC = Metric(
    needs=("fake_classes", "classes"),
    evaluate=count_classes,
    outputs={
        "class_modes": Display("classes among the samples", 1, 1),
        "class_kl": Display("KL of the samples' classes to uniform (nats)", 3, -1),
    },
    best="class_kl",
)
