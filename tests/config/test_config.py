"""Configurations: complete, locked, and every mistake one sentence."""

import copy
import importlib
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from jaxgan import config as C
from jaxgan.config import files as F
from jaxgan.errors import UserError, run_cli
from jaxgan.fields import fields_of
from jaxgan.networks import GENERATORS

ROOT = Path(__file__).parents[2]


def test_every_shipped_config_is_valid():
    names = [path.stem for path in (ROOT / "configs").glob("*.py") if path.stem != "__init__"]
    assert {"digits", "mnist"} <= set(names)
    sys.path.insert(0, str(ROOT))
    for name in names:
        config = importlib.import_module(f"configs.{name}").get_config()
        assert config.is_locked
        C.validate(config)
        assert C.flatten(F.from_json(F.to_json(config))) == C.flatten(config)


def test_mnist_is_the_papers_recipe():
    sys.path.insert(0, str(ROOT))
    flat = C.flatten(importlib.import_module("configs.mnist").get_config())
    expected = {
        "generator.hidden": [1200, 1200], "generator.irange": 0.05, "prior.name": "uniform", "prior.size": 100,
        "discriminator.hidden": [240, 240], "discriminator.pieces": 5, "discriminator.irange": 0.005,
        "discriminator.input_keep": 0.8, "discriminator.hidden_keep": 0.5, "train.batch_size": 100,
        "train.d_steps": 1, "train.update": "simultaneous", "objective.loss": "non_saturating",
        "data.validation": 10_000, "discriminator.activation": "maxout", "objective.d_scale": 0.5,
    }  # fmt: skip
    for player in ("generator", "discriminator"):
        expected |= {
            f"optimizer.{player}.{key}": value
            for key, value in {
                "name": "paper_sgd", "learning_rate": 0.1, "momentum": 0.5, "final_momentum": 0.7,
                "momentum_epochs": 250, "schedule.name": "exponential", "schedule.decay": 1.000004,
                "schedule.minimum": 1e-6,
            }.items()
        }  # fmt: skip
    assert {key: flat[key] for key in expected} == expected


def test_json_round_trip(tiny_config):
    config = tiny_config(seed=7)
    assert C.flatten(F.from_json(F.to_json(config))) == C.flatten(config)


@pytest.mark.parametrize("text", ["", "[]", "3", '{"train": {"stepz": 3}}', '{"train": {"steps": "many"}}'])
def test_a_damaged_config_file_is_one_sentence(text):
    with pytest.raises(UserError):
        F.from_json(text)


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
        ({"train.update": "extragradient", "objective.penalty_every": 2}, "would fall on only some of them"),
        # Its two halves draw 2^25 * 2 * 64 examples; one of them alone would be within the 32 bits.
        ({"train.update": "extragradient", "train.steps": 2**25, "train.batch_size": 64}, "counts them in 32 bits"),
        ({"discriminator.hidden_keep": 0.0}, "not 0.0"),
        ({"objective.penalties.r1": -1.0}, "0 or more, not -1.0"),
        ({"objective.real_target": 0.0}, r"objective.real_target must be in \(0, 1\], not 0.0"),
        ({"objective.loss": "minimax", "objective.real_target": 1.1}, "not 1.1"),
        ({"objective.loss": "least_squares", "objective.a": 1.0}, "make them differ"),
        ({"generator.ema.gamma": (1.0, -1.0)}, "0 or more, such as .* not -1.0"),
        ({"generator.ema.half_life": ("long",)}, "not 'long'"),
        ({"augment.name": "flip", "augment.probability": 1.5}, "not 1.5"),
        ({"optimizer.generator.schedule.name": "linear", "optimizer.generator.schedule.steps": 0.0}, "later steps=0.0"),
        ({"optimizer.generator.b2": 1.0}, r"b2 must be in \[0, 1\), not 1.0"),
        ({"discriminator.activation": "reluu"}, "not 'reluu'"),
        ({"conditional": "labels"}, "did you mean 'label'"),
        ({"generator.output": "softmax"}, "not 'softmax'"),
        ({"generator.hidden": (10, 10, 10)}, "2 activations for the 3 layers"),
        ({"generator.hidden": (10, 0)}, "not 0"),
        ({"optimizer.generator.learning_rate": float("nan")}, "fits into float32, not nan"),
        ({"optimizer.generator.name": "sgd", "optimizer.generator.momentum": 1.0}, "not 1.0"),
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
        (["--config.train.steps"], "not ''"),
        (["--nope=3"], "'--nope=3'"),
        (["steps=3"], "'steps=3'"),
    ],
)
def test_command_line_mistakes(arguments, words):
    with pytest.raises(UserError, match=words):
        F.override(C.default(), arguments)


