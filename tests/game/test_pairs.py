"""Every loss goes with every penalty and family; parts that do not go together are refused before training."""

import itertools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import algorithm1
from jaxgan.config import default, update, validate
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.fields import fields_of
from jaxgan.game.build import build, build_for
from jaxgan.game.state import all_finite
from jaxgan.networks import DISCRIMINATORS
from jaxgan.networks.layers import DataSpec, output_bias
from jaxgan.networks.norms import BatchNorm
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from tests.helpers import zoo_games as zoo

GREY = DataSpec((10, 10, 1), 0, (0.0, 1.0))
NONE = "no penalty"


def games(pair: tuple[str, str]) -> list[tuple[zoo.Game, tuple[str, ...]]]:
    """Games of a family with any loss, and what penalties each can have.

    A D that by default has batch statistics can have none, and has them with spectral normalization.
    """
    rates = {f"optimizer.{player}.learning_rate": 1e-4 for player in ("generator", "discriminator")}
    fields, norms = zoo.family(*pair) | rates, {"discriminator.norm": "spectral"}
    if fields_of(DISCRIMINATORS[pair[1]]).get("norm") != "batch":
        return [(zoo.any_loss(fields, PENALTIES), (NONE, *PENALTIES))]
    return [(zoo.any_loss(fields), (NONE,)), (zoo.any_loss(fields | norms, PENALTIES), tuple(PENALTIES))]


def step_of_each(one: zoo.Game, pairs: list[tuple[str, str]]) -> dict[str, np.ndarray]:
    """A step with each pair of loss and penalty, in one program: what came out is finite; who moved."""
    gan, losses = one.gan, list(LOSSES)
    weights = [key for key in one.hparams if key.startswith(zoo.WEIGHTS)]
    varied = {key: np.float32([key == f"{zoo.WEIGHTS}{penalty}" for _, penalty in pairs]) for key in weights}
    varied["objective.which"] = np.array([losses.index(loss) for loss, _ in pairs], np.int32)

    def step(before, numbers):
        after, metrics = algorithm1.train_step(gan=gan, hparams=one.hparams | numbers, state=before, data=one.data)

        def moved(player):
            old, new = (jax.tree.leaves(getattr(state, player).params) for state in (before, after))
            return jnp.any(jnp.stack([jnp.any(a != b) for a, b in zip(old, new, strict=True)]))

        return {
            "finite": all_finite((after, metrics)),
            "G moved": moved("generator"),
            "D moved": moved("discriminator"),
        }

    return zoo.compiled(lambda varied: jax.lax.map(partial(step, gan.init(one.hparams)), varied))(varied)


# Of every family in minutes, of the simplest one in seconds.
MARKS = {("toy", "toy"): (), ("mlp", "mlp"): pytest.mark.slow, ("dcgan", "dcgan"): pytest.mark.slow}
PAIRS = [pytest.param(pair, marks=MARKS.get(pair, pytest.mark.exhaustive)) for pair in zoo.families()]


@pytest.mark.parametrize("pair", PAIRS, ids=" ".join)
def test_every_loss_goes_with_every_penalty_and_family(pair):
    for one, penalties in games(pair):
        pairs = list(itertools.product(LOSSES, penalties))
        for what, true in step_of_each(one, pairs).items():
            assert [names for names, yes in zip(pairs, true, strict=True) if not yes] == [], what


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.update": "extragradient", "objective.penalty_every": 2}, "set it to 1"),
        ({"train.update": "consensus", "train.d_steps": 2}, "makes one step of each player"),
        ({"train.update": "symplectic", "train.g_batch_size": 32}, "gives both players one minibatch"),
        (
            {"train.update": "symplectic_aligned", "objective.adjustment": -0.5},
            "objective.adjustment must be 0 or more",
        ),
        ({"augment.name": "ada", "objective.loss": "relativistic"}, "take augment.name=ada_schedule"),
        ({"augment.name": "ada", "objective.loss": "least_squares"}, "take augment.name=ada_schedule"),
        ({"augment.name": "ada", "discriminator.packing": 2}, "makes them fewer"),
        ({"discriminator.packing": 2, "conditional": "label"}, "of several classes, but a network takes one"),
        (
            {"discriminator.name": "dcgan", "discriminator.minibatch_deviation": -1},
            "discriminator.minibatch_deviation must be 0 or more",
        ),
        ({"discriminator.packing": 3}, "does not divide train.batch_size=64"),
        ({"train.update": "simultaneous", "train.d_steps": 2}, "must be 1, not 2"),
        ({"train.update": "simultaneous", "train.g_batch_size": 32}, "set train.g_batch_size=0"),
        ({"objective.penalties.r1": -1.0}, "penalties.r1 must be 0 or more, not -1.0"),
        ({"generator.ema.gamma": (1.0, 1.0)}, "names an average twice"),
        ({"objective.lecam.decay": 1.0}, "lecam.decay must be in \\[0, 1\\)"),
        ({"train.update": "extragradient", "train.steps": 2**26}, "stay below"),
        (
            {"optimizer.generator.schedule.name": "cosine", "optimizer.generator.schedule.final": -1.0},
            "final must be 0",
        ),
    ],
)
def test_pairs_that_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        validate(update(default(), changes))


