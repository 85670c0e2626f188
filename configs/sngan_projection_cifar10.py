"""A conditional SNGAN with a projection D (arXiv:1802.05637) on CIFAR-10: `sngan_cifar10.py` conditioned on the class.

    python -m jaxgan.main --config=configs/sngan_projection_cifar10.py

Expected: FID 10.84 (mimicry's cGAN-PD, protocol of `sngan_cifar10.py`). Measured: nothing yet; no accelerator was
available.
"""

from configs import sngan_cifar10
from jaxgan.config import update


def get_config():
    return update(sngan_cifar10.get_config(), {"conditional": "label"})
