"""A trained GAN to use from Python: `gan = jaxgan.load(workdir)`."""

from __future__ import annotations

import io
import math
import operator
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, distributed, ema
from jaxgan.config import validate
from jaxgan.config.fields import nearest
from jaxgan.config.files import override
from jaxgan.errors import UserError
from jaxgan.evaluate import SELECTION, evaluator, sampler
from jaxgan.files import write_atomically
from jaxgan.game.build import build, data_spec
from jaxgan.game.gan import Gan, split_d_output
from jaxgan.game.hparams import HParams, traced
from jaxgan.game.sampling import standing_statistics
from jaxgan.game.state import GanState, stream
from jaxgan.metrics.alarms import alarms, data_class_kl
from jaxgan.networks.layers import OUTPUTS
from jaxgan.numerics import pinned
from jaxgan.run import export, plots, report
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.scores import EVALUATION, protocol_of, save_scores
from jaxgan.run.workdir import DataFacts, check_data, facts_of, read_run

MAX_SAMPLES = 100_000  # that one `--mode=sample` draws, for the sake of memory
UNBOUNDED_SLACK = 50.0  # how far, in ranges of the data, images may be outside where G's own are not bounded
MAX_WIDTH_ERROR = 0.25  # of the weights of an average that is put together from others: 0 none, 1 another average


