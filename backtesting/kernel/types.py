"""What the simulation takes and gives: arrays by name, and the rows that its loops keep.

A market's history is symbol-major: the bars of symbol s are the rows first[s] to first[s + 1] - 1, and `at` says which moment of the common
`times` each of them is. So a pass touches only what matters: bars of open positions, and bars on which something is decided.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchanges.compiled import records
from exchanges.risk.liquidation import rows_of
from exchanges.risk.tiers import Tier

F = NDArray[np.float64]
I = NDArray[np.int64]  # noqa: E741

REFUSALS = (
    "", "equity", "daily_loss", "drawdown", "open_positions", "position", "deviation", "size", "margin", "correlation", "price_moved", "unfilled",
)  # fmt: skip
"""Why a signal was not entered, by code; the live gate's words, and "unfilled" for a limit order that its price never reached."""
ENTERED, EQUITY, DAILY_LOSS, DRAWDOWN, OPEN_POSITIONS, POSITION, DEVIATION, SIZE, MARGIN, CORRELATION, PRICE_MOVED, UNFILLED = range(12)
BY_RISK, BY_NOTIONAL = 0, 1
AT_DECISION, AT_FILL = 0, 1
KEEP, REVERSE = 0, 1
DAY_MS = 86_400_000


class Bars(NamedTuple):
    """All bars of s symbols, n rows in all, at t moments; opens in ms UTC, prices in quote currency, volume in base coins.

    first: int64[s + 1]. times: int64[t], ascending. days: int64[d + 1], the moments that begin a UTC day, t at the end.
    at: int32[n], the moment of each row. rows: BAR_ROW[n], a cache line each, with the moment once more; where no mark price is stored
    mark_high and mark_low are high and low.
    due: DUE_ROW, ascending by row: what funding falls due with which row; rate is paid by longs and got by shorts, cost is paid by either
    side, both fractions of notional at `price`.
    detail_first: int64[n + 1], the finer bars of each row in `details`, DETAIL_ROW; empty without any. A row without finer bars has none.
    """

    first: I
    times: I
    days: I
    at: NDArray[np.int32]
    rows: Any
    due: Any
    detail_first: I
    details: Any

    @property
    def timestamp(self) -> I:
        """Opens of the rows, int64[n]."""
        return self.times[self.at]

    @property
    def symbol(self) -> I:
        """The number of each row's symbol, int64[n]."""
        return np.repeat(np.arange(self.first.shape[0] - 1), np.diff(self.first))


class Entries(NamedTuple):
    """What a strategy wants, symbol-major: symbol s has the entries starts[s] to stops[s] - 1, ascending by row.

    row: int64[k], the bar at whose close it was decided. side: int8[k], +1 or -1. rank: float64[k], the higher goes first among those of
    one moment, or empty when all are equal. unit: float64[n], the plan's unit of distance at each row of the bars, in price.
    """

    starts: I
    stops: I
    row: I
    side: NDArray[np.int8]
    rank: F
    unit: F


class Spec(NamedTuple):
    """What a venue asks of one symbol and what trading it costs. Fees as fractions, tiers ascending: without any there is no liquidation, as on
    a spot market.

    slippage -- fraction by which what takes liquidity pays more. stop_cost_pct -- of notional, what a losing round trip costs;
    hold_cost_pct -- more of it for each hour that the plan may hold
    """

    step_size: float
    tick: float
    min_notional: float
    max_leverage: int
    maker: float
    taker: float
    liquidation_fee: float = 0.0
    tiers: tuple[Tier, ...] = ()
    slippage: float = 0.0
    stop_cost_pct: float = 0.0
    hold_cost_pct: float = 0.0


class Rules(NamedTuple):
    """The account's limits and the plan. Percentages of equity, fractions of price, times in ms, distances in units.

    sizing -- BY_RISK: risk_pct of equity is lost at the stop, with what the symbol's Spec says that costs. BY_NOTIONAL: notional_pct of equity
    max_joint_pct -- most notional in markets that move together, weighted by the correlation of the last correlation_bars; 0: no limit
    slippage_range -- of the bar's range, on top of the symbol's constant slippage; impact -- times the root of the order's share in the bar's
                      turnover (the square-root law: Toth et al. 2011)
    participation -- most of the deciding bar's volume that an entry may be; 0: no limit
    anchor -- AT_DECISION: the levels are where the plan put them. AT_FILL: as far from the fill as the plan put them from the decision
    opposite -- KEEP: a signal against an open position is not entered. REVERSE: it closes the position at the open and is entered
    limit_offset -- entries are limit orders so many units better than the decision's close, good for limit_bars; 0: market orders
    path -- exchanges.exits: PESSIMISTIC, ADAPTIVE or OPTIMISTIC
    signal_bars -- bars for which a signal stays open, and a second one of its side is none
    """

    capital: float
    sizing: int = BY_RISK
    risk_pct: float = 2.0
    notional_pct: float = 10.0
    max_margin_pct: float = 10.0
    max_leverage: int = 10
    max_open: int = 4
    max_daily_loss_pct: float = 10.0
    max_drawdown_pct: float = 25.0
    max_joint_pct: float = 0.0
    correlation_bars: int = 2880
    slippage_range: float = 0.0
    impact: float = 0.0
    participation: float = 0.0
    stop: float = 1.5
    tp1: float = 1.5
    tp2: float = 2.75
    tp3: float = 4.5
    trail: float = 1.25
    share1: float = 0.3
    share2: float = 0.4
    share3: float = 0.3
    max_hold_ms: int = 172_800_000
    anchor: int = AT_DECISION
    opposite: int = KEEP
    limit_offset: float = 0.0
    limit_bars: int = 1
    path: int = 0
    bar_ms: int = 900_000
    signal_bars: int = 0


