"""Pictures of a run: grids of samples, points over a density, and the curves of the game."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from jaxgan.data import mixture as mixtures
from jaxgan.data.decode import encode
from jaxgan.data.mixture import Mixture, log_density
from jaxgan.run.files import write_atomically

WIDTH = 500  # pixels that a grid has at least
GAP = 128  # grey between the images of a grid

# Of the palette of Okabe and Ito, which the colour-blind tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"


def grid(images: np.ndarray, rows: int) -> np.ndarray:
    """Images side by side, row by row, one pixel apart; small ones enlarged without smoothing.

    Args:
      images: [n, H, W, C] uint8, or float32 in [0, 1] (clipped). Other than 1 or 3 channels are averaged.
      rows: of the grid; as many columns as n images need.

    Returns:
      [H', W', 1 or 3] uint8.
    """
    if images.dtype != np.uint8:
        images = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
    if images.shape[-1] not in (1, 3):
        images = np.round(images.mean(axis=-1, keepdims=True)).astype(np.uint8)
    n, height, width, channels = images.shape
    columns = math.ceil(n / rows)
    scale = math.ceil(WIDTH / (columns * width))
    height, width = height * scale + 1, width * scale + 1
    cells = np.full((rows * columns, height, width, channels), GAP, np.uint8)
    cells[:n, 1:, 1:] = images.repeat(scale, axis=1).repeat(scale, axis=2)
    picture = cells.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    picture = picture.reshape(rows * height, columns * width, channels)
    return np.pad(picture, ((0, 1), (0, 1), (0, 0)), constant_values=GAP)


def sample_grid(config: ConfigDict, samples: np.ndarray) -> np.ndarray:
    """Images [n, H, W, C] in the range of the data, side by side: [H', W', 1 or 3] uint8."""
    return grid(encode(samples, config.data.gcn, config.data.low), rows=math.isqrt(len(samples) - 1) + 1)


def save_samples(path: Path, config: ConfigDict, samples: np.ndarray) -> None:
    """A picture of samples: a grid of images, or points over the density of `mixture:NAME`.

    Raises:
      UserError: it cannot be written.
    """
    if samples.ndim == 4:
        save_png(path, sample_grid(config, samples))
    else:
        points(path, samples, mixtures.NAMED[config.data.name.removeprefix("mixture:")])


def save_png(path: Path, picture: np.ndarray) -> None:
    """Writes a picture, [H, W, 1 or 3] uint8, whole or not at all.

    Raises:
      UserError: it cannot be written.
    """
    write_atomically(path, png(picture))


def png(picture: np.ndarray) -> bytes:
    """A picture, [H, W, 1 or 3] uint8, as the bytes of a PNG file."""
    data = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(data, "PNG")
    return data.getvalue()


def curves(path: Path, records: list[dict[str, Any]]) -> None:
    """The course of the game; dashed, its end in theory (Theorem 1): V = -log 4, D = 1/2, losses log 2.

    Args:
      path: of the PNG.
      records: the lines of metrics.jsonl. What is missing or null is left out.

    Raises:
      UserError: the picture cannot be written.
    """
    figure, axes = _figure(7, 8, rows=3)
    panels = [
        ({"value": ("V(D, G)", BLUE, "-")}, -math.log(4), "−log 4"),
        ({"d_real": ("D(x)", BLUE, "-"), "d_fake": ("D(G(z))", ORANGE, "-.")}, 0.5, "1/2"),
        ({"d_loss": ("loss of D", BLUE, "-"), "g_loss": ("loss of G", ORANGE, "-.")}, math.log(2), "log 2"),
    ]
    for axis, (lines, equilibrium, label) in zip(axes, panels, strict=True):
        axis.axhline(equilibrium, color="black", linestyle="--", linewidth=1, label=label)
        for name, (words, color, style) in lines.items():
            points = [(r["step"], r[name]) for r in records if r.get(name) is not None]
            x, y = zip(*points, strict=True) if points else ((), ())
            marker = "o" if len(points) < 30 else None
            axis.plot(x, y, color=color, linestyle=style, marker=marker, markersize=3, linewidth=1.4, label=words)
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, equilibrium - 0.1), max(high, equilibrium + 0.1))  # a flat start looks flat
        axis.grid(alpha=0.3)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    axes[0].set_ylabel("V(D, G)")
    axes[1].set_ylabel("mean D")
    axes[1].set_ylim(-0.03, 1.03)
    axes[2].set_ylabel("loss (nats)")
    axes[2].set_xlabel("step")
    _save(path, figure)


def points(path: Path, samples: np.ndarray, mixture: Mixture) -> None:
    """Samples of G beside p_data: p_g green and p_data black and dotted, as in the paper's Figure 1.

    In one dimension a histogram and the density; else the first two coordinates of up to 5,000 samples,
    and circles of 3 standard deviations. The range follows from p_data alone, so that pictures of one
    run compare; the legend says how many samples are outside.

    Args:
      path: of the PNG.
      samples: [n, d] float32.
      mixture: p_data.

    Raises:
      UserError: the picture cannot be written.
    """
    means, scales = np.asarray(mixture.means), np.asarray(mixture.scales)[:, None]
    low, high = np.min(means - 4 * scales, axis=0), np.max(means + 4 * scales, axis=0)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    outside = 1 - np.mean(np.all((samples >= low) & (samples <= high), axis=1))
    p_g = f"p_g ({outside:.1%} of the samples outside)" if outside > 0 else "p_g"
    if means.shape[1] == 1:
        figure, (axis,) = _figure(6, 4)
        edges = np.linspace(low[0], high[0], 101)
        shares = np.histogram(samples, edges)[0] / len(samples)
        axis.stairs(shares / np.diff(edges), edges, fill=True, color=GREEN, alpha=0.5, label=p_g)
        x = np.linspace(low[0], high[0], 1000, dtype=np.float32)
        axis.plot(x, np.exp(jax.jit(log_density)(mixture, x[:, None])), color="black", linestyle=":", label="p_data")
        axis.set_xlabel("x")
        axis.set_ylabel("density")
    else:
        figure, (axis,) = _figure(6, 6)
        axis.scatter(*samples[:5000, :2].T, s=5, color=GREEN, alpha=0.4, linewidths=0, label=p_g)
        angles = np.linspace(0, 2 * math.pi, 60)[:, None]
        x, y = means[:, 0] + 3 * scales.T * np.cos(angles), means[:, 1] + 3 * scales.T * np.sin(angles)
        circles = axis.plot(x, y, color="black", linestyle=":", linewidth=1.2)
        circles[0].set_label("p_data (3 s.d.)")
        axis.set_aspect("equal")
        axis.set_ylim(low[1], high[1])
    axis.set_xlim(low[0], high[0])
    legend = axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, markerscale=3)
    for handle in legend.legend_handles:
        handle.set_alpha(1)
    _save(path, figure)


def _figure(width: float, height: float, rows: int = 1):
    """A figure without pyplot's global state: any thread may draw one."""
    from matplotlib.figure import Figure  # half a second that only a run that draws waits for

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    return figure, figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]


def _save(path: Path, figure) -> None:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_atomically(path, data.getvalue())
