"""Every field of a configuration that belongs to no choice, its default and its meaning; there are no other defaults.

A section such as `generator` names a choice (`generator.name`) and holds that choice's fields beside those listed
here: the attributes of `networks/mlp.py: Generator`, with their defaults and comments, are the fields of
`generator.name=mlp`. Naming another choice replaces them by its defaults. A file in `configs/` starts from
`default()` and sets what it changes. The result is locked: an unknown field is an error that names the nearest one, or
what there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxgan.augment import AUGMENTS
from jaxgan.conditions import CONDITIONS
from jaxgan.config.fields import (
    Config,
    Section,
    accepted_kwargs,
    coerce,
    fields_of,
    fingerprint,
    flatten,
    get,
    invalid_choice_error,
    nearby,
)
from jaxgan.config.pytorch_words import translate
from jaxgan.errors import UserError
from jaxgan.networks import DISCRIMINATORS, GENERATORS
from jaxgan.objectives.adjustments import ADJUSTMENTS
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.terms import TERMS
from jaxgan.optimizers import OPTIMIZERS
from jaxgan.schedules import SCHEDULES

__all__ = ["default", "fingerprint", "flatten", "get", "update", "validate"]

# Outer sections first. A section keeps what belongs to no choice: the schedule of an optimizer, the averages of a G.
SECTIONS = {
    "condition": Section("name", CONDITIONS),
    "generator": Section("name", GENERATORS),
    "discriminator": Section("name", DISCRIMINATORS),
    "objective": Section("loss", LOSSES),
    "augment": Section("name", AUGMENTS),
    "optimizer.generator": Section("name", OPTIMIZERS),
    "optimizer.discriminator": Section("name", OPTIMIZERS),
    "optimizer.generator.schedule": Section("name", SCHEDULES),
    "optimizer.discriminator.schedule": Section("name", SCHEDULES),
    "optimizer.generator.b2_schedule": Section("name", SCHEDULES),
    "optimizer.discriminator.b2_schedule": Section("name", SCHEDULES),
    "objective.penalty_schedule": Section("name", SCHEDULES),
}


class UpdateRule(NamedTuple):
    """The settings with which an update of both players is compatible."""

    multiple_d_steps: bool = False  # allows train.d_steps above 1
    shared_minibatch: bool = True  # both players' gradients are of one minibatch: no train.g_batch_size
    d_updates: int = 1  # updates of D per iteration, each on a minibatch of its own (times train.d_steps)


# The members of train.update; game/updates.py has the functions.
UPDATE_RULES = {
    "alternating": UpdateRule(multiple_d_steps=True, shared_minibatch=False),
    "simultaneous": UpdateRule(),
    "extragradient": UpdateRule(shared_minibatch=False, d_updates=2),
    **dict.fromkeys(ADJUSTMENTS, UpdateRule()),
}

# The choices of each field that names one without bringing fields.
CHOICES: dict[str, Iterable[str]] = {
    "conditional": CONDITIONS,
    "prior.name": ("uniform", "normal", "sphere"),
    "evaluate.split": ("test", "train"),
    "train.update": UPDATE_RULES,
    "train.on_divergence": ("stop", "restore"),
    "train.precision": ("highest", "high", "default"),
}

# Fields that a run may change when it is resumed: none of them alters a step already made, or what a score of the
# run means. `data.name` and `data.dir` may follow data that moved: their digest is checked.
RESUMABLE = (
    "data.name",
    "data.dir",
    "train.steps",
    "train.on_divergence",
    "train.max_restores",
    "log.every",
    "sample.every",
    "sample.rows",
    "evaluate.every",
    "checkpoint.every",
    "checkpoint.keep",
    "distributed.enabled",
    "distributed.coordinator",
    "distributed.processes",
    "distributed.process",
)


def default() -> ConfigDict:
    """A complete, locked configuration: two small multilayer perceptrons on scikit-learn's digits, with Adam."""
    c = Config()
    _add_game(c)
    _add_run(c)
    for path, section in SECTIONS.items():
        node = get(c, path)
        for name, value in fields_of(section.choices[node[section.key]]).items():
            node[name] = value
    return c.lock()


