"""LSGAN (arXiv:1611.04076) on MNIST: `dcgan_mnist.py` with the least-squares loss and targets 0, 1, 1.

python -m jaxgan.main --config=configs/lsgan_mnist.py
"""

from configs import dcgan_mnist
from jaxgan.config import update


def get_config():
    return update(dcgan_mnist.get_config(), {"objective.loss": "least_squares"})
