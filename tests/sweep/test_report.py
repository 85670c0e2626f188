"""The report of a sweep: what sentences and tables say of known scores, and a page that needs nothing but itself."""

import json
import re
import threading

import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

from jaxgan.config import default, flatten, update
from jaxgan.config.files import to_json
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.files import write_atomically
from jaxgan.run import grids, plots
from jaxgan.sweep import figures, plan, report, results
from jaxgan.sweep.cautions import cautions
from jaxgan.sweep.figures import mean_curve
from jaxgan.sweep.settings import read_settings, varying_fields

PARZEN, TEST = "validation_log_likelihood", "test_log_likelihood"


def write_sweep(workdir, settings, *, base, finals, bests=None, lines=None, samples=None, finished=None):
    """A sweep's work directory with the files that training leaves.

    Args:
      settings: [{field: value}].
      base: changes of the default configuration.
      finals: [settings][seeds] {metric: number}, or None for a run that diverged.
      bests: as `finals`; the same where left out.
      lines: function (setting number, seed) -> the lines of metrics.jsonl.
      samples: function (setting number, seed) -> an array.
      finished: how many runs are.
    """
    members, done = [], []
    for i, setting in enumerate(settings):
        for seed, final in enumerate(finals[i]):
            name = f"{len(members):03d}-{i}-{seed}"
            config = update(default(), base | setting | {"seed": seed})
            members.append({"name": name, "setting": setting, "seed": seed, "config": flatten(config)})
            best = final if bests is None else bests[i][seed]
            done.append({
                "setting": setting, "seed": seed, "final": final or {"d_loss": 0.1}, "best": best or {},
                "diverged": final is None, "steps": 100,
            })  # fmt: skip
            place = workdir / "members" / name
            write_atomically(place / "config.json", to_json(config).encode())
            if lines:
                text = "".join(json.dumps(line) + "\n" for line in lines(i, seed))
                write_atomically(place / "metrics.jsonl", text.encode())
            if samples:
                (place / "samples").mkdir()
                np.savez(place / "samples" / "000000100.npz", samples=samples(i, seed))
    about = "Which one?\n\nThe <paper> asks.\n\n    python -m jaxgan.sweep"
    content = {"name": "loss", "about": about, "common": {}, "members": members}
    write_atomically(workdir / results.SWEEP, json.dumps(content).encode())
    text = "".join(json.dumps(line) + "\n" for line in done[:finished])
    write_atomically(workdir / results.RESULTS, text.encode())
    return workdir


def digits_lines(i, seed):
    """Of setting 0, seed 1 diverges after step 50."""
    found = []
    for step in range(10, 101, 10):
        line = {"step": step, "value": -1.3 + step / 1000 * i, "d_real": 0.5, "g_gradient_norm": 10.0 ** (-step / 20)}
        if step % 50 == 0:
            line[PARZEN] = step + seed
        dead = (i, seed) == (0, 1) and step > 50
        found.append({name: None if dead and name != "step" else x for name, x in line.items()})
    return found


@pytest.fixture
def workdir(tmp_path):
    """Two losses and 3 seeds on images; one run diverged."""
    scores = [[1.0, None, 3.0], [41.0, 50.0, 59.0]]
    finals = [[x and {PARZEN: x, TEST: 10 * x, SELECTION: x} for x in row] for row in scores]
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    rng = np.random.default_rng(0)
    return write_sweep(
        tmp_path,
        settings,
        base={"evaluate.metrics": ("parzen",)},
        finals=finals,
        lines=digits_lines,
        samples=lambda i, seed: rng.random((100, 8, 8, 1), np.float32),
    )


def row(text: str, setting: str) -> list[str]:
    (found,) = re.findall(rf"^\| {re.escape(setting)} \|.*", text, re.MULTILINE)
    return [cell.strip() for cell in found.strip("|").split("|")]


