"""A trained GAN from Python: what it draws, what it says of itself, and what it leaves alone."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import ema
from jaxgan.conditions import Condition
from jaxgan.data.images import digits
from jaxgan.errors import UserError
from jaxgan.game.state import PRNG, run_stream, stream
from jaxgan.run import commands
from jaxgan.run.sampling_options import truncate_z
from jaxgan.train import train

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tiny_config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "work"
    assert train(tiny_config(), workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def conditional(tiny_config, tmp_path_factory):
    """Told the ten digits, with an EMA of G, and far enough from its start that classes differ."""
    workdir = tmp_path_factory.mktemp("conditional") / "work"
    changes = {"conditional": "label", "generator.ema.gamma": (1.0,), "generator.irange": 1.0}
    assert train(tiny_config(**changes, **{"generator.output_irange": 1.0, "train.steps": 10}), workdir) == 0
    return workdir


def test_load_samples_and_discriminates(finished):
    gan = jaxgan.load(finished)
    assert gan.step == 20
    images = gan.sample(6, seed=3)
    assert images.shape == (6, 8, 8, 1)
    assert images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    np.testing.assert_array_equal(gan.sample(6, seed=3), images)
    np.testing.assert_allclose(gan.sample(3, seed=3), images[:3], atol=1e-6)  # the first ones of any larger n
    assert not np.array_equal(gan.sample(6, seed=4), images)
    d = gan.discriminate(images)
    assert d.shape == (6,)
    assert np.all((d > 0) & (d < 1))
    np.testing.assert_allclose(gan.discriminate(np.round(255 * images).astype(np.uint8)), d, atol=1e-3)
    assert jaxgan.load(finished, 10).step == 10


def test_truncated_and_accepted_samples(finished):
    """Truncated: G of z within the bound. Accepted: those of p_g that D would take for data more often."""
    gan = jaxgan.load(finished)
    shown, hparams = truncate_z(gan.gan, gan.hparams, gan.config, 0.3)
    keys = jax.random.split(jax.random.key(0), 500)
    z = np.asarray(jax.vmap(lambda key: shown.sample_z(hparams, key))(keys))
    assert 0.29 < np.abs(z).max() <= 0.3 and z.std() == pytest.approx(0.3 / np.sqrt(3), rel=0.05)
    narrow = gan.sample(200, truncation=0.3)
    assert narrow.std(axis=0).mean() < 0.6 * gan.sample(200).std(axis=0).mean()
    np.testing.assert_array_equal(gan.sample(3, truncation=0.3), narrow[:3])
    taken, share = gan.accepted_samples(200, rejection=0.9)
    assert 0 < share <= 1 and gan.accepted_samples(3)[1] == 1
    assert taken.shape == (200, 8, 8, 1) and not np.array_equal(taken, gan.sample(200))
    for wrong in ({"truncation": 0.0}, {"truncation": float("nan")}, {"rejection": 0.0}, {"rejection": 1.1}):
        with pytest.raises(UserError, match=next(iter(wrong))):
            gan.sample(2, **wrong)


def test_samples_are_written_with_their_options(finished, capsys):
    commands.sample(finished, 4, 0, None, options={"truncation": 0.5, "rejection": 1.0})
    with np.load(finished / "samples" / "step_20_seed_0_n_4_truncation_0.5_rejection_1.npz") as file:
        assert (float(file["truncation"]), float(file["rejection"])) == (0.5, 1.0)
        assert 0 < file["acceptance"] <= 1 and file["samples"].shape == (4, 8, 8, 1)
    assert "of the candidates" in capsys.readouterr().out


def test_a_users_samples_are_none_that_the_run_trained_or_was_scored_on(finished):
    gan = jaxgan.load(finished)
    keys = [stream(gan.config.seed, "user")]
    keys += [run_stream(gan.hparams, name) for name in ("train", "sample", "evaluate", "order", "init")]
    assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}) == len(keys)
    assert jax.random.key_impl(keys[0]) == PRNG


def test_samples_of_a_class(conditional):
    gan = jaxgan.load(conditional)
    threes = gan.sample(5, seed=1, y=3)
    np.testing.assert_array_equal(gan.sample(5, seed=1, y=[3] * 5), threes)
    np.testing.assert_allclose(gan.generate(gan.noise(5, seed=1), y=3), threes, atol=1e-6)
    mixed = gan.sample(5, seed=1, y=[3, 3, 7, 3, 0])
    different = np.abs(mixed - threes).max(axis=(1, 2, 3)) > 1e-3
    np.testing.assert_array_equal(different, [False, False, True, False, True])
    drawn = gan.sample(200)  # all classes: none given
    assert not np.allclose(drawn, gan.sample(200, y=3), atol=1e-3)
    x = np.zeros((2, 8, 8, 1), np.uint8)
    assert gan.discriminate(x, y=[1, 2]).shape == (2,)


def test_a_d_that_predicts_classes_is_not_conditioned_on_them(tiny_config, tmp_path):
    changes = {"conditional": "label", "objective.auxiliary.real": 1.0, "train.steps": 1, "evaluate.metrics": ()}
    assert train(tiny_config(**changes), tmp_path / "work") == 0
    gan = jaxgan.load(tmp_path / "work")
    d = gan.discriminate(np.zeros((2, 8, 8, 1), np.uint8))
    assert d.shape == (2,) and np.all((d > 0) & (d < 1))
    assert gan.sample(2, y=3).shape == (2, 8, 8, 1)


def test_the_average_or_the_last_theta_g(conditional):
    gan = jaxgan.load(conditional)
    assert gan.averages == ("gamma=1",)
    np.testing.assert_array_equal(gan.sample(4, y=1), gan.sample(4, y=1, ema="gamma=1"))
    np.testing.assert_array_equal(gan.sample(4, y=1), gan.sample(4, y=1, ema=True))
    theirs = gan.gan.G(gan.state.generator.params, {}, gan.noise(4), Condition(label=np.full(4, 1, np.int32)))[0]
    np.testing.assert_allclose(gan.sample(4, y=1, ema=False), theirs, atol=1e-5)
    assert not np.array_equal(gan.sample(4, y=1), gan.sample(4, y=1, ema=False))


@pytest.mark.slow
def test_an_average_of_any_width(tiny_config, tmp_path):
    """From the averages in all checkpoints; a width that a run tracks is that average itself."""
    gammas = (ema.gamma_from_sigma_rel(0.05), ema.gamma_from_sigma_rel(0.10))
    changes = {"generator.ema.gamma": gammas, "checkpoint.every": 4, "checkpoint.keep": 9, "evaluate.metrics": ()}
    assert train(tiny_config(**changes, **{"optimizer.generator.learning_rate": 0.05}), tmp_path / "work") == 0
    gan, tracked = jaxgan.load(tmp_path / "work", width=0.15), jaxgan.load(tmp_path / "work")
    assert gan.averages == ("width=0.15", *tracked.averages)
    assert (gan.step, gan.sha256) == (tracked.step, tracked.sha256)
    z = gan.noise(4)
    drawn = gan.gan.G(gan.state.averages[0], {}, z)[0]
    np.testing.assert_allclose(gan.sample(4), drawn, atol=1e-6)
    assert not np.allclose(drawn, gan.gan.G(tracked.state.averages[0], {}, z)[0], atol=1e-4)
    same = jaxgan.load(tmp_path / "work", width=0.10).state.averages
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), same[0], tracked.state.averages[1])
    jax.tree.map(np.testing.assert_array_equal, same[1:], tracked.state.averages)
    with pytest.raises(UserError, match=r"1 checkpoints cannot represent width 0\.25: .* off by 104%"):
        jaxgan.load(tmp_path / "work", 4, width=0.25)
    with pytest.raises(UserError, match="above 0 and at most"):
        jaxgan.load(tmp_path / "work", width=1.0)


def test_a_width_needs_power_function_averages(finished):
    with pytest.raises(UserError, match=r"train with generator.ema.gamma=\("):
        jaxgan.load(finished, width=0.1)


def test_repr(finished, conditional):
    assert repr(jaxgan.load(finished)) == "<GAN on digits (8x8x1): G mlp, D mlp, non_saturating, step 20>"
    assert repr(jaxgan.load(conditional)) == (
        "<GAN on digits (8x8x1, 10 classes): G mlp, D mlp, non_saturating, step 10, averages gamma=1>"
    )


def test_lists_are_arrays(finished):
    gan = jaxgan.load(finished)
    np.testing.assert_array_equal(gan.generate(np.zeros((2, 8)).tolist()), gan.generate(np.zeros((2, 8))))
    x = np.full((2, 8, 8, 1), 0.5)
    np.testing.assert_array_equal(gan.discriminate(x.tolist()), gan.discriminate(x))


def test_examples_in_every_form_that_they_come_in(finished):
    """uint8 is decoded as for training, whatever holds it; other numbers are taken as they are."""
    gan = jaxgan.load(finished)
    x = digits().train[:3]
    expected = gan.discriminate(x.astype(np.float32) / 255)
    for same in (x, list(x), tuple(x), jnp.asarray(x), x.astype(float) / 255, [list(image / 255) for image in x]):
        np.testing.assert_allclose(gan.discriminate(same), expected, rtol=1e-5)
    assert not np.array_equal(gan.discriminate(x[:1]), gan.discriminate(x[:1] // 2))


def test_points_are_taken_as_they_are(tiny_config, tmp_path):
    changes = {"data.name": "mixture:grid25", "evaluate.metrics": (), "generator.output": "linear", "train.steps": 1}
    assert train(tiny_config(**changes), tmp_path / "work") == 0
    gan = jaxgan.load(tmp_path / "work")
    points = np.array([[2, 4], [0, 200]])
    for same in (points, points.astype(np.uint8), points.astype(float), points.tolist()):
        np.testing.assert_array_equal(gan.discriminate(same), gan.discriminate(points.astype(np.float32)))


def test_samples_of_a_g_without_bounds_are_discriminated(tiny_config, tmp_path):
    changes = {"generator.output": "linear", "generator.output_irange": 3.0, "generator.irange": 1.0}
    assert train(tiny_config(**changes, **{"train.steps": 1, "evaluate.metrics": ()}), tmp_path / "work") == 0
    gan = jaxgan.load(tmp_path / "work")
    x = gan.sample(8)
    assert x.min() < -0.1 and x.max() > 1.1
    assert gan.discriminate(x).shape == (8,)
    with pytest.raises(UserError, match="from 0 to 255; scale them"):
        gan.discriminate(np.linspace(0, 255, 64).reshape(1, 8, 8, 1))


WRONG = [
    (lambda gan: gan.sample(0), "n of 1 or more"),
    (lambda gan: gan.sample(2, seed=-1), "seed from 0 to"),
    (lambda gan: gan.sample(2, seed=2**32), "seed from 0 to"),
    (lambda gan: gan.sample(2, y=1), "trained without classes"),
    (lambda gan: gan.sample(2, ema="gamma=9"), r"no average 'gamma=9'; it has none"),
    (lambda gan: gan.generate(np.zeros((2, 9))), r"z of shape \(n, 8\), not \(2, 9\)"),
    (lambda gan: gan.generate(np.zeros(8)), r"z of shape \(n, 8\), not \(8,\)"),
    (lambda gan: gan.generate([[1.0], [1.0, 2.0]]), "z must be an array of numbers"),
    (lambda gan: gan.generate("noise"), "z must be an array of numbers"),
    (lambda gan: gan.generate(np.zeros((2, 8)), y=[1, 2]), "trained without classes"),
    (lambda gan: gan.discriminate(np.zeros((2, 9, 9, 1), np.float32)), r"\(8, 8, 1\), not \(9, 9, 1\)"),
    (lambda gan: gan.discriminate(3.0), r"\(8, 8, 1\)"),
    (lambda gan: gan.discriminate([["x"]]), "x must be an array of numbers"),
    (lambda gan: gan.discriminate(np.zeros((0, 8, 8, 1), np.uint8)), "is empty; pass at least one"),
    (lambda gan: gan.generate([]), r"z of shape \(0,\) is empty"),
    (lambda gan: gan.discriminate([["1"]]), "x must be an array of numbers"),
    (lambda gan: gan.discriminate(np.zeros((2, 8, 8, 1), complex)), "x must be an array of numbers"),
    (lambda gan: gan.discriminate([np.zeros((8, 8, 1)), np.zeros((8, 9, 1))]), "x must be an array of numbers"),
    (
        lambda gan: gan.discriminate(np.zeros((2, 1, 8, 8))),
        r"\(8, 8, 1\), not \(1, 8, 8\); put channels last, x.transpose",
    ),
    (lambda gan: gan.discriminate(np.zeros((2, 9, 8, 1))), r"\(8, 8, 1\), not \(9, 8, 1\); reshape"),
    (lambda gan: gan.discriminate(np.zeros((2, 8, 8, 3), np.uint8)), r"\(8, 8, 1\), not \(8, 8, 3\)"),
    (
        lambda gan: gan.discriminate(np.zeros((8, 8, 1), np.uint8)),
        r"\(8, 8, 1\), not \(8, 1\); give one example as x\[None\]",
    ),
    (lambda gan: gan.discriminate(np.full((2, 8, 8, 1), 255)), r"not int64; convert them, with .astype\(np.uint8\)"),
    (lambda gan: gan.discriminate(np.full((2, 8, 8, 1), 255.0)), "numbers from 0 to 1, the range .* from 255 to 255"),
    (lambda gan: gan.discriminate(np.full((2, 8, 8, 1), -1.0)), "numbers from 0 to 1, the range .* from -1 to -1"),
    (lambda gan: gan.discriminate(np.full((1, 8, 8, 1), np.nan)), "64 of the 64 numbers of x are not finite"),
    (lambda gan: gan.discriminate(np.full((1, 8, 8, 1), 1e300)), "64 of the 64 numbers of x are not finite"),
    (lambda gan: gan.generate(np.full((1, 8), np.inf)), "8 of the 8 numbers of z are not finite"),
]
WRONG_CLASSES = [
    (lambda gan: gan.sample(2, y=10), "there is no class 10; classes go from 0 to 9"),
    (lambda gan: gan.sample(2, y=[-1, 3]), "there is no class -1; classes go from 0 to 9"),
    (lambda gan: gan.sample(2, y=[1, 2, 3]), "one class or 2 of them"),
    (lambda gan: gan.sample(2, y=1.0), "whole numbers"),
    (lambda gan: gan.generate(np.zeros((2, 8))), "pass y, the class of each z"),
    (lambda gan: gan.discriminate(np.zeros((2, 8, 8, 1), np.uint8)), "pass y, one class per example"),
    (lambda gan: gan.sample(2, ema="gamma=9"), r"no average 'gamma=9'; it has gamma=1"),
]


@pytest.mark.parametrize(("use", "words"), WRONG)
def test_wrong_input_is_one_sentence(finished, use, words):
    with pytest.raises(UserError, match=words) as caught:
        use(jaxgan.load(finished))
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


@pytest.mark.parametrize(("use", "words"), WRONG_CLASSES)
def test_wrong_classes_are_one_sentence(conditional, use, words):
    with pytest.raises(UserError, match=words):
        use(jaxgan.load(conditional))


def test_load_of_what_is_not_a_workdir(tmp_path):
    with pytest.raises(UserError, match="nothing is not a work directory"):
        jaxgan.load(tmp_path / "nothing")


# --- a program of somebody else ---

HOST = """
import logging, sys, threading, warnings
import jaxgan

