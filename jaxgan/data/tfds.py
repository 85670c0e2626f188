"""Images of TensorFlow Datasets (TFDS), without TensorFlow.

TFDS downloads, verifies and stores a data set; ArrayRecord files are read without TensorFlow. Storing needs
TensorFlow to open the archives and to encode PNG, except for the MNIST and CIFAR families, whose official builders are
subclassed here and use NumPy and Pillow instead.
"""

from __future__ import annotations

import contextlib
import difflib
import gzip
import http.client
import importlib.util
import io
import os
import re
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from jaxgan.data.image_files import decode_all
from jaxgan.data.npz import read_npz
from jaxgan.data.source import MAX_CLASSES, Source
from jaxgan.errors import UserError
from jaxgan.files import open_atomically

FORMAT = 2  # version of the cache; version 1 had no labels


def load(name: str, directory: str) -> Source:
    """The images and labels of a TFDS data set, prepared on the first call.

    Archives in `<directory>/downloads/manual/`, or in `directory` itself, are used instead of a download; TFDS verifies
    their checksums. The decoded arrays are cached in `<directory>/jaxgan/<name>.npz`, which later calls read in .1 s
    and which can be deleted at any time.

    Args:
      name: as in `tfds.load`: `mnist`, `mnist:3.0.1`, `emnist/letters`.
      directory: TFDS's data directory; '' = TFDS's default (TFDS_DATA_DIR).

    Returns:
      Images and labels. Test is the split `test`, or else `validation`, or None. MNIST and CIFAR are in the order of
      their archives, others in TFDS's order (shuffled, the same on all machines). Labels are the class feature called
      `label`, or the only class feature; a split that contains an unlabeled example (-1) has no labels.

    Raises:
      UserError: an unknown name, no network, a wrong checksum, a data set without images, or one that only TensorFlow
        can prepare.
    """
    if not re.fullmatch(r"\w+(/[\w.-]+)?(:[\d.*]+)?", name):
        raise UserError(f"{name!r} is not a valid TFDS name; write tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION.")
    directory = directory or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = Path(os.path.expanduser(directory))
    cache = root / "jaxgan" / (re.sub(r"[^\w.-]", "-", name) + ".npz")
    cached = _read_cache(cache)
    if cached is not None:
        return cached
    builder = _open_builder(name, root)
    if builder is None:
        _prepare(name, root)
        builder = _open_builder(name, root)
    if builder is None:
        raise UserError(
            f"{root / _dataset(name)} holds an incomplete copy of tfds:{name}; delete that folder and "
            f"repeat the command."
        )
    splits = builder.info.splits
    if "train" not in splits:
        raise UserError(f"tfds:{name} has no split 'train', only {', '.join(splits) or 'none'}.")
    train, train_labels = _read(builder, "train")
    held_out = next((split for split in ("test", "validation") if split in splits), None)
    test, test_labels = (None, None) if held_out is None else _read(builder, held_out)
    names: tuple[str, ...] = ()
    if train_labels is None:
        test_labels = None
    else:
        names = tuple(builder.info.features[_label(builder)].names)
    source = Source(train, test, train_labels, test_labels, names, len(names))
    with contextlib.suppress(UserError):  # without a cache the next call is only slower
        _write_cache(cache, source)
    return source


def _read_cache(path: Path) -> Source | None:
    """The cache of `_write_cache`; None if it is missing, damaged, incomplete or of an earlier version."""
    try:
        source = read_npz(path)
    except UserError:
        return None
    with np.load(path, allow_pickle=False) as file:
        if f"format{FORMAT}" not in file.files:
            return None
        names = file[f"format{FORMAT}"]  # of the arrays; earlier caches have the version here
        return source if names.ndim == 0 or set(names.tolist()) <= set(file.files) else None


def _open_builder(name: str, root: Path) -> Any:
    """TFDS's read-only builder of a data set stored in `root`, or None."""
    import tensorflow_datasets as tfds

    try:
        return tfds.core.read_only_builder.builder_from_files(name, data_dir=root)
    except tfds.core.DatasetNotFoundError:
        return None
    except Exception as error:
        raise UserError(
            f"tfds:{name} in {root} cannot be opened ({_sentence(error)}); delete that copy and repeat the command."
        ) from error


