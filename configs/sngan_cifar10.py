"""SNGAN (arXiv:1802.05957) on CIFAR-10 with the settings of mimicry: ResNets, spectral norm in D, hinge loss.

    python -m jaxgan.main --config=configs/sngan_cifar10.py

Minibatches of 64, five steps of D per step of G, Adam 2e-4 (0, .9), learning rates decaying linearly to 0 over 100,000
steps.

Expected: FID 16.77 +- .04, 50,000 samples against the 50,000 training images (mimicry, three evaluation seeds).
Measured: 165 steps on an NVIDIA H200 (JPEG copies, float32, about 10 steps/s), nothing at full length.
"""

from jaxgan.config import default, update


def get_config():
    settings = {
        "data.name": "tfds:cifar10",
        "data.validation": 5_000,
        "data.low": -1.0,
        "prior.name": "normal",
        "prior.size": 128,
        "generator.name": "resnet",
        "generator.upsample": "bilinear",  # as in mimicry; the authors' code uses nearest
        "discriminator.name": "resnet",
        "objective.loss": "hinge",
        "train.batch_size": 64,
        "train.d_steps": 5,
        "train.steps": 100_000,
        "sample.every": 5_000,
        "evaluate.every": 10_000,
        "checkpoint.every": 5_000,
    }
    for player, updates in (("generator", 100_000.0), ("discriminator", 500_000.0)):
        settings |= {
            f"optimizer.{player}.learning_rate": 2e-4,
            f"optimizer.{player}.b1": 0.0,
            f"optimizer.{player}.b2": 0.9,
            f"optimizer.{player}.schedule.name": "linear",
            f"optimizer.{player}.schedule.steps": updates,  # of this player
        }
    return update(default(), settings)
