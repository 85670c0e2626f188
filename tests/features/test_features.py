"""Pixels, the classifier that is trained here, and the cache."""

import os

import jax
import numpy as np
import pytest

from jaxgan import data
from jaxgan.config import default, update
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.features import cache, classifier, pixels, space
from jaxgan.features.classifier import Classifier, Network

pytestmark = pytest.mark.slow

EXAMPLES = 3840  # 30 steps: enough for bars, and one program for all tests


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(classifier, "_loaded", {})


def bars(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images with a bright bar in one of three places, and which."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, 3, n).astype(np.int32)
    images = random.randint(0, 60, (n, 8, 8, 1))
    for image, label in zip(images, labels, strict=True):
        image[:, 1 + 2 * label] += 190
    return images.astype(np.uint8), labels


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    (train, y), (validation, y_validation), (test, y_test) = (bars(n, seed) for n, seed in ((600, 0), (90, 1), (90, 2)))
    return Dataset("bars", train, validation, test, None, y, y_validation, y_test, 3)


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory) -> Classifier:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGAN_CACHE", str(tmp_path_factory.mktemp("cache")))
        return classifier.load_or_train(dataset, examples=EXAMPLES)


def test_it_learns_the_labels(trained, dataset):
    assert trained.accuracy == 1.0
    features, logits = trained(dataset.test)
    assert features.shape == (90, 128) and logits.shape == (90, 3)
    assert features.dtype == logits.dtype == np.float32 and features.min() == 0 < features.max()
    np.testing.assert_array_equal(logits.argmax(axis=1), dataset.test_labels)
    np.testing.assert_array_equal(trained.features(dataset.test), features)
    np.testing.assert_array_equal(trained.logits(dataset.test), logits)


def test_its_accuracy_is_that_on_the_test_set(dataset, trained):
    """Of what the network says of the test images, not of the validation images that chose the weights."""
    wrong = dataset.test_labels.copy()
    wrong[:30] = (wrong[:30] + 1) % 3
    found = classifier.load_or_train(dataset._replace(test_labels=wrong), examples=EXAMPLES)
    assert found.accuracy == pytest.approx(60 / 90)
    np.testing.assert_array_equal(found.logits(dataset.test), trained.logits(dataset.test))
    none = dataset._replace(test=dataset.test[:0], test_labels=dataset.test_labels[:0])
    assert classifier.load_or_train(none, examples=EXAMPLES).accuracy == 1


def test_bytes_and_numbers_give_the_same_and_batches_do_not_matter(trained, dataset):
    images = np.concatenate([dataset.train, dataset.test])[:270]  # more than one pass, the last one not full
    whole = trained.features(images)
    np.testing.assert_allclose(trained.features(images.astype(np.float32) / 255), whole, atol=1e-5)
    np.testing.assert_allclose(trained.features(images[255:260]), whole[255:260], atol=1e-5)


def test_it_is_trained_once_and_then_read(dataset, monkeypatch, tmp_path):
    first = classifier.load_or_train(dataset, examples=EXAMPLES)
    (file,) = (tmp_path / "cache").iterdir()
    monkeypatch.setattr(classifier, "_loaded", {})
    monkeypatch.setattr(classifier, "train", lambda *args, **kwargs: pytest.fail("trained again"))
    second = classifier.load_or_train(dataset, examples=EXAMPLES)
    assert (second.sha256, second.accuracy) == (first.sha256, first.accuracy)
    np.testing.assert_array_equal(second.features(dataset.test), first.features(dataset.test))
    for changes, kwargs in (
        ({}, {"examples": EXAMPLES + 128}),
        ({}, {"examples": EXAMPLES, "seed": 1}),
        ({"train": 255 - dataset.train}, {"examples": EXAMPLES}),
        ({"train_labels": 2 - dataset.train_labels}, {"examples": EXAMPLES}),
    ):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            classifier.load_or_train(dataset._replace(**changes), **kwargs)
    assert list((tmp_path / "cache").iterdir()) == [file]


