"""One question per file: `python -m jaxgan.sweep --sweep=experiments/ablations/NAME.py`."""

from configs import digits_2014
from jaxgan.config import update

SEEDS = range(5)


def small_digits():
    """The paper's recipe (maxout D, dropout, SGD) on scikit-learn's 8x8 digits, with smaller networks to match."""
    return update(
        digits_2014.get_config(),
        {
            "prior.size": 32,
            "generator.hidden": (128, 128),
            "discriminator.hidden": (64, 64),
            "discriminator.pieces": 2,
            "discriminator.irange": 0.05,
            "train.steps": 3000,
            "log.every": 20,
            "sample.every": 0,
            "evaluate.every": 500,
            "evaluate.samples": 2000,
            "checkpoint.every": 1000,
        },
    )