def _add_game(c: ConfigDict) -> None:
    """What the players, their data and their objectives are."""
    c.seed = 0  # one number fixes initial parameters, data order, noise and dropout
    c.conditional = "none"  # short for condition.name
    c.condition = Config()
    c.condition.name = "none"  # what both players are told about each example; of jaxgan/conditions.py

    c.data = Config()
    c.data.name = "digits"  # digits | tfds:NAME | npz:PATH | folder:PATH | tfd:PATH | mixture:NAME | stacked:NAME
    c.data.dir = ""  # where TFDS keeps its data; '' = TFDS's own choice (TFDS_DATA_DIR)
    c.data.validation = 150  # examples: the last ones of the training set, never trained on
    c.data.limit = 0  # training examples that are kept, the first ones; 0 = all
    c.data.low = 0.0  # pixels are in [low, 1]: 0 or -1, with which most recipes since 2015 state their penalties
    c.data.gcn = 0.0  # 0: pixels in [low, 1]; s: global contrast normalization, each image has norm s
    c.data.pad = 0  # black pixels added on each side of an image: 2 make 28x28 32x32
    c.data.size = 0  # folder: images are cropped to a square and resized to this side; 0 = as they are

    c.prior = Config()
    c.prior.name = "normal"  # uniform(-sqrt 3, sqrt 3) | normal | sphere (normal / its RMS)
    c.prior.size = 64  # dimensions of z
    c.prior.scale = 1.0  # z is multiplied by this

    c.generator = Config()
    c.generator.name = "mlp"  # a family of jaxgan/networks
    c.generator.initialize_from = ""  # a work directory: its G becomes the last layers of this one's first G
    c.generator.ema = Config()  # averages of theta_g over the steps; the first one draws samples and scores
    c.generator.ema.gamma = ()  # power-function averages (arXiv:2312.02696): theta_g after step t weighs ~ t^gamma
    c.generator.ema.half_life = ()  # exponential averages: in how many images a weight halves
    c.generator.ema.ramp = 0.0  # r: a half-life is at most r times the images seen so far; 0 = no limit
    c.generator.ema.rise = 0.0  # images over which half-lives rise from 0 along half a cosine; 0 = there at once

    c.discriminator = Config()
    c.discriminator.name = "mlp"  # a family of jaxgan/networks
    c.discriminator.packing = 1  # examples that D judges together (PacGAN, arXiv:1712.04086)

    _add_objective(c)

    c.augment = Config()
    c.augment.name = "none"  # what x and G(z) go through before D; of jaxgan/augment

    c.optimizer = Config()
    for player in ("generator", "discriminator"):
        c.optimizer[player] = o = Config()
        o.name = "adam"  # of jaxgan/optimizers.py
        o.max_column_norm = 0.0  # largest norm of a unit's incoming weights; 0 = no limit
        o.clip = 0.0  # largest absolute value of a weight, kept after every update (WGAN); 0 = no limit
        o.optimistic = False  # twice this update less the one before (arXiv:1711.00141)
        o.schedule = Config()
        o.schedule.name = "constant"  # of the learning rate; of jaxgan/schedules.py
        o.b2_schedule = Config()
        o.b2_schedule.name = "constant"  # of an optimizer's b2; likewise


