"""The cost of training many GANs at once.

    python -m experiments.population_benchmark [--members 32] [--steps 500]

1. Layouts: `members` GANs of `configs/ring8.py` with `steps` steps each, evaluated once, not counting compilation.
   Training them one after another in one process, as 32 single runs would, is compared with populations in one program:
   members in parallel (vmap) or in turns (lax.map), and the layout of a sweep (on a CPU, one thread per core).
2. Commands: one `jaxgan.sweep` of all members, including start-up, compilation, checkpoints and report, is compared
   with as many processes of `jaxgan.main`, a few of which are timed and the others assumed to take as long.
3. Growth: members per second with the layout of `jaxgan.sweep`, for 1, 2, 4, ... 256 members.

The layouts train bare states; what a sweep adds (the test for divergence, checkpoints, results) is in part 2. Layouts
take turns in fresh processes, and the fastest turn of each is reported: other load on the machine can only add to its
time.

Expected on two CPU cores: the sweep's layout takes at most .40 of the time of one after another, its command at most
.06 of that of the processes. On an accelerator: 64 members take at most 3 times as long as one.
Measured on two otherwise idle cores, 2026-11-25: AMD EPYC with AVX-512, layout .42 (one after another 2.69 s; vmap .75,
turns .94), command .080 (18.8 s against 32 times 7.3 s). AMD EPYC (Zen 3), after pictures were made cheaper, layout .57
(one after another 7.67 s on 1.4 cores; vmap 1.05, turns 1.04), command .063 (44.0 s against 32 times 21.9 s); on
2026-11-26, idle, with cheaper curves, .073 (31.1 s against 32 times 13.3 s). So neither target is reached. No
accelerator was available.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from configs import ring8
from experiments import lab
from jaxgan import data, parallel
from jaxgan.algorithm1 import accumulate_steps, zero_metrics
from jaxgan.config import update
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset
from jaxgan.evaluation.evaluator import make_evaluator, make_measure
from jaxgan.evaluation.samples import sample_stream
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build_for
from jaxgan.game.gan import Gan
from jaxgan.game.hparams import HParams
from jaxgan.game.state import GanState, stream
from jaxgan.sweep import devices

LAYOUTS = ("one after another", "vmap", "turns", "sweep")

SWEEP = """
from configs import ring8
from jaxgan.config import update
from jaxgan.sweep import over

def get_config():
    return update(ring8.get_config(), {changes})

def get_sweep():
    return over("seed", range({members}))
"""


def short(steps: int) -> dict:
    """The changes to the configuration: one log line, one evaluation and one checkpoint."""
    return {"train.steps": steps, "log.every": steps, "evaluate.every": 0, "checkpoint.every": steps}


class Population(NamedTuple):
    """Members of one program, with the functions that train and evaluate them."""

    start: Callable  # () -> initial states
    steps: Callable  # (states, n) -> states; waits for the metrics
    score: Callable  # (states) -> the scores of `evaluate.metrics`, member by member


class Mapped(NamedTuple):
    """A way to map functions of one member over all members."""

    map: Callable  # (function, num_mapped, num_shared, donate) -> the function of a population
    shard: Callable  # arrays [members, ...] -> a population
    gather: Callable  # a population -> NumPy arrays [members, ...]
    replicate: Callable  # an array that all members share -> the same on all devices


def on_one_device(*, side_by_side: bool) -> Mapped:
    """Members on one device, by vmap or by lax.map, in one program."""

    def map_members(function: Callable, num_mapped: int, num_shared: int = 0, donate: tuple[int, ...] = ()) -> Callable:
        del num_shared

        def members(*args):
            function_of_one = lambda *mapped_args: function(*mapped_args, *args[num_mapped:])  # noqa: E731
            return (
                jax.vmap(function_of_one)(*args[:num_mapped])
                if side_by_side
                else jax.lax.map(lambda mapped_args: function_of_one(*mapped_args), args[:num_mapped])
            )

        return jax.jit(members, donate_argnums=donate)

    return Mapped(map_members, jax.device_put, jax.device_get, jax.device_put)


def as_sweeps_do(members: int) -> Mapped:
    """The layout of `jaxgan.sweep`."""

    def map_members(function: Callable, num_mapped: int, num_shared: int = 0, donate: tuple[int, ...] = ()) -> Callable:
        return devices.MemberMap(function, num_mapped=num_mapped, num_shared=num_shared, donate=donate)

    return Mapped(
        map_members,
        partial(devices.shard, members=members),
        partial(devices.gather, members=members),
        devices.replicate,
    )


def population(configs: Sequence[ConfigDict], mapped: Mapped) -> Population:
    """All members of a program at once."""
    gan, dataset = game(configs[0])
    init = mapped.map(gan.init, 1)
    samples = partial(sample_stream, gan)
    key = stream(0, "evaluate")
    sample_all = mapped.map(lambda hparams, member: samples(hparams, member, key, configs[0].evaluate.samples), 2)
    measure = make_measure(configs[0], dataset)
    all_hparams = [traced(config) for config in configs]
    hparams = mapped.shard({name: np.stack([one[name] for one in all_hparams]) for name in all_hparams[0]})
    examples = mapped.replicate(TrainingSet(dataset.train))

    def advance(hparams: HParams, member: GanState, data: TrainingSet, steps: jax.Array):
        sums = zero_metrics(gan, hparams, member, data)
        return accumulate_steps(gan=gan, hparams=hparams, state=member, sums=sums, data=data, n=steps)

    advance_all = mapped.map(advance, 2, 2, (1,))

    def steps(members, count: int):
        done = jax.block_until_ready(advance_all(hparams, members, examples, mapped.replicate(np.uint32(count))))
        members, sums = zip(*done, strict=True) if isinstance(done, list) else done
        jax.device_get(sums)
        return list(members) if isinstance(done, list) else members

    return Population(
        lambda: init(hparams), steps, lambda members: [measure(x) for x in mapped.gather(sample_all(hparams, members))]
    )


def one_after_another(configs: Sequence[ConfigDict]) -> Population:
    """Trains the members one after another, as single runs."""
    gan, dataset = game(configs[0])
    steps, init, score = parallel.make_train_steps(gan), jax.jit(gan.init), make_evaluator(configs[0], gan, dataset)
    examples = parallel.replicate(TrainingSet(dataset.train))
    hparams = [parallel.replicate(traced(config)) for config in configs]

    def train(members: list, count: int) -> list:
        trained = []
        for member_hparams, member in zip(hparams, members, strict=True):
            new, sums = steps(member_hparams, member, examples, count)
            jax.device_get(sums)
            trained.append(new)
        return trained

    def score_all(members: list) -> list[dict[str, float]]:
        return [score(member_hparams, member) for member_hparams, member in zip(hparams, members, strict=True)]

    return Population(
        lambda: [parallel.replicate(init(member_hparams)) for member_hparams in hparams], train, score_all
    )


def game(config: ConfigDict) -> tuple[Gan, Dataset]:
    dataset = data.load(config.data)
    return build_for(config, dataset), dataset


def configs_of(n: int, steps: int) -> list[ConfigDict]:
    """The same game with n seeds."""
    return [update(ring8.get_config(), short(steps) | {"seed": seed}) for seed in range(n)]


def seconds(layout: str, n: int, steps: int) -> tuple[float, float]:
    """Wall time and CPU time of `n` members in this process, without compilation."""
    if layout == "sweep":
        devices.use_threads(0)
    if layout == LAYOUTS[0]:
        members = one_after_another(configs_of(n, steps))
    else:
        mapped = as_sweeps_do(n) if layout == "sweep" else on_one_device(side_by_side=layout == "vmap")
        members = population(configs_of(n, steps), mapped)
    members.score(members.steps(members.start(), 1))
    clock, cpu = time.perf_counter(), time.process_time()
    members.score(members.steps(members.start(), steps))
    return time.perf_counter() - clock, time.process_time() - cpu


def growth(steps: int) -> None:
    """Members per second of the package's layout, for increasing numbers of members."""
    devices.use_threads(0)
    print(f"{jax.devices()[0].device_kind}: members, seconds for {steps} steps, against one member, members/s")
    first = None
    for n in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        members = population(configs_of(n, steps), as_sweeps_do(n))
        trained = members.steps(members.start(), 1)
        clock = time.perf_counter()
        members.steps(trained, steps)
        taken = time.perf_counter() - clock
        first = first or taken
        print(f"{n:5d}  {taken:8.3f}  {taken / first:6.2f}  {n / taken:8.2f}", flush=True)


