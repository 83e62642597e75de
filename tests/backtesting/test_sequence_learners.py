"""A model that looks back over bars: trained, stored, and saying the same live, in a scan, as in a backtest."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtesting import preparation
from exchanges import candles
from exchanges.models import Market
from signals import features, registry, scan, training
from signals.models import ModelStatus, ModelVersion
from signals.ports import LONG, SIDE_NAME, SIDES
from signals.sequences import run_starts
from signals.strategies import TEMPLATES
from tests.signals.markets import HISTORY_BARS, QUICK, make_ensemble, make_facts, make_market
from tests.signals.series import make_series

pytest.importorskip("torch")
pytestmark = pytest.mark.django_db
SYMBOL = "BTC/USDT:USDT"
SMALL = {
    "lstm": {"hidden": 8},
    "transformer": {"head_size": 2, "layers": 1},
    "tft": {"head_size": 1},
}


@pytest.fixture
def market(settings: Any, tmp_path: Path) -> Iterator[Market]:
    """One market with history, and an empty registry."""
    settings.MODEL_DIR = tmp_path / "models"
    registry.forget()
    yield make_market(SYMBOL, make_series(HISTORY_BARS, symbol=SYMBOL, seed=21, pull=0.35))
    registry.forget()


def trained(kind: str) -> ModelVersion:
    """A small network beside LightGBM."""
    params = {**QUICK, "rounds": 5, "stride": 8, "learners": ["lightgbm", kind], "tuning": {kind: SMALL[kind]}}
    return training.run(training.queue([SYMBOL], params=params).pk)


@pytest.mark.parametrize("kind", SMALL)
def test_it_is_trained_promoted_and_asked_and_says_live_what_it_says_in_a_backtest(market: Market, kind: str) -> None:
    registry.register(ensemble=make_ensemble(), scope="default", manifest={}, facts=make_facts(), status=ModelStatus.CHAMPION)
    model = trained(kind)
    assert model.status == ModelStatus.CANDIDATE
    assert set(model.metrics["blend"]["long"]) == {"lightgbm", kind}
    names = {path.name for path in registry.folder(model).iterdir()}
    assert {"lightgbm-long.txt", "lightgbm-short.txt", f"{kind}-long.safetensors", f"{kind}-short.safetensors"} <= names
    registry.promote(model, "the networks' turn")
    registry.forget()  # as another process reads it
    loaded = registry.load(model)
    assert loaded.lookback == 64
    assert model.params["tuning"] == {kind: SMALL[kind]}
    assert {side.learners[kind].shape == SMALL[kind] for side in loaded.sides} == {True}

    template = next(iter(TEMPLATES.values()))
    bars = preparation.decide(candles.read(market, "15m"), candles.funding(market), None, ensemble=loaded, template=template, market=market)
    report = scan.run(symbols=[SYMBOL])
    assert report.errors == []
    (decision,) = [*report.issued, *report.rejected]
    said = decision.numbers["probability"] if report.rejected else decision.probability
    side = next(index for index in SIDES if SIDE_NAME[index] == decision.side)
    assert said == pytest.approx(bars.probability[-1, side], abs=1e-6)


def test_a_row_is_judged_by_its_own_run_of_bars_alone(market: Market) -> None:
    loaded = registry.load(trained("lstm"))
    frame = candles.read(market, "15m")
    seen = features.compute(frame)
    starts = run_starts(frame.timestamp, seen.values, 900_000)
    asked = np.array([4_000, 4_100, len(frame) - 1])
    whole = loaded.predict(seen.values, starts=starts, at=asked).probability
    for row, expected in zip(asked, whole, strict=True):
        alone = loaded.predict(seen.values[row - 63 : row + 1], starts=np.zeros(64, dtype=np.int64), at=np.array([63])).probability
        assert alone[0] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(loaded.predict(seen.values, starts=starts, at=np.array([10])).probability).all()
    with pytest.raises(ValueError, match="looks at 64 bars: say where"):
        loaded.predict(seen.values)
    reasons = loaded.explain(seen.values[-64:], LONG)
    assert len(reasons) == 5
    assert [reason.value for reason in reasons] == [seen.values[-1, features.NAMES.index(reason.feature)] for reason in reasons]
