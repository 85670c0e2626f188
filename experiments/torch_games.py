"""The games of `benchmark.py` in idiomatic eager PyTorch, with which the package's steps are compared.

D's gradients are switched off while G learns. Each function returns a function of n that makes n steps.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
M, Z, H, UNITS, PIECES = 100, 100, 1200, 240, 5
LR, MOMENTUM = 0.1, 0.5


def finish() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def mlp(data: np.ndarray) -> Callable[[int], None]:
    """The 2014 networks and SGD with momentum, as `configs/mnist.py` has them."""
    X = data[0].size

    class Maxout(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.linear = nn.Linear(inputs, UNITS * PIECES)

        def forward(self, x):
            return self.linear(x).view(-1, UNITS, PIECES).max(-1).values

    G = nn.Sequential(nn.Linear(Z, H), nn.ReLU(), nn.Linear(H, H), nn.ReLU(), nn.Linear(H, X), nn.Sigmoid())
    D = nn.Sequential(nn.Dropout(0.2), Maxout(X), nn.Dropout(0.5), Maxout(UNITS), nn.Dropout(0.5), nn.Linear(UNITS, 1))
    for net, r in ((G, 0.05), (D, 0.005)):
        for p in net.to(DEVICE).parameters():
            nn.init.uniform_(p, -r, r) if p.ndim > 1 else nn.init.zeros_(p)
    optimizers = [torch.optim.SGD(net.parameters(), LR, MOMENTUM) for net in (G, D)]
    examples = torch.from_numpy(data).view(len(data), X).to(DEVICE)

    def noise():
        return (torch.rand(M, Z, device=DEVICE) * 2 - 1) * 3**0.5

    def chunk(n: int) -> None:
        for _ in range(n):
            x = examples[torch.randint(len(data), (M,), device=DEVICE)].float() / 255
            with torch.no_grad():
                fake = G(noise())
            loss = (F.softplus(-D(x)).mean() + F.softplus(D(fake)).mean()) / 2
            optimizers[1].zero_grad()
            loss.backward()
            optimizers[1].step()
            D.requires_grad_(False)
            loss = F.softplus(-D(G(noise()))).mean()
            optimizers[0].zero_grad()
            loss.backward()
            optimizers[0].step()
            D.requires_grad_(True)
        finish()

    return chunk


def convolutional(
    data: np.ndarray, *, norm: bool = True, wasserstein: bool = False, r1: float = 0.0, penalty: float = 0.0, k: int = 1
) -> Callable[[int], None]:
    """The networks of `configs/dcgan_mnist.py` and Adam, non-saturating or Wasserstein.

    Args:
      data: [n, 28, 28, 1] uint8.
      norm: batch normalization, in G and in D's second layer.
      r1: weight of R1.
      penalty: weight of WGAN-GP's gradient penalty.
      k: steps of D for one of G.
    """
    batch = 64
    g_norm = (lambda n: [nn.BatchNorm2d(n)]) if norm else (lambda n: [])
    G = nn.Sequential(
        nn.Linear(Z, 6272, bias=not norm), nn.Unflatten(1, (128, 7, 7)), *g_norm(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=not norm), *g_norm(64), nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1, bias=not norm), nn.Tanh(),
    )  # fmt: skip
    D = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1), *g_norm(128),
        nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(6272, 1),
    )  # fmt: skip
    G, D = G.to(DEVICE), D.to(DEVICE)
    rates = (1e-4, (0.5, 0.9)) if wasserstein else (2e-4, (0.5, 0.999))
    adam_g, adam_d = (torch.optim.Adam(net.parameters(), *rates) for net in (G, D))
    examples = torch.from_numpy(data).permute(0, 3, 1, 2).contiguous().to(DEVICE)

    def gradient(x: torch.Tensor) -> torch.Tensor:
        (found,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        return found.square().sum((1, 2, 3))

    def d_loss(x: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
        real, made = D(x), D(fake)
        loss = made.mean() - real.mean() if wasserstein else F.softplus(-real).mean() + F.softplus(made).mean()
        if r1:
            loss = loss + r1 / 2 * gradient(x.requires_grad_()).mean()
        if penalty:
            between = torch.lerp(x, fake, torch.rand(batch, 1, 1, 1, device=DEVICE)).requires_grad_()
            loss = loss + penalty * (gradient(between).sqrt() - 1).square().mean()
        return loss

    def noise() -> torch.Tensor:
        return torch.randn(batch, Z, device=DEVICE)

    def chunk(n: int) -> None:
        for _ in range(n):
            for _ in range(k):
                x = examples[torch.randint(len(examples), (batch,), device=DEVICE)].float() / 127.5 - 1
                with torch.no_grad():
                    fake = G(noise())
                adam_d.zero_grad()
                d_loss(x, fake).backward()
                adam_d.step()
            D.requires_grad_(False)
            logits = D(G(noise()))
            loss = -logits.mean() if wasserstein else F.softplus(-logits).mean()
            adam_g.zero_grad()
            loss.backward()
            adam_g.step()
            D.requires_grad_(True)
        finish()

    return chunk
