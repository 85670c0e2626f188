"""The command: mistakes before anything is trained, kills and launchers that change nothing in the results."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan import parallel, train
from jaxgan.config import default
from jaxgan.errors import UserError
from jaxgan.run.writers import read_metrics
from jaxgan.sweep import __main__ as sweep
from jaxgan.sweep import launchers, plan, report, results
from jaxgan.sweep.chunk import Stopped

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

HEADER = '''"""Does k matter?

A tiny ablation.
"""
from configs import ring8
from jaxgan.config import update
from jaxgan.sweep import over, product

def get_config():
    return update(ring8.get_config(), {
        "train.steps": 100, "log.every": 10, "evaluate.every": 50, "evaluate.samples": 100, "checkpoint.every": 10,
    })
'''
SWEEP = HEADER + 'def get_sweep():\n    return product(over("train.d_steps", [1, 2]), over("seed", range(3)))\n'


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "ablation.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def start(*arguments, **environment) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "jaxgan.sweep", *map(str, arguments)],
        cwd=ROOT, env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen) -> str:
    try:
        return process.communicate(timeout=240)[0]
    finally:
        process.kill()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The work directory of SWEEP, trained by the command itself."""
    place = tmp_path_factory.mktemp("finished")
    (place / "ablation.py").write_text(SWEEP)
    process = start("--sweep", place / "ablation.py", "--workdir", place / "run")
    out = finish(process)
    assert process.returncode == 0, out
    assert "6 runs -> 2 programs, 3 members per chunk" in out
    return place / "run"


def call(monkeypatch, *arguments, launcher=None) -> int:
    monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
    monkeypatch.setattr(parallel, "use_cpu_devices", lambda devices: None)  # too late in this process
    with monkeypatch.context() as context:
        if launcher:
            context.setattr(launchers, "get_launcher", lambda name, address: launcher)
        return sweep.main()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def get_config(): ...\n", r"ablation\.py defines no get_sweep\(\)"),
        ("def get_sweep(): ...\n", r"ablation\.py defines no get_config\(\)"),
        ("def get_sweep(:\n", r"ablation\.py is not Python"),
        (HEADER + "def get_sweep(): return []\n", "no settings"),
        (HEADER + 'def get_sweep(): return over("optimizer.generator.learning_rat", [1.0])\n', "nearest is"),
        (HEADER + 'def get_sweep(): return over("seed", [4, 4])\n', "are the same"),
        (HEADER + 'def get_sweep(): return over("train.batch_size", [2**20])\n', "larger than the training set"),
    ],
)
def test_mistakes_in_a_sweep_file(monkeypatch, tmp_path, write, text, words):
    with pytest.raises(UserError, match=words):
        call(monkeypatch, "--sweep", write(text), "--workdir", tmp_path / "run", "--plan")
    assert not (tmp_path / "run").exists()


def test_mistakes_on_the_command_line(monkeypatch, tmp_path, write):
    with pytest.raises(UserError, match=r"none\.py cannot be read: No such file"):
        call(monkeypatch, "--sweep", "none.py")
    with pytest.raises(UserError, match="--launcher"):
        call(monkeypatch, "--sweep", write(SWEEP), "--launcher", "carrier-pigeon")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="is not empty and has no sweep"):
        call(monkeypatch, "--sweep", write(SWEEP), "--workdir", tmp_path / "photos")


def test_the_workdir_of_another_sweep(monkeypatch, write, finished):
    other = write(SWEEP.replace("[1, 2]", "[1, 3]"))
    with pytest.raises(UserError, match="belongs to another sweep"):
        call(monkeypatch, "--sweep", other, "--workdir", finished)


def test_launchers_that_are_not_there(monkeypatch):
    with monkeypatch.context() as context:
        context.setitem(sys.modules, "ray", None)
        with pytest.raises(UserError, match=r"pip install 'jaxgan\[ray\]'"):
            launchers.get_launcher("ray", "")
        context.setitem(sys.modules, "submitit", None)
        with pytest.raises(UserError, match=r"pip install 'jaxgan\[slurm\]'"):
            launchers.get_launcher("slurm", "")
    monkeypatch.setenv("PATH", "")
    pytest.importorskip("submitit")
    with pytest.raises(UserError, match="no sbatch"):
        launchers.get_launcher("slurm", "")


