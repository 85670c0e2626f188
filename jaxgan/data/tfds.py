"""Images of TensorFlow Datasets (TFDS), without TensorFlow.

TFDS downloads a data set, verifies it and stores it; what it has stored as ArrayRecord is read without
TensorFlow. Storing needs TensorFlow to open the archives and to encode PNG, except for the MNIST and CIFAR
families: their official builders are subclassed here and do both with NumPy and Pillow.
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
import uuid
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from jaxgan.data import images
from jaxgan.data.images import Source
from jaxgan.errors import UserError

FORMAT = 2  # of the cache; the first one had no labels


def load(name: str, directory: str) -> Source:
    """The images and labels of a TFDS data set, prepared on the first call.

    Archives in `<directory>/downloads/manual/`, or in `directory` itself, are used instead of a download;
    TFDS verifies their checksums. What was decoded is kept in `<directory>/jaxgan/<name>.npz`, which
    later calls read in 0.1 s; that file can be deleted at any time.

    Args:
      name: as `tfds.load` takes it: `mnist`, `mnist:3.0.1`, `emnist/letters`.
      directory: where TFDS keeps its data; '' = TFDS's own choice (TFDS_DATA_DIR).

    Returns:
      Images and labels. Test is the split `test`, or `validation` if there is no `test`, or None if there is
      neither. MNIST and CIFAR are in the order of their archives, others in the order in which TFDS stored them
      (shuffled, the same everywhere). Labels are the class feature called `label`, or the only one; a split with
      an example without a class (-1) has none.

    Raises:
      UserError: an unknown name, no network, a checksum that does not match, a data set without images,
        or one that needs TensorFlow to prepare.
    """
    if not re.fullmatch(r"\w+(/[\w.-]+)?(:[\d.*]+)?", name):
        raise UserError(f"{name!r} is no TFDS name; write tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:VERSION.")
    directory = directory or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    root = Path(os.path.expanduser(directory))
    cache = root / "jaxgan" / (re.sub(r"[^\w.-]", "-", name) + ".npz")
    found = _cached(cache)
    if found is not None:
        return found
    builder = _stored(name, root)
    if builder is None:
        _prepare(name, root)
        builder = _stored(name, root)
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
    with contextlib.suppress(OSError):  # a folder that cannot be written only makes the next call slower
        _keep(cache, source)
    return source


def _cached(path: Path) -> Source | None:
    """What `_keep` wrote; None if it is not there, is damaged or of an earlier format."""
    try:
        source = images.npz(path)
    except UserError:
        return None
    with zipfile.ZipFile(path) as archive:
        return source if f"format{FORMAT}.npy" in archive.namelist() else None


def _stored(name: str, root: Path) -> Any:
    """TFDS's builder for what it has stored in `root`, or None."""
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
    """The feature that says an example's class."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    keys = [
        key
        for key, feature in (features.items() if isinstance(features, tfds.features.FeaturesDict) else ())
        if type(feature) is tfds.features.ClassLabel and 0 < (feature.num_classes or 0) <= images.MAX_CLASSES
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
        # Pillow decodes two times faster than TFDS does with it.
        source = builder.as_data_source(split, decoders={key: tfds.decode.SkipDecoding()})
    except NotImplementedError:
        raise UserError(
            f"{builder.data_dir} holds tfds:{name} as {builder.info.file_format.value}, which only "
            f"TensorFlow reads; set data.dir to another folder, where it is prepared as array_record."
        ) from None
    places: Sequence[int] = range(len(source))
    if builder.name in _FAMILIES and not builder.info.disable_shuffling:
        # TFDS stores an example at the rank of its key's hash; these families' key is the archive's index.
        places = sorted(places, key=Hasher(split).hash_key)
    labels = np.full(len(source), -1, np.int32)

    def files() -> Iterator[tuple[str, io.BytesIO]]:
        for start in range(0, len(source), 1000):
            numbers = range(start, min(start + 1000, len(source)))
            try:
                examples = source.__getitems__(numbers)
            except Exception as error:
                raise UserError(
                    f"{builder.data_dir} is damaged ({_sentence(error)}); delete that folder and repeat the command."
                ) from error
            for number, example in zip(numbers, examples, strict=True):
                if label:
                    labels[places[number]] = example[label]
                yield f"image {number} of {split} in {builder.data_dir}", io.BytesIO(example[key])

    x = images.stack(files(), places, size=0)
    return x, labels if label and labels.min() >= 0 else None


def _keep(path: Path, source: Source) -> None:
    """Writes the cache: whole or not at all, whoever else writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{uuid.uuid4().hex}.tmp")
    try:
        with scratch.open("wb") as file:
            arrays = {key: value for key, value in source._asdict().items() if isinstance(value, np.ndarray)}
            if source.class_names:
                arrays["class_names"] = np.array(source.class_names)
            np.savez(file, **{f"format{FORMAT}": np.array(FORMAT)}, **arrays)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _prepare(name: str, root: Path) -> None:
    """Has TFDS download, verify and store a data set. It appears in `root` whole or not at all."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    dataset = _dataset(name)
    known = tfds.list_builders(with_community_datasets=False)
    if dataset not in known:
        near = difflib.get_close_matches(dataset, known, n=1, cutoff=0.0)[0]
        raise UserError(f"TFDS has no data set {dataset!r}; the nearest is {near!r}.")
    if dataset not in _FAMILIES and importlib.util.find_spec("tensorflow") is None:
        raise UserError(
            f"tfds:{name} is not stored in {root} and only TensorFlow can prepare it: "
            f"pip install 'jaxgan[tf]' and repeat the command."
        )
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    try:
        builder = tfds.builder(name, data_dir=root)
        if dataset in _FAMILIES:
            with tfds.core.registered.skip_registration():
                builder = _FAMILIES[dataset](type(builder))(data_dir=root, version=str(builder.version))
    except Exception as error:
        raise UserError(f"tfds:{name} cannot be prepared: {_sentence(error)}.") from error
    downloads = root / "downloads"
    urls = builder.url_infos or {}
    at_hand = any(info.filename and (root / info.filename).exists() for info in urls.values())
    manual = root if at_hand else downloads / "manual"
    absent = [url for url, info in urls.items() if not _is_here(url, info, manual, downloads, dataset)]
    if absent and not _answers(absent[0]):
        raise UserError(
            f"there is no network to download tfds:{name}; put the files {', '.join(absent)} into {manual} "
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
        raise UserError(f"{what}, does not have TFDS's checksum; replace that file.") from error
    except Exception as error:  # whatever one of several hundred builders may raise
        if _stored(name, root) is None:  # else another process was faster
            raise UserError(f"tfds:{name} cannot be prepared in {root}: {_sentence(error)}.") from error


def _is_here(url: str, info: Any, manual: Path, downloads: Path, dataset: str) -> bool:
    """Whether TFDS will find this file without a network."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    downloaded = get_dl_fname(url, info.checksum)
    places = [downloads / dataset / downloaded, downloads / downloaded]
    return any(path.exists() for path in places + ([manual / info.filename] if info.filename else []))


