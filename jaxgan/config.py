"""Every field of a configuration, its default and its meaning. There are no other defaults.

A file in `configs/` starts from `default()` and sets what it changes. The result is locked: an
unknown field is an error that names the nearest one.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import json
import math
import os
import runpy
from contextlib import suppress
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from jaxgan.errors import UserError


def default() -> ConfigDict:
    """A complete, locked configuration: the paper's MNIST networks on scikit-learn's digits."""
    c = ConfigDict()
    c.seed = 0  # one number fixes initial parameters, data order, noise and dropout

    c.data = ConfigDict()
    c.data.name = "digits"  # digits | tfds:NAME | npz:PATH | folder:PATH | tfd:PATH | mixture:NAME
    c.data.dir = ""  # where TFDS keeps its data; '' = TFDS's own choice (TFDS_DATA_DIR)
    c.data.validation = 150  # examples: the last ones of the training set, never trained on
    c.data.contrast = 0.0  # 0: pixels in [0, 1]; s: global contrast normalization, each image has norm s

    c.prior = ConfigDict()
    c.prior.name = "uniform"  # uniform(-sqrt 3, sqrt 3) | normal | sphere (normal / its RMS)
    c.prior.size = 100  # dimensions of z
    c.prior.scale = 1.0  # z is multiplied by this

    c.generator = ConfigDict()
    c.generator.name = "mlp"  # mlp | conv (hidden layers, then a transposed convolution)
    c.generator.hidden = (1200, 1200)  # units a hidden layer
    c.generator.activations = ("relu", "relu")  # of each hidden layer: relu | sigmoid | tanh
    c.generator.output = "sigmoid"  # of the last layer: sigmoid | linear
    c.generator.irange = 0.05  # hidden weights start uniform in [-irange, irange]
    c.generator.output_irange = 0.05  # the same for the last layer
    c.generator.output_sparse = 0  # n: each output unit starts with n weights from normal(0, 1), the others 0
    c.generator.output_bias = True  # start the output at the training set's mean
    c.generator.sigmoid_bias = 0.0  # hidden sigmoid units start with this bias
    c.generator.initialize_from = ""  # a work directory: its G becomes the last layers of this one's first G
    c.generator.average = 0.0  # p: samples come from a mean of theta_g with weights ~ step^(p - 1); 0 = theta_g itself
    c.generator.conv = ConfigDict()
    c.generator.conv.grid = (10, 10, 80)  # rows, columns and channels that the last hidden layer becomes
    c.generator.conv.kernel = 5  # pixels, of the transposed convolution to the image
    c.generator.conv.stride = 3  # pixels of the image from one grid point to the next

    c.discriminator = ConfigDict()
    c.discriminator.name = "mlp"  # mlp | conv (maxout convolutions with max pooling, then hidden layers)
    c.discriminator.hidden = (240, 240)  # units a hidden layer
    c.discriminator.activation = "maxout"  # of the hidden layers: maxout | relu | tanh
    c.discriminator.pieces = 5  # linear pieces of a maxout unit
    c.discriminator.irange = 0.005  # weights start uniform in [-irange, irange]
    c.discriminator.input_keep = 0.8  # dropout: probability to keep an input; 1 = no dropout
    c.discriminator.hidden_keep = 0.5  # the same for the input of every later layer
    c.discriminator.gradient_penalty = 0.0  # R1: D descends -V/2 and half of this times the mean of |d logit / dx|^2
    c.discriminator.conv = ConfigDict()
    c.discriminator.conv.channels = (32, 32, 192)  # maxout units at each point, a number a layer
    c.discriminator.conv.kernels = (8, 8, 5)  # pixels, likewise
    c.discriminator.conv.paddings = (4, 3, 3)  # zeros on each side
    c.discriminator.conv.pools = (4, 4, 2)  # side of the pooling windows
    c.discriminator.conv.strides = (2, 2, 2)  # from one pooling window to the next
    c.discriminator.conv.pieces = 2  # linear pieces of a convolutional maxout unit

    c.objective = ConfigDict()
    c.objective.loss = "non_saturating"  # what G descends: minimax | non_saturating

    c.optimizer = ConfigDict()
    for player in ("generator", "discriminator"):
        c.optimizer[player] = o = ConfigDict()
        o.name = "sgd"  # sgd (the paper's, whose momentum rises) | adam
        o.learning_rate = 0.1
        o.decay = 1.000004  # the learning rate is divided by this every update ...
        o.minimum_learning_rate = 1e-6  # ... down to this floor
        o.momentum = 0.5  # sgd: momentum in the first epoch ...
        o.final_momentum = 0.7  # sgd: ... rising linearly to this ...
        o.momentum_epochs = 250  # sgd: ... in this epoch; 1 = final_momentum from the start
        o.b1 = 0.5  # adam: decay of the first moment
        o.b2 = 0.999  # adam: decay of the second moment
        o.eps = 1e-8  # adam: added to the denominator
        o.max_column_norm = 0.0  # largest norm of a unit's incoming weights; 0 = no limit

    c.train = ConfigDict()
    c.train.steps = 20_000  # iterations of Algorithm 1's outer loop
    c.train.batch_size = 100  # m, over all devices and hosts
    c.train.d_steps = 1  # k, ascent steps on D for each descent step on G
    # alternating: Algorithm 1 | simultaneous: the 2014 code (k = 1). Read it as config.train["update"]:
    # `update` is also a method of ConfigDict.
    c.train.update = "alternating"
    c.train.precision = "highest"  # of matrix products, as JAX names it: highest | high | default
    c.train.on_divergence = "stop"  # stop | restore: back to the last checkpoint, with other draws ...
    c.train.max_restores = 3  # ... at most so many times

    c.log = ConfigDict()
    c.log.every = 100  # steps between lines of metrics.jsonl, each the mean since the line before

    c.sample = ConfigDict()
    c.sample.every = 1000  # steps between sample grids; 0 = only at the end
    c.sample.rows = 10  # the grid is rows x rows images

    c.evaluate = ConfigDict()
    c.evaluate.every = 0  # steps between evaluations; 0 = only at the end
    c.evaluate.samples = 10_000  # drawn from G for an evaluation

    c.checkpoint = ConfigDict()
    c.checkpoint.every = 1000  # steps between checkpoints
    c.checkpoint.keep = 2  # how many of the newest to keep, beside the best

    c.distributed = ConfigDict()
    c.distributed.enabled = False  # call jax.distributed.initialize (TPU pods, SLURM: no more needed)
    c.distributed.coordinator = ""  # HOST:PORT of process 0; '' = found by JAX
    c.distributed.processes = 0  # how many; 0 = found by JAX
    c.distributed.process = -1  # which one this is; -1 = found by JAX
    return c.lock()


# The choices of each field that names one.
CHOICES = {
    "prior.name": ("uniform", "normal", "sphere"),
    "generator.name": ("mlp", "conv"),
    "generator.output": ("sigmoid", "linear"),
    "discriminator.name": ("mlp", "conv"),
    "discriminator.activation": ("maxout", "relu", "tanh"),
    "objective.loss": ("minimax", "non_saturating"),
    "optimizer.generator.name": ("sgd", "adam"),
    "optimizer.discriminator.name": ("sgd", "adam"),
    "train.update": ("alternating", "simultaneous"),
    "train.on_divergence": ("stop", "restore"),
    "train.precision": ("highest", "high", "default"),
}

# The fields of discriminator.conv with a number for each layer.
CONV = ("channels", "kernels", "paddings", "pools", "strides")

# Fields that a run may change when it is resumed: none of them alters a step already made.
RESUMABLE = (
    "log",
    "sample",
    "evaluate",
    "checkpoint",
    "train.steps",
    "train.on_divergence",
    "train.max_restores",
    "data.dir",
    "distributed",
)


def flatten(config: ConfigDict) -> dict[str, Any]:
    """{'train.steps': 20000, ...}, tuples as lists (as JSON has them)."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            flat.update({f"{key}.{k}": v for k, v in flatten(value).items()})
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def to_json(config: ConfigDict) -> str:
    return json.dumps(json.loads(config.to_json()), indent=2) + "\n"