def _add_objective(c: ConfigDict) -> None:
    """What the players descend."""
    c.objective = Config()
    c.objective.loss = "non_saturating"  # of jaxgan/objectives/losses.py
    c.objective.d_scale = 1.0  # D's loss is multiplied by this; 1/2 in the 2014 code, whose D loss is -V/2
    c.objective.penalties = Config()  # weights, 0 = off; of jaxgan/objectives/penalties.py
    for name in PENALTIES:
        c.objective.penalties[name] = 0.0
    c.objective.penalty_every = 1  # updates of D from one with penalties to the next, their weights times this
    c.objective.penalty_schedule = Config()
    c.objective.penalty_schedule.name = "constant"  # of a factor of all these weights, which starts from 1
    for name, term in TERMS.items():  # of jaxgan/objectives/terms
        c.objective[name] = Config(fields_of(term))
    c.objective.adjustment = 1.0  # weight of the term of train.update=consensus and the symplectic ones
    c.objective.top_k = 1.0  # share of the minibatch, that with the largest logits, that G descends (arXiv:2002.06224)


def _add_run(c: ConfigDict) -> None:
    """How long the players train, on how many examples at a time, and what is seen and kept of it."""
    c.train = Config()
    c.train.steps = 20_000  # iterations of Algorithm 1's outer loop
    c.train.batch_size = 64  # m, over all devices and hosts
    c.train.d_steps = 1  # k, ascent steps on D for each descent step on G
    c.train.g_batch_size = 0  # minibatch of G's step; 0 = batch_size
    c.train.accumulate = 1  # parts of a minibatch, one at a time in memory, whose gradients make one update
    # alternating: Algorithm 1 | simultaneous: the 2014 code | extragradient (arXiv:1802.10551) | simultaneous with a
    # term of second order (objectives/adjustments.py): consensus, symplectic, symplectic_aligned; all but the first
    # have k = 1.
    c.train.update = "alternating"
    c.train.lookahead = 0  # steps after which both players go back part of the way (arXiv:2006.14567); 0 = never
    c.train.lookahead_rate = 0.5  # the part of the way that stays
    c.train.precision = "highest"  # of matrix products, as JAX names it: highest | high | default
    c.train.on_divergence = "stop"  # stop | restore: back to the last checkpoint, with different random numbers ...
    c.train.max_restores = 3  # ... at most this many times

    c.log = Config()
    c.log.every = 100  # steps between lines of metrics.jsonl, each the mean since the line before

    c.sample = Config()
    c.sample.every = 1000  # steps between sample grids; 0 = only at the end
    c.sample.rows = 10  # the grid is rows x rows images

    c.evaluate = Config()
    c.evaluate.every = 0  # steps between evaluations; 0 = only at the end
    c.evaluate.samples = 10_000  # drawn from G for an evaluation
    c.evaluate.metrics = ("parzen",)  # of jaxgan/metrics; () = none
    c.evaluate.features = "pixels"  # that metrics compare: pixels | classifier (trained here) | inception:FILE.npz
    c.evaluate.split = "test"  # the real examples that features are compared with: test | train
    c.evaluate.k = 5  # nearest neighbours of precision, recall, density and coverage
    c.evaluate.best = ""  # the number that names the best checkpoint; '' = that of the first metric

    c.checkpoint = Config()
    c.checkpoint.every = 1000  # steps between checkpoints
    c.checkpoint.keep = 2  # how many of the newest to keep, beside the best

    c.distributed = Config()
    c.distributed.enabled = False  # call jax.distributed.initialize (all that TPU pods and SLURM need)
    c.distributed.coordinator = ""  # HOST:PORT of process 0; '' = found by JAX
    c.distributed.processes = 0  # how many; 0 = found by JAX
    c.distributed.process = -1  # which one this is; -1 = found by JAX


def update(config: ConfigDict, changes: dict[str, Any]) -> ConfigDict:
    """A locked copy of `config` with `changes` ({'train.steps': 10}) made.

    Choices come first, whatever their place in `changes`: one that differs from the choice so far replaces its fields
    by the new one's defaults.

    Raises:
      UserError: an unknown field (see `_advice`), a field of another choice, or a value of another type.
    """
    changes = _same_condition(changes)
    copy = config.copy_and_resolve_references().unlock()
    for path, section in SECTIONS.items():
        key = f"{path}.{section.key}"
        if key in changes:
            _set_choice(get(copy, path), section, key, changes[key])
    known = flatten(copy)
    for key, value in changes.items():
        if key not in known:
            raise UserError(unknown_field(copy, key))
        parent, _, last = key.rpartition(".")
        node = get(copy, parent) if parent else copy
        node[last] = coerce(key, known[key], value)
    return copy.lock()


