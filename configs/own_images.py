"""A start for images of your own: a folder of a few hundred to many thousand, of any size.

python -m jaxgan.main --config=configs/own_images.py --config.data.name=folder:PATH
"""

from jaxgan.config import default, update


def get_config():
    settings = {
        "data.name": "folder:images",
        "data.size": 32,
        "data.validation": 0,
        "generator.hidden": (512, 512),
        "generator.activations": ("leaky_relu", "leaky_relu"),
        "generator.ema.half_life": (2_000.0,),
        "generator.ema.ramp": 0.05,
        "discriminator.hidden": (512, 512),
        "discriminator.irange": 0.03,
        "objective.penalties.r1": 1.0,
        "augment.name": "flip",
        "train.steps": 20_000,
        "log.every": 50,
        "sample.every": 1_000,
        "evaluate.metrics": (),
        "checkpoint.every": 1_000,
    }
    for player in ("generator", "discriminator"):
        settings |= {
            f"optimizer.{player}.learning_rate": 1e-3,
            f"optimizer.{player}.b1": 0.0,
            f"optimizer.{player}.b2": 0.99,
        }
    return update(default(), settings)
