"""The commands of `python -m jaxgan.main`, in this process."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxgan
from jaxgan import errors, main
from jaxgan.evaluate import sampler
from jaxgan.run import plots
from jaxgan.state import run_stream
from jaxgan.train import train

ROOT = Path(__file__).parents[1]


@pytest.fixture
def call(monkeypatch, capsys):
    """A function: the exit code, stdout and stderr of a command."""

    def run(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["jaxgan.main", *map(str, arguments)])
        capsys.readouterr()
        try:
            code = errors.run_cli(main.main)
        except SystemExit as exit:
            code = exit.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture(scope="module")
def finished(tiny_config, tmp_path_factory):
    """A conditional run on a file of images, in a directory that holds both."""
    place = tmp_path_factory.mktemp("finished")
    rng = np.random.default_rng(0)
    np.savez(
        place / "images.npz",
        train=rng.integers(0, 256, (100, 8, 8)).astype(np.uint8),
        train_labels=np.arange(100) % 3,
    )
    changes = {"data.name": f"npz:{place / 'images.npz'}", "data.validation": 10, "conditional": "label"}
    assert train(tiny_config(**changes, **{"train.steps": 10, "generator.irange": 1.0}), place / "work") == 0
    return place


@pytest.fixture
def work(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished / "work", tmp_path / "work"))


def test_train_with_a_config_and_changes(call, tmp_path, monkeypatch):
    """Its work directory is named after the config, where none is given."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from jaxgan.config import default, update\n"
        "def get_config():\n"
        "    return update(default(), {'generator.hidden': (8,), 'generator.activations': ('relu',),\n"
        "                              'discriminator.hidden': (4,), 'evaluate.samples': 20})\n"
    )
    code, out, _ = call("--config=mine.py", "--config.train.steps=4", "--config.log.every", "2")
    assert code == 0 and "finished 4 steps; everything is in runs/mine" in out
    config = json.loads((tmp_path / "runs/mine/config.json").read_text())
    assert (config["train"]["steps"], config["log"]["every"], config["generator"]["hidden"]) == (4, 2, [8])
    code, out, _ = call("--config=mine.py", "--config.train.steps=6", "--config.log.every=2")
    assert code == 0 and "resuming from step 4 of 6 in runs/mine" in out


def test_evaluate_measures_the_newest_checkpoint(call, work):
    before = json.loads((work / "evaluation.json").read_text())
    (work / "evaluation.json").unlink()
    code, out, err = call("--mode=evaluate", f"--workdir={work}")
    assert (code, err) == (0, "")
    after = json.loads((work / "evaluation.json").read_text())
    assert after == before  # as training measured it, with the same protocol
    assert "step 10 of" in out
    shown = dict(line.split() for line in out.splitlines()[1:])
    assert float(shown["test_log_likelihood"]) == pytest.approx(after["test_log_likelihood"], abs=1e-4)


def test_evaluate_with_other_settings_leaves_the_runs_own(call, work):
    config = (work / "config.json").read_bytes()
    code, _, _ = call("--mode=evaluate", f"--workdir={work}", "--config.evaluate.samples=40")
    assert code == 0
    after = json.loads((work / "evaluation.json").read_text())
    assert (after["step"], after["protocol"]["samples"], after["protocol"]["metrics"]) == (10, 40, ["parzen"])
    assert (work / "config.json").read_bytes() == config


def test_evaluate_writes_the_report_again(call, work):
    """With the scores of now, and the rest as it was; where there is no report, the run is not at its end."""
    before, scores = (work / "report.html").read_text(), json.loads((work / "evaluation.json").read_text())
    assert call("--mode=evaluate", f"--workdir={work}")[0] == 0
    assert (work / "report.html").read_text() == before
    assert call("--mode=evaluate", f"--workdir={work}", "--config.evaluate.samples=2")[0] == 0
    after, now = (work / "report.html").read_text(), json.loads((work / "evaluation.json").read_text())
    old, new = (f"{found['validation_log_likelihood']:.1f}" for found in (scores, now))
    assert old != new and f"log-likelihood (nats): {old} at step 10" in before
    assert f"log-likelihood (nats): {new} at step 10; best: {old} at step 10; " in after
    assert f"<td>{new}</td><td>{old}</td>" in after and "<td>samples</td><td>2</td>" in after
    assert "measured on 64 samples, the last as below" in after
    (work / "report.html").unlink()
    assert call("--mode=evaluate", f"--workdir={work}")[0] == 0
    assert not (work / "report.html").exists()


def test_evaluate_where_the_data_have_moved(call, finished, work, tmp_path):
    moved = tmp_path / "moved.npz"
    shutil.copy(finished / "images.npz", moved)
    config = json.loads((work / "config.json").read_text())
    config["data"]["name"] = "npz:gone.npz"
    (work / "config.json").write_text(json.dumps(config))
    code, _, err = call("--mode=evaluate", f"--workdir={work}")
    assert code == 2 and "gone.npz" in err
    code, _, err = call("--mode=evaluate", f"--workdir={work}", f"--config.data.name=npz:{moved}")
    assert (code, err) == (0, "")
    assert call("--mode=sample", f"--workdir={work}", "--samples=2")[0] == 0  # needs no data


