"""The data sets: what is read, in which order, and how bad input ends."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import io
import os
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict
from PIL import Image, ImageFile

from jaxgan import data
from jaxgan.config import default, update
from jaxgan.data import Dataset, folder, npz, source, tfds
from jaxgan.data.decode import decode, encode
from jaxgan.data.folder import natural_sort_key, read_folder
from jaxgan.data.images import FORMATS, SUFFIXES
from jaxgan.data.npz import read_npz
from jaxgan.errors import UserError
from jaxgan.game.build import build_for
from jaxgan.run import commands
from jaxgan.train import train

RNG = np.random.default_rng(0)


def settings_for(**fields):
    return ConfigDict({"dir": "", "validation": 150} | fields)


def random_images(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


# --- load and its splits ---


def test_digits_are_scikit_learns_in_its_order():
    from sklearn.datasets import load_digits

    expected_labels = load_digits().target
    d = data.load(settings_for(name="digits", validation=150))
    whole = np.concatenate([d.train, d.validation, d.test])
    expected = np.rint(load_digits().images * 255 / 16)
    np.testing.assert_array_equal(whole[..., 0], expected)
    assert whole.dtype == np.uint8 and whole.min() == 0 and whole.max() == 255
    assert [len(d.train), len(d.validation), len(d.test)] == [1350, 150, 297]
    assert d.name == "digits" and d.mixture is None
    labels = np.concatenate([d.train_labels, d.validation_labels, d.test_labels])
    np.testing.assert_array_equal(labels, expected_labels)
    assert labels.dtype == np.int32 and d.classes == 10 and d.class_names[7] == "7"
    assert d.shape == (8, 8, 1) and d.stack == 1


def test_the_last_training_examples_are_the_validation_set():
    x, test = np.arange(10), np.arange(5)
    train, validation, same = data.split(x, test, 3)
    np.testing.assert_array_equal(train, [0, 1, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(validation, [7, 8, 9])
    assert same is test


def test_without_a_test_set_as_many_again_are_held_out():
    train, validation, test = data.split(np.arange(10), None, 3)
    np.testing.assert_array_equal(train, [0, 1, 2, 3])
    np.testing.assert_array_equal(validation, [4, 5, 6])
    np.testing.assert_array_equal(test, [7, 8, 9])


def test_no_validation_set_is_an_empty_one():
    train, validation, test = data.split(np.zeros((4, 2, 2, 1)), None, 0)
    assert len(train) == 4 and validation.shape == test.shape == (0, 2, 2, 1)


def test_a_limit_keeps_the_first_training_examples_and_all_others():
    whole, some = (data.load(settings_for(name="digits", limit=limit)) for limit in (0, 20))
    np.testing.assert_array_equal(some.train, whole.train[:20])
    np.testing.assert_array_equal(some.train_labels, whole.train_labels[:20])
    for name in ("validation", "validation_labels", "test", "test_labels"):
        np.testing.assert_array_equal(getattr(some, name), getattr(whole, name))
    assert data.digest(some) != data.digest(whole)
    stacks, of_all = (data.load(settings_for(name="stacked:digits", limit=limit)) for limit in (20, 0))
    np.testing.assert_array_equal(stacks.train, some.train)  # the base images
    np.testing.assert_array_equal(stacks.test, of_all.test)
    assert len(data.load(settings_for(name="mixture:ring8", limit=30)).train) == 30
    with pytest.raises(UserError, match=r"data\.limit=1351 training examples, but digits has 1350"):
        data.load(settings_for(name="digits", limit=1351))


def test_padding_counts_as_memory_beside_the_images(tmp_path, monkeypatch):
    """Ten images of 4x6 and ten of 8x10 pixels."""
    np.savez(tmp_path / "x.npz", random_images(10, 4, 6))
    load = lambda: data.load(settings_for(name=f"npz:{tmp_path / 'x.npz'}", validation=2, pad=2))  # noqa: E731
    monkeypatch.setattr(source, "MEMORY_LIMIT", 10 * (24 + 80))
    padded = load()
    assert padded.train.shape == (6, 8, 10, 1) and padded.test.shape == (2, 8, 10, 1)
    assert not padded.train[:, :2].any() and not padded.train[:, :, -2:].any() and padded.train[:, 2:-2, 2:-2].any()
    monkeypatch.setattr(source, "MEMORY_LIMIT", 10 * (24 + 80) - 1)
    with pytest.raises(UserError, match=r"padded images of npz:.*half of this machine's memory"):
        load()


def test_images_in_colour_after_grey_ones_count_as_memory_beside_these(tmp_path, monkeypatch):
    for i in range(4):
        write(tmp_path / f"{i}.png", random_images(10, 10, 3) if i == 3 else random_images(10, 10))
    monkeypatch.setattr(source, "MEMORY_LIMIT", 4 * 100 * (1 + 3))
    assert read_folder(tmp_path, 0).train.shape == (4, 10, 10, 3)
    monkeypatch.setattr(source, "MEMORY_LIMIT", 4 * 100 * (1 + 3) - 1)
    with pytest.raises(UserError, match=r"4 images like \S+3\.png.*half of this machine's memory"):
        read_folder(tmp_path, 0)


@pytest.mark.parametrize(
    "prefix", ["npz:~/x.npz", "folder:~/x", "stacked:npz:~/x.npz", "stacked:folder:~/x", "tfds:mnist"]
)
def test_a_tilde_is_the_home(tmp_path, monkeypatch, prefix):
    monkeypatch.setenv("HOME", str(tmp_path))
    x = random_images(8, 3, 3)
    np.savez(tmp_path / "x.npz", x)
    for i, pixels in enumerate(x):
        write(tmp_path / "x" / f"{i}.png", pixels)
    cached = source.Source(x[..., None], x[..., None])
    tfds._write_cache(tmp_path / "archives" / "jaxgan" / "mnist.npz", cached)
    d = data.load(settings_for(name=prefix, dir="~/archives", validation=1))
    assert len(d.train) in (6, 7) and d.shape[:2] == (3, 3)


@pytest.mark.parametrize("name", ["npz:~/no", "folder:~/no", "tfd:~/no"])
def test_a_file_that_is_not_at_home_is_named_by_its_whole_path(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(UserError, match=f"there is no (file|folder) {tmp_path}/no"):
        data.load(settings_for(name=name))


@pytest.mark.parametrize("test", [None, np.zeros(2)])
def test_a_validation_set_that_leaves_nothing_to_train_on(test):
    with pytest.raises(UserError, match=r"data\.validation=8"):
        data.split(np.arange(8), test, 8)
    if test is None:
        with pytest.raises(UserError, match=r"and as many for a test set, which this data set lacks.*below 4"):
            data.split(np.arange(8), None, 4)
        assert [len(x) for x in data.split(np.arange(8), None, 3)] == [2, 3, 3]


def test_mixtures_come_with_their_density():
    d = data.load(settings_for(name="mixture:ring8"))
    assert d.train.dtype == d.validation.dtype == d.test.dtype == np.float32
    assert d.train.shape[1] == d.mixture.means.shape[1] == 2 and d.shape == (2,)
    assert d.classes == 8 and d.class_names == ()
    for x, y in ((d.train, d.train_labels), (d.validation, d.validation_labels), (d.test, d.test_labels)):
        np.testing.assert_allclose(x, d.mixture.means[y], atol=0.15)  # 7 deviations


# --- range and digest ---


def test_images_are_in_the_unit_interval_and_nothing_else_is():
    picture, points = (Dataset("", x, x, x, None) for x in (np.zeros((2, 3, 3, 1), np.uint8), np.zeros((2, 2), "f4")))
    assert data.value_range(picture, 0.0) == (0.0, 1.0)
    assert data.value_range(picture, 55.0) is None
    assert data.value_range(points, 0.0) is None


def test_the_digest_by_hand():
    x, y = np.array([[[[7], [9]]]], np.uint8), np.array([3], np.int32)
    d = Dataset("any", x, x[:0], x[:0], None)
    assert data.digest(d) == hashlib.sha256(b'["|u1", [1, 1, 2, 1], 1]\x07\x09null').hexdigest()
    labeled = b'["|u1", [1, 1, 2, 1], 1]\x07\x09["<i4", [1], 1]\x03\0\0\0'
    assert data.digest(d._replace(train_labels=y)) == hashlib.sha256(labeled).hexdigest()


def test_the_digest_tells_training_data_apart_and_sees_nothing_else():
    x, y = random_images(4, 3, 2, 1), np.arange(4, dtype=np.int32)
    d = Dataset("a", x, x, x, None, y, y, y, 4)
    changed = x.copy()
    changed[3, 2, 1, 0] ^= 1
    others = [
        d._replace(train=changed),
        d._replace(train=x[::-1]),
        d._replace(train=x.reshape(4, 2, 3, 1)),
        d._replace(train=x.view(np.int8)),
        d._replace(train_labels=y[::-1]),
        d._replace(train_labels=None),
        d._replace(stack=3),
    ]
    assert len({data.digest(other) for other in [d, *others]}) == 1 + len(others)
    same = d._replace(name="b", train=np.asfortranarray(x), validation=changed, test=x[:1], classes=5)
    assert data.digest(same) == data.digest(d)


def test_a_run_keeps_the_order_of_classes_that_it_began_with(tmp_path):
    """Before numbers were counted the order was alphabetical: 1, 10, 2."""
    labeled_folder(tmp_path, ["1", "2", "10"])
    now = data.load(settings_for(name=f"folder:{tmp_path}", validation=1))
    assert now.class_names == ("1", "2", "10")
    order = np.array([0, 2, 1])  # where 1, 2 and 10 were
    labels = {f"{split}_labels": getattr(now, f"{split}_labels") for split in ("train", "validation", "test")}
    then = now._replace(**{name: order[y].astype(np.int32) for name, y in labels.items()}, class_names=("1", "10", "2"))
    assert data.digest(then) != data.digest(now)
    found = data.as_recorded(now, data.digest(then))
    for field in Dataset._fields:
        np.testing.assert_array_equal(getattr(found, field), getattr(then, field))
    assert found.train_labels.dtype == np.int32
    for sha256 in (data.digest(now), "another", None):
        assert data.as_recorded(now, sha256) is now
    unlabeled = data.load(settings_for(name="mixture:ring8"))
    assert data.as_recorded(unlabeled, "another") is unlabeled


@pytest.mark.slow
def test_a_run_of_the_alphabetical_order_is_resumed_and_evaluated(tmp_path, tiny_config, monkeypatch, capsys):
    labeled_folder(tmp_path / "images", [str(i) for i in range(1, 11)])
    config = tiny_config(
        data__name=f"folder:{tmp_path / 'images'}", data__validation=1, train__steps=5, evaluate__samples=8
    )
    with monkeypatch.context() as alphabetical:
        alphabetical.setattr(folder, "natural_sort_key", lambda name: name)
        assert train(config, tmp_path / "run") == 0
    assert train(update(config, {"train.steps": 10}), tmp_path / "run") == 0
    assert commands.evaluate(tmp_path / "run", []) == 0
    assert "step 10 of" in capsys.readouterr().out
    write(tmp_path / "images" / "2" / "1.png", np.full((2, 2), 77, np.uint8))
    with pytest.raises(UserError, match=r"on other data \(sha256 was"):
        train(update(config, {"train.steps": 15}), tmp_path / "run")


# --- describe ---


def test_one_line_describes_a_data_set(tmp_path):
    for name, count in (("cat", 3), ("dog", 4), ("owl", 5)):
        for i in range(count):
            write(tmp_path / name / f"{i}.png", random_images(6, 5, 3))
    d = data.load(settings_for(name=f"folder:{tmp_path}", validation=2))
    assert data.describe(d) == (
        f"folder:{tmp_path}: 8 training, 2 validation, 2 test images 6x5x3, 3 classes (cat, dog, owl)"
    )
    names = tuple(f"n{i}" for i in range(11))
    assert data.describe(d._replace(classes=11, class_names=names)).endswith(", 11 classes (n0, n1, n2, ..., n10)")
    assert data.describe(d._replace(class_names=("a\nb", "\udcff", "ü"))).endswith("(a?b, ?, ü)")
    assert data.describe(d._replace(classes=0, class_names=())).endswith("images 6x5x3")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "digits",
            "1,350 training, 150 validation, 297 test images 8x8x1, 10 classes (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)",
        ),
        (
            "stacked:digits",
            "1,350 training, 10,000 validation, 10,000 test images 8x8x3, 1,000 classes, training on random stacks "
            "of 3 of the 1,350",
        ),
        ("mixture:ring8", "262,144 training, 10,000 validation, 10,000 test points of dimension 2, 8 classes"),
    ],
)
def test_descriptions_of_what_is_no_folder(name, expected):
    assert data.describe(data.load(settings_for(name=name))) == f"{name}: {expected}"


@pytest.mark.parametrize(("name", "nearest"), [("digit", "digits"), ("mnist", "tfds:mnist"), ("npz:", "npz:PATH")])
def test_an_unknown_name_names_the_nearest(name, nearest):
    with pytest.raises(UserError, match=f"nearest is '{nearest}'"):
        data.load(settings_for(name=name))


def test_importing_the_package_imports_no_reader():
    code = "import jaxgan.data, sys; print({'tensorflow_datasets', 'sklearn', 'PIL'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


# --- decode ---


def test_pixels_are_scaled_to_the_unit_interval():
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    y = jax.jit(decode, static_argnums=1)(x, 0.0)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, x / 255.0, rtol=1e-6)
    assert y[0, 0, 0, 0] == 0 and y[0, -1, -1, 0] == 1


def test_pixels_from_minus_one_to_one():
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    y = decode(jnp.asarray(x), 0.0, -1.0)
    np.testing.assert_allclose(y, x / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(encode(np.asarray(y), 0.0, -1.0), x)


def test_contrast_normalization_is_the_2014_codes():
    x = random_images(5, 32, 32, 3)
    flat = x.reshape(5, -1).astype(np.float64)
    centred = flat - flat.mean(axis=1, keepdims=True)
    expected = 55 * centred / np.linalg.norm(centred, axis=1, keepdims=True)
    y = np.asarray(jax.jit(decode, static_argnums=1)(x, 55.0)).reshape(5, -1)
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), 55, rtol=1e-5)


@pytest.mark.parametrize("level", [0, 1, 73, 255])
def test_a_constant_image_has_no_contrast_to_normalize(level):
    x = np.full((1, 31, 37, 3), level, np.uint8)
    np.testing.assert_array_equal(decode(jnp.asarray(x), 55.0), 0)


def test_gcn_is_what_the_argument_is_called():
    x = random_images(2, 4, 4, 1)
    np.testing.assert_array_equal(encode(np.asarray(decode(x=jnp.asarray(x), gcn=0.0)), gcn=0.0), x)


def test_points_pass_through():
    x = jnp.asarray([[-3.0, 2.0]], jnp.float32)
    assert decode(x, 0.0) is x and decode(x, 55.0) is x


# --- npz ---


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
        (np.zeros((9, 9), np.uint8), r"shape \(9, 9\)"),
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


def test_a_number_out_of_range_in_any_part_is_found(tmp_path, monkeypatch):
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


def write_sorted(path, n=100, test=0, **others):
    """An npz file sorted by class, ten of them; the label is in the first pixel, the number in the second."""
    x = np.zeros((n + test, 2, 3, 1), np.uint8)
    labels = np.concatenate([np.sort(np.arange(n) % 10), np.arange(test) % 10])
    x[:, 0, 0, 0], x[:, 0, 1, 0] = labels, np.arange(n + test)
    arrays = {"train": x[:n], "train_labels": labels[:n]}
    arrays |= {"test": x[n:], "test_labels": labels[n:]} if test else {}
    np.savez(path, **(arrays | others))
    return x


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


def test_npz_and_folder_shuffle_alike(tmp_path):
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


@pytest.mark.parametrize(("train_key", "test_key"), [("train_labels", "test_labels"), ("y_train", "y_test")])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, ">i2"])
def test_npz_labels(tmp_path, train_key, test_key, dtype):
    y, y_test = np.array([4, 0, 2], dtype), np.array([[5], [1]], dtype)  # [n, 1], as Keras has CIFAR's
    arrays = {"x_train": random_images(3, 2, 2), "x_test": random_images(2, 2, 2)}
    np.savez(tmp_path / "x.npz", **arrays, **{train_key: y, test_key: y_test})
    found = read_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(found.train_labels, [4, 0, 2])
    np.testing.assert_array_equal(found.test_labels, [5, 1])
    assert found.train_labels.dtype == found.test_labels.dtype == np.int32
    assert found.classes == 6 and found.class_names == ()


def test_npz_labels_of_one_set_and_names_of_classes(tmp_path):
    x, names = random_images(3, 2, 2), np.array(["cat", "dog", "emu", "fox"])
    np.savez(tmp_path / "x.npz", faces=x, labels=np.array([2, 0, 1]), class_names=names)
    found = read_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(found.train[..., 0], x)
    assert found.test is None and found.test_labels is None
    assert found.classes == 4 and found.class_names == ("cat", "dog", "emu", "fox")
    np.savez(tmp_path / "x.npz", train=x, test=x, class_names=names)
    found = read_npz(tmp_path / "x.npz")
    assert found.train_labels is None and found.classes == 0 and found.class_names == ()


def test_a_test_set_without_labels_is_not_given_others(tmp_path):
    x = write_sorted(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", train=x[:60], test=x[60:], y_train=x[:60, 0, 0, 0])
    d = data.load(settings_for(name=f"npz:{tmp_path / 'x.npz'}", validation=20))
    assert len(d.train_labels) == 40 and len(d.validation_labels) == 20 and d.test_labels is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1]), r"\[y_train\] has shape \(2,\).*labels of 3 images are 3 integers"),
        (np.eye(3, dtype=int), r"shape \(3, 3\)"),
        (np.array([0.0, 1.0, 2.0]), "dtype float64"),
        (np.array([True, False, True]), "dtype bool"),
        (np.array(["a", "b", "c"]), "dtype <U1"),
        (np.array([0, -1, 2]), "labels from -1 to 2; number the classes from 0"),
        (np.array([0, 1, 2**40]), "labels from 0 to 1099511627776"),
        (np.array([0, 1, 2**63], np.uint64), "labels from 0 to 9223372036854775808"),
        (np.array([os.system, 1, 2], object), "dtype object"),
    ],
)
def test_npz_labels_that_do_not_fit_are_refused(tmp_path, labels, message):
    np.savez(tmp_path / "x.npz", train=random_images(3, 2, 2), y_train=labels)
    with pytest.raises(UserError, match=message):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("names", [np.array(["a", "b"]), np.arange(3), np.array([["a", "b", "c"]]), np.array(b"abc")])
def test_npz_names_that_do_not_fit_the_labels_are_refused(tmp_path, names):
    np.savez(tmp_path / "x.npz", train=random_images(3, 2, 2), y_train=np.arange(3), class_names=names)
    with pytest.raises(UserError, match=r"\[class_names\] has shape .* the largest label is 2"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize(
    ("labels", "test_labels", "message"),
    [
        (
            range(1, 11),
            None,
            "no training example of class 0; add examples of every class.*: numpy.unique",
        ),
        ([0, 2, 3, 5], [0, 2], r"of class 1, 4; add"),
        ([0, 1, 0, 1], [0, 1, 2], "of class 2, which the test set has; add"),
        ([9], None, r"of class 0, 1, 2 and 6 more; add"),
    ],
)
def test_classes_without_training_examples_are_refused(tmp_path, labels, test_labels, message):
    arrays = {"x_train": random_images(len(labels), 2, 2), "y_train": np.asarray(labels)}
    if test_labels is not None:
        arrays |= {"x_test": random_images(len(test_labels), 2, 2), "y_test": np.asarray(test_labels)}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=message):
        data.load(settings_for(name=f"npz:{tmp_path / 'x.npz'}", validation=0))


def test_a_class_whose_name_has_no_example_is_refused_by_its_name(tmp_path):
    np.savez(tmp_path / "x.npz", x=random_images(3, 2, 2), labels=np.arange(3), class_names=np.array(list("abcd")))
    with pytest.raises(UserError, match=r"no training example of class 3 \(d\)"):
        data.load(settings_for(name=f"npz:{tmp_path / 'x.npz'}", validation=0))


def test_a_folder_with_a_class_only_in_its_test_set_is_refused(tmp_path):
    labeled_folder(tmp_path / "train", ["a", "b"])
    labeled_folder(tmp_path / "test", ["a", "b", "c"])
    with pytest.raises(UserError, match=r"of class 2 \(c\), which the test set has; .* or leave the class out\."):
        data.load(settings_for(name=f"folder:{tmp_path}", validation=0))


@pytest.mark.parametrize(
    ("test_labels", "expected"),
    [([1, 3, 3], [0, 1, 1]), ([1, 2, 3], None), (None, None)],
    ids=["both", "other", "none"],
)
def test_classes_of_tfds_that_do_not_occur_are_left_out(monkeypatch, test_labels, expected):
    """`emnist/letters` has 37 classes, of which 1 to 26 occur; `omniglot` tests on other classes."""
    x, y = random_images(6, 2, 2, 1), np.array([3, 1, 3, 1, 5, 5], np.int32)
    y_test = None if test_labels is None else np.array(test_labels, np.int32)
    arrays = source.Source(x, random_images(3, 2, 2, 1), y, y_test, tuple("abcdef"), 6)
    monkeypatch.setattr(tfds, "load", lambda *_: arrays)
    d = data.load(settings_for(name="tfds:any", validation=0))
    assert d.classes == 3 and d.class_names == ("b", "d", "f")
    np.testing.assert_array_equal(d.train_labels, [1, 0, 1, 0, 2, 2])
    assert d.train_labels.dtype == np.int32
    assert d.test_labels is None if expected is None else d.test_labels.tolist() == expected


def test_test_labels_without_training_labels_make_no_classes(monkeypatch):
    arrays = source.Source(random_images(6, 2, 2, 1), random_images(1, 2, 2, 1), None, np.zeros(1, np.int32), ("a",), 1)
    monkeypatch.setattr(tfds, "load", lambda *_: arrays)
    d = data.load(settings_for(name="tfds:any", validation=0))
    assert d.classes == 0 and d.class_names == () and d.test_labels is None


def test_a_conditional_gan_needs_an_example_of_every_class_that_is_left():
    """The first nine digits are 0 to 8."""
    changes = {"data.limit": 9, "train.batch_size": 4, "conditional": "label"}
    config = update(default(), changes)
    with pytest.raises(UserError, match=r"none of the 9 training examples of digits is of class 9 \(9\)"):
        build_for(config, data.load(config.data))
    for more in ({"data.limit": 10}, {"conditional": "none"}):
        config = update(default(), changes | more)
        build_for(config, data.load(config.data))
    with pytest.raises(UserError, match="is of class 9;"):
        data.check_classes(data.load(settings_for(name="stacked:digits", limit=9)))
    data.check_classes(data.load(settings_for(name="stacked:digits", limit=10)))


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


# --- folder ---


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def as_set(x):
    return sorted(image.tobytes() for image in x)


def test_folder_holds_every_image_once_whatever_its_class(tmp_path):
    x = random_images(40, 5, 6, 3)
    for i, pixels in enumerate(x):
        write(tmp_path / f"class{i // 10}" / f"{i:02d}.png", pixels)
    (tmp_path / "labels.csv").write_text("not an image")
    (tmp_path / "class0" / "._00.png").write_text("what a Mac leaves behind")
    train, test = read_folder(tmp_path, 0)[:2]
    assert train.shape == (40, 5, 6, 3) and train.dtype == np.uint8 and test is None
    assert as_set(train) == as_set(x)
    classes = [next(i // 10 for i in range(40) if (x[i] == image).all()) for image in train]
    assert len(set(classes[-10:])) > 1  # the validation set
    np.testing.assert_array_equal(read_folder(tmp_path, 0)[0], train)


def labeled_folder(root, classes):
    """Images whose pixels are all the place of their class in `classes`, two to a class."""
    for number, name in enumerate(classes):
        for i in range(2):
            write(root / name / f"{i}.png", np.full((2, 2), number, np.uint8))


def test_sub_folders_are_the_classes_in_the_order_of_their_names(tmp_path):
    labeled_folder(tmp_path, ["10", "9", "cat/black", "cat/white", "dog"])
    found = read_folder(tmp_path, 0)
    assert found.class_names == ("9", "10", "cat", "dog") and found.classes == 4
    assert found.train_labels.dtype == np.int32 and found.test_labels is None
    expected = np.array([1, 0, 2, 2, 3])[found.train[:, 0, 0, 0]]
    np.testing.assert_array_equal(found.train_labels, expected)
    d = data.load(settings_for(name=f"folder:{tmp_path}", validation=2))
    for x, y in ((d.train, d.train_labels), (d.validation, d.validation_labels), (d.test, d.test_labels)):
        np.testing.assert_array_equal(y, np.array([1, 0, 2, 2, 3])[x[:, 0, 0, 0]])


def test_people_count_numbers_in_names():
    names = ["1", "01", "2", "10", "a", "a2b", "a2c1", "a10", "b"]
    assert sorted(sorted(names[::-1]), key=natural_sort_key) == ["01", *names[:1], *names[2:]]


@pytest.mark.parametrize("names", [["all"], ["cat", "."], ["."]])
def test_folders_that_are_no_classes(tmp_path, names):
    labeled_folder(tmp_path, names)
    found = read_folder(tmp_path, 0)
    assert found.train_labels is None and found.classes == 0 and found.class_names == ()


def test_classes_of_folders_with_splits(tmp_path):
    labeled_folder(tmp_path / "train", ["a", "b", "c"])
    labeled_folder(tmp_path / "test", ["a", "b", "c", "d"])
    labeled_folder(tmp_path / "train", [".hidden"])
    found = read_folder(tmp_path, 0)
    assert found.class_names == ("a", "b", "c", "d") and len(found.train) == 6
    np.testing.assert_array_equal(found.train_labels, found.train[:, 0, 0, 0])
    np.testing.assert_array_equal(found.test_labels, found.test[:, 0, 0, 0])


def test_images_of_any_size_are_cropped_to_a_square_and_resized(tmp_path):
    """A middle square of grey 200 is all that is left of both; a checkerboard is averaged, not sampled."""
    wide, tall = np.zeros((40, 100), np.uint8), np.zeros((90, 30), np.uint8)
    wide[:, 30:70], tall[30:60] = 200, 200
    board = np.indices((64, 64)).sum(axis=0, dtype=np.uint8) % 2 * np.uint8(255)
    for name, pixels in (("tall", tall), ("wide", wide)):
        write(tmp_path / "flat" / f"{name}.png", pixels)
    write(tmp_path / "board" / "x.png", board)
    flat = data.load(settings_for(name=f"folder:{tmp_path / 'flat'}", validation=0, size=8)).train
    np.testing.assert_array_equal(flat, np.full((2, 8, 8, 1), 200))
    inner = read_folder(tmp_path / "board", 8).train[0, 1:-1, 1:-1].astype(int)
    assert np.abs(inner - 127.5).max() <= 2
    assert read_folder(tmp_path / "flat", 40).train.shape == (2, 40, 40, 1)


def test_palettes_and_alpha_are_resized_as_colours(tmp_path):
    red_and_blue = np.zeros((8, 8, 3), np.uint8)
    red_and_blue[:, :4, 0] = red_and_blue[:, 4:, 2] = 255
    Image.fromarray(red_and_blue).quantize(4).save(tmp_path / "p.png")
    Image.fromarray(red_and_blue).convert("RGBA").save(tmp_path / "rgba.png")
    for x in read_folder(tmp_path, 1).train:
        np.testing.assert_allclose(x[0, 0], [127.5, 0, 127.5], atol=1)


# What a viewer does to the stored rows and columns, by the EXIF standard's table of orientations.
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.T,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].T,
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photograph_is_turned_upright_resized_or_not(tmp_path, orientation, ending):
    pixels = random_images(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.stack([pixels] * 3, -1)).save(tmp_path / f"x.{ending}", exif=exif, lossless=True)
    np.testing.assert_array_equal(read_folder(tmp_path, 0).train[0, ..., 0], UPRIGHT[orientation](pixels))
    middle = UPRIGHT[orientation](pixels)
    middle = middle[:, 1:-1] if middle.shape == (4, 6) else middle[1:-1]
    np.testing.assert_array_equal(read_folder(tmp_path, 4).train[0, ..., 0], middle)


def test_photographs_are_of_one_size_when_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    write(tmp_path / "a.png", random_images(6, 4))
    Image.fromarray(random_images(4, 6)).save(tmp_path / "b.png", exif=exif)
    assert read_folder(tmp_path, 0).train.shape == (2, 6, 4, 1)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_exif_data_that_cannot_be_read_say_nothing(tmp_path, exif):
    pixels = np.full((4, 6), 99, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.jpg", exif=exif)
    for size, shape in ((0, (4, 6)), (2, (2, 2))):
        np.testing.assert_array_equal(read_folder(tmp_path, size).train[0, ..., 0], np.full(shape, 99))


# --- transparency ---


def png(colour, depth, row, **chunks):
    """A PNG of one row by hand (PNG specification, section 5), with chunks such as tRNS."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    width = len(row) * 8 // depth // {0: 1, 2: 3, 3: 1}[colour]
    header = struct.pack(">2I5B", width, 1, depth, colour, 0, 0, 0)
    parts = {"IHDR": header, **chunks, "IDAT": zlib.compress(b"\0" + row), "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name.encode(), content) for name, content in parts.items())


def drawn(content, size=0, ending="png"):
    """What is read of one image file: [H, W, C]."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"x.{ending}").write_bytes(content)
        return read_folder(folder, size).train[0]


def stored(image, ending, **options):
    file = io.BytesIO()
    image.save(file, ending, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [0, 1])
@pytest.mark.parametrize(("mode", "ending"), [("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tiff"), ("LA", "png"),
                                              ("PA", "tiff"), ("LA", "tiff")])  # fmt: skip
def test_alpha_is_composited_on_white(mode, ending, size):
    """An invisible pixel is white, an opaque one itself, one of alpha 51 (a fifth) a fifth of the way."""
    for alpha, expected in ((0, 255), (51, 255 - 51 + 10), (255, 50)):
        image = Image.new("RGBA", (1, 1), (50, 50, 50, alpha))
        if mode == "PA":
            image = Image.new("PA", (1, 1), (0, alpha))
            image.putpalette([50, 50, 50])
        options = {"lossless": True, "exact": True} if ending == "webp" else {}
        x = drawn(stored(image.convert(mode), ending, **options), size, ending)
        assert x.shape == (1, 1, 1 if mode == "LA" else 3)
        np.testing.assert_allclose(x.astype(int), expected, atol=1)
        if alpha in (0, 255):
            np.testing.assert_array_equal(x, expected)


def test_one_transparent_colour_of_a_png_becomes_white():
    """tRNS names a grey level or a colour, in as many bits as the pixels have; a palette has an alpha per entry."""
    for depth, row in ((1, b"\x40"), (2, b"\x1b"), (4, b"\x5f"), (8, b"\x5f\x11")):
        bits = "".join(f"{byte:08b}" for byte in row)
        levels = [int(bits[i : i + depth], 2) for i in range(0, len(bits), depth)]
        shown = [level * 255 // (2**depth - 1) for level in levels]
        for level in levels:
            expected = [255 if other == level else grey for other, grey in zip(levels, shown, strict=True)]
            assert drawn(png(0, depth, row, tRNS=struct.pack(">H", level)))[0, :, 0].tolist() == expected
    colour = drawn(png(2, 8, b"\1\2\3\4\5\6", tRNS=b"\0\1\0\2\0\3"))
    assert colour.tolist() == [[[255, 255, 255], [4, 5, 6]]]
    deep = png(
        2, 16, struct.pack(">6H", 0x1234, 0x2345, 0x3456, 0x1134, 0, 0), tRNS=struct.pack(">3H", 0x1234, 0x2345, 0x3456)
    )
    assert drawn(deep).tolist() == [[[255, 255, 255], [0x11, 0, 0]]]
    palette = drawn(png(3, 8, b"\0\1", PLTE=bytes([9, 8, 7, 6, 5, 4]), tRNS=b"\0"))
    assert palette.tolist() == [[[255, 255, 255], [6, 5, 4]]]
    half = drawn(png(3, 8, b"\0\1", PLTE=bytes([0, 0, 0, 6, 5, 4]), tRNS=b"\x33\xff"))
    assert half.tolist() == [[[204, 204, 204], [6, 5, 4]]]


def test_the_transparent_colour_of_a_gif_becomes_white():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([200, 0, 0, 0, 0, 200])
    assert drawn(stored(image, "gif", transparency=0), ending="gif").tolist() == [[[255, 255, 255], [0, 0, 200]]]


def test_invisible_colours_do_not_bleed_into_what_is_resized():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[..., 1] = 255  # invisible green
    np.testing.assert_array_equal(drawn(stored(Image.fromarray(pixels), "png"), 2), np.full((2, 2, 3), 255))


def test_opaque_alpha_changes_no_pixel():
    x = np.arange(768, dtype=np.int64).reshape(16, 16, 3).astype(np.uint8)
    for mode in ("RGBA", "LA"):
        plain = Image.fromarray(x).convert({"RGBA": "RGB", "LA": "L"}[mode])
        expected = np.asarray(plain).reshape(16, 16, -1)
        np.testing.assert_array_equal(drawn(stored(plain.convert(mode), "png")), expected)


def test_resized_images_that_do_not_fit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    write(tmp_path / "a.png", random_images(10, 20))
    write(tmp_path / "b.png", random_images(30, 20))
    monkeypatch.setattr(source, "MEMORY_LIMIT", 2 * 16 * 16)
    assert read_folder(tmp_path, 16).train.nbytes == 512
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("an image was decoded"))
    with pytest.raises(UserError, match=r"2 images of 17x17 pixels: .*half of this machine's memory"):
        read_folder(tmp_path, 17)


@pytest.mark.parametrize(("name", "size"), [("digits", 8), ("npz:x.npz", 8), ("folder:x", -1), ("stacked:digits", 4)])
def test_a_size_where_none_is_possible(name, size):
    with pytest.raises(UserError, match=f"data.size={size} .*side in pixels for folder:PATH"):
        data.load(settings_for(name=name, size=size))


def test_folder_with_splits_and_links(tmp_path):
    x, y = random_images(4, 3, 3), random_images(2, 3, 3)
    for i, pixels in enumerate(x):
        write(tmp_path / "elsewhere" / f"{i}.bmp", pixels)
    for i, pixels in enumerate(y):
        write(tmp_path / "set" / "test" / "a" / f"{i}.PNG", pixels)
    (tmp_path / "set" / "train").mkdir()
    (tmp_path / "set" / "train" / "a").symlink_to(tmp_path / "elsewhere")
    train, test = read_folder(tmp_path / "set", 0)[:2]
    assert train.shape == (4, 3, 3, 1) and test.shape == (2, 3, 3, 1)
    assert as_set(train) == as_set(x) and as_set(test) == as_set(y)


def test_folder_with_splits_and_something_else_is_ambiguous(tmp_path):
    for name in ("train", "test", "val"):
        write(tmp_path / name / "0.png", random_images(2, 2))
    with pytest.raises(UserError, match="holds train/ beside val:"):
        read_folder(tmp_path, 0)


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("TRAIN", "test"), ("training", "Testing")])
def test_splits_have_their_names_in_any_case(tmp_path, train, test):
    x, y = random_images(3, 2, 2), random_images(2, 2, 2)
    for name, pictures in ((train, x), (test, y)):
        for i, pixels in enumerate(pictures):
            write(tmp_path / name / f"{i}.png", pixels)
    found = read_folder(tmp_path, 0)
    assert as_set(found.train) == as_set(x) and as_set(found.test) == as_set(y) and found.classes == 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Train", "Validation"], "holds Train/ beside Validation: "),
        (["Train", "Test", "VAL"], "holds Train/ beside VAL: "),
        (["Train", "Test", "train"], "holds Train/ beside train: "),
        (["train", "Test", "test"], "holds train/ beside test: "),
        (["train", "cat"], "holds train/ beside cat: .*for classes rename train/"),
        (["Test", "cat"], "holds Test/ but no train/"),
        (["test", "valid"], "holds test/ but no train/"),
        (["cat", "Validation"], "holds Validation/ but no train/"),
        (["data/Train", "data/Test"], "data holds splits; give that folder itself"),
        (["cat/train", "cat/val", "dog/train", "dog/val"], "(cat|dog) holds splits"),
    ],
)
def test_folders_that_may_be_splits_or_classes_are_refused(tmp_path, names, message):
    labeled_folder(tmp_path, names)
    with pytest.raises(UserError, match=message):
        read_folder(tmp_path, 0)


def test_valid_and_invalid_are_classes(tmp_path):
    labeled_folder(tmp_path, ["invalid", "valid"])
    assert read_folder(tmp_path, 0).class_names == ("invalid", "valid")


def test_what_macos_leaves_behind_is_no_split_and_no_image(tmp_path):
    for name in ("train", "test", "__MACOSX/train", ".hidden"):
        write(tmp_path / name / "0.png", random_images(2, 2))
    for name in ("._0.png", ".DS_Store", "train/._0.png", "train/.DS_Store"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    found = read_folder(tmp_path, 0)
    assert len(found.train) == len(found.test) == 1 and found.left_out == ()


def test_links_lead_to_each_image_once(tmp_path):
    """Links to a folder itself, to one that contains it, beside it or elsewhere; and each image keeps its class."""
    root = tmp_path / "root"
    x = random_images(5, 2, 2)
    for place, pixels in zip(("b/0", "b/1", "c/2", "c/deep/3"), x, strict=False):
        write(root / f"{place}.png", pixels)
    write(tmp_path / "elsewhere" / "4.png", x[4])
    for link, target in {
        "b/self": ".",
        "c/up": "..",
        "out": "../..",
        "a": "b",
        "c/deep/b": "../../b",
        "d": "../elsewhere",
        "e": "../elsewhere",
        "d/back": "../root/d",
        "b/again.png": "1.png",
        "a0/again.png": "../c/2.png",
        "round": "about",
        "about": "round",
        "c/lost": "nowhere",
    }.items():
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(target)
    found = read_folder(root, 0)
    assert as_set(found.train[..., 0]) == as_set(x)
    assert found.class_names == ("b", "c", "d")
    for pixels, number in zip(x, (0, 0, 1, 1, 2), strict=True):
        (where,) = np.flatnonzero((found.train[..., 0] == pixels).all(axis=(1, 2)))
        assert found.train_labels[where] == number
    assert dict(found.left_out) == {"links to images": 2, "without an ending": 3}


def test_a_folder_of_links_is_read_as_the_files_would_be(tmp_path):
    x = random_images(6, 2, 2)
    for i, pixels in enumerate(x):
        write(tmp_path / "store" / f"{i}.png", pixels)
        write(tmp_path / "files" / "ab"[i % 2] / f"{i}.png", pixels)
        (tmp_path / "links" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "links" / "ab"[i % 2] / f"{i}.png").symlink_to(tmp_path / "store" / f"{i}.png")
    files, links = (read_folder(tmp_path / name, 0) for name in ("files", "links"))
    np.testing.assert_array_equal(files.train, links.train)
    np.testing.assert_array_equal(files.train_labels, links.train_labels)


@pytest.mark.parametrize("link", ["Test", "Test/0.png"])
def test_an_image_in_both_splits_is_refused(tmp_path, link):
    write(tmp_path / "Train" / "0.png", random_images(2, 2))
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "Train" / ("0.png" if "/" in link else ""))
    with pytest.raises(UserError, match=r"Train/0\.png and \S+Test/0\.png are the same file; remove it"):
        read_folder(tmp_path, 0)


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(tmp_path):
    write(tmp_path / "a.png", random_images(2, 2))
    (tmp_path / "b.png").symlink_to("nowhere.png")
    with pytest.raises(UserError, match=r"b\.png cannot be read as an image"):
        read_folder(tmp_path, 0)


def test_what_is_no_file_does_not_wait(tmp_path):
    write(tmp_path / "a.png", random_images(2, 2))
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tmp_path, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/d.png")  # the path of a socket has at most 107 bytes
        os.close(here)
        found = read_folder(tmp_path, 0)
    assert len(found.train) == 1 and found.left_out == (("special files", 3),)


def test_endings_are_those_that_pillow_gives_the_formats():
    """But .pfm, whose pixels are floats."""
    known = {ending for ending, name in Image.registered_extensions().items() if name in FORMATS}
    assert set(SUFFIXES) == known - {".pfm"} and len(SUFFIXES) == len(set(SUFFIXES))


@pytest.mark.parametrize(
    "ending", [".jfif", ".jpe", ".JPE", ".tif", ".TIFF", ".webp", ".apng", ".pnm", ".jp2", ".avif"]
)
def test_files_with_less_common_endings_are_read(tmp_path, ending):
    Image.fromarray(np.full((16, 16, 3), 77, np.uint8)).save(tmp_path / f"x{ending}")
    np.testing.assert_allclose(read_folder(tmp_path, 0).train, 77, atol=1)


@pytest.mark.parametrize("splits", [False, True])
def test_what_is_left_out_of_a_folder_is_counted(tmp_path, splits):
    root = tmp_path / "train" if splits else tmp_path
    write(root / "a" / "0.png", random_images(2, 2))
    write(root / "a" / "1.PNG", random_images(2, 2))
    for name in ("labels.csv", "a/1.txt", "a/2.TXT", "a/3.heic", "README"):
        (tmp_path / name if "/" not in name else root / name).write_text("not an image")
    d = data.load(settings_for(name=f"folder:{tmp_path}", validation=0))
    assert dict(d.left_out) == {".txt": 2, ".csv": 1, ".heic": 1, "without an ending": 1}
    assert data.describe(d).endswith(
        "images 2x2x1, 5 other files left out (2 .txt, 1 .csv, 1 .heic, 1 without an ending)"
    )
    for i in range(6):
        (root / f"x.{i}").write_text("")
    d = data.load(settings_for(name=f"folder:{tmp_path}", validation=0))
    assert data.describe(d).endswith("11 other files left out (2 .txt, 1 .0, 1 .1, 1 .2, 1 .3, ...)")


@pytest.mark.parametrize("colour_at", [0, 1, 2])
def test_one_image_in_colour_makes_all_of_them_so(tmp_path, colour_at):
    grey = random_images(3, 2, 2)
    colour = random_images(2, 2, 3)
    for i in range(3):
        write(tmp_path / f"{i}.png", colour if i == colour_at else grey[i])
    expected = [colour if i == colour_at else np.stack([grey[i]] * 3, axis=-1) for i in range(3)]
    assert as_set(read_folder(tmp_path, 0)[0]) == as_set(expected)


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "CMYK"])
def test_pixel_modes_become_grey_or_rgb(tmp_path, mode):
    picture = Image.fromarray(np.full((2, 2, 3), 255, np.uint8)).convert(mode)
    picture.save(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"))
    x = read_folder(tmp_path, 0).train
    assert x.shape == (1, 2, 2, 1 if mode in ("1", "LA") else 3)
    np.testing.assert_array_equal(x, 255)


def test_images_of_two_sizes_are_both_named(tmp_path):
    write(tmp_path / "a.png", random_images(2, 3))
    write(tmp_path / "b.png", random_images(4, 5))
    with pytest.raises(UserError, match=r"b\.png is 4x5 pixels but .*a\.png is 2x3.*config\.data\.size=N"):
        read_folder(tmp_path, 0)


def test_splits_of_two_sizes(tmp_path):
    write(tmp_path / "train" / "a.png", random_images(2, 3))
    write(tmp_path / "test" / "b.png", random_images(2, 3, 3))
    with pytest.raises(UserError, match=r"train are 2x3x1, those of .*test 2x3x3"):
        read_folder(tmp_path, 0)


def test_images_of_16_bits_are_refused(tmp_path):
    write(tmp_path / "a.png", np.zeros((2, 2), np.uint16))
    with pytest.raises(UserError, match=r"a\.png has pixels of more than 8 bits"):
        read_folder(tmp_path, 0)


@pytest.mark.parametrize("keep", [0, 30, 200])
def test_an_unreadable_image_is_named(tmp_path, keep):
    write(tmp_path / "a.png", random_images(20, 20))
    write(tmp_path / "b.png", random_images(20, 20))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:keep])
    with pytest.raises(UserError, match=r"b\.png cannot be read as an image"):
        read_folder(tmp_path, 0)


@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"P6 "]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_an_image_or_refused(tmp_path, content, start):
    (tmp_path / "a.png").write_bytes(start + content)
    try:
        x = read_folder(tmp_path, 0).train
    except UserError:
        return
    assert x.dtype == np.uint8 and x.ndim == 4


@pytest.mark.parametrize("pixels", [150, 10])  # Pillow warns above its limit and raises above twice that
def test_an_image_that_is_too_large_is_refused(tmp_path, monkeypatch, pixels):
    write(tmp_path / "a.png", random_images(10, 20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image .*decompression bomb"):
        read_folder(tmp_path, 0)


def test_images_that_do_not_fit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    for i in range(4):
        write(tmp_path / f"{i}.png", random_images(10, 10))
    monkeypatch.setattr(source, "MEMORY_LIMIT", 400)
    assert read_folder(tmp_path, 0)[0].nbytes == 400
    monkeypatch.setattr(source, "MEMORY_LIMIT", 399)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("an image was decoded"))
    with pytest.raises(UserError, match="half of this machine's memory"):
        read_folder(tmp_path, 0)


def test_folder_without_images(tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        read_folder(tmp_path, 0)
    with pytest.raises(UserError, match="there is no folder"):
        read_folder(tmp_path / "nowhere", 0)


# --- tfds ---


def write_mnist(folder, seed=0, n=40):
    """Four archives as MNIST's, labels in the first pixels; returns the training and test images."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for prefix, count in (("train", n), ("t10k", n // 2)):
        x = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        x[:, 0, 0] = labels
        for name, header, content in (
            ("images-idx3", struct.pack(">4i", 2051, count, 28, 28), x),
            ("labels-idx1", struct.pack(">2i", 2049, count), labels),
        ):
            archive = folder / f"{prefix}-{name}-ubyte.gz"
            archive.write_bytes(gzip.compress(header + content.tobytes()))
        written.append(x[..., None])
    return written


def write_cifar10(folder, n=8):
    """An archive as CIFAR-10's binary one; returns the training and test images."""
    folder.mkdir(parents=True, exist_ok=True)
    x = random_images(6 * n, 3, 32, 32)
    labels = np.arange(6 * n, dtype=np.uint8) % 10
    records = np.concatenate([labels[:, None], x.reshape(6 * n, -1)], axis=1)
    files = {f"data_batch_{i + 1}.bin": records[i * n : (i + 1) * n].tobytes() for i in range(5)}
    files["test_batch.bin"] = records[5 * n :].tobytes()
    files["batches.meta.txt"] = "".join(f"class{i}\n" for i in range(10)).encode()
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    x = x.transpose(0, 2, 3, 1)
    return x[: 5 * n], x[5 * n :]


@pytest.fixture
def official(monkeypatch):
    """official(folder): TFDS takes the archives in `folder` for the official ones."""
    from tensorflow_datasets.core.download import checksums

    def make(folder):
        def registered(path, real=checksums.load_url_infos):
            return {
                url: checksums.compute_url_info(folder / str(info.filename))
                if (folder / str(info.filename)).exists()
                else info
                for url, info in real(path).items()
            }

        monkeypatch.setattr(checksums, "load_url_infos", registered)

    return make


@pytest.mark.parametrize("place", ["downloads/manual", "."])
def test_mnist_comes_in_the_order_of_its_archive(tmp_path, official, place):
    train, test = write_mnist(tmp_path / place)
    official(tmp_path / place)
    d = data.load(settings_for(name="tfds:mnist", dir=str(tmp_path), validation=10))
    np.testing.assert_array_equal(d.train, train[:30])
    np.testing.assert_array_equal(d.validation, train[30:])
    np.testing.assert_array_equal(d.test, test)
    again = data.load(settings_for(name="tfds:mnist", dir=str(tmp_path), validation=10))  # from the cache
    for found in (d, again):
        np.testing.assert_array_equal(found.train_labels, train[:30, 0, 0, 0])
        np.testing.assert_array_equal(found.validation_labels, train[30:, 0, 0, 0])
        np.testing.assert_array_equal(found.test_labels, test[:, 0, 0, 0])
        assert found.train_labels.dtype == np.int32
        assert found.classes == 10 and found.class_names == tuple("0123456789")


def test_a_cache_of_an_earlier_format_is_replaced(tmp_path, official):
    train, test = write_mnist(tmp_path)
    official(tmp_path)
    tfds.load("mnist", str(tmp_path))
    np.savez(tmp_path / "jaxgan" / "mnist.npz", train=train, test=test)
    for _ in range(2):
        np.testing.assert_array_equal(tfds.load("mnist", str(tmp_path)).train_labels, train[:, 0, 0, 0])
    with np.load(tmp_path / "jaxgan" / "mnist.npz") as cache:
        assert "train_labels" in cache


@pytest.mark.parametrize("labels", [("label", "kind"), ("kind",), ("kind", "sort"), ()])
def test_which_feature_is_the_label(labels):
    from tensorflow_datasets import features

    numbered = {name: features.ClassLabel(num_classes=3 + i) for i, name in enumerate(labels)}
    others = {"image": features.Image(), "count": features.Scalar(np.int64)}
    builder = SimpleNamespace(info=SimpleNamespace(features=features.FeaturesDict(numbered | others)))
    expected = {("label", "kind"): "label", ("kind",): "kind", ("kind", "sort"): None, (): None}
    assert tfds._label(builder) == expected[labels]


def test_a_split_with_an_unlabeled_example_has_no_labels(tmp_path, official):
    """TFDS writes -1 for it, as in the test sets of competitions."""
    write_mnist(tmp_path)
    official(tmp_path)
    tfds.load("mnist", str(tmp_path))
    builder = tfds._open_builder("mnist", tmp_path)
    real = builder.as_data_source

    class Source:
        def __init__(self, split, **kwargs):
            self.source = real(split, **kwargs)

        def __len__(self):
            return len(self.source)

        def __getitems__(self, numbers):
            return [
                example | ({"label": -1} if i == 3 else {})
                for i, example in enumerate(self.source.__getitems__(numbers))
            ]

    builder.as_data_source = Source
    x, labels = tfds._read(builder, "train")
    assert len(x) == 40 and labels is None


def test_the_stock_builder_reads_what_was_prepared(tmp_path, official):
    import tensorflow_datasets

    train, _ = write_mnist(tmp_path)
    official(tmp_path)
    tfds.load("mnist", str(tmp_path))
    builder = tensorflow_datasets.builder("mnist", data_dir=tmp_path)
    with gzip.open(tmp_path / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    pairs = [(example["image"].tobytes(), example["label"]) for example in builder.as_data_source("train")]
    expected = [(image.tobytes(), label) for image, label in zip(train, labels, strict=True)]
    assert sorted(pairs) == sorted(expected)
    assert pairs != expected  # TFDS shuffles


def test_cifar10_comes_in_the_order_of_its_archive(tmp_path, official):
    import tensorflow_datasets

    train, test = write_cifar10(tmp_path / "downloads" / "manual")
    official(tmp_path / "downloads" / "manual")
    loaded, loaded_test, labels, test_labels, names, classes = tfds.load("cifar10", str(tmp_path))[:6]
    np.testing.assert_array_equal(loaded, train)
    np.testing.assert_array_equal(loaded_test, test)
    np.testing.assert_array_equal(np.concatenate([labels, test_labels]), np.arange(48) % 10)
    assert classes == 10 and names == tuple(f"class{i}" for i in range(10))
    builder = tensorflow_datasets.builder("cifar10", data_dir=tmp_path)
    example = next(e for e in builder.as_data_source("test") if e["id"] == b"test_00003")
    assert example["label"] == (5 * 8 + 3) % 10
    np.testing.assert_array_equal(example["image"], test[3])
    assert builder.info.features["label"].names[3] == "class3"


def test_the_second_load_reads_the_cache_and_a_torn_cache_is_replaced(tmp_path, official, monkeypatch):
    train, _ = write_mnist(tmp_path)
    official(tmp_path)
    tfds.load("mnist", str(tmp_path))
    cache = tmp_path / "jaxgan" / "mnist.npz"
    whole = cache.read_bytes()
    cache.write_bytes(whole[: len(whole) // 2])
    np.testing.assert_array_equal(tfds.load("mnist", str(tmp_path))[0], train)
    assert os.listdir(tmp_path / "jaxgan") == ["mnist.npz"]
    monkeypatch.setattr(tfds, "_open_builder", lambda *_: pytest.fail("TFDS was asked"))
    np.testing.assert_array_equal(tfds.load("mnist", str(tmp_path))[0], train)


@pytest.mark.parametrize("lost", ["train", "test", "train_labels", "test_labels", "class_names"])
def test_a_whole_cache_that_lacks_an_array_is_made_again(tmp_path, official, lost):
    write_mnist(tmp_path)
    official(tmp_path)
    first = tfds.load("mnist", str(tmp_path))
    cache = tmp_path / "jaxgan" / "mnist.npz"
    with np.load(cache) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(cache, **{name: array for name, array in arrays.items() if name != lost})
    again = tfds.load("mnist", str(tmp_path))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    np.savez(cache, **arrays | {"format2": np.array(2)})  # as versions before the names were kept wrote it
    assert tfds._read_cache(cache) is not None


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, official):
    train, _ = write_mnist(tmp_path)
    official(tmp_path)
    (tmp_path / "jaxgan").write_text("in the way")
    np.testing.assert_array_equal(tfds.load("mnist", str(tmp_path))[0], train)


def test_an_archive_with_another_checksum_is_named_and_nothing_is_left(tmp_path):
    manual = tmp_path / "downloads" / "manual"
    write_mnist(manual)  # not the official files
    with pytest.raises(UserError, match=rf"{manual}/\S+-ubyte.gz, does not have the checksum recorded by TFDS"):
        tfds.load("mnist", str(tmp_path))
    assert not any((tmp_path / "mnist").iterdir())


def test_another_process_may_prepare_the_same(tmp_path, official, monkeypatch):
    import tensorflow_datasets

    train, _ = write_mnist(tmp_path)
    official(tmp_path)
    real = tensorflow_datasets.core.DatasetBuilder.download_and_prepare

    def late(self, **kwargs):  # the other process's folder is in the way of the rename
        real(self, **kwargs)
        raise OSError("Directory not empty")

    monkeypatch.setattr(tensorflow_datasets.core.DatasetBuilder, "download_and_prepare", late)
    np.testing.assert_array_equal(tfds.load("mnist", str(tmp_path))[0], train)


@pytest.mark.parametrize("lost", ["dataset_info.json", "features.json", "mnist-test.array_record-00000-of-00001"])
def test_a_damaged_copy_is_named(tmp_path, official, lost):
    write_mnist(tmp_path)
    official(tmp_path)
    tfds.load("mnist", str(tmp_path))
    (tmp_path / "jaxgan" / "mnist.npz").unlink()
    (tmp_path / "mnist" / "3.0.1" / lost).unlink()
    with pytest.raises(UserError, match=rf"{tmp_path}.* delete that"):
        tfds.load("mnist", str(tmp_path))


def test_no_network_names_the_files_and_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "_is_reachable", lambda url: False)
    write_mnist(tmp_path / "downloads" / "manual")
    (tmp_path / "downloads" / "manual" / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(UserError, match="no network") as error:
        tfds.load("mnist", str(tmp_path))
    assert "train-images-idx3-ubyte.gz into" in str(error.value) and "t10k" not in str(error.value)
    assert f"into {tmp_path / 'downloads' / 'manual'} " in str(error.value)


@pytest.fixture
def server(tmp_path):
    """An HTTP server of the files in tmp_path / "www"."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / "www")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_server_answers_or_not(server):
    url = f"http://127.0.0.1:{server.server_port}/not-there"
    assert tfds._is_reachable(url)
    server.shutdown()
    server.server_close()
    assert not tfds._is_reachable(url)


def test_what_was_downloaded_serves_without_a_network(tmp_path, server, monkeypatch):
    import tensorflow_datasets
    from tensorflow_datasets.core.download import checksums

    train, _ = write_mnist(tmp_path / "www")
    url = f"http://127.0.0.1:{server.server_port}/"
    infos = {url + path.name: checksums.compute_url_info(path) for path in (tmp_path / "www").iterdir()}
    monkeypatch.setattr(tensorflow_datasets.builder_cls("mnist"), "URL", url)
    monkeypatch.setattr(checksums, "load_url_infos", lambda path: infos if path.stem == "mnist" else {})
    np.testing.assert_array_equal(tfds.load("mnist", str(tmp_path / "data"))[0], train)
    shutil.rmtree(tmp_path / "data" / "mnist")
    shutil.rmtree(tmp_path / "data" / "jaxgan")
    monkeypatch.setattr(tfds, "_is_reachable", lambda url: False)
    np.testing.assert_array_equal(tfds.load("mnist", str(tmp_path / "data"))[0], train)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "no data set 'mnits'; the nearest is 'mnist'"),
        ("cifar-10", "is not a valid TFDS name"),
        ("../mnist", "is not a valid TFDS name"),
        ("mnist/small", "cannot be prepared"),
        ("mnist:9.9.9", "cannot be prepared"),
    ],
)
def test_a_name_that_tfds_does_not_know(tmp_path, name, message):
    with pytest.raises(UserError, match=message):
        tfds.load(name, str(tmp_path))
    assert not any(tmp_path.iterdir())


def test_a_data_set_that_needs_tensorflow(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'jaxgan\[tf\]'"):
        tfds.load("svhn_cropped", str(tmp_path))


@pytest.mark.skipif("JAXGAN_MNIST_DIR" not in os.environ, reason="JAXGAN_MNIST_DIR: the four archives")
def test_the_real_mnist(tmp_path):
    archives = Path(os.environ["JAXGAN_MNIST_DIR"])
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for path in archives.glob("*-ubyte.gz"):
        (manual / path.name).symlink_to(path.resolve())
    d = data.load(settings_for(name="tfds:mnist", dir=str(tmp_path), validation=10_000))
    assert [len(d.train), len(d.validation), len(d.test)] == [50_000, 10_000, 10_000]
    for prefix, x in (("train", np.concatenate([d.train, d.validation])), ("t10k", d.test)):
        with gzip.open(archives / f"{prefix}-images-idx3-ubyte.gz") as file:
            np.testing.assert_array_equal(x.reshape(-1), np.frombuffer(file.read(), np.uint8, offset=16))
    for prefix, y in (("train", np.concatenate([d.train_labels, d.validation_labels])), ("t10k", d.test_labels)):
        with gzip.open(archives / f"{prefix}-labels-idx1-ubyte.gz") as file:
            np.testing.assert_array_equal(y, np.frombuffer(file.read(), np.uint8, offset=8))
