"""A run with masks, from training to completions: scores, pictures, the Python interface, the command line, exports."""

import json
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan
from jaxgan import main
from jaxgan.conditions import Condition
from jaxgan.config import default
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import selection
from jaxgan.run.grids import HOLE, conditional_grid
from jaxgan.train import train

CHANGES = {"condition.name": "half_mask", "condition.hidden": "lower", "evaluate.metrics": ("conditional",)}


@pytest.fixture(scope="module")
def work(tiny_config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("masks") / "work"
    assert train(tiny_config(**CHANGES, **{"evaluate.draws": 3, "sample.rows": 4, "train.steps": 10}), workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def vectors(tiny_config, tmp_path_factory):
    """Points whose first entry is around 100 and the second around -3."""
    folder = tmp_path_factory.mktemp("vectors")
    x = np.random.default_rng(0).normal([100, -3, 0], [20, 0.1, 1], (400, 3))
    np.savez(folder / "x.npz", train=x)
    changes = {"data.name": f"npz:{folder / 'x.npz'}", "condition.name": "subset_mask", "generator.output": "linear"}
    assert train(tiny_config(**changes, **{"evaluate.metrics": (), "train.steps": 5}), folder / "work") == 0
    return folder / "work"


def test_both_splits_are_scored_and_validation_selects(work):
    scores = json.loads((work / "evaluation.json").read_text())
    assert {"energy_score", "validation_energy_score", "coverage_90", "rmse_of_mean"} <= set(scores)
    assert selection(jaxgan.load(work).config) == ("validation_energy_score", -1)
    assert scores["protocol"]["condition"] == {"name": "half_mask", "hidden": "lower"}
    assert scores["protocol"]["draws"] == 3 and scores["protocol"]["conditional"]["validation_examples"] == 150


def test_completions_keep_what_is_observed_and_vary_with_z(work):
    gan, rng = jaxgan.load(work), np.random.default_rng(0)
    x = rng.random((5, 8, 8, 1)).astype(np.float32)
    mask = np.ones((8, 8, 1))
    mask[4:] = 0
    x[:, 4:] = np.nan  # what is hidden is not used
    drawn = gan.complete(x, mask, draws=3, seed=1)
    assert drawn.shape == (5, 3, 8, 8, 1) and np.isfinite(drawn).all()
    np.testing.assert_array_equal(drawn[:, :, :4], np.broadcast_to(x[:, None, :4], (5, 3, 4, 8, 1)))
    assert not np.array_equal(drawn[:, 0], drawn[:, 1])
    np.testing.assert_array_equal(drawn, gan.complete(np.nan_to_num(x), mask, draws=3, seed=1))
    told = {"image": x[:1], "mask": mask}
    np.testing.assert_allclose(gan.sample(3, seed=1, condition=told), drawn[0], rtol=1e-6)
    np.testing.assert_allclose(gan.generate(gan.noise(3, seed=1), condition=told), drawn[0], rtol=1e-5, atol=1e-6)
    one, other = (gan.discriminate(drawn[:, 0], condition={"image": drawn[:, 0], "mask": m}) for m in (mask, 1 - mask))
    assert not np.allclose(one, other)


@pytest.mark.parametrize(("call", "message"), [
    (lambda gan: gan.sample(2), r"takes a condition: image \(2, 8, 8, 1\), mask \(2, 8, 8, 1\)"),
    (lambda gan: gan.sample(2, y=1), r"without classes \(conditional=half_mask\); leave y out"),
    (lambda gan: gan.sample(2, condition=np.zeros((2, 8, 8, 1))), "mask .*, not image"),
    (lambda gan: gan.sample(2, condition={"image": np.zeros((8, 8)), "mask": 1}), r"not image \(8, 8\); reshape it"),
    (lambda gan: gan.complete(np.zeros((2, 8, 8, 1)), np.full((8, 8, 1), 0.5)), "a mask holds 1"),
])  # fmt: skip
def test_conditions_that_do_not_fit_are_refused(work, call, message):
    with pytest.raises(UserError, match=message):
        call(jaxgan.load(work))


def test_a_run_without_masks_completes_nothing(tiny_config, tmp_path):
    assert train(tiny_config(**{"train.steps": 1, "evaluate.metrics": ()}), tmp_path / "plain") == 0
    gan = jaxgan.load(tmp_path / "plain")
    with pytest.raises(UserError, match=r"trained with masks, and this one has condition\.name=none"):
        gan.complete(np.zeros((2, 8, 8, 1)), np.ones((8, 8, 1)))
    with pytest.raises(UserError, match=r"condition\.name=none; leave condition out"):
        gan.sample(2, condition=np.zeros((2, 8, 8, 1)))


def test_vectors_are_completed_in_their_units(vectors):
    gan = jaxgan.load(vectors)
    x = np.array([[130.0, np.nan, 0.5], [80.0, np.nan, 0.0]])
    drawn = gan.complete(x, np.array([1, 0, 1]), draws=4)
    np.testing.assert_array_equal(drawn[:, 0, [0, 2]], x[:, [0, 2]].astype(np.float32))
    assert abs(drawn[:, :, 1] + 3).max() < 5 * 0.1
    hidden = gan.sample(50, condition={"vector": np.zeros(3), "mask": np.zeros(3)})
    assert 40 < hidden[:, 0].mean() < 160


def test_an_export_takes_the_condition(vectors, tmp_path):
    gan, rng = jaxgan.load(vectors), np.random.default_rng(0)
    gan.export(tmp_path / "g")
    G, z = jax.export.deserialize((tmp_path / "g").read_bytes()), gan.noise(4)
    told = {"vector": rng.normal([100, -3, 0], size=(4, 3)).astype(np.float32),
            "mask": rng.integers(0, 2, (4, 3)).astype(np.float32)}  # fmt: skip
    np.testing.assert_allclose(G.call(z, *told.values()), gan.generate(z, condition=told), rtol=1e-5, atol=1e-4)


def test_the_command_line_samples_the_conditions_of_a_file(work, tmp_path, monkeypatch, capsys):
    mask = np.ones((2, 8, 8, 1))
    mask[:, :, :4] = 0
    np.savez(tmp_path / "told.npz", image=np.full((2, 8, 8, 1), 0.5), mask=mask)
    flags = ["main", "--mode=sample", f"--workdir={work}", f"--condition={tmp_path / 'told.npz'}", "--samples=5"]
    monkeypatch.setattr(sys, "argv", flags)
    assert main.main() == 0
    assert "5 samples of step 10 for each of 2 conditions" in capsys.readouterr().out
    path = work / "samples" / "step_10_seed_0_n_5_condition_told.npz"
    with np.load(path) as file:
        assert file["samples"].shape == (2, 5, 8, 8, 1) and (file["samples"][:, :, :, 4:] == 0.5).all()
    with Image.open(path.with_suffix(".png")) as picture:
        assert (np.asarray(picture) == HOLE).all(axis=-1).any()


def test_a_picture_shows_the_condition_the_samples_their_mean_and_the_target():
    image, mask = np.full((2, 2, 2, 1), 1.0), np.ones((2, 2, 2, 1))
    mask[:, 1] = 0
    draws = np.stack([np.zeros((2, 2, 2, 1)), np.ones((2, 2, 2, 1))], axis=1)
    picture = conditional_grid(default(), Condition(image=image * mask, mask=mask), draws, np.zeros((2, 2, 2, 1)))
    side = picture.shape[1] // 5
    middle = picture[side // 4, side // 2 :: side][:5]  # of the upper row of pixels of each image
    np.testing.assert_array_equal(middle[:, 0], [255, 0, 255, 128, 0])
