"""A trained GAN to use from Python: `gan = jaxgan.load(workdir)`."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan import distributed, ema
from jaxgan.arrays import AnyArray
from jaxgan.conditions import Condition
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.evaluation.samples import make_sampler
from jaxgan.fields import nearest
from jaxgan.game.build import build
from jaxgan.game.gan import Gan, split_d_output
from jaxgan.game.hparams import HParams
from jaxgan.game.sampling import sample_z, standing_statistics, theta_g_of
from jaxgan.game.state import GanState, stream
from jaxgan.networks.layers import OUTPUTS
from jaxgan.numerics import pinned
from jaxgan.run import export
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.workdir import DataInfo, read_run

UNBOUNDED_SLACK = 50.0  # how far images may leave the data range if G's output is unbounded, in units of the range
MAX_WIDTH_ERROR = 0.25  # relative error of the fitted weights of a post-hoc EMA: 0 exact, 1 unrelated


class TrainedGan:
    """A trained GAN, restored from a work directory.

    Attributes:
      config: its configuration.
      step: iterations of Algorithm 1.
      sha256: of the checkpoint, hexadecimal.
      data_info: shape, range and classes of the training data.
      averages: names of the averages of theta_g, the first of which is the default for sampling; () if none.
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
        data_info: DataInfo,
    ) -> None:
        self.config, self.step, self.sha256 = config, step, sha256
        self.gan, self.state, self.hparams, self.data_info = gan, state, hparams, data_info
        self.averages = tuple(average.name for average in gan.averages.rules)
        self._sample = make_sampler(gan)
        self._statistics = jax.jit(lambda params, stats: standing_statistics(gan, hparams, params, stats))
        self._generate = jax.jit(lambda *args: gan.G(*args)[0])
        self._discriminate = jax.jit(lambda *args: split_d_output(gan.D(*args)[0]).logits)

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.data_info.shape))
        classes = f", {self.data_info.classes} classes" if self.data_info.classes else ""
        averages = f", averages {', '.join(self.averages)}" if self.averages else ""
        return (
            f"<GAN on {self.config.data.name} ({shape}{classes}): G {self.config.generator.name}, "
            f"D {self.config.discriminator.name}, {self.config.objective.loss}, step {self.step}{averages}>"
        )

    @pinned()
    def sample(self, n: int, seed: int = 0, y: Any = None, ema: bool | str = True) -> np.ndarray:
        """`n` samples of p_g: [n, *shape] float32 in the range of the data. A larger n only appends samples.

        Args:
          y: the class of each, [n] integers or class names, or one for all; None samples random classes if the GAN is
            class-conditional.
          ema: True for the first of `averages` (theta_g itself if there is none), False for theta_g itself, or the
            name of an average.

        Raises:
          UserError: n < 1, a seed outside [0, 2**32), unknown classes or an unknown average.
        """
        key = _user_stream(n, seed)
        return self._sample(self.hparams, self.state, key, n, ema=self._ema_index(ema), condition=self._condition(y, n))

    @pinned()
    def noise(self, n: int, seed: int = 0) -> np.ndarray:
        """The z of `sample(n, seed)`: [n, d] float32."""
        key = _user_stream(n, seed)
        return np.asarray(sample_z(self.gan, self.hparams, key, jnp.arange(n, dtype=jnp.uint32)))

    @pinned()
    def generate(self, z: Any, y: Any = None, ema: bool | str = True) -> np.ndarray:
        """G(z): [n, *shape] float32 in the range of the data.

        Args:
          z: [n, d] numbers.
          y, ema: as in `sample`; y is required if G is class-conditional.

        Raises:
          UserError: wrong dimension, values that are not finite, or as in `sample`.
        """
        z = _array(z, "z")
        if z.ndim != 2 or z.shape[1] != self.config.prior.size:
            raise UserError(f"G takes z of shape (n, {self.config.prior.size}), not {z.shape}; reshape it.")
        if self.gan.num_classes and y is None:
            raise UserError(f"this G is conditional on {self.gan.num_classes} classes; pass y, the class of each z.")
        params, stats = self.generator_variables(ema)
        condition = self._condition(y, len(z)) or Condition()
        return np.asarray(self._generate(params, stats, jnp.asarray(z, jnp.float32), condition))

    @pinned()
    def export(self, path: str | Path, ema: bool | str = True) -> None:
        """Exports G with its parameters as a program that runs without this package: see `jaxgan.run.export`.

        Args:
          path: of the output file: ONNX if it ends in .onnx, otherwise StableHLO.
          ema: as in `sample`.

        Raises:
          UserError: an unknown average, a failed ONNX conversion, or the file cannot be written.
        """
        params, stats = self.generator_variables(ema)
        z_size, classes = self.config.prior.size, self.gan.num_classes
        write = export.write_onnx if Path(path).suffix == ".onnx" else export.write
        write(
            Path(path).expanduser(),
            lambda z, y=None: self.gan.G(params, stats, z, Condition(label=y))[0],
            z_size=z_size,
            classes=classes,
        )

    @pinned()
    def discriminate(self, x: Any, y: Any = None) -> np.ndarray:
        """D(x) without dropout, [n] float32: a probability in [0, 1] if the loss defines one, otherwise the logit.

        A D with packing (`discriminator.packing`) returns one value per pack of consecutive examples.

        Args:
          x: [n, *shape]; images as uint8 (0 to 255) or floating-point in the range of the data, points in any dtype.
          y: as in `generate`; a D with an auxiliary classifier takes none.

        Raises:
          UserError: wrong shape, range or dtype, values that are not finite, or as in `sample`.
        """
        x = self._examples(x)
        packing = self.config.discriminator.packing
        if len(x) % packing:
            raise UserError(f"this D takes packs of {packing} examples; pass a multiple of {packing}, not {len(x)}.")
        if self.gan.num_classes and not self.gan.num_aux_classes and y is None:
            raise UserError(f"this D is conditional on {self.gan.num_classes} classes; pass y, one class per example.")
        D = self.state.discriminator
        logits = self._discriminate(D.params, D.stats, x, self._condition(y, len(x)) or Condition())
        return np.asarray(jax.nn.sigmoid(logits) if self.gan.objective.loss.probability else logits)

    def generator_variables(self, ema: bool | str = True) -> tuple[Any, Any]:
        """G's parameters and the (standing) statistics used for sampling, as nested dictionaries of arrays."""
        params = theta_g_of(self.state, self._ema_index(ema))
        return params, self._statistics(params, self.state.generator.stats)

    def _examples(self, x: Any) -> AnyArray:
        """D's input [n, *shape] float32: uint8 images are decoded, other values unchanged."""
        array = _array(x, "x")
        if array.shape[1:] != self.data_info.shape:
            hint = "reshape them"  # which would scramble images whose channels come first
            if array.shape == self.data_info.shape:
                hint = "give one example as x[None]"
            elif len(self.data_info.shape) == 3 and array.shape[1:] == (
                self.data_info.shape[2],
                *self.data_info.shape[:2],
            ):
                hint = "put channels last, x.transpose(0, 2, 3, 1)"
            raise UserError(f"D takes examples of shape {self.data_info.shape}, not {array.shape[1:]}; {hint}.")
        if len(self.data_info.shape) != 3:
            return jnp.asarray(array, jnp.float32)
        if array.dtype == np.uint8:
            return self.gan.decode(jnp.asarray(array))
        if array.dtype.kind in "biu":
            raise UserError(
                f"D takes images as uint8 (0 to 255) or floating-point numbers, not {array.dtype}; convert them, "
                f"with .astype(np.uint8) if they are from 0 to 255."
            )
        images = array.astype(np.float32)
        if self.data_info.bounds:
            low, high = self.data_info.bounds
            bounded = OUTPUTS[self.config.generator.get("output", "linear")] is not None
            slack = (1e-4 if bounded else UNBOUNDED_SLACK) * (high - low)
            if images.min() < low - slack or images.max() > high + slack:
                raise UserError(
                    f"D takes images as uint8 (0 to 255) or as numbers from {low:g} to {high:g}, the range of the "
                    f"data, not from {images.min():g} to {images.max():g}; scale them."
                )
        return jnp.asarray(images)

    def _ema_index(self, ema: bool | str) -> int | None:
        if isinstance(ema, str):
            if ema not in self.averages:
                raise UserError(f"this run has no average {ema!r}; it has {', '.join(self.averages) or 'none'}.")
            return self.averages.index(ema)
        if not isinstance(ema, bool):
            raise UserError(f"ema is True, False or one of {', '.join(self.averages) or 'no averages'}, not {ema!r}.")
        return 0 if ema and self.averages else None

    def _condition(self, y: Any, n: int) -> Condition | None:
        if y is None:
            return None
        if not self.gan.num_classes:
            raise UserError("this GAN was trained without classes (conditional=none); leave y out.")
        y = np.asarray(y)
        if y.dtype.kind == "U" and y.size:
            y = np.vectorize(self.class_index, otypes=[np.int32])(y)
        if y.dtype.kind not in "iu" or y.shape not in ((), (n,)):
            raise UserError(f"y is one class or {n} of them, whole numbers, not {y.tolist()!r:.60}.")
        if y.size and not (y.min() >= 0 and y.max() < self.gan.num_classes):
            invalid = int(y.min()) if y.min() < 0 else int(y.max())
            raise UserError(f"there is no class {invalid}; classes go from 0 to {self.gan.num_classes - 1}.")
        return Condition(label=jnp.asarray(np.broadcast_to(y, (n,)), jnp.int32))

    def class_index(self, name: str) -> int:
        names = self.data_info.class_names
        if name in names:
            return names.index(name)
        hint = f"the closest of {len(names)} names is {nearest(name, names)!r}" if names else "classes have no names"
        raise UserError(
            f"there is no class {str(name)!r}; {hint}, and classes go from 0 to {self.gan.num_classes - 1}."
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
    """`values` as an array of their own dtype; raises UserError unless all are real and finite in float32."""
    try:
        array = np.asarray(values)
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32, casting="same_kind"))
    except (ValueError, TypeError) as error:
        raise UserError(f"{name} must be an array of numbers ({error}).") from None
    if not array.size:
        raise UserError(f"{name} of shape {array.shape} is empty; pass at least one example.")
    if not finite.all():
        raise UserError(f"{np.sum(~finite)} of the {finite.size} numbers of {name} are not finite in float32.")
    return array


