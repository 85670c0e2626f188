"""The interface of a term: its inputs, and the parts that it adds to the losses of both players."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

from jax import Array

Network = Callable[[Array], Array]


class DTermInputs(NamedTuple):
    """Inputs of terms of D's loss: this device's share of the minibatch, and D and G with their current parameters."""

    D: Network  # x [n, *shape] -> logits [n]
    G: Network  # z [n, d] -> x [n, *shape], constant
    x: Array  # [n, *shape] data
    fake: Array  # [n, *shape] G(z), constant
    z: Array  # [n, d]
    keys: Array  # [n] PRNG keys, one per example
    y: Array | None  # [n] int32 classes of x and of the fakes; None if the players are unconditional
    real_logits: Array  # [m] of the global minibatch
    fake_logits: Array  # [m]
    real_classes: Array | None  # [n, K] logits of D's auxiliary classifier on x, if it has one
    fake_classes: Array | None  # [n, K] on the fakes
    stats: dict  # D's statistics, with the state of terms by name
    count: Array  # uint32 scalar, updates of D before this one
    fake_latents: Array | None  # [n, k] from which D infers the code of the fakes, if it has such outputs
    labelled: tuple[Array, Array] | None = None  # [n, *shape] and [n] int32, examples with their labels
    classify: Callable[[Array, Array], Array] | None = None  # x [n, *shape], keys [n] -> D's class logits [n, K]


class GTermInputs(NamedTuple):
    """Inputs of terms of G's loss: this device's share of the minibatch, and G with its current parameters."""

    G: Network  # z [n, d] -> x [n, *shape]
    z: Array  # [n, d]
    keys: Array  # [n] PRNG keys, one per example
    y: Array | None  # [n] int32 classes of the fakes
    classes: Array | None  # [n, K] logits of D's auxiliary classifier on the fakes, if it has one
    fake: Array  # [n, *shape] G(z), completed
    x: Array | None  # [n, *shape] the examples that the conditions are of; None if the players are unconditional
    mask: Array | None  # [n, ...] of the condition, if it has one: 1 where x is observed
    E: Network  # x [n, *shape] -> z [n, d], with its current parameters; not to be called without an encoder
    latents: Array | None  # [n, k] from which D infers the code of the fakes, if it has such outputs
    real_features: Array | None = None  # [m, d] D's features of the global minibatch of data, if a term takes them
    fake_features: Array | None = None  # [m, d] of the fakes


class Part(NamedTuple):
    """One addend of one player's loss."""

    name: str  # of its metric, which is weighted
    label: str  # of that metric in reports
    weight: str  # the term's field that weights it; at 0 the part is left out of the program
    function: Callable[..., Array]  # (term with traced fields, DTermInputs or GTermInputs) -> scalar, unweighted
    features: bool = False  # it takes `real_features` and `fake_features`
    labelled: bool = False  # it takes `labelled` and `classify`
    couples_examples: bool = False  # it is no mean over examples, each for itself: a minibatch cannot be taken in parts


class Term(Protocol):
    """A dataclass of numbers, the section `objective.NAME`, with the parts that it adds to both losses.

    Its weights are of the type `Weight`.

    A term with state of its own (LeCam's moving averages) also has `init_state() -> state` and
    `update_state(state, DTermInputs) -> state`, called in D's update before the parts are evaluated; the state is in
    `DTermInputs.stats` under the term's name.
    """

    D_PARTS: ClassVar[tuple[Part, ...]]
    G_PARTS: ClassVar[tuple[Part, ...]]