def update(config: ConfigDict, changes: dict[str, Any]) -> ConfigDict:
    """A locked copy of `config` with `changes` ({'train.steps': 10}) made.

    Raises:
      UserError: an unknown field (the nearest one is named) or a value of another type.
    """
    copy, known = config.copy_and_resolve_references().unlock(), flatten(config)
    for key, value in changes.items():
        if key not in known:
            raise UserError(unknown_field(key, known))
        old = known[key]
        value = list(value) if isinstance(value, tuple) else value
        if isinstance(old, float) and type(value) is int:
            with suppress(OverflowError):  # the sentence below
                value = float(value)
        if type(value) is not type(old):
            raise UserError(f"{key} takes a {_KIND[type(old)]} such as {old!r}, not {value!r}.")
        *path, last = key.split(".")
        node = copy
        for name in path:
            node = node[name]
        node[last] = tuple(value) if isinstance(value, list) else value
    return copy.lock()


_KIND = {bool: "truth value", int: "whole number", float: "number", str: "word", list: "list"}


def from_json(text: str) -> ConfigDict:
    """The configuration that `to_json` wrote.

    Raises:
      UserError: not JSON, or not the fields of this version of the package.
    """
    try:
        flat = flatten(ConfigDict(json.loads(text)))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"this is no configuration in JSON ({error}); restore it from a backup.") from None
    return complete(flat, "this configuration")


