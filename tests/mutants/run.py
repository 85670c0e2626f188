"""Applies every mutant, one at a time, to a copy of the tree and runs its tests there; prints which were noticed.

    nice python -m tests.mutants [--only PATTERN] [--jobs N]

Exit code 1 if a mutant survives that is not explained, if one that is explained is noticed after all, or if a text no
longer occurs (stale). Processes are forked from one that has imported JAX, and share a cache of compiled programs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from . import ROOT, Mutant, table

LIMIT = 300  # seconds of processor time for the tests of one mutant; that they no longer end is noticed too
PRELOADED = ["jax", "flax.linen", "optax", "orbax.checkpoint", "scipy.stats", "ml_collections", "pytest"]
PYTEST = 64  # added to its exit code: Python itself ends with 1
NOTICED, SURVIVED, STALE, BROKEN = "noticed", "SURVIVED", "STALE", "BROKEN"


def run_tests(tree: str, tests: str, log: str) -> None:
    """Runs pytest in a copy of the tree, in a process of its own, which exits with PYTEST and pytest's code."""
    import pytest

    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
    os.chdir(tree)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    sys.path[:] = [tree, *(path for path in sys.path if path not in ("", str(ROOT)))]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]  # this package itself: the copy has one of the same name
    os.environ["PYTHONPATH"] = tree
    sys.dont_write_bytecode = False  # files that are not mutated are compiled once
    plugins = [part for name in ("cacheprovider", "xdist", "hypothesispytest") for part in ("-p", f"no:{name}")]
    options = ["-x", "-o", "addopts=", "--tb=line", *plugins, "--rootdir", tree]
    os._exit(PYTEST + pytest.main([*options, *shlex.split(tests)]))


def applied(mutant: Mutant, number: int, tree: Path, context) -> str:
    """The outcome of one mutant in `tree`, which is left as it was."""
    if mutant.stale(tree):
        return STALE
    path = tree / mutant.file
    right, log = path.read_text(), tree / "mutant.log"
    path.write_text(right.replace(mutant.old, mutant.new))
    os.utime(path, (number, number))  # of no other version of the file: compiled files are told apart by it
    process = context.Process(target=run_tests, args=(str(tree), mutant.tests, str(log)))
    try:
        process.start()
        process.join()
    finally:
        path.write_text(right)
        os.utime(path, (1, 1))
    # 0: all passed; 1: some failed; else nothing ran as it should.
    outcome = {PYTEST: SURVIVED, PYTEST + 1: NOTICED, -signal.SIGXCPU: NOTICED}.get(process.exitcode, BROKEN)
    if outcome == BROKEN:
        print(log.read_text()[-2000:], file=sys.stderr)
    return outcome


def copied(place: Path) -> Path:
    for name in ("jaxgan", "tests", "experiments", "configs", "docs"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*ROOT.glob("*.toml"), *ROOT.glob("*.md")):
        shutil.copy(file, place)
    return place


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", metavar="PATTERN", help="those whose file or idea match a pattern")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at once")
    args = parser.parse_args()
    mutants = [m for m in table() if re.search(args.only, m.name)]
    with tempfile.TemporaryDirectory(prefix="jaxgan-mutants-") as directory:
        # Before JAX is imported; tests/conftest.py leaves them alone.
        os.environ |= {
            "JAX_COMPILATION_CACHE_DIR": os.environ.get("JAX_COMPILATION_CACHE_DIR", f"{directory}/cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        }
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        trees: Queue[Path] = Queue()
        for job in range(args.jobs):
            trees.put(copied(Path(directory) / f"tree{job}"))

        def one(numbered: tuple[int, Mutant]) -> tuple[Mutant, str]:
            number, mutant = numbered
            tree, start = trees.get(), time.monotonic()
            try:
                outcome = applied(mutant, 1_000_000_000 + number, tree, context)
            finally:
                trees.put(tree)
            print(f"{outcome:8} {time.monotonic() - start:5.0f} s  {mutant.name}", flush=True)
            return mutant, outcome

        with ThreadPoolExecutor(args.jobs) as pool:
            found = list(pool.map(one, enumerate(mutants)))
    wrong = [(mutant, outcome) for mutant, outcome in found if outcome != (SURVIVED if mutant.survives else NOTICED)]
    print(f"\n{len(found)} mutants, {sum(outcome == NOTICED for _, outcome in found)} noticed.")
    for mutant, outcome in found:
        if mutant.survives and outcome == SURVIVED:
            print(f"survives: {mutant.name}: {mutant.survives}")
    for mutant, outcome in wrong:
        print(f"{outcome}: {mutant.name} ({mutant.tests})")
    return 1 if wrong else 0
