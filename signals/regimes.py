"""Market regimes over time, as charts show them: from the close at which one was known to the close at which another one was."""

from typing import NamedTuple

import numpy as np
from django.conf import settings
from numpy.typing import NDArray

from exchanges import candles
from exchanges.models import Market
from signals import features
from signals.features import regime as kinds

MOST_BARS = 140_256
"""Four years of 15m bars: of a longer span the newest part is told."""


class Stretch(NamedTuple):
    """One regime, known at every close of a base bar from `since_ms` to `until_ms`, both included."""

    since_ms: int
    until_ms: int
    regime: str


def stretches(market: Market, *, start_ms: int | None = None, end_ms: int | None = None) -> list[Stretch]:
    """What was known at the closes after start_ms and up to end_ms, oldest first. Empty without enough history, and for markets that close at
    night, whose hours do not follow each other. Nothing after a close changes what was known at it."""
    if market.has_sessions:
        return []
    newest = candles.last_open_ms(market, settings.BASE_TIMEFRAME)
    if newest is None:
        return []
    step_ms = candles.length_ms(settings.BASE_TIMEFRAME)
    until_ms = newest + step_ms if end_ms is None else min(end_ms, newest + step_ms)
    since_ms = max(start_ms or 0, until_ms - MOST_BARS * step_ms)
    frame = candles.read(market, settings.BASE_TIMEFRAME, start_ms=since_ms - features.WARMUP_BARS * step_ms, end_ms=until_ms - step_ms + 1)
    codes, closes = features.regimes(frame), frame.timestamp + step_ms
    shown = (closes > since_ms) & (codes >= 0)
    return _runs(codes[shown], closes[shown], step_ms)


def names_at(market: Market, opens: NDArray[np.int64]) -> list[str]:
    """The regime known at the close of each base bar that opened at `opens` (ms UTC, in any order); "" where none was: without enough history
    before it, or without the bar."""
    if market.has_sessions or not opens.size:
        return [""] * int(opens.size)
    step_ms = candles.length_ms(settings.BASE_TIMEFRAME)
    first, last = int(opens.min()), int(opens.max())
    frame = candles.read(market, settings.BASE_TIMEFRAME, start_ms=first - features.WARMUP_BARS * step_ms, end_ms=last + 1)
    if not len(frame):
        return [""] * int(opens.size)
    row = np.minimum(frame.timestamp.searchsorted(opens), len(frame) - 1)
    codes = np.where(frame.timestamp[row] == opens, features.regimes(frame)[row], -1)
    return [kinds.NAMES.get(code, "") for code in codes.tolist()]


def _runs(codes: NDArray[np.int64], closes: NDArray[np.int64], step_ms: int) -> list[Stretch]:
    """Closes that follow each other with one code; a gap in the bars ends a stretch, too."""
    if codes.size == 0:
        return []
    changes = np.flatnonzero((np.diff(codes) != 0) | (np.diff(closes) != step_ms)) + 1
    first, last = np.concatenate(([0], changes)), np.concatenate((changes - 1, [codes.size - 1]))
    return [Stretch(int(closes[a]), int(closes[b]), kinds.NAMES[int(codes[a])]) for a, b in zip(first.tolist(), last.tolist(), strict=True)]
