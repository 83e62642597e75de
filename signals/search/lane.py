"""One worker's part of a search: trial after trial until enough are counted, the search is cancelled, or the time is up.

The row of a trial and the sampler's memory of it change in one transaction under the search's lock. A trial whose process died is given
up by whoever asks next, and its parameters are tried again: nothing is lost, and nothing is counted twice.
"""

import time
import warnings
from collections.abc import Callable
from datetime import datetime
from typing import Any

import optuna
import structlog
from django.db import transaction

from exchanges.models import JobStatus
from signals.models import Search, SearchTrial, TrialState
from signals.search import COUNTED, STALE_AFTER, objective, space
from signals.search.journal import DatabaseJournal
from signals.training.params import TrainingParams, parse
from traderai.lib import clock
from traderai.lib.errors import UserError

log = structlog.get_logger(__name__)

MOST_FAILURES = 5
"""A search of which so many trials have failed is given up."""
STARTUP_TRIALS = 10
"""Trials at random before the sampler learns from them, and as many finished ones before any is pruned."""
optuna.logging.set_verbosity(optuna.logging.WARNING)


def run(search_id: int, *, budget_s: float | None = None, progress: Callable[[], None] = lambda: None) -> bool:
    """Work on a search. Returns whether something is left that this worker could go on with. `progress` is called after each trial.

    Errors end up in the rows: a trial that fails costs itself, a search whose history cannot be used fails with the reason.
    """
    until = None if budget_s is None else time.monotonic() + budget_s
    taken = Search.objects.filter(pk=search_id, status=JobStatus.QUEUED)
    taken.update(status=JobStatus.RUNNING, started_at=clock.now())
    search = Search.objects.get(pk=search_id)
    if search.status != JobStatus.RUNNING:
        return False
    params = parse(search.params)
    try:
        work = objective.prepare(search.symbols, params)
    except UserError as error:
        _fail(search_id, error.message)
        return False
    while until is None or time.monotonic() < until:
        trial = _ask(search, work)
        if trial is None:
            return False
        _try(search, trial, work, params)
        progress()
    return True


def _study(search: Search, sampler: optuna.samplers.BaseSampler | None = None) -> optuna.Study:
    """The search's study, as its journal tells it."""
    pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.JournalStorage(DatabaseJournal(search.pk))
        return optuna.create_study(
            storage=storage, study_name="search", direction="maximize", load_if_exists=True, sampler=sampler, pruner=pruner
        )


def _sampler(seed: int) -> optuna.samplers.TPESampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011), jointly over all parameters; trials that run count as bad (constant liar)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True, seed=seed)


def _ask(search: Search, work: objective.Work) -> optuna.Trial | None:
    """The next trial, its row written; None when no more may begin. Ends the search when all are counted."""
    with transaction.atomic():
        row = Search.objects.select_for_update().get(pk=search.pk)
        if row.status != JobStatus.RUNNING:
            return None
        _bury(row)
        states = list(SearchTrial.objects.filter(search=row).values_list("state", flat=True))
        counted, running = sum(state in COUNTED for state in states), states.count(TrialState.RUNNING)
        if states.count(TrialState.FAILED) >= MOST_FAILURES:
            _fail(row.pk, f"{MOST_FAILURES} trials failed; their errors are in the list of trials")
            return None
        if counted >= row.trials_wanted:
            Search.objects.filter(pk=row.pk).update(status=JobStatus.DONE, finished_at=clock.now())
            return None
        if counted + running >= row.trials_wanted or running >= row.workers:
            return None
        # One sampler a trial, seeded by its number: a search that is taken up again asks what it would have asked.
        trial = _study(row, _sampler(row.seed + len(states))).ask(space.distributions(list(work.kinds)))
        now = clock.now()
        SearchTrial.objects.create(search=row, number=trial.number, tuning=space.tuning(trial.params), started_at=now, heartbeat_at=now)
        return trial


def _bury(search: Search) -> None:
    """Give up the trials of dead processes."""
    for row in SearchTrial.objects.filter(search=search, state=TrialState.RUNNING, heartbeat_at__lt=clock.now() - STALE_AFTER):
        _lose(row, _study(search))


def _lose(row: SearchTrial, study: optuna.Study) -> None:
    """A trial that will not be finished: the same parameters are tried again."""
    if _end(row, TrialState.LOST):
        study.tell(row.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(study.get_trials(deepcopy=False)[row.number].params)


def _try(search: Search, trial: optuna.Trial, work: objective.Work, params: TrainingParams) -> None:
    """Evaluate a trial fold by fold, until it is done, pruned, failed or no longer wanted."""
    row = SearchTrial.objects.get(search=search, number=trial.number)
    reached: list[float] = []
    sharpe: float | None = None
    try:
        for step in objective.steps(work, params, row.tuning):
            reached.append(step.skill)
            sharpe = step.sharpe
            if not _tell(row, trial, reached):
                return
            if trial.should_prune():
                _settle(row, trial, TrialState.PRUNED, reached, sharpe=sharpe)
                return
    except Exception as error:
        log.exception("a trial failed", search=search.pk, trial=trial.number)
        _settle(row, trial, TrialState.FAILED, reached, error=f"{type(error).__name__}: {error}")
        return
    _settle(row, trial, TrialState.DONE, reached, sharpe=sharpe)


def _tell(row: SearchTrial, trial: optuna.Trial, reached: list[float]) -> bool:
    """Note a fold's skill. False when the trial is no longer wanted: it was given up for dead, or the search was cancelled."""
    with transaction.atomic():
        Search.objects.select_for_update().get(pk=row.search_id)
        alive = SearchTrial.objects.filter(pk=row.pk, state=TrialState.RUNNING)
        if not alive.update(folds=reached, value=_mean(reached), heartbeat_at=clock.now()):
            return False
        if not Search.objects.filter(pk=row.search_id, status=JobStatus.RUNNING).exists():
            _lose(row, trial.study)
            return False
        trial.report(_mean(reached), step=len(reached))
        return True


def _settle(row: SearchTrial, trial: optuna.Trial, state: TrialState, reached: list[float], **found: Any) -> None:
    """End a trial in its row and in the sampler's memory, unless somebody else has."""
    value = _mean(reached) if reached else None
    told: dict[TrialState, tuple[Any, optuna.trial.TrialState]] = {
        TrialState.DONE: (value, optuna.trial.TrialState.COMPLETE),
        TrialState.PRUNED: (None, optuna.trial.TrialState.PRUNED),
        TrialState.FAILED: (None, optuna.trial.TrialState.FAIL),
    }
    answer, ended = told[state]
    with transaction.atomic():
        Search.objects.select_for_update().get(pk=row.search_id)
        if _end(row, state, folds=reached, value=value, **found):
            trial.study.tell(trial, answer, state=ended)


def _end(row: SearchTrial, state: TrialState, **found: Any) -> bool:
    now: datetime = clock.now()
    running = SearchTrial.objects.filter(pk=row.pk, state=TrialState.RUNNING)
    return bool(running.update(state=state, finished_at=now, heartbeat_at=now, **found))


def _fail(search_id: int, error: str) -> None:
    open_ = Search.objects.filter(pk=search_id, status__in=[JobStatus.QUEUED, JobStatus.RUNNING])
    open_.update(status=JobStatus.FAILED, error=error, finished_at=clock.now())


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
