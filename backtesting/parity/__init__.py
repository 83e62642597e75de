"""Parity: the positions of a window beside what the simulation makes of them today, and why the two differ."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from django.conf import settings
from django.db.models import QuerySet

from backtesting import arrays
from backtesting.parity import record as records
from backtesting.parity import telling
from backtesting.parity.causes import TITLES, UNEXPLAINED, Difference, Tellings, entry_error_bps, explain
from backtesting.parity.legs import bar_length
from backtesting.parity.telling import Told
from exchanges import candles
from exchanges import funding as funding_rule
from exchanges.models import Market, OrderEvent, Position, TradingAccount
from exchanges.order_states import OrderState
from exchanges.ports import CandleFrame, FundingFrame
from traderai.lib import clock

__all__ = [
    "ALIKE", "MOST", "TITLES", "UNEXPLAINED", "Difference", "Line", "Summary", "Told", "as_json", "compared", "lines_of", "refusals", "summary", "totals",
]  # fmt: skip
ALIKE = 5e-4
MOST = 200
"""Positions that one report compares, the newest of the window."""


class Line(NamedTuple):
    """One position: what was booked, what the simulation makes of it (or None, with the refusal's word in `refused`), the entry's error in
    bps of the simulated price (positive: worse), and the causes of their difference."""

    position: Position
    booked: Told
    simulated: Told | None
    refused: str
    entry_bps: float | None
    differences: list[Difference]

    @property
    def is_same(self) -> bool:
        return not self.differences

    @property
    def is_unexplained(self) -> bool:
        return any(each.cause == UNEXPLAINED for each in self.differences)

    @property
    def goes_alike(self) -> bool:
        """The same exits in the same bars, and a net result within ALIKE of the notional: what a trader calls the same trade."""
        if self.simulated is None:
            return False
        ways = [[(leg.reason, leg.at_ms // bar_length()) for leg in told.legs] for told in (self.booked, self.simulated)]
        return ways[0] == ways[1] and abs(self.difference) <= ALIKE * float(self.position.qty_opened) * self.booked.entry

    @property
    def difference(self) -> float:
        """Booked less simulated, in quote currency."""
        return self.booked.net - (self.simulated.net if self.simulated else 0.0)


class Summary(NamedTuple):
    """Counts of positions; the entry's mean error (signed) and the 95th percentile of its size, both bps, None without any; sums in quote
    currency; the difference by cause, those without one left out; positions left out because no bar has closed on them or no plan was kept."""

    positions: int
    same: int
    unexplained: int
    left_out: int
    entry_mean_bps: float | None
    entry_p95_bps: float | None
    recorded: float
    simulated: float
    by_cause: dict[str, float]


def compared(accounts: Iterable[TradingAccount], start_ms: int, end_ms: int) -> tuple[list[Line], int]:
    """Positions opened in start_ms <= time < end_ms, the unexplained first, then the newest, MOST at most; and how many were left out."""
    rows = Position.objects.filter(account__in=accounts, opened_at__gte=clock.from_ms(start_ms), opened_at__lt=clock.from_ms(end_ms))
    return lines_of(rows)


def lines_of(rows: QuerySet[Position]) -> tuple[list[Line], int]:
    """As `compared`, of these positions."""
    found = (
        rows.select_related("market__venue", "account").prefetch_related("orders", "fills", "ledger").order_by("-opened_at", "-pk")[:MOST]
    )
    positions = list(found)
    histories = _histories(positions)
    lines = [_compare(position, *histories[position.market_id]) for position in positions]
    kept = [line for line in lines if line is not None]
    return sorted(kept, key=lambda line: not line.is_unexplained), len(lines) - len(kept)


def totals(lines: Sequence[Line], left_out: int = 0) -> Summary:
    """The report's head."""
    errors = np.array([line.entry_bps for line in lines if line.entry_bps is not None])
    by_cause: Counter[str] = Counter()
    for line in lines:
        for each in line.differences:
            by_cause[each.cause] += each.money  # type: ignore[assignment]
    return Summary(
        len(lines),
        sum(line.is_same for line in lines),
        sum(line.is_unexplained for line in lines),
        left_out,
        float(errors.mean()) if errors.size else None,
        float(np.percentile(np.abs(errors), 95)) if errors.size else None,
        sum(line.booked.net for line in lines),
        sum(line.simulated.net for line in lines if line.simulated),
        {cause: float(by_cause[cause]) for cause in TITLES if cause in by_cause},
    )


def summary(user: Any, start_ms: int, end_ms: int) -> Summary | None:
    """Of all accounts of a user; None when no position of the window can be compared."""
    lines, left_out = compared(TradingAccount.objects.for_user(user), start_ms, end_ms)
    return totals(lines, left_out) if lines else None


def as_json(line: Line) -> dict[str, Any]:
    """A line as a document tells it."""
    position = line.position
    return {
        "position": position.pk,
        "symbol": position.market.symbol,
        "side": position.side,
        "opened_at": position.opened_at.isoformat(),
        "open": position.is_open,
        "qty": float(position.qty_opened),
        "leverage": position.leverage,
        "recorded": line.booked._asdict(),
        "simulated": line.simulated._asdict() if line.simulated else None,
        "refused": line.refused,
        "entry_bps": line.entry_bps,
        "differences": [each._asdict() for each in line.differences],
    }


def refusals(accounts: Iterable[TradingAccount], start_ms: int, end_ms: int) -> dict[str, int]:
    """Entries of the window that the risk gate refused, by its word, the most frequent first."""
    span = {"order__created_at__gte": clock.from_ms(start_ms), "order__created_at__lt": clock.from_ms(end_ms)}
    events = OrderEvent.objects.filter(order__account__in=accounts, order__state=OrderState.DENIED, move="submit", **span)
    return dict(Counter(detail.get("code", "unknown") for detail in events.values_list("detail", flat=True)).most_common())


def _histories(positions: Sequence[Position]) -> dict[int, tuple[CandleFrame, FundingFrame, CandleFrame | None]]:
    """By market the bars, funding and mark prices that its positions need, read once."""
    markets: dict[int, Market] = {position.market_id: position.market for position in positions}
    found = {}
    for pk, market in markets.items():
        own = [position for position in positions if position.market_id == pk]
        start_ms = min(clock.to_ms(position.opened_at) for position in own) - 2 * 86_400_000
        end_ms = max(clock.to_ms(position.expires_at) for position in own) + 2 * bar_length()
        frame = candles.read(market, settings.BASE_TIMEFRAME, start_ms=start_ms, end_ms=end_ms)
        funding = candles.funding(market, start_ms=start_ms - funding_rule.LONGEST_INTERVAL_MS, end_ms=end_ms)
        found[pk] = frame, funding, arrays.marks_of(market, frame)
    return found


def _compare(position: Position, history: CandleFrame, funding: FundingFrame, marks: CandleFrame | None) -> Line | None:
    """None while no bar has closed on it, or without a plan to simulate."""
    record = records.read(position)
    if record is None or (position.last_bar_ms < record.filled_ms // bar_length() * bar_length() and position.is_open):
        return None
    # What is open is told as far as it was managed; what was closed until its plan would have ended it.
    end_ms = position.last_bar_ms + 1 if position.is_open else clock.to_ms(position.expires_at) + 2 * bar_length()
    market, opened, planned = position.market, records.opened(record), records.planned(record)
    slippage = market.costs.slippage_bps * 1e-4
    frame = _cut(history, opened.first_ms, end_ms)
    entered, wanted = telling.entered_at(frame, opened, float(position.entry_price), slippage)
    retold = telling.simulate(market, entered, funding, marks, wanted)
    simulated = telling.simulate(market, _cut(history, planned.first_ms, end_ms), funding, marks, planned)
    booked = records.told(record, float(frame.close[-1]) if len(frame) else float(position.mark_price))
    if isinstance(retold, str):  # its own entry cannot be told: today's rules of the market are others
        retold = booked
    money = records.revalued(record, frame, funding)
    differences = explain(record, Tellings(simulated, retold, booked, money, frame))
    if isinstance(simulated, str):
        return Line(position, booked, None, simulated, None, differences)
    return Line(position, booked, simulated, "", entry_error_bps(record, simulated), differences)


def _cut(frame: CandleFrame, start_ms: int, end_ms: int) -> CandleFrame:
    return frame.slice(*np.searchsorted(frame.timestamp, [start_ms, end_ms]).tolist())
