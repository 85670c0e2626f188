"""Iterations of every update of both players, with every term of the losses, against tests/helpers/written_out.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.algorithm1 import train_step
from jaxgan.config import default, update, validate
from jaxgan.config.hparams import traced
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build
from jaxgan.networks.layers import DataSpec
from tests.helpers.written_out import CLASSES, SHAPE, Snapshot, X, Y, play, snapshot
from tests.helpers.zoo_games import compiled

pytestmark = pytest.mark.slow

BOTH = ("generator", "discriminator")
BASE = {
    "prior.size": 3,
    "generator.hidden": (4,), "generator.activations": ("tanh",), "generator.output": "linear",
    "generator.irange": 1.0, "generator.output_irange": 0.5,
    "discriminator.hidden": (5,), "discriminator.activation": "tanh", "discriminator.irange": 0.5,
    "train.batch_size": 4,
}  # fmt: skip
SGD = {f"optimizer.{player}.name": "sgd" for player in BOTH} | {
    "optimizer.generator.learning_rate": 0.3, "optimizer.discriminator.learning_rate": 0.1,
    "optimizer.generator.momentum": 0.3, "optimizer.discriminator.momentum": 0.6,
}  # fmt: skip
ADAM = {
    f"optimizer.{player}.{field}": value
    for player in BOTH
    # A large eps: a gradient's rounding does not decide the sign of a step.
    for field, value in {"name": "adam", "learning_rate": 0.05, "b1": 0.5, "b2": 0.8, "eps": 0.02}.items()
}
LABELS, RELATIVISTIC, SPECTRAL = {"conditional": "label"}, {"objective.loss": "relativistic"}, {
    "discriminator.norm": "spectral",
}  # fmt: skip
R1, R2 = {"objective.penalties.r1": 2.0}, {"objective.penalties.r2": 3.0}
LINE = {"name": "linear", "start": 1.0, "steps": 6.0, "final": 0.25}
EXTRAGRADIENT, SIMULTANEOUS = {"train.update": "extragradient"}, {"train.update": "simultaneous"}
LOGAN = {"objective.latent_optimization.rate": 2.0, "objective.latent_optimization.damping": 0.4}
UNROLLED = {"train.update": "unrolled", "train.unrolled_steps": 3, "objective.loss": "minimax"}
AVERAGES = {"generator.ema.gamma": (1.0, 3.0), "generator.ema.half_life": (20.0,)}

CASES = {
    "k=3": ({"train.d_steps": 3} | LABELS, 3),
    "scales": ({"objective.d_scale": 0.4, "prior.scale": 1.7, "seed": 3}, 2),
    "lazy": ({"train.d_steps": 2, "objective.penalty_every": 3} | R1 | R2, 4),
    "lazy, scheduled": (
        {"objective.penalty_every": 2} | R1 | {f"objective.penalty_schedule.{n}": v for n, v in LINE.items()}, 4),
    "lazy, simultaneous": ({"objective.penalty_every": 2} | R1 | SIMULTANEOUS, 3),
    "sizes": ({"train.g_batch_size": 6} | LABELS | AVERAGES, 3),
    "sizes, G reads data": ({"train.g_batch_size": 2, "train.d_steps": 2} | RELATIVISTIC | {"train.batch_size": 2}, 3),
    "simultaneous": (SIMULTANEOUS | RELATIVISTIC | LABELS, 3),
    "extragradient": (EXTRAGRADIENT | R1 | R2 | AVERAGES, 3),
    "extragradient, classes": (EXTRAGRADIENT | LABELS | {"train.g_batch_size": 2}, 3),
    "extragradient, G reads data": (EXTRAGRADIENT | RELATIVISTIC, 2),
    "ExtraAdam": (EXTRAGRADIENT | ADAM, 3),
    "optimistic": (SIMULTANEOUS | ADAM | {f"optimizer.{player}.optimistic": True for player in BOTH}, 4),
    "schedules": (
        ADAM | {f"optimizer.generator.schedule.{n}": v for n, v in LINE.items()}
        | {f"optimizer.discriminator.b2_schedule.{n}": v for n, v in LINE.items()} | {"train.d_steps": 2}, 3),
    "clipped": ({f"optimizer.{player}.clip": 0.3 for player in BOTH}, 2),
    "consensus": ({"train.update": "consensus", "objective.adjustment": 0.3} | R1 | LABELS, 2),
    "symplectic": ({"train.update": "symplectic", "objective.adjustment": 0.6} | R2, 2),
    "LOGAN": (LOGAN | LABELS | {"objective.latent_optimization.share": 0.6, "prior.scale": 1.3}, 3),
    "LOGAN, uniform": (LOGAN | R1 | RELATIVISTIC | {"prior.name": "uniform", "discriminator.norm": "spectral"}, 2),
    "LOGAN, step constant": (LOGAN | {"objective.latent_optimization.differentiate": False}, 2),
    "unrolled": (UNROLLED | R1 | LABELS | {"objective.penalty_every": 2}, 3),
    "unrolled, Adam": (UNROLLED | ADAM | SPECTRAL | {"train.unrolled_steps": 2}, 3),
    "unrolled, LOGAN": (UNROLLED | LOGAN | {"train.unrolled_steps": 1}, 2),
    "unrolled, steps constant": (UNROLLED | RELATIVISTIC | {"train.unrolled_gradient": False}, 2),
    "lookahead": ({"train.lookahead": 2, "train.lookahead_rate": 0.3} | AVERAGES, 5),
    "LeCam": (
        {"objective.lecam.weight": 0.7, "objective.lecam.start": 2.0, "objective.lecam.decay": 0.6,
         "train.d_steps": 2}, 4),
    "LeCam, extragradient": (
        {"objective.lecam.weight": 0.7, "objective.lecam.start": 1.0, "objective.lecam.decay": 0.6} | EXTRAGRADIENT, 3),
    "consistency": ({"objective.consistency.real": 3.0, "objective.consistency.fake": 0.8} | LABELS, 2),
    "zCR": (
        {"objective.latent.discriminator": 5.0, "objective.latent.generator": 0.5, "objective.latent.radius": 0.4}
        | LABELS, 2),
    "classifier": (
        {"objective.auxiliary.real": 1.0, "objective.auxiliary.fake": 0.4, "objective.auxiliary.generator": 2.0}
        | LABELS, 3),
    "packs": ({"discriminator.packing": 2} | R1 | R2, 2),
    "top k": ({"objective.top_k": 0.5}, 3),
    "parts": ({"train.accumulate": 2} | R1 | LABELS, 2),
    "spectral": (SPECTRAL | {"train.d_steps": 2} | R1 | R2, 3),
    "spectral, terms": (
        SPECTRAL | {"objective.latent.discriminator": 5.0, "objective.consistency.real": 3.0,
                    "objective.consistency.fake": 3.0, "objective.lecam.weight": 0.5, "objective.lecam.start": 0.0}, 3),
    "spectral, simultaneous": (SPECTRAL | SIMULTANEOUS | RELATIVISTIC, 3),
    "spectral, extragradient": (SPECTRAL | EXTRAGRADIENT | R1, 2),
    "spectral, consensus": (SPECTRAL | {"train.update": "consensus", "objective.adjustment": 0.3}, 2),
}  # fmt: skip


def game(changes: dict):
    """The configuration, the game on the data of written_out.py, its traced numbers and its initial state."""
    config = update(default(), BASE | (changes if "optimizer.generator.name" in changes else SGD | changes))
    validate(config)
    told = config.conditional == "label"
    spec = DataSpec(SHAPE, CLASSES if told else 0, (0.0, 1.0), X.mean(axis=0) / 255)
    gan, hparams = build(config, spec, len(X), label_classes=CLASSES), traced(config)
    return config, gan, hparams, compiled(gan.init)(hparams)


def trained(gan, hparams, state, steps: int) -> list[Snapshot]:
    """What the package's own iterations lead to."""
    data = TrainingSet(jnp.asarray(X), jnp.asarray(Y))
    one = compiled(lambda hparams, state: train_step(gan=gan, hparams=hparams, state=state, data=data))
    found = []
    for _ in range(steps):
        state, metrics = one(hparams, state)
        found.append(snapshot(state, metrics))
    return found


