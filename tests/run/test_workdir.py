"""What a work directory says about its run, and which runs may be resumed in it."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgan.config import RESUMABLE, default, differences, flatten, get, update
from jaxgan.config.files import FORMAT
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.game.build import data_spec
from jaxgan.run.workdir import DataInfo, check, claim, read_run, record, run_metadata
from jaxgan.sweep import results


def dataset(n: int = 5, shape: tuple[int, ...] = (8, 8, 1), value: int = 0) -> Dataset:
    x = np.full((n, *shape), value, np.uint8)
    return Dataset("digits", x, x, x, None)


@contextmanager
def begun(path: Path, config, data: Dataset, **others):
    """What training does around its first step; `others` are further facts."""
    facts = run_metadata(config, data, data_spec(config, data)) | others
    with claim(path) as check_lock:
        check(path, config, facts)
        record(path, config, facts)
        yield check_lock


def contents(path: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in path.iterdir()}


def test_a_work_directory_describes_its_run(tmp_path):
    config = update(default(), {"train.steps": 7, "generator.hidden": (3, 4)})
    with begun(tmp_path / "a" / "b", config, dataset(11, (4, 6, 3))):
        found, facts = read_run(tmp_path / "a" / "b")
    assert found.to_dict() == config.to_dict()
    assert facts == DataInfo(
        name="digits",
        sha256=facts.sha256,
        examples=11,
        shape=(4, 6, 3),
        bounds=(0.0, 1.0),
        classes=0,
        label_classes=0,
        stack=1,
    )
    assert len(facts.sha256) == 64


def test_run_json_records_versions_and_data(tmp_path):
    with begun(tmp_path, default(), dataset()):
        run = json.loads((tmp_path / "run.json").read_text())
    assert run["format"] == 1 and run["prng"] == "threefry2x32"
    assert run["backend"] == jax.default_backend() and len(run["devices"]) == jax.device_count()
    assert run["versions"]["jax"] == jax.__version__ and run["versions"]["numpy"] == np.__version__
    assert run["git_commit"] is None or len(run["git_commit"].removesuffix("+")) == 40


def test_the_same_run_again_and_longer(tmp_path):
    with begun(tmp_path, default(), dataset()):
        pass
    before = contents(tmp_path)
    with begun(tmp_path, default(), dataset()):
        pass
    assert contents(tmp_path) == before
    with begun(tmp_path, update(default(), {"train.steps": 9, "checkpoint.keep": 5}), dataset()):
        pass
    assert read_run(tmp_path)[0].train.steps == 9


def test_run_json_stays_that_of_the_beginning(tmp_path):
    with begun(tmp_path, default(), dataset(), git_commit="then"):
        before = (tmp_path / "run.json").read_bytes()
    with begun(tmp_path, update(default(), {"train.steps": 9}), dataset(), git_commit="now"):
        assert (tmp_path / "run.json").read_bytes() == before


def test_another_configuration_is_refused_with_three_fields_named(tmp_path):
    with begun(tmp_path, default(), dataset()):
        pass
    before = contents(tmp_path)
    changes = {
        "seed": 1,
        "train.batch_size": 32,
        "objective.loss": "minimax",
        "prior.size": 3,
        "train.steps": 9,
    }
    with pytest.raises(UserError) as caught, begun(tmp_path, update(default(), changes), dataset()):
        pass
    words = str(caught.value)
    assert "seed was 0 and is now 1" in words and "and 1 more" in words and "another --workdir" in words
    assert words.count(" was ") == 3 and "train.steps" not in words
    assert contents(tmp_path) == before


OTHERS = {"examples": dataset(6), "shape": dataset(5, (8, 8, 3)), "sha256": dataset(5, value=1)}


@pytest.mark.parametrize(("what", "other"), OTHERS.items(), ids=OTHERS)
def test_other_data_are_refused(tmp_path, what, other):
    with begun(tmp_path, default(), dataset()):
        pass
    before = contents(tmp_path)
    words = rf"other data \({what} was .*restore the original data of data.name=digits"
    with pytest.raises(UserError, match=words), begun(tmp_path, default(), other):
        pass
    assert contents(tmp_path) == before


def test_other_labels_are_other_data(tmp_path):
    labels = np.arange(5, dtype=np.int32)
    told = dataset()._replace(train_labels=labels, classes=5)
    with begun(tmp_path, default(), told):
        pass
    with pytest.raises(UserError, match=r"other data \(sha256"), begun(tmp_path, default(), dataset()):
        pass
    other = told._replace(train_labels=labels[::-1].copy())
    with pytest.raises(UserError, match=r"other data \(sha256"), begun(tmp_path, default(), other):
        pass


def test_the_same_data_may_have_moved(tmp_path):
    with begun(tmp_path, default(), dataset()):
        pass
    moved = update(default(), {"data.name": "npz:elsewhere/digits.npz", "data.dir": "there"})
    with begun(tmp_path, moved, dataset()):
        assert read_run(tmp_path)[0].data.dir == "there"


def test_another_random_number_generator_is_refused(tmp_path):
    with begun(tmp_path, default(), dataset(), prng="rbg"):
        pass
    words = r"random number generator 'rbg', .* 'threefry2x32'"
    with pytest.raises(UserError, match=words), begun(tmp_path, default(), dataset()):
        pass


# What may be given differently when a run is resumed, and nothing else: a list of the test's own, so that adding to
# that of the package is a decision.
MAY_CHANGE = {
    *(
        "data.name",
        "data.dir",
        "data.resident",
        "train.steps",
        "train.on_divergence",
        "train.max_restores",
        "log.every",
    ),
    *("sample.every", "sample.rows", "evaluate.every", "checkpoint.every", "checkpoint.keep"),
    *(f"distributed.{name}" for name in ("enabled", "coordinator", "processes", "process")),
}


def test_what_may_change_on_resume_is_this_list():
    before = default()
    for key, value in flatten(before).items():
        after = before.copy_and_resolve_references().unlock()
        parent, _, last = key.rpartition(".")
        node = get(after, parent) if parent else after
        node[last] = (
            not value if type(value) is bool else {int: 77, float: 0.77, str: "other", list: (77,)}[type(value)]
        )
        assert flatten(after)[key] != value, key
        assert (differences(before, after) == []) == (key in MAY_CHANGE), key
    assert set(RESUMABLE) == MAY_CHANGE


def test_a_field_of_another_choice_is_no_way_around(tmp_path):
    """The sections have other fields then, of which none may appear or disappear."""
    sgd = update(default(), {"optimizer.generator.name": "sgd"})
    assert "optimizer.generator.name" in differences(default(), sgd)
    assert "optimizer.generator.b1" in differences(default(), sgd)
    assert "optimizer.generator.b1" in differences(sgd, default())


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="not a work directory"), begun(tmp_path, default(), dataset()):
        pass
    assert contents(tmp_path) == {"thesis.tex": b"x"}
    with pytest.raises(UserError, match="not a work directory"):
        read_run(tmp_path)


@pytest.mark.parametrize("name", ["nohup.out", "train.log", "log.txt", "slurm-17.out", ".DS_Store", "._x", "Thumbs.db"])
def test_the_log_of_the_command_makes_no_directory_somebody_elses(tmp_path, name):
    (tmp_path / name).write_text("x")
    assert results.match_existing(tmp_path, []) == []
    with begun(tmp_path, default(), dataset()):
        assert read_run(tmp_path)[1].examples == 5
    assert (tmp_path / name).read_text() == "x"


@pytest.mark.parametrize("name", ["logs.tex", "log.py", "data.npz", "thumbs"])
def test_other_files_next_to_the_log_belong_to_someone_else(tmp_path, name):
    (tmp_path / "train.log").write_text("x")
    (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match="not a work directory"), begun(tmp_path, default(), dataset()):
        pass
    with pytest.raises(UserError, match="is not empty"):
        results.match_existing(tmp_path, [])


@pytest.mark.parametrize("writer", ["", ".17-0123abcd"])  # of earlier versions, and of this one
def test_a_claim_killed_at_any_moment_can_be_repeated(tmp_path, writer):
    with begun(tmp_path / "whole", default(), dataset()):
        whole = contents(tmp_path / "whole")
    order = [".lock", f".run.json{writer}.tmp", "run.json", f".config.json{writer}.tmp"]
    for n in range(1, len(order) + 1):
        path = tmp_path / str(n)
        path.mkdir()
        for name in order[:n]:
            (path / name).write_bytes(whole.get(name, b"half a fi"))
        with begun(path, default(), dataset()):
            assert read_run(path)[1].examples == 5
        assert contents(path).keys() == whole.keys()


# --- formats ---


def rewritten(path: Path, **changes) -> None:
    """config.json or run.json with other fields; None removes one."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_a_missing_field_takes_its_default(tmp_path):
    """As in the config.json of a version that did not have it yet."""
    config = update(default(), {"train.steps": 7})
    with begun(tmp_path, config, dataset()):
        pass
    content = json.loads((tmp_path / "config.json").read_text())
    del content["conditional"], content["augment"], content["generator"]["ema"], content["train"]["precision"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert flatten(read_run(tmp_path)[0]) == flatten(config)
    with begun(tmp_path, config, dataset()):
        pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": FORMAT + 1}, r"its format is \d+ and this version of jaxgan reads formats up to \d+"),
        ({"format": "new"}, "its format is 'new'"),
        ({"format": None}, r"no format number: a jaxgan before 0\.2 wrote it; use that version"),
        ({"telepathy": True}, r"no field 'telepathy'.* It may be of a newer jaxgan: install the version"),
    ],
)
def test_a_config_of_another_version_is_one_sentence(tmp_path, changes, words):
    with begun(tmp_path, default(), dataset()):
        pass
    rewritten(tmp_path / "config.json", **changes)
    before = contents(tmp_path)
    for use in (lambda: read_run(tmp_path), lambda: begun(tmp_path, default(), dataset()).__enter__()):
        with pytest.raises(UserError, match=words) as caught:
            use()
        assert str(tmp_path / "config.json") in str(caught.value) and "\n" not in str(caught.value)
    assert contents(tmp_path).keys() - before.keys() <= {".lock"}
    assert contents(tmp_path)["config.json"] == before["config.json"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"format": 2}, r"format is 2 and this jaxgan reads 1"), ({"prng": None}, "prng"), ({"data": None}, "data")],
)
def test_a_run_json_of_another_version_is_one_sentence(tmp_path, changes, words):
    with begun(tmp_path, default(), dataset()):
        pass
    rewritten(tmp_path / "run.json", **changes)
    for use in (lambda: read_run(tmp_path), lambda: begun(tmp_path, default(), dataset()).__enter__()):
        with pytest.raises(UserError, match=rf"run\.json cannot be used .*{words}"):
            use()


