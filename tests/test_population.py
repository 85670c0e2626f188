"""Populations: each member is the GAN that its setting would have been alone, whatever the others do."""

import json

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan import members, parallel, plan, train, writers
from jaxgan.config import update
from jaxgan.errors import UserError

G_RATE, D_RATE = (f"optimizer.{player}.learning_rate" for player in ("generator", "discriminator"))


@pytest.fixture
def base(tiny_config):
    """A ring of Gaussians, 100 steps; evaluated and saved half way."""
    return tiny_config(**{
        "data.name": "mixture:ring8", "prior.size": 2, "generator.output": "linear", "discriminator.irange": 0.3,
        "generator.average": 2.0, "discriminator.gradient_penalty": 0.1,
        "train.steps": 100, "log.every": 25, "evaluate.every": 50, "checkpoint.every": 50, "evaluate.samples": 500,
    })  # fmt: skip


SWEEP = plan.chain(
    plan.product(plan.over("objective.loss", ["minimax", "non_saturating"]), plan.over("seed", [0, 7])),
    plan.fixed({D_RATE: 0.02, "prior.scale": 2.0, "seed": 0}),
)


def leaves(workdir):
    return jax.tree.leaves(jaxgan.load(workdir).state)


def test_a_member_is_its_setting_trained_alone(base, tmp_path):
    planned = plan.members(base, SWEEP)
    results = members.train(tmp_path / "sweep", planned)
    assert [result["steps"] for result in results] == [100] * len(planned)
    for i in (1, 4):
        alone = tmp_path / str(i)
        train.train(planned[i].config, alone)
        of_sweep = tmp_path / "sweep" / "members" / planned[i].name
        for mine, single in zip(leaves(of_sweep), leaves(alone), strict=True):
            np.testing.assert_array_equal(mine, single)
        ours, theirs = writers.read(of_sweep), writers.read(alone)
        assert [line["step"] for line in ours] == [line["step"] for line in theirs] == [25, 50, 75, 100]
        for line, other in zip(ours, theirs, strict=True):
            for name in line:
                assert line[name] == pytest.approx(other[name], rel=1e-5), name
        assert results[i]["final"].keys() <= theirs[-1].keys()
    # Neither the seeds nor the losses trained the same GAN.
    finals = {result["final"]["value"] for result in results}
    assert len(finals) == len(planned)


def test_results_hold_the_last_and_the_best_evaluation(base, tmp_path):
    (planned,) = plan.members(base, [{"seed": 3}])
    (result,) = members.train(tmp_path, [planned])
    lines = writers.read(tmp_path / "members" / planned.name)
    scores = {line["step"]: line["score"] for line in lines if "score" in line}
    assert scores.keys() == {50, 100}
    assert result["final"]["score"] == scores[100]
    assert result["best"]["score"] == max(scores.values())
    assert result["best"]["step"] == max(scores, key=scores.get)
    assert result == json.loads(json.dumps(result))
    evaluation = json.loads((tmp_path / "members" / planned.name / "evaluation.json").read_text())
    assert evaluation["step"] == 100 and evaluation["score"] == scores[100]


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_a_poisoned_member_changes_no_other(base, tmp_path, rate):
    sweep = plan.product(plan.over("seed", [0]), plan.over(D_RATE, [0.01, 0.02, 0.03]))
    clean = plan.members(base, sweep)
    poisoned = plan.members(base, [*sweep[:1], {"seed": 0, D_RATE: rate, G_RATE: rate}, *sweep[1:]])
    before = members.train(tmp_path / "clean", clean)
    after = members.train(tmp_path / "poisoned", poisoned)
    assert [after[i] for i in (0, 2, 3)] == before
    for mine, theirs in zip(clean, [poisoned[i] for i in (0, 2, 3)], strict=True):
        for a, b in zip(leaves(tmp_path / "clean/members" / mine.name),
                        leaves(tmp_path / "poisoned/members" / theirs.name), strict=True):  # fmt: skip
            np.testing.assert_array_equal(a, b)
    # Frozen where all was finite.
    assert all(np.isfinite(x).all() for x in leaves(tmp_path / "poisoned/members" / poisoned[1].name))
    if rate == 1e30:
        assert after[1]["diverged"] and after[1]["steps"] == 0 and after[1]["best"] == {}
        lines = writers.read(tmp_path / "poisoned/members" / poisoned[1].name)
        assert all(number is None for line in lines for name, number in line.items() if name != "step")


def test_a_chunk_goes_on_where_it_was_cut_off(base, tmp_path, monkeypatch):
    planned = plan.members(base, SWEEP[:2])
    whole = members.train(tmp_path / "whole", planned)
    advanced = []
    original = members.program(planned[0]).advance

    def cut(hparams, group, examples, n):
        if len(advanced) == 3:  # after step 75; the checkpoint is of step 50
            raise KeyboardInterrupt
        advanced.append(int(n[0]))
        return original(hparams, group, examples, n)

    patched = members.program(planned[0])._replace(advance=cut)
    with monkeypatch.context() as context:
        context.setattr(members, "program", lambda _: patched)
        with pytest.raises(KeyboardInterrupt):
            members.train(tmp_path / "cut", planned)
        advanced.clear()
        again = members.train(tmp_path / "cut", planned)
    assert advanced == [25, 25]  # steps 50 to 100 alone
    assert again == whole
    for member in planned:
        places = [tmp_path / place / "members" / member.name for place in ("whole", "cut")]
        assert writers.read(places[0]) == writers.read(places[1])
        for a, b in zip(*map(leaves, places), strict=True):
            np.testing.assert_array_equal(a, b)


def test_images_get_the_papers_score(tiny_config, tmp_path):
    config = tiny_config(**{"train.steps": 10, "evaluate.samples": 100})
    (planned,) = plan.members(config, [{}])
    (result,) = members.train(tmp_path / "sweep", [planned])
    train.train(config, tmp_path / "alone")
    alone = json.loads((tmp_path / "alone" / "evaluation.json").read_text())
    for name in ("parzen_sigma", "validation_log_likelihood", "test_log_likelihood", "test_standard_error", "score"):
        assert result["final"][name] == pytest.approx(alone[name], rel=1e-4), name
    with np.load(tmp_path / "sweep/members" / planned.name / "samples/000000010.npz") as file:
        assert file["samples"].shape == (100, 8, 8, 1)


def test_a_minibatch_larger_than_the_data_is_refused(base, tmp_path):
    planned = plan.members(update(base, {"data.name": "digits", "train.batch_size": 2000}), [{}])
    with pytest.raises(UserError, match="larger than the training set of 1350"):
        members.train(tmp_path, planned)


def test_dealing_and_collecting(monkeypatch):
    """5 members on 3 devices; 1 member needs no more than one of them."""
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices() * 3)
    x = np.arange(10).reshape(5, 2)
    hands = parallel.deal({"x": x}, 5)
    assert [hand["x"].shape for hand in hands] == [(2, 2), (2, 2), (1, 2)]
    np.testing.assert_array_equal(parallel.collect(hands)["x"], x)
    assert len(parallel.deal({"x": x[:1]}, 1)) == 1