def test_a_table_by_hand(workdir):
    report.write(workdir)
    text = (workdir / "report.md").read_text()
    assert text.startswith("# Which one?\n")
    words = "Parzen validation log-likelihood (nats)"
    assert row(text, "setting")[1:5] == [f"verdict by {words}, last", "behind the best by", "runs", "diverged"]
    assert row(text, "setting")[5:7] == [f"{words}, last", f"{words}, best"]
    # t(1) = 12.706: 2 +- 12.706 sqrt(2) / sqrt(2); t(2) = 4.3027: 50 +- 4.3027 * 9 / sqrt(3).
    minimax, other = row(text, "loss=minimax"), row(text, "loss=non_saturating")
    assert minimax[3:6] == ["3", "1", "2.0 [-10.7, 14.7] (2 of 3 runs)"]
    assert other[3:6] == ["3", "0", "50.0 [27.6, 72.4]"] and other[1:3] == ["best", "—"]
    # Behind by 40 and 56: 48 +- 12.706 * sqrt(128) / sqrt(2).
    assert minimax[2] == "48.0 [-53.6, 149.6]"
    assert "1 of 6 runs diverged: 1 of 3 with loss=minimax." in text


def test_the_verdict_of_the_table_is_that_of_the_sentence_by_a_named_metric(tmp_path):
    """By the selection metric A is best, by another one B."""
    a, b = np.array([10.0, 11.0, 12.0, 10.5, 11.5]), np.array([0.0, 1.1, 2.0, 0.4, 1.6])
    finals = [[{PARZEN: x, TEST: y, SELECTION: x} for x, y in zip(*pair, strict=True)] for pair in ((a, b), (b, a))]
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    write_sweep(tmp_path, settings, base={"evaluate.metrics": ("parzen",)}, finals=finals)
    report.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert row(text, "setting")[1].startswith("verdict by Parzen validation")
    assert row(text, "loss=minimax")[1] == "best"
    assert row(text, "loss=non_saturating")[1].startswith("worse (p < 0.001)")
    by = dict(re.findall(r"^- By (.*?): best is (.*?),", text, re.MULTILINE))
    assert by == {
        "Parzen validation log-likelihood (nats) (the selection metric)": "loss=minimax",
        "Parzen test log-likelihood (nats)": "loss=non_saturating",
    }
    assert "worse: loss=non_saturating (by 10.0 [9.9, 10.1], p < 0.001)" in text


def test_smaller_is_better_for_metrics_with_negative_sign(tmp_path):
    """The same scores as JSD: the smaller one is best, and the other is behind by a positive amount."""
    finals = [[{"jsd": x, SELECTION: -x} for x in row] for row in ([0.1, 0.2, 0.3, 0.25], [0.41, 0.5, 0.6, 0.55])]
    settings = plan.over("optimizer.generator.learning_rate", [1e-3, 1e-2])
    base = {"data.name": "mixture:ring8", "evaluate.metrics": ("modes",)}
    points = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    write_sweep(tmp_path, settings, base=base, finals=finals, samples=lambda i, seed: points)
    report.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert row(text, "learning_rate=0.001")[1] == "best"
    assert row(text, "learning_rate=0.01")[1].startswith("worse (p")
    # Differences .31, .30, .30, .30: .3025 +- 3.1824 * .005 / 2.
    assert row(text, "learning_rate=0.01")[2] == "0.302 [0.295, 0.310]"
    assert (tmp_path / "plots" / "samples.png").stat().st_size > 10_000


def test_without_a_difference_the_headline_begins_with_that(tmp_path):
    finals = [[{PARZEN: x, SELECTION: x} for x in row] for row in ([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.5])]
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    write_sweep(tmp_path, settings, base={"evaluate.metrics": ("parzen",)}, finals=finals)
    report.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    headline = re.search(r"^- (By .*)$", text, re.MULTILINE)[1]
    # Differences -1, 1, -1, .5: t(3) = -.125 / (1.0308 / 2) = .2425 in size, two-sided p = .824.
    assert headline == (
        "By Parzen validation log-likelihood (nats) (the selection metric): no difference found between the 2 settings "
        f"(p ≥ 0.824); the best mean is that of loss=non_saturating, {row(text, 'loss=non_saturating')[5]}."
    )
    assert row(text, "loss=minimax")[1] == "not distinguishable (p = 0.824)"


