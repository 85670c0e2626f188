from __future__ import annotations

import math
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from jaxgan.config import default, update
from jaxgan.data import mixture
from jaxgan.errors import UserError
from jaxgan.run import plots


def test_a_grid_of_single_pixels():
    """Five grey pixels in two rows: three columns, and a sixth cell that stays empty."""
    images = np.array([0, 0.2, 0.4, 0.6, 1.5], np.float32).reshape(5, 1, 1, 1)
    picture = plots.grid(images, rows=2)
    scale = math.ceil(500 / 3)
    assert picture.shape == (2 * (scale + 1) + 1, 3 * (scale + 1) + 1, 1) and picture.dtype == np.uint8
    for i, want in enumerate([0, 51, 102, 153, 255, plots.GAP]):
        row, column = divmod(i, 3)
        top, left = row * (scale + 1), column * (scale + 1)
        assert (picture[top + 1 : top + 1 + scale, left + 1 : left + 1 + scale] == want).all()
        assert (picture[top, left : left + scale] == plots.GAP).all()
        assert (picture[top : top + scale, left] == plots.GAP).all()
    assert (picture[-1] == plots.GAP).all() and (picture[:, -1] == plots.GAP).all()


@pytest.mark.parametrize(("height", "width", "n", "rows"), [(8, 8, 100, 10), (28, 28, 100, 10), (7, 13, 6, 1)])
def test_a_grid_is_wide_enough_to_see_and_keeps_every_pixel(height, width, n, rows):
    images = np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    picture = plots.grid(images, rows)
    columns = n // rows
    assert 500 <= picture.shape[1] < 500 + columns * (width + 1) + 2
    scale = (picture.shape[1] - 1) // columns // width
    last = picture[-1 - height * scale : -1 : scale, -1 - width * scale : -1 : scale]
    np.testing.assert_array_equal(last, images[-1])


def test_large_images_are_not_enlarged_and_odd_channels_are_averaged():
    images = np.zeros((4, 300, 400, 2), np.uint8)
    images[..., 1] = 100
    picture = plots.grid(images, rows=2)
    assert picture.shape == (603, 803, 1)
    assert (picture[1, 1] == 50).all()


