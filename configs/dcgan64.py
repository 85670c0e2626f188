"""DCGAN (arXiv:1511.06434) at 64x64, as in PyTorch's example, on a folder of your own images.

    python -m jaxgan.main --config=configs/dcgan64.py --config.data.name=folder:PATH

Images are cropped to a square and resized. G has 3.6 million parameters and D 2.8 million, so an accelerator is needed.

Expected: no published score. Measured: nothing at full length; no accelerator was available.
"""

from configs import dcgan_mnist
from jaxgan.config import update


def get_config():
    return update(
        dcgan_mnist.get_config(),
        {
            "data.name": "folder:images",
            "data.size": 64,
            "data.validation": 1_000,
            "generator.widths": (512, 256, 128, 64),
            "discriminator.widths": (64, 128, 256, 512),
            "discriminator.bias": False,
            "train.steps": 40_000,
        },
    )
