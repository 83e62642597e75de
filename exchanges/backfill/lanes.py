"""What one series of a job still needs from its venue, question by question. A lane hands out questions, several at a time where the
time of the next page is known before the last one has come, and takes the answers in order: its checkpoint never passes a page that is missing.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from exchanges import candles
from exchanges.backfill import gaps
from exchanges.candles import missing
from exchanges.models import BackfillJob, Candle, GapState, Market, Provenance
from exchanges.ports import CandleFrame, FundingFrame, MarketDataVenue
from exchanges.timeframes import Gap, parse

Ask = Callable[[Callable[[], Any]], Any]


@dataclass(eq=False)
class Question:
    """One question on its way to the venue. `call` puts it, `store` takes its answer inside the chunk's transaction."""

    lane: "Lane"
    call: Callable[[Ask], Any]
    store: Callable[[BackfillJob, Any], None]
    on_failure: Callable[[BackfillJob, str], None] | None = None
    """What a failure means when it is not the end of the lane."""
    answered: bool = field(default=False, init=False)
    value: Any = field(default=None, init=False)
    failure: str = field(default="", init=False)
    answered_before: int = field(default=0, init=False)


class Lane(ABC):
    """The questions of one series. Nothing here is shared with other threads but the calls of questions."""

    def __init__(self, key: str, market: Market) -> None:
        self.key = key
        self.market = market
        self.closed = False
        self.asked: deque[Question] = deque()

    def next(self) -> Question | None:
        """The next question that can be put now; None when there is none until an answer has been taken, or none at all."""
        question = None if self.closed else self._next()
        if question is not None:
            self.asked.append(question)
        return question

    def ready(self) -> list[Question]:
        """Questions whose answers have come, in order, as far as none is missing before them."""
        found = []
        while self.asked and self.asked[0].answered:
            found.append(self.asked.popleft())
        return found

    def take(self, job: BackfillJob, question: Question) -> None:
        """Inside the chunk's transaction. Raises UserError when what came cannot be stored."""
        if self.closed:
            return
        if not question.failure:
            question.store(job, question.value)
        elif question.on_failure is not None:
            question.on_failure(job, question.failure)
        else:
            self.fail(job, question.failure)

    def fail(self, job: BackfillJob, reason: str) -> None:
        """This series stops; the others go on."""
        job.errors[self.key] = reason
        self.closed = True

    @abstractmethod
    def _next(self) -> Question | None:
        """The next question of this series; None when none can be put now."""


