"""Few labels: K+1 classes, feature matching, the balanced draw of labels, D's noise, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.few_labels import ALONE, MATCHING, compute_verdicts
from jaxgan.conditions import UNCONDITIONAL
from jaxgan.config import default, update, validate
from jaxgan.data import load
from jaxgan.data.labels import keep_labels
from jaxgan.errors import UserError
from jaxgan.evaluation.checks import check_metrics
from jaxgan.game.batches import Batch, Labelled, labelled
from jaxgan.game.build import build
from jaxgan.game.step import discriminator_loss, generator_loss
from jaxgan.metrics import class_error, probe
from jaxgan.networks.layers import DataSpec, d_output, gaussian_noise
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.terms.auxiliary import class_error as cross_entropy
from jaxgan.objectives.terms.matching import feature_matching
from tests.conftest import IMAGES, LABELS
from tests.helpers import zoo_games as zoo

OUTPUTS = {"objective.classes": "outputs", "objective.labelled.weight": 1.0, "objective.d_scale": 0.5}
FEW = OUTPUTS | {"objective.g_scale": 0.0, "objective.matching.weight": 2.0}
SPEC = DataSpec((8, 8, 1), bounds=(0.0, 1.0), num_aux_classes=3, logsumexp=True)


def test_the_logit_is_the_logsumexp_of_the_classes():
    outputs = jnp.asarray([[1.0, 2.0, -3.0], [0.0, 0.0, 0.0]])
    assert SPEC.outputs == 3 and SPEC._replace(logsumexp=False).outputs == 4
    output = d_output(outputs, None, SPEC)
    np.testing.assert_allclose(output.logits, np.log(np.exp(np.asarray(outputs)).sum(axis=1)), rtol=1e-6)
    np.testing.assert_array_equal(output.classes, outputs)
    # K+1 softmax outputs, the last 0: sigmoid(logit) is the probability that x is of one of the K classes.
    softmax = jax.nn.softmax(jnp.concatenate([outputs, jnp.zeros((2, 1))], axis=1), axis=1)
    np.testing.assert_allclose(jax.nn.sigmoid(output.logits), softmax[:, :3].sum(axis=1), rtol=1e-6)


def test_d_of_a_labelled_mixture_is_the_closed_form():
    """On three points: l_j -> log p(x, j) / p_g(x), so the logsumexp is log p/p_g and the softmax p(y | x)."""
    p = jnp.asarray([[0.3, 0.05], [0.1, 0.15], [0.2, 0.2]])  # p(x, y)
    q = jnp.asarray([0.2, 0.5, 0.3])

    def loss(outputs):
        output = d_output(outputs, None, SPEC._replace(num_aux_classes=2))
        unlabelled = jax.nn.softplus(-output.logits) @ p.sum(axis=1) + jax.nn.softplus(output.logits) @ q
        errors = jnp.stack([cross_entropy(output.classes, jnp.full(3, y, jnp.int32)) for y in range(2)], axis=1)
        return unlabelled / 2 + jnp.sum(p * errors)

    gradient = jax.jit(jax.grad(loss))
    np.testing.assert_allclose(gradient(jnp.log(p / q[:, None])), 0, atol=1e-7)
    outputs = jax.lax.fori_loop(0, 5000, lambda _, o: o - 1.0 * gradient(o), jnp.zeros((3, 2)))
    np.testing.assert_allclose(jax.nn.logsumexp(outputs, axis=1), jnp.log(p.sum(axis=1) / q), atol=1e-3)
    np.testing.assert_allclose(jax.nn.softmax(outputs, axis=1), p / p.sum(axis=1, keepdims=True), atol=1e-3)


def test_the_unlabelled_loss_is_half_the_non_saturating_one():
    """-lse/2 + softplus(lse)/2 on data and softplus(lse)/2 on samples, as in the authors' code."""
    real, fake = jnp.asarray([0.3, -2.0]), jnp.asarray([1.0, -0.5])
    theirs = -real / 2 + jax.nn.softplus(real) / 2 + jax.nn.softplus(fake) / 2
    np.testing.assert_allclose(LOSSES["non_saturating"].discriminator(real, fake) / 2, theirs, rtol=1e-6)


