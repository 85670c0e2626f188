"""Metrics on features inside evaluation: names, protocol, what chooses, and what may not end a run."""

import json
import math

import numpy as np
import pytest
import scipy.linalg

from jaxgan.conditions import UNCONDITIONAL
from jaxgan.config import default, update
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.evaluation.checks import check_metrics
from jaxgan.evaluation.evaluator import SELECTION, make_measure, protocol, selection
from jaxgan.features import pixels, space
from jaxgan.features.space import FeatureSpace
from jaxgan.metrics import DISPLAYS, METRICS, diversity, kid
from jaxgan.run import commands
from jaxgan.run.writers import read_metrics
from jaxgan.train import train

pytestmark = pytest.mark.slow

ON_FEATURES = ("fid", "kid", "prdc", "neighbours", "diversity")


def random_images(n: int, seed: int, top: int = 256) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, top, (n, 4, 4, 1)).astype(np.uint8)


DATASET = Dataset(
    "noise",
    random_images(300, 0),
    random_images(60, 1, top=128),  # unlike the test set, so that it shows which was used
    random_images(80, 2),
    None,
    *(np.arange(n, dtype=np.int32) % 4 for n in (300, 60, 80)),
    4,
)


@pytest.fixture
def looks(monkeypatch) -> list[int]:
    """A classifier that needs no training: means of the quarters of an image; its logits favour the brightest one.

    It counts how often it looks at how many images.
    """
    found: list[int] = []

    def outputs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found.append(len(x))
        quarters = pixels.clip_pixels(x).reshape(-1, 2, 2, 2, 2).mean(axis=(2, 4)).reshape(-1, 4).astype(np.float32)
        return quarters, 100 * quarters

    def load(features: str, dataset: Dataset, gcn: float) -> FeatureSpace:
        if features == "pixels":
            return space.load_space(features, dataset, gcn)
        return FeatureSpace(space.space_name(features), outputs, {"name": features, "sha256": "abc"})

    monkeypatch.setattr("jaxgan.evaluation.inputs.load_space", load)
    monkeypatch.setattr("jaxgan.evaluation.evaluator.load_space", load)
    return found


def config(metrics, features="pixels", **changes):
    base = {"evaluate.metrics": metrics, "evaluate.features": features, "evaluate.samples": 70}
    return update(default(), base | {key.replace("__", "."): value for key, value in changes.items()})


def frechet(x: np.ndarray, y: np.ndarray) -> float:
    """By its textbook formula, in float64."""
    x, y = (np.asarray(a, np.float64).reshape(len(a), -1) for a in (x, y))
    c1, c2 = np.cov(x.T), np.cov(y.T)
    root = scipy.linalg.sqrtm(c1 @ c2).real
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(c1 + c2 - 2 * root))


def samples_like(dataset: Dataset, n: int = 70) -> np.ndarray:
    return (random_images(n, 9) / np.float32(255)).astype(np.float32)


def test_numbers_carry_their_space_and_their_split():
    samples = samples_like(DATASET)
    found = make_measure(config(("fid",)), DATASET)(samples)
    assert list(found) == ["pixels_fid", "validation_pixels_fid", SELECTION]
    assert found["pixels_fid"] == pytest.approx(frechet(DATASET.test / 255, samples), rel=1e-5)
    assert found["validation_pixels_fid"] == pytest.approx(frechet(DATASET.validation / 255, samples), rel=1e-5)
    assert found[SELECTION] == -found["validation_pixels_fid"]
    against_train = make_measure(config(("fid",), evaluate__split="train"), DATASET)(samples)
    assert against_train["pixels_fid"] == pytest.approx(frechet(DATASET.train / 255, samples), rel=1e-5)


def test_only_inceptions_distance_is_called_fid(looks):
    names = {
        features: list(make_measure(config(("fid",), features), DATASET)(samples_like(DATASET)))
        for features in ("classifier", "inception:weights.npz")
    }
    assert names["inception:weights.npz"] == ["fid", "validation_fid", SELECTION]
    assert names["classifier"] == ["classifier_fid", "validation_classifier_fid", SELECTION]
    assert DISPLAYS["fid"].label == "FID" and DISPLAYS["pixels_fid"].label == "FID, pixels features"
    assert "inception_score" in DISPLAYS and "classifier_inception_score" in DISPLAYS


