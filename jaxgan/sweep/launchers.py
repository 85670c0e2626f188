"""Trains the chunks of a sweep in this process, on a Ray cluster, or with SLURM; the resulting files are the same.

Tasks write to the sweep's work directory, which must have the same path on all machines. They return their results to
the launching process, which alone writes results.jsonl. A failed task does not stop the others.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxgan.errors import UserError, describe
from jaxgan.run.pacer import catch_signals
from jaxgan.sweep.plan import Trial

Chunk = list[Trial]
Outcome = list[dict] | UserError  # the result of each member, or why there is none
Outcomes = Iterator[tuple[Chunk, Outcome]]

POLL_SECONDS = 0.5  # interval for checking tasks and signals
RESUBMISSIONS = 2  # of a chunk whose Ray task is lost with its process or its node
REQUEUE_SIGNAL = signal.SIGUSR2  # of submitit, some time before a job is ended
SAVING_SECONDS = 30.0  # time for cancelled tasks to save their checkpoints


class Launcher(NamedTuple):
    slots: int  # concurrent tasks; the members of a program are split into at least this many chunks
    # (the sweep's work directory, chunks, signals received) -> outcomes; raises chunk.Stopped after a signal
    run: Callable[[Path, list[Chunk], list[int]], Outcomes]


def get_launcher(name: str, ray_address: str) -> Launcher:
    """The launcher 'local', 'ray' or 'slurm'.

    Raises:
      UserError: its package is not installed, or its cluster cannot be reached.
    """
    return {"local": local, "ray": lambda: ray(ray_address), "slurm": slurm}[name]()


def local() -> Launcher:
    """One chunk after another in this process, each on all of its devices."""
    from jaxgan.sweep import devices

    devices.use_threads(0)

    def run(workdir: Path, chunks: list[Chunk], signals: list[int]) -> Outcomes:
        for number, chunk in enumerate(chunks, 1):
            print(f"chunk {number} of {len(chunks)}: {len(chunk)} members", flush=True)
            yield chunk, _train(workdir, chunk, signals)

    return Launcher(1, run)


def _train(workdir: Path, chunk: Chunk, signals: list[int]) -> Outcome:
    """Trains a chunk in this process; errors are returned as UserError, so that other chunks can continue."""
    from jaxgan.sweep.chunk import Stopped, train

    try:
        return train(workdir, chunk, signals)
    except Stopped:
        raise
    except Exception as error:
        return UserError(describe(error))


def _task(threads: int, workdir: Path, chunk: Chunk, requeue: tuple[int, ...] = ()) -> Outcome:
    """Trains a chunk in a separate process, on all visible accelerators or `threads` CPU cores (0 = all).

    Args:
      requeue: signals after which another process resumes the chunk; their own handlers are called once it is saved.
    """
    from jaxgan.sweep import devices
    from jaxgan.sweep.chunk import Stopped

    devices.use_threads(threads)
    with catch_signals(*requeue) as signals:
        try:
            return _train(workdir, chunk, signals)
        except Stopped as stop:
            number, message = stop.number, f"{stop}."
    if number in requeue:
        signal.raise_signal(number)
    return UserError(message)


class _SlurmTask:
    """A task in a job that is requeued when SLURM preempts it or its time is nearly up, and resumes where it was."""

    def __call__(self, workdir: Path, chunk: Chunk) -> Outcome:
        return _task(0, workdir, chunk, requeue=(REQUEUE_SIGNAL,))  # submitit's handler requeues the job and exits

    def checkpoint(self, workdir: Path, chunk: Chunk):
        """The task of a requeued job, a hook of submitit: this task again, which resumes from its checkpoints."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, workdir, chunk)


