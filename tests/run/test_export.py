"""G as StableHLO, against G."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import linen as nn
from safetensors import safe_open

import jaxgan
from jaxgan import main
from jaxgan.conditions import Condition
from jaxgan.config import default, update
from jaxgan.config.files import from_json
from jaxgan.config.hparams import traced
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.game.build import build
from jaxgan.game.prior import PRIORS
from jaxgan.networks import GENERATORS
from jaxgan.networks.layers import DataSpec
from jaxgan.run import export, release
from jaxgan.run.trained import TrainedGan
from jaxgan.run.workdir import DataInfo
from jaxgan.train import train
from tests.helpers import zoo_games

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def workdir(tiny_config, tmp_path_factory):
    """Conditional, with an EMA of G."""
    workdir = tmp_path_factory.mktemp("run") / "work"
    changes = {"conditional": "label", "generator.ema.gamma": (1.0,), "train.steps": 10, "generator.irange": 1.0}
    assert train(tiny_config(**changes), workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def gan(workdir):
    return jaxgan.load(workdir)


@pytest.fixture(scope="module")
def folder(workdir, tmp_path_factory):
    """What --mode=export writes."""
    folder = tmp_path_factory.mktemp("export") / "out"
    assert release.release(workdir, folder) == 0
    return folder


def untrained(name, **changes):
    """The GAN of a tiny G of this family at its first step, class-conditional unless `changes` say otherwise."""
    base = {"prior.size": 4, "train.batch_size": zoo_games.M, "conditional": "label", "generator.ema.gamma": (1.0,)}
    config = update(default(), base | zoo_games.family(name, "mlp") | changes)
    classes = zoo_games.CLASSES if config.conditional == "label" else 0
    spec = DataSpec(zoo_games.SHAPE, classes, (0.0, 1.0), zoo_games.X.mean(axis=0) / 255)
    gan, hparams = build(config, spec, len(zoo_games.X), label_classes=zoo_games.CLASSES), traced(config)
    state = zoo_games.compiled(gan.init)(hparams)
    info = DataInfo("tiny", "", len(zoo_games.X), spec.shape, spec.bounds, classes, zoo_games.CLASSES, stack=1)
    # Not the EMA's starting value, which is theta_g itself, nor its unit scales and zero biases.
    average = jax.tree.map(lambda x: 1.3 * x + 0.1 * np.cos(np.arange(x.size, dtype=np.float32)).reshape(x.shape),
                           state.generator.params)  # fmt: skip
    state = state._replace(averages=(average,))
    return TrainedGan(config=config, step=0, sha256="", gan=gan, state=state, hparams=hparams, data_info=info)


VARIANTS = [
    *((name, {}) for name in GENERATORS),
    ("mlp", {"generator.norm": "batch"}),
    ("mlp", {"generator.norm": "spectral"}),
    ("dcgan", {"conditional": "none"}),
    ("dcgan", {"generator.norm": "conditional_batch"}),
    ("resnet", {"generator.upsample": "bilinear", "conditional": "none"}),
]


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=lambda x: x if isinstance(x, str) else ",".join(x.values()))
def test_every_family(tmp_path, name, changes):
    gan = untrained(name, **changes)
    gan.export(tmp_path / "g")
    G = loaded(tmp_path / "g")
    for n in (1, 5):
        y = [np.arange(n, dtype=np.int32) % zoo_games.CLASSES] if gan.gan.num_classes else []
        want = gan.generate(gan.noise(n), *y)
        np.testing.assert_allclose(G.call(gan.noise(n), *y), want, rtol=1e-6, atol=1e-6)
        assert np.abs(want - gan.generate(gan.noise(n), *y, ema=False)).max() > 1e-3


@pytest.mark.parametrize("name", ["mlp", "resnet"])  # classes as rows of 0 and 1, classes as indices
def test_a_class_that_g_does_not_know_gives_nan(tmp_path, name):
    gan = untrained(name)
    gan.export(tmp_path / "g")
    x = np.asarray(loaded(tmp_path / "g").call(gan.noise(5), np.array([-1, 0, 2, 3, 7], np.int32)))
    np.testing.assert_array_equal(np.isnan(x).all(axis=(1, 2, 3)), [True, False, False, True, True])
    np.testing.assert_allclose(x[1:3], gan.generate(gan.noise(5)[1:3], [0, 2]), rtol=1e-6, atol=1e-6)


def loaded(path):
    return jax.export.deserialize(path.read_bytes())


@pytest.mark.parametrize("ema", [True, False])
def test_the_file_generates_the_samples_of_the_gan(gan, tmp_path, ema):
    gan.export(tmp_path / "g", ema=ema)
    G = loaded(tmp_path / "g")
    for n in (1, 7):  # any number of them
        y = np.arange(n, dtype=np.int32)
        found = np.asarray(G.call(gan.noise(n), y))
        assert found.shape == (n, 8, 8, 1) and found.dtype == np.float32
        np.testing.assert_allclose(found, gan.generate(gan.noise(n), y, ema=ema), atol=1e-6)
        np.testing.assert_allclose(found, gan.sample(n, y=y, ema=ema), atol=1e-6)
    assert set(G.platforms) == {"cpu", "cuda", "rocm", "tpu"}
    assert [p.name for p in tmp_path.iterdir()] == ["g"]


# Fails where this package or one that it is built on is imported.
BLOCKER = """
import sys
for name in ("jaxgan", "flax", "optax", "ml_collections", "orbax"):
    sys.modules[name] = None