def _same_condition(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes with `conditional` and `condition.name` equal, if either is among them."""
    given = {key: changes[key] for key in ("conditional", "condition.name") if key in changes}
    if len(set(map(str, given.values()))) > 1:
        text = " and ".join(f"{key}={name}" for key, name in given.items())
        raise UserError(f"{text} name two conditions, and the first is short for the second; set one of them.")
    return {key: name for name in given.values() for key in ("condition.name", "conditional")} | changes


def _set_choice(node: ConfigDict, section: Section, key: str, name: Any) -> None:
    if name not in section.choices:
        raise invalid_choice_error(key, name, section.choices)
    if name != node[section.key]:
        for field in fields_of(section.choices[node[section.key]]):
            del node[field]
        for field, value in fields_of(section.choices[name]).items():
            node[field] = value
        node[section.key] = name


def unknown_field(config: ConfigDict, key: str) -> str:
    """The sentence for a field that `config` does not have: it belongs to another choice, or is misspelt."""
    for path, section in SECTIONS.items():
        field = key.removeprefix(f"{path}.")
        owners = [name for name, choice in section.choices.items() if field in fields_of(choice)]
        if field != key and owners:
            now = f"{path}.{section.key}={get(config, path)[section.key]}"
            return f"{key} is a field of {path}.{section.key}={' or '.join(owners)}, not of {now}; set that too."
    return f"the config has no field {key!r}; {_advice(config, key)}."


def _advice(config: ConfigDict, key: str) -> str:
    """What may have been meant by an unknown field: a misspelling, a word of PyTorch code, or else what there is."""
    section, _, last = key.rpartition(".")
    fields = flatten(config)
    inside = [field for field in fields if field.startswith(f"{section}.")]
    if near := nearby(last, [field.removeprefix(f"{section}.") for field in inside]):
        return f"the nearest is {f'{section}.{near[0]}'!r}"
    if text := translate(key):
        return text
    elsewhere = [field for field in fields if field.rpartition(".")[2] == last] or nearby(key, fields, cutoff=0.8)
    if elsewhere and not inside:
        return f"the nearest is {elsewhere[0]!r}"
    while section and not inside:
        section = section.rpartition(".")[0]
        inside = [field for field in fields if field.startswith(f"{section}.")]
    names = dict.fromkeys(field.removeprefix(f"{section}.").partition(".")[0] for field in inside or fields)
    return f"{section or 'it'} has {', '.join(names)}; --mode=config prints the meaning of each"


def build_choice(config: ConfigDict, path: str, **given: Any) -> Any:
    """What a section chooses: for a dataclass an instance with the section's fields, else the table's entry.

    Args:
      given: further attributes, which are not fields.
    """
    section, node = SECTIONS[path], get(config, path)
    choice = section.choices[node[section.key]]
    if not isinstance(choice, type):
        return choice
    return choice(**{name: node[name] for name in fields_of(choice)}, **given)


def differences(a: ConfigDict, b: ConfigDict) -> list[str]:
    """Fields, other than those a resumed run may change, whose values differ."""
    flat_a, flat_b = flatten(a), flatten(b)
    keys = dict.fromkeys([*flat_a, *flat_b])
    return [key for key in keys if flat_a.get(key) != flat_b.get(key) and key not in RESUMABLE]


def validate(config: ConfigDict) -> None:
    """Checks values that no single field's type can, and has each choice check its own.

    Raises:
      UserError: with the field, its value and what it may be.
    """
    flat = flatten(config)
    for key, choices in CHOICES.items():
        if flat[key] not in choices:
            raise invalid_choice_error(key, flat[key], choices)
    _validate_numbers(flat)
    if config.data.low not in (0, -1):
        raise UserError(f"data.low must be 0 or -1, not {config.data.low}.")
    for path in SECTIONS:
        check = getattr(build_choice(config, path), "check", None)
        if check is not None:
            check(**accepted_kwargs(check, get(config, path)))
    for name, term in TERMS.items():
        term(**config.objective[name]).check()
    _validate_training(config)
    _validate_parts(config)
    _validate_b2(config)


def _validate_training(config: ConfigDict) -> None:
    t, objective = config.train, config.objective
    rule = UPDATE_RULES[t.update]
    if t.d_steps != 1 and not rule.multiple_d_steps:
        raise UserError(
            f"train.update={t.update!r} makes one step of each player, so train.d_steps must "
            f"be 1, not {t.d_steps}; use 'alternating' for k > 1."
        )
    if rule.d_updates > 1 and objective.penalty_every > 1:
        raise UserError(
            f"train.update={t.update!r} updates D {rule.d_updates} times per iteration, and penalties of "
            f"objective.penalty_every={objective.penalty_every} would fall on only some of them; set it to 1."
        )
    if (drawn := t.steps * t.d_steps * rule.d_updates * max(t.batch_size, t.g_batch_size)) >= 2**32:
        raise UserError(
            f"train.steps * train.d_steps * train.batch_size = {drawn} examples, but the data "
            f"order counts them in 32 bits; stay below {2**32}."
        )
    if rule.shared_minibatch and t.g_batch_size not in (0, t.batch_size):
        raise UserError(f"train.update={t.update!r} gives both players one minibatch; set train.g_batch_size=0.")
    if not 0 <= t.lookahead_rate <= 1:
        raise UserError(f"train.lookahead_rate must be in [0, 1], not {t.lookahead_rate}.")
    if getattr(build_choice(config, "augment"), "NEEDS_SIGN", False) and not _zero_is_decision_boundary(objective):
        raise UserError(
            f"augment.name={config.augment.name} steers by the sign of D's logits, which means nothing under "
            f"objective.loss={objective.loss}; take augment.name=ada_schedule."
        )
    if any(objective.auxiliary.values()) and config.conditional != "label":
        raise UserError("objective.auxiliary asks D for the class that G is told; set conditional=label.")
    if not 0 < objective.top_k <= 1:
        raise UserError(f"objective.top_k is a share in (0, 1], not {objective.top_k}.")
    packing = config.discriminator.packing
    for key, size in (("train.batch_size", t.batch_size), ("train.g_batch_size", t.g_batch_size)):
        if size % packing:
            raise UserError(f"discriminator.packing={packing} does not divide {key}={size}; change one of them.")
    if packing > 1 and config.augment.name == "ada":
        raise UserError("augment.name=ada counts D's logits as images, and discriminator.packing makes them fewer.")
    if packing > 1 and (config.conditional != "none" or any(objective.penalties.values())):
        raise UserError(
            f"discriminator.packing={packing} judges examples together, so it takes no classes and no penalties of "
            f"single examples; set packing to 1, or conditional and objective.penalties off."
        )


def _validate_b2(config: ConfigDict) -> None:
    for player in ("generator", "discriminator"):
        optimizer, schedule = config.optimizer[player], config.optimizer[player].b2_schedule
        if schedule.name == "constant":
            continue
        if "b2" not in optimizer:
            raise UserError(
                f"optimizer.{player}.b2_schedule.name={schedule.name} moves a b2, which optimizer.{player}.name="
                f"{optimizer.name} has not; take adam, or the schedule constant."
            )
        for name in ("final", "minimum"):
            if not schedule.get(name, 0.0) < 1:
                raise UserError(f"optimizer.{player}.b2_schedule.{name} must be in [0, 1), not {schedule[name]}.")


def _validate_parts(config: ConfigDict) -> None:
    """Refuses parts of a minibatch (gradient accumulation) where only the whole has the gradient."""
    n, objective = config.train.accumulate, config.objective
    if n == 1:
        return
    for key in ("batch_size", "g_batch_size"):
        if config.train[key] % (n * config.discriminator.packing):
            raise UserError(
                f"train.accumulate={n} parts do not divide train.{key}={config.train[key]} (in packs of "
                f"{config.discriminator.packing}); make it a multiple of {n * config.discriminator.packing}."
            )
    coupled = {
        f"objective.loss={objective.loss}": LOSSES[objective.loss].couples_examples,
        "objective.top_k": objective.top_k < 1,
    }
    coupled |= {
        f"objective.penalties.{name}": p.couples_examples and objective.penalties[name] for name, p in PENALTIES.items()
    }
    coupled |= {"objective.lecam": objective.lecam.weight}
    for what, is_coupled in coupled.items():
        if is_coupled:
            raise coupled_examples_error(n, what)


def coupled_examples_error(parts: int, what: str) -> UserError:
    """The error of what needs a whole minibatch at once."""
    return UserError(
        f"train.accumulate={parts} takes a minibatch in parts, but its examples are coupled by {what}; set "
        f"train.accumulate=1."
    )


def _zero_is_decision_boundary(objective: ConfigDict) -> bool:
    """Whether a logit of 0 is, but for label smoothing, where D finds data and samples equally likely."""
    posterior = LOSSES[objective.loss].posterior
    if posterior is None:
        return not LOSSES[objective.loss].shift_invariant
    return abs(float(posterior(jnp.zeros(1), **accepted_kwargs(posterior, objective))[0]) - 0.5) < 0.1


_POSITIVE = (
    "train.steps",
    "train.batch_size",
    "train.d_steps",
    "train.accumulate",
    "discriminator.packing",
    "objective.penalty_every",
    "prior.size",
    "prior.scale",
    "objective.d_scale",
    "log.every",
    "checkpoint.every",
    "checkpoint.keep",
    "sample.rows",
    "evaluate.samples",
    "evaluate.k",
)
_AT_LEAST_ZERO = (
    "seed",
    "train.max_restores",
    "sample.every",
    "evaluate.every",
    "data.validation",
    "data.limit",
    "data.gcn",
    "data.size",
    "data.pad",
    "generator.ema.ramp",
    "generator.ema.rise",
    "optimizer.generator.max_column_norm",
    "optimizer.discriminator.max_column_norm",
    "optimizer.generator.clip",
    "optimizer.discriminator.clip",
    "objective.adjustment",
    "train.g_batch_size",
    "train.lookahead",
    *(f"objective.penalties.{name}" for name in PENALTIES),
)


def _validate_numbers(flat: dict[str, Any]) -> None:
    for key, value in flat.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not abs(number) < 3.4e38:
                raise UserError(f"{key} must be a number that fits into float32, not {number}.")
            if type(number) is int and key != "seed" and number >= 2**31:
                raise UserError(f"{key} must be below 2**31, not {number}.")
    for key in _POSITIVE:
        if not flat[key] > 0:
            raise UserError(f"{key} must be above 0, not {flat[key]}.")
    for key in _AT_LEAST_ZERO:
        if not flat[key] >= 0:
            raise UserError(f"{key} must be 0 or more, not {flat[key]}.")
    for key in ("generator.ema.gamma", "generator.ema.half_life"):
        if len(set(flat[key])) < len(flat[key]):
            raise UserError(f"{key}={tuple(flat[key])} names an average twice.")
        for number in flat[key]:
            if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
                raise UserError(f"{key} holds numbers of 0 or more, such as (1.0,), not {number!r}.")
    if flat["seed"] >= 2**32:
        raise UserError(f"seed must be below 2**32, not {flat['seed']}.")
