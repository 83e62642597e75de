"""From tunable parameters to Optuna's distributions and back to a training's tuning."""

from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from signals.learners.tunables import TUNABLES, Tunable


def distributions(kinds: list[str]) -> dict[str, BaseDistribution]:
    """What to sample, by "learner.parameter"."""
    return {f"{kind}.{name}": _distribution(known) for kind in kinds for name, known in TUNABLES.get(kind, {}).items()}


def tuning(chosen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{"lightgbm.num_leaves": 31} as {"lightgbm": {"num_leaves": 31}}."""
    found: dict[str, dict[str, Any]] = {}
    for path, value in chosen.items():
        kind, name = path.split(".", 1)
        found.setdefault(kind, {})[name] = value
    return found


def _distribution(known: Tunable) -> BaseDistribution:
    if known.is_whole:
        return IntDistribution(int(known.low), int(known.high), log=known.is_log)
    return FloatDistribution(known.low, known.high, log=known.is_log)