def _answers(url: str) -> bool:
    """Whether the server of `url` answers within 5 seconds.

    TFDS itself tries for minutes. The thread is for name servers that do not answer either: nothing else
    bounds their time.
    """
    answers = []

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            try:
                urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=5).close()
            except urllib.error.HTTPError as error:
                if error.code >= 500:
                    return
            answers.append(True)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(5)
    return bool(answers)


def _dataset(name: str) -> str:
    """`emnist` of `emnist/letters:3.1.0`."""
    return re.split("[:/]", name)[0]


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300].rstrip('.')}"


def _mnist(official: type) -> type:
    """TFDS's MNIST, Fashion-MNIST or KMNIST: four gzipped IDX files."""
    from PIL import Image

    class Builder(official):
        name = official.name  # type: ignore[attr-defined]
        __module__ = official.__module__  # by which TFDS finds the checksums

        def _split_generators(self, dl_manager):
            return super()._split_generators(SimpleNamespace(download_and_extract=dl_manager.download))

        def _generate_examples(self, num_examples, data_path, label_path):
            pixels = np.frombuffer(gzip.decompress(Path(data_path).read_bytes()), np.uint8, offset=16)
            labels = np.frombuffer(gzip.decompress(Path(label_path).read_bytes()), np.uint8, offset=8)
            for i, (image, label) in enumerate(zip(pixels.reshape(-1, 28, 28), labels, strict=True)):
                yield i, {"image": Image.fromarray(image), "label": label}

    return Builder


def _cifar(official: type) -> type:
    """TFDS's CIFAR-10 or CIFAR-100: a tar file of records, label bytes then 3 planes of 32x32 pixels."""
    from PIL import Image

    class Builder(official):
        name = official.name  # type: ignore[attr-defined]
        __module__ = official.__module__

        def _split_generators(self, dl_manager):
            about = self._cifar_info
            with tarfile.open(dl_manager.download(about.url)) as archive:

                def read(name: str) -> bytes:
                    return archive.extractfile(about.prefix + name).read()

                for key, file in zip(about.label_keys, about.label_files, strict=True):
                    self.info.features[key].names = read(file).decode().split()
                train, test = (b"".join(map(read, files)) for files in (about.train_files, about.test_files))
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


_FAMILIES = {
    "mnist": _mnist,
    "fashion_mnist": _mnist,
    "kmnist": _mnist,
    "cifar10": _cifar,
    "cifar100": _cifar,
}