class CandleLane(Lane):
    """First a page to see where the history begins, then pages of fixed spans side by side, then what is missing among the stored bars."""

    def __init__(self, job: BackfillJob, market: Market, venue: MarketDataVenue, end_ms: int) -> None:
        super().__init__(market.symbol, market)
        self.venue = venue
        self.timeframe = job.timeframe
        self.since_ms = job.since_ms
        self.end_ms = end_ms
        self.created_at = job.created_at
        self.length_ms = parse(job.timeframe)
        self.page = venue.page(market.symbol)
        self.next_ms = job.checkpoints.get(self.key, job.since_ms)
        self.start_ms: int | None = job.starts.get(self.key)
        self.side_by_side = not market.has_sessions
        self._step: Callable[[], Question | None] = self._walk if self.key in job.checkpoints or self._has_earlier_bars() else self._begin
        self._holes: deque[Gap] = deque()

    def _next(self) -> Question | None:
        return self._step()

    def _begin(self) -> Question | None:
        if self.asked or self.next_ms >= self.end_ms:
            return None
        return Question(self, self._page(self.next_ms, self.page), self._take_first)

    def _take_first(self, job: BackfillJob, frame: CandleFrame) -> None:
        if len(frame) and frame.timestamp[0] == self.next_ms:
            self._take_bars(job, frame, self.next_ms + self.page * self.length_ms)
            self._step = self._walk
        else:
            self._step = self._seek

    def _seek(self) -> Question | None:
        return None if self.asked else Question(self, self._find_start, self._take_start)

    def _take_start(self, job: BackfillJob, first_ms: int | None) -> None:
        self.start_ms = job.starts[self.key] = first_ms
        self.next_ms = self.end_ms if first_ms is None else first_ms
        job.checkpoints[self.key] = self.next_ms
        self._step = self._walk

    def _walk(self) -> Question | None:
        if self.next_ms >= self.end_ms:
            return None if self.asked else self._look_for_holes()
        if self.asked and not self.side_by_side:
            return None
        since_ms = self.next_ms
        until_ms = since_ms + self.page * self.length_ms
        if self.side_by_side:
            self.next_ms = until_ms
        return Question(self, self._page(since_ms, self.page), lambda job, frame: self._take_bars(job, frame, until_ms))

    def _take_bars(self, job: BackfillJob, frame: CandleFrame, until_ms: int) -> None:
        """Bars of one page. Where trading pauses, a full page reaches farther than its bars would lie side by side."""
        if not self.side_by_side and len(frame):
            until_ms = int(frame.timestamp[-1]) + self.length_ms
        until_ms = min(until_ms, self.end_ms)
        inside = frame.slice(0, int(frame.timestamp.searchsorted(until_ms)))
        if len(inside):
            report = candles.ingest(self.market, inside, provenance=Provenance.VENUE)
            job.rows_written += report.inserted + report.updated
        self.next_ms = max(self.next_ms, until_ms)
        job.checkpoints[self.key] = until_ms

    def _look_for_holes(self) -> Question | None:
        first_ms = self._first_ms()
        holes = [] if first_ms is None else gaps.due(self.market, self.timeframe, first_ms, self.end_ms, asked_since=self.created_at)
        self._holes.extend(part for hole in holes for part in gaps.pages(hole, self.timeframe, self.page))
        self._step = self._fill_holes
        return self._fill_holes()

    def _fill_holes(self) -> Question | None:
        if not self._holes:
            return None
        hole = self._holes.popleft()
        return Question(
            self,
            self._page(hole.first_ms, hole.missing),
            lambda job, frame: self._take_hole(job, hole, frame),
            lambda job, reason: self._leave_holes(hole, reason),
        )

    def _take_hole(self, job: BackfillJob, hole: Gap, frame: CandleFrame) -> None:
        written, rest = gaps.fill(self.market, hole, frame)
        job.rows_written += written
        self._holes.extend(rest)

    def _leave_holes(self, hole: Gap, reason: str) -> None:
        """Gaps do not make a job fail, and what is the matter with one may be so with all: they stay open for a later look."""
        for left in (hole, *self._holes):
            missing.note(self.market, self.timeframe, left, GapState.OPEN, reason)
        self._holes.clear()

    def _page(self, since_ms: int, limit: int) -> Callable[[Ask], CandleFrame]:
        return lambda ask: ask(partial(self.venue.candles, self.market.symbol, self.timeframe, since_ms, limit))

    def _find_start(self, ask: Ask) -> int | None:
        """Where the venue's history begins; None: not in the job's time."""
        first_ms: int | None = ask(partial(self.venue.first_candle_ms, self.market.symbol, self.timeframe))
        return None if first_ms is None or first_ms >= self.end_ms else max(first_ms, self.since_ms)

    def _first_ms(self) -> int | None:
        """Where gaps can begin: where the venue's history does, else at the job's own time when there are earlier bars, else at the first bar."""
        if self.start_ms is not None or self._has_earlier_bars():
            return max(self.since_ms, self.start_ms or 0)
        stored = Candle.objects.filter(market=self.market, timeframe=self.timeframe, timestamp__gte=self.since_ms)
        return stored.order_by("timestamp").values_list("timestamp", flat=True).first()

    def _has_earlier_bars(self) -> bool:
        return Candle.objects.filter(market=self.market, timeframe=self.timeframe, timestamp__lt=self.since_ms).exists()


class FundingLane(Lane):
    """Funding boundaries, one page after the other: where the next one begins is known only from the last."""

    def __init__(self, job: BackfillJob, market: Market, venue: MarketDataVenue, end_ms: int) -> None:
        super().__init__(f"{market.symbol} funding", market)
        self.venue = venue
        self.end_ms = end_ms
        self.since_ms = job.checkpoints.get(self.key, job.since_ms)
        self._pages: Iterator[FundingFrame] | None = None

    def _next(self) -> Question | None:
        if self.asked or self.since_ms >= self.end_ms:
            return None
        return Question(self, self._page, self._take)

    def _page(self, ask: Ask) -> FundingFrame | None:
        return ask(self._next_page)

    def _next_page(self) -> FundingFrame | None:
        """None when there are no more. A venue may tell its newest rates first, so that all pages come from one iterator."""
        self._pages = self._pages or self.venue.funding(self.market.symbol, self.since_ms)
        try:
            return next(self._pages, None)
        except BaseException:
            self._pages = None  # a generator that has failed would pass for one that has ended
            raise

    def _take(self, job: BackfillJob, rates: FundingFrame | None) -> None:
        if rates is None:
            self.since_ms = job.checkpoints[self.key] = self.end_ms
            return
        kept = rates.timestamp < self.end_ms
        frame = FundingFrame(rates.timestamp[kept], rates.rate[kept])
        candles.ingest_funding(self.market, frame, provenance=Provenance.VENUE)
        self.since_ms = int(rates.timestamp[-1]) + 1
        job.checkpoints[self.key] = self.since_ms
