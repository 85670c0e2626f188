"""Fault injection: runs survive kills, full disks, damaged checkpoints and lost hosts.

    python -m experiments.faults [--tries=50] [--out=runs/faults]

Small runs of `python -m jaxgan.main` on digits, each in its own process: a line of metrics every 5 steps, a checkpoint
every 10, an evaluation every 20. A fault is injected into a run, the same command is repeated, and the finished run is
compared, bit for bit, with an undisturbed one: every array of the last checkpoint, every line of metrics.jsonl (except
the two timings; none missing, duplicated or torn), evaluation.json and the sample images. A run survives if the fault
ended it as specified (the exit code, a one-line reason, no traceback) and the repeated command finished it. Full and
read-only disks require permission to mount a tmpfs. Programs are compiled once for all tries
(JAX_COMPILATION_CACHE_DIR), so that a start takes only seconds.

Expected: all runs survive, 0 steps lost beyond the last checkpoint, 0 differences.

Measured on 2 CPU cores (AMD EPYC, busy with other work), 2026-11-23, in 20 minutes: 100 of 100 runs survived, 0 steps
lost, 0 differences. Of 50 kills, 12 were in the middle of a checkpoint and 5 during an evaluation. Runs ended within
2.1 s of a signal, and within 17.6 s of the death of another process. The table is in the README.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxgan
from experiments import lab
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION
from jaxgan.files import write_atomically
from jaxgan.run.checkpoints import Checkpoints
from jaxgan.run.writers import read_metrics

ROOT = Path(__file__).parents[1]
TINY = {
    "prior.size": 8,
    "generator.hidden": (32,),
    "generator.activations": ("relu",),
    "generator.irange": 0.2,
    "discriminator.hidden": (16, 16),
    "discriminator.irange": 0.1,
    "train.batch_size": 100,
    "train.d_steps": 20,
    "train.steps": 200,
    "log.every": 5,
    "checkpoint.every": 10,
    "evaluate.every": 20,
    "evaluate.samples": 30_000,
    "sample.every": 100,
    "sample.rows": 2,
}
# Overflows at step 75, unless the random numbers are different from step 50 on.
DIVERGING = {
    "seed": 1,
    "train.batch_size": 50,
    "train.d_steps": 10,
    "generator.output": "linear",
    "optimizer.generator.learning_rate": 0.4,
    "optimizer.discriminator.learning_rate": 0.4,
    "checkpoint.every": 50,
    "evaluate.every": 0,
}
KILLS = 5  # at most, per run, so that kills are spread over a run
CLOCK = ("images_per_second", "evaluation_seconds")
TIMEOUT = 300  # seconds after which a process that has not ended is killed
SECONDS_TO_SAVE = 10  # after a signal
SECONDS_ALONE = 60  # after the death of another process of the run


class Try(NamedTuple):
    survived: bool
    lost: int  # steps between the newest intact checkpoint and where the run resumed
    differences: int
    what: str = ""  # which variant of the fault
    seconds: float = 0.0  # until the run ended, if that matters


class Called(NamedTuple):
    codes: list[int]  # exit codes of the processes
    output: str  # their stdout and stderr


class Run:
    """A work directory and its training command, in one process or several."""

    def __init__(self, workdir: Path, *, out: Path, changes: dict[str, Any], processes: int = 1) -> None:
        self.workdir, self._out, self._processes = workdir, out, processes
        self._changes = TINY | {"train.on_divergence": "stop"} | changes
        self._logs: list[Path] = []

    def start(self) -> list[subprocess.Popen]:
        changes = self._changes
        if self._processes > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                coordinator = f"127.0.0.1:{free.getsockname()[1]}"
            changes = changes | {"distributed.enabled": True, "distributed.coordinator": coordinator}
            changes |= {"distributed.processes": self._processes}
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={self._processes}",
            "JAX_COMPILATION_CACHE_DIR": str(self._out / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        (self._out / "logs").mkdir(parents=True, exist_ok=True)
        self._logs, processes = [], []
        for i in range(self._processes):
            own_changes = changes | ({"distributed.process": i} if self._processes > 1 else {})
            command = [
                sys.executable,
                "-m",
                "jaxgan.main",
                "--config=configs/digits_2014.py",
                f"--workdir={self.workdir}",
            ]
            command += [f"--config.{key}={value}" for key, value in own_changes.items()]
            file, log = tempfile.mkstemp(".log", f"{self.workdir.name}-", self._out / "logs")
            self._logs.append(Path(log))
            processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file))
            os.close(file)
        return processes

    def finish(self, processes: list[subprocess.Popen]) -> Called:
        """Waits for all processes; one that hangs is killed and has exit code -9."""
        deadline = time.monotonic() + TIMEOUT
        while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
            time.sleep(0.01)
        for process in processes:
            process.kill()
            process.wait()
        return Called(
            [process.returncode for process in processes],
            "".join(log.read_text(errors="replace") for log in self._logs),
        )

    def discard(self) -> None:
        """Deletes a run that finished before the fault."""
        shutil.rmtree(self.workdir, ignore_errors=True)

    def call(self) -> Called:
        return self.finish(self.start())

    def wait_for_metrics(self, processes: list[subprocess.Popen]) -> bool:
        """Waits until the run writes a new line of metrics; returns False if it ends before."""
        before = set(self.lines())
        while all(process.poll() is None for process in processes):
            if not before.issuperset(self.lines()):
                return True
            time.sleep(0.005)
        return False

    def lines(self) -> list[bytes]:
        """The lines of metrics.jsonl, including `images_per_second`."""
        metrics = self.workdir / "metrics.jsonl"
        return metrics.read_bytes().splitlines() if metrics.exists() else []

    def newest(self) -> int:
        """The step of the newest checkpoint; 0 if there is none."""
        with Checkpoints(self.workdir / "checkpoints", keep=1, best_key=SELECTION) as checkpoints:
            return max(checkpoints.steps(), default=0)


def lost(newest: int, output: str) -> int:
    """The number of steps before `newest` that a call repeated; 0 if it ended before resuming."""
    match = re.search(r"^(resuming from )?step (\d+)", output, re.MULTILINE)
    return 0 if match is None else newest - int(match[2]) if match[1] else newest


def exited_with_error(called: Called, *words: str) -> bool:
    """Whether all processes ended with exit code 2 and one line that contains these words."""
    errors = [line for line in called.output.splitlines() if line.startswith("error: ")]
    one_line_each = len(errors) == len(called.codes) and all(word in line for word in words for line in errors)
    return one_line_each and set(called.codes) == {2} and "Traceback" not in called.output


def contents(workdir: Path) -> dict[str, Any]:
    """The contents of a work directory that a fault must not change, by name."""
    by_name: dict[str, Any] = dict(arrays(workdir))
    lines, records = (workdir / "metrics.jsonl").read_bytes().splitlines(), read_metrics(workdir)
    by_name["lines"] = (len(lines), [record["step"] for record in records])
    for number, record in enumerate(records):
        by_name[f"line {number}"] = {key: value for key, value in record.items() if key not in CLOCK}
    for path in (workdir / "evaluation.json", *(workdir / "samples").glob("*.png")):
        by_name[path.name] = path.read_bytes()
    return by_name


def arrays(workdir: Path) -> dict[str, bytes]:
    """The state of the newest intact checkpoint, by name."""
    leaves = jax.tree_util.tree_leaves_with_path(jaxgan.load(workdir).state)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def differences(a: dict[str, Any], b: dict[str, Any]) -> int:
    return sum(a.get(name) != b.get(name) for name in a.keys() | b.keys())


class Testbed:
    """A folder of runs, a random generator, and undisturbed runs for comparison."""

    def __init__(self, out: Path) -> None:
        self.out = out.absolute()
        self.random = random.Random(0)
        self._undisturbed: dict[str, dict[str, Any]] = {}
        shutil.rmtree(self.out / "fault-runs", ignore_errors=True)

    def run(self, name: str, changes: dict[str, Any] | None = None, processes: int = 1) -> Run:
        return Run(self.out / "fault-runs" / name, out=self.out, changes=changes or {}, processes=processes)

    def undisturbed(self, changes: dict[str, Any] | None = None, processes: int = 1) -> dict[str, Any]:
        """The contents of the undisturbed run."""
        key = repr((changes, processes))
        if key not in self._undisturbed:
            run = self.run(f"undisturbed-{len(self._undisturbed)}", changes, processes)
            called = run.call()
            if any(called.codes):
                raise UserError(f"the undisturbed run failed: {called.output[-500:]}; fix that first.")
            self._undisturbed[key] = contents(run.workdir)
        return self._undisturbed[key]

    def resume(self, run: Run, newest: int, reference: dict[str, Any]) -> tuple[bool, int, int]:
        """Repeats the command until it ends; returns whether it finished, steps lost, differences."""
        called = run.call()
        if any(called.codes):
            return False, lost(newest, called.output), 0
        return True, lost(newest, called.output), differences(contents(run.workdir), reference)

    @contextmanager
    def disk(self, kibibytes: int) -> Iterator[tuple[Path, Callable[[str], None]]]:
        """A tmpfs of this size, and a function that remounts it with other options."""
        mountpoint = self.out / "disk"
        mountpoint.mkdir(parents=True, exist_ok=True)
        mount(f"size={kibibytes}k", mountpoint)
        try:
            yield mountpoint, lambda options: mount(f"remount,{options}", mountpoint)
        finally:
            subprocess.run(["umount", str(mountpoint)], check=True)


def mount(options: str, mountpoint: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(mountpoint)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        raise PermissionError(1, "may not mount a tmpfs", str(mountpoint))


def kill(testbed: Testbed, tries: int) -> Iterator[Try]:
    """`kill -9` at a random moment"""
    reference, left = testbed.undisturbed(), tries
    while left:
        run, ended_well, repeated = testbed.run(f"killed-{left}"), True, 0
        kills: list[float] = []
        while True:
            newest, before, processes = run.newest(), run.lines(), run.start()
            if len(kills) < min(left, KILLS):
                if testbed.random.random() < 0.2:
                    time.sleep(testbed.random.uniform(0, 4))  # while it starts
                elif run.wait_for_metrics(processes):
                    time.sleep(testbed.random.uniform(0, 2))
                processes[0].kill()
            called = run.finish(processes)
            repeated += lost(newest, called.output)
            if called.codes == [0] and not kills:
                run.discard()  # it finished first
                continue
            if called.codes != [-signal.SIGKILL]:
                ended_well = called.codes == [0]
                break
            kills.append(moment(run, before))
        last = Try(ended_well, repeated, differences(contents(run.workdir), reference) if ended_well else 0)
        if not kills:  # it failed on its own
            yield last
            left -= 1
        for number, what in enumerate(kills):
            yield last._replace(what=what) if number == 0 else Try(ended_well, 0, 0, what)
        left -= len(kills)


def moment(run: Run, before: list[bytes]) -> str:
    """What a call was doing when it was killed, inferred from its files; `before`: the lines of metrics before it."""
    if set(run.lines()) <= set(before):
        return "before its first line of metrics"
    if list((run.workdir / "checkpoints").glob("*.orbax-checkpoint-tmp")):
        return "in the middle of a checkpoint"
    # The line of an evaluated step is written after the evaluation, the previous line well before it.
    evaluating = (read_metrics(run.workdir)[-1]["step"] + TINY["log.every"]) % TINY["evaluate.every"] == 0
    return "in an evaluation" if evaluating else "elsewhere"


def interrupt(testbed: Testbed, tries: int) -> Iterator[Try]:
    """SIGTERM or Ctrl-C"""
    reference, left = testbed.undisturbed(), tries
    while left:
        run, number = testbed.run(f"interrupted-{left}"), (signal.SIGTERM, signal.SIGINT)[left % 2]
        processes = run.start()
        run.wait_for_metrics(processes)
        time.sleep(testbed.random.uniform(0, 0.5))
        clock = time.monotonic()
        processes[0].send_signal(number)
        called, newest = run.finish(processes), run.newest()
        seconds = time.monotonic() - clock
        if called.codes == [0]:
            run.discard()  # it finished first
            continue
        message_shown = f"stopped at step {newest} of 200, saved; repeat the command to resume" in called.output
        ended_well = called.codes == [128 + number] and message_shown and seconds < SECONDS_TO_SAVE
        survived, repeated, different = testbed.resume(run, newest, reference)
        yield Try(ended_well and survived, repeated, different, number.name, seconds)
        left -= 1


def fill_disk(testbed: Testbed, tries: int) -> Iterator[Try]:
    """full disk"""
    reference, left = testbed.undisturbed(), tries
    while left:
        with testbed.disk(testbed.random.randrange(20, 2000)) as (disk, remount):
            run = Run(disk / "run", out=testbed.out, changes={"checkpoint.keep": 1000})
            called, newest = run.call(), run.newest()
            if called.codes == [0]:
                continue  # there was enough space
            ended_well = exited_with_error(called, "No space left on device", str(run.workdir))
            remount("size=1g")
            survived, repeated, different = testbed.resume(run, newest, reference)
            yield Try(ended_well and survived, repeated, different)
            left -= 1


def make_read_only(testbed: Testbed, tries: int) -> Iterator[Try]:
    """read-only disk"""
    reference = testbed.undisturbed()
    for _ in range(tries):
        with testbed.disk(2**20) as (disk, remount):
            Run(disk / "run", out=testbed.out, changes={"train.steps": 100}).call()
            run = Run(disk / "run", out=testbed.out, changes={})
            newest = run.newest()
            remount("ro")
            ended_well = exited_with_error(run.call(), "Read-only file system", str(run.workdir))
            remount("rw")
            survived, repeated, different = testbed.resume(run, newest, reference)
            yield Try(ended_well and survived, repeated, different)


def damage_checkpoint(testbed: Testbed, tries: int) -> Iterator[Try]:
    """newest checkpoint damaged"""
    reference, template = testbed.undisturbed(), testbed.run("damaged", {"train.steps": 100})
    template.call()
    older, newest = sorted(int(path.name) for path in (template.workdir / "checkpoints").iterdir())[-2:]
    for number in range(tries):
        run = testbed.run(f"damaged-{number}")
        shutil.copytree(template.workdir, run.workdir)
        directory = run.workdir / "checkpoints" / str(newest)
        files = [path for path in directory.rglob("*") if path.is_file() and path.stat().st_size]
        what = ("a bit flipped", "a file cut short", "half of the files gone")[number % 3]
        if what == "half of the files gone":
            for path in testbed.random.sample(files, len(files) // 2):
                path.unlink()
        else:
            path = testbed.random.choice(files)
            content = bytearray(path.read_bytes())
            offset = testbed.random.randrange(len(content))
            if what == "a bit flipped":
                content[offset] ^= 1 << testbed.random.randrange(8)
            path.write_bytes(content if what == "a bit flipped" else content[:offset])
        called = run.call()
        reported = f"checkpoint {newest} in {directory.parent} is damaged: " in called.output
        ended_well = called.codes == [0]
        different = differences(contents(run.workdir), reference) if ended_well else 0
        # If nothing depends on the changed byte, the checkpoint is intact.
        yield Try(ended_well, lost(older if reported else newest, called.output), different, what)


def start_second_process(testbed: Testbed, tries: int) -> Iterator[Try]:
    """second process on the same work directory"""
    reference = testbed.undisturbed()
    for number in range(tries):
        run = testbed.run(f"second-{number}")
        first = run.start()
        run.wait_for_metrics(first)
        first[0].send_signal(signal.SIGSTOP)  # otherwise it would finish before the second one starts
        other = testbed.run(f"second-{number}").call()
        first[0].send_signal(signal.SIGCONT)
        rejected = exited_with_error(other, f"{run.workdir} is in use by process {first[0].pid}")
        survived = run.finish(first).codes == [0]
        yield Try(rejected and survived, 0, differences(contents(run.workdir), reference) if survived else 0)


def diverge(testbed: Testbed, tries: int) -> Iterator[Try]:
    """divergence, on_divergence=stop"""
    for number in range(tries):
        run = testbed.run(f"diverged-{number}", DIVERGING)
        called, newest = run.call(), run.newest()
        ended_well = exited_with_error(called, f"the last good state is step {newest}; ") and newest > 0
        repeated, saved = run.call(), arrays(run.workdir)
        ended_well &= exited_with_error(repeated, f"the last good state is step {newest}; ")
        reference = testbed.undisturbed(DIVERGING | {"train.steps": newest})
        different = differences(saved, {name: reference[name] for name in saved})
        yield Try(ended_well, lost(newest, repeated.output), different)


def diverge_and_kill(testbed: Testbed, tries: int) -> Iterator[Try]:
    """divergence, on_divergence=restore, and `kill -9` during the run"""
    changes = DIVERGING | {"train.on_divergence": "restore"}
    reference = testbed.undisturbed(changes)
    for number in range(tries):
        run = testbed.run(f"restored-{number}", changes)
        processes = run.start()
        run.wait_for_metrics(processes)
        time.sleep(testbed.random.uniform(0, 2))
        processes[0].kill()
        run.finish(processes)
        yield Try(*testbed.resume(run, run.newest(), reference))


def lose_host(testbed: Testbed, tries: int) -> Iterator[Try]:
    """`kill -9` of one of two hosts"""
    changes = {"train.d_steps": 1}  # they communicate in every step, over loopback
    reference = testbed.undisturbed(changes, processes=2)
    left = tries
    while left:
        run, victim = testbed.run(f"hosts-{left}", changes, processes=2), left % 2
        processes = run.start()
        run.wait_for_metrics(processes)
        time.sleep(testbed.random.uniform(0, 2))
        clock = time.monotonic()
        processes[victim].kill()
        called, newest = run.finish(processes), run.newest()
        seconds = time.monotonic() - clock
        if called.codes[1 - victim] == 0:
            run.discard()  # they finished first
            continue
        alone = Called([called.codes[1 - victim]], called.output)
        ended_well = (
            exited_with_error(alone, "another process of the run ended or cannot be reached")
            and seconds < SECONDS_ALONE
        )
        survived, repeated, different = testbed.resume(run, newest, reference)
        yield Try(ended_well and survived, repeated, different, f"process {victim}", seconds)
        left -= 1


# Each with its number of tries, as a fraction of `--tries`.
FAULTS = {
    kill: 1.0,
    interrupt: 0.2,
    fill_disk: 0.2,
    make_read_only: 0.04,
    damage_checkpoint: 0.3,
    start_second_process: 0.06,
    diverge: 0.02,
    diverge_and_kill: 0.06,
    lose_host: 0.12,
}


def row(fault: Callable, results: list[Try]) -> str:
    """The row of a fault in the table."""
    what = ", ".join(f"{count} {name}" for name, count in Counter(t.what for t in results if t.what).items())
    slowest = max(t.seconds for t in results)
    notes = "; ".join([what] * bool(what) + [f"ended within {slowest:.1f} s"] * (slowest > 0))
    cells = (
        (fault.__doc__ or "") + (f" ({notes})" if notes else ""),
        len(results),
        sum(t.survived for t in results),
        sum(t.lost for t in results),
        sum(t.differences for t in results),
    )
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    parser = lab.make_parser("faults", __doc__)
    parser.add_argument("--tries", type=int, default=50, help="number of kills; other faults are tried less often")
    flags = parser.parse_args()
    testbed = Testbed(flags.out)
    table = [
        "| fault | tries | survived | steps lost beyond the last checkpoint | differences from the undisturbed run |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(table), flush=True)
    failed = 0
    for fault, fraction in FAULTS.items():
        try:
            results = list(fault(testbed, max(1, round(fraction * flags.tries))))
        except PermissionError as error:
            print(f"{fault.__doc__}: skipped ({error.strerror})", file=sys.stderr)
            continue
        failed += sum(not t.survived or t.lost != 0 or t.differences != 0 for t in results)
        table.append(row(fault, results))
        print(table[-1], flush=True)
    write_atomically(flags.out / "faults.md", ("\n".join(table) + "\n").encode())
    return 1 if failed else 0


if __name__ == "__main__":
    lab.run(main)
