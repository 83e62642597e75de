"""What is known of markets now: price, the last 24 hours, funding and how good the stream is. The stored bars of the last day and the
newest live updates answer; nothing is asked of a venue."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from typing import NamedTuple

import numpy as np
from django.conf import settings
from django.db.models import Q
from numpy.typing import NDArray

from exchanges import candles, streams
from exchanges.candles import recent
from exchanges.funding import HOUR_MS
from exchanges.live import Feed, Tick, Update
from exchanges.models import FundingRate, Market, Provenance
from exchanges.ports import CandleFrame
from exchanges.streams import publishing

DAY_MS = 86_400_000
FUNDING_LOOK_MS = 3 * DAY_MS
"""A rate older than this is no longer the newest one, but one that was not fetched."""
YEAR_HOURS = 8_760
# A market may have been imported in another frame than the base: the finest that still makes a day of few bars.
FRAMES = (settings.BASE_TIMEFRAME, "30m", "1h", "2h", "4h", "5m", "3m", "1m", "6h", "8h", "12h", "1d")


class Funding(NamedTuple):
    """The newest funding boundary: `rate` is a fraction of notional per interval, positive when longs pay."""

    rate: float
    at_ms: int
    interval_h: float | None

    @property
    def annual_pct(self) -> float | None:
        """The rate paid for a year, without compounding, in %; None while the interval is not known."""
        return self.rate * 100.0 * YEAR_HOURS / self.interval_h if self.interval_h else None


@dataclass(frozen=True, slots=True)
class Quote:
    """One market. Prices in quote currency; None where nothing tells. The 24 hours are those before `at_ms`, the time of the price."""

    market: Market
    source: str
    price: float | None = None
    at_ms: int | None = None
    day_ago: float | None = None
    change_pct: float | None = None
    high: float | None = None
    low: float | None = None
    volume_base: float | None = None
    volume_quote: float | None = None
    funding: Funding | None = None
    feed: Feed | None = None
    bars: CandleFrame | None = None
    """The newest day of bars, also where the price is much newer."""


def of(markets: Sequence[Market]) -> list[Quote]:
    """A quote each, in the same order."""
    ids = [market.pk for market in markets]
    updates = publishing.newest(ids, ("tick", "feed"))
    ticks = {update.market_id: update for update in updates if isinstance(update, Tick)}
    feeds = {update.market_id: update for update in updates if isinstance(update, Feed)}
    # While history is played its time is the market's: later bars are stored, and still to come.
    played = [ticks[market_id] for market_id in ticks.keys() & feeds.keys() if ticks[market_id].source != streams.VENUE]
    now_ms = {tick.market_id: tick.ts_ms for tick in played}
    days = _days(markets, now_ms)
    found = [_quote(market, days.get(market.pk), ticks.get(market.pk), feeds.get(market.pk)) for market in markets]
    rates = _funding(found)
    return [replace(quote, funding=rates.get(quote.market.pk)) for quote in found]


def source(market: Market) -> str:
    """Where its prices come from: venue, replay, simulated, or file (imported history that does not move)."""
    updates = publishing.newest([market.pk], ("tick", "feed"))
    return _source(market, *updates[:1])


def _source(market: Market, update: Update | None = None) -> str:
    return update.source if update else Provenance(market.provenance).value


def _quote(market: Market, bars: CandleFrame | None, tick: Tick | None, feed: Feed | None) -> Quote:
    source_ = _source(market, tick or feed)
    closes_ms = None if bars is None else bars.timestamp + candles.length_ms(bars.timeframe)
    if tick and (closes_ms is None or tick.ts_ms >= closes_ms[-1]):
        price, at_ms, change_pct = tick.price, tick.ts_ms, tick.change_pct
    elif bars is not None and closes_ms is not None:
        price, at_ms, change_pct = float(bars.close[-1]), int(closes_ms[-1]), None
    else:
        return Quote(market, source_, feed=feed)
    if bars is None or closes_ms is None:
        return Quote(market, source_, price, at_ms, change_pct=change_pct, feed=feed)
    day_ago = _price_at(bars, closes_ms, at_ms - DAY_MS)
    if change_pct is None and day_ago:
        change_pct = (price / day_ago - 1.0) * 100.0
    return Quote(market, source_, price, at_ms, day_ago, change_pct, *_day(bars, price, at_ms), feed=feed, bars=bars)


def _day(bars: CandleFrame, price: float, at_ms: int) -> tuple[float | None, float | None, float | None, float | None]:
    """High, low, volume in base and in quote of the day before `at_ms`; None where no bar opened in it."""
    today = bars.timestamp >= at_ms - DAY_MS
    if not today.any():
        return None, None, None, None
    volume = bars.volume[today]
    high, low = float(bars.high[today].max()), float(bars.low[today].min())
    return max(price, high), min(price, low), float(volume.sum()), float((volume * bars.close[today]).sum())


def _price_at(bars: CandleFrame, closes_ms: NDArray[np.int64], moment_ms: int) -> float | None:
    """The close of the bar that had closed by then, None when none had less than a day before."""
    at = int(np.searchsorted(closes_ms, moment_ms, side="right")) - 1
    return float(bars.close[at]) if at >= 0 and moment_ms - int(closes_ms[at]) < DAY_MS else None


def _days(markets: Sequence[Market], now_ms: dict[int, int]) -> dict[int, CandleFrame]:
    """The newest day of bars of each market, and the bar before it, in the first of FRAMES of which it has any."""
    found: dict[int, CandleFrame] = {}
    for timeframe in FRAMES:
        left = [market for market in markets if market.pk not in found]
        if not left:
            break
        found |= recent.newest_bars(left, timeframe, DAY_MS + candles.length_ms(timeframe), now_ms)
    return found


def _funding(found: Sequence[Quote]) -> dict[int, Funding]:
    """The newest boundary of each market at the time of its price: in a replay later ones are stored, and still to come."""
    at_ms = {quote.market.pk: quote.at_ms for quote in found if quote.at_ms is not None and not quote.market.is_cash}
    hours: dict[int, list[int]] = {}
    for market_id, ms in at_ms.items():
        hours.setdefault(ms // HOUR_MS * HOUR_MS, []).append(market_id)
    spans = [Q(market_id__in=ids, timestamp__gt=hour - FUNDING_LOOK_MS, timestamp__lt=hour + HOUR_MS) for hour, ids in hours.items()]
    rates: dict[int, list[tuple[int, float]]] = {}
    for start in range(0, len(spans), recent.SPANS_A_QUERY):
        rows = FundingRate.objects.filter(reduce(or_, spans[start : start + recent.SPANS_A_QUERY])).order_by("market_id", "timestamp")
        for market_id, timestamp, rate in rows.values_list("market_id", "timestamp", "rate"):
            if timestamp <= at_ms[market_id]:
                rates.setdefault(market_id, []).append((timestamp, rate))
    return {market_id: _newest(known) for market_id, known in rates.items()}


def _newest(known: Sequence[tuple[int, float]]) -> Funding:
    at_ms, rate = known[-1]
    return Funding(rate, at_ms, (at_ms - known[-2][0]) / HOUR_MS if len(known) > 1 else None)
