"""Parts that do not go together are refused with a sentence before training; everything else may be combined."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.config import default, update, validate
from jaxgan.errors import UserError
from jaxgan.gan import build
from jaxgan.networks.layers import DataSpec, output_bias

GREY = DataSpec((8, 8, 1), 0, (0.0, 1.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.update": "extragradient", "objective.penalty_every": 2}, "set objective.penalty_every=1"),
        ({"train.update": "consensus", "train.d_steps": 2}, "makes one step of each player"),
        ({"train.update": "symplectic", "train.g_batch_size": 32}, "gives both players one minibatch"),
        (
            {"train.update": "symplectic_aligned", "objective.adjustment": -0.5},
            "objective.adjustment must be 0 or more",
        ),
        ({"augment.name": "ada", "objective.loss": "relativistic"}, "take augment.name=ada_schedule"),
        ({"augment.name": "ada", "objective.loss": "least_squares"}, "take augment.name=ada_schedule"),
        ({"augment.name": "ada", "discriminator.packing": 2}, "makes them fewer"),
        ({"discriminator.packing": 2, "objective.penalties.r1": 1.0}, "takes no classes and no penalties"),
        ({"discriminator.packing": 3}, "does not divide train.batch_size=64"),
        ({"generator.ema.gamma": (1.0, 1.0)}, "names an average twice"),
        ({"objective.lecam.decay": 1.0}, "below 1 for a decay"),
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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective.penalties.r1": 1.0}, "this D couples them"),
        ({"discriminator.widths": ()}, "widths needs one number or more"),
        ({"discriminator.minibatch_deviation": -1}, "must be 0 or more"),
    ],
)
def test_networks_that_are_refused(changes, words):
    networks = {"generator.output": "linear", "discriminator.name": "dcgan"}
    with pytest.raises(UserError, match=words):
        build(update(default(), networks | changes), GREY, 100)


def test_ada_goes_with_losses_whose_logit_has_a_sign():
    for loss in ("non_saturating", "hinge", "f_js"):
        validate(update(default(), {"augment.name": "ada", "objective.loss": loss}))


@pytest.mark.parametrize(("output", "draw"), [("sigmoid", lambda b: 1 / (1 + np.exp(-b))), ("tanh", np.tanh)])
def test_g_starts_at_the_mean_whatever_its_output(output, draw):
    mean = np.array([0.0, 0.25, 0.9]) if output == "sigmoid" else np.array([-1.0, -0.5, 0.8])
    start = draw(output_bias(mean, output, 3).astype(np.float64))
    np.testing.assert_allclose(start, mean, atol=3e-7)
    assert jnp.isfinite(output_bias(mean, output, 3)).all()
