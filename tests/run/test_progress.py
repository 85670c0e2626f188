"""The output of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import pytest

from jaxgan import data
from jaxgan.algorithm1 import train_step
from jaxgan.config.hparams import traced
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build_for
from jaxgan.objectives.losses import LOSSES
from jaxgan.run import progress as module
from jaxgan.run.progress import Progress, closing, opening, scores_line
from jaxgan.train import train

GAME = {"value": -1.38629, "d_real": 0.5, "d_fake": 0.25, "g_loss": 0.7}


def test_plain_progress_is_sparse_and_ends_with_the_last_line(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    with Progress(1000, 100) as progress:
        for step in range(10, 1001, 10):  # 1 s each
            now[0] += 1
            progress.update(step, GAME, 10.0)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 18  # one in six seconds, and the last
    assert lines[0] == ("step 10/1000  10.0 steps/s  1000 images/s  0:01:39 left  V -1.386  D(x) 0.500  D(G(z)) 0.250")
    assert lines[-1].startswith("step 1000/1000") and "0:00:00 left" in lines[-1]


def test_plain_progress_of_a_stopped_run_shows_how_far_it_came(capsys):
    with pytest.raises(KeyboardInterrupt), Progress(1000, 100) as progress:
        for step in (10, 20, 30):
            progress.update(step, {}, 10.0)
        raise KeyboardInterrupt
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["10/1000", "30/1000"]


def test_live_progress_and_lines_above_it():
    """On a terminal of 80 columns, as `script` would record it."""
    master, slave = os.openpty()
    code = (
        "import time\n"
        "from jaxgan.run.progress import Progress\n"
        "with Progress(50, 100) as progress:\n"
        "    progress.update(10, {'value': -1.0, 'd_real': 0.75}, 2.0)\n"
        "    progress.log('a line [/] of text')\n"
        "    for step in range(11, 51):\n"
        "        progress.update(step, {'value': -1.25, 'd_real': 0.5}, 2.0)\n"
        "        time.sleep(0.01)\n"
    )
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=slave, env=environment) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # Linux ends a terminal without writers so
                break
            if not part:
                break
            shown += part
    os.close(master)
    assert process.returncode == 0
    text = shown.decode()
    assert "━" in text and "a line [/] of text" in text
    assert "step 10/50" in text and "D(x) 0.750" in text
    assert text.rindex("step 50/50") > text.rindex("a line")
    assert 3 <= len({word for word in text.split() if word.endswith("/50")}) <= 20  # now and then


def test_a_loss_whose_d_is_no_probability_shows_losses_and_logits(capsys):
    with Progress(10, 4) as progress:
        progress.update(10, {"d_loss": 1.5, "g_loss": -0.25, "real_logit": 3.0, "fake_logit": -2.0, "r1": 9.0}, 1.0)
    assert (
        capsys.readouterr().out.split("left  ")[1]
        == "D loss 1.500  G loss -0.250  logit(x) 3.000  logit(G(z)) -2.000\n"
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_has_numbers_to_show(tiny_config, loss):
    """Three for a D that is a probability, else four; the names are those of the metrics of a step, which is traced."""
    config = tiny_config(objective__loss=loss)
    dataset = data.load(config.data)
    gan, hparams = build_for(config, dataset), traced(config)
    state = jax.eval_shape(gan.init, hparams)
    step = partial(train_step, gan=gan)
    _, metrics = jax.eval_shape(
        lambda h, s, d: step(hparams=h, state=s, data=d), hparams, state, TrainingSet(dataset.train, ())
    )
    shown = next(words for words in module.GAME if words.keys() & metrics.keys())
    assert shown.keys() <= metrics.keys()
    assert ("value" in shown) == LOSSES[loss].probability


def test_the_opening_describes_data_players_and_place(tiny_config):
    """The players by hand: G 8 -> 16 -> 64 with biases, D 64 -> 8 -> 8 -> 1 with biases."""
    config = tiny_config(**{"discriminator.activation": "relu", "train.steps": 2000})
    dataset = data.load(config.data)
    gan = build_for(config, dataset)
    text = opening(config, dataset, jax.eval_shape(gan.init, traced(config)), Path("runs/x"), "some")
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["data"] == data.describe(dataset)
    assert lines["G"] == f"mlp, {8 * 16 + 16 + 16 * 64 + 64:,} parameters: z of dimension 8 to 8x8x1"
    assert lines["D"] == f"mlp, {64 * 8 + 8 + 8 * 8 + 8 + 8 + 1} parameters"
    assert lines["train"].startswith(
        f"2,000 steps of 8 examples on {jax.device_count()} {jax.default_backend().upper()}"
    )
    assert lines["workdir"] == "runs/x"


def test_scores_in_words():
    scores = {"fid": 12.345, "precision": None, "density": 2.0, "selection": -12.3, "parzen_sigma": 0.2}
    assert scores_line(scores) == "FID: 12.35; precision: nan"  # density is neither better nor worse
    assert scores_line({}) == ""


def test_the_closing_names_the_last_scores_the_best_step_and_the_report(tmp_path):
    records = [{"step": step, "fid": fid, "selection": -fid} for step, fid in ((10, 9.0), (20, 4.0), (30, 5.0))]
    (tmp_path / "metrics.jsonl").write_text(
        "".join(json.dumps(r) + "\n" for r in [*records, {"step": 40, "d_loss": 1}])
    )
    lines = closing(tmp_path, 40, 62.4).splitlines()
    assert lines[0] == f"finished 40 steps; everything is in {tmp_path}"
    assert [line.split(maxsplit=1) for line in lines[1:]] == [
        ["time", "0:01:02"],
        ["scores", "FID: 5.00, at step 30 (best on validation: step 20)"],
        ["report", f"{tmp_path / 'report.html'}"],
    ]


@pytest.mark.slow
def test_a_run_announces_what_takes_long(tiny_config, tmp_path, capsys):
    """Each line is printed before what it announces, and scores follow their evaluation."""
    config = tiny_config(**{"train.steps": 20, "evaluate.every": 10, "log.every": 10})
    assert train(config, tmp_path / "work") == 0
    out = capsys.readouterr().out
    evaluating = "evaluating parzen on 64 samples\n"
    wanted = [
        "reading digits\n",
        "\nG  ",
        "compiling the init",
        "compiling the training step",
        evaluating,
        "step 10: Parzen",
    ]
    wanted += [evaluating, "step 20: Parzen", "writing", "finished 20 steps", "\nscores", "\nreport"]
    at = -1
    for words in wanted:
        at = out.find(words, at + 1)
        assert at >= 0, f"{words!r} is missing or out of order in {out}"
