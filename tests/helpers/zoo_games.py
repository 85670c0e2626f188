"""Tiny games that meet every member of every table, made from the tables; tests/test_zoo.py plays them.

`every_loss_and_penalty()` is one game whose traced numbers choose the loss and the penalty. `covering_games()` are as
many as the largest other table has members: game i has the i-th member of each, in turn; and one for each update of
both players, with a loss that couples the examples of a minibatch. Run as a program, this file plays all of them on all
devices (virtual CPU devices need their flag before JAX starts) and saves what comes out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from itertools import cycle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan import parallel
from jaxgan.algorithm1 import UPDATES, accumulate_steps, zero_metrics
from jaxgan.augment import AUGMENTS
from jaxgan.augment.ada import SETS
from jaxgan.config import default, update, validate
from jaxgan.config.hparams import static, traced
from jaxgan.game.batches import Labelled, TrainingSet
from jaxgan.game.build import build
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import PENALTY_WEIGHTS as WEIGHTS
from jaxgan.game.hparams import HParams
from jaxgan.networks import DISCRIMINATORS, GENERATORS
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.losses import LOSSES, Loss
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.optimizers import OPTIMIZERS
from jaxgan.schedules import SCHEDULES

SHAPE, CLASSES, M = (8, 8, 1), 3, 4
X = np.random.default_rng(0).integers(0, 256, (24, *SHAPE)).astype(np.uint8)
Y = (np.arange(24) % CLASSES).astype(np.int32)
LABELLED = Labelled(jnp.asarray(X[:6]), jnp.asarray(Y[:6]))
STEPS = 3


def compiled(f):
    """`jax.jit` without optimizations, which compiles tiny games in half of the time and their start in a quarter."""
    return jax.jit(f, compiler_options={"xla_backend_optimization_level": 0})


# Sizes of the families that make games on 8x8 images fast. A family without an entry has its default size.
TINY: dict[str, dict[str, dict[str, Any]]] = {
    "generator": {
        "mlp": {"hidden": (8,), "activations": ("relu",)},
        "maxout_conv": {
            "hidden": (18,), "activations": ("relu",), "grid": (3, 3, 2), "kernel": 4, "stride": 2, "irange": 0.3,
        },
        "dcgan": {"widths": (4,), "output": "sigmoid"},
        "sndcgan": {"widths": (4, 3), "output": "sigmoid"},
        "resnet": {"width": 4, "blocks": 1, "output": "sigmoid"},
        "r3gan": {"widths": (4,), "blocks": (1,), "groups": (2,)},
        "toy": {"start": 0.1},
        "unet": {"widths": (3, 4), "noise": "input"},  # which needs no image
    },
    "discriminator": {
        "mlp": {"hidden": (8,), "hidden_keep": 0.5},
        "maxout_conv": {
            "channels": (3,), "kernels": (3,), "paddings": (1,), "pools": (2,), "strides": (2,), "hidden": (6,),
            "irange": 0.3,
        },
        "dcgan": {"widths": (3, 4)},
        "sndcgan": {"widths": (3,)},
        "resnet": {"width": 4, "down": 1, "plain": 0},
        "r3gan": {"widths": (4,), "blocks": (1,), "groups": (2,)},
        "toy": {"start": 0.02},
        "patch": {"widths": (3, 4)},
    },
}  # fmt: skip


class Game(NamedTuple):
    name: str
    gan: Gan
    hparams: HParams
    data: TrainingSet


def family(generator: str, discriminator: str) -> dict[str, Any]:
    """The fields of a pair of families, in tiny sizes."""
    fields = {"generator.name": generator, "discriminator.name": discriminator}
    for player, name in (("generator", generator), ("discriminator", discriminator)):
        fields |= {f"{player}.{field}": value for field, value in TINY[player].get(name, {}).items()}
    return fields


def game(name: str, changes: dict[str, Any]) -> Game:
    base = {"prior.size": 4, "train.batch_size": M, "conditional": "label", "generator.ema.gamma": (1.0,)}
    config = update(default(), base | changes)
    validate(config)
    classes = CLASSES if config.conditional == "label" else 0
    spec = DataSpec(SHAPE, classes, (0.0, 1.0), X.mean(axis=0) / 255)
    gan = build(config, spec, len(X), label_classes=CLASSES)
    return Game(name, gan, traced(config), TrainingSet(jnp.asarray(X), jnp.asarray(Y), labelled=LABELLED))


SGD = {
    f"optimizer.{player}.{field}": value
    for player in ("generator", "discriminator")
    for field, value in (("name", "sgd"), ("learning_rate", 0.05), ("momentum", 0.5))
}


def any_loss(changes: dict[str, Any], penalties: Iterable[str] = ()) -> Game:
    """A game with all losses and these penalties in its program; `objective.which`, traced, is the loss's place."""
    one = game("any loss", SGD | changes | {f"{WEIGHTS}{name}": 1.0 for name in penalties})

    def part(player: str):
        def function(real_logits, fake_logits, *, which):
            branches = [getattr(loss, player) for loss in LOSSES.values()]
            return jax.lax.switch(which, branches, real_logits, fake_logits)

        return function

    loss = Loss(part("discriminator"), part("generator"), "of the loss that is chosen", needs_real=True)
    return one._replace(gan=one.gan._replace(objective=one.gan.objective._replace(loss=loss)))


