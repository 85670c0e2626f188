"""R3GAN's game scaled down to Stacked MNIST: 1000 modes, three random digits as the channels of an image.

    python -m jaxgan.main --config=configs/r3gan_stacked_mnist.py

Images padded to 32x32, four stages of 96 channels with one block each, 16 channels per group; R1 and R2 of 1, b2 of .9.
The paper's own networks are larger (768 channels, 7 hours on 8 GPUs).

Expected: 1000 modes, KL .029 for the paper's size (its table 3). Measured: nothing yet.
"""

from configs import r3gan_cifar10
from jaxgan.config import update


def get_config():
    stages = {"widths": (96,) * 4, "blocks": (1,) * 4, "groups": (12,) * 4}
    networks = {f"{player}.{k}": v for player in ("generator", "discriminator") for k, v in stages.items()}
    schedule = {f"optimizer.{player}.schedule.steps": 8_000.0 for player in ("generator", "discriminator")}
    schedule |= {f"optimizer.{player}.b2_schedule.name": "constant" for player in ("generator", "discriminator")}
    return update(
        r3gan_cifar10.get_config(),
        networks
        | schedule
        | {
            "data.name": "stacked:tfds:mnist",
            "data.validation": 10_000,
            "data.pad": 2,
            "conditional": "none",
            "generator.ema.half_life": (100_000.0,),
            "generator.ema.ramp": 0.25,
            "generator.ema.rise": 0.0,
            "objective.penalties.r1": 1.0,
            "objective.penalties.r2": 1.0,
            "objective.penalty_schedule.name": "constant",
            "augment.name": "none",
            "train.batch_size": 256,
            "train.steps": 8_000,
            "sample.every": 1_000,
            "evaluate.every": 2_000,
            "evaluate.metrics": ("class_modes",),
            "checkpoint.every": 1_000,
        },
    )
