"""The skeletons of docs/extending.md work as they stand: they join the tables, and meet the tests of every member."""

import importlib
import json
import re
import sys
import types
from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from experiments import lab
from jaxgan import data
from jaxgan.algorithm1 import UPDATES
from jaxgan.augment import AUGMENTS
from jaxgan.conditions import CONDITIONS
from jaxgan.config import update, validate
from jaxgan.errors import UserError
from jaxgan.evaluation import inputs
from jaxgan.features.space import SPACES, space_name
from jaxgan.game.state import all_finite
from jaxgan.game.updates import Update, second_order
from jaxgan.metrics import METRICS
from jaxgan.networks import DISCRIMINATORS, FAMILIES, GENERATORS
from jaxgan.objectives.adjustments import ADJUSTMENTS
from jaxgan.objectives.losses import LOSSES
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.terms import TERMS
from jaxgan.optimizers import OPTIMIZERS
from jaxgan.schedules import SCHEDULES
from tests import test_zoo
from tests.game import test_updates
from tests.helpers import zoo_games as zoo

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
BLOCKS = re.findall(r"```python\n# ((?:jaxgan|experiments)/\S+\.py)\n(.*?)```", PAGE, re.DOTALL)
TABLES = (LOSSES, PENALTIES, TERMS, ADJUSTMENTS, UPDATES, FAMILIES, GENERATORS, DISCRIMINATORS, OPTIMIZERS, SCHEDULES)
TABLES += (AUGMENTS, CONDITIONS, METRICS, data.SOURCES, SPACES, inputs.INPUTS)


def run(path: str, code: str) -> types.ModuleType | None:
    """Runs a block at the end of the module that it names, or as a new module of that name, which it returns."""
    name = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    compiled = compile(code, path, "exec", dont_inherit=True)
    if (ROOT / path).exists():
        exec(compiled, vars(importlib.import_module(name)))
        return None
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compiled, vars(module))
    package, _, short = name.rpartition(".")
    setattr(sys.modules[package], short, module)
    return module


@pytest.fixture(scope="module")
def members():
    """The tables with the skeletons in them; by each new module's name, the module."""
    before, found = [dict(table) for table in TABLES], {}
    modules = {name: dict(vars(module)) for name, module in sys.modules.items() if name.startswith("jaxgan.")}
    for path, code in BLOCKS:
        if module := run(path, code):
            found[module.__name__] = module
    family = found["jaxgan.networks.linear"]
    GENERATORS["linear"], DISCRIMINATORS["linear"] = family.Generator, family.Discriminator  # as FAMILIES gives them
    UPDATES["ahead"] = Update(partial(second_order, correction=ADJUSTMENTS["ahead"]))  # as ADJUSTMENTS gives them
    yield found
    for table, saved in zip(TABLES, before, strict=True):
        table.clear()
        table.update(saved)
    for name, saved in modules.items():
        for new in vars(sys.modules[name]).keys() - saved.keys():
            delattr(sys.modules[name], new)
    for name in found:
        package, _, short = name.rpartition(".")
        vars(sys.modules[package]).pop(short, None)
        del sys.modules[name]


def test_the_page_has_a_skeleton_of_every_kind(members):
    assert len(BLOCKS) == PAGE.count("```python") == 22
    assert {"margin"} <= LOSSES.keys() and {"r1_and_r2"} <= PENALTIES.keys() and {"ahead"} <= ADJUSTMENTS.keys()
    assert {"linear"} <= FAMILIES.keys() and {"drift"} <= TERMS.keys() and {"generator_first"} <= UPDATES.keys()
    assert {"lion"} <= OPTIMIZERS.keys() and {"step"} <= SCHEDULES.keys() and {"brightness"} <= AUGMENTS.keys()
    assert {"stripe_mask"} <= CONDITIONS.keys()
    assert {"brightness"} <= METRICS.keys() and space_name("random_projection") in SPACES and "train" in inputs.INPUTS


@pytest.mark.parametrize(
    ("test", "argument"),
    [
        (test_zoo.test_a_loss_is_a_finite_number_per_example, ("margin",)),
        (test_zoo.test_a_penalty_is_a_finite_number_per_example, ("r1_and_r2",)),
        (test_zoo.test_an_optimizer_goes_downhill_under_every_schedule, ("lion", "step")),
        (test_zoo.test_an_augmentation_is_a_law_per_example, ("brightness",)),
        (test_zoo.test_a_condition_is_of_each_example_alone, ("stripe_mask",)),
        (test_zoo.test_a_metric_gives_numbers_that_it_can_show, ("brightness",)),
    ],
    ids=["loss", "penalty", "optimizer and schedule", "augmentation", "condition", "metric"],
)
def test_a_skeleton_meets_the_common_tests(members, test, argument):
    test(*argument)


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_the_skeleton_of_a_family_meets_the_common_tests(members, player, monkeypatch):
    family = getattr(members["jaxgan.networks.linear"], player.capitalize())
    monkeypatch.setitem(test_zoo.FAMILIES, (player, "linear"), family)
    test_zoo.test_a_network_has_the_shapes_of_its_side((player, "linear"))


