"""Small forms of the laboratory: the experiments' closed forms, and the training step against them."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import basins, bilinear, dirac, dynamics, f_gan, lab, modes
from experiments.dynamics import sgd
from jaxgan.config.hparams import traced
from jaxgan.data.mixture import MIXTURES
from jaxgan.game.build import build
from jaxgan.networks.layers import DataSpec
from jaxgan.objectives.losses import LOSSES

pytestmark = pytest.mark.slow

# --- dynamics ---------------------------------------------------------------------------------------------------------


def test_rate_is_the_mean_growth_of_a_state_that_turns():
    n = np.arange(800)
    turning = 0.97 * np.exp(0.2 * (np.cos(0.3 * (n + 1)) - np.cos(0.3 * n)))  # an orbit of an ellipse that shrinks
    assert dynamics.rate(turning) == pytest.approx(0.97, abs=1e-7)
    assert dynamics.rate(np.stack([turning, turning**2])) == pytest.approx([0.97, 0.97**2], abs=1e-6)


def test_quantile_noise_has_mean_0_and_variance_1_and_is_the_same_for_real_and_fake():
    noise = dynamics.QuantileNoise(deviation=0.5, count=8)
    seen = np.asarray(noise(jnp.ones((16, 1)), None, ()))[:, 0] - 1
    assert seen.mean() == pytest.approx(0, abs=1e-6)
    assert seen.std() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_array_equal(seen[:8], seen[8:])


# --- dirac ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "update", "d_steps"),
    [
        ("gan", "simultaneous", 1),
        ("non_saturating", "alternating", 1),
        ("wasserstein_clip", "alternating", 3),
        ("instance_noise", "simultaneous", 1),
        ("r1", "alternating", 5),
        ("r2", "extragradient", 1),
        ("r3gan", "simultaneous", 1),
        ("relativistic_average_least_squares", "simultaneous", 1),
        ("f_kl", "simultaneous", 1),
        ("consensus", "simultaneous", 1),
        ("consensus", "alternating", 2),
        ("symplectic_aligned", "simultaneous", 1),
    ],
)
def test_dirac_the_step_has_the_closed_form(name, update, d_steps):
    method = dirac.METHODS[name]
    rates, weights = dirac.settings(method, learning_rate=0.2, weight=None, cases=2, seed=7)
    found = dirac.measure(method, update, learning_rates=rates, weights=weights, d_steps=d_steps, steps=1500)
    exact = [
        dirac.closed_form(method, update, learning_rate=h, weight=w, d_steps=d_steps)
        for h, w in zip(rates, weights, strict=True)
    ]
    np.testing.assert_allclose(found["spectral_radius"], exact, atol=2e-6)
    np.testing.assert_allclose(found["rate"], exact, atol=1e-4)


def test_dirac_closed_forms_by_hand():
    gan, r1 = dirac.METHODS["gan"], dirac.METHODS["r1"]
    a, gamma, h = 0.1, 0.3, 0.2  # a = h f'(0)
    assert dirac.closed_form(gan, "simultaneous", learning_rate=h, weight=0) == pytest.approx(math.hypot(1, a))
    assert dirac.closed_form(gan, "alternating", learning_rate=h, weight=0) == pytest.approx(1)
    # While the eigenvalues are complex: 1 - h gamma + a^2, and 1 - h gamma, are the squared moduli.
    simultaneous = dirac.closed_form(r1, "simultaneous", learning_rate=h, weight=gamma)
    assert simultaneous**2 == pytest.approx(1 - h * gamma + a**2)
    assert dirac.closed_form(r1, "alternating", learning_rate=h, weight=gamma) ** 2 == pytest.approx(1 - h * gamma)
    # R1 with two steps of D: z^2 - (a^2 + 1 - h^2 c (1 + a)) z + a^2, a = 1 - h gamma.
    z = np.roots([1, -(0.94**2 + 1 - 0.01 * 1.94), 0.94**2])
    twice = dirac.closed_form(r1, "alternating", learning_rate=h, weight=gamma, d_steps=2)
    assert twice == pytest.approx(np.abs(z).max())
    consensus = dirac.flow_eigenvalues(dirac.METHODS["consensus"], 1.0)  # -gamma f'(0)^2 +- i f'(0)
    assert sorted(consensus.imag) == pytest.approx([-0.5, 0.5]) and consensus.real == pytest.approx([-0.25, -0.25])
    noise = dirac.flow_eigenvalues(dirac.METHODS["instance_noise"], 0.7)
    assert (noise.real[0], abs(noise.imag[0])) == pytest.approx((-0.1225, 0.4848), abs=1e-4)


def test_dirac_r3gan_equation_12_lacks_a_square():
    """-gamma/2 +- sqrt(gamma^2/4 - f'(0)) is printed; the step has f'(0)^2, and its critical gamma is 1."""
    below, above = dirac.locus(np.array([0.9, 2.0]))
    assert np.abs(below.imag).min() > 0.2
    real = np.sort(above.real)
    assert real == pytest.approx([-1 - math.sqrt(3) / 2, -1 + math.sqrt(3) / 2], abs=1e-5)
    assert np.abs(real - [-1 - math.sqrt(0.5), -1 + math.sqrt(0.5)]).min() > 0.1


@pytest.mark.parametrize(("theta", "psi"), [(1.0, 1.0), (-0.4, 1.7), (0.6, -2.0)])
def test_dirac_the_released_gradient_of_consensus_lacks_half_of_a_term(theta, psi):
    """The step has the whole: its increments are not those of the released code, whose eigenvalues are the same."""
    method, h, gamma = dirac.METHODS["consensus"], 0.2, 0.8
    game = dirac.make_game(method, "simultaneous")
    hparams = dirac.hparams_at(game, np.float32(h), np.float32(gamma))
    start = dynamics.initial_state(game, hparams, theta, psi)
    before, after = dynamics.trajectory(game, hparams, start=start, steps=1)
    exact, released = (dirac.consensus_increments(theta, psi, weight=gamma, factor=factor) for factor in (1.0, 0.5))
    assert (after - before) / h == pytest.approx(exact, abs=2e-6)
    assert np.linalg.norm(np.subtract(exact, released)) > 0.05
    near = [dirac.consensus_increments(1e-4, 1e-4, weight=gamma, factor=factor) for factor in (1.0, 0.5)]
    assert near[0] == pytest.approx(near[1], rel=1e-6)


def test_dirac_consensus_with_5_steps_of_d_leaves_where_its_released_gradient_converges():
    found = dirac.five_d_steps(100)
    assert found["step"] == pytest.approx(found["exact"], rel=1e-3)
    assert found["exact"] > 5
    assert found["released"] < 1e-5


def test_dirac_random_instance_noise_agrees_with_its_quantiles():
    changes = {"objective.loss": "minimax", "augment.name": "instance_noise", "augment.deviation": 0.7}
    changes |= {"augment.steps": 1e30, "train.update": "simultaneous", **sgd(0.2)}
    game = dynamics.dirac(changes, batch_size=4096)
    jacobian = jax.jit(
        lambda: dynamics.jacobian(game, game.hparams, at=dynamics.initial_state(game, game.hparams, 0.0, 0.0))
    )
    exact = dirac.closed_form(dirac.METHODS["instance_noise"], "simultaneous", learning_rate=0.2, weight=0.7)
    assert exact < 0.985  # of 1.005 without the noise
    assert dynamics.moduli(jacobian()) == pytest.approx(exact, abs=2e-3)


def test_dirac_a_gradient_penalty_keeps_away_from_the_equilibrium():
    method = dirac.METHODS["gradient_penalty"]
    found = dirac.measure(method, "alternating", learning_rates=[0.2], weights=[0.7], d_steps=1, steps=0)
    assert found["distance"].min() > 1
    assert found["distance"].max() < 2


def test_dirac_non_saturating_steps_end_on_a_cycle():
    assert dirac.cycle_radius([0.1, 0.2], steps=3000) == pytest.approx(np.sqrt([0.2, 0.4]), rel=0.01)


# --- bilinear ---------------------------------------------------------------------------------------------------------


def test_bilinear_closed_forms_are_the_known_radii():
    for name, radius in bilinear.KNOWN.items():
        found = bilinear.closed_form(bilinear.RULES[name], learning_rate=0.3, gamma=0.0)
        assert found == pytest.approx(radius, abs=1e-6)


@pytest.mark.parametrize("name", ["optimistic, alternating", "momentum .5, alternating", "lookahead, simultaneous",
                                  "consensus", "symplectic"])  # fmt: skip
def test_bilinear_the_step_has_the_closed_form_on_the_quadratic_game(name):
    rule = bilinear.RULES[name]
    found = bilinear.measure(rule, learning_rate=0.25, gamma=0.5, steps=600)
    exact = bilinear.closed_form(rule, learning_rate=0.25, gamma=0.5)
    assert found["spectral_radius"] == pytest.approx(exact, abs=1e-6)
    assert found["rate"] == pytest.approx(exact, abs=1e-4)


def test_bilinear_the_modified_field_is_that_of_the_published_notebook():
    for name, value in bilinear.notebook_numbers().items():
        assert value == pytest.approx(bilinear.NOTEBOOK[name], abs=2e-5)


def test_bilinear_steps_follow_the_modified_flow_of_their_own_update():
    for update, flows in bilinear.drift(gamma=0.3, points=4).items():
        for flow, found in flows.items():
            assert found["order"] == pytest.approx(3 if flow == update else 2, abs=0.3)


# --- f_gan ------------------------------------------------------------------------------------------------------------


def test_f_gan_the_mixture_gives_the_published_table():
    for name, published in f_gan.PUBLISHED.items():
        assert f_gan.best(name) == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize(
    ("trained", "descended"), [("f_kl", "f_reverse_kl"), ("f_reverse_kl", "f_neyman"), ("f_pearson", "f_kl")]
)
def test_f_gan_the_alternative_loss_descends_another_divergence(trained, descended):
    assert f_gan.trick_fixed_point(trained) == pytest.approx(f_gan.best(descended)[1:], abs=1e-4)


@pytest.mark.parametrize("name", f_gan.TRAINED)
def test_f_gan_the_bound_is_tight_at_the_best_discriminator(name):
    q, u = f_gan.ratio(1.3, 1.7)
    log_u = np.log(u)
    best = {"f_kl": 1 + log_u, "f_reverse_kl": log_u, "f_js": log_u, "f_pearson": 2 * (u - 1), "f_neyman": 2 * log_u,
            "f_hellinger": log_u / 2}[name]  # fmt: skip
    p, q, best = (jnp.asarray(a, jnp.float32) for a in (f_gan.P, q, np.clip(best, -60, 60)))
    exact = f_gan.divergence(name, 1.3, 1.7)
    assert float(f_gan.value_bound(LOSSES[name], best, p, q)) == pytest.approx(exact, abs=1e-3)
    assert float(f_gan.value_bound(LOSSES[name], best + 0.3, p, q)) < exact - 1e-3


def test_f_gan_the_saddle_game_is_zero_sum():
    loss = LOSSES["f_kl"]
    logits = jnp.array([-1.0, 0.3, 2.0])
    d = jax.grad(lambda f: jnp.sum(loss.discriminator(jnp.zeros(3), f)))(logits)
    g = jax.grad(lambda f: jnp.sum(f_gan.saddle(loss).generator(None, f)))(logits)
    np.testing.assert_allclose(g, -d, rtol=1e-6)
    np.testing.assert_allclose(g, -np.exp(np.asarray(logits) - 1), rtol=1e-6)


def test_f_gan_training_moves_towards_the_mixture_and_keeps_the_bound():
    draw = np.random.default_rng(0)
    of_the_first = draw.random(4096) < f_gan.WEIGHTS[0]
    means, deviations = np.where(of_the_first, *f_gan.MEANS), np.sqrt(np.where(of_the_first, *f_gan.VARIANCES))
    data = (means + deviations * draw.normal(size=4096)).astype(np.float32)[:, None]
    (run,) = f_gan.train("f_kl", "saddle", data=data, steps=200, seeds=1, batch_size=128)
    assert run["F"] <= run["D_f"] + 1e-4
    assert 0.4 < run["mu"] < 1.6 and run["D_f"] < f_gan.divergence("f_kl", 0.0, 1.0) / 2


# --- basins -----------------------------------------------------------------------------------------------------------


def test_basins_counts_for_three_points():
    assert basins.bad_assignments(3, "gan") == (21, 21)
    assert basins.bad_assignments(3, "rpgan, fixed pairs") == (0, 0)
    assert basins.bad_assignments(3, "rpgan, all pairs") == (21, 21)


def test_basins_verdicts():
    stuck = {"gan": 21, "rpgan, fixed pairs": 0, "rpgan, all pairs": 21}
    rows = [{"game": game, "claimed": 21, "stuck": n} for game, n in stuck.items()]
    ends = {loss: {"covered": [[False, True]] * 15 + [[True, False]]} for loss in ("non_saturating", "relativistic")}
    result = {"enumeration": {"rows": rows}, "clusters": ends}
    *counts, trained = basins.verdicts(result).values()
    assert counts == [True, True, False]
    assert trained.startswith(
        f"{lab.NOT_REPRODUCED}: with these networks the GAN reaches both clusters in 15 of 16 runs"
    )
    ends["non_saturating"] = {"covered": [[True, False]] * 16}
    assert basins.verdicts(result)["RpGAN succeeds where a GAN is trapped"] is True


def test_basins_values_by_hand():
    one_cluster, half_away = basins.closed_forms((0, 0)), basins.closed_forms((0, 2))
    assert one_cluster["gan"] == pytest.approx(-0.9548, abs=1e-4)  # the plateau: half of it is .4774
    assert one_cluster["rpgan, fixed pairs"] == pytest.approx(-math.log(2) / 2)
    assert half_away["rpgan, fixed pairs"] == pytest.approx(-math.log(2) / 2)
    assert one_cluster["rpgan, all pairs"] == pytest.approx(-math.log(2) / 2)
    assert half_away["rpgan, all pairs"] == pytest.approx(-math.log(2) / 4)


def test_basins_the_losses_have_these_values():
    found = basins.descent_values(2, steps=2000)
    for i, pattern in enumerate(basins.patterns(2)):
        for game, exact in basins.closed_forms(pattern).items():
            assert found[game][i] == pytest.approx(exact, abs=1e-5)


def test_basins_the_relativistic_value_is_a_divergence_of_pairs():
    p, q = np.array([[3, 2, 1], [1, 1, 4]]), np.array([[1, 1, 4], [2, 3, 1]])
    values, D = basins.trained_values(p, q, count=6, steps=600)
    for a, b, value, psi in zip(p / 6, q / 6, values, D, strict=True):
        assert value == pytest.approx(basins.relativistic_value(a, b), abs=1e-5)
        best = np.log(a / b)
        np.testing.assert_allclose(psi - psi.mean(), best - best.mean(), atol=1e-3)
    near = basins.relativistic_value(np.array([0.5, 0.5]), np.array([0.51, 0.49]))
    assert near / basins.jensen_shannon(np.array([0.5, 0.5]), np.array([0.51, 0.49])) == pytest.approx(2, abs=1e-3)


# --- modes ------------------------------------------------------------------------------------------------------------


def scored(part, data, name, counts, high_quality=None):
    """A cell and what training would say of it, with these numbers of modes at the end."""
    counts = np.asarray(counts, float)
    end = {"modes": counts, "high_quality": counts / 10 if high_quality is None else high_quality}
    end["high_quality_kl"] = 1 / (counts + 1)
    return modes.Cell(part, data, name, None, range(len(counts))), {score: [end[score]] for score in modes.SCORES}


def test_modes_the_protocols_networks_are_the_published_ones():
    """PacGAN's weights by arithmetic: no biases in G but the output's, a scale and a shift of each normalized unit."""
    for packing in (1, 4):
        config = modes.pacgan("ring", packing, loss="non_saturating", width=1.0, learning_rate=1e-4, steps=10)
        gan = build(config, DataSpec((2,)), 1000)
        state = jax.eval_shape(gan.init, traced(config))
        in_g, in_d = (sum(x.size for x in jax.tree.leaves(p.params)) for p in (state.generator, state.discriminator))
        assert in_g == 2 * 400 + 3 * 400**2 + 4 * 2 * 400 + (400 * 2 + 2)
        assert in_d == (2 * packing * 1000 + 1000) + 2 * (200 * 1000 + 1000) + (200 + 1)
        assert gan.batch_size == 100 * packing
    config = modes.veegan("grid", loss="non_saturating", steps=10)
    state = jax.eval_shape(build(config, DataSpec((2,)), 1000).init, traced(config))
    G, D = (sum(x.size for x in jax.tree.leaves(p.params)) for p in (state.generator, state.discriminator))
    assert (G, D) == (254 * 128 + 128 + 128**2 + 128 + 128 * 2 + 2, 2 * 128 + 128 + 128 + 1)


def test_modes_both_protocols_have_the_same_data():
    ring, grid = (MIXTURES[modes.DATA[data].removeprefix("mixture:")] for data in ("ring", "grid"))
    np.testing.assert_allclose(np.linalg.norm(ring.means, axis=1), 1, rtol=1e-6)
    assert set(ring.scales) == {np.float32(0.01)} and set(grid.scales) == {np.float32(0.05)}
    assert abs(modes.CEILING - 0.98889) < 1e-5


def test_modes_packing_is_compared_by_seed_and_the_swing_is_not():
    rows = modes.protocol_rows(
        *zip(
            scored("VEEGAN", "grid", "GAN", [2, 3, 4]),
            scored("PacGAN", "grid", "GAN", [10, 20, 15]),
            scored("PacGAN", "grid", "PacGAN2", [13, 22.5, 18.5]),
            strict=True,
        )
    )
    packed, swung = rows[2]["modes"], modes.protocol_differences(rows)
    assert packed["paired"][0] == pytest.approx(3)
    assert 3 - packed["paired"][1] == pytest.approx(4.3027 * 0.5 / math.sqrt(3), abs=1e-3)  # t(2) of 3, 2.5, 3.5
    published = modes.PUBLISHED["PacGAN"]["grid"]["PacGAN2"]["modes"]
    assert packed["published"] == pytest.approx((23.8, 23.8 - 2.2622 * 0.7, 23.8 + 2.2622 * 0.7), abs=1e-3)
    assert published == (23.8, 0.7)
    (gained,) = [one for one in swung if one["score"] == "modes"]
    assert gained["published"] == pytest.approx(14) and gained["ours"][0] == pytest.approx(12)
    assert gained["ours"][1] < 3 < 20 < gained["ours"][2]  # far wider than a paired interval
    held = modes.verdicts(rows, swung)
    assert held["PacGAN2, grid: more modes than the GAN"]
    overlapping = [gained | {"ours": (12.0, low, high)} for low, high in ((-1.0, 25.0), (math.nan, math.nan))]
    assert [modes.verdicts([], [one]) for one in overlapping] == [
        {"GAN, grid: more modes by PacGAN's protocol": None}
    ] * 2
    (fewer,) = modes.verdicts([], [gained | {"ours": (-12.0, -20.0, -4.0)}]).values()
    assert fewer is False
    lost = rows[2] | {"modes": packed | {"paired": (-3.0, -4.0, -2.0), "p": 0.01}}
    assert list(modes.verdicts([lost], []).values()) == [False]
    assert list(modes.verdicts([lost], [], "a toy").values()) == [lab.reproduced(False, "a toy")]
    baseline = [dict(rows[0], data="ring", modes=packed | {"ours": (2.0, low, 3.0)}) for low in (0.5, 1.5)]
    baseline = [row | {"modes": row["modes"] | {"published": (1, math.nan, math.nan)}} for row in baseline]
    assert [list(modes.verdicts([row], []).values()) for row in baseline] == [
        [True],
        [lab.reproduced(False, modes.LIMITS)],
    ]
    unclear = rows[2] | {"modes": packed | {"paired": (-3.0, -8.0, 2.0), "p": 0.3}}
    assert modes.verdicts([unclear], []) == {"PacGAN2, grid: more modes than the GAN": None}


def test_modes_success_rates_by_hand():
    full, none = np.r_[np.full(8, 8.0), 7, 0], np.r_[np.full(2, 8.0), np.zeros(7), np.nan]
    rows = modes.rate_rows(
        *zip(scored("rates", "ring", "non_saturating", full), scored("rates", "ring", "hinge", none), strict=True)
    )
    assert [(row["rate"].successes, row["none"], row["diverged"]) for row in rows] == [(8, 1, 0), (2, 7, 1)]
    assert (rows[0]["rate"].low, rows[0]["rate"].high) == pytest.approx((0.4439, 0.9748), abs=1e-4)  # Clopper-Pearson
    assert math.isnan(rows[0]["p"]) and rows[1]["p"] == pytest.approx(2 / 2**6)  # 6 discordant pairs, all one way


def test_modes_a_cell_is_a_population_and_is_not_trained_twice(tmp_path, monkeypatch):
    name, config = modes.rates("non_saturating", steps=10)
    cell = modes.Cell("rates", "ring", name, config, range(3))
    (found,) = modes.train_all([cell], tmp_path)
    assert found["steps"] == [10] and np.shape(found["modes"]) == (1, 3)
    assert np.shape(found["samples"]) == (modes.SHOWN, 2)
    assert len({tuple(column) for column in np.transpose(found["jsd"])}) == 3
    monkeypatch.setattr(modes, "train", lambda *_: pytest.fail("it was trained again"))
    assert modes.train_all([cell], tmp_path) == [found]
