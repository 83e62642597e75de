"""From stored candles to samples: features, labels and weights of several symbols, without the holdout."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges import candles, timeframes
from exchanges import funding as funding_rule
from exchanges.costs import CostModel
from exchanges.models import Market, Provenance
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import TIMEFRAME_MS
from signals import features, folds, labels
from signals import plan as plans
from signals.learners import SEQUENCES
from signals.plan import PlanConfig
from signals.ports import Learner
from signals.sequences import Windows, run_starts
from signals.training.origin import UnusableHistory, check_origin
from signals.training.params import TrainingParams
from traderai.lib import clock


class History(NamedTuple):
    """All that is stored of one market."""

    market: Market
    frame: CandleFrame
    funding: FundingFrame


class Panel(NamedTuple):
    """m samples of all symbols, by symbol and then by time. Second axis of [m, 2]: LONG, SHORT."""

    symbols: tuple[str, ...]
    symbol: NDArray[np.int64]  # [m] index into symbols
    bar_ms: NDArray[np.int64]  # [m] open of the deciding bar
    start_ms: NDArray[np.int64]  # [m] its close: when the label begins
    end_ms: NDArray[np.int64]  # [m, 2] close of the bar at which the position was flat
    x: NDArray[np.float32]  # [m, k]
    y: NDArray[np.int8]  # [m, 2] TP1 before the stop
    result_atr: NDArray[np.float64]  # [m, 2] before costs
    net_pct: NDArray[np.float64]  # [m, 2] after costs, % of notional
    weight: NDArray[np.float64]  # [m, 2] average uniqueness among the symbol's samples
    regime: NDArray[np.int64]  # [m] code of signals.features.regime
    unit_pct: NDArray[np.float64]  # [m] the plan's unit, % of price
    funding_pct: NDArray[np.float64]  # [m, 2] what an hour is reckoned to cost, % of notional (exchanges.funding.expected)
    shortable: NDArray[np.bool_]  # [m] whether the market can be sold short
    plan: PlanConfig = PlanConfig()  # what the labels follow
    costs: CostModel = CostModel()  # what they are charged
    windows: Windows | None = None  # the same m samples with the bars before them, when a learner of the training looks back

    def inputs(self, learner: Learner, rows: NDArray[np.int64] | None = None) -> Any:
        """What that learner is given for the samples `rows`, or for all of them, then without a copy."""
        if learner.lookback == 1:
            return self.x if rows is None else self.x[rows]
        if self.windows is None:
            raise ValueError(f"{learner.kind} looks at {learner.lookback} bars, and this panel was built without them")
        return self.windows if rows is None else self.windows.take(rows)

    def hours(self, side: int) -> NDArray[np.float64]:
        """Time from decision to flat, shape [m]."""
        return np.asarray((self.end_ms[:, side] - self.start_ms) / 3_600_000, dtype=np.float64)


def bars_needed(params: TrainingParams) -> int:
    """Candles that a market must have to be trained on."""
    return params.bars_needed(
        warmup_bars=features.WARMUP_BARS, step_ms=TIMEFRAME_MS[params.timeframe], max_hold_ms=params.plan_config.max_hold_ms
    )


def histories(symbols: Sequence[str], params: TrainingParams) -> list[History]:
    """The markets' stored candles and funding. Raises UnknownSymbol or UnusableHistory naming the symbol and the remedy."""
    markets = [candles.find_market(symbol, venue=params.venue or None) for symbol in symbols]
    check_origin(markets)
    needed = bars_needed(params)
    out = []
    for market, frame in zip(markets, candles.read_many(markets, params.timeframe), strict=True):
        if len(frame) < needed:
            raise UnusableHistory.too_short(market.symbol, len(frame), needed, params)
        out.append(History(market, frame, candles.funding(market)))
    return out


def bitcoin_market(market: Market) -> Market | None:
    """Bitcoin against the same quote on the same venue, of the same kind and origin; None when it has no candles."""
    same = Market.objects.filter(venue=market.venue_id, base="BTC", quote=market.quote, kind=market.kind, provenance=market.provenance)
    return same.exclude(provenance=Provenance.NONE).order_by("id").first()


def bitcoin(known: Sequence[History], params: TrainingParams) -> CandleFrame | None:
    """Bitcoin's candles for the cross-asset features, from the panel when it is there."""
    market = bitcoin_market(known[0].market)
    if market is None:
        return None
    for history in known:
        if history.market.pk == market.pk:
            return history.frame
    frame = candles.read(market, params.timeframe)
    return frame if len(frame) else None


def holdout_of(known: Sequence[History], params: TrainingParams) -> folds.Holdout:
    """The newest part of the panel's time, which nothing here may see; it starts with a bar."""
    first = min(int(history.frame.timestamp[0]) for history in known)
    last = max(int(history.frame.timestamp[-1]) for history in known) + TIMEFRAME_MS[params.timeframe]
    hold = folds.holdout(first, last, share=params.holdout_share, purge_ms=params.plan_config.max_hold_ms, embargo_ms=params.embargo_ms)
    shift = hold.start_ms - timeframes.floor(hold.start_ms, params.timeframe)
    return folds.Holdout(hold.start_ms - shift, hold.last_start_ms - shift, hold.end_ms)


def before(frame: CandleFrame, end_ms: int) -> CandleFrame:
    """The bars that opened before end_ms, the open of a bar: so they have closed by then."""
    return frame.slice(0, int(np.searchsorted(frame.timestamp, end_ms, side="left")))