class Trained:
    """The players of a work directory.

    Attributes:
      config: the configuration that trained them.
      step: iterations of Algorithm 1 behind them.
      sha256: of the checkpoint, as a hexadecimal number.
      averages: names of the averages of theta_g, the first of which draws samples; () where there are none.
    """

    def __init__(
        self,
        *,
        config: ConfigDict,
        step: int,
        sha256: str,
        gan: Gan,
        state: GanState,
        hparams: HParams,
        facts: DataFacts,
    ) -> None:
        self.config, self.step, self.sha256 = config, step, sha256
        self.gan, self.state, self.hparams, self.facts = gan, state, hparams, facts
        self.averages = tuple(average.name for average in gan.averages.rules)
        self._draw = sampler(gan)
        self._statistics = jax.jit(lambda params, stats: standing_statistics(gan, hparams, params, stats))
        self._generate = jax.jit(lambda *args: gan.G(*args)[0])
        self._discriminate = jax.jit(lambda *args: split_d_output(gan.D(*args)[0]).logits)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.facts.shape))
        classes = f", {self.facts.classes} classes" if self.facts.classes else ""
        averages = f", averages {', '.join(self.averages)}" if self.averages else ""
        return (
            f"<GAN on {self.config.data.name} ({shape}{classes}): G {self.config.generator.name}, "
            f"D {self.config.discriminator.name}, {self.config.objective.loss}, step {self.step}{averages}>"
        )

    @pinned()
    def sample(self, n: int, seed: int = 0, y: Any = None, ema: bool | str = True) -> np.ndarray:
        """`n` samples of p_g: [n, *shape] float32 in the range of the data; the first ones of any larger n.

        Args:
          y: the class of each, [n] integers or names of classes, or one for all; None draws them, where the players
            were told any.
          ema: True for the first of `averages` (theta_g itself where there is none), False for theta_g itself, or
            the name of one.

        Raises:
          UserError: n < 1, a seed outside [0, 2**32), classes that are not there, or an unknown average.
        """
        key = _user_stream(n, seed)
        return self._draw(self.hparams, self.state, key, n, ema=self._place(ema), y=self._classes(y, n))

    @pinned()
    def noise(self, n: int, seed: int = 0) -> np.ndarray:
        """The z of `sample(n, seed)`: [n, d] float32."""
        key = _user_stream(n, seed)
        one = lambda i: self.gan.sample_z(self.hparams, jax.random.fold_in(jax.random.fold_in(key, i), 0))  # noqa: E731
        return np.asarray(jax.vmap(one)(jnp.arange(n, dtype=jnp.uint32)))

    @pinned()
    def generate(self, z: Any, y: Any = None, ema: bool | str = True) -> np.ndarray:
        """G(z): [n, *shape] float32 in the range of the data.

        Args:
          z: [n, d] numbers.
          y, ema: as of `sample`; a class for each z has to be given where the players were told any.

        Raises:
          UserError: another number of dimensions than the prior's, not finite, or what `sample` refuses.
        """
        z = _array(z, "z")
        if z.ndim != 2 or z.shape[1] != self.config.prior.size:
            raise UserError(f"G takes z of shape (n, {self.config.prior.size}), not {z.shape}; reshape it.")
        if self.gan.num_classes and y is None:
            raise UserError(f"this G was told {self.gan.num_classes} classes; give y, the class of each z.")
        params, stats = self.generator_variables(ema)
        return np.asarray(self._generate(params, stats, jnp.asarray(z, jnp.float32), self._classes(y, len(z))))

    @pinned()
    def export(self, path: str | Path, ema: bool | str = True) -> None:
        """Writes G with its parameters as a program that runs without this package: see `jaxgan.run.export`.

        Args:
          path: of the file: ONNX if it ends in .onnx, else StableHLO.
          ema: as of `sample`.

        Raises:
          UserError: an unknown average, ONNX without a converter that can do it, or the file cannot be written.
        """
        params, stats = self.generator_variables(ema)
        z_size, classes = self.config.prior.size, self.gan.num_classes
        write = export.write_onnx if Path(path).suffix == ".onnx" else export.write
        write(
            Path(path).expanduser(), lambda *args: self.gan.G(params, stats, *args)[0], z_size=z_size, classes=classes
        )

    @pinned()
    def discriminate(self, x: Any, y: Any = None) -> np.ndarray:
        """D(x), dropout off, [n] float32: a probability in [0, 1] where the loss makes it one, else the logit.

        A D that judges examples in packs (`discriminator.packing`) has one number per pack of examples in a row.

        Args:
          x: [n, *shape], images in uint8 (0 to 255) or floating-point numbers in the range of the data; points in any
            numbers.
          y: as of `generate`; a D with an auxiliary classifier is told none.

        Raises:
          UserError: examples of another shape, range or dtype, not finite, or what `sample` refuses.
        """
        x = self._examples(x)
        packing = self.config.discriminator.packing
        if len(x) % packing:
            raise UserError(f"this D judges {packing} examples together; give a multiple of {packing}, not {len(x)}.")
        if self.gan.num_classes and not self.gan.num_aux_classes and y is None:
            raise UserError(f"this D was told {self.gan.num_classes} classes; give y, the class of each example.")
        D = self.state.discriminator
        logits = self._discriminate(D.params, D.stats, x, self._classes(y, len(x)))
        return np.asarray(jax.nn.sigmoid(logits) if self.gan.objective.loss.probability else logits)

    def generator_variables(self, ema: bool | str = True) -> tuple[Any, Any]:
        """G's parameters and the statistics with which it samples, as nested dictionaries of arrays."""
        place = self._place(ema)
        params = self.state.averages[place] if place is not None else self.state.generator.params
        return params, self._statistics(params, self.state.generator.stats)

    def _examples(self, x: Any) -> jax.Array:
        """Examples as D sees them, float32 [n, *shape]: uint8 images decoded, other numbers as they are."""
        given = _array(x, "x")
        if given.shape[1:] != self.facts.shape:
            hint = "reshape them"  # which would scramble images whose channels come first
            if given.shape == self.facts.shape:
                hint = "give one example as x[None]"
            elif len(self.facts.shape) == 3 and given.shape[1:] == (self.facts.shape[2], *self.facts.shape[:2]):
                hint = "put channels last, x.transpose(0, 2, 3, 1)"
            raise UserError(f"D takes examples of shape {self.facts.shape}, not {given.shape[1:]}; {hint}.")
        if len(self.facts.shape) != 3:
            return jnp.asarray(given, jnp.float32)
        if given.dtype == np.uint8:
            return self.gan.decode(jnp.asarray(given))
        if given.dtype.kind in "biu":
            raise UserError(
                f"D takes images in uint8 (0 to 255) or in floating-point numbers, not in {given.dtype}; convert them, "
                f"with .astype(np.uint8) if they are from 0 to 255."
            )
        numbers = given.astype(np.float32)
        if self.facts.bounds:
            low, high = self.facts.bounds
            bounded = OUTPUTS[self.config.generator.get("output", "linear")] is not None
            slack = (1e-4 if bounded else UNBOUNDED_SLACK) * (high - low)
            if numbers.min() < low - slack or numbers.max() > high + slack:
                raise UserError(
                    f"D takes images in uint8 (0 to 255) or in numbers from {low:g} to {high:g}, the range of the "
                    f"data, not from {numbers.min():g} to {numbers.max():g}; scale them."
                )
        return jnp.asarray(numbers)

    def _place(self, ema: bool | str) -> int | None:
        if isinstance(ema, str):
            if ema not in self.averages:
                raise UserError(f"this run has no average {ema!r}; it has {', '.join(self.averages) or 'none'}.")
            return self.averages.index(ema)
        if not isinstance(ema, bool):
            raise UserError(f"ema is True, False or one of {', '.join(self.averages) or 'no averages'}, not {ema!r}.")
        return 0 if ema and self.averages else None

    def _classes(self, y: Any, n: int) -> jax.Array | None:
        if y is None:
            return None
        if not self.gan.num_classes:
            raise UserError("this GAN was trained without classes (conditional=none); leave y out.")
        y = np.asarray(y)
        if y.dtype.kind == "U" and y.size:
            y = np.vectorize(self._class_named, otypes=[np.int32])(y)
        if y.dtype.kind not in "iu" or y.shape not in ((), (n,)):
            raise UserError(f"y is one class or {n} of them, whole numbers, not {y.tolist()!r:.60}.")
        if y.size and not (y.min() >= 0 and y.max() < self.gan.num_classes):
            wrong = int(y.min()) if y.min() < 0 else int(y.max())
            raise UserError(f"there is no class {wrong}; classes go from 0 to {self.gan.num_classes - 1}.")
        return jnp.asarray(np.broadcast_to(y, (n,)), jnp.int32)

    def _class_named(self, name: str) -> int:
        names = self.facts.class_names
        if name in names:
            return names.index(name)
        known = f"the nearest of its {len(names)} is {nearest(name, names)!r}" if names else "its classes have no names"
        raise UserError(
            f"there is no class {str(name)!r}; {known}, and classes go from 0 to {self.gan.num_classes - 1}."
        )


