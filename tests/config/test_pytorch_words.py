"""The words of PyTorch code: one table for errors and docs, and what it says can be set."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jaxgan import config as C
from jaxgan.config.pytorch_words import WORDS, translate
from jaxgan.errors import UserError
from jaxgan.fields import fields_of

DOC = (Path(__file__).parents[2] / "docs/from_pytorch.md").read_text()
# Settings of StudioGAN's src/config.py.
STUDIOGAN = (
    "adv_loss", "apply_gp", "gp_lambda", "r1_lambda", "wc_bound", "cr_lambda", "lecam_lambda", "topk_nu", "g_lr",
    "d_lr", "beta1", "d_updates_per_step", "total_steps", "acml_steps", "backbone", "z_dim", "z_prior", "g_conv_dim",
    "d_conv_dim", "apply_d_sn", "g_ema_decay", "g_cond_mtd", "d_cond_mtd", "apply_diffaug", "apply_ada",
    "apply_rflip", "img_size",
)  # fmt: skip
ASKED = (
    "betas", "gp", "wgan_gp", "wgan", "n_critic", "z_dim", "lambda_gp", "ema", "lr", "nz", "ngf", "beta1",
    "spectral_norm", "diffaug", "amp", "num_epochs",
)  # fmt: skip


def test_the_document_has_every_row_and_no_other():
    rows = [line for line in DOC.splitlines() if line.startswith("| `")]
    assert rows == [f"| {', '.join(f'`{word}`' for word in words)} | {text} |" for words, text in WORDS.items()]


def test_no_word_is_in_two_rows():
    words = [word for row in WORDS for word in row]
    assert len(set(words)) == len(words)


@pytest.mark.parametrize("word", [*STUDIOGAN, *ASKED])
def test_common_words_are_translated(word):
    assert translate(word)


def test_what_it_names_are_fields():
    """Every dotted name of the right column is a field, or a section, of some configuration."""
    known = set(C.flatten(C.default()))
    known |= {f"{p}.{f}" for p, s in C.SECTIONS.items() for choice in s.choices.values() for f in fields_of(choice)}
    for text in WORDS.values():
        text = text.replace("PLAYER", "generator")
        for name in re.findall(
            r"\b(?:augment|evaluate|data|generator|discriminator|log|objective|optimizer|prior|sample|train|checkpoint)\.[a-z0-9_.]*[a-z0-9_]",
            text,
        ):
            assert name in known, (name, text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"train.n_critic": 5},
            r"PyTorch's 'n_critic' is: train\.d_steps \(docs/from_pytorch\.md\)",
        ),
        ({"optimizer.generator.betas": (0.0, 0.9)}, r"'betas' is: optimizer\.PLAYER\.b1 and"),
        ({"objective.penalties.lambda-gp": 10.0}, r"'lambda-gp' is: objective\.penalties\.gradient_penalty=WEIGHT"),
        (
            {"objective.loss": "wgan_gp"},
            r"not 'wgan_gp'; PyTorch's 'wgan_gp' is: objective\.loss=wasserstein with",
        ),
        ({"generator.apply_attn": True}, r"PyTorch's 'apply_attn' has no counterpart here: no family"),
        ({"train.warmup": 1}, "'train.warmup'; train has accumulate, batch_size, .*, steps, .*; --mode=config"),
        ({"generator.ema.decay": 0.9}, "generator.ema has gamma, half_life, ramp, rise"),
        ({"nonsense.thing": 1}, "it has augment, checkpoint, condition, conditional, data, .*, train; --mode"),
        ({"batch_size": 1}, r"the nearest is 'train\.batch_size'"),
        ({"trian.steps": 1}, r"the nearest is 'train\.steps'"),
        ({"optimizer.generator.learning_rat": 1.0}, r"the nearest is 'optimizer\.generator\.learning_rate'"),
        ({"generator.name": "adamw"}, "must be one of mlp, [^;]*, not 'adamw'.$"),
    ],
)
def test_an_unknown_field_gets_a_hint(changes, words):
    with pytest.raises(UserError, match=words):
        C.update(C.default(), changes)


def test_the_example_is_a_configuration():
    """Its Python runs, and the fields are those that the rows give for the YAML's words."""
    scope: dict = {}
    exec(DOC.partition("```python\n")[2].partition("```")[0], scope)
    config = scope["get_config"]()
    C.validate(config)
    assert (config.train.d_steps, config.prior.size, config.generator.width) == (5, 128, 256)
