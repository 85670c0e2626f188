"""The same numbers as torch-fidelity 0.4.0, prdc 0.2 and clean-fid 0.1.35, on the same arrays.

    pip install -e '.[test,parity]' && python -m pytest -m parity

Their Inception networks and data sets, the only parts that use torchvision, play no role here: where torchvision is
not installed, an empty stand-in lets the packages be imported.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
import warnings

import numpy as np
import pytest

from jaxgan.metrics import fid, inception_score, kid, prdc

pytestmark = pytest.mark.parity


class Empty(type):
    """A class of which every attribute is such a class."""

    def __getattr__(cls, name: str) -> "Empty":
        if name.startswith("__"):
            raise AttributeError(name)
        return Empty(name, (), {})


class StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules torchvision and torchvision.*, in which every name is an empty class."""

    def find_spec(self, name, path=None, target=None):
        inside = name.split(".")[0] == "torchvision"
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if inside else None

    def create_module(self, spec):
        return types.ModuleType(spec.name)

    def exec_module(self, module):
        module.__getattr__ = lambda name: getattr(Empty("torchvision", (), {}), name)
        module.__version__ = "0.0"


@pytest.fixture(scope="module", autouse=True)
def torchvision():
    if importlib.util.find_spec("torchvision"):
        yield
        return
    finder = StandIn()
    sys.meta_path.append(finder)
    yield
    sys.meta_path.remove(finder)
    for name in [name for name in sys.modules if name.split(".")[0] in ("torchvision", "torch_fidelity", "cleanfid")]:
        del sys.modules[name]


def package(name: str) -> types.ModuleType:
    with warnings.catch_warnings():  # what they import may warn, and does so once
        warnings.simplefilter("ignore")
        return pytest.importorskip(name)


def features(seed: int, n: int, d: int, dtype: type = np.float64) -> np.ndarray:
    """As Inception's: correlated, above 0, mostly below 2."""
    r, mix = np.random.default_rng(seed), np.random.default_rng(99)
    z = r.normal(size=(n, d)) @ mix.normal(size=(d, d)) / np.sqrt(d) + 0.1 * (seed % 2) * mix.normal(size=d)
    return np.maximum(0.4 + 0.5 * z, 0).astype(dtype)


# Frechet distance


@pytest.mark.parametrize("n, d, dtype", [(3000, 256, np.float64), (3000, 256, np.float32), (150, 200, np.float64)])
def test_fid_of_torch_fidelity(n, d, dtype):
    metric = package("torch_fidelity.metric_fid")
    torch = package("torch")
    real, fake = features(0, n, d, dtype), features(1, n + 50, d, dtype)
    moments = [metric.fid_features_to_statistics(torch.from_numpy(x)) for x in (real, fake)]
    want = metric.fid_statistics_to_metric(*moments, verbose=False)[metric.KEY_METRIC_FID]
    assert fid.evaluate(real, fake) == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("n, d", [(3000, 256), (230, 200)])
