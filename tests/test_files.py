"""Files that are whole or not there."""

from __future__ import annotations

import os

import pytest

from jaxgan.errors import UserError
from jaxgan.run import files
from jaxgan.run.files import draft, write_atomically


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
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == {"x.json": b"new"}


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(files.os, "fsync", lambda file: (done.append("fsync"), sync(file)))
    monkeypatch.setattr(files.os, "replace", lambda *paths: (done.append("replace"), replace(*paths)))
    write_atomically(tmp_path / "x", b"new")
    assert done == ["fsync", "replace"]


def test_a_killed_write_leaves_one_draft_at_most_and_does_not_hinder_the_next(tmp_path):
    path = tmp_path / "x.json"
    draft(path).write_bytes(b"half a fi")
    write_atomically(path, b"whole")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"x.json": b"whole"}


def test_a_directory_in_the_place_of_the_file(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="x could not be written"):
        write_atomically(tmp_path / "x", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
