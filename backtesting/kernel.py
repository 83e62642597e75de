"""The simulation: one pass over the bars of all symbols on one shared equity.

Within a bar time, in this order: entries at the open (decided on the close before, best expectancy first), funding, exits through
exchanges.exits.step (pessimistic: liquidation, stop, then targets), marking to the close. The rules are the live risk gate's, in its order:
daily loss, drawdown, open positions, one position per symbol, deviation, exchanges.risk.sizing, margin, and at the fill `price_moved`. Fees
follow liquidity, takers slip. A position that outlives its symbol's last bar is closed at that bar's close and says so: what is delisted
is settled, and holds no place and no margin from then on.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from exchanges.exits import END_OF_DATA, ExitPlan, ExitState, slice_qty, step
from exchanges.risk.limits import MAX_DEVIATION
from exchanges.risk.limits import ROUNDING as SLACK
from exchanges.risk.sizing import fixed_fractional

F = NDArray[np.float64]
I = NDArray[np.int64]  # noqa: E741

DAY_MS = 86_400_000
REFUSALS = ("", "equity", "daily_loss", "drawdown", "open_positions", "position", "deviation", "size", "margin", "price_moved")
"""Why a signal was not entered, by code; the live gate's words."""
ENTERED, EQUITY, DAILY_LOSS, DRAWDOWN, OPEN_POSITIONS, POSITION, DEVIATION, SIZE, MARGIN, PRICE_MOVED = range(10)


class Bars(NamedTuple):
    """All bars of all symbols, ordered by (timestamp, symbol), arrays of length n.

    before: index of the same symbol's bar one step earlier, -1 after a gap. funding_rate and funding_cost: sums of what is paid with the
    bar by exchanges.funding's rule: what longs pay and shorts get, and what either side pays.
    """

    timestamp: I
    symbol: I
    before: I
    open: F
    high: F
    low: F
    close: F
    funding_rate: F
    funding_cost: F


class Candidates(NamedTuple):
    """By deciding bar, arrays of length n: side +1, -1 or 0 (none), the plan's prices, its expectancy in % and the probability behind it."""

    side: NDArray[np.int8]
    stop: F
    tp1: F
    tp2: F
    tp3: F
    trail: F
    expectancy: F
    probability: F


class Specs(NamedTuple):
    """What a venue asks of each symbol, arrays of length s. maintenance is a fraction of notional; 0 where there is no liquidation."""

    step_size: F
    min_notional: F
    max_leverage: I
    maintenance: F
    maker: F
    taker: F


class Rules(NamedTuple):
    """Scalars of the run. Percentages of equity, fractions of price, times in ms; signal_bars: bars for which a signal stays open."""

    capital: float
    risk_pct: float
    max_margin_pct: float
    max_leverage: int
    max_open: int
    max_daily_loss_pct: float
    max_drawdown_pct: float
    slippage: float
    stop_cost_pct: float
    share1: float
    share2: float
    share3: float
    max_hold_ms: int
    bar_ms: int
    signal_bars: int


class Trades(NamedTuple):
    """One row per position, arrays of length m. pnl is net of fees and funding; decided, entered and left are indices into Bars."""

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
    fees: F
    funding: F
    pnl: F


class Result(NamedTuple):
    """equity: marked to the close of each bar time, length t of `times`; exposure: share of bar times with a position open.

    signals: candidates that became signals; refused: how many of them were not entered, by the words of REFUSALS.
    """

    trades: Trades
    times: I
    equity: F
    exposure: float
    balance: float
    signals: int
    refused: dict[str, int]


def _dtype(floats: str, ints: str) -> np.dtype[Any]:
    return np.dtype([(name, np.float64) for name in floats.split()] + [(name, np.int64) for name in ints.split()])


# One row per symbol: its position (qty 0 is flat), and its newest signal. One row in all: the account.
POSITION_ROW = _dtype(
    "qty qty_opened entry margin initial_stop tp1 tp2 tp3 trail liquidation remaining stop best mark pnl fees funding exit_value "
    "signal_stop signal_tp1",
    "side leverage deadline tps decided entered signal_ms signal_side",
)
ACCOUNT_ROW = _dtype("balance day_start peak", "held signals")
TRADE_ROW = np.dtype([(name, np.float64 if kind is F else np.int64) for name, kind in Trades.__annotations__.items()])


