"""Metrics and pictures of samples: what `--mode=evaluate`, `--mode=sample` and the training loop show."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import plots, scores
from jaxgan.data import Dataset, mixture
from jaxgan.data.decode import encode
from jaxgan.gan import Gan
from jaxgan.hparams import HParams
from jaxgan.state import GanState
from jaxgan.workdir import write_atomically


def sampler(gan: Gan) -> Callable[[HParams, GanState, jax.Array, int], np.ndarray]:
    """A function (hparams, state, key, n) -> the first n samples of the stream `key`: [n, *shape] float32."""
    draw = jax.jit(partial(scores.draw, gan), static_argnums=3)
    return lambda *args: np.asarray(jax.block_until_ready(draw(*args)))


def evaluator(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[[HParams, GanState], dict[str, float]]:
    """A function (hparams, state) -> the metrics of `scores.measure`, as Python numbers."""
    measure = jax.jit(scores.measure(config, gan, dataset))
    return lambda *args: {name: float(x) for name, x in jax.block_until_ready(measure(*args)).items()}


def image_grid(config: ConfigDict, samples: np.ndarray) -> np.ndarray:
    """Images [n, H, W, C] in the range of the data, side by side: [H', W', C] uint8."""
    return plots.grid(encode(samples, config.data.contrast), rows=math.isqrt(len(samples) - 1) + 1)


def save_picture(path: Path, config: ConfigDict, samples: np.ndarray) -> None:
    """A picture of samples: a grid of images, or points over the density of `mixture:NAME`."""
    if samples.ndim == 4:
        plots.save_png(path, image_grid(config, samples))
    else:
        density, *_ = mixture.load(config.data.name.removeprefix("mixture:"))
        plots.points(path, samples, density)


def save_scores(workdir: Path, step: int, scores: dict[str, float]) -> None:
    """Writes evaluation.json: {"step": step, **scores}; a number that is not finite as null.

    Raises:
      UserError: it cannot be written.
    """
    numbers = {name: number if math.isfinite(number) else None for name, number in scores.items()}
    write_atomically(workdir / "evaluation.json", (json.dumps({"step": step, **numbers}, indent=2) + "\n").encode())