def every_loss_and_penalty() -> tuple[Game, dict[str, HParams]]:
    """A game with all losses and all penalties in its program, and the numbers that choose one of them, by its name."""
    one = any_loss(family("mlp", "mlp"), PENALTIES)
    none = one.hparams | {f"{WEIGHTS}{name}": np.float32(0) for name in PENALTIES}
    place = {name: np.int32(i) for i, name in enumerate(LOSSES)}
    cases = {name: none | {"objective.which": place[name]} for name in LOSSES}
    for name in PENALTIES:
        cases[f"penalty {name}"] = cases["non_saturating"] | {f"{WEIGHTS}{name}": np.float32(0.5)}
    return one, cases


def families() -> list[tuple[str, str]]:
    """(G, D) of every family; a family with only one player is paired with an mlp."""
    return [
        (name if name in GENERATORS else "mlp", name if name in DISCRIMINATORS else "mlp")
        for name in dict.fromkeys([*GENERATORS, *DISCRIMINATORS])
    ]


def covering_games() -> list[Game]:
    """Every network family, optimizer, schedule and augmentation, one of each in a game; then what is in no table.

    Schedules of b2 and of the penalties take turns of their own among the players and games that have one.
    """
    found, pairs = [], families()
    moving = [name for name in SCHEDULES if name != "constant"]
    b2, penalty = cycle(moving), cycle(moving)
    for i in range(max(map(len, (pairs, OPTIMIZERS, SCHEDULES, AUGMENTS)))):
        turn = lambda table, i=i: list(table)[i % len(table)]  # noqa: E731
        changes = family(*turn(pairs)) | {"augment.name": turn(AUGMENTS)}
        changes |= {"augment.sets": SETS} if turn(AUGMENTS) == "ada_schedule" else {}
        for player in ("generator", "discriminator"):
            path = f"optimizer.{player}"
            changes |= {f"{path}.name": turn(OPTIMIZERS), f"{path}.schedule.name": turn(SCHEDULES)}
            if hasattr(OPTIMIZERS[turn(OPTIMIZERS)], "b2"):
                changes |= {f"{path}.b2_schedule.name": next(b2)}
        if turn(pairs)[1] in ("mlp", "toy"):  # whose penalties are quickly compiled
            changes |= {"objective.penalties.r1": 0.5, "objective.penalty_schedule.name": next(penalty)}
        names = [*turn(pairs), turn(OPTIMIZERS), turn(SCHEDULES), f"augment {turn(AUGMENTS)}"]
        found.append(game(", ".join(dict.fromkeys(names)), changes))
    parts = {"train.accumulate": 2, "objective.loss": "relativistic", "objective.penalties.r1": 0.5}
    parts |= {"objective.penalty_schedule.name": next(penalty)}
    found.append(game("parts", family("mlp", "mlp") | SGD | parts))
    found += outside_the_tables(next(penalty))
    for name in UPDATES:
        if name == default().train.update:  # every other game has it
            continue
        changes = {"train.update": name, "objective.loss": "relativistic_average"}
        found.append(game(f"update {name}", family("mlp", "mlp") | SGD | changes))
    return found


