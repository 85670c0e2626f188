"""Checkpoints that survive kills, full disks and damaged files: Orbax plus a SHA-256 of the content."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxgan.errors import UserError
from jaxgan.run.quiet import collect_garbage, quiet

DELETION_SECONDS = 0.2  # upper bound on the time to delete a checkpoint


class Checkpoints:
    """The checkpoints of a work directory: the newest ones and the best.

    On disk a checkpoint is a folder named by its step, which Orbax writes under a temporary name and renames when
    complete: `state` holds the arrays by name (`generator.params.0.w`), `about` the metrics and the SHA-256 of
    everything. Nothing is pickled. Opening and restoring write nothing. In a distributed run every process makes the
    same calls with the same state, and process 0 writes. Within the `with` block, Orbax's redundant log output is
    suppressed.

    Args:
      directory: created when the first checkpoint is saved.
      keep: number of newest checkpoints to keep.
      best_key: the metric, larger is better, whose best checkpoint is kept too.

    Raises:
      UserError: see `check_name`.
    """

    def __init__(self, directory: Path, *, keep: int, best_key: str) -> None:
        check_name(directory)
        self.directory = Path(directory).absolute()
        self._keep = keep
        self._best_key = best_key
        self.metrics: dict[str, float] = {}  # of the restored checkpoint
        self.sha256 = ""  # of the restored checkpoint
        self._manager: ocp.CheckpointManager | None = None  # created by the first save
        self._pending: Future[None] | None = None  # the save in progress
        self._last: int | None = None  # last step restored or saved; newer checkpoints belong to an abandoned branch
        self._damaged: set[int] = set()
        self._quiet = quiet()

    def __enter__(self) -> Checkpoints:
        self._quiet.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            self._quiet.__exit__(None, None, None)

    def steps(self) -> list[int]:
        """The steps that have a checkpoint on disk, intact or not, oldest first."""
        return saved_steps(self.directory)

    def best_step(self) -> int | None:
        """The step of the checkpoint with the highest `best_key`; None if no checkpoint has one."""
        return _best({step: self._score(step) for step in self.steps()})

    def save(self, step: int, state: Any, *, metrics: dict[str, float]) -> None:
        """Starts saving `state`, after the previous save has ended; returns when its arrays may be donated.

        A thread fetches, hashes and writes them: nothing is certain to be on disk before `close` has returned. The
        first call after `restore` renames checkpoints newer than the restored one.

        Args:
          step: larger than that of every checkpoint restored or saved before.
          state: a pytree of arrays, replicated over the devices.
          metrics: includes `best_key` if it was measured.

        Raises:
          UserError: this checkpoint, or the previous one, could not be written.
        """
        if self._last is not None and step <= self._last:
            raise ValueError(f"step {step} is not after step {self._last}")
        self._wait()
        arrays = _snapshot(_flatten_with_names(state))
        finite = {name: float(number) for name, number in metrics.items() if math.isfinite(number)}
        if self._manager is None:
            self._manager = self._open()
        self._last = step
        self._policy.scores[step] = finite.get(self._best_key, -math.inf)
        write = partial(_write, self._manager, {"step": step, "metrics": finite}, arrays)
        if jax.process_count() > 1:  # the processes synchronize while they write, which is for the main thread
            with self._failures():
                write()
            return
        self._pending = Future()
        # Not a daemon: the interpreter waits for it before it exits.
        threading.Thread(target=_fulfill, args=(self._pending, write), name="checkpoint").start()

    def _wait(self) -> None:
        """Waits for the save in progress, if any; raises UserError if it could not be written."""
        pending, self._pending = self._pending, None
        if pending is not None:
            with self._failures():
                pending.result()

    def restore(self, target: Any, *, step: int | str | None = None) -> tuple[int, Any] | None:
        """Restores the newest intact checkpoint, or that of `step`; a later `save` continues from it.

        A damaged checkpoint (unreadable or with a wrong digest) is reported on stderr, and the next older one is tried.
        If a training process deletes a checkpoint while it is read, the newest one is read instead.

        Args:
          target: a pytree of arrays or `jax.ShapeDtypeStruct`s with the structure, shapes and dtypes of the state.
          step: None for the newest one; "best" for that of `best_step`.

        Returns:
          Its step and its state (like `target`, of NumPy arrays), or None if there is no checkpoint.

        Raises:
          UserError: there are checkpoints but none is intact, there is none of this step or none with a score, its
            arrays have other names, shapes or dtypes than `target`, or the pending save failed.
        """
        self.close()
        while (attempt := self._newest_intact(step)) is None:
            pass
        steps, restored, arrays = attempt
        _check_same_on_all_hosts(restored)
        if steps and restored < 0:
            raise UserError(
                f"no checkpoint in {self.directory} is intact (tried {', '.join(map(str, steps))}); restore "
                f"one from a backup, or train again in another --workdir."
            )
        state = self._restore_tree(restored, arrays, target) if steps else None
        self._last = restored
        return (restored, state) if steps else None

    def _newest_intact(self, step: int | str | None) -> tuple[list[int], int, dict[str, np.ndarray]] | None:
        """The candidate steps of `restore`, the step of the intact one (-1 for none) and its arrays by name.

        None if one could not be read because the checkpoints changed meanwhile: try again.
        """
        existing = self.steps()
        if not existing and self.directory.is_dir():  # the only one may have been replaced while they were listed
            time.sleep(DELETION_SECONDS)
            existing = self.steps()
        steps = existing if step is None else self._select(step, existing)
        self._damaged, self.metrics, self.sha256 = set(), {}, ""
        for candidate in reversed(steps):
            reason = ""
            with collect_garbage():
                try:
                    arrays, self.metrics, self.sha256 = self._read(candidate)
                except Exception as error:  # damaged files make Orbax raise all kinds of errors
                    reason = _first_line(error)
            if not reason:
                return steps, candidate, arrays
            time.sleep(DELETION_SECONDS)
            if self.steps() != existing:
                return None
            self._damaged.add(candidate)
            print(f"warning: checkpoint {candidate} in {self.directory} is damaged: {reason}", file=sys.stderr)
        return steps, -1, {}

    def _select(self, step: int | str, existing: list[int]) -> list[int]:
        """The requested step, checked to exist, as a list."""
        if step == "best":
            best = self.best_step()
            if best is None:
                raise UserError(f"no checkpoint in {self.directory} was evaluated, so none is the best; name a step.")
            return [best]
        if step not in existing:
            raise UserError(f"{self.directory} has no checkpoint of step {step}; it has {existing or 'none'}.")
        return [int(step)]

    def close(self) -> None:
        """Waits for the pending save and frees its threads.

        Raises:
          UserError: it could not be written.
        """
        self._wait()
        if self._manager is not None:
            with self._failures():
                self._manager.close()
            self._manager = None

    def _open(self) -> ocp.CheckpointManager:
        later = [step for step in self.steps() if self._last is None or step > self._last]
        if later and self._last is None:
            raise ValueError(f"{self.directory} has checkpoints; call restore before save")
        if jax.process_index() == 0:
            for step in later:
                self._move_aside(step)
        self._policy = _NewestAndBest(self._keep, {step: self._score(step) for step in self.steps()})
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy,
            cleanup_tmp_directories=True,
            lightweight_initialize=True,  # otherwise a damaged old checkpoint would raise here
        )
        with self._failures():
            return ocp.CheckpointManager(self.directory, options=options)

    def _move_aside(self, step: int) -> None:
        suffix = "damaged" if step in self._damaged else "abandoned"
        path = self.directory / f"{step}.{suffix}"
        n = 1
        while path.exists():
            n += 1
            path = self.directory / f"{step}.{suffix}-{n}"
        with self._failures():
            (self.directory / str(step)).rename(path)
        print(f"warning: moved the {suffix} checkpoint {step} to {path}", file=sys.stderr)

    def _read(self, step: int) -> tuple[dict[str, np.ndarray], dict[str, float], str]:
        """The arrays of a checkpoint by name, its metrics and its digest; raises any error if it is damaged."""
        path = self.directory / str(step)
        about = dict(ocp.JsonCheckpointHandler().restore(path / "about"))
        arrays = ocp.StandardCheckpointHandler().restore(path / "state", args=ocp.args.StandardRestore())
        digest = about.pop("sha256")
        if about["step"] != step or digest != _digest(about, arrays):
            raise ValueError("its content does not match its SHA-256")
        return arrays, about["metrics"], digest

    def _restore_tree(self, step: int, arrays: dict[str, np.ndarray], target: Any) -> Any:
        """The arrays as a tree like `target`."""
        specs = _flatten_with_names(target)
        names = sorted(specs.keys() | arrays.keys())
        kinds = [[f"{a[n].dtype}{list(a[n].shape)}" if n in a else "nothing" for a in (arrays, specs)] for n in names]
        for name, (saved, expected) in zip(names, kinds, strict=True):
            if saved != expected:
                raise UserError(
                    f"checkpoint {step} in {self.directory} has {saved} for {name} where this configuration "
                    f"has {expected}; use the configuration and the package version that saved it."
                )
        return jax.tree.unflatten(jax.tree.structure(target), [arrays[name] for name in specs])

    def _score(self, step: int) -> float:
        with suppress(Exception):  # a damaged checkpoint has none
            about = ocp.JsonCheckpointHandler().restore(self.directory / str(step) / "about")
            return float(about["metrics"][self._best_key])
        return -math.inf

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Converts write errors to UserError."""
        try:
            yield
        except jax.errors.JaxRuntimeError:  # not the disk, but the devices or another process of the run
            self._manager = None
            raise
        except Exception as error:
            manager, self._manager = self._manager, None
            if manager is not None:
                with suppress(Exception):
                    manager.close()
            if jax.process_index() == 0:  # free the space of the incomplete checkpoint
                for temporary in self.directory.glob("*.orbax-checkpoint-tmp*"):
                    shutil.rmtree(temporary, ignore_errors=True)
            last = f"of step {self.steps()[-1]}" if self.steps() else "none"
            code = re.search(r"os_error_code='(\d+)'", str(error))  # TensorStore's
            reason = os.strerror(int(code[1])) if code else _first_line(error)
            raise UserError(
                f"a checkpoint could not be written to {self.directory} ({reason}); the last good one is "
                f"{last}; free some space or fix the directory, then repeat the command to resume from there."
            ) from error


