"""Sweeps: what the combinators combine, what shares a program, and every mistake one sentence."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxgan.plan import chain, fixed, over, product, zipped

from jaxgan import members, plan, results
from jaxgan.config import default
from jaxgan.errors import UserError

RATE = "optimizer.generator.learning_rate"


def test_combinators():
    a, b = over("seed", [1, 2]), over("train.d_steps", [3, 4])
    assert product(a, b) == [
        {"seed": 1, "train.d_steps": 3},
        {"seed": 1, "train.d_steps": 4},
        {"seed": 2, "train.d_steps": 3},
        {"seed": 2, "train.d_steps": 4},
    ]
    assert zipped(a, b) == [{"seed": 1, "train.d_steps": 3}, {"seed": 2, "train.d_steps": 4}]
    assert chain(a, b) == [{"seed": 1}, {"seed": 2}, {"train.d_steps": 3}, {"train.d_steps": 4}]
    assert product(fixed({RATE: 0.1, "train.steps": 5}), a)[1] == {RATE: 0.1, "train.steps": 5, "seed": 2}


@given(st.lists(st.integers(0, 4), max_size=3))
def test_sizes(lengths):
    sweeps = [over(f"key{i}", range(n)) for i, n in enumerate(lengths)]
    size = 1
    for n in lengths:
        size *= n
    assert len(product(*sweeps)) == size
    assert len(chain(*sweeps)) == sum(lengths)


@pytest.mark.parametrize(
    ("combine", "words"),
    [
        (lambda: product(over("seed", [1]), over("seed", [2])), "two of the combined sweeps set seed"),
        (lambda: zipped(over("seed", [1]), over(RATE, [1.0, 2.0])), r"of one length, not of \[1, 2\]"),
    ],
)
def test_combinations_that_make_no_sense(combine, words):
    with pytest.raises(UserError, match=words):
        combine()


@pytest.mark.parametrize(
    ("sweep", "words"),
    [
        ([], "no settings"),
        (None, "must return a list"),
        (over("train.stepz", [1]), "'train.stepz'; the nearest is 'train.steps'"),
        (over("seed", [1, 1]), "settings 0 and 1 are the same"),
        ([{}, {"seed": 0}], "settings 0 and 1 are the same"),  # 0 is the seed of the base
        (over("train.d_steps", [0]), "train.d_steps"),
        (over("objective.loss", ["hinge2"]), "objective.loss must be one of"),
        (over("train.steps", ["many"]), "takes a whole number"),
        (over("train.on_divergence", ["restore"]), "is frozen; leave train.on_divergence=stop"),
    ],
)
def test_mistakes_in_a_sweep(sweep, words):
    with pytest.raises(UserError, match=words):
        plan.members(default(), sweep)


def test_what_differs_in_traced_numbers_shares_a_program():
    sweep = product(
        over("train.d_steps", [1, 2]), over("objective.loss", ["minimax", "non_saturating"]), over(RATE, [0.1, 0.2]),
        over("optimizer.discriminator.momentum", [0.0, 0.5]), over("prior.scale", [1.0, 2.0]), over("seed", range(3)),
    )  # fmt: skip
    groups = plan.programs(plan.members(default(), sweep))
    assert [len(group) for group in groups] == [48, 48]
    assert [{member.config.train.d_steps for member in group} for group in groups] == [{1}, {2}]


@pytest.mark.parametrize(("key", "values"), [
    ("generator.hidden", [(8, 8), (9, 9)]),
    ("discriminator.hidden_keep", [0.5, 1.0]),
    ("prior.name", ["normal", "sphere"]),
    ("train.batch_size", [10, 20]),
    ("train.update", ["alternating", "simultaneous"]),
    ("train.steps", [10, 20]),
])  # fmt: skip
def test_what_changes_the_program_makes_groups(key, values):
    assert len(plan.programs(plan.members(default(), product(over(key, values), over("seed", [0, 1]))))) == 2


def test_names_tell_members_apart():
    planned = plan.members(default(), product(over("data.name", ["digits", "npz:/a/b c.npz"]), over("seed", [0, 1])))
    assert [member.name for member in planned] == [
        "000-name=digits-seed=0", "001-name=digits-seed=1",
        "002-name=npz_a_b_c.npz-seed=0", "003-name=npz_a_b_c.npz-seed=1",
    ]  # fmt: skip
    assert planned[3].setting == {"data.name": "npz:/a/b c.npz"}
    assert planned[3].config.seed == 1


@given(st.integers(1, 50), st.integers(1, 20))
def test_chunks_are_even_and_lose_nobody(n, count):
    chunks = plan.chunks(range(n), min(n, count))
    assert [member for chunk in chunks for member in chunk] == list(range(n))
    sizes = [len(chunk) for chunk in chunks]
    assert len(sizes) == min(n, count) and max(sizes) - min(sizes) <= 1


def test_description(tiny_config, tmp_path):
    base = tiny_config(**{"data.name": "mixture:ring8", "generator.output": "linear"})
    planned = plan.members(base, product(over("train.d_steps", [1, 2]), over("seed", range(5))))
    chunks = members.chunks(tmp_path, planned, 2)
    assert [[member.config.seed for member in chunk] for chunk in chunks] == [[0, 1], [2, 3, 4]] * 2
    words = members.describe(chunks, 2, timed=False)
    assert words.startswith("10 runs -> 2 programs, 3 members a chunk, ") and words.endswith(" MB")
    kept, work = members.memory(planned[0])
    parameters = 8 * 16 + 16 + 16 * 2 + 2 + 2 * 16 + 16 + 8 * 16 + 16 + 8 + 1  # G; D: two layers of 8 maxout units
    assert kept == pytest.approx(3 * 4 * 2 * parameters, rel=0.01)  # and their momenta
    assert work > 0
    assert members.describe([planned[:1]], 1, timed=False).startswith("1 run -> 1 program, 1 member a chunk, ")


def test_values_may_come_from_numpy():
    sweep = product(over(RATE, np.logspace(-2, 0, 3)), over("train.d_steps", np.arange(1, 3)), over("seed", range(2)))
    planned = plan.members(default(), sweep)
    assert json.loads(json.dumps(planned[-1].setting)) == {RATE: 1.0, "train.d_steps": 2}
    assert planned[0].name == "000-learning_rate=0.01-d_steps=1-seed=0"


def test_a_chunk_that_was_begun_stays_as_it_was(tiny_config, tmp_path):
    """However the others are cut, and wherever a kill left what is finished."""
    planned = plan.members(tiny_config(), over("seed", range(7)))
    for begun in (planned[1:3], planned[5:6]):
        place = members.chunk_directory(tmp_path, begun)
        place.mkdir(parents=True)
        (place / results.HISTORY).write_text(json.dumps({"members": [member.name for member in begun], "lines": []}))
    unfinished = [member for member in planned if member.config.seed != 5]
    chunks = members.chunks(tmp_path, unfinished, 3)
    assert sorted([member.config.seed for member in chunk] for chunk in chunks) == [[0], [1, 2], [3], [4, 6]]
