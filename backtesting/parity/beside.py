"""A run beside the positions that its owner really held by the same strategy on the same markets: which trades are in both, and why others are not."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from backtesting import parity
from backtesting.models import BacktestRun
from backtesting.parity import Line
from exchanges.models import Order, Position
from exchanges.timeframes import TIMEFRAME_MS
from signals.models import Rejection, Signal
from traderai.lib import clock

ORIGIN = "signal:"
"""What the origin of an order begins with that a signal made."""
SAME_SIZE = 0.01
Key = tuple[str, int]
"""A market's symbol, and the open of the deciding bar, ms UTC."""


class Traded(NamedTuple):
    """A trade of the run: side "long" or "short", decided_ms the open of the deciding bar, qty in base coins, pnl net in quote currency."""

    symbol: str
    side: str
    decided_ms: int
    qty: float
    pnl: float


class Missed(NamedTuple):
    """A trade of the run that became no position, and the reason."""

    trade: Traded
    why: str

    @property
    def decided_at(self) -> datetime:
        """The open of the deciding bar."""
        return clock.from_ms(self.trade.decided_ms)


class Both(NamedTuple):
    """A trade that is in both."""

    trade: Traded
    line: Line

    @property
    def size(self) -> float:
        """The position's quantity, in that of the trade."""
        return float(self.line.position.qty_opened) / self.trade.qty

    @property
    def sentence(self) -> str:
        """Whether the two are of one size; empty when they are."""
        if abs(self.size - 1.0) <= SAME_SIZE:
            return ""
        held = float(self.line.position.qty_opened)
        return f"Sized by another equity or profile: {held:.10g} for the run's {self.trade.qty:.10g}, {self.size:.3g} times."


class Beside(NamedTuple):
    """start_ms, end_ms: from the first deciding bar that the strategy was asked to trade to the close of the last; left_out: positions that
    cannot be compared yet. extra: positions of which the run has no trade."""

    start_ms: int
    end_ms: int
    both: list[Both]
    missed: list[Missed]
    extra: list[Line]
    left_out: int

    @property
    def trades(self) -> int:
        return len(self.both) + len(self.missed) + len(self.extra)

    @property
    def alike(self) -> int:
        """Trades that are in both and went alike."""
        return sum(each.line.goes_alike for each in self.both)

    @property
    def lines(self) -> list[Line]:
        return [*(each.line for each in self.both), *self.extra]

    @property
    def resized(self) -> list[Both]:
        """Trades of another size than in the run."""
        return [each for each in self.both if each.sentence]

    @property
    def cost(self) -> float:
        """What the differences did to the positions, in quote currency: negative is lost."""
        return sum(line.difference for line in self.lines)

    @property
    def missed_net(self) -> float:
        """What the missed trades brought in the run."""
        return sum(each.trade.pnl for each in self.missed)


def beside(run: BacktestRun, trades: Sequence[Traded], start_ms: int, end_ms: int) -> Beside | None:
    """Of the decisions in start_ms <= open < end_ms; None where the run's owner never had an order of its strategy on its markets then."""
    signals = _signals(run, start_ms, end_ms)
    orders = _orders(run, signals)
    if not orders:
        return None
    first_ms, last_ms = (edge(bar_ms for _, bar_ms in orders) for edge in (min, max))
    traded = {(trade.symbol, trade.decided_ms): trade for trade in trades if first_ms <= trade.decided_ms <= last_ms}
    held = {order.position_id: key for key, order in orders.items() if order.position_id is not None}
    lines, left_out = parity.lines_of(Position.objects.filter(pk__in=held))
    both, extra = [], []
    for line in lines:
        trade = traded.get(held[line.position.pk])
        if trade is not None and trade.side == line.position.side:
            both.append(Both(trade, line))
        else:
            extra.append(line)
    taken = {key for key in held.values() if key in traded}
    missed = [Missed(trade, _why(run, key, orders, signals)) for key, trade in traded.items() if key not in taken]
    return Beside(first_ms, last_ms + TIMEFRAME_MS[run.timeframe], both, missed, extra, left_out)


def stored(run: BacktestRun) -> Beside | None:
    """Of a finished run, by the trades that are stored with it."""
    if run.start_ms is None or run.end_ms is None:
        return None
    rows = run.trades.values_list("symbol", "side", "signal_ms", "qty", "pnl")
    return beside(run, [Traded(*row) for row in rows], run.start_ms, run.end_ms)


def _signals(run: BacktestRun, start_ms: int, end_ms: int) -> dict[int, Key]:
    own = Signal.objects.filter(strategy=run.strategy, market__venue__slug=run.venue_slug, market__symbol__in=run.symbols)
    rows = own.filter(bar_ms__gte=start_ms, bar_ms__lt=end_ms).values_list("pk", "market__symbol", "bar_ms")
    return {pk: (symbol, bar_ms) for pk, symbol, bar_ms in rows}


def _orders(run: BacktestRun, signals: dict[int, Key]) -> dict[Key, Order]:
    """The owner's entry orders by what they were decided on; one that became a position goes before one that did not."""
    asked = Order.objects.filter(account__user=run.user_id, reduce_only=False, origin__startswith=ORIGIN)
    found: dict[Key, Order] = {}
    for order in asked.order_by("pk"):
        number = order.origin.removeprefix(ORIGIN)
        key = signals.get(int(number)) if number.isdigit() else None
        if key is not None and (key not in found or found[key].position_id is None):
            found[key] = order
    return found


def _why(run: BacktestRun, key: Key, orders: dict[Key, Order], signals: dict[int, Key]) -> str:
    order = orders.get(key)
    if order is not None:
        return f"The order ended as {order.get_state_display().lower()}: {order.reason or 'no reason was kept'}"
    if key in signals.values():
        return "There was a signal, and no strategy of yours took it."
    symbol, bar_ms = key
    rejected = Rejection.objects.filter(
        market__symbol=symbol, market__venue__slug=run.venue_slug, strategy=run.strategy, bar_ms=bar_ms
    ).first()
    if rejected is not None:
        return f"The scan rejected it: {rejected.reason}"
    return "The scan issued no signal at that bar: it did not run then, or another model decided."
