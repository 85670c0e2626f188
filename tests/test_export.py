"""G as StableHLO, against G."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import linen as nn

import jaxgan
from jaxgan.errors import UserError
from jaxgan.run import export
from jaxgan.train import train


@pytest.fixture(scope="module")
def gan(tiny_config, tmp_path_factory):
    """Conditional, with an EMA of G."""
    workdir = tmp_path_factory.mktemp("run") / "work"
    changes = {"conditional": "label", "generator.ema.gamma": (1.0,), "train.steps": 10, "generator.irange": 1.0}
    assert train(tiny_config(**changes), workdir) == 0
    return jaxgan.load(workdir)


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
