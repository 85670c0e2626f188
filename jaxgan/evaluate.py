"""Samples of G and what the metrics say of them: for training, `--mode=evaluate`, sweeps and Python alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan.config.fields import nearest
from jaxgan.data import Dataset
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.gan import Gan, sample, sampling_statistics
from jaxgan.hparams import HParams
from jaxgan.metrics import METRICS
from jaxgan.state import GanState, run_stream

# The number, larger is better, by which checkpoints and settings are compared: the one that `evaluate.best` names,
# with its sign turned where smaller is better. It is never measured on the test set.
SELECTION = "selection"
SAMPLE_BATCH = 1000  # samples drawn at a time


def draw(
    gan: Gan, hparams: HParams, state: GanState, key: jax.Array, n: int, *, ema: int | None = 0, y: Any = None
) -> jax.Array:
    """The first `n` samples of the stream `key`: [n, *shape] float32.

    Args:
      ema: which of the averages of theta_g draws, by its place; theta_g itself with None, or where there is none.
      y: [n] int32 classes; None draws them, where the players are told any.
    """
    params = state.averages[ema] if ema is not None and state.averages else state.generator.params
    stats = sampling_statistics(gan, hparams, params, state.generator.stats)
    size = min(SAMPLE_BATCH, n)
    starts = jnp.arange(0, n, size, dtype=jnp.uint32)
    numbers = jnp.arange(size, dtype=jnp.uint32)
    classes = None if y is None else jnp.pad(jnp.asarray(y, jnp.int32), (0, len(starts) * size - n))

    def part(first: jax.Array) -> jax.Array:
        some = None if classes is None else jax.lax.dynamic_slice(classes, (first,), (size,))
        return sample(gan, hparams, params, stats, key=key, numbers=first + numbers, y=some)

    parts = jax.lax.map(part, starts)
    return parts.reshape(-1, *parts.shape[2:])[:n]


def sampler(gan: Gan) -> Callable[..., np.ndarray]:
    """`draw` compiled: (hparams, state, key, n, ema=0, y=None) -> [n, *shape] float32."""
    compiled = jax.jit(partial(draw, gan), static_argnums=3, static_argnames="ema")
    return lambda *args, **kwargs: np.asarray(jax.block_until_ready(compiled(*args, **kwargs)))


def check_metrics(config: ConfigDict, dataset: Dataset) -> None:
    """Refuses metrics that do not exist, or that these data cannot have.

    Raises:
      UserError: with what is missing and what to do.
    """
    for name in config.evaluate.metrics:
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise UserError(
                f"evaluate.metrics may hold {known}, not {name!r}; the nearest is {nearest(name, METRICS)!r}."
            )
        for need in METRICS[name].needs:
            if need == "mixture" and dataset.mixture is None:
                raise UserError(f"evaluate.metrics={name} needs data.name=mixture:NAME; take parzen for images.")
            if need in ("validation", "test") and not len(getattr(dataset, need)):
                raise UserError(
                    f"evaluate.metrics={name} needs {need} examples, and {dataset.name} leaves none; set "
                    f"data.validation={config.data.validation} above 0, or evaluate.metrics=()."
                )
    best = config.evaluate.best
    shown = {number: shown for name in config.evaluate.metrics for number, shown in METRICS[name].shown.items()}
    numbers = [number for number, how in shown.items() if how.better]
    if best and best not in numbers:
        raise UserError(
            f"evaluate.best={best} is none of the numbers of evaluate.metrics that can be better or worse: "
            f"{', '.join(numbers)}."
        )
    if best.startswith("test_"):
        raise UserError(f"evaluate.best={best} would choose by the test set; take a number of the validation set.")


def selection(config: ConfigDict) -> tuple[str, int] | None:
    """The number that names the best checkpoint, and its sign; None without metrics."""
    if not config.evaluate.metrics:
        return None
    name = config.evaluate.best or METRICS[config.evaluate.metrics[0]].best
    signs = {number: shown.better for metric in METRICS.values() for number, shown in metric.shown.items()}
    return name, signs[name]


def evaluator(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[..., dict[str, float]]:
    """A function (hparams, state, ema=0) -> the numbers of `evaluate.metrics`, `SELECTION` among them.

    Raises:
      UserError: what `check_metrics` refuses.
    """
    measure, sample_some = measurer(config, dataset), sampler(gan)

    def numbers(hparams: HParams, state: GanState, ema: int | None = 0) -> dict[str, float]:
        if not config.evaluate.metrics:
            return {}
        key = run_stream(hparams, "evaluate")
        return measure(sample_some(hparams, state, key, config.evaluate.samples, ema=ema))

    return numbers


def measurer(config: ConfigDict, dataset: Dataset) -> Callable[[np.ndarray], dict[str, float]]:
    """A function of samples [n, *shape] float32 -> the numbers of `evaluate.metrics`, `SELECTION` among them.

    Raises:
      UserError: what `check_metrics` refuses.
    """
    check_metrics(config, dataset)
    chosen = selection(config)

    @cache
    def given(need: str) -> Any:  # arguments of the compiled metrics, not constants in them; decoded once
        if need == "mixture":
            return dataset.mixture
        return decode(jnp.asarray(getattr(dataset, need)), config.data.gcn)

    def measure(samples: np.ndarray) -> dict[str, float]:
        found: dict[str, float] = {}
        if config.data.low and not config.data.gcn and dataset.mixture is None:
            samples = (samples - config.data.low) / (1 - config.data.low)  # scores compare, whatever G's range
        for metric in (METRICS[name] for name in config.evaluate.metrics):
            arguments = {need: samples if need == "samples" else given(need) for need in metric.needs}
            found |= {number: float(x) for number, x in metric.evaluate(**arguments).items()}
        return found | ({SELECTION: chosen[1] * found[chosen[0]]} if chosen else {})

    return measure
