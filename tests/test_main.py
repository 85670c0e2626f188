"""The commands of `python -m jaxgan.main`, in this process."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import jaxgan
from jaxgan import errors, main
from jaxgan.conditions import Condition
from jaxgan.config import update
from jaxgan.evaluation.samples import make_sampler
from jaxgan.game.state import run_stream
from jaxgan.run import commands, grids, report, scores
from jaxgan.run.workdir import read_config
from jaxgan.train import train

pytestmark = pytest.mark.slow

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
        class_names=["cat", "dog", "10"],
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


def test_a_work_directory_alone_resumes_with_what_it_stores(call, work):
    """And further changes on top, which it then stores."""
    code, out, _ = call(f"--workdir={work}", "--config.train.steps=12")
    assert code == 0 and f"resuming from step 10 of 12 in {work}" in out and "finished 12 steps" in out
    config = json.loads((work / "config.json").read_text())
    assert (config["train"]["steps"], config["generator"]["irange"], config["conditional"]) == (12, 1.0, "label")
    code, out, _ = call(f"--workdir={work}")
    assert code == 0 and "finished 12 steps" in out


def test_evaluate_measures_the_newest_checkpoint(call, work):
    before = json.loads((work / "evaluation.json").read_text())
    (work / "evaluation.json").unlink()
    code, out, err = call("--mode=evaluate", f"--workdir={work}")
    assert (code, err) == (0, "")
    after = json.loads((work / "evaluation.json").read_text())
    assert after == before  # as training measured it, with the same protocol
    assert "step 10 of" in out
    shown = dict(line.split() for line in out.splitlines()[1:] if len(line.split()) == 2)
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


def test_evaluate_leaves_what_training_wrote_of_a_later_step_meanwhile(call, work, monkeypatch):
    """Training goes on from step 10 to its end at 12 after the checkpoint of step 10 was loaded."""
    config = read_config(work)
    measure = commands.make_evaluator

    def slow(*arguments):
        with config.unlocked():
            config.train.steps = 12
        assert train(config, work) == 0
        return measure(*arguments)

    monkeypatch.setattr(commands, "make_evaluator", slow)
    code, out, _ = call("--mode=evaluate", f"--workdir={work}")
    assert code == 0 and f"step 10 of {work}" in out
    assert f"{work / 'evaluation.json'} has the scores of a later step and was left unchanged" in out
    assert f"{work / 'report.html'} was left unchanged" in out
    assert json.loads((work / "evaluation.json").read_text())["step"] == 12
    assert "12 steps with batch size 8" in (work / "report.html").read_text()
    monkeypatch.undo()
    scores, page = (work / "evaluation.json").read_bytes(), (work / "report.html").read_bytes()
    code, out, _ = call("--mode=evaluate", f"--workdir={work}")
    assert code == 0 and f"step 12 of {work}" in out and "stays" not in out
    assert ((work / "evaluation.json").read_bytes(), (work / "report.html").read_bytes()) == (scores, page)


def test_scores_wait_for_a_writer_that_has_compared_and_not_yet_written(tmp_path, monkeypatch):
    """Else scores of step 20, compared with those of step 10, would replace those of step 40 written in between."""
    scores.save_scores(tmp_path, 10, {}, {})
    write, order, threads = scores.write_atomically, [], []

    def delayed(path, data):
        step = json.loads(data)["step"]
        if step == 20:
            threads.append(threading.Thread(target=scores.save_scores, args=(tmp_path, 40, {}, {})))
            threads[0].start()
            threads[0].join(0.3)
        write(path, data)
        order.append(step)

    monkeypatch.setattr(scores, "write_atomically", delayed)
    assert scores.save_scores(tmp_path, 20, {}, {})
    threads[0].join()
    assert order == [20, 40]
    assert not scores.save_scores(tmp_path, 39, {}, {})
    assert scores.save_scores(tmp_path, 40, {"x": 1.0}, {})
    assert json.loads((tmp_path / "evaluation.json").read_text()) == {"step": 40, "x": 1.0, "protocol": {}}


def test_a_report_waits_for_the_one_that_is_being_rendered(tmp_path, monkeypatch):
    """Training reaches step 40 and writes its report while `--mode=evaluate` renders that of step 20."""
    order, threads = [], []

    def write(step):
        (tmp_path / "checkpoints" / str(step)).mkdir(parents=True)
        state = SimpleNamespace(step=step)
        return report.write(tmp_path, gan=None, hparams=None, state=state, dataset=None, samples=None)

    def render(workdir, *, state, **_):
        if state.step == 20:
            threads.append(threading.Thread(target=write, args=(40,)))
            threads[0].start()
            threads[0].join(0.3)
        order.append(state.step)
        return f"step {state.step}".encode()

    monkeypatch.setattr(report, "render", render)
    assert write(20)
    threads[0].join()
    assert order == [20, 40]
    assert not write(30)
    assert (tmp_path / "report.html").read_bytes() == b"step 40"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": null}', '{"step": 1e999}', "[" * 10**5])
def test_damaged_scores_are_replaced(tmp_path, text):
    (tmp_path / "evaluation.json").write_text(text)
    assert scores.save_scores(tmp_path, 0, {}, {})


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


def test_sample_writes_a_picture_and_the_arrays(call, work):
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
    y = grids.row_classes(n, 3)
    sampler, condition = make_sampler(gan.gan), Condition(label=y)
    drawn = sampler(gan.hparams, gan.state, run_stream(gan.hparams, "sample"), n, condition=condition)
    assert (work / "samples/real.png").is_file()
    with Image.open(work / "samples/000000010.png") as picture:
        np.testing.assert_array_equal(
            np.asarray(picture), grids.sample_grid(gan.config, drawn, 3, gan.data_info.class_names)
        )


def test_sample_of_a_class(call, work):
    code, _, err = call("--mode=sample", f"--workdir={work}", "--samples=4", "--label=2")
    assert (code, err) == (0, "")
    with np.load(work / "samples/step_10_seed_0_n_4_label_2.npz") as file:
        np.testing.assert_array_equal(file["samples"], jaxgan.load(work).sample(4, y=2))
        np.testing.assert_array_equal(file["y"], np.full(4, 2))
    assert not np.array_equal(jaxgan.load(work).sample(4, y=2), jaxgan.load(work).sample(4, y=1))


def test_sample_of_a_class_by_its_name(call, work):
    assert jaxgan.load(work).data_info.class_names == ("cat", "dog", "10")
    code, out, err = call("--mode=sample", f"--workdir={work}", "--samples=4", "--label=dog")
    assert (code, err) == (0, "") and "4 samples of class 1 (dog) of step 10" in out
    with np.load(work / "samples/step_10_seed_0_n_4_label_1.npz") as file:
        np.testing.assert_array_equal(file["samples"], jaxgan.load(work).sample(4, y=1))
    gan = jaxgan.load(work)
    np.testing.assert_array_equal(gan.sample(3, y=["10", "cat", "dog"]), gan.sample(3, y=[2, 0, 1]))
    with pytest.raises(errors.UserError, match="no class 'bird'; the closest of 3 names"):
        gan.sample(2, y=["cat", "bird"])


def test_a_run_without_class_names_is_read(call, work):
    """As older versions wrote them."""
    run = json.loads((work / "run.json").read_text())
    assert run["data"].pop("class_names") == ["cat", "dog", "10"]
    (work / "run.json").write_text(json.dumps(run))
    code, _, err = call("--mode=sample", f"--workdir={work}", "--samples=4", "--label=cat")
    assert code == 2 and "no class 'cat'; classes have no names, and classes go from 0 to 2" in err
    run["data"]["class_names"] = ["cat"]
    (work / "run.json").write_text(json.dumps(run))
    with pytest.raises(errors.UserError, match="does not name every class"):
        jaxgan.load(work)


def test_scores_of_an_older_step_do_not_replace_newer_ones(call, work, tiny_config):
    config = jaxgan.load(work).config
    assert train(update(config, {"train.steps": 20}), work) == 0
    before = (work / "evaluation.json").read_bytes()
    code, out, _ = call("--mode=evaluate", f"--workdir={work}", "--step=10")
    assert code == 0 and "step 10 of" in out and "test_log_likelihood" in out
    assert "evaluation.json has the scores of a later step and was left unchanged" in out
    assert (work / "evaluation.json").read_bytes() == before
    best = jaxgan.load(work, step="best").step
    code, out, _ = call("--mode=evaluate", f"--workdir={work}", "--step=best")
    assert code == 0 and f"step {best} of" in out
    assert call("--mode=sample", f"--workdir={work}", "--samples=2", "--step=10")[0] == 0
    assert (work / "samples/step_10_seed_0_n_2.npz").exists()
    with pytest.raises(errors.UserError, match='a whole number or "best", not'):
        jaxgan.load(work, step="newest")


def test_scores_that_cannot_be_saved_are_printed(call, work):
    (work / "evaluation.json").unlink()
    (work / "evaluation.json").mkdir()  # root may write in a directory that is read-only
    code, out, err = call("--mode=evaluate", f"--workdir={work}")
    assert code == 0 and "test_log_likelihood" in out
    assert err.startswith("warning: the scores were not saved: ") and err.count("\n") == 1


def test_a_tilde_is_the_home(call, work, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    assert call("--mode=sample", "--workdir=~/work", "--samples=1")[0] == 0
    assert (work / "samples/step_10_seed_0_n_1.png").exists()
    gan = jaxgan.load("~/work")
    gan.export("~/g.stablehlo")
    assert (tmp_path / "g.stablehlo").exists()
    assert call("--mode=sample", "--workdir=~", "--samples=1")[2].startswith(
        f"error: {tmp_path} is not a work directory"
    )
    assert train(update(gan.config, {"train.steps": 12}), Path("~/work")) == 0
    assert not (ROOT / "~").exists()


def test_a_config_names_the_workdir_of_every_mode(call, work, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    work.rename(tmp_path / "runs/mine")
    assert call("--mode=sample", "--config=mine.py", "--samples=1")[0] == 0
    assert call("--mode=evaluate", "--config=mine.py")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --config=NAME (--list=configs prints the names), or --workdir=DIR of a run"),
        (["--workdir=gone"], "gone is not a work directory"),
        (
            ["--workdir=WORK", "--config.train.batch_size=5"],
            "another configuration (train.batch_size was 8 and is now 5)",
        ),
        (["--config=digit", "--workdir=WORK"], "digit cannot be read: No such file; did you mean digits?"),
        (["--mode=evaluate"], "give --config"),
        (["--mode=evaluate", "--workdir=WORK", "--config.train.steps=5"], "leave out --config.train.steps=5"),
        (["--mode=evaluate", "--workdir=WORK", "--config.evaluate.metrics=fame"], "not 'fame'"),
        (["--mode=evaluate", "--workdir=WORK", "--config.evaluate.samples=0"], "evaluate.samples must be above 0"),
        (["--mode=evaluate", "--workdir=WORK", "--config.evaluate.best=test_log_likelihood"], "the test set"),
        (["--mode=sample", "--workdir=WORK", "--config.data.dir=x"], "leave out --config.data.dir=x"),
        (["--mode=sample", "--workdir=WORK", "--label=3"], "there is no class 3; classes go from 0 to 2"),
        (["--mode=sample", "--workdir=WORK", "--label=-1"], "there is no class -1; classes go from 0 to 2"),
        (["--mode=sample", "--workdir=WORK", "--label=cta"], "no class 'cta'; the closest of 3 names is 'cat'"),
        (["--mode=sample", "--workdir=WORK", "--step=7"], "no checkpoint of step 7; it has [10]"),
        (["--mode=evaluate", "--workdir=WORK", "--step=last"], "--step=last is neither a step nor best"),
        (["--config=configs/digits.py", "--workdir=WORK", "--step=10"], "--step is for --mode=evaluate and"),
        (["--config=digits", "--workdir=WORK", "--seed=7"], "--mode=sample (training has --config.seed), not for"),
        (["--config=digits", "--workdir=WORK", "--label=3"], "--label is for --mode=sample, not for --mode=train"),
        (["--mode=export", "--workdir=WORK", "--step=best"], "--step is for --mode=evaluate and --mode=sample, not"),
        (["--mode=evaluate", "--workdir=WORK", "--samples=9"], "--samples is for --mode=sample, not for"),
        (["--mode=sample", "--workdir=WORK", "--out=x"], "--out is for --mode=export, not for --mode=sample"),
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


def test_what_can_be_set_is_printed(call, work):
    code, out, err = call("--mode=config", "--config=digits", "--config.train.steps=7")
    assert (code, err) == (
        0,
        "",
    ) and "\ntrain.steps=7  # iterations of Algorithm 1's outer loop; default: 20000\n" in out
    code, out, err = call("--mode=config", f"--workdir={work}")
    assert (code, err) == (0, "") and "\ngenerator.irange=1.0  #" in out
    code, out, err = call("--list=penalties")
    assert (code, err) == (0, "") and out.startswith("r1 ")
    _, out, _ = call("--help")
    assert "--mode=config" in out and "--list=WHAT" in out