def test_each_network_is_evaluated_once_on_samples_and_data(looks):
    measure = make_measure(config((*ON_FEATURES, "inception_score", "class_modes"), "classifier"), DATASET)
    first = measure(samples_like(DATASET))
    assert sorted(looks) == [60, 70, 80]  # validation, samples, test
    assert measure(samples_like(DATASET)) == first and sorted(looks) == [60, 70, 70, 80]
    missing = set(first) - set(DISPLAYS) - {SELECTION}
    assert not missing, missing


def test_every_number_is_finite_and_that_of_the_metric_itself(looks):
    samples = samples_like(DATASET)
    metrics = (*ON_FEATURES, "prd", "memorization", "inception_score", "class_modes")
    found = make_measure(config(metrics, "classifier"), DATASET)(samples)
    assert all(math.isfinite(x) for x in found.values())
    quarters = lambda x: x.reshape(-1, 2, 2, 2, 2).mean(axis=(2, 4)).reshape(-1, 4)  # noqa: E731
    assert found["classifier_fid"] == pytest.approx(frechet(quarters(DATASET.test / 255), quarters(samples)), rel=1e-4)
    brightest = quarters(samples).argmax(axis=1)
    shares = np.bincount(brightest, minlength=4) / 70
    assert found["class_modes"] == 4
    assert found["class_kl"] == pytest.approx(np.sum(shares * np.log(4 * shares)))
    assert 0 <= found["classifier_precision"] <= 1 and 0 <= found["validation_classifier_coverage"] <= 1
    assert found["classifier_neighbours_excess"] == abs(found["classifier_neighbours_accuracy"] - 0.5)


def test_k_is_that_of_the_configuration():
    samples = samples_like(DATASET)
    coverage = [make_measure(config(("prdc",), evaluate__k=k), DATASET)(samples)["pixels_coverage"] for k in (1, 3, 20)]
    assert coverage[0] < coverage[1] < coverage[2]


def test_samples_in_minus_one_to_one_score_as_those_in_zero_to_one():
    samples = samples_like(DATASET)
    plain = make_measure(config(("fid",)), DATASET)(samples)
    scaled = make_measure(config(("fid",), data__low=-1.0), DATASET)(2 * samples - 1)
    assert scaled == pytest.approx(plain, rel=1e-4)


def test_the_validation_set_chooses_and_never_the_test_set(looks):
    assert selection(config(("fid", "prdc"), "classifier")) == ("validation_classifier_fid", -1)
    assert selection(config(("diversity", "prdc"))) == ("validation_pixels_coverage", 1)
    assert selection(config(("diversity",))) is None
    assert selection(config(("class_modes",))) == ("class_kl", -1)
    assert selection(config(("fid", "prdc"), evaluate__best="validation_pixels_recall")) == (
        "validation_pixels_recall", 1,
    )  # fmt: skip
    for best, message in (
        ("pixels_fid", "would select checkpoints by the test set"),
        ("fid", "not among the scores of evaluate.metrics .* validation_pixels_fid"),
        ("validation_classifier_fid", "not among the scores"),
        ("test_log_likelihood", "would select checkpoints by the test set"),
    ):
        with pytest.raises(UserError, match=message):
            check_metrics(config(("fid", "parzen"), evaluate__best=best), DATASET)


def test_no_metric_chooses_by_the_test_set():
    for name, metric in METRICS.items():
        for feature_space in ("pixels", "inception"):
            for number in metric.selection_metrics(feature_space):
                assert number.startswith("validation_") or not {"test", "real_features"} & set(metric.needs), name