def test_a_damaged_file_is_replaced_by_the_same_bits(dataset, monkeypatch, tmp_path):
    first = classifier.load_or_train(dataset, examples=EXAMPLES)
    (file,) = (tmp_path / "cache").iterdir()
    kept = file.read_bytes()
    file.write_bytes(kept[: len(kept) // 2])
    monkeypatch.setattr(classifier, "_loaded", {})
    assert classifier.load_or_train(dataset, examples=EXAMPLES).sha256 == first.sha256
    assert len(file.read_bytes()) == len(kept)


@pytest.mark.parametrize("lost", ["Dense_0/kernel", "Dense_1/bias", "accuracy"])
def test_a_whole_file_that_lacks_weights_is_replaced_by_the_same_bits(trained, dataset, monkeypatch, tmp_path, lost):
    monkeypatch.setattr(classifier, "train", lambda *args, **kwargs: trained.params)
    monkeypatch.setattr(classifier, "_loaded", {})
    classifier.load_or_train(dataset, examples=EXAMPLES)
    (file,) = (tmp_path / "cache").iterdir()
    with np.load(file) as found:
        arrays = dict(found)
    np.savez(file, **{name: array for name, array in arrays.items() if name != lost})
    monkeypatch.setattr(classifier, "_loaded", {})
    assert classifier.load_or_train(dataset, examples=EXAMPLES).sha256 == trained.sha256
    with np.load(file) as found:
        assert found.files == list(arrays)


def test_the_weights_that_do_best_on_validation_images_are_kept(dataset, monkeypatch):
    shares = iter([0.2, 0.9, 0.9, *[0.5] * 7])
    seen = []
    monkeypatch.setattr(classifier, "compute_accuracy", lambda params, *_: (seen.append(params), next(shares))[1])
    found = classifier.train(
        dataset.train, dataset.train_labels, dataset.validation, dataset.validation_labels,
        classes=3, seed=0, examples=EXAMPLES,
    )  # fmt: skip
    kernels = [np.asarray(params["Dense_1"]["kernel"]) for params in seen]
    assert len(seen) == classifier.NUM_VALIDATIONS and not np.array_equal(kernels[1], kernels[2])
    np.testing.assert_array_equal(found["Dense_1"]["kernel"], kernels[2])


def test_small_data_sets_are_passed_over_forty_times():
    """And MNIST is trained on as many examples as ever."""
    assert [classifier.num_training_examples(n) for n in (720, 7_500, 50_000)] == [28_800, 300_000, 300_000]


def test_the_length_follows_from_the_data(dataset, monkeypatch):
    given = {}
    monkeypatch.setattr(classifier, "train", lambda *_, **kwargs: given.update(kwargs) or pytest.fail("enough"))
    for examples, want in ((None, 24_000), (EXAMPLES, EXAMPLES)):
        with pytest.raises(pytest.fail.Exception, match="enough"):
            classifier.load_or_train(dataset, examples=examples)
        assert given["examples"] == want


def test_progress_is_shown_and_pieces_do_not_matter(dataset, monkeypatch, capsys):
    """The weights are the same, bit for bit, however many steps the device is given at a time."""
    found = []
    for steps, quiet in ((1, 0.0), (100, 1e9)):
        monkeypatch.setattr(classifier, "STEPS_PER_CALL", steps)
        monkeypatch.setattr(classifier, "QUIET", quiet)
        splits = (dataset.train, dataset.train_labels, dataset.validation, dataset.validation_labels)
        found.append(classifier.train(*splits, classes=3, seed=0, examples=EXAMPLES))
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == (29 if quiet == 0 else 0)
    assert jax.tree.all(jax.tree.map(np.array_equal, *found))
    monkeypatch.setattr(classifier, "compute_accuracy", lambda *_: 0.5)
    monkeypatch.setattr(classifier, "STEPS_PER_CALL", 2)
    monkeypatch.setattr(classifier, "QUIET", 0.0)
    classifier.train(*splits, classes=3, seed=0, examples=EXAMPLES)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "classifier: step 2 of 30"
    assert "classifier: step 29 of 30, validation accuracy 50.0%" in lines


def test_the_channels_of_a_stack_are_classified_alone(trained, dataset):
    triples = np.array([[0, 1, 2], [5, 5, 9]])
    stacks = np.ascontiguousarray(dataset.test[triples][..., 0].transpose(0, 2, 3, 1))
    stacked = Classifier(trained.params, 3, 3, 1.0, "")
    features, logits = stacked(stacks)
    np.testing.assert_allclose(features, trained.features(dataset.test)[triples].reshape(2, -1), atol=1e-5)
    assert logits.shape == (2, 27)
    digits = dataset.test_labels[triples]
    np.testing.assert_array_equal(logits.argmax(axis=1), digits @ [9, 3, 1])
    single = trained.logits(dataset.test).astype(np.float64)
    log_p = single - np.log(np.exp(single).sum(axis=1, keepdims=True))
    expected = log_p[0][1] + log_p[1][2] + log_p[2][0]
    assert logits[0, 1 * 9 + 2 * 3 + 0] == pytest.approx(expected, abs=1e-3)


def test_the_labels_of_stacks_come_apart():
    config = update(default(), {"data.name": "stacked:digits"}).data
    stacks = data.load(config)
    single = data.load(update(default(), {"data.name": "digits"}).data)
    images, labels = classifier.labelled_split(stacks, "test", 10)
    assert images.shape == (30_000, 8, 8, 1)
    known = {image.tobytes(): label for image, label in zip(single.test, single.test_labels, strict=True)}
    assert all(known[image.tobytes()] == label for image, label in zip(images[:60], labels[:60], strict=True))
    np.testing.assert_array_equal(images[1, ..., 0], stacks.test[0, ..., 1])
    # Both have the same classifier: what it learns from, chooses by and is tested on is the same.
    for split in ("validation", "test"):
        pairs = [
            classifier.unique_images(*classifier.labelled_split(dataset, split, 10)) for dataset in (stacks, single)
        ]
        for a, b in zip(*pairs, strict=True):
            np.testing.assert_array_equal(a, b)
    assert stacks.train is not single.train and np.array_equal(stacks.train, single.train)


def test_images_that_repeat_are_taken_once_but_not_those_with_other_labels():
    images = np.array([7, 5, 7, 7], np.uint8).reshape(4, 1, 1, 1)
    found, labels = classifier.unique_images(images, np.array([1, 0, 1, 2], np.int32))
    assert sorted(zip(found.ravel().tolist(), labels.tolist(), strict=True)) == [(5, 0), (7, 1), (7, 2)]


def test_shifts_move_whole_images_by_up_to_a_14th():
    import jax

    images = np.zeros((200, 28, 28, 1), np.float32)
    images[:, 10, 20] = 1
    moved = np.asarray(classifier.random_shift(jax.numpy.asarray(images), jax.random.key(0)))
    _, rows, columns, _ = np.nonzero(moved)
    assert len(rows) == 200 and set(rows) == set(range(8, 13)) and set(columns) == set(range(18, 23))
    eight = jax.numpy.asarray(images[:, :8, :8])
    np.testing.assert_array_equal(classifier.random_shift(eight, jax.random.key(0)), eight)


def test_the_network_fits_sides_from_8_to_64():
    import jax

    for side, channels, hidden in ((8, 1, 2 * 2), (28, 1, 7 * 7), (32, 3, 8 * 8), (64, 3, 8 * 8)):
        shapes = jax.eval_shape(Network(5).init, jax.random.key(0), np.zeros((1, side, side, channels), np.float32))
        assert shapes["params"]["Dense_0"]["kernel"].shape == (64 * hidden, 128)


def test_what_has_no_labels_or_no_images_is_refused(dataset, trained):
    with pytest.raises(UserError, match="bars has none"):
        classifier.load_or_train(dataset._replace(train_labels=None))
    points = data.load(update(default(), {"data.name": "mixture:ring8"}).data)
    with pytest.raises(UserError, match="needs images, and mixture:ring8 has none"):
        classifier.load_or_train(points)
    with pytest.raises(UserError, match=r"not from -1 to 1"):
        trained.features(np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1))
    with pytest.raises(UserError, match=r"not from nan to nan"):
        trained.features(np.full((1, 8, 8, 1), np.nan, np.float32))
    with pytest.raises(UserError, match="one image or more"):
        trained.features(np.zeros((8, 8, 1), np.uint8))


def test_pixels_are_their_own_features():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    assert pixels.features(images).tolist() == np.arange(24).reshape(2, 12).tolist()
    assert pixels.features(images).dtype == np.float32
    with pytest.raises(UserError, match="not a batch"):
        pixels.features(np.zeros(3))


def test_images_become_bytes_as_the_field_has_them():
    x = np.array([[-0.1, 0, 0.4999 / 255, 0.5 / 255, 100.2 / 255, 1, 1.7]])
    assert pixels.to_bytes(x).tolist() == [[0, 0, 0, 1, 100, 255, 255]]
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(pixels.to_bytes(every.astype(np.float32) / 255), every)
    np.testing.assert_array_equal(pixels.to_bytes(x), np.clip(127.5 * (2 * x - 1) + 128, 0, 255).astype(np.uint8))
    with pytest.raises(UserError, match="1 of 2 pixels are not finite"):
        pixels.to_bytes(np.array([0.5, np.nan]))


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"features": np.zeros((4, 2))},  # of other images
        {"features": np.zeros(5)},
        {"features": np.zeros((5, 2), int)},
        {"features": np.array([[None] * 2] * 5)},
        {"other": np.zeros((5, 2))},
    ],
)
def test_a_whole_file_of_the_cache_without_the_arrays_is_computed_again(tmp_path, monkeypatch, arrays):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    x, calls = np.zeros((5, 3), np.float32), []
    slow = space.FeatureSpace("inception", lambda x: (calls.append(len(x)), (x + 1, None))[1], {}, slow=True)
    np.testing.assert_array_equal(space.features_of_data(slow, x), x + 1)
    (path,) = tmp_path.iterdir()
    np.testing.assert_array_equal(space.features_of_data(slow, x), x + 1)
    assert calls == [5]
    np.savez(path, **arrays)
    np.testing.assert_array_equal(space.features_of_data(slow, x), x + 1)
    np.testing.assert_array_equal(space.features_of_data(slow, x), x + 1)
    assert calls == [5, 5]


