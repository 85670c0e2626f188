"""The paper's Toronto Face Database experiment, second stage (section 5, Table 1, Figure 2b).

Hyperparameters of goodfeli/adversarial, tfd_pretrain/train.yaml.

    python -m jaxgan.main --config=configs/tfd_pretrain.py --config.data.name=tfd:PATH/TO/TFD_48x48.mat
    python -m jaxgan.main --config=configs/tfd.py --config.data.name=tfd:PATH/TO/TFD_48x48.mat

A new ReLU layer of 8000 units and a new sigmoid layer of 100 units replace the z of the pretrained generator. All
layers are trained; D is initialized anew. 21,500 steps are the 2014 code's 22 epochs.

Expected: 2057 +- 26 nats (Table 1; experiments/table1.py --tfd takes the mean over the five folds).
Measured: nothing on the faces themselves, which we do not have.
"""

from configs import tfd_pretrain
from jaxgan.config import update


def get_config():
    return update(
        tfd_pretrain.get_config(),
        {
            "generator.hidden": (8000, 100, 8000, 8000),
            "generator.activations": ("relu", "sigmoid", "relu", "sigmoid"),
            "generator.initialize_from": "runs/tfd_pretrain",
            "train.steps": 21_500,
            "evaluate.every": 2_150,
            "checkpoint.every": 2_150,
            "sample.every": 2_150,
        },
    )