@njit(cache=True)
def _equity(book: Any, account: Any) -> float:
    """Balance and what the open positions would bring at their marks."""
    total = account.balance
    for s in range(book.shape[0]):
        p = book[s]
        if p.qty > 0.0:
            total += (p.mark - p.entry) * p.qty * p.side
    return total


@njit(cache=True)
def _free_margin(book: Any, account: Any) -> float:
    """As the live gate counts it: balance, less unrealised losses, less margins of open positions."""
    free = account.balance
    for s in range(book.shape[0]):
        if book[s].qty > 0.0:
            free -= book[s].margin
    return free + min(0.0, _equity(book, account) - account.balance)


@njit(cache=True)
def _account_refusal(account: Any, equity: float, rules: Rules) -> int:
    """The profile's limits, before looking at any plan. 0 when a position may be opened."""
    if equity <= 0.0:
        return EQUITY
    if account.day_start <= 0.0 or (1.0 - equity / account.day_start) * 100.0 >= rules.max_daily_loss_pct - SLACK:
        return DAILY_LOSS
    if account.peak > 0.0 and (1.0 - equity / account.peak) * 100.0 >= rules.max_drawdown_pct - SLACK:
        return DRAWDOWN
    return OPEN_POSITIONS if account.held >= rules.max_open else 0


@njit(cache=True)
def _is_signal(p: Any, side: int, at_ms: int, rules: Rules) -> bool:
    """Whether a candidate becomes a signal: not while one of the same side is still open."""
    return not (side == p.signal_side and at_ms - p.signal_ms < rules.signal_bars * rules.bar_ms)


@njit(cache=True)
def _signal_ends(p: Any, high: float, low: float) -> bool:
    """A signal is over once the price has reached its stop or its first target."""
    if p.signal_side > 0:
        return low <= p.signal_stop or high >= p.signal_tp1
    return high >= p.signal_stop or low <= p.signal_tp1


@njit(cache=True)
def _enter(book: Any, account: Any, bars: Bars, candidates: Candidates, specs: Specs, rules: Rules, row: int) -> int:
    """Open at the open of bar `row` what was decided on the bar before. 0, or why the gate or the price refuses."""
    s, decided = bars.symbol[row], bars.before[row]
    p, side, equity = book[s], candidates.side[decided], _equity(book, account)
    refusal = _account_refusal(account, equity, rules)
    if refusal != 0:
        return refusal
    if p.qty > 0.0:
        return POSITION
    reference, stop, tp1, opened = bars.close[decided], candidates.stop[decided], candidates.tp1[decided], bars.open[row]
    if abs(opened / reference - 1.0) > MAX_DEVIATION:
        return DEVIATION
    cap = min(rules.max_leverage, specs.max_leverage[s])
    size = fixed_fractional(
        equity, reference, stop, rules.risk_pct, rules.max_margin_pct, cap, rules.stop_cost_pct, specs.step_size[s], specs.min_notional[s]
    )
    if size.qty <= 0.0:
        return SIZE
    if size.margin > _free_margin(book, account):
        return MARGIN
    price = opened * (1.0 + rules.slippage * side)
    if side * (price - stop) <= 0.0 or side * (tp1 - price) <= 0.0:
        return PRICE_MOVED
    p.qty, p.qty_opened, p.side, p.leverage, p.entry = size.qty, size.qty, side, size.leverage, price
    p.margin = size.qty * price / size.leverage
    room = 1.0 / size.leverage - specs.maintenance[s]
    p.liquidation = max(0.0, price * (1.0 - side * room)) if specs.maintenance[s] > 0.0 else 0.0
    p.initial_stop, p.tp1, p.tp2, p.tp3 = stop, tp1, candidates.tp2[decided], candidates.tp3[decided]
    p.trail, p.deadline = candidates.trail[decided], bars.timestamp[decided] + rules.bar_ms + rules.max_hold_ms
    p.remaining, p.stop, p.tps, p.best, p.mark = 1.0, stop, 0, price, price
    p.pnl, p.fees, p.funding, p.exit_value = 0.0, size.qty * price * specs.taker[s], 0.0, 0.0
    p.decided, p.entered = decided, row
    account.balance -= p.fees
    account.held += 1
    return ENTERED