def test_evaluate_on_other_data_is_refused(call, work, tmp_path):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (100, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "other.npz", train=images, train_labels=np.arange(100) % 3)
    before = (work / "evaluation.json").read_bytes()
    code, _, err = call("--mode=evaluate", f"--workdir={work}", f"--config.data.name=npz:{tmp_path / 'other.npz'}")
    assert code == 2 and "belongs to a run on other data (sha256 was" in err and err.count("\n") == 1
    assert (work / "evaluation.json").read_bytes() == before


def test_resuming_where_the_data_have_moved(tiny_config, finished, work, tmp_path):
    moved = tmp_path / "moved.npz"
    shutil.copy(finished / "images.npz", moved)
    changes = {"data.name": f"npz:{moved}", "data.validation": 10, "conditional": "label", "generator.irange": 1.0}
    assert train(tiny_config(**changes, **{"train.steps": 15}), work) == 0
    assert jaxgan.load(work).config.data.name == f"npz:{moved}"


def test_sample_draws_a_picture_and_the_numbers(call, work):
    code, out, _ = call("--mode=sample", f"--workdir={work}", "--samples=9", "--seed=5")
    assert code == 0
    path = work / "samples/step_10_seed_5_n_9.png"
    assert str(path) in out and path.with_suffix(".npz").name in out
    with np.load(path.with_suffix(".npz")) as file:
        np.testing.assert_array_equal(file["y"], [0, 0, 0, 1, 1, 1, 2, 2, 2])  # a class per row
        np.testing.assert_array_equal(file["samples"], jaxgan.load(work).sample(9, seed=5, y=file["y"]))
    with Image.open(path) as picture:
        assert picture.height == 3 * (21 * 8 + 8) + 8 < picture.width  # the classes are at the left


def test_the_pictures_of_training_have_a_class_per_row(work):
    gan = jaxgan.load(work)
    n = gan.config.sample.rows**2
    y = plots.row_classes(n, 3)
    drawn = sampler(gan.gan)(gan.hparams, gan.state, run_stream(gan.hparams, "sample"), n, y=y)
    assert (work / "samples/real.png").is_file()
    with Image.open(work / "samples/000000010.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), plots.sample_grid(gan.config, drawn, 3))


def test_sample_of_a_class(call, work):
    code, _, err = call("--mode=sample", f"--workdir={work}", "--samples=4", "--label=2")
    assert (code, err) == (0, "")
    with np.load(work / "samples/step_10_seed_0_n_4_label_2.npz") as file:
        np.testing.assert_array_equal(file["samples"], jaxgan.load(work).sample(4, y=2))
        np.testing.assert_array_equal(file["y"], np.full(4, 2))
    assert not np.array_equal(jaxgan.load(work).sample(4, y=2), jaxgan.load(work).sample(4, y=1))


def test_a_config_names_the_workdir_of_every_mode(call, work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    work.rename(tmp_path / "runs/mine")
    assert call("--mode=sample", "--config=mine.py", "--samples=1")[0] == 0
    assert call("--mode=evaluate", "--config=mine.py")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --config=configs/NAME.py, or --workdir=DIR with --mode"),
        (["--workdir=WORK"], "give --config"),
        (["--mode=evaluate"], "give --config"),
        (["--mode=evaluate", "--workdir=WORK", "--config.train.steps=5"], "leave out --config.train.steps=5"),
        (["--mode=evaluate", "--workdir=WORK", "--config.evaluate.metrics=fame"], "not 'fame'"),
        (["--mode=evaluate", "--workdir=WORK", "--config.evaluate.samples=0"], "evaluate.samples must be above 0"),
        (["--mode=evaluate", "--workdir=WORK", "--config.evaluate.best=test_log_likelihood"], "the test set"),
        (["--mode=sample", "--workdir=WORK", "--config.data.dir=x"], "leave out --config.data.dir=x"),
        (["--mode=sample", "--workdir=WORK", "--label=3"], "there is no class 3; classes go from 0 to 2"),
        (["--mode=sample", "--workdir=WORK", "--label=-1"], "there is no class -1; classes go from 0 to 2"),
        (["--mode=sample", "--workdir=WORK", "--label=two"], "invalid int value: 'two'"),
        (["--mode=sample", "--workdir=WORK", "--samples=0"], "n=0"),
        (["--mode=sample", "--workdir=WORK", "--samples=1000000"], "at most 100000"),
        (["--mode=sample", "--workdir=WORK", "--seed=-1"], "seed=-1"),
        (["--mode=paint", "--workdir=WORK"], "invalid choice: 'paint'"),
        (["--mode=sample", "--workdir=gone"], "gone is not a work directory"),
        (["--mode=evaluate", "--workdir=gone"], "gone is not a work directory"),
    ],
)
def test_refusals_are_one_sentence_and_write_nothing(call, finished, arguments, words):
    files = sorted((finished / "work").rglob("*"))
    code, _, err = call(*[argument.replace("WORK", str(finished / "work")) for argument in arguments])
    assert code == 2
    assert err.startswith("error: ") and err.count("\n") == 1 and words in err
    assert sorted((finished / "work").rglob("*")) == files


def test_main_stays_short():
    assert len((ROOT / "jaxgan/main.py").read_text().splitlines()) <= 60
