"""WGAN-GP (arXiv:1704.00028) on CIFAR-10: the authors' ResNets, without classes.

    python -m jaxgan.main --config=configs/wgan_gp_cifar10.py

Their code is conditional, with an auxiliary classifier: --config.conditional=label --config.objective.auxiliary.real=1
--config.objective.auxiliary.generator=.1.

Width 128 in both players, batch normalization in G only, means in place of sums at the end of D, gradient penalty 10,
five steps of D, G's batch twice D's, Adam 2e-4 (0, .9) linear to 0.

Expected: FID 22.29 +- .06 (mimicry, whose G is 256 wide). Measured: nothing yet; no accelerator was at hand.
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