@njit(cache=True)
def _pay_funding(p: Any, account: Any, bars: Bars, row: int) -> None:
    """Longs pay shorts when the rate is positive; the default cost is paid by either side.

    A boundary is at a bar's open, when nobody who enters in that bar has held yet.
    """
    if row == p.entered:
        return
    amount = -p.qty * bars.open[row] * (p.side * bars.funding_rate[row] + bars.funding_cost[row])
    p.funding += amount
    account.balance += amount


@njit(cache=True)
def _leave(p: Any, account: Any, qty: float, price: float, slippage: float, fee_rate: float) -> None:
    """Close `qty` at `price`, made worse by `slippage` (0 for a resting order)."""
    paid = price * (1.0 - slippage * p.side)
    fee, gain = qty * paid * fee_rate, (paid - p.entry) * qty * p.side
    account.balance += gain - fee
    p.pnl += gain
    p.fees += fee
    p.exit_value += qty * paid
    p.qty -= qty


@njit(cache=True)
def _carry(p: Any, account: Any, at_ms: int, o: float, h: float, l: float, c: float, specs: Specs, rules: Rules, s: int) -> int:  # noqa: E741
    """One bar of one open position. Returns the reason when it was closed, else 0."""
    plan = ExitPlan(
        p.side, p.entry, p.initial_stop, p.tp1, p.tp2, p.tp3, rules.share1, rules.share2, rules.share3, p.trail, p.liquidation, p.deadline
    )
    state, count, f1, f2, f3 = step(plan, ExitState(p.remaining, p.stop, p.tps, p.best), at_ms, o, h, l, c)
    reason, remaining = 0, p.remaining
    for number in range(count):
        fill = f1 if number == 0 else (f2 if number == 1 else f3)
        is_last = number == count - 1 and state.remaining <= 0.0
        remaining = 0.0 if is_last else remaining - fill.share
        # Where there is no liquidation it is a spot market: there, every order has to be worth the venue's minimum.
        least = specs.min_notional[s] / fill.price if specs.maintenance[s] == 0.0 else 0.0
        qty = slice_qty(p.qty_opened, p.qty, remaining, specs.step_size[s], least)
        if qty > 0.0 and fill.maker:
            _leave(p, account, qty, fill.price, 0.0, specs.maker[s])
        elif qty > 0.0:
            _leave(p, account, qty, fill.price, rules.slippage, specs.taker[s])
        if is_last:
            reason, p.qty = fill.reason, 0.0
    p.remaining, p.stop, p.tps, p.best, p.mark = state.remaining, state.stop, state.tps_hit, state.best, c
    return reason


@njit(cache=True)
def _record(trade: Any, p: Any, account: Any, s: int, row: int, reason: int) -> None:
    """Write a closed position down."""
    trade.symbol, trade.side, trade.reason, trade.tps = s, p.side, reason, p.tps
    trade.decided, trade.entered, trade.left = p.decided, p.entered, row
    trade.entry, trade.exit, trade.qty, trade.leverage = p.entry, p.exit_value / p.qty_opened, p.qty_opened, p.leverage
    trade.stop, trade.tp1, trade.fees, trade.funding = p.initial_stop, p.tp1, p.fees, p.funding
    trade.pnl = p.pnl - p.fees + p.funding
    account.held -= 1


@njit(cache=True)
def _enter_best_first(
    book: Any, account: Any, bars: Bars, candidates: Candidates, specs: Specs, rules: Rules, start: int, stop: int, refused: I
) -> None:
    """Entries at one bar time: rows start..stop, the best expectancy first, equals by symbol."""
    waiting = np.zeros(stop - start, np.bool_)
    for row in range(start, stop):
        decided, p = bars.before[row], book[bars.symbol[row]]
        if decided >= 0 and candidates.side[decided] != 0:
            side, at_ms = candidates.side[decided], bars.timestamp[decided]
            if _is_signal(p, side, at_ms, rules):
                p.signal_side, p.signal_ms = side, at_ms
                p.signal_stop, p.signal_tp1 = candidates.stop[decided], candidates.tp1[decided]
                waiting[row - start] = True
                account.signals += 1
    while True:
        chosen = -1
        for row in range(start, stop):
            if waiting[row - start] and (
                chosen < 0 or candidates.expectancy[bars.before[row]] > candidates.expectancy[bars.before[chosen]]
            ):
                chosen = row
        if chosen < 0:
            return
        waiting[chosen - start] = False
        refused[_enter(book, account, bars, candidates, specs, rules, chosen)] += 1


