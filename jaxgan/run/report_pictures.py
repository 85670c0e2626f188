"""The pictures of report.html: samples over training, real examples, nearest neighbours and interpolations."""

from __future__ import annotations

import io
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image

from jaxgan.conditions import UNCONDITIONAL
from jaxgan.data import Dataset
from jaxgan.data.decode import decode, encode
from jaxgan.data.rows import Rows
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.prior import PRIORS
from jaxgan.game.sampling import sample_z, sampling_params
from jaxgan.game.state import GanState, run_stream
from jaxgan.run import grids, page, plots

FRAMES, FRAMES_BYTES = 24, 2_500_000  # maximum number of pictures in the samples slider, and their total size
PICTURE_BYTES = 400_000  # maximum size of any other picture
SEARCHED = 2**16  # examples of a training set that stays in its file
NEIGHBOURS = 24  # maximum number of samples shown with their nearest training example, in two rows
PATHS, INTERPOLATION_STEPS = 6, 10  # paths between two z, and z per path
CHUNK = 2000  # training examples per block of distances


def progression(workdir: Path) -> str:
    """A slider of the samples written during training; "" if there are none."""
    paths = sorted(path for path in (workdir / "samples").glob("*.png") if path.stem.isdecimal())
    if not paths:
        return ""
    chosen = sorted({round(i) for i in np.linspace(0, len(paths) - 1, FRAMES)})
    limit = FRAMES_BYTES // len(chosen)
    frames = [(f"step {int(paths[i].stem):,}", shrink(paths[i].read_bytes(), limit)) for i in chosen]
    return page.slider(frames, "Samples of G over training, at fixed z.")


def real_examples(config: ConfigDict, gan: Gan, dataset: Dataset) -> str:
    """Training examples, tiled like the samples; "" for points."""
    if len(dataset.shape) == 1:
        return ""
    picture = grids.png(grids.real_grid(config, dataset, gan.num_classes))
    return page.figure(shrink(picture, PICTURE_BYTES), "Real data: training examples, for comparison.")


def shrink(picture: bytes, limit: int) -> bytes:
    """The picture, re-encoded as JPEG at decreasing size and quality until it has at most `limit` bytes."""
    width, quality = 720, 85
    encoded = picture
    while len(encoded) > limit and width > 100:
        with Image.open(io.BytesIO(picture)) as file:
            image = file.convert("RGB")
        image.thumbnail((width, 4 * width))
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        encoded = data.getvalue()
        width, quality = round(0.8 * width), max(40, quality - 10)
    return encoded


