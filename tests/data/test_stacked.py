"""Stacked data sets: which base images an example is made of, its label, and that its channels are independent."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxgan import data
from jaxgan.data import order, source, stacked
from jaxgan.errors import UserError

KEY = jax.random.key(0, impl="threefry2x32")


def load(name: str, validation: int = 10) -> data.Dataset:
    return data.load(ConfigDict({"name": name, "dir": "", "validation": validation}))


def drawn(n: int, count: int, stack: int = 3) -> np.ndarray:
    """The rows of the first `count` examples: [count, stack]."""
    draw = jax.jit(jax.vmap(lambda counter: stacked.rows(KEY, counter, n, stack)))
    return np.asarray(draw(jnp.arange(count, dtype=jnp.uint32)))


@pytest.fixture
def numbered(tmp_path):
    """'npz:PATH' of 60 images 2x2 of three classes: the number is in the first pixel, the label in the last."""
    x = np.zeros((60, 2, 2), np.uint8)
    x[:, 0, 0], x[:, 1, 1] = np.arange(60), np.arange(60) % 3
    np.savez(tmp_path / "x.npz", train=x, train_labels=x[:, 1, 1])
    return f"npz:{tmp_path / 'x.npz'}"


def test_each_channel_visits_every_image_once_in_n_examples():
    rows = drawn(n=97, count=3 * 97)
    assert rows.dtype == np.uint32 and rows.shape == (291, 3)
    epochs = rows.reshape(3, 97, 3).transpose(0, 2, 1).reshape(9, 97)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(97), (9, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 9  # no two channels or epochs are alike


def test_channels_are_independent():
    """Of 5 base images all 25 pairs of two channels are equally likely: chi-square given both margins, 16 degrees."""
    rows = drawn(n=5, count=20_000)
    for a, b in itertools.combinations(rows.T, 2):
        counts = np.bincount(a * 5 + b, minlength=25)
        # Draws without replacement vary less than a multinomial's: 40 is far above the 99.9% quantile 39.3.
        assert ((counts - 800) ** 2 / 800).sum() < 40


def test_neighbouring_channels_are_not_neighbouring_images():
    rows = drawn(n=1000, count=1000).astype(int)
    for a, b in itertools.combinations(rows.T, 2):
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.1  # 3 deviations
        assert (a == b).sum() < 8  # Poisson(1)


def test_a_stack_of_one_is_the_plain_order():
    example = jax.jit(order.example, static_argnums=2)
    plain = [int(example(KEY, jnp.uint32(counter), 10)) for counter in range(12)]
    np.testing.assert_array_equal(drawn(n=10, count=12, stack=1), np.array(plain)[:, None])


@pytest.mark.parametrize("xp", [np, jnp])
def test_gather_by_hand(xp):
    base = xp.arange(4 * 2 * 3, dtype=xp.uint8).reshape(4, 2, 3, 1)
    rows = xp.array([[3, 0, 0], [1, 2, 3]], dtype=xp.uint32)
    x = stacked.gather(base, rows)
    assert x.shape == (2, 2, 3, 3) and x.dtype == np.uint8
    np.testing.assert_array_equal(x[0, 0, 0], [18, 0, 0])
    np.testing.assert_array_equal(x[0, 1, 2], [23, 5, 5])
    np.testing.assert_array_equal(x[1, 0, 1], [7, 13, 19])
    np.testing.assert_array_equal(stacked.gather(base, rows[:, :1]), base[np.array([3, 1])])


@pytest.mark.parametrize("xp", [np, jnp])
def test_the_label_of_a_stack_by_hand(xp):
    labels, rows = xp.array([7, 1, 2], dtype=xp.int32), xp.array([[2, 1, 0], [0, 0, 0]], dtype=xp.uint32)
    found = stacked.gather_labels(labels, rows, 1000)
    assert found.dtype == np.int32 and found.tolist() == [217, 777]
    small = stacked.gather_labels(xp.array([0, 1, 2], dtype=xp.int32), rows, 27)
    assert small.tolist() == [2 * 9 + 1 * 3 + 0, 0]
    assert stacked.gather_labels(labels, rows[:, :1], 10).tolist() == [2, 7]


@pytest.mark.parametrize("base", [2, 3, 10, 26, 62, 100, 1000, 1290])
def test_the_largest_label_is_the_number_of_classes_less_one(base):
    labels, rows = np.array([base - 1], np.int32), np.zeros((1, 3), np.uint32)
    assert stacked.gather_labels(labels, rows, base**3).tolist() == [base**3 - 1]


def test_a_stacked_data_set(numbered):
    d, base = load(f"stacked:{numbered}"), load(numbered)
    np.testing.assert_array_equal(d.train, base.train)
    np.testing.assert_array_equal(d.train_labels, base.train_labels)
    assert d.name == f"stacked:{numbered}" and d.shape == (2, 2, 3) and d.stack == 3 and d.classes == 27
    assert data.digest(d) != data.digest(base)
    for x, y, own in (
        (d.validation, d.validation_labels, base.validation),
        (d.test, d.test_labels, base.test),
    ):
        assert x.shape == (10_000, 2, 2, 3) and x.dtype == np.uint8
        numbers, labels = x[:, 0, 0], x[:, 1, 1].astype(np.int32)
        np.testing.assert_array_equal(y, labels @ np.array([9, 3, 1], np.int32))
        np.testing.assert_array_equal(numbers % 3, labels)
        for channel in numbers.T:  # each of its 10 images as often, and none that is trained on
            values, counts = np.unique(channel, return_counts=True)
            np.testing.assert_array_equal(values, np.sort(own[:, 0, 0, 0]))
            np.testing.assert_array_equal(counts, 1000)
        assert len(np.unique(numbers, axis=0)) == 1000
    again = load(f"stacked:{numbered}")
    np.testing.assert_array_equal(again.test, d.test)


def test_held_out_stacks_do_not_depend_on_the_default_generator(numbered):
    expected = load(f"stacked:{numbered}")
    with jax.default_prng_impl("rbg"):
        found = load(f"stacked:{numbered}")
    np.testing.assert_array_equal(found.validation, expected.validation)
    np.testing.assert_array_equal(found.test_labels, expected.test_labels)


def test_training_examples_are_those_of_the_training_step(numbered):
    d = load(f"stacked:{numbered}")

    @jax.jit
    def minibatch(images, labels, counters):
        rows = jax.vmap(lambda counter: stacked.rows(KEY, counter, len(images), d.stack))(counters)
        return stacked.gather(images, rows), stacked.gather_labels(labels, rows, d.classes)

    x, y = map(np.asarray, minibatch(d.train, d.train_labels, jnp.arange(32, dtype=jnp.uint32)))
    assert x.shape == (32, *d.shape)
    np.testing.assert_array_equal(y, x[:, 1, 1].astype(int) @ [9, 3, 1])
    assert len(set(y.tolist())) > 10


def test_without_labels_or_held_out_images(tmp_path):
    np.savez(tmp_path / "x.npz", np.zeros((4, 2, 3), np.uint8))
    d = load(f"stacked:npz:{tmp_path / 'x.npz'}", validation=0)
    assert d.validation.shape == d.test.shape == (0, 2, 3, 3)
    assert d.train_labels is d.validation_labels is d.test_labels is None and d.classes == 0 and d.shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stacked:mixture:ring8", "takes images of 1 channel, but mixture:ring8 holds points"),
        ("stacked:stacked:digits", "not 'stacked:digits'"),
        ("stacked:digit", "the nearest is 'digits'"),
        ("stacked:", "the nearest is 'stacked:NAME'"),
    ],
)
def test_what_cannot_be_stacked(name, message):
    with pytest.raises(UserError, match=message):
        load(name)


def test_colours_too_many_classes_and_too_many_bytes(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", np.zeros((40, 2, 2, 3), np.uint8))
    with pytest.raises(UserError, match="holds images of 3 channels; use a gray-scale data set"):
        load(f"stacked:npz:{tmp_path / 'x.npz'}")
    np.savez(tmp_path / "x.npz", train=np.zeros((1291, 2, 2), np.uint8), labels=np.arange(1291))
    with pytest.raises(UserError, match=r"1291\^3 classes"):
        load(f"stacked:npz:{tmp_path / 'x.npz'}")
    monkeypatch.setattr(source, "MEMORY_LIMIT", 1_000_000)
    with pytest.raises(UserError, match=r"10000 stacks of 3 images: .*half of this machine's memory"):
        load("stacked:digits")
