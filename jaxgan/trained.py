"""A trained GAN to use from Python: `gan = jaxgan.load(workdir)`."""

from __future__ import annotations

import io
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from jaxgan import data, parallel
from jaxgan.checkpoints import Checkpoints
from jaxgan.errors import UserError
from jaxgan.evaluate import evaluator, sampler, save_picture, save_scores
from jaxgan.gan import Gan, build
from jaxgan.hparams import HParams, traced
from jaxgan.scores import SCORE
from jaxgan.state import GanState
from jaxgan.workdir import opened, write_atomically

# Samples that one `--mode=sample` draws, for the sake of memory.
MOST = 100_000


class Trained:
    """The players of a work directory.

    Attributes:
      config: the configuration that trained them.
      step: iterations of Algorithm 1 behind them.
    """

    def __init__(
        self, config: ConfigDict, step: int, gan: Gan, state: GanState, hparams: HParams, shape: tuple[int, ...]
    ):
        self.config, self.step = config, step
        self.gan, self.state, self.hparams, self._shape = gan, state, hparams, shape
        self._draw = sampler(gan)
        self._discriminate = jax.jit(lambda theta_d, x: jax.nn.sigmoid(gan.D(theta_d, x)))
        self._generate = jax.jit(gan.G)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """`n` samples of p_g: [n, *shape] float32 in the range of the data; the first ones of any larger n.

        Raises:
          UserError: n < 1, or a seed outside [0, 2**32).
        """
        if n < 1 or not 0 <= seed < 2**32:
            raise UserError(f"samples take n of 1 or more and a seed from 0 to 2**32 - 1, not n={n}, seed={seed}.")
        return self._draw(self.hparams, self.state, jax.random.key(seed), n)

    def noise(self, n: int, seed: int = 0) -> np.ndarray:
        """The z of `sample(n, seed)`: [n, d] float32."""
        one = lambda i: self.gan.draw_z(self.hparams, jax.random.fold_in(jax.random.key(seed), i))  # noqa: E731
        return np.asarray(jax.vmap(one)(jnp.arange(n, dtype=jnp.uint32)))

    def generate(self, z: np.ndarray) -> np.ndarray:
        """G(z): [n, *shape] float32 in the range of the data.

        Args:
          z: [n, d] float32.

        Raises:
          UserError: another number of dimensions than the prior's.
        """
        if z.ndim != 2 or z.shape[1] != self.config.prior.size:
            raise UserError(f"G takes z of shape (n, {self.config.prior.size}), not {z.shape}; reshape it.")
        return np.asarray(self._generate(self.state.theta_g, jnp.asarray(z, jnp.float32)))

    def discriminate(self, x: np.ndarray) -> np.ndarray:
        """D(x) in (0, 1), dropout off: [n] float32.

        Args:
          x: [n, *shape], uint8 as stored or float32 in the range of the data.

        Raises:
          UserError: examples of another shape.
        """
        if x.shape[1:] != self._shape:
            raise UserError(f"D takes examples of shape {self._shape}, not {x.shape[1:]}; reshape them.")
        return np.asarray(self._discriminate(self.state.discriminator.params, self.gan.decode(jnp.asarray(x))))


def load(workdir: str | Path, step: int | None = None) -> Trained:
    """The GAN trained in `workdir`: its newest intact checkpoint, or that of `step`.

    Raises:
      UserError: no work directory, no checkpoint, or none that is intact.
    """
    parallel.check_devices()
    config, facts = opened(Path(workdir))
    shape = tuple(facts["shape"])
    gan = build(config, shape, facts["examples"])
    hparams = traced(config)
    with Checkpoints(Path(workdir) / "checkpoints", keep=config.checkpoint.keep, best_key=SCORE) as checkpoints:
        found = checkpoints.restore(jax.eval_shape(gan.init, hparams), step=step)
    if found is None:
        raise UserError(f"{workdir} holds no checkpoint yet; train it first.")
    return Trained(config, found[0], gan, jax.device_put(found[1]), hparams, shape)


def evaluate(workdir: Path) -> int:
    """`--mode=evaluate`: measures the newest checkpoint, prints it and writes evaluation.json."""
    gan = load(workdir)
    print(f"step {gan.step} of {workdir}, {gan.config.data.name}")
    scores = evaluator(gan.config, gan.gan, data.load(gan.config.data))(gan.hparams, gan.state)
    save_scores(workdir, gan.step, scores)
    for name, number in scores.items():
        print(f"{name:28s} {number:.4f}")
    return 0


def draw(workdir: Path, n: int, seed: int) -> int:
    """`--mode=sample`: `n` samples of the newest checkpoint as a picture and as a NumPy file."""
    if n > MOST:
        raise UserError(f"--samples={n} is more than one call draws; ask for at most {MOST}, with another --seed each.")
    gan = load(workdir)
    samples = gan.sample(n, seed)
    path = workdir / "samples" / f"step_{gan.step}_seed_{seed}_n_{n}.png"
    save_picture(path, gan.config, samples)
    packed = io.BytesIO()
    np.savez_compressed(packed, samples=samples)
    write_atomically(path.with_suffix(".npz"), packed.getvalue())
    print(f"{n} samples of step {gan.step}: {path} and {path.with_suffix('.npz').name}")
    return 0
