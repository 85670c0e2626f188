"""Pieces of steps, on a clock and a device that the test makes up."""

from __future__ import annotations

import os
import signal
import threading

import jax
import pytest

from jaxgan.run import pacer
from jaxgan.run.pacer import catch_signals, is_due, next_event, pace

COMPILATION, STEP = 100.0, 0.25  # seconds


class Device:
    """Works on what it was given in order, each step for STEP seconds; compiles on the first call."""

    def __init__(self, monkeypatch):
        self.now = self.free = 0.0
        self.pieces: list[tuple[int, bool]] = []
        monkeypatch.setattr(pacer.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(jax, "block_until_ready", self.wait)
        monkeypatch.setattr(pacer, "is_ready", lambda handle: handle <= self.now)

    def dispatch(self, steps: int, line: bool) -> float:
        """Returns at once; the handle is when the device will be done."""
        self.free = max(self.free, self.now) + steps * STEP + (0.0 if self.pieces else COMPILATION)
        self.pieces.append((steps, line))
        return self.free

    def wait(self, handle: float) -> float:
        self.now = max(self.now, handle)
        return handle


@pytest.fixture
def device(monkeypatch):
    return Device(monkeypatch)


def paced(device, config, step=0, signals=(), **others):
    return pace(step=step, config=config, dispatch=device.dispatch, signals=list(signals), **others)


def test_events_are_at_multiples_of_the_intervals(tiny_config):
    config = tiny_config(**{"train.steps": 50, "log.every": 6, "checkpoint.every": 15, "sample.every": 0})
    seen = [0]
    while seen[-1] < 50:
        seen.append(next_event(seen[-1], config))
    assert seen == [0, 6, 12, 15, 18, 24, 30, 36, 42, 45, 48, 50]


def test_every_piece_ends_at_an_event_or_earlier(tiny_config, device):
    config = tiny_config(**{"train.steps": 50, "log.every": 6, "checkpoint.every": 15, "evaluate.every": 25})
    found = list(paced(device, config))
    assert sum(reached.steps for reached in found) == 50
    ends = {reached.step for reached in found}
    assert ends >= {6, 12, 15, 18, 24, 25, 30, 36, 42, 45, 48, 50}
    assert [r.step for r in found if r.log_due] == [6, 12, 15, 18, 24, 25, 30, 36, 42, 45, 48, 50]
    assert [r.step for r in found if r.checkpoint_due] == [15, 30, 45, 50]
    assert [r.step for r in found if r.evaluation_due] == [25, 50]
    assert [r.step for r in found if r.samples_due] == [50]  # 0: only at the end
    assert not any(r.stop for r in found)


def test_compilation_and_evaluations_are_not_in_the_seconds(tiny_config, device):
    """So the first line's images_per_second is that of the later ones."""
    config = tiny_config(**{"train.steps": 40, "log.every": 10, "evaluate.every": 20, "checkpoint.every": 40})
    assert device.now == 0
    for reached in paced(device, config):
        assert reached.seconds == pytest.approx(reached.steps * STEP)
        if reached.evaluation_due:
            device.now += 1000  # the caller measures
    assert device.pieces[0] == (0, False)  # compiles, and trains nothing
    assert device.now == pytest.approx(COMPILATION + 40 * STEP + 2 * 1000)


def test_a_blocking_device_is_timed_in_the_same_way(tiny_config, device):
    """As a GPU does from a loop whose length is a number of the program: the last line before an evaluation too."""
    config = tiny_config(**{"train.steps": 40, "log.every": 5, "evaluate.every": 20, "checkpoint.every": 40})
    returns_when_done = lambda steps, line: device.wait(device.dispatch(steps, line))  # noqa: E731
    for reached in pace(step=0, config=config, dispatch=returns_when_done, signals=[]):
        assert reached.seconds == pytest.approx(reached.steps * STEP)


def test_readiness_is_that_of_all_arrays():
    x = jax.block_until_ready(jax.numpy.ones(3))
    assert pacer.is_ready({"a": x, "b": 1.0})


def test_a_piece_is_a_second_of_work_and_the_next_one_waits_for_nothing(tiny_config, device):
    config = tiny_config(**{"train.steps": 400, "log.every": 400, "checkpoint.every": 400})
    for reached in paced(device, config):
        if reached.step < 390:
            assert device.free > device.now  # the next piece is at work already
    sizes = [steps for steps, _ in device.pieces]
    assert sizes[:3] == [0, 1, 1] and max(sizes) == pacer.DISPATCH_SECONDS / STEP == 4
    assert sizes.count(4) > 90


def test_a_signal_ends_it_within_two_pieces_and_the_last_one_is_whole(tiny_config, device):
    config = tiny_config(**{"train.steps": 400, "log.every": 400, "checkpoint.every": 400})
    signals, found = [], []
    for reached in pace(step=0, config=config, dispatch=device.dispatch, signals=signals):
        found.append(reached)
        if reached.step >= 100 and not signals:
            signals.append(signal.SIGTERM)
            at = device.now
    assert found[-1].stop and not any(r.stop for r in found[:-1])
    assert found[-1].step == sum(steps for steps, _ in device.pieces)  # nothing is at work that nobody waits for
    assert device.now - at <= 2 * pacer.DISPATCH_SECONDS + STEP


def test_where_another_host_stops_this_one_does(tiny_config, device):
    config = tiny_config(**{"train.steps": 400, "log.every": 400, "checkpoint.every": 400})
    asked = []

    def sync(stop, n):
        asked.append((stop, n))
        return len(asked) == 5, min(n, 2)

    found = list(paced(device, config, sync=sync))
    assert len(asked) == 5 and not any(stop for stop, _ in asked)
    assert found[-1].stop and max(steps for steps, _ in device.pieces) == 2


def test_hosts_talk_while_no_step_is_at_work(tiny_config, device, monkeypatch):
    """Their step and `sync` are two programs with collectives: at once, each host could wait in another one."""
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    config = tiny_config(**{"train.steps": 40, "log.every": 10, "checkpoint.every": 20})

    def sync(stop, n):
        assert device.now >= device.free
        return stop, n

    found = list(paced(device, config, sync=sync))
    assert sum(reached.steps for reached in found) == 40
    assert sum(reached.seconds for reached in found) == pytest.approx(40 * STEP)


def test_a_finished_run_makes_no_step(tiny_config, device):
    assert list(paced(device, tiny_config(**{"train.steps": 20}), step=20)) == []


def test_what_is_due(tiny_config):
    config = tiny_config(**{"train.steps": 20})
    assert [step for step in range(21) if is_due(step, 6, config)] == [0, 6, 12, 18, 20]
    assert [step for step in range(21) if is_due(step, 0, config)] == [20]


@pytest.fixture
def interruptible():
    """SIGINT as Python has it; a process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_the_first_signal_is_collected_and_the_second_acts():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with catch_signals() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert received == [signal.SIGTERM, signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.usefixtures("interruptible")
def test_a_closed_terminal_is_one_signal_to_stop():
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        with catch_signals() as received:
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGHUP)
            assert received == [signal.SIGHUP]
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        with catch_signals() as received:
            os.kill(os.getpid(), signal.SIGHUP)
            assert received == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_off_the_main_thread_signals_are_left_alone():
    before, found = signal.getsignal(signal.SIGTERM), []

    def run():
        with catch_signals() as received:
            found.append((list(received), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [([], before)]
