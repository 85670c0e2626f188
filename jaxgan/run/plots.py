"""Figures: colours, axes and files, and points over a density."""

from __future__ import annotations

import io
import math
from collections.abc import Collection
from pathlib import Path

import jax
import numpy as np

from jaxgan.data.mixture import Mixture, log_density
from jaxgan.files import write_atomically

# The colour-blind-safe palette of Okabe and Ito.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def new_figure(width: float, height: float, layout: str = "constrained"):
    """A Matplotlib figure (inches) without pyplot's global state, which is thread-safe."""
    from matplotlib.figure import Figure  # lazy import: takes half a second

    return Figure(figsize=(width, height), dpi=110, layout=layout)


def figure_png(figure) -> bytes:
    """A Matplotlib figure as the bytes of a PNG file."""
    data = io.BytesIO()
    figure.savefig(data, format="png", pil_kwargs={"compress_level": 1})
    return data.getvalue()


def plain(text: str, longest: int = 80) -> str:
    """Text as a one-line label: `$` is escaped, and the middle of long text is elided."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text.replace("$", r"\$")


def spans_orders(values: Collection[float]) -> bool:
    """Whether values need a logarithmic axis: positive, the largest more than 100 times the smallest."""
    return bool(values) and min(values) > 0 and max(values) > 100 * min(values)


def save_points(path: Path, samples: np.ndarray, mixture: Mixture | None) -> None:
    """Plots samples of G and p_data with `draw_points`, with a legend.

    Args:
      path: of the PNG.
      samples: [n, d] float32.
      mixture: p_data, if its density is known; without it samples are drawn between -4 and 4.

    Raises:
      UserError: the picture cannot be written.
    """
    height = 4 if samples.shape[1] == 1 else 6
    figure = new_figure(6, height, layout="none")
    axis = figure.subplots()
    figure.subplots_adjust(left=0.12, right=0.98, bottom=0.55 / height, top=1 - 0.35 / height)
    axis.locator_params(nbins=5)
    draw_points(axis, samples, mixture)
    legend = axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, markerscale=3)
    for handle in legend.legend_handles:
        handle.set_alpha(1)
    write_atomically(path, figure_png(figure))


def draw_points(axis, samples: np.ndarray, mixture: Mixture | None) -> None:
    """Draws samples of G and p_data: p_g green and p_data black and dotted, as in the paper's Figure 1.

    In one dimension a histogram and the density; otherwise the first two coordinates of up to 5,000 samples, and
    circles of 3 standard deviations. The range depends on p_data alone, so that figures are comparable; the label of
    p_g gives the fraction of samples outside.

    Args:
      axis: Matplotlib axes.
      samples: [n, d] float32.
      mixture: p_data, if its density is known; without it samples are drawn between -4 and 4.
    """
    low, high = draw_density(axis, mixture) if mixture else np.array([[-4], [4]])  # data are standardized
    outside = 1 - np.mean(np.all((samples >= low) & (samples <= high), axis=1))
    p_g = f"p_g ({outside:.1%} of the samples outside)" if outside > 0 else "p_g"
    if samples.shape[1] == 1:
        edges = np.linspace(low[0], high[0], 101)
        frequencies = np.histogram(samples, edges)[0] / len(samples)
        axis.stairs(frequencies / np.diff(edges), edges, fill=True, color=GREEN, alpha=0.5, label=p_g)
        if mixture:
            x = np.linspace(low[0], high[0], 1000, dtype=np.float32)
            density = np.exp(jax.jit(log_density)(mixture, x[:, None]))
            axis.plot(x, density, color="black", linestyle=":", label="p_data")
        axis.set_xlabel("x")
        axis.set_ylabel("density")
    else:
        axis.scatter(*samples[:5000, :2].T, s=5, color=GREEN, alpha=0.4, linewidths=0, label=p_g)


def draw_density(axis, mixture: Mixture) -> tuple[np.ndarray, np.ndarray]:
    """Sets an axis's range from p_data and, in two dimensions, draws p_data; returns the corners low and high [d]."""
    means, scales = np.asarray(mixture.means), np.asarray(mixture.scales)[:, None]
    low, high = np.min(means - 4 * scales, axis=0), np.max(means + 4 * scales, axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    axis.set_xlim(low[0], high[0])
    if means.shape[1] > 1:
        angles = np.linspace(0, 2 * math.pi, 60)[:, None]
        x, y = means[:, 0] + 3 * scales.T * np.cos(angles), means[:, 1] + 3 * scales.T * np.sin(angles)
        circles = axis.plot(x, y, color="black", linestyle=":", linewidth=1.2)
        circles[0].set_label("p_data (3 s.d.)")
        axis.set_aspect("equal")
        axis.set_ylim(low[1], high[1])
    return low, high
