"""What --mode=config and --list print: every field and every member, with the words of the source."""

from __future__ import annotations

import pytest

from jaxgan.augment import AUGMENTS
from jaxgan.config import CHOICES, SECTIONS, catalog, default, flatten, update
from jaxgan.config.files import find, override, read
from jaxgan.errors import UserError
from jaxgan.fields import fields_of
from jaxgan.metrics import METRICS
from jaxgan.networks import FAMILIES
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.optimizers import OPTIMIZERS


def lines(config) -> dict[str, str]:
    """The line of each field."""
    printed = [line for line in catalog.describe(config).splitlines() if not line.startswith("#")]
    return {line.partition("=")[0]: line for line in printed}


def test_comments_next_to_a_line_and_above_it():
    source = "a = 1  # one\n# two\n# lines\nb = 2\nc = '#'\n# above\nd = 4  # beside\n"
    assert catalog.comments(source) == {1: "one", 4: "two lines", 7: "beside"}


@pytest.mark.parametrize("name", ["digits", "wgan_gp_mnist", "own_images", "sngan_projection_cifar10"])
def test_the_printed_configuration_gives_itself_back(name):
    config = read(name)
    printed = lines(config)
    assert printed.keys() == flatten(config).keys()
    arguments = [f"--config.{line.partition('  #')[0]}" for line in printed.values()]
    assert flatten(override(default(), arguments)) == flatten(config)


def test_every_field_that_belongs_to_no_choice_has_a_meaning():
    config = default()
    of_choices = {
        f"{path}.{name}" for path, s in SECTIONS.items() for choice in s.choices.values() for name in fields_of(choice)
    }
    assert not flatten(config).keys() - of_choices - catalog.meanings().keys()


def test_meanings_are_those_of_the_source():
    """Of a field, one in both players' sections, one with its comment above, a penalty and a section."""
    meaning = catalog.meanings()
    assert meaning["train.batch_size"] == "m, over all devices and hosts"
    assert meaning["optimizer.generator.clip"] == meaning["optimizer.discriminator.clip"]
    assert meaning["optimizer.generator.clip"].startswith("maximum absolute value of a weight")
    assert meaning["train.update"].startswith("alternating: Algorithm 1 | simultaneous: the 2014 code | extra")
    assert meaning["objective.penalties.r1"].startswith("s^2 / 2 at the data")
    assert meaning["objective.lecam"] == "D's logits stay near their moving averages (arXiv:2104.03310)"


def test_lines_name_choices_their_fields_and_defaults():
    changes = {"augment.name": "diffaugment", "objective.loss": "least_squares", "train.batch_size": 7}
    printed = lines(update(default(), changes))
    assert printed["train.batch_size"] == "train.batch_size=7  # m, over all devices and hosts; default: 64"
    assert "; diffaugment: DiffAugment (arXiv:2006.10738)" in printed["augment.name"]
    assert f"one of {', '.join(AUGMENTS)}" in printed["augment.name"]
    assert printed["augment.policy"] == "augment.policy=color,translation,cutout  # of color, translation, cutout"
    assert printed["objective.b"] == "objective.b=1.0  # the target for data in D's loss"
    for key, choices in CHOICES.items():
        assert all(choice in printed[key] for choice in choices), key


def test_fields_stand_as_they_are_declared():
    printed = list(lines(default()))
    wanted = ["seed", "data.name", "generator.name", "generator.hidden", "generator.ema.gamma", "discriminator.name"]
    wanted += ["objective.penalties.r1", "objective.lecam.weight", "augment.name", "optimizer.generator.b1"]
    wanted += ["optimizer.generator.clip", "optimizer.discriminator.name", "train.steps", "distributed.process"]
    places = [printed.index(key) for key in wanted]
    assert places == sorted(places)
    place = lambda key: catalog._place(key, default())  # noqa: E731
    assert place("new.field") > max(map(place, printed))  # one without a comment


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("losses", LOSSES), ("penalties", PENALTIES), ("networks", FAMILIES), ("optimizers", OPTIMIZERS),
        ("augments", AUGMENTS), ("metrics", METRICS), ("features", ("inception:FILE.npz", "pixels", "classifier")),
        ("conditions", CHOICES["conditional"]),
        ("data", ("digits", "tfds:NAME", "npz:PATH", "folder:PATH", "table:NAME", "tfd:PATH",
                  "mixture:NAME", "stacked:NAME")),
        ("terms", ("lecam", "consistency", "latent", "auxiliary", "paired", "regression", "code", "centering",
                   "transport", "labelled", "matching", "adjustment", "top_k")),
    ],
)  # fmt: skip
def test_lists_have_a_line_with_words_for_each_member(name, names):
    members = catalog.members(name).splitlines()
    assert [line.split()[0] for line in members] == list(names)
    assert all(len(line.split()) > 1 for line in members if line != "none")


def test_the_list_of_configs_finds_each():
    for line in catalog.members("configs").splitlines():
        assert find(line.split()[0]).is_file() and len(line.split()) > 3


def test_f_divergences_are_named_by_their_function():
    shown = dict(line.split(maxsplit=1) for line in catalog.members("losses").splitlines())
    assert shown["f_pearson"] == "f-GAN, f(u) = (u - 1)^2; logit of an optimal D: 2 (p/q - 1)"
    assert shown["hinge"].startswith("D: max(0, 1 - D(x)) + max(0, 1 + D(G(z))); G: -D(G(z))")


def test_an_unknown_list_names_all():
    with pytest.raises(
        UserError, match=r"--list must be one of configs, losses, .*, not 'loss'; did you mean 'losses'"
    ):
        catalog.members("loss")
