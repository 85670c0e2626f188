"""G as StableHLO, against G."""

import subprocess
import sys

import jax
import numpy as np
import pytest
import zoo_games
from flax import linen as nn

import jaxgan
from jaxgan.config import default, update
from jaxgan.errors import UserError
from jaxgan.gan import build
from jaxgan.hparams import traced
from jaxgan.networks import GENERATORS
from jaxgan.networks.layers import DataSpec
from jaxgan.run import export
from jaxgan.run.trained import Trained
from jaxgan.train import train


@pytest.fixture(scope="module")
def gan(tiny_config, tmp_path_factory):
    """Conditional, with an EMA of G."""
    workdir = tmp_path_factory.mktemp("run") / "work"
    changes = {"conditional": "label", "generator.ema.gamma": (1.0,), "train.steps": 10, "generator.irange": 1.0}
    assert train(tiny_config(**changes), workdir) == 0
    return jaxgan.load(workdir)


def untrained(name, **changes):
    """The GAN of a tiny G of this family at its first step, class-conditional unless `changes` say otherwise."""
    base = {"prior.size": 4, "train.batch_size": zoo_games.M, "conditional": "label", "generator.ema.gamma": (1.0,)}
    config = update(default(), base | zoo_games.family(name, "mlp") | changes)
    classes = zoo_games.CLASSES if config.conditional == "label" else 0
    spec = DataSpec(zoo_games.SHAPE, classes, (0.0, 1.0), zoo_games.X.mean(axis=0) / 255)
    gan, hparams = build(config, spec, len(zoo_games.X), label_classes=zoo_games.CLASSES), traced(config)
    state = zoo_games.compiled(gan.init)(hparams)
    # Not the EMA's starting value, which is theta_g itself, nor its unit scales and zero biases.
    average = jax.tree.map(lambda x: 1.3 * x + 0.1 * np.cos(np.arange(x.size, dtype=np.float32)).reshape(x.shape),
                           state.generator.params)  # fmt: skip
    state = state._replace(averages=(average,))
    return Trained(config=config, step=0, sha256="", gan=gan, state=state, hparams=hparams, facts=None)


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
        y = [np.arange(n, dtype=np.int32) % zoo_games.CLASSES] if gan.gan.classes else []
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
def test_the_file_draws_what_the_gan_draws(gan, tmp_path, ema):
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


def test_the_file_needs_no_jaxgan(gan, tmp_path):
    gan.export(tmp_path / "g.stablehlo")
    program = (
        "import sys, jax, numpy as np\n"
        "G = jax.export.deserialize(open(sys.argv[1], 'rb').read())\n"
        "np.save(sys.argv[2], G.call(np.full((2, 8), .5, np.float32), np.array([4, 5], np.int32)))\n"
        "assert 'jaxgan' not in sys.modules and 'flax' not in sys.modules\n"
    )
    command = [sys.executable, "-c", program, tmp_path / "g.stablehlo", tmp_path / "x.npy"]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)
    want = gan.generate(np.full((2, 8), 0.5), [4, 5])
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), want, atol=1e-6)


def test_batch_statistics_are_in_the_file(tmp_path):
    """Those that it closes over, not those of the examples that it is called with."""
    norm = nn.BatchNorm(use_running_average=True, epsilon=0.0)
    stats = {"mean": np.array([1.0, 2.0], np.float32), "var": np.array([4.0, 25.0], np.float32)}
    variables = {"params": norm.init(jax.random.key(0), np.zeros((1, 2), np.float32))["params"], "batch_stats": stats}
    export.write(tmp_path / "g", lambda z: norm.apply(variables, z), z_size=2, classes=0)
    x = loaded(tmp_path / "g").call(np.array([[3.0, 12.0]], np.float32))
    np.testing.assert_allclose(x, [[1.0, 2.0]], rtol=1e-6)


def test_what_cannot_be_exported(gan, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written"):
        gan.export(tmp_path / "file" / "g")
    with pytest.raises(UserError, match="no average 'gamma=3'"):
        gan.export(tmp_path / "g", ema="gamma=3")
    assert not (tmp_path / "g").exists()
