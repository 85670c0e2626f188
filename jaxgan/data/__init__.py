"""Data sets: loading, decoding, shuffling order, and channel stacking."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from jaxgan.data import mixture, source, stacked, tfd, tfds
from jaxgan.data.images import digits, folder
from jaxgan.data.mixture import Mixture
from jaxgan.data.npz import read_npz
from jaxgan.data.source import Source
from jaxgan.data.table import read_table
from jaxgan.errors import UserError
from jaxgan.fields import Bound, at_least, one_of

_EXAMPLES = ("tfds:mnist", "tfds:cifar10")  # listed in error messages beside the forms of `SOURCES`
_SPLITS = (("train", "training"), ("validation", "validation"), ("test", "test"))


@dataclass(frozen=True)
class DataSection:
    """What the players are trained on."""

    name: str = "digits"  # NAME, or NAME:ARGUMENT: see --list=data
    dir: str = ""  # where TFDS keeps its data; '' = TFDS's own choice (TFDS_DATA_DIR)
    validation: Annotated[int, at_least(0)] = 150  # examples: the last of the training set, never trained on
    limit: Annotated[int, at_least(0)] = 0  # training examples that are kept, the first ones; 0 = all
    # pixels are in [low, 1]: 0 or -1, with which most recipes since 2015 state their penalties
    low: Annotated[float, Bound("0 or -1", lambda low: low in (0, -1))] = 0.0
    # 0: pixels in [low, 1]; s: global contrast normalization, each image has norm s
    gcn: Annotated[float, at_least(0)] = 0.0
    pad: Annotated[int, at_least(0)] = 0  # black pixels added on each side of an image: 2 make 28x28 32x32
    # folder: images are cropped to a square and resized to this side; 0 = as they are
    size: Annotated[int, at_least(0)] = 0
    # true: on every device | false: the host reads ahead what each step needs, with the same numbers | auto: true, if
    # the training set takes less than half of the memory
    resident: Annotated[str, one_of("auto", "true", "false")] = "auto"


class Dataset(NamedTuple):
    """Training, validation and test examples, [n, H, W, C] uint8 images or [n, d] float32 points, and their labels.

    The training examples of `stacked:NAME` are not stored: `train` and `train_labels` are the base images [n, H, W, 1]
    and their labels, and `stacked.rows` selects `stack` of them per example. All other fields (`validation`, `test`,
    their labels, `classes`, `shape`) describe the stacked examples.
    """

    name: str  # data.name
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    mixture: Mixture | None  # the density, for mixture:NAME
    train_labels: np.ndarray | None = None  # [n] int32, 0 .. classes - 1; None without labels
    validation_labels: np.ndarray | None = None
    test_labels: np.ndarray | None = None
    classes: int = 0  # number of classes; 0 without labels
    class_names: tuple[str, ...] = ()  # one per class, or () if classes have no names
    stack: int = 1  # number of base images per example
    left_out: tuple[tuple[str, int], ...] = ()  # (suffix, count) of a folder's files that were not read
    train_condition: np.ndarray | None = None  # [n, k] float32 or [n, H, W, C] uint8, stored with each example
    validation_condition: np.ndarray | None = None
    test_condition: np.ndarray | None = None
    # [2, d] float64: vectors have lost this mean and are divided by this standard deviation, of the training set
    scaling: np.ndarray | None = None
    condition_scaling: np.ndarray | None = None  # [2, k], the same of vectors stored as conditions

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example as G and D use it: (H, W, C) or (d,)."""
        *front, last = self.train.shape[1:]
        return *front, last * self.stack


def value_range(dataset: Dataset, gcn: float, low: float = 0.0) -> tuple[float, float] | None:
    """The range (minimum, maximum) of decoded values, or None if they are unbounded.

    Args:
      dataset: images or points.
      gcn, low: as in `decode`.
    """
    return (low, 1.0) if dataset.train.dtype == np.uint8 and gcn == 0 else None


