"""What it costs to train many GANs at once.

    python -m experiments.population_benchmark [--members 32] [--steps 500]

1. Layouts: `members` GANs of `configs/ring8.py`, `steps` each, evaluated once; compilation not counted. One
   after another in one process, as 32 single runs would be, against a population: members side by side
   (vmap) or taking turns (lax.map), on one device or on as many as there are cores.
2. Commands: one `jaxgan.sweep` of all members, start, compilation, checkpoints and report included, against
   as many processes of `jaxgan.main`, of which a few are timed and the rest counted as long as they.
3. Growth: members per second of `jaxgan.sweep`'s own layout for 1, 2, 4, ... 256 members.

Layouts take turns in fresh processes, and the fastest turn of each counts: what else a machine does only
adds to its time.

Expected on two CPU cores: the sweep's layout at most 0.45 of one after another, its command at most 0.1 of
the processes. On an accelerator: 64 members at most 3 times the time of one.
Measured on two cores of an AMD EPYC, 2026-11-24: .43 (one after another 4.6 s; vmap .97, turns .89, vmap on each
device .53, turns on each device .43), the command .078. No accelerator was at hand.
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
from functools import partial
from pathlib import Path

from jaxgan import errors

LAYOUTS = ("one after another", "vmap", "turns", "vmap, devices", "turns, devices")

SWEEP = """
from configs import ring8
from jaxgan.config import update
from jaxgan.plan import over

def get_config():
    return update(ring8.get_config(), {changes})

def get_sweep():
    return over("seed", range({members}))
"""


def short(steps: int) -> dict:
    """What the benchmark changes in the configuration: one log line, one evaluation and one checkpoint."""
    return {"train.steps": steps, "log.every": steps, "evaluate.every": 0, "checkpoint.every": steps}


def seconds(layout: str, n: int, steps: int) -> tuple[float, float]:
    """What `n` members take in this process, by the clock and of its CPU time; all is compiled before."""
    from jaxgan import parallel

    if layout.endswith("devices"):
        parallel.split_cpu(parallel.cores())
    import jax
    import numpy as np

    from configs import ring8
    from jaxgan import data, population, scores
    from jaxgan.config import update
    from jaxgan.gan import build_for
    from jaxgan.hparams import traced
    from jaxgan.population import Member

    configs = [update(ring8.get_config(), short(steps) | {"seed": seed}) for seed in range(n)]
    dataset = data.load(configs[0].data)
    gan = build_for(configs[0], dataset)
    score = scores.measure(configs[0], gan, dataset)
    advance = partial(population.advance, gan)
    if layout == "one after another":
        advance, examples = parallel.trainer(gan), parallel.replicate(dataset.train)
        start, measure = jax.jit(gan.init), jax.jit(score)

        def work(count: int, steps: int):
            for config in configs[:count]:
                hparams = parallel.replicate(traced(config))
                state, metrics = advance(hparams, parallel.replicate(start(hparams)), examples, steps)
                jax.device_get((metrics, measure(hparams, state)))

    else:
        mapped = partial(parallel.over_members, own=2, side_by_side="vmap" in layout)
        start = mapped(lambda hparams, alive: Member(gan.init(hparams), alive))
        advance, measure = mapped(advance), mapped(lambda hparams, member: score(hparams, member.state))
        hparams, examples = parallel.deal(population.stacked(configs), n), parallel.copies(dataset.train)

        def work(count: int, steps: int):
            group = start(hparams, parallel.deal(np.ones(n, bool), n))
            done = advance(hparams, group, examples, parallel.copies(np.uint32(steps)))
            group, metrics = zip(*done, strict=True)
            jax.device_get((metrics, measure(hparams, group)))

    work(1, 1)
    clock, cpu = time.perf_counter(), time.process_time()
    work(n, steps)
    return time.perf_counter() - clock, time.process_time() - cpu


def growth(steps: int) -> None:
    """Members per second of the package's own layout, for more and more members."""
    import jax

    from configs import ring8
    from jaxgan import members, parallel, plan
    from jaxgan.config import update

    parallel.split_cpu(parallel.cores())  # as `jaxgan.sweep` does
    base = update(ring8.get_config(), short(steps))
    print(f"{jax.devices()[0].device_kind}: members, seconds for {steps} steps, against one member, members/s")
    first = None
    for n in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        per_step = members.seconds_a_step(plan.members(base, plan.over("seed", range(n))))[1]
        first = first or per_step
        print(f"{n:5d}  {per_step * steps:8.3f}  {per_step / first:6.2f}  {n / (per_step * steps):8.2f}", flush=True)


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = errors.usage_error
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
        here = ["-m", "experiments.population_benchmark", f"--members={flags.members}", f"--steps={flags.steps}"]
        times: dict[str, list[list[float]]] = {layout: [] for layout in LAYOUTS}
        for _ in range(flags.rounds):
            for layout in LAYOUTS:
                times[layout].append(json.loads(run(*here, f"--layout={layout}")))
        single, _ = map(min, zip(*times[LAYOUTS[0]], strict=True))
        print(f"{flags.members} members, {flags.steps} steps, {os.cpu_count()} cores, the fastest of {flags.rounds}")
        for layout, found in times.items():
            wall, cpu = map(min, zip(*found, strict=True))
            print(f"{layout:18s} {wall:7.2f} s  {wall / single:5.2f}  {cpu:7.2f} s of CPU time", flush=True)
    if flags.part in (None, "commands"):
        commands(flags.members, flags.steps, flags.processes)
    if flags.part in (None, "growth"):
        growth(flags.steps)


if __name__ == "__main__":
    errors.run_cli(main)