"""


def run_alone(code, folder):
    """x, y and z of `code`, run in `folder` by an interpreter that has only jax and numpy."""
    save = "np.savez(sys.argv[1], x=x, y=y, z=z)"
    path = folder.parent / "result.npz"
    command = [sys.executable, "-c", f"{BLOCKER}\n{code}\n{save}", path]
    subprocess.run(command, check=True, cwd=folder, timeout=300, env={**os.environ, "PYTHONPATH": ""})
    with np.load(path) as arrays:
        return dict(arrays)


def python_block(path):
    """The first block of Python code in a Markdown file."""
    return path.read_text().partition("```python\n")[2].partition("```")[0]


@pytest.mark.parametrize("document", ["README.md", DOCS / "export.md"], ids=["model card", "docs"])
def test_the_documented_lines_run_the_file_without_jaxgan(gan, folder, document):
    code = python_block(folder / document)
    assert code.count("\n") <= 10
    found = run_alone(code, folder)
    assert found["x"].shape == (16, 8, 8, 1) and found["x"].dtype == np.float32
    np.testing.assert_array_equal(found["y"], np.arange(16) % 10)
    np.testing.assert_allclose(found["x"], gan.generate(found["z"], found["y"]), atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("prior", PRIORS)
def test_the_model_card_samples_the_prior(prior, scale, tiny_config):
    """Mean 0 and mean square scale**2, within the bounds or on the sphere."""
    gan = SimpleNamespace(config=tiny_config(prior__name=prior, prior__scale=scale), gan=SimpleNamespace(num_classes=0))
    gan.data_info, gan.condition_shapes = SimpleNamespace(shape=(8, 8, 1)), {}
    (line,) = (line for line in release.snippet(gan, "").splitlines() if line.startswith("z = "))
    names = {"np": np, "jax": jax, "n": 4000, "rng": np.random.default_rng(0)}
    exec(line, names)
    z = names["z"]
    assert z.shape == (4000, 8) and z.dtype == np.float32
    assert abs(z.mean()) < 0.02 and np.mean(z**2) == pytest.approx(scale**2, rel=0.03)
    if prior == "sphere":
        np.testing.assert_allclose(np.mean(z**2, axis=1), scale**2, rtol=1e-5)
    if prior == "uniform":
        assert 1.72 < np.abs(z).max() / scale <= 1.7321
    if prior == "truncated":  # beyond 2, of deviation .8796 then
        assert 2.26 < np.abs(z).max() / scale < 2.2738
    if prior == "mixture":  # two components of deviation 1/4, at +-sqrt(1 - 1/16)
        assert np.abs(z[z > 0]).mean() == pytest.approx(0.968 * scale, rel=0.01)
        assert z[z > 0].std() == pytest.approx(0.25 * scale, rel=0.03)


def test_the_weights_are_those_of_g(gan, folder):
    tree = {}
    with safe_open(folder / "g.safetensors", "numpy") as file:
        assert from_json(file.metadata()["config"]) == gan.config
        for name in file.keys():  # noqa: SIM118
            *path, last = name.split(".")
            node = tree
            for key in path:
                node = node.setdefault(key, {})
            node[last] = file.get_tensor(name)
    params, y = tree.pop("params"), np.arange(4, dtype=np.int32)
    np.testing.assert_array_equal(
        gan.gan.G(params, tree, gan.noise(4), Condition(label=y))[0], gan.generate(gan.noise(4), y)
    )
    assert from_json((folder / "config.json").read_text()) == gan.config


def test_the_model_card(gan, folder, workdir):
    scores = json.loads((workdir / "evaluation.json").read_text())
    card = (folder / "README.md").read_text()
    assert "digits, 1,350 training examples of shape 8x8x1 in [0, 1]" in card
    assert "classes from 0 to 9" in card and gan.sha256 in card and "gamma=1" in card and "10 of 10 steps" in card
    number = scores["test_log_likelihood"]
    assert f"| test_log_likelihood | {number:.4g} |" in card and SELECTION not in card
    assert "Not evaluated." in release.score_table({})
    assert "| fid | not a finite number |" in release.score_table({"step": 1, "fid": None, "protocol": {}})


def test_export_from_the_command_line(workdir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["main", "--mode=export", f"--workdir={workdir}"])
    assert main.main() == 0
    assert {p.name for p in (workdir / "export").iterdir()} == {
        "g.stablehlo", "g.safetensors", "config.json", "README.md",
    }  # fmt: skip
    assert "G of step 10" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["main", "--mode=export", f"--workdir={tmp_path / 'none'}"])
    with pytest.raises(UserError, match="not a work directory"):
        main.main()
    assert not (tmp_path / "none").exists()


def test_batch_statistics_are_in_the_file(tmp_path):
    """Those that it closes over, not those of the examples that it is called with."""
    norm = nn.BatchNorm(use_running_average=True, epsilon=0.0)
    stats = {"mean": np.array([1.0, 2.0], np.float32), "var": np.array([4.0, 25.0], np.float32)}
    variables = {"params": norm.init(jax.random.key(0), np.zeros((1, 2), np.float32))["params"], "batch_stats": stats}
    export.write(tmp_path / "g", lambda z: norm.apply(variables, z), {"z": ((2,), np.float32)}, classes=0)
    x = loaded(tmp_path / "g").call(np.array([[3.0, 12.0]], np.float32))
    np.testing.assert_allclose(x, [[1.0, 2.0]], rtol=1e-6)


@pytest.mark.parametrize(("name", "changes"), VARIANTS, ids=lambda x: x if isinstance(x, str) else ",".join(x.values()))
def test_onnx(tmp_path, name, changes):
    pytest.importorskip("jax2onnx")
    runtime = pytest.importorskip("onnxruntime")
    gan = untrained(name, **changes)
    if changes.get("generator.upsample") == "bilinear":  # jax2onnx resizes only a known number of images
        with pytest.raises(UserError, match="jax2onnx cannot convert this G"):
            gan.export(tmp_path / "g.onnx")
        return
    gan.export(tmp_path / "g.onnx")
    session = runtime.InferenceSession((tmp_path / "g.onnx").read_bytes())
    for n in (1, 5):
        inputs = {"z": gan.noise(n)}
        if gan.gan.num_classes:
            inputs["y"] = np.arange(n, dtype=np.int32) % zoo_games.CLASSES
        (x,) = session.run(["x"], inputs)
        np.testing.assert_allclose(x, gan.generate(*inputs.values()), rtol=1e-5, atol=1e-5)
    if gan.gan.num_classes:
        (x,) = session.run(["x"], {"z": gan.noise(3), "y": np.array([-1, 1, 3], np.int32)})
        np.testing.assert_array_equal(np.isnan(x).all(axis=(1, 2, 3)), [True, False, True])


def test_onnx_without_its_converter_is_refused(gan, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match="pip install --no-deps jax2onnx"):
        gan.export(tmp_path / "g.onnx")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported(gan, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        gan.export(tmp_path / "file" / "g")
    with pytest.raises(UserError, match="no average 'gamma=3'"):
        gan.export(tmp_path / "g", ema="gamma=3")
    assert not (tmp_path / "g").exists()
