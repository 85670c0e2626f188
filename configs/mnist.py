"""The paper's MNIST experiment (section 5, Table 1; numbers of goodfeli/adversarial, mnist.yaml).

    python -m jaxgan.main --config=configs/mnist.py

The released code's simultaneous updates on 50,000 training images; 500 steps are an epoch. Algorithm 1 as printed:
--config.train.update=alternating.
"""

from jaxgan.config import default, update


def get_config():
    return update(
        default(),
        {
            "data.name": "tfds:mnist",
            "data.validation": 10_000,
            "train.update": "simultaneous",  # as the released code does; Algorithm 1 alternates
            "train.steps": 75_000,  # 150 epochs
            "sample.every": 2_500,
            "evaluate.every": 7_500,
            "checkpoint.every": 2_500,
        },
    )