def hook(unraisable):
    print("unraisable", unraisable.exc_value)

def state():
    loggers = {name: logging.getLogger(name) for name in ("", "absl", "asyncio", "orbax", "jaxgan")}
    logs = {name: (list(log.filters), list(log.handlers), log.level, log.disabled) for name, log in loggers.items()}
    return logs, sys.unraisablehook, threading.excepthook, sys.excepthook, list(warnings.filters)

sys.unraisablehook = hook
import orbax.checkpoint, jax  # what these change on import is not ours
before = state()
import jaxgan.run.trained
assert state() == before, "the import"
gan = jaxgan.load(sys.argv[1])
assert state() == before, "load"
gan.sample(3), gan.generate(gan.noise(2)), gan.discriminate(gan.sample(2))
assert state() == before, "use"
try:
    jaxgan.load(sys.argv[2])
except jaxgan.errors.UserError as error:
    print(error)
assert state() == before, "damage"
"""


def test_loading_leaves_a_programs_hooks_and_loggers_alone(finished, tmp_path):
    """And in the one place where Orbax makes a noise, a damaged checkpoint, there is one warning."""
    damaged = tmp_path / "damaged"
    place = damaged / "checkpoints/20/state"
    subprocess.run(["cp", "-r", finished, damaged], check=True)
    metadata = place / "_METADATA"
    metadata.write_text("np.nothing".join(metadata.read_text().rsplit("np.ndarray", 1)))
    for path in (damaged / "checkpoints/10/state").rglob("*"):
        if path.is_file() and "ocdbt.process_0/d" in str(path):
            path.unlink()
    command = [sys.executable, "-c", HOST, finished, damaged]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.count("\n") == 1 and "is intact" in result.stdout
    assert [line[:19] for line in result.stderr.splitlines()] == ["warning: checkpoint"] * 2, result.stderr
