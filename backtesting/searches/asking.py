"""What a search tries next. Both ways go on from what is stored, so a search that was cut short asks what it would have asked."""

import warnings
from collections.abc import Generator

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, IntDistribution

from backtesting.combos.space import Space
from backtesting.models import Method, ParameterSearch

F = NDArray[np.float64]
GRID_BATCH, ASKED_BATCH = 256, 32
SEEDS_APART = 10_000
"""Between the studies of one search: more than the trials of any of them."""
STARTUP_TRIALS = 64
"""Trials at random before the sampler learns from them."""
MOST_MISFITS = 50
"""Asked combinations for each one wanted, before the search gives up: most of what is asked may not go together."""
optuna.logging.set_verbosity(optuna.logging.WARNING)


def tables(search: ParameterSearch, space: Space, table: F, value: F) -> Generator[F, F, None]:
    """The next batch of combinations [b, p], then, told its values through send(), the one after, until as many as wanted are tried.

    table, value -- what is tried already [c, p] and its objective [c], NaN where it has none
    """
    if search.method == Method.GRID:
        yield from grid(space, first=table.shape[0])
    else:
        yield from asked(space, table, value, wanted=search.wanted, seed=search.seed)


def grid(space: Space, *, first: int = 0) -> Generator[F, F, None]:
    combinations = space.combinations()
    for start in range(first, combinations.shape[0], GRID_BATCH):
        yield combinations[start : start + GRID_BATCH]


def asked(space: Space, table: F, value: F, *, wanted: int, seed: int) -> Generator[F, F, None]:
    """Batches that Optuna's TPE asks for. Each has a sampler of its own, seeded by `seed` and the number of trials before it."""
    while table.shape[0] < wanted:
        study = _study(seed + table.shape[0], space, table, value)
        batch = _ask(study, space, min(ASKED_BATCH, wanted - table.shape[0]))
        if not batch.shape[0]:
            return
        told = yield batch
        table, value = np.concatenate([table, batch]), np.concatenate([value, told])


def _study(seed: int, space: Space, table: F, value: F) -> optuna.Study:
    """A study that knows what was tried. What has no value counts as the worst that has one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    known = np.isfinite(value)
    worst = float(value[known].min()) if known.any() else 0.0
    places = {axis.name: (space.names.index(axis.name), axis) for axis in space.varied}
    spread = _distributions(space)
    for row, reached in zip(table, np.where(known, value, worst), strict=True):
        params = {name: round((float(row[place]) - axis.low) / axis.step) for name, (place, axis) in places.items()}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spread, value=float(reached)))
    return study


def _ask(study: optuna.Study, space: Space, size: int) -> F:
    """Up to `size` combinations that go together, [b, p]."""
    fixed, rows = {axis.name: axis.low for axis in space.axes}, []
    for _ in range(size * MOST_MISFITS):
        trial = study.ask(_distributions(space))
        values = fixed | {axis.name: float(axis.values[trial.params[axis.name]]) for axis in space.varied}
        if space.fits(values):
            rows.append([values[name] for name in space.names])
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        if len(rows) == size:
            break
    return np.array(rows, np.float64).reshape(-1, len(space.axes))


def _distributions(space: Space) -> dict[str, BaseDistribution]:
    """The number of the step on each axis: so what is asked lies on the grid."""
    return {axis.name: IntDistribution(0, int(axis.values.size) - 1) for axis in space.varied}
