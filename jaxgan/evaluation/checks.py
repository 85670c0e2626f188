"""The section `evaluate`, and its checks against the data, before anything is trained or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from ml_collections import ConfigDict

from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.features.space import forms, space_name, space_type
from jaxgan.fields import above, at_least, nearest, one_of
from jaxgan.metrics import METRICS
from jaxgan.networks.forward import coupled_group_size


@dataclass(frozen=True)
class EvaluateSection:
    """How the players are evaluated."""

    every: Annotated[int, at_least(0)] = 0  # steps between evaluations; 0 = only at the end
    samples: Annotated[int, above(0)] = 10_000  # samples of G per evaluation
    metrics: Sequence[str] = ("parzen",)  # of jaxgan/metrics; () = none
    features: str = "pixels"  # feature space of metrics, of jaxgan/features: see --list=features
    # the real examples that features are compared with: test | train
    split: Annotated[str, one_of("test", "train")] = "test"
    k: Annotated[int, above(0)] = 5  # number of nearest neighbours for precision, recall, density and coverage
    # samples per condition, for metrics of conditional samples; 90% intervals are exact with 19 or 39
    draws: Annotated[int, at_least(2)] = 19
    best: str = ""  # the score that selects the best checkpoint; '' = that of the first metric


OF_SPLITS = ("real_features", "targets", "examples", "labels")  # inputs of the validation set and of another


def check_metrics(config: ConfigDict, dataset: Dataset) -> None:
    """Checks that all metrics of `config.evaluate` exist and can be computed on this data set.

    Raises:
      UserError: what is missing, and what to do.
    """
    space_name(config.evaluate.features)
    for name in config.evaluate.metrics:
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise UserError(
                f"evaluate.metrics may hold {known}, not {name!r}; the nearest is {nearest(name, METRICS)!r}."
            )
        _check_needs(name, config, dataset)
        if METRICS[name].uses_players:
            _check_players(name, config, dataset)
        if METRICS[name].uses_features or "fake_classes" in METRICS[name].needs:
            _check_features(name, config, dataset)
    _check_best(config)


def _check_needs(name: str, config: ConfigDict, dataset: Dataset) -> None:
    for need in METRICS[name].needs:
        if need == "mixture" and dataset.mixture is None:
            raise UserError(f"evaluate.metrics={name} needs data.name=mixture:NAME; use parzen for images.")
        for split in ("validation", config.evaluate.split) if need in OF_SPLITS else (need,):
            if split in ("validation", "test") and not len(getattr(dataset, split)):
                raise UserError(
                    f"evaluate.metrics={name} needs {split} examples, and {dataset.name} leaves none; set "
                    f"data.validation={config.data.validation} above 0, or evaluate.metrics=()."
                )
        if need == "labels" and dataset.validation_labels is None:
            raise UserError(f"evaluate.metrics={name} needs labels, and {dataset.name} has none; leave it out.")
        classes = config.objective.labelled.weight or any(config.objective.auxiliary.values())
        if need == "class_logits" and not classes:
            raise UserError(
                f"evaluate.metrics={name} needs a D that predicts classes; set objective.labelled.weight=1, or leave "
                f"it out."
            )
        if need in ("class_logits", "probes") and (config.encoder.joint or coupled_group_size(config) > 1):
            raise UserError(
                f"evaluate.metrics={name} takes a D of single examples, and this one judges pairs (x, z) or groups of "
                f"examples; leave it out."
            )
        if need == "probes" and (config.conditional != "none" or dataset.stack > 1):
            raise UserError(
                f"evaluate.metrics={name} takes D's features of single, stored examples; set conditional=none and "
                f"data.name to data that are not stacked, or leave it out."
            )
        if need == "inferred" and config.encoder.name == "none":
            raise UserError(f"evaluate.metrics={name} scores an encoder; set encoder.name, or leave it out.")
        if need == "draws" and config.conditional == "none":
            raise UserError(f"evaluate.metrics={name} scores conditional samples; set condition.name, or leave it out.")
        if need == "fake_labels" and config.conditional != "label":
            raise UserError(f"evaluate.metrics={name} needs a class-conditional G; set conditional=label.")
        if need == "fake_logits" and not space_type(config.evaluate.features).has_logits:
            raise UserError(
                f"evaluate.metrics={name} needs the logits of a network, and evaluate.features="
                f"{config.evaluate.features} has none; use "
                f"{' or '.join(form for form, space in forms().items() if space.has_logits)}."
            )


def _check_players(name: str, config: ConfigDict, dataset: Dataset) -> None:
    if dataset.stack > 1:
        raise UserError(f"evaluate.metrics={name} needs stored training examples, and {dataset.name} has none.")
    if config.conditional not in ("none", "label"):
        raise UserError(
            f"evaluate.metrics={name} supports unconditional and class-conditional players only, not condition.name="
            f"{config.condition.name}; leave it out."
        )
    if config.encoder.joint:
        raise UserError(
            f"evaluate.metrics={name} needs a D of x alone, and with encoder.joint=true D takes pairs; leave it out."
        )
    group_size = coupled_group_size(config)
    counts = {f"evaluate.samples={config.evaluate.samples}": config.evaluate.samples}
    if "validation_logits" in METRICS[name].needs:
        counts[f"the validation set of {len(dataset.validation)} examples"] = len(dataset.validation)
    for source, count in counts.items():
        if count < group_size:
            raise UserError(f"evaluate.metrics={name} needs {group_size} examples or more, and {source} is too few.")


def _check_features(name: str, config: ConfigDict, dataset: Dataset) -> None:
    metric, samples, k = METRICS[name], config.evaluate.samples, config.evaluate.k
    classifies = space_type(config.evaluate.features).trained_on_data or "fake_classes" in metric.needs
    if config.data.labels and classifies:
        raise UserError(
            f"evaluate.metrics={name} uses a classifier trained on all labels, and data.labels={config.data.labels} "
            f"hides most; use evaluate.features=pixels, or data.labels=0."
        )
    if config.data.limit and classifies:
        raise UserError(
            f"evaluate.metrics={name} uses a classifier trained on the whole training set, and data.limit="
            f"{config.data.limit} leaves only part of it; use evaluate.features=pixels, or data.limit=0."
        )
    counts = {f"evaluate.samples={samples}": samples}
    if metric.compares_to_real:
        held_out = "train_features" in metric.needs  # compared with features of examples not trained on
        if config.evaluate.split == "train" and (dataset.stack > 1 or held_out):
            why = "compares training with other examples" if held_out else "finds no stored training examples here"
            raise UserError(f"evaluate.metrics={name} {why}; use evaluate.split=test.")
        if held_out and dataset.stack > 1:
            raise UserError(f"evaluate.metrics={name} needs stored training examples, and {dataset.name} has none.")
        for split in ("validation", config.evaluate.split):
            count = len(getattr(dataset, split))
            counts[f"the {split} set of {count} examples"] = count
    source, smallest = min(counts.items(), key=lambda item: item[1])
    if smallest < metric.min_examples:
        raise UserError(
            f"evaluate.metrics={name} needs {metric.min_examples} examples or more, and {source} is too few."
        )
    if "k" in metric.needs and smallest <= k:
        raise UserError(f"evaluate.k={k} nearest neighbours need more examples than {source} has; lower evaluate.k.")


def _check_best(config: ConfigDict) -> None:
    best, space = config.evaluate.best, space_name(config.evaluate.features)
    displays = {
        full_name: display
        for name in config.evaluate.metrics
        for full_name, display in METRICS[name].displays(space).items()
    }
    comparable = [full_name for full_name, display in displays.items() if display.direction]
    if best and best not in comparable:
        raise UserError(
            f"evaluate.best={best} is not among the scores of evaluate.metrics that can be better or worse: "
            f"{', '.join(comparable)}."
        )
    if best and not any(best in METRICS[name].selection_metrics(space) for name in config.evaluate.metrics):
        raise UserError(
            f"evaluate.best={best} would select checkpoints by the {config.evaluate.split} set; use a score on the "
            f"validation set."
        )
