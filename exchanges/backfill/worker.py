"""One worker on one job. A chunk is what is on its way to the venue at once, at most CHUNK questions; what has come is committed
together with the checkpoints that speak of it, so a worker that is killed at any instant leaves at most one chunk to be asked for again.
The venue is never asked inside a transaction, and only the calling thread touches the database.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog
from django.db import DatabaseError, OperationalError, transaction
from django.db.models import Q

from exchanges import candles
from exchanges.backfill.crew import Answer, Crew, Patience
from exchanges.backfill.lanes import CandleLane, FundingLane, Lane, Question
from exchanges.models import BackfillJob, JobStatus, MarketKind
from exchanges.ports import MarketDataVenue, VenueError, VenueUnavailable
from exchanges.venues import registry
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.room import OutOfRoom, is_out_of_room

log = structlog.get_logger(__name__)
Progress = Callable[[BackfillJob], None]

CHUNK = 8
BEAT_S = 5.0
STALE_AFTER = timedelta(seconds=60)
"""Longer than the database may keep a worker from its next sign of life."""
PACE_S = 60.0
DEADLOCK = "40P01"
"""PostgreSQL's code. Others lock several markets in one transaction, too; its victim's work was undone, so it is done again."""
SAVED = ("checkpoints", "starts", "errors", "rows_written", "requests", "rows_per_s", "eta_s", "heartbeat_at")


class LostJob(Exception):
    """Another worker has taken this job over: this one stops without a word in the row."""


def run(
    job_id: int, progress: Progress | None = None, *, budget_s: float | None = None, pause: Callable[[float], object] | None = None
) -> BackfillJob:
    """Work on a job until it is done, failed, paused, cancelled or budget_s is used up (then it is queued again). Returns it as it is then.

    A job another worker has at heart is left alone: look at the returned status. A market in trouble does not stop the others; a venue
    that is away for all of them, a full disk and Ctrl-C (paused) do, with a checkpoint to resume from. Raises OutOfRoom when not even that
    can be written. `pause` sleeps between tries.
    """
    job = _claim(job_id)
    if job is None:
        return BackfillJob.objects.get(pk=job_id)
    worker = _Worker(job, progress or (lambda job: None), Patience(pause), None if budget_s is None else time.monotonic() + budget_s)
    try:
        done = worker.work()
    except LostJob:
        log.info("backfill left to its new owner", job_id=job_id)
    except (VenueError, UserError) as error:
        log.warning("backfill failed", job_id=job_id, error=str(error))
        _finish(worker.job, JobStatus.FAILED, f"{error}; resume the job to continue where it stopped")
    except KeyboardInterrupt:
        _finish(worker.job, JobStatus.PAUSED, "")
        raise
    except OperationalError as error:
        if is_out_of_room(error):
            _out_of_room(worker.job, error)
        else:
            with suppress(DatabaseError):
                _finish(worker.job, JobStatus.QUEUED, "")
            if getattr(error.__cause__, "sqlstate", None) != DEADLOCK:
                raise
            log.info("backfill begins anew after a deadlock", job_id=job_id)
            return run(job_id, progress, budget_s=budget_s, pause=pause)
    except Exception:
        _finish(
            worker.job, JobStatus.FAILED, "stopped by an unexpected error, which the log has; resume the job to continue where it stopped"
        )
        raise
    else:
        _finish(worker.job, *_outcome(worker.job) if done else (JobStatus.QUEUED, ""))
    finally:
        worker.leave()
    return BackfillJob.objects.get(pk=job_id)


class _Worker:
    """One claim of one job. Every write proves by the heartbeat it left last that the job is still its own."""

    def __init__(self, job: BackfillJob, progress: Progress, patience: Patience, deadline: float | None) -> None:
        self.job = job
        self.progress = progress
        self.patience = patience
        self.deadline = deadline
        self.crew: Crew[Question] = Crew(CHUNK, lambda question: question.call(patience.ask))
        self.lanes: deque[Lane] = deque()
        self.unlisted: dict[str, str] = {}
        self.answered = 0  # questions
        self.counted = 0  # of the patience's questions, in the row
        self.pace = _Pace(job)

    def work(self) -> bool:
        """True when nothing is left to be asked, False when the time is up or somebody has paused or cancelled the job."""
        venue = registry.market_data(self.job.venue.slug)
        now_ms = self._ask_the_time(venue)
        if self._may_ask():
            self._open_lanes(venue, now_ms)
            self._commit([])
        while self._may_ask() and self._ask_more():
            self._gather()
        done = self._may_ask()
        self.patience.stop()
        while self.crew.busy:
            self._gather()
        return done

    def leave(self) -> None:
        self.patience.stop()
        self.crew.dismiss()

    def _ask_the_time(self, venue: MarketDataVenue) -> int:
        """Bars that close after it are not closed; 0 when the job may not go on."""
        alone: Crew[Callable[[], int]] = Crew(1, self.patience.ask)
        alone.begin(venue.now_ms)
        answers: list[Answer[Callable[[], int]]] = []
        while self._may_ask() and not (answers := alone.answers(BEAT_S)):
            self._commit([])
        alone.dismiss()
        for answer in answers:
            if answer.error is not None:
                raise answer.error
            return int(answer.value)
        return 0

    def _open_lanes(self, venue: MarketDataVenue, now_ms: int) -> None:
        length_ms = candles.length_ms(self.job.timeframe)
        until_ms = min(self.job.until_ms, now_ms)
        for symbol in self.job.symbols:
            try:
                market = candles.find_market(symbol, venue=self.job.venue.slug)
            except candles.UnknownSymbol as error:
                self.unlisted[symbol] = str(error)
                continue
            self.lanes.append(CandleLane(self.job, market, venue, until_ms // length_ms * length_ms))
            if market.kind == MarketKind.PERPETUAL:
                self.lanes.append(FundingLane(self.job, market, venue, until_ms))
        self.lanes = deque(lane for lane in self.lanes if lane.key not in self.job.errors)

    def _may_ask(self) -> bool:
        return self.job.status == JobStatus.RUNNING and (self.deadline is None or time.monotonic() < self.deadline)

    def _ask_more(self) -> bool:
        """Fill the chunk, the lanes taking turns; False when nothing is on its way and nothing is left to ask."""
        idle = 0
        while idle < len(self.lanes) and sum(len(lane.asked) for lane in self.lanes) < CHUNK:
            self.lanes.rotate(-1)
            question = self.lanes[-1].next()
            idle = idle + 1 if question is None else 0
            if question is not None:
                question.answered_before = self.answered  # a mark to judge its failure by
                self.crew.begin(question)
        return self.crew.busy > 0

    def _gather(self) -> None:
        """Wait for answers and commit what can be; without any, give a sign of life."""
        for answer in self.crew.answers(BEAT_S):
            self._judge(answer)
        self._commit([question for lane in sorted(self.lanes, key=lambda lane: lane.market.pk) for question in lane.ready()])

    def _judge(self, answer: Answer[Question]) -> None:
        question, error = answer.task, answer.error
        question.answered = True
        if error is None:
            self.answered += 1
            question.value = answer.value
        elif not isinstance(error, VenueError):
            raise error
        elif not isinstance(error, VenueUnavailable):
            question.failure = str(error)
        elif self._may_ask():
            if self.answered == question.answered_before and question.on_failure is None:
                raise error  # nobody was answered while this one tried: it is the venue that is away, not one market
            question.failure = str(error)
        else:
            question.lane.closed = True  # asked again when the job goes on

    def _commit(self, questions: Sequence[Question]) -> None:
        """Store what has come and the checkpoints that speak of it, or nothing. Markets are locked in one order by all workers."""
        with transaction.atomic():
            job = BackfillJob.objects.select_for_update().get(pk=self.job.pk)
            if job.heartbeat_at != self.job.heartbeat_at:
                raise LostJob
            for question in questions:
                try:
                    with transaction.atomic():
                        question.lane.take(job, question)
                except UserError as error:
                    question.failure = str(error)
                    question.lane.take(job, question)
            job.errors |= self.unlisted
            asked = self.patience.asked
            job.requests += asked - self.counted
            job.rows_per_s, job.eta_s = self.pace.of(job)
            job.heartbeat_at = clock.now()
            job.save(update_fields=SAVED)
        self.counted = asked
        job.venue = self.job.venue
        self.job = job
        if questions:
            self.progress(job)


class _Pace:
    """How fast a job comes on, over the last minute of work."""

    def __init__(self, job: BackfillJob) -> None:
        self._marks = deque([(time.monotonic(), job.rows_written, job.progress)])

    def of(self, job: BackfillJob) -> tuple[float | None, float | None]:
        """Candles a second and seconds left, as far as they can be told."""
        now_s, progress = time.monotonic(), job.progress
        self._marks.append((now_s, job.rows_written, progress))
        while len(self._marks) > 2 and self._marks[1][0] <= now_s - PACE_S:
            self._marks.popleft()
        began_s, rows, begun = self._marks[0]
        if now_s <= began_s:
            return None, None
        left_s = (now_s - began_s) * (1.0 - progress) / (progress - begun) if progress > begun else None
        return (job.rows_written - rows) / (now_s - began_s), left_s


def _claim(job_id: int) -> BackfillJob | None:
    """Make the job this process's own; None when another one has it or it is over."""
    now = clock.now()
    free = Q(status=JobStatus.QUEUED) | Q(status=JobStatus.RUNNING, heartbeat_at__lt=now - STALE_AFTER)
    if not BackfillJob.objects.filter(free, pk=job_id).update(status=JobStatus.RUNNING, started_at=now, heartbeat_at=now, error=""):
        return None
    return BackfillJob.objects.select_related("venue").get(pk=job_id)


def _outcome(job: BackfillJob) -> tuple[JobStatus, str]:
    if not job.errors:
        return JobStatus.DONE, ""
    others = f" (and {len(job.errors) - 1} more, each told in errors)" if len(job.errors) > 1 else ""
    return JobStatus.FAILED, f"{next(iter(job.errors.values()))}{others}; resume the job to continue where it stopped"


def _finish(job: BackfillJob, status: JobStatus, error: str) -> None:
    mine = BackfillJob.objects.filter(pk=job.pk, status=JobStatus.RUNNING, heartbeat_at=job.heartbeat_at)
    mine.update(status=status, error=error, finished_at=clock.now() if status in (JobStatus.DONE, JobStatus.FAILED) else None)


def _out_of_room(job: BackfillJob, error: DatabaseError) -> None:
    """The row may still be changed where it lies; if not, the job is found by its heart that stopped."""
    log.warning("no room left in the database", job_id=job.pk)
    try:
        _finish(job, JobStatus.FAILED, f"{OutOfRoom()} and resume the job")
    except DatabaseError:
        raise OutOfRoom from error