@pytest.mark.parametrize(
    ("n", "classes", "rows", "columns"),
    [(100, 10, 10, 10), (64, 10, 10, 7), (400, 10, 20, 20), (100, 3, 9, 12), (100, 1000, 10, 10), (1, 1, 1, 1)],
)
def test_a_grid_has_a_class_per_row(n, classes, rows, columns):
    """All of them, whatever n, as soon as it is enough; then again from the first one."""
    assert plots.rows_of(n, classes) == rows
    y = plots.row_classes(n, classes)
    assert (y.shape, y.dtype) == ((n,), np.int32)
    cells = np.full(rows * columns, -1)
    cells[:n] = y
    for i, row in enumerate(cells.reshape(rows, columns)):
        assert set(row.tolist()) <= {i % classes, -1}
    assert set(y.tolist()) == set(range(min(rows, classes)))
    assert plots.rows_of(n, 0) == int(np.ceil(np.sqrt(n)))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_pixels(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    plots.save_png(tmp_path / "new" / "x.png", picture)
    with Image.open(tmp_path / "new" / "x.png") as file:
        found = np.asarray(file)
    np.testing.assert_array_equal(found.reshape(5, 7, channels), picture)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.png"]


def test_a_png_that_cannot_be_written(tmp_path):
    (tmp_path / "samples").write_text("a file")
    with pytest.raises(UserError, match="could not be written"):
        plots.save_png(tmp_path / "samples" / "x.png", np.zeros((5, 7, 1), np.uint8))


def assert_can_be_seen(path: Path) -> None:
    with Image.open(path) as file:
        assert file.size[0] >= 500 and file.size[1] >= 300


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """The figures that are saved."""
    saved = []
    real = plots.figure_png

    def save(figure):
        saved.append(figure)
        return real(figure)

    monkeypatch.setattr(plots, "figure_png", save)
    return saved


def line(axis, label: str):
    (found,) = [x for x in axis.get_lines() if x.get_label() == label]
    return found


def test_curves_show_the_game_and_its_equilibrium(tmp_path, figures):
    names = ("value", "d_real", "d_fake", "d_loss", "g_loss")
    records = [{"step": s, **{name: i + s / 100 for i, name in enumerate(names)}} for s in (10, 20, 30)]
    records[1]["value"] = None  # it was not finite
    del records[2]["g_loss"]
    plots.curves(tmp_path / "curves.png", records, default())
    (figure,) = figures
    v, d, losses = figure.axes
    # Undivided, D's loss is -V; that of G is the non-saturating one, -log 1/2.
    ends = (
        (v, "−log 4", -math.log(4)),
        (d, "1/2", 0.5),
        (losses, "log 2", math.log(2)),
        (losses, "log 4", math.log(4)),
    )
    for axis, label, y in ends:
        assert line(axis, f"{label} in theory").get_linestyle() == "--"
        np.testing.assert_allclose(line(axis, f"{label} in theory").get_ydata(), [y, y], rtol=1e-6)
    assert line(v, "V(D, G)").get_xydata().tolist() == [[10, 0.1], [30, 0.3]]
    assert line(d, "D(x)").get_xydata().tolist() == [[10, 1.1], [20, 1.2], [30, 1.3]]
    assert line(d, "D(G(z))").get_xydata().tolist() == [[10, 2.1], [20, 2.2], [30, 2.3]]
    assert line(losses, "loss of G").get_xydata().tolist() == [[10, 4.1], [20, 4.2]]
    assert v.get_xlim() == d.get_xlim() == losses.get_xlim()
    assert_can_be_seen(tmp_path / "curves.png")


def test_the_end_of_the_game_by_hand():
    log2 = math.log(2)
    paper = update(default(), {"objective.loss": "minimax", "objective.d_scale": 0.5})
    game = {"value": -2 * log2, "d_real": 0.5, "d_fake": 0.5}
    assert plots.equilibrium(paper) == pytest.approx(game | {"d_loss": log2, "g_loss": -log2})
    smoothed = update(default(), {"objective.real_target": 0.9})  # D is .45 at p_g = p_data
    assert plots.equilibrium(smoothed) == {}


@pytest.mark.parametrize("loss", ["wasserstein", "hinge", "least_squares", "relativistic"])
def test_where_d_is_no_probability_curves_show_logits_and_no_theory(tmp_path, figures, loss):
    config = update(default(), {"objective.loss": loss})
    names = ("real_logit", "fake_logit", "d_loss", "g_loss", "r1", "r2", "d_gradient_norm", "g_gradient_norm")
    records = [{"step": s, **{name: i + s / 100 for i, name in enumerate(names)}} for s in (10, 20)]
    plots.curves(tmp_path / "curves.png", records, config)
    logits, losses, penalties, gradients = figures[0].axes
    assert line(logits, "logit of D on data").get_ydata().tolist() == [0.1, 0.2]
    assert line(logits, "logit of D on samples").get_ydata().tolist() == [1.1, 1.2]
    assert line(losses, "loss of D").get_ydata().tolist() == [2.1, 2.2]
    assert line(penalties, "r1").get_ydata().tolist() == [4.1, 4.2]
    assert line(penalties, "r2").get_ydata().tolist() == [5.1, 5.2]
    assert line(gradients, "gradient norm of G").get_ydata().tolist() == [7.1, 7.2]
    words = [x.get_label() for axis in figures[0].axes for x in axis.get_lines()]
    assert not [word for word in words if "theory" in word]


@pytest.mark.parametrize("records", [[], [{"step": 1, "value": -1.0, "d_real": 0.5}], [{"step": 1}]])
def test_curves_of_hardly_anything(tmp_path, records):
    plots.curves(tmp_path / "curves.png", records, default())
    assert_can_be_seen(tmp_path / "curves.png")


def test_a_figure_that_is_kept_forgets_the_run_before():
    """Points, markers, ranges and a logarithmic axis of another run with the same numbers leave no trace."""
    config = update(default(), {"objective.loss": "hinge"})
    long = [{"step": s, "real_logit": 9.0, "d_loss": 10.0**s, "g_loss": 1.0} for s in range(-20, 20)]
    short = [{"step": s, "real_logit": -s, "d_loss": s / 10, "g_loss": -1.0} for s in range(3)]
    plots.curves_png(long, config)
    after_another = plots.curves_png(short, config)
    plots._empty_curves.cache_clear()
    assert plots.curves_png(short, config) == after_another


def test_every_number_of_a_step_has_words():
    for name in ("value", "d_loss", "g_loss", "real_logit", "r1", "dragan", "jsd", "test_log_likelihood"):
        assert plots.shown(name).words
    assert plots.shown("images_per_second") is None


def test_points_in_one_dimension_are_densities(tmp_path, figures):
    bimodal = mixture.NAMED["bimodal"]
    samples = np.array([[-2.0]] * 3 + [[100.0]], np.float32)
    plots.points(tmp_path / "x.png", samples, bimodal)
    (axis,) = figures[0].axes
    (bars,) = axis.patches
    area = np.sum(bars.get_data().values * np.diff(bars.get_data().edges))
    assert area == pytest.approx(0.75)
    assert "25.0% of the samples outside" in bars.get_label()
    p_data = line(axis, "p_data")
    assert p_data.get_linestyle() == ":" and p_data.get_color() == "black"
    x, y = p_data.get_data()
    assert np.sum(y) * (x[1] - x[0]) == pytest.approx(1, abs=1e-3)


def test_points_in_two_dimensions_are_samples_and_circles(tmp_path, figures):
    ring = mixture.NAMED["ring8"]
    samples = np.random.default_rng(0).normal(size=(7000, 2)).astype(np.float32) / 10
    plots.points(tmp_path / "x.png", samples, ring)
    (axis,) = figures[0].axes
    (cloud,) = axis.collections
    np.testing.assert_array_equal(cloud.get_offsets(), samples[:5000])
    circles = axis.get_lines()
    assert len(circles) == 8
    for circle, mean in zip(circles, ring.means, strict=True):
        radii = np.linalg.norm(circle.get_xydata() - mean, axis=1)
        np.testing.assert_allclose(radii, 0.06, rtol=1e-4)
    assert cloud.get_label() == "p_g"


def test_threads_may_draw_and_pyplot_is_not_involved(tmp_path):
    records = [{"step": s, "value": -1.0, "d_real": 0.5, "d_fake": 0.5} for s in range(5)]
    threads = [
        threading.Thread(target=plots.curves, args=(tmp_path / f"{i}.png", records, default())) for i in range(2)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    pictures = {(tmp_path / f"{i}.png").read_bytes() for i in range(2)}
    assert len(pictures) == 1
    assert "matplotlib.pyplot" not in sys.modules
