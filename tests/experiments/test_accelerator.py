"""The command for an accelerator, in small on a CPU."""

import json

import jax
import jax.numpy as jnp
import pytest

from experiments import accelerator
from jaxgan.networks.convolution import conv, conv_transpose


def test_flops_are_those_of_products_and_convolutions_with_their_gradients():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 5))
    assert accelerator.flops(jnp.matmul, a, b) == 2 * 3 * 4 * 5
    assert (
        accelerator.flops(lambda a, b: jax.lax.fori_loop(0, 7, lambda _, x: x @ b @ b.T, a), a, b) == 7 * 4 * 3 * 4 * 5
    )
    x, kernel = jnp.ones((2, 8, 8, 4)), jnp.ones((3, 3, 2, 6))
    forward = 2 * 2 * 64 * 9 * 2 * 6

    def convolve(x, kernel):
        return jnp.sum(conv(x, kernel, strides=(1, 1), padding="SAME", feature_groups=2) ** 2)

    assert accelerator.flops(convolve, x, kernel) == forward
    assert accelerator.flops(jax.grad(convolve, (0, 1)), x, kernel) == 3 * forward

    def deconvolve(x, kernel):
        return conv_transpose(x, kernel, strides=(2, 2), padding="SAME")

    assert accelerator.flops(deconvolve, x, jnp.ones((4, 4, 3, 4))) == 2 * 2 * 64 * 16 * 3 * 4


def test_results_are_written_as_they_come_and_the_rest_is_taken_by_the_same_command(tmp_path, monkeypatch, capsys):
    def measurements(scale, folder):
        yield "ceiling high", lambda: {"ms": 1.0, "tflops": 2.0}
        yield "out of memory", fail
        yield "recipe mnist high", lambda: {"tflops": 0.5}

    def fail():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore")

    monkeypatch.setattr(accelerator, "measurements", measurements)
    assert accelerator.run(tmp_path, 0, accelerator.QUICK) == []
    assert "from ceiling high on" in capsys.readouterr().out
    rows = accelerator.run(tmp_path, 1, accelerator.QUICK)
    assert [row.get("of_ceiling") for row in rows] == [None, None, 0.25]
    assert rows[1]["error"] == "RESOURCE_EXHAUSTED: Out of memory"
    path = tmp_path / "results.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]) + '{"name": "cut')
    again = accelerator.run(tmp_path, 1, accelerator.QUICK)
    assert [row["name"] for row in again] == [row["name"] for row in rows]
    assert [json.loads(line) for line in path.read_text().splitlines()] == again


@pytest.mark.slow
@pytest.mark.exhaustive
def test_every_measurement_runs_in_small(tmp_path):
    rows = accelerator.run(tmp_path, 10, accelerator.QUICK)
    assert {row["name"].split()[0] for row in rows} == {"ceiling", "copy", "loop", "layer", "recipe", "population"}
    assert not [row for row in rows if "error" in row]
    recipes = {row["name"]: row for row in rows if row["name"].startswith("recipe")}
    assert len(recipes) == 3
    for row in recipes.values():
        assert row["gflop"] == pytest.approx(3.57, rel=0.02) and row["finite"] == 1
