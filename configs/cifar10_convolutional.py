"""The paper's convolutional networks for CIFAR-10 (section 5, Figure 2d).

Numbers of goodfeli/adversarial, cifar10_convolutional.yaml.

    python -m jaxgan.main --config=configs/cifar10_convolutional.py

40,000 training images of 32x32 in colour, each of norm 55 after its mean is taken out; G has 65 million
parameters, most of them between its two hidden layers, D 12.5 million. The 2014 code states no length: 250
epochs end where its momentum does.

Expected: no published score; samples as in Figure 2d.
Measured: 2 steps of 128 random images on one core of a busy machine, 2026-11-25: 2.7 s of CPU time each and 1.0 GB
besides the state, where XLA's own convolutions took 26 minutes for 20 steps. V starts at -1.386, as D starts almost
flat. A full run wants an accelerator all the same.
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
            "generator.name": "maxout_conv",  # both families start with the paper's numbers
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
