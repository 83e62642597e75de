"""A position that lives through bars written by hand, by the services that manage real ones."""

from decimal import Decimal

import numpy as np

from exchanges import candles, execution, paper_accounts, positions
from exchanges.models import Position
from exchanges.ports import CandleFrame, EntryPlan

START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z
BAR_MS = 900_000
ETH = "ETH/USDT:USDT"
PLAN = EntryPlan(2000.0, 1960.0, 2020.0, 2040.0, 2060.0, 20.0, 48 * 3_600_000, START_MS + 2 * BAR_MS, (0.3, 0.4, 0.3))
LADDER = [(2000, 2000, 2000, 2000)] * 4 + [(2000, 2030, 2000, 2025), (2025, 2025, 2005, 2006)]
"""Decided on the second bar and entered at 2000; TP1 in the fifth, then the stop trails at 2030 - 20 = 2010, which the sixth meets."""


SHORT_PLAN = EntryPlan(2000.0, 2040.0, 1980.0, 1960.0, 1940.0, 20.0, 48 * 3_600_000, START_MS + 2 * BAR_MS, (0.3, 0.4, 0.3))
FALL = [(2000, 2000, 2000, 2000)] * 4 + [(2000, 2000, 1970, 1975), (1975, 1995, 1975, 1994)]
"""The ladder upside down."""
STAIRS = [(2000, 2000, 2000, 2000)] * 4 + [(2000, 2025, 2000, 2020), (2020, 2045, 2020, 2042), (2042, 2065, 2042, 2060)]
"""A target in each of the last three bars."""


def bars(rows, first: int = 0, symbol: str = ETH) -> CandleFrame:
    """(open, high, low, close) of each bar, the first of which is number `first`."""
    columns = np.array(rows, float).T
    return CandleFrame(symbol, "15m", START_MS + (first + np.arange(len(rows))) * BAR_MS, *columns, np.ones(len(rows)))


def open_long(user, *, plan: EntryPlan = PLAN, seen: list = LADDER[:2], symbol: str = ETH, origin: str = "signal:1") -> Position:
    """Decided at the close of the last bar of `seen`, on a paper account of 1,000 USDT."""
    return enter(user, "buy", plan, seen, symbol, origin)


def open_short(user, *, plan: EntryPlan = SHORT_PLAN, seen: list = FALL[:2]) -> Position:
    """The other way round."""
    return enter(user, "sell", plan, seen, ETH, "signal:1")


def enter(user, side: str, plan: EntryPlan, seen: list, symbol: str, origin: str) -> Position:
    """Ask the risk gate; the order has to be filled."""
    market = candles.find_market(symbol)
    user.profile.simulation_capital = Decimal(1000)
    user.profile.save()
    account = paper_accounts.open_for(user)
    candles.ingest(market, bars(seen, symbol=symbol), provenance="file")
    order = execution.submit(account, market=market, side=side, origin=origin, plan=plan, risk_profile="medium")
    order.refresh_from_db()
    assert order.state == "filled", order.reason
    return Position.objects.get(origin=origin)


def live_on(rows, first: int = 2, symbol: str = ETH) -> Position:
    """The bars arrive one by one and are managed."""
    market = candles.find_market(symbol)
    for number in range(len(rows)):
        candles.ingest(market, bars(rows[number : number + 1], first + number, symbol), provenance="file")
        positions.on_bar(market.pk)
    return Position.objects.get()
