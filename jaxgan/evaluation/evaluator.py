"""The metrics of a configuration as one function of samples, or of a state; the number that selects checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation.checks import check_metrics
from jaxgan.evaluation.classification import make_classifications
from jaxgan.evaluation.draws import make_draws
from jaxgan.evaluation.inference import make_inferences
from jaxgan.evaluation.inputs import INPUTS, Evaluation, References
from jaxgan.evaluation.players import D_EXAMPLES, coupled_group_size, make_player_inputs
from jaxgan.evaluation.samples import evaluation_condition, evaluation_labels, make_sampler
from jaxgan.features.space import load_space, space_name
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, run_stream
from jaxgan.metrics import METRICS

# The metric, larger is better, by which checkpoints and settings are compared: the one that `evaluate.best` names, with
# its sign flipped if smaller is better. It is never computed on the test set.
SELECTION = "selection"


def selection(config: ConfigDict) -> tuple[str, int] | None:
    """The metric that selects the best checkpoint, and its sign; None if no metric has a direction."""
    space, best = space_name(config.evaluate.features), config.evaluate.best
    for metric in (METRICS[name] for name in config.evaluate.metrics):
        name = best or (metric.best and metric.full_name(metric.best, space, validation=True))
        if name in metric.selection_metrics(space):
            return name, metric.selection_metrics(space)[name]
    return None


def protocol(config: ConfigDict, dataset: Dataset) -> dict[str, Any]:
    """The evaluation protocol, recorded with the scores: scores are comparable if it is equal. Plain JSON."""
    metrics = {name: METRICS[name] for name in config.evaluate.metrics}
    record: dict[str, Any] = {}
    if any(metric.uses_features for metric in metrics.values()):
        record["features"] = load_space(config.evaluate.features, dataset, config.data.gcn).metadata
    if any("fake_classes" in metric.needs for metric in metrics.values()):
        record["classes"] = load_space("classifier", dataset, config.data.gcn).metadata
    if any(metric.compares_to_real for metric in metrics.values()):
        split = config.evaluate.split
        record["real"] = {"split": split, "examples": len(getattr(dataset, split)), "chosen_by": "validation"}
    if any(metric.uses_players for metric in metrics.values()):
        group_size = coupled_group_size(config)
        counts = {
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "samples": config.evaluate.samples,
        }
        record["judged"] = {name: min(count, D_EXAMPLES) // group_size * group_size for name, count in counts.items()}
    if any("draws" in metric.needs for metric in metrics.values()):
        record |= {
            "condition": dict(config.condition),
            "draws": config.evaluate.draws,
        }  # masks are the same in all runs
    if any("k" in metric.needs for metric in metrics.values()):
        record["k"] = config.evaluate.k
    if evaluation_labels(config, dataset) is not None:
        record["labels"] = "equally many samples of each"
    real, validation = len(getattr(dataset, config.evaluate.split)), len(dataset.validation)
    details = {name: metric.protocol(real, validation, config.evaluate.samples) for name, metric in metrics.items()}
    return record | {name: detail for name, detail in details.items() if detail}


def make_evaluator(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[..., dict[str, float]]:
    """Builds the evaluation of a state: samples G, and evaluates `evaluate.metrics` on the samples.

    Returns:
      A function (hparams, state, ema=0, reasons=None) -> {metric: value}, `SELECTION` included; for `ema` see
      `sample_stream`, for `reasons` `make_measure`.

    Raises:
      UserError: as `check_metrics`.
    """
    measure, sampler = make_measure(config, dataset), make_sampler(gan)
    draws, inferences = make_draws(config, gan, dataset, sampler), make_inferences(config, gan, dataset)
    classifications = make_classifications(config, gan, dataset)
    needed = make_player_inputs(config, gan, dataset)
    player_inputs: Callable[..., dict[str, Any]] = jax.jit(needed[0]) if needed else lambda *_: {}
    examples = needed[1] if needed else {}

    def evaluate(
        hparams: HParams, state: GanState, ema: int | None = 0, reasons: dict[str, str] | None = None
    ) -> dict[str, float]:
        if not config.evaluate.metrics:
            return {}
        key = run_stream(hparams, "evaluate")
        condition = evaluation_condition(config, gan, hparams, dataset)
        samples = sampler(hparams, state, key, config.evaluate.samples, ema=ema, condition=condition)
        players = player_inputs(state, samples, examples) | draws(hparams, state, ema)
        players |= inferences(hparams, state, ema) | classifications(hparams, state)
        return measure(samples, reasons, players)

    return evaluate


def make_measure(config: ConfigDict, dataset: Dataset) -> Callable[..., dict[str, float]]:
    """Builds the evaluation of samples alone.

    Returns:
      A function (samples, reasons=None, players=None) -> {metric: value}, `SELECTION` included. `samples` are
      [n, *shape] float32; the dictionary `reasons`, if any, receives by metric why its values are NaN (metrics that are
      undefined on these samples); `players` are the `player_inputs`, for metrics of the players.

    Raises:
      UserError: as `check_metrics`.
    """
    check_metrics(config, dataset)
    selected, metrics = selection(config), [(name, METRICS[name]) for name in config.evaluate.metrics]
    references = References(config, dataset)
    space = references.space_name

    def measure(
        samples: np.ndarray, reasons: dict[str, str] | None = None, players: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        evaluation = Evaluation(references, samples, players)
        scores: dict[str, float] = {}
        for name, metric in metrics:
            for split in (config.evaluate.split, "validation") if metric.compares_to_real else (config.evaluate.split,):
                try:
                    values = metric.evaluate(**{need: INPUTS[need](evaluation, split) for need in metric.needs})
                except UserError as error:
                    if not metric.can_be_undefined:
                        raise
                    values = dict.fromkeys(metric.outputs, math.nan)
                    if reasons is not None:
                        reasons[name] = str(error)
                validation = split == "validation"
                scores |= {metric.full_name(key, space, validation=validation): float(x) for key, x in values.items()}
        return scores | ({SELECTION: selected[1] * scores[selected[0]]} if selected else {})

    return measure