def check_name(directory: Path) -> None:
    """Raises UserError if a directory's name is not UTF-8, which TensorStore can neither write nor read."""
    try:
        str(directory.absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"checkpoints cannot be saved in {directory}: its name is not UTF-8; rename it or use another --workdir."
        ) from None


class _NewestAndBest:
    """Orbax's preservation policy: the newest `keep` checkpoints, and the one of the highest score."""

    def __init__(self, keep: int, scores: dict[int, float]) -> None:
        self.keep = keep
        self.scores = scores

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*steps[-self.keep :], _best({step: self.scores.get(step, -math.inf) for step in steps})}
        return [step in kept for step in steps]


_copies = jax.jit(partial(jax.tree.map, jnp.copy))  # compiled once, for all checkpoints of a state


def _snapshot(arrays: dict[str, Any]) -> dict[str, Any]:
    """Arrays with the same values that stay when these are donated, without waiting for a transfer to the host."""
    if jax.default_backend() != "cpu":
        with suppress(jax.errors.JaxRuntimeError):  # the devices have no room for a second state
            return _copies(arrays)
    # On CPU these are views: XLA does not reuse a donated buffer while NumPy holds it.
    return jax.device_get(arrays)


def _write(manager: ocp.CheckpointManager, about: dict[str, Any], arrays: dict[str, Any]) -> None:
    """Writes a checkpoint of `arrays` and of `about` with the digest of both; returns when it is on disk."""
    arrays = jax.device_get(arrays)
    about = {**about, "sha256": _digest(about, arrays)}
    items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
    manager.save(about["step"], args=items, force=True)
    manager.wait_until_finished()