def outside_the_tables(schedule: str) -> list[Game]:
    """Every term of the losses at once, with what counts updates; packs of examples; conditions that are images."""
    off = [key for key, on in static(default()).items() if on is False and key.startswith("objective.")]
    encoder = {"encoder.name": "mlp", "encoder.hidden": (6,)}
    terms = (
        encoder
        | {"objective.code.continuous": 2}
        | {key: 0.5 for key in off if not key.startswith((WEIGHTS, "objective.labelled"))}
        | {"objective.lecam.start": 0.0, "prior.size": math.prod(SHAPE)}
    )
    counting = {"train.d_steps": 2, "train.lookahead": 2, "objective.penalties.r1": 0.5, "objective.penalty_every": 2}
    counting |= {"objective.penalty_schedule.name": schedule, "optimizer.discriminator.b2_schedule.name": "cosine"}
    packs = {"conditional": "none", "discriminator.packing": 2}
    others = [
        game("terms", family("mlp", "mlp") | terms | counting),
        game("packs", family("mlp", "dcgan") | SGD | packs),
    ]
    pairs = encoder | {"encoder.joint": True, "encoder.noise": 2, "objective.penalties.r1": 0.5}
    others.append(game("pairs of x and z", family("mlp", "dcgan") | SGD | pairs | {"discriminator.norm": "none"}))
    others.append(game("masks", family("mlp", "mlp") | SGD | {"conditional": "mixed_mask"}))
    low = {"conditional": "low_resolution", "generator.noise": "bottleneck"}
    few = {"conditional": "none", "objective.classes": "outputs", "objective.labelled.weight": 0.5}
    others.append(game("few labels", family("mlp", "mlp") | SGD | few | {"objective.matching.weight": 0.5}))
    return [*others, game("low resolution", family("unet", "patch") | SGD | low | {"discriminator.judged": "patch"})]


def player(one: Game):
    """(hparams, state, n) -> the state after n steps, and the sums of their metrics; to be compiled."""

    def play(hparams, state, n):
        zeros = zero_metrics(one.gan, hparams, state, one.data)
        return accumulate_steps(gan=one.gan, hparams=hparams, state=state, sums=zeros, data=one.data, n=n)

    return play


def outcomes(cases: dict[str, HParams], init, play) -> dict[str, list[np.ndarray]]:
    """The leaves of what `STEPS` steps of each case lead to.

    Args:
      init, play: hparams -> state and (hparams, state, n) -> state, sums; compiled.
    """
    return {
        name: [np.asarray(leaf) for leaf in jax.tree.leaves(play(hparams, init(hparams), np.uint32(STEPS)))]
        for name, hparams in cases.items()
    }


def on_all_devices() -> dict[str, list[np.ndarray]]:
    """The outcomes of all games by the project's own trainer, the minibatch spread over the devices."""
    every, choices = every_loss_and_penalty()
    games = [(every, choices)] + [(one, {one.name: one.hparams}) for one in covering_games()]
    found = {}
    for one, cases in games:
        steps, data = parallel.make_train_steps(one.gan), parallel.replicate(one.data)

        def play(hparams, state, n, steps=steps, data=data):
            return steps(parallel.replicate(hparams), parallel.replicate(state), data, int(n))

        found |= outcomes(cases, compiled(one.gan.init), play)
    return found


if __name__ == "__main__":
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    leaves = {f"{name}#{i}": leaf for name, found in on_all_devices().items() for i, leaf in enumerate(found)}
    np.savez(sys.argv[1], devices=jax.device_count(), **leaves)
