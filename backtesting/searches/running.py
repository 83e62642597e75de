"""A search on a worker: batch after batch, each stored before the next, then the walk-forward test and what it all says.

A batch and the number of trials change in one transaction under the worker's claim: what a killed worker has stored stays and is not tried again.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import structlog
from django.db import transaction
from django.db.models import Q

from backtesting import asked, kernel, runs
from backtesting.combos import ranking, windows
from backtesting.combos.space import Space
from backtesting.models import Method, ParameterSearch, TrialBatch, Walk
from backtesting.searches import asking, findings, trials, walking, work
from exchanges.risk import profiles
from traderai.lib.jobs import Claim, Withdrawn

log = structlog.get_logger(__name__)

Progress = Callable[[str, float], None]
TRYING, JUDGING = 0.7, 0.8
"""Shares of a search's time: all trials, and then what is said about the best; the rest is the walk-forward test."""


def execute(search_id: int, *, progress: Progress | None = None) -> ParameterSearch:
    """Run a queued search; one that somebody else has claimed is returned as it is. A failure is kept on the row and raised.

    progress -- called with the stage and the share that is done, 0 to 1
    """
    rows = ParameterSearch.objects.all()
    held = Claim.take(rows, search_id)
    if held is None:
        return rows.get(pk=search_id)

    def tell(stage: str, share: float, **told: Any) -> None:
        held.beat(stage=stage, progress=share, **told)
        if progress:
            progress(stage, share)

    try:
        with held.ending():
            _search(held, tell)
    except Withdrawn:
        log.info("search was withdrawn while it ran", search=search_id)
    return rows.get(pk=search_id)


def _search(held: Claim[ParameterSearch], tell: Callable[..., None]) -> None:
    search = held.row
    space = asked.parse_space(search.strategy, search.space)
    tell("Reading candles" if kernel.is_compiled(for_sweeps=True) else f"Reading candles. {runs.COMPILING}", 0.0)
    evaluate = work.evaluator(search, space)
    _try_all(search, space, evaluate, tell)
    tell("Judging the best", TRYING)
    done, capital, span = trials.load(search), float(search.capital), (search.start_ms, search.end_ms)
    family = ParameterSearch.objects.all().same_chance(search)
    facts = findings.found(
        space,
        done.table,
        done.results,
        evaluate,
        objective=search.objective,
        least_trades=search.least_trades,
        span=span,
        capital=capital,
        ratios=trials.ratios(search),
        tried=family.tried(),
        searches=family.filter(Q(tried__gt=0)).count(),
    )
    facts["walk"] = _walk(search, space, evaluate, tell) if search.walk != Walk.NONE else None
    facts["verdict"] = findings.verdict(facts["walk"])
    facts["warnings"] = findings.warnings(facts, search.objective, limit_pct=profiles.profile(search.risk_profile).max_drawdown_pct)
    held.finish(result=facts)


def _try_all(search: ParameterSearch, space: Space, evaluate: walking.Evaluate, tell: Callable[..., None]) -> None:
    """All batches that are not stored yet."""
    done = trials.load(search)
    number, tried = TrialBatch.objects.filter(search=search).count(), done.table.shape[0]
    batches = asking.tables(search, space, done.table, _judged(done.results, search))
    table = next(batches, None)
    while table is not None:
        tell(f"Trying {tried + 1:,} to {tried + table.shape[0]:,} of {search.wanted:,}", TRYING * min(1.0, tried / search.wanted))
        results = evaluate(table, search.start_ms, search.end_ms, float(search.capital)).results
        tried += table.shape[0]
        with transaction.atomic():
            trials.batch(search, number, table, results).save(force_insert=True)
            tell(f"Tried {tried:,} of {search.wanted:,}", TRYING * min(1.0, tried / search.wanted), tried=tried)
        number += 1
        try:
            table = batches.send(_judged(results, search))
        except StopIteration:
            table = None


def _judged(results: ranking.Results, search: ParameterSearch) -> Any:
    """What a trial is told to be worth: the objective, NaN for one that may not be the best."""
    return np.where(results.trades >= search.least_trades, results.objective(search.objective), np.nan)


def _walk(search: ParameterSearch, space: Space, evaluate: walking.Evaluate, tell: Callable[..., None]) -> dict[str, Any]:
    """The walk-forward test. A search that learns has chosen its trials by the whole span: here as many are drawn without looking at any."""
    table = space.combinations() if search.method == Method.GRID else asking.sample(space, search.wanted, search.seed)
    spans = windows.windows(
        search.start_ms,
        search.end_ms,
        train_days=search.train_days,
        test_days=search.test_days,
        purge_ms=space.longest_hold_ms,
        is_anchored=search.walk == Walk.ANCHORED,
    )
    capital = float(search.capital)
    found = walking.walk(
        evaluate,
        table,
        spans,
        objective=search.objective,
        least_trades=search.least_trades,
        span_ms=search.end_ms - search.start_ms,
        capital=capital,
        tell=lambda number: tell(f"Walk-forward, window {number + 1} of {len(spans)}", JUDGING + (1.0 - JUDGING) * number / len(spans)),
    )
    walks = ParameterSearch.objects.all().same_chance(search).exclude(walk=Walk.NONE).count()
    return findings.walked(space, table, found, capital=capital, walks=walks)
