"""WGAN-GP (arXiv:1704.00028) on CIFAR-10: the authors' ResNets, without classes.

    python -m jaxgan.main --config=configs/wgan_gp_cifar10.py

Their code is conditional, with an auxiliary classifier: --config.conditional=label --config.objective.auxiliary.real=1
--config.objective.auxiliary.generator=.1.

Width 128 in both players, batch normalization in G only, mean instead of sum pooling at the end of D,
gradient penalty 10, five steps of D per step of G, minibatches of G twice as large as those of D, Adam 2e-4 (0, .9)
decaying linearly to 0.

Expected: FID 22.29 +- .06 (mimicry, whose G has width 256). Measured: nothing yet; no accelerator was available.
"""

from configs import sngan_cifar10
from jaxgan.config import update


def get_config():
    return update(
        sngan_cifar10.get_config(),
        {
            "generator.width": 128,
            "generator.upsample": "nearest",
            "discriminator.spectral": False,
            "discriminator.pool": "mean",
            "objective.loss": "wasserstein",
            "objective.penalties.gradient_penalty": 10.0,
            "train.g_batch_size": 128,
        },
    )