def test_every_member_has_a_result_and_a_work_directory(finished):
    lines = [json.loads(line) for line in (finished / "results.jsonl").read_text().splitlines()]
    assert [(line["setting"], line["seed"]) for line in lines] == [
        ({"train.d_steps": k}, seed) for k in (1, 2) for seed in range(3)
    ]
    for line in lines:
        assert line.keys() == {"setting", "seed", "final", "best", "diverged", "steps"}
        assert line["steps"] == 100 and line["diverged"] is False
        assert {"modes", "high_quality", "jsd", "value", "g_gradient_norm"} <= line["final"].keys()
    names = sorted(path.name for path in (finished / "members").iterdir())
    assert names == [f"{i:03d}-d_steps={1 + i // 3}-seed={i % 3}" for i in range(6)]
    assert not (finished / "chunks").exists()


def test_a_member_in_one_of_several_threads_is_its_setting_trained_alone(finished, tmp_path):
    """Bit for bit, in a game that makes 1e-2 of 1e-7 within these 100 steps."""
    _, planned = sweep.read(finished.parent / "ablation.py")
    for member in (planned[0], planned[1]):  # of two threads
        train.train(member.config, tmp_path / member.name)
        pair = (finished / "members" / member.name, tmp_path / member.name)
        ours, alone = (jax.tree.leaves(jaxgan.load(path).state) for path in pair)
        for mine, single in zip(ours, alone, strict=True):
            np.testing.assert_array_equal(mine, single)


def test_planning_trains_nothing(monkeypatch, capsys, tmp_path, write):
    assert call(monkeypatch, "--sweep", write(SWEEP), "--workdir", tmp_path / "run", "--plan") == 0
    times = r"start \d+ s, compilation \d+ s, training \d+ s, pictures \d+ s; without evaluations"
    planned = rf"6 runs -> 2 programs, 3 members per chunk, about \d+\.\d minutes \({times}\), "
    assert re.search(planned, capsys.readouterr().out)
    assert not (tmp_path / "run").exists()


def test_a_finished_sweep_trains_nothing_again(finished):
    before = (finished / "results.jsonl").read_bytes()
    members = {path: path.stat().st_mtime_ns for path in (finished / "members").rglob("*")}
    process = start("--sweep", finished.parent / "ablation.py", "--workdir", finished)
    out = finish(process)
    assert "6 of 6 runs are finished already" in out and "chunk" not in out
    assert (finished / "results.jsonl").read_bytes() == before
    assert members == {path: path.stat().st_mtime_ns for path in (finished / "members").rglob("*")}


def test_a_sweep_killed_while_it_began_can_be_repeated(tmp_path, write):
    _, planned = sweep.read(write(SWEEP))
    (tmp_path / "run").mkdir()
    for name in (".lock", ".sweep.json.tmp", ".sweep.json.17-0123abcd.tmp"):
        (tmp_path / "run" / name).write_text("half a fi")
    with results.open_sweep(tmp_path / "run", "name", "about", planned) as members:
        assert members == planned


@pytest.mark.parametrize("name", ["../../victim", "/victim", "000/../../victim", ""])
def test_the_names_of_members_stay_in_the_work_directory(tmp_path, write, name):
    _, planned = sweep.read(write(SWEEP))
    content = {"name": "x", "about": ""} | results.member_records(planned)
    content["members"][0]["name"] = name
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "sweep.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not the name of a member"):
        results.match_existing(tmp_path / "run", planned)


def test_a_damaged_history_is_named(tmp_path, write):
    _, planned = sweep.read(write(SWEEP))
    with results.open_sweep(tmp_path / "run", "name", "about", planned):
        (tmp_path / "run/chunks/x").mkdir(parents=True)
        (tmp_path / "run/chunks/x/history.json").write_text("[1, 2")
        with pytest.raises(UserError, match=r"history\.json cannot be read .* to train its members again"):
            results.match_existing(tmp_path / "run", planned)


