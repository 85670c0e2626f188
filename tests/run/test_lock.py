"""One process at a time in a directory, on one host or several."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from jaxgan.errors import UserError
from jaxgan.run import lock as locks
from jaxgan.run.lock import lock

HOLDER = """
import sys, time
from pathlib import Path
from jaxgan.run.lock import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(path: Path):
    """Another process that has the lock."""
    path.mkdir(exist_ok=True)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_learns_the_first_ones_id_and_a_dead_one_does_not_block(tmp_path):
    with holder(tmp_path) as process:
        start = time.monotonic()
        with pytest.raises(UserError) as caught, lock(tmp_path):
            pass
        assert f"in use by process {process.pid} on {socket.gethostname()}" in str(caught.value)
        process.kill()
        process.wait()
        with lock(tmp_path):
            pass
        assert time.monotonic() - start < 10  # not watched for a heartbeat


def test_one_of_many_threads_gets_it(tmp_path):
    results, start = [], threading.Barrier(8)

    def attempt():
        start.wait()
        try:
            with lock(tmp_path):
                results.append("claimed")
                time.sleep(1.5)
        except UserError as error:
            results.append(str(error))

    threads = [threading.Thread(target=attempt) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert results.count("claimed") == 1
    assert all(f"process {os.getpid()}" in result for result in results if result != "claimed")


def test_the_lock_is_free_after_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), lock(tmp_path):
        raise KeyboardInterrupt
    with lock(tmp_path):
        pass


@pytest.fixture
def quick_heart(monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.05)


def lock_of(path: Path, host: str, **more) -> Path:
    """What a process of `host` leaves in a directory whose flock this host does not see."""
    path.mkdir(exist_ok=True)
    (path / ".lock").write_text(json.dumps({"host": host, "pid": 7, "since": "2014-06-10 00:00:00"} | more))
    return path / ".lock"


def test_another_host_that_is_alive(tmp_path, quick_heart, capsys):
    file = lock_of(tmp_path, "far")
    stop = threading.Event()

    def beat():
        while not stop.wait(0.02):
            os.utime(file)

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        with (
            pytest.raises(UserError, match="in use by process 7 on far"),
            lock(tmp_path),
        ):
            pass
    finally:
        stop.set()
        heart.join()
    assert "waiting up to" in capsys.readouterr().err
    assert json.loads(file.read_text())["host"] == "far"


def test_another_host_that_is_dead(tmp_path, quick_heart):
    file = lock_of(tmp_path, "far")
    os.utime(file, (time.time() + 1e6, time.time() + 1e6))  # a clock far ahead is no heartbeat
    with lock(tmp_path):
        assert json.loads(file.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 7}'])
def test_an_empty_lock_belongs_to_nobody(tmp_path, text):
    (tmp_path / ".lock").write_text(text)
    with lock(tmp_path):
        pass


def test_a_file_system_without_flock(tmp_path, quick_heart, monkeypatch):
    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    lock_of(tmp_path, socket.gethostname())
    with ExitStack() as stack:
        stack.enter_context(lock(tmp_path))  # the owner is dead: does not beat
        with pytest.raises(UserError, match=f"process {os.getpid()}"):
            stack.enter_context(lock(tmp_path))  # is alive: does
    with lock(tmp_path):
        pass


def test_of_two_at_the_same_moment_one_gets_it(tmp_path, monkeypatch):
    """Without flock, and with the name of the other written just after ours."""

    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: lock_of(tmp_path, "far"))
    with pytest.raises(UserError, match="process 7 on far"), lock(tmp_path):
        pass
    assert json.loads((tmp_path / ".lock").read_text())["host"] == "far"


def test_who_was_taken_for_dead_leaves_the_lock_to_its_new_owner(tmp_path):
    with lock(tmp_path):
        lock_of(tmp_path, "far")
    assert json.loads((tmp_path / ".lock").read_text())["host"] == "far"


def test_the_heart_beats(tmp_path, quick_heart):
    with lock(tmp_path):
        first = (tmp_path / ".lock").stat().st_mtime_ns
        time.sleep(0.3)
        assert (tmp_path / ".lock").stat().st_mtime_ns > first


def test_who_was_taken_for_dead_notices(tmp_path):
    """As the owner of a lock that was suspended for longer than its heartbeats, and woke up."""
    with lock(tmp_path) as check:
        check()
        (tmp_path / ".lock").write_text("{")  # a file system that is away for a moment is no new owner
        check()
        lock_of(tmp_path, "far")
        with pytest.raises(UserError, match=r"process 7 on far has taken over .* \(at 2014-06-10 00:00:00\)"):
            check()


def test_the_same_process_number_on_another_host_is_another_owner(tmp_path):
    with lock(tmp_path) as check:
        mine = json.loads((tmp_path / ".lock").read_text())
        lock_of(tmp_path, "far", pid=mine["pid"], since=mine["since"])
        with pytest.raises(UserError, match="on far has taken over"):
            check()
