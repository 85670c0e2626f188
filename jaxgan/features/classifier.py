"""Features for small images: a convolutional classifier trained on the labels of the data set itself.

Scores on its features are comparable only between runs with the same classifier (its SHA-256 is recorded), and never
with published FIDs. The network has a 5x5 convolution of stride 2, a 3x3 one, 3x3 ones of stride 2 until the sides are
at most 8 pixels, 128 units, whose activations are the features, and a linear output per class. It is trained with Adam,
cosine decay of the learning rate and random shifts for 40 epochs, but at most 300,000 examples: 2 minutes on two cores
for MNIST.
"""

from __future__ import annotations

import dataclasses
import math
import time
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxgan.arrays import AnyArray
from jaxgan.data import Dataset, order
from jaxgan.errors import UserError
from jaxgan.features import cache
from jaxgan.features.pixels import clip_pixels
from jaxgan.features.protocol import FeatureSpace, SpaceType
from jaxgan.networks.convolution import Conv
from jaxgan.optimizers import Adam, EpochSize
from jaxgan.schedules import Cosine
from jaxgan.spread import round_robin

RECIPE = 1  # increase with every change below that changes the weights
EXAMPLES, EPOCHS = 300_000, 40  # maximum number of training examples, repetitions included, and of epochs
TRAIN_BATCH_SIZE = 128
LEARNING_RATE = 2e-3  # initial
NUM_VALIDATIONS = 10  # evaluations on the validation set, the best of which selects the weights
STEPS_PER_CALL = 20  # training steps per compiled call, so that Ctrl-C and progress take effect within seconds
QUIET = 4.0  # minimum seconds between progress lines
BATCH_SIZE = 250  # images per forward pass
FEATURES = 128
ACCURACY = "accuracy"  # name of the accuracy among the cached weights

_loaded: dict[str, tuple[Any, float, str]] = {}  # weights, accuracy and SHA-256, cached within this process


