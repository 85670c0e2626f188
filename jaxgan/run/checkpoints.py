"""Checkpoints that survive kills, full disks and damaged files: Orbax, and a digest over every byte."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from jaxgan.errors import UserError
from jaxgan.run.quiet import collected, quiet

DELETION_SECONDS = 0.2  # after which a checkpoint that is being deleted is gone


class Checkpoints:
    """The checkpoints of a work directory: the newest ones and the best.

    On disk a checkpoint is a folder named by its step, which Orbax fills under another name and renames
    when it is whole: `state` holds the arrays by name (`generator.params.0.w`), `about` the SHA-256 over
    all of them. Nothing is pickled. Opening and restoring write nothing. In a distributed run every
    process makes the same calls with the same state, and process 0 writes. What Orbax logs beside the exceptions that
    it raises is kept off stderr from `with` to its end.

    Args:
      directory: made when the first checkpoint is saved.
      keep: how many of the newest stay.
      best_key: the metric, larger is better, whose best checkpoint stays too.

    Raises:
      UserError: what `check_name` refuses.
    """

    def __init__(self, directory: Path, *, keep: int, best_key: str) -> None:
        check_name(directory)
        self.directory = Path(directory).absolute()
        self._keep = keep
        self._best_key = best_key
        self.metrics: dict[str, float] = {}  # what the restored checkpoint was saved with
        self.sha256 = ""  # of the restored checkpoint
        self._manager: ocp.CheckpointManager | None = None  # from the first save on
        self._last: int | None = None  # restored or saved last: newer ones are not the past of this run
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
        """The step of the checkpoint with the highest `best_key`; None where no checkpoint has any."""
        return _best({step: self._score(step) for step in self.steps()})

    def save(self, step: int, state: Any, *, metrics: dict[str, float]) -> None:
        """Starts saving `state`, and returns when its arrays may be donated.

        The first call after `restore` moves checkpoints newer than the restored one aside.

        Args:
          step: larger than that of every checkpoint restored or saved before.
          state: a pytree of arrays, replicated over the devices.
          metrics: has a number for `best_key` where it was measured.

        Raises:
          UserError: this checkpoint, or the one before it, could not be written.
        """
        if self._last is not None and step <= self._last:
            raise ValueError(f"step {step} is not after step {self._last}")
        # On CPU these are views: XLA leaves a donated buffer alone for as long as NumPy holds it.
        arrays = jax.device_get(_named(state))
        kept = {name: float(number) for name, number in metrics.items() if math.isfinite(number)}
        about: dict[str, Any] = {"step": step, "metrics": kept}
        about["sha256"] = _digest(about, arrays)
        if self._manager is None:
            self._manager = self._open()
        self._last = step
        with self._failures():
            self._policy.scores[step] = kept.get(self._best_key, -math.inf)
            items = ocp.args.Composite(state=ocp.args.StandardSave(arrays), about=ocp.args.JsonSave(about))
            self._manager.save(step, args=items, force=True)

    def restore(self, like: Any, *, step: int | str | None = None) -> tuple[int, Any] | None:
        """The newest intact checkpoint, or that of `step`; a later `save` continues from it.

        A damaged one (it cannot be read, or its bytes are not those of its digest) is named on stderr
        with the reason, and the next older one is tried. One that another process, which trains, has deleted while it
        was read is no damage: the newest one is read then.

        Args:
          step: None for the newest one; "best" for that of `best_step`.
          like: a pytree of arrays or `jax.ShapeDtypeStruct`s: what the state has to look like.

        Returns:
          Its step and its state (as `like`, of NumPy arrays), or None where there is no checkpoint.

        Raises:
          UserError: there are checkpoints but none is intact, there is none of this step or none with a score, its
            arrays have other names, shapes or dtypes than `like`, or the pending save failed.
        """
        self.close()
        while (tried := self._newest_intact(step)) is None:
            pass
        steps, found, arrays = tried
        _sync_found(found)
        if steps and found < 0:
            raise UserError(
                f"no checkpoint in {self.directory} is intact (tried {', '.join(map(str, steps))}); restore "
                f"one from a backup, or train anew in another --workdir."
            )
        state = self._fit(found, arrays, like) if steps else None
        self._last = found
        return (found, state) if steps else None

    def _newest_intact(self, step: int | str | None) -> tuple[list[int], int, dict[str, np.ndarray]] | None:
        """What `restore` tries, the step of the one that is intact (-1 for none) and its arrays, by name.

        None where checkpoints came or went meanwhile, and one could not be read: there is something newer to try.
        """
        here = self.steps()
        if not here and self.directory.is_dir():  # the only one may have been replaced while they were listed
            time.sleep(DELETION_SECONDS)
            here = self.steps()
        steps = here if step is None else self._only(step, here)
        self._damaged, self.metrics, self.sha256 = set(), {}, ""
        for candidate in reversed(steps):
            why = ""
            with collected():
                try:
                    arrays, self.metrics, self.sha256 = self._read(candidate)
                except Exception as error:  # damaged files make Orbax raise errors of all kinds
                    why = _line(error)
            if not why:
                return steps, candidate, arrays
            time.sleep(DELETION_SECONDS)
            if self.steps() != here:
                return None
            self._damaged.add(candidate)
            print(f"warning: checkpoint {candidate} in {self.directory} is damaged: {why}", file=sys.stderr)
        return steps, -1, {}

    def _only(self, step: int | str, here: list[int]) -> list[int]:
        """The one checkpoint that is asked for."""
        if step == "best":
            best = self.best_step()
            if best is None:
                raise UserError(f"no checkpoint in {self.directory} was evaluated, so none is the best; name a step.")
            return [best]
        if step not in here:
            raise UserError(f"{self.directory} has no checkpoint of step {step}; it has {here or 'none'}.")
        return [int(step)]

    def close(self) -> None:
        """Waits for the pending save and frees its threads.

        Raises:
          UserError: it could not be written.
        """
        if self._manager is not None:
            with self._failures():
                self._manager.close()
            self._manager = None

    def _open(self) -> ocp.CheckpointManager:
        newer = [step for step in self.steps() if self._last is None or step > self._last]
        if newer and self._last is None:
            raise ValueError(f"{self.directory} has checkpoints; call restore before save")
        if jax.process_index() == 0:
            for step in newer:
                self._move_aside(step)
        self._policy = _NewestAndBest(self._keep, {step: self._score(step) for step in self.steps()})
        options = ocp.CheckpointManagerOptions(
            preservation_policy=self._policy,
            cleanup_tmp_directories=True,
            lightweight_initialize=True,  # reading everything, it would stop at a damaged old checkpoint
        )
        with self._failures():
            return ocp.CheckpointManager(self.directory, options=options)

    def _move_aside(self, step: int) -> None:
        why = "damaged" if step in self._damaged else "abandoned"
        place = self.directory / f"{step}.{why}"
        n = 1
        while place.exists():
            n += 1
            place = self.directory / f"{step}.{why}-{n}"
        with self._failures():
            (self.directory / str(step)).rename(place)
        print(f"warning: moved the {why} checkpoint {step} to {place}", file=sys.stderr)

    def _read(self, step: int) -> tuple[dict[str, np.ndarray], dict[str, float], str]:
        """The arrays of a checkpoint, by name, its metrics and its digest; all kinds of errors if it is damaged."""
        place = self.directory / str(step)
        about = dict(ocp.JsonCheckpointHandler().restore(place / "about"))
        arrays = ocp.StandardCheckpointHandler().restore(place / "state", args=ocp.args.StandardRestore())
        digest = about.pop("sha256")
        if about["step"] != step or digest != _digest(about, arrays):
            raise ValueError("its content does not match its SHA-256")
        return arrays, about["metrics"], digest

    def _fit(self, step: int, arrays: dict[str, np.ndarray], like: Any) -> Any:
        """The arrays in the tree `like`."""
        wanted = _named(like)
        names = sorted(wanted.keys() | arrays.keys())
        kinds = [[f"{a[n].dtype}{list(a[n].shape)}" if n in a else "nothing" for a in (arrays, wanted)] for n in names]
        for name, (saved, want) in zip(names, kinds, strict=True):
            if saved != want:
                raise UserError(
                    f"checkpoint {step} in {self.directory} has {saved} for {name} where this configuration "
                    f"has {want}; use the configuration and the package version that saved it."
                )
        return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in wanted])

    def _score(self, step: int) -> float:
        with suppress(Exception):  # a damaged checkpoint has none
            about = ocp.JsonCheckpointHandler().restore(self.directory / str(step) / "about")
            return float(about["metrics"][self._best_key])
        return -math.inf

    @contextmanager
    def _failures(self) -> Iterator[None]:
        """Turns what the disk refuses into one sentence."""
        try:
            yield
        except jax.errors.JaxRuntimeError:  # not the disk: the devices, or another process of the run
            self._manager = None
            raise
        except Exception as error:
            manager, self._manager = self._manager, None
            if manager is not None:
                with suppress(Exception):
                    manager.close()
            if jax.process_index() == 0:  # what it wrote so far only takes room
                for draft in self.directory.glob("*.orbax-checkpoint-tmp*"):
                    shutil.rmtree(draft, ignore_errors=True)
            last = f"of step {self.steps()[-1]}" if self.steps() else "none"
            code = re.search(r"os_error_code='(\d+)'", str(error))  # TensorStore's
            reason = os.strerror(int(code[1])) if code else _line(error)
            raise UserError(
                f"a checkpoint could not be written to {self.directory} ({reason}); the last good one is "
                f"{last}; make room or fix the directory, then repeat the command to resume from there."
            ) from error


def check_name(directory: Path) -> None:
    """Raises UserError where a directory's name is not UTF-8, which TensorStore can neither write nor read."""
    try:
        str(directory.absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(
            f"no checkpoint can be kept in {directory}, whose name is not UTF-8; rename it or choose another --workdir."
        ) from None


class _NewestAndBest:
    """Orbax's preservation policy: the newest `keep` checkpoints, and the one of the highest score."""

    def __init__(self, keep: int, scores: dict[int, float]) -> None:
        self.keep = keep
        self.scores = scores

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        stay = {*steps[-self.keep :], _best({step: self.scores.get(step, -math.inf) for step in steps})}
        return [step in stay for step in steps]


def saved_steps(directory: Path) -> list[int]:
    """The steps that have a checkpoint in `directory`, intact or not, oldest first; [] where there is no directory."""
    if not directory.is_dir():
        return []
    names = [entry.name for entry in directory.iterdir() if entry.is_dir()]
    return sorted(int(name) for name in names if name.isdecimal() and str(int(name)) == name)


def _best(scores: dict[int, float]) -> int | None:
    """The step of the highest score, the newest where several have it; -inf is no score."""
    scored = [(score, step) for step, score in scores.items() if score > -math.inf]
    return max(scored)[1] if scored else None


def _named(tree: Any) -> dict[str, Any]:
    """The leaves by the path to them: {'generator.params.0.w': ...}."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
    if len(named) != len(leaves):
        raise ValueError("two leaves of the state have the same name; use no '.' in keys")
    return named


def _digest(about: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 over `about`, and over the name, dtype, shape and bytes of each array."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(json.dumps([name, array.dtype.name, array.shape]).encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]


def _sync_found(step: int) -> None:
    """Raises UserError where the processes of a distributed run found different checkpoints."""
    if jax.process_count() == 1:
        return
    steps = multihost_utils.process_allgather(np.int32(step)).tolist()
    if len(set(steps)) > 1:
        raise UserError(
            f"the processes found different newest checkpoints (steps {steps}; -1 is none); put --workdir on "
            f"a file system that all hosts share."
        )