BATCH_NORM = {"generator.output": "linear", "discriminator.name": "dcgan"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (BATCH_NORM | {"objective.penalties.r1": 1.0}, "couples its examples by batch"),
        (BATCH_NORM | {"discriminator.widths": ()}, "widths needs one number or more"),
        (BATCH_NORM | {"train.batch_size": 1}, "statistics over a minibatch, which is 1 at train.batch_size=1"),
        (BATCH_NORM | {"train.batch_size": 4, "discriminator.packing": 4}, "which is 1 at train.batch_size=4"),
        ({"generator.name": "dcgan", "generator.output": "sigmoid", "train.g_batch_size": 1}, "generator.name=dcgan"),
        ({"generator.name": "dcgan", "generator.output": "tanh"}, r"these data are in \[0, 1\]"),
        ({"generator.name": "dcgan", "generator.output": "linear", "generator.norm": "conditional_batch"}, "classes"),
        ({"generator.name": "r3gan"}, "whose side is a multiple of 8, not 10x10"),
        ({"discriminator.name": "r3gan"}, "whose side is a multiple of 8, not 10x10"),
        ({"generator.name": "maxout_conv"}, "generates images of 32x32 pixels, but the data have shape"),
    ],
)
def test_networks_that_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        build(update(default(), changes), GREY, 100)


class Standardized(nn.Module):
    """A D with batch normalization that no field speaks of."""

    data: DataSpec | None = None

    @nn.compact
    def __call__(self, x, y=None, keys=None, *, axis_name=None):
        return nn.Dense(1)(BatchNorm()(nn.Dense(3)(x.reshape(len(x), -1)), axis_name=axis_name))[:, 0]


def test_batch_statistics_are_detected_whatever_the_field_is_called(monkeypatch):
    monkeypatch.setitem(DISCRIMINATORS, "standardized", Standardized)
    changes = {"generator.output": "linear", "discriminator.name": "standardized"}
    build(update(default(), changes), GREY, 100)
    for more, words in (({"objective.penalties.r1": 1.0}, "batch normalization"), ({"train.accumulate": 2}, "coupled")):
        with pytest.raises(UserError, match=f"{words}.*discriminator.name=standardized|=standardized.*{words}"):
            build(update(default(), changes | more), GREY, 100)


@pytest.mark.parametrize("name", ["dcgan", "sndcgan", "resnet", "r3gan", "maxout_conv"])
def test_convolutions_are_for_images(name):
    with pytest.raises(UserError, match="images"):
        build(update(default(), {"generator.output": "linear", "discriminator.name": name}), DataSpec((2,)), 100)


def test_conditioning_needs_labels():
    dataset = Dataset("npz:x.npz", *[np.zeros((4, 8, 8, 1), np.uint8)] * 3, None)
    with pytest.raises(UserError, match="conditional=label needs classes, but digits has no labels"):
        build_for(update(default(), {"conditional": "label", "train.batch_size": 2}), dataset)


def test_ada_goes_with_losses_whose_logit_has_a_sign():
    for loss in ("non_saturating", "hinge", "f_js"):
        validate(update(default(), {"augment.name": "ada", "objective.loss": loss}))


@pytest.mark.parametrize(("output", "draw"), [("sigmoid", lambda b: 1 / (1 + np.exp(-b))), ("tanh", np.tanh)])
def test_g_starts_at_the_mean_whatever_its_output(output, draw):
    mean = np.array([0.0, 0.25, 0.9]) if output == "sigmoid" else np.array([-1.0, -0.5, 0.8])
    start = draw(output_bias(mean, output, 3).astype(np.float64))
    np.testing.assert_allclose(start, mean, atol=3e-7)
    assert jnp.isfinite(output_bias(mean, output, 3)).all()
