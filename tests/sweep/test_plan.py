"""Sweeps: what the combinators combine, what shares a program, and every mistake one sentence."""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.config import default
from jaxgan.errors import UserError
from jaxgan.sweep import chain, chunk, cost, fixed, over, plan, product, results, zipped

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
        (lambda: zipped(over("seed", [1]), over(RATE, [1.0, 2.0])), r"of equal length, not of \[1, 2\]"),
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
        (over("train.on_divergence", ["restore"]), "are frozen; leave train.on_divergence=stop"),
        (over("distributed.enabled", [True]), r"setting \{'distributed.enabled': True\}: .* leave distributed.enabled"),
        (
            [{"optimizer.generator.name": "sgd", "optimizer.generator.b1": 0.5}],
            r"setting \{'optimizer.generator.name': 'sgd', .*b1 is a field of optimizer.generator.name=adam, not of",
        ),
        (  # equal once the choice has replaced its section
            [
                {"optimizer.generator.name": "sgd"},
                {"optimizer.generator.name": "sgd", "optimizer.generator.momentum": 0.0},
            ],
            "settings 0 and 1 are the same",
        ),
    ],
)
def test_mistakes_in_a_sweep(sweep, words):
    with pytest.raises(UserError, match=words):
        plan.trials(default(), sweep)


def groups(sweep):
    return plan.group_by(plan.trials(default(), sweep), plan.program_key)


def test_what_differs_in_traced_numbers_shares_a_program():
    sweep = product(
        over("train.d_steps", [1, 2]), over(RATE, [0.1, 0.2]), over("optimizer.discriminator.b1", [0.0, 0.5]),
        over("objective.penalties.r1", [0.1, 0.2]), over("prior.scale", [1.0, 2.0]), over("seed", range(3)),
    )  # fmt: skip
    found = groups(sweep)
    assert [len(group) for group in found] == [48, 48]
    assert [{trial.config.train.d_steps for trial in group} for group in found] == [{1}, {2}]


@pytest.mark.parametrize(("key", "values"), [
    ("prior.size", [8, 9]),
    ("generator.name", ["mlp", "maxout_conv"]),
    ("optimizer.generator.name", ["adam", "sgd"]),
    ("objective.loss", ["minimax", "hinge"]),
    ("objective.penalties.r1", [0.0, 0.1]),
    ("discriminator.hidden_keep", [0.5, 1.0]),
    ("prior.name", ["normal", "sphere"]),
    ("train.batch_size", [10, 20]),
    ("train.update", ["alternating", "simultaneous"]),
    ("train.steps", [10, 20]),
])  # fmt: skip
def test_what_changes_the_program_makes_groups(key, values):
    assert [len(group) for group in groups(product(over(key, values), over("seed", [0, 1])))] == [2, 2]


def test_names_identify_members():
    planned = plan.trials(default(), product(over("data.name", ["digits", "npz:/a/b c.npz"]), over("seed", [0, 1])))
    assert [member.name for member in planned] == [
        "000-name=digits-seed=0", "001-name=digits-seed=1",
        "002-name=npz_a_b_c.npz-seed=0", "003-name=npz_a_b_c.npz-seed=1",
    ]  # fmt: skip
    assert planned[3].setting == {"data.name": "npz:/a/b c.npz"}
    assert planned[3].config.seed == 1


@given(st.integers(1, 50), st.integers(1, 20))
def test_chunks_are_even_and_lose_nobody(n, count):
    chunks = plan.split(range(n), min(n, count))
    assert [member for chunk in chunks for member in chunk] == list(range(n))
    sizes = [len(chunk) for chunk in chunks]
    assert len(sizes) == min(n, count) and max(sizes) - min(sizes) <= 1


def test_description(tiny_config, tmp_path):
    base = tiny_config(**{"data.name": "mixture:ring8", "generator.output": "linear", "evaluate.metrics": ("modes",)})
    planned = plan.trials(base, product(over("train.d_steps", [1, 2]), over("seed", range(5))))
    chunks = chunk.make_chunks(tmp_path, planned, {}, 2)
    assert [[member.config.seed for member in part] for part in chunks] == [[0, 1], [2, 3, 4]] * 2
    words = cost.describe(chunks, 2, timed=False)
    assert words.startswith("10 runs -> 2 programs, 3 members per chunk, ") and words.endswith(" MB")
    assert cost.describe([planned[:1]], 1, timed=False).startswith("1 run -> 1 program, 1 member per chunk, ")


def test_the_time_of_a_plan_counts_start_compilation_training_and_pictures(tiny_config, monkeypatch):
    """By hand, two slots: 30 s + (2 chunks of 6 + 240 + 18 s) / 2 = 294 s."""
    planned = plan.trials(tiny_config(), over("seed", range(4)))
    monkeypatch.setattr(cost, "estimate_seconds", lambda chunk: cost.Seconds(6.0, 240.0, 18.0))
    monkeypatch.setattr(cost, "chunk_bytes", lambda chunk: 4e6)
    monkeypatch.setattr(cost.time, "process_time", lambda: 30.0)
    words = cost.describe([planned[:2], planned[2:]], 2, timed=True)
    parts = "start 30 s, compilation 12 s, training 480 s, pictures 36 s; without evaluations"
    assert words == f"4 runs -> 1 program, 2 members per chunk, about 4.9 minutes ({parts}), 4 MB"


