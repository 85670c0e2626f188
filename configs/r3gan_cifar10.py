"""R3GAN (arXiv:2501.05441) on CIFAR-10: the relativistic pairing loss with R1 and R2, and networks without norms.

    python -m jaxgan.main --config=configs/r3gan_cifar10.py

The released hyperparameters for CIFAR-10: conditional, minibatches of 512, Adam with b1 0, and cosine schedules over 20
million images (39,062 steps) of the learning rate 2e-4 -> 5e-5, b2 .9 -> .99, R1 and R2 .05 -> .005, the EMA's
half-life 0 -> 5 million images and the augmentation's p 0 -> .55: all of ADA except filters and noise, with p / 2 for
each color transform.

Differences: the released run also trains on the mirror image of every example, on all 50,000 images (here the last
5,000 are for validation), for 250 million images (here 200), and in bfloat16 at the three highest resolutions; its
augmentation pads images by reflection as far as the minibatch requires, this one always by a whole image, which gives
the same pixels.

Expected: FID 1.96 with all of these. Measured: nothing yet; no accelerator was available.
"""

from jaxgan.config import default, update


def get_config():
    settings = {
        "data.name": "tfds:cifar10",
        "data.validation": 5_000,
        "data.low": -1.0,
        "conditional": "label",
        "prior.name": "normal",
        "prior.size": 64,
        "generator.name": "r3gan",
        "generator.ema.half_life": (5_000_000.0,),
        "generator.ema.rise": 20e6,
        "discriminator.name": "r3gan",
        "objective.loss": "relativistic",
        "objective.penalties.r1": 0.05,
        "objective.penalties.r2": 0.05,
        "objective.penalty_schedule.name": "cosine",
        "objective.penalty_schedule.steps": 39_062.0,
        "objective.penalty_schedule.final": 0.1,
        "augment.name": "ada_schedule",
        "augment.sets": ("blit", "geometry", "color", "cutout"),
        "augment.color": 0.5,
        "augment.final": 0.55,
        "augment.steps": 39_062.0,
        "train.batch_size": 512,
        "train.steps": 390_000,
        "sample.every": 5_000,
        "evaluate.every": 20_000,
        "checkpoint.every": 5_000,
    }
    for player in ("generator", "discriminator"):
        settings |= {
            f"optimizer.{player}.learning_rate": 2e-4,
            f"optimizer.{player}.b1": 0.0,
            f"optimizer.{player}.b2": 0.9,
            f"optimizer.{player}.schedule.name": "cosine",
            f"optimizer.{player}.schedule.steps": 39_062.0,
            f"optimizer.{player}.schedule.final": 5e-5,
            f"optimizer.{player}.b2_schedule.name": "cosine",
            f"optimizer.{player}.b2_schedule.steps": 39_062.0,
            f"optimizer.{player}.b2_schedule.final": 0.99,
        }
    return update(default(), settings)