def _label(builder: Any) -> str | None:
    """The key of the feature with an example's class, or None."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    keys = [
        key
        for key, feature in (features.items() if isinstance(features, tfds.features.FeaturesDict) else ())
        if type(feature) is tfds.features.ClassLabel and 0 < (feature.num_classes or 0) <= MAX_CLASSES
    ]
    return "label" if "label" in keys else keys[0] if len(keys) == 1 else None


def _read(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray | None]:
    """The images of one split, and their labels."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.hashing import Hasher

    name, features = builder.info.full_name, builder.info.features
    keys = [
        key
        for key, feature in (features.items() if isinstance(features, tfds.features.FeaturesDict) else ())
        if type(feature) is tfds.features.Image and feature.np_dtype == np.uint8
    ]
    if "image" not in keys and len(keys) != 1:
        raise UserError(
            f"tfds:{name} has {len(keys)} features of 8-bit images ({', '.join(keys) or 'none'}); use a data "
            f"set with one, or with one called 'image'."
        )
    key, label = "image" if "image" in keys else keys[0], _label(builder)
    try:
        # Decoding with Pillow directly is twice as fast as through TFDS.
        source = builder.as_data_source(split, decoders={key: tfds.decode.SkipDecoding()})
    except NotImplementedError:
        raise UserError(
            f"{builder.data_dir} holds tfds:{name} as {builder.info.file_format.value}, which only "
            f"TensorFlow reads; set data.dir to another folder, where it will be prepared as array_record."
        ) from None
    positions: Sequence[int] = range(len(source))
    if builder.name in _BUILDERS and not builder.info.disable_shuffling:
        # TFDS orders examples by the hash of their key, which for these families is the index in the archive.
        positions = sorted(positions, key=Hasher(split).hash_key)
    labels = np.full(len(source), -1, np.int32)

    def files() -> Iterator[tuple[str, io.BytesIO]]:
        for start in range(0, len(source), 1000):
            indices = range(start, min(start + 1000, len(source)))
            try:
                examples = source.__getitems__(indices)
            except Exception as error:
                raise UserError(
                    f"{builder.data_dir} is damaged ({_sentence(error)}); delete that folder and repeat the command."
                ) from error
            for i, example in zip(indices, examples, strict=True):
                if label:
                    labels[positions[i]] = example[label]
                yield f"image {i} of {split} in {builder.data_dir}", io.BytesIO(example[key])

    x = decode_all(files(), positions, size=0)
    return x, labels if label and labels.min() >= 0 else None


def _write_cache(path: Path, source: Source) -> None:
    """Writes the cache atomically."""
    arrays = {key: value for key, value in source._asdict().items() if isinstance(value, np.ndarray)}
    if source.class_names:
        arrays["class_names"] = np.array(source.class_names)
    with open_atomically(path) as file:
        np.savez(file, **{f"format{FORMAT}": np.array(sorted(arrays))}, **arrays)


def _prepare(name: str, root: Path) -> None:
    """Makes TFDS download, verify and store a data set in `root`, atomically."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    dataset = _dataset(name)
    known = tfds.list_builders(with_community_datasets=False)
    if dataset not in known:
        near = difflib.get_close_matches(dataset, known, n=1, cutoff=0.0)[0]
        raise UserError(f"TFDS has no data set {dataset!r}; the nearest is {near!r}.")
    if dataset not in _BUILDERS and importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"tfds:{name} is not stored in {root} and only TensorFlow can prepare it; run "
            f"pip install 'jaxgan[tf]' and repeat the command."
        )
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        builder = tfds.builder(name, data_dir=root)
        if dataset in _BUILDERS:
            with tfds.core.registered.skip_registration():
                builder = _BUILDERS[dataset](type(builder))(data_dir=root, version=str(builder.version))
    except Exception as error:
        raise UserError(f"tfds:{name} cannot be prepared: {_sentence(error)}.") from error
    downloads = root / "downloads"
    urls = builder.url_infos or {}
    in_root = any(info.filename and (root / info.filename).exists() for info in urls.values())
    manual = root if in_root else downloads / "manual"
    missing = [url for url, info in urls.items() if not _is_local(url, info, manual, downloads, dataset)]
    if missing and not _is_reachable(missing[0]):
        raise UserError(
            f"there is no network to download tfds:{name}; put the files {', '.join(missing)} into {manual} "
            f"and repeat the command."
        )
    try:
        builder.download_and_prepare(
            file_format="array_record",
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(manual_dir=manual, try_download_gcs=False),
        )
    except NonMatchingChecksumError as error:
        what = str(error).partition(", has wrong checksum")[0]
        raise UserError(f"{what}, does not have the checksum recorded by TFDS; replace that file.") from error
    except Exception as error:  # builders raise many kinds
        if _open_builder(name, root) is None:  # otherwise another process has prepared it
            raise UserError(f"tfds:{name} cannot be prepared in {root}: {_sentence(error)}.") from error


def _is_local(url: str, info: Any, manual: Path, downloads: Path, dataset: str) -> bool:
    """Whether TFDS finds the file of `url` without a network."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    downloaded = get_dl_fname(url, info.checksum)
    paths = [downloads / dataset / downloaded, downloads / downloaded]
    return any(path.exists() for path in paths + ([manual / info.filename] if info.filename else []))


