"""Files that are whole or not there, with one writer and with several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from jaxgan import files
from jaxgan.errors import UserError
from jaxgan.files import exclusive, is_temporary, write_atomically

# Begins to replace a file, and stands still with the draft half written.
HALFWAY = """
import os, sys, time
from pathlib import Path
from jaxgan import files

def stand_still(file):
    print("halfway", flush=True)
    time.sleep(60)

files.os.fsync = stand_still
files.write_atomically(Path(sys.argv[1]), b"never whole")
"""


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def halfway(tmp_path):
    """A process that is replacing tmp_path/x.json."""
    command = [sys.executable, "-c", HALFWAY, str(tmp_path / "x.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "halfway\n"
        yield process
        process.kill()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "sub" / "x.json"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_atomically(path, b"newer")
    assert contents(path.parent) == {"x.json": b"new"}


def test_an_interrupted_write_leaves_no_draft(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "x.json", b"new")
    assert contents(tmp_path) == {}


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda file: (done.append("fsync"), sync(file)))
    monkeypatch.setattr(files.os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    write_atomically(tmp_path / "x", b"new")
    assert done == ["fsync", "replace"]


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path, monkeypatch):
    """A second writer begins and ends while the first one has written its draft and not yet renamed it."""
    path, sync, seen = tmp_path / "x.json", os.fsync, []

    def meanwhile(file):
        sync(file)
        monkeypatch.setattr(files.os, "fsync", sync)
        write_atomically(path, b"a second writer's, which is longer")
        seen.append(path.read_bytes())

    monkeypatch.setattr(files.os, "fsync", meanwhile)
    write_atomically(path, b"a first writer's")
    assert seen == [b"a second writer's, which is longer"]
    assert contents(tmp_path) == {"x.json": b"a first writer's"}


def test_a_draft_stays_while_its_writer_lives_and_goes_once_it_was_killed(tmp_path, halfway):
    write_atomically(tmp_path / "y.json", b"whole")
    (draft,) = contents(tmp_path).keys() - {"y.json"}
    assert is_temporary(draft, "x.json") and f".{halfway.pid}-" in draft
    halfway.send_signal(signal.SIGKILL)
    halfway.wait()
    write_atomically(tmp_path / "y.json", b"whole again")
    assert contents(tmp_path) == {"y.json": b"whole again"}


def test_a_draft_that_is_removed_before_it_is_locked_is_begun_again(tmp_path, monkeypatch):
    """Another writer may take it for abandoned just after it was made."""
    lock, removed = files.fcntl.flock, []

    def flock(file, flags):
        if not removed:
            removed.append(file.name)
            os.unlink(file.name)
        lock(file, flags)

    monkeypatch.setattr(files.fcntl, "flock", flock)
    write_atomically(tmp_path / "x", b"new")
    assert removed and contents(tmp_path) == {"x": b"new"}


def test_drafts_under_their_old_name_are_known_and_removed(tmp_path):
    """As versions left them in which all writers of a file had one draft."""
    (tmp_path / ".x.json.tmp").write_bytes(b"half a fi")
    (tmp_path / "mine.tmp").write_bytes(b"not a draft")
    assert is_temporary(".x.json.tmp", "x.json") and is_temporary(".x.json.17-0123abcd.tmp", "x.json")
    assert not any(is_temporary(name, "x.json") for name in ("x.json.tmp", ".x.json", ".y.json.tmp", ".xxjson.tmp"))
    write_atomically(tmp_path / "x.json", b"whole")
    assert contents(tmp_path) == {"x.json": b"whole", "mine.tmp": b"not a draft"}


def test_a_directory_in_the_place_of_the_file(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="x could not be written"):
        write_atomically(tmp_path / "x", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_what_is_read_compared_and_written_is_not_changed_in_between(tmp_path):
    path, order = tmp_path / "x", []

    def other():
        order.append("asks")
        with exclusive(path):
            order.append("enters")

    thread = threading.Thread(target=other)
    with exclusive(path), exclusive(tmp_path / "y"):
        thread.start()
        thread.join(0.2)
        order.append("leaves")
    thread.join()
    assert order == ["asks", "leaves", "enters"]
