"""Iris flowers: the species from four lengths in centimetres, by a small network."""

from collections import OrderedDict

from common import Recipe, Standardize, classes, deterministic, fit, right
from ship import Card, ship
from sklearn.datasets import load_iris  # type: ignore[import-untyped]
from torch import nn

RECIPE = Recipe(epochs=100, batch=16, decay=1e-2)


def main() -> None:
    iris = load_iris()
    data = classes(iris.data, iris.target)
    deterministic()
    network = nn.Sequential(
        OrderedDict(
            standardize=Standardize(data.train_x),
            hidden=nn.Linear(4, 16),
            relu=nn.ReLU(),
            logits=nn.Linear(16, 3),
        )
    )
    fit(network, nn.functional.cross_entropy, data.train_x, data.train_y, RECIPE)
    card = Card(
        name="iris",
        description="Iris species from sepal length, sepal width, petal length and petal width "
        f"in cm. {right(network, data)}.",
        input="features",
        output="probabilities",
        labels=[str(name) for name in iris.target_names],
        columns={name.removesuffix(" (cm)"): "number" for name in iris.feature_names},
        label="species",
    )
    ship(card, nn.Sequential(network, nn.Softmax(-1)), data)


if __name__ == "__main__":
    main()
