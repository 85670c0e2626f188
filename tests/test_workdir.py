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

import numpy as np
import pytest

from jaxgan import workdir
from jaxgan.config import default, update
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.workdir import claim, opened, write_atomically


def dataset(n: int = 5, shape: tuple[int, ...] = (8, 8, 1)) -> Dataset:
    x = np.zeros((n, *shape), np.uint8)
    return Dataset("digits", x, x, x, None)


def contents(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.iterdir()}


def test_a_claimed_directory_tells_what_the_run_is(tmp_path):
    config = update(default(), {"train.steps": 7, "generator.hidden": (3, 4)})
    with claim(tmp_path / "a" / "b", config, dataset(11, (4, 6, 3))):
        found, facts = opened(tmp_path / "a" / "b")
    assert found.to_dict() == config.to_dict()
    assert facts == {"shape": [4, 6, 3], "examples": 11}
    assert opened(tmp_path / "a" / "b")[1] == facts


def test_the_same_run_again_and_longer(tmp_path):
    with claim(tmp_path, default(), dataset()):
        pass
    before = contents(tmp_path)
    with claim(tmp_path, default(), dataset()):
        pass
    assert contents(tmp_path) == before
    with claim(tmp_path, update(default(), {"train.steps": 9, "checkpoint.keep": 5}), dataset()):
        pass
    assert opened(tmp_path)[0].train.steps == 9


def test_another_configuration_is_refused_with_three_fields_named(tmp_path):
    with claim(tmp_path, default(), dataset()):
        pass
    before = contents(tmp_path)
    changes = {
        "seed": 1,
        "train.batch_size": 64,
        "objective.loss": "minimax",
        "prior.size": 3,
        "train.steps": 9,
    }
    with pytest.raises(UserError) as caught, claim(tmp_path, update(default(), changes), dataset()):
        pass
    words = str(caught.value)
    assert "seed was 0 and is now 1" in words and "and 1 more" in words and "another --workdir" in words
    assert words.count(" was ") == 3 and "train.steps" not in words
    assert contents(tmp_path) == before


@pytest.mark.parametrize("other", [dataset(6), dataset(5, (8, 8, 3))])
def test_other_data_is_refused(tmp_path, other):
    with claim(tmp_path, default(), dataset()):
        pass
    with pytest.raises(UserError, match="other data"), claim(tmp_path, default(), other):
        pass


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="no work directory"), claim(tmp_path, default(), dataset()):
        pass
    assert contents(tmp_path) == {"thesis.tex": b"x"}
    with pytest.raises(UserError, match="no work directory"):
        opened(tmp_path)


def test_a_claim_killed_at_any_moment_can_be_repeated(tmp_path):
    with claim(tmp_path / "whole", default(), dataset()):
        whole = contents(tmp_path / "whole")
    order = [".lock", ".dataset.json.tmp", "dataset.json", ".config.json.tmp"]
    for n in range(1, len(order) + 1):
        path = tmp_path / str(n)
        path.mkdir()
        for name in order[:n]:
            (path / name).write_bytes(whole.get(name, b"half a fi"))
        with claim(path, default(), dataset()):
            assert opened(path)[1]["examples"] == 5


@pytest.mark.parametrize("text", ["", '{"seed": 0', "[]", '{"sede": 0}', "\x80"])
def test_a_damaged_config_is_named_and_kept(tmp_path, text):
    with claim(tmp_path, default(), dataset()):
        pass
    (tmp_path / "config.json").write_text(text, "latin-1")
    with pytest.raises(UserError, match=r"config\.json"), claim(tmp_path, default(), dataset()):
        pass
    with pytest.raises(UserError, match=r"config\.json"):
        opened(tmp_path)
    assert (tmp_path / "config.json").read_text("latin-1") == text


@pytest.mark.parametrize("path", ["file", "file/below", "n" * 300])
def test_a_path_that_cannot_be_a_directory(tmp_path, path):
    (tmp_path / "file").write_text("x")
    words = "cannot be the work directory"
    with pytest.raises(UserError, match=words), claim(tmp_path / path, default(), dataset()):
        pass
    assert contents(tmp_path) == {"file": b"x"}


def test_a_read_only_directory(tmp_path):
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("root may write everywhere, and may not mount here")
    else:
        tmp_path.chmod(0o555)
    try:
        for path, words in (
            (tmp_path, "cannot be written"),
            (tmp_path / "x", "cannot be the work directory"),
        ):
            with pytest.raises(UserError, match=words), claim(path, default(), dataset()):
                pass
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(tmp_path)], check=True)
        else:
            tmp_path.chmod(0o755)


