"""WGAN-GP (arXiv:1704.00028) on MNIST, with the networks of `dcgan_mnist.py` without batch normalization.

    python -m jaxgan.main --config=configs/wgan_gp_mnist.py

Wasserstein loss, gradient penalty with weight 10, five steps of D per step of G, Adam 1e-4 (.5, .9), as in the authors'
gan_mnist.py, whose networks have 64 to 256 channels and 5x5 kernels; minibatches of 50 there, 64 here.
"""

from configs import dcgan_mnist
from jaxgan.config import update


def get_config():
    adam = {"learning_rate": 1e-4, "b1": 0.5, "b2": 0.9}
    optimizers = {f"optimizer.{player}.{k}": v for player in ("generator", "discriminator") for k, v in adam.items()}
    return update(
        dcgan_mnist.get_config(),
        optimizers
        | {
            "generator.norm": "none",
            "generator.bias": True,
            "discriminator.norm": "none",
            "objective.loss": "wasserstein",
            "objective.penalties.gradient_penalty": 10.0,
            "train.d_steps": 5,
            "train.steps": 4_000,
            "sample.every": 500,
            "checkpoint.every": 500,
        },
    )
