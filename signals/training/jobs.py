"""Training runs as rows: asked for, cancelled and restarted by people, found again when their worker died. Contested changes are conditional
updates: whoever's counts has won.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Q

from exchanges.models import JobStatus, Market
from signals import events, learners, registry
from signals.models import TrainingRun
from signals.training.diary import note
from signals.training.origin import UnusableHistory, check_origin
from signals.training.params import TrainingParams, parse, to_json
from signals.training.worker import MAX_RESTARTS, RESTARTS, STALE_AFTER
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit
from traderai.lib.jobs import UNFINISHED

STOPPED = (JobStatus.FAILED, JobStatus.CANCELLED)
UNCLAIMED_S = 60.0
ETA_FROM = 0.05
"""Share done from which on the time left is told: before it, reading and compiling say nothing about fitting."""


class AlreadyTraining(UserError):
    """A run of this scope and these symbols waits or works."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a run has worked, in s, and how long it has left if it goes on as it did; None when it does not work or nobody can tell."""

    worked_s: float | None
    eta_s: float | None


class Checked(NamedTuple):
    """What can be trained on, as far as that is quick to see."""

    markets: list[Market]
    params: TrainingParams

    @property
    def symbols(self) -> list[str]:
        return [market.symbol for market in self.markets]


def check(symbols: Sequence[str], *, params: dict[str, Any] | None = None) -> Checked:
    """What a training would be asked for. Raises UserError (UnknownSymbol, UnusableHistory, NotInstalled among them) naming the field and the remedy."""
    from exchanges import candles  # database reads only, but it brings numpy's array code with it

    wanted = sorted({symbol.strip() for symbol in symbols if symbol.strip()})
    if not wanted:
        raise UserError("symbols: name at least one market, such as BTC/USDT:USDT", field="symbols")
    checked = parse(params)
    learners.check_installed(checked.learners)
    markets = [candles.find_market(symbol, venue=checked.venue or None, field="symbols") for symbol in wanted]
    check_origin(markets)
    _check_length(markets, checked)
    return Checked(markets, checked)


def queue(
    symbols: Sequence[str], *, params: dict[str, Any] | None = None, requested_by: Any = None, reason: str = "", alongside: bool = False
) -> TrainingRun:
    """A run that waits, checked as far as that is quick.

    reason    -- why, when nobody asks for it
    alongside -- also when one of the same scope, venue and symbols waits or works
    Raises AlreadyTraining, registry.NotStored when the model folder has no room, and UserError (UnknownSymbol and UnusableHistory among
    them) naming the field and the remedy.
    """
    checked = check(symbols, params=params)
    registry.check_room()
    row = TrainingRun(
        symbols=checked.symbols,
        params=to_json(checked.params),
        requested_by=requested_by,
        reason=reason[:300],
        subject=_subject(checked.markets, checked.params.scope),
        is_alone=not alongside,
    )
    if not alongside:
        _give_up_the_dead(row.subject)
    try:
        with transaction.atomic():
            row.save()
            note(row.pk, f"Asked for by {requested_by}." if requested_by else f"Asked for: {reason}." if reason else "Asked for.")
    except IntegrityError:
        raise _already(row.subject) from None
    return row


def start(
    symbols: Sequence[str], *, params: dict[str, Any] | None = None, requested_by: Any = None, reason: str = "", alongside: bool = False
) -> TrainingRun:
    """Queue a run and tell the workers."""
    row = queue(symbols, params=params, requested_by=requested_by, reason=reason, alongside=alongside)
    send_after_commit(events.training_requested, run_id=row.pk)
    return row


def cancel(run_id: int, *, by: Any = None) -> bool:
    """End a run that waits or works; its worker notices within seconds. False when it had already ended."""
    unfinished = TrainingRun.objects.filter(pk=run_id, status__in=UNFINISHED)
    with transaction.atomic():
        won = bool(unfinished.update(status=JobStatus.CANCELLED, finished_at=clock.now(), stage="cancelled"))
        if won:
            note(run_id, f"Cancelled by {by}." if by else "Cancelled.")
    return won