def test_command_line_changes():
    arguments = [
        "--config.train.update=simultaneous", "--config.generator.hidden=(5,6)", "--config.prior.scale=2",
        "--config.generator.output_bias=false", "--config.data.name", "npz:a=b.npz",
    ]  # fmt: skip
    flat = C.flatten(F.override(C.default(), arguments))
    assert flat["train.update"] == "simultaneous"
    assert flat["generator.hidden"] == [5, 6]
    assert flat["prior.scale"] == 2.0
    assert flat["generator.output_bias"] is False
    assert flat["data.name"] == "npz:a=b.npz"


def test_lists_on_the_command_line_need_no_brackets():
    arguments = ["--config.generator.hidden=5", "--config.generator.activations=relu", "--config.evaluate.metrics=a,b"]
    flat = C.flatten(F.override(C.default(), [*arguments, "--config.generator.ema.gamma=(1.0, 3.0)"]))
    assert flat["generator.hidden"] == [5]
    assert flat["generator.activations"] == ["relu"]
    assert flat["evaluate.metrics"] == ["a", "b"]
    assert flat["generator.ema.gamma"] == [1.0, 3.0]


def test_a_choice_on_the_command_line_comes_before_its_fields():
    arguments = ["--config.optimizer.generator.momentum=.5", "--config.optimizer.generator.name=sgd"]
    assert F.override(C.default(), arguments).optimizer.generator.momentum == 0.5


def test_a_config_file_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"none\.py cannot be read: No such file"):
        F.read("none.py")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(UserError, match="defines no get_config"):
        F.read(str(tmp_path / "empty.py"))


def test_a_name_finds_a_file_of_configs_here_and_in_the_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "digits.py", "configs/digits.py", ROOT / "configs" / "digits.py"):
        assert F.find(name) == ROOT / "configs" / "digits.py"
    (tmp_path / "configs").mkdir()
    for name in ("digits.py", "mine.py"):
        (tmp_path / "configs" / name).write_text("")
    assert F.find("digits") == Path("configs/digits.py")  # the nearer one
    assert {"mine", "mnist"} < {path.stem for path in F.shipped()}
    (tmp_path / "digits").mkdir()
    assert F.find("digits").name == "digits.py"
    with pytest.raises(UserError, match="the --config file minst cannot be read: No such file; did you mean mnist"):
        F.find("minst")
    with pytest.raises(UserError, match=r"nowhere/digits\.py cannot be read: No such file"):
        F.find("nowhere/digits.py")


def test_a_file_outside_the_checkout_imports_its_configs(tmp_path):
    """From a folder in which there is no package `configs`, and without leaving a trace in the search path."""
    (tmp_path / "mine.py").write_text(
        "from configs import ring8\n"
        "from jaxgan.config import update\n"
        "def get_config(): return update(ring8.get_config(), {'train.steps': 7})\n"
    )
    code = "import sys; sys.path.pop(0); sys.path.append(sys.argv[1]); before = list(sys.path)\n"
    code += "from jaxgan.config import files; c = files.read('mine.py'); print(c.train.steps, c.data.name)\n"
    code += "assert sys.path == before"
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "jaxgan").symlink_to(ROOT / "jaxgan")  # the package alone is on the path
    code = code.replace("sys.path.append(sys.argv[1])", "sys.path.append('site')")
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (0, "7 mixture:ring8\n"), found.stderr


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("c = default().unlock(); c.train.stpes = 7; return c", "no field 'train.stpes'; the nearest is 'train.steps'"),
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
        F.read(str(tmp_path / "c.py"))