def _is_reachable(url: str) -> bool:
    """Whether the server of `url` responds within 5 seconds; TFDS itself retries for minutes.

    The thread bounds the time of name resolution, which has no timeout.
    """
    responses = []

    def request_head() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            try:
                urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5).close()
            except urllib.error.HTTPError as error:
                if error.code >= 500:
                    return
            responses.append(True)

    thread = threading.Thread(target=request_head, daemon=True)
    thread.start()
    thread.join(5)
    return bool(responses)


def _dataset(name: str) -> str:
    """The name without config and version: `emnist` for `emnist/letters:3.1.0`."""
    return re.split("[:/]", name)[0]


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300].rstrip('.')}"


def _mnist(official: type) -> type:
    """A builder of TFDS's MNIST, Fashion-MNIST or KMNIST (four gzipped IDX files) without TensorFlow."""
    from PIL import Image

    class Builder(official):
        name = official.name  # type: ignore[attr-defined]
        __module__ = official.__module__  # from which TFDS derives the path of the checksums

        def _split_generators(self, dl_manager):
            return super()._split_generators(SimpleNamespace(download_and_extract=dl_manager.download))

        def _generate_examples(self, num_examples, data_path, label_path):
            pixels = np.frombuffer(gzip.decompress(Path(data_path).read_bytes()), np.uint8, offset=16)
            labels = np.frombuffer(gzip.decompress(Path(label_path).read_bytes()), np.uint8, offset=8)
            for i, (image, label) in enumerate(zip(pixels.reshape(-1, 28, 28), labels, strict=True)):
                yield i, {"image": Image.fromarray(image), "label": label}

    return Builder


def _cifar(official: type) -> type:
    """A builder of TFDS's CIFAR-10 or CIFAR-100 without TensorFlow.

    The archive is a tar file of records: label bytes, then three planes of 32x32 pixels.
    """
    from PIL import Image

    class Builder(official):
        name = official.name  # type: ignore[attr-defined]
        __module__ = official.__module__

        def _split_generators(self, dl_manager):
            cifar = self._cifar_info
            with tarfile.open(dl_manager.download(cifar.url)) as archive:

                def read(name: str) -> bytes:
                    return archive.extractfile(cifar.prefix + name).read()

                for key, file in zip(cifar.label_keys, cifar.label_files, strict=True):
                    self.info.features[key].names = read(file).decode().split()
                train, test = (b"".join(map(read, files)) for files in (cifar.train_files, cifar.test_files))
            return {
                "train": self._generate_examples("train_", train),
                "test": self._generate_examples("test_", test),
            }

        def _generate_examples(self, prefix, data):
            keys = self._cifar_info.label_keys
            for i, record in enumerate(np.frombuffer(data, np.uint8).reshape(-1, len(keys) + 3 * 32 * 32)):
                image = record[len(keys) :].reshape(3, 32, 32).transpose(1, 2, 0)
                labels = dict(zip(keys, record, strict=False))
                yield i, {"id": f"{prefix}{i:05d}", "image": Image.fromarray(image), **labels}

    return Builder


_BUILDERS = {
    "mnist": _mnist,
    "fashion_mnist": _mnist,
    "kmnist": _mnist,
    "cifar10": _cifar,
    "cifar100": _cifar,
}
