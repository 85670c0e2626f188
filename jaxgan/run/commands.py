"""The command line's modes that use a trained GAN: `--mode=evaluate` and `--mode=sample`."""

from __future__ import annotations

import io
import math
import re
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxgan import data
from jaxgan.config import validate
from jaxgan.config.files import override
from jaxgan.errors import UserError
from jaxgan.evaluation.evaluator import SELECTION, make_evaluator
from jaxgan.evaluation.samples import make_sampler
from jaxgan.files import write_atomically
from jaxgan.game.build import data_spec
from jaxgan.metrics.alarms import alarms, data_class_kl
from jaxgan.numerics import pinned
from jaxgan.run import grids, report
from jaxgan.run.scores import EVALUATION, evaluation_protocol, save_scores
from jaxgan.run.trained import load
from jaxgan.run.workdir import DataInfo, check_data, run_metadata

MAX_SAMPLES = 100_000  # per `--mode=sample`, to bound memory


def parse_step(text: str | None) -> int | str | None:
    """Parses --step=N|best for `load`.

    Raises:
      UserError: neither a number nor "best".
    """
    if text is None or text == "best":
        return text
    if not (text.isascii() and text.isdecimal()):
        raise UserError(f"--step={text} is neither a step nor best; pass the step of a checkpoint or best.")
    return int(text)


@pinned()
def evaluate(workdir: Path, arguments: list[str], step: int | str | None = None) -> int:
    """`--mode=evaluate`: evaluates a checkpoint, prints the scores, and updates evaluation.json and any report.html.

    Files of a later step are left alone, and files that cannot be written only cause a warning.

    Args:
      step: as in `load`.
      arguments: --config.KEY=VALUE of `data` and `evaluate`: where the data are, and what to measure.

    Raises:
      UserError: other data than the run was trained on, or metrics that cannot be computed.
    """
    gan = load(workdir, step)
    config = override(gan.config, arguments)
    validate(config)
    for field in ("low", "gcn", "pad", "size"):
        if config.data[field] != gan.config.data[field]:
            raise UserError(
                f"{workdir} was trained with data.{field}={gan.config.data[field]:g}; leave out data.{field}."
            )
    dataset = data.as_recorded(data.load(config.data), gan.data_info.sha256)
    now = run_metadata(config, dataset, data_spec(config, dataset))["data"]
    check_data(workdir, gan.data_info, DataInfo(**now))
    print(f"step {gan.step} of {workdir}, {config.data.name}")
    failures: dict[str, str] = {}
    start_time = time.perf_counter()
    scores = make_evaluator(config, gan.gan, dataset)(gan.hparams, gan.state, reasons=failures)
    for name, score in scores.items():
        if name != SELECTION:
            print(f"{name:28s} {score:.4f}")
    for name, reason in failures.items():
        print(f"{name} could not be computed: {reason}")
    data_kl = data_class_kl(dataset, config.evaluate.samples)
    for sentence in alarms({name: x for name, x in scores.items() if math.isfinite(x)}, data_kl=data_kl):
        print(sentence)
    print(f"evaluated in {time.perf_counter() - start_time:.1f} s")
    try:
        saved = save_scores(workdir, gan.step, scores, evaluation_protocol(config, gan.gan, dataset))
    except UserError as error:
        print(f"warning: the scores were not saved: {error}", file=sys.stderr)
        return 0
    if saved:
        print(f"wrote {workdir / EVALUATION}")
    else:
        print(f"{workdir / EVALUATION} has the scores of a later step and was left unchanged")
    if (workdir / report.REPORT).exists():
        players = {"gan": gan.gan, "hparams": gan.hparams, "state": gan.state, "dataset": dataset}
        samples = grids.fixed_samples(make_sampler(gan.gan), config=gan.config, **players)
        if not report.write(workdir, samples=samples, **players):
            print(f"{workdir / report.REPORT} was left unchanged")
        else:
            print(f"wrote {workdir / report.REPORT}")
    return 0