@njit(cache=True)
def _loop(
    bars: Bars, candidates: Candidates, specs: Specs, rules: Rules, book: Any, accounts: Any, trades: Any, times: I, equity: F, refused: I
) -> tuple[int, int, int]:
    """The pass. Returns (number of trades, number of bar times, bar times with a position)."""
    n, m, t, exposed, day, start = bars.timestamp.shape[0], 0, 0, 0, -1, 0
    account, last_row = accounts[0], np.full(book.shape[0], -1, np.int64)
    for row in range(n):
        last_row[bars.symbol[row]] = row
    while start < n:
        now, stop, is_wanted = bars.timestamp[start], start, False
        while stop < n and bars.timestamp[stop] == now:
            decided = bars.before[stop]
            is_wanted = is_wanted or (decided >= 0 and candidates.side[decided] != 0)
            stop += 1
        if now // DAY_MS != day:
            day = now // DAY_MS
            account.day_start = account.balance
        if is_wanted:
            _enter_best_first(book, account, bars, candidates, specs, rules, start, stop, refused)
        exposed += account.held > 0
        for row in range(start, stop):
            s = bars.symbol[row]
            p = book[s]
            if p.signal_side != 0 and _signal_ends(p, bars.high[row], bars.low[row]):
                p.signal_side = 0
            if p.qty > 0.0:
                _pay_funding(p, account, bars, row)
                reason = _carry(p, account, now, bars.open[row], bars.high[row], bars.low[row], bars.close[row], specs, rules, s)
                if reason == 0 and row == last_row[s]:
                    _leave(p, account, p.qty, bars.close[row], rules.slippage, specs.taker[s])
                    reason, p.qty = END_OF_DATA, 0.0
                if reason != 0:
                    _record(trades[m], p, account, s, row, reason)
                    m += 1
        times[t], equity[t] = now, _equity(book, account) if account.held > 0 else account.balance
        account.peak = max(account.peak, equity[t])
        t += 1
        start = stop
    return m, t, exposed


def _rows(count: int, dtype: np.dtype[Any]) -> Any:
    return np.zeros(count, dtype).view(np.recarray)


def new_account(capital: float) -> Any:
    """One account that has never traded."""
    accounts = _rows(1, ACCOUNT_ROW)
    accounts.balance = accounts.day_start = accounts.peak = capital
    return accounts


def new_book(symbols: int) -> Any:
    """One flat position per symbol."""
    return _rows(symbols, POSITION_ROW)


def simulate(bars: Bars, candidates: Candidates, specs: Specs, rules: Rules) -> Result:
    """Run the simulation. Raises ValueError when arrays disagree in length or the order of bars is broken."""
    n = bars.timestamp.shape[0]
    if any(column.shape[0] != n for column in (*bars, *candidates)):
        raise ValueError("bars and candidates must have one length")
    if n and np.any(np.diff(bars.timestamp) < 0):
        raise ValueError("bars must be ordered by time")
    symbols = specs.step_size.shape[0]
    accounts, refused = new_account(rules.capital), np.zeros(len(REFUSALS), np.int64)
    rows = _rows(int(np.count_nonzero(candidates.side)), TRADE_ROW)
    times, equity = np.zeros(n, np.int64), np.zeros(n)
    m, t, exposed = _loop(bars, candidates, specs, rules, new_book(symbols), accounts, rows, times, equity, refused)
    columns: list[Any] = [np.ascontiguousarray(rows[name][:m]) for name in Trades._fields]
    counts = {word: int(count) for word, count in zip(REFUSALS, refused, strict=True) if word and count}
    account = accounts[0]
    return Result(Trades(*columns), times[:t], equity[:t], exposed / t if t else 0.0, float(account.balance), int(account.signals), counts)
