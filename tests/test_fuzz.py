"""Whatever goes in: a step or a sentence from every configuration, finite numbers from every finite input."""

import json
import math
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import io

from jaxgan import algorithm1, data
from jaxgan import config as C
from jaxgan.config import files
from jaxgan.config.hparams import traced
from jaxgan.data import Dataset, tfd
from jaxgan.errors import UserError
from jaxgan.features import torch_file
from jaxgan.game.batches import TrainingSet
from jaxgan.game.build import build_for
from jaxgan.game.prior import PRIORS
from jaxgan.game.state import all_finite
from jaxgan.metrics import modes, parzen
from jaxgan.objectives import losses, theory
from jaxgan.objectives.penalties import PENALTIES
from jaxgan.objectives.value import value
from tests.helpers import hostile

pytestmark = pytest.mark.slow

quick = settings(max_examples=100, deadline=None, derandomize=True)
in_a_folder = settings(quick, suppress_health_check=[HealthCheck.function_scoped_fixture])

# --- configurations ---

NUMBERS = [-1, 0, 1, 2, 3, 5, 2**31 - 1, 2**32, 2**63, 10**30, 10**400]
FRACTIONS = [-1.0, 0.0, 1e-46, 1e-6, 0.3, 0.999999, 1.0, 2.5, 1e30, 1e39, math.inf, -math.inf, math.nan]
WILD = {
    bool: st.booleans(),
    int: st.sampled_from(NUMBERS),
    float: st.sampled_from(FRACTIONS),
    str: st.sampled_from(["", "relu", "sigmoid", "no such word"]),
    list: st.lists(st.sampled_from([*NUMBERS, "relu", "tanh", 0.5, True]), max_size=3).map(tuple),
}
TAME = WILD | {int: st.integers(1, 4), float: st.sampled_from([0.1, 0.5, 1.0])}


SECTIONS = {f"{path}.{section.key}": tuple(section.choices) for path, section in C.SECTIONS.items()}
CHOICES = {key: tuple(choices) for key, choices in C.CHOICES.items()} | SECTIONS


def values(key: str, default) -> st.SearchStrategy:
    """Values of a field: mostly sensible ones, some of the right type at least, some of any."""
    tame = st.sampled_from(CHOICES[key]) if key in CHOICES else TAME[type(default)]
    return st.one_of(tame, tame, tame, WILD[type(default)], st.one_of(*WILD.values()))


@st.composite
def changes(draw) -> dict:
    """Choices first, then fields, most of them of these choices."""
    names = draw(st.lists(st.sampled_from(sorted(SECTIONS)), max_size=2, unique=True))
    drawn = {key: draw(st.sampled_from(SECTIONS[key])) for key in names}
    known = C.flatten(C.update(C.default(), drawn))
    fields = {key: value for key, value in known.items() if not key.startswith("data.")}
    keys = draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=4, unique=True))
    drawn |= {key: draw(values(key, fields[key])) for key in keys if key not in drawn}
    hidden = drawn.get("generator.hidden")
    if isinstance(hidden, tuple) and draw(st.booleans()):
        drawn["generator.activations"] = ("relu",) * len(hidden)
    if drawn.get("generator.name") == "maxout_conv" and draw(st.booleans()):
        drawn |= {"generator.hidden": (12,), "generator.activations": ("relu",), "generator.stride": 2}
        drawn |= {"generator.grid": draw(st.sampled_from([(2, 2, 3), (-2, -2, 3)]))}
        drawn |= {"generator.kernel": draw(st.integers(5, 8))}
    if drawn.get("discriminator.name") == "maxout_conv" and draw(st.booleans()):
        layers = st.lists(st.integers(0, 9), min_size=1, max_size=1).map(tuple)
        names = ("channels", "kernels", "paddings", "pools", "strides")
        drawn |= {f"discriminator.{name}": draw(layers) for name in names}
    return drawn


RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (20, 8, 8, 1)).astype(np.uint8)
LABELS = RANDOM.integers(0, 3, 20).astype(np.int32)
DATASET = Dataset("npz:x.npz", IMAGES, IMAGES, IMAGES, None, LABELS, LABELS, LABELS, classes=3)


def game(config):
    """The first state and a step of the game on the images, neither computed yet."""
    gan, hparams = build_for(config, DATASET), traced(config)
    examples = TrainingSet(jnp.asarray(IMAGES), jnp.asarray(LABELS) if gan.num_classes else ())
    return (
        lambda: gan.init(hparams),
        lambda state: algorithm1.train_step(gan=gan, hparams=hparams, state=state, data=examples),
    )


