"""The estimate of a run's memory, and the refusal of what cannot fit."""

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.game.state import GanState, Player
from jaxgan.run import memory
from jaxgan.run.lock import LOCK
from jaxgan.train import train


def test_the_estimate_is_the_sum_of_what_is_there():
    zeros = lambda n: np.zeros(n, np.float32)  # noqa: E731
    one = np.uint32(0)
    state = GanState(one, one, Player(zeros(10), {}, (zeros(20),)), Player(zeros(30), {}, (zeros(60),)), (zeros(10),))
    found = memory.estimate(state, 1000)
    assert found[:3] == (1000, 4 * (1 + 1 + 10 + 20 + 30 + 60 + 10), 4 * 30)
    assert 0 < found.free < 2**50


def test_sizes_have_three_digits():
    sizes = {0: "0 B", 81: "81 B", 1536: "1.5 KiB", 456 << 20: "456 MiB", 20 << 30: "20 GiB"}
    assert {count: memory.size(count) for count in sizes} == sizes


def test_what_cannot_fit_is_refused_with_what_to_change():
    memory.check(memory.Memory(50, 30, 20, free=100), resident=True)
    for data, state, resident, words in (
        (51, 30, True, "more than 101 B of memory per device .*; try data.resident=false, smaller networks"),
        (1, 81, True, "try smaller networks, a smaller train.batch_size or a larger train.accumulate"),
        (60, 30, False, "try smaller networks"),
    ):
        with pytest.raises(UserError, match=words):
            memory.check(memory.Memory(data, state, 20, free=100), resident)


def test_a_run_that_cannot_fit_writes_nothing(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 100_000)
    with pytest.raises(UserError, match=r"the run needs more than .* data.resident=false"):
        train(tiny_config(), tmp_path / "run")
    assert not [path for path in (tmp_path / "run").iterdir() if path.name != LOCK]