def test_the_table_has_the_selection_metric_and_another_table_the_others(tmp_path):
    names = (PARZEN, TEST, "fid", "kid", "precision", "recall")
    finals = [[dict.fromkeys(names, float(seed + i)) | {SELECTION: 0.0} for seed in range(3)] for i in range(2)]
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    write_sweep(tmp_path, settings, base={"evaluate.metrics": ("parzen",)}, finals=finals)
    report.write(tmp_path)
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    assert len(row(text, "setting")) == 7
    others = text.partition("## Other metrics")[2]
    assert [line.split("|")[1:4:2] for line in others.splitlines() if line.startswith(("| FID", "| KID"))] == [
        [" FID ", " 1.00 [-1.48, 3.48] "], [" FID ", " 2.00 [-0.48, 4.48] "],
        [" KID ", " 1.00000 [-1.48414, 3.48414] "], [" KID ", " 2.00000 [-0.48414, 4.48414] "],
    ]  # fmt: skip
    assert "<summary>Other metrics</summary>" in page


def test_under_three_seeds_there_is_no_verdict(tmp_path):
    finals = [[{PARZEN: x, SELECTION: x} for x in row] for row in ([1.0, 2.0], [100.0, 101.0])]
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    write_sweep(tmp_path, settings, base={}, finals=finals)
    report.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert row(text, "loss=minimax")[1] == row(text, "loss=non_saturating")[1] == "—"
    assert "a comparison needs 3" in text and "best is" not in text


def test_settings_that_select_by_different_metrics_get_no_verdict_in_the_table(tmp_path):
    numbers = {PARZEN: 1.0, "jsd": 0.1, SELECTION: 1.0}
    settings = plan.over("evaluate.best", [PARZEN, "jsd"])
    base = {"evaluate.metrics": ("parzen", "modes"), "data.name": "mixture:ring8"}
    write_sweep(tmp_path, settings, base=base, finals=[[numbers] * 3] * 2)
    assert read_settings(tmp_path).selection is None
    report.write(tmp_path)
    assert "verdict" not in " ".join(row((tmp_path / "report.md").read_text(), "setting"))


