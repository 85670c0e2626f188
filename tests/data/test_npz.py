"""Images from npz files: keys, dtypes, checks, and damaged or hostile files."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxgan import data
from jaxgan.data import npz, source
from jaxgan.data.npz import read_npz
from jaxgan.errors import UserError
from tests.helpers.image_files import as_set, random_images, settings_for, write, write_sorted


@pytest.mark.parametrize(
    ("train_key", "test_key"), [("train", "test"), ("images", "test"), ("x_train", "x_test"), ("faces", None)]
)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_keys(tmp_path, train_key, test_key, save):
    train, test = random_images(6, 4, 5, 3), random_images(2, 4, 5, 3)
    arrays = {train_key: train} | ({test_key: test, "y_train": np.arange(6)} if test_key else {})
    save(tmp_path / "x.npz", **arrays)
    loaded, loaded_test = read_npz(tmp_path / "x.npz")[:2]
    np.testing.assert_array_equal(loaded, train)
    if test_key:
        np.testing.assert_array_equal(loaded_test, test)
    else:
        assert loaded_test is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_npz_floats_are_rounded_to_levels(tmp_path, dtype):
    levels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    np.savez(tmp_path / "x.npz", levels.astype(np.float64).__truediv__(255).astype(dtype))
    loaded = read_npz(tmp_path / "x.npz").train
    assert loaded.dtype == np.uint8 and loaded.shape == (2, 8, 16, 1)
    np.testing.assert_array_equal(loaded[..., 0], levels)


def test_npz_in_fortran_order(tmp_path):
    x = random_images(3, 4, 5)
    np.savez(tmp_path / "x.npz", np.asfortranarray(x))
    np.testing.assert_array_equal(read_npz(tmp_path / "x.npz")[0][..., 0], x)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 3), np.int64), "dtype int64"),
        (np.zeros((2, 3, 3), bool), "dtype bool"),
        (np.full((2, 3, 3), 255.0), "from 255 to 255"),
        (np.full((2, 3, 3), -1.0), "from -1 to -1"),
        (np.full((2, 3, 3), np.nan), "from nan to nan"),
        (np.zeros(9, np.uint8), r"shape \(9,\)"),
        (np.zeros((0, 3, 3), np.uint8), r"shape \(0, 3, 3\)"),
        (np.array([[[os.system]]], object), "dtype object"),
    ],
)
def test_npz_of_something_else_is_refused(tmp_path, array, message):
    np.savez(tmp_path / "x.npz", array)
    with pytest.raises(UserError, match=message):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(9, 3, 16, 16), (9, 1, 28, 28), (9, 3, 4, 4), (9, 1, 2, 2), (9, 8, 8, 5)])
def test_npz_with_channels_in_another_place_is_refused(tmp_path, shape, dtype):
    np.savez(tmp_path / "x.npz", np.zeros(shape, dtype))
    with pytest.raises(UserError, match=r"save images \[n, C, H, W\] as x\.transpose\(0, 2, 3, 1\)"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("shape", [(9, 3, 3, 3), (9, 3, 8, 1), (9, 1, 5, 3), (9, 8, 8, 4), (9, 4, 4, 2)])
def test_npz_images_whose_last_axis_may_be_channels(tmp_path, shape):
    x = random_images(*shape)
    np.savez(tmp_path / "x.npz", x)
    np.testing.assert_array_equal(read_npz(tmp_path / "x.npz").train, x)


@pytest.mark.parametrize("key", ["test", "x_test"])
def test_npz_test_images_are_checked_like_training_images(tmp_path, key):
    np.savez(tmp_path / "x.npz", train=random_images(4, 16, 16, 3), **{key: random_images(4, 3, 16, 16)})
    with pytest.raises(UserError, match=rf"\[{key}\] has shape \(4, 3, 16, 16\)"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_npz_is_read_within_the_memory_that_is_checked(tmp_path, monkeypatch, dtype, order):
    """What is checked is a byte per pixel (two in Fortran order), and no more is taken but the part being read."""
    monkeypatch.setattr(npz, "CHUNK", 10_000)
    n = 3 * 512 * 256
    x = (np.arange(n) % 256).astype(np.uint8).reshape(3, 512, 256)
    np.savez(tmp_path / "x.npz", np.asarray(x / 255 if dtype != np.uint8 else x, dtype, order=order))
    checked = n * (2 if order == "F" else 1)
    monkeypatch.setattr(source, "MEMORY_LIMIT", checked)
    tracemalloc.start()
    found = read_npz(tmp_path / "x.npz").train
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found[..., 0], x)
    assert peak < checked + 500_000
    monkeypatch.setattr(source, "MEMORY_LIMIT", checked - 1)
    with pytest.raises(UserError, match="half of this machine's memory"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_another_checksum_is_refused(tmp_path, save):
    save(tmp_path / "x.npz", np.zeros((40, 30, 30), np.uint8))
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[content.index(b"PK\1\2") + 16] ^= 1  # CRC-32 in the central directory
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match="Bad CRC-32"):
        read_npz(tmp_path / "x.npz")


def test_a_number_out_of_range_in_any_part_is_detected(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "CHUNK", 10)
    for place, number in ((0, -1.0), (17, 2.0), (35, np.nan)):
        x = np.full((4, 3, 3), 0.5)
        x.reshape(-1)[place] = number
        np.savez(tmp_path / "x.npz", x)
        low, high = (f"{bound(number, 0.5):g}" for bound in (np.minimum, np.maximum))
        with pytest.raises(UserError, match=f"with values from {low} to {high}; rescale"):
            read_npz(tmp_path / "x.npz")


def test_npz_of_a_pipe_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(UserError, match="not a regular file"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_test": 4, "y_test": 4}, "holds y_test but no training labels to go with it; add 'train_labels'"),
        ({"y_test": 4}, "holds y_test but no images to go with it; add 'test', or remove it"),
        ({"y_train": 6, "test_labels": 4}, "holds test_labels but no images"),
        ({"y_train": 4}, r"\[y_train\] has shape \(4,\).*labels of 6 images are 6 integers"),
        ({"x_test": 4, "y_train": 6, "y_test": 6}, r"\[y_test\] has shape \(6,\).*of 4 images are 4 integers"),
    ],
)
def test_npz_labels_without_their_counterpart_are_refused(tmp_path, arrays, message):
    made = {name: random_images(n, 2, 2) if name[0] == "x" else np.arange(n) % 2 for name, n in arrays.items()}
    np.savez(tmp_path / "x.npz", x_train=random_images(6, 2, 2), **made)
    with pytest.raises(UserError, match=message):
        read_npz(tmp_path / "x.npz")


def test_npz_with_several_arrays_needs_a_known_name(tmp_path):
    np.savez(tmp_path / "x.npz", a=random_images(2, 3, 3), b=random_images(2, 3, 3))
    with pytest.raises(UserError, match="holds the arrays a, b; name the training images 'train'"):
        read_npz(tmp_path / "x.npz")


def test_npz_splits_of_two_sizes(tmp_path):
    np.savez(tmp_path / "x.npz", train=random_images(2, 3, 3), test=random_images(2, 4, 3))
    with pytest.raises(UserError, match=r"3x3x1.*4x3x1"):
        read_npz(tmp_path / "x.npz")


def test_npz_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", np.zeros((1000, 100, 100), np.uint8))
    assert (tmp_path / "x.npz").stat().st_size < 20_000
    monkeypatch.setattr(source, "MEMORY_LIMIT", 9_000_000)
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("the data were read"))
    with pytest.raises(UserError, match="half of this machine's memory"):
        read_npz(tmp_path / "x.npz")


def test_npz_header_that_promises_more_than_there_is(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**15, 8, 8)})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("train.npy", header.getvalue())
    with pytest.raises(UserError, match="shorter than its header says"):
        read_npz(tmp_path / "x.npz")


def test_npz_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        read_npz(tmp_path / "x.npz")
    with pytest.raises(UserError, match="cannot be read"):
        read_npz(tmp_path)


@pytest.mark.parametrize("test", [0, 30])
def test_an_npz_sorted_by_class_gives_splits_of_all_classes(tmp_path, test):
    x = write_sorted(tmp_path / "x.npz", test=test)
    d = data.load(settings_for(name=f"npz:{tmp_path / 'x.npz'}", validation=30))
    splits = (d.train, d.train_labels), (d.validation, d.validation_labels), (d.test, d.test_labels)
    assert [len(images) for images, _ in splits] == [70 if test else 40, 30, 30]
    for pictures, labels in splits:
        assert labels.dtype == np.int32 and len(set(labels.tolist())) >= 8
        np.testing.assert_array_equal(labels, pictures[:, 0, 0, 0])
    assert as_set(np.concatenate([pictures for pictures, _ in splits])) == as_set(x)
    if test:
        np.testing.assert_array_equal(d.test, x[100:])
    assert d.classes == 10 and d.class_names == ()
    again = data.load(settings_for(name=f"npz:{tmp_path / 'x.npz'}", validation=30))
    np.testing.assert_array_equal(again.validation, d.validation)


def test_an_npz_of_which_nothing_is_cut_off_keeps_its_order(tmp_path):
    x = write_sorted(tmp_path / "x.npz")
    d = data.load(settings_for(name=f"npz:{tmp_path / 'x.npz'}", validation=0))
    np.testing.assert_array_equal(d.train, x)
    np.testing.assert_array_equal(d.train_labels, x[:, 0, 0, 0])


def test_npz_and_folder_have_the_same_shuffled_order(tmp_path):
    x = random_images(30, 4, 4)
    np.savez(tmp_path / "x.npz", x)
    for i, pixels in enumerate(x):
        write(tmp_path / "x" / f"{i:02d}.png", pixels)
    a, b = (
        data.load(settings_for(name=f"{kind}:{tmp_path}/x{end}", validation=5))
        for kind, end in (("npz", ".npz"), ("folder", ""))
    )
    np.testing.assert_array_equal(a.train, b.train)
    np.testing.assert_array_equal(a.test, b.test)


@pytest.mark.parametrize("shape", [(1,), (7,), (100,), (9, 2, 3, 1), (50, 5, 7, 3)])
def test_shuffling_moves_example_i_to_its_place(shape):
    x = np.arange(np.prod(shape)).reshape(shape)
    before, places = x.copy(), source.shuffled_positions(len(x))
    assert sorted(places) == list(range(len(x)))
    source.shuffle(x)
    for i, place in enumerate(places):
        np.testing.assert_array_equal(x[place], before[i])


def test_npz_labels_count_as_memory(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", train=random_images(2, 2, 2), y_train=np.zeros(1_000_000, np.int64))
    monkeypatch.setattr(source, "MEMORY_LIMIT", 1_000_000)
    with pytest.raises(UserError, match="half of this machine's memory"):
        read_npz(tmp_path / "x.npz")


@given(where=st.integers(0, 10_000), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_npz_with_a_flipped_bit_is_read_right_or_refused(tmp_path, where, bit):
    x = np.arange(4 * 9, dtype=np.uint8).reshape(4, 3, 3)
    names = np.array(["a", "b"])
    np.savez(tmp_path / "x.npz", train=x, y_train=np.array([0, 1, 1, 0]), class_names=names)
    damaged = bytearray((tmp_path / "x.npz").read_bytes())
    damaged[where % len(damaged)] ^= 1 << bit
    (tmp_path / "x.npz").write_bytes(damaged)
    try:
        loaded = read_npz(tmp_path / "x.npz")
    except UserError:
        return
    np.testing.assert_array_equal(loaded.train[..., 0], x)
    assert loaded.train_labels is None or loaded.train_labels.tolist() == [0, 1, 1, 0]
    assert loaded.class_names in ((), ("a", "b"))
