"""Small forms of the laboratory's sweeps: that they ask for what they say, and read results as they say."""

import json
import math

import jax
import numpy as np
import pytest

from experiments import algorithm1_success, lab, memorization, r3gan_ablation, stacked_mnist, sweeps
from jaxgan.config import update
from jaxgan.errors import UserError
from jaxgan.sweep import launchers, plan
from jaxgan.sweep.settings import Setting

pytestmark = pytest.mark.slow


@pytest.fixture
def here(monkeypatch):
    """Sweeps train in this process, on the devices that it has."""

    def run(workdir, chunks, signals):
        for chunk in chunks:
            yield chunk, launchers._train(workdir, chunk, signals)

    monkeypatch.setattr(sweeps.launchers, "get_launcher", lambda name, address: launchers.Launcher(1, run))


def made(setting, **finals):
    """A setting whose runs ended with these numbers: None for one that diverged."""
    runs = [dict(zip(finals, numbers, strict=True)) for numbers in zip(*finals.values(), strict=True)]
    results = [
        {"seed": seed, "final": final, "diverged": None in final.values(), "steps": 10}
        for seed, final in enumerate(runs)
    ]
    return Setting("", setting, [f"{i:03d}" for i in range(len(runs))], results)


# --- sweeps -----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_settings_are_trained_read_by_name_resumed_and_extended(here, tiny_config, tmp_path, capsys):
    config = tiny_config(**{"evaluate.metrics": (), "train.steps": 10})
    settings = {"slow": {"optimizer.generator.learning_rate": 1e-5}, "wide": {"generator.hidden": (16,)}}
    found = sweeps.train(tmp_path, "About.", config, settings, range(2))
    assert list(found) == ["slow", "wide"]
    assert found["wide"].setting == {"generator.hidden": [16]}
    assert [result["seed"] for result in found["slow"].results] == [0, 1]
    steps, losses = sweeps.curves(tmp_path, found["slow"], "d_loss")
    assert steps.tolist() == [5, 10] and losses.shape == (2, 2) and np.isfinite(losses).all()
    assert losses[0, 1] == found["slow"].results[0]["final"]["d_loss"]
    capsys.readouterr()
    assert sweeps.train(tmp_path, "About.", config, settings, range(2)) == found
    assert "4 of 4 runs are finished already" in capsys.readouterr().out
    longer = sweeps.train(tmp_path, "About.", update(config, {"train.steps": 15}), settings, range(2))
    assert sweeps.curves(tmp_path, longer["slow"], "d_loss")[0].tolist() == [5, 10, 15]
    with pytest.raises(UserError, match="another --out"):
        sweeps.train(tmp_path, "About.", update(config, {"prior.size": 3}), settings, range(2))


def test_a_curve_has_nan_where_a_member_diverged(tmp_path):
    for name, lines in (("000", [(5, 1.0), (10, None)]), ("001", [(5, 2.0), (10, 3.0)])):
        (tmp_path / "members" / name).mkdir(parents=True)
        text = "".join(json.dumps({"step": step, "d_loss": x}) + "\n" for step, x in lines)
        (tmp_path / "members" / name / "metrics.jsonl").write_text(text)
    steps, numbers = sweeps.curves(tmp_path, made({}, d_loss=[None, 3.0]), "d_loss")
    assert steps.tolist() == [5, 10]
    np.testing.assert_array_equal(numbers, [[1, math.nan], [2, 3]])


# --- algorithm1_success -----------------------------------------------------------------------------------------------


def test_every_setting_of_the_success_rates_is_one_change():
    base = algorithm1_success.base(quick=False)
    settings = algorithm1_success.settings(list(algorithm1_success.cures(quick=False)), quick=False)
    trials = plan.trials(base, list(settings.values()))  # valid and distinct
    assert len(trials) == 8 and settings.keys() == algorithm1_success.LABELS.keys()
    assert all(
        trial.config.train.update == "alternating" for trial in trials if trial.setting != settings["simultaneous"]
    )
    assert trials[-1].config.train.batch_size == 200


def test_d_has_won_where_its_late_loss_is_low_or_the_run_diverged():
    steps = np.array([50, 100, 150, 200])
    losses = np.array([[1e-9, 1e-9, 0.1, 0.1], [0.5, 0.1, 2e-4, 1e-3], [0.5, 0.5, 0.5, math.nan]])
    late = algorithm1_success.late_losses(steps, losses, window=100)
    np.testing.assert_allclose(late, [0.1, 6e-4, math.nan])
    assert (late > algorithm1_success.D_WON).tolist() == [True, False, False]


# --- r3gan_ablation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", r3gan_ablation.PARTS)
def test_the_cells_of_the_ablation_differ_in_loss_and_penalties_alone(name):
    part = r3gan_ablation.parts(name)
    trials = plan.trials(part.base, list(r3gan_ablation.cells(part.gamma).values()))
    assert len(trials) == 8 and set(plan.varying([trial.setting for trial in trials])) == {
        "objective.loss", "objective.penalties.r1", "objective.penalties.r2", "objective.penalty_every"
    }  # fmt: skip
    assert len({plan.program_key(trial) for trial in trials}) == 4  # the weights are traced
    plan.trials(update(part.base, part.quick), [{}])


def test_a_watched_penalty_is_measured_and_moves_nothing(game):
    weights = {f"objective__penalties__{name}": r3gan_ablation.WATCHED for name in ("r1", "r2")}
    state, metrics = game(**weights).steps(4)
    alone, _ = game().steps(4)
    for mine, other in zip(jax.tree.leaves(state), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)
    assert metrics["r1"] > 0 and metrics["r2"] > 0


