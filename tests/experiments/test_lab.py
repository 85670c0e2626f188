"""What the experiments share: their command line, the cache, and the rules of the verdicts on made-up results."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import EXPERIMENTS, lab
from jaxgan.errors import UserError

ROOT = Path(__file__).parents[2]


def test_the_list_of_experiments_is_complete():
    """Files with a command are experiments; the others are their helpers. Each names its command."""
    files = {path.stem: path.read_text() for path in (ROOT / "experiments").glob("*.py")}
    commands = {name for name, text in files.items() if "\n    lab.run(main)\n" in text}
    assert set(EXPERIMENTS) == commands
    assert all(f"python -m experiments.{name}" in files[name].split('"""')[1] for name in commands)
    assert all(claim and cost for claim, cost in EXPERIMENTS.values())


def test_counts_below_1_are_refused():
    lab.check_positive(steps=1, seeds=2)
    with pytest.raises(UserError, match=r"^--steps=3 and --seeds=0 must be 1 or more\.$"):
        lab.check_positive(steps=3, seeds=0)


def flags(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["experiment", *arguments])
    parser = lab.make_parser("circle", "Claim.", quick="one seed")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--sizes", type=int, nargs="+")
    return vars(lab.parse(parser, seeds=(10, 1), sizes=([100, 1000], [50])))


def test_the_defaults_of_a_command_depend_on_quick(monkeypatch):
    full = {"quick": False, "out": Path("runs/circle"), "seeds": 10, "sizes": [100, 1000]}
    assert flags(monkeypatch) == full
    assert flags(monkeypatch, "--quick") == full | {"quick": True, "seeds": 1, "sizes": [50]}
    assert flags(monkeypatch, "--seeds=0", "--quick")["seeds"] == 0
    assert flags(monkeypatch, "--sizes", "7", "8", "--out=there")["sizes"] == [7, 8]


@pytest.mark.parametrize("mistake", ["--seed=3", "--seeds=many", "--width=3", "word"])
def test_a_mistake_in_a_command_is_one_sentence(monkeypatch, mistake):
    with pytest.raises(UserError, match="see --help"):
        flags(monkeypatch, mistake)
    with pytest.raises(UserError, match="--method"):
        lab.check_choices("--method", ["plain", "plian"], {"plain": 0})


def test_a_command_expands_the_home_folder_and_exits_with_2_for_a_mistake(monkeypatch, capsys):
    found = []

    def main():
        found.append(lab.make_parser("circle", "Claim.").parse_args().out)

    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setattr(sys, "argv", ["experiment", "--out=~/runs"])
    with pytest.raises(SystemExit) as exit:
        lab.run(main)
    assert not exit.value.code and found == [Path("/home/me/runs")]
    monkeypatch.setattr(sys, "argv", ["experiment", "--quick"])  # it has none
    with pytest.raises(SystemExit, match="2"):
        lab.run(main)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and "--quick" in line


def test_results_are_cached_by_setting(tmp_path):
    """Arrays are returned as lists, the first time too; another setting is computed anew."""
    calls = []

    def make(number):
        calls.append(number)
        return {"x": np.float32([0.1, np.nan]), "n": np.int64(number)}

    first = lab.cached(tmp_path, {"seed": 0, "steps": [1, 2]}, lambda: make(0))
    again = lab.cached(tmp_path, {"steps": [1, 2], "seed": 0}, lambda: make(1))
    assert first["n"] == again["n"] == 0 and np.float32(again["x"][0]) == np.float32(0.1)
    assert math.isnan(first["x"][1]) and isinstance(first["x"], list)
    assert lab.cached(tmp_path, {"seed": 1, "steps": [1, 2]}, lambda: make(2))["n"] == 2
    assert calls == [0, 2] and len(list((tmp_path / "parts").iterdir())) == 2


def test_parallel_map_keeps_the_order():
    assert list(lab.parallel_map(lambda n: n * n, range(20))) == [n * n for n in range(20)]