@pytest.mark.parametrize("name", CASES)
def test_iterations_written_out(name):
    changes, steps = CASES[name]
    config, gan, hparams, state = game(changes)
    compare(trained(gan, hparams, state, steps), play(config, state, steps))


def test_after_a_divergence_all_streams_are_others():
    """Data of both players, classes and noise, after two returns to a checkpoint."""
    config, gan, hparams, state = game(LABELS | RELATIVISTIC)
    state = state._replace(restores=jnp.uint32(2))
    compare(trained(gan, hparams, state, 2), play(config, state, 2, restores=2))


def compare(found: list[Snapshot], expected: list[Snapshot]) -> None:
    for s, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        assert set(theirs.metrics) <= set(ours.metrics)
        ours = ours._replace(metrics={key: ours.metrics[key] for key in theirs.metrics})
        jax.tree.map_with_path(
            lambda path, a, b, s=s: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6, err_msg=f"{s} {path}"),
            ours, theirs,
        )  # fmt: skip


def test_the_players_begin_from_different_numbers():
    """Two first layers of one shape and range would else be the same matrix."""
    *_, state = game({"prior.size": 64, "generator.hidden": (5,), "generator.irange": 0.5})
    g, d = (np.asarray(player.params["Dense_0"]["kernel"]) for player in (state.generator, state.discriminator))
    assert g.shape == d.shape == (64, 5) and abs(np.corrcoef(g.ravel(), d.ravel())[0, 1]) < 0.3
