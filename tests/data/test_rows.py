"""Images that stay in an .npz file are those of the array, and what happens to the file is noticed."""

import os
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxgan import data
from jaxgan.config import default, update
from jaxgan.data import source
from jaxgan.data.npz import read_npz
from jaxgan.data.rows import Rows
from jaxgan.errors import UserError
from jaxgan.evaluation.players import make_player_inputs
from jaxgan.game.build import mean_example

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (100, 5, 4, 3)).astype(np.uint8)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, train=IMAGES, train_labels=np.arange(100) % 3, train_condition=IMAGES[::-1, :, :, :1])
    return path


def test_rows_are_those_of_the_array(archive):
    rows = read_npz(archive, "false").train
    assert isinstance(rows, Rows) and (rows.shape, rows.dtype, rows.nbytes) == (IMAGES.shape, np.uint8, IMAGES.size)
    for index in (np.array([[5, 99], [0, 5]]), np.arange(10, 20), np.zeros(0, int)):
        np.testing.assert_array_equal(rows[index], IMAGES[index])
        np.testing.assert_array_equal(rows[20:60][index % 40], IMAGES[20:60][index % 40])
    np.testing.assert_array_equal(np.asarray(rows[3:7]), IMAGES[3:7])
    np.testing.assert_array_equal(rows.padded(2)[np.array([3])], np.pad(IMAGES[3:4], ((0, 0), (2, 2), (2, 2), (0, 0))))


@pytest.mark.parametrize("changes", [{}, {"validation": 0}, {"limit": 30, "pad": 1}])
def test_data_sets_are_the_same_in_the_file_and_in_memory(archive, changes):
    fields = {"name": f"npz:{archive}", "dir": "", "validation": 10} | changes
    memory, file = (data.load(ConfigDict(fields | {"resident": choice})) for choice in ("true", "false"))
    assert isinstance(file.train, Rows) and isinstance(file.train_condition, Rows)
    for a, b in zip(memory, file, strict=True):
        np.testing.assert_array_equal(a, np.asarray(b) if isinstance(b, Rows) else b)
    assert data.digest(memory) == data.digest(file) and memory.shape == file.shape
    for gcn in (0, 2.0):
        np.testing.assert_array_equal(mean_example(memory.train, gcn, 0), mean_example(file.train, gcn, 0))


def test_metrics_of_the_players_read_the_first_ones(archive):
    data_fields = {"data.name": f"npz:{archive}", "data.validation": 10, "data.resident": "false"}
    config = update(default(), data_fields | {"evaluate.metrics": ("slopes",)})
    dataset = data.load(config.data)
    needed = make_player_inputs(config, SimpleNamespace(num_classes=0), dataset)
    assert type(needed[1]["train"]) is np.ndarray  # compiled functions take no Rows
    np.testing.assert_array_equal(needed[1]["train"], np.asarray(dataset.train))


def test_what_is_too_large_stays_in_the_file(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MEMORY_LIMIT", 8000)
    assert isinstance(read_npz(archive, "auto").train, Rows)
    with pytest.raises(UserError, match="half of this machine's memory; use fewer"):
        read_npz(archive, "true")
    with pytest.raises(UserError, match="half of this machine's memory; use fewer"):
        np.asarray(read_npz(archive, "auto").train.padded(10))
    monkeypatch.setattr(source, "MEMORY_LIMIT", 5000)
    np.savez_compressed(tmp_path / "small.npz", train=IMAGES)
    with pytest.raises(UserError, match=r"not compressed.*store \[train\]"):
        read_npz(tmp_path / "small.npz", "auto")
    monkeypatch.undo()
    for array in ({"train": np.asfortranarray(IMAGES)}, {"train": IMAGES / np.float32(255)}):
        np.savez(tmp_path / "other.npz", **array)
        np.testing.assert_array_equal(read_npz(tmp_path / "other.npz", "false").train, IMAGES)


def test_a_file_that_changes_or_ends_early_is_one_sentence(archive):
    rows = read_npz(archive, "false").train
    os.utime(archive, ns=(1, 1))
    with pytest.raises(UserError, match="changed while the run read it; restore it"):
        rows[np.array([1])]
    with zipfile.ZipFile(archive) as file:
        offset = file.getinfo("train.npy").header_offset
    rows = read_npz(archive, "false").train
    os.truncate(archive, offset + 3000)
    rows._stamp = rows._now()  # truncated between the check and the read
    assert rows[np.array([1])].shape == (1, 5, 4, 3)
    for index in (np.array([1, 99]), np.arange(100)):
        with pytest.raises(UserError, match="ends before its last image; restore it"):
            rows[index]


def test_the_file_is_closed_with_the_last_part(archive):
    rows = read_npz(archive, "false").train
    file, part = rows._file, rows[:10].shuffled()
    del rows
    np.testing.assert_array_equal(np.sort(part[np.arange(10)], axis=0), np.sort(IMAGES[:10], axis=0))
    del part
    with pytest.raises(OSError):
        os.fstat(file)
