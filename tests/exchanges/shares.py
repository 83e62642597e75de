"""Series of shares: bars in sessions, nights without any."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from exchanges.ports import CandleFrame
from exchanges.timeframes import parse
from tests.exchanges.frames import make_frame, replaced


def make_sessions(spans: Sequence[tuple[int, int]], *, symbol: str, timeframe: str = "15m", seed: int = 7) -> CandleFrame:
    """Bars wherever [from, until) of the spans is open, in ms; whole shares as volume."""
    length_ms = parse(timeframe)
    opens = np.concatenate([np.arange(start, end, length_ms, dtype=np.int64) for start, end in spans])
    frame = make_frame(len(opens), symbol=symbol, timeframe=timeframe, seed=seed)
    prices = {name: np.round(getattr(frame, name) / 100.0, 2) for name in ("open", "high", "low", "close")}
    prices["high"] = np.maximum.reduce([prices["high"], prices["open"], prices["close"]])
    prices["low"] = np.minimum.reduce([prices["low"], prices["open"], prices["close"]])
    return replaced(frame, timestamp=opens, volume=np.round(frame.volume), **prices)


def utc(text: str) -> int:
    """ms of "2024-03-08 14:30", UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def moments(opens: Any) -> list[str]:
    """Opens in ms as "03-08 14:30", UTC."""
    return [f"{datetime.fromtimestamp(int(ms) / 1000, UTC):%m-%d %H:%M}" for ms in opens]