def test_a_field_that_is_younger_than_the_sweep_had_its_default(tmp_path, write):
    """Of what every configuration has, and of what a choice brings."""
    noisy = (
        SWEEP.replace("get_sweep", "get_plain_sweep")
        + """
def get_sweep(): return [setting | {"augment.name": "instance_noise"} for setting in get_plain_sweep()]
"""
    )
    (_, planned), run = sweep.read(write(noisy)), tmp_path / "run"
    with results.open_sweep(run, "name", "about", planned):
        pass
    content = json.loads((run / "sweep.json").read_text())
    del content["common"]["data.limit"], content["common"]["augment.shape"]  # as written before they were there
    (run / "sweep.json").write_text(json.dumps(content))
    ended = {"setting": planned[0].setting, "seed": planned[0].config.seed, "steps": 100, "diverged": False}
    (run / "results.jsonl").write_text(json.dumps(ended) + "\n")
    assert results.match_existing(run, planned) == planned
    for trial in planned:
        trial.config.data.limit = 10
    with pytest.raises(UserError, match=r"data\.limit was 0 and is now 10"):
        results.match_existing(run, planned)


def test_a_sweep_may_grow(monkeypatch, write, tmp_path, capsys):
    """By seeds and by settings: what is finished is not trained again, and keeps its place."""
    grown = 'product(over("train.d_steps", [1, 2]), over("prior.scale", [1.0]), over("seed", range(2)))'
    sweep = 'product(over("train.d_steps", [1]), over("prior.scale", [1.0]), over("seed", range(1)))'
    run = tmp_path / "run"
    assert call(monkeypatch, "--sweep", write(f"{HEADER}def get_sweep(): return {sweep}\n"), "--workdir", run) == 0
    (before,), trained = lines(run), {path: path.stat().st_mtime_ns for path in run.glob("members/**/*")}
    assert call(monkeypatch, "--sweep", write(f"{HEADER}def get_sweep(): return {grown}\n"), "--workdir", run) == 0
    assert "1 of 4 runs are finished already" in capsys.readouterr().out
    assert len(lines(run)) == 4 and lines(run)[0] == before
    assert trained == {path: path.stat().st_mtime_ns for path in trained}
    named = [member["name"] for member in json.loads((run / "sweep.json").read_text())["members"]]
    assert named == ["000", "001-d_steps=1-seed=1", "002-d_steps=2-seed=0", "003-d_steps=2-seed=1"]
    assert sorted(path.name for path in (run / "members").iterdir()) == named
    with pytest.raises(UserError, match="3 of the 4 members that it has trained are"):
        call(monkeypatch, "--sweep", write(f"{HEADER}def get_sweep(): return {sweep}\n"), "--workdir", run)


def lines(run: Path) -> list[str]:
    path = run / "results.jsonl"
    return path.read_text().splitlines() if path.exists() else []


def test_killed_and_repeated_it_has_the_same_results(finished, tmp_path):
    """kill -9 once the first group has its results and the second one a checkpoint."""
    run = tmp_path / "run"
    process = start("--sweep", finished.parent / "ablation.py", "--workdir", run)
    deadline = time.time() + 200
    while not (lines(run) and list(run.glob("chunks/*/checkpoints/[0-9]*"))):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = lines(run)
    trained = {path: path.stat().st_mtime_ns for path in run.glob("members/*-d_steps=1-*/**/*")}
    process = start("--sweep", finished.parent / "ablation.py", "--workdir", run)
    out = finish(process)
    assert process.returncode == 0, out
    assert f"{len(before)} of 6 runs are finished already" in out
    assert lines(run) == lines(finished)
    assert trained == {path: path.stat().st_mtime_ns for path in trained}


def test_ray_gives_the_same_results(finished, tmp_path):
    pytest.importorskip("ray")
    process = start(
        "--sweep", finished.parent / "ablation.py", "--workdir", tmp_path / "run", "--launcher=ray",
        RAY_DISABLE_IMPORT_WARNING="1",
    )  # fmt: skip
    out = finish(process)
    assert process.returncode == 0, out
    assert lines(tmp_path / "run") == lines(finished)


def test_a_chunk_whose_ray_task_is_killed_is_resumed_by_another(finished, tmp_path):
    """Nothing is lost, nothing is there twice."""
    pytest.importorskip("ray")
    run = tmp_path / "run"
    process = start(
        "--sweep", finished.parent / "ablation.py", "--workdir", run, "--launcher=ray", RAY_DISABLE_IMPORT_WARNING="1"
    )
    deadline = time.time() + 200
    while not (saved := list(run.glob("chunks/*/checkpoints/[0-9]*"))):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(json.loads((saved[0].parents[1] / ".lock").read_text())["pid"], signal.SIGKILL)
    out = finish(process)
    assert process.returncode == 0, out
    assert "its chunk is resumed by another one" in out
    assert sorted(lines(run)) == sorted(lines(finished))