def sample_conditions(workdir: Path, path: Path, draws: int, seed: int, step: int | str | None = None) -> int:
    """`--mode=sample --condition=FILE.npz`: writes `draws` samples for each condition of a file.

    Args:
      path: of a file of numpy.savez with the arrays that `TrainedGan.sample` takes, [n, ...].
      step: as in `load`.

    Raises:
      UserError: a file that cannot be read, or as in `TrainedGan.sample`.
    """
    gan = load(workdir, step)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
            n = len(next(iter(arrays.values())))
    except (OSError, ValueError, TypeError, StopIteration, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read as a file of numpy.savez ({error}); give arrays [n, ...].") from error
    if not 0 < n * draws <= MAX_SAMPLES:
        raise UserError(
            f"--samples={draws} for each of {n} conditions must make 1 to {MAX_SAMPLES} samples; change it."
        )
    repeated = {name: np.repeat(array, draws, axis=0) for name, array in arrays.items()}
    samples = gan.sample(n * draws, seed, condition=repeated)
    samples = samples.reshape(n, draws, *samples.shape[1:])
    target = workdir / "samples" / f"step_{gan.step}_seed_{seed}_n_{draws}_condition_{path.stem}.npz"
    packed = io.BytesIO()
    np.savez_compressed(packed, samples=samples, **arrays)
    write_atomically(target, packed.getvalue())
    if samples.ndim == 5:
        condition = gan.read_condition({name: array[: grids.CONDITIONS] for name, array in arrays.items()})
        picture = grids.conditional_grid(gan.config, condition, samples[: grids.CONDITIONS])
        grids.save_png(target.with_suffix(".png"), picture)
    print(f"{draws} samples of step {gan.step} for each of {n} conditions: {target}")
    return 0


def sample(
    workdir: Path,
    n: int,
    seed: int,
    label: str | None,
    step: int | str | None = None,
    options: Mapping[str, float | None] = MappingProxyType({}),
) -> int:
    """`--mode=sample`: writes `n` samples of a checkpoint as a picture and as a NumPy file, with their classes.

    Args:
      label: number or name of a class; None for one class per row of the picture, if the GAN is class-conditional.
      step: as in `load`.
      options: `truncation` and `rejection` of `TrainedGan.sample`, stored with the samples.
    """
    if n > MAX_SAMPLES:
        raise UserError(
            f"--samples={n} is too many; use several calls of at most {MAX_SAMPLES}, with different --seed."
        )
    gan = load(workdir, step)
    if label is not None and not gan.gan.num_classes:
        raise UserError(f"--label={label}: this GAN was trained without classes (conditional=none); leave it out.")
    classes = gan.gan.num_classes if label is None else 0
    y: Any = grids.row_classes(n, classes) if classes and n > 0 else None
    if label is not None:
        y = int(label) if re.fullmatch(r"-?[0-9]+", label) else gan.class_index(label)
    given = {name: value for name, value in options.items() if value is not None}
    samples, share = gan.accepted_samples(n, seed, y=y, **given)
    name = f"step_{gan.step}_seed_{seed}_n_{n}" + ("" if label is None else f"_label_{y}")
    name += "".join(f"_{option}_{value:g}" for option, value in given.items())
    path = workdir / "samples" / f"{name}.png"
    grids.save_samples(path, gan.config, samples, classes, gan.data_info.class_names)
    packed = io.BytesIO()
    labels = {} if y is None else {"y": np.broadcast_to(np.int32(y), (n,))}
    if "rejection" in given:
        given |= {"acceptance": share}
        print(f"D accepted {share:.1%} of the candidates")
    np.savez_compressed(packed, samples=samples, **labels, **given)
    write_atomically(path.with_suffix(".npz"), packed.getvalue())
    class_text = (
        f" of class {y} ({gan.data_info.class_names[y]})" if label is not None and gan.data_info.class_names else ""
    )
    print(f"{n} samples{class_text} of step {gan.step}: {path} and {path.with_suffix('.npz').name}")
    return 0