def digest(dataset: Dataset) -> str:
    """SHA-256 of the training set in hexadecimal: of the bytes, dtypes and shapes of its examples, labels, conditions.

    Equal on all machines; takes about .1 s for 50,000 MNIST images.
    """
    sha256 = hashlib.sha256()
    conditions = () if dataset.train_condition is None else (dataset.train_condition,)
    for array in (dataset.train, dataset.train_labels, *conditions):
        header = None if array is None else [array.dtype.str, array.shape, dataset.stack]
        sha256.update(json.dumps(header).encode())
        if array is not None:
            sha256.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return sha256.hexdigest()


def as_recorded(dataset: Dataset, sha256: str | None) -> Dataset:
    """The data set with its classes numbered as in the run that recorded the digest `sha256`.

    Earlier versions sorted folders alphabetically, 10 before 2. If that does not give the digest either, the data set
    is returned unchanged.
    """
    if list(dataset.class_names) == sorted(dataset.class_names) or sha256 in (None, digest(dataset)):
        return dataset
    names = tuple(sorted(dataset.class_names))
    number = np.array([names.index(name) for name in dataset.class_names], np.int32)
    labels = {name: getattr(dataset, name) for name in ("train_labels", "validation_labels", "test_labels")}
    renumbered = {name: None if y is None else number[y] for name, y in labels.items()}
    earlier = dataset._replace(class_names=names, **renumbered)
    return earlier if digest(earlier) == sha256 else dataset


def describe(dataset: Dataset) -> str:
    """Describes a data set in one line, as "folder:cats: 480 training, 60 validation, 60 test images 64x64x3, 3 classes
    (cat, dog, owl), 2 other files left out (2 .txt)".

    Of more than ten class names, the first three and the last are listed. Unprintable characters become "?".
    """
    points = len(dataset.shape) == 1
    counts = ", ".join(f"{len(getattr(dataset, split)):,} {words}" for split, words in _SPLITS)
    size = f"points of dimension {dataset.shape[0]}" if points else f"images {'x'.join(map(str, dataset.shape))}"
    parts = [f"{dataset.name}: {counts} {size}"]
    if dataset.classes:
        names = dataset.class_names
        listed = ", ".join(names if len(names) <= 10 else (*names[:3], "...", names[-1]))
        parts.append(f"{dataset.classes:,} classes" + (f" ({listed})" if names else ""))
    if dataset.stack > 1:
        parts.append(f"training on random stacks of {dataset.stack} of the {len(dataset.train):,}")
    if dataset.left_out:
        kinds = [f"{n:,} {ending}" for ending, n in dataset.left_out]
        total = sum(n for _, n in dataset.left_out)
        parts.append(f"{total:,} other files left out ({', '.join(kinds[:5] + ['...'] * (len(kinds) > 5))})")
    return "".join(c if c.isprintable() else "?" for c in ", ".join(parts))


def load(data_config: ConfigDict) -> Dataset:
    """Reads the data set `data.name`.

    The last `data.validation` training examples become the validation set (so `tfds:mnist` with 10,000 gives the
    paper's 50,000 / 10,000 / 10,000). If the source has no test set, the last `data.validation` examples become the
    test set and those before them the validation set. `tfd:PATH` defines its own splits: training on the unlabeled
    images, validation and test by the first of its five folds.

    The training examples of `npz:PATH` are shuffled before examples are held out, so that the splits contain all
    classes even if the file is sorted by class; the order depends only on their number (`source.shuffled_positions`).
    With data.validation=0 nothing is held out, and the file's order is kept.

    `data.limit` restricts the training set to its first examples; the other splits do not change.

    `stacked:NAME` stacks three images of 1 channel: see `Dataset` and `stacked`.

    Args:
      data_config: `config.data`, with fields name, dir, validation and, optionally, limit, pad, and size: the side in
        pixels to which the images of `folder:PATH` are cropped and resized, 0 = unchanged.

    Raises:
      UserError: an unknown name, data that cannot be read, or too few examples.
    """
    name, size, pad = data_config.name, data_config.get("size", 0), data_config.get("pad", 0)
    kind, _, rest = name.partition(":")
    base = rest if kind == "stacked" else name
    if size < 0 or (size and not base.startswith("folder:")):
        raise UserError(
            f"data.size={size} with data.name={name!r}: it must be 0, or the side in pixels for folder:PATH."
        )
    dataset = _load(rest if kind == "stacked" and rest else name, data_config.dir, data_config.validation, size)
    dataset = _pad(_limit(dataset, data_config.get("limit", 0)), pad)
    return _stack(name, dataset) if kind == "stacked" and rest else dataset