def ray(address: str) -> Launcher:
    """One chunk per task, on one GPU each if the cluster has any, otherwise on one CPU core.

    If a task is lost with its process or node, another one resumes its chunk from the last checkpoint, once the lock of
    the chunk's directory shows that the first one is dead.

    Args:
      address: of the cluster, such as 'auto' or HOST:PORT; '' starts Ray on this machine.

    Raises:
      UserError: Ray is not installed, or there is no cluster at this address.
    """
    try:
        import ray
    except ImportError:
        raise UserError("--launcher=ray needs Ray: pip install 'jaxgan[ray]'.") from None
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host:  # Ray itself would retry for minutes
            socket.create_connection((host, int(port)), timeout=5).close()
        runtime_env = {"env_vars": {"PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}}
        ray.init(address or "local", runtime_env=runtime_env, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"there is no Ray at --ray_address={address or 'local'} ({_line(error)}); start it with "
            f"`ray start --head`, or leave the address out."
        ) from None
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # leave GPU memory to the tasks
    resources = ray.cluster_resources()
    kind = "GPU" if resources.get("GPU") else "CPU"

    def run(workdir: Path, chunks: list[Chunk], signals: list[int]) -> Outcomes:
        task = ray.remote(_task).options(num_cpus=1, num_gpus=int(kind == "GPU"), max_retries=0)
        pending = {task.remote(1, workdir.absolute(), chunk): (chunk, RESUBMISSIONS) for chunk in chunks}
        try:
            while pending:
                _check(signals)
                done, _ = ray.wait(list(pending), timeout=POLL_SECONDS)
                for reference in done:
                    chunk, resubmissions = pending.pop(reference)
                    try:
                        outcome = ray.get(reference)
                    except ray.exceptions.RayError as error:  # its process or node was lost: `_task` raises nothing
                        outcome = _died(error)
                        if resubmissions:
                            print(f"{outcome}; its chunk is resumed by another one", file=sys.stderr)
                            pending[task.remote(1, workdir.absolute(), chunk)] = chunk, resubmissions - 1
                            continue
                    yield chunk, outcome
        finally:
            for reference in pending:
                ray.cancel(reference)
            if pending:
                ray.wait(list(pending), num_returns=len(pending), timeout=SAVING_SECONDS)
            ray.shutdown()

    return Launcher(max(1, int(resources[kind])), run)


def slurm(cluster: str = "slurm") -> Launcher:
    """One chunk per job, on all devices of the job.

    Resources are set with sbatch's own variables, such as SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT and
    SBATCH_GRES=gpu:1, which override the default time limit of one day. A job that is preempted, or that reaches its
    time limit (at most three times), is requeued and resumes from its last step.

    Args:
      cluster: submitit's cluster: 'slurm', or 'local' for processes on this machine.

    Raises:
      UserError: submitit is not installed, or there is no sbatch.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("--launcher=slurm needs submitit: pip install 'jaxgan[slurm]'.") from None
    if cluster == "slurm" and not shutil.which("sbatch"):
        raise UserError("--launcher=slurm finds no sbatch here; run it on a login node of the cluster.")

    def run(workdir: Path, chunks: list[Chunk], signals: list[int]) -> Outcomes:
        executor = submitit.AutoExecutor(workdir / "slurm", cluster=cluster)
        executor.update_parameters(name="jaxgan", timeout_min=24 * 60)
        with executor.batch():
            jobs = [executor.submit(_SlurmTask(), workdir.absolute(), chunk) for chunk in chunks]
        pending = dict(zip(jobs, chunks, strict=True))
        try:
            while pending:
                _check(signals)
                for job in [job for job in pending if job.done()]:
                    try:
                        outcome = job.result()
                    except Exception as error:  # the job was killed, or could not be requeued
                        outcome = _died(error)
                    yield pending.pop(job), outcome
                time.sleep(POLL_SECONDS)
        finally:  # cancel running jobs: their results would be lost
            for job in pending:
                job.cancel(check=False)

    return Launcher(1, run)


def _check(signals: list[int]) -> None:
    """Raises Stopped after a signal; tasks are then cancelled and save their checkpoints."""
    from jaxgan.sweep.chunk import Stopped

    if signals:
        raise Stopped(signals[0])


def _died(error: Exception) -> UserError:
    return UserError(f"its task died ({_line(error)}); see the logs of the launcher.")


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
