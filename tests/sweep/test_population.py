"""Populations: each member is the GAN that its setting would have been alone, whatever the others do."""

import json
import signal
import sys

import jax
import numpy as np
import pytest
from PIL import Image

import jaxgan
from jaxgan import train
from jaxgan.conditions import Condition
from jaxgan.config import update
from jaxgan.errors import UserError
from jaxgan.game.state import run_stream
from jaxgan.run import pacer
from jaxgan.run.writers import read_metrics
from jaxgan.sweep import chain, chunk, devices, fixed, over, plan, product
from jaxgan.sweep.program import get_program

pytestmark = pytest.mark.slow

G_RATE, D_RATE = (f"optimizer.{player}.learning_rate" for player in ("generator", "discriminator"))


@pytest.fixture
def base(tiny_config):
    """A ring of Gaussians, 100 steps; evaluated and saved half way."""
    return tiny_config(**{
        "data.name": "mixture:ring8", "prior.size": 2, "generator.output": "linear", "discriminator.irange": 0.3,
        "generator.ema.gamma": (2.0,), "objective.penalties.r1": 0.1, "evaluate.metrics": ("modes",),
        "train.steps": 100, "log.every": 25, "evaluate.every": 50, "checkpoint.every": 50, "evaluate.samples": 500,
    })  # fmt: skip


SWEEP = chain(
    product(over("objective.penalties.r1", [0.1, 1.0]), over("seed", [0, 7])),
    fixed({D_RATE: 0.02, "prior.scale": 2.0, "seed": 0}),
)


def leaves(workdir):
    return jax.tree.leaves(jaxgan.load(workdir).state)


def lines_of(workdir):
    """metrics.jsonl but for the clock."""
    clock = ("images_per_second", "evaluation_seconds")
    return [{k: x for k, x in line.items() if k not in clock} for line in read_metrics(workdir)]


def assert_same_member(a, b):
    assert lines_of(a) == lines_of(b)
    for mine, other in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_member_is_its_setting_trained_alone(base, tmp_path):
    """Bit for bit: state, metrics and scores."""
    trials = plan.trials(base, SWEEP)
    results = chunk.train(tmp_path / "sweep", trials, [])
    assert [result["steps"] for result in results] == [100] * len(trials)
    for i in (1, 4):
        train.train(trials[i].config, tmp_path / str(i))
        assert_same_member(tmp_path / "sweep" / "members" / trials[i].name, tmp_path / str(i))
        alone = lines_of(tmp_path / str(i))
        assert [line["step"] for line in alone] == [25, 50, 75, 100]
        assert results[i]["final"] == {k: x for k, x in alone[-1].items() if k != "step"}
    # Neither the seeds nor the penalties trained the same GAN.
    assert len({result["final"]["value"] for result in results}) == len(trials)


def test_images_are_scored_as_alone(tiny_config, tmp_path):
    config = tiny_config(**{"train.steps": 10, "evaluate.samples": 100})
    (trial,) = plan.trials(config, [{}])
    (result,) = chunk.train(tmp_path / "sweep", [trial], [])
    train.train(config, tmp_path / "alone")
    place = tmp_path / "sweep/members" / trial.name
    alone, ours = (json.loads((path / "evaluation.json").read_text()) for path in (tmp_path / "alone", place))
    assert ours == alone
    names = {"parzen_sigma", "validation_log_likelihood", "test_log_likelihood", "test_standard_error", "selection"}
    assert {name: result["final"][name] for name in names} == {name: alone[name] for name in names}
    with np.load(place / "samples/000000010.npz") as file:
        assert file["samples"].shape == (100, 8, 8, 1)


