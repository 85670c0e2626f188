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
from jaxgan.data import Dataset, mixture
from jaxgan.errors import UserError
from jaxgan.run import curves, grids, plots


def test_a_grid_of_single_pixels():
    """Five grey pixels in two rows: two columns, and the fifth, which fills no row, is left out."""
    images = np.array([0, 0.2, 0.4, 1.5, 0.7], np.float32).reshape(5, 1, 1, 1)
    picture = grids.grid(images, rows=2)
    side, gutter = 250, 8
    assert picture.shape == (2 * side + 3 * gutter, 2 * side + 3 * gutter, 3) and picture.dtype == np.uint8
    is_gutter = (picture == (214, 226, 245)).all(axis=-1)
    bars = np.arange(len(picture)) % (side + gutter) < gutter
    np.testing.assert_array_equal(is_gutter, bars[:, None] | bars[None, :])
    for i, want in enumerate([0, 51, 102, 255]):
        top, left = (gutter + place * (side + gutter) for place in divmod(i, 2))
        assert (picture[top : top + side, left : left + side] == want).all()


@pytest.mark.parametrize(
    ("height", "width", "n", "rows", "scale"),
    [(8, 8, 100, 10, 7), (28, 28, 100, 10, 2), (7, 13, 6, 1, 7), (8, 8, 2500, 50, 4), (1, 2, 900, 30, 16)],
)
def test_a_grid_is_wide_enough_to_see_and_keeps_every_pixel(height, width, n, rows, scale):
    """Tiles are whole multiples of the images, and of 32 pixels or more however many there are."""
    images = np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)
    picture = grids.grid(images, rows)
    columns = n // rows
    assert picture.shape[1] >= 500 and scale * max(height, width) >= 32
    gutter = max(2, min(8, scale * max(height, width) // 10))
    assert picture.shape[:2] == tuple(k * (scale * s + gutter) + gutter for k, s in ((rows, height), (columns, width)))
    last = picture[-gutter - height * scale : -gutter : scale, -gutter - width * scale : -gutter : scale]
    np.testing.assert_array_equal(last, images[-1])


def test_gutters_have_a_colour_that_no_pixel_has():
    """Where images have the usual one and its neighbour, that below them."""
    images = np.zeros((4, 2, 2, 3), np.uint8)
    images[0], images[3, 1, 1] = (214, 226, 245), (214, 226, 244)
    picture = grids.grid(images, rows=2)
    gutter = picture[0, 0]
    assert gutter.tolist() == [214, 226, 243]
    share = (picture == gutter).all(axis=-1).mean()
    assert share == pytest.approx(1 - (2 * 250 / len(picture)) ** 2)


def test_large_images_are_not_enlarged_and_odd_channels_are_averaged():
    images = np.zeros((4, 300, 400, 2), np.uint8)
    images[..., 1] = 100
    picture = grids.grid(images, rows=2)
    assert picture.shape == (2 * 308 + 8, 2 * 408 + 8, 3)
    assert (picture[8, 8] == 50).all()


@pytest.mark.parametrize(
    ("n", "classes", "rows", "columns"),
    [(100, 10, 10, 10), (64, 10, 10, 6), (400, 10, 20, 20), (100, 3, 9, 11), (100, 1000, 10, 10), (1, 1, 1, 1),
     (5, 5, 5, 1), (4, 3, 3, 1)],
)  # fmt: skip
def test_a_grid_has_a_class_per_row(n, classes, rows, columns):
    """All of them, whatever n, as soon as it is enough; then again from the first one."""
    assert grids.grid_rows(n, classes) == rows and n // rows == columns
    y = grids.row_classes(n, classes)
    assert (y.shape, y.dtype) == ((n,), np.int32)
    for i, row in enumerate(y[: rows * columns].reshape(rows, columns)):
        assert set(row.tolist()) == {i % classes}


@pytest.mark.parametrize(
    ("n", "rows", "columns"), [(100, 10, 10), (9, 3, 3), (1, 1, 1), (2, 1, 2), (7, 1, 7), (6, 2, 3), (11, 2, 5)]
)
def test_rows_are_whole(n, rows, columns):
    """A shape that leaves out as few samples as possible, none of up to ten."""
    assert (grids.grid_rows(n, 0), n // grids.grid_rows(n, 0)) == (rows, columns)


def test_each_row_is_labelled_with_its_class():
    """The grid itself is what it is without classes, with the texts at its left."""
    images = np.random.default_rng(0).random((6, 4, 4, 1), np.float32)
    bare = grids.grid(images, rows=3)
    margins = {}
    for names in ((), ("cat", "dog", "owl"), ("cat", "dog", "o" * 99)):
        picture = grids.sample_grid(default(), images, 3, names)
        margin = picture.shape[1] - bare.shape[1]
        np.testing.assert_array_equal(picture[:, margin:], bare)
        rows = np.split(picture[:, :margin], [k * len(bare) // 3 for k in (1, 2)])
        dark = [int((row.min(axis=-1) < 60).sum()) for row in rows]
        assert margin > 0 and min(dark) > 20  # there is text at every row
        margins[names] = margin
    assert margins[()] < margins["cat", "dog", "owl"] < margins["cat", "dog", "o" * 99] < 250


def tiles(picture: np.ndarray, rows: int, columns: int, side: int) -> np.ndarray:
    """The images of a grid without labels, in their own size: [rows, columns, side, side, 3]."""
    gutter = next(i for i in range(1, 9) if (picture[i, 8] != picture[0, 0]).any())
    scale = ((len(picture) - gutter) // rows - gutter) // side
    step = scale * side + gutter
    found = [
        [picture[gutter + r * step :, gutter + c * step :][: scale * side : scale, : scale * side : scale]
         for c in range(columns)] for r in range(rows)
    ]  # fmt: skip
    return np.array(found)


def test_real_data_are_spread_over_the_training_set_or_over_each_class():
    """Image i is of the constant value i; classes 0 and 1 have the even and the odd ones, class 2 none."""
    values = np.arange(200, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (200, 2, 2, 1))
    dataset = Dataset("npz:x", images, images[:0], images[:0], None, (values % 2).astype(np.int32), classes=3)
    config = update(default(), {"sample.rows": 3})
    picture = grids.real_grid(config, dataset, 0)
    shown = tiles(picture, 3, 3, 2)[..., 0, 0, 0]
    assert shown.reshape(-1).tolist() == [i * 200 // 9 for i in range(9)]
    labelled = grids.real_grid(config, dataset, 3)
    shown = tiles(labelled[:, labelled.shape[1] - picture.shape[1] :], 3, 3, 2)[..., 0, 0, 0]
    assert shown.tolist() == [[0, 66, 132], [1, 67, 133], [0, 0, 0]]
    few = grids.real_grid(config, dataset._replace(train=images[:4]), 0)
    assert tiles(few, 2, 2, 2)[..., 0, 0, 0].reshape(-1).tolist() == [0, 1, 2, 3]


def test_real_stacks_hold_three_images():
    values = np.arange(200, dtype=np.uint8)
    images = np.broadcast_to(values[:, None, None, None], (200, 2, 2, 1))
    dataset = Dataset("stacked:x", images, images[:0], images[:0], None, stack=3)
    picture = grids.real_grid(update(default(), {"sample.rows": 2}), dataset, 0)
    shown = tiles(picture, 2, 2, 2)[:, :, 0, 0].reshape(4, 3)
    assert shown.tolist() == [[i * 200 // 12 for i in (k, 4 + k, 8 + k)] for k in range(4)]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_pixels(tmp_path, channels):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    grids.save_png(tmp_path / "new" / "x.png", picture)
    with Image.open(tmp_path / "new" / "x.png") as file:
        found = np.asarray(file)
    np.testing.assert_array_equal(found.reshape(5, 7, channels), picture)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x.png"]


def test_a_png_that_cannot_be_written(tmp_path):
    (tmp_path / "samples").write_text("a file")
    with pytest.raises(UserError, match="could not be written"):
        grids.save_png(tmp_path / "samples" / "x.png", np.zeros((5, 7, 1), np.uint8))


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
    curves.save_curves(tmp_path / "curves.png", records, default())
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
    assert curves.equilibrium(paper) == pytest.approx(game | {"d_loss": log2, "g_loss": -log2})
    smoothed = update(default(), {"objective.real_target": 0.9})  # D is .45 at p_g = p_data
    assert curves.equilibrium(smoothed) == {}


@pytest.mark.parametrize("loss", ["wasserstein", "hinge", "least_squares", "relativistic"])
def test_where_d_is_no_probability_curves_show_logits_and_no_theory(tmp_path, figures, loss):
    config = update(default(), {"objective.loss": loss})
    names = ("real_logit", "fake_logit", "d_loss", "g_loss", "r1", "r2", "d_gradient_norm", "g_gradient_norm")
    records = [{"step": s, **{name: i + s / 100 for i, name in enumerate(names)}} for s in (10, 20)]
    curves.save_curves(tmp_path / "curves.png", records, config)
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
    curves.save_curves(tmp_path / "curves.png", records, default())
    assert_can_be_seen(tmp_path / "curves.png")


def test_a_figure_that_is_kept_forgets_the_run_before():
    """Points, markers, ranges and a logarithmic axis of another run with the same numbers leave no trace."""
    config = update(default(), {"objective.loss": "hinge"})
    long = [{"step": s, "real_logit": 9.0, "d_loss": 10.0**s, "g_loss": 1.0} for s in range(-20, 20)]
    short = [{"step": s, "real_logit": -s, "d_loss": s / 10, "g_loss": -1.0} for s in range(3)]
    curves.curves_png(long, config)
    after_another = curves.curves_png(short, config)
    curves._empty_curves.cache_clear()
    assert curves.curves_png(short, config) == after_another


def test_every_number_of_a_step_has_words():
    for name in ("value", "d_loss", "g_loss", "real_logit", "r1", "dragan", "jsd", "test_log_likelihood"):
        assert curves.display_for(name).label
    assert curves.display_for("images_per_second") is None


def test_points_in_one_dimension_are_densities(tmp_path, figures):
    bimodal = mixture.MIXTURES["bimodal"]
    samples = np.array([[-2.0]] * 3 + [[100.0]], np.float32)
    plots.save_points(tmp_path / "x.png", samples, bimodal)
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
    ring = mixture.MIXTURES["ring8"]
    samples = np.random.default_rng(0).normal(size=(7000, 2)).astype(np.float32) / 10
    plots.save_points(tmp_path / "x.png", samples, ring)
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
        threading.Thread(target=curves.save_curves, args=(tmp_path / f"{i}.png", records, default())) for i in range(2)
    ]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    pictures = {(tmp_path / f"{i}.png").read_bytes() for i in range(2)}
    assert len(pictures) == 1
    assert "matplotlib.pyplot" not in sys.modules