def _user_stream(n: int, seed: int) -> jax.Array:
    try:
        n, seed = operator.index(n), operator.index(seed)
    except TypeError:
        raise UserError(f"samples take whole numbers n and seed, not n={n!r}, seed={seed!r}.") from None
    if n < 1 or not 0 <= seed < 2**32:
        raise UserError(f"samples take n of 1 or more and a seed from 0 to 2**32 - 1, not n={n}, seed={seed}.")
    return stream(seed, "user")


def _array(values: Any, name: str) -> np.ndarray:
    """Real numbers that are finite in float32, in the dtype that they come in."""
    try:
        found = np.asarray(values)
        with np.errstate(over="ignore"):
            finite = np.isfinite(found.astype(np.float32, casting="same_kind"))
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} must be an array of numbers ({error}).") from None
    if not found.size:
        raise UserError(f"{name} of shape {found.shape} holds no numbers; give at least one example.")
    if not finite.all():
        raise UserError(f"{np.sum(~finite)} of the {finite.size} numbers of {name} are not finite in float32.")
    return found


@pinned()
def load(workdir: str | Path, step: int | str | None = None, width: float | None = None) -> Trained:
    """The GAN trained in `workdir`: its newest intact checkpoint, or that of `step`.

    Args:
      step: None for the newest; a number; or "best", for the one with the best score (`evaluate.best`) of those kept.
      width: the first average, which draws samples, becomes the power-function EMA of this relative width, put together
        from those in all checkpoints up to that one (`jaxgan.ema`); two of them at 16 steps reach .02 to .25.

    Raises:
      UserError: no work directory, no checkpoint of this step, or none that is intact or scored; averages that do not
        reach the width.
    """
    if not (step is None or step == "best" or (isinstance(step, int | np.integer) and not isinstance(step, bool))):
        raise UserError(f'step is None, a whole number or "best", not {step!r}.')
    distributed.check_devices()
    workdir = Path(workdir).expanduser()
    config, facts = read_run(workdir)
    gan = build(config, facts.spec, facts.examples, label_classes=facts.label_classes, stack=facts.stack)
    hparams = traced(config)
    with Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep, best_key=SELECTION) as checkpoints:
        like = jax.eval_shape(gan.init, hparams)
        found, sha256 = checkpoints.restore(like, step=step), checkpoints.sha256
        if found is None:
            raise UserError(f"{workdir} holds no checkpoint yet; train it first.")
        state = found[1]
        if width is not None:
            gan, state = _with_width(gan, state, _states(checkpoints, like, found[0]), step=found[0], width=width)
    return Trained(
        config=config,
        step=found[0],
        sha256=sha256,
        gan=gan,
        state=jax.device_put(state),
        hparams=hparams,
        facts=facts,
    )