def test_both_losses_against_the_paper_written_out(game):
    """With noise: G's total is feature matching alone; D's is half the non-saturating loss plus the class error."""
    noisy = {"discriminator.input_noise": 0.3, "discriminator.hidden_noise": 0.5, "discriminator.irange": 0.3}
    g = game(**FEW | noisy)
    gan, m, state = g.gan, g.gan.batch_size, g.state
    theta_g, theta_d = state.generator.params, state.discriminator.params
    x, noise = gan.decode(jnp.asarray(IMAGES[:m])), g.noise()
    examples = Labelled(gan.decode(jnp.asarray(IMAGES[-m:])), jnp.asarray(LABELS[-m:]))
    batch = Batch(x, UNCONDITIONAL, noise, jnp.uint32(0), examples)
    D = lambda x, keys: gan.D(theta_d, {}, x, UNCONDITIONAL, keys, features=True)[0]  # noqa: E731
    real, fake = D(x, noise.real_dropout_keys), D(gan.G(theta_g, {}, noise.z)[0], noise.fake_dropout_keys)
    keys = jax.vmap(lambda key: jax.random.fold_in(jax.random.fold_in(key, 2), 0))(noise.term_keys)
    classes = D(examples.x, keys).classes
    common = g.frame, state.generator, state.discriminator, batch
    d_total, (d_metrics, _, _) = discriminator_loss(theta_d, *common)
    g_total, (g_metrics, _, _) = generator_loss(theta_g, *common)
    unlabelled = jnp.mean(jax.nn.softplus(-real.logits) + jax.nn.softplus(fake.logits)) / 2
    supervised = -jnp.mean(jax.nn.log_softmax(classes)[jnp.arange(m), examples.y])
    assert d_metrics["d_loss"] == pytest.approx(float(unlabelled), rel=1e-5)
    assert d_metrics["labelled_error"] == pytest.approx(float(supervised), rel=1e-5)
    assert d_total == pytest.approx(float(unlabelled + supervised), rel=1e-5)
    difference = np.mean(np.asarray(real.features), axis=0) - np.mean(np.asarray(fake.features), axis=0)
    assert g_total == pytest.approx(2 * float(np.mean(difference**2)), rel=1e-4)
    assert g_metrics["g_loss"] == pytest.approx(
        float(jnp.mean(jax.nn.softplus(-fake.logits))), rel=1e-5
    )  # no part of it


def test_the_gradient_of_feature_matching_is_that_of_finite_differences():
    rng = np.random.default_rng(0)
    real, fake = (jnp.asarray(rng.normal(size=(6, 3)), jnp.float32) for _ in range(2))
    assert feature_matching(jnp.asarray([[0.0, 4.0]]), jnp.asarray([[1.0, 1.0], [3.0, 3.0]])) == 4.0  # (2^2 + 2^2) / 2
    gradient, h = jax.grad(feature_matching, argnums=1)(real, fake), 1e-2
    for at in ((0, 0), (3, 2)):
        moved = [feature_matching(real, fake.at[at].add(step)) for step in (h, -h)]
        assert gradient[at] == pytest.approx(float(moved[0] - moved[1]) / (2 * h), rel=2e-2, abs=1e-5)


def test_noise_of_d_is_gaussian_and_off_without_keys():
    x, keys = jnp.zeros((2, 20_000)), jax.random.split(jax.random.key(0), 2)
    noise = np.asarray(gaussian_noise(x, 0.5, keys, 1))
    assert noise.std() == pytest.approx(0.5, rel=0.02) and abs(noise.mean()) < 0.02
    assert not np.array_equal(noise, gaussian_noise(x, 0.5, keys, 2)) and not np.array_equal(noise[0], noise[1])
    assert gaussian_noise(x, 0.5, None, 1) is x and gaussian_noise(x, 0.0, keys, 1) is x


