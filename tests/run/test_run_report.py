"""The page of a run: neighbours, paths and the recipe by hand; a whole page of every kind of data; no network."""

import html
import json
import re
import subprocess
import warnings

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgan import data
from jaxgan.config.files import to_json
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.game.build import build_for
from jaxgan.run import grids, report, report_pictures
from jaxgan.train import train

pytestmark = pytest.mark.slow


def dataset_of(train: np.ndarray, stack: int = 1) -> Dataset:
    empty = np.empty((0, *train.shape[1:-1], stack * train.shape[-1]), np.uint8)
    return Dataset("npz:x", train, empty, empty, None, stack=stack)


def test_the_nearest_example_is_that_of_all_distances(monkeypatch):
    monkeypatch.setattr(report_pictures, "CHUNK", 7)  # the last chunk is shorter
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 3, 2, 1), dtype=np.uint8)
    x = rng.random((5, 3, 2, 1), np.float32)
    x[0] = images[33] / np.float32(255)  # a copy
    found, distances = report_pictures.nearest_examples(x, dataset_of(images), 0.0)
    every = np.linalg.norm(x.reshape(5, 1, 6).astype(float) - images.reshape(1, 40, 6) / 255, axis=-1)
    np.testing.assert_array_equal(found, images[every.argmin(axis=1)])
    np.testing.assert_allclose(distances, every.min(axis=1), atol=1e-6)
    assert distances[0] == pytest.approx(0, abs=1e-6)


def test_the_nearest_stack_has_the_nearest_image_in_each_channel():
    images = np.array([0, 100, 200], np.uint8).reshape(3, 1, 1, 1)
    x = np.array([[190, 10, 120], [0, 0, 0]], np.float32).reshape(2, 1, 1, 3) / 255
    found, distances = report_pictures.nearest_examples(x, dataset_of(images, stack=3), 0.0)
    assert found.reshape(2, 3).tolist() == [[200, 0, 100], [0, 0, 0]]
    np.testing.assert_allclose(distances, [np.sqrt(10**2 + 10**2 + 20**2) / 255, 0], atol=1e-6)


def test_paths_between_two_z():
    a, b = np.array([[3.0, 0.0]], np.float32), np.array([[0.0, 3.0]], np.float32)
    straight = report_pictures.interpolate(a, b, 3, straight=True)
    np.testing.assert_allclose(straight, [[[3, 0], [1.5, 1.5], [0, 3]]], atol=1e-6)
    circle = report_pictures.interpolate(a, b, 3, straight=False)
    np.testing.assert_allclose(circle, [[[3, 0], [3 / 2**0.5, 3 / 2**0.5], [0, 3]]], atol=1e-6)
    same = report_pictures.interpolate(a, a, 5, straight=False)
    np.testing.assert_allclose(same, np.broadcast_to(a[:, None], (1, 5, 2)), atol=1e-2)


def test_a_picture_is_as_small_as_it_has_to_be():
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    picture = grids.png(noise)
    assert report_pictures.shrink(picture, len(picture)) is picture
    small = report_pictures.shrink(picture, 50_000)
    assert len(small) <= 50_000 and small.startswith(b"\xff\xd8")


def test_the_recipe_is_the_configuration(tiny_config):
    config = tiny_config(**{
        "objective.loss": "least_squares", "objective.penalties.r1": 0.1, "evaluate.metrics": (),
        "data.name": "npz:a'b", "optimizer.generator.name": "sgd", "generator.ema.gamma": (1.0, 2.0),
    })  # fmt: skip
    found: dict = {}
    exec(report.config_file(config), found)
    assert found["get_config"]().to_json() == config.to_json()


@pytest.mark.parametrize("name", ["mnist", "my run", "it's (2) $HOME", "a&b;`ls`", "<b>"])
def test_the_command_that_repeats_a_run_is_one_for_the_shell(tiny_config, tmp_path, name):
    page = report._recipe(tiny_config(), {"git_commit": "0" * 40}, name)
    *_, command = re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)
    command = html.unescape(command)
    printed = command.replace("python -m jaxgan.main", "printf '%s\\n'", 1)
    arguments = subprocess.run(["sh", "-c", printed], capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert arguments.splitlines() == [f"--config=repeat_{name}.py", f"--workdir=runs/{name}_again"]


def assert_needs_no_network(page: str) -> None:
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert not re.findall(r"https?:|url\(|<link|@import|src='|fetch\(|XMLHttp", page)


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page)