@given(changes=changes())
@settings(quick, max_examples=150)
def test_a_configuration_is_a_game_or_one_sentence(tiny_config, changes):
    """Shapes only: what a step would compute, for sizes of any kind."""
    try:
        config = C.update(tiny_config(), changes)
        C.validate(config)
        init, step = game(config)
        state = jax.eval_shape(init)
        after, metrics = jax.eval_shape(step, state)
    except UserError as error:
        assert str(error).endswith((".", "?")) and "\n" not in str(error)
        return
    assert C.flatten(files.from_json(files.to_json(config))) == C.flatten(config)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), after) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert {(x.shape, x.dtype) for x in metrics.values()} == {((), jnp.dtype("float32"))}


SANE = {
    "conditional": C.CHOICES["conditional"],
    "prior.name": tuple(PRIORS),
    "generator.hidden": [(), (3,), (4, 5)],
    "generator.output": ["sigmoid", "linear"],
    "generator.output_sparse": [0, 2],
    "generator.output_bias": [False, True],
    "generator.ema.gamma": [(), (1.0, 2.0)],
    "generator.ema.half_life": [(), (100.0,)],
    "discriminator.hidden": [(), (3,), (4, 5)],
    "discriminator.activation": ["maxout", "relu", "leaky_relu", "tanh"],
    "discriminator.hidden_keep": [0.1, 1.0],
    "discriminator.pieces": [1, 3],
    **{f"objective.penalties.{name}": [0.0, 0.0, 0.5] for name in sorted(PENALTIES)},
    "augment.name": SECTIONS["augment.name"],
    "objective.loss": SECTIONS["objective.loss"],
    "optimizer.generator.name": SECTIONS["optimizer.generator.name"],
    "optimizer.discriminator.name": SECTIONS["optimizer.discriminator.name"],
    "optimizer.generator.schedule.name": SECTIONS["optimizer.generator.schedule.name"],
    "optimizer.generator.max_column_norm": [0.0, 0.5],
    "train.batch_size": [2, 7],
    "train.d_steps": [1, 2],
    "train.update": CHOICES["train.update"],
    "data.gcn": [0.0, 55.0],
}


@given(changes=st.fixed_dictionaries({key: st.sampled_from(list(choices)) for key, choices in SANE.items()}))
@settings(quick, max_examples=3)  # a few seconds each to compile
def test_a_sane_configuration_makes_a_finite_step(tiny_config, changes):
    changes |= {"generator.activations": ("tanh", "relu")[: len(changes["generator.hidden"])]}
    if changes["data.gcn"]:
        changes["generator.output"] = "linear"
    config = C.update(tiny_config(), changes)
    try:
        C.validate(config)
        init, step = game(config)
    except UserError:  # fields that exclude each other: the test above has the sentences
        reject()
    before = jax.jit(init)()
    after, metrics = jax.jit(step)(before)
    assert int(after.step) == 1
    assert bool(all_finite(after)) and all(np.isfinite(x) for x in metrics.values())
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(before.discriminator), jax.tree.leaves(after.discriminator), strict=True)
    )