def restart(run_id: int, *, by: Any = None) -> bool:
    """Queue a failed or cancelled run again, from the start. False when it is neither. Raises AlreadyTraining."""
    row = TrainingRun.objects.get(pk=run_id)
    params = {name: value for name, value in row.params.items() if name != RESTARTS}
    stopped = TrainingRun.objects.filter(pk=run_id, status__in=STOPPED)
    try:
        with transaction.atomic():
            won = bool(
                stopped.update(
                    status=JobStatus.QUEUED,
                    params=params,
                    stage="",
                    progress=0.0,
                    error="",
                    started_at=None,
                    heartbeat_at=None,
                    finished_at=None,
                )
            )
            if won:
                note(run_id, f"Restarted by {by}." if by else "Restarted.")
                send_after_commit(events.training_requested, run_id=run_id)
    except IntegrityError:
        raise _already(row.subject) from None
    return won


def pace(row: TrainingRun) -> Pace:
    """As its worker has told last."""
    if row.status != JobStatus.RUNNING or row.started_at is None or row.heartbeat_at is None:
        return Pace(None, None)
    worked_s = max(0.0, (clock.now() - row.started_at).total_seconds())
    if row.progress < ETA_FROM:
        return Pace(worked_s, None)
    return Pace(worked_s, worked_s * (1.0 - row.progress) / row.progress)


def sweep() -> list[int]:
    """Put runs of dead workers back in the queue, tell the workers of every run that waits too long, remove orphaned files.

    Returns the ids that were told. A run that died MAX_RESTARTS times is failed with a message.
    """
    now = clock.now()
    for row in TrainingRun.objects.filter(status=JobStatus.RUNNING, heartbeat_at__lt=now - STALE_AFTER):
        _revive(row)
    registry.sweep()
    told_at = clock.from_ms(clock.now_ms() - int(UNCLAIMED_S * 1_000))
    waiting = TrainingRun.objects.filter(status=JobStatus.QUEUED).filter(Q(created_at__lt=told_at))
    ids = list(waiting.order_by("id").values_list("id", flat=True))
    for run_id in ids:
        send_after_commit(events.training_requested, run_id=run_id)
    return ids


def _revive(row: TrainingRun) -> None:
    """Queue a silent run again, or give it up."""
    restarts = int(row.params.get(RESTARTS, 0)) + 1
    silent = TrainingRun.objects.filter(pk=row.pk, status=JobStatus.RUNNING, heartbeat_at=row.heartbeat_at)
    if restarts > MAX_RESTARTS:
        error = f"its worker died {restarts} times: look for memory or time limits, then restart it"
        changed = {"status": JobStatus.FAILED, "finished_at": clock.now(), "error": error}
    else:
        error = "its worker died: waiting to start again"
        changed = {"status": JobStatus.QUEUED, "stage": error, "progress": 0.0, "params": {**row.params, RESTARTS: restarts}}
    with transaction.atomic():
        if silent.update(**changed):
            note(row.pk, error[0].upper() + error[1:])


def _subject(markets: Sequence[Market], scope: str) -> str:
    about = [scope, markets[0].venue.slug, *sorted(market.symbol for market in markets)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()


def _give_up_the_dead(subject: str) -> None:
    """A run whose worker died blocks nobody: where no sweep runs (a command without a site), it would do so for good."""
    silent = TrainingRun.objects.filter(subject=subject, status=JobStatus.RUNNING, heartbeat_at__lt=clock.now() - STALE_AFTER)
    silent.update(status=JobStatus.FAILED, finished_at=clock.now(), error="its worker died, and another training was asked for")


def _already(subject: str) -> AlreadyTraining:
    other = TrainingRun.objects.filter(subject=subject, status__in=UNFINISHED, is_alone=True).first()
    named = "another training" if other is None else f"training {other.pk}"
    return AlreadyTraining(
        f"symbols: {named} of this scope and these markets is not over; wait for it, cancel it, or ask for one alongside", field="symbols"
    )


def _check_length(markets: Sequence[Market], params: TrainingParams) -> None:
    """Raises UnusableHistory when a market cannot have enough bars, counted without reading any; the run itself looks again."""
    from exchanges import candles
    from signals.training.panel import bars_needed  # numba and TA-Lib: seconds, and only who starts a training waits for them

    needed = bars_needed(params)
    for market in markets:
        there = candles.most_bars(market, params.timeframe)
        if there < needed:
            raise UnusableHistory.too_short(market.symbol, there, needed, params)
