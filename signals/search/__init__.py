"""Hyper-parameter searches as jobs: asked for, followed, cancelled and taken up again; the trials themselves run in `signals.search.lane`."""

from collections.abc import Sequence
from datetime import timedelta
from statistics import variance
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from exchanges.models import JobStatus
from signals import events, training
from signals.learners.tunables import TUNABLES
from signals.models import Search, SearchTrial, TrainingRun, TrialState
from signals.training.params import to_json
from traderai.lib import clock
from traderai.lib.errors import UserError
from traderai.lib.events import send_after_commit

__all__ = ["SearchRefused", "best", "cancel", "resume", "start", "sweep", "train_best"]

MOST_TRIALS, MOST_WORKERS = 1_000, 32
STALE_AFTER = timedelta(minutes=15)
"""A trial tells after every fold: one that is silent for longer has lost its process."""
COUNTED = (TrialState.DONE, TrialState.PRUNED)


class SearchRefused(UserError):
    """The search cannot be started or changed as asked."""


def start(
    symbols: Sequence[str], *, trials: int, workers: int = 1, params: dict[str, Any] | None = None, requested_by: Any = None
) -> Search:
    """A search over the learners' parameters, for workers to take up. `params` as for a training, less tuning, trials and trial_variance.

    Raises UserError (UnknownSymbol, UnusableHistory among them) naming the field and the remedy.
    """
    for name, value, most in (("trials", trials, MOST_TRIALS), ("workers", workers, MOST_WORKERS)):
        if not 1 <= value <= most:
            raise SearchRefused(f"{name}: {value} is not a whole number from 1 to {most:,}", field=name)
    if params and {"tuning", "trials", "trial_variance"} & params.keys():
        raise SearchRefused("params: tuning, trials and trial_variance are what the search decides; leave them out", field="params")
    checked = training.check(symbols, params=params)
    search = Search.objects.create(
        symbols=checked.symbols,
        params=to_json(checked.params),
        trials_wanted=trials,
        workers=workers,
        seed=checked.params.seed,
        requested_by=requested_by,
    )
    send_after_commit(events.search_requested, search_id=search.pk, lanes=workers)
    return search


def cancel(search: Search) -> bool:
    """Stop after the folds under way; what is done stays, and the search can be resumed. False when it is over already."""
    open_ = Search.objects.filter(pk=search.pk, status__in=[JobStatus.QUEUED, JobStatus.RUNNING])
    return bool(open_.update(status=JobStatus.CANCELLED, finished_at=clock.now()))


def resume(search: Search, *, more_trials: int = 0) -> bool:
    """Go on with a cancelled or failed search, or with a done one that is to try more. False when it waits or runs already.

    Raises SearchRefused when there would be nothing left to try.
    """
    wanted = search.trials_wanted + more_trials
    if wanted > MOST_TRIALS:
        raise SearchRefused(f"trials: {wanted:,} in all are more than {MOST_TRIALS:,}; ask for fewer", field="trials")
    if SearchTrial.objects.filter(search=search, state__in=COUNTED).count() >= wanted:
        raise SearchRefused("trials: all that were asked for are done; ask for more", field="trials")
    ended = Search.objects.filter(pk=search.pk, status__in=[JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.DONE])
    if not ended.update(status=JobStatus.QUEUED, error="", finished_at=None, trials_wanted=wanted):
        return False
    send_after_commit(events.search_requested, search_id=search.pk, lanes=search.workers)
    return True


def sweep() -> list[int]:
    """Tell the workers of every open search on which fewer trials run than may: a message was lost, or a process died. Returns their ids.

    One message too many does no harm: a lane that finds enough trials under way goes home.
    """
    alive = Q(trials__state=TrialState.RUNNING, trials__heartbeat_at__gte=clock.now() - STALE_AFTER)
    open_ = Search.objects.filter(status__in=[JobStatus.QUEUED, JobStatus.RUNNING]).annotate(running=Count("trials", filter=alive))
    short = list(open_.filter(running__lt=F("workers")).order_by("pk"))
    for search in short:
        send_after_commit(events.search_requested, search_id=search.pk, lanes=search.workers - search.running)
    return [search.pk for search in short]


def best(search: Search) -> SearchTrial | None:
    """The trial with the most skill among those that were not cut short."""
    done = SearchTrial.objects.filter(search=search, state=TrialState.DONE)
    return done.order_by("-value", "number").first()


def train_best(search: Search, *, requested_by: Any = None) -> TrainingRun:
    """Ask for a training with the best trial's parameters; it knows how many were tried, in this search and in others for the same scope and
    markets, and how far their Sharpe ratios lay apart.

    Raises SearchRefused before the first trial is done.
    """
    chosen = best(search)
    if chosen is None:
        raise SearchRefused("trials: none is done yet; wait for the first")
    tried = _tried(search).count()
    params = {**search.params, "tuning": chosen.tuning, "trials": tried, "trial_variance": trial_variance(search)}
    return training.start(search.symbols, params=params, requested_by=requested_by)


def trial_variance(search: Search) -> float | None:
    """Of the daily Sharpe ratios of the trials that count, as far as they have one; None for fewer than two."""
    ratios = [ratio for ratio in _tried(search).order_by("pk").values_list("sharpe", flat=True) if ratio is not None]
    return variance(ratios) if len(ratios) > 1 else None


def _tried(search: Search) -> QuerySet[SearchTrial]:
    """The trials that its best was chosen from: its own, and those of searches for the same scope and timeframe that share a market with it.

    Whoever searches twice and takes the better result has tried both.
    """

    def family(params: dict[str, Any]) -> tuple[Any, Any]:
        return params.get("scope"), params.get("timeframe")

    others = Search.objects.values_list("pk", "symbols", "params")
    related = [pk for pk, symbols, params in others if set(symbols) & set(search.symbols) and family(params) == family(search.params)]
    return SearchTrial.objects.filter(search__in=related, state__in=COUNTED)


def tunable() -> dict[str, list[str]]:
    """What a search decides, by learner."""
    return {kind: list(known) for kind, known in TUNABLES.items()}
