"""The paper's MNIST experiment (section 5, Table 1; numbers of goodfeli/adversarial, mnist.yaml).

    python -m jaxgan.main --config=configs/mnist.py

The released code's simultaneous updates on 50,000 training images; 500 steps are an epoch. Algorithm 1 as printed:
--config.train.update=alternating.
"""

from jaxgan.config import default


def get_config():
    config = default()
    with config.unlocked():
        config.data.name = "tfds:mnist"
        config.data.validation = 10_000
        config.train.update = "simultaneous"  # as the released code does; Algorithm 1 alternates
        config.train.steps = 75_000  # 150 epochs
        config.sample.every = 2_500
        config.evaluate.every = 7_500
        config.checkpoint.every = 2_500
    return config
