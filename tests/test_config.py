"""Configurations: complete, locked, and every mistake one sentence."""

import importlib
import sys
from pathlib import Path

import pytest

from jaxgan import config as C
from jaxgan.errors import UserError, exit_on

ROOT = Path(__file__).parents[1]


def test_every_shipped_config_is_valid():
    names = [path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__"]
    assert {"digits", "mnist"} <= set(names)
    sys.path.insert(0, str(ROOT))
    for name in names:
        config = importlib.import_module(f"configs.{name}").get_config()
        assert config.is_locked
        assert C.flatten(config).keys() == C.flatten(C.default()).keys()
        C.validate(config)


def test_mnist_is_the_papers_recipe():
    sys.path.insert(0, str(ROOT))
    flat = C.flatten(importlib.import_module("configs.mnist").get_config())
    expected = {
        "generator.hidden": [1200, 1200], "generator.irange": 0.05, "prior.name": "uniform", "prior.size": 100,
        "discriminator.hidden": [240, 240], "discriminator.pieces": 5, "discriminator.irange": 0.005,
        "discriminator.input_keep": 0.8, "discriminator.hidden_keep": 0.5, "train.batch_size": 100,
        "train.d_steps": 1, "train.update": "simultaneous", "objective.loss": "non_saturating",
        "data.validation": 10_000,
    }  # fmt: skip
    for player in ("generator", "discriminator"):
        expected |= {
            f"optimizer.{player}.{key}": value
            for key, value in {
                "name": "sgd", "learning_rate": 0.1, "decay": 1.000004, "minimum_learning_rate": 1e-6,
                "momentum": 0.5, "final_momentum": 0.7, "momentum_epochs": 250,
            }.items()
        }  # fmt: skip
    assert {key: flat[key] for key in expected} == expected


def test_json_round_trip(tiny_config):
    config = tiny_config(seed=7)
    assert C.flatten(C.from_json(C.to_json(config))) == C.flatten(config)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"train": {"stepz": 3}}', '{"train": {"steps": "many"}}'])
def test_a_damaged_config_file_is_one_sentence(text):
    with pytest.raises(UserError):
        C.from_json(text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train.stepz": 3}, "'train.steps'"),
        ({"optimizer.generator.learningrate": 3.0}, "'optimizer.generator.learning_rate'"),
        ({"train.steps": "many"}, "train.steps"),
    ],
)
def test_update_names_the_nearest_field(changes, words):
    with pytest.raises(UserError, match=words):
        C.update(C.default(), changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"objective.loss": "non_saturatin"}, "did you mean 'non_saturating'"),
        ({"train.steps": 0}, "train.steps must be above 0, not 0"),
        ({"train.update": "simultaneous", "train.d_steps": 2}, "must be 1, not 2"),
        ({"discriminator.hidden_keep": 0.0}, "not 0.0"),
        ({"discriminator.gradient_penalty": -1.0}, "0 or more, not -1.0"),
        ({"generator.average": 0.999}, "a power, not a decay: 0, or 1 or more, not 0.999"),
        ({"generator.hidden": (10, 10, 10)}, "2 activations for the 3 layers"),
        ({"generator.hidden": (10, 0)}, "not 0"),
        ({"optimizer.generator.learning_rate": float("nan")}, "fits into float32, not nan"),
        ({"optimizer.generator.momentum": 1.0}, "not 1.0"),
        ({"seed": -1}, "not -1"),
        ({"train.steps": 2**30}, "examples"),
    ],
)
def test_values_that_cannot_be(changes, words):
    with pytest.raises(UserError, match=words):
        C.validate(C.update(C.default(), changes))


def test_differences_leave_out_what_a_resumed_run_may_change():
    a = C.default()
    assert C.differences(a, C.update(a, {"train.steps": 7, "checkpoint.keep": 9})) == []
    assert C.differences(a, C.update(a, {"train.batch_size": 7})) == ["train.batch_size"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config.train.stepz=3"], "'train.steps'"),
        (["--config.train.steps=abc"], "train.steps takes a whole number such as 20000, not 'abc'"),
        (["--config.train.steps=0.5"], "not 0.5"),
        (["--config.generator.hidden=5"], "takes a list"),
        (["--config.train.steps"], "not ''"),
        (["--nope=3"], "'--nope=3'"),
        (["steps=3"], "'steps=3'"),
    ],
)
def test_command_line_mistakes(arguments, words):
    with pytest.raises(UserError, match=words):
        C.override(C.default(), arguments)


def test_command_line_changes():
    arguments = [
        "--config.train.update=simultaneous", "--config.generator.hidden=(5,6)", "--config.prior.scale=2",
        "--config.generator.output_bias=false", "--config.data.name", "npz:a=b.npz",
    ]  # fmt: skip
    flat = C.flatten(C.override(C.default(), arguments))
    assert flat["train.update"] == "simultaneous"
    assert flat["generator.hidden"] == [5, 6]
    assert flat["prior.scale"] == 2.0
    assert flat["generator.output_bias"] is False
    assert flat["data.name"] == "npz:a=b.npz"


def test_a_config_file_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"none\.py cannot be read: No such file"):
        C.read("none.py")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(UserError, match="defines no get_config"):
        C.read(str(tmp_path / "empty.py"))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("c = default().unlock(); c.train.stpes = 7; return c", "no field 'train.stpes'; the nearest is 'train.steps'"),
        ("c = default().unlock(); del c.train.precision; return c", "has no field 'train.precision'"),
        (
            "c = default(); c.train.stpes = 7; return c",
            r"get_config\(\) of .* failed \(AttributeError: Key .stp",
        ),
        ("raise ValueError", r"get_config\(\) of .* failed \(ValueError: \)"),
        ("default()", "returned None, not a ConfigDict"),
    ],
)
def test_a_file_with_other_fields_is_refused(tmp_path, body, words):
    """Before anything is trained: a work directory with such a config.json could not be opened again."""
    (tmp_path / "c.py").write_text(f"from jaxgan.config import default\ndef get_config():\n    {body}\n")
    with pytest.raises(UserError, match=words):
        C.read(str(tmp_path / "c.py"))


def test_a_file_that_fails_is_one_sentence(tmp_path):
    (tmp_path / "c.py").write_text("open('nowhere')")
    with pytest.raises(UserError, match=r"c\.py failed \(FileNotFoundError"):
        C.read(str(tmp_path / "c.py"))


def test_a_configuration_of_another_version_is_refused():
    with pytest.raises(UserError, match=r"has no field 'checkpoint\.every'"):
        C.from_json("{}")


def test_an_error_is_one_line_and_exit_code_2(capsys, monkeypatch):
    def command():
        raise UserError("seed must be below 2**32, not 5.")

    with pytest.raises(SystemExit) as exit:
        exit_on(command)
    assert exit.value.code == 2
    assert capsys.readouterr().err == "error: seed must be below 2**32, not 5.\n"
    monkeypatch.setattr(sys, "argv", ["jaxgan.main", "--debug"])
    with pytest.raises(UserError):
        exit_on(command)
