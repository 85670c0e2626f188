"""Data sets: loading, decoding, shuffling order, and channel stacking."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from jaxgan.data import mixture, stacked, tfd, tfds
from jaxgan.data.dataset import Dataset, as_recorded, describe, digest, value_range
from jaxgan.data.images import digits, folder
from jaxgan.data.labels import keep_labels
from jaxgan.data.npz import read_npz
from jaxgan.data.rows import shuffled
from jaxgan.data.source import Source
from jaxgan.data.splits import check_classes, drop_empty_classes, limited, padded, split, standardized, to_dataset
from jaxgan.data.table import read_table
from jaxgan.errors import UserError
from jaxgan.fields import Bound, at_least, one_of

__all__ = ["SOURCES", "DataSection", "Dataset", "Request", "Source", "as_recorded", "check_classes", "describe"]
__all__ += ["digest", "forms", "load", "split", "standardized", "value_range"]

_EXAMPLES = ("tfds:mnist", "tfds:cifar10")  # listed in error messages in addition to the forms of `SOURCES`


@dataclass(frozen=True)
class DataSection:
    """The training data."""

    name: str = "digits"  # NAME, or NAME:ARGUMENT: see --list=data
    dir: str = ""  # directory of TFDS's data; '' = TFDS's default (TFDS_DATA_DIR)
    validation: Annotated[int, at_least(0)] = 150  # examples: the last of the training set, never trained on
    limit: Annotated[int, at_least(0)] = 0  # use only this many training examples, the first ones; 0 = all
    # pixels are in [low, 1]: 0, or -1, which the penalty weights of most recipes since 2015 assume
    low: Annotated[float, Bound("0 or -1", lambda low: low in (0, -1))] = 0.0
    # 0: pixels in [low, 1]; s: global contrast normalization, each image has norm s
    gcn: Annotated[float, at_least(0)] = 0.0
    pad: Annotated[int, at_least(0)] = 0  # black pixels added on each side of an image: 2 make 28x28 32x32
    # folder: images are cropped to a square and resized to this side; 0 = as they are
    size: Annotated[int, at_least(0)] = 0
    # true: on every device | false: the host reads ahead what each step needs, with the same numbers | auto: true, if
    # the training set takes less than half of the memory
    resident: Annotated[str, one_of("auto", "true", "false")] = "auto"
    labels: Annotated[int, at_least(0)] = 0  # training examples that keep their label, as many of each class; 0 = all
    labels_seed: Annotated[int, at_least(0)] = 0  # of the draw of these examples


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

    `data.labels` hides all but a balanced draw of the training labels (`labels.keep_labels`).

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
    base = rest if kind == "stacked" and rest else name
    resident = data_config.get("resident", "true")
    dataset = _load(Request(base, "", data_config.dir, data_config.validation, size, resident))
    dataset = padded(limited(dataset, data_config.get("limit", 0)), pad)
    dataset = stacked.stack(name, dataset) if kind == "stacked" and rest else dataset
    return keep_labels(dataset, data_config.get("labels", 0), data_config.get("labels_seed", 0))


class Request(NamedTuple):
    """Arguments of a reader of `SOURCES`, from the fields of `config.data`."""

    name: str  # data.name without "stacked:"
    argument: str  # the part of data.name after the colon, "" if none
    directory: str  # data.dir
    held_out: int  # data.validation
    size: int  # data.size
    resident: str = "true"  # data.resident


def _digits(request: Request) -> Source:
    """scikit-learn's 1,797 handwritten digits, which need no download."""
    return digits()


def _npz(request: Request) -> Source:
    """Images or vectors of a file of `numpy.savez`, shuffled before validation and test examples are split off."""
    arrays = read_npz(request.argument, request.resident)
    if not request.held_out:
        return arrays
    names = ("train", "train_labels", "train_condition")
    return arrays._replace(**{name: shuffled(getattr(arrays, name)) for name in names})


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


def _load(request: Request) -> Dataset:
    """Loads a data set that is not stacked."""
    name = request.name
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
    arrays = read(request._replace(argument=argument))
    if isinstance(arrays, Dataset):
        return arrays
    return to_dataset(name, drop_empty_classes(name, arrays), request.held_out)
