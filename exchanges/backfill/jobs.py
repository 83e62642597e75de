"""Backfill jobs: started, paused, resumed and cancelled by people, found by workers. Contested changes are conditional updates: whoever's
counts has won. A worker notices a change of its job's status after its current chunk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from accounts.models import User
from exchanges import candles, events
from exchanges.backfill.worker import STALE_AFTER
from exchanges.models import BackfillJob, JobStatus, Market, MarketKind, Provenance
from exchanges.venues import registry
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit

STOPPED = (JobStatus.PAUSED, JobStatus.FAILED, JobStatus.CANCELLED)
AT_WORK = (JobStatus.QUEUED, JobStatus.RUNNING)


class BackfillRefused(UserError):
    """The job cannot be started or changed as asked."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a job comes on, over the last minute of work."""

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
        here = f"{clock.from_ms(now_ms):%Y-%m-%d %H:%M} UTC"
        raise BackfillRefused(f"since: lies in the future (this computer's clock says {here}); choose an earlier date", field="since")
    if since_ms < candles.EARLIEST_MS:
        raise BackfillRefused("since: lies before 2009, when no such market existed; choose a later date", field="since")
    if since_ms >= until_ms:
        raise BackfillRefused(f"since: leaves no whole {timeframe} bar before until; choose an earlier date", field="since")
    markets = [candles.find_market(symbol, venue=venue, field="symbols") for symbol in wanted]
    for market in markets:
        candles.check_source(market, Provenance.VENUE)
    same = {"venue": markets[0].venue, "symbols": wanted, "timeframe": timeframe, "since_ms": since_ms}
    with transaction.atomic():
        job = BackfillJob.objects.select_for_update().filter(**same, status__in=(*AT_WORK, *STOPPED)).order_by("-pk").first()
        if job is None:
            checkpoints = _fetched(markets, timeframe, since_ms)
            return BackfillJob.objects.create(**same, until_ms=until_ms, checkpoints=checkpoints, requested_by=requested_by)
        if job.status != JobStatus.RUNNING:
            job.until_ms = max(job.until_ms, until_ms)
            job.status, job.error, job.errors, job.finished_at = JobStatus.QUEUED, "", {}, None
            job.save(update_fields=["until_ms", "status", "error", "errors", "finished_at"])
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


def pause(job: BackfillJob) -> bool:
    """Let a job rest after its current chunk; False when it neither waits nor runs."""
    return _change(job, AT_WORK, JobStatus.PAUSED)


def resume(job: BackfillJob) -> bool:
    """Queue a paused, failed or cancelled job again, to try what has failed again; False when it is none of these."""
    won = _change(job, STOPPED, JobStatus.QUEUED, error="", errors={})
    if won:
        send_after_commit(events.backfill_requested, job_id=job.pk)
    return won


def cancel(job: BackfillJob) -> bool:
    """Stop a job for good after its current chunk, though it can be resumed; False when it is over already."""
    return _change(job, (*AT_WORK, JobStatus.PAUSED, JobStatus.FAILED), JobStatus.CANCELLED, finished_at=clock.now())


def waiting() -> list[int]:
    """Jobs nobody works on: queued, or running with a heart that stopped."""
    stale = Q(status=JobStatus.RUNNING, heartbeat_at__lt=clock.now() - STALE_AFTER)
    return list(BackfillJob.objects.filter(stale | Q(status=JobStatus.QUEUED)).order_by("pk").values_list("pk", flat=True))


def pace(job: BackfillJob) -> Pace:
    """As its worker has told last; the time left only while it runs."""
    return Pace(job.rows_per_s, job.eta_s if job.status == JobStatus.RUNNING else None)


def adopt(symbols: Sequence[str], *, venue: str | None = None) -> list[str]:
    """Add markets that the venue lists and the catalogue lacks, with the venue's steps. Returns those added.

    Raises VenueError, UnknownVenue, and BackfillRefused for one that does not trade.
    """
    found = candles.find_venue(venue or settings.DEFAULT_VENUE)
    known = set(Market.objects.filter(venue=found, symbol__in=symbols).values_list("symbol", flat=True))
    lacking = set(symbols) - known
    if not lacking:
        return []
    data = registry.market_data(found.slug)
    kinds = {registry.kind_of(found.slug, symbol) for symbol in lacking}
    listed = [spec for kind in sorted(kinds) for spec in data.markets(kind) if spec.symbol in lacking]
    for spec in listed:
        if not spec.is_trading:
            raise BackfillRefused(f"symbols: {spec.symbol} is delisted or halted on {found.slug}; choose another market", field="symbols")
    facts = ("symbol", "base", "quote", "tick_size", "step_size", "min_notional", "contract_size", "max_leverage")
    for spec in listed:
        Market.objects.create(venue=found, kind=MarketKind(spec.kind), **{name: getattr(spec, name) for name in facts})
    return [spec.symbol for spec in listed]


def _change(job: BackfillJob, old: Sequence[JobStatus], new: JobStatus, **fields: object) -> bool:
    won = BackfillJob.objects.filter(pk=job.pk, status__in=old).update(status=new, **({"finished_at": None} | fields))
    job.refresh_from_db(fields=["status", "error", "errors", "finished_at"])
    return bool(won)


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
