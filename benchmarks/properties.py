"""Properties with prices, made up, and the models of them that benchmarks/bart.py measures.

The data are synthetic: 3,000 sales in twelve districts, whose features depend on each other as
one would expect (flats have no plot, old houses poor labels), and whose price is a product of
effects with noise. Seeded: every machine makes the same.

    python -m benchmarks.properties      # fits both into build/bart/, a few minutes
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BUILD = Path(__file__).resolve().parent.parent / "build" / "bart"
ROWS = 3000
DRAWS, TREES = 1000, 200  # of the BART model: the trees of one draw
BOOSTED_TREES = 500

DISTRICTS = (
    "Centrum", "Dijkzicht", "Havenkwartier", "Heideveld", "Kanaalbuurt", "Kerkdorp",
    "Molenwijk", "Nieuwland", "Parkwijk", "Stationsbuurt", "Tuindorp", "Zuiderpark",
)  # fmt: skip
APPEAL = (1.35, 0.96, 1.18, 0.88, 1.02, 0.92, 0.84, 0.99, 1.22, 1.08, 1.05, 0.79)
KINDS = ("apartment", "detached", "semi-detached", "terraced")
LABELS = ("A", "B", "C", "D", "E", "F", "G")  # energy, from good to bad

log = logging.getLogger("benchmarks")


def properties(rows: int = ROWS, seed: int = 2026) -> tuple[Any, Any]:
    """(features, price in thousands): a DataFrame of `rows` sales and an array beside it."""
    import pandas

    rng = np.random.default_rng(seed)
    district = rng.integers(0, len(DISTRICTS), rows)
    kind = rng.choice(len(KINDS), rows, p=[0.42, 0.1, 0.16, 0.32])
    year = np.clip(rng.normal(1972, 27, rows), 1880, 2025).round()
    area = np.exp(rng.normal(np.array([4.3, 5.05, 4.85, 4.72])[kind], 0.25)).round()
    rooms = np.clip((area / 26 + rng.normal(0, 0.8, rows)).round(), 1, 12)
    plot = np.where(kind == 0, 0, area * rng.gamma(4, 0.5, rows)).round()
    age = 2026 - year
    label = np.clip((age / 22 + rng.normal(0, 1.1, rows)).round(), 0, 6).astype(int)
    station = rng.gamma(2.2, 0.9, rows).round(2)
    centre = np.abs(rng.normal(np.array(APPEAL)[district] * -4 + 7, 1.1)).round(2)
    floor = np.where(kind == 0, rng.integers(0, 12, rows), 0)
    garage = rng.random(rows) < np.array([0.08, 0.8, 0.5, 0.15])[kind]
    heat_pump = rng.random(rows) < np.where(label < 2, 0.4, 0.04)
    log_price = (
        3.2 + 0.62 * np.log(area) + np.log(np.array(APPEAL)[district])
        + np.array([0.02, 0.2, 0.09, 0.0])[kind] + 0.05 * np.log1p(plot)
        - 0.035 * label - 0.03 * station - 0.05 * np.sqrt(centre) + 0.07 * garage
        + 0.03 * heat_pump + 0.006 * floor + 0.12 * (year < 1935) - 0.05 * (np.abs(year - 1970) < 8)
        + rng.normal(0, 0.08, rows)
    )  # fmt: skip
    frame = pandas.DataFrame(
        {
            "floor_area": area.astype(int),
            "plot_area": plot.astype(int),
            "year_built": year.astype(int),
            "rooms": rooms.astype(int),
            "floor": floor.astype(int),
            "station_km": station,
            "centre_km": centre,
            "garage": garage,
            "heat_pump": heat_pump,
            "district": pandas.Categorical.from_codes(district, DISTRICTS),
            "kind": pandas.Categorical.from_codes(kind, KINDS),
            "energy_label": pandas.Categorical.from_codes(label, LABELS, ordered=True),
        }
    )
    return frame, np.exp(log_price)


def numbers(frame: Any) -> Any:
    """The same table with the place of each category: what a booster reads, float32."""
    coded = frame.copy()
    for name in ("district", "kind", "energy_label"):
        coded[name] = frame[name].cat.codes
    return coded.to_numpy().astype(np.float32)


def bart_file() -> Path:
    """The BART model as stochtree's own JSON; fitted if it is not there yet."""
    return _made(f"bart-{DRAWS}x{TREES}.json", _fit_bart)


def booster_file() -> Path:
    """The boosted model as XGBoost's own JSON; fitted if it is not there yet."""
    return _made(f"xgboost-{BOOSTED_TREES}.json", _fit_booster)


def _made(name: str, make: Callable[[Path], None]) -> Path:
    path = BUILD / name
    if not path.exists():
        BUILD.mkdir(parents=True, exist_ok=True)
        log.info("fitting %s", name)
        part = path.with_suffix(".part.json")
        make(part)
        part.replace(path)
    return path


def _fit_bart(path: Path) -> None:
    from stochtree import BARTModel

    frame, price = properties()
    model = BARTModel()
    model.sample(
        X_train=frame,
        y_train=price,
        num_gfr=10,
        num_burnin=100,
        num_mcmc=DRAWS,
        general_params={"random_seed": 1, "num_threads": 1},
        mean_forest_params={"num_trees": TREES},
    )
    path.write_text(model.to_json())


def _fit_booster(path: Path) -> None:
    import xgboost

    frame, price = properties()
    model = xgboost.XGBRegressor(
        n_estimators=BOOSTED_TREES, max_depth=6, learning_rate=0.05, random_state=1, n_jobs=1
    )
    model.fit(numbers(frame), price)
    model.save_model(path)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    for file in (bart_file(), booster_file()):
        log.info("%s  %.1f MB", file, file.stat().st_size / 1e6)
