"""What fields say of themselves: bounds, choices, and which numbers are traced, as what."""

from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import pytest

from jaxgan.config import default, update, validate
from jaxgan.config.hparams import static, traced
from jaxgan.errors import UserError
from jaxgan.fields import INLINE, TRACED, Weight, above, at_least, below, declared, sections, tree, within


@pytest.mark.parametrize(
    ("bound", "inside", "outside", "words"),
    [
        (above(0), (1e-9, 1), (0, -1, float("nan")), "above 0"),
        (at_least(0), (0, 1), (-1e-9, float("nan")), "0 or more"),
        (below(2**32), (0, 2**32 - 1), (2**32,), "below 4294967296"),
        (within(0, 1), (0, 1), (-0.1, 1.1, float("nan")), "in [0, 1]"),
        (within(0, 1, "[)"), (0, 0.9), (1,), "in [0, 1)"),
        (within(0, 1, "(]"), (0.1, 1), (0,), "in (0, 1]"),
        (within(-1, 1, "()"), (0,), (-1, 1), "in (-1, 1)"),
    ],
)
def test_bounds(bound, inside, outside, words):
    assert all(map(bound.holds, inside)) and not any(map(bound.holds, outside))
    assert bound.words == words


@dataclass(frozen=True)
class Inner:
    rate: Annotated[float, TRACED, above(0)] = 0.5
    sides: int = 3


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    weights: Annotated[dict[str, float], TRACED] = field(default_factory=lambda: {"a": 0.0, "b": 1.0})
    beside: Annotated[dict[str, Inner], INLINE] = field(default_factory=lambda: {"c": Inner(2.0)})


def test_a_section_is_its_fields_those_of_mappings_and_those_of_sections_in_it():
    found = dict(tree(Outer()))
    assert {key: entry.default for key, entry in found.items()} == {
        "inner.rate": 0.5, "inner.sides": 3, "weights.a": 0.0, "weights.b": 1.0, "c.rate": 2.0, "c.sides": 3,
    }  # fmt: skip
    assert list(found) == ["inner.rate", "inner.sides", "weights.a", "weights.b", "c.rate", "c.sides"]
    assert found["weights.b"].notes == (TRACED,) and found["inner.sides"].notes == ()
    assert [path for path, _ in sections(Outer())] == ["inner", "c"]


def test_keyword_only_arguments_are_fields():
    def loss(real, *, weight: Weight = 0.25, name: str = "x", points=None):
        return real

    assert {name: entry.default for name, entry in declared(loss).items()} == {"weight": 0.25, "name": "x"}
    assert declared(loss)["weight"].notes == Weight.__metadata__


def test_which_numbers_are_traced():
    """Neither sizes nor what changes the program, such as limits of weights."""
    config = update(default(), {"augment.name": "flip", "optimizer.generator.schedule.name": "exponential"})
    numbers = traced(config)
    own = {key for key in numbers if not key.startswith("objective.")}
    of_adam = {"learning_rate", "b1", "b2", "eps"}
    assert own == {"seed", "prior.scale", "augment.probability"} | {
        f"optimizer.{player}.{name}" for player in ("generator", "discriminator") for name in of_adam
    } | {f"optimizer.generator.schedule.{name}" for name in ("decay", "minimum")}  # fmt: skip
    assert numbers["seed"].dtype == np.uint32 and numbers["prior.scale"].dtype == np.float32
    np.testing.assert_allclose(numbers["optimizer.generator.schedule.decay"], np.log(1.000004), rtol=1e-6)


def test_of_a_weight_the_program_knows_whether_it_is_on():
    one, two, off = (static(update(default(), {"objective.penalties.r1": weight})) for weight in (1.0, 2.0, 0.0))
    assert one == two != off and one["objective.penalties.r1"] is True and off["objective.penalties.r1"] is False
    half = static(update(default(), {"objective.top_k": 0.5}))
    assert half["objective.top_k"] and not off["objective.top_k"]


def test_a_value_out_of_bounds_is_named_by_its_field():
    config = default()
    for key, value, words in (
        ("optimizer.discriminator.b1", 1.0, r"optimizer.discriminator.b1 must be in \[0, 1\), not 1.0"),
        ("train.lookahead_rate", 1.5, r"train.lookahead_rate must be in \[0, 1\], not 1.5"),
        ("generator.norm", "layer", "generator.norm must be one of none, batch, spectral, not 'layer'"),
        ("data.low", -0.5, "data.low must be 0 or -1, not -0.5"),
    ):
        with pytest.raises(UserError, match=words):
            validate(update(config, {key: value}))