class Network(nn.Module):
    """Images [n, H, W, C] float32 in [0, 1] -> features [n, 128] and logits [n, classes]."""

    classes: int

    @nn.compact
    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = nn.relu(Conv(32, (5, 5), (2, 2))(2 * x - 1))
        h = nn.relu(Conv(64, (3, 3))(h))
        for _ in range(max(1, math.ceil(math.log2(max(x.shape[1:3]) / 8)) - 1)):
            h = nn.relu(Conv(64, (3, 3), (2, 2))(h))
        h = nn.relu(nn.Dense(FEATURES)(h.reshape(len(h), -1)))
        return h, nn.Dense(self.classes)(h)


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A trained network.

    Attributes:
      classes: number of classes of a single image.
      stack: images per example, each a group of its channels and classified separately.
      accuracy: on the test set, in [0, 1]; on the validation set if there is no test set; NaN if there is neither.
      sha256: of the weights.
    """

    params: Any
    classes: int
    stack: int
    accuracy: float
    sha256: str

    def __call__(self, images: AnyArray) -> tuple[np.ndarray, np.ndarray]:
        """Features [n, 128 stack] and logits [n, classes^stack], float32.

        The logits of a stack, one per tuple of classes in the order of the stack's labels, are sums of the images'
        log-probabilities.

        Args:
          images: [n, H, W, C], uint8, or floating-point in [0, 1].

        Raises:
          UserError: wrong shape or range.
        """
        features, logits = self._single(images)
        n = len(features) // self.stack
        joint, *others = np.moveaxis(logits.reshape(n, self.stack, -1), 1, 0)
        if others:
            joint, *others = (np.asarray(jax.nn.log_softmax(part)) for part in (joint, *others))
        for part in others:
            joint = (joint[:, :, None] + part[:, None]).reshape(n, -1)
        return features.reshape(n, -1), joint

    def features(self, images: AnyArray) -> np.ndarray:
        """[n, H, W, C] -> [n, 128 stack] float32; see `__call__`."""
        features, _ = self._single(images)
        return features.reshape(len(features) // self.stack, -1)

    def logits(self, images: AnyArray) -> np.ndarray:
        """[n, H, W, C] -> [n, classes^stack] float32; see `__call__`."""
        return self(images)[1]

    def _single(self, images: AnyArray) -> tuple[np.ndarray, np.ndarray]:
        """Features [n stack, 128] and logits [n stack, classes] of single images; those of a stack are consecutive."""
        images = np.asarray(images)
        if images.ndim != 4 or not len(images) or images.shape[-1] % self.stack:
            raise UserError(f"the classifier takes one image or more, [n, H, W, C], not {list(images.shape)}.")
        if images.dtype != np.uint8:
            low, high = images.min(), images.max()
            if not (low >= 0 and high <= 1):
                raise UserError(f"the classifier takes images as uint8 or in [0, 1], not from {low:.4g} to {high:.4g}.")
        return forward(self.params, unstack(images, self.stack), self.classes)


def load_or_train(dataset: Dataset, *, seed: int = 0, examples: int | None = None) -> Classifier:
    """The classifier of a data set: from the cache, or trained on the training split and saved there.

    Bit-identical for the same data, seed and number of examples on the same machine and software versions.

    Args:
      dataset: images with labels.
      seed: of the initial weights, the data order and the shifts.
      examples: number of training examples, repetitions included; None for `num_training_examples`.

    Raises:
      UserError: the data are not images, or have no labels.
    """
    if dataset.train.dtype != np.uint8 or dataset.train.ndim != 4:
        raise UserError(f"a classifier needs images, and {dataset.name} has none; set evaluate.features=pixels.")
    if dataset.train_labels is None:
        raise UserError(
            f"a classifier needs labels, and {dataset.name} has none; set evaluate.features=pixels, or add labels to "
            f"the data: class sub-folders, or an array train_labels."
        )
    classes = round(dataset.classes ** (1 / dataset.stack))
    splits = [labelled_split(dataset, "train", classes)]
    splits += [unique_images(*labelled_split(dataset, name, classes)) for name in ("validation", "test")]
    arrays = [array for split in splits for array in split]
    examples = num_training_examples(len(splits[0][0])) if examples is None else examples
    name = f"classifier_{cache.digest(RECIPE, seed, examples, classes, *arrays)[:24]}"
    if name not in _loaded:
        image = jax.ShapeDtypeStruct((1, *splits[0][0].shape[1:]), jnp.float32)
        params = jax.eval_shape(Network(classes).init, jax.random.key(0), image)["params"]
        shapes = {key: leaf.shape for key, leaf in flatten_dict(params, sep="/").items()} | {ACCURACY: ()}
        arrays_by_name: dict[str, Any] | None = cache.read(name, shapes)
        if arrays_by_name is None:
            steps, images = max(1, examples // TRAIN_BATCH_SIZE), len(splits[0][0])
            print(f"training a classifier on {dataset.name} (once): {steps:,} steps, {images:,} images", flush=True)
            params = train(*splits[0], *splits[1], classes=classes, seed=seed, examples=examples)
            held_out = splits[2] if len(splits[2][0]) else splits[1]
            accuracy = compute_accuracy(params, *held_out, classes) if len(held_out[0]) else math.nan
            arrays_by_name = {key: np.asarray(x) for key, x in flatten_dict(params, sep="/").items()}
            arrays_by_name[ACCURACY] = accuracy
            cache.write(name, arrays_by_name)
            print(f"the classifier of {dataset.name} has an accuracy of {accuracy:.2%}", flush=True)
        accuracy = float(arrays_by_name.pop(ACCURACY))
        sha256 = cache.digest(*(part for item in sorted(arrays_by_name.items()) for part in item))
        _loaded[name] = unflatten_dict(arrays_by_name, sep="/"), accuracy, sha256
    params, accuracy, sha256 = _loaded[name]
    return Classifier(params, classes, dataset.stack, accuracy, sha256)


def num_training_examples(images: int) -> int:
    """The default number of training examples, repetitions included, for a training set of `images` images."""
    return min(EXAMPLES, EPOCHS * images)


def labelled_split(dataset: Dataset, split: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Single images [n, H, W, C] uint8 of a split and their labels [n] int32; empty if the split has no labels."""
    images, labels = getattr(dataset, split), getattr(dataset, f"{split}_labels")
    if labels is None:
        images, labels = images[:0], np.empty(0, np.int32)
    if split == "train" or dataset.stack == 1:  # the training set of stacks is stored as single images
        return images, labels
    digits = [labels // classes**power % classes for power in reversed(range(dataset.stack))]
    return unstack(images, dataset.stack), np.stack(digits, axis=1).reshape(-1)


def unique_images(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The unique pairs of image and label, sorted by their bytes.

    So a data set and its stacks, whose held-out sets consist of the same images, have the same classifier.
    """
    if not len(images):
        return images, labels
    label_bytes = labels.astype("<i4").view(np.uint8).reshape(len(labels), 4)
    rows = np.ascontiguousarray(np.concatenate([images.reshape(len(images), -1), label_bytes], axis=1))
    _, indices = np.unique(rows.view(np.dtype((np.void, rows.shape[1])))[:, 0], return_index=True)
    return images[indices], labels[indices]


def unstack(images: np.ndarray, stack: int) -> np.ndarray:
    """[n, H, W, C stack] -> [n stack, H, W, C]; the images of a stack are consecutive."""
    n, height, width, channels = images.shape
    parts = images.reshape(n, height, width, stack, channels // stack)
    return parts.transpose(0, 3, 1, 2, 4).reshape(n * stack, height, width, -1)


def forward(params: Any, images: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, 128] and logits [n, classes] of single images, uint8 or in [0, 1]."""
    padded = np.pad(images, [(0, -len(images) % BATCH_SIZE), (0, 0), (0, 0), (0, 0)])  # one shape, compiled once
    batches = [(batch,) for batch in np.split(padded, len(padded) // BATCH_SIZE)]
    outputs = round_robin(partial(_forward, classes=classes), params, batches)
    features, logits = (np.concatenate(parts)[: len(images)] for parts in zip(*outputs, strict=True))
    return features, logits


def compute_accuracy(params: Any, images: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """The fraction of images classified correctly."""
    return float(np.mean(forward(params, images, classes)[1].argmax(axis=1) == labels))


def train(
    images: np.ndarray,
    labels: np.ndarray,
    validation: np.ndarray,
    validation_labels: np.ndarray,
    *,
    classes: int,
    seed: int,
    examples: int,
) -> Any:
    """Trains on `examples` examples; returns the parameters with the best validation accuracy (the last if tied).

    Prints a progress line every few seconds.

    Args:
      images, validation: [n, H, W, C] uint8; labels, validation_labels: [n] int32. The validation set may be empty.
    """
    key, steps = jax.random.key(seed, impl="threefry2x32"), max(1, examples // TRAIN_BATCH_SIZE)
    init = jax.jit(Network(classes).init)
    params = init(jax.random.fold_in(key, 0), jnp.zeros((1, *images.shape[1:])))["params"]
    state, data = (params, optimizer(steps).init(params)), (jnp.asarray(images), jnp.asarray(labels))
    best, best_params, printed = -1.0, params, time.monotonic()
    for i in range(NUM_VALIDATIONS):
        start, stop = i * steps // NUM_VALIDATIONS, (i + 1) * steps // NUM_VALIDATIONS
        for first in range(start, stop, STEPS_PER_CALL):
            last = min(first + STEPS_PER_CALL, stop)
            state = jax.block_until_ready(_advance(state, data, key, first, last, classes=classes, steps=steps))
            if time.monotonic() - printed > QUIET and last < steps:
                printed = time.monotonic()
                scored = f", validation accuracy {best:.1%}" if best > 0 else ""
                print(f"classifier: step {last:,} of {steps:,}{scored}", flush=True)
        accuracy = compute_accuracy(state[0], validation, validation_labels, classes) if len(validation) else 0.0
        if accuracy >= best:
            best, best_params = accuracy, state[0]
    return jax.tree.map(np.asarray, best_params)


def optimizer(steps: int) -> optax.GradientTransformation:
    """Adam with cosine decay of the learning rate to 0."""
    schedule = partial(Cosine(float(steps)), jnp.float32(LEARNING_RATE))
    return Adam(LEARNING_RATE, b1=0.9).transformation(schedule, EpochSize(TRAIN_BATCH_SIZE, 1))


def random_shift(x: jax.Array, key: jax.Array) -> jax.Array:
    """Shifts each image [H, W, C] of x [n, H, W, C] randomly by up to 1/14 of its sides, padding with 0."""
    max_shift = jnp.asarray([side // 14 for side in x.shape[1:3]])
    shifts = jax.random.randint(key, (len(x), 2), -max_shift[None], max_shift[None] + 1)
    padded = jnp.pad(x, [(0, 0), *((side // 14,) * 2 for side in x.shape[1:3]), (0, 0)])
    crop = lambda image, start: jax.lax.dynamic_slice(image, (start[0], start[1], 0), x.shape[1:])  # noqa: E731
    return jax.vmap(crop)(padded, max_shift[None] + shifts)


@partial(jax.jit, static_argnames="classes")
def _forward(params: Any, images: jax.Array, classes: int) -> tuple[jax.Array, jax.Array]:
    return _apply(params, images, classes)


def _apply(params: Any, images: jax.Array, classes: int) -> tuple[jax.Array, jax.Array]:
    images = images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images.astype(jnp.float32)
    with jax.default_matmul_precision("highest"):
        features, logits = Network(classes).apply({"params": params}, images)
    return features, logits  # type: ignore[return-value]  # `apply` may return variables too


@partial(jax.jit, static_argnames=("classes", "steps"))
def _advance(state: Any, data: Any, key: jax.Array, first: int, last: int, *, classes: int, steps: int) -> Any:
    """Runs training steps `first` to `last` - 1 of `steps` on (parameters, optimizer state)."""
    images, labels = data
    order_key, shift_key = jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)

    def step(number: jax.Array, state: Any) -> Any:
        params, opt_state = state
        counters = (number * TRAIN_BATCH_SIZE + jnp.arange(TRAIN_BATCH_SIZE)).astype(jnp.uint32)
        rows = jax.vmap(lambda counter: order.example(order_key, counter, len(images)))(counters)
        x = random_shift(images[rows].astype(jnp.float32) / 255, jax.random.fold_in(shift_key, number))
        loss = lambda params: optax.softmax_cross_entropy_with_integer_labels(  # noqa: E731
            _apply(params, x, classes)[1], labels[rows]
        ).mean()
        updates, opt_state = optimizer(steps).update(jax.grad(loss)(params), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return jax.lax.fori_loop(first, last, step, state)


def load(argument: str, dataset: Dataset) -> FeatureSpace:
    """The space of the classifier of a data set."""
    classifier = load_or_train(dataset)
    accuracy = None if np.isnan(classifier.accuracy) else classifier.accuracy
    metadata = {"name": "classifier", "sha256": classifier.sha256, "accuracy": accuracy}
    return FeatureSpace("classifier", lambda x: classifier(clip_pixels(x)), metadata)


SPACE = SpaceType(
    load,
    dimensions=lambda dataset: FEATURES * dataset.stack,
    for_images=True,
    has_logits=True,
    trained_on_data=True,
)
