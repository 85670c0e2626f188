"""A conditional GAN (arXiv:1411.1784) on MNIST: `dcgan_mnist.py`, whose players are told the digit.

    python -m jaxgan.main --config=configs/cgan_mnist.py
    python -m jaxgan.main --mode=sample --workdir=runs/cgan_mnist --label=7

G gets the class beside z, D as ten further channels.
"""

from configs import dcgan_mnist
from jaxgan.config import update


def get_config():
    metrics = ("fid", "prdc", "label_accuracy")
    return update(dcgan_mnist.get_config(), {"conditional": "label", "evaluate.metrics": metrics})