def test_a_file_that_fails_is_one_sentence(tmp_path):
    (tmp_path / "c.py").write_text("open('nowhere')")
    with pytest.raises(UserError, match=r"c\.py failed \(FileNotFoundError"):
        F.read(str(tmp_path / "c.py"))


def test_a_stored_configuration_takes_defaults_for_what_it_lacks():
    stored = json.loads(F.to_json(C.update(C.default(), {"train.steps": 7})))
    del stored["checkpoint"]["keep"], stored["generator"]["ema"]
    assert C.flatten(F.from_json(json.dumps(stored))) == C.flatten(C.update(C.default(), {"train.steps": 7}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c.pop("format"), "no format number: a jaxgan before 0.2"),
        (lambda c: c.update(format=F.FORMAT + 1), "install a newer jaxgan"),
        (lambda c: c["train"].update(warp=1), "no field 'train.warp'.*newer jaxgan"),
        (lambda c: c["objective"].update(loss="loss_of_2031"), "objective.loss must be one of .*newer jaxgan"),
    ],
)
def test_a_configuration_of_another_version(change, words):
    stored = json.loads(F.to_json(C.default()))
    change(stored)
    with pytest.raises(UserError, match=words):
        F.from_json(json.dumps(stored))


def test_a_choice_replaces_its_fields_and_nothing_else():
    config = C.update(C.default(), {"generator.hidden": (7, 7), "generator.ema.gamma": (1.0,), "prior.size": 3})
    flat = C.flatten(C.update(config, {"generator.name": "maxout_conv"}))
    own = fields_of(GENERATORS["maxout_conv"])
    assert {
        key: tuple(v) if isinstance(v, list) else v for key, v in _under(flat, "generator").items() if key in own
    } == own
    assert {key for key in _under(flat, "generator") if "." not in key} == {*own, "name", "initialize_from", "frozen"}
    assert flat["generator.ema.gamma"] == [1.0]
    assert flat["prior.size"] == 3
    # Naming the choice that is made already changes nothing.
    assert C.flatten(C.update(config, {"generator.name": "mlp"})) == C.flatten(config)
    # The order in which changes are given does not matter.
    changes = {"optimizer.generator.momentum": 0.25, "optimizer.generator.name": "sgd"}
    assert C.update(config, changes).optimizer.generator.momentum == 0.25
    back = C.update(C.update(config, changes), {"optimizer.generator.name": "adam"})
    assert C.flatten(back) == C.flatten(config)


def _under(flat, section):
    return {key.removeprefix(f"{section}."): value for key, value in flat.items() if key.startswith(f"{section}.")}


@pytest.mark.parametrize("path", C.SECTIONS)
def test_no_choice_has_a_field_that_its_section_has_already(path):
    """Else the choice would overwrite it; a section's own fields are those that every choice has."""
    section = C.SECTIONS[path]
    fields = {name: set(fields_of(choice)) for name, choice in section.choices.items()}
    now = C.default()
    shared = set(C.get(now, path)) - fields[C.get(now, path)[section.key]]
    for name, own in fields.items():
        assert not own & shared, name


@pytest.mark.parametrize(
    ("field", "owners", "now"),
    [
        ("optimizer.generator.momentum", "sgd or paper_sgd", "adam"),
        ("objective.a", "least_squares", "non_saturating"),
        ("augment.probability", "flip", "none"),
        ("optimizer.discriminator.schedule.final", "linear or cosine", "constant"),
        ("generator.grid", "maxout_conv", "mlp"),
    ],
)
def test_a_field_of_another_choice_names_its_owner(field, owners, now):
    with pytest.raises(UserError, match=rf"{field} is a field of .*{owners}.*, not of .*={now}; set that too"):
        C.update(C.default(), {field: 1.0})
    with pytest.raises(UserError, match=f"is a field of .*{owners}"):
        F.override(C.default(), [f"--config.{field}=1"])


