"""Handwritten digits: the digit from an image of 8x8 pixels, by a convolutional network."""

from collections import OrderedDict

import torch
from common import Recipe, classes, deterministic, fit, right
from ship import Card, ship
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from torch import Tensor, nn

RECIPE = Recipe(epochs=30, batch=32, decay=1e-2, rate=5e-3)


def convolution(channels: int, filters: int) -> nn.Module:
    """3x3, same size. The exporter folds the batch norm into it, bias included."""
    return nn.Sequential(
        nn.Conv2d(channels, filters, 3, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
    )


def shift(images: Tensor) -> Tensor:
    """Move each image by up to one pixel each way: nobody draws in the exact middle."""
    windows = nn.functional.pad(images, (1, 1, 1, 1)).unfold(2, 8, 1).unfold(3, 8, 1)
    down, right = torch.randint(0, 3, (2, len(images)))
    return windows[torch.arange(len(images)), :, down, right]


def main() -> None:
    digits = load_digits()
    data = classes(digits.images[:, None] / 16, digits.target)
    deterministic()
    network = nn.Sequential(
        OrderedDict(
            edges=convolution(1, 16),
            strokes=convolution(16, 32),
            pool=nn.MaxPool2d(2),
            shapes=convolution(32, 32),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(0.3),
            logits=nn.Linear(32 * 4 * 4, 10),
        )
    )
    fit(network, nn.functional.cross_entropy, data.train_x, data.train_y, RECIPE, shift)
    card = Card(
        name="digits",
        description="Handwritten digits from 8x8 pixels, 0 (paper) to 1 (ink). "
        f"{right(network, data)}.",
        input="image",
        output="probabilities",
        labels=[str(digit) for digit in digits.target_names],
    )
    ship(card, nn.Sequential(network, nn.Softmax(-1)), data)


if __name__ == "__main__":
    main()