def _fulfill(future: Future[None], function: Callable[[], None]) -> None:
    """Has the future hold what the function returns or raises."""
    try:
        function()
        future.set_result(None)
    except BaseException as error:
        future.set_exception(error)


def saved_steps(directory: Path) -> list[int]:
    """The steps that have a checkpoint in `directory`, intact or not, oldest first; [] if it does not exist."""
    if not directory.is_dir():
        return []
    names = [entry.name for entry in directory.iterdir() if entry.is_dir()]
    return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)


def _best(scores: dict[int, float]) -> int | None:
    """The step with the highest score, the newest one in case of ties; -inf means no score."""
    scored = [(score, step) for step, score in scores.items() if score > -math.inf]
    return max(scored)[1] if scored else None


def _flatten_with_names(tree: Any) -> dict[str, Any]:
    """The leaves by their path: {'generator.params.0.w': ...}."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the state have the same name; use no '.' in keys")
    return named


def _digest(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of `about` and of the name, dtype, shape and bytes of each array."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]


def _check_same_on_all_hosts(step: int) -> None:
    """Raises UserError if the processes of a distributed run found different checkpoints."""
    if jax.process_count() == 1:
        return
    steps = multihost_utils.process_allgather(np.int32(step)).tolist()
    if len(set(steps)) > 1:
        raise UserError(
            f"the processes found different newest checkpoints (steps {steps}; -1 is none); put --workdir on "
            f"a file system that all hosts share."
        )
