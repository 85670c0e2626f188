"""Inference of z: latent regression where its answer is known, the game of pairs (x, z), a frozen G, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import softplus
from jax.scipy.special import ndtri

import jaxgan
from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.conditions import Condition
from jaxgan.config import validate
from jaxgan.errors import UserError
from jaxgan.game.batches import g_batch, iteration_source
from jaxgan.game.inference import exchanged
from jaxgan.game.step import generator_loss
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.terms import GTermInputs
from jaxgan.objectives.terms.regression import LatentRegression, joint_latent_regression, latent_regression
from jaxgan.train import train

ENCODER = {"encoder.name": "mlp", "encoder.hidden": (16,)}
REGRESSION = ENCODER | {"objective.regression.weight": 1.0}
JOINT = ENCODER | {"encoder.joint": True}


def value(E, z, fake, part=latent_regression):
    """A part of the term for this E."""
    nothing = dict.fromkeys(GTermInputs._fields)
    return part(LatentRegression(), GTermInputs(**nothing | {"E": E, "z": z, "fake": fake}))


# --- Latent regression ------------------------------------------------------------------------------------------------


def test_of_a_linear_g_least_squares_is_the_pseudo_inverse():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(5, 3))
    z = jnp.asarray(rng.normal(size=(400, 3)), jnp.float32)
    loss = lambda B: value(lambda x: x @ B, z, z @ jnp.asarray(A.T, jnp.float32))  # noqa: E731
    descend = lambda _, B: B - 0.15 * jax.grad(loss)(B)  # noqa: E731
    B = jax.jit(lambda B: jax.lax.fori_loop(0, 3000, descend, B))(jnp.zeros((5, 3)))
    np.testing.assert_allclose(B, np.linalg.pinv(A).T, atol=2e-4)  # from 0, the solution of least norm
    assert loss(jnp.zeros((5, 3))) == pytest.approx(float(jnp.mean(z**2)), rel=1e-5)  # 1 where nothing is known


def test_where_two_z_have_one_sample_regression_infers_neither():
    """G(z) = |z|: both z and -z give x, E(x) = 0 is optimal, and G(E(x)) = 0 is no reconstruction."""
    half = jnp.abs(jax.random.normal(jax.random.key(0), (200, 1)))
    z = jnp.concatenate([half, -half])
    features = lambda x: jnp.concatenate([x**k for k in range(5)], axis=1)  # noqa: E731
    loss = lambda w: value(lambda x: features(x) @ w, z, jnp.abs(z))  # noqa: E731
    np.testing.assert_allclose(jax.grad(loss)(jnp.zeros((5, 1))), np.zeros((5, 1)), atol=1e-5)
    assert loss(jnp.zeros((5, 1))) == pytest.approx(float(jnp.mean(z**2)), rel=1e-6)
    assert float(loss(jnp.zeros((5, 1)).at[1].set(1.0))) > 1.5  # E(x) = x is right for half of the z


def test_only_the_joint_part_moves_g():
    z, shift = jnp.ones((3, 2)), jnp.zeros((2,))
    for part, moves in ((latent_regression, False), (joint_latent_regression, True)):
        gradient = jax.grad(lambda s, part=part: value(lambda x: x, z, 2 * z + s[None], part))(shift)
        assert bool(jnp.any(gradient != 0)) == moves


def test_of_a_monotone_g_the_encoder_becomes_the_inverse(game):
    """By the step itself. Then E(x) = Phi^-1(F(x)) of the data, if their distribution is that of the samples."""
    g = game(**ENCODER | {"prior.size": 1, "objective.regression.weight": 1.0, "train.batch_size": 64,
                          "encoder.hidden": (32,), "encoder.activation": "tanh", "encoder.irange": 1.0,
                          "optimizer.generator.learning_rate": 0.02, "optimizer.generator.schedule.name": "cosine",
                          "optimizer.generator.schedule.steps": 1500.0})  # fmt: skip
    monotone = lambda z: jnp.sinh(z)[:, :, None, None] * jnp.ones((1, 4, 4, 1))  # noqa: E731
    gan = g.gan._replace(G=lambda theta, stats, z, *args, **kwargs: (monotone(z), stats))
    zeros = zero_metrics(gan, g.hparams, g.state, g.data)
    run = jax.jit(lambda s: accumulate_steps(gan, g.hparams, s, g.data, sums=zeros, n=jnp.uint32(1500))[0])
    theta = run(g.state).generator.params
    z = jnp.linspace(-1.8, 1.8, 41)[:, None]
    keys = jax.random.split(jax.random.key(0), 41)
    inferred = gan.E(g.hparams, theta, monotone(z), Condition(), keys)
    assert float(jnp.max(jnp.abs(inferred - z))) < 0.08
    F = jax.scipy.stats.norm.cdf(jnp.arcsinh(monotone(z)[:, 0, 0]))  # of the data, the law of sinh of a normal
    assert float(jnp.max(jnp.abs(inferred - ndtri(F)))) < 0.08


# --- The game of pairs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
def test_g_descends_ds_loss_with_its_arguments_exchanged(name):
    r, f = jnp.asarray([0.3, -2.0, 1.0]), jnp.asarray([1.5, 0.2, -0.7])
    loss = exchanged(LOSSES[name])
    assert loss.needs_real and loss.discriminator is LOSSES[name].discriminator
    np.testing.assert_array_equal(loss.generator(r, f), LOSSES[name].discriminator(f, r))
    if name == "non_saturating":  # the released code of ALI
        np.testing.assert_allclose(loss.generator(r, f), softplus(r) + softplus(-f), rtol=1e-6)
        np.testing.assert_allclose(loss.discriminator(r, f), softplus(-r) + softplus(f), rtol=1e-6)


def test_d_receives_data_with_inferred_z_and_samples_with_their_z(game):
    g = game(**JOINT | {"encoder.noise": 3, "encoder.irange": 1.0, "generator.irange": 1.0,
                        "discriminator.irange": 0.5})  # fmt: skip
    theta, D = g.state.generator.params, g.state.discriminator
    batch = g_batch(g.frame, iteration_source(g.hparams, g.state, g.data), 1)
    loss = lambda theta: generator_loss(theta, g.frame, g.state.generator, g.state.discriminator, batch)[0]  # noqa: E731
    judge = lambda x, z: g.gan.D(D.params, {}, x, Condition(z=z))[0].logits  # noqa: E731

    def expected(theta):
        encode = lambda i: g.gan.E(g.hparams, theta, batch.x[i:i + 1], Condition(),  # noqa: E731
                                   batch.noise.encoder_keys[i:i + 1])  # fmt: skip
        inferred = jnp.concatenate([encode(i) for i in range(len(batch.x))])
        fake = g.gan.G(theta, {}, batch.noise.z)[0]
        return jnp.mean(softplus(judge(batch.x, inferred)) + softplus(-judge(fake, batch.noise.z)))

    (ours, gradient), (theirs, other) = jax.value_and_grad(loss)(theta), jax.value_and_grad(expected)(theta)
    assert ours == pytest.approx(float(theirs), rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), gradient, other)
    for part in ("decoder", "encoder"):
        assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient[part]))
    x, z = batch.x, batch.noise.z
    assert not np.allclose(judge(x, z), judge(x, z + 1)) and not np.allclose(judge(x, z), judge(1 - x, z))


def test_penalties_differentiate_d_at_pairs(game):
    """The linear D of ones: |d logit / d(x, z)|^2 / 2 is half the sum of squared slopes, those along z included."""
    g = game(("discriminator.hidden",), **JOINT | {"discriminator.name": "toy", "objective.penalties.r1": 1.0})
    assert g.state.discriminator.params["psi"].shape == (4, 4, 1 + 8)  # images: z as maps
    _, metrics = g.steps(1)
    # each entry of z is in 16 pixels, so the logit's slope along it is 16
    assert metrics["r1"] == pytest.approx((16 + 8 * 16**2) / 2, rel=1e-5)


@pytest.mark.parametrize("prior", ["uniform", "sphere", "normal", "truncated"])
def test_d_cannot_distinguish_inferred_z_from_samples_by_their_range(game, prior):
    g = game(**JOINT | {"prior.name": prior, "prior.scale": 2.0, "encoder.irange": 30.0})
    keys = jax.random.split(jax.random.key(0), 50)
    z = g.gan.E(g.hparams, g.state.generator.params, g.gan.decode(g.data.x), Condition(), keys)
    assert z.shape == (50, 8) and z.dtype == jnp.float32
    if prior == "uniform":
        assert 3.4 < float(jnp.max(jnp.abs(z))) <= 2 * np.sqrt(3)
    elif prior == "truncated":  # at two of the deviations before truncation, of which .880 are left
        assert 2 * 2.2 < float(jnp.max(jnp.abs(z))) <= 2 * 2 / 0.8796
    elif prior == "sphere":
        np.testing.assert_allclose(jnp.mean(z**2, axis=1), np.full(50, 4.0), rtol=1e-5)
    else:
        assert float(jnp.max(jnp.abs(z))) > 10


# --- A frozen G -------------------------------------------------------------------------------------------------------


def test_a_frozen_g_does_not_move_and_its_encoder_does(game):
    g = game(**REGRESSION | {"generator.frozen": True, "generator.initialize_from": "elsewhere",
                             "optimizer.generator.max_column_norm": 0.01, "generator.ema.gamma": (1.0,)})  # fmt: skip
    after, metrics = g.steps(3)
    jax.tree.map(np.testing.assert_array_equal, after.generator.params["decoder"], g.state.generator.params["decoder"])
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), after.generator.params, g.state.generator.params)
    assert all(jax.tree.leaves(moved["encoder"])) and np.isfinite(metrics["latent_regression"])


@pytest.mark.slow
def test_an_encoder_of_a_trained_g_is_an_ordinary_run(tiny_config, tmp_path):
    changes = {"generator.ema.gamma": (1.0,), "evaluate.metrics": ()}
    assert train(tiny_config(**changes), tmp_path / "source") == 0
    source = jaxgan.load(tmp_path / "source")
    frozen = {"generator.frozen": True, "generator.initialize_from": str(tmp_path / "source")}
    assert train(tiny_config(**changes | REGRESSION | frozen | {"encoder.noise": 2}), tmp_path / "work") == 0
    gan = jaxgan.load(tmp_path / "work")
    x = gan.sample(3)
    np.testing.assert_array_equal(x, source.sample(3))  # the average of the other run
    z = gan.infer(x)
    assert z.shape == (3, 8) and z.dtype == np.float32
    np.testing.assert_array_equal(gan.infer(x[:2]), z[:2])
    assert not np.allclose(gan.infer(x, seed=1), z)  # other noise
    np.testing.assert_allclose(gan.generate(gan.noise(3)), x, atol=1e-6)
    with pytest.raises(UserError, match="this GAN has no encoder; train one"):
        source.infer(x)
    other = tiny_config(**changes | REGRESSION | frozen | {"generator.hidden": (8, 16),
                                                           "generator.activations": ("relu", "relu")})  # fmt: skip
    with pytest.raises(UserError, match="which has no Dense_0; give this generator the same layers"):
        train(other, tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize("vectors", [False, True])  # which are scaled once
def test_a_joint_d_is_evaluated_on_examples_with_inferred_z(tiny_config, tmp_path, vectors):
    changes = JOINT | {"evaluate.metrics": (), "train.steps": 2}
    if vectors:
        np.savez(tmp_path / "vectors.npz", train=np.random.default_rng(0).normal(5, 3, (300, 4)))
        changes |= {"data.name": f"npz:{tmp_path}/vectors.npz", "data.validation": 50, "generator.output": "linear"}
    assert train(tiny_config(**changes), tmp_path / "work") == 0
    gan = jaxgan.load(tmp_path / "work")
    x, z = gan.sample(4), gan.noise(4)
    np.testing.assert_allclose(gan.discriminate(x), gan.discriminate(x, z=gan.infer(x)), rtol=1e-6)
    assert not np.allclose(gan.discriminate(x, z=10 * z), gan.discriminate(x))


# --- Refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "message"), [
    ({"encoder.joint": True}, "need an encoder; set encoder.name"),
    ({"encoder.noise": 2}, "need an encoder; set encoder.name"),
    (ENCODER, "nothing trains encoder.name=mlp; set objective.regression.weight=1"),
    ({"objective.regression.weight": 1.0}, "trains an encoder; set encoder.name"),
    ({"generator.frozen": True}, "set encoder.name and generator.initialize_from"),
    (REGRESSION | {"generator.frozen": True}, "set encoder.name and generator.initialize_from"),
    (JOINT | {"objective.consistency.real": 1.0}, "objective.consistency is for a D of x alone"),
    (JOINT | {"objective.latent.discriminator": 1.0}, "objective.latent.discriminator is for a D of x alone"),
    (JOINT | {"objective.top_k": 0.5}, "objective.top_k is for a D of x alone"),
    (JOINT | {"objective.labelled.weight": 1.0}, "objective.labelled is for a D of x alone"),
])  # fmt: skip
def test_what_does_not_fit_an_encoder_is_refused(tiny_config, changes, message):
    with pytest.raises(UserError, match=message):
        validate(tiny_config(**changes))


@pytest.mark.parametrize(("encoder", "message"), [
    ({"encoder.name": "toy"}, "encoder.name=toy has no outputs for z"),
    ({"encoder.name": "dcgan", "encoder.widths": (4,)}, None),
    ({"encoder.name": "dcgan", "encoder.widths": (4, 4)}, "statistics of batch or spectral normalization"),
    ({"encoder.name": "mlp", "encoder.norm": "spectral"}, "statistics of batch or spectral normalization"),
])  # fmt: skip
def test_families_that_cannot_infer_z_are_refused(game, encoder, message):
    changes = encoder | {"objective.regression.weight": 1.0}
    if message is None:
        assert set(game(**changes).state.generator.params) == {"decoder", "encoder"}
        return
    with pytest.raises(UserError, match=message):
        game(**changes)
