from __future__ import annotations

import errno
import io
import json
import math
import os
import struct
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tensorboardX.proto.event_pb2 import Event, SessionLog

from jaxgan.errors import UserError
from jaxgan.run import writers
from jaxgan.run.writers import MetricWriter, read_metrics


def write(path: Path, *steps: int, resume_step: int = 0) -> bytes:
    path.mkdir(exist_ok=True)
    with MetricWriter(path, resume_step=resume_step) as writer:
        for step in steps:
            writer.write(step, {"value": step / 3, "d_loss": 0.5})
    return (path / "metrics.jsonl").read_bytes()


def events(path: Path) -> list[Event]:
    """All events of a directory, in TensorBoard's order (TFRecord files, checksums left unread)."""
    found = []
    for file in sorted((path / "tensorboard").iterdir()):
        data = file.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + size]))
            data = data[12 + size + 4 :]
    return found


def test_a_line_is_an_object_with_its_step_first(tmp_path):
    assert write(tmp_path, 10, 20) == (
        b'{"step": 10, "value": 3.3333333333333335, "d_loss": 0.5}\n'
        b'{"step": 20, "value": 6.666666666666667, "d_loss": 0.5}\n'
    )
    assert read_metrics(tmp_path) == [{"step": s, "value": s / 3, "d_loss": 0.5} for s in (10, 20)]


def test_numbers_come_back_exactly(tmp_path):
    number = np.float32(0.1)
    with MetricWriter(tmp_path, resume_step=0) as writer:
        writer.write(1, {"a": number, "b": math.pi, "c": 5e-324})
    assert read_metrics(tmp_path) == [{"step": 1, "a": float(number), "b": math.pi, "c": 5e-324}]


def test_nan_and_infinity_are_null(tmp_path):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    with MetricWriter(tmp_path, resume_step=0) as writer:
        writer.write(1, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 1.0})
    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=refuse) == {"step": 1, "a": None, "b": None, "c": None, "d": 1.0}


def test_no_metrics_yet(tmp_path):
    assert read_metrics(tmp_path) == []
    assert write(tmp_path) == b""


@pytest.mark.parametrize("resume_step", [0, 10, 15, 30])
def test_a_resumed_run_leaves_what_an_undisturbed_one_does(tmp_path, resume_step):
    whole = write(tmp_path / "whole", 10, 20, 30, 40)
    write(tmp_path / "a", 10, 20, 30)
    later = [step for step in (10, 20, 30, 40) if step > resume_step]
    assert write(tmp_path / "a", *later, resume_step=resume_step) == whole


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[:-1],  # torn at the newline: nobody says that the line is all
        lambda whole: whole[:-20],
        lambda whole: whole + b'{"step": 40, "val',
        lambda whole: whole + b"\0" * 100,  # a block that never reached the disk
        lambda whole: whole + b"\xff\xfe\n",
        lambda whole: whole + b'[1]\n3\n"x"\n{"value": 1}\n{"step": "30"}\n\n',
        lambda whole: whole + whole.splitlines(keepends=True)[-1],  # doubled
    ],
)
def test_a_torn_or_doubled_line_is_cut_off(tmp_path, damage):
    whole = write(tmp_path / "whole", 10, 20, 30, 40)
    broken = damage(write(tmp_path / "a", 10, 20, 30))
    (tmp_path / "a" / "metrics.jsonl").write_bytes(broken)
    assert {record["step"] for record in read_metrics(tmp_path / "a")} >= {10, 20}
    assert write(tmp_path / "a", 30, 40, resume_step=20) == whole


@given(text=st.binary(max_size=200) | st.text('{}[]":,0123456789step\n\\', max_size=100).map(str.encode))
def test_any_bytes_can_be_read(text):
    for line, record in writers._parse(text):
        assert line.endswith(b"\n") and isinstance(record["step"], int)


def test_an_untouched_file_is_not_rewritten(tmp_path):
    write(tmp_path, 10)
    before = (tmp_path / "metrics.jsonl").stat().st_ino
    write(tmp_path, resume_step=10)
    assert (tmp_path / "metrics.jsonl").stat().st_ino == before


