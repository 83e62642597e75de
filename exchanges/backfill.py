"""History from a venue's public API, page by page. A page's candles and the checkpoint that speaks of them are committed together,
so a job that is killed at any instant continues where its candles end. The venue is never asked inside a transaction.
"""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Q

from accounts.models import User
from exchanges import candles, events
from exchanges.models import BackfillJob, JobStatus, Market, MarketKind, Provenance
from exchanges.ports import FundingFrame, MarketDataVenue, VenueError, VenueUnavailable
from exchanges.venues import registry
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit

log = structlog.get_logger(__name__)
T = TypeVar("T")
Progress = Callable[[float], None]

ATTEMPTS = 6
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STALE_AFTER = timedelta(seconds=120)  # longer than one page with its longest pauses between heartbeats
UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED)


class BackfillRefused(UserError):
    """The job cannot be started or run as asked."""


class LostJob(Exception):
    """Another worker has taken this job over, or somebody has cancelled it: this one stops without a word in the row."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a job came on since it was claimed."""

    rows_per_s: float | None
    eta_s: float | None


def start(
    *,
    symbols: Sequence[str],
    since_ms: int,
    until_ms: int | None = None,
    timeframe: str | None = None,
    venue: str | None = None,
    requested_by: User | None = None,
) -> BackfillJob:
    """A job for closed bars with since_ms <= open < until_ms (now when None), ready to `run`.

    An unfinished job of the same venue, symbols, timeframe and since is taken up again, and what finished jobs have fetched
    since then is not fetched twice. Raises UnknownSymbol, UnknownVenue, UnknownTimeframe, BackfillRefused.
    """
    timeframe = timeframe or settings.BASE_TIMEFRAME
    length_ms = candles.length_ms(timeframe)
    now_ms = clock.now_ms()
    until_ms = min(until_ms or now_ms, now_ms) // length_ms * length_ms
    since_ms = -(-since_ms // length_ms) * length_ms
    wanted = list(dict.fromkeys(symbols))
    if not wanted:
        raise BackfillRefused("symbols: none given; name at least one, like BTC/USDT:USDT", field="symbols")
    if since_ms > now_ms:
        raise BackfillRefused("since: lies in the future; choose an earlier date", field="since")
    if since_ms < candles.EARLIEST_MS:
        raise BackfillRefused("since: lies before 2009, when no such market existed; choose a later date", field="since")
    if since_ms >= until_ms:
        raise BackfillRefused(f"since: leaves no whole {timeframe} bar before until; choose an earlier date", field="since")
    markets = [candles.find_market(symbol, venue=venue, field="symbols") for symbol in wanted]
    for market in markets:
        candles.check_source(market, Provenance.VENUE)
    same = {"venue": markets[0].venue, "symbols": wanted, "timeframe": timeframe, "since_ms": since_ms}
    with transaction.atomic():
        job = BackfillJob.objects.select_for_update().filter(**same, status__in=UNFINISHED).order_by("-pk").first()
        if job is None:
            checkpoints = _fetched(markets, timeframe, since_ms)
            return BackfillJob.objects.create(**same, until_ms=until_ms, checkpoints=checkpoints, requested_by=requested_by)
        if job.status != JobStatus.RUNNING:
            job.until_ms = max(job.until_ms, until_ms)
            job.status, job.error, job.finished_at = JobStatus.QUEUED, "", None
            job.save(update_fields=["until_ms", "status", "error", "finished_at"])
    return job


def request(
    *,
    symbols: Sequence[str],
    since_ms: int,
    until_ms: int | None = None,
    timeframe: str | None = None,
    venue: str | None = None,
    requested_by: User | None = None,
) -> BackfillJob:
    """`start`, and let a worker run it."""
    job = start(symbols=symbols, since_ms=since_ms, until_ms=until_ms, timeframe=timeframe, venue=venue, requested_by=requested_by)
    send_after_commit(events.backfill_requested, job_id=job.pk)
    return job


def resume(job: BackfillJob) -> bool:
    """Queue a failed or cancelled job again; False when it is neither."""
    won = BackfillJob.objects.filter(pk=job.pk, status__in=(JobStatus.FAILED, JobStatus.CANCELLED)).update(
        status=JobStatus.QUEUED, error="", finished_at=None
    )
    if won:
        send_after_commit(events.backfill_requested, job_id=job.pk)
    return bool(won)


def cancel(job: BackfillJob) -> bool:
    """Stop a job after its current page; False when it is over already."""
    unfinished = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.FAILED)
    return bool(BackfillJob.objects.filter(pk=job.pk, status__in=unfinished).update(status=JobStatus.CANCELLED, finished_at=clock.now()))


def waiting() -> list[int]:
    """Jobs nobody works on: queued, or running with a heart that stopped."""
    stale = Q(status=JobStatus.RUNNING, heartbeat_at__lt=clock.now() - STALE_AFTER)
    return list(BackfillJob.objects.filter(stale | Q(status=JobStatus.QUEUED)).order_by("pk").values_list("pk", flat=True))


