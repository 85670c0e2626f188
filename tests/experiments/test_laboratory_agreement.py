"""Small forms of metric_agreement: damages by hand, what counts as detected, and what agrees."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import lab, metric_agreement
from experiments.metric_agreement import DAMAGES, SCORES, Response, Store
from jaxgan.data import Dataset
from jaxgan.errors import UserError
from jaxgan.features import classifier
from jaxgan.metrics import prdc
from jaxgan.sweep.statistics import MeanInterval

pytestmark = pytest.mark.slow

RANDOM = np.random.default_rng(0)


def images_of(n):
    """Different images of 8x8 pixels."""
    return RANDOM.integers(0, 256, (n, 8, 8, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def images():
    labels = np.arange(200, dtype=np.int32) % 10
    return Dataset("made", images_of(300), images_of(200), images_of(100), None, validation_labels=labels, classes=10)


def as_set(images):
    return {image.tobytes() for image in images}


# --- Damage -----------------------------------------------------------------------------------------------------------


def test_blur_by_hand():
    spots = np.zeros((2, 9, 9, 1), np.uint8)
    spots[0, 4, 4] = 255
    soft = metric_agreement.blur(spots, 0.5)
    middle = 1 / (1 + 2 * math.exp(-2) + 2 * math.exp(-8))  # weights exp(-k^2 / (2 .5^2)) of k = 0, 1, 2
    assert soft[0, 4, 4, 0] == round(255 * middle**2) and soft[0, 4, 5, 0] == round(255 * middle**2 * math.exp(-2))
    assert soft.dtype == np.uint8 and not soft[1].any()  # images do not mix
    flat = np.full((1, 9, 9, 3), (10, 20, 30), np.uint8)
    np.testing.assert_array_equal(metric_agreement.blur(flat, 2.0), flat)  # nor channels, and edges stay


def test_noise_has_its_deviation_and_stays_in_range():
    grey = np.full((50, 8, 8, 1), 128, np.uint8)
    some = metric_agreement.add_noise(grey, 0.1, np.random.default_rng(0))
    assert some.std() == pytest.approx(25.5, rel=0.05) and some.mean() == pytest.approx(128, abs=1.5)
    black = metric_agreement.add_noise(np.zeros_like(grey), 0.1, np.random.default_rng(0))
    assert black.dtype == np.uint8 and black.max() < 200  # negative numbers do not wrap around
    np.testing.assert_array_equal(metric_agreement.add_noise(grey, 0.0, np.random.default_rng(0)), grey)


def test_dropping_classes_keeps_the_number_and_repeats_nothing():
    labels = np.arange(40) % 4
    rows = np.arange(0, 20)
    left = metric_agreement.drop_classes(rows, labels, [1, 3], np.random.default_rng(0))
    assert set(labels[left]) == {0, 2} and len(set(left)) == len(left) == 20  # all there are
    left = metric_agreement.drop_classes(rows, labels, [1], np.random.default_rng(0))
    assert set(labels[left]) == {0, 2, 3} and len(set(left)) == 20
    assert set(rows[labels[rows] != 1]) <= set(left)
    assert not set(left[:15]) <= set(rows)  # in random order, not what was there first
    with pytest.raises(UserError, match="10 images without the classes"):
        metric_agreement.drop_classes(rows, labels, [0, 1, 2], np.random.default_rng(0))


def test_copies_take_random_places_and_each_is_as_frequent_as_others():
    plain, originals = np.arange(100), np.array([1000, 1001, 1002, 1003])
    found = metric_agreement.replace_some(plain, originals, 0.4, np.random.default_rng(0))
    copied = found >= 1000
    assert copied.sum() == 40 and not np.all(copied[:40])
    np.testing.assert_array_equal(found[~copied], plain[~copied])
    assert np.unique(found[copied], return_counts=True)[1].tolist() == [10] * 4
    many = metric_agreement.replace_some(plain, np.arange(1000, 1300), 1.0, np.random.default_rng(0))
    assert len(set(many)) == 100 and many.min() >= 1000
    np.testing.assert_array_equal(plain, np.arange(100))


def test_each_damage_by_hand(images):
    rows = np.arange(60)
    draw = images.validation[rows]
    damaged = lambda name, strength, seed=0: metric_agreement.damage(images, rows, name, strength, seed)  # noqa: E731
    for name, strengths in DAMAGES.items():
        for strength in strengths:
            one = damaged(name, strength)
            assert one.shape == draw.shape and one.dtype == np.uint8
            np.testing.assert_array_equal(one, damaged(name, strength))
    assert not as_set(damaged("blur", 1.0)) & as_set(draw) and not as_set(damaged("noise", 0.1)) & as_set(draw)
    train = as_set(images.train)
    copies = as_set(damaged("copying", 1))
    assert len(copies) == 60 and copies <= train
    repeated = as_set(damaged("repeating", 1))
    assert len(repeated) == 60 // metric_agreement.FEW and repeated <= train
    weak, strong = as_set(damaged("copying", 0.2)) & train, as_set(damaged("copying", 0.5)) & train
    assert len(weak) == 12 and weak <= strong

    labels = {image.tobytes(): label for image, label in zip(images.validation, images.validation_labels, strict=True)}
    left = lambda gone, seed: {labels[x] for x in as_set(damaged("dropping", gone, seed))}  # noqa: E731
    assert len(left(3, 0)) == 7 and len(left(7, 0)) == 3 and left(7, 0) < left(3, 0)
    assert len({tuple(sorted(left(7, seed))) for seed in range(3)}) > 1  # other classes of other draws


# --- Scores -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(images):
    params = classifier.Network(10).init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))["params"]
    return metric_agreement.real_of(images, classifier.Classifier(params, 10, 1, math.nan, ""), clusterings=1)


def test_scores_of_fresh_images_copies_and_one_point(images, real):
    fresh = metric_agreement.scores(real, images.validation[:100])
    assert list(fresh) == list(SCORES) and np.all(np.isfinite(list(fresh.values())))
    copies = metric_agreement.scores(real, images.train[:100])
    assert copies["authentic"] == 0 and copies["Z_U"] < -10 < fresh["Z_U"] and fresh["authentic"] > 0.2
    same = metric_agreement.scores(real, images.test)
    assert same["FID"] == pytest.approx(0, abs=1e-6) and fresh["FID"] > 1e-3
    assert same["recall"] == same["coverage"] == same["precision"] == 1
    assert same["1-NN"] == pytest.approx(0.5)  # copies of the data: every nearest other is of the other set
    few = metric_agreement.scores(real, np.repeat(images.validation[:10], 10, axis=0))
    assert few["near-duplicates"] == 9 and few["diversity"] < fresh["diversity"] and few["recall"] < fresh["recall"]
    assert all(math.isnan(x) for x in metric_agreement.scores(real, np.zeros((50, 8, 8, 1), np.uint8)).values())


def test_each_score_has_its_published_number_of_neighbours(images, real):
    """3 for precision and recall (arXiv:1904.06991), 5 for density and coverage (arXiv:2002.09797)."""
    fake = metric_agreement.add_noise(images.validation[:100], 0.15, np.random.default_rng(0))
    found = metric_agreement.scores(real, fake)
    data, samples = (real.network.features(x) for x in (images.test, fake))
    three, five = (prdc.evaluate(data, samples, k) for k in (3, 5))
    for name, of_k, other in (
        ("precision", three, five), ("recall", three, five), ("density", five, three), ("coverage", five, three),
    ):  # fmt: skip
        assert found[name] == pytest.approx(of_k[name]) and of_k[name] != other[name], name


def test_scores_are_turned_so_that_higher_is_better():
    row = metric_agreement.higher_is_better(dict.fromkeys(SCORES, 2.0))
    worse = [name for name, x in zip(SCORES, row, strict=True) if x == -2]
    assert worse == ["FID", "KID", "1-NN", "KL of classes", "near-duplicates"]


# --- Analysis ---------------------------------------------------------------------------------------------------------


def test_rank_correlation():
    of = lambda *a: metric_agreement.rank_correlation(np.arange(len(a)), np.array(a))  # noqa: E731
    assert of(1.0, 10.0, 100.0) == pytest.approx(1) and of(3.0, 2.0, 1.0) == pytest.approx(-1)
    assert of(3.0, 4.0, 2.0, 1.0) == pytest.approx(-0.8)  # 1 - 6 (4 + 4 + 1 + 9) / 60
    assert of(1.0, math.nan, 2.0) == pytest.approx(1)
    assert math.isnan(of(1.0, 1.0, 1.0)) and math.isnan(of(1.0, math.nan, math.nan))


def test_response_by_hand():
    y = np.array([[10, 10.1, 9, 5], [11, 10.9, 10, 6], [12, 12.05, 11, 7]])
    found = metric_agreement.response(y)
    assert found.rank == pytest.approx((-0.8 - 1 - 0.8) / 3)
    assert found.detected == [False, True, True]
    assert found.change == pytest.approx([0.05 / 3, -1, -5])
    assert found.weakest((0.1, 0.2, 0.3)) == 0.2
    better = metric_agreement.response(-y)
    assert better.detected == [False, False, False] and better.weakest((0.1, 0.2, 0.3)) is None
    assert better.rank == -found.rank
    same = metric_agreement.response(np.full((3, 3), 10.0))
    assert math.isnan(same.rank) and same.detected == [False, False] and same.change == [0, 0]
    classes = metric_agreement.response(np.array([[10.0, 9.0], [10.0, 9.0]]))  # without chance
    assert classes.detected == [True] and classes.change == [-math.inf]
    assert metric_agreement.response(y[:1]).detected == [False, False, False]  # one draw does not show significance


def test_detection_is_corrected_for_the_number_of_strengths():
    untouched, less = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.5, 0.8])  # t = 5.28, two-sided p = .034
    assert metric_agreement.response(np.stack([untouched, untouched - less], axis=1)).detected == [True]
    twice = np.stack([untouched, untouched - less, untouched - less], axis=1)
    assert metric_agreement.response(twice).detected == [False, False]


def test_responses_read_the_scores_of_each_draw():
    found, damages = {}, {"blur": (0.5, 1.0), "noise": (0.1,)}
    for i in range(3):
        found[f"untouched/0/{i}"] = dict.fromkeys(SCORES, 5.0 + i)
        found[f"blur/0.5/{i}"] = dict.fromkeys(SCORES, 6.0 + i)
        found[f"blur/1.0/{i}"] = dict.fromkeys(SCORES, 8.0 + i)
        found[f"noise/0.1/{i}"] = dict.fromkeys(SCORES, 4.0 + i)
    one = metric_agreement.responses(found, damages, draws=3)
    assert one["blur"]["FID"] == Response(-1, [True, True], [-1, -3], [(-1, -1), (-3, -3)])
    assert one["blur"]["recall"] == Response(1, [False, False], [1, 3], [(1, 1), (3, 3)])
    assert one["noise"]["FID"].detected == [False] and one["noise"]["recall"].detected == [True]
    lines = list(metric_agreement.damage_table(one, damages))
    assert lines[2].split() == ["FID", "0.5", "(-1.00)", "-", "(+1.00)"]


def test_agreement_over_training():
    """Scores that all improve agree; not one that falls in one seed of two, or one that never changes."""
    found = {}
    for seed in range(2):
        for step in (1, 10, 100):
            numbers = {name: sign * float(step) for name, sign in SCORES.items()}
            numbers["recall"] *= (-1) ** seed
            found[f"training/{seed}/{step}"] = numbers | {"classes": 10.0}
    means = metric_agreement.agreement(found, [1, 10, 100], seeds=2)
    assert means["step", "FID"] == means["FID", "KID"] == MeanInterval(1, 1, 1, 2, 0)
    assert means["recall", "FID"] == MeanInterval(0, -1, 1, 2, 0)  # the interval, of +-12.7, is cut
    assert means["classes", "FID"].n == 0
    line = next(line for line in metric_agreement.agreement_table(means) if line.startswith("FID"))
    assert "1.00 [1.00, 1.00]" in line and line.endswith("recall +0.00")


DROPPING = "precision and density change by under 0.05 by dropping"


def responses_to(falls: dict[str, float], deviation: float, draws: int) -> dict[str, dict[str, Response]]:
    """The responses of scores to every damage: 1 if unchanged, and lower by `falls` of the score otherwise.

    The draws' changes are evenly spread, of this standard deviation.
    """
    spread = np.linspace(-1, 1, draws) if draws > 1 else np.zeros(1)
    spread = deviation * (spread / spread.std(ddof=1) if draws > 1 else spread)
    untouched = 1 + 0.01 * np.arange(draws)
    rows = {name: np.stack([untouched, untouched - falls.get(name, 0) + spread], axis=1) for name in SCORES}
    return {damage: {name: metric_agreement.response(y) for name, y in rows.items()} for damage in DAMAGES}


@pytest.mark.parametrize(
    ("fall", "deviation", "draws", "verdict"),
    [
        (0.0, 0.01, 10, True),
        (0.02, 0.01, 10, True),  # detected, and within the margin
        (0.0, 0.01, 3, True),  # half of the interval is .017
        (0.0, 0.05, 3, None),  # .084: neither detected nor shown to be equivalent
        (0.0, 0.05, 30, True),
        (0.1, 0.3, 3, None),  # not detected either
        (0.06, 0.05, 10, None),  # around the margin
        (0.2, 0.05, 10, False),
        (1000.0, 0.0, 1, None),  # one draw
        (1000.0, 1.0, 3, False),
        (-0.2, 0.01, 10, None),  # it rises: neither equivalence nor a refutation
    ],
)
def test_not_responding_is_shown_by_equivalence(fall, deviation, draws, verdict):
    found = metric_agreement.verdicts(responses_to({"precision": fall, "density": fall}, deviation, draws))
    assert found[DROPPING] is verdict


def test_both_scores_and_every_strength_have_to_be_equivalent():
    found = responses_to({"density": 0.2}, 0.01, 10)
    assert metric_agreement.verdicts(found)[DROPPING] is False
    same = Response(0, [False, False], [0, 0], [(-0.01, 0.01), (-0.01, 0.01)])
    wide = same._replace(intervals=[(-0.01, 0.01), (-0.01, 0.06)])
    assert lab.is_equivalent(same.intervals, 0.05) and not lab.is_equivalent(wide.intervals, 0.05)
    assert not wide.falls_beyond(0.05)


def test_verdicts():
    def seen(**damages):
        """Responses in which the scores that detect a damage fall by 1, others not at all."""
        return {
            name: {
                score: Response(0, [True], [-9], [(-1.1, -0.9)])
                if score in damages.get(name, ())
                else Response(0, [False], [0], [(-0.01, 0.01)])
                for score in SCORES
            }
            for name in DAMAGES
        }

    both = ["FID", "KID"]
    expected = dict.fromkeys(("blur", "noise", "repeating"), both)
    expected |= {"dropping": [*both, "recall", "coverage", "PRD F8"], "copying": ["Z_U", "authentic"]}
    held = metric_agreement.verdicts(seen(**expected))
    alone = "... and they alone"
    assert held.pop(alone) is None and all(held.values())  # that copies affect no other score is never shown
    fall = "... and fall less by copying than by a dropped class"
    for claim, change, verdict in (
        ("FID and KID detect all but copying", {"noise": ["FID"]}, None),
        (fall, {"copying": ["Z_U", "authentic", "FID"]}, None),  # as much as by a dropped class
        (DROPPING, {"dropping": [*expected["dropping"], "density"]}, False),
        ("recall, coverage and F8 detect dropping", {"dropping": [*both, "recall", "coverage"]}, None),
        ("Z_U and the authentic fraction detect copying", {"copying": ["Z_U"]}, None),
        (alone, {"copying": ["Z_U", "authentic", "diversity"]}, False),
    ):
        found = metric_agreement.verdicts(seen(**expected | change))
        assert found.pop(claim) is verdict
        if claim == fall:
            assert found[alone] is False
        assert all(found[name] for name in found if name != alone)
    worse = seen(**expected)
    worse["copying"]["FID"] = Response(0, [True], [-9], [(-3.0, -2.0)])
    assert metric_agreement.verdicts(worse)[fall] is False


# --- The course -------------------------------------------------------------------------------------------------------


def test_evaluations_are_spaced_logarithmically():
    assert metric_agreement.evaluation_steps(10_000, 3) == [100, 1000, 10_000]
    assert metric_agreement.evaluation_steps(50, 1) in ([1], [50]) and metric_agreement.evaluation_steps(3, 10) == [
        1,
        2,
        3,
    ]


def test_scores_are_stored_and_not_mixed(tmp_path):
    path = tmp_path / "scores.json"
    Store(path, {"samples": 5}).add("a", {"FID": 1.0, "KID": math.nan})
    again = Store(path, {"samples": 5})
    again.add("b", {"FID": 2.0})
    assert again.found["a"]["FID"] == 1 and math.isnan(again.found["a"]["KID"])
    assert list(json.loads(path.read_text())["scores"]) == ["a", "b"]
    with pytest.raises(UserError, match=r"'samples': 5.*'samples': 6.*another --out"):
        Store(path, {"samples": 6})


def test_two_commands_with_one_out_keep_the_scores_of_both(tmp_path):
    path = tmp_path / "out" / "scores.json"
    first, second = Store(path, {}), Store(path, {})
    first.add("a", {"FID": 1.0})
    second.add("b", {"FID": 2.0})
    first.add("c", {"FID": 3.0})
    assert first.found == Store(path, {}).found == {"a": {"FID": 1.0}, "b": {"FID": 2.0}, "c": {"FID": 3.0}}


def test_draws_are_disjoint_and_nothing_is_scored_twice(tmp_path, images, monkeypatch):
    seen = []
    monkeypatch.setattr(metric_agreement, "scores", lambda real, fake: seen.append(fake) or {"FID": 0.0})
    store = Store(tmp_path / "scores.json", {})
    measure = lambda draws: metric_agreement.measure_damage(  # noqa: E731
        store, None, images, {"noise": (0.1, 0.2)}, count=50, draws=draws
    )
    measure(2)
    keys = [f"{place}/{i}" for i in (0, 1) for place in ("untouched/0", "noise/0.1", "noise/0.2")]
    assert list(store.found) == keys
    assert len(as_set(seen[0])) == 50 and not as_set(seen[0]) & as_set(seen[3])
    assert np.abs(seen[1].astype(int) - seen[0]).mean() < np.abs(seen[2].astype(int) - seen[0]).mean()
    measure(3)
    assert len(seen) == 9


def test_a_seed_that_was_stopped_ends_where_it_would_have(tmp_path, tiny_config, monkeypatch):
    from jaxgan import data

    config = tiny_config()
    digits = data.load(config.data)
    monkeypatch.setattr(metric_agreement, "scores", lambda real, fake: {"mean": float(fake.mean())})

    def course(store, steps, seeds):
        metric_agreement.measure_training(store, None, digits, config, evaluations=steps, seeds=seeds, count=20)
        return store.found

    whole = course(Store(tmp_path / "a.json", {}), [2, 4, 6], 2)
    assert len(set(map(str, whole.values()))) == 6
    store = Store(tmp_path / "b.json", {})
    course(store, [2, 4], 1)
    assert course(store, [2, 4, 6], 2) == whole
    alone = course(Store(tmp_path / "c.json", {}), [6], 1)
    assert alone == {"training/0/6": whole["training/0/6"]}  # after all steps, whatever evaluations came before
