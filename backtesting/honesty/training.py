"""Points 14, 15, 16, 19 and 20: what was kept back from training, how often somebody tried, and whether chances came true."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from backtesting import metrics
from backtesting.honesty.sayings import FAIL, PASS, POINTS, SKIP, WARN, Check, counted, judged, said
from backtesting.metrics import Interval

F = NDArray[np.float64]
KEPT_BACK, PURGE, TRIES, CALIBRATION, LANGUAGE_MODELS = 14, 15, 16, 19, 20
SURE = 0.95
HOUR_MS = 3_600_000


class Trained(NamedTuple):
    """A model's training: its span and the first moment kept back in words; rows purged in all folds and both sides (None: not kept), hours of
    embargo (None: not kept) and of the longest label, parameter sets it was chosen from, and whether its leak tests passed (None: not kept)."""

    begins: str
    ends: str
    kept_back: str
    purged: int | None
    embargo_hours: float | None
    label_hours: float
    trials: int
    leak_tests: bool | None

    @classmethod
    def parse(
        cls, report: Mapping[str, Any], params: Mapping[str, Any], *, begins: str, ends: str, kept_back: str, label_ms: int
    ) -> "Trained":
        """From what a ModelVersion keeps; an old one kept less."""
        folds = report.get("folds")
        purged = (
            None
            if folds is None
            else sum(int(part.get("purged", 0)) for fold in folds for part in fold.values() if isinstance(part, Mapping))
        )
        tests = report.get("leak_tests")
        return cls(
            begins, ends, kept_back, purged, params.get("embargo_hours"), label_ms / HOUR_MS, int(params.get("trials", 1)),
            None if tests is None else bool(tests["passed"]),
        )  # fmt: skip


class Tries(NamedTuple):
    """What competes with this run for being shown: searches over its time and the combinations they tried; other parameters in other runs; other
    models of its scope that were tried on time of this span. ratios: daily Sharpe ratios of the other combinations and parameters, as far as known."""

    searches: int = 0
    combinations: int = 0
    parameters: int = 0
    models: int = 0
    ratios: tuple[float, ...] = ()


def kept_back(trained: Trained | None, tries: Tries, inside: int, decisions: int) -> Iterator[Check]:
    """Points 14 and 15. inside -- of the decisions, those before the time that was kept back"""
    if trained is None:
        searched = f"; {tries.searches} of your searches looked at time of this span" if tries.searches else ""
        yield said(
            KEPT_BACK, "Out-of-sample time only", WARN, "", f"a rule's parameters were chosen by somebody who may have seen this time{searched}; a walk-forward search keeps time back"
        )  # fmt: skip
        yield said(PURGE, POINTS[PURGE], SKIP, "", "a rule is not trained: there are no labels that could reach into the time of the test")
        return
    detail = f"{inside} of {decisions} decisions before the model's out-of-sample time; trained from {trained.begins} to {trained.ends}, judged from {trained.kept_back} on"
    yield said(KEPT_BACK, "Out-of-sample time only", FAIL if inside else PASS, f"{inside}", detail)
    yield _tested(trained)
    yield _purge(trained)


def _tested(trained: Trained) -> Check:
    told = {
        None: (WARN, "the model's training kept no leak tests; train it anew"),
        True: (
            PASS,
            "the training's leak tests passed: features and labels without a future, shuffled labels at chance, no fold inside another",
        ),
        False: (FAIL, "the training's leak tests failed: see the model's page"),
    }
    verdict, detail = told[trained.leak_tests]
    return said(KEPT_BACK, "Leak tests of the training", verdict, "", detail)


def _purge(trained: Trained) -> Check:
    if trained.purged is None or trained.embargo_hours is None:
        return said(PURGE, POINTS[PURGE], WARN, "", "the model's training kept no count of purged rows; train it anew")
    detail = (
        f"{trained.purged:,} rows were purged because their label ended inside a test, whatever their number of bars; the longest label lasts "
        f"{trained.label_hours:g} hours, the embargo {trained.embargo_hours:g} hours more"
    )
    return said(PURGE, POINTS[PURGE], PASS, f"{trained.purged:,}", detail)


def tries(returns: F, made: Tries, trained: Trained | None) -> Iterator[Check]:
    """Point 16. returns -- daily [d]. With so many tries the best shows some ratio without any skill: what is left above that counts."""
    if trained is not None:
        flattery = ", and the better of several is flattered by its luck" if made.models else ""
        yield judged(
            TRIES, "Not chosen by this time", not made.models, f"{made.models}", f"other models of its scope tried on time of this span: {made.models}{flattery}"
        )  # fmt: skip
    n = 1 + made.combinations + made.parameters + made.models + (trained.trials - 1 if trained else 0)
    name, ratios = "Sharpe ratio above what so many tries show by chance", np.array(made.ratios, np.float64)
    if ratios.shape[0] and returns.shape[0] > 1:
        ratios = np.append(ratios, metrics.daily_ratios(returns[:, None]))
    deflated = metrics.deflate(returns, ratios, trials=n)
    known = (
        f"{counted(n, 'try', 'tries')}: this run, {counted(made.combinations, 'combination')} of {counted(made.searches, 'search', 'searches')} and {counted(made.parameters, 'other set')} of parameters, settings, profile and markets in your runs over this time"
        if trained is None
        else f"{counted(n, 'try', 'tries')}: this model, {counted(trained.trials - 1, 'other setting')} of its training and {counted(made.models, 'other model')}"
    )
    if deflated is None:
        yield said(TRIES, name, WARN, "", f"too few days, or none that differs from the others; {known}")
        return
    year = np.sqrt(metrics.DAYS_A_YEAR)
    yield judged(
        TRIES, name, deflated.probability >= SURE, f"{deflated.probability:.0%}",
        f"a ratio of {deflated.sharpe * year:.2f} a year where the best of so many shows {deflated.by_chance * year:.2f} without skill: the chance that the true one is above "
        f"zero, deflated, is {deflated.probability:.0%}; {known}; overfitting by combinations and neighbours is measured by a search",
    )  # fmt: skip


def calibration(claimed: F, hit: NDArray[np.bool_], seen: Interval | None, *, is_model: bool) -> Check:
    """Point 19. claimed -- the chance of TP1 that the model gave each closed trade, hit -- whether it came, both [n]; seen -- how often it came, 95 %"""
    name = "Probability claimed and seen"
    if not is_model:
        return said(CALIBRATION, name, SKIP, "", "a rule claims no probability")
    if seen is None:
        return said(CALIBRATION, name, WARN, "", "no trades")
    mean, rate = float(claimed.mean()), float(hit.mean())
    brier = float(np.mean((claimed - hit) ** 2))
    return judged(
        CALIBRATION, name, seen.low <= mean <= seen.high, f"{brier:.3f}",
        f"TP1 was given {mean:.1%} on average and reached by {rate:.1%} of {hit.size} (95 % interval {seen.low:.1%} to {seen.high:.1%}); "
        f"Brier score {brier:.3f}, where the same chance for all would score {rate * (1.0 - rate):.3f}",
    )  # fmt: skip


def language_models() -> Check:
    """Point 20."""
    return said(
        LANGUAGE_MODELS, POINTS[LANGUAGE_MODELS], SKIP, "", "no language model votes in a backtest, so none can know how it went on"
    )
