"""The data sets of TFDS: archives, caches, downloads, and what happens without a network."""

from __future__ import annotations

import gzip
import http.server
import io
import os
import shutil
import struct
import tarfile
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jaxgan import data
from jaxgan.data import tfds
from jaxgan.errors import UserError
from tests.helpers.image_files import random_images, settings_for


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


@pytest.mark.slow
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