def data_hash(known: Sequence[History], btc: CandleFrame | None, end_ms: int) -> str:
    """SHA-256 over every candle and funding rate that training may see."""
    digest = hashlib.sha256()
    frames = [before(history.frame, end_ms) for history in known] + ([before(btc, end_ms)] if btc is not None else [])
    for frame in frames:
        digest.update(f"{frame.symbol} {frame.timeframe} {len(frame)}\n".encode())
        for column in frame[2:]:
            digest.update(np.ascontiguousarray(column).tobytes())
    for history in known:
        seen = history.funding.timestamp < end_ms
        digest.update(history.funding.timestamp[seen].tobytes() + history.funding.rate[seen].tobytes())
    return digest.hexdigest()


def build(
    known: Sequence[History],
    btc: CandleFrame | None,
    hold: folds.Holdout,
    params: TrainingParams,
    *,
    plan: PlanConfig,
    costs: CostModel,
    tell: Callable[[str], None],
) -> Panel:
    """Samples of every symbol, thinned to one in `stride` bars, each with both sides' outcome known before the holdout.

    Bars of the holdout are cut off before anything is computed. `tell` is called with each symbol when its turn comes.
    """
    btc = None if btc is None else before(btc, hold.start_ms)
    parts, seen = [], []
    looks_back = not SEQUENCES.isdisjoint(params.learners)
    for number, history in enumerate(known):
        tell(history.market.symbol)
        part, bars = _samples(number, history, btc, hold, params, plan, costs, looks_back=looks_back)
        if part[0].size == 0:
            day = clock.from_ms(hold.start_ms).date()
            raise UnusableHistory(
                f"{history.market.symbol} has no usable sample before the holdout, which starts {day}: leave it out", field="symbols"
            )
        parts.append(part)
        if bars is not None:
            seen.append(bars)
    columns: list[Any] = [np.concatenate(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True)]
    windows = _joined(seen) if looks_back else None
    return Panel(tuple(history.market.symbol for history in known), *columns)._replace(plan=plan, costs=costs, windows=windows)


def _joined(parts: Sequence[Windows]) -> Windows:
    """Several markets' bars as one table."""
    offsets = np.cumsum([0, *(part.start.size for part in parts[:-1])])
    start, at = (
        np.concatenate([column + offset for column, offset in zip(columns, offsets, strict=True)])
        for columns in list(zip(*parts, strict=True))[1:]
    )
    return Windows(np.concatenate([part.rows for part in parts]), start, at)


def outcomes(
    history: History, frame: CandleFrame, atr: NDArray[np.float64], plan: PlanConfig, costs: CostModel, rows: NDArray[np.int64]
) -> labels.Outcomes:
    """The labels of `rows` of a part of the market's history, with its own funding; what is paid in full has none."""
    own = replace(costs, funding_bps_per_hour=history.market.costs.funding_bps_per_hour)
    return labels.outcomes(frame, atr, plan, own, funding=history.funding, rows=rows)


def _samples(
    number: int,
    history: History,
    btc: CandleFrame | None,
    hold: folds.Holdout,
    params: TrainingParams,
    plan: PlanConfig,
    costs: CostModel,
    *,
    looks_back: bool,
) -> tuple[tuple[NDArray, ...], Windows | None]:
    """The columns of Panel for one market, and, when a learner looks back, its bars with the same samples."""
    step_ms = TIMEFRAME_MS[params.timeframe]
    frame = before(history.frame, hold.start_ms)
    if len(frame) <= features.WARMUP_BARS:
        return (np.empty(0),), None
    computed = features.compute(frame, funding=history.funding, btc=btc)
    atr = features.plan_atr(frame, plan)
    closes_at = frame.timestamp + step_ms
    taken = (frame.timestamp // step_ms % params.stride == 0) & (closes_at <= hold.last_start_ms)
    rows = np.flatnonzero(taken)
    known: NDArray[np.bool_] = np.isfinite(computed.values).all(axis=1)  # type: ignore[assignment]
    rows = rows[known[rows] & np.isfinite(atr[rows])]
    outcome = outcomes(history, frame, atr, plan, costs, rows)
    rows = rows[(outcome.tp1_hit[rows] >= 0).all(axis=1)]
    end = outcome.end_index[rows]
    end_ms = closes_at[end]
    weight = np.column_stack([labels.uniqueness(rows + 1, end[:, side]) for side in (0, 1)])
    x = np.empty((rows.size, len(computed.names)), dtype=np.float32)
    for column in range(x.shape[1]):  # without a copy of all rows in double precision
        x[:, column] = computed.values[rows, column]
    regime = computed.values[rows, computed.names.index("regime_code")].astype(np.int64)
    columns = (
        np.full(rows.size, number, dtype=np.int64),
        frame.timestamp[rows],
        closes_at[rows],
        end_ms,
        x,
        outcome.tp1_hit[rows],
        outcome.result_atr[rows],
        outcome.net_pct[rows],
        weight,
        regime,
        plans.atr_pct(atr[rows], frame.close[rows]),
        funding_rule.expected(history.funding, closes_at[rows], hourly_cost=history.market.default_funding) * 100.0,
        np.full(rows.size, not history.market.is_cash),
    )
    if not looks_back:
        return columns, None
    return columns, Windows(computed.values.astype(np.float32), run_starts(frame.timestamp, computed.values, step_ms), rows)