@pytest.mark.parametrize("fits", [0, 7])
def test_a_line_that_does_not_fit_is_cut_off_again(tmp_path, monkeypatch, fits):
    real = os.write

    def full(file, data):
        if not fits or len(data) <= fits:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data[: len(data) - fits])

    with MetricWriter(tmp_path, resume_step=0) as writer:
        writer.write(10, {"value": 1.0})
        with monkeypatch.context() as patch:
            patch.setattr(writers.os, "write", full)
            with pytest.raises(UserError, match=r"metrics\.jsonl could not be written \(No space left on device\)"):
                writer.write(20, {"value": 2.0})
        assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 10, "value": 1.0}\n'
        writer.write(30, {"value": 3.0})
    assert [record["step"] for record in read_metrics(tmp_path)] == [10, 30]


def test_full_disk(tmp_path, capfd):
    """Metrics end with a sentence and whole lines; TensorBoard's end alone does not end the run."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        last = 0
        with pytest.raises(UserError, match="No space left"), MetricWriter(tmp_path, resume_step=0) as writer:
            for last in range(1, 10_000):
                writer.write(last, {"value": 1.0})
        assert [record["step"] for record in read_metrics(tmp_path)] == list(range(1, last))
        assert (tmp_path / "metrics.jsonl").read_bytes().endswith(b"\n")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "no more TensorBoard events (No space left on device)" in err


def test_tensorboard_that_cannot_be_written_does_not_stop_the_run(tmp_path, capsys):
    (tmp_path / "tensorboard").write_text("a file in its place")
    start = time.monotonic()
    with MetricWriter(tmp_path, resume_step=0) as writer:
        for step in range(2000):  # more than the queue holds
            writer._board.add(step, {"value": 1.0})
        writer.write(5, {"value": 1.0})
    assert time.monotonic() - start < 4
    assert [record["step"] for record in read_metrics(tmp_path)] == [5]
    assert "no more TensorBoard events (File exists)" in capsys.readouterr().err


def test_metrics_that_cannot_be_written(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match=r"metrics\.jsonl could not be written"):
        MetricWriter(tmp_path, resume_step=0)


@pytest.mark.parametrize("clock", [1.7e18, 1.8e18 - 1, 1.8e18, 3e9])
def test_a_clock_that_was_set_back_hides_no_steps(tmp_path, monkeypatch, clock):
    """The events of a later start are read later, by their names."""
    monkeypatch.setattr(writers.time, "time_ns", lambda: int(1.8e18))
    write(tmp_path, 1, 2)
    monkeypatch.setattr(writers.time, "time_ns", lambda: int(clock))
    write(tmp_path, 3, resume_step=2)
    write(tmp_path, 4, resume_step=3)
    assert [event.step for event in events(tmp_path) if event.summary.value and event.step] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 3


def test_a_clock_that_begins_at_1970(tmp_path, monkeypatch):
    monkeypatch.setattr(writers.time, "time_ns", lambda: int(3e9))
    write(tmp_path, 1)
    monkeypatch.setattr(writers.time, "time_ns", lambda: int(1.8e18))
    write(tmp_path, 2, resume_step=1)
    assert [event.step for event in events(tmp_path) if event.summary.value] == [1, 1, 2, 2]


def test_tensorboard_has_scalars_and_pictures_and_hides_steps_done_twice(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    with MetricWriter(tmp_path, resume_step=0) as writer:
        writer.write(10, {"value": -1.5, "g_loss": math.nan})
        writer.images(10, "samples", grey)
    write(tmp_path, 20, resume_step=10)
    first, start, value, loss, picture, second, again, *rest = events(tmp_path)
    assert first.file_version == second.file_version == "brain.Event:2"
    assert (start.step, start.session_log.status) == (1, SessionLog.START)
    assert (again.step, again.session_log.status) == (11, SessionLog.START)
    assert (value.step, value.summary.value[0].tag, value.summary.value[0].simple_value) == (
        10,
        "value",
        -1.5,
    )
    assert math.isnan(loss.summary.value[0].simple_value)
    image = Image.open(io.BytesIO(picture.summary.value[0].image.encoded_image_string))
    np.testing.assert_array_equal(np.asarray(image), grey[..., 0])
    assert [(event.step, event.summary.value[0].tag) for event in rest] == [(20, "value"), (20, "d_loss")]


def test_writing_takes_no_time_from_training(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    with MetricWriter(tmp_path, resume_step=0) as writer:
        start = time.perf_counter()
        for step in range(3):
            writer.images(step, "samples", picture)
        assert time.perf_counter() - start < 0.2  # encoding them takes longer