HOLDER = """
import sys, time
from pathlib import Path
from jaxgan.workdir import lock
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


def test_a_second_process_is_told_who_is_first_and_a_dead_one_does_not_block(tmp_path):
    with holder(tmp_path) as process:
        start = time.monotonic()
        with pytest.raises(UserError) as caught, claim(tmp_path, default(), dataset()):
            pass
        assert f"in use by process {process.pid} on {socket.gethostname()}" in str(caught.value)
        process.kill()
        process.wait()
        with claim(tmp_path, default(), dataset()):
            pass
        assert time.monotonic() - start < 10  # not watched for a heartbeat


def test_one_of_many_threads_gets_it(tmp_path):
    results, start = [], threading.Barrier(8)

    def attempt():
        start.wait()
        try:
            with claim(tmp_path, default(), dataset()):
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
    with pytest.raises(KeyboardInterrupt), claim(tmp_path, default(), dataset()):
        raise KeyboardInterrupt
    with claim(tmp_path, default(), dataset()):
        pass


@pytest.fixture
def quick_heart(monkeypatch):
    monkeypatch.setattr(workdir, "BEAT", 0.05)


def lock_of(path: Path, host: str, **more) -> Path:
    """What a process of `host` leaves in a directory whose flock this host does not see."""
    path.mkdir(exist_ok=True)
    (path / ".lock").write_text(json.dumps({"host": host, "pid": 7, "since": "2014-06-10 00:00:00"} | more))
    return path / ".lock"


def test_another_host_that_is_alive(tmp_path, quick_heart, capsys):
    lock = lock_of(tmp_path, "far")
    stop = threading.Event()

    def beat():
        while not stop.wait(0.02):
            os.utime(lock)

    heart = threading.Thread(target=beat)
    heart.start()
    try:
        with (
            pytest.raises(UserError, match="in use by process 7 on far"),
            claim(tmp_path, default(), dataset()),
        ):
            pass
    finally:
        stop.set()
        heart.join()
    assert "watching" in capsys.readouterr().err
    assert json.loads(lock.read_text())["host"] == "far"


def test_another_host_that_is_dead(tmp_path, quick_heart):
    lock = lock_of(tmp_path, "far")
    os.utime(lock, (time.time() + 1e6, time.time() + 1e6))  # a clock far ahead is no heartbeat
    with claim(tmp_path, default(), dataset()):
        assert json.loads(lock.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 7}'])
def test_a_lock_that_says_nothing_belongs_to_nobody(tmp_path, text):
    (tmp_path / ".lock").write_text(text)
    with claim(tmp_path, default(), dataset()):
        pass


def test_a_file_system_without_flock(tmp_path, quick_heart, monkeypatch):
    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(workdir.fcntl, "flock", flock)
    lock_of(tmp_path, socket.gethostname())
    with ExitStack() as stack:
        stack.enter_context(claim(tmp_path, default(), dataset()))  # the owner is dead: does not beat
        with pytest.raises(UserError, match=f"process {os.getpid()}"):
            stack.enter_context(claim(tmp_path, default(), dataset()))  # is alive: does
    with claim(tmp_path, default(), dataset()):
        pass


def test_of_two_at_the_same_moment_one_goes_on(tmp_path, monkeypatch):
    """Without flock, and with the name of the other written just after ours."""

    def flock(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(workdir.fcntl, "flock", flock)
    monkeypatch.setattr(workdir.time, "sleep", lambda seconds: lock_of(tmp_path, "far"))
    with pytest.raises(UserError, match="process 7 on far"), claim(tmp_path, default(), dataset()):
        pass
    assert json.loads((tmp_path / ".lock").read_text())["host"] == "far"


def test_who_was_taken_for_dead_leaves_the_lock_to_its_new_owner(tmp_path):
    with claim(tmp_path, default(), dataset()):
        lock_of(tmp_path, "far")
    assert json.loads((tmp_path / ".lock").read_text())["host"] == "far"


def test_the_heart_beats(tmp_path, quick_heart):
    with claim(tmp_path, default(), dataset()):
        first = (tmp_path / ".lock").stat().st_mtime_ns
        time.sleep(0.3)
        assert (tmp_path / ".lock").stat().st_mtime_ns > first


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sub" / "x.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workdir.os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_atomically(path, b"newer")
    assert contents(path.parent) == {"x.json": b"new"}
