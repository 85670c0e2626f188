"""Figures 2 and 3, Table 1, and the Toronto Face Database's file, on runs of a blink."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import io

import jaxgan
from configs import own_images
from experiments import figure2, figure3, table1
from jaxgan import data
from jaxgan.config import files, flatten, update, validate
from jaxgan.config.hparams import traced
from jaxgan.data import tfd
from jaxgan.data.decode import decode
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import make_measure
from jaxgan.game.build import build
from jaxgan.metrics import neighbours, parzen
from jaxgan.metrics.neighbours import Neighbours
from jaxgan.metrics.parzen import SIGMAS, Estimate
from jaxgan.networks.layers import DataSpec
from jaxgan.run import grids, warm_start
from jaxgan.run.writers import read_metrics
from jaxgan.train import train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workdir(tiny_config, tmp_path_factory):
    """A finished run, evaluated twice."""
    path = tmp_path_factory.mktemp("experiments") / "run"
    assert train(tiny_config(evaluate__every=10), path) == 0
    return path


def run(module, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["experiment", *map(str, arguments)])
    return module.main()


def test_the_noise_of_a_sample_generates_it(workdir):
    gan = jaxgan.load(workdir)
    np.testing.assert_allclose(gan.generate(gan.noise(5, seed=3)), gan.sample(5, seed=3), atol=1e-6)
    with pytest.raises(UserError, match=r"of shape \(n, 8\), not \(2, 9\)"):
        gan.generate(np.zeros((2, 9)))


def image(path):
    with Image.open(path) as file:
        return np.asarray(file)


# Files of a checkout

PROBE = """
import sys
from jaxgan.config import files
before = list(sys.path)
config = files.read(sys.argv[1] + "/configs/tfd.py")
path = sys.argv[1] + "/experiments/ablations/momentum.py"
sweep = files.load_functions(path, "--sweep", "", "get_config", "get_sweep")
assert sys.path == before
print(len(config.generator.hidden), len(sweep["get_sweep"]()))
"""


def test_files_of_a_checkout_find_each_other_from_another_folder(tmp_path):
    # As an installed package has it: jaxgan can be imported, configs and experiments cannot.
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "jaxgan").symlink_to(ROOT / "jaxgan")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "installed"), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", PROBE, str(ROOT)]
    said = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout
    assert said.split() == ["4", "25"]


def every_file(folder):
    return sorted(path for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("path", every_file("configs"), ids=lambda path: path.stem)
def test_every_config_is_valid_and_states_its_command(path):
    validate(files.read(path))
    assert f"python -m jaxgan.main --config=configs/{path.name}" in ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", every_file("experiments/ablations"), ids=lambda path: path.stem)
def test_every_ablation_has_settings_of_existing_fields(path):
    found = files.load_functions(path, "--sweep", "", "get_config", "get_sweep")
    config, sweep = files.checked_config(found, path), found["get_sweep"]()
    for setting in sweep:
        validate(update(config, setting))
    assert len({json.dumps(setting) for setting in sweep}) == len(sweep) > 1


@pytest.mark.parametrize("name", ["mnist", "tfd", "digits"])
def test_every_variant_of_table_1_fits_the_recipe_of_every_column(name):
    for changes in table1.VARIANTS.values():
        validate(update(table1.recipe(name), changes))


def test_the_best_recipe_is_a_row_of_table_1():
    changed = update(files.read(ROOT / "configs" / "mnist.py"), table1.VARIANTS["averaged"])
    assert flatten(changed) == flatten(files.read(ROOT / "configs" / "mnist_averaged.py"))
    assert changed.generator.ema.gamma == (1.0,) and changed.train.update == "alternating"


def test_own_images_learns_more_than_the_mean_from_the_first_steps_on(tmp_path):
    random = np.random.default_rng(4)
    (tmp_path / "images").mkdir()
    for i in range(200):  # smooth, in colour, of many sizes
        size = tuple(int(n) for n in random.integers(20, 60, 2))
        small = Image.fromarray(random.integers(0, 256, (3, 3, 3)).astype(np.uint8))
        small.resize(size, Image.Resampling.BICUBIC).save(tmp_path / "images" / f"{i}.png")
    changes = {"data.name": f"folder:{tmp_path}/images", "data.size": 8, "train.steps": 300}
    assert train(update(own_images.get_config(), changes), tmp_path / "run") == 0
    gan = jaxgan.load(tmp_path / "run")
    real = data.load(gan.config.data).train / 255
    for ema in (True, False):
        assert 0.4 < gan.sample(200, ema=ema).std(axis=0).mean() / real.std(axis=0).mean() < 1.5


# Figure 2


@pytest.mark.parametrize("gcn", [0.0, 5.0])
def test_nearest_is_the_smallest_distance_of_all(gcn):
    random = np.random.default_rng(0)
    train = random.integers(0, 256, (60, 4, 4, 1)).astype(np.uint8)
    pixels = train.astype(np.float64) / 255
    if gcn:
        pixels = pixels - pixels.mean(axis=(1, 2, 3), keepdims=True)
        pixels *= gcn / np.sqrt((pixels**2).sum(axis=(1, 2, 3), keepdims=True))
    x = np.concatenate([pixels[[7, 31]], random.random((20, 4, 4, 1))]).astype(np.float32)
    index, distance = figure2.nearest(x, train, gcn=gcn)
    distances = np.sqrt(((x[:, None] - pixels[None]) ** 2).sum(axis=(2, 3, 4)))
    np.testing.assert_array_equal(index, distances.argmin(axis=1))
    np.testing.assert_allclose(distance, distances.min(axis=1), atol=1e-5)
    assert index[:2].tolist() == [7, 31]
    assert (distance[:2] < 1e-5).all()


def test_figure2_shows_samples_and_framed_neighbours(workdir, tmp_path, monkeypatch, capsys):
    out = tmp_path / "figure2.png"
    run(figure2, f"--workdir={workdir}", f"--out={out}", "--rows=2", "--columns=3", monkeypatch=monkeypatch)
    picture = image(out)
    gan, train_set = jaxgan.load(workdir), data.load(jaxgan.load(workdir).config.data).train
    # The last column of each row is the training image nearest to the sample on its left.
    edge = figure2.EDGE
    yellow = (picture == figure2.FRAME).all(axis=-1)
    left = int(yellow[0].argmax())
    assert yellow[0, left:].all() and not yellow[edge + 1, : left - 1].any()
    inside = picture[edge:-edge, left + edge : -edge, 0]
    scale, gutter = grids.tiling(8, 8, 4)
    height = 8 * scale + gutter
    assert inside.shape == (2 * height + gutter, height + gutter)
    for row, sample in enumerate(gan.sample(1000)[[2, 5]]):
        squares = ((sample[None] - train_set / 255) ** 2).sum(axis=(1, 2, 3))
        cell = inside[row * height + gutter : (row + 1) * height, gutter:-gutter]
        np.testing.assert_array_equal(cell[::scale, ::scale], train_set[squares.argmin(), ..., 0])
    assert "test images to the nearest training image" in capsys.readouterr().out


# Figure 3


def test_paths_end_where_they_should_and_slerp_keeps_the_norm():
    random = np.random.default_rng(1)
    start, end = random.normal(size=(2, 100))
    end *= np.linalg.norm(start) / np.linalg.norm(end)
    t = np.linspace(0, 1, 5)
    for path in (figure3.linear, figure3.slerp):
        np.testing.assert_allclose(path(start, end, t)[[0, -1]], [start, end], atol=1e-12)
    np.testing.assert_allclose(figure3.linear(start, end, t)[1], 0.75 * start + 0.25 * end)
    arc = figure3.slerp(start, end, t)
    np.testing.assert_allclose(np.linalg.norm(arc, axis=1), np.linalg.norm(start))
    cosines = (arc[:-1] * arc[1:]).sum(axis=1) / np.linalg.norm(start) ** 2
    np.testing.assert_allclose(cosines, cosines[0])  # equal angles
    np.testing.assert_allclose(figure3.slerp(start, 2 * start, t), figure3.linear(start, 2 * start, t))


def test_figure3_ends_in_samples(workdir, tmp_path, monkeypatch):
    out = tmp_path / "figure3.png"
    run(figure3, f"--workdir={workdir}", f"--out={out}", "--paths=1", "--points=4", monkeypatch=monkeypatch)
    picture = image(out)
    half = (picture.shape[0] - figure3.LINE) // 2
    assert (picture[half : half + figure3.LINE] == 255).all()
    top, below = picture[:half], picture[half + figure3.LINE :]
    scale, gutter = grids.tiling(8, 8, 4)
    width = 8 * scale + gutter
    ends = [np.round(255 * x[..., 0]) for x in jaxgan.load(workdir).sample(2)]
    for rows in (top, below):
        for column, end in ((0, ends[0]), (3, ends[1])):
            cell = rows[gutter:-gutter, column * width + gutter : (column + 1) * width]
            for channel in np.moveaxis(cell[::scale, ::scale], -1, 0):
                np.testing.assert_allclose(channel.astype(float), end, atol=1)
    with pytest.raises(UserError, match="--points=1"):
        run(figure3, f"--workdir={workdir}", "--points=1", monkeypatch=monkeypatch)


# Table 1


def score(mean, error=1.0, *, seed=0, variant="recipe", checkpoint="last", column="MNIST", sigma=0.2, edge=False):
    estimate = Estimate(sigma=sigma, mean=mean, standard_error=error, at_edge=edge)
    return table1.Score(column, variant, checkpoint, seed, 100, [estimate], [Neighbours(0.75, 0.5)], 1000)


def test_the_tables_distinguish_seeds_from_test_images_and_exclude_the_tuning_seed():
    scored = [score(300, 9.0, seed=0), score(220, 1.5, seed=1), score(230, 2.5, seed=2)]
    scored += [score(210, 2.0, seed=0, variant="alternating")]
    rows = list(table1.table(scored))
    assert "| Adversarial nets (2014) | 225 ± 2 | 2057 ± 26 |" in rows
    assert "| Adversarial nets, jaxgan: recipe, last | 225.0 ± 2.0 |  |" in rows
    assert "| Adversarial nets, jaxgan: alternating, last | 210.0 ± 2.0 |  |" in rows
    rows = list(table1.statistics(scored))
    assert "| MNIST | recipe | last | 2 | 225.0 | 7.1 | 220.0 | 230.0 | 0.750 | 0.500 | - | - | - |" in rows
    assert "| MNIST | alternating | last | 1 | 210.0 | - | 210.0 | 210.0 | 0.750 | 0.500 | - | - | - |" in rows
    assert "| MNIST | recipe | 0 | last | 100 | 300.0 ± 9.0 | 0.200 | 0.750 | 0.500 | - | - | - |" in table1.singles(
        scored
    )
    assert "The settings were chosen on MNIST with seed 0" in " ".join(table1.notes(scored, 10_000))
    assert "were chosen on" not in " ".join(table1.notes([score(1.0, seed=1)], 10_000))


def test_scores_on_features_have_columns_and_intervals_over_seeds():
    scored = [score(1.0, seed=s)._replace(features={"FID": fid, "Precision": 0.5, "Recall": 0.25}) for s, fid in
              ((0, 999.0), (1, 20.0), (2, 21.0), (3, 22.0))]  # fmt: skip
    (row,) = list(table1.statistics(scored))[2:]
    # Half of the 95% interval of three seeds of deviation 1: 4.303 / sqrt(3).
    assert row.endswith("| 21.0 [18.5, 23.5] | 0.500 [0.500, 0.500] | 0.250 [0.250, 0.250] |")
    assert list(table1.singles(scored))[3].endswith("| 20.000 | 0.500 | 0.250 |")
    assert "on features of the classifier" in " ".join(table1.notes(scored, 10_000))


def test_features_are_the_classifiers_against_test_images(tiny_config, monkeypatch):
    asked = {}

    def make_measure(config, dataset):
        asked.update(flatten(config))
        return lambda samples: {"classifier_fid": 1.0, "classifier_precision": 0.5, "classifier_recall": 0.2, "x": 0.0}

    monkeypatch.setattr(table1, "make_measure", make_measure)
    samples = np.zeros((7, 8, 8, 1), np.float32)
    assert table1.feature_scores("digits", tiny_config(), None, samples) == {} == asked
    assert table1.feature_scores("MNIST", tiny_config(**{"data.gcn": 5.0}), None, samples) == {} == asked
    found = table1.feature_scores("MNIST", tiny_config(), None, samples)
    assert found == {"FID": 1.0, "Precision": 0.5, "Recall": 0.2}
    assert (asked["evaluate.features"], asked["evaluate.split"], asked["evaluate.samples"]) == ("classifier", "test", 7)
    assert list(asked["evaluate.metrics"]) == ["fid", "prdc"]


def test_the_error_over_folds():
    folds = [Estimate(0.1, mean, 9.0, True) for mean in (1.0, 2.0, 3.0, 4.0, 5.0)]
    near = [Neighbours(0.1 * fold, 1 - 0.1 * fold) for fold in range(5)]
    tfd_score = table1.Score("TFD", "recipe", "last", 0, 100, folds, near, 80)
    assert tfd_score.mean == 3.0
    assert tfd_score.nearest == pytest.approx((0.2, 0.8))
    assert tfd_score.error == pytest.approx(np.sqrt(2.5 / 5))


def test_differences_from_the_paper_are_noted():
    assert len(list(table1.notes([score(1.0, seed=3)], 10_000))) == 2
    text = " ".join(table1.notes([score(1.0, sigma=SIGMAS[0], edge=True)._replace(validation=150)], 500))
    for words in (
        "a sigma beyond it may score higher",
        "on 150 validation images, in the paper on 1,000",
        "used 10,000",
    ):
        assert words in text
    rows = list(table1.singles([score(1.0, sigma=0.1, edge=True)]))
    assert rows[-1] == "| MNIST | recipe | 0 | last | 100 | 1.0 ± 1.0 | 0.100 (edge) | 0.750 | 0.500 | - | - | - |"


def test_what_is_measured_on_each_set(tiny_config):
    digits = data.load(tiny_config().data)
    train, test = (np.asarray(decode(x, 0.0)) for x in (digits.train, digits.test))
    short = digits._replace(test=digits.test[:100])
    estimates, near, used = table1.protocol(0.5 * train, [digits, short])
    assert near == [neighbours.evaluate(0.5 * train, x) for x in (test, test[:100])] and near[0].data != near[0].samples
    for estimate, x in zip(estimates, (test, test[:100]), strict=True):
        want = float(parzen.log_likelihood(0.5 * train, x, estimate.sigma).mean())
        assert estimate.mean == pytest.approx(want, rel=1e-5)
    assert used == min(1000, len(digits.validation))
    # The scale: training images, whose order does not matter to a Parzen window.
    real = table1.score_data("digits", [digits], config=tiny_config(), samples=10_000)
    assert real.variant == f"{len(train):,} training images as samples"
    want = parzen.evaluate(train, decode(digits.validation, 0.0), test, SIGMAS)
    assert real.mean == pytest.approx(want.mean, rel=1e-5)


def test_table1_scores_a_finished_run_as_its_own_evaluation_did(workdir, tmp_path, monkeypatch, capsys):
    assert run(table1, f"--workdir={workdir}", "--samples=64", f"--out={tmp_path}", monkeypatch=monkeypatch) == 0
    text = (tmp_path / "table1.md").read_text()
    epochs, course = table1.course(workdir)
    assert len(course) == 2 and epochs[1] == pytest.approx(20 * 8 / 1350)
    assert f"| 0 | last | 20 | {course[1]:.1f} ± " in text
    assert "\n| 64 training images as samples |  |  | " in text  # the scale, in the columns' order
    assert text in capsys.readouterr().out
    assert image(tmp_path / "table1.png").shape[1] > 500


def test_sigma_is_chosen_on_validation_images_and_only_the_test_images_are_scored(tiny_config):
    # Around one grey image: validation images deviate by .2 per pixel, test images by .7.
    random, grey = np.random.default_rng(3), np.full((1, 8, 8, 1), 0.5, np.float32)
    sets = {name: (grey + s * random.normal(size=(200, 8, 8, 1))) for name, s in (("near", 0.2), ("far", 0.7))}
    near, far = (x.astype(np.float32) for x in sets.values())
    dataset = data.load(tiny_config().data)._replace(validation=near, test=far)
    (estimate,), _, _ = table1.protocol(grey, [dataset])
    assert estimate.sigma == SIGMAS[np.argmin(np.abs(SIGMAS - 0.2))]
    (other,), _, _ = table1.protocol(grey, [dataset._replace(validation=far, test=near)])
    assert other.sigma == SIGMAS[np.argmin(np.abs(SIGMAS - 0.7))]
    assert estimate.mean < other.mean - 100  # the far images under the narrow window
    measured = parzen.measure(grey, near, far)  # what training and --mode=evaluate report
    assert (measured["parzen_sigma"], measured["test_log_likelihood"]) == pytest.approx((estimate.sigma, estimate.mean))


@pytest.fixture(scope="module")
def normalized(tiny_config, tmp_path_factory):
    """A finished run on contrast-normalized digits whose best checkpoint is not its last one."""
    path = tmp_path_factory.mktemp("experiments") / "normalized"
    changes = {"data__gcn": 5.0, "generator__output": "linear", "evaluate__every": 5, "checkpoint__every": 5}
    rates = {f"optimizer__{player}__learning_rate": 0.3 for player in ("generator", "discriminator")}
    assert train(tiny_config(**changes, **rates), path) == 0  # from the mean image into ruin
    return path


def test_last_and_best_are_scored_as_the_run_evaluated_them_contrast_normalized(normalized):
    config = jaxgan.load(normalized).config
    lines = {line["step"]: line for line in read_metrics(normalized) if "test_log_likelihood" in line}
    best_step = max(lines, key=lambda step: lines[step]["validation_log_likelihood"])
    assert best_step != 20, "the run should get worse"
    run = table1.Run("digits", "recipe", normalized)
    last, best = table1.scores(run, table1.sets_of(data.load(config.data)), config.evaluate.samples)
    assert (last.checkpoint, last.step) == ("last", 20) and (best.checkpoint, best.step) == (
        "best on validation",
        best_step,
    )
    for score in (last, best):
        assert score.mean == pytest.approx(lines[score.step]["test_log_likelihood"], rel=1e-5)
    assert abs(last.mean - best.mean) > 1


def test_scores_are_of_contrast_normalized_images_where_training_was(normalized):
    gan = jaxgan.load(normalized)
    dataset = data.load(gan.config.data)

    def by_hand(x):  # global contrast normalization, from its definition
        x = x.astype(np.float64) / 255
        x -= x.mean(axis=(1, 2, 3), keepdims=True)
        return (5.0 * x / np.sqrt((x**2).sum(axis=(1, 2, 3), keepdims=True))).astype(np.float32)

    samples = gan.sample(64)
    (estimate,), (near,), _ = table1.protocol(samples, [dataset], gcn=gan.config.data.gcn)
    want = parzen.evaluate(samples, by_hand(dataset.validation), by_hand(dataset.test), SIGMAS)
    assert estimate.mean == pytest.approx(want.mean, rel=1e-4) and estimate.sigma == want.sigma
    assert near == neighbours.evaluate(samples, by_hand(dataset.test))
    # The run's own evaluation decodes the same.
    measured = make_measure(gan.config, dataset)(samples)
    assert measured["test_log_likelihood"] == pytest.approx(want.mean, rel=1e-4)
    real = table1.score_data("digits", [dataset], config=gan.config, samples=500)
    chosen = np.random.default_rng(0).permutation(len(dataset.train))[:500]
    want = parzen.evaluate(by_hand(dataset.train[chosen]), by_hand(dataset.validation), by_hand(dataset.test), SIGMAS)
    assert real.mean == pytest.approx(want.mean, rel=1e-4)


def test_table1_trains_what_is_missing(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setitem(table1.QUICK, "digits", flatten(tiny_config()))
    arguments = ["--quick", "--samples=64", f"--out={tmp_path}", "--variants", "alternating"]
    assert run(table1, *arguments, "--seeds=1", monkeypatch=monkeypatch) == 0
    first = tmp_path / "alternating" / "seed_0"
    assert jaxgan.load(first).config.train.update == "alternating"
    before = (first / "metrics.jsonl").read_bytes()
    assert run(table1, *arguments, "--seeds=2", monkeypatch=monkeypatch) == 0
    assert (first / "metrics.jsonl").read_bytes() == before  # it was finished
    text = (tmp_path / "table1.md").read_text()
    assert "| digits | alternating | last | 2 | " in text
    assert text.count("| digits | alternating | 1 | ") == 2  # last and best


def test_the_command_line_has_the_last_word(tmp_path):
    flags = table1.arguments().parse_args(["--variants", "adam", "averaged", "--seeds=2", f"--out={tmp_path}"])
    planned = list(table1.plan(flags, ["--config.train.steps=10"]))
    assert [(run.variant, config.seed) for run, stages in planned for config, _ in stages] == [
        ("adam", 0), ("averaged", 0), ("adam", 1), ("averaged", 1)
    ]  # fmt: skip
    assert {config.train.steps for _, stages in planned for config, _ in stages} == {10}


def test_table1_refuses(tiny_config, tmp_path, monkeypatch):
    np.savez(tmp_path / "few.npz", samples=np.zeros((50, 8, 8, 1), np.float32))
    np.savez(tmp_path / "other.npz", samples=np.zeros((500, 28, 28, 1), np.float32))
    bright = np.arange(256, dtype=np.uint8).repeat(64).reshape(-1, 8, 8, 1)
    np.savez(tmp_path / "bright.npz", samples=bright)
    points, ring8 = tmp_path / "points", {"data.name": "mixture:ring8", "generator.output": "linear"}
    assert train(update(tiny_config(), ring8 | {"train.steps": 1, "evaluate.metrics": ()}), points) == 0
    for arguments, words in (
        (["--quick", "--samples=99", f"--samples-file={tmp_path}/few.npz"], "50 samples, but 99 are needed"),
        (["--quick", f"--samples-file={tmp_path}/other.npz"], r"\(28, 28, 1\), but digits has \(8, 8, 1\)"),
        (["--quick", f"--samples-file={tmp_path}/none.npz"], "cannot be read"),
        ([f"--workdir={points}"], "was trained on mixture:ring8, but the table"),
        ([f"--workdir={tmp_path}/none"], "is not a work directory"),
        (["--quick", "--samples=9", f"--samples-file={tmp_path}/bright.npz"], "from 0 to 255; samples must be in"),
        ([f"--workdir={points}", "--sedes=3"], "--sedes=3 cannot change; leave it out"),
        (["--seeds=0"], "--seeds=0"),
        (["--variants"], "nothing to train"),
    ):
        with pytest.raises(UserError, match=words):
            run(table1, *arguments, f"--out={tmp_path}/out", monkeypatch=monkeypatch)


# The Toronto Face Database


def faces(path, n=60, **changes):
    """A file of the layout of TFD_48x48.mat."""
    random = np.random.default_rng(2)
    arrays = {
        "images": random.integers(0, 256, (n, 48, 48)).astype(np.uint8),
        "folds": np.stack([random.permutation(np.arange(n) % 4) for _ in range(5)], axis=1).astype(np.uint8),
        "labs_ex": np.zeros((n, 1)),
    }
    io.savemat(path, {name: value for name, value in (arrays | changes).items() if value is not None})
    return arrays


def test_tfd_has_the_splits_of_each_fold(tiny_config, tmp_path):
    arrays = faces(tmp_path / "tfd.mat")
    dataset = data.load(tiny_config(data__name=f"tfd:{tmp_path}/tfd.mat").data)
    assert dataset.train.dtype == np.uint8 and dataset.train.shape == (15, 48, 48, 1)
    sets = table1.sets_of(dataset)
    assert len(sets) == 5
    for number, fold in enumerate(sets):
        uses = arrays["folds"][:, number]
        np.testing.assert_array_equal(fold.validation[..., 0], arrays["images"][uses == 2])
        np.testing.assert_array_equal(fold.test[..., 0], arrays["images"][uses == 3])
        np.testing.assert_array_equal(fold.train[..., 0], arrays["images"][arrays["folds"][:, 0] == 0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": None}, r"`images` must be uint8 of shape \(n, 48, 48\)"),
        ({"images": np.zeros((60, 96, 96), np.uint8)}, r"holds images uint8 \(60, 96, 96\)"),
        ({"images": np.zeros((60, 48, 48))}, "holds images double"),
        ({"folds": np.zeros((60, 1), np.uint8)}, r"`folds` must be numbers of shape \(60, 5\)"),
        ({"folds": np.zeros((60, 5), np.uint8)}, r"has \[0\] in column 0"),
        ({"folds": np.tile(np.arange(60) % 5, (5, 1)).T}, r"has \[0, 1, 2, 3, 4\] in column 0"),
    ],
)
def test_a_tfd_file_of_another_layout(changes, words, tmp_path):
    faces(tmp_path / "tfd.mat", **changes)
    with pytest.raises(UserError, match=words):
        tfd.read(tmp_path / "tfd.mat")


def test_a_tfd_file_that_is_none(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        tfd.read(tmp_path / "tfd.mat")
    (tmp_path / "tfd.mat").write_bytes(b"MATLAB 7.3 MAT-file" + bytes(2000))
    with pytest.raises(UserError, match="cannot be read as a MATLAB file"):
        tfd.read(tmp_path / "tfd.mat")
    faces(tmp_path / "whole.mat")
    (tmp_path / "torn.mat").write_bytes((tmp_path / "whole.mat").read_bytes()[:100_000])
    with pytest.raises(UserError, match="bring a complete copy"):
        tfd.read(tmp_path / "torn.mat")


def test_both_stages_of_tfd(tmp_path, monkeypatch):
    faces(tmp_path / "tfd.mat", n=80)
    tiny = {"train.steps": 2, "train.batch_size": 4, "evaluate.samples": 20, "generator.output_sparse": 3}
    tiny |= {"discriminator.hidden": (3, 3), "sample.rows": 2}
    monkeypatch.setitem(table1.QUICK, "tfd_pretrain", tiny | {"generator.hidden": (7, 5)})
    monkeypatch.setitem(table1.QUICK, "tfd", tiny | {"generator.hidden": (6, 100, 7, 5)})
    arguments = ["--quick", "--seeds=1", "--samples=20", f"--tfd={tmp_path}/tfd.mat", f"--out={tmp_path}/out"]
    assert run(table1, *arguments, "--variants", monkeypatch=monkeypatch) == 0
    assert "| TFD | recipe | last | 1 | " in (tmp_path / "out" / "table1.md").read_text()

    first, second = (tmp_path / "out" / "tfd" / "seed_0" / stage for stage in ("pretrain", "train"))
    assert table1.course(second)[0][0] > table1.course(first)[0][-1] > 0  # the epochs of both stages count
    theirs, config = jaxgan.load(first).state.generator.params, jaxgan.load(second).config

    def initialized(config):
        spec = DataSpec((48, 48, 1), bounds=(0.0, 1.0))
        shapes = jax.eval_shape(build(config, spec, 20).init, traced(config))
        zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
        return warm_start.initialize(config, zeros, warm_start.source_checkpoint(config)).generator.params

    ours = initialized(config)
    for name, same in {"Dense_0": "Dense_2", "Dense_1": "Dense_3", "output": "output"}.items():
        for part in ("kernel", "bias"):
            np.testing.assert_array_equal(theirs[name][part], ours[same][part])
    assert not any(np.any(x) for name in ("Dense_0", "Dense_1") for x in ours[name].values())  # the new ones
    with pytest.raises(UserError, match="for layer Dense_2"):
        initialized(update(config, {"generator.hidden": (6, 99, 7, 5)}))
