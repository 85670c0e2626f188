from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgan
from jaxgan.errors import UserError
from jaxgan.run import checkpoints as checkpoints_module
from jaxgan.run.checkpoints import Checkpoints, _flatten_with_names
from jaxgan.sweep import results
from jaxgan.train import train

FIXTURES = Path(__file__).parents[1] / "fixtures"


def state(seed: int) -> dict:
    """Every kind of array: scalars, bfloat16, bool, special floats; nested containers."""
    rng = np.random.default_rng(seed)
    return {
        "step": jnp.uint32(seed),
        "generator": [{"w": jnp.asarray(rng.normal(size=(40, 30)), jnp.float32)}, {}],
        "half": jnp.asarray(rng.normal(size=(5,)), jnp.bfloat16),
        "mask": jnp.asarray(rng.random(7) < 0.5),
        "special": jnp.asarray([-0.0, 1e-42, np.inf, np.nan], jnp.float32),
        "large": jnp.asarray(rng.normal(size=(200, 200)), jnp.float32),
    }


def opened(path: Path, keep: int = 2) -> Checkpoints:
    return Checkpoints(path / "checkpoints", keep=keep, best_key="score")


def saved(path: Path, *steps: int, keep: int = 2) -> Path:
    """A directory with a checkpoint of each of `steps`."""
    with opened(path, keep) as checkpoints:
        checkpoints.restore(state(0))
        for step in steps:
            checkpoints.save(step, state(step), metrics={})
    return path / "checkpoints"


