"""Random images, and files and folders of images, for tests of what reads them."""

from __future__ import annotations

import numpy as np
from ml_collections import ConfigDict
from PIL import Image

RNG = np.random.default_rng(0)


def settings_for(**fields):
    return ConfigDict({"dir": "", "validation": 150} | fields)


def random_images(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def write_sorted(path, n=100, test=0, **others):
    """An npz file sorted by class, ten of them; the label is in the first pixel, the number in the second."""
    x = np.zeros((n + test, 2, 3, 1), np.uint8)
    labels = np.concatenate([np.sort(np.arange(n) % 10), np.arange(test) % 10])
    x[:, 0, 0, 0], x[:, 0, 1, 0] = labels, np.arange(n + test)
    arrays = {"train": x[:n], "train_labels": labels[:n]}
    arrays |= {"test": x[n:], "test_labels": labels[n:]} if test else {}
    np.savez(path, **(arrays | others))
    return x


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def as_set(x):
    return sorted(image.tobytes() for image in x)


def labeled_folder(root, classes):
    """Images whose pixels are all the place of their class in `classes`, two to a class."""
    for number, name in enumerate(classes):
        for i in range(2):
            write(root / name / f"{i}.png", np.full((2, 2), number, np.uint8))