def test_what_is_kept_follows_the_umask(tmp_path):
    before = os.umask(0o002)
    try:
        cache.write("a", {"x": np.arange(3.0)})
        cache.write("a", {"x": np.arange(4.0)})  # again
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "cache", tmp_path / "cache/a.npz")}
    assert modes == {"cache": 0o775, "a.npz": 0o664}


def test_a_user_without_a_home_has_no_cache(monkeypatch, capsys):
    monkeypatch.delenv("JAXGAN_CACHE")

    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache.Path, "home", home)
    assert cache.read("a", {"x": (3,)}) is None
    cache.write("a", {"x": np.arange(3.0)})
    said = capsys.readouterr().err
    assert said.startswith("warning: ") and said.endswith("set JAXGAN_CACHE\n") and said.count("\n") == 1


def test_the_cache_keeps_arrays_and_survives_a_missing_directory(tmp_path, monkeypatch, capsys):
    assert cache.read("a", {"x": (3,)}) is None
    cache.write("a", {"x": np.arange(3.0), "y": np.zeros((2, 5), np.float32)})
    assert cache.read("a", {"x": (3,)})["x"].tolist() == [0, 1, 2]
    assert cache.read("a", {"x": (3,), "y": (2, None)})["y"].shape == (2, 5)
    assert [path.name for path in cache.directory().iterdir()] == ["a.npz"]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path / "file"))
    cache.write("b", {"x": np.arange(3)})
    assert f"{tmp_path / 'file' / 'b.npz'} could not be written (File exists)" in capsys.readouterr().err
    assert cache.read("b", {"x": (3,)}) is None
    assert cache.digest(np.arange(3)) != cache.digest(np.arange(3.0)) != cache.digest(np.arange(3.0)[None])


@pytest.mark.slow
def test_mnist_is_classified_with_few_errors(monkeypatch):
    """At least 99.2% of the test set."""
    monkeypatch.setenv("JAXGAN_CACHE", "")  # the user's own: minutes, the first time
    try:
        mnist = data.load(update(default(), {"data.name": "tfds:mnist", "data.validation": 10_000}).data)
    except UserError as error:
        pytest.skip(str(error))
    found = classifier.load_or_train(mnist)
    assert found.accuracy >= 0.992
    assert classifier.compute_accuracy(found.params, mnist.test, mnist.test_labels, 10) >= 0.992
