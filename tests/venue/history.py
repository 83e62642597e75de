"""Markets to serve: from Parquet files (BASE-QUOTE_TIMEFRAME.parquet, BASE-QUOTE_funding.parquet) or generated."""

from collections.abc import Sequence
from math import floor, log10
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from exchanges import simulated
from exchanges.ports import CandleFrame, FundingFrame
from exchanges.timeframes import TIMEFRAME_MS, parse
from tests.venue.state import Instrument, VenueState
from tests.venue.tape import DAY_MS

CANDLE_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
TIMEFRAME = "15m"


def load(folder: Path, bases: Sequence[str], now_ms: int | None, *, quote: str = "USDT") -> VenueState:
    """A venue with the perpetuals of these files, at now_ms or a day before the first of them ends. Raises ValueError."""
    state = VenueState(0, walks=True)
    for base in bases:
        found = {timeframe: folder / f"{base}-{quote}_{timeframe}.parquet" for timeframe in TIMEFRAME_MS}
        symbol = f"{base}/{quote}:{quote}"
        frames = [CandleFrame(symbol, timeframe, *_columns(path, CANDLE_COLUMNS)) for timeframe, path in found.items() if path.exists()]
        if not frames:
            raise ValueError(f"--data: {folder} holds no candles of {base}: a file such as {base}-{quote}_15m.parquet")
        funding = folder / f"{base}-{quote}_funding.parquet"
        rates = FundingFrame(*_columns(funding, ("timestamp", "rate"))) if funding.exists() else None
        state.enlist(instrument(base, float(frames[0].close[-1]), quote), *frames, funding=rates)
    ends = [int(frame.timestamp[-1]) + parse(frame.timeframe) for frame in state.candles.values()]
    state.now_ms = min(ends) - DAY_MS if now_ms is None else now_ms
    return state


def generate(bases: Sequence[str], now_ms: int, *, days: int, ahead_days: int, seed: int) -> VenueState:
    """A venue with simulated perpetuals, `days` of history and as much of what is to come."""
    state = VenueState(now_ms, walks=True)
    symbols = [f"{base}/USDT:USDT" for base in bases]
    bars = (days + ahead_days) * DAY_MS // parse(TIMEFRAME)
    for base, frame in zip(bases, simulated.generate(symbols, now_ms - days * DAY_MS, bars, seed, timeframe=TIMEFRAME), strict=True):
        state.enlist(instrument(base, float(frame.close[0])), frame, funding=simulated.funding(frame, seed))
    return state


def named(wanted: str) -> list[str]:
    """BTC,ETH as a list; a number: so many markets, the best known first."""
    if not wanted.isdecimal():
        return [base.strip().upper() for base in wanted.split(",") if base.strip()]
    known = list(simulated.PRICE_LEVELS)
    return [*known, *(f"COIN{number}" for number in range(len(known) + 1, int(wanted) + 1))][: int(wanted)]


def instrument(base: str, price: float, quote: str = "USDT") -> Instrument:
    """With steps that suit the price: five digits and one more of it, about ten units of quote currency."""
    size = floor(log10(price))
    return Instrument(base, quote, tick_size=_power(size - 5), step_size=_power(min(0, 1 - size)), min_notional="5")


def _power(exponent: int) -> str:
    return f"{10.0**exponent:.{max(0, -exponent)}f}"


def _columns(path: Path, names: Sequence[str]) -> list[Any]:
    table = pq.read_table(path, columns=list(names))
    return [table.column(name).to_numpy() for name in names]
