"""A trained GAN to use from Python: `gan = jaxgan.load(workdir)`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import softmax
from ml_collections import ConfigDict

from jaxgan import distributed
from jaxgan.conditions import Condition
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.evaluation.rejection import make_rejection_sampler
from jaxgan.evaluation.samples import in_batches, make_sampler
from jaxgan.game.build import build, condition_shapes
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.inversion import invert
from jaxgan.game.sampling import sample_keys, sample_z, standing_statistics, theta_g_of
from jaxgan.game.state import GanState
from jaxgan.networks.layers import OUTPUTS, DOutput
from jaxgan.numerics import pinned
from jaxgan.run import export
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.posthoc import checkpoint_states, with_width
from jaxgan.run.sampling_options import check_rejection, truncate_z
from jaxgan.run.user_input import (
    class_index,
    finite_array,
    read_classes,
    read_condition,
    read_examples,
    standardized_condition,
    user_stream,
)
from jaxgan.run.workdir import DataInfo, read_run


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
        self._bounded = OUTPUTS[config.generator.get("output", "linear")] is not None
        self._condition_shapes = condition_shapes(config, data_info.spec)
        self._sample = make_sampler(gan)
        self._statistics = jax.jit(lambda params, stats: standing_statistics(gan, hparams, params, stats))
        self._generate = jax.jit(lambda *args: gan.G(*args)[0])
        self._invert = jax.jit(self._inverted)
        self._encode = jax.jit(gan.E)
        self._latents_of_d = jax.jit(lambda *args: gan.D(*args)[0].latents)
        self._discriminate = jax.jit(lambda *args: gan.D(*args, features=True)[0])

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.data_info.shape))
        classes = f", {self.data_info.classes} classes" if self.data_info.classes else ""
        averages = f", averages {', '.join(self.averages)}" if self.averages else ""
        return (
            f"<GAN on {self.config.data.name} ({shape}{classes}): G {self.config.generator.name}, "
            f"D {self.config.discriminator.name}, {self.config.objective.loss}, step {self.step}{averages}>"
        )

    @pinned()
    def sample(
        self,
        n: int,
        seed: int = 0,
        y: Any = None,
        ema: bool | str = True,
        condition: Any = None,
        truncation: float | None = None,
        rejection: float | None = None,
    ) -> np.ndarray:
        """`n` samples of p_g: [n, *shape] float32 in the range of the data. A larger n only appends samples.

        Args:
          y: the class of each, [n] integers or class names, or one for all; None samples random classes if the GAN is
            class-conditional.
          ema: True for the first of `averages` (theta_g itself if there is none), False for theta_g itself, or the
            name of an average.
          condition: of a G with another condition than a class: an array, or a dictionary of the arrays
            `vector`, `image` and `mask` that it takes, [n, ...] each or one for all; in the range of the data.
          truncation: the dimensions of a normal z are truncated at this many standard deviations (BigGAN); smaller
            values give more precise and less diverse samples.
          rejection: a quantile in (0, 1] of D's logits, above which rejection sampling by D (arXiv:1810.06758) accepts
            every candidate. At 1 the samples follow p_data if D is optimal for this G. A D trained with the raw weights
            is not optimal for an average: train it further with G fixed, or treat the result as a heuristic.

        Raises:
          UserError: n < 1, a seed outside [0, 2**32), unknown classes, an unknown average, a condition of another
            shape or none where G needs one, truncation of another prior, or rejection by a D without probabilities.
        """
        return self.accepted_samples(n, seed, y, ema, condition, truncation, rejection)[0]

    @pinned()
    def accepted_samples(
        self,
        n: int,
        seed: int = 0,
        y: Any = None,
        ema: bool | str = True,
        condition: Any = None,
        truncation: float | None = None,
        rejection: float | None = None,
    ) -> tuple[np.ndarray, float]:
        """`sample`, and the fraction of candidates that D accepted: 1 without rejection."""
        key = user_stream(n, seed)
        c = self._condition(y, condition, n)
        gan, hparams = self.gan, self.hparams
        if truncation is not None:
            gan, hparams = truncate_z(gan, hparams, self.config, truncation)
        index, share = self._ema_index(ema), 1.0
        if rejection is not None:
            check_rejection(gan, self.config, rejection)
            sampler = make_rejection_sampler(gan)
            x, share = sampler(hparams, self.state, key, n, rejection, ema=index, condition=c)
        else:
            sampler = self._sample if truncation is None else make_sampler(gan)
            x = sampler(hparams, self.state, key, n, ema=index, condition=c)
        return self._in_units(x), share

    @pinned()
    def complete(self, x: Any, mask: Any, draws: int = 1, seed: int = 0, ema: bool | str = True) -> np.ndarray:
        """Draws of the hidden entries of examples given the others: [n, draws, *shape] float32; the others unchanged.

        Args:
          x: [n, *shape], in the range of the data; what it holds at hidden entries, NaN included, is not used.
          mask: 1 or True where x is observed: [n, H, W, 1] of images, [n, d] of vectors, or one for all.

        Raises:
          UserError: a GAN trained without masks, or as in `sample`.
        """
        if self._condition_shapes.mask is None:
            raise UserError(
                f"complete takes a GAN that was trained with masks, and this one has condition.name="
                f"{self.config.condition.name}; train one with condition.name=subset_mask."
            )
        x = np.asarray(x)
        mask = np.broadcast_to(np.asarray(mask), (len(x), *self._condition_shapes.mask.shape[1:]))
        name = "vector" if self._condition_shapes.image is None else "image"
        c = self._condition(None, {name: x, "mask": mask}, len(x))
        n, key = len(x), user_stream(draws, seed)
        repeated = jax.tree.map(lambda leaf: np.repeat(leaf, draws, axis=0), c)
        drawn = self._sample(self.hparams, self.state, key, n * draws, ema=self._ema_index(ema), condition=repeated)
        drawn = self._in_units(drawn).reshape(n, draws, *drawn.shape[1:])
        if x.dtype == np.uint8:
            return drawn
        return np.where(mask[:, None] > 0, x[:, None].astype(np.float32), drawn)

    @pinned()
    def noise(self, n: int, seed: int = 0) -> np.ndarray:
        """The z of `sample(n, seed)`: [n, d] float32."""
        key = user_stream(n, seed)
        return np.asarray(sample_z(self.gan, self.hparams, key, jnp.arange(n, dtype=jnp.uint32)))

    @pinned()
    def generate(self, z: Any, y: Any = None, ema: bool | str = True, condition: Any = None) -> np.ndarray:
        """G(z): [n, *shape] float32 in the range of the data.

        Args:
          z: [n, d] numbers.
          y, ema, condition: as in `sample`; y is required if G is class-conditional.

        Raises:
          UserError: wrong dimension, values that are not finite, or as in `sample`.
        """
        z = self._latents(z)
        self._require_class(y)
        params, stats = self.generator_variables(ema)
        c = self._condition(y, condition, len(z)) or Condition()
        return self._in_units(np.asarray(self._generate(params, stats, jnp.asarray(z), c)))

    @pinned()
    def invert(
        self,
        x: Any,
        steps: int = 500,
        starts: Any = 8,
        seed: int = 0,
        y: Any = None,
        ema: bool | str = True,
        condition: Any = None,
    ) -> np.ndarray:
        """The z [n, d] float32 whose G(z) is found nearest to each example, in mean squared difference.

        Adam on z, of which the best start of each example is kept. It finds a local minimum, so an example with a large
        difference left is not proven to be one that G cannot generate.

        Args:
          x: [n, *shape], as in `discriminate`.
          steps: of Adam, 1 or more.
          starts: how many samples of p_z to start from; or the z [n, d] to start from, such as `gan.infer(x)`.
          seed: of these samples, those of `gan.noise(starts, seed)`.
          y, ema, condition: as in `generate`.

        Raises:
          UserError: steps or starts below 1, starts of another shape, or as in `generate`.
        """
        if self.config.objective.code.categories:
            raise UserError(
                "objective.code makes entries of z categories, to which there is no descent; use gan.infer."
            )
        x = read_examples(x, self.data_info, bounded=self._bounded, decode=self.gan.decode)
        if isinstance(starts, int | np.integer):
            z = np.repeat(self.noise(int(starts), seed)[:, None], len(x), axis=1)
        else:
            z = finite_array(starts, "starts")[None].astype(np.float32)
        if z.shape[1:] != (len(x), self.config.prior.size):
            raise UserError(f"starts is a number, or z of shape {(len(x), self.config.prior.size)}, not {z.shape[1:]}.")
        if steps < 1:
            raise UserError(f"steps must be 1 or more, not {steps}.")
        self._require_class(y)
        params, stats = self.generator_variables(ema)
        c = self._condition(y, condition, len(x)) or Condition()
        of_batch = lambda *batch: self._invert(params, stats, *batch, np.int32(steps))  # noqa: E731
        return in_batches(of_batch, x, c, starts=z)

    @pinned()
    def infer(self, x: Any, seed: int = 0, y: Any = None, ema: bool | str = True, condition: Any = None) -> np.ndarray:
        """The z [n, d] float32 that the encoder infers from examples; of InfoGAN, the code that D infers.

        A code is [n, K + k]: the probabilities of the K categories, then the k numbers.

        Args:
          x: [n, *shape], as in `discriminate`.
          seed: of the encoder's noise, if it has any.
          y, ema, condition: as in `generate`.

        Raises:
          UserError: a GAN without an encoder, or as in `generate`.
        """
        code = self.config.objective.code
        if self.config.encoder.name == "none" and not code.weight:
            raise UserError(
                "this GAN has no encoder; train one with encoder.name=mlp and objective.regression.weight=1, or use "
                "gan.invert."
            )
        x = read_examples(x, self.data_info, bounded=self._bounded, decode=self.gan.decode)
        self._require_class(y)
        c = self._condition(y, condition, len(x)) or Condition()
        if self.config.encoder.name == "none":
            D = self.state.discriminator
            latents = in_batches(lambda *batch: self._latents_of_d(D.params, D.stats, *batch), x, c)
            return np.concatenate(
                [softmax(latents[:, : code.categories], axis=1), latents[:, code.categories :]], axis=1
            )
        keys = sample_keys(user_stream(len(x), seed), jnp.arange(len(x), dtype=jnp.uint32))
        params = theta_g_of(self.state, self._ema_index(ema))
        return in_batches(lambda *batch: self._encode(self.hparams, params, *batch), x, c, keys)

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
        inputs: dict[str, Any] = {"z": ((self.config.prior.size,), jnp.float32)}
        inputs |= {name: (shape, jnp.float32) for name, shape in self.condition_shapes.items()}
        if self.gan.num_classes:
            inputs = {"z": inputs["z"], "y": ((), jnp.int32)}

        def G(z: jax.Array, *leaves: jax.Array) -> jax.Array:
            parts = dict(zip(inputs, (z, *leaves), strict=True))
            condition = self._standardized(
                {{"y": "label"}.get(name, name): parts[name] for name in inputs if name != "z"}
            )
            return self._in_units(self.gan.G(params, stats, z, condition)[0])

        write = export.write_onnx if Path(path).suffix == ".onnx" else export.write
        write(Path(path).expanduser(), G, inputs, self.gan.num_classes)

    @pinned()
    def discriminate(self, x: Any, y: Any = None, condition: Any = None, z: Any = None) -> np.ndarray:
        """D(x) without dropout, [n] float32: a probability in [0, 1] if the loss defines one, otherwise the logit.

        A D with packing (`discriminator.packing`) returns one value per pack of consecutive examples.

        Args:
          x: [n, *shape]; images as uint8 (0 to 255) or floating-point in the range of the data, points in any dtype.
          y, condition: as in `generate`; a D with an auxiliary classifier takes no y.
          z: [n, d], for a D on pairs (`encoder.joint`); None for `infer(x)`.

        Raises:
          UserError: wrong shape, range or dtype, values that are not finite, or as in `sample`.
        """
        logits = self._d_output(x, y, condition, z).logits
        return np.asarray(jax.nn.sigmoid(logits) if self.gan.objective.loss.probability else logits)

    @pinned()
    def features(self, x: Any, y: Any = None, condition: Any = None, z: Any = None) -> np.ndarray:
        """The output of D's last hidden layer, without dropout: [n, d] float32; arguments as in `discriminate`."""
        return np.asarray(self._d_output(x, y, condition, z).features)

    @pinned()
    def classify(self, x: Any) -> np.ndarray:
        """D's probability of each class, p(y | x): [n, K] float32 with rows that sum to 1.

        Args:
          x: as in `discriminate`.

        Raises:
          UserError: a D that does not predict classes, or as in `discriminate`.
        """
        if not self.gan.num_aux_classes:
            raise UserError(
                "this D does not predict classes; train one with objective.labelled.weight=1, or with "
                "objective.auxiliary."
            )
        return np.asarray(jax.nn.softmax(self._d_output(x).classes, axis=1))

    def _d_output(self, x: Any, y: Any = None, condition: Any = None, z: Any = None) -> DOutput:
        """The output of D on a user's examples."""
        given, x = x, read_examples(x, self.data_info, bounded=self._bounded, decode=self.gan.decode)
        packing = self.config.discriminator.packing
        if len(x) % packing:
            raise UserError(f"this D takes packs of {packing} examples; pass a multiple of {packing}, not {len(x)}.")
        if self.gan.num_classes and not self.gan.num_aux_classes and y is None:
            raise UserError(f"this D is conditional on {self.gan.num_classes} classes; pass y, one class per example.")
        D = self.state.discriminator
        c = self._condition(y, condition, len(x)) or Condition()
        if self.config.encoder.joint:
            c = c._replace(
                z=jnp.asarray(self.infer(given, y=y, condition=condition) if z is None else self._latents(z))
            )
        return self._discriminate(D.params, D.stats, x, c)

    @property
    def condition_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each part of one example's condition, by name; {} if the GAN is unconditional."""
        return {part: leaf.shape[1:] for part, leaf in self._condition_shapes._asdict().items() if leaf is not None}

    def read_condition(self, condition: Any) -> Condition:
        """A user's condition as the players take it, [n, ...]; the argument `condition` of `sample`."""
        n = max(len(np.atleast_1d(part)) for part in condition.values())
        c = self._condition(None, condition, n)
        return c or Condition()

    def generator_variables(self, ema: bool | str = True) -> tuple[Any, Any]:
        """G's parameters and the (standing) statistics used for sampling, as nested dictionaries of arrays."""
        params = theta_g_of(self.state, self._ema_index(ema))
        return params, self._statistics(params, self.state.generator.stats)

    def _latents(self, z: Any) -> np.ndarray:
        z = finite_array(z, "z")
        if z.ndim != 2 or z.shape[1] != self.config.prior.size:
            raise UserError(f"G takes z of shape (n, {self.config.prior.size}), not {z.shape}; reshape it.")
        return z.astype(np.float32)

    def _inverted(
        self, params: Any, stats: Any, x: jax.Array, c: Condition, starts: jax.Array, steps: jax.Array
    ) -> jax.Array:
        """The best z [n, d] of `invert`, from starts [k, n, d]."""
        G = lambda z: self.gan.G(params, stats, z, c)[0]  # noqa: E731
        project = lambda z: self.gan.project_z(self.hparams, z)  # noqa: E731
        return invert(G, x, starts, steps=steps, scale=self.hparams["prior.scale"], project=project).z

    def _require_class(self, y: Any) -> None:
        if self.gan.num_classes and y is None:
            raise UserError(f"this G is conditional on {self.gan.num_classes} classes; pass y, the class of each z.")

    def _ema_index(self, ema: bool | str) -> int | None:
        if isinstance(ema, str):
            if ema not in self.averages:
                raise UserError(f"this run has no average {ema!r}; it has {', '.join(self.averages) or 'none'}.")
            return self.averages.index(ema)
        if not isinstance(ema, bool):
            raise UserError(f"ema is True, False or one of {', '.join(self.averages) or 'no averages'}, not {ema!r}.")
        return 0 if ema and self.averages else None

    def _in_units(self, x: Any) -> Any:
        """Samples in the units of the data: the inverse of their standardization, if any."""
        if self.data_info.scaling is None:
            return x
        mean, deviation = np.asarray(self.data_info.scaling, np.float32)
        return x * deviation[None] + mean[None]

    def _standardized(self, leaves: dict[str, Any]) -> Condition:
        pairs = self.config.condition.name == "pairs"
        return standardized_condition(leaves, self.data_info.condition_scaling if pairs else self.data_info.scaling)

    def _condition(self, y: Any, condition: Any, n: int) -> Condition | None:
        """The condition of n examples, from a user's arguments; None if a class-conditional G is to choose classes.

        Raises:
          UserError: as in `sample`.
        """
        if self.gan.conditional and not self.gan.num_classes and y is None:
            name = self.config.condition.name
            return self._standardized(read_condition(condition, self.condition_shapes, name, n, self.gan.decode))
        if condition is not None:
            raise UserError(
                f"this GAN was trained with condition.name={self.config.condition.name}; leave condition out"
                f"{' and pass y, the class of each' if self.gan.num_classes else ''}."
            )
        if y is None:
            return None
        if not self.gan.num_classes:
            raise UserError(
                f"this GAN was trained without classes (conditional={self.config.conditional}); leave y out."
            )
        y = read_classes(y, n, self.gan.num_classes, self.data_info.class_names)
        return Condition(label=jnp.asarray(y))

    def class_index(self, name: str) -> int:
        """The number of a class, by its name; raises UserError if there is none of this name."""
        return class_index(name, self.gan.num_classes, self.data_info.class_names)


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
            gan, state = with_width(gan, state, checkpoint_states(checkpoints, target, step), step=step, width=width)
    return TrainedGan(
        config=config,
        step=step,
        sha256=sha256,
        gan=gan,
        state=jax.device_put(state),
        hparams=hparams,
        data_info=data_info,
    )
