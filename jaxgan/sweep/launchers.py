"""Where the chunks of a sweep are trained: here, on a Ray cluster, or by SLURM. The files are the same.

Tasks write in the sweep's work directory, so all machines have to see it under the same path. They hand
their results to the launching process, which alone writes results.jsonl.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxgan.errors import UserError, sentence
from jaxgan.plan import Planned

Chunk = list[Planned]
Finished = Iterator[tuple[Chunk, list[dict]]]  # a chunk and the result of each of its members


class Launcher(NamedTuple):
    slots: int  # tasks that run at a time; a program's members are cut into at least so many chunks
    run: Callable[[Path, list[Chunk]], Finished]


def find(name: str, ray_address: str) -> Launcher:
    """The launcher 'local', 'ray' or 'slurm'.

    Raises:
      UserError: what it needs is not installed, or not reached.
    """
    return {"local": local, "ray": lambda: ray(ray_address), "slurm": slurm}[name]()


def local() -> Launcher:
    """One chunk after another in this process, each on all of its devices."""
    from jaxgan import members, parallel

    parallel.split_cpu(parallel.cores())

    def run(workdir: Path, chunks: list[Chunk]) -> Finished:
        for number, chunk in enumerate(chunks, 1):
            print(f"chunk {number} of {len(chunks)}: {len(chunk)} members", flush=True)
            yield chunk, members.train(workdir, chunk)

    return Launcher(1, run)


def _task(devices: int, workdir: Path, chunk: Chunk) -> list[dict] | UserError:
    """Trains a chunk in a process of its own, on all accelerators that this sees or so many CPU cores."""
    from jaxgan import members, parallel

    parallel.split_cpu(devices or parallel.cores())
    try:
        return members.train(workdir, chunk)
    except Exception as error:  # an engine would wrap it in errors of its own
        return UserError(sentence(error))


def _results(found: list[dict] | UserError) -> list[dict]:
    if isinstance(found, UserError):
        raise found
    return found


def ray(address: str) -> Launcher:
    """A chunk a task, on one GPU each if the cluster has any, else on one CPU core.

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
        if host:  # Ray itself would try for minutes
            socket.create_connection((host, int(port)), timeout=5).close()
        here = {"env_vars": {"PYTHONPATH": os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])}}
        ray.init(address or "local", runtime_env=here, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"there is no Ray at --ray_address={address or 'local'} ({_line(error)}); start it with "
            f"`ray start --head`, or leave the address out."
        ) from None
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # this process needs no GPU that a task may get
    resources = ray.cluster_resources()
    kind = "GPU" if resources.get("GPU") else "CPU"

    def run(workdir: Path, chunks: list[Chunk]) -> Finished:
        task = ray.remote(_task).options(num_cpus=1, num_gpus=int(kind == "GPU"), max_retries=0)
        pending = {task.remote(1, workdir.absolute(), chunk): chunk for chunk in chunks}
        try:
            while pending:
                (done, *_), _ = ray.wait(list(pending))
                yield pending.pop(done), _results(ray.get(done))
        finally:
            ray.shutdown()

    return Launcher(max(1, int(resources[kind])), run)


def slurm(cluster: str = "slurm") -> Launcher:
    """A chunk a job, on all the devices that a job gets.

    What a job asks for is set with sbatch's own variables, such as SBATCH_PARTITION, SBATCH_ACCOUNT,
    SBATCH_TIMELIMIT and SBATCH_GRES=gpu:1, which sbatch heeds before what is asked for here: a day.

    Args:
      cluster: of submitit: 'slurm', or 'local' for processes on this machine.

    Raises:
      UserError: submitit is not installed, or there is no sbatch.
    """
    try:
        import submitit
    except ImportError:
        raise UserError("--launcher=slurm needs submitit: pip install 'jaxgan[slurm]'.") from None
    if cluster == "slurm" and not shutil.which("sbatch"):
        raise UserError("--launcher=slurm finds no sbatch here; call it on a login node of the cluster.")

    def run(workdir: Path, chunks: list[Chunk]) -> Finished:
        executor = submitit.AutoExecutor(workdir / "slurm", cluster=cluster)
        executor.update_parameters(name="jaxgan", timeout_min=24 * 60)
        with executor.batch():
            jobs = [executor.submit(_task, 0, workdir.absolute(), chunk) for chunk in chunks]
        pending = dict(zip(jobs, chunks, strict=True))
        try:
            for job in submitit.helpers.as_completed(jobs):
                yield pending.pop(job), _results(job.result())
        finally:  # else they would train on, and nobody would take their results
            for job in pending:
                job.cancel(check=False)

    return Launcher(1, run)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
