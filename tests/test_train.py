"""The loop: resumed equals uninterrupted, divergence, signals, and what a user finds afterwards."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan import data, distributed
from jaxgan.algorithm1 import train_step
from jaxgan.config import update
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build_for
from jaxgan.game.state import run_stream
from jaxgan.metrics import METRICS
from jaxgan.run import pacer
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.writers import read_metrics
from jaxgan.train import train

ROOT = Path(__file__).parents[1]


def state(workdir):
    return jax.tree.leaves(jaxgan.load(workdir).state)


def timeless(workdir):
    """metrics.jsonl without the two numbers that depend on the clock."""
    clock = ("images_per_second", "evaluation_seconds")
    return [{k: v for k, v in record.items() if k not in clock} for record in read_metrics(workdir)]


@pytest.fixture(scope="module")
def finished(tiny_config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("run") / "work"
    assert train(tiny_config(), workdir) == 0
    return workdir


def test_a_run_leaves_what_the_readme_promises(finished):
    found = {str(path.relative_to(finished)) for path in finished.rglob("*")}
    assert {"config.json", "run.json", "metrics.jsonl", "evaluation.json", "curves.png", "checkpoints/20"} <= found
    assert "samples/000000020.png" in found
    assert any(name.startswith("tensorboard/events") for name in found)
    records = read_metrics(finished)
    assert [record["step"] for record in records] == [5, 10, 15, 20]
    assert {"value", "d_loss", "g_loss", "d_real", "d_fake", "images_per_second"} <= records[0].keys()
    assert [record["step"] for record in records if record.get("evaluation_seconds", 0) > 0] == [20]
    evaluation = json.loads((finished / "evaluation.json").read_text())
    assert evaluation["step"] == 20
    assert evaluation["test_standard_error"] > 0
    assert evaluation[SELECTION] == evaluation["validation_log_likelihood"]


def test_the_files_of_a_run_follow_the_umask(tiny_config, tmp_path):
    """So that a group can share a run: all kinds of files that a run writes."""
    before = os.umask(0o002)
    try:
        assert train(tiny_config(**{"sample.every": 10}), tmp_path / "work") == 0
    finally:
        os.umask(before)
    modes = {path: path.stat().st_mode & 0o777 for path in [tmp_path / "work", *(tmp_path / "work").rglob("*")]}
    assert {".lock", "metrics.jsonl", "run.json", "report.html", "curves.png"} <= {path.name for path in modes}
    assert [path for path, mode in modes.items() if mode != (0o775 if path.is_dir() else 0o664)] == []


def test_a_score_carries_its_protocol(finished):
    protocol = json.loads((finished / "evaluation.json").read_text())["protocol"]
    versions = protocol.pop("versions")
    assert protocol == {
        "data": "digits",
        "train_examples": 1350,
        "validation_examples": 150,
        "test_examples": 297,
        "metrics": ["parzen"],
        "samples": 64,
        "generator": "theta_g of the step",
        "batch_statistics": "none",
        "seed": 0,
        "parzen": {"validation": 150},
    }
    assert versions["jax"] == jax.__version__ and versions["numpy"] == np.__version__


@pytest.mark.parametrize("stop", [pytest.param(10, marks=pytest.mark.slow), 15])
def test_resumed_equals_uninterrupted_bit_for_bit(finished, tiny_config, tmp_path, stop):
    """Also from a step that is no checkpoint of the longer run."""
    workdir = tmp_path / "work"
    train(update(tiny_config(), {"train.steps": stop}), workdir)
    train(tiny_config(), workdir)
    for a, b in zip(state(workdir), state(finished), strict=True):
        np.testing.assert_array_equal(a, b)
    lines = timeless(workdir)
    for line in lines:
        if line["step"] == stop:  # the shorter run ended here, so it was evaluated here too
            scores = line.keys() - timeless(finished)[0].keys()
            assert SELECTION in scores
            for name in scores:
                del line[name]
    assert lines == timeless(finished)


@pytest.mark.slow
def test_the_averages_are_resumed_and_sampled_bit_for_bit(tiny_config, tmp_path):
    averaged = {"generator.ema.gamma": (1.0,), "generator.ema.half_life": (50.0,), "objective.penalties.r1": 0.2}
    config = tiny_config(**averaged, **{"discriminator.irange": 0.5, "optimizer.generator.learning_rate": 0.1})
    train(config, tmp_path / "whole")
    train(update(config, {"train.steps": 10}), tmp_path / "parts")
    train(config, tmp_path / "parts")
    for a, b in zip(state(tmp_path / "whole"), state(tmp_path / "parts"), strict=True):
        np.testing.assert_array_equal(a, b)
    gan = jaxgan.load(tmp_path / "parts")
    assert gan.averages == ("gamma=1", "half_life=50")
    z, drawn = gan.noise(4), {}
    for ema, params in (
        (True, gan.state.averages[0]),
        ("gamma=1", gan.state.averages[0]),
        ("half_life=50", gan.state.averages[1]),
        (False, gan.state.generator.params),
    ):
        drawn[ema] = gan.sample(4, ema=ema)
        np.testing.assert_allclose(drawn[ema], gan.generate(z, ema=ema), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(drawn[ema], gan.gan.G(params, {}, z)[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(drawn[True], drawn["gamma=1"])
    for a, b in (("gamma=1", "half_life=50"), ("gamma=1", False), ("half_life=50", False)):
        assert not np.allclose(drawn[a], drawn[b], rtol=1e-3)
    protocol = json.loads((tmp_path / "parts/evaluation.json").read_text())["protocol"]
    assert protocol["generator"] == "power-function EMA of G, weights ~ step^1"


def test_another_seed_is_another_run(finished, tiny_config, tmp_path):
    train(tiny_config(seed=1), tmp_path / "work")
    assert timeless(tmp_path / "work") != timeless(finished)


def test_repeating_a_finished_run_changes_nothing(finished, tiny_config, capsys):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert train(tiny_config(), finished) == 0
    assert "20" in capsys.readouterr().out
    for path, content in before.items():
        if "tensorboard" not in path.parts and path.name != ".lock":
            assert path.read_bytes() == content, path


EXPLODING = {
    "optimizer.generator.learning_rate": 1e30,
    "optimizer.discriminator.learning_rate": 1e30,
    "generator.output": "linear",
}


def test_divergence_stops_with_the_step_the_metric_and_the_last_good_state(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r"by step 5; the last good state is step 0 \(there is no checkpoint\)"):
        train(tiny_config(**EXPLODING), tmp_path / "work")
    assert not (tmp_path / "work/checkpoints").exists()


def test_divergence_restores_at_most_so_often(tiny_config, tmp_path, capsys):
    config = tiny_config(**EXPLODING, **{"train.on_divergence": "restore", "train.max_restores": 2})
    with pytest.raises(UserError, match="diverged again after 2 rollbacks"):
        train(config, tmp_path / "work")
    assert "(1 of 2)" in capsys.readouterr().out


def test_a_batch_larger_than_the_data(tiny_config, tmp_path):
    with pytest.raises(UserError, match="5000 is larger than the training set of 1350"):
        train(tiny_config(**{"train.batch_size": 5000}), tmp_path / "work")
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_prints_how_to_resume(finished, tiny_config, tmp_path, capsys, number):
    """Sent in the middle of a run: exit code 128 + n, a checkpoint, and then the same end as undisturbed."""
    workdir = tmp_path / "work"
    long = tiny_config(**{"train.steps": 100_000})

    def send():
        while not read_metrics(workdir):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    assert train(long, workdir) == 128 + number
    thread.join()
    assert "repeat the command to resume" in capsys.readouterr().out
    step, told = jaxgan.load(workdir).step, read_metrics(workdir)[-1]["step"]
    assert told <= step < min(told + 5, 100_000)  # between two lines of metrics.jsonl
    for record, undisturbed in zip(timeless(workdir)[:3], timeless(finished), strict=False):
        assert record == undisturbed


def test_the_command_line(tmp_path):
    """One subprocess: an error is one line, exit code 2, nothing written."""
    command = [
        sys.executable,
        "-m",
        "jaxgan.main",
        "--config=configs/digits.py",
        f"--workdir={tmp_path / 'work'}",
    ]
    result = subprocess.run(
        [*command, "--config.objective.loss=hunge"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: objective.loss must be one of minimax, ")
    assert "not 'hunge'; did you mean 'hinge'?" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "work").exists()


# --- what a command that is refused leaves ---


def contents(workdir):
    """Every file but the lock, which any call writes."""
    return {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file() and p.name != ".lock"}


def test_a_refused_command_changes_nothing(tiny_config, tmp_path):
    """Fewer steps than there are, alone and with other fields that may change and that may not."""
    workdir = tmp_path / "work"
    train(tiny_config(), workdir)
    before = contents(workdir)
    for changes, words in (
        ({"train.steps": 15}, r"already at step 20, beyond train\.steps=15; raise train\.steps"),
        ({"train.steps": 15, "log.every": 3, "checkpoint.keep": 7}, r"beyond train\.steps=15"),
        ({"train.steps": 40, "evaluate.samples": 100}, r"evaluate\.samples was 64 and is now 100"),
        ({"train.steps": 40, "optimizer.generator.b1": 0.9}, r"optimizer\.generator\.b1 was"),
    ):
        with pytest.raises(UserError, match=words):
            train(update(tiny_config(), changes), workdir)
        assert contents(workdir) == before


def test_who_was_taken_over_writes_nothing_more(tiny_config, tmp_path, monkeypatch):
    """Another process has the directory since this one was suspended: at step 10 its lock has another name."""
    workdir, evaluated = tmp_path / "work", []

    def evaluator(*_):
        def evaluate(hparams, state):
            (workdir / ".lock").write_text('{"host": "far", "pid": 7, "since": "2014"}')
            evaluated.append((int(state.step), contents(workdir)))
            return {SELECTION: 1.0}

        return evaluate

    monkeypatch.setattr("jaxgan.train.make_evaluator", evaluator)
    with pytest.raises(UserError, match=r"process 7 on far has taken over .*nothing was overwritten"):
        train(tiny_config(**{"evaluate.every": 10}), workdir)
    ((step, before),) = evaluated
    after = contents(workdir)
    assert step == 10
    assert {p: b for p, b in after.items() if "tensorboard" not in p.parts} == {
        p: b for p, b in before.items() if "tensorboard" not in p.parts
    }
    assert [record["step"] for record in read_metrics(workdir)] == [5]
    assert json.loads((workdir / ".lock").read_text())["pid"] == 7


def test_who_was_taken_over_saves_no_checkpoint_on_a_signal(tiny_config, tmp_path, monkeypatch):
    """Between two lines of metrics.jsonl: it is stopped at step 3."""
    workdir, steps = tmp_path / "work", []

    def sync_hosts(stop, n):
        steps.append(n)
        if len(steps) == 3:
            (workdir / ".lock").write_text('{"host": "far", "pid": 7, "since": "2014"}')
        return len(steps) == 3, n

    monkeypatch.setattr(pacer, "DISPATCH_SECONDS", 0.0)  # chunks of one step
    monkeypatch.setattr(distributed, "sync_hosts", sync_hosts)
    with pytest.raises(UserError, match="process 7 on far has taken over"):
        train(tiny_config(), workdir)
    assert len(steps) == 3 and not (workdir / "checkpoints").exists()


def test_off_the_main_thread(finished, tiny_config, tmp_path):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(train(tiny_config(), tmp_path / "work")))
    thread.start()
    thread.join()
    assert codes == [0]
    assert timeless(tmp_path / "work") == timeless(finished)


# --- which checkpoint is the best ---


def test_the_best_checkpoint_is_the_best_on_validation_data(tiny_config, tmp_path, monkeypatch):
    """Scores that disagree: on validation data step 10 is best, on test data step 20."""
    scores = {10: (-1.0, -9.0), 20: (-5.0, -2.0), 30: (-3.0, -3.0), 40: (-4.0, -4.0)}
    at = iter(scores.values())

    def measure(samples, validation, test):
        validation_score, test_score = next(at, (0.0, 0.0))  # the report then scores real data
        return {"validation_log_likelihood": validation_score, "test_log_likelihood": test_score}

    monkeypatch.setitem(METRICS, "parzen", METRICS["parzen"]._replace(evaluate=measure))
    changes = {"train.steps": 40, "evaluate.every": 10, "checkpoint.keep": 1}
    train(tiny_config(**changes), tmp_path / "work")
    kept = sorted(int(p.name) for p in (tmp_path / "work/checkpoints").iterdir() if p.name.isdecimal())
    assert kept == [10, 40]  # the best and the last
    with Checkpoints(tmp_path / "work/checkpoints", keep=1, best_key=SELECTION) as checkpoints:
        assert checkpoints.best_step() == 10
    evaluation = json.loads((tmp_path / "work/evaluation.json").read_text())
    assert (evaluation["step"], evaluation[SELECTION]) == (40, -4.0)


@pytest.mark.parametrize("loss", ["non_saturating", "relativistic"])
def test_every_random_number_is_another_after_a_restore(tiny_config, monkeypatch, loss):
    """Noise, masks and the order of the data of a step that is made again after a divergence: all its streams."""
    config = tiny_config(**{"objective.loss": loss})
    dataset = data.load(config.data)
    gan, hparams, asked = build_for(config, dataset), traced(config), []

    def spy(hparams, name, restores=0):
        asked.append((name, restores))
        return run_stream(hparams, name, restores)

    monkeypatch.setattr("jaxgan.game.batches.run_stream", spy)

    def step(state):
        del asked[:]
        train_step(gan=gan, hparams=hparams, state=state, data=TrainingSet(jnp.asarray(dataset.train)))
        for _, restores in asked:
            assert restores is state.restores
        return state.step

    jax.eval_shape(step, jax.eval_shape(gan.init, hparams))
    assert {name for name, _ in asked} == {"train", "order", "fresh", "labelled"}
    keys = [[np.asarray(jax.random.key_data(run_stream(hparams, name, n))) for n in (0, 1)] for name, _ in asked]
    assert not any(np.array_equal(a, b) for a, b in keys)