def _limit(dataset: Dataset, limit: int) -> Dataset:
    """Restricts the training set to its first `limit` examples; 0 = no limit."""
    if not limit:
        return dataset
    if limit > (n := len(dataset.train)):
        raise UserError(f"data.limit={limit} training examples, but {dataset.name} has {n}; lower it, or set it to 0.")
    arrays = {name: getattr(dataset, name) for name in ("train", "train_labels", "train_condition")}
    return dataset._replace(**{name: None if array is None else array[:limit] for name, array in arrays.items()})


def _pad(dataset: Dataset, pad: int) -> Dataset:
    """Pads images by `pad` black pixels on each side."""
    if not pad:
        return dataset
    if len(dataset.shape) == 1:
        raise UserError(f"data.pad={pad} applies only to images, and {dataset.name} has none; set it to 0.")
    width = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    splits = {name: getattr(dataset, name) for name, _ in _SPLITS}
    _, h, w, channels = dataset.train.shape
    n = sum(len(x) for x in splits.values())
    size = n * channels * ((h + 2 * pad) * (w + 2 * pad) + h * w)
    source.check_memory(size, f"padded images of {dataset.name}, and the images themselves")
    return dataset._replace(**{name: np.pad(x, width) for name, x in splits.items()})


class Request(NamedTuple):
    """Arguments of a reader of `SOURCES`, from the fields of `config.data`."""

    name: str  # data.name without "stacked:"
    argument: str  # the part of data.name after the colon, "" if none
    directory: str  # data.dir
    held_out: int  # data.validation
    size: int  # data.size


def _digits(request: Request) -> Source:
    """scikit-learn's 1,797 handwritten digits, which need no download."""
    return digits()


def _npz(request: Request) -> Source:
    """Images or vectors of a file of `numpy.savez`, shuffled before validation and test examples are split off."""
    arrays = read_npz(request.argument)
    if request.held_out:
        for array in (arrays.train, arrays.train_labels, arrays.train_condition):
            if array is not None:
                source.shuffle(array)
    return arrays


def _table(request: Request) -> Source:
    """Numeric tables that come with scikit-learn, rows shuffled: breast_cancer, wine, iris or diabetes."""
    return read_table(request.argument)


def _folder(request: Request) -> Source:
    """Images of a folder; sub-folders may be splits or classes."""
    return folder(request.argument, request.size)


def _tfds(request: Request) -> Source:
    """Images and labels of TensorFlow Datasets (TFDS), without TensorFlow."""
    return tfds.load(request.argument, request.directory)


def _tfd(request: Request) -> Dataset:
    """The Toronto Face Database (Susskind et al. 2010), from a user's own copy: it is not public."""
    return Dataset(request.name, *tfd.fold(tfd.read(request.argument), 0), None)


def _mixture(request: Request) -> Dataset:
    """Synthetic data with an exact log p(x): mixtures of isotropic Gaussians."""
    density, train, validation, test, (y, y_validation, y_test) = mixture.load(request.argument)
    components = np.shape(density.means)[0]
    return Dataset(request.name, train, validation, test, density, y, y_validation, y_test, components)