@pinned()
def load(workdir: str | Path, step: int | str | None = None, width: float | None = None) -> TrainedGan:
    """Loads the GAN trained in `workdir`, from its newest intact checkpoint or that of `step`.

    Args:
      step: None for the newest; a number; or "best" for the kept checkpoint with the best score (`evaluate.best`).
      width: makes the first average, the default for sampling, the power-function EMA of this relative width,
        reconstructed from the averages in all checkpoints up to that one (post-hoc EMA, `jaxgan.ema`); two of them at
        16 steps cover widths from .02 to .25.

    Raises:
      UserError: no work directory, no checkpoint of this step, none that is intact or scored, or averages that cannot
        represent the width.
    """
    if not (step is None or step == "best" or (isinstance(step, int | np.integer) and not isinstance(step, bool))):
        raise UserError(f'step is None, a whole number or "best", not {step!r}.')
    distributed.check_devices()
    workdir = Path(workdir).expanduser()
    config, data_info = read_run(workdir)
    gan = build(
        config, data_info.spec, data_info.examples, label_classes=data_info.label_classes, stack=data_info.stack
    )
    hparams = traced(config)
    with Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep, best_key=SELECTION) as checkpoints:
        target = jax.eval_shape(gan.init, hparams)
        restored, sha256 = checkpoints.restore(target, step=step), checkpoints.sha256
        if restored is None:
            raise UserError(f"{workdir} holds no checkpoint yet; train it first.")
        step, state = restored
        if width is not None:
            gan, state = _with_width(gan, state, _states(checkpoints, target, step), step=step, width=width)
    return TrainedGan(
        config=config,
        step=step,
        sha256=sha256,
        gan=gan,
        state=jax.device_put(state),
        hparams=hparams,
        data_info=data_info,
    )


