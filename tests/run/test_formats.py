"""Runs that earlier versions stored (fixtures/make.py): this one opens, samples, evaluates and resumes them."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan.config import update
from jaxgan.run import commands
from jaxgan.run.workdir import read_config
from jaxgan.run.writers import read_metrics
from jaxgan.train import train

pytestmark = pytest.mark.slow

SAMPLES = "expected_samples.npy"
STORED = sorted(path.parent for path in (Path(__file__).parents[1] / "fixtures").glob("format_*/*/config.json"))
stored = pytest.mark.parametrize("run", STORED, ids=[f"{path.parent.name}-{path.name}" for path in STORED])


@pytest.fixture
def copy(run, tmp_path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "work"))


def test_there_are_some():
    assert {path.name for path in STORED} >= {"digits", "conditional", "mixture"}


@stored
def test_a_stored_run_opens_and_generates_the_same_samples(run):
    gan = jaxgan.load(run)
    assert gan.step == 10
    np.testing.assert_allclose(gan.sample(4, seed=1), np.load(run / SAMPLES), atol=1e-6)
    assert len({x.tobytes() for x in np.load(run / SAMPLES)}) == 4


@stored
def test_a_stored_run_is_evaluated_as_it_was(run, copy, capsys):
    before = json.loads((run / "evaluation.json").read_text())
    assert commands.evaluate(copy, []) == 0
    after = json.loads((copy / "evaluation.json").read_text())
    for protocol in (before.pop("protocol"), after.pop("protocol")):
        assert protocol.pop("versions")["jaxgan"]
    assert after == pytest.approx(before, rel=1e-4)
    assert "step 10 of" in capsys.readouterr().out


@stored
def test_a_stored_run_resumes_to_where_an_uninterrupted_one_comes(run, copy, tmp_path):
    config = update(read_config(run), {"train.steps": 15})
    assert train(config, copy) == 0
    assert train(config, tmp_path / "whole") == 0
    resumed, whole = (jax.tree.leaves(jaxgan.load(path).state) for path in (copy, tmp_path / "whole"))
    start = jax.tree.leaves(jaxgan.load(run).state)
    for a, b in zip(resumed, whole, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    assert any(not np.array_equal(a, b) for a, b in zip(resumed, start, strict=True))
    lines = [[r["d_loss"] for r in read_metrics(path)] for path in (copy, tmp_path / "whole")]
    assert lines[0] == pytest.approx(lines[1], abs=1e-5) and len(lines[0]) == 3
