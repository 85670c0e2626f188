"""A generator that begins as the last layers of another one."""

import json
import shutil

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan import data
from jaxgan.config import update
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.game.build import build_for
from jaxgan.run import warm_start
from jaxgan.run.workdir import read_warm_start
from jaxgan.train import train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tiny_config, tmp_path_factory):
    """A finished run with an EMA of G."""
    workdir = tmp_path_factory.mktemp("source") / "work"
    assert train(tiny_config(**{"generator.ema.gamma": (1.0,), "generator.irange": 0.5}), workdir) == 0
    return workdir


def deeper(tiny_config, source, **changes):
    """One layer more than the source, which replaces the source's z."""
    layers = {"generator.hidden": (8, 16), "generator.activations": ("relu", "relu"), "generator.ema.gamma": (1.0,)}
    return tiny_config(**layers, **{"generator.initialize_from": str(source)}, **changes)


def initialized(config):
    """The state of step 0 without and with the other run's layers."""
    state = build_for(config, data.load(config.data)).init(traced(config))
    return state, warm_start.initialize(config, state, warm_start.source_checkpoint(config))


def test_the_last_layers_are_the_average_of_the_other_run(tiny_config, source):
    theirs = jaxgan.load(source).state.averages[0]
    fresh, begun = initialized(deeper(tiny_config, source))
    for params in (begun.generator.params, begun.averages[0]):
        for ours, other in (("Dense_1", "Dense_0"), ("output", "output")):
            for a, b in zip(jax.tree.leaves(params[ours]), jax.tree.leaves(theirs[other]), strict=True):
                np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(params["Dense_0"]["kernel"], fresh.generator.params["Dense_0"]["kernel"])
    for a, b in zip(jax.tree.leaves(begun.discriminator), jax.tree.leaves(fresh.discriminator), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batch_norms_move_with_their_layers(tiny_config, tmp_path):
    """And are not those of the same number: here both have 16 units."""
    norm = {"generator.norm": "batch"}
    assert train(tiny_config(**norm, **{"prior.size": 16}), tmp_path / "source") == 0
    theirs = jaxgan.load(tmp_path / "source").state.generator.params["BatchNorm_0"]
    layers = {"generator.hidden": (16, 16), "generator.activations": ("relu", "relu")}
    fresh, begun = initialized(tiny_config(**norm, **layers, **{"generator.initialize_from": str(tmp_path / "source")}))
    ours = begun.generator.params
    np.testing.assert_array_equal(ours["BatchNorm_1"]["scale"], theirs["scale"])
    assert np.any(theirs["scale"] != 1)
    np.testing.assert_array_equal(ours["BatchNorm_0"]["scale"], fresh.generator.params["BatchNorm_0"]["scale"])


def test_nothing_to_begin_with_changes_nothing(tiny_config):
    assert warm_start.source_checkpoint(tiny_config()) is None
    state, begun = initialized(tiny_config())
    assert begun is state


def test_run_json_records_the_checkpoint(tiny_config, source, tmp_path):
    train(deeper(tiny_config, source, **{"train.steps": 5}), tmp_path / "work")
    run = json.loads((tmp_path / "work/run.json").read_text())
    gan = jaxgan.load(source)
    assert run["initialized_from"] == {"workdir": str(source), "step": 20, "sha256": gan.sha256}
    assert gan.sha256 == json.loads((source / "checkpoints/20/about/metadata").read_text())["sha256"]
    train(tiny_config(), tmp_path / "other")
    assert json.loads((tmp_path / "other/run.json").read_text())["initialized_from"] is None


class Killed(BaseException):
    pass


@pytest.fixture
def begun(tiny_config, source, tmp_path, monkeypatch):
    """A copy of the source, and a run that began from it and was killed before its first checkpoint."""
    copy, workdir = tmp_path / "source", tmp_path / "work"
    shutil.copytree(source, copy)
    config = deeper(tiny_config, copy, **{"train.steps": 10})

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("jaxgan.train.save_due", killed)
        train(config, workdir)
    assert not (workdir / "checkpoints").exists() and read_warm_start(workdir)["step"] == 20
    return config, copy, workdir


def test_a_run_that_begins_again_begins_with_the_same_checkpoint(tiny_config, begun, tmp_path):
    """Though the other run has a newer one since."""
    config, copy, workdir = begun
    other = {"generator.ema.gamma": (1.0,), "generator.irange": 0.5, "train.steps": 30, "checkpoint.keep": 3}
    train(tiny_config(**other), copy)
    assert train(config, workdir) == 0
    assert read_warm_start(workdir)["step"] == 20
    train(config, tmp_path / "newer")
    assert read_warm_start(tmp_path / "newer")["step"] == 30
    leaves = [jax.tree.leaves(jaxgan.load(path).state.generator.params) for path in (workdir, tmp_path / "newer")]
    assert not all(np.array_equal(a, b) for a, b in zip(*leaves, strict=True))


@pytest.mark.parametrize("gone", ["the checkpoint", "the run", "its content"])
def test_it_is_refused_when_that_checkpoint_is_gone(tiny_config, begun, gone):
    config, copy, workdir = begun
    if gone == "the run":
        shutil.rmtree(copy)
    elif gone == "the checkpoint":
        shutil.rmtree(copy / "checkpoints/20")
    else:
        shutil.rmtree(copy)
        train(tiny_config(**{"generator.ema.gamma": (1.0,), "generator.irange": 0.4}), copy)
    with pytest.raises(UserError, match=r"this run began with step 20 of generator\.initialize_from=.*, which is gone"):
        train(config, workdir)


def test_a_run_that_has_checkpoints_needs_it_no_more(tiny_config, source, tmp_path):
    shutil.copytree(source, tmp_path / "source")
    config = deeper(tiny_config, tmp_path / "source", **{"train.steps": 10})
    train(config, tmp_path / "work")
    shutil.rmtree(tmp_path / "source")
    assert train(update(config, {"train.steps": 15}), tmp_path / "work") == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator.hidden": (8, 12)}, r"has .* for layer .* of this generator, which needs"),
        ({"generator.initialize_from": "gone"}, "gone is not a work directory"),
    ],
)
def test_one_that_does_not_fit_leaves_the_directory_usable(tiny_config, source, tmp_path, changes, words):
    workdir = tmp_path / "work"
    config = deeper(tiny_config, source, **{"train.steps": 5})
    with pytest.raises(UserError, match=words):
        train(update(config, changes), workdir)
    assert {p.name for p in workdir.iterdir()} <= {".lock"}
    assert train(config, workdir) == 0