def test_the_skeleton_of_an_adjustment_is_extragradient_on_a_bilinear_game(members):
    """By its name in the configuration; there xi is linear, so that first order is all."""
    ends = []
    for name in ("ahead", "extragradient"):
        gan, hparams, state = test_updates.game(train__update=name, objective__adjustment=test_updates.H)
        play = zoo.compiled(zoo.player(zoo.Game(name, gan, hparams, test_updates.POINTS)))
        state = play(hparams, state, np.uint32(3))[0]
        ends.append((state.generator.params, state.discriminator.params))
    test_zoo.close(*ends, rtol=1e-6)


def test_the_skeleton_of_an_update_steps_g_against_the_old_d(members):
    """On a bilinear game V = d g: G's step is that of the simultaneous update, and D's is made at the new G."""
    ends = {}
    for name in ("generator_first", "simultaneous", "alternating"):
        gan, hparams, state = test_updates.game(train__update=name)
        play = zoo.compiled(zoo.player(zoo.Game(name, gan, hparams, test_updates.POINTS)))
        ends[name] = play(hparams, state, np.uint32(1))[0]
    test_zoo.close(ends["generator_first"].generator.params, ends["simultaneous"].generator.params, rtol=1e-6)
    d = {name: jax.tree.leaves(end.discriminator.params) for name, end in ends.items()}
    assert any(np.any(a != b) for a, b in zip(d["generator_first"], d["simultaneous"], strict=True))


def test_all_of_them_train_together_by_their_fields(members):
    changes = {"objective.loss": "margin", "objective.margin": 2.0, "objective.penalties.r1_and_r2": 0.1}
    changes |= {"objective.drift.weight": 0.001}
    changes |= {"augment.name": "brightness", "augment.strength": 0.1, "evaluate.metrics": ("brightness",)}
    for player in ("generator", "discriminator"):
        path = f"optimizer.{player}"
        changes |= {f"{path}.name": "lion", f"{path}.schedule.name": "step", f"{path}.schedule.steps": 2.0}
    game = zoo.game("skeletons", zoo.family("linear", "linear") | changes)
    assert game.hparams["objective.margin"] == 2
    start = zoo.compiled(game.gan.init)(game.hparams)
    state, sums = zoo.compiled(zoo.player(game))(game.hparams, start, np.uint32(3))
    assert all_finite((state, sums))
    assert {"r1_and_r2", "drift", "real_logit", "d_loss"} <= sums.keys()
    with pytest.raises(UserError, match="margin must be above 0"):
        validate(update(zoo.default(), {"objective.loss": "margin", "objective.margin": 0.0}))


def test_the_skeleton_of_a_feature_space_meets_the_common_tests(members, tmp_path, monkeypatch):
    test_zoo.test_a_feature_space_has_rows_of_numbers("random_projection", tmp_path, monkeypatch)


def test_the_skeleton_of_an_input_of_metrics(members):
    config = update(zoo.default(), {"evaluate.metrics": ("parzen",)})
    images = np.arange(4 * 4, dtype=np.uint8).reshape(4, 2, 2, 1)
    dataset = data.Dataset("npz:x.npz", images, images[:1], images[:1], None)
    evaluation = inputs.Evaluation(inputs.References(config, dataset), np.zeros((4, 2, 2, 1), np.float32), None)
    np.testing.assert_allclose(inputs.INPUTS["train"](evaluation, "test"), images / 255, rtol=1e-6)


def test_the_skeleton_of_a_data_set(members):
    source = members["jaxgan.data.stripes"].stripes()
    assert source.train.shape == (2000, 8, 8, 1)
    assert source.train.dtype == np.uint8
    for image, label in zip(source.train[:50, :, :, 0], source.train_labels, strict=False):
        lines = image if label == 0 else image.T
        assert (lines == lines[:, :1]).all()
    dataset = data.load(ConfigDict({"name": "stripes", "dir": "", "validation": 100}))
    assert [len(x) for x in (dataset.train, dataset.validation, dataset.test)] == [1800, 100, 100]
    assert dataset.classes == 2


def test_the_skeleton_of_an_experiment(members, monkeypatch, tmp_path, capsys):
    """Its quick command reaches its verdict, and repeated it reads what it computed."""
    skeleton = members["experiments.skeleton"]
    monkeypatch.setattr(sys, "argv", ["skeleton", "--quick", f"--out={tmp_path}"])
    skeleton.main()
    result = (tmp_path / "result.json").read_bytes()
    assert json.loads(result)["holds"] == {"R1 ends closer to the equilibrium": True}
    assert f"  {lab.VERDICTS[True]}\n" in capsys.readouterr().out
    assert (tmp_path / "skeleton.png").stat().st_size > 0
    monkeypatch.setattr(skeleton, "train", lambda *_, **__: pytest.fail("trained again"))
    skeleton.main()
    assert (tmp_path / "result.json").read_bytes() == result
    monkeypatch.setattr(sys, "argv", ["skeleton", "--seeds=2", f"--out={tmp_path / 'new'}"])
    with pytest.raises(UserError, match="--seeds=2"):
        skeleton.main()
    assert not (tmp_path / "new").exists()