def test_what_later_versions_add_to_run_json_harms_nobody(tmp_path):
    with begun(tmp_path, default(), dataset()):
        pass
    rewritten(tmp_path / "run.json", telepathy=True)
    with begun(tmp_path, default(), dataset()):
        assert read_run(tmp_path)[1].examples == 5


@pytest.mark.parametrize(
    "text", ["", '{"seed": 0', "[]", '{"format": 1, "sede": 0}', '{"format": 1, "seed": []}', "\x80"]
)
def test_a_damaged_config_is_named_and_kept(tmp_path, text):
    with begun(tmp_path, default(), dataset()):
        pass
    (tmp_path / "config.json").write_text(text, "latin-1")
    with pytest.raises(UserError, match=r"config\.json"), begun(tmp_path, default(), dataset()):
        pass
    with pytest.raises(UserError, match=r"config\.json"):
        read_run(tmp_path)
    assert (tmp_path / "config.json").read_text("latin-1") == text


@pytest.mark.parametrize("path", ["file", "file/below", "n" * 300])
def test_a_path_that_cannot_be_a_directory(tmp_path, path):
    (tmp_path / "file").write_text("x")
    words = "cannot be the work directory"
    with pytest.raises(UserError, match=words), begun(tmp_path / path, default(), dataset()):
        pass
    assert contents(tmp_path) == {"file": b"x"}


def test_a_read_only_directory(tmp_path):
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)]
        if subprocess.run(mount, capture_output=True).returncode:
            pytest.skip("root may write everywhere, and may not mount here")
    else:
        tmp_path.chmod(0o555)
    try:
        for path, words in (
            (tmp_path, "cannot be written"),
            (tmp_path / "x", "cannot be the work directory"),
        ):
            with pytest.raises(UserError, match=words), begun(path, default(), dataset()):
                pass
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(tmp_path)], check=True)
        else:
            tmp_path.chmod(0o755)
