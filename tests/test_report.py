"""Reports: intervals and verdicts by hand, and a page that needs nothing but itself."""

import json
import re

import numpy as np
import pytest

from jaxgan import members, plan, report, results
from jaxgan.report import Mean, bootstrap, swept_fields, verdicts
from jaxgan.workdir import write_atomically


def test_the_interval_is_the_percentile_bootstrap():
    values = np.array([1.0, 2.0, 4.0, 8.0])
    found = bootstrap(values)
    # All 4^4 resamples, each as likely, in place of random ones.
    resamples = np.stack(np.meshgrid(*[values] * 4)).reshape(4, -1).mean(axis=0)
    low, high = np.percentile(resamples, [2.5, 97.5])
    assert found.mean == 3.75 and found.n == 4
    assert found.low == pytest.approx(low, abs=0.3)
    assert found.high == pytest.approx(high, abs=0.3)
    assert bootstrap(values) == found


def test_intervals_of_few_seeds():
    assert bootstrap([]).text(2) == "—"
    assert bootstrap([3.0]).text(2) == "3.00"
    assert bootstrap([3.0, 3.0]).text(1) == "3.0 [3.0, 3.0]"


def test_the_documented_coverage_of_five_seeds():
    rng = np.random.default_rng(0)
    intervals = [bootstrap(rng.normal(size=5)) for _ in range(400)]
    assert np.mean([i.low <= 0 <= i.high for i in intervals]) == pytest.approx(0.83, abs=0.04)


def test_verdicts():
    nan = np.nan
    scores = [
        Mean(1, 0.5, 1.5, 5),
        Mean(2, 1.4, 2.5, 5),
        Mean(1, 0.9, 1.3, 5),
        Mean(nan, nan, nan, 0),
        Mean(1.9, nan, nan, 1),
    ]
    assert verdicts(scores) == ["not distinguishable", "best", "worse", "", ""]
    one_seed = Mean(5, nan, nan, 1)
    assert verdicts([one_seed, *scores[:2]]) == ["", "not distinguishable", "best"]
    assert verdicts([]) == [] and verdicts([Mean(np.nan, np.nan, np.nan, 0)]) == [""]


def test_fields_that_go_together_are_one():
    both = [f"optimizer.{player}.learning_rate" for player in ("generator", "discriminator")]
    together = plan.zipped(*(plan.over(key, [0.1, 0.2]) for key in both))
    settings = plan.product(together, plan.over("train.d_steps", [1, 2]))
    assert [(field.keys, field.label) for field in swept_fields(settings)] == [
        (both, "learning_rate"), (["train.d_steps"], "d_steps")
    ]  # fmt: skip
    crossed = plan.product(*(plan.over(key, [0.1, 0.2]) for key in both))
    labels = [field.label for field in swept_fields(crossed)]
    assert labels == ["generator.learning_rate", "discriminator.learning_rate"]


@pytest.fixture
def workdir(tmp_path, tiny_config):
    """Of a sweep of 2 losses with 3 seeds, of which one member diverged."""
    base = tiny_config(**{"train.steps": 20, "evaluate.every": 10, "evaluate.samples": 20})
    losses = plan.over("objective.loss", ["minimax", "non_saturating"])
    planned = plan.members(base, plan.product(losses, plan.over("seed", range(3))))
    trained = members.train(tmp_path, planned)
    trained[1] |= {"diverged": True, "best": {}}
    for result, score in zip(trained, [1.0, 99.0, 3.0, 4.0, 5.0, 6.0], strict=True):
        result["final"] |= {"score": score, "test_log_likelihood": 10 * score}
    write_atomically(tmp_path / results.RESULTS, "".join(json.dumps(result) + "\n" for result in trained).encode())
    about = "Which loss?\n\nThe <paper> asks.\n\n    python -m jaxgan.sweep"
    content = {"name": "loss", "about": about, "members": results.records(planned)}
    write_atomically(tmp_path / results.SWEEP, json.dumps(content).encode())
    return tmp_path


def test_the_report(workdir):
    report.write(workdir)
    text = (workdir / "report.md").read_text()
    assert text.startswith("# Which loss?\n")
    (minimax,) = re.findall(r"\| loss=minimax \|.*", text)
    # The mean of 10 and 30: the member that diverged is counted, not averaged.
    assert minimax.startswith("| loss=minimax | worse | 3 | 1 | 20.0 [10.0, 30.0] |")
    (other,) = re.findall(r"\| loss=non_saturating \|.*", text)
    assert other.startswith("| loss=non_saturating | best | 3 | 0 | 50.0 [40.0, 60.0] |")
    assert "1 of 6 members diverged." in text
    for picture in re.findall(r"\((plots/\w+\.png)\)", text):
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG")


def test_the_page_needs_no_network(workdir):
    report.write(workdir)
    page = (workdir / "report.html").read_text()
    assert "&lt;paper&gt;" in page and "<paper>" not in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 3 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.findall(r"https?:|url\(|<script|<link|@import", page)


def test_a_report_of_a_sweep_under_way(workdir):
    path = workdir / results.RESULTS
    write_atomically(path, b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    report.write(workdir)
    assert "loss=non_saturating" not in (workdir / "report.md").read_text()
