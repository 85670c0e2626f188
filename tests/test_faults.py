"""A run survives what machines and users do to it (the long version: experiments/faults.py)."""

import ast
import json
import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from experiments import faults
from jaxgan import distributed, errors, main, parallel
from jaxgan.config import update
from jaxgan.errors import UserError
from jaxgan.run import pacer
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.workdir import claim
from jaxgan.run.writers import read_metrics
from jaxgan.train import train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def finished(tiny_config, tmp_path_factory):
    """An undisturbed run."""
    workdir = tmp_path_factory.mktemp("undisturbed") / "work"
    assert train(tiny_config(), workdir) == 0
    return faults.contents(workdir)


# --- the same command again ---


@pytest.fixture(scope="module")
def testbed(tmp_path_factory):
    """The testbed, with runs of a few seconds."""
    quick = {"train.steps": 60, "train.batch_size": 8, "train.d_steps": 1, "evaluate.samples": 200, "sample.every": 0}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in quick.items():
            patch.setitem(faults.TINY, key, value)
        yield faults.Testbed(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize(("fault", "tries"), [(faults.kill, 1), (faults.lose_host, 1)])
def test_nothing_is_lost(testbed, fault, tries):
    tried = list(fault(testbed, tries))
    assert [(t.survived, t.lost, t.differences) for t in tried] == [(True, 0, 0)] * tries


def test_the_comparison_detects_differences(tiny_config, finished, tmp_path):
    workdir = tmp_path / "work"
    assert train(tiny_config(), workdir) == 0
    assert faults.differences(faults.contents(workdir), finished) == 0
    lines = (workdir / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    for damage in (lines[1:], lines[:-1], [*lines, lines[-1]], [*lines[:-1], lines[-1][:-9]]):
        (workdir / "metrics.jsonl").write_bytes(b"".join(damage))
        assert faults.differences(faults.contents(workdir), finished) > 0
    assert faults.lost(30, "resuming from step 30 of 60 in work") == 0
    assert faults.lost(30, "resuming from step 10 of 60 in work") == 20
    assert faults.lost(30, "step 5/60  1.0 steps/s") == 30  # from zero, in silence
    assert faults.lost(30, "error: it did not come so far") == 0


@pytest.fixture
def stop_at(monkeypatch):
    """A function: has the next run stopped at this step, as if by a signal."""
    sync_hosts, step = distributed.sync_hosts, None

    def stop(at):
        nonlocal step
        step = at

    def interrupted(stop, n):
        nonlocal step
        if step is None:
            return sync_hosts(stop, n)
        assert n == 1
        step -= 1
        if step == 0:
            step, stop = None, True
        return sync_hosts(stop, n)

    monkeypatch.setattr(pacer, "DISPATCH_SECONDS", 0.0)  # chunks of one step
    monkeypatch.setattr(distributed, "sync_hosts", interrupted)
    return stop


@pytest.mark.parametrize("at", [3, 13])
def test_a_signal_between_two_lines_of_metrics_is_heeded_at_once(tiny_config, finished, tmp_path, stop_at, capsys, at):
    """However long a line takes to come: no more than the pieces that the devices already have."""
    workdir = tmp_path / "work"
    stop_at(at)
    assert train(tiny_config(), workdir) == 128 + signal.SIGTERM
    assert f"stopped at step {at} of 20, saved; repeat the command to resume" in capsys.readouterr().out
    assert jaxgan.load(workdir).step == at
    assert [record["step"] for record in read_metrics(workdir)] == list(range(5, at + 1, 5))
    assert train(tiny_config(), workdir) == 0
    assert faults.differences(faults.contents(workdir), finished) == 0


def files(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


def flip(path: Path) -> None:
    """A bit of the largest array file."""
    file = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def test_a_damaged_checkpoint_is_never_trained_on(tiny_config, finished, tmp_path, stop_at, capsys):
    workdir = tmp_path / "work"
    stop_at(15)
    assert train(tiny_config(), workdir) == 128 + signal.SIGTERM
    flip(workdir / "checkpoints" / "15")
    assert train(tiny_config(), workdir) == 0
    said = capsys.readouterr()
    assert "checkpoint 15 in" in said.err and "is damaged: " in said.err
    assert "resuming from step 10 of 20" in said.out
    assert faults.differences(faults.contents(workdir), finished) == 0
    assert (workdir / "checkpoints" / "15.damaged").is_dir()


def test_with_no_intact_checkpoint_it_does_not_start_from_zero(tiny_config, tmp_path):
    workdir = tmp_path / "work"
    train(tiny_config(), workdir)
    flip(workdir / "checkpoints" / "10")
    flip(workdir / "checkpoints" / "20")
    before = (workdir / "metrics.jsonl").read_bytes()
    for _ in range(2):
        with pytest.raises(UserError, match=r"no checkpoint in .* is intact"):
            train(update(tiny_config(), {"train.steps": 30}), workdir)
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_a_second_run_leaves_the_first_alone(tiny_config, tmp_path):
    workdir = tmp_path / "work"
    train(update(tiny_config(), {"train.steps": 10}), workdir)
    with claim(workdir):
        before = files(workdir)
        with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
            train(tiny_config(), workdir)
        assert files(workdir) == before


# --- numbers that are no longer finite ---


@pytest.fixture(params=["parameters", "metrics"])
def poisoned(request, monkeypatch):
    """NaN in step 14 of the first course of a run; on another course, nothing."""
    trainer = parallel.make_train_steps

    def poisoning(*args):
        steps = trainer(*args)

        def run(hparams, state, data, n, sums=None):
            state, sums = steps(hparams, state, data, n, sums)
            if int(state.restores) == 0 and int(state.step) >= 14:
                if request.param == "parameters":
                    bad = jax.tree.map(lambda p: p * jnp.nan, state.generator.params)
                    state = state._replace(generator=state.generator._replace(params=bad))
                else:
                    sums = sums | {"d_loss": sums["d_loss"] * jnp.nan}
            return state, sums

        return run

    monkeypatch.setattr(parallel, "make_train_steps", poisoning)


@pytest.mark.usefixtures("poisoned")
def test_divergence_stops_before_a_good_checkpoint_is_lost(tiny_config, tmp_path):
    workdir = tmp_path / "work"
    for _ in range(2):
        with pytest.raises(UserError, match=r"the run diverged: .*; the last good state is step 10;"):
            train(tiny_config(), workdir)
        gan = jaxgan.load(workdir)
        assert gan.step == 10
        assert all(np.isfinite(x).all() for x in jax.tree.leaves(gan.state))


def test_a_state_that_is_not_finite_is_not_saved_though_its_metrics_are(tiny_config, tmp_path, monkeypatch):
    """They are measured before the update: here the one of step 10, where there is a line and a checkpoint."""
    trainer = parallel.make_train_steps

    def poisoning(*args):
        steps = trainer(*args)

        def run(hparams, state, data, n, sums=None):
            state, sums = steps(hparams, state, data, n, sums)
            if int(state.step) == 10:
                D = state.discriminator
                bad = jax.tree.map(lambda x: x * jnp.nan if x.dtype == jnp.float32 else x, D.opt_state)
                state = state._replace(discriminator=D._replace(opt_state=bad))
            return state, sums

        return run

    monkeypatch.setattr(parallel, "make_train_steps", poisoning)
    with pytest.raises(UserError, match=r"the parameters are not finite at step 10; the last good state is step 0"):
        train(tiny_config(), tmp_path / "work")
    assert [record["step"] for record in read_metrics(tmp_path / "work")] == [5, 10]
    assert not (tmp_path / "work/checkpoints").exists()


@pytest.mark.usefixtures("poisoned")
def test_divergence_goes_back_and_on_with_different_random_numbers(tiny_config, finished, tmp_path, capsys):
    workdir = tmp_path / "work"
    assert train(tiny_config(**{"train.on_divergence": "restore"}), workdir) == 0
    assert "rolling back to step 10 with different random numbers (1 of 3)" in capsys.readouterr().out
    gan = jaxgan.load(workdir)
    assert (gan.step, int(gan.state.restores)) == (20, 1)
    found = faults.contents(workdir)
    assert found["lines"] == (4, [5, 10, 15, 20])
    assert [found[f"line {i}"] == finished[f"line {i}"] for i in range(4)] == [True, True, False, False]


# --- files that others made ---


def parsed(*folders: str):
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            yield path, ast.parse(path.read_text())


def test_nothing_unpickles_or_runs_what_it_reads():
    """`runpy` runs the files that a command names (--config, --sweep), and nothing else runs any."""
    modules = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch", "yaml"}
    builtins = {"eval", "exec", "compile", "__import__"}
    for path, tree in parsed("jaxgan", "configs"):
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not modules & {part for name in names for part in name.split(".")}, path
            assert "runpy" not in names or path.parts[-2:] == ("config", "files.py"), path
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                assert not (isinstance(node.func, ast.Name) and called in builtins), path
                for keyword in node.keywords:
                    what = (keyword.arg, getattr(keyword.value, "value", None))
                    assert what not in (("allow_pickle", True), ("shell", True)), path


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": {"hidden": "__import__('os').mkdir('escaped')"}},
        {"generator": {"hidden": ["__import__('os').mkdir('escaped')"]}},
        {"train": {"steps": {"__class__": "os.mkdir"}}},
        {"objective": {"loss": "__import__('os').mkdir('escaped')"}},
        {"train": {"batch_size": 10**30}},
        {"prior": []},
    ],
)
def test_the_config_of_a_work_directory_is_data(tiny_config, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    train(update(tiny_config(), {"train.steps": 5}), Path("work"))
    found = json.loads(Path("work/config.json").read_text())
    for key, value in changes.items():
        found[key] = found[key] | value if isinstance(value, dict) else value
    Path("work/config.json").write_text(json.dumps(found))
    for use in (lambda: jaxgan.load("work"), lambda: train(tiny_config(), Path("work"))):
        with pytest.raises(UserError):
            use()
    assert [path.name for path in tmp_path.iterdir()] == ["work"]


@pytest.mark.parametrize(
    "facts",
    [{}, {"shape": "8"}, {"shape": [-8]}, {"examples": 0}, {"examples": 1.5}, {"shape": None}, {"stack": "all"}],
)
def test_the_facts_of_a_work_directory_are_checked(tiny_config, tmp_path, facts):
    train(update(tiny_config(), {"train.steps": 5}), tmp_path / "work")
    run = json.loads((tmp_path / "work/run.json").read_text())
    (tmp_path / "work/run.json").write_text(json.dumps(run | {"data": run["data"] | facts} if facts else []))
    with pytest.raises(UserError):
        jaxgan.load(tmp_path / "work")


def test_a_linked_checkpoint_is_not_deleted_where_it_lies(tiny_config, tmp_path):
    """A run removes old checkpoints of its own; what a link in their place points to is not its own."""
    workdir, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    train(update(tiny_config(), {"train.steps": 10}), workdir)
    (workdir / "checkpoints" / "10").rename(elsewhere)
    (workdir / "checkpoints" / "10").symlink_to(elsewhere)
    before = files(elsewhere)
    with suppress(UserError):  # Orbax refuses to delete a link
        train(update(tiny_config(), {"train.steps": 40}), workdir)
    assert files(elsewhere) == before
    assert jaxgan.load(workdir).step == 40


def test_a_run_writes_in_its_work_directory_alone(tiny_config, tmp_path, monkeypatch):
    """Whatever paths the configuration names."""
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.uint8)
    Path("data").mkdir()
    np.savez("data/images.npz", train=images)
    workdir = tmp_path / "a" / "work"
    named = {"data.name": "npz:../../data/images.npz", "data.dir": "../../elsewhere", "data.validation": 10}
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert train(tiny_config(**named), workdir) == 0
    outside = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if workdir not in (path, *path.parents)}
    assert outside == {"a", "a/b", "data", "data/images.npz"}


