"""Images: scikit-learn's digits, which need no download, and folders, whose sub-folders may be splits or classes."""

from __future__ import annotations

import errno
import heapq
import os
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from jaxgan.data.image_files import SUFFIXES, decode_all
from jaxgan.data.source import Source, check_same_size, scikit_learn_file, shuffled_positions
from jaxgan.errors import UserError

# Names of sub-folders, in any case, that are splits.
SPLITS = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation",
}  # fmt: skip


def digits() -> Source:
    """scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak 1998), gray levels 0..16 scaled to 0..255.

    Returns:
      train [1500, 8, 8, 1] and test [297, 8, 8, 1]; the test images are the last ones of the file. Ten classes.
    """
    table = np.loadtxt(scikit_learn_file("digits.csv.gz"), delimiter=",")
    levels, labels = table[:, :64], table[:, 64].astype(np.int32)
    x = np.rint(levels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    return Source(x[:1500], x[1500:], labels[:1500], labels[1500:], tuple("0123456789"), 10)


def folder(path: str | os.PathLike[str], size: int) -> Source:
    """Reads all images of a folder and its sub-folders, in a fixed shuffled order (`shuffled_positions`).

    Shuffling keeps the last images, the validation set, from all being of one class. If every image lies in a
    sub-folder, and there are at least two sub-folders, their names are the classes, sorted by `natural_sort_key`;
    otherwise there are no labels. Sub-folders `train/` and `test/` (optional), in any case, are the two splits. The
    result has 1 channel if every image is gray, otherwise 3. Names that start with a dot are ignored, as is all that
    `find_images` leaves out.

    Args:
      path: the folder.
      size: 0 = images as they are, all of one size; otherwise each is cropped and resized to this side in pixels.

    Raises:
      UserError: no images, folders that could be splits or classes, an image in both splits, images of different
        sizes if `size` is 0, an unreadable image, or more bytes than fit in memory.
    """
    root = Path(os.path.expanduser(path))
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; data.name takes folder:PATH.")
    try:
        splits = find_splits(root)
        found_images = [find_images(split) for split in splits]
        entries = [] if splits == [root] else [entry for entry in os.scandir(root) if not _hidden(entry.name)]
        unread = Counter(_suffix(entry.name) for entry in entries if not _is_folder(entry))
    except OSError as error:
        raise UserError(f"{root} cannot be read ({error}); fix its permissions.") from error
    _check_disjoint(*(files for files, _ in found_images))
    parts, classes = [], []
    for split, (files, _) in zip(splits, found_images, strict=True):
        x, split_classes = _decode_folder(split, sorted(files.values()), size)
        parts.append(x)
        classes.append(split_classes)
    names = _class_names(*classes)
    numbers = [_class_numbers(split_classes, names) for split_classes in classes]
    test, test_labels = (parts[1], numbers[1]) if len(parts) == 2 else (None, None)
    if test is not None:
        check_same_size(parts[0], test, *map(str, splits))
    left_out = sum((counts for _, counts in found_images), unread)
    ordered = tuple(sorted(left_out.items(), key=lambda item: (-item[1], item[0])))
    return Source(parts[0], test, numbers[0], test_labels, names, len(names), ordered)


def find_splits(root: Path) -> list[Path]:
    """The folders of the training images and, if any, the test images; [`root`] if it has no splits.

    Raises:
      UserError: splits next to other folders, two for one role, or none for training.
      OSError: the folder cannot be read.
    """
    inside = sorted(entry.name for entry in os.scandir(root) if not _hidden(entry.name) and _is_folder(entry))
    roles = {name: SPLITS.get(name.casefold(), "") for name in inside}
    train, test = ([name for name in inside if roles[name] == role] for role in ("train", "test"))
    held_out = [
        name for name in inside if roles[name] and name.casefold() != "valid"
    ]  # "valid" may be a class, as opposed to "invalid"
    if not train:
        if held_out:
            raise UserError(
                f"{root} holds {held_out[0]}/ but no train/: for splits add train/, for images to train on or classes "
                f"rename {held_out[0]}/."
            )
        return [root]
    others = [name for name in inside if name not in train[:1] + test[:1]]
    if others:
        raise UserError(
            f"{root} holds {train[0]}/ next to {', '.join(others)}: for splits leave only train/ and test/ there, for "
            f"classes rename {train[0]}/."
        )
    return [root / name for name in train + test]


def find_images(root: Path) -> tuple[dict[str, str], Counter[str]]:
    """Finds the image files of a folder and its sub-folders, each once, however many links lead to it.

    A file inside the folder keeps its own path; of several links to a file outside it, the first by name is used. Links
    to a folder that contains them are not followed.

    Returns:
      {real path: path} of the images, and the number of files left out by suffix. Pipes, sockets and devices count as
      "special files", and further links to one image as "links to images".

    Raises:
      UserError: a sub-folder holds splits, whose test images would be trained on.
      OSError: a folder cannot be read.
    """
    files: dict[str, str] = {}
    links: dict[str, list[str]] = defaultdict(list)
    left_out: Counter[str] = Counter()
    folders, visited = [str(root)], set()
    linked: list[str] = []
    while folders or linked:
        folder = folders.pop() if folders else heapq.heappop(linked)
        real = os.path.realpath(folder)
        if real in visited:
            continue
        visited.add(real)
        roles = set()
        for entry in os.scandir(folder):
            if _hidden(entry.name):
                continue
            ending = _suffix(entry.name)
            if _is_folder(entry):
                roles.add(SPLITS.get(entry.name.casefold()))
                if not entry.is_symlink():
                    folders.append(entry.path)
                elif not Path(real).is_relative_to(os.path.realpath(entry.path)):
                    heapq.heappush(linked, entry.path)
            elif ending not in SUFFIXES:
                left_out[ending] += 1
            elif not os.path.isfile(entry.path) and os.path.exists(
                entry.path
            ):  # a dangling link is an error when it is read
                left_out["special files"] += 1
            elif entry.is_symlink():
                links[os.path.realpath(entry.path)].append(entry.path)
            else:
                files[os.path.join(real, entry.name)] = entry.path
        if {"train", "test"} <= roles or {"train", "validation"} <= roles:
            raise UserError(f"{folder} holds splits; give that folder itself as folder:PATH, or rename what is in it.")
    for real, paths in links.items():
        left_out["links to images"] += len(paths) - (real not in files)
        files.setdefault(real, min(paths))
    return files, +left_out


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"  # added to archives by macOS


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower() or "without an ending"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a cycle of links
            return False
        raise


def _check_disjoint(train: dict[str, str], test: dict[str, str] | None = None) -> None:
    test = test or {}
    both = sorted(train.keys() & test.keys())
    if both:
        raise UserError(
            f"{train[both[0]]} and {test[both[0]]} are the same file; remove it from the training or test images."
        )


def natural_sort_key(name: str) -> list[str | int]:
    """Sort key that compares numbers in names by value, so that 2 comes before 10."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split("([0-9]+)", name))]


def _class_names(*splits: list[str]) -> tuple[str, ...]:
    """The sorted class names, given each image's class per split ('' = none); () if these are not labels."""
    names = sorted(sorted({name for split in splits for name in split}), key=natural_sort_key)
    return tuple(names) if len(names) > 1 and "" not in names else ()


def _class_numbers(classes: list[str], names: tuple[str, ...]) -> np.ndarray | None:
    number = {name: i for i, name in enumerate(names)}
    return np.array([number[name] for name in classes], np.int32) if names else None


def _decode_folder(root: Path, paths: list[str], size: int) -> tuple[np.ndarray, list[str]]:
    """The images of a folder, shuffled, and for each the name of its sub-folder of `root`, or ''."""
    if not paths:
        raise UserError(f"{root} holds no images: no file ends in {', '.join(SUFFIXES)}.")
    # Files are read in the order of their paths and written to their positions in the shuffled array.
    positions = shuffled_positions(len(paths))
    classes = [""] * len(paths)
    for i, path in zip(positions, paths, strict=True):
        first, *below = Path(path).relative_to(root).parts
        classes[i] = first if below else ""
    return decode_all(zip(paths, paths, strict=True), positions, size), classes