def test_a_class_conditional_member_writes_a_grid_with_one_class_per_row(tiny_config, tmp_path):
    """The same picture as the single run, and the same real data for comparison."""
    config = tiny_config(**{
        "train.steps": 10, "evaluate.metrics": (), "conditional": "label", "sample.every": 10, "sample.rows": 10,
    })  # fmt: skip
    (trial,) = plan.trials(config, [{}])
    chunk.train(tmp_path / "sweep", [trial], [])
    train.train(config, tmp_path / "alone")
    places = (tmp_path / "alone/samples", tmp_path / "sweep/members" / trial.name / "samples")
    for name in ("real.png", "000000010.png"):
        alone, ours = (np.asarray(Image.open(place / name), np.int16) for place in places)
        assert alone.shape == ours.shape and np.abs(alone - ours).max() <= 1
    gan = jaxgan.load(tmp_path / "alone")
    with np.load(places[1] / "000000010.npz") as file:
        one_class_per_row = Condition(label=np.repeat(np.arange(10), 10))
        key = run_stream(gan.hparams, "sample")
        drawn = gan._sample(gan.hparams, gan.state, key, 100, condition=one_class_per_row)
        np.testing.assert_allclose(file["samples"], drawn, atol=1e-5)


def test_results_hold_the_last_and_the_best_evaluation(base, tmp_path):
    (trial,) = plan.trials(base, [{"seed": 3}])
    (result,) = chunk.train(tmp_path, [trial], [])
    place = tmp_path / "members" / trial.name
    scores = {line["step"]: line["selection"] for line in read_metrics(place) if "selection" in line}
    assert scores.keys() == {50, 100}
    assert result["final"]["selection"] == scores[100]
    assert result["best"]["selection"] == max(scores.values())
    assert result["best"]["step"] == max(scores, key=scores.get)
    assert result == json.loads(json.dumps(result))
    evaluation = json.loads((place / "evaluation.json").read_text())
    assert evaluation["step"] == 100 and evaluation["selection"] == scores[100] and "d_loss" not in evaluation


def test_a_member_leaves_a_whole_work_directory(base, tmp_path):
    (trial,) = plan.trials(base, [{}])
    chunk.train(tmp_path, [trial], [])
    place = tmp_path / "members" / trial.name
    found = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert {"config.json", "run.json", "metrics.jsonl", "evaluation.json", "curves.png"} <= found
    assert {"samples/000000100.npz", "samples/000000100.png"} <= found
    assert list((place / "tensorboard").iterdir())
    gan = jaxgan.load(place)
    assert gan.step == 100 and gan.config.to_json() == trial.config.to_json()
    train.train(update(trial.config, {"train.steps": 110}), place)  # a run like any other
    assert jaxgan.load(place).step == 110


@pytest.mark.parametrize("rate", [1e6, 1e30])
def test_a_poisoned_member_changes_no_other(base, tmp_path, rate):
    sweep = product(over("seed", [0]), over(D_RATE, [0.01, 0.02, 0.03]))
    clean = plan.trials(base, sweep)
    poisoned = plan.trials(base, [*sweep[:1], {"seed": 0, D_RATE: rate, G_RATE: rate}, *sweep[1:]])
    before = chunk.train(tmp_path / "clean", clean, [])
    after = chunk.train(tmp_path / "poisoned", poisoned, [])
    assert [after[i] for i in (0, 2, 3)] == before
    for mine, theirs in zip(clean, [poisoned[i] for i in (0, 2, 3)], strict=True):
        assert_same_member(tmp_path / "clean/members" / mine.name, tmp_path / "poisoned/members" / theirs.name)
    place = tmp_path / "poisoned/members" / poisoned[1].name
    assert all(np.isfinite(x).all() for x in leaves(place))  # frozen where all was finite
    if rate == 1e30:
        assert after[1]["diverged"] and after[1]["steps"] == 0 and after[1]["best"] == after[1]["final"] == {}
        assert all(number is None for line in read_metrics(place) for name, number in line.items() if name != "step")


def cut_after(monkeypatch, pieces):
    """From now on SIGTERM comes after that many pieces; signals received so far."""
    signals = []
    original = pacer.pace

    def pace(**arguments):
        for count, reached in enumerate(original(**arguments), 1):
            if count >= pieces:
                signals.append(signal.SIGTERM)
            yield reached

    monkeypatch.setattr(chunk, "pace", pace)
    return signals