# --- what a user reads ---


def call(monkeypatch, capsys, *arguments: str) -> tuple[int, str]:
    """`python -m jaxgan.main` in this process: the exit code and stderr."""
    monkeypatch.setattr(sys, "argv", ["jaxgan.main", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit:
        sys.exit(errors.run_cli(main.main))
    return exit.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config=nowhere.py"], "nowhere.py cannot be read"),
        (["--config=broken.py"], "broken.py is not Python"),
        (["--config=failing.py"], "ZeroDivisionError"),
        (["--config=digits.py", "--mode=test"], "invalid choice"),
        (["--config=digits.py", "--workdir=file/below"], "file"),
        (["--config=digits.py", "--config.data.name=npz:gone.npz"], "gone.npz"),
        (["--config=digits.py", "--config.generator.initialize_from=gone"], "gone"),
        (["--config=digits.py", "--mode=sample", "--workdir=gone"], "gone is not a work directory"),
        (["--config=digits.py", "--mode=evaluate", "--workdir=empty"], "empty is not a work directory"),
        (["--config=digits.py", "--config.train.batch_size=10000000000"], "batch_size"),
        (["--config=digits.py", "--config.generator.hidden=(10000000,10000000)"], "of memory per device"),
    ],
)
def test_every_error_is_one_sentence(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("def get_config(:")
    (tmp_path / "failing.py").write_text("def get_config():\n    return 1 / 0")
    (tmp_path / "digits.py").write_text((ROOT / "configs/digits.py").read_text())
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    code, said = call(monkeypatch, capsys, *arguments)
    assert code == 2
    assert said.startswith("error: ") and said.count("\n") == 1 and words in said


@pytest.mark.parametrize("flags", [["--samples=0"], ["--samples=-3"], ["--seed=-1"], ["--seed=4294967296"]])
def test_invalid_options_of_sampling_are_rejected(tiny_config, tmp_path, monkeypatch, capsys, flags):
    train(update(tiny_config(), {"train.steps": 5}), tmp_path / "work")
    arguments = (f"--config={ROOT / 'configs/digits.py'}", f"--workdir={tmp_path / 'work'}", "--mode=sample")
    code, said = call(monkeypatch, capsys, *arguments, *flags)
    assert code == 2 and said.count("\n") == 1 and flags[0].partition("=")[2] in said


def test_every_kind_of_error_becomes_a_sentence():
    assert errors.describe(UserError("a\n b")) == "a b"
    assert errors.describe(OSError(28, "No space left on device", "/x/y")).startswith("/x/y: No space left on device;")
    assert "out of memory" in errors.describe(MemoryError())
    assert errors.describe(KeyError("a")).startswith("unexpected KeyError: 'a'; repeat the command with --debug")


def test_ctrl_c_before_there_is_anything_to_save(capsys, monkeypatch):
    def command():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as exit:
        errors.run_cli(command)
    assert exit.value.code == 128 + signal.SIGINT
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setattr(sys, "argv", ["jaxgan.main", "--debug"])
    with pytest.raises(KeyboardInterrupt):
        errors.run_cli(command)


@pytest.mark.parametrize("debug", [False, True])
def test_a_device_that_is_not_there(tmp_path, debug):
    command = [sys.executable, "-m", "jaxgan.main", "--config=configs/digits.py", f"--workdir={tmp_path / 'work'}"]
    command += ["--debug"] * debug
    environment = os.environ | {"JAX_PLATFORMS": "abacus"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == (1 if debug else 2)
    assert "JAX finds no device for JAX_PLATFORMS=abacus" in result.stderr
    assert ("Traceback" in result.stderr) == debug
    assert debug or result.stderr.count("\n") == 1
    assert not (tmp_path / "work").exists()


def test_orbax_adds_nothing_to_the_sentence_about_damage(tmp_path):
    """An array of a type that it does not know: it drops the coroutines that would have read the others."""
    program = """if True:
        import sys, jax.numpy as jnp
        from pathlib import Path
        from jaxgan.run.checkpoints import Checkpoints
        directory, state = Path(sys.argv[1]), {"a": jnp.ones(3), "b": jnp.ones(3)}
        with Checkpoints(directory, keep=2, best_key="score") as checkpoints:
            checkpoints.save(1, state, metrics={})
            checkpoints.save(2, state, metrics={})
        file = directory / "2" / "state" / "_METADATA"
        file.write_text("np.nothing".join(file.read_text().rsplit("np.ndarray", 1)))
        with Checkpoints(directory, keep=2, best_key="score") as checkpoints:
            print(checkpoints.restore(state)[0])
    """
    result = subprocess.run([sys.executable, "-c", program, tmp_path / "c"], capture_output=True, text=True, cwd=ROOT)
    assert result.stdout == "1\n"
    assert result.stderr.count("\n") == 1 and "checkpoint 2 in" in result.stderr and "np.nothing" in result.stderr


@pytest.mark.exhaustive
def test_random_damage_to_a_checkpoint_is_detected_or_harmless(tiny_config, tmp_path, capsys):
    """Any byte of any file: the arrays that are restored are those that were saved."""
    workdir, rng = tmp_path / "work", random.Random(0)
    train(tiny_config(), workdir)
    states = {gan.step: jax.tree.leaves(gan.state) for gan in (jaxgan.load(workdir, 10), jaxgan.load(workdir, 20))}
    like = jaxgan.load(workdir).state
    files = sorted(p for p in (workdir / "checkpoints" / "20").rglob("*") if p.is_file() and p.stat().st_size)
    for _ in range(30):
        file = rng.choice(files)
        content = file.read_bytes()
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 20))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        file.write_bytes(damaged)
        with Checkpoints(workdir / "checkpoints", keep=2, best_key="score") as checkpoints:
            step, state = checkpoints.restore(like)
        for a, b in zip(jax.tree.leaves(state), states[step], strict=True):
            np.testing.assert_array_equal(a, b)
        assert (f"checkpoint {20} in" in capsys.readouterr().err) == (step == 10)
        file.write_bytes(content)
