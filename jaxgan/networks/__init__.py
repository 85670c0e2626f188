"""Generators and discriminators: one file per family, G and D side by side, and one line here.

A family is a module with two Flax modules, `Generator` and `Discriminator` (or one of them). Their attributes with a
plain default are the family's fields of the configuration; `data` is what they have to know about the data. `check()`
refuses, with one sentence, fields that do not fit each other or the data.

    Generator.__call__(z [n, d], y [n] or None, *, axis_name=None) -> x [n, *shape] float32
    Discriminator.__call__(x [n, *shape], y [n] or None, keys [n] or None, *, axis_name=None) -> logits [n] float32

D that is asked for classes (`data.asked`, an auxiliary classifier) returns [n, `data.outputs`], its own logit first; a
family that leaves that out cannot be asked.

y: int32 classes, None where the run has none. keys: of dropout, None when there is none to be (evaluation). What a
forward pass updates (batch statistics, spectral vectors) is in Flax collections other than `params`; a layer may tell
training from evaluation by whether its collection is mutable. axis_name: of the devices that share the minibatch, for
layers that couple its examples.
"""

from jaxgan.networks import dcgan, maxout_conv, mlp, r3gan, resnet, sndcgan, toy

FAMILIES = {
    "mlp": mlp,
    "maxout_conv": maxout_conv,
    "dcgan": dcgan,
    "sndcgan": sndcgan,
    "resnet": resnet,
    "r3gan": r3gan,
    "toy": toy,
}

GENERATORS = {name: family.Generator for name, family in FAMILIES.items() if hasattr(family, "Generator")}
DISCRIMINATORS = {name: family.Discriminator for name, family in FAMILIES.items() if hasattr(family, "Discriminator")}
