"""Vectors and stored conditions of npz:PATH, and scikit-learn's tables."""

import numpy as np
import pytest
from sklearn import datasets

from jaxgan import data
from jaxgan.config import default, update
from jaxgan.data import digest, value_range
from jaxgan.errors import UserError


def load(name: str, validation: int = 10):
    return data.load(update(default(), {"data.name": name, "data.validation": validation}).data)


def saved(tmp_path, **arrays) -> str:
    np.savez(tmp_path / "file.npz", **arrays)
    return f"npz:{tmp_path / 'file.npz'}"


def test_vectors_are_standardized_by_the_training_set_alone(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal([100, -3, 7], [20, 0.1, 0], (60, 3))
    dataset = load(saved(tmp_path, train=x))
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (40, 10, 10)
    assert dataset.train.dtype == np.float32 and dataset.shape == (3,) and value_range(dataset, 0.0) is None
    np.testing.assert_allclose(dataset.train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(dataset.train.std(axis=0), [1, 1, 0], atol=1e-5)  # a constant column stays 0
    assert abs(dataset.test.mean(axis=0)[0]) > 1e-3
    parts = np.concatenate([dataset.train, dataset.validation, dataset.test])
    back = parts * dataset.scaling[1] + dataset.scaling[0]
    np.testing.assert_allclose(np.sort(back[:, 0]), np.sort(x[:, 0]), rtol=1e-5)
    assert "points of dimension 3" in data.describe(dataset)


def test_conditions_are_split_and_shuffled_with_their_examples(tmp_path):
    x = np.arange(60.0)[:, None] * [1, 2]
    dataset = load(saved(tmp_path, train=x, train_condition=3 * x[:, :1]))
    for split in ("train", "validation", "test"):
        example, told = getattr(dataset, split), getattr(dataset, f"{split}_condition")
        np.testing.assert_allclose(told[:, 0], example[:, 0], rtol=1e-4, atol=1e-6)  # both standardized
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4), np.uint8)
    pairs = load(saved(tmp_path, train=images, train_condition=images[:, ::2, ::2]))
    np.testing.assert_array_equal(pairs.train[:, ::2, ::2], pairs.train_condition)
    assert pairs.condition_scaling is None and pairs.train_condition.dtype == np.uint8
    assert digest(pairs) != digest(pairs._replace(train_condition=pairs.train_condition // 2))


@pytest.mark.parametrize(("arrays", "message"), [
    ({"train": np.zeros((6, 2)), "train_condition": np.zeros((5, 1))}, "holds 5 conditions for 6 examples; give one"),
    ({"train": np.zeros((6, 2)), "test": np.zeros((3, 2)), "train_condition": np.zeros((6, 1))}, "for only one of the"),
    ({"train": np.full((6, 2), np.nan)}, "12 of its numbers are not finite"),
    ({"train": np.array([["a", "b"]])}, r"vectors are \[n, d\] numbers"),
    ({"train": np.zeros((6, 2)), "test": np.zeros((3, 3))}, "3"),
])  # fmt: skip
def test_vectors_that_do_not_fit_are_refused(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        load(saved(tmp_path, **arrays), validation=1)


@pytest.mark.parametrize(("name", "shape"), [
    ("breast_cancer", (569, 30)), ("wine", (178, 13)), ("iris", (150, 4)), ("diabetes", (442, 10)),
])  # fmt: skip
def test_tables_are_those_of_scikit_learn(name, shape):
    dataset = load(f"table:{name}")
    expected = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    parts = np.concatenate([dataset.train, dataset.validation, dataset.test])
    back = parts * dataset.scaling[1] + dataset.scaling[0]
    assert back.shape == expected.data.shape == shape
    np.testing.assert_allclose(np.sort(back, axis=0), np.sort(expected.data, axis=0), rtol=1e-3, atol=1e-4)
    if name != "diabetes":
        assert dataset.class_names == tuple(expected.target_names)
        assert len(np.unique(dataset.test_labels)) > 1  # the rows are shuffled
        first = np.flatnonzero(np.isclose(expected.data, back[0], rtol=1e-3, atol=1e-4).all(axis=1))
        assert expected.target[first[0]] == dataset.train_labels[0]


def test_an_unknown_table_is_refused():
    with pytest.raises(UserError, match=r"table:NAME takes breast_cancer, wine, iris, diabetes, not 'adult'"):
        load("table:adult")