def unknown_field(key: str, known: dict[str, Any]) -> str:
    """The sentence that names the field nearest to `key`."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
    return f"the config has no field {key!r}; the nearest is {near!r}."


def differences(a: ConfigDict, b: ConfigDict) -> list[str]:
    """Fields, other than those a resumed run may change, whose values differ."""
    flat_a, flat_b = flatten(a), flatten(b)
    return [key for key in flat_a if flat_a[key] != flat_b.get(key) and not key.startswith(RESUMABLE)]


def validate(config: ConfigDict) -> None:
    """Checks values that no single field's type can.

    Raises:
      UserError: with the field, its value and what it may be.
    """
    flat = flatten(config)
    for key, choices in CHOICES.items():
        if flat[key] not in choices:
            near = difflib.get_close_matches(str(flat[key]), choices, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise UserError(f"{key} must be one of {', '.join(choices)}, not {flat[key]!r}{hint}")

    def positive(*keys: str) -> None:
        for key in keys:
            if not flat[key] > 0:
                raise UserError(f"{key} must be above 0, not {flat[key]}.")

    def at_least_zero(*keys: str) -> None:
        for key in keys:
            if not flat[key] >= 0:
                raise UserError(f"{key} must be 0 or more, not {flat[key]}.")

    def below_one(*keys: str) -> None:
        for key in keys:
            if not 0 <= flat[key] < 1:
                raise UserError(f"{key} must be in [0, 1), not {flat[key]}.")

    positive("train.steps", "train.batch_size", "train.d_steps", "prior.size", "prior.scale")
    positive("log.every", "checkpoint.every", "checkpoint.keep", "sample.rows", "evaluate.samples")
    positive("discriminator.pieces", "discriminator.conv.pieces", "generator.conv.stride")
    at_least_zero("seed", "train.max_restores", "sample.every", "evaluate.every", "data.validation", "data.contrast")
    at_least_zero("generator.irange", "generator.output_irange", "discriminator.irange", "generator.output_sparse")
    at_least_zero("discriminator.gradient_penalty")
    if flat["generator.average"] != 0 and not flat["generator.average"] >= 1:
        raise UserError(f"generator.average is a power, not a decay: 0, or 1 or more, not {flat['generator.average']}.")
    for key, value in flat.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and not abs(number) < 3.4e38:
                raise UserError(f"{key} must be a number that fits into float32, not {number}.")
            if type(number) is int and key != "seed" and number >= 2**31:
                raise UserError(f"{key} must be below 2**31, not {number}.")
    if config.seed >= 2**32:
        raise UserError(f"seed must be below 2**32, not {config.seed}.")
    for key in ("discriminator.input_keep", "discriminator.hidden_keep"):
        if flat[key] != 1 and not 1 <= round(min(max(flat[key], 0), 2) * 2**16) < 2**16:
            raise UserError(f"{key} is a probability, 1 or from 1e-5 to .99999, not {flat[key]}.")
    for player in ("generator", "discriminator"):
        prefix = f"optimizer.{player}"
        positive(f"{prefix}.learning_rate", f"{prefix}.decay", f"{prefix}.momentum_epochs", f"{prefix}.eps")
        at_least_zero(f"{prefix}.minimum_learning_rate", f"{prefix}.max_column_norm")
        below_one(*(f"{prefix}.{name}" for name in ("momentum", "final_momentum", "b1", "b2")))
        for units in flat[f"{player}.hidden"]:
            if not (isinstance(units, int) and units > 0):
                raise UserError(f"{player}.hidden holds whole numbers above 0, not {units!r}.")
    activations = flat["generator.activations"]
    if len(activations) != len(flat["generator.hidden"]):
        raise UserError(
            f"generator.activations names {len(activations)} activations for the "
            f"{len(flat['generator.hidden'])} layers of generator.hidden; give one each."
        )
    for name in activations:
        if name not in ("relu", "sigmoid", "tanh"):
            raise UserError(f"generator.activations may hold relu, sigmoid and tanh, not {name!r}.")
    below = [config.prior.size, *flat["generator.hidden"]][-1]
    if config.generator.output_sparse > below:
        raise UserError(
            f"generator.output_sparse={config.generator.output_sparse} weights for each output unit, but the "
            f"layer below has {below} units; make it smaller."
        )
    if config.generator.output_sparse and config.generator.name != "mlp":
        raise UserError("generator.output_sparse is for generator.name=mlp; set it to 0.")
    if config.generator.name == "conv":
        conv, units = config.generator.conv, flat["generator.hidden"][-1:]
        if len(conv.grid) != 3 or [math.prod(conv.grid)] != units:
            raise UserError(
                f"generator.conv.grid={conv.grid} is (rows, columns, channels), whose product is the number of "
                f"units of the last hidden layer, {units[0] if units else 'of which there is none'}."
            )
        if conv.kernel < conv.stride:
            raise UserError(
                f"generator.conv.kernel={conv.kernel} is smaller than generator.conv.stride={conv.stride}: some "
                f"pixels would be no part of any kernel."
            )
    if config.discriminator.name == "conv":
        layers = {name: flat[f"discriminator.conv.{name}"] for name in CONV}
        if len({len(values) for values in layers.values()}) != 1:
            listed = ", ".join(f"{name}={values}" for name, values in layers.items())
            raise UserError(f"the fields of discriminator.conv give one number a layer each, not {listed}.")
        for name, values in layers.items():
            for value in values:
                if not (isinstance(value, int) and value >= (0 if name == "paddings" else 1)):
                    raise UserError(f"discriminator.conv.{name} holds whole numbers of pixels, not {value!r}.")
        if any(stride > pool for stride, pool in zip(layers["strides"], layers["pools"], strict=True)):
            raise UserError(
                f"discriminator.conv.strides={layers['strides']} must not exceed discriminator.conv.pools="
                f"{layers['pools']}: points between the windows would be lost."
            )
        if config.discriminator.activation != "maxout":
            raise UserError(
                f"discriminator.name=conv has maxout units, but discriminator.activation is "
                f"{config.discriminator.activation}."
            )
    if config.train["update"] == "simultaneous" and config.train.d_steps != 1:
        raise UserError(
            f"train.update='simultaneous' makes one step of each player, so train.d_steps must "
            f"be 1, not {config.train.d_steps}; use 'alternating' for k > 1."
        )
    drawn = config.train.steps * config.train.d_steps * config.train.batch_size
    if drawn >= 2**32:
        raise UserError(
            f"train.steps * train.d_steps * train.batch_size = {drawn} examples, but the data "
            f"order counts them in 32 bits; stay below {2**32}."
        )


def functions(path: str | os.PathLike[str], flag: str, like: str, *names: str) -> dict[str, Any]:
    """What a Python file that `flag` names defines, these functions among it.

    Raises:
      UserError: no such file, no Python, or a function is missing; `like` has them all.
    """
    if not Path(path).is_file():
        raise UserError(f"the {flag} file {path} cannot be read: No such file.")
    try:
        found = runpy.run_path(str(path))
    except UserError:
        raise
    except SyntaxError as error:
        raise UserError(f"the {flag} file {path} is no Python: {error.msg} in line {error.lineno}; mend it.") from None
    except Exception as error:
        raise UserError(f"the {flag} file {path} failed ({type(error).__name__}: {error}); mend it.") from error
    for name in names:
        if name not in found:
            raise UserError(f"the {flag} file {path} defines no {name}(); see {like}.")
    return found


def read(path: str) -> ConfigDict:
    """What `get_config()` of a Python file returns, checked.

    Raises:
      UserError: no such file, no `get_config` in it, or what `returned` refuses.
    """
    return returned(functions(path, "--config", "configs/digits.py", "get_config"), path)


def call(found: dict[str, Any], name: str, path: str | os.PathLike[str]) -> Any:
    """What a function of a file returns; UserError where it fails."""
    try:
        return found[name]()
    except UserError:
        raise
    except Exception as error:
        # ml_collections quotes its sentence, and lists all other fields behind it.
        said = str(*error.args[:1]).partition(". Other fields")[0]
        said = said.removeprefix("'") if said.count("'") % 2 else said
        raise UserError(f"{name}() of {path} failed ({type(error).__name__}: {said}); mend it.") from error


def returned(found: dict[str, Any], path: str | os.PathLike[str]) -> ConfigDict:
    """A locked copy of what the `get_config()` of a file returns.

    Raises:
      UserError: it fails, or returns no configuration, or one with other fields than those of `default()`.
    """
    config = call(found, "get_config", path)
    if not isinstance(config, ConfigDict):
        raise UserError(f"get_config() of {path} returned {config!r}, not a ConfigDict; see configs/digits.py.")
    return complete(flatten(config), str(path))


def complete(flat: dict[str, Any], what: str) -> ConfigDict:
    """The configuration with these fields.

    Raises:
      UserError: an unknown field, a value of another type, or a field that is missing.
    """
    if missing := flatten(default()).keys() - flat:
        raise UserError(f"{what} has no field {min(missing)!r}; it is damaged or of another version of jaxgan.")
    return update(default(), flat)


def override(config: ConfigDict, arguments: list[str]) -> ConfigDict:
    """`config` with the changes of a command line, each '--config.KEY=VALUE' or '--config.KEY', 'VALUE'.

    (ml_collections' own flags cannot set `train.update`, the name of a method of ConfigDict.)

    Raises:
      UserError: an unknown field, a value of another type, or an argument that is no such change.
    """
    known, changes, rest = flatten(config), {}, iter(arguments)
    for argument in rest:
        flag, equals, text = argument.partition("=")
        key = flag.removeprefix("--config.")
        if key == flag:
            raise UserError(f"unknown argument {argument!r}; see --help.")
        if key not in known:
            raise UserError(unknown_field(key, known))
        text = text if equals else next(rest, "")
        if isinstance(known[key], str):
            changes[key] = text
            continue
        try:
            changes[key] = ast.literal_eval(text.capitalize() if isinstance(known[key], bool) else text)
        except (ValueError, SyntaxError):
            changes[key] = text  # of another type: the error of `update`
    return update(config, changes)


def fingerprint(flat: dict[str, Any]) -> str:
    """A short name for a set of values, the same on every machine."""
    return hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()[:12]
