"""Training on data larger than memory: speed and memory of a step of the 2014 MNIST networks (`data.resident`).

    python -m experiments.streaming [--quick] [--out=runs/streaming]

The images are black, of 28x28 pixels, in a sparse file of numpy.savez, and stay there; 60,000 of them are the resident
data that the speed is compared with. Runs of the two take turns, and the fastest interval between two lines of
metrics.jsonl counts, because other load on the machine can only slow a run down.

Expected: at least .9 of the resident speed, and a peak of less than 3 GiB for a file of 20 GB. Not measured yet: only
the quick version was run, whose 16 steps on two busy cores decide nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from experiments import lab
from jaxgan.errors import UserError
from jaxgan.run.writers import read_metrics

SHAPE = (28, 28, 1)
RESIDENT = 60_000  # images


def write_sparse(path: Path, n: int) -> None:
    """An uncompressed .npz file of n black images whose bytes take no space on the disk (and whose CRC is wrong)."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("train.npy", "w", force_zip64=True) as member:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n, *SHAPE)}
        np.lib.format.write_array_header_1_0(member, header)
        size = n * int(np.prod(SHAPE))
        archive.fp.seek(size - 1, os.SEEK_CUR)  # type: ignore[union-attr]
        archive.fp.write(b"\0")  # type: ignore[union-attr]
        member._file_size += size  # type: ignore[attr-defined]


def train(workdir: Path, archive: Path, resident: bool, steps: int) -> dict[str, float]:
    """The highest speed of a run, in steps per second, and its peak memory in GiB."""
    changes = {
        "data.name": f"npz:{archive}", "data.resident": str(resident).lower(), "train.steps": steps,
        "log.every": max(1, steps // 8), "sample.every": 0, "evaluate.metrics": "()", "checkpoint.every": steps,
    }  # fmt: skip
    command = [sys.executable, "-m", "jaxgan.main", "--config=mnist", f"--workdir={workdir}"]
    process = subprocess.Popen(command + [f"--config.{key}={value}" for key, value in changes.items()])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise UserError(f"the run in {workdir} failed; see its output.")
    speeds = [line["images_per_second"] / 100 for line in read_metrics(workdir)]
    return {"steps_per_second": max(speeds), "peak": usage.ru_maxrss / 2**20}


def main() -> None:
    parser = lab.make_parser("streaming", __doc__, quick=".2 GB and 16 steps, once")
    parser.add_argument("--gigabytes", type=float, help="of the sparse file, in 10^9 bytes")
    parser.add_argument("--steps", type=int, help="of a run")
    parser.add_argument("--rounds", type=int, help="turns")
    flags = lab.parse(parser, gigabytes=(20.0, 0.2), steps=(800, 16), rounds=(3, 1))
    flags.out.mkdir(parents=True, exist_ok=True)
    sizes = {"resident": RESIDENT, "streamed": int(flags.gigabytes * 1e9 / np.prod(SHAPE))}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in sizes}
    for number in range(flags.rounds):
        for name, n in sizes.items():
            archive = flags.out / f"{name}.npz"
            if not archive.exists() and name == "streamed":
                write_sparse(archive, n)
            elif not archive.exists():
                np.savez(archive, train=np.zeros((n, *SHAPE), np.uint8))
            setting = {"run": name, "images": n, "steps": flags.steps, "round": number}
            workdir = flags.out / f"{name}_{n}_{flags.steps}_{number}"
            compute = partial(train, workdir, archive, name == "resident", flags.steps)
            runs[name].append(lab.cached(flags.out, setting, compute))
    speed = {name: max(run["steps_per_second"] for run in found) for name, found in runs.items()}
    peak = {name: max(run["peak"] for run in found) for name, found in runs.items()}
    ratio = speed["streamed"] / speed["resident"]
    print(f"steps per second {speed}, ratio {ratio:.3f}; peak memory in GiB {peak}")
    verdicts = {"at least .9 of the resident speed": ratio >= 0.9, "a peak below 3 GiB": peak["streamed"] < 3}
    lab.finish(flags.out, {"runs": runs, "speed": speed, "ratio": ratio, "peak": peak}, {}, verdicts)


if __name__ == "__main__":
    lab.run(main)