def assert_is(found, step: int) -> None:
    """`found` is the state saved at `step`, bit for bit."""
    assert found[0] == step
    assert jax.tree.structure(found[1]) == jax.tree.structure(state(step))
    for got, want in zip(jax.tree.leaves(found[1]), jax.tree.leaves(state(step)), strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        assert got.tobytes() == np.asarray(want).tobytes()


def test_a_state_comes_back_bit_for_bit(tmp_path):
    saved(tmp_path, 3)
    with opened(tmp_path) as checkpoints:
        assert_is(checkpoints.restore(jax.eval_shape(lambda: state(0))), 3)


def test_nothing_is_restored_from_nothing_and_nothing_is_written(tmp_path):
    with opened(tmp_path) as checkpoints:
        assert checkpoints.restore(state(0)) is None
        assert checkpoints.steps() == [] and checkpoints.best_step() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("gone", ["4", "4/state"])
def test_one_that_a_training_process_deletes_while_it_is_read_is_no_damage(tmp_path, monkeypatch, capsys, gone):
    place, read, tried = saved(tmp_path, 2, 4), Checkpoints._read, []

    def late(self, step):
        tried.append(step)
        if step == 4:
            (place / "6").mkdir()
            shutil.rmtree(place / gone)
            return read(self, step)
        return {name: np.asarray(x) for name, x in _flatten_with_names(state(6)).items()}, {}, "digest"

    monkeypatch.setattr(Checkpoints, "_read", late)
    with opened(tmp_path) as checkpoints:
        assert_is(checkpoints.restore(state(0)), 6)
    assert tried == [4, 6]
    assert capsys.readouterr().err == ""


def test_the_only_one_is_replaced_while_they_are_listed(tmp_path, monkeypatch):
    saved(tmp_path, 4)
    listed, steps = [], Checkpoints.steps

    def late(self):
        listed.append(steps(self) if listed else [])
        return listed[-1]

    monkeypatch.setattr(Checkpoints, "steps", late)
    with opened(tmp_path) as checkpoints:
        assert_is(checkpoints.restore(state(0)), 4)


def test_a_requested_one_that_is_deleted_while_it_is_read(tmp_path, monkeypatch, capsys):
    place, read = saved(tmp_path, 2, 4), Checkpoints._read

    def late(self, step):
        shutil.rmtree(place / "2")
        return read(self, step)

    monkeypatch.setattr(Checkpoints, "_read", late)
    with opened(tmp_path) as checkpoints, pytest.raises(UserError, match=r"no checkpoint of step 2; it has \[4\]"):
        checkpoints.restore(state(0), step=2)
    assert capsys.readouterr().err == ""


def test_a_name_that_is_not_utf8_is_refused_before_training(tiny_config, tmp_path):
    for use in (lambda path: train(tiny_config(), path), jaxgan.load):
        place = tmp_path / "x\udcff"
        with pytest.raises(UserError, match="its name is not UTF-8" if use != jaxgan.load else "work directory"):
            use(place)
        assert not place.exists()
    with pytest.raises(UserError, match="its name is not UTF-8"), results.open_sweep(place, "x", "", []):
        pass
    assert not place.exists()


def test_the_best_one(tmp_path):
    saved(tmp_path, 1)
    with opened(tmp_path) as checkpoints:
        with pytest.raises(UserError, match="was evaluated, so none is the best; name a step"):
            checkpoints.restore(state(0), step="best")
        checkpoints.restore(state(0))
        for step, score in {2: 1.0, 3: 5.0, 4: 2.0, 5: 3.0}.items():
            checkpoints.save(step, state(step), metrics={"score": score})
        checkpoints.close()
        assert_is(checkpoints.restore(state(0), step="best"), 3)


def test_close_waits_and_saving_may_go_on(tmp_path):
    with opened(tmp_path) as checkpoints:
        checkpoints.restore(state(0))
        for step in (1, 2, 3):
            checkpoints.save(step, state(step), metrics={})
            checkpoints.close()
            assert checkpoints.steps()[-1] == step
    assert {p.name for p in (tmp_path / "checkpoints").iterdir()} == {"2", "3"}


def test_training_goes_on_while_a_thread_hashes_and_writes(tmp_path, monkeypatch):
    hashing, go_on = threading.Event(), threading.Event()
    digest = checkpoints_module._digest

    def slow(*args):
        hashing.set()
        assert go_on.wait(20)
        return digest(*args)

    with opened(tmp_path) as checkpoints:
        checkpoints.restore(state(0))
        monkeypatch.setattr(checkpoints_module, "_digest", slow)
        checkpoints.save(1, state(1), metrics={})  # would not return if it hashed itself
        assert hashing.wait(20) and checkpoints.steps() == []
        go_on.set()
        checkpoints.close()
        assert checkpoints.steps() == [1]
        assert_is(checkpoints.restore(state(0)), 1)


def test_what_fails_in_the_thread_is_the_error_of_the_next_call(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("no such device")

    calls = {"save": lambda c: c.save(3, state(3), metrics={}), "close": lambda c: c.close()}
    for name, call in calls.items():
        place = saved(tmp_path / name, 1)
        with opened(place.parent) as checkpoints:
            checkpoints.restore(state(0))
            with monkeypatch.context() as patch:
                patch.setattr(checkpoints_module, "_digest", fail)
                checkpoints.save(2, state(2), metrics={})
                with pytest.raises(UserError, match=r"no such device.*the last good one is of step 1"):
                    call(checkpoints)
        assert {p.name for p in place.iterdir()} == {"1"}


def test_orbax_v1_reads_every_fixture_and_the_digest_holds():
    """The next version of the library, whose format is this one's."""
    v1 = pytest.importorskip("orbax.checkpoint").v1
    steps = sorted(p.parent for p in FIXTURES.glob("*/*/checkpoints/*/about"))
    assert len(steps) >= 3
    for step in steps:
        about = json.loads((step / "about" / "metadata").read_text())
        arrays = jax.tree.map(np.asarray, v1.load(step, checkpointable_name="state"))
        assert about.pop("sha256") == checkpoints_module._digest(about, arrays)


@pytest.mark.parametrize(("parallel", "backend"), [(False, "cpu"), (True, "cpu"), (False, "gpu"), (True, "gpu")])
def test_arrays_may_be_donated_as_soon_as_save_returns(tmp_path, monkeypatch, parallel, backend):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x = {"x": jnp.arange(100_000, dtype=jnp.float32)}
    if parallel:
        erase = jax.pmap(lambda s, _: {"x": s["x"] * 0}, in_axes=(None, 0), out_axes=None, donate_argnums=0)
    else:
        erase = jax.jit(lambda s, _: {"x": s["x"] * 0}, donate_argnums=0)
    one_each = np.zeros(jax.local_device_count(), np.float32)
    with opened(tmp_path) as checkpoints:
        checkpoints.restore(x)
        for step in (1, 2):
            x = jax.tree.map(lambda a: a + 1, x)
            checkpoints.save(step, x, metrics={})
            x = jax.block_until_ready(erase(x, one_each))
            x = jax.tree.map(lambda a: a + np.arange(100_000, dtype=np.float32), x)
        step, restored = checkpoints.restore(x)
    np.testing.assert_array_equal(restored["x"], np.arange(1, 100_001, dtype=np.float32))


def test_the_newest_and_the_best_stay(tmp_path):
    scores = {1: 0.5, 2: 0.9, 3: float("nan"), 4: 0.1, 5: None, 6: 0.2}
    for step, score in scores.items():  # each in a run of its own: scores survive a restart
        with opened(tmp_path) as checkpoints:
            checkpoints.restore(state(0))
            checkpoints.save(step, state(step), metrics={} if score is None else {"score": score})
    assert checkpoints.steps() == [2, 5, 6]
    assert checkpoints.best_step() == 2
    assert_is(checkpoints.restore(state(0), step=2), 2)


def test_without_a_score_none_is_the_best(tmp_path):
    saved(tmp_path, 1, 2)
    with opened(tmp_path) as checkpoints:
        assert checkpoints.steps() == [1, 2] and checkpoints.best_step() is None


def truncate(place: Path) -> None:
    path = largest(place)
    os.truncate(path, path.stat().st_size // 2)


def flip(place: Path) -> None:
    path = largest(place)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def largest(place: Path) -> Path:
    return max((p for p in place.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def swap_values(place: Path) -> None:
    """A well-formed checkpoint of other numbers under the old digest."""
    shutil.rmtree(place / "state")
    other = saved(place.parent.parent / "other", 999)
    shutil.copytree(other / "999" / "state", place / "state")


def forge_step(place: Path) -> None:
    shutil.rmtree(place)
    shutil.copytree(place.with_name("100"), place)


def empty(place: Path) -> None:
    shutil.rmtree(place)
    place.mkdir()


DAMAGES = {
    "truncated": truncate,
    "bit flipped": flip,
    "other values": swap_values,
    "copy of another step": forge_step,
    "empty": empty,
    "state gone": lambda place: shutil.rmtree(place / "state"),
    "arrays gone": lambda place: shutil.rmtree(place / "state" / "ocdbt.process_0"),
    "index gone": lambda place: shutil.rmtree(place / "state" / "d"),
    "digest gone": lambda place: shutil.rmtree(place / "about"),
    "digest not JSON": lambda place: (place / "about" / "metadata").write_text("{"),
    "digest a list": lambda place: (place / "about" / "metadata").write_text("[1]"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_checkpoint_is_named_skipped_and_moved_aside(tmp_path, capsys, damage):
    place = saved(tmp_path, 100, 200)
    damage(place / "200")
    with opened(tmp_path) as checkpoints:
        assert_is(checkpoints.restore(state(0)), 100)
        assert "checkpoint 200" in (said := capsys.readouterr().err) and said.count("\n") == 1
        assert (place / "200").is_dir()  # restoring writes nothing
        checkpoints.save(200, state(200), metrics={})  # the run comes to that step again
    assert "200.damaged" in capsys.readouterr().err
    assert {p.name for p in place.iterdir()} == {"100", "200", "200.damaged"}
    with opened(tmp_path) as checkpoints:
        assert_is(checkpoints.restore(state(0)), 200)
    assert capsys.readouterr().err == ""


def test_an_older_damaged_checkpoint_harms_nobody(tmp_path):
    place = saved(tmp_path, 100, 200)
    (place / "100" / "about" / "metadata").write_text("{")
    with opened(tmp_path) as checkpoints:
        assert_is(checkpoints.restore(state(0)), 200)
        checkpoints.save(300, state(300), metrics={"score": 1.0})
    assert checkpoints.steps() == [200, 300]


def test_it_never_starts_from_zero_when_nothing_is_intact(tmp_path, capsys):
    place = saved(tmp_path, 100, 200)
    truncate(place / "100")
    empty(place / "200")
    with opened(tmp_path) as checkpoints, pytest.raises(UserError, match=r"no checkpoint in .* is intact"):
        checkpoints.restore(state(0))
    assert capsys.readouterr().err.count("\n") == 2
    assert checkpoints.steps() == [100, 200]


def test_saving_over_unread_checkpoints_is_a_mistake(tmp_path):
    saved(tmp_path, 100)
    with opened(tmp_path) as checkpoints, pytest.raises(ValueError, match="restore before save"):
        checkpoints.save(50, state(50), metrics={})
    assert checkpoints.steps() == [100]


def test_time_does_not_go_back(tmp_path):
    with opened(tmp_path) as checkpoints:
        checkpoints.restore(state(0))
        checkpoints.save(5, state(5), metrics={})
        with pytest.raises(ValueError, match="step 5 is not after step 5"):
            checkpoints.save(5, state(6), metrics={})
        assert_is(checkpoints.restore(state(0)), 5)


def test_going_on_from_an_older_step_keeps_the_newer_one_out_of_the_way(tmp_path, capsys):
    place = saved(tmp_path, 100, 200)
    with opened(tmp_path) as checkpoints:
        assert_is(checkpoints.restore(state(0), step=100), 100)
        checkpoints.save(150, state(150), metrics={})
        assert_is(checkpoints.restore(state(0)), 150)
    assert {p.name for p in place.iterdir()} == {"100", "150", "200.abandoned"}


def test_leftovers_of_a_killed_save_are_no_checkpoints(tmp_path):
    place = saved(tmp_path, 100)
    shutil.copytree(place / "100", place / "200.orbax-checkpoint-tmp")
    (place / "notes.txt").write_text("")
    (place / "0200").mkdir()
    with opened(tmp_path) as checkpoints:
        assert checkpoints.steps() == [100]
        assert_is(checkpoints.restore(state(0)), 100)
        checkpoints.save(200, state(200), metrics={})
    assert not (place / "200.orbax-checkpoint-tmp").exists()
    assert checkpoints.steps() == [100, 200]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s | {"large": jnp.zeros((3,), jnp.float32)}, r"\[200, 200\] for large .* float32\[3\]"),
        (lambda s: s | {"mask": jnp.zeros((7,), jnp.int32)}, r"bool\[7\] for mask .* int32\[7\]"),
        (lambda s: s | {"new": jnp.zeros((7,), jnp.int32)}, r"nothing for new .* int32\[7\]"),
        (lambda s: {k: v for k, v in s.items() if k != "half"}, r"bfloat16\[5\] for half .* nothing"),
    ],
)
def test_another_configurations_arrays_are_refused(tmp_path, change, words):
    saved(tmp_path, 100)
    with opened(tmp_path) as checkpoints, pytest.raises(UserError, match=words):
        checkpoints.restore(change(state(0)))


def test_a_step_that_is_not_there(tmp_path):
    saved(tmp_path, 100)
    words = r"no checkpoint of step 7; it has \[100\]"
    with opened(tmp_path) as checkpoints, pytest.raises(UserError, match=words):
        checkpoints.restore(state(0), step=7)


def incompressible(step: int) -> dict:
    return {"x": np.random.default_rng(step).integers(0, 256, 300_000, dtype=np.uint8)}


def fill_up(path: Path) -> None:
    """Saves until the disk refuses; then goes on with more room, as the message says."""
    with pytest.raises(UserError) as caught, opened(path, keep=9) as checkpoints:
        checkpoints.restore(incompressible(0))
        for step in range(1, 9):
            checkpoints.save(step, incompressible(step), metrics={})
    steps = checkpoints.steps()
    assert 1 <= len(steps) < 8
    assert str(path) in str(caught.value) and f"the last good one is of step {steps[-1]}" in str(caught.value)
    assert {p.name for p in checkpoints.directory.iterdir()} == {str(step) for step in steps}
    step, restored = checkpoints.restore(incompressible(0))
    assert step == steps[-1]
    np.testing.assert_array_equal(restored["x"], incompressible(step)["x"])


def test_full_disk(tmp_path, capfd):
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        fill_up(tmp_path)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert capfd.readouterr() == ("", "")  # no traceback of Orbax in addition to the exception


def test_file_size_limit(tmp_path):
    """As a full disk, for whom may not mount one: the first checkpoint is there, the next hits the limit."""
    place = saved(tmp_path, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    words = r"File too large.*the last good one is of step 1"
    with pytest.raises(UserError, match=words), opened(tmp_path) as checkpoints:
        checkpoints.restore(state(0))
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
            checkpoints.save(2, state(2), metrics={})
            checkpoints.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name for p in place.iterdir()} == {"1"}


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "checkpoints").write_text("a file")
    with opened(tmp_path) as checkpoints:
        assert checkpoints.restore(state(0)) is None
        with pytest.raises(UserError, match="the last good one is none"):
            checkpoints.save(1, state(1), metrics={})
            checkpoints.close()


KILLED = """
import sys, numpy as np
from pathlib import Path
from jaxgan.run import checkpoints as checkpoints_module
from jaxgan.run.checkpoints import Checkpoints
with Checkpoints(Path(sys.argv[1]), keep=2, best_key="score") as checkpoints:
    x = np.zeros(200_000, np.float32)
    found = checkpoints.restore({"x": x})
    step = 0 if found is None else found[0]
    assert found is None or (found[1]["x"] == step).all()
    print("restored", step, flush=True)
    while True:
        step += 1
        checkpoints.save(step, {"x": x + np.float32(step)}, metrics={})
        print("saved", step, flush=True)
"""


def test_kill_9_while_saving(tmp_path):
    rng = np.random.default_rng(0)
    before = 0
    for _ in range(3):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "checkpoints")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            restored = int(process.stdout.readline().split()[1])
            assert restored >= before
            for _ in range(int(rng.integers(2, 6))):
                step = int(process.stdout.readline().split()[1])
            time.sleep(float(rng.uniform(0, 0.05)))
            process.kill()
        before = step - 1  # the save before the last one that returned was waited for


def test_nothing_is_pickled(tmp_path):
    place = saved(tmp_path, 1)
    files = [p for p in place.rglob("*") if p.is_file()]
    assert files and not any(b"\x80\x04\x95" in p.read_bytes() or p.suffix in (".pkl", ".npy") for p in files)
    about = json.loads((place / "1" / "about" / "metadata").read_text())
    assert about["step"] == 1 and len(about["sha256"]) == 64
