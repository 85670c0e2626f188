"""Figures of a run: grids of samples, points over a density, and training curves."""

from __future__ import annotations

import io
import math
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw, ImageFont

from jaxgan.data import Dataset
from jaxgan.data import mixture as mixtures
from jaxgan.data.decode import decode, encode
from jaxgan.data.mixture import Mixture, log_density
from jaxgan.fields import fields_of
from jaxgan.files import write_atomically
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, run_stream
from jaxgan.metrics import DISPLAYS
from jaxgan.metrics.protocol import Display
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.terms import TERMS

WIDTH, TILE = 500, 32  # minimum pixels of a grid's width and of the longer side of an image in it
GUTTER = 0xD6E2F5  # 0xRRGGBB between the images of a grid: not grey; another blue if an image contains this one
LABEL = 14  # characters of a class name beside a row
REAL = "real.png"  # training examples, next to the grids of samples
POINTS = 2500  # samples in a scatter plot

# The colour-blind-safe palette of Okabe and Ito.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
LINES = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")

# Metrics of a training step: terms of the losses, and all others except penalties (game/step.py).
TERM_METRICS = {part.name: Display(part.label, 3, 0) for term in TERMS.values() for part in term.D_PARTS + term.G_PARTS}
TRAINING = {
    "value": Display("V(D, G)", 3, 0),
    "d_real": Display("D(x)", 3, 0),
    "d_fake": Display("D(G(z))", 3, 0),
    "real_logit": Display("logit of D on data", 3, 0),
    "fake_logit": Display("logit of D on samples", 3, 0),
    "d_loss": Display("loss of D", 3, 0),
    "g_loss": Display("loss of G", 3, 0),
    **TERM_METRICS,
    "d_gradient_norm": Display("gradient norm of D", 3, 0),
    "g_gradient_norm": Display("gradient norm of G", 3, 0),
}


def grid(images: np.ndarray, rows: int, labels: Sequence[str] = ()) -> np.ndarray:
    """Tiles images row by row, with gutters of a colour that does not occur in them.

    Small images are enlarged by an integer factor without smoothing, to at least `TILE` pixels and a grid of `WIDTH`.

    Args:
      images: [n, H, W, C] uint8, or float32 in [0, 1] (clipped). Channels are averaged unless there are 1 or 3.
      rows: number of rows of n // rows images. Images that do not fill a row are left out.
      labels: texts to the left of the rows; none if empty.

    Returns:
      [H', W', 3] uint8.
    """
    if images.dtype != np.uint8:
        images = np.round(255 * np.clip(images, 0, 1)).astype(np.uint8)
    if images.shape[-1] not in (1, 3):
        images = np.round(images.mean(axis=-1, keepdims=True)).astype(np.uint8)
    columns = len(images) // rows
    _, height, width, _ = images.shape
    images = np.broadcast_to(images[: rows * columns], (rows * columns, height, width, 3))
    color = _absent_color(images)
    scale, gutter = tiling(height, width, columns)
    height, width = height * scale + gutter, width * scale + gutter
    cells = np.broadcast_to(color, (rows * columns, height, width, 3)).copy()
    cells[:, gutter:, gutter:] = images.repeat(scale, axis=1).repeat(scale, axis=2)
    tiled = cells.reshape(rows, columns, height, width, 3).swapaxes(1, 2).reshape(rows * height, columns * width, 3)
    picture = np.broadcast_to(color, (rows * height + gutter, columns * width + gutter, 3)).copy()
    picture[: rows * height, : columns * width] = tiled
    return _labelled(picture, labels, gutter, height) if labels else picture