@pytest.mark.parametrize("address", ["127.0.0.1:1", "auto", "ray://nowhere.invalid:10001", "here:there"])
def test_ray_that_is_not_reached(address):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=f"there is no Ray at --ray_address={address}"):
        launchers.get_launcher("ray", address)


def test_slurm_gives_the_same_results(finished, tmp_path, monkeypatch):
    """submitit's local executor in place of a cluster."""
    pytest.importorskip("submitit")
    monkeypatch.chdir(ROOT)
    _, planned = sweep.read(finished.parent / "ablation.py")
    found = {}
    for chunk, new in launchers.slurm("local").run(tmp_path / "run", [planned[:2]], []):
        found |= {results.trial_key(member): json.dumps(result) for member, result in zip(chunk, new, strict=True)}
    assert list(found.values()) == lines(finished)[:2]


def test_a_preempted_slurm_job_is_requeued_and_resumes(finished, tmp_path, monkeypatch):
    """By the signal that submitit asks SLURM for, before a preemption and before the time limit."""
    submitit = pytest.importorskip("submitit")
    monkeypatch.chdir(ROOT)
    submitted = []
    submit = submitit.AutoExecutor.submit
    monkeypatch.setattr(submitit.AutoExecutor, "submit", lambda *args: submitted.append(submit(*args)) or submitted[-1])
    _, planned = sweep.read(finished.parent / "ablation.py")
    run = tmp_path / "run"
    preempted = []

    def preempt(signals):
        if not preempted and list(run.glob("chunks/*/checkpoints/[0-9]*")):
            controller = submitted[0].job_id
            [task] = Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
            preempted.append(os.kill(int(task), signal.SIGUSR2))

    monkeypatch.setattr(launchers, "_check", preempt)
    monkeypatch.setattr(launchers, "POLL_SECONDS", 0.01)
    [(_, found)] = launchers.slurm("local").run(run, [planned[:2]], [])
    assert [json.dumps(result) for result in found] == lines(finished)[:2]
    assert preempted, "the job ended before its first checkpoint was seen"
    logs = "".join(path.read_text() for path in (run / "slurm").glob("*_log.*"))
    assert "Requeued job" in logs and "resuming from step" in logs


def test_a_task_that_fails_does_not_end_the_others(finished, tmp_path, write, monkeypatch):
    """What is wrong is one sentence, not an engine's own error, with a traceback of another process in it."""
    pytest.importorskip("submitit")
    monkeypatch.chdir(ROOT)
    _, bad = sweep.read(write(SWEEP.replace('"log.every": 10', '"train.batch_size": 10**6, "log.every": 10')))
    _, good = sweep.read(finished.parent / "ablation.py")
    outcomes = launchers.slurm("local").run(tmp_path / "run", [bad[:1], good[:1]], [])
    found = {chunk[0].config.train.batch_size: outcome for chunk, outcome in outcomes}
    assert isinstance(found[10**6], UserError)
    assert re.match(r"setting .*: train.batch_size=1000000 is larger than the training set", str(found[10**6]))
    assert [json.dumps(result) for result in found[128]] == lines(finished)[:1]


def test_a_signal_cancels_slurm_jobs(tmp_path, write, monkeypatch):
    submitit = pytest.importorskip("submitit")
    cancelled = []

    class Job:
        def done(self):
            return False

        def cancel(self, check):
            cancelled.append(self)

    class Executor:
        def __init__(self, *_, **__): ...
        def update_parameters(self, **_): ...
        def batch(self):
            return nullcontext()

        def submit(self, *_):
            return Job()

    monkeypatch.setattr(submitit, "AutoExecutor", Executor)
    _, planned = sweep.read(write(SWEEP))
    with pytest.raises(Stopped):
        list(launchers.slurm("local").run(tmp_path / "run", [planned[:1], planned[1:2]], [signal.SIGTERM]))
    assert len(set(cancelled)) == 2


