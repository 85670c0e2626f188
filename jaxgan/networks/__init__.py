"""Generators and discriminators: one file per family, G and D side by side, and one line here.

A family is a module with two Flax modules, `Generator` and `Discriminator` (or one of them). Their attributes with a
plain default are the family's fields of the configuration; `data` is a `DataSpec`. `check()` raises a UserError if
fields are incompatible with each other or with the data.

    Generator.__call__(z [n, d], y [n] or None, *, axis_name=None) -> x [n, *shape] float32
    Discriminator.__call__(x [n, *shape], y [n] or None, keys [n] or None, *, features=False, axis_name=None) -> DOutput

D's last layer has `data.outputs` outputs, of which `layers.d_output` makes the adversarial logit and, with an auxiliary
classifier (`data.num_aux_classes` > 0), the class logits. Families that ignore `data.outputs` have no classifier. With
`features`, the output of the last hidden layer [n, d] is returned too.

y: int32 classes, None if the run is unconditional. keys: PRNG keys of dropout, None for no dropout (evaluation).
Non-trainable state (batch statistics, spectral vectors) is in Flax collections other than `params`; a layer is in
training mode if its collection is mutable. axis_name: the mapped device axis that the minibatch is sharded over, for
layers that couple examples.
"""

from dataclasses import dataclass

from jaxgan.networks import dcgan, maxout_conv, mlp, patch, r3gan, resnet, sndcgan, toy, unet
from jaxgan.networks.layers import DataSpec

FAMILIES = {
    "mlp": mlp,
    "maxout_conv": maxout_conv,
    "dcgan": dcgan,
    "sndcgan": sndcgan,
    "resnet": resnet,
    "r3gan": r3gan,
    "unet": unet,
    "patch": patch,
    "toy": toy,
}

GENERATORS = {name: family.Generator for name, family in FAMILIES.items() if hasattr(family, "Generator")}
DISCRIMINATORS = {name: family.Discriminator for name, family in FAMILIES.items() if hasattr(family, "Discriminator")}


@dataclass(frozen=True)
class NoEncoder:
    """None: z is not inferred."""

    data: DataSpec | None = None


# An encoder is the network of a family's D with as many outputs as z has dimensions.
ENCODERS = {"none": NoEncoder, **DISCRIMINATORS}