def test_a_signal_stops_between_lines_and_changes_nothing(base, tmp_path, monkeypatch):
    """Again and again, with a member that diverges between lines."""
    monkeypatch.setattr(pacer, "DISPATCH_SECONDS", 1e-3)  # chunks of a few steps
    trials = plan.trials(base, [*SWEEP[:2], {"seed": 1, D_RATE: 1e30, G_RATE: 1e30}])
    whole = chunk.train(tmp_path / "whole", trials, [])
    for _ in range(60):
        with monkeypatch.context() as context:
            signals = cut_after(context, 3)
            try:
                again = chunk.train(tmp_path / "cut", trials, signals)
            except chunk.Stopped as stop:
                assert stop.number == signal.SIGTERM
                continue
        break
    saved = list((tmp_path / "cut/chunks").glob("*/checkpoints/*"))
    assert saved and again == whole
    for trial in trials:
        assert_same_member(*(tmp_path / place / "members" / trial.name for place in ("whole", "cut")))


def test_a_signal_during_an_evaluation_puts_it_off(base, tmp_path, monkeypatch):
    trials = plan.trials(base, SWEEP[:2])
    whole = chunk.train(tmp_path / "whole", trials, [])
    about, signals, measured = get_program(trials[0]), [], []

    def measure(samples, *rest):
        measured.append(len(signals))
        signals.append(signal.SIGINT)
        return about.measure(samples, *rest)

    monkeypatch.setattr(devices, "threads", lambda: 1)
    with monkeypatch.context() as context:
        context.setattr(chunk, "get_program", lambda _: about._replace(measure=measure))
        with pytest.raises(chunk.Stopped, match="stopped by signal 2, saved"):
            chunk.train(tmp_path / "cut", trials, signals)
    assert measured == [0]  # the second member's evaluation was put off
    assert chunk.train(tmp_path / "cut", trials, []) == whole
    for trial in trials:
        assert_same_member(*(tmp_path / place / "members" / trial.name for place in ("whole", "cut")))


def test_more_steps_resume_at_the_end(base, tmp_path):
    """As a single run does."""
    shorter, longer = (plan.trials(update(base, {"train.steps": n}), SWEEP[:2]) for n in (100, 150))
    chunk.train(tmp_path / "sweep", shorter, [])
    chunk.delete_chunk(tmp_path / "sweep", shorter)
    chunk.train(tmp_path / "sweep", longer, [])
    for config in (shorter[1].config, longer[1].config):
        train.train(config, tmp_path / "alone")
    assert_same_member(tmp_path / "sweep/members" / longer[1].name, tmp_path / "alone")
    assert [line["step"] for line in lines_of(tmp_path / "alone")] == [25, 50, 75, 100, 125, 150]


def test_members_begin_from_one_checkpoint(base, tmp_path):
    """`generator.initialize_from` is that checkpoint for all chunks of a sweep, or refused."""
    source = tmp_path / "source"
    train.train(update(base, {"train.steps": 10}), source)
    trials = plan.trials(
        update(base, {"generator.initialize_from": str(source), "train.steps": 1}), over("seed", [0, 1])
    )
    chunk.train(tmp_path / "sweep", trials[:1], [])
    (known,) = json.loads((tmp_path / "sweep/sources.json").read_text()).values()
    assert known["step"] == 10 and len(known["sha256"]) == 64
    train.train(trials[0].config, tmp_path / "alone")
    assert_same_member(tmp_path / "sweep/members" / trials[0].name, tmp_path / "alone")
    places = (tmp_path / "sweep/members" / trials[0].name, tmp_path / "alone")
    ours, single = (json.loads((place / "run.json").read_text()) for place in places)
    assert ours == single and ours["initialized_from"] == known
    train.train(update(base, {"train.steps": 20}), source)
    with pytest.raises(
        UserError, match=r"began from step 10 of .* whose newest checkpoint is now a different one, of step 20"
    ):
        chunk.train(tmp_path / "sweep", trials[1:], [])