def test_result_json_has_numbers_of_numpy(tmp_path):
    lab.write_result(tmp_path, {"x": np.float32([0.5, 1]), "n": np.int64(3), "holds": np.bool_(True), "out": Path("a")})
    assert json.loads((tmp_path / "result.json").read_text()) == {"x": [0.5, 1.0], "n": 3, "holds": True, "out": "a"}


# --- Verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.1, 3), True), ((-3, -0.1), False), ((-0.1, 3), None), ((0, 1), None), ((-1, 0), None),
     ((math.nan, math.nan), None), ((-math.inf, math.inf), None)],
)  # fmt: skip
def test_a_difference_is_positive_negative_or_undecided_by_its_interval(interval, verdict):
    assert lab.is_positive(interval) is verdict


@pytest.mark.parametrize(
    ("difference", "p", "verdict"),
    [(2.0, 0.01, True), (-2.0, 0.01, False), (2.0, 0.05, True), (2.0, 0.06, None), (-2.0, 1.0, None),
     (2.0, math.nan, None)],
)  # fmt: skip
def test_a_difference_is_positive_negative_or_undecided_by_its_p_value(difference, p, verdict):
    assert lab.is_positive_by_test(difference, p) is verdict


def test_an_equivalence_interval_is_the_90_percent_t_interval_of_paired_differences():
    untouched = np.array([1.0, 2.0, 3.0])
    low, high = lab.equivalence_interval(untouched + np.array([0.01, 0.02, 0.03]), untouched)
    half = 2.919986 * 0.01 / math.sqrt(3)  # t(2) at .95; the differences have mean .02 and deviation .01
    assert (low, high) == pytest.approx((0.02 - half, 0.02 + half), abs=1e-7)
    nothing = (-math.inf, math.inf)
    assert lab.equivalence_interval(untouched[:2], untouched[:2]) == nothing  # two draws show nothing
    assert lab.equivalence_interval(np.array([1, 2, math.nan]), untouched) == nothing


@pytest.mark.parametrize(
    ("intervals", "verdict"),
    [
        ([(-0.04, 0.04)], True),
        ([(0.01, 0.04)], True),  # a difference that is shown, and too small to matter
        ([(-0.04, 0.04), (-0.01, 0.06)], False),
        ([(-0.06, 0.01)], False),
        ([(-0.05, 0.01)], False),
        ([(-math.inf, math.inf)], False),
        ([(math.nan, math.nan)], False),
    ],
)
def test_equivalence_is_an_interval_within_the_margin(intervals, verdict):
    assert lab.is_equivalent(intervals, 0.05) is verdict


def test_a_verdict_is_true_only_if_the_claim_is_shown(capsys):
    assert [lab.decide(*case) for case in ((True, False), (False, True), (False, False))] == [True, False, None]
    toy = lab.reproduced(False, "four runs decide nothing")
    lab.print_verdicts({"round": True, "square": np.bool_(False), "blue": None, "big": toy})
    assert capsys.readouterr().out.splitlines() == [
        "round   holds", "square  does not hold", "blue    undecided at this size",
        "big     not reproduced in this toy: four runs decide nothing"
    ]  # fmt: skip


def test_one_run_refutes_a_claim_about_all_but_a_toy_refutes_no_published_claim():
    assert [lab.in_every_run(runs) for runs in ([True, True], iter([True, False]), [])] == [True, False, None]
    assert lab.reproduced(True, "x") is True
    assert lab.reproduced(False, "x") == "not reproduced in this toy: x" and lab.reproduced(None, "x") is None


def test_a_finished_experiment_leaves_its_result_with_the_verdicts_and_its_pictures(tmp_path, capsys):
    lab.finish(
        tmp_path, {"x": 1, "seconds": 2.4}, {"circle": b"PNG"}, {"round": True, "big": lab.reproduced(False, "y")}
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert result == {"x": 1, "seconds": 2.4, "holds": {"round": True, "big": "not reproduced in this toy: y"}}
    assert (tmp_path / "circle.png").read_bytes() == b"PNG"
    assert capsys.readouterr().out.splitlines()[1:] == [
        "round  holds", "big    not reproduced in this toy: y", f"2 s; {tmp_path}"
    ]  # fmt: skip