def test_the_draw_of_labels_is_balanced_and_hides_the_others():
    dataset = load(default().data)
    kept = keep_labels(dataset, 50, 3)
    labels = np.asarray(kept.train_labels)
    shown = labels >= 0
    np.testing.assert_array_equal(np.bincount(labels[shown], minlength=10), np.full(10, 5))
    np.testing.assert_array_equal(labels[shown], dataset.train_labels[shown])
    assert set(labels[~shown]) == {-1}
    np.testing.assert_array_equal(kept.test_labels, dataset.test_labels)
    again, other = (np.asarray(keep_labels(dataset, 50, seed).train_labels) for seed in (3, 4))
    assert np.array_equal(labels, again) and not np.array_equal(labels, other)
    assert keep_labels(dataset, 0, 0) is dataset
    examples = labelled(kept.train, labels)
    assert len(examples.x) == 50 and examples.y.min() >= 0  # a hidden label is never among the labelled


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.labels": 55}, "make it a multiple of 10"),
        ({"data.labels": 10_000}, "needs 1000 labelled examples of each class"),
        ({"data.name": "mixture:ring8", "data.labels": 8}, None),
        ({"data.name": "table:diabetes", "data.labels": 10}, "has no labels"),
        ({"data.name": "stacked:digits", "data.labels": 1000}, "stacks its examples"),
    ],
)
def test_a_draw_that_the_data_do_not_allow_is_refused(changes, message):
    config = update(default(), changes)
    if message is None:
        assert np.sum(load(config.data).train_labels >= 0) == 8
        return
    with pytest.raises(UserError, match=message):
        load(config.data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (OUTPUTS | {"conditional": "label"}, "set conditional=none"),
        (OUTPUTS | {"discriminator.packing": 2}, "needs the class of single examples"),
        ({"data.labels": 100, "conditional": "label"}, "needs the label of every example"),
        ({"objective.classes": "outputs"}, "no classes that D is trained on"),
        (OUTPUTS | {"objective.loss": "relativistic"}, "leaves a constant of it free"),
        (FEW | {"train.accumulate": 2}, "coupled by objective.matching"),
    ],
)
def test_games_without_a_meaning_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        validate(update(default(), changes))


def test_games_that_do_not_fit_the_data_or_the_networks_are_refused():
    spec = DataSpec(zoo.SHAPE, bounds=(0.0, 1.0))
    with pytest.raises(UserError, match="has no labels; give the data labels"):
        build(update(default(), OUTPUTS), spec, 100)
    with pytest.raises(UserError, match="leaves G without a loss"):
        build(update(default(), {"objective.g_scale": 0.0}), spec, 100)
    changes = {"objective.matching.weight": 1.0, "discriminator.name": "dcgan", "discriminator.widths": (4,)}
    build(update(default(), changes | {"discriminator.norm": "none"}), spec, 100)
    with pytest.raises(UserError, match="dcgan makes alike"):
        build(update(default(), changes | {"discriminator.widths": (4, 4)}), spec, 100)