def test_a_finished_run_has_a_page(tiny_config, tmp_path):
    config = tiny_config(**{"sample.every": 10, "evaluate.every": 10})
    assert train(config, tmp_path / "<run>") == 0
    page = (tmp_path / "<run>" / "report.html").read_text()
    assert_needs_no_network(page)
    assert len(page) < 1_000_000 and "&lt;run&gt;" in page and "<run>" not in page
    titles = ["Samples", "Nearest training examples", "Training", "Scores", "Configuration", "Versions and data"]
    assert headings(page) == [*titles, "Reproducing this run"]
    assert 'alt="step 10"' in page and 'alt="step 20"' in page and page.count("<img hidden") == 1
    numbers = json.loads((tmp_path / "<run>" / "evaluation.json").read_text())
    assert f"<td>{numbers['validation_log_likelihood']:.1f}</td>" in page
    assert "<td>train.batch_size</td><td>8</td><td>64</td>" in page
    assert jax.__version__ in page
    assert "necessary but not sufficient" in page and "real data (64 training examples)" in page
    assert "Real data: training examples, for comparison." in page
    assert not re.search(r"selection|parzen_sigma|at_edge|standard_error", page)
    assert "The scores over training." in page


def write_run(workdir, config, records):
    workdir.mkdir()
    (workdir / "config.json").write_text(to_json(config))
    (workdir / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def render(workdir, config, dataset=None):
    dataset = dataset or data.load(config.data)
    return report.render(workdir, **parts(config, dataset)).decode()


def parts(config, dataset):
    """Of a run that has not begun, with noise for samples."""
    gan, hparams = build_for(config, dataset), traced(config)
    samples = np.random.default_rng(0).random((5, *dataset.shape), np.float32)
    state = jax.jit(gan.init)(hparams)
    return {"gan": gan, "hparams": hparams, "state": state, "dataset": dataset, "samples": samples}


def test_the_last_and_the_best_score_are_side_by_side(tiny_config, tmp_path):
    config = tiny_config(**{"data.name": "mixture:ring8", "evaluate.metrics": ("modes",), "objective.loss": "hinge",
                            "generator.output": "linear"})  # fmt: skip
    scored = [{"step": s, "jsd": j, "modes": m, SELECTION: -j} for s, j, m in ((5, 0.3, 4), (10, 0.1, 6), (15, 0.2, 5))]
    write_run(tmp_path / "run", config, [{"step": 1, "d_loss": 1.0}, *scored])
    content = {"step": 15, "jsd": 0.2, "modes": 5, SELECTION: -0.2, "protocol": {"samples": 77, "versions": {"a": "1"}}}
    (tmp_path / "run" / "evaluation.json").write_text(json.dumps(content))
    page = render(tmp_path / "run", config)
    assert "<th>last (step 15)</th><th>best (step 10)</th>" in page
    assert "<td>JSD (nats)</td><td>0.200</td><td>0.100</td>" in page
    assert "<td>modes captured</td><td>5.00</td><td>6.00</td>" in page
    score = re.search(r"JSD \(nats\): 0.200 at step 15; best: 0.100 at step 10; 64 training examples instead", page)
    real = re.search(r"instead of samples: ([\d.]+)\.", page)
    assert score and real and 0 < float(real[1]) < 1
    assert f"<td>JSD (nats)</td><td>0.200</td><td>0.100</td><td>{real[1]}</td>" in page
    assert "The scores over training." in page
    assert "lowest JSD (nats), of 3" in page and "<td>samples</td><td>77</td>" in page
    assert "does not apply to these values" in page
    assert "Nearest training examples" not in headings(page) and "p_data dotted" in page
    assert_needs_no_network(page)


def test_pages_of_labels_of_stacks_and_of_runs_without_scores(tiny_config, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), dtype=np.uint8)
    for name, changes, dataset in (
        ("labels", {"conditional": "label"}, None),
        ("stack", {"data.name": "stacked:digits"}, dataset_of(images, stack=3)),
    ):
        config = tiny_config(**changes, **{"evaluate.metrics": ()})
        write_run(tmp_path / name, config, [])
        page = render(tmp_path / name, config, dataset)
        assert "Nothing was evaluated" in page and "Nearest training examples" in headings(page)
        assert ("(per channel)" in page) == (name == "stack")


def test_a_report_that_fails_is_a_warning(tiny_config, tmp_path):
    config = tiny_config()
    write_run(tmp_path / "run", config, [])
    (tmp_path / "run" / "report.html").mkdir()
    ready = parts(config, data.load(config.data))
    with pytest.warns(UserWarning, match=r"report\.html was not written"):
        report.write(tmp_path / "run", **ready)
    with warnings.catch_warnings(), pytest.raises(UserWarning, match="TypeError"):  # a bug, where warnings are errors
        warnings.simplefilter("error")
        report.write(tmp_path / "run", **ready | {"hparams": None})


def test_large_runs_stay_small_pages(tiny_config, tmp_path):
    config = tiny_config(**{"evaluate.metrics": ()})
    write_run(tmp_path / "run", config, [])
    (tmp_path / "run" / "samples").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    for step in range(40):
        Image.fromarray(noise).save(tmp_path / "run" / "samples" / f"{step:09d}.png")
    page = render(tmp_path / "run", config)
    assert len(page) < 5_000_000
    assert 'alt="step 0"' in page and 'alt="step 39"' in page and page.count('alt="step ') == report_pictures.FRAMES