@pytest.mark.parametrize("early", [True, False])
def test_a_sweep_in_which_everything_diverged(tmp_path, early):
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    lines = (lambda i, seed: [{"step": 10, "value": None}]) if early else digits_lines
    write_sweep(tmp_path, settings, base={}, finals=[[None] * 3] * 2, lines=lines)
    report.write(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert (tmp_path / "plots" / "curves.png").exists() == ("curves.png" in text) == (not early)
    assert "6 of 6 runs diverged" in text and "No run has a score at its end." in text


@pytest.mark.parametrize("crossed", [True, False])
def test_each_field_has_a_legend_of_the_others_where_there_are_any(tmp_path, monkeypatch, crossed):
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    settings = plan.product(settings, plan.over("train.d_steps", [1, 2, 3])) if crossed else settings
    finals = [[{PARZEN: float(seed), SELECTION: 0.0} for seed in range(3)] for _ in settings]
    write_sweep(tmp_path, settings, base={"evaluate.metrics": ("parzen",)}, finals=finals)
    swept = read_settings(tmp_path)
    monkeypatch.setattr(figures.plots, "figure_png", lambda figure: figure)
    figure = figures.scores(swept.fields, swept.settings, swept.metrics)
    legends = [[text.get_text() for text in legend.get_texts()] for part in figure.subfigs for legend in part.legends]
    both = [["d_steps=1", "d_steps=2", "d_steps=3"], ["loss=minimax", "loss=non_saturating"]]
    assert legends == (both if crossed else [])


def test_a_mean_curve_counts_the_runs_that_are_left():
    members = [[{"step": 1, "x": a}, {"step": 2, "x": b}] for a, b in ((1.0, 4.0), (2.0, None), (3.0, 6.0))]
    steps, found = mean_curve([*members, [{"step": 2, "y": 0.0}]], "x")
    assert steps.tolist() == [1, 2]
    half = 4.3027 / np.sqrt(3)  # t(2), deviation 1; of two runs no interval is drawn
    np.testing.assert_allclose(found, [[2, 2 - half, 2 + half, 3], [5, 5, 5, 2]], rtol=1e-4)


def test_fields_that_go_together_are_one():
    both = [f"optimizer.{player}.learning_rate" for player in ("generator", "discriminator")]
    together = plan.zipped(*(plan.over(key, [0.1, 0.2]) for key in both))
    settings = plan.product(together, plan.over("train.d_steps", [1, 2]))
    assert [(field.keys, field.label) for field in varying_fields(settings)] == [
        (both, "learning_rate"), (["train.d_steps"], "d_steps")
    ]  # fmt: skip
    crossed = plan.product(*(plan.over(key, [0.1, 0.2]) for key in both))
    labels = [field.label for field in varying_fields(crossed)]
    assert labels == ["generator.learning_rate", "discriminator.learning_rate"]


def test_the_page_needs_no_network(workdir):
    report.write(workdir)
    page = (workdir / "report.html").read_text()
    assert "&lt;paper&gt;" in page and "<paper>" not in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 3 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not re.findall(r"https?:|url\(|<script|<link|@import", page)
    text = (workdir / "report.md").read_text()
    pictures = re.findall(r"\((plots/\w+\.png)\)", text)
    assert len(pictures) == 3
    for picture in pictures:
        assert (workdir / picture).read_bytes().startswith(b"\x89PNG")


def test_a_report_waits_for_the_one_that_read_fewer_results(workdir, monkeypatch):
    """Else the report that read first and wrote last would replace that of more runs."""
    results_before = (workdir / results.RESULTS).read_bytes()
    lines = results_before.splitlines(keepends=True)
    (workdir / results.RESULTS).write_bytes(b"".join(lines[:3]))
    read, threads = report.read_settings, []

    def slow(path):
        swept = read(path)
        if not threads:
            (workdir / results.RESULTS).write_bytes(results_before)
            threads.append(threading.Thread(target=report.write, args=(workdir,)))
            threads[0].start()
            threads[0].join(2)
        return swept

    monkeypatch.setattr(report, "read_settings", slow)
    report.write(workdir)
    threads[0].join()
    assert "runs are finished so far" not in (workdir / "report.md").read_text()


HOSTILE = [
    r"npz:$a_1$b.npz",
    r"npz:$\frac{$.npz",  # no formula that Matplotlib could read
    r"npz:\$x$|y.npz",
    "npz:<script>alert(1)</script>\n\t.npz",
    f"npz:{'long/' * 400}x.npz",
]


def test_names_of_data_are_no_formulas_and_no_program(tmp_path, monkeypatch):
    """They stand in labels, titles, legends and tables."""
    legends = []
    figure_png = plots.figure_png
    monkeypatch.setattr(plots, "figure_png", lambda figure: legends.append(drawn_text(figure)) or figure_png(figure))
    settings = [{"data.name": name, "train.d_steps": k} for name in HOSTILE for k in (1, 2)]
    workdir = write_sweep(
        tmp_path, settings, base={}, finals=[[{"test_log_likelihood": 1.0 + seed} for seed in range(3)]] * 10,
        lines=digits_lines,
    )  # fmt: skip
    report.write(workdir)
    for name in ("scores", "curves", "samples"):
        assert (workdir / "plots" / f"{name}.png").stat().st_size > 1000
    shown = "\n".join(text for texts in legends for text in texts)
    assert r"name=npz:\$a_1\$b.npz, d_steps=1" in shown
    assert max(len(line) for line in shown.split("\n")) < 120
    page, text = (workdir / "report.html").read_text(), (workdir / "report.md").read_text()
    assert "<script>alert" not in page + text and "&lt;script&gt;alert(1)" in page
    assert r"npz:\$a_1\$b.npz" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 10 and {line.replace(r"\|", "").count("|") for line in table} == {table[0].count("|")}


def test_a_label_is_one_line_of_plain_text():
    assert plots.plain("loss=minimax, d_steps=2") == "loss=minimax, d_steps=2"
    assert plots.plain("a$b$c") == r"a\$b\$c" and not is_math_text(plots.plain("a$b$c"))
    assert plots.plain("a\n\0b") == "a  b"
    assert plots.plain("0123456789", 7) == "012…789"


def drawn_text(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("finished", [0, 2, 5])
def test_a_report_of_a_sweep_under_way(workdir, finished):
    path = workdir / results.RESULTS
    write_atomically(path, b"".join(path.read_bytes().splitlines(keepends=True)[:finished]))
    report.write(workdir)
    text = (workdir / "report.md").read_text()
    assert f"{finished} of 6 runs are finished so far" in text
    assert ("loss=non_saturating" in text) == (finished > 3)


def test_real_data_stand_before_the_samples_where_all_settings_have_the_same(workdir, monkeypatch):
    figure, pictures = [], [grids.png(np.full((9, 9, 3), shade, np.uint8)) for shade in (0, 200)]
    monkeypatch.setattr(plots, "figure_png", lambda drawn: figure.append(drawn) or b"")
    settings = read_settings(workdir).settings
    for second, titles in ((0, ["real data", "loss=minimax", "loss=non_saturating"]), (1, ["loss=minimax"])):
        for setting, picture in zip(settings, (pictures[0], pictures[second]), strict=True):
            for name in setting.names:
                write_atomically(workdir / "members" / name / "samples" / grids.REAL, picture)
                write_atomically(workdir / "members" / name / "samples/000000100.png", pictures[1])
        figures.samples(workdir, settings, PARZEN)
        assert [axis.get_title().partition("\n")[0] for axis in figure[-1].axes][: len(titles)] == titles
    first, *others = figure[0].axes
    assert (first.get_images()[0].get_array() == 0).all()
    assert all((axis.get_images()[0].get_array() == 200).all() for axis in others)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([[0.5, 0.5, 0.52], [0.4, 0.41, 0.4]], ()),
        ([[0.99, 0.9, 1.0], [0.4, 0.41, 0.4]], ("intervals extend outside [0, 1]",)),  # .963 + 4.3 * .055 / 3^.5
        ([[0.0, 0.0, 0.0], [0.01, 0.011, 0.012]], ("all settings are at chance level (0)",)),
        ([[0.0, 0.0, 0.0], [0.2, 0.2, 0.2]], ()),
    ],
)
def test_when_the_scores_of_a_sweep_say_little(tmp_path, scores, words):
    name = "validation_pixels_precision"
    finals = [[{name: x, SELECTION: x} for x in row] for row in scores]
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    base = {"evaluate.metrics": ("prdc",), "evaluate.best": name}
    write_sweep(tmp_path, settings, base=base, finals=finals)
    found = cautions(read_settings(tmp_path))
    assert len(found) == len(words) and all(word in sentence for word, sentence in zip(words, found, strict=True))
    report.write(tmp_path)
    assert all(sentence in (tmp_path / "report.md").read_text() for sentence in found)


def test_a_score_without_an_upper_end_has_a_lower_one(tmp_path):
    finals = [[{"validation_fid": x, SELECTION: -x} for x in row] for row in ([1.0, 9.0], [5.0, 5.1])]
    settings = plan.over("objective.loss", ["minimax", "non_saturating"])
    base = {"evaluate.metrics": ("fid",), "evaluate.features": "inception:x.npz"}
    write_sweep(tmp_path, settings, base=base, finals=finals)
    (sentence,) = cautions(read_settings(tmp_path))
    assert sentence.startswith("FID, validation: intervals extend below 0")