def _states(checkpoints: Checkpoints, like: GanState, last: int) -> Iterator[tuple[int, GanState]]:
    """The steps and states of all checkpoints up to `last` that another process, which trains, does not delete."""
    for n in checkpoints.steps():
        if n <= last:
            try:
                restored = checkpoints.restore(like, step=n)
            except UserError:
                if n in checkpoints.steps():
                    raise
                continue
            yield n, restored[1]


def _with_width(
    gan: Gan, state: GanState, states: Iterable[tuple[int, GanState]], *, step: int, width: float
) -> tuple[Gan, GanState]:
    """The players whose first average is the power-function EMA of a relative width at `step`.

    Args:
      states: the steps and the states of checkpoints.
    """
    wanted = ema.Snapshot(ema.gamma_of(width), step)
    places = [i for i, average in enumerate(gan.averages.rules) if average.kind == "gamma"]
    if not places:
        raise UserError("a width is put together from power-function averages; train with generator.ema.gamma=(...).")
    found = [(ema.Snapshot(gan.averages.rules[i].number, n), old.averages[i]) for n, old in states for i in places]
    weights, error = ema.combination([snapshot for snapshot, _ in found], wanted)
    if error > MAX_WIDTH_ERROR:
        raise UserError(
            f"the averages of {len(found) // len(places)} checkpoints cannot make one of width {width:g}: its weights "
            f"would be off by {error:.0%}; keep more (checkpoint.keep), or two averages of each (generator.ema.gamma)."
        )
    average = ema.Average(f"width={width:g}", "gamma", wanted.gamma)
    params = ema.reconstruct((params for _, params in found), weights)
    averages = gan.averages._replace(rules=(average, *gan.averages.rules))
    return gan._replace(averages=averages), state._replace(averages=(params, *state.averages))


def step_named(text: str | None) -> int | str | None:
    """What --step=N|best asks `load` for.

    Raises:
      UserError: neither a number nor "best".
    """
    if text is None or text == "best":
        return text
    if not (text.isascii() and text.isdecimal()):
        raise UserError(f"--step={text} is neither the step of a checkpoint nor best; take one of these.")
    return int(text)


