"""Labels and names of classes, wherever they come from."""

from __future__ import annotations

import os

import numpy as np
import pytest

from jaxgan import data
from jaxgan.config import default, update
from jaxgan.data import source, tfds
from jaxgan.data.npz import read_npz
from jaxgan.errors import UserError
from jaxgan.game.build import build_for
from tests.helpers.image_files import labeled_folder, random_images, settings_for, write_sorted


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
