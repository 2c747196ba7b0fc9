"""What the training scripts share: data with rows held out, and the training loop.

Everything is seeded and runs on one thread, so that a script run twice on one machine
writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
SEED = 0
HELD_OUT = 0.2


@dataclass(frozen=True)
class Data:
    """Rows to learn from, and rows held out that no training step ever sees."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def classes(x: NDArray[Any], y: NDArray[Any]) -> Data:
    """Split rows of classes, each class in the same proportion on both sides."""
    return _split(x, y.astype(np.int64), stratify=y)


def values(x: NDArray[Any], y: NDArray[Any]) -> Data:
    """Split rows of values to predict, one column of them."""
    return _split(x, y.astype(np.float32).reshape(-1, 1), stratify=None)


def _split(x: NDArray[Any], y: NDArray[Any], stratify: NDArray[Any] | None) -> Data:
    parts = train_test_split(
        x.astype(np.float32), y, test_size=HELD_OUT, random_state=SEED, stratify=stratify
    )
    train_x, test_x, train_y, test_y = map(torch.from_numpy, parts)
    return Data(train_x, train_y, test_x, test_y)


def deterministic() -> None:
    """Call before the first layer is made: its weights are drawn from the seed."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


class Standardize(nn.Module):
    """(x - mean) / scale with the training rows' statistics: clients send raw values."""

    mean: Tensor
    scale: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", rows.mean(0))
        self.register_buffer("scale", rows.std(0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale


class Restore(Standardize):
    """The inverse: a standardized prediction in the target's own unit."""

    def forward(self, y: Tensor) -> Tensor:
        return y * self.scale + self.mean


@dataclass(frozen=True)
class Recipe:
    """How to train: `decay` is AdamW's, `rate` the peak of the one learning-rate cycle."""

    epochs: int
    batch: int
    decay: float
    rate: float = 1e-2


def fit(
    model: nn.Module,
    loss: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    augment: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> None:
    """AdamW with one cycle of the learning rate over shuffled batches."""
    steps = recipe.epochs * -(-len(x) // recipe.batch)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.rate, weight_decay=recipe.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, steps)
    model.train()
    for _ in range(recipe.epochs):
        for rows in torch.split(torch.randperm(len(x)), recipe.batch):
            optimizer.zero_grad()
            loss(model(augment(x[rows])), y[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    model.eval()


def right(model: nn.Module, data: Data) -> str:
    """How many held-out rows get their own class, in words."""
    with torch.no_grad():
        hits = int((model(data.test_x).argmax(1) == data.test_y).sum())
    total = len(data.test_y)
    return f"{hits} of {total} held-out rows right ({100 * hits / total:.1f} %)"


def explained(model: nn.Module, data: Data) -> str:
    """R2 and the mean absolute error on held-out rows, in words."""
    with torch.no_grad():
        error = model(data.test_x) - data.test_y
    r2 = 1 - float((error**2).mean() / data.test_y.var(correction=0))
    mean = float(error.abs().mean())
    return f"R2 {r2:.2f}, mean absolute error {mean:.0f} on {len(error)} held-out rows"
