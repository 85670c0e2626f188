"""The paper's fully connected networks for CIFAR-10 (section 5, Figure 2c).

Hyperparameters of goodfeli/adversarial, cifar10_fully_connected.yaml.

    python -m jaxgan.main --config=configs/cifar10_fully_connected.py

40,000 training images of 32x32 pixels in colour, each centred and scaled to norm 55; G has 89 million parameters, D 37
million. The 2014 code does not state the length of training; it is set to 250 epochs of 400 steps, where the momentum
schedule ends.

Expected: no published score; samples as in Figure 2c, colour and texture without objects.
Measured: 20 steps on JPEG copies of CIFAR-10, two busy CPU cores: 2.0 to 2.5 s per step, 4.9 GB. A full run needs an
accelerator.
"""

from configs import mnist
from jaxgan.config import default, update


def get_config():
    config = update(
        default(),
        mnist.PAPER
        | {
            "data.name": "tfds:cifar10",
            "data.validation": 10_000,
            "data.gcn": 55.0,
            "prior.name": "normal",
            "generator.hidden": (8000, 8000),
            "generator.activations": ("relu", "sigmoid"),
            "generator.output": "linear",
            "generator.output_irange": 0.5,
            "generator.output_bias": False,
            "discriminator.hidden": (1600, 1600),
            "discriminator.activation": "maxout",
            "train.steps": 100_000,
            "train.update": "simultaneous",  # as the released code does; Algorithm 1 alternates
            "train.batch_size": 100,
            "evaluate.every": 10_000,
            "checkpoint.every": 2_000,
            "sample.every": 2_000,
        },
    )
    return update(config, {f"optimizer.{player}.learning_rate": 0.025 for player in ("generator", "discriminator")})