# By the prefix of `data.name`: its argument ("" if none), and its reader. A `Source` is checked and split here; a
# `Dataset` comes with its own splits.
SOURCES: dict[str, tuple[str, Callable[[Request], Source | Dataset]]] = {
    "digits": ("", _digits),
    "tfds": ("NAME", _tfds),
    "npz": ("PATH", _npz),
    "folder": ("PATH", _folder),
    "table": ("NAME", _table),
    "tfd": ("PATH", _tfd),
    "mixture": ("NAME", _mixture),
}


def forms() -> dict[str, Callable]:
    """The readers by the form of `data.name` that names them: 'digits', 'npz:PATH'."""
    return {f"{kind}:{parameter}" if parameter else kind: read for kind, (parameter, read) in SOURCES.items()}


def _load(name: str, directory: str, held_out: int, size: int) -> Dataset:
    """Loads a data set that is not stacked."""
    kind, colon, argument = name.partition(":")
    parameter, read = SOURCES.get(kind, ("", None))
    if read is None or bool(colon) != bool(parameter) or bool(argument) != bool(parameter):
        first, *others = forms()
        known = [first, *_EXAMPLES, *others, "stacked:tfds:mnist", "stacked:NAME"]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise UserError(
            f"data.name must be {', '.join(forms())} or stacked:NAME of one of these, not {name!r}; the nearest is "
            f"{near!r}."
        )
    arrays = read(Request(name, argument, directory, held_out, size))
    return arrays if isinstance(arrays, Dataset) else _split(name, _drop_empty_classes(name, arrays), held_out)


def _drop_empty_classes(name: str, arrays: Source) -> Source:
    """Makes every class have training examples; drops test labels if there are no training labels.

    Classes of a TFDS data set without examples are dropped and the others renumbered in order: those of
    `emnist/letters` start at 1. Test labels are dropped if one is of a class without training examples, as in
    `omniglot`.

    Raises:
      UserError: a class of other data has no training example.
    """
    y, y_test = arrays.train_labels, arrays.test_labels
    if y is None:
        return arrays._replace(test_labels=None, class_names=(), classes=0)
    occurring = np.unique(y)
    if len(occurring) == arrays.classes:
        return arrays
    if not name.startswith("tfds:"):
        missing = np.setdiff1d(np.arange(arrays.classes), occurring)
        only_test = y_test is not None and np.isin(missing, y_test).any()
        where = ", which the test set has" if only_test else ""
        how = ": numpy.unique(labels, return_inverse=True)[1] renumbers the others" if name.startswith("npz:") else ""
        raise UserError(
            f"{name} has no training example of {_format_classes(missing, arrays.class_names)}{where}; add examples of "
            f"every class, or leave the class out{how}."
        )
    keep_test = y_test is not None and np.isin(y_test, occurring).all()
    return arrays._replace(
        train_labels=np.searchsorted(occurring, y).astype(np.int32),
        test_labels=np.searchsorted(occurring, y_test).astype(np.int32) if keep_test else None,
        class_names=tuple(arrays.class_names[i] for i in occurring),
        classes=len(occurring),
    )


def _format_classes(classes: Sequence[int] | np.ndarray, names: Sequence[str]) -> str:
    """Names at most three of the classes: "class 3 (cat), 4 (dog), 7 (owl) and 2 more"."""
    words = [f"{i} ({names[i]})" if names else str(i) for i in classes[:3]]
    return f"class {', '.join(words)}" + (f" and {len(classes) - 3} more" if len(classes) > 3 else "")


def check_classes(dataset: Dataset) -> None:
    """Checks, for conditional training, that every class still has training examples after splitting and limiting.

    Raises:
      UserError: a class has no training example.
    """
    base = round(dataset.classes ** (1 / dataset.stack))
    missing = np.setdiff1d(np.arange(base), dataset.train_labels)
    if len(missing):
        raise UserError(
            f"none of the {len(dataset.train):,} training examples of {dataset.name} is of "
            f"{_format_classes(missing, dataset.class_names)}; lower data.validation, change data.limit or set "
            f"conditional=none."
        )