NOTHING = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
JSON = st.recursive(
    NOTHING,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["format", "seed", "train", "steps", "update", "hidden", "generator", "name", ""]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


FORMATTED = JSON.filter(lambda x: isinstance(x, dict)).map(lambda x: x | {"format": files.FORMAT})


@given(text=JSON.map(json.dumps) | FORMATTED.map(json.dumps) | st.text(max_size=40))
@quick
def test_any_text_is_a_configuration_or_one_sentence(text):
    try:
        config = files.from_json(text)
    except UserError as error:
        assert str(error).endswith(".")
    else:
        choices = {key: value for key, value in C.flatten(config).items() if key in SECTIONS}
        assert C.flatten(config).keys() == C.flatten(C.update(C.default(), choices)).keys()


FLAGS = st.sampled_from(
    [f"--config.{key}" for key in C.flatten(C.default())] + ["--config.", "--config.train", "--", ""]
)


@given(
    arguments=st.lists(
        st.builds("{}{}{}".format, FLAGS, st.sampled_from(["=", ""]), st.text("(1, 'a')[]{}=.-e\\\0\n", max_size=8)),
        max_size=3,
    )
)
@quick
def test_any_command_line_is_a_configuration_or_one_sentence(arguments):
    try:
        config = files.override(C.default(), arguments)
    except UserError as error:
        assert str(error)
    else:
        choices = {key: value for key, value in C.flatten(config).items() if key in SECTIONS}
        base = C.update(C.default(), choices)
        kinds = [{k: type(v) for k, v in C.flatten(c).items()} for c in (config, base)]
        assert kinds[0] == kinds[1]


# --- data ---


@given(
    name=st.text(max_size=20)
    | st.builds(
        "{}:{}".format, st.sampled_from(["npz", "folder", "tfd", "mixture", "stacked", "x"]), st.text(max_size=9)
    )
)
@in_a_folder
def test_any_name_of_data_is_one_sentence(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if name in ("digits", *(f"mixture:{known}" for known in data.mixture.MIXTURES)) or "tfds:" in name:
        return
    with pytest.raises(UserError):
        data.load(C.update(C.default(), {"data.name": name}).data)


@given(content=st.binary(max_size=300), start=st.sampled_from([b"", b"PK\3\4", b"PK\5\6" + bytes(18)]))
@in_a_folder
def test_random_bytes_are_no_npz(tmp_path, content, start):
    (tmp_path / "x.npz").write_bytes(start + content)
    with pytest.raises(UserError):
        data.npz.read_npz(tmp_path / "x.npz")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """The bytes of a small file like TFD_48x48.mat, and what is in it."""
    path = tmp_path_factory.mktemp("tfd") / "faces.mat"
    rng = np.random.default_rng(0)
    folds = np.tile(np.arange(4, dtype=np.uint8), 2)[:, None].repeat(5, axis=1)
    images = rng.integers(0, 256, (8, 48, 48)).astype(np.uint8)
    io.savemat(path, {"images": images, "folds": folds}, do_compression=True)
    return path.read_bytes(), *tfd.read(path)


@given(where=st.integers(0, 2**20), byte=st.integers(0, 255), keep=st.none() | st.integers(0, 2**20))
@in_a_folder
@pytest.mark.filterwarnings("ignore")  # scipy's, about what it reads
def test_a_damaged_matlab_file_is_read_right_or_refused(tmp_path, faces, where, byte, keep):
    content, *sound = faces
    damaged = bytearray(content)
    damaged[where % len(damaged)] = byte
    (tmp_path / "faces.mat").write_bytes(damaged if keep is None else damaged[: keep % len(damaged)])
    try:
        found = tfd.read(tmp_path / "faces.mat")
    except UserError:
        return
    for a, b in zip(found, sound, strict=True):
        np.testing.assert_array_equal(a, b)


# --- files of weights ---

SECONDS, GROWN = 3, 2**28  # of CPU time, where the machine is busy; of memory, in bytes


def test_reading_a_small_hostile_file_costs_little():
    """In a process of its own, which has limits: files of 5 MB at most that describe values of any size."""
    command = [sys.executable, hostile.__file__]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    costs = {cost.pop("name"): cost for cost in map(json.loads, lines)}
    assert len(costs) > 25 and max(cost["bytes"] for cost in costs.values()) < 5e6
    assert {name: cost for name, cost in costs.items() if cost["seconds"] > SECONDS or cost["grown"] > GROWN} == {}
    accepted = {name for name, cost in costs.items() if not cost["words"]}
    assert accepted == {"a directory of extra fields"}  # an empty state dict
    assert not [cost["words"] for cost in costs.values() if "Memory" in cost["words"] or "\n" in cost["words"]]


OPCODES = [b"}", b"]", b")", b"(", b"t", b"\x85", b"\x86", b"a", b"e", b"s", b"u", b"R", b"Q", b"b", b"q\0", b"h\0"]
OPCODES += [b"q\1", b"h\1", b"\x94", b"N", b"\x88", b"K\1", b"J\xff\xff\xff\xff", b"\x8a\1\x7f", b"X\1\0\0\0a", b"\x93"]
OPCODES += [b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n", hostile.STORAGE, hostile.tensor()]


@given(parts=st.lists(st.sampled_from(OPCODES), max_size=30), new=st.booleans(), sound=st.booleans())
@quick
def test_any_pickle_is_a_state_dict_or_one_sentence(parts, new, sound):
    start = [b"}(X\1\0\0\0b", hostile.tensor()] if sound else []
    program = hostile.pickled(*start, *parts, *([b"u"] if sound else []))
    file = hostile.zipped(program, **{"data/0": bytes(8)}) if new else hostile.legacy(program)
    try:
        found = torch_file.read(file, "FILE")
    except UserError as error:
        assert str(error).startswith("FILE ") and str(error).endswith(".") and "\n" not in str(error)
    else:
        assert all(isinstance(key, str) and isinstance(array, np.ndarray) for key, array in found.items())


# --- mathematics ---


def floats(largest: float, smallest: float | None = None) -> st.SearchStrategy:
    low = -largest if smallest is None else smallest
    bounds = {"min_value": float(np.float32(low)), "max_value": float(np.float32(largest))}
    return st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False, **bounds)


def arrays(shape: tuple[int, ...], largest: float, smallest: float | None = None) -> st.SearchStrategy:
    return hnp.arrays(np.float32, shape, elements=floats(largest, smallest))


MAX = float(np.finfo(np.float32).max)


@given(real=arrays((4,), MAX / 4), fake=arrays((4,), MAX / 4))  # their sum must be a number itself
@quick
def test_the_papers_losses_are_finite_at_every_finite_logit(real, fake):
    """And their gradients, which are probabilities."""
    for name in ("minimax", "non_saturating"):
        loss = losses.LOSSES[name]
        assert np.isfinite(loss.discriminator(real, fake)).all()
        assert np.isfinite(loss.generator(None, fake)).all()
        gradient = jax.grad(lambda x, loss=loss: jnp.sum(loss.generator(None, x)))(jnp.asarray(fake))
        assert np.all((gradient >= -1) & (gradient <= 0))


@given(name=st.sampled_from(sorted(losses.LOSSES)), real=arrays((4,), 1e4), fake=arrays((4,), 1e4))
@quick
def test_every_loss_and_its_gradients_are_finite(name, real, fake):
    loss = losses.LOSSES[name]
    for player in (loss.discriminator, loss.generator):
        assert np.isfinite(player(real, fake)).all()
        gradients = jax.grad(lambda *x, player=player: jnp.sum(player(*x)), argnums=(0, 1))(
            *map(jnp.asarray, (real, fake))
        )
        assert np.isfinite(gradients).all()


@given(real=arrays((4,), MAX / 16), fake=arrays((4,), MAX / 16))  # their sum must be a number itself
@quick
def test_value_is_finite_and_at_most_0(real, fake):
    assert -math.inf < float(value(real, fake)) <= 0


@given(samples=arrays((3, 2), 1e9), x=arrays((4, 2), 1e9), sigma=floats(1e3, 1e-3))
@quick
def test_parzen_is_finite(samples, x, sigma):
    found = parzen.log_likelihood(samples, x, sigma)
    assert np.isfinite(found).all()
    peak = -2 * math.log(sigma * math.sqrt(2 * math.pi))  # of one window, in 2 dimensions
    assert np.all(np.asarray(found) <= peak + 1e-3 * (1 + abs(peak)))
    means = {s: float(np.mean(parzen.log_likelihood(samples, x, s))) for s in (sigma, 2 * sigma)}
    chosen = parzen.select_sigma(samples, x, list(means))
    assert means[chosen] == pytest.approx(max(means.values()), rel=1e-5)


@given(p=arrays((2, 5), 1e30, 0.0), q=arrays((2, 5), 1e30, 0.0), dx=floats(1.0, 1e-6))
@quick
def test_theory_is_finite(p, q, dx):
    """For arrays that are no densities, too. KL alone may be infinite, where q = 0 < p."""
    d = np.asarray(theory.optimal_discriminator(p, q))
    assert np.all((d >= 0) & (d <= 1))
    for divergence in (theory.js_divergence, theory.generator_criterion):
        assert np.isfinite(divergence(p, q, dx))
    assert not np.isnan(theory.kl_divergence(p, q, dx))
    assert np.isfinite(theory.kl_divergence(p, q + np.float32(1e-30), dx))


@given(p=arrays((2, 5), 1e3, 0.0), q=arrays((2, 5), 1e3, 0.0))
@quick
def test_divergences_of_densities_are_within_their_bounds(p, q):
    p, q = ((x + np.float32(1e-3)) / np.sum(x + np.float32(1e-3), dtype=np.float32) for x in (p, q))
    jsd = float(theory.js_divergence(p, q, 1.0))
    assert -1e-6 <= jsd <= math.log(2) + 1e-6
    assert float(theory.kl_divergence(p, q, 1.0)) >= -1e-5
    assert float(theory.generator_criterion(p, q, 1.0)) == pytest.approx(-math.log(4) + 2 * jsd, abs=1e-5)


@given(samples=arrays((6, 2), MAX))
@quick
def test_mixture_scores_are_finite(samples):
    mixture = data.mixture.MIXTURES["ring8"]
    found = {name: float(score) for name, score in modes.evaluate(samples, mixture, 20).items()}
    assert all(map(math.isfinite, found.values())), found
    assert 0 <= found["modes"] <= 8 and 0 <= found["high_quality"] <= 1
    assert -1e-6 <= found["jsd"] <= math.log(2) + 1e-6


@given(x=arrays((5, 2), 1e15))
@quick
def test_mixture_densities_are_finite(x):
    assert np.isfinite(data.mixture.log_density(data.mixture.MIXTURES["grid25"], x)).all()


@given(x=hnp.arrays(np.uint8, (3, 4, 4, 1)), contrast=st.sampled_from([0.0, 1.0, 55.0]))
@quick
def test_images_decode_to_finite_numbers_and_back_to_pictures(x, contrast):
    decoded = np.asarray(data.decode.decode(jnp.asarray(x), contrast))
    assert decoded.dtype == np.float32 and np.isfinite(decoded).all()
    back = data.decode.encode(decoded, contrast)
    assert back.dtype == np.uint8 and (contrast != 0 or np.array_equal(back, x))
