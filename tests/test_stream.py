"""Streamed training: the host reads the examples of each step ahead, and the numbers are those of resident data."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from jaxgan import parallel, stream
from jaxgan.algorithm1 import UPDATES, train_step
from jaxgan.data import source
from jaxgan.errors import UserError
from jaxgan.game import batches
from jaxgan.game.batches import TrainingSet
from jaxgan.train import train
from tests.test_train import state, timeless

OTHERS = {"simultaneous": {"objective__loss": "relativistic"}, "alternating": {"train__d_steps": 3}}


@pytest.mark.parametrize("conditional", ["none", "label"])
@pytest.mark.parametrize("update", UPDATES)
def test_a_step_reads_what_its_update_declares(update, conditional, game, monkeypatch, eagerly):
    """For every update rule: the minibatches that `Update.draws` lists, and no others, in that order."""
    changes = OTHERS.get(update, {}) | ({"train__g_batch_size": 4} if not UPDATES[update].shared_minibatch else {})
    one = game(train__update=update, conditional=conditional, **changes)
    read, drawn_data = [], batches.drawn_data

    def record(gan, source, draw, indices):
        read.append(draw)
        return drawn_data(gan, source, draw, indices)

    monkeypatch.setattr(batches, "drawn_data", record)

    @jax.jit  # which leaves out all but the numbers
    def numbers(state):
        train_step(one.gan, one.hparams, state, one.data)
        return [draw.number for draw in read]

    found = numbers(one.state._replace(step=np.uint32(7)))
    expected = UPDATES[update].draws(one.gan, 7)
    assert [int(number) for number in found] == [int(draw.number) for draw in expected]
    assert [(draw.stream, draw.size) for draw in read] == [(draw.stream, draw.size) for draw in expected]


CASES = {
    "plain": {},
    "classes, and data for both players": {
        "conditional": "label", "objective__loss": "relativistic", "train__d_steps": 2, "train__g_batch_size": 4
    },
    "extragradient": {"train__update": "extragradient", "conditional": "label"},
    "contrast normalization": {"data__gcn": 3.0, "generator__output": "linear"},
}  # fmt: skip


@pytest.mark.parametrize("case", ["plain", *(pytest.param(case, marks=pytest.mark.slow) for case in list(CASES)[1:])])
def test_streamed_steps_equal_resident_ones(case, game, monkeypatch):
    """Bit for bit, for steps in pieces of any size, and from a step in the middle of the run."""
    one, copy = game(**CASES[case]), lambda tree: parallel.replicate(jax.tree.map(np.asarray, tree))
    hparams, host = parallel.replicate(one.hparams), jax.tree.map(np.asarray, one.data)
    steps = parallel.make_train_steps(one.gan)
    middle, sums = steps(hparams, copy(one.state), parallel.replicate(host), 10)
    middle, sums = copy(middle), copy(sums)
    expected = steps(hparams, copy(middle), parallel.replicate(host), 20, copy(sums))
    steps = parallel.make_train_steps(one.gan, True)
    for piece in (1, 7, 64):
        monkeypatch.setattr(stream, "MAX_STEPS", piece)
        found, total, left = copy(middle), copy(sums), 20
        with stream.Stream(one.gan, host, seed=0, step=10, last=30) as examples:
            assert examples.capacity == piece
            while left:
                n = min(piece, left)
                found, total = steps(hparams, found, examples.take(n), n, total)
                left -= n
        jax.tree.map(np.testing.assert_array_equal, (found, total), expected)


def equal(a, b):
    """Whether two runs have the same metrics and the same last state, bit for bit."""
    same = [np.array_equal(x, y) for x, y in zip(state(a), state(b), strict=True)]
    return timeless(a) == timeless(b) and all(same)


def test_a_run_may_switch_between_the_two(tiny_config, tmp_path):
    changes = {"evaluate__metrics": ()}
    assert train(tiny_config(**changes), tmp_path / "resident") == 0
    for steps, choice in ((10, "false"), (20, "true")):
        assert train(tiny_config(train__steps=steps, data__resident=choice, **changes), tmp_path / "switched") == 0
    assert json.loads((tmp_path / "resident" / "run.json").read_text())["resident"]
    assert not json.loads((tmp_path / "switched" / "run.json").read_text())["resident"]
    assert equal(tmp_path / "resident", tmp_path / "switched")


def test_data_beyond_half_of_the_memory_are_streamed(monkeypatch):
    examples = TrainingSet(np.zeros((100, 2, 2, 1), np.uint8), np.zeros(100, np.int32))
    for limit, resident in ((800, True), (799, False)):
        monkeypatch.setattr(source, "MEMORY_LIMIT", limit)
        assert stream.is_resident("auto", examples) == resident
        assert stream.is_resident("true", examples) and not stream.is_resident("false", examples)
    few = examples._replace(labelled=batches.Labelled(examples.x[:1], np.zeros(1, np.int32)))
    assert stream.is_resident("true", few)
    with pytest.raises(UserError, match=r"needs the whole training set on the devices; set data\.resident=true"):
        stream.is_resident("false", few)


@pytest.mark.slow
def test_two_devices_an_archive_and_a_kill(tmp_path):
    """A streamed run on two devices, of images that stay in their file, killed after a checkpoint and resumed."""
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1)).astype(np.uint8)
    np.savez(tmp_path / "images.npz", train=images, train_labels=np.arange(300) % 3)
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    changes = {
        "data.name": f"npz:{tmp_path}/images.npz", "conditional": "label", "objective.loss": "relativistic",
        "train.steps": 200, "train.batch_size": 8, "log.every": 20, "checkpoint.every": 20, "sample.every": 0,
        "evaluate.metrics": "()", "data.validation": 30,
    }  # fmt: skip
    arguments = [f"--config.{key}={value}" for key, value in changes.items()]

    def start(choice):
        command = ["-m", "jaxgan.main", "--config=digits", *arguments, f"--config.data.resident={choice}"]
        return subprocess.Popen([sys.executable, *command, f"--workdir={tmp_path / choice}"], env=environment)

    assert start("true").wait(300) == 0
    killed, deadline = start("false"), time.monotonic() + 300
    while not list((tmp_path / "false").glob("checkpoints/[0-9]*0")) and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert start("false").wait(300) == 0
    assert len(json.loads((tmp_path / "false" / "run.json").read_text())["devices"]) == 2
    assert equal(tmp_path / "true", tmp_path / "false")
