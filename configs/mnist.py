"""The paper's MNIST experiment (section 5, Table 1; hyperparameters of goodfeli/adversarial, mnist.yaml).

    python -m jaxgan.main --config=configs/mnist.py

The released code's simultaneous updates on 50,000 training images; 500 steps are one epoch. For Algorithm 1 as printed:
--config.train.update=alternating.
"""

from jaxgan.config import default, update

# The settings that the paper's recipes share (goodfeli/adversarial).
PAPER = {
    "prior.name": "uniform",
    "prior.size": 100,
    "generator.irange": 0.05,
    "generator.output_irange": 0.05,
    "discriminator.irange": 0.005,
    "discriminator.pieces": 5,
    "discriminator.input_keep": 0.8,
    "discriminator.hidden_keep": 0.5,
    "objective.loss": "non_saturating",
    "objective.d_scale": 0.5,  # the released code's cost is the mean over real and fake: -V/2
    "train.batch_size": 100,
}
for _player in ("generator", "discriminator"):
    PAPER |= {
        f"optimizer.{_player}.name": "paper_sgd",
        f"optimizer.{_player}.learning_rate": 0.1,
        f"optimizer.{_player}.momentum": 0.5,
        f"optimizer.{_player}.final_momentum": 0.7,
        f"optimizer.{_player}.momentum_epochs": 250.0,
        f"optimizer.{_player}.schedule.name": "exponential",
        f"optimizer.{_player}.schedule.decay": 1.000004,
        f"optimizer.{_player}.schedule.minimum": 1e-6,
    }


def get_config():
    return update(
        default(),
        PAPER
        | {
            "generator.hidden": (1200, 1200),
            "generator.activations": ("relu", "relu"),
            "generator.output": "sigmoid",
            "discriminator.hidden": (240, 240),
            "discriminator.activation": "maxout",
            "data.name": "tfds:mnist",
            "data.validation": 10_000,
            "train.update": "simultaneous",  # as the released code does; Algorithm 1 alternates
            "train.steps": 75_000,  # 150 epochs
            "sample.every": 2_500,
            "evaluate.every": 7_500,
            "checkpoint.every": 2_500,
        },
    )
