"""A conditional GAN (arXiv:1411.1784) on MNIST: `dcgan_mnist.py`, with both players conditioned on the digit.

    python -m jaxgan.main --config=configs/cgan_mnist.py
    python -m jaxgan.main --mode=sample --workdir=runs/cgan_mnist --label=7

G receives the class together with z, D as ten additional channels.

Measured, seed 0, NVIDIA H200, 2026-11-26, 10,000 samples: the classifier of MNIST's labels assigns 97.2% to the right
class at 4,000 steps and 98.9% at 7,000, where FID on its features was 9.1 (training images 2.1), precision .838, recall
.816.
"""

from configs import dcgan_mnist
from jaxgan.config import update


def get_config():
    metrics = ("fid", "prdc", "label_accuracy")
    return update(dcgan_mnist.get_config(), {"conditional": "label", "evaluate.metrics": metrics})
