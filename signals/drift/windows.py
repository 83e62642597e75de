"""What a model sees in a span of time: its features and, asked, its answers, over all of its markets."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges import candles
from exchanges.models import Market
from exchanges.timeframes import TIMEFRAME_MS
from signals import features, registry
from signals.distributions import PREDICTIONS
from signals.models import ModelVersion
from signals.sequences import run_starts
from signals.training.panel import bitcoin_market
from traderai.lib.errors import UserError

MOST_ROWS = 200_000


class Window(NamedTuple):
    """Rows of all markets whose features are known: values float32 [rows, columns], moments int64 [rows] (open of the bar, ms), `step_ms`
    from one moment to the next."""

    columns: tuple[str, ...]
    values: NDArray[np.float32]
    moments: NDArray[np.int64]
    step_ms: int


def newest_close_ms(model: ModelVersion) -> int | None:
    """Close of the newest stored bar of the model's markets; None when they have none."""
    opens = [candles.last_open_ms(market, model.timeframe) for market in _markets(model)]
    known = [at_ms for at_ms in opens if at_ms is not None]
    return max(known) + TIMEFRAME_MS[model.timeframe] if known else None


def read(model: ModelVersion, start_ms: int, end_ms: int, *, with_answers: bool) -> Window:
    """The model's view of bars with start_ms <= open < end_ms, one in as many as its training took, or fewer when they would be too many.

    Raises UserError for a model whose features are computed no longer, ModelDamaged when it is asked and its files are not intact.
    """
    gone = [name for name in model.features if name not in features.NAMES]
    if gone:
        raise UserError(
            f"model: {gone[0]} is computed no longer, so its distribution cannot be looked at; train a new model", field="model"
        )
    bar_ms = TIMEFRAME_MS[model.timeframe]
    markets = _markets(model)
    stride = int(model.params.get("stride", 1))
    stride *= max(1, -(-(end_ms - start_ms) * len(markets) // (bar_ms * stride * MOST_ROWS)))
    columns = np.array([features.NAMES.index(name) for name in model.features])
    asked = registry.load(model) if with_answers else None
    history_ms = (features.WARMUP_BARS + (asked.lookback - 1 if asked else 0)) * bar_ms
    parts, moments, answers = [], [], []
    for market in markets:
        since_ms = start_ms - history_ms
        frame = candles.read(market, model.timeframe, start_ms=since_ms, end_ms=end_ms)
        if not len(frame):
            continue
        other = bitcoin_market(market)
        btc = None if other is None else candles.read(other, model.timeframe, start_ms=since_ms, end_ms=end_ms)
        computed = features.compute(frame, funding=candles.funding(market), btc=btc if btc is not None and len(btc) else None)
        taken = (frame.timestamp >= start_ms) & (frame.timestamp // bar_ms % stride == 0)
        seen = computed.values[:, columns]
        rows = np.flatnonzero(taken & np.isfinite(seen).all(axis=1))
        parts.append(seen[rows].astype(np.float32))
        moments.append(frame.timestamp[rows])
        if asked:
            answers.append(asked.predict(seen, starts=run_starts(frame.timestamp, seen, bar_ms), at=rows).probability)
    values = np.concatenate(parts) if parts else np.empty((0, len(columns)), dtype=np.float32)
    names: tuple[str, ...] = tuple(model.features)
    if with_answers:
        said = np.concatenate(answers) if answers else np.empty((0, len(PREDICTIONS)))
        values, names = np.column_stack([values, said.astype(np.float32)]), (*names, *PREDICTIONS)
    return Window(names, values, np.concatenate(moments) if moments else np.empty(0, dtype=np.int64), stride * bar_ms)


def _markets(model: ModelVersion) -> list[Market]:
    return [candles.find_market(symbol, venue=model.venue_slug) for symbol in model.symbols]