def test_metrics_that_need_what_is_not_there_are_refused():
    dataset = load(default().data)
    with pytest.raises(UserError, match="needs a D that predicts classes"):
        check_metrics(update(default(), {"evaluate.metrics": ("class_error",)}), dataset)
    with pytest.raises(UserError, match="takes D's features of single, stored examples"):
        check_metrics(update(default(), {"evaluate.metrics": ("probe",), "conditional": "label"}), dataset)
    pairs = {"encoder.name": "mlp", "encoder.joint": True, "evaluate.metrics": ("probe",)}
    for changes in (pairs, {"discriminator.packing": 2, "evaluate.metrics": ("probe",)}):
        with pytest.raises(UserError, match="takes a D of single examples"):
            check_metrics(update(default(), changes), dataset)
    with pytest.raises(UserError, match="has none; leave it out"):
        check_metrics(update(default(), {"evaluate.metrics": ("probe",)}), dataset._replace(validation_labels=None))
    few = {"data.labels": 100, "evaluate.metrics": ("fid",), "evaluate.features": "classifier"}
    with pytest.raises(UserError, match="uses a classifier trained on all labels"):
        check_metrics(update(default(), few), dataset)


def test_errors_of_a_classifier():
    logits = np.asarray([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0], [0.0, 1.0]])
    assert class_error.evaluate(logits, np.asarray([0, 1, 1, 1])) == {"class_error": 0.25}
    with pytest.raises(UserError, match="give as many of both"):
        class_error.evaluate(logits, np.asarray([0]))


def test_the_probe_separates_what_is_separable():
    rng = np.random.default_rng(0)
    y, held_out = np.arange(20) % 2, np.arange(100) % 2
    signal = lambda y: np.stack([4.0 * y + rng.normal(size=len(y)), np.ones(len(y))], axis=1)  # noqa: E731
    probes = {
        "features": (signal(y), signal(held_out)),
        "pixels": (rng.normal(size=(20, 3)), rng.normal(size=(100, 3))),
    }
    found = probe.evaluate(probes, held_out, y)
    assert found["probe_features_error"] < 0.1 and found["probe_pixels_error"] > 0.3


def test_evaluation_and_the_trained_gan_classify(tmp_path):
    """A short run: scores of D on both splits, probabilities of classes, features."""
    import jaxgan
    from jaxgan.train import train

    changes = FEW | {
        "data.labels": 100, "train.steps": 3, "train.batch_size": 16, "evaluate.metrics": ("class_error", "probe"),
        "evaluate.samples": 10, "discriminator.hidden": (12, 7), "generator.hidden": (8,),
        "generator.activations": ("relu",),
    }  # fmt: skip
    config = update(default(), changes)
    validate(config)
    train(config, tmp_path / "run")
    gan, dataset = jaxgan.load(tmp_path / "run"), load(config.data)
    p = gan.classify(dataset.test)
    assert p.shape == (len(dataset.test), 10)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert gan.features(dataset.test[:5]).shape == (5, 7)
    d = gan.discriminate(dataset.test[:5])
    classes = gan.gan.D(gan.state.discriminator.params, {}, gan.gan.decode(jnp.asarray(dataset.test[:5])))[0].classes
    np.testing.assert_allclose(d, jax.nn.sigmoid(jax.nn.logsumexp(classes, axis=1)), rtol=1e-4)
    import json

    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "class_error" in row]
    assert rows[-1]["class_error"] == pytest.approx(float(np.mean(p.argmax(axis=1) != dataset.test_labels)))
    assert {"validation_class_error", "probe_features_error", "probe_untrained_error", "probe_pca_error"} <= rows[
        -1
    ].keys()


def test_a_gan_without_classes_does_not_classify(tmp_path):
    import jaxgan
    from jaxgan.train import train

    config = update(default(), {"train.steps": 1, "evaluate.metrics": (), "train.batch_size": 4})
    train(config, tmp_path / "run")
    with pytest.raises(UserError, match="does not predict classes"):
        jaxgan.load(tmp_path / "run").classify(np.zeros((1, 8, 8, 1), np.uint8))


def test_the_verdicts_are_of_paired_differences():
    errors = {
        MATCHING: [0.05, 0.06, 0.05],
        ALONE: [0.10, 0.12, 0.11],
        "same": [0.05, 0.055, 0.056],
        "less": [0.01, 0.02, 0.01],
    }
    assert list(compute_verdicts(errors).values()) == [True, None, False]