def test_verdicts_of_the_ablation_leave_undone_what_a_toy_cannot_refute():
    def cell(fails: bool, slope: float, modes: float) -> dict:
        return {"fails": [fails] * 3, "slope_fake": [[0.0, slope]] * 3, "modes": [modes, modes + 1, modes + 2]}

    rows = {"R1 + R2": cell(False, 0.3, 20), "R1": cell(False, 0.5, 20), "none": cell(True, 2.0, 15)}
    rows["R1 + R2, lazy"] = cell(True, 0.3, 20)
    cells = {f"{loss}, {name}": row for loss in r3gan_ablation.LOSSES for name, row in rows.items()}
    result = {"part": "gaussians", "steps": 1500, "cells": cells}
    held = r3gan_ablation.verdicts(result)
    assert {claim for claim, verdict in held.items() if verdict is True} == {
        f"{loss}: {claim}"
        for loss in ("RpGAN", "GAN")
        for claim in ("R1 + R2 does not fail", "lazy penalties fail", "no penalty fails")
    }
    assert held.pop("RpGAN covers more modes than the GAN") is None
    others = [verdict for verdict in held.values() if verdict is not True]
    assert len(others) == 2 and all(verdict.startswith(f"{lab.NOT_REPRODUCED}: 1,500 steps") for verdict in others)
    cells["RpGAN, R1 + R2"] = cell(False, 0.3, 24) | {"modes": [24.0, 25.1, 25.9]}
    cells["RpGAN, R1"] = cell(True, 3.0, 20)
    held = r3gan_ablation.verdicts(result)
    assert held["RpGAN covers more modes than the GAN"] is True
    assert held["RpGAN: R1 alone fails, its slope at the fakes explodes"] is True


# --- stacked_mnist ----------------------------------------------------------------------------------------------------


def test_each_packing_has_as_many_packs():
    settings = stacked_mnist.settings([1, 3], stacked_mnist.PACKS)
    trials = plan.trials(stacked_mnist.base(quick=False), list(settings.values()))
    assert [trial.config.train.batch_size for trial in trials] == [128, 384]


def test_packings_are_compared_with_the_one_before_by_seed():
    found = {
        1: made({}, class_modes=[10.0, 20.0, 30.0], class_kl=[5.0, 5.0, 5.0]),
        2: made({}, class_modes=[15.0, 24.0, 36.0], class_kl=[4.0, 4.0, 4.0]),
        4: made({}, class_modes=[12.0, 20.0, 40.0], class_kl=[4.0, 4.0, 4.0]),
    }
    rows = stacked_mnist.summary(found)
    assert rows[2]["more_modes"].mean == pytest.approx(5) and rows[4]["more_modes"].mean == pytest.approx(-1)
    assert not stacked_mnist.increases(rows) and stacked_mnist.increases({m: rows[m] for m in (1, 2)})
    assert "5.0 [2.5, 7.5]" in stacked_mnist.table(rows)


# --- memorization -----------------------------------------------------------------------------------------------------


def test_authentic_by_hand():
    train = np.array([[0.0], [1.0], [5.0]])  # nearest others at 1, 1 and 4
    fake = np.array([[0.5], [2.5], [8.0], [9.5], [5.0]])  # .5 from 1; 1.5 from 1; 3, 4.5 and 0 from 5
    assert memorization.authentic(train, fake) == pytest.approx(2 / 5)


def test_copies_are_detected_and_fresh_examples_are_not():
    random = np.random.default_rng(0)
    train, test, fresh = (random.normal(size=(n, 6)) for n in (60, 60, 180))
    real = memorization.references(train, fresh, test, count=60, draws=3)
    assert all(row["authentic"] == 0 and row["z_u"] < memorization.COPIES for row in real["copies"])
    assert all(abs(row["z_u"]) < 3 for row in real["fresh"])
    detected = memorization.detects_copies(real)
    assert detected["z_u"] and detected["authentic"]
    assert not detected["fid_train"]  # which copies win


def test_verdicts_on_memorization_from_made_up_scores():
    row = dict.fromkeys(memorization.SHOWN, 0.0)

    def made(few, many, z_u):
        return {f"{n}/{seed}/9": row | {"authentic": share + 0.01 * seed, "z_u": z_u}
                for n, share in ((10, few), (100, many)) for seed in range(3)}  # fmt: skip

    def reference(noticed):
        return {kind: [row | {"authentic": 0.5 + 0.001 * i} | {name: sign * (1.0 + 0.001 * i) for name in noticed}
                       for i in range(3)] for kind, sign in (("fresh", 1), ("copies", -1))}  # fmt: skip

    def verdicts(*args, noticed=("z_u", "authentic")):
        return list(memorization.verdicts(made(*args), dict.fromkeys((10, 100), reference(noticed)), [9]).values())

    assert verdicts(0.1, 1.5, -2.0) == [True, True, None, True]  # no Z_U speaks of copies
    assert verdicts(0.1, 1.5, -4.0) == [True, True, False, True]  # it does where G does not copy
    assert verdicts(0.1, 0.2, -4.0) == [True, False, True, True]
    assert verdicts(1.5, 1.5, -4.0)[0] is False
    assert verdicts(0.1, 1.5, -4.0, noticed=("z_u", "authentic", "coverage"))[3] is False
