"""The auxiliary classifier (arXiv:1610.09585): D predicts the class that G is conditioned on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.conditions import Condition
from jaxgan.config import default, update, validate
from jaxgan.errors import UserError
from jaxgan.game.batches import Batch
from jaxgan.game.build import build
from jaxgan.game.step import discriminator_step, generator_step
from jaxgan.networks import DISCRIMINATORS
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.terms.auxiliary import class_error
from tests.conftest import IMAGES, LABELS
from tests.helpers import zoo_games as zoo

pytestmark = pytest.mark.slow

WEIGHTS = {"objective.auxiliary.real": 1.0, "objective.auxiliary.fake": 0.5, "objective.auxiliary.generator": 0.25}


def test_class_errors_as_in_tf_gan():
    """The numbers of its ACGANLossTest: G 3.84974, D (fakes and data) 9.43950."""
    fake = jnp.float32([[10, 4.4, -5.5, 3.6], [-4, 4.4, 5.2, 4.6], [1.1, 2.4, -3.5, 5.6], [1.1, 2.4, -3.5, 5.6]])
    real = jnp.float32([[-2, 0.4, 12.5, 2.7], [-1.2, 1.9, 12.3, 2.6], [-2.4, -1.7, 2.5, 2.7], [1.1, 2.4, -3.5, 5.6]])
    y = jnp.int32([1, 2, 0, 0])
    of_fake, of_real = (float(jnp.mean(class_error(logits, y))) for logits in (fake, real))
    assert of_fake == pytest.approx(3.84974, abs=1e-5)
    assert of_fake + of_real == pytest.approx(9.43950, abs=1e-5)
    np.testing.assert_allclose(class_error(jnp.zeros((1, 4)), y[:1]), np.log(4), rtol=1e-6)
    assert class_error(jnp.float32([[1e30, 0.0]]), y[:1]) == pytest.approx(1e30)  # finite where D is sure and wrong


def test_both_steps_against_the_paper_written_out(game):
    """Gradients and SGD from gan.D's outputs with jax.grad alone; penalties are of D's own logit."""
    changes = {"conditional": "label", "objective.penalties.r1": 0.3, "discriminator.irange": 0.3}
    gan, _, state, _ = g = game(**zoo.SGD, **changes, **WEIGHTS)
    theta_g, theta_d = state.generator.params, state.discriminator.params
    x, y, noise = gan.decode(jnp.asarray(IMAGES[: gan.batch_size])), jnp.asarray(LABELS[: gan.batch_size]), g.noise()
    outputs = lambda theta, x: gan.D(theta, {}, x)[0]  # noqa: E731
    draw = lambda theta: gan.G(theta, {}, noise.z, Condition(label=y))[0]  # noqa: E731
    error = lambda logits: -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(gan.batch_size), y])  # noqa: E731

    def d_parts(theta):
        real, fake = outputs(theta, x), outputs(theta, draw(theta_g))
        loss = jnp.mean(jax.nn.softplus(-real.logits) + jax.nn.softplus(fake.logits))
        return loss, error(real.classes), 0.5 * error(fake.classes)

    def d_total(theta):
        slope = jax.grad(lambda x: jnp.sum(outputs(theta, x).logits))(x)
        return sum(d_parts(theta)) + 0.3 / 2 * jnp.mean(jnp.sum(jnp.square(slope), axis=(1, 2, 3)))

    def g_total(theta):
        fake = outputs(theta_d, draw(theta))
        return jnp.mean(jax.nn.softplus(-fake.logits)) + 0.25 * error(fake.classes)

    common = g.frame, state.generator, state.discriminator, Batch(x, Condition(label=y), noise)
    (d, d_metrics), (g_, g_metrics) = zoo.compiled(lambda: (discriminator_step(*common), generator_step(*common)))()
    for found, theta, total in ((d.params, theta_d, d_total), (g_.params, theta_g, g_total)):
        expected = jax.tree.map(lambda p, slope: p - 0.05 * slope, theta, zoo.compiled(jax.grad(total))(theta))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected)
    names = ("d_loss", "class_error_real", "class_error_fake")
    np.testing.assert_allclose([d_metrics[name] for name in names], zoo.compiled(d_parts)(theta_d), rtol=1e-5)
    asked = zoo.compiled(lambda: 0.25 * error(outputs(theta_d, draw(theta_g)).classes))()
    assert g_metrics["class_error_generator"] == pytest.approx(float(asked), rel=1e-5)


def test_d_is_not_conditioned_on_the_class_it_predicts(game):
    gan, _, state, _ = game(conditional="label", **WEIGHTS)
    theta = jax.tree.map(lambda p: p + 0.1, state.discriminator.params)
    x = gan.decode(jnp.asarray(IMAGES[:3]))
    told = [gan.D(theta, {}, x, Condition(label=jnp.full(3, label, jnp.int32)))[0] for label in (0, 4)]
    jax.tree.map(np.testing.assert_array_equal, *told)
    assert (told[0].logits.shape, told[0].classes.shape) == ((3,), (3, 5))


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_families_can_predict_classes(name):
    """All but those whose outputs are logits alone, which are refused."""
    fields = zoo.family("mlp", name) | WEIGHTS | {"conditional": "label"}
    config = update(default(), fields)
    if name in ("toy", "patch"):
        with pytest.raises(UserError, match=rf"discriminator\.name={name} has no auxiliary classifier"):
            build(config, DataSpec(zoo.SHAPE, 3, (0.0, 1.0)), 100)
        return
    gan = build(config, DataSpec(zoo.SHAPE, 3, (0.0, 1.0)), 100)
    assert gan.num_aux_classes == 3
    state = jax.eval_shape(gan.init, zoo.traced(config))
    D, x = state.discriminator, jax.ShapeDtypeStruct((4, *zoo.SHAPE), jnp.float32)
    output, _ = jax.eval_shape(gan.D, D.params, D.stats, x)
    assert (output.logits.shape, output.classes.shape, output.features) == ((4,), (4, 3), None)


def test_it_needs_classes():
    with pytest.raises(UserError, match="needs a class-conditional G"):
        validate(update(default(), WEIGHTS))
    with pytest.raises(UserError, match=r"auxiliary\.real must be 0 or more"):
        validate(update(default(), {"objective.auxiliary.real": -1.0}))
