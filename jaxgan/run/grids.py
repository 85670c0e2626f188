"""Grids of samples and of training examples, and samples as picture files."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw, ImageFont

from jaxgan.conditions import Condition, on_grid
from jaxgan.data import Dataset
from jaxgan.data import mixture as mixtures
from jaxgan.data.decode import decode, encode
from jaxgan.evaluation.samples import examples_condition
from jaxgan.files import write_atomically
from jaxgan.game.batches import stored_examples
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, run_stream
from jaxgan.run.plots import save_points

WIDTH, TILE = 500, 32  # minimum pixels of a grid's width and of the longer side of an image in it
GUTTER = 0xD6E2F5  # 0xRRGGBB between the images of a grid: not grey; another blue if an image contains this one
LABEL = 14  # maximum characters of the class name next to a row
REAL = "real.png"  # training examples, next to the grids of samples
POINTS = 2500  # samples in a scatter plot
CONDITIONS = 20  # maximum number of rows of --mode=sample --condition
HOLE = (86, 180, 233)  # the colour of hidden pixels


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
    candidates = (GUTTER - np.arange(min(codes.size + 1, 1 << 24))) % (1 << 24)  # more colours than pixels
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
    """Samples at the run's fixed z; conditional images have one class or condition per row of their grid.

    Args:
      sample: the `make_sampler` of `gan`.
      config, dataset: of the run that trained `state`.

    Returns:
      [n, *shape] float32 in the range of the data.
    """
    n = config.sample.rows**2 if len(dataset.shape) == 3 else POINTS
    condition = picture_condition(gan, hparams, dataset, n)
    return sample(hparams, state, run_stream(hparams, "sample"), n, condition=condition)


def picture_condition(gan: Gan, hparams: HParams, dataset: Dataset, n: int, rows: int = 0) -> Condition | None:
    """The conditions of n samples in a picture: classes, or those of the first validation examples, one per row.

    None if there are none, or if the samples are points and the condition is their class.

    Args:
      rows: of the picture; 0 for those of `grid_rows`, or for points.
    """
    if not gan.conditional:
        return None
    images = len(dataset.shape) == 3
    row = np.arange(n) // (n // (rows or grid_rows(n, gan.num_classes)) if rows or images else 1)
    if gan.num_classes:
        return Condition(label=(row % gan.num_classes).astype(np.int32)) if rows or images else None
    split = "validation" if len(dataset.validation) else "train"
    numbers = row % len(getattr(dataset, split))
    return examples_condition(gan, hparams, stored_examples(gan, dataset, split), numbers)


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


def conditional_grid(
    config: ConfigDict, condition: Condition, draws: np.ndarray, targets: np.ndarray | None = None
) -> np.ndarray:
    """A row per condition: the condition, its samples, their mean and the target: [H', W', 3] uint8.

    Args:
      condition: of each row; one that is not an image has no column. Hidden pixels have the colour `HOLE`.
      draws: [rows, K, H, W, C] in the range of the data.
      targets: [rows, H, W, C], or None.
    """
    rows, _, *shape = draws.shape
    columns = [*np.moveaxis(draws, 1, 0), draws.mean(axis=1)] + ([] if targets is None else [targets])
    pictures = [in_colour(encode(np.asarray(x), config.data.gcn, config.data.low)) for x in columns]
    if condition.image is not None:
        image = np.asarray(on_grid(jnp.asarray(condition.image), tuple(shape[:2])))
        picture = in_colour(encode(image, 0, config.data.low))
        if condition.mask is not None:
            picture = np.where(np.asarray(condition.mask) > 0, picture, np.uint8(HOLE))
        pictures.insert(0, picture)
    return grid(np.stack(pictures, axis=1).reshape(-1, *shape[:2], 3), rows)


def run_grid(config: ConfigDict, gan: Gan, hparams: HParams, dataset: Dataset, samples: np.ndarray) -> np.ndarray:
    """The grid of a run's `fixed_samples`, with what they are conditioned on: [H', W', 3] uint8."""
    if gan.num_classes or not gan.conditional:
        return sample_grid(config, samples, gan.num_classes, dataset.class_names)
    rows = grid_rows(len(samples), 0)
    condition = picture_condition(gan, hparams, dataset, rows, rows=rows) or Condition()
    examples = dataset.validation if len(dataset.validation) else dataset.train
    targets = examples[np.arange(rows) % len(examples)]
    targets = np.asarray(decode(jnp.asarray(targets), config.data.gcn, config.data.low))
    draws = samples[: len(samples) // rows * rows].reshape(rows, -1, *samples.shape[1:])
    return conditional_grid(config, condition, draws, targets)


def in_colour(images: np.ndarray) -> np.ndarray:
    """Images [n, H, W, C] with 3 channels; other numbers of channels than 3 are averaged."""
    if images.shape[-1] == 3:
        return images
    return np.repeat(np.round(images.mean(axis=-1, keepdims=True)).astype(np.uint8), 3, axis=-1)


def class_label(y: int, names: Sequence[str]) -> str:
    """The name of class y, or its number if classes have no names."""
    return names[y] if names else str(y)


def save_samples(
    path: Path, config: ConfigDict, samples: np.ndarray, classes: int = 0, names: Sequence[str] = ()
) -> None:
    """Writes a picture of samples: a grid of images, or points, over the density of `mixture:NAME`.

    Args:
      samples, classes, names: see `sample_grid`.

    Raises:
      UserError: it cannot be written.
    """
    if samples.ndim == 4:
        save_png(path, sample_grid(config, samples, classes, names))
    else:
        save_points(path, samples, mixtures.MIXTURES.get(config.data.name.removeprefix("mixture:")))


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
