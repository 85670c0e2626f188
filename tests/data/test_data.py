"""The data sets: their splits, range, digest and description."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from jaxgan import data
from jaxgan.config import update
from jaxgan.data import Dataset, images, source, tfds
from jaxgan.data.images import folder
from jaxgan.errors import UserError
from jaxgan.run import commands
from jaxgan.train import train
from tests.helpers.image_files import labeled_folder, random_images, settings_for, write

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


def test_padding_counts_as_memory_in_addition_to_the_images(tmp_path, monkeypatch):
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


def test_images_in_colour_after_grey_ones_count_as_memory_in_addition_to_these(tmp_path, monkeypatch):
    for i in range(4):
        write(tmp_path / f"{i}.png", random_images(10, 10, 3) if i == 3 else random_images(10, 10))
    monkeypatch.setattr(source, "MEMORY_LIMIT", 4 * 100 * (1 + 3))
    assert folder(tmp_path, 0).train.shape == (4, 10, 10, 3)
    monkeypatch.setattr(source, "MEMORY_LIMIT", 4 * 100 * (1 + 3) - 1)
    with pytest.raises(UserError, match=r"4 images like \S+3\.png.*half of this machine's memory"):
        folder(tmp_path, 0)


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
        with pytest.raises(UserError, match=r"and the same number for a test set, which this data set lacks.*below 4"):
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


def test_the_digest_depends_on_the_training_data_only():
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
        alphabetical.setattr(images, "natural_sort_key", lambda name: name)
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
