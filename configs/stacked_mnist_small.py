"""Stacked MNIST with a tiny D (arXiv:1611.02163, appendix; PacGAN's table 3): three random digits, 1000 modes.

    python -m jaxgan.main --config=configs/stacked_mnist_small.py --config.discriminator.packing=2

The hyperparameters of PacGAN's unrolled_GAN_experiment with D a quarter the size of G, on networks of the `dcgan`
family: widths 2, 4 and 8 in D, 64, 32 and 16 in G (kernels of 4 here, 3 there), Adam .5, .99, D 2e-4 and G 1e-4,
minibatches of 128.

Expected (PacGAN's networks, 500,000 steps, 50 trials): 78.5 +- 17.6 modes, KL 5.21; packing 2: 484.5 +- 33, 2.61.
"""

from jaxgan.config import default, update


def get_config():
    settings = {
        "data.name": "stacked:tfds:mnist",
        "data.validation": 10_000,
        "data.low": -1.0,
        "prior.name": "normal",
        "prior.size": 256,
        "generator.name": "dcgan",
        "generator.widths": (64, 32, 16),
        "discriminator.name": "dcgan",
        "discriminator.widths": (2, 4, 8),
        "discriminator.slope": 0.3,
        "train.batch_size": 128,
        "train.steps": 50_000,
        "sample.every": 5_000,
        "evaluate.every": 10_000,
        "evaluate.metrics": ("class_modes",),
        "evaluate.samples": 25_600,
        "checkpoint.every": 5_000,
    }
    for player, rate in (("generator", 1e-4), ("discriminator", 2e-4)):
        settings |= {f"optimizer.{player}.learning_rate": rate, f"optimizer.{player}.b2": 0.99}
    return update(default(), settings)
