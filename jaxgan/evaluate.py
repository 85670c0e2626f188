"""Samples of G and what the metrics say of them: for training, `--mode=evaluate`, sweeps and Python alike."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from jaxgan.config.fields import nearest
from jaxgan.data import Dataset
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.features.space import features_of_data, name_of
from jaxgan.features.space import load as load_space
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.sampling import sample, standing_statistics
from jaxgan.game.state import GanState, run_stream
from jaxgan.metrics import METRICS
from jaxgan.metrics.protocol import OF_FEATURES, OF_PLAYERS
from jaxgan.networks.spectral import kernels
from jaxgan.spread import in_turn

# The number, larger is better, by which checkpoints and settings are compared: the one that `evaluate.best` names,
# with its sign turned where smaller is better. It is never measured on the test set.
SELECTION = "selection"
SAMPLE_BATCH = 1000  # samples drawn at a time
JUDGED = 1000  # the first so many examples of each set are judged by D for metrics of the players
JUDGED_BATCH = 100  # ... at a time


def draw(
    gan: Gan, hparams: HParams, state: GanState, key: jax.Array, n: int, *, ema: int | None = 0, y: Any = None
) -> jax.Array:
    """The first `n` samples of the stream `key`: [n, *shape] float32.

    Args:
      ema: which of the averages of theta_g draws, by its place; theta_g itself with None, or where there is none.
      y: [n] int32 classes; None draws them, where the players are told any.
    """
    params, stats = source(gan, hparams, state, ema=ema)
    size = min(SAMPLE_BATCH, n)
    starts = jnp.arange(0, n, size, dtype=jnp.uint32)
    numbers = jnp.arange(size, dtype=jnp.uint32)
    classes = None if y is None else jnp.pad(jnp.asarray(y, jnp.int32), (0, len(starts) * size - n))

    def part(first: jax.Array) -> jax.Array:
        some = None if classes is None else jax.lax.dynamic_slice(classes, (first,), (size,))
        return sample(gan, hparams, params, stats, key=key, numbers=first + numbers, y=some)

    parts = jax.lax.map(part, starts)
    return parts.reshape(-1, *parts.shape[2:])[:n]


def source(gan: Gan, hparams: HParams, state: GanState, *, ema: int | None) -> tuple[optax.Params, Any]:
    """The parameters that draw samples, and the statistics with which they do."""
    params = state.averages[ema] if ema is not None and state.averages else state.generator.params
    return params, standing_statistics(gan, hparams, params, state.generator.stats)


def sampler(gan: Gan) -> Callable[..., np.ndarray]:
    """`draw` compiled, on all devices of this host: (hparams, state, key, n, ema=0, y=None) -> [n, *shape] float32."""
    prepare = jax.jit(partial(source, gan), static_argnames="ema")

    @partial(jax.jit, static_argnames="size")
    def part(shared: Any, first: jax.Array, y: jax.Array | None, *, size: int) -> jax.Array:
        hparams, key, params, stats = shared
        numbers = first + jnp.arange(size, dtype=jnp.uint32)
        return sample(gan, hparams, params, stats, key=key, numbers=numbers, y=y)

    def samples(
        hparams: HParams, state: GanState, key: jax.Array, n: int, *, ema: int | None = 0, y: Any = None
    ) -> np.ndarray:
        size = min(SAMPLE_BATCH, n)
        starts = np.arange(0, n, size, dtype=np.uint32)
        classes: list[Any] = [None] * len(starts)
        if y is not None:
            classes = np.split(np.pad(np.asarray(y, np.int32), (0, len(starts) * size - n)), len(starts))
        shared = hparams, key, *prepare(hparams, state, ema=ema)
        parts = in_turn(partial(part, size=size), shared, list(zip(starts, classes, strict=True)))
        return np.concatenate(list(parts))[:n]

    return samples


def scored_labels(config: ConfigDict, dataset: Dataset) -> np.ndarray | None:
    """The classes of the samples that are scored, equally many of each: [n] int32.

    None where no metric asks which they were: then they are drawn, where G is told any.
    """
    metrics = [METRICS[name] for name in config.evaluate.metrics]
    if config.conditional != "label" or not any("fake_labels" in m.needs or m.of_players for m in metrics):
        return None
    return np.arange(config.evaluate.samples, dtype=np.int32) % np.int32(dataset.classes)


def judge(gan: Gan, state: GanState, samples: jax.Array, *, others: dict[str, Any], group: int) -> dict[str, Any]:
    """What metrics may need of the players: `OF_PLAYERS`, by name.

    D judges as it does for users, without dropout and augmentation, in groups of `group` examples that follow each
    other where it couples these; what does not make a whole group is left out.

    Args:
      samples: [n, *shape] float32.
      others: stored examples, 'train' and 'validation' [m, *shape], and classes, 'train_labels', 'validation_labels'
        and 'sample_labels' [m] int32, None where D is told none.
    """
    D = state.discriminator
    sets = {
        "train": gan.decode(others["train"]),
        "validation": gan.decode(others["validation"]),
        "sample": samples[:JUDGED],
    }

    def of_group(x: jax.Array, y: jax.Array | None) -> tuple[jax.Array, jax.Array]:
        def total(x: jax.Array) -> tuple[jax.Array, jax.Array]:
            logits = gan.D(D.params, D.stats, x, y)[0]
            return jnp.sum(logits), logits

        gradient, logits = jax.grad(total, has_aux=True)(x)
        return logits, jnp.sqrt(jnp.sum(jnp.square(gradient), axis=tuple(range(1, x.ndim))))

    found: dict[str, Any] = {}
    for name, x in sets.items():
        n = len(x) // group
        both = (x, others[f"{name}_labels"])
        groups = jax.tree.map(lambda a, n=n: a[: n * group].reshape(n, group, *a.shape[1:]), both)
        logits, slopes = jax.lax.map(lambda some: of_group(*some), groups, batch_size=-(-JUDGED_BATCH // group))
        found |= {f"{name}_logits": logits.reshape(-1), f"{name}_slopes": slopes.reshape(-1)}
    players = {"generator": state.generator, "discriminator": D}
    found["kernels"] = {
        f"{player}.{layer}": kernel
        for player, its in players.items()
        for layer, kernel in kernels(its.params, its.stats).items()
    }
    return found


def judging(config: ConfigDict, gan: Gan, dataset: Dataset) -> tuple[Callable[..., dict[str, Any]], Any] | None:
    """`judge` as a function (state, samples, others), and its `others`; None where no metric needs it."""
    if not any(METRICS[name].of_players for name in config.evaluate.metrics):
        return None
    labels = {
        "train_labels": dataset.train_labels,
        "validation_labels": dataset.validation_labels,
        "sample_labels": scored_labels(config, dataset),
    }
    others = {split: getattr(dataset, split)[:JUDGED] for split in ("train", "validation")}
    others |= {name: y[:JUDGED] if gan.num_classes else None for name, y in labels.items()}
    group = judged_together(config)
    return lambda state, samples, others: judge(gan, state, samples, others=others, group=group), others


def judged_together(config: ConfigDict) -> int:
    """Of how many examples a logit of D may depend: a pack, or the group of a minibatch deviation."""
    return config.discriminator.packing * (config.discriminator.get("minibatch_deviation", 0) or 1)


def check_metrics(config: ConfigDict, dataset: Dataset) -> None:
    """Refuses metrics that do not exist, or that these data cannot have.

    Raises:
      UserError: with what is missing and what to do.
    """
    name_of(config.evaluate.features)
    for name in config.evaluate.metrics:
        if name not in METRICS:
            known = ", ".join(METRICS)
            raise UserError(
                f"evaluate.metrics may hold {known}, not {name!r}; the nearest is {nearest(name, METRICS)!r}."
            )
        _check_needs(name, config, dataset)
        if METRICS[name].of_players:
            _check_players(name, config, dataset)
        if METRICS[name].of_features or "fake_classes" in METRICS[name].needs:
            _check_features(name, config, dataset)
    _check_best(config)


def _check_needs(name: str, config: ConfigDict, dataset: Dataset) -> None:
    for need in METRICS[name].needs:
        if need == "mixture" and dataset.mixture is None:
            raise UserError(f"evaluate.metrics={name} needs data.name=mixture:NAME; take parzen for images.")
        for split in ("validation", config.evaluate.split) if need == "real_features" else (need,):
            if split in ("validation", "test") and not len(getattr(dataset, split)):
                raise UserError(
                    f"evaluate.metrics={name} needs {split} examples, and {dataset.name} leaves none; set "
                    f"data.validation={config.data.validation} above 0, or evaluate.metrics=()."
                )
        if need == "fake_labels" and config.conditional != "label":
            raise UserError(f"evaluate.metrics={name} needs a G that is told classes; set conditional=label.")
        if need == "fake_logits" and config.evaluate.features == "pixels":
            raise UserError(
                f"evaluate.metrics={name} needs a network's logits, which evaluate.features=pixels has not; take "
                f"classifier or inception:FILE.npz."
            )


def _check_players(name: str, config: ConfigDict, dataset: Dataset) -> None:
    if dataset.stack > 1:
        raise UserError(f"evaluate.metrics={name} needs stored training examples, which {dataset.name} has not.")
    together = judged_together(config)
    counts = {f"evaluate.samples={config.evaluate.samples}": config.evaluate.samples}
    if "validation_logits" in METRICS[name].needs:
        counts[f"the validation set of {len(dataset.validation)} examples"] = len(dataset.validation)
    for what, count in counts.items():
        if count < together:
            raise UserError(f"evaluate.metrics={name} needs {together} examples or more, and {what} is too few.")


def _check_features(name: str, config: ConfigDict, dataset: Dataset) -> None:
    metric, samples, k = METRICS[name], config.evaluate.samples, config.evaluate.k
    if config.data.limit and (name_of(config.evaluate.features) == "classifier" or "fake_classes" in metric.needs):
        raise UserError(
            f"evaluate.metrics={name} asks a classifier that learns from the training set, of which data.limit="
            f"{config.data.limit} leaves a part; take evaluate.features=pixels, or data.limit=0."
        )
    counts = {f"evaluate.samples={samples}": samples}
    if metric.compares:
        held_out = "train_features" in metric.needs  # which are compared with what was not trained on
        if config.evaluate.split == "train" and (dataset.stack > 1 or held_out):
            why = "compares training with other examples" if held_out else "finds no stored training examples here"
            raise UserError(f"evaluate.metrics={name} {why}; take evaluate.split=test.")
        if held_out and dataset.stack > 1:
            raise UserError(f"evaluate.metrics={name} needs stored training examples, which {dataset.name} has not.")
        for split in ("validation", config.evaluate.split):
            count = len(getattr(dataset, split))
            counts[f"the {split} set of {count} examples"] = count
    what, smallest = min(counts.items(), key=lambda item: item[1])
    if smallest < metric.least:
        raise UserError(f"evaluate.metrics={name} needs {metric.least} examples or more, and {what} is too few.")
    if "k" in metric.needs and smallest <= k:
        raise UserError(f"evaluate.k={k} nearest neighbours need more examples than {what} has; lower evaluate.k.")


def _check_best(config: ConfigDict) -> None:
    best, space = config.evaluate.best, name_of(config.evaluate.features)
    shown = {number: how for name in config.evaluate.metrics for number, how in METRICS[name].shown_in(space).items()}
    numbers = [number for number, how in shown.items() if how.better]
    if best and best not in numbers:
        raise UserError(
            f"evaluate.best={best} is none of the numbers of evaluate.metrics that can be better or worse: "
            f"{', '.join(numbers)}."
        )
    if best and not any(best in METRICS[name].choosing(space) for name in config.evaluate.metrics):
        raise UserError(
            f"evaluate.best={best} would choose by the {config.evaluate.split} set; take a number of the validation "
            f"set."
        )


def selection(config: ConfigDict) -> tuple[str, int] | None:
    """The number that names the best checkpoint, and its sign; None where no metric has one."""
    space, best = name_of(config.evaluate.features), config.evaluate.best
    for metric in (METRICS[name] for name in config.evaluate.metrics):
        name = best or (metric.best and metric.full_name(metric.best, space, validation=True))
        if name in metric.choosing(space):
            return name, metric.choosing(space)[name]
    return None


def protocol(config: ConfigDict, dataset: Dataset) -> dict[str, Any]:
    """What has to be known of features, and of the examples that were used, to compare scores: plain JSON."""
    metrics = {name: METRICS[name] for name in config.evaluate.metrics}
    about: dict[str, Any] = {}
    if any(metric.of_features for metric in metrics.values()):
        about["features"] = load_space(config.evaluate.features, dataset, config.data.gcn).facts
    if any("fake_classes" in metric.needs for metric in metrics.values()):
        about["classes"] = load_space("classifier", dataset, config.data.gcn).facts
    if any(metric.compares for metric in metrics.values()):
        split = config.evaluate.split
        about["real"] = {"split": split, "examples": len(getattr(dataset, split)), "chosen_by": "validation"}
    if any(metric.of_players for metric in metrics.values()):
        group = judged_together(config)
        counts = {
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "samples": config.evaluate.samples,
        }
        about["judged"] = {name: min(count, JUDGED) // group * group for name, count in counts.items()}
    if any("k" in metric.needs for metric in metrics.values()):
        about["k"] = config.evaluate.k
    if scored_labels(config, dataset) is not None:
        about["labels"] = "equally many samples of each"
    real, validation = len(getattr(dataset, config.evaluate.split)), len(dataset.validation)
    done = {name: metric.done(real, validation, config.evaluate.samples) for name, metric in metrics.items()}
    return about | {name: what for name, what in done.items() if what}


def evaluator(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[..., dict[str, float]]:
    """A function (hparams, state, ema=0, why=None) -> the numbers of `evaluate.metrics`, `SELECTION` among them.

    Raises:
      UserError: what `check_metrics` refuses.
    """
    measure, sample_some, y = measurer(config, dataset), sampler(gan), scored_labels(config, dataset)
    judges = judging(config, gan, dataset)
    judged: Callable[..., dict[str, Any]] = jax.jit(judges[0]) if judges else lambda *_: {}
    others = judges[1] if judges else {}

    def numbers(
        hparams: HParams, state: GanState, ema: int | None = 0, why: dict[str, str] | None = None
    ) -> dict[str, float]:
        if not config.evaluate.metrics:
            return {}
        key = run_stream(hparams, "evaluate")
        samples = sample_some(hparams, state, key, config.evaluate.samples, ema=ema, y=y)
        return measure(samples, why, judged(state, samples, others))

    return numbers


def measurer(config: ConfigDict, dataset: Dataset) -> Callable[..., dict[str, float]]:
    """A function of samples [n, *shape] float32 -> the numbers of `evaluate.metrics`, `SELECTION` among them.

    Its second argument is a dictionary or None: it gets, by metric, why numbers are NaN that cannot be computed of
    these samples. Its third is what `judge` found, for metrics of the players.

    Raises:
      UserError: what `check_metrics` refuses.
    """
    check_metrics(config, dataset)
    chosen, metrics = selection(config), [(name, METRICS[name]) for name in config.evaluate.metrics]
    real, space = given(config, dataset), name_of(config.evaluate.features)

    def measure(
        samples: np.ndarray, why: dict[str, str] | None = None, players: Mapping[str, Any] | None = None
    ) -> dict[str, float]:
        found: dict[str, float] = {}
        if config.data.low and not config.data.gcn and dataset.mixture is None:
            samples = (samples - config.data.low) / (1 - config.data.low)  # scores compare, whatever G's range

        @cache
        def outputs(network: str) -> tuple[np.ndarray, Any]:  # which looks at the samples once
            return real(network).outputs(np.asarray(samples))

        def of(need: str, split: str) -> Any:
            if need in OF_PLAYERS:
                if players is None:
                    raise UserError("a metric of the players cannot be measured of samples alone; leave it out.")
                return players[need]
            match need:
                case "samples":
                    return samples
                case "real_features":
                    return real(f"{split} features")
                case "train_features":
                    return real("train features")
                case "fake_features" | "fake_logits":
                    return outputs(space)[need == "fake_logits"]
                case "fake_labels":
                    return scored_labels(config, dataset)
                case "fake_classes":
                    return outputs("classifier")[1].argmax(axis=1)
            return real(need)

        for name, metric in metrics:
            for split in (config.evaluate.split, "validation") if metric.compares else (config.evaluate.split,):
                try:
                    numbers = metric.evaluate(**{need: of(need, split) for need in metric.needs})
                except UserError as error:
                    if not metric.may_fail:
                        raise
                    numbers = dict.fromkeys(metric.shown, math.nan)
                    if why is not None:
                        why[name] = str(error)
                in_full = partial(metric.full_name, space=space, validation=split == "validation")
                found |= {in_full(number): float(x) for number, x in numbers.items()}
        return found | ({SELECTION: chosen[1] * found[chosen[0]]} if chosen else {})

    return measure


def given(config: ConfigDict, dataset: Dataset) -> Callable[[str], Any]:
    """What metrics need beside samples, by name; computed once, when it is first asked for.

    The networks of features are read, or trained, at once: what is wrong with them is wrong before training.

    Raises:
      UserError: weights that cannot be read, or data that have no features of the kind.
    """
    needs = {need for name in config.evaluate.metrics for need in METRICS[name].needs}
    lock, gcn = threading.RLock(), config.data.gcn
    wanted = {config.evaluate.features} if needs & set(OF_FEATURES) else set()
    wanted |= {"classifier"} if "fake_classes" in needs else set()
    spaces = {name_of(features): load_space(features, dataset, gcn) for features in wanted}

    @cache
    def compute(need: str) -> Any:
        if need in ("mixture", "classes"):
            return getattr(dataset, need)
        if need == "k":
            return config.evaluate.k
        if need.endswith(" features"):
            return features_of_data(
                spaces[name_of(config.evaluate.features)], np.asarray(compute(need.removesuffix(" features")))
            )
        # Arguments of the compiled metrics, not constants in them.
        return decode(jnp.asarray(getattr(dataset, need)), gcn)

    def real(need: str) -> Any:
        if need in spaces:
            return spaces[need]
        with lock:  # the members of a sweep are measured by several threads
            return compute(need)

    return real