@pytest.mark.slow
def test_the_seconds_of_a_chunk(tiny_config, monkeypatch):
    """With steps of 10 ms, a first member that takes 5 s to leave its files and later ones that take 2 s."""
    trials = plan.trials(tiny_config(**{"train.steps": 1000, "log.every": 500}), over("seed", range(3)))
    measured, finish = [], cost.seconds_to_finish
    monkeypatch.setattr(cost, "_runner", lambda *_: lambda steps: 0.01 * steps)

    def timed(*arguments):
        measured.append(finish(*arguments))
        return (5.0, 2.0)[len(measured) - 1]

    monkeypatch.setattr(cost, "seconds_to_finish", timed)
    found = cost.estimate_seconds(trials)
    assert found.training == pytest.approx(10.0)
    assert found.pictures == 9.0
    assert found.compilation > 0 and min(measured) > 0 and len(measured) == 2


def test_memory(tiny_config, monkeypatch):
    """Three copies of parameters and Adam's moments; the step's own from the compiled program."""
    base = tiny_config(**{"data.name": "mixture:ring8", "generator.output": "linear", "evaluate.metrics": ("modes",)})
    (trial,) = plan.trials(base, [{}])
    needs = cost.estimate_memory(trial)
    parameters = 8 * 16 + 16 + 16 * 2 + 2 + 2 * 8 + 8 + 8 * 8 + 8 + 8 + 1  # G; D: two layers of 8 units
    assert needs.member == pytest.approx(3 * 4 * 3 * parameters, rel=0.05)
    assert needs.step > 0 and needs.shared > 0
    assert cost.chunk_bytes([trial] * 40) - cost.chunk_bytes([trial] * 30) == 10 * needs.member
    pages = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 2 * (needs.shared + needs.member * 9 + needs.step * 2)}
    monkeypatch.setattr(cost.os, "sysconf", pages.get)
    monkeypatch.setattr(cost.devices, "threads", lambda: 2)
    assert cost.max_members(trial, 1) == 9
    assert cost.max_members(trial, 10**6) == 1


def test_memory_of_a_backend_that_does_not_report_it(tiny_config, monkeypatch):
    (trial,) = plan.trials(tiny_config(**{"evaluate.metrics": ()}), [{}])
    member = cost.estimate_memory(trial).member
    monkeypatch.setattr(jax.stages.Compiled, "memory_analysis", lambda _: None)
    assert cost.estimate_memory(trial).step == cost.estimate_memory(trial).member == member
    assert cost.describe([[trial]], 1, timed=False).endswith(" MB")
    for stats in (None, {}, {"bytes_in_use": 5}):
        monkeypatch.setattr(cost.devices, "is_sequential", lambda: False)
        monkeypatch.setattr(
            cost.jax, "local_devices", lambda stats=stats: [SimpleNamespace(memory_stats=lambda: stats)]
        )
        monkeypatch.setattr(cost, "estimate_memory", lambda _: cost.Memory(1, 1, 1))
        assert cost.max_members(trial, 1) == cost.jax.local_device_count()


def test_values_may_come_from_numpy():
    sweep = product(over(RATE, np.logspace(-2, 0, 3)), over("train.d_steps", np.arange(1, 3)), over("seed", range(2)))
    planned = plan.trials(default(), sweep)
    assert json.loads(json.dumps(planned[-1].setting)) == {RATE: 1.0, "train.d_steps": 2}
    assert planned[0].name == "000-learning_rate=0.01-d_steps=1-seed=0"


def test_a_chunk_that_was_begun_stays_as_it_was(tiny_config, tmp_path):
    """However the others are cut, and wherever a kill left what is finished."""
    planned = plan.trials(tiny_config(), over("seed", range(7)))
    for begun in (planned[1:3], planned[5:6]):
        place = chunk.chunk_directory(tmp_path, begun)
        place.mkdir(parents=True)
        (place / results.HISTORY).write_text(
            json.dumps({"members": [member.name for member in begun], "before": [], "lines": []})
        )
    unfinished = [member for member in planned if member.config.seed != 5]
    chunks = chunk.make_chunks(tmp_path, unfinished, {}, 3)
    assert sorted([member.config.seed for member in part] for part in chunks) == [[0], [1, 2], [3], [4, 6]]


def test_members_at_different_steps_are_no_chunk(tiny_config, tmp_path):
    planned = plan.trials(tiny_config(), over("seed", range(4)))
    done = {planned[1].name: 10, planned[3].name: 10}
    chunks = chunk.make_chunks(tmp_path, planned, done, 1)
    assert [[member.config.seed for member in part] for part in chunks] == [[0, 2], [1, 3]]
