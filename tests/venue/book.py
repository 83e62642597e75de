"""An instrument's order book, which follows the price and keeps what changed, so that snapshots and streams of any dialect agree."""

import random
import zlib
from collections import deque
from decimal import Decimal
from threading import RLock
from typing import NamedTuple

LEVELS = 50
SPACING = 10
STIRRED = 3
MOST = 4000
Level = tuple[str, str]


class Change(NamedTuple):
    """What a book did between two of its update ids: levels (price, quantity), a quantity of 0 is a level that is gone."""

    after_id: int
    last_id: int
    bids: list[Level]
    asks: list[Level]


class Book:
    """Prices are counted in ticks, quantities in steps. `update_id` grows with every level that changes."""

    def __init__(self, name: str, tick: str, step: str) -> None:
        self._tick, self._step = Decimal(tick), Decimal(step)
        self._random = random.Random(zlib.crc32(name.encode()))
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._best: int | None = None
        self._log: deque[tuple[int, bool, int]] = deque(maxlen=MOST)
        self._lock = RLock()
        self.update_id = 1000
        self.at_ms = 0

    def follow(self, price: float, at_ms: int, *, stir: bool) -> None:
        """Let the best bid be at the price. `stir`: some quantities change even when it was there already."""
        best = round(price / float(self._tick))
        with self._lock:
            self.at_ms = at_ms
            if best != self._best:
                self._best = best
                self._set(self._bids, True, _grid(best, -1))
                self._set(self._asks, False, _grid(best + 1, 1))
            elif stir:
                for side, is_bid in ((self._bids, True), (self._asks, False)):
                    for level in self._random.sample(list(side), min(STIRRED, len(side))):
                        self._put(side, is_bid, level, self._quantity())

    def levels(self, count: int) -> tuple[list[Level], list[Level]]:
        """The best `count` bids and asks, best first."""
        with self._lock:
            bids, asks = sorted(self._bids.items(), reverse=True)[:count], sorted(self._asks.items())[:count]
        return [self._told(*level) for level in bids], [self._told(*level) for level in asks]

    def best(self) -> tuple[Level, Level]:
        """The best bid and the best ask."""
        bids, asks = self.levels(1)
        return bids[0], asks[0]

    def since(self, update_id: int) -> Change | None:
        """What changed after an update id; None when that is too long ago to know."""
        bids: dict[int, int] = {}
        asks: dict[int, int] = {}
        with self._lock:
            if self._log and self._log[0][0] > update_id + 1:
                return None
            for changed_id, is_bid, level in reversed(self._log):
                if changed_id <= update_id:
                    break
                side, now = (bids, self._bids) if is_bid else (asks, self._asks)
                side.setdefault(level, now.get(level, 0))
        return Change(update_id, self.update_id, self._listed(bids, reverse=True), self._listed(asks, reverse=False))

    def _set(self, side: dict[int, int], is_bid: bool, wanted: set[int]) -> None:
        for level in [level for level in side if level not in wanted]:
            self._put(side, is_bid, level, 0)
        for level in wanted:
            if level not in side:
                self._put(side, is_bid, level, self._quantity())

    def _put(self, side: dict[int, int], is_bid: bool, level: int, quantity: int) -> None:
        self.update_id += 1
        self._log.append((self.update_id, is_bid, level))
        if quantity:
            side[level] = quantity
        else:
            del side[level]

    def _quantity(self) -> int:
        return self._random.randint(1, 20_000)

    def _listed(self, side: dict[int, int], *, reverse: bool) -> list[Level]:
        return [self._told(level, side[level]) for level in sorted(side, reverse=reverse)]

    def _told(self, level: int, quantity: int) -> Level:
        return format(level * self._tick, "f"), format(quantity * self._step, "f") if quantity else "0"


def _grid(best: int, towards: int) -> set[int]:
    """The best price and the next round ones behind it."""
    first = (best // SPACING + (1 if towards > 0 else 0)) * SPACING
    if first == best:
        first += towards * SPACING
    return {best} | {level for level in range(first, first + towards * SPACING * (LEVELS - 1), towards * SPACING) if level > 0}