def test_a_failure_is_reported_and_the_others_are_finished(finished, tmp_path, monkeypatch, capsys):
    """The exit code is not 0, the results of the others and the report are written, and a repetition tries again."""
    reports = []
    monkeypatch.setattr(report, "write", lambda workdir: reports.append(len(lines(workdir))))
    known = [json.loads(line) for line in lines(finished)]

    def run(workdir, chunks, signals):
        yield chunks[0], UserError("there is no disk.")
        assert not lines(workdir)
        yield chunks[1], known[3:]
        assert len(lines(workdir)) == 3

    call_it = lambda launcher: call(  # noqa: E731
        monkeypatch, "--sweep", finished.parent / "ablation.py", "--workdir", tmp_path / "run", launcher=launcher
    )
    assert call_it(launchers.Launcher(1, run)) == 1
    out, err = capsys.readouterr()
    assert (
        "3 members failed (000-d_steps=1-seed=0, 001-d_steps=1-seed=1, 002-d_steps=1-seed=2): there is no disk." in err
    )
    assert "3 of 6 runs failed; repeat the command" in err and "finished" not in out
    assert reports == [3]
    assert call_it(launchers.Launcher(1, lambda workdir, chunks, signals: [(chunks[0], known[:3])])) == 0
    assert "3 of 6 runs are finished already" in capsys.readouterr().out
    assert lines(tmp_path / "run") == lines(finished)


def test_there_is_a_report_before_the_last_chunk(finished, tmp_path, monkeypatch, capsys):
    reports = []
    monkeypatch.setattr(report, "write", lambda workdir: reports.append(len(lines(workdir))))
    known = [json.loads(line) for line in lines(finished)]
    run = lambda workdir, chunks, signals: [(chunks[0], known[:3]), (chunks[1], UserError("there is no disk."))]  # noqa: E731
    arguments = ("--sweep", finished.parent / "ablation.py", "--workdir", tmp_path / "run")
    assert call(monkeypatch, *arguments, launcher=launchers.Launcher(1, run)) == 1
    assert reports == [3, 3]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_and_the_command_resumes(finished, tmp_path, number, code):
    run = tmp_path / "run"
    process = start("--sweep", finished.parent / "ablation.py", "--workdir", run)
    deadline = time.time() + 200
    while not list(run.glob("chunks/*/checkpoints/[0-9]*")):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    out = finish(process)
    assert process.returncode == code, out
    assert f"stopped by signal {int(number)}, saved; repeat the command to resume" in out
    out = finish(process := start("--sweep", finished.parent / "ablation.py", "--workdir", run))
    assert process.returncode == 0, out
    assert lines(run) == lines(finished)


def test_more_steps_extend_a_sweep(finished, tmp_path, monkeypatch, write, capsys):
    """Members resume; other changes are refused by the name of the field."""
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    steps = json.loads((run / "sweep.json").read_text())["members"]
    assert call(monkeypatch, "--sweep", write(SWEEP.replace('steps": 100', 'steps": 120')), "--workdir", run) == 0
    assert "6 runs -> 2 programs, 3 members per chunk" in capsys.readouterr().out
    found = [json.loads(line) for line in lines(run)]
    assert [line["steps"] for line in found] == [120] * 6
    assert [member["name"] for member in steps] == sorted(path.name for path in (run / "members").iterdir())
    kept = [line["step"] for line in read_metrics(run / "members" / steps[0]["name"])]
    assert kept == list(range(10, 121, 10))
    with pytest.raises(UserError, match=r"train.steps was 120 and is now 100, for {'train.d_steps': 1} with seed=0"):
        call(monkeypatch, "--sweep", write(SWEEP), "--workdir", run)
    with pytest.raises(UserError, match=r"log.every was 10 and is now 20; train.batch_size was 128 and is now 64, for"):
        changed = SWEEP.replace('"log.every": 10', '"train.batch_size": 64, "log.every": 20').replace(
            'steps": 100', 'steps": 120'
        )
        call(monkeypatch, "--sweep", write(changed), "--workdir", run)


def test_a_member_that_diverged_is_finished():
    trial = plan.Trial("000", {}, default())
    for diverged, steps in ((True, 5), (False, trial.config.train.steps)):
        assert results.is_finished(trial, {results.trial_key(trial): {"diverged": diverged, "steps": steps}})
    assert not results.is_finished(trial, {results.trial_key(trial): {"diverged": False, "steps": 5}})
    assert not results.is_finished(trial, {})
