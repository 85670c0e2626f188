"""The paper's convolutional networks for CIFAR-10 (section 5, Figure 2d).

Hyperparameters of goodfeli/adversarial, cifar10_convolutional.yaml.

    python -m jaxgan.main --config=configs/cifar10_convolutional.py

40,000 training images of 32x32 pixels in colour, each centred and scaled to norm 55; G has 65 million parameters, most
of them between its two hidden layers, D 12.5 million. The 2014 code does not state the length of training; it is set to
250 epochs, where the momentum schedule ends.

Expected: no published score; samples as in Figure 2d.
Measured: 2 steps on 128 random images on one core of a busy machine, 2026-11-25: 2.7 s of CPU time each and 1.0 GB in
addition to the state; with XLA's own convolutions, 20 steps took 26 minutes. V starts at -1.386, because D is almost
constant at first. A full run needs an accelerator nevertheless.
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
            "generator.name": "maxout_conv",  # the defaults of both families are the paper's
            "generator.hidden": (8000, 8000),
            "generator.activations": ("relu", "sigmoid"),
            "generator.output": "linear",
            "generator.output_bias": False,
            "discriminator.name": "maxout_conv",
            "discriminator.hidden": (500,),
            "train.steps": 78_125,
            "train.update": "simultaneous",  # as the released code does; Algorithm 1 alternates
            "train.batch_size": 128,
            "evaluate.every": 7_500,
            "checkpoint.every": 2_500,
            "sample.every": 2_500,
        },
    )
    return update(config, {f"optimizer.{player}.learning_rate": 0.004 for player in ("generator", "discriminator")})
