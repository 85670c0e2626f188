"""What the members of a group share: the data, the game, and its functions, each compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data
from jaxgan.algorithm1 import zero_metrics
from jaxgan.data import Dataset
from jaxgan.evaluation.evaluator import make_measure
from jaxgan.evaluation.players import make_player_inputs
from jaxgan.evaluation.samples import evaluation_labels, sample_stream
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build_for, data_spec
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams, traced
from jaxgan.game.state import GanState, run_stream
from jaxgan.run import warm_start, workdir
from jaxgan.run.plots import row_classes
from jaxgan.sweep import population
from jaxgan.sweep.devices import MemberMap, Population, replicate, shard, take_turns
from jaxgan.sweep.plan import Trial, naming, program_key
from jaxgan.sweep.population import Member
from jaxgan.train import training_set

POINTS, IMAGES = 1000, 100  # samples that a member leaves for the report, of a mixture or of images


class Program(NamedTuple):
    """The functions are of populations (`devices.py`), and compiled on first use."""

    dataset: Dataset
    gan: Gan
    facts: dict[str, Any]  # of run.json, but for the checkpoint that a member began from
    sums: dict[str, np.ndarray]  # of no steps, for one member
    start: MemberMap  # (hparams, sums) -> Member
    resume: MemberMap  # (state, sums) -> Member
    advance: MemberMap  # (hparams, state, sums, alive, TrainingSet, n) -> (state, sums)
    close_line: MemberMap  # (state, sums, kept, alive) -> Member's parts
    draw_scored: MemberMap  # (hparams, state) -> samples that are measured
    draw_shown: MemberMap  # (hparams, state) -> samples that are kept
    judge: Callable[..., Population]  # (state, samples) -> what metrics need of the players
    measure: Callable[..., dict[str, float]]  # of one member's samples, and of what its players are judged to be


_programs: dict[str, Program] = {}
_datasets: dict[str, Dataset] = {}


def program(trial: Trial) -> Program:
    """The program that trains `trial` and all that differ from it in traced numbers only.

    Raises:
      UserError: the data cannot be read, or the setting does not fit them; the setting is named.
    """
    key = program_key(trial)
    if key not in _programs:
        with naming(trial.setting):
            _programs[key] = _build(trial.config)
    return _programs[key]


def _build(config: ConfigDict) -> Program:
    dataset = dataset_of(config)
    gan = build_for(config, dataset)
    shown = IMAGES if dataset.mixture is None else POINTS
    source = warm_start.source_of(config)

    def start(hparams: HParams, sums: population.Sums) -> Member:
        return population.begin(warm_start.initialize(config, gan.init(hparams), source), sums)

    def draws(name: str, count: int, y: np.ndarray | None = None) -> MemberMap:
        def samples(hparams: HParams, state: GanState) -> jax.Array:
            return sample_stream(gan, hparams, state, run_stream(hparams, name), count, y=y)

        return MemberMap(samples, num_mapped=2, side_by_side=False)

    hparams = traced(config)
    zeros = zero_metrics(gan, hparams, jax.eval_shape(gan.init, hparams), shapes_of(gan, dataset))
    return Program(
        dataset=dataset,
        gan=gan,
        facts=workdir.facts_of(config, dataset, data_spec(config, dataset)),
        sums={name: np.asarray(zero) for name, zero in zeros.items()},
        start=MemberMap(start, num_mapped=2),
        resume=MemberMap(population.begin, num_mapped=2),
        advance=MemberMap(population.make_advance(gan, take_turns()), num_mapped=4, num_shared=2, donate=(1,)),
        close_line=MemberMap(population.close_line, num_mapped=4, donate=(0, 2)),
        draw_scored=draws("evaluate", config.evaluate.samples, evaluation_labels(config, dataset)),
        draw_shown=draws("sample", shown, row_classes(shown, gan.num_classes) if gan.num_classes else None),
        judge=_judge(config, gan, dataset),
        measure=make_measure(config, dataset),
    )


def _judge(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[..., Population]:
    found = make_player_inputs(config, gan, dataset)
    if found is None:
        return lambda states, samples: [{}] * len(samples)
    mapped, others = MemberMap(found[0], num_mapped=2, num_shared=1, side_by_side=False), replicate(found[1])
    return lambda states, samples: mapped(states, samples, others)


def shapes_of(gan: Gan, dataset: Dataset) -> TrainingSet:
    """The training set as the step takes it, without its numbers."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), training_set(gan, dataset))


def dataset_of(config: ConfigDict) -> Dataset:
    """The data of a configuration, read once."""
    key = config.data.to_json()
    if key not in _datasets:
        _datasets[key] = data.load(config.data)
    return _datasets[key]


def start_members(about: Program, configs: list[ConfigDict]) -> tuple[Population, Population]:
    """The traced numbers of new members, and the members at step 0."""
    n = len(configs)
    hparams = shard(population.stacked(configs), n)
    return hparams, about.start(hparams, shard(zero_sums(about, n), n))


def zero_sums(about: Program, members: int) -> dict[str, np.ndarray]:
    """The sums of no steps: {metric: [members]}."""
    return {name: np.zeros((members, *zero.shape), zero.dtype) for name, zero in about.sums.items()}