def test_fid_of_clean_fid(n, d):
    reference = package("cleanfid.fid")
    real, fake = features(0, n, d), features(1, n + 50, d)
    moments = [(x.mean(axis=0), np.cov(x, rowvar=False)) for x in (real, fake)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # SciPy's, of sqrtm(disp=)
        want = reference.frechet_distance(*moments[0], *moments[1])
    assert fid.evaluate(real, fake) == pytest.approx(want, rel=1e-6)
    assert fid.from_moments(*moments[0], *moments[1]) == pytest.approx(want, rel=1e-6)


# KID


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", [2020, 0])
def test_kid_of_torch_fidelity(seed, dtype):
    metric = package("torch_fidelity.metric_kid")
    torch = package("torch")
    real, fake = features(0, 500, 64, dtype), features(1, 400, 64, dtype)
    want = metric.kid_features_to_metric(
        torch.from_numpy(real),
        torch.from_numpy(fake),
        kid_subsets=20,
        kid_subset_size=150,
        kid_kernel="poly",
        kid_kernel_poly_degree=3,
        kid_kernel_poly_gamma=None,
        kid_kernel_poly_coef0=1,
        rng_seed=seed,
        verbose=False,
    )
    got = kid.evaluate(real, fake, subsets=20, size=150, seed=seed)
    wanted = want[metric.KEY_METRIC_KID_MEAN], want[metric.KEY_METRIC_KID_STD]
    assert got == pytest.approx(wanted, rel=1e-10 if dtype == np.float64 else 0, abs=1e-6 * (dtype == np.float32))
    assert min(wanted) > 1e-4  # so that the tolerance can tell


def test_kid_of_clean_fid():
    """It samples from NumPy's global stream, the other set first; a single subset of everything needs no sampling."""
    reference = package("cleanfid.fid")
    real, fake = features(0, 300, 64), features(1, 300, 64)
    want = reference.kernel_distance(real, fake, num_subsets=1, max_subset_size=300)
    assert kid.unbiased(real, fake) == pytest.approx(want, rel=1e-9)


# Inception Score


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("n", [1000, 1003])
def test_inception_score_of_torch_fidelity(n, shuffle):
    metric = package("torch_fidelity.metric_isc")
    torch = package("torch")
    logits = np.random.default_rng(0).normal(scale=3, size=(n, 20)).astype(np.float32)
    want = metric.isc_features_to_metric(torch.from_numpy(logits), splits=10, shuffle=shuffle, rng_seed=2020)
    if shuffle:
        logits = logits[np.random.RandomState(2020).permutation(n)]
    got = inception_score.evaluate(logits)
    assert got == pytest.approx((want[metric.KEY_METRIC_ISC_MEAN], want[metric.KEY_METRIC_ISC_STD]), rel=1e-9)


# Precision, recall, density, coverage


@pytest.mark.parametrize("n, m, d, k", [(1000, 900, 64, 5), (500, 700, 2, 3), (300, 200, 1500, 1)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_precision_recall_density_coverage_of_prdc(n, m, d, k, dtype, capsys):
    real, fake = features(0, n, d, dtype), features(2, m, d, dtype)
    want = package("prdc").compute_prdc(real, fake, k)
    assert prdc.evaluate(real, fake, k) == {name: float(score) for name, score in want.items()}
    assert 0 < want["coverage"] < 1


def test_prdc_where_distances_repeat(capsys):
    """On integers nothing is rounded, and strict is strict."""
    r = np.random.default_rng(0)
    real, fake = (r.integers(0, 5, (n, 3)).astype(np.float64) for n in (300, 200))
    want = package("prdc").compute_prdc(real, fake, 3)
    assert prdc.evaluate(real, fake, 3) == pytest.approx({name: float(x) for name, x in want.items()}, rel=1e-12)
    assert prdc.evaluate(real, fake, 3, strict=False)["density"] > want["density"] + 0.1


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("save_memory", [False, True])
def test_precision_and_recall_of_torch_fidelity(save_memory, integers):
    metric = package("torch_fidelity.metric_prc")
    torch = package("torch")
    real, fake = features(0, 600, 32), features(2, 500, 32)
    if integers:  # on the sphere is inside
        real, fake = (np.round(4 * x[:, :3]) for x in (real, fake))
    want = metric.prc_features_to_metric(
        torch.from_numpy(fake),
        torch.from_numpy(real),
        prc_neighborhood=3,
        prc_batch_size=200,
        save_cpu_ram=save_memory,
        verbose=False,
    )
    got = prdc.evaluate(real, fake, 3, strict=False)
    wanted = want[metric.KEY_METRIC_PRECISION], want[metric.KEY_METRIC_RECALL]
    assert (got["precision"], got["recall"]) == pytest.approx(wanted, rel=1e-7)  # they are means in float32
