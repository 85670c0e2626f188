"""Images from folders: classes and splits, orientations and modes, links and damaged files."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from jaxgan import data
from jaxgan.data import source
from jaxgan.data.image_files import FORMATS, SUFFIXES
from jaxgan.data.images import folder, natural_sort_key
from jaxgan.errors import UserError
from tests.helpers.image_files import as_set, labeled_folder, random_images, settings_for, write


def test_folder_holds_every_image_once_whatever_its_class(tmp_path):
    x = random_images(40, 5, 6, 3)
    for i, pixels in enumerate(x):
        write(tmp_path / f"class{i // 10}" / f"{i:02d}.png", pixels)
    (tmp_path / "labels.csv").write_text("not an image")
    (tmp_path / "class0" / "._00.png").write_text("what a Mac leaves behind")
    train, test = folder(tmp_path, 0)[:2]
    assert train.shape == (40, 5, 6, 3) and train.dtype == np.uint8 and test is None
    assert as_set(train) == as_set(x)
    classes = [next(i // 10 for i in range(40) if (x[i] == image).all()) for image in train]
    assert len(set(classes[-10:])) > 1  # the validation set
    np.testing.assert_array_equal(folder(tmp_path, 0)[0], train)


def test_sub_folders_are_the_classes_in_the_order_of_their_names(tmp_path):
    labeled_folder(tmp_path, ["10", "9", "cat/black", "cat/white", "dog"])
    found = folder(tmp_path, 0)
    assert found.class_names == ("9", "10", "cat", "dog") and found.classes == 4
    assert found.train_labels.dtype == np.int32 and found.test_labels is None
    expected = np.array([1, 0, 2, 2, 3])[found.train[:, 0, 0, 0]]
    np.testing.assert_array_equal(found.train_labels, expected)
    d = data.load(settings_for(name=f"folder:{tmp_path}", validation=2))
    for x, y in ((d.train, d.train_labels), (d.validation, d.validation_labels), (d.test, d.test_labels)):
        np.testing.assert_array_equal(y, np.array([1, 0, 2, 2, 3])[x[:, 0, 0, 0]])


def test_people_count_numbers_in_names():
    names = ["1", "01", "2", "10", "a", "a2b", "a2c1", "a10", "b"]
    assert sorted(sorted(names[::-1]), key=natural_sort_key) == ["01", *names[:1], *names[2:]]


@pytest.mark.parametrize("names", [["all"], ["cat", "."], ["."]])
def test_folders_that_are_no_classes(tmp_path, names):
    labeled_folder(tmp_path, names)
    found = folder(tmp_path, 0)
    assert found.train_labels is None and found.classes == 0 and found.class_names == ()


def test_classes_of_folders_with_splits(tmp_path):
    labeled_folder(tmp_path / "train", ["a", "b", "c"])
    labeled_folder(tmp_path / "test", ["a", "b", "c", "d"])
    labeled_folder(tmp_path / "train", [".hidden"])
    found = folder(tmp_path, 0)
    assert found.class_names == ("a", "b", "c", "d") and len(found.train) == 6
    np.testing.assert_array_equal(found.train_labels, found.train[:, 0, 0, 0])
    np.testing.assert_array_equal(found.test_labels, found.test[:, 0, 0, 0])


def test_images_of_any_size_are_cropped_to_a_square_and_resized(tmp_path):
    """A middle square of grey 200 is all that is left of both; a checkerboard is averaged, not sampled."""
    wide, tall = np.zeros((40, 100), np.uint8), np.zeros((90, 30), np.uint8)
    wide[:, 30:70], tall[30:60] = 200, 200
    board = np.indices((64, 64)).sum(axis=0, dtype=np.uint8) % 2 * np.uint8(255)
    for name, pixels in (("tall", tall), ("wide", wide)):
        write(tmp_path / "flat" / f"{name}.png", pixels)
    write(tmp_path / "board" / "x.png", board)
    flat = data.load(settings_for(name=f"folder:{tmp_path / 'flat'}", validation=0, size=8)).train
    np.testing.assert_array_equal(flat, np.full((2, 8, 8, 1), 200))
    inner = folder(tmp_path / "board", 8).train[0, 1:-1, 1:-1].astype(int)
    assert np.abs(inner - 127.5).max() <= 2
    assert folder(tmp_path / "flat", 40).train.shape == (2, 40, 40, 1)


def test_palettes_and_alpha_are_resized_as_colours(tmp_path):
    red_and_blue = np.zeros((8, 8, 3), np.uint8)
    red_and_blue[:, :4, 0] = red_and_blue[:, 4:, 2] = 255
    Image.fromarray(red_and_blue).quantize(4).save(tmp_path / "p.png")
    Image.fromarray(red_and_blue).convert("RGBA").save(tmp_path / "rgba.png")
    for x in folder(tmp_path, 1).train:
        np.testing.assert_allclose(x[0, 0], [127.5, 0, 127.5], atol=1)


# What a viewer does to the stored rows and columns, by the EXIF standard's table of orientations.
UPRIGHT = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.T,
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].T,
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photograph_is_turned_upright_resized_or_not(tmp_path, orientation, ending):
    pixels = random_images(4, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.stack([pixels] * 3, -1)).save(tmp_path / f"x.{ending}", exif=exif, lossless=True)
    np.testing.assert_array_equal(folder(tmp_path, 0).train[0, ..., 0], UPRIGHT[orientation](pixels))
    middle = UPRIGHT[orientation](pixels)
    middle = middle[:, 1:-1] if middle.shape == (4, 6) else middle[1:-1]
    np.testing.assert_array_equal(folder(tmp_path, 4).train[0, ..., 0], middle)


def test_photographs_are_of_one_size_when_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    write(tmp_path / "a.png", random_images(6, 4))
    Image.fromarray(random_images(4, 6)).save(tmp_path / "b.png", exif=exif)
    assert folder(tmp_path, 0).train.shape == (2, 6, 4, 1)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_exif_data_that_cannot_be_read_say_nothing(tmp_path, exif):
    pixels = np.full((4, 6), 99, np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.jpg", exif=exif)
    for size, shape in ((0, (4, 6)), (2, (2, 2))):
        np.testing.assert_array_equal(folder(tmp_path, size).train[0, ..., 0], np.full(shape, 99))


def test_resized_images_that_do_not_fit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    write(tmp_path / "a.png", random_images(10, 20))
    write(tmp_path / "b.png", random_images(30, 20))
    monkeypatch.setattr(source, "MEMORY_LIMIT", 2 * 16 * 16)
    assert folder(tmp_path, 16).train.nbytes == 512
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("an image was decoded"))
    with pytest.raises(UserError, match=r"2 images of 17x17 pixels: .*half of this machine's memory"):
        folder(tmp_path, 17)


@pytest.mark.parametrize(("name", "size"), [("digits", 8), ("npz:x.npz", 8), ("folder:x", -1), ("stacked:digits", 4)])
def test_a_size_where_none_is_possible(name, size):
    with pytest.raises(UserError, match=f"data.size={size} .*side in pixels for folder:PATH"):
        data.load(settings_for(name=name, size=size))


def test_folder_with_splits_and_links(tmp_path):
    x, y = random_images(4, 3, 3), random_images(2, 3, 3)
    for i, pixels in enumerate(x):
        write(tmp_path / "elsewhere" / f"{i}.bmp", pixels)
    for i, pixels in enumerate(y):
        write(tmp_path / "set" / "test" / "a" / f"{i}.PNG", pixels)
    (tmp_path / "set" / "train").mkdir()
    (tmp_path / "set" / "train" / "a").symlink_to(tmp_path / "elsewhere")
    train, test = folder(tmp_path / "set", 0)[:2]
    assert train.shape == (4, 3, 3, 1) and test.shape == (2, 3, 3, 1)
    assert as_set(train) == as_set(x) and as_set(test) == as_set(y)


def test_folder_with_splits_and_something_else_is_ambiguous(tmp_path):
    for name in ("train", "test", "val"):
        write(tmp_path / name / "0.png", random_images(2, 2))
    with pytest.raises(UserError, match="holds train/ next to val:"):
        folder(tmp_path, 0)


@pytest.mark.parametrize(("train", "test"), [("Train", "Test"), ("TRAIN", "test"), ("training", "Testing")])
def test_splits_have_their_names_in_any_case(tmp_path, train, test):
    x, y = random_images(3, 2, 2), random_images(2, 2, 2)
    for name, pictures in ((train, x), (test, y)):
        for i, pixels in enumerate(pictures):
            write(tmp_path / name / f"{i}.png", pixels)
    found = folder(tmp_path, 0)
    assert as_set(found.train) == as_set(x) and as_set(found.test) == as_set(y) and found.classes == 0


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Train", "Validation"], "holds Train/ next to Validation: "),
        (["Train", "Test", "VAL"], "holds Train/ next to VAL: "),
        (["Train", "Test", "train"], "holds Train/ next to train: "),
        (["train", "Test", "test"], "holds train/ next to test: "),
        (["train", "cat"], "holds train/ next to cat: .*for classes rename train/"),
        (["Test", "cat"], "holds Test/ but no train/"),
        (["test", "valid"], "holds test/ but no train/"),
        (["cat", "Validation"], "holds Validation/ but no train/"),
        (["data/Train", "data/Test"], "data holds splits; give that folder itself"),
        (["cat/train", "cat/val", "dog/train", "dog/val"], "(cat|dog) holds splits"),
    ],
)
def test_folders_that_may_be_splits_or_classes_are_refused(tmp_path, names, message):
    labeled_folder(tmp_path, names)
    with pytest.raises(UserError, match=message):
        folder(tmp_path, 0)


def test_valid_and_invalid_are_classes(tmp_path):
    labeled_folder(tmp_path, ["invalid", "valid"])
    assert folder(tmp_path, 0).class_names == ("invalid", "valid")


def test_what_macos_leaves_behind_is_no_split_and_no_image(tmp_path):
    for name in ("train", "test", "__MACOSX/train", ".hidden"):
        write(tmp_path / name / "0.png", random_images(2, 2))
    for name in ("._0.png", ".DS_Store", "train/._0.png", "train/.DS_Store"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    found = folder(tmp_path, 0)
    assert len(found.train) == len(found.test) == 1 and found.left_out == ()


def test_links_lead_to_each_image_once(tmp_path):
    """Links to a folder itself, to one that contains it, next to it or elsewhere; and each image keeps its class."""
    root = tmp_path / "root"
    x = random_images(5, 2, 2)
    for place, pixels in zip(("b/0", "b/1", "c/2", "c/deep/3"), x, strict=False):
        write(root / f"{place}.png", pixels)
    write(tmp_path / "elsewhere" / "4.png", x[4])
    for link, target in {
        "b/self": ".",
        "c/up": "..",
        "out": "../..",
        "a": "b",
        "c/deep/b": "../../b",
        "d": "../elsewhere",
        "e": "../elsewhere",
        "d/back": "../root/d",
        "b/again.png": "1.png",
        "a0/again.png": "../c/2.png",
        "round": "about",
        "about": "round",
        "c/lost": "nowhere",
    }.items():
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(target)
    found = folder(root, 0)
    assert as_set(found.train[..., 0]) == as_set(x)
    assert found.class_names == ("b", "c", "d")
    for pixels, number in zip(x, (0, 0, 1, 1, 2), strict=True):
        (where,) = np.flatnonzero((found.train[..., 0] == pixels).all(axis=(1, 2)))
        assert found.train_labels[where] == number
    assert dict(found.left_out) == {"links to images": 2, "without an ending": 3}


def test_a_folder_of_links_is_read_as_the_files_would_be(tmp_path):
    x = random_images(6, 2, 2)
    for i, pixels in enumerate(x):
        write(tmp_path / "store" / f"{i}.png", pixels)
        write(tmp_path / "files" / "ab"[i % 2] / f"{i}.png", pixels)
        (tmp_path / "links" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "links" / "ab"[i % 2] / f"{i}.png").symlink_to(tmp_path / "store" / f"{i}.png")
    files, links = (folder(tmp_path / name, 0) for name in ("files", "links"))
    np.testing.assert_array_equal(files.train, links.train)
    np.testing.assert_array_equal(files.train_labels, links.train_labels)


@pytest.mark.parametrize("link", ["Test", "Test/0.png"])
def test_an_image_in_both_splits_is_refused(tmp_path, link):
    write(tmp_path / "Train" / "0.png", random_images(2, 2))
    (tmp_path / link).parent.mkdir(exist_ok=True)
    (tmp_path / link).symlink_to(tmp_path / "Train" / ("0.png" if "/" in link else ""))
    with pytest.raises(UserError, match=r"Train/0\.png and \S+Test/0\.png are the same file; remove it"):
        folder(tmp_path, 0)


def test_a_link_that_leads_nowhere_is_an_image_that_cannot_be_read(tmp_path):
    write(tmp_path / "a.png", random_images(2, 2))
    (tmp_path / "b.png").symlink_to("nowhere.png")
    with pytest.raises(UserError, match=r"b\.png cannot be read as an image"):
        folder(tmp_path, 0)


def test_what_is_no_file_does_not_wait(tmp_path):
    write(tmp_path / "a.png", random_images(2, 2))
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tmp_path, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/d.png")  # the path of a socket has at most 107 bytes
        os.close(here)
        found = folder(tmp_path, 0)
    assert len(found.train) == 1 and found.left_out == (("special files", 3),)


def test_endings_are_those_that_pillow_gives_the_formats():
    """But .pfm, whose pixels are floats."""
    known = {ending for ending, name in Image.registered_extensions().items() if name in FORMATS}
    assert set(SUFFIXES) == known - {".pfm"} and len(SUFFIXES) == len(set(SUFFIXES))


@pytest.mark.parametrize(
    "ending", [".jfif", ".jpe", ".JPE", ".tif", ".TIFF", ".webp", ".apng", ".pnm", ".jp2", ".avif"]
)
def test_files_with_less_common_endings_are_read(tmp_path, ending):
    Image.fromarray(np.full((16, 16, 3), 77, np.uint8)).save(tmp_path / f"x{ending}")
    np.testing.assert_allclose(folder(tmp_path, 0).train, 77, atol=1)


@pytest.mark.parametrize("splits", [False, True])
def test_what_is_left_out_of_a_folder_is_counted(tmp_path, splits):
    root = tmp_path / "train" if splits else tmp_path
    write(root / "a" / "0.png", random_images(2, 2))
    write(root / "a" / "1.PNG", random_images(2, 2))
    for name in ("labels.csv", "a/1.txt", "a/2.TXT", "a/3.heic", "README"):
        (tmp_path / name if "/" not in name else root / name).write_text("not an image")
    d = data.load(settings_for(name=f"folder:{tmp_path}", validation=0))
    assert dict(d.left_out) == {".txt": 2, ".csv": 1, ".heic": 1, "without an ending": 1}
    assert data.describe(d).endswith(
        "images 2x2x1, 5 other files left out (2 .txt, 1 .csv, 1 .heic, 1 without an ending)"
    )
    for i in range(6):
        (root / f"x.{i}").write_text("")
    d = data.load(settings_for(name=f"folder:{tmp_path}", validation=0))
    assert data.describe(d).endswith("11 other files left out (2 .txt, 1 .0, 1 .1, 1 .2, 1 .3, ...)")


@pytest.mark.parametrize("colour_at", [0, 1, 2])
def test_one_image_in_colour_makes_all_of_them_so(tmp_path, colour_at):
    grey = random_images(3, 2, 2)
    colour = random_images(2, 2, 3)
    for i in range(3):
        write(tmp_path / f"{i}.png", colour if i == colour_at else grey[i])
    expected = [colour if i == colour_at else np.stack([grey[i]] * 3, axis=-1) for i in range(3)]
    assert as_set(folder(tmp_path, 0)[0]) == as_set(expected)


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "CMYK"])
def test_pixel_modes_become_grey_or_rgb(tmp_path, mode):
    picture = Image.fromarray(np.full((2, 2, 3), 255, np.uint8)).convert(mode)
    picture.save(tmp_path / ("x.jpg" if mode == "CMYK" else "x.png"))
    x = folder(tmp_path, 0).train
    assert x.shape == (1, 2, 2, 1 if mode in ("1", "LA") else 3)
    np.testing.assert_array_equal(x, 255)


def test_images_of_two_sizes_are_both_named(tmp_path):
    write(tmp_path / "a.png", random_images(2, 3))
    write(tmp_path / "b.png", random_images(4, 5))
    with pytest.raises(UserError, match=r"b\.png is 4x5 pixels but .*a\.png is 2x3.*config\.data\.size=N"):
        folder(tmp_path, 0)


def test_splits_of_two_sizes(tmp_path):
    write(tmp_path / "train" / "a.png", random_images(2, 3))
    write(tmp_path / "test" / "b.png", random_images(2, 3, 3))
    with pytest.raises(UserError, match=r"train are 2x3x1, those of .*test 2x3x3"):
        folder(tmp_path, 0)


def test_images_of_16_bits_are_refused(tmp_path):
    write(tmp_path / "a.png", np.zeros((2, 2), np.uint16))
    with pytest.raises(UserError, match=r"a\.png has pixels of more than 8 bits"):
        folder(tmp_path, 0)


@pytest.mark.parametrize("keep", [0, 30, 200])
def test_an_unreadable_image_is_named(tmp_path, keep):
    write(tmp_path / "a.png", random_images(20, 20))
    write(tmp_path / "b.png", random_images(20, 20))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:keep])
    with pytest.raises(UserError, match=r"b\.png cannot be read as an image"):
        folder(tmp_path, 0)


@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"P6 "]))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_bytes_are_an_image_or_refused(tmp_path, content, start):
    (tmp_path / "a.png").write_bytes(start + content)
    try:
        x = folder(tmp_path, 0).train
    except UserError:
        return
    assert x.dtype == np.uint8 and x.ndim == 4


@pytest.mark.parametrize("pixels", [150, 10])  # Pillow warns above its limit and raises above twice that
def test_an_image_that_is_too_large_is_refused(tmp_path, monkeypatch, pixels):
    write(tmp_path / "a.png", random_images(10, 20))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image .*decompression bomb"):
        folder(tmp_path, 0)


def test_images_that_do_not_fit_are_refused_before_they_are_decoded(tmp_path, monkeypatch):
    for i in range(4):
        write(tmp_path / f"{i}.png", random_images(10, 10))
    monkeypatch.setattr(source, "MEMORY_LIMIT", 400)
    assert folder(tmp_path, 0)[0].nbytes == 400
    monkeypatch.setattr(source, "MEMORY_LIMIT", 399)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.fail("an image was decoded"))
    with pytest.raises(UserError, match="half of this machine's memory"):
        folder(tmp_path, 0)


def test_folder_without_images(tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        folder(tmp_path, 0)
    with pytest.raises(UserError, match="there is no folder"):
        folder(tmp_path / "nowhere", 0)
