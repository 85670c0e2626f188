"""Augmentations of D's input, with the same distribution for real and fake: in D's step, G's step and the penalties.

Penalties differentiate through the augmentation, with respect to the original example (as in R3GAN). The Python API and
the metrics evaluate D without it. An augmentation is a function of examples, a key per example, and a state: arrays
updated once per update of D (`update`), or `()`. Magnitudes are for values in [-1, 1]; data in another range are mapped
there and back. A file per technique, a line per technique in `AUGMENTS`.
"""

from jaxgan.augment.ada import Ada, AdaSchedule
from jaxgan.augment.diffaugment import DiffAugment
from jaxgan.augment.flip import Flip
from jaxgan.augment.instance_noise import InstanceNoise
from jaxgan.augment.protocol import NoAugment

__all__ = ["AUGMENTS", "NoAugment"]

AUGMENTS = {
    "none": NoAugment,
    "flip": Flip,
    "instance_noise": InstanceNoise,
    "diffaugment": DiffAugment,
    "ada": Ada,
    "ada_schedule": AdaSchedule,
}