def test_a_minibatch_larger_than_the_data_is_refused(base, tmp_path):
    setting = {"data.name": "digits", "evaluate.metrics": ("parzen",), "train.batch_size": 2000}
    trials = plan.trials(base, [setting])
    with pytest.raises(UserError, match=r"^setting {'data.name': 'digits', .* larger than the training set of 1350"):
        chunk.train(tmp_path, trials, [])


def test_metrics_that_sweeps_do_not_compute_are_refused_before_training(base, tmp_path):
    setting = {"data.name": "digits", "generator.output": "sigmoid", "evaluate.metrics": ("probe",)}
    with pytest.raises(UserError, match=r"probe evaluates the players at inputs that sweeps do not compute"):
        chunk.train(tmp_path, plan.trials(base, [setting]), [])


def compilations(monkeypatch, call):
    """How many programs XLA compiles during a call."""
    count = [0]

    def listen(event, seconds, **_):
        count[0] += event == "/jax/core/compile/backend_compile_duration"

    jax.monitoring.register_event_duration_secs_listener(listen)
    call()
    jax.monitoring.unregister_event_duration_listener(listen)
    return count[0]


def test_each_program_is_compiled_once(base, tmp_path, monkeypatch):
    """However many members there are, and however many of them work at a time."""
    config = update(base, {"generator.hidden": (13,), "train.steps": 25})
    trials = plan.trials(config, over("seed", range(7)))
    assert devices.is_sequential()
    first = compilations(monkeypatch, lambda: chunk.train(tmp_path / "a", trials[:1], []))
    assert first > 0
    for threads in (2, 4):
        monkeypatch.setattr(devices, "_threads", threads)
        devices._executors.cache_clear()
        work = lambda: chunk.train(tmp_path / str(threads), trials, [])  # noqa: B023, E731
        # `np.stack` and the like of other shapes compile nothing of XLA's.
        assert compilations(monkeypatch, work) == 0
    devices._executors.cache_clear()


def test_side_by_side_as_on_accelerators(base, tmp_path, monkeypatch):
    """vmap in one pmapped program; the numbers differ by rounding."""
    config = update(base, {"generator.ema.gamma": (), "objective.penalties.r1": 0.0, "train.steps": 25})
    trials = plan.trials(config, [*over("seed", range(2)), {"seed": 1, D_RATE: 1e30, G_RATE: 1e30}])
    turns = chunk.train(tmp_path / "turns", trials, [])
    monkeypatch.setattr(devices, "is_sequential", lambda: False)
    monkeypatch.setattr(sys.modules["jaxgan.sweep.program"], "is_sequential", lambda: False)
    monkeypatch.setattr(sys.modules["jaxgan.sweep.program"], "_programs", {})
    side = chunk.train(tmp_path / "side", trials, [])
    for ours, theirs in zip(side, turns, strict=True):
        assert ours["diverged"] == theirs["diverged"] and ours["steps"] == theirs["steps"]
        assert ours["final"].keys() == theirs["final"].keys()
        for name, number in theirs["final"].items():
            assert ours["final"][name] == pytest.approx(number, rel=1e-3, abs=1e-2), name


def test_shards():
    """On CPU a tree per member."""
    x = np.arange(10).reshape(5, 2)
    shards = devices.shard({"x": x}, 5)
    assert [part["x"].shape for part in shards] == [(2,)] * 5
    np.testing.assert_array_equal(devices.gather(shards, 5)["x"], x)


def test_shards_of_accelerators(monkeypatch):
    """A row per device, filled up with copies of the last member."""
    monkeypatch.setattr(devices, "is_sequential", lambda: False)
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    monkeypatch.setattr(devices.parallel, "shard", lambda tree: tree)
    x = np.arange(10).reshape(5, 2)
    (tree,) = devices.shard({"x": x}, 5)
    assert tree["x"].shape == (2, 3, 2) and tree["x"][1, 2].tolist() == [8, 9]
    np.testing.assert_array_equal(devices.gather([tree], 5)["x"], x)
