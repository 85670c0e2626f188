"""The paper's game on scikit-learn's 1,797 digits of 8x8 pixels: no download, minutes on two CPU cores.

    python -m jaxgan.main --config=configs/digits.py

The MNIST recipe (section 5) with smaller players; 13.5 steps are an epoch.
"""

from jaxgan.config import default


def get_config():
    config = default()
    with config.unlocked():
        config.generator.hidden = (256, 256)
        config.discriminator.hidden = (128, 128)
        config.discriminator.pieces = 4
        config.train.steps = 15_000
        config.sample.every = 3_000
        config.evaluate.every = 3_000
        config.checkpoint.every = 3_000
    return config