def test_what_is_changed_from_the_defaults():
    """Relative to the defaults of the choices made, and the choices relative to the defaults."""
    assert F.changed_from_default(C.default()) == {}
    changes = {"objective.loss": "least_squares", "objective.a": -1.0, "optimizer.generator.name": "sgd", "seed": 3}
    assert F.changed_from_default(C.update(C.default(), changes)) == {
        "objective.loss": ("non_saturating", "least_squares"),
        "objective.a": (0.0, -1.0),
        "optimizer.generator.name": ("adam", "sgd"),
        "seed": (0, 3),
    }


def test_what_a_resumed_run_may_change_is_a_list_of_fields():
    """Not of sections, and nothing that alters a step made or what a score of the run means."""
    flat = C.flatten(C.default())
    assert set(C.RESUMABLE) <= set(flat)
    assert {key.split(".")[0] for key in C.RESUMABLE} == {
        "data", "train", "log", "sample", "evaluate", "checkpoint", "distributed",
    }  # fmt: skip
    for key in ("evaluate.samples", "evaluate.metrics", "evaluate.best", "train.batch_size", "data.validation"):
        assert key not in C.RESUMABLE
    a = C.default()
    other = {float: lambda x: x + 1.5, int: lambda x: x + 1, bool: lambda x: not x, str: lambda x: f"{x}x",
             list: lambda x: [*x, "more"]}  # fmt: skip
    for key, value in flat.items():
        if key in {"conditional", *(f"{path}.{section.key}" for path, section in C.SECTIONS.items())}:
            continue
        changed = C.update(a, {key: other[type(value)](value)})
        assert C.differences(a, changed) == ([] if key in C.RESUMABLE else [key])
    assert "optimizer.generator.name" in C.differences(a, C.update(a, {"optimizer.generator.name": "sgd"}))


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda c: pickle.loads(pickle.dumps(c)),
        lambda c: c.copy_and_resolve_references(),
        lambda c: F.from_json(F.to_json(c)),
    ],
    ids=["copy", "deepcopy", "pickle", "resolved", "json"],
)
def test_a_field_hides_the_method_of_its_name(copied):
    """`update`, the only field of that kind, is a word and no method; locked copies have it too."""
    config = copied(C.update(C.default(), {"train.update": "consensus"}))
    assert config == C.update(C.default(), {"train.update": "consensus"}) and config.is_locked
    assert config.train.update == config.train["update"] == "consensus"
    hidden = {name for key in C.flatten(config) for name in key.split(".") if hasattr(ConfigDict, name)}
    assert hidden == {"update"}


def test_the_method_update_still_sets_fields_of_sections():
    config = C.default()
    config.update({"train": {"update": "consensus", "steps": 3}, "generator": {"ema": {"ramp": 0.5}}}, seed=4)
    assert (config.train.update, config.train.steps, config.generator.ema.ramp, config.seed) == ("consensus", 3, 0.5, 4)
    assert config.train.batch_size == C.default().train.batch_size
    with pytest.raises(KeyError, match="does not exist"):
        config.update(train={"warp": 1})


def test_an_error_is_one_line_and_exit_code_2(capsys, monkeypatch):
    def command():
        raise UserError("seed must be below 2**32, not 5.")

    with pytest.raises(SystemExit) as exit:
        run_cli(command)
    assert exit.value.code == 2
    assert capsys.readouterr().err == "error: seed must be below 2**32, not 5.\n"
    monkeypatch.setattr(sys, "argv", ["jaxgan.main", "--debug"])
    with pytest.raises(UserError):
        run_cli(command)
