"""DRAGAN (arXiv:1705.07215) on MNIST: the non-saturating loss and a gradient penalty of 10 around the data.

    python -m jaxgan.main --config=configs/dragan_mnist.py

The networks of `dcgan_mnist.py` without batch normalization in D (since the penalty is per example); Adam 1e-4 (.5, .9)
and one step of D per step of G, as in the authors' notebook.
"""

from configs import dcgan_mnist
from jaxgan.config import update


def get_config():
    adam = {"learning_rate": 1e-4, "b1": 0.5, "b2": 0.9}
    optimizers = {f"optimizer.{player}.{k}": v for player in ("generator", "discriminator") for k, v in adam.items()}
    return update(
        dcgan_mnist.get_config(),
        optimizers | {"discriminator.norm": "none", "objective.penalties.dragan": 10.0},
    )
