"""The data, the game and the compiled functions that a group of members shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data
from jaxgan.algorithm1 import zero_metrics
from jaxgan.conditions import Condition
from jaxgan.config import update
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import make_measure
from jaxgan.evaluation.players import make_player_inputs
from jaxgan.evaluation.samples import evaluation_condition, sample_stream
from jaxgan.game.batches import TrainingSet, stored_examples
from jaxgan.game.build import build_for, data_spec
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, run_stream
from jaxgan.metrics import METRICS
from jaxgan.metrics.protocol import CLASS_INPUTS, DRAW_INPUTS, ENCODER_INPUTS
from jaxgan.run import warm_start, workdir
from jaxgan.run.grids import grid_rows, picture_condition
from jaxgan.sweep import population
from jaxgan.sweep.devices import MemberMap, Population, is_sequential, replicate, shard
from jaxgan.sweep.plan import Trial, program_key, setting_in_errors
from jaxgan.sweep.population import Member

POINTS, IMAGES = 1000, 100  # samples per member for the report, of mixtures and of images


class Program(NamedTuple):
    """Functions of populations (`devices.py`), compiled on first use."""

    dataset: Dataset
    gan: Gan
    metadata: dict[str, Any]  # of run.json, without the checkpoint a member was initialized from
    sums: dict[str, np.ndarray]  # zeros, for one member
    init: MemberMap  # (hparams, sums) -> Member
    resume: MemberMap  # (state, sums) -> Member
    run_steps: MemberMap  # (hparams, state, sums, alive, TrainingSet, n) -> (state, sums)
    end_log_interval: MemberMap  # (state, sums, kept, alive) -> fields of Member
    sample_for_evaluation: MemberMap  # (hparams, state) -> samples
    sample_for_report: MemberMap  # (hparams, state) -> samples
    discriminator_stats: Callable[..., Population]  # (state, samples) -> inputs of the metrics of the players
    measure: Callable[..., dict[str, float]]  # (samples, None, discriminator stats) of one member -> scores


_programs: dict[str, Program] = {}
_datasets: dict[str, Dataset] = {}


def get_program(trial: Trial) -> Program:
    """The program of `trial` and all trials that differ from it in traced hyperparameters only; cached.

    Raises:
      UserError: the data cannot be read, or the setting does not fit them; names the setting.
    """
    key = program_key(trial)
    if key not in _programs:
        with setting_in_errors(trial.setting):
            _programs[key] = _build(trial.config)
    return _programs[key]


def _build(config: ConfigDict) -> Program:
    dataset = dataset_of(config)
    gan = build_for(config, dataset)
    others = {*DRAW_INPUTS, *ENCODER_INPUTS, *CLASS_INPUTS}
    if drawn := [name for name in config.evaluate.metrics if others & {*METRICS[name].needs}]:
        raise UserError(
            f"evaluate.metrics={drawn[0]} evaluates the players at inputs that sweeps do not compute; leave it out, "
            f"and run --mode=evaluate on the members."
        )
    num_report = IMAGES if len(dataset.shape) == 3 else POINTS
    report_rows = grid_rows(num_report, gan.num_classes)
    source = warm_start.source_checkpoint(config)

    def init(hparams: HParams, sums: population.Sums) -> Member:
        return population.init_member(warm_start.initialize(config, gan.init(hparams), source), sums)

    def make_sample(stream: str, count: int, condition: Callable[[HParams], Condition | None]) -> MemberMap:
        def sample(hparams: HParams, state: GanState) -> jax.Array:
            key = run_stream(hparams, stream)
            return sample_stream(gan, hparams, state, key, count, condition=condition(hparams))

        return MemberMap(sample, num_mapped=2, side_by_side=False)

    hparams = traced(config)
    zeros = zero_metrics(gan, hparams, jax.eval_shape(gan.init, hparams), data_shapes(gan, dataset))
    return Program(
        dataset=dataset,
        gan=gan,
        metadata=workdir.run_metadata(config, dataset, data_spec(config, dataset)) | {"resident": True},
        sums={name: np.asarray(zero) for name, zero in zeros.items()},
        init=MemberMap(init, num_mapped=2),
        resume=MemberMap(population.init_member, num_mapped=2),
        run_steps=MemberMap(
            population.make_run_steps(gan, skip_dead=is_sequential()), num_mapped=4, num_shared=2, donate=(1,)
        ),
        end_log_interval=MemberMap(population.end_log_interval, num_mapped=4, donate=(0, 2)),
        sample_for_evaluation=make_sample(
            "evaluate", config.evaluate.samples, lambda hparams: evaluation_condition(config, gan, hparams, dataset)
        ),
        sample_for_report=make_sample(
            "sample",
            num_report,
            lambda hparams: picture_condition(gan, hparams, dataset, num_report, report_rows),
        ),
        discriminator_stats=_discriminator_stats(config, gan, dataset),
        measure=make_measure(config, dataset),
    )


def _discriminator_stats(config: ConfigDict, gan: Gan, dataset: Dataset) -> Callable[..., Population]:
    needed = make_player_inputs(config, gan, dataset)
    if needed is None:
        return lambda states, samples: [{}] * len(samples)
    function, shared = needed
    mapped, shared = MemberMap(function, num_mapped=2, num_shared=1, side_by_side=False), replicate(shared)
    return lambda states, samples: mapped(states, samples, shared)


def data_shapes(gan: Gan, dataset: Dataset) -> TrainingSet:
    """Shapes and dtypes of the training set that the step takes."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), stored_examples(gan, dataset))


def dataset_of(config: ConfigDict) -> Dataset:
    """The data set of a configuration; cached."""
    key = config.data.to_json()
    if key not in _datasets:
        _datasets[key] = data.load(update(config, {"data.resident": "true"}).data)
    return _datasets[key]


def init_members(program: Program, configs: list[ConfigDict]) -> tuple[Population, Population]:
    """The traced hyperparameters of new members, and the members at step 0."""
    n = len(configs)
    hparams = shard(population.stack_hparams(configs), n)
    return hparams, program.init(hparams, shard(zero_sums(program, n), n))


def zero_sums(program: Program, members: int) -> dict[str, np.ndarray]:
    """Zero metric sums: {metric: [members]}."""
    return {name: np.zeros((members, *zero.shape), zero.dtype) for name, zero in program.sums.items()}
