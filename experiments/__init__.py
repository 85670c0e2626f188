"""Reproductions and measurements: `python -m experiments.NAME [--quick] [--out=DIR]`, `--help` for the claim in full.

`EXPERIMENTS` lists them all. Costs are of the default size, in CPU time on two cores of an AMD EPYC as measured in
November 2026. Ablations are sweep files in `experiments/ablations/`; claims and verdicts are in docs/laboratory.md.
"""

# name: (claim or question, cost)
EXPERIMENTS = {
    # The paper, arXiv:1406.2661
    "figure1": ("p_g converges to p_data, and D to 1/2", "70 s"),
    "figure2": ("samples are not copies of their nearest training images", "seconds, for a trained run"),
    "figure3": ("images change gradually along paths in z space", "seconds, for a trained run"),
    "proposition1": ("for a fixed G, the optimal D is p_data / (p_data + p_g)", "60 s"),
    "theorem1": ("C(G) = -log 4 + 2 JSD(p_data || p_g), minimal at p_g = p_data", "60 s"),
    "table1": ("Parzen log-likelihood 225 +- 2 nats on MNIST, 2057 +- 26 on TFD", "10 to 15 minutes per run"),
    "algorithm1_success": ("how often Algorithm 1 trains with the numbers of 2014, and what helps", "140 minutes"),
    # Theory of small games
    "dirac": ("which GANs converge locally: eigenvalues of the training step on the Dirac-GAN", "200 s"),
    "bilinear": ("which updates converge on bilinear and quadratic games, and how discrete steps drift", "47 s"),
    "f_gan": ("a normal distribution fitted under each f-divergence ends at its minimum", "210 s"),
    "basins": ("RpGAN has no bad basins, a GAN has many", "122 s"),
    "lipschitz": ("separated modes need a steep G", "341 s"),
    "priors": ("a prior with two modes draws two modes with a G that is not steep", "203 s"),
    "few_labels": ("a D that predicts classes needs few labels", "4 minutes"),
    "inference": ("which encoders infer the z of digits, and what search for z adds", "about 10 minutes"),
    "damping": (
        "R1, latent optimization and unrolling are one damping; unrolling at equal cost",
        "216 s",
    ),
    "critics": ("which WGAN critics estimate the Wasserstein-1 distance", "863 s"),
    "finite_differences": (
        "what R1 by finite differences estimates and costs, and whether it trains as R1 does",
        "6 minutes",
    ),
    # Training
    "superresolution": (
        "super-resolution exchanges distortion for perception: L1, conditional GAN, both",
        "4 minutes",
    ),
    "conditionals": (
        "one G draws from all conditionals of a vector; against scikit-learn's imputers",
        "447 s",
    ),
    "modes": ("how many modes a GAN captures, by protocol, packing and loss", "1,298 s"),
    "adjustment": ("the symplectic term keeps 16 modes where RMSProp alone loses them", "497 s"),
    "r3gan_ablation": ("relativistic pairing covers modes, and R1 + R2 make it converge", "277 s"),
    "stacked_mnist": ("packing captures more of the 1000 modes of Stacked MNIST", "not run at its default size"),
    "memorization": ("when G copies its training images, and which metric detects it", "9 minutes"),
    "mnist_recipes": ("scores of the MNIST recipes, trained with the same seeds", "for an accelerator"),
    # Metrics
    "fid_bias": ("FID with 50,000 samples can rank the worse model first", "426 s"),
    "metric_agreement": (
        "which metric detects which damage, and which metrics agree",
        "827 s for less than the default",
    ),
    "metric_checks": ("precision, recall, density and coverage fail many sanity checks", "859 s"),
    # Speed and reliability
    "benchmark": ("time of a training step relative to PyTorch and to a hand-written step", "minutes; needs PyTorch"),
    "accelerator": ("what one accelerator does with each recipe at each precision", "10 minutes of an accelerator"),
    "population_benchmark": ("cost of training many GANs at once", "minutes"),
    "streaming": ("data larger than memory train at the speed of resident data", "30 minutes"),
    "faults": ("no fault of the machine loses more than the steps since the last checkpoint", "20 minutes"),
    # The page of all claims
    "laboratory": ("docs/laboratory.md as one HTML page", "a second"),
}