def neighbours(config: ConfigDict, dataset: Dataset, samples: np.ndarray) -> str:
    """Samples, each above its nearest training example; "" for points and for contrast-normalized stacks."""
    if len(dataset.shape) == 1 or (dataset.stack > 1 and config.data.gcn):
        return ""
    samples = samples[:NEIGHBOURS]
    held_out = np.asarray(decode(jnp.asarray(dataset.validation[:200]), config.data.gcn, config.data.low))
    images_and_held_out = np.concatenate([samples, held_out])
    nearest, distances = nearest_examples(images_and_held_out, dataset, config.data.gcn, config.data.low)
    n = len(samples)
    images, half = encode(samples, config.data.gcn, config.data.low), max(1, n // 2)
    pairs = (images, nearest[:n])
    blocks = [grids.grid(np.concatenate([x[i : i + half] for x in pairs]), rows=2) for i in (0, n - half)]
    gap = np.full((blocks[0].shape[0] // 10, *blocks[0].shape[1:]), 255, np.uint8)
    picture = grids.png(np.concatenate([blocks[0], gap, blocks[1]]))
    caption = (
        f"Samples (rows 1 and 3), and below each the training example with the smallest Euclidean distance"
        f"{' (per channel)' if dataset.stack > 1 else ''}. Median distance {np.median(distances[:n]):.2f}"
    )
    if len(held_out):
        caption += (
            f"; for {len(held_out)} validation examples {np.median(distances[n:]):.2f}. Copies would be far closer"
        )
    return page.figure(shrink(picture, PICTURE_BYTES), f"{caption}.", pixels=True)


def nearest_examples(x: np.ndarray, dataset: Dataset, gcn: float, low: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The training example with the smallest Euclidean distance to each of `x`, of the first `SEARCHED` of a file.

    A stacked example can combine any images, so its nearest example has the nearest image in each channel.

    Args:
      x: [n, H, W, C] float32, in the range of G.
      gcn, low: see `decode`; gcn is 0 for stacks.

    Returns:
      The examples, [n, H, W, C] uint8, and the distances, [n] float64.
    """
    n, height, width, _ = x.shape
    stack = dataset.stack
    parts = np.moveaxis(x, -1, 1).reshape(-1, height, width, 1) if stack > 1 else x
    flat = parts.reshape(len(parts), -1)
    best, index = np.full(len(flat), np.inf), np.zeros(len(flat), int)
    stored = dataset.train[:SEARCHED] if isinstance(dataset.train, Rows) else dataset.train
    for start in range(0, len(stored), CHUNK):
        chunk = jnp.asarray(np.asarray(stored[start : start + CHUNK]))
        train = np.asarray(decode(chunk, gcn, low)).reshape(-1, flat.shape[1])
        relative = np.sum(train**2, axis=1)[None] - 2 * flat @ train.T  # squared distance less |x|^2
        closest = np.argmin(relative, axis=1)
        value = relative[np.arange(len(flat)), closest]
        index = np.where(value < best, start + closest, index)
        best = np.minimum(value, best)
    examples = dataset.train[index]
    differences = flat - np.asarray(decode(jnp.asarray(examples), gcn, low)).reshape(flat.shape)
    squares = np.sum(differences.astype(np.float64) ** 2, axis=1)
    if stack > 1:
        examples = np.moveaxis(examples.reshape(n, stack, height, width), 1, -1)
        squares = squares.reshape(n, stack).sum(axis=1)
    return examples, np.sqrt(squares)


def interpolate(a: jax.Array, b: jax.Array, steps: int, *, straight: bool) -> jax.Array:
    """Interpolates z from a to b [n, d]: [n, steps, d] float32, both ends included.

    Along a line, as in the cube of a uniform prior; otherwise spherical (slerp, arXiv:1609.04468), since normal z are
    rarely as short as the midpoint of a line.
    """
    t = jnp.linspace(0.0, 1.0, steps)[None, :, None]
    a, b = a[:, None], b[:, None]
    if straight:
        return (1 - t) * a + t * b
    lengths = jnp.linalg.norm(a, axis=-1, keepdims=True) * jnp.linalg.norm(b, axis=-1, keepdims=True)
    angle = jnp.arccos(jnp.clip(jnp.sum(a * b, axis=-1, keepdims=True) / lengths, -1, 1))
    angle = jnp.clip(angle, 1e-3, math.pi - 1e-3)  # z of one dimension are parallel
    return (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / jnp.sin(angle)


def interpolation(config: ConfigDict, gan: Gan, hparams: HParams, state: GanState, dataset: Dataset) -> str:
    """G(z) interpolated between two z: a row of images per pair, or a line in the plane; "" for other points."""
    if dataset.shape == (1,) or (dataset.mixture is None and len(dataset.shape) == 1):
        return ""
    steps, straight = INTERPOLATION_STEPS if dataset.mixture is None else 200, PRIORS[config.prior.name].straight
    classes = [row % gan.num_classes for row in range(PATHS)] if gan.num_classes else []

    @jax.jit
    def generate(hparams: HParams, state: GanState) -> jax.Array:
        ends = sample_z(gan, hparams, run_stream(hparams, "sample"), jnp.arange(2 * PATHS, dtype=jnp.uint32))
        z = interpolate(ends[:PATHS], ends[PATHS:], steps, straight=straight)
        per_path = grids.picture_condition(gan, hparams, dataset, PATHS, rows=PATHS) or UNCONDITIONAL
        condition = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf), steps, axis=0), per_path)
        params, stats = sampling_params(gan, hparams, state)
        return gan.G(params, stats, z.reshape(PATHS * steps, -1), condition)[0]

    x = np.asarray(generate(hparams, state))
    curve = "a line" if straight else "a great circle"
    if dataset.mixture is None:
        labels = [grids.class_label(y, dataset.class_names) for y in classes]
        picture = grids.png(grids.grid(encode(x, config.data.gcn, config.data.low), PATHS, labels))
        return page.figure(
            shrink(picture, PICTURE_BYTES), f"Each row: G(z) along {curve} from one z to another.", pixels=True
        )
    figure = plots.new_figure(6, 6)
    axis = figure.subplots()
    plots.draw_density(axis, dataset.mixture)
    for color, path in zip(plots.LINES, x.reshape(PATHS, steps, -1), strict=False):
        axis.plot(*path[:, :2].T, ".-", color=color, markersize=3, linewidth=0.6)
    return page.figure(plots.figure_png(figure), f"G(z) along {curve} from one z to another; p_data dotted.")