def pace(job: BackfillJob) -> Pace:
    """Rate and time left, measured since a worker took the job up."""
    mark = cache.get(_mark_key(job.pk))
    if not mark or job.started_at is None or job.heartbeat_at is None:
        return Pace(None, None)
    seconds = (job.heartbeat_at - job.started_at).total_seconds()
    gained = job.progress - mark["progress"]
    if seconds <= 0:
        return Pace(None, None)
    left = seconds * (1.0 - job.progress) / gained if gained > 0 and job.status == JobStatus.RUNNING else None
    return Pace((job.rows_written - mark["rows"]) / seconds, left)


def run(
    job_id: int,
    progress: Progress | None = None,
    *,
    budget_s: float | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> BackfillJob:
    """Work on a job until it is done, failed, cancelled or budget_s is used up (then it is queued again). Returns it as it is then.

    A job another worker has at heart is left alone: look at the returned status. VenueUnavailable is met with ATTEMPTS
    tries and growing pauses; after them, or when the venue refuses, the job is failed with a checkpoint to resume from.
    """
    job = _claim(job_id)
    if job is None:
        return BackfillJob.objects.get(pk=job_id)
    worker = _Worker(job, progress or (lambda share: None), pause, None if budget_s is None else time.monotonic() + budget_s)
    try:
        done = worker.work()
    except LostJob:
        log.info("backfill left to its new owner", job_id=job_id)
        return BackfillJob.objects.get(pk=job_id)
    except (VenueError, UserError) as error:
        log.warning("backfill failed", job_id=job_id, error=str(error))
        _finish(worker.job, JobStatus.FAILED, f"{error}; resume the job to continue where it stopped")
    except KeyboardInterrupt:
        _finish(worker.job, JobStatus.QUEUED, "")
        raise
    except Exception:
        _finish(
            worker.job, JobStatus.FAILED, "stopped by an unexpected error, which the log has; resume the job to continue where it stopped"
        )
        raise
    else:
        _finish(worker.job, JobStatus.DONE if done else JobStatus.QUEUED, "")
    return BackfillJob.objects.get(pk=job_id)


def adopt(symbols: Sequence[str], *, venue: str | None = None) -> list[str]:
    """Add markets that the venue lists and the catalogue lacks, with the venue's steps. Returns those added. Raises VenueError, UnknownVenue."""
    found = candles.find_venue(venue or settings.DEFAULT_VENUE)
    known = set(Market.objects.filter(venue=found, symbol__in=symbols).values_list("symbol", flat=True))
    lacking = set(symbols) - known
    if not lacking:
        return []
    data = registry.market_data(found.slug)
    kinds = {MarketKind.PERPETUAL if ":" in symbol else MarketKind.SPOT for symbol in lacking}
    listed = [spec for kind in sorted(kinds) for spec in data.markets(kind) if spec.symbol in lacking]
    facts = ("symbol", "base", "quote", "tick_size", "step_size", "min_notional", "contract_size", "max_leverage")
    for spec in listed:
        Market.objects.create(venue=found, kind=MarketKind(spec.kind), **{name: getattr(spec, name) for name in facts})
    return [spec.symbol for spec in listed]


class _Worker:
    """One claim of one job. Every write proves by the heartbeat it left last that the job is still its own."""

    def __init__(self, job: BackfillJob, progress: Progress, pause: Callable[[float], None], deadline: float | None) -> None:
        self.job = job
        self.progress = progress
        self.pause = pause
        self.deadline = deadline
        self.length_ms = candles.length_ms(job.timeframe)

    def work(self) -> bool:
        """True when everything is fetched, False when the time is up."""
        venue = registry.market_data(self.job.venue.slug)
        now_ms = self._patiently(venue.now_ms)
        end_ms = min(self.job.until_ms, now_ms // self.length_ms * self.length_ms)
        for symbol in self.job.symbols:
            market = candles.find_market(symbol, venue=self.job.venue.slug)
            if not self._fetch_candles(venue, market, end_ms):
                return False
            if market.kind == MarketKind.PERPETUAL and not self._fetch_funding(venue, market, min(self.job.until_ms, now_ms)):
                return False
        return True

    def _fetch_candles(self, venue: MarketDataVenue, market: Market, end_ms: int) -> bool:
        symbol, page = market.symbol, venue.page(market.symbol)
        while (since_ms := self.job.checkpoints.get(symbol, self.job.since_ms)) < end_ms:
            if self._is_late():
                return False
            frame = self._patiently(partial(venue.candles, symbol, self.job.timeframe, since_ms, page))
            if not len(frame):  # a venue under load may answer with nothing: only a second empty page is believed
                frame = self._patiently(partial(venue.candles, symbol, self.job.timeframe, since_ms, page))
            frame = frame.slice(0, int(frame.timestamp.searchsorted(end_ms)))
            reached_ms = int(frame.timestamp.max()) + self.length_ms if len(frame) else since_ms + page * self.length_ms
            with self._page(symbol, min(reached_ms, end_ms)) as job:
                if len(frame):
                    report = candles.ingest(market, frame, provenance=Provenance.VENUE)
                    job.rows_written += report.inserted + report.updated
        return True

    def _fetch_funding(self, venue: MarketDataVenue, market: Market, end_ms: int) -> bool:
        key = f"{market.symbol} funding"
        since_ms = self.job.checkpoints.get(key, self.job.since_ms)
        while since_ms < end_ms:
            if self._is_late():
                return False
            rates = self._patiently(partial(_first_page, venue, market.symbol, since_ms))
            if rates is None:
                break
            since_ms = int(rates.timestamp.max()) + 1
            kept = rates.timestamp < end_ms
            with self._page(key, since_ms):
                candles.ingest_funding(market, FundingFrame(rates.timestamp[kept], rates.rate[kept]), provenance=Provenance.VENUE)
        return True

    @contextmanager
    def _page(self, key: str, reached_ms: int) -> Iterator[BackfillJob]:
        """What the body stores is committed together with the checkpoint, or not at all."""
        with transaction.atomic():
            job = BackfillJob.objects.select_for_update().get(pk=self.job.pk)
            if job.status != JobStatus.RUNNING or job.heartbeat_at != self.job.heartbeat_at:
                raise LostJob
            yield job
            job.checkpoints[key] = reached_ms
            job.heartbeat_at = clock.now()
            job.save(update_fields=["checkpoints", "rows_written", "heartbeat_at"])
        job.venue = self.job.venue
        self.job = job
        self.progress(job.progress)

    def _patiently(self, call: Callable[[], T]) -> T:
        """The answer, however the venue stumbles; VenueUnavailable after ATTEMPTS tries or when it asks to stay away for long."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return call()
            except VenueUnavailable as error:
                pause_s = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311  (jitter)
                if error.retry_after_s is not None:
                    pause_s = max(pause_s, error.retry_after_s)
                if pause_s > STALE_AFTER.total_seconds() / 2:
                    raise VenueUnavailable(f"{error} and asks to wait {pause_s:.0f} s") from error
                if attempt == ATTEMPTS:
                    raise VenueUnavailable(f"{error}, {ATTEMPTS} times") from error
                log.info("venue stumbles", job_id=self.job.pk, error=str(error), pause_s=round(pause_s, 1))
                self._beat()
                self.pause(pause_s)
        raise AssertionError("unreachable")

    def _beat(self) -> None:
        now = clock.now()
        mine = BackfillJob.objects.filter(pk=self.job.pk, status=JobStatus.RUNNING, heartbeat_at=self.job.heartbeat_at)
        if not mine.update(heartbeat_at=now):
            raise LostJob
        self.job.heartbeat_at = now

    def _is_late(self) -> bool:
        return self.deadline is not None and time.monotonic() >= self.deadline


def _first_page(venue: MarketDataVenue, symbol: str, since_ms: int) -> FundingFrame | None:
    return next(venue.funding(symbol, since_ms), None)


def _claim(job_id: int) -> BackfillJob | None:
    """Make the job this process's own; None when another one has it or it is over."""
    now = clock.now()
    free = Q(status=JobStatus.QUEUED) | Q(status=JobStatus.RUNNING, heartbeat_at__lt=now - STALE_AFTER)
    if not BackfillJob.objects.filter(free, pk=job_id).update(status=JobStatus.RUNNING, started_at=now, heartbeat_at=now, error=""):
        return None
    job = BackfillJob.objects.select_related("venue").get(pk=job_id)
    cache.set(_mark_key(job_id), {"rows": job.rows_written, "progress": job.progress}, timeout=7 * 86_400)
    return job


def _finish(job: BackfillJob, status: JobStatus, error: str) -> None:
    mine = BackfillJob.objects.filter(pk=job.pk, status=JobStatus.RUNNING, heartbeat_at=job.heartbeat_at)
    mine.update(status=status, error=error, finished_at=None if status == JobStatus.QUEUED else clock.now())


def _fetched(markets: Sequence[Market], timeframe: str, since_ms: int) -> dict[str, int]:
    """Checkpoints that finished jobs have reached from since_ms or earlier on, as far as their candles are stored."""
    done = BackfillJob.objects.filter(venue=markets[0].venue, timeframe=timeframe, since_ms__lte=since_ms, status=JobStatus.DONE)
    reached: dict[str, int] = {}
    for checkpoints in done.values_list("checkpoints", flat=True):
        for key, at_ms in checkpoints.items():
            reached[key] = max(reached.get(key, 0), at_ms)
    known = {}
    for market in markets:
        newest_ms = candles.last_open_ms(market, timeframe)
        if newest_ms is None or market.provenance != Provenance.VENUE or market.symbol not in reached:
            continue
        known[market.symbol] = min(reached[market.symbol], newest_ms + candles.length_ms(timeframe))
        funded_ms = candles.last_funding_ms(market)
        if funded_ms is not None:
            known[f"{market.symbol} funding"] = funded_ms + 1
    return {key: at_ms for key, at_ms in known.items() if at_ms > since_ms}


def _mark_key(job_id: int) -> str:
    return f"backfill:{job_id}:mark"
