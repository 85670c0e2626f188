"""A small convolutional network that is trained here, on a data set's own labels: features for small images.

Scores on its features are comparable where the classifier is the same (its SHA-256 is recorded), and never with
published FIDs. The network: a convolution 5x5 of stride 2, one 3x3, 3x3 of stride 2 until the sides are 8 pixels or
fewer, 128 units, whose activations are the features, and the classes. Trained by Adam with random shifts, the learning
rate falling to 0 along a cosine, on 40 passes over the data but at most 300,000 examples, in 2 minutes on two cores for
MNIST.
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
from jax.typing import ArrayLike

from jaxgan.data import Dataset, order
from jaxgan.errors import UserError
from jaxgan.features import cache
from jaxgan.features.pixels import clipped
from jaxgan.features.protocol import Space, SpaceType
from jaxgan.networks.convolution import Conv
from jaxgan.optimizers import Adam, EpochSize
from jaxgan.schedules import Cosine
from jaxgan.spread import in_turn

RECIPE = 1  # raise it with every change below that changes the weights
EXAMPLES, PASSES = 300_000, 40  # trained on: so many examples, with repetitions, but no more passes over the data
MINIBATCH = 128
LEARNING_RATE = 2e-3  # at first
LOOKS = 10  # at the validation set; the weights that do best there are kept
STEPS_AT_A_TIME = 20  # that the device is given, so that Ctrl-C is heeded and progress shown within seconds
QUIET = 4.0  # seconds at least between lines of progress
IMAGES_AT_A_TIME = 250  # in a forward pass
FEATURES = 128
ACCURACY = "accuracy"  # beside the weights

_loaded: dict[str, tuple[Any, float, str]] = {}  # weights, accuracy and SHA-256, for all who ask in one process


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
    """The network with weights.

    Attributes:
      classes: of a single image, the base images of a stack.
      stack: images in an example, each a group of its channels, and each classified alone.
      accuracy: on the images of the test set, a share; of the validation set where there is no test set, else NaN.
      sha256: of the weights.
    """

    params: Any
    classes: int
    stack: int
    accuracy: float
    sha256: str

    def __call__(self, images: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Features [n, 128 stack] and logits [n, classes^stack], float32.

        The logits of a stack are those of its tuples of classes, in the order of the stack's labels: sums of the
        images' log-probabilities.

        Args:
          images: [n, H, W, C], uint8, or numbers in [0, 1].

        Raises:
          UserError: images of another shape or range.
        """
        features, logits = self._single(images)
        n = len(features) // self.stack
        joint, *others = np.moveaxis(logits.reshape(n, self.stack, -1), 1, 0)
        if others:
            joint, *others = (np.asarray(jax.nn.log_softmax(part)) for part in (joint, *others))
        for part in others:
            joint = (joint[:, :, None] + part[:, None]).reshape(n, -1)
        return features.reshape(n, -1), joint

    def features(self, images: ArrayLike) -> np.ndarray:
        """[n, H, W, C] -> [n, 128 stack] float32; see `__call__`."""
        features, _ = self._single(images)
        return features.reshape(len(features) // self.stack, -1)

    def logits(self, images: ArrayLike) -> np.ndarray:
        """[n, H, W, C] -> [n, classes^stack] float32; see `__call__`."""
        return self(images)[1]

    def _single(self, images: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Features [n stack, 128] and logits [n stack, classes] of single images, those of a stack after each other."""
        images = np.asarray(images)
        if images.ndim != 4 or not len(images) or images.shape[-1] % self.stack:
            raise UserError(f"the classifier takes images [n, H, W, C], at least one, not {list(images.shape)}.")
        if images.dtype != np.uint8:
            low, high = images.min(), images.max()
            if not (low >= 0 and high <= 1):
                raise UserError(
                    f"the classifier takes uint8 images, or numbers in [0, 1], not from {low:.4g} to {high:.4g}."
                )
        return forward(self.params, unstacked(images, self.stack), self.classes)


def load_or_train(dataset: Dataset, *, seed: int = 0, examples: int | None = None) -> Classifier:
    """The classifier of a data set: from the cache, or trained on its training split and kept there.

    The same data, seed and number of examples give the same bits on the same machine and versions.

    Args:
      dataset: images with labels.
      seed: of the initial weights, the order and the shifts.
      examples: trained on, with repetitions; None for `length_for` the data set.

    Raises:
      UserError: no images, or no labels.
    """
    if dataset.train.dtype != np.uint8 or dataset.train.ndim != 4:
        raise UserError(f"a classifier takes images, and {dataset.name} holds none; set evaluate.features=pixels.")
    if dataset.train_labels is None:
        raise UserError(
            f"a classifier learns from labels, and {dataset.name} has none; set evaluate.features=pixels, or give the "
            f"data labels: class sub-folders, or an array train_labels."
        )
    classes = round(dataset.classes ** (1 / dataset.stack))
    splits = [labelled(dataset, "train", classes)]
    splits += [distinct(*labelled(dataset, name, classes)) for name in ("validation", "test")]
    arrays = [array for split in splits for array in split]
    examples = length_for(len(splits[0][0])) if examples is None else examples
    name = f"classifier_{cache.digest(RECIPE, seed, examples, classes, *arrays)[:24]}"
    if name not in _loaded:
        image = jax.ShapeDtypeStruct((1, *splits[0][0].shape[1:]), jnp.float32)
        like = jax.eval_shape(Network(classes).init, jax.random.key(0), image)["params"]
        shapes = {key: leaf.shape for key, leaf in flatten_dict(like, sep="/").items()} | {ACCURACY: ()}
        kept: dict[str, Any] | None = cache.read(name, shapes)
        if kept is None:
            steps, images = max(1, examples // MINIBATCH), len(splits[0][0])
            print(f"training the classifier of {dataset.name}, once: {steps:,} steps, {images:,} images", flush=True)
            params = train(*splits[0], *splits[1], classes=classes, seed=seed, examples=examples)
            held_out = splits[2] if len(splits[2][0]) else splits[1]
            accuracy = share_right(params, *held_out, classes) if len(held_out[0]) else math.nan
            kept = {key: np.asarray(x) for key, x in flatten_dict(params, sep="/").items()} | {ACCURACY: accuracy}
            cache.write(name, kept)
            print(f"the classifier of {dataset.name} is right in {accuracy:.2%}", flush=True)
        accuracy = float(kept.pop(ACCURACY))
        sha256 = cache.digest(*(part for key in sorted(kept) for part in (key, kept[key])))
        _loaded[name] = unflatten_dict(kept, sep="/"), accuracy, sha256
    params, accuracy, sha256 = _loaded[name]
    return Classifier(params, classes, dataset.stack, accuracy, sha256)


def length_for(images: int) -> int:
    """The number of examples that a classifier of so many images is trained on."""
    return min(EXAMPLES, PASSES * images)


def labelled(dataset: Dataset, split: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Single images [n, H, W, C] uint8 of a split, and their labels [n] int32; none where they have no labels."""
    images, labels = getattr(dataset, split), getattr(dataset, f"{split}_labels")
    if labels is None:
        images, labels = images[:0], np.empty(0, np.int32)
    if split == "train" or dataset.stack == 1:  # the training examples of stacks are stored as single images
        return images, labels
    digits = [labels // classes**place % classes for place in reversed(range(dataset.stack))]
    return unstacked(images, dataset.stack), np.stack(digits, axis=1).reshape(-1)


def distinct(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The images that differ, or whose labels do, in an order of their bytes.

    So a data set and its stacks, whose held-out sets draw from the same images, have the same classifier.
    """
    if not len(images):
        return images, labels
    numbers = labels.astype("<i4").view(np.uint8).reshape(len(labels), 4)
    rows = np.ascontiguousarray(np.concatenate([images.reshape(len(images), -1), numbers], axis=1))
    _, places = np.unique(rows.view(np.dtype((np.void, rows.shape[1])))[:, 0], return_index=True)
    return images[places], labels[places]


def unstacked(images: np.ndarray, stack: int) -> np.ndarray:
    """[n, H, W, C stack] -> [n stack, H, W, C], the images of a stack after each other."""
    n, height, width, channels = images.shape
    parts = images.reshape(n, height, width, stack, channels // stack)
    return parts.transpose(0, 3, 1, 2, 4).reshape(n * stack, height, width, -1)


def forward(params: Any, images: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Features [n, 128] and logits [n, classes] of single images, uint8 or in [0, 1]."""
    filled = np.pad(images, [(0, -len(images) % IMAGES_AT_A_TIME), (0, 0), (0, 0), (0, 0)])  # one program for all
    pieces = [(part,) for part in np.split(filled, len(filled) // IMAGES_AT_A_TIME)]
    outputs = in_turn(partial(_forward, classes=classes), params, pieces)
    features, logits = (np.concatenate(parts)[: len(images)] for parts in zip(*outputs, strict=True))
    return features, logits


def share_right(params: Any, images: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """The share of images that are classified as labelled."""
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
    """Parameters after `examples` training examples, or those that did better on validation images before.

    Prints a line of progress every few seconds.

    Args:
      images, validation: [n, H, W, C] uint8; labels, validation_labels: [n] int32. There may be no validation images.
    """
    key, steps = jax.random.key(seed, impl="threefry2x32"), max(1, examples // MINIBATCH)
    init = jax.jit(Network(classes).init)
    params = init(jax.random.fold_in(key, 0), jnp.zeros((1, *images.shape[1:])))["params"]
    state, data = (params, optimizer(steps).init(params)), (jnp.asarray(images), jnp.asarray(labels))
    best, chosen, printed = -1.0, params, time.monotonic()
    for look in range(LOOKS):
        start, stop = look * steps // LOOKS, (look + 1) * steps // LOOKS
        for first in range(start, stop, STEPS_AT_A_TIME):
            last = min(first + STEPS_AT_A_TIME, stop)
            state = jax.block_until_ready(_advance(state, data, key, first, last, classes=classes, steps=steps))
            if time.monotonic() - printed > QUIET and last < steps:
                printed = time.monotonic()
                scored = f", {best:.1%} of the validation images right" if best > 0 else ""
                print(f"classifier: step {last:,} of {steps:,}{scored}", flush=True)
        right = share_right(state[0], validation, validation_labels, classes) if len(validation) else 0.0
        if right >= best:  # of equal ones the later
            best, chosen = right, state[0]
    return jax.tree.map(np.asarray, chosen)


def optimizer(steps: int) -> optax.GradientTransformation:
    """Adam, its learning rate falling to 0 along a cosine."""
    schedule = partial(Cosine(float(steps)), jnp.float32(LEARNING_RATE))
    return Adam(LEARNING_RATE, b1=0.9).transformation(schedule, EpochSize(MINIBATCH, 1))


def shifted(x: jax.Array, key: jax.Array) -> jax.Array:
    """Images moved by up to a 14th of their sides, each its own way; black comes in. [n, H, W, C] float32."""
    most = jnp.asarray([side // 14 for side in x.shape[1:3]])
    moves = jax.random.randint(key, (len(x), 2), -most[None], most[None] + 1)
    wide = jnp.pad(x, [(0, 0), *((side // 14,) * 2 for side in x.shape[1:3]), (0, 0)])
    cut = lambda image, at: jax.lax.dynamic_slice(image, (at[0], at[1], 0), x.shape[1:])  # noqa: E731
    return jax.vmap(cut)(wide, most[None] + moves)


@partial(jax.jit, static_argnames="classes")
def _forward(params: Any, images: jax.Array, classes: int) -> tuple[jax.Array, jax.Array]:
    return _apply(params, images, classes)


def _apply(params: Any, images: jax.Array, classes: int) -> tuple[jax.Array, jax.Array]:
    images = images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images.astype(jnp.float32)
    with jax.default_matmul_precision("highest"):
        features, logits = Network(classes).apply({"params": params}, images)
    return features, logits


@partial(jax.jit, static_argnames=("classes", "steps"))
def _advance(state: Any, data: Any, key: jax.Array, first: int, last: int, *, classes: int, steps: int) -> Any:
    """Parameters and optimizer state after steps `first` to `last` - 1 of all."""
    images, labels = data
    order_key, shift_key = jax.random.fold_in(key, 1), jax.random.fold_in(key, 2)

    def step(number: jax.Array, state: Any) -> Any:
        params, opt_state = state
        counters = (number * MINIBATCH + jnp.arange(MINIBATCH)).astype(jnp.uint32)
        rows = jax.vmap(lambda counter: order.example(order_key, counter, len(images)))(counters)
        x = shifted(images[rows].astype(jnp.float32) / 255, jax.random.fold_in(shift_key, number))
        loss = lambda params: optax.softmax_cross_entropy_with_integer_labels(  # noqa: E731
            _apply(params, x, classes)[1], labels[rows]
        ).mean()
        updates, opt_state = optimizer(steps).update(jax.grad(loss)(params), opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    return jax.lax.fori_loop(first, last, step, state)


def load(argument: str, dataset: Dataset) -> Space:
    """The space of the classifier of a data set."""
    found = load_or_train(dataset)
    accuracy = None if np.isnan(found.accuracy) else found.accuracy
    facts = {"name": "classifier", "sha256": found.sha256, "accuracy": accuracy}
    return Space("classifier", lambda x: found(clipped(x)), facts)


SPACE = SpaceType(
    load,
    dimensions=lambda dataset: FEATURES * dataset.stack,
    for_images=True,
    has_logits=True,
    trained_on_data=True,
)
