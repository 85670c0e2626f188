"""The terms of PyTorch code (the DCGAN example, StudioGAN, mimicry), and the corresponding fields of this
configuration.

`docs/from_pytorch.md` has the same rows as a table. PLAYER is generator or discriminator.
"""

from __future__ import annotations

WORDS: dict[tuple[str, ...], str] = {
    # --- Losses and penalties ---
    ("adv_loss", "loss_type", "gan_mode", "criterion"): "objective.loss",
    ("vanilla", "gan", "ns", "logistic", "bce", "bceloss"): "objective.loss=non_saturating",
    ("lsgan", "least_square", "ls", "mse"): "objective.loss=least_squares",
    ("ragan",): "objective.loss=relativistic_average",
    ("rpgan", "relativistic_pairing"): "objective.loss=relativistic",
    ("wgan",): "objective.loss=wasserstein with optimizer.discriminator.clip=0.01, train.d_steps=5 and RMSProp",
    (
        "wgan_gp",
        "wgangp",
    ): "objective.loss=wasserstein with objective.penalties.gradient_penalty=10 and train.d_steps=5; "
    "see --config=wgan_gp_mnist",
    ("wgan_lp",): "objective.loss=wasserstein with objective.penalties.gradient_penalty_one_sided=10",
    (
        "gp",
        "lambda_gp",
        "gp_lambda",
        "gp_scale",
        "apply_gp",
        "gp_weight",
    ): "objective.penalties.gradient_penalty=WEIGHT",
    ("r1_gamma", "r1_lambda", "apply_r1_reg", "r1_weight", "r1_reg"): "objective.penalties.r1=WEIGHT, which "
    "multiplies half of the squared gradient norm, like StyleGAN's gamma",
    ("r2_gamma",): "objective.penalties.r2=WEIGHT",
    (
        "d_reg_every",
        "d_reg_interval",
        "lazy_reg",
        "r1_interval",
    ): "objective.penalty_every=N; weights are multiplied by N here",
    ("apply_dra", "dra_lambda", "dra_labmda"): "objective.penalties.dragan=WEIGHT",
    ("apply_maxgp", "maxgp_lambda"): "objective.penalties.max_gradient=WEIGHT",
    ("apply_wc", "wc_bound", "clip_value", "clip_limit", "weight_clip"): "optimizer.discriminator.clip=LIMIT",
    ("label_smoothing", "real_label"): "objective.real_target=0.9 (with minimax or non_saturating)",
    ("apply_cr", "cr_lambda"): "objective.consistency.real=WEIGHT",
    (
        "apply_bcr",
        "real_lambda",
        "fake_lambda",
    ): "objective.consistency.real=WEIGHT and objective.consistency.fake=WEIGHT",
    (
        "apply_zcr",
        "d_lambda",
        "g_lambda",
    ): "objective.latent.discriminator=WEIGHT, objective.latent.generator=WEIGHT and objective.latent.radius",
    ("apply_lecam", "lecam_lambda", "lecam_ratio"): "objective.lecam.weight=WEIGHT",
    ("apply_topk", "topk", "topk_nu", "topk_gamma"): "objective.top_k=FRACTION, constant during training",
    # --- Optimizers ---
    ("lr", "g_lr", "d_lr", "lr_g", "lr_d", "ttur"): "optimizer.generator.learning_rate and "
    "optimizer.discriminator.learning_rate",
    (
        "betas",
        "beta1",
        "beta2",
        "beta_1",
        "beta_2",
        "b1",
        "b2",
    ): "optimizer.PLAYER.b1 and optimizer.PLAYER.b2, for each player",
    ("type_", "optim", "optimizer_type"): "optimizer.PLAYER.name",
    (
        "lr_decay",
        "lr_scheduler",
        "lr_policy",
        "scheduler",
    ): "optimizer.PLAYER.schedule.name=linear, cosine or exponential",
    ("weight_decay", "g_weight_decay", "d_weight_decay"): "nothing: no optimizer here decays weights",
    # --- Training ---
    ("n_critic", "n_dis", "d_updates_per_step", "num_d_steps", "critic_iters", "k"): "train.d_steps",
    ("num_epochs", "epochs", "n_epochs", "niter", "epoch"): "train.steps, which is epochs * training examples / "
    "train.batch_size",
    ("num_steps", "total_steps", "max_iter", "iterations", "total_kimg", "kimg"): "train.steps; a kimg is "
    "1000 / train.batch_size of them",
    ("batchsize", "bs", "batch"): "train.batch_size",
    (
        "acml_steps",
        "accm_step",
        "gradient_accumulation",
        "grad_accum",
    ): "train.accumulate, the number of microbatches per minibatch of train.batch_size",
    ("amp", "mixed_precision", "fp16", "use_amp", "half"): "nothing: parameters and sums stay float32; "
    "train.precision=bfloat16 or high makes matrix products faster",
    ("manualseed", "manual_seed", "random_seed"): "seed",
    ("ngpu", "gpus", "num_gpus", "ddp", "device", "cuda"): "nothing: all devices that JAX finds share each minibatch; "
    "CUDA_VISIBLE_DEVICES or JAX_PLATFORMS chooses them",
    ("workers", "num_workers"): "nothing: the training set is kept on the devices",
    # --- Networks ---
    ("backbone", "arch", "netg", "netd", "model"): "generator.name and discriminator.name; see --list=networks",
    ("z_dim", "nz", "latent_dim", "dim_z", "noise_dim", "latent_size"): "prior.size",
    ("z_prior", "z_dist", "noise"): "prior.name=normal or uniform",
    ("ngf", "g_conv_dim", "gf_dim", "g_ch"): "generator.widths (dcgan, sndcgan) or generator.width (resnet)",
    ("ndf", "d_conv_dim", "df_dim", "d_ch"): "discriminator.widths (dcgan, sndcgan) or discriminator.width (resnet)",
    ("spectral_norm", "sn", "apply_d_sn", "use_sn", "d_sn"): "discriminator.norm=spectral (mlp, dcgan) or "
    "discriminator.spectral=True (sndcgan, resnet)",
    ("g_sn", "apply_g_sn"): "generator.norm=spectral (mlp only)",
    (
        "batch_norm",
        "batchnorm",
        "bn",
        "use_bn",
    ): "generator.norm=batch (mlp, dcgan) or discriminator.norm=batch (dcgan)",
    ("attention", "apply_attn", "self_attention"): "nothing: no family here has attention",
    ("ema", "g_ema", "apply_g_ema", "g_ema_decay", "ema_decay", "ema_beta", "use_ema", "ema_kimg"): "generator.ema."
    "half_life=(IMAGES,), which for a decay per step is train.batch_size * ln 2 / -ln(decay): 44339 for .999 and 64",
    ("g_ema_start", "ema_start"): "generator.ema.ramp or generator.ema.rise, which shorten the average early on",
    # --- Classes ---
    (
        "num_classes",
        "n_classes",
        "y_dim",
        "class_cond",
        "cond",
    ): "conditional=label; the number of classes follows from the data",
    ("g_cond_mtd", "cbn", "conditional_bn"): "conditional=label, with generator.norm=conditional_batch (dcgan)",
    ("d_cond_mtd", "projection"): "conditional=label; D of sndcgan and resnet then has a projection",
    (
        "acgan",
        "ac",
        "cond_lambda",
        "aux_cls_type",
        "aux_weight",
    ): "conditional=label with objective.auxiliary.real=1 and objective.auxiliary.generator=1",
    # --- Data and augmentation ---
    ("dataset", "data_name", "dataset_name", "dataroot", "data_root", "data_dir"): "data.name, such as folder:PATH or "
    "tfds:cifar10",
    ("image_size", "imagesize", "img_size", "resolution"): "data.size, for data.name=folder:PATH; else the data's own",
    ("diffaug", "apply_diffaug", "diff_augment"): "augment.name=diffaugment; augment.policy=color,translation,cutout",
    ("apply_ada", "ada_target", "ada_kimg", "ada_length", "aug"): "augment.name=ada; augment.target and augment.images",
    ("apply_rflip", "hflip", "random_flip", "xflip", "mirror"): "augment.name=flip, for data and samples",
    # --- Files and scores ---
    ("log_dir", "save_dir", "outdir", "outf", "output_dir", "checkpoint_dir"): "--workdir=DIR",
    ("log_steps", "print_every", "print_steps", "print_freq", "log_interval"): "log.every",
    ("save_steps", "save_every", "save_freq", "snap", "ckpt_every"): "checkpoint.every",
    ("vis_steps", "sample_interval", "sample_freq", "sample_every"): "sample.every",
    (
        "eval_metrics",
        "metrics",
        "fid",
        "is",
        "inception",
    ): "evaluate.metrics=fid with evaluate.features; see --list=metrics",
    ("resume", "ckpt_dir", "checkpoint_path", "load"): "nothing: --workdir=DIR alone resumes",
}

_BY_WORD = {word: text for words, text in WORDS.items() for word in words}


def translate(word: str) -> str | None:
    """A clause with the corresponding field for a term of PyTorch code; None for other words.

    Args:
      word: of which the last part counts, 'n_critic' of 'train.n_critic', in any case, with '-' as '_'.
    """
    last = word.rpartition(".")[2]
    text = _BY_WORD.get(last.lower().replace("-", "_"))
    if text is None:
        return None
    meaning, nothing = text.removeprefix("nothing: "), text.startswith("nothing: ")
    return f"PyTorch's {last!r} {'has no counterpart here' if nothing else 'is'}: {meaning} (docs/from_pytorch.md)"