@pinned()
def evaluate(workdir: Path, arguments: list[str], step: int | str | None = None) -> int:
    """`--mode=evaluate`: measures a checkpoint, prints it, and writes evaluation.json and, where the run is finished
    and has one, report.html. Those of a later step stay, and what cannot be written is a warning.

    Args:
      step: as of `load`.
      arguments: --config.KEY=VALUE of `data` and `evaluate`: where the data are now, and what is measured.

    Raises:
      UserError: other data than the run was trained on, or what cannot be measured.
    """
    gan = load(workdir, step)
    config = override(gan.config, arguments)
    validate(config)
    for field in ("low", "gcn", "pad", "size"):
        if config.data[field] != gan.config.data[field]:
            raise UserError(
                f"{workdir} was trained with data.{field}={gan.config.data[field]:g}; leave out data.{field}."
            )
    dataset = data.as_recorded(data.load(config.data), gan.facts.sha256)
    now = facts_of(config, dataset, data_spec(config, dataset))["data"]
    check_data(workdir, gan.facts, DataFacts(**now))
    print(f"step {gan.step} of {workdir}, {config.data.name}")
    why: dict[str, str] = {}
    started = time.perf_counter()
    numbers = evaluator(config, gan.gan, dataset)(gan.hparams, gan.state, why=why)
    for name, number in numbers.items():
        if name != SELECTION:
            print(f"{name:28s} {number:.4f}")
    for name, reason in why.items():
        print(f"{name} could not be computed: {reason}")
    data_kl = data_class_kl(dataset, config.evaluate.samples)
    for sentence in alarms({name: x for name, x in numbers.items() if math.isfinite(x)}, data_kl=data_kl):
        print(sentence)
    print(f"evaluated in {time.perf_counter() - started:.1f} s")
    try:
        saved = save_scores(workdir, gan.step, numbers, protocol_of(config, gan.gan, dataset))
    except UserError as error:
        print(f"warning: the scores are not saved: {error}", file=sys.stderr)
        return 0
    if not saved:
        print(f"{workdir / EVALUATION} has the scores of a later step and stays as it is")
    elif (workdir / report.REPORT).exists():
        players = {"gan": gan.gan, "hparams": gan.hparams, "state": gan.state, "dataset": dataset}
        samples = plots.fixed_samples(gan._draw, config=gan.config, **players)
        if not report.write(workdir, samples=samples, **players):
            print(f"{workdir / report.REPORT} stays as it is")
    return 0


def draw(workdir: Path, n: int, seed: int, label: str | None, step: int | str | None = None) -> int:
    """`--mode=sample`: `n` samples of a checkpoint as a picture and as a NumPy file, with their classes.

    Args:
      label: the number or the name of a class; None for a class for each row of the picture, where there are classes.
      step: as of `load`.
    """
    if n > MAX_SAMPLES:
        raise UserError(
            f"--samples={n} is more than one call draws; ask for at most {MAX_SAMPLES}, with another --seed each."
        )
    gan = load(workdir, step)
    if label is not None and not gan.gan.num_classes:
        raise UserError(f"--label={label}: this GAN was trained without classes (conditional=none); leave it out.")
    classes = gan.gan.num_classes if label is None else 0
    y: Any = plots.row_classes(n, classes) if classes and n > 0 else None
    if label is not None:
        y = int(label) if re.fullmatch(r"-?[0-9]+", label) else gan._class_named(label)
    samples = gan.sample(n, seed, y=y)
    name = f"step_{gan.step}_seed_{seed}_n_{n}" + ("" if label is None else f"_label_{y}")
    path = workdir / "samples" / f"{name}.png"
    plots.save_samples(path, gan.config, samples, classes)
    packed = io.BytesIO()
    told = {} if y is None else {"y": np.broadcast_to(np.int32(y), (n,))}
    np.savez_compressed(packed, samples=samples, **told)
    write_atomically(path.with_suffix(".npz"), packed.getvalue())
    named = f" of class {y} ({gan.facts.class_names[y]})" if label is not None and gan.facts.class_names else ""
    print(f"{n} samples{named} of step {gan.step}: {path} and {path.with_suffix('.npz').name}")
    return 0