def _split(name: str, arrays: Source, held_out: int) -> Dataset:
    """Splits examples, labels and conditions alike, and standardizes vectors."""
    train, validation, test = split(arrays.train, arrays.test, held_out)

    def parts(all_of_train: np.ndarray | None, test: np.ndarray | None) -> tuple[np.ndarray | None, ...]:
        if all_of_train is None:
            return None, None, test
        of_train, of_validation, cut = np.split(all_of_train, [len(train), len(train) + len(validation)])
        return of_train, of_validation, cut if arrays.test is None else test

    scaling = _scaling(train)
    labels = parts(arrays.train_labels, arrays.test_labels)
    conditions = parts(arrays.train_condition, arrays.test_condition)
    condition_scaling = _scaling(conditions[0])
    if condition_scaling is not None:
        conditions = tuple(None if x is None else standardized(x, condition_scaling) for x in conditions)
    if scaling is not None:
        train, validation, test = (standardized(x, scaling) for x in (train, validation, test))
    return Dataset(
        name=name,
        train=train,
        validation=validation,
        test=test,
        mixture=None,
        train_labels=labels[0],
        validation_labels=labels[1],
        test_labels=labels[2],
        classes=arrays.classes,
        class_names=arrays.class_names,
        left_out=arrays.left_out,
        train_condition=conditions[0],
        validation_condition=conditions[1],
        test_condition=conditions[2],
        scaling=scaling,
        condition_scaling=condition_scaling,
    )


def _scaling(train: np.ndarray | None) -> np.ndarray | None:
    """Means and standard deviations of vectors, [2, d], with 1 for constant entries; None for images."""
    if train is None or train.ndim != 2:
        return None
    mean, deviation = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    return np.stack([mean, np.where(deviation > 0, deviation, 1)])


def standardized(x: np.ndarray, scaling: np.ndarray) -> np.ndarray:
    """(x - mean) / deviation, float32."""
    return ((x - scaling[0]) / scaling[1]).astype(np.float32)


def _stack(name: str, base: Dataset) -> Dataset:
    """Stacks a data set's images. Training and held-out stacks share no base image."""
    if base.train.dtype != np.uint8 or base.train.shape[-1] != 1:
        what = f"images of {base.train.shape[-1]} channels" if len(base.shape) == 3 else "points"
        raise UserError(f"{name} takes images of 1 channel, but {base.name} holds {what}; use a gray-scale data set.")
    classes = base.classes**stacked.STACK
    if classes > 2**31:
        raise UserError(f"{name} would have {base.classes}^{stacked.STACK} classes; stack a data set of at most 1290.")
    validation, validation_labels = stacked.held_out(base.validation, base.validation_labels, classes, seed=1)
    test, test_labels = stacked.held_out(base.test, base.test_labels, classes, seed=2)
    return base._replace(
        name=name,
        validation=validation,
        validation_labels=validation_labels,
        test=test,
        test_labels=test_labels,
        classes=classes,
        class_names=(),
        stack=stacked.STACK,
        train_condition=None,  # of a stack there is none
    )


def split(train: np.ndarray, test: np.ndarray | None, held_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Splits off validation and test examples as described in `load`; the splits are disjoint views.

    Raises:
      UserError: no training examples are left.
    """
    n, sets = len(train), 1 if test is not None else 2
    left = n - sets * held_out
    if left <= 0:
        why = "" if sets == 1 else ", and as many for a test set, which this data set lacks,"
        raise UserError(
            f"data.validation={held_out} examples for the validation set{why} leave none of the {n} training examples "
            f"to train on; set it below {-(-n // sets)}{'' if sets == 1 else ' or add a test set'}."
        )
    train, validation, cut = np.split(train, [left, left + held_out])
    return train, validation, cut if test is None else test