def _states(checkpoints: Checkpoints, target: GanState, last: int) -> Iterator[tuple[int, GanState]]:
    """Steps and states of all checkpoints up to `last`; skips those that a training process deletes meanwhile."""
    for n in checkpoints.steps():
        if n <= last:
            try:
                restored = checkpoints.restore(target, step=n)
            except UserError:
                if n in checkpoints.steps():
                    raise
                continue
            assert restored is not None
            yield n, restored[1]


def _with_width(
    gan: Gan, state: GanState, states: Iterable[tuple[int, GanState]], *, step: int, width: float
) -> tuple[Gan, GanState]:
    """Prepends the post-hoc EMA of a relative width at `step` to the averages.

    Args:
      states: the steps and states of checkpoints.
    """
    target = ema.Snapshot(ema.gamma_from_sigma_rel(width), step)
    indices = [i for i, average in enumerate(gan.averages.rules) if average.kind == "gamma"]
    if not indices:
        raise UserError("width needs a run with power-function averages; train with generator.ema.gamma=(...).")
    stored = [(ema.Snapshot(gan.averages.rules[i].number, n), old.averages[i]) for n, old in states for i in indices]
    weights, error = ema.posthoc_weights([snapshot for snapshot, _ in stored], target)
    if error > MAX_WIDTH_ERROR:
        raise UserError(
            f"the averages of {len(stored) // len(indices)} checkpoints cannot represent width {width:g}: the weights "
            f"would be off by {error:.0%}; raise checkpoint.keep, or keep two averages (generator.ema.gamma)."
        )
    average = ema.Average(f"width={width:g}", "gamma", target.gamma)
    params = ema.reconstruct((params for _, params in stored), weights)
    averages = gan.averages._replace(rules=(average, *gan.averages.rules))
    return gan._replace(averages=averages), state._replace(averages=(params, *state.averages))
