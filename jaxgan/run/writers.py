"""Metric logging: metrics.jsonl and TensorBoard event files."""

from __future__ import annotations

import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from jaxgan.errors import UserError
from jaxgan.files import write_atomically
from jaxgan.run.grids import png

METRICS = "metrics.jsonl"
TENSORBOARD = "tensorboard"


class MetricWriter:
    """Appends to metrics.jsonl and to TensorBoard's event files.

    metrics.jsonl is the authoritative record: lines are written atomically, are on disk when `write` returns, and the
    run stops if the disk is full. TensorBoard's events are optional: on a slow or full disk the run continues without.

    Write all lines up to a step before saving the checkpoint of that step: a run resumed from it rewrites only the
    later ones.

    Args:
      workdir: gets metrics.jsonl and tensorboard/.
      resume_step: the step the run resumes from. Removes lines of later steps, incomplete lines, and all but the last
        line per step.

    Raises:
      UserError: metrics.jsonl cannot be read or written.
    """

    def __init__(self, workdir: Path, *, resume_step: int) -> None:
        self._path = workdir / METRICS
        try:
            content = self._path.read_bytes() if self._path.exists() else b""
            lines = {record["step"]: line for line, record in _parse(content) if record["step"] <= resume_step}
            if b"".join(lines.values()) != content:
                write_atomically(self._path, b"".join(lines.values()))
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise self._failed(error) from error
        self._board = _TensorBoardThread(workdir / TENSORBOARD, resume_step)

    def __enter__(self) -> MetricWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._board.close()
        os.close(self._file)

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Appends {"step": step, **metrics}; NaN and infinity, which JSON cannot represent, become null.

        Raises:
          UserError: the disk is full; the file is unchanged.
        """
        finite = {name: float(number) if math.isfinite(number) else None for name, number in metrics.items()}
        line = json.dumps({"step": step, **finite}).encode() + b"\n"
        size = os.fstat(self._file).st_size
        try:
            while line:
                line = line[os.write(self._file, line) :]
            os.fsync(self._file)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, size)
            raise self._failed(error) from error
        self._board.add(step, metrics)

    def images(self, step: int, name: str, grid: np.ndarray) -> None:
        """Logs a picture [H, W, 1 or 3] uint8 to TensorBoard."""
        self._board.add(step, {name: grid})

    def _failed(self, error: OSError) -> UserError:
        return UserError(
            f"{self._path} could not be written ({error.strerror}); free some space or fix the directory, then "
            f"repeat the command to resume from the last checkpoint."
        )


def write_finished_run(workdir: Path, lines: list[dict]) -> None:
    """Writes metrics.jsonl and TensorBoard's events of a finished run.

    Args:
      lines: with "step", oldest first, and None for values that are not finite.

    Raises:
      UserError: metrics.jsonl cannot be written.
    """
    write_atomically(workdir / METRICS, "".join(json.dumps(line) + "\n" for line in lines).encode())
    board = _TensorBoardThread(workdir / TENSORBOARD, 0)
    for line in lines:
        board.add(line["step"], {name: x for name, x in line.items() if name != "step" and x is not None})
    board.close()


def read_metrics(workdir: Path) -> list[dict]:
    """The complete lines of metrics.jsonl, oldest first; [] if the file does not exist."""
    path = workdir / METRICS
    return [record for _, record in _parse(path.read_bytes())] if path.exists() else []


def _parse(text: bytes) -> list[tuple[bytes, dict]]:
    """The complete lines that are JSON objects with a step, each with its parsed record."""
    records = []
    for line in text.splitlines(keepends=True):
        with suppress(ValueError):
            record = json.loads(line)
            if line.endswith(b"\n") and isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append((line, record))
    return records


def _next_number(directory: Path) -> int:
    """The time in ns, or, if the clock was set back, a number above those of all existing event files."""
    names = (path.name.removeprefix("events.out.tfevents.") for path in directory.glob("events.out.tfevents.*"))
    return max([time.time_ns(), *(int(name) + 1 for name in names if name.isdecimal())])


class _TensorBoardThread:
    """Writes TensorBoard events in a thread that neither delays nor fails the run."""

    def __init__(self, directory: Path, resume_step: int) -> None:
        self._pending: queue.Queue[tuple[float, int, Mapping] | None] = queue.Queue(maxsize=1000)
        self._thread = threading.Thread(
            target=self._run, args=(directory, resume_step), name="tensorboard", daemon=True
        )
        self._thread.start()

    def add(self, step: int, values: Mapping[str, float | np.ndarray]) -> None:
        with suppress(queue.Full):  # the disk is too slow: drop this point
            self._pending.put_nowait((time.time(), step, values))

    def close(self) -> None:
        with suppress(queue.Full):
            self._pending.put(None, timeout=20 if self._thread.is_alive() else 0.001)
        self._thread.join(timeout=20)

    def _run(self, directory: Path, resume_step: int) -> None:
        # tensorboardX imports PyTorch if installed, which takes seconds: import it in this thread.
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.proto.summary_pb2 import Summary
        from tensorboardX.record_writer import RecordWriter

        def events():
            yield Event(wall_time=time.time(), file_version="brain.Event:2")
            # Hides events of later steps from before the run was resumed.
            start = SessionLog(status=SessionLog.START)
            yield Event(wall_time=time.time(), step=resume_step + 1, session_log=start)
            while (item := self._pending.get()) is not None:
                wall_time, step, values = item
                for name, value in values.items():
                    if isinstance(value, np.ndarray):
                        height, width, channels = value.shape
                        image = Summary.Image(height=height, width=width, colorspace=channels)
                        image.encoded_image_string = png(value)
                        logged = Summary.Value(tag=name, image=image)
                    else:
                        logged = Summary.Value(tag=name, simple_value=value)
                    yield Event(wall_time=wall_time, step=step, summary=Summary(value=[logged]))

        try:
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / f"events.out.tfevents.{_next_number(directory):019d}"  # read in name order
            flushed = -math.inf
            with closing(RecordWriter(str(path))) as records:
                for event in events():
                    records.write(event.SerializeToString())
                    if time.monotonic() - flushed > 1:
                        records.flush()
                        flushed = time.monotonic()
        except OSError as error:
            print(f"warning: no more TensorBoard events ({error.strerror}); the run continues", file=sys.stderr)