@pytest.mark.parametrize(
    ("metrics", "features", "changes", "message"),
    [
        (("fid",), "vgg", {}, "inception:FILE.npz, pixels or classifier, not 'vgg'"),
        (("fid",), "inception:", {}, "pixels or classifier, not 'inception:'"),
        (("inception_score",), "pixels", {}, "logits of a network, and evaluate.features=pixels has none"),
        (("memorization",), "pixels", {"evaluate.split": "train"}, "use evaluate.split=test"),
        (("fid",), "pixels", {"evaluate.samples": 1}, "fid needs 2 examples or more, and evaluate.samples=1"),
        (("prd",), "pixels", {"evaluate.samples": 19}, "prd needs 20 examples or more"),
        (("prdc",), "pixels", {"evaluate.k": 60}, "evaluate.k=60 .* the validation set of 60 examples"),
        (("prdc",), "pixels", {"evaluate.samples": 5}, "evaluate.k=5 .* evaluate.samples=5"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(metrics, features, changes, message):
    with pytest.raises(UserError, match=message):
        check_metrics(update(config(metrics, features), changes), DATASET)


def test_data_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="needs validation examples"):
        check_metrics(config(("fid",)), DATASET._replace(validation=DATASET.validation[:0]))
    with pytest.raises(UserError, match="noise has none"):
        make_measure(config(("class_modes",)), DATASET._replace(train_labels=None))
    with pytest.raises(UserError, match=r"missing\.npz cannot be read"):
        make_measure(config(("fid",), "inception:missing.npz"), DATASET)
    with pytest.raises(UserError, match=r"data.gcn=55 changes their range"):
        make_measure(config(("fid",), "classifier", data__gcn=55.0), DATASET)
    stacked = DATASET._replace(stack=3)
    with pytest.raises(UserError, match=r"use evaluate.split=test"):
        check_metrics(config(("fid",), evaluate__split="train"), stacked)
    with pytest.raises(UserError, match=r"needs stored training examples"):
        check_metrics(config(("memorization",)), stacked)
    with pytest.raises(UserError, match=r"evaluate.split must be one of"):
        from jaxgan.config import validate

        validate(config((), evaluate__split="validation"))


def test_samples_that_cannot_be_measured_are_nan_and_say_why(looks):
    metrics = (*ON_FEATURES, "inception_score", "class_modes")
    measure = make_measure(config(metrics, "classifier"), DATASET)
    whole = measure(samples_like(DATASET))
    why: dict[str, str] = {}
    constant = measure(np.full((70, 4, 4, 1), 0.3, np.float32), why)
    assert list(constant) == list(whole)
    assert math.isnan(constant["classifier_fid"]) and math.isnan(constant[SELECTION])
    assert "all 70 fake features are equal" in why["fid"]
    assert constant["class_modes"] == 1 and constant["class_kl"] == pytest.approx(math.log(4))
    broken = samples_like(DATASET)
    broken[3, 1, 1] = np.nan
    why = {}
    numbers = measure(broken, why)
    assert list(numbers) == list(whole) and all(math.isnan(x) for x in numbers.values())
    assert set(why) == set(metrics) and "1 of 1120 pixels are not finite" in why["class_modes"]


def test_the_protocol_contains_what_scores_depend_on(looks):
    found = protocol(config(("fid", "prdc", "class_modes"), "inception:file.npz", evaluate__k=3), DATASET)
    assert found == {
        "features": {"name": "inception:file.npz", "sha256": "abc"},
        "classes": {"name": "classifier", "sha256": "abc"},
        "real": {"split": "test", "examples": 80, "chosen_by": "validation"},
        "k": 3,
        "fid": {"ddof": 1},
        "prdc": {"strict": True},
    }
    assert json.loads(json.dumps(found)) == found
    assert protocol(config(("modes",)), DATASET) == {}


def test_the_protocol_contains_the_numbers_of_examples(looks):
    """70 samples, 80 test and 60 validation examples: a metric of equally many takes 70 and 60."""
    names = ("kid", "prd", "birthday", "neighbours", "diversity", "parzen", "inception_score")
    found = protocol(config(names, "inception:file.npz"), DATASET)
    assert {name: found[name] for name in names} == {
        "kid": {"subsets": 100, "size": 70, "validation_size": 60},
        "prd": {"clusters": 20, "angles": 1001, "runs": 10, "examples": 70, "validation_examples": 60},
        "birthday": {"examples": 70, "validation_examples": 60},
        "neighbours": {"examples": 70, "validation_examples": 60},
        "diversity": {"examples": 80, "samples": 70, "validation_examples": 60, "validation_samples": 70},
        "parzen": {"validation": 60},
        "inception_score": {"splits": 10},
    }
    many = DATASET._replace(validation=np.zeros((3000, 1, 1, 1), np.uint8), test=np.zeros((9000, 1, 1, 1), np.uint8))
    found = protocol(config(names, "inception:file.npz", evaluate__samples=8000), many)
    assert found["kid"] == {"subsets": 100, "size": 1000, "validation_size": 1000}
    assert found["birthday"] == {"examples": 5000, "validation_examples": 3000}
    assert found["parzen"] == {"validation": 1000}


@pytest.mark.parametrize("name", ["prd", "birthday", "neighbours", "diversity"])
def test_metrics_use_as_many_examples_as_they_say(name):
    metric, random = METRICS[name], np.random.default_rng(0)
    real, fake = random.normal(size=(1500, 2)), random.normal(size=(1200, 2)) * 1.5
    used = metric.used(len(real), len(fake))
    n, m = used["examples"], used.get("samples", used["examples"])
    assert (n, m) != (1500, 1200)
    whole = metric.evaluate(real, fake)
    assert metric.evaluate(real[:n], fake[:m]) == whole
    assert metric.evaluate(real[: n - 200], fake[: m - 200]) != whole


def test_kid_uses_subsets_of_the_documented_size():
    random = np.random.default_rng(0)
    real, fake = random.normal(size=(150, 2)), random.normal(size=(200, 2))
    size = METRICS["kid"].used(150, 200)["size"]
    assert METRICS["kid"].evaluate(real, fake)["kid"] == kid.evaluate(real, fake, size=size)[0]


def test_features_of_data_are_kept_on_disk_where_they_take_long(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXGAN_CACHE", str(tmp_path))
    seen = []

    def outputs(x: np.ndarray) -> tuple[np.ndarray, None]:
        seen.append(len(x))
        return x.reshape(len(x), -1) + 1, None

    slow = FeatureSpace("slow", outputs, {"sha256": "1"}, slow=True)
    x = samples_like(DATASET)
    for _ in range(2):
        np.testing.assert_array_equal(space.features_of_data(slow, x), x.reshape(70, -1) + 1)
    assert seen == [70] and len(list(tmp_path.iterdir())) == 1
    space.features_of_data(slow._replace(metadata={"sha256": "2"}), x)
    space.features_of_data(slow, x[1:])
    assert seen == [70, 70, 69]


def test_diversity_is_a_ratio_of_mean_distances():
    real, fake = np.array([[0.0], [1.0], [3.0]]), np.array([[5.0, 0], [5.0, 4.0]])[:, 1:]
    assert diversity.evaluate(real, fake) == pytest.approx(4 / 2)  # distances 1, 3 and 2 have the mean 2
    x = np.random.RandomState(0).normal(size=(400, 20))
    assert diversity.evaluate(x[:200], x[200:]) == pytest.approx(1, abs=0.03)
    assert diversity.evaluate(x[:200], 0.25 * x[200:] + 7) == pytest.approx(0.25, abs=0.01)
    with pytest.raises(UserError, match="equal"):
        diversity.evaluate(x, np.ones((5, 20)))


def test_a_generator_of_one_point_does_not_end_a_run(tiny_config, tmp_path, monkeypatch, capsys):
    metrics = {"evaluate.metrics": ("fid", "prdc"), "evaluate.every": 10, "evaluate.k": 3}
    monkeypatch.setattr("jaxgan.game.sampling.sample_inputs", _same_inputs)
    c = tiny_config(**metrics)
    work = tmp_path / "work"
    assert train(c, work) == 0
    lines = [line for line in read_metrics(work) if "pixels_fid" in line]
    assert [line["step"] for line in lines] == [10, 20]
    assert all(line["pixels_fid"] is None and line["validation_pixels_coverage"] is None for line in lines)
    assert json.loads((work / "evaluation.json").read_text())["pixels_fid"] is None
    assert commands.evaluate(work, []) == 0
    assert "fid could not be computed: all 64 fake features are equal" in capsys.readouterr().out
    assert (work / "report.html").exists()


def _same_inputs(gan, hparams, keys):
    import jax.numpy as jnp

    return jnp.ones((len(keys), 8)), UNCONDITIONAL


def test_training_evaluating_and_choosing_by_features(tiny_config, tmp_path, capsys):
    work = tmp_path / "work"
    c = tiny_config(**{"evaluate.metrics": ("kid", "parzen"), "evaluate.every": 10, "evaluate.samples": 200})
    assert train(c, work) == 0
    evaluation = json.loads((work / "evaluation.json").read_text())
    assert evaluation[SELECTION] == -evaluation["validation_pixels_kid"]
    assert evaluation["protocol"]["features"] == {"name": "pixels"}
    assert evaluation["protocol"]["real"] == {"split": "test", "examples": 297, "chosen_by": "validation"}
    assert evaluation["protocol"]["kid"] == {"subsets": 100, "size": 200, "validation_size": 150}
    changes = ["--config.evaluate.metrics=fid,neighbours", "--config.evaluate.samples=50"]
    assert commands.evaluate(work, changes) == 0
    again = json.loads((work / "evaluation.json").read_text())
    assert "pixels_kid" not in again and again["pixels_fid"] > 0 and again["protocol"]["samples"] == 50
    assert "pixels_neighbours_accuracy" in capsys.readouterr().out
