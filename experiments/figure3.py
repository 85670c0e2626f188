"""Figure 3: interpolation between images along paths in z space.

    python -m experiments.figure3 --workdir=runs/mnist [--out=FILE.png]

Claim (arXiv:1406.2661, Figure 3): linear interpolation between points in z space gives images that change smoothly from
one into the other, all of them plausible.

Above the white line are the paper's straight lines (1 - t) z0 + t z1; below it are the great arcs (slerp) between the
same end points. In 100 dimensions a straight line passes through z of about 0.71 times the usual norm, which are very
unlikely under the prior; the arc stays where G was trained. The norms at the midpoints are printed. The end points are
the first samples of a seed, not cherry-picked.

Expected: digits morph into one another without a break.
Measured on runs/mnist after 74 epochs (2 CPU cores, AMD EPYC, 2026-11-23): they do; the picture is in the README.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import jaxgan
from experiments import lab
from jaxgan.data.decode import encode
from jaxgan.errors import UserError
from jaxgan.files import write_atomically
from jaxgan.run.grids import grid, png

LINE = 6  # white pixels between the two kinds of paths


def linear(start: np.ndarray, end: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points of the straight line from `start` [d] to `end` [d] at the times t [n] in [0, 1]: [n, d]."""
    return (1 - t)[:, None] * start + t[:, None] * end


def slerp(start: np.ndarray, end: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Points of the arc from `start` [d] to `end` [d] at the times t [n]: [n, d] (Shoemake 1985).

    The angle is proportional to t; if both ends have the same norm, so do all points. If both ends have the same
    direction, the path is a straight line.
    """
    cosine = start @ end / (np.linalg.norm(start) * np.linalg.norm(end))
    angle = np.arccos(np.clip(cosine, -1, 1))
    if np.sin(angle) < 1e-6:
        return linear(start, end, t)
    return (np.sin((1 - t) * angle)[:, None] * start + np.sin(t * angle)[:, None] * end) / np.sin(angle)


def main() -> None:
    parser = lab.make_parser("figure3", __doc__, out=False)
    parser.add_argument("--workdir", type=Path, default=Path("runs/mnist"), help="work directory of a trained GAN")
    parser.add_argument("--out", type=Path, help="file of the picture; default: figure3.png in the work directory")
    parser.add_argument("--step", type=int, help="step of the checkpoint; default: the newest")
    parser.add_argument("--seed", type=int, default=0, help="seed of the end points")
    parser.add_argument("--paths", type=int, default=4, help="number of paths of each kind")
    parser.add_argument("--points", type=int, default=12, help="points per path, including its ends")
    flags = parser.parse_args()
    if flags.paths < 1 or flags.points < 2:
        raise UserError(f"--paths={flags.paths} must be 1 or more and --points={flags.points} 2 or more.")

    gan = jaxgan.load(flags.workdir, flags.step)
    if gan.config.data.name.startswith("mixture:"):
        raise UserError(f"{flags.workdir} was trained on points ({gan.config.data.name}); Figure 3 needs images.")
    # If G is class-conditional, each path stays in one class.
    y = (
        None
        if gan.config.conditional == "none"
        else np.repeat(np.arange(flags.paths) % gan.gan.num_classes, flags.points)
    )
    ends = gan.noise(2 * flags.paths, flags.seed).reshape(flags.paths, 2, -1)
    t = np.linspace(0, 1, flags.points, dtype=np.float32)
    pictures = []
    for path in (linear, slerp):
        z = np.concatenate([path(start, end, t) for start, end in ends])
        x = gan.generate(z, y)
        pictures.append(grid(encode(x, gan.config.data.gcn, gan.config.data.low), flags.paths))
        halfway = np.mean([np.linalg.norm(path(start, end, np.array([0.5]))) for start, end in ends])
        share = halfway / np.linalg.norm(ends, axis=-1).mean()
        print(f"{path.__name__:6s} norm of z halfway: {share:.2f} of the ends'")
    white = np.full((LINE, *pictures[0].shape[1:]), 255, np.uint8)
    path = flags.out or flags.workdir / "figure3.png"
    write_atomically(path, png(np.concatenate([pictures[0], white, pictures[1]])))
    print(f"G of step {gan.step} along straight lines and, below, along arcs: {path}")


if __name__ == "__main__":
    lab.run(main)