def run(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def commands(n: int, steps: int, processes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "sweep.py")
        path.write_text(SWEEP.format(changes=short(steps), members=n))
        clock = time.perf_counter()
        run("-m", "jaxgan.sweep", f"--sweep={path}", f"--workdir={directory}/sweep")
        together = time.perf_counter() - clock
        changes = [f"--config.{key}={value}" for key, value in short(steps).items()]
        alone = []
        for seed in range(processes):
            clock = time.perf_counter()
            where = f"--workdir={directory}/{seed}"
            run("-m", "jaxgan.main", "--config=configs/ring8.py", where, f"--config.seed={seed}", *changes)
            alone.append(time.perf_counter() - clock)
    mean = statistics.mean(alone)
    print(f"one sweep command {together:.1f} s; a jaxgan.main process {mean:.1f} s, so {n} of them {n * mean:.0f} s")
    print(f"sweep / processes: {together / (n * mean):.3f}")


def main() -> None:
    parser = lab.make_parser("population_benchmark", __doc__, out=False)
    parser.add_argument("--members", type=int, default=32)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each layout")
    parser.add_argument("--processes", type=int, default=3, help="processes of jaxgan.main that are timed")
    parser.add_argument("--part", choices=["layouts", "commands", "growth"], help="only one part")
    parser.add_argument("--layout", choices=LAYOUTS, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.layout:
        print(json.dumps(seconds(flags.layout, flags.members, flags.steps)))
        return
    if flags.part in (None, "layouts"):
        command = ["-m", "experiments.population_benchmark", f"--members={flags.members}", f"--steps={flags.steps}"]
        times: dict[str, list[list[float]]] = {layout: [] for layout in LAYOUTS}
        for _ in range(flags.rounds):
            for layout in LAYOUTS:
                times[layout].append(json.loads(run(*command, f"--layout={layout}")))
        single, _ = map(min, zip(*times[LAYOUTS[0]], strict=True))
        print(f"{flags.members} members, {flags.steps} steps, {os.cpu_count()} cores, the fastest of {flags.rounds}")
        for layout, timings in times.items():
            wall, cpu = map(min, zip(*timings, strict=True))
            print(f"{layout:18s} {wall:7.2f} s  {wall / single:5.2f}  {cpu:7.2f} s of CPU time", flush=True)
    if flags.part in (None, "commands"):
        commands(flags.members, flags.steps, flags.processes)
    if flags.part in (None, "growth"):
        growth(flags.steps)


if __name__ == "__main__":
    lab.run(main)