def tiling(height: int, width: int, columns: int) -> tuple[int, int]:
    """The factor by which `grid` enlarges images of this size, and the gutter width in pixels."""
    scale = max(math.ceil(WIDTH / (columns * width)), math.ceil(TILE / max(height, width)))
    return scale, min(max(2, scale * max(height, width) // 10), 8)


def _absent_color(images: np.ndarray) -> np.ndarray:
    """The largest colour up to `GUTTER` that does not occur in images [..., 3] uint8: [3] uint8."""
    codes = images.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    candidates = (GUTTER - np.arange(min(codes.size + 1, 1 << 24))) % (1 << 24)  # the pixels cannot have them all
    code = int(candidates[np.argmin(np.isin(candidates, codes))])
    return np.array([code >> 16, code >> 8 & 255, code & 255], np.uint8)


def _labelled(picture: np.ndarray, labels: Sequence[str], gutter: int, height: int) -> np.ndarray:
    """Adds texts to the left of the rows of a grid, each `height` pixels high."""
    from matplotlib import get_data_path

    font = ImageFont.truetype(Path(get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size=min(max(10, height // 2), 20))
    texts = [text if len(text) <= LABEL else f"{text[: LABEL - 1]}…" for text in labels]
    margin = 2 * gutter + math.ceil(max(font.getlength(text) for text in texts))
    color = tuple(picture[0, 0].tolist())
    image = Image.new("RGB", (margin + picture.shape[1], picture.shape[0]), color)
    image.paste(Image.fromarray(picture), (margin, 0))
    draw = ImageDraw.Draw(image)
    for row, text in enumerate(texts):
        draw.text((margin - gutter, row * height + (height + gutter) // 2), text, "black", font, anchor="rm")
    return np.asarray(image)


def grid_rows(n: int, classes: int) -> int:
    """The number of rows of a grid of n samples.

    Without classes (0), about as many rows as columns: up to twice as many columns, such that the fewest samples are
    left out. With classes a multiple of their number, if n is large enough.
    """
    side = math.isqrt(n - 1) + 1
    if 0 < classes <= n:
        rows = classes * max(1, round(side / classes))
        return rows if rows <= n else classes
    columns = range(side, min(n, max(2 * side, 10)) + 1)
    return n // min(columns, key=lambda count: (n % count, count))


def row_classes(n: int, classes: int) -> np.ndarray:
    """Labels of n samples such that their grid has one class per row, cyclically from 0: [n] int32."""
    columns = n // grid_rows(n, classes)
    return (np.arange(n) // columns % classes).astype(np.int32)


def fixed_samples(
    sample: Callable[..., np.ndarray],
    *,
    config: ConfigDict,
    gan: Gan,
    hparams: HParams,
    state: GanState,
    dataset: Dataset,
) -> np.ndarray:
    """Samples at the run's fixed z; class-conditional images have one class per row of their grid.

    Args:
      sample: the `make_sampler` of `gan`.
      config, dataset: of the run that trained `state`.

    Returns:
      [n, *shape] float32 in the range of the data.
    """
    n, y = config.sample.rows**2, None
    if dataset.mixture:
        n = POINTS
    elif gan.num_classes:
        y = row_classes(n, gan.num_classes)
    return sample(hparams, state, run_stream(hparams, "sample"), n, y=y)


def sample_grid(config: ConfigDict, samples: np.ndarray, classes: int = 0, names: Sequence[str] = ()) -> np.ndarray:
    """A grid of images, labelled with the class of each row if any: [H', W', 3] uint8.

    Args:
      samples: [n, H, W, C] in the range of the data.
      classes: the number of classes if the labels are those of `row_classes`, otherwise 0.
      names: one per class, or empty.
    """
    rows = grid_rows(len(samples), classes)
    labels = [class_label(row % classes, names) for row in range(rows)] if classes else ()
    return grid(encode(samples, config.data.gcn, config.data.low), rows, labels)


def class_label(y: int, names: Sequence[str]) -> str:
    """The name of class y, or its number if classes have no names."""
    return names[y] if names else str(y)


def save_samples(
    path: Path, config: ConfigDict, samples: np.ndarray, classes: int = 0, names: Sequence[str] = ()
) -> None:
    """Writes a picture of samples: a grid of images, or points over the density of `mixture:NAME`.

    Args:
      samples, classes, names: see `sample_grid`.

    Raises:
      UserError: it cannot be written.
    """
    if samples.ndim == 4:
        save_png(path, sample_grid(config, samples, classes, names))
    else:
        save_points(path, samples, mixtures.NAMED[config.data.name.removeprefix("mixture:")])


def real_grid(config: ConfigDict, dataset: Dataset, classes: int) -> np.ndarray:
    """A grid of training examples, for comparison with that of samples: [H', W', 3] uint8.

    The examples are evenly spaced in the training set or, for class-conditional players, in each of its classes. A
    class without examples is black.

    Args:
      dataset: images.
      classes: the number of classes the players are conditioned on, or 0.
    """
    n, train, names = config.sample.rows**2, dataset.train, dataset.class_names
    if dataset.stack > 1:
        images = train[_evenly_spaced(len(train), dataset.stack * n)].reshape(dataset.stack, n, *train.shape[1:3])
        examples, classes = np.moveaxis(images, 0, -1), 0
    elif classes:
        y, examples = row_classes(n, classes), np.zeros((n, *train.shape[1:]), np.uint8)
        for c in np.unique(y):
            same = np.flatnonzero(dataset.train_labels == c)
            if len(same):
                examples[y == c] = train[same[_evenly_spaced(len(same), np.count_nonzero(y == c))]]
    else:
        examples = train[_evenly_spaced(len(train), min(n, len(train)))]
    decoded = np.asarray(decode(jnp.asarray(examples), config.data.gcn, config.data.low))
    return sample_grid(config, decoded, classes, names)


def _evenly_spaced(size: int, n: int) -> np.ndarray:
    """n evenly spaced indices in [0, size), starting from 0: [n] int."""
    return np.arange(n) * size // n


def save_png(path: Path, picture: np.ndarray) -> None:
    """Atomically writes a picture [H, W, 1 or 3] uint8.

    Raises:
      UserError: it cannot be written.
    """
    write_atomically(path, png(picture))


def png(picture: np.ndarray) -> bytes:
    """A picture, [H, W, 1 or 3] uint8, as the bytes of a PNG file."""
    data = io.BytesIO()
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(data, "PNG")
    return data.getvalue()


def shown(name: str) -> Display | None:
    """Label and format of a training metric, score or penalty in metrics.jsonl; None if unknown."""
    if name in PENALTIES:
        return Display(f"penalty {name}, unweighted", 3, 0)
    return TRAINING.get(name) or DISPLAYS.get(name)


def equilibrium(config: ConfigDict) -> dict[str, float]:
    """Metric values at Theorem 1's equilibrium, p_g = p_data and D = 1/2, by the names of metrics.jsonl.

    {} if D is not a probability, or if the loss's fields move its optimum (label smoothing).
    """
    loss = LOSSES[config.objective.loss]
    if not loss.probability or any(config.objective[name] != x for name, x in fields_of(loss).items()):
        return {}
    logit = jnp.zeros(1)
    return {
        "value": -math.log(4),
        "d_real": 0.5,
        "d_fake": 0.5,
        "d_loss": config.objective.d_scale * float(loss.discriminator(logit, logit)[0]),
        "g_loss": float(loss.generator(logit, logit)[0]),
    }


class Panel(NamedTuple):
    """One panel of the training curves."""

    label: str  # of its y axis
    lines: tuple[str, ...]  # names in metrics.jsonl


def panels(names: Collection[str]) -> list[Panel]:
    """The panels for these training metrics: the game, losses, penalties, terms and gradient norms."""
    losses = Panel("loss (nats)" if "value" in names else "loss", ("d_loss", "g_loss"))
    penalties = tuple(name for name in PENALTIES if name in names)
    terms = tuple(name for name in TERM_METRICS if name in names)
    logits = [Panel("mean logit", ("real_logit", "fake_logit"))]
    probabilities = [Panel("V(D, G)", ("value",)), Panel("mean D", ("d_real", "d_fake"))]
    norms = ("d_gradient_norm", "g_gradient_norm")
    optional = [Panel("penalty, unweighted", penalties), Panel("terms", terms), Panel("gradient norm", norms)]
    required = [*(logits if {"real_logit", "fake_logit"} & set(names) else probabilities), losses]
    return required + [panel for panel in optional if set(panel.lines) & set(names)]


def save_curves(path: Path, records: list[dict[str, Any]], config: ConfigDict) -> None:
    """Plots training curves; dashed lines mark Theorem 1's equilibrium values if D is a probability.

    Args:
      path: of the PNG.
      records: the lines of metrics.jsonl. Missing and null values are left out.
      config: of the run.

    Raises:
      UserError: the picture cannot be written.
    """
    write_atomically(path, curves_png(records, config))


def curves_png(records: list[dict[str, Any]], config: ConfigDict) -> bytes:
    """The figure of `save_curves` as the bytes of a PNG file."""
    names = {name for record in records for name in record}
    parts, theory = tuple(panels(names)), equilibrium(config)
    with _figure_lock:
        figure = _empty_curves(parts, tuple(theory.items()))
        for axis, panel in zip(figure.axes, parts, strict=True):
            _update_panel(axis, panel, records, references=_reference_lines(panel, theory))
        return figure_png(figure)


def scores_png(records: list[dict[str, Any]], names: Sequence[str], real: Mapping[str, float]) -> bytes:
    """Plots scores over training, one panel each; returns the bytes of a PNG file.

    Args:
      records: the lines of metrics.jsonl. Missing and null values are left out.
      names: of the scores.
      real: scores of real data by name, shown as dashed lines.
    """
    columns = min(2, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(3.75 * columns if columns > 1 else 5, 2.3 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for axis, name in zip(axes, names, strict=False):
        points = np.array([(r["step"], r[name]) for r in records if r.get(name) is not None]).reshape(-1, 2)
        axis.plot(*points.T, color=BLUE, marker="o" if len(points) < 30 else "", markersize=3, linewidth=1.4)
        if math.isfinite(real.get(name, math.nan)):
            axis.axhline(real[name], color="black", linestyle="--", linewidth=1, label="real data")
            axis.legend(frameon=False, fontsize=8)
        axis.set_title(DISPLAYS[name].label, fontsize=9)
        axis.locator_params(nbins=4)
        axis.grid(axis="y", alpha=0.3)
        axis.set_xlabel("step", fontsize=9)
    for axis in axes[len(names) :]:
        axis.axis("off")
    return figure_png(figure)


_figure_lock = threading.Lock()  # guards the cached figure of `_empty_curves`


@lru_cache(maxsize=1)
def _empty_curves(parts: tuple[Panel, ...], theory: tuple[tuple[str, float], ...]):
    """The figure of `save_curves` without data. The last one is cached, for later steps and members of a sweep."""
    height = 2.5 * len(parts) + 0.4
    # Fixed margins: Matplotlib's layout engine takes as long as everything else.
    figure = new_figure(7.5, height, layout="none")
    axes = figure.subplots(len(parts), 1, sharex=True, squeeze=False)[:, 0]
    figure.subplots_adjust(left=0.11, right=0.71, bottom=0.5 / height, top=1 - 0.15 / height, hspace=0.12)
    for axis, panel in zip(axes, parts, strict=True):
        for y in _reference_lines(panel, dict(theory)):
            axis.axhline(y, color="black", linestyle="--", linewidth=1, label=f"{_constant(y)} in theory")
        styles = zip(LINES, ("-", "-.", "--", ":") * 2, strict=False)
        for name, (color, style) in zip(panel.lines, styles, strict=False):
            known = shown(name)
            label = name if name in PENALTIES or known is None else known.label
            axis.plot([], [], color=color, linestyle=style, markersize=3, linewidth=1.4, label=label)
        axis.set_ylabel(panel.label)
        axis.grid(axis="y", alpha=0.3)
        axis.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        axis.xaxis.set_visible(axis is axes[-1])
    axes[-1].set_xlabel("step")
    return figure


def _reference_lines(panel: Panel, theory: dict[str, float]) -> list[float]:
    """Distinct equilibrium values of a panel's metrics, in descending order."""
    return sorted({theory[name] for name in panel.lines if name in theory}, reverse=True)


def _update_panel(axis, panel: Panel, records: list[dict[str, Any]], *, references: list[float]) -> None:
    """Sets the data of a panel of `_empty_curves`, replacing those of the previous run."""
    axis.set_yscale("linear")
    # Each tick is five Matplotlib objects, which dominate the cost of a figure.
    axis.locator_params(nbins=4)
    plotted: list[float] = []
    skip = len(references)
    pairs = zip(axis.get_lines()[skip:], axis.get_legend().legend_handles[skip:], strict=True)
    for name, (line, in_legend) in zip(panel.lines, pairs, strict=False):
        points = np.array([(r["step"], r[name]) for r in records if r.get(name) is not None]).reshape(-1, 2)
        line.set_data(*points.T)
        for artist in (line, in_legend):
            artist.set_marker("o" if len(points) < 30 else "")
        plotted += points[:, 1].tolist()
    axis.relim()
    axis.autoscale()
    if panel.lines == ("d_real", "d_fake"):
        axis.set_ylim(-0.03, 1.03)
    elif references:
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, references[-1] - 0.1), max(high, references[0] + 0.1))  # a flat start looks flat
    elif spans_orders(plotted):
        axis.set_yscale("log")


def spans_orders(values: Collection[float]) -> bool:
    """Whether values need a logarithmic axis: positive, the largest more than 100 times the smallest."""
    return bool(values) and min(values) > 0 and max(values) > 100 * min(values)


def _constant(x: float) -> str:
    known = {0.5: "1/2", math.log(2): "log 2", math.log(4): "log 4"}
    return next(
        (f"{'−' * (x < 0)}{text}" for y, text in known.items() if math.isclose(abs(x), y, rel_tol=1e-6)), f"{x:.3g}"
    )


def save_points(path: Path, samples: np.ndarray, mixture: Mixture) -> None:
    """Plots samples of G and p_data with `draw_points`, with a legend.

    Args:
      path: of the PNG.
      samples: [n, d] float32.
      mixture: p_data.

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


def draw_points(axis, samples: np.ndarray, mixture: Mixture) -> None:
    """Draws samples of G and p_data: p_g green and p_data black and dotted, as in the paper's Figure 1.

    In one dimension a histogram and the density; otherwise the first two coordinates of up to 5,000 samples, and
    circles of 3 standard deviations. The range depends on p_data alone, so that figures are comparable; the label of
    p_g gives the fraction of samples outside.

    Args:
      axis: Matplotlib axes.
      samples: [n, d] float32.
      mixture: p_data.
    """
    low, high = draw_density(axis, mixture)
    outside = 1 - np.mean(np.all((samples >= low) & (samples <= high), axis=1))
    p_g = f"p_g ({outside:.1%} of the samples outside)" if outside > 0 else "p_g"
    if samples.shape[1] == 1:
        edges = np.linspace(low[0], high[0], 101)
        frequencies = np.histogram(samples, edges)[0] / len(samples)
        axis.stairs(frequencies / np.diff(edges), edges, fill=True, color=GREEN, alpha=0.5, label=p_g)
        x = np.linspace(low[0], high[0], 1000, dtype=np.float32)
        axis.plot(x, np.exp(jax.jit(log_density)(mixture, x[:, None])), color="black", linestyle=":", label="p_data")
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


def new_figure(width: float, height: float, layout: str = "constrained"):
    """A Matplotlib figure (inches) without pyplot's global state, which is thread-safe."""
    from matplotlib.figure import Figure  # lazy import: takes half a second

    return Figure(figsize=(width, height), dpi=110, layout=layout)


def plain(text: str, longest: int = 80) -> str:
    """Text as a one-line label: `$` is escaped, and the middle of long text is elided."""
    text = "".join(c if c.isprintable() else " " for c in text)
    if len(text) > longest:
        half = (longest - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text.replace("$", r"\$")


def figure_png(figure) -> bytes:
    """A Matplotlib figure as the bytes of a PNG file."""
    data = io.BytesIO()
    figure.savefig(data, format="png", pil_kwargs={"compress_level": 1})
    return data.getvalue()