class Trades(NamedTuple):
    """One row per position, arrays of length m. pnl is net of fees and funding; slippage is inside the prices already. decided, entered and
    left are rows of Bars. is_ambiguous: some bar of it reached its stop and a target, whose order was assumed."""

    symbol: I
    side: I
    decided: I
    entered: I
    left: I
    entry: F
    exit: F
    qty: F
    leverage: I
    stop: F
    tp1: F
    tps: I
    reason: I
    is_ambiguous: I
    fees: F
    slippage: F
    funding: F
    pnl: F


class Result(NamedTuple):
    """equity: marked to the close of each moment, float64[t]; notional: what was open then, float64[t], in quote currency.

    signals: entries that became signals; refused: how many of them were not entered, by the words of REFUSALS.
    """

    trades: Trades
    times: I
    equity: F
    notional: F
    balance: float
    signals: int
    refused: dict[str, int]

    @property
    def exposure(self) -> float:
        """Share of moments with a position open."""
        return float(np.count_nonzero(self.notional)) / self.times.shape[0] if self.times.shape[0] else 0.0


class Sweep(NamedTuple):
    """Results of c combinations. hits: trades that reached TP1. max_drawdown: a fraction of the peak. exposed: moments with a position.
    daily: equity at the end of each UTC day, float64[c, d]. notional: of all trades, at entry."""

    balance: F
    trades: I
    hits: I
    wins: I
    gross_profit: F
    gross_loss: F
    max_drawdown: F
    exposed: I
    notional: F
    daily: F


def _dtype(floats: str, ints: str) -> np.dtype[Any]:
    return np.dtype([(name, np.float64) for name in floats.split()] + [(name, np.int64) for name in ints.split()])


def _row_of(columns: Any) -> np.dtype[Any]:
    """One record with a field per annotated name: what is an int or an array of them is int64."""
    return np.dtype([(name, np.int64 if kind in (int, I) else np.float64) for name, kind in columns.__annotations__.items()])


# One row per symbol: its position (qty 0 is flat) or the order it waits with, its newest signal, its next decision (`cursor`) and the one that
# is due now (`wants`, -1: none). `active` of the first account.held rows: the symbols that have a position or an order, ascending.
# One row in all: the account.
# A bar whose prices stay between `low_band` and `high_band`, before the moment `until`, changes nothing about a position.
POSITION_ROW = _dtype(
    "qty qty_opened entry margin initial_stop tp1 tp2 tp3 trail liquidation remaining stop best mark pnl fees slippage funding exit_value "
    "low_band high_band limit signal_stop signal_tp1",
    "side leverage deadline tps decided entered row last due until expires waits is_ambiguous signal_row signal_side cursor wants active",
)
ACCOUNT_ROW = _dtype("balance day_start peak fall", "held signals day exposed")
BAR_ROW = _dtype("open high low close volume mark_high mark_low", "at")
DETAIL_ROW = _dtype("open high low", "")
DUE_ROW = _dtype("price rate cost", "row")
SPEC_ROW = _dtype(
    "step_size tick min_notional maker taker liquidation_fee slippage stop_cost_pct hold_cost_pct", "max_leverage tier_first tier_last"
)
TRADE_ROW = _row_of(Trades)
RULES_ROW = _row_of(Rules)


def rules_rows(rules: Sequence[Rules]) -> Any:
    """Rules as the loops take them, one record each."""
    return records(np.array([tuple(each) for each in rules], RULES_ROW))


def specs_rows(specs: Sequence[Spec]) -> tuple[Any, Any]:
    """Specs as the loops take them: one record for each symbol, and all tiers behind each other."""
    lasts = list(accumulate(len(spec.tiers) for spec in specs))
    firsts = [0, *lasts[:-1]]
    own = (SPEC_ROW.names or ())[:-2]
    rows = [(*(getattr(spec, name) for name in own), *tiers) for spec, *tiers in zip(specs, firsts, lasts, strict=True)]
    return records(np.array(rows, SPEC_ROW)), rows_of([tier for spec in specs for tier in spec.tiers])
