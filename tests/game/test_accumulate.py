"""Gradient accumulation: microbatches give the update of the whole minibatch, up to rounding, if losses are means."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.algorithm1 import train_step
from jaxgan.augment.ada import Ada, AdaState
from jaxgan.conditions import UNCONDITIONAL
from jaxgan.config import default, update, validate
from jaxgan.errors import UserError
from jaxgan.game.batches import Batch
from jaxgan.game.build import build
from jaxgan.game.gan import AUGMENT
from jaxgan.game.step import accumulate_gradients
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from tests.helpers import zoo_games as zoo

pytestmark = pytest.mark.slow

COMMON = zoo.SGD | {"train.batch_size": 12, "generator.ema.gamma": ()}
SPECTRAL = zoo.family("mlp", "dcgan") | {"discriminator.widths": (3,), "discriminator.norm": "spectral"}
# What is a mean over examples or pairs, and the state that moves once per update.
GAMES = {
    "terms": zoo.family("mlp", "mlp") | {
        "objective.loss": "relativistic",
        "objective.penalties.r1": 0.5,
        "objective.consistency.real": 1.0,
        "objective.latent.generator": 0.5,
        "augment.name": "ada",
        "augment.sets": ("color",),
    },
    "lazy": SPECTRAL | {
        "train.d_steps": 2, "objective.penalty_every": 2, "objective.penalties.r2": 0.5, "train.g_batch_size": 24
    },
}  # fmt: skip
QUICK, *SLOW = GAMES


@pytest.mark.parametrize("name", [QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_parts_of_a_minibatch_make_the_update_of_the_whole(name, monkeypatch):
    monkeypatch.setattr(Ada, "NEEDS_SIGN", False)  # here it may steer by anything
    games = [zoo.game("parts", COMMON | GAMES[name] | {"train.accumulate": parts}) for parts in (1, 3)]
    start = zoo.compiled(games[0].gan.init)(games[0].hparams)
    if name == "terms":  # ADA's p moves in the first step
        moved = AdaState(jnp.float32(0.5), jnp.float32(0.3), jnp.uint32(3))
        stats = start.discriminator.stats | {AUGMENT: moved}
        start = start._replace(discriminator=start.discriminator._replace(stats=stats))
    found = []
    for game in games:
        step = zoo.compiled(lambda h, s, game=game: train_step(gan=game.gan, hparams=h, state=s, data=game.data))
        found.append(step(game.hparams, start))
    assert found[0][1].keys() == found[1][1].keys()
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *found)
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, found), strict=True))  # other sums, rounded apart


def test_parts_are_consecutive_examples():
    def function(part):
        assert part.x.shape == (2, 3) and part.condition == UNCONDITIONAL
        return {"mean": jnp.mean(part.x), "count": part.count.astype(jnp.float32)}, jnp.max(part.x), part.x[:, 0]

    x = jnp.arange(18.0).reshape(6, 3)
    means, last, each = accumulate_gradients(3, function, Batch(x, UNCONDITIONAL, (), jnp.uint32(7)))
    assert means["mean"] == 8.5 and means["count"] == 7 and last == 17
    np.testing.assert_array_equal(each, x[:, 0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.batch_size": 9}, "accumulate=2 parts do not divide train.batch_size=9"),
        ({"train.g_batch_size": 9}, "accumulate=2 parts do not divide train.g_batch_size=9"),
        ({"train.batch_size": 6, "discriminator.packing": 2}, r"in packs of 2\); make it a multiple of 4"),
        ({"train.accumulate": 0}, "train.accumulate must be above 0"),
        ({"objective.loss": "relativistic_average"}, "coupled by objective.loss=relativistic_average; set"),
        ({"objective.penalties.dragan": 1.0}, "coupled by objective.penalties.dragan; set"),
        ({"objective.top_k": 0.5}, "coupled by objective.top_k; set"),
        ({"objective.lecam.weight": 0.1}, "coupled by objective.lecam; set"),
    ],
)
def test_what_needs_the_whole_minibatch_is_refused(changes, words):
    with pytest.raises(UserError, match=words):
        validate(update(default(), {"train.batch_size": 8, "train.accumulate": 2} | changes))


def test_batch_statistics_need_the_whole_minibatch():
    for player in ("generator", "discriminator"):
        config = update(default(), {f"{player}.name": "dcgan", "generator.output": "linear", "train.accumulate": 2})
        with pytest.raises(UserError, match=f"coupled by the batch normalization of {player}.name=dcgan"):
            build(config, DataSpec((8, 8, 1)), 100)


def test_coupled_examples_are_reported():
    """Number 0 of a loss or a penalty that couples examples is another one without the others, of the rest the same."""
    D = lambda x: jnp.sum(x**3, axis=1)  # noqa: E731

    def first(n: int) -> dict[str, jax.Array]:
        r, f = jnp.asarray([0.3, -0.2, 1.0])[:n], jnp.asarray([0.5, 0.1, -0.4])[:n]
        x, keys = jnp.arange(6.0).reshape(3, 2)[:n] / 5, jax.random.split(jax.random.key(0), 3)[:n]
        numbers = {name: loss.discriminator(r, f)[0] for name, loss in LOSSES.items()}
        return numbers | {name: penalty(D, x, jnp.ones((n, 2)), keys)[0] for name, penalty in PENALTIES.items()}

    together, alone = (zoo.compiled(lambda n=n: first(n))() for n in (3, 1))
    found = {name for name in together if abs(together[name] - alone[name]) > 1e-4}
    assert found == {name for table in (LOSSES, PENALTIES) for name, member in table.items() if member.couples_examples}
