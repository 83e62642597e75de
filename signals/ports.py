"""Types that cross borders inside and above this app."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from signals.net_profit import EntryRule, Payoff
from signals.plan import PlanConfig

LONG, SHORT = 0, 1
SIDES = (LONG, SHORT)
SIGN = {LONG: 1, SHORT: -1}
SIDE_NAME = {LONG: "long", SHORT: "short"}

CHECKPOINT: ContextVar[Callable[[], None]] = ContextVar("CHECKPOINT", default=lambda: None)
"""Called between the rounds of long work. Whoever asked for the work sets it; it raises when the work is no longer wanted."""


class FeatureFrame(NamedTuple):
    """Features of one market: timestamp int64[n] (open of the bar whose CLOSE the row is known at), values float64[n, k], NaN before warm-up."""

    symbol: str
    names: tuple[str, ...]
    timestamp: NDArray[np.int64]
    values: NDArray[np.float64]


class Prediction(NamedTuple):
    """probability and agreement float64[n, 2] by side (LONG, SHORT); probability is calibrated, agreement is 1 less how far the learners' own
    answers are apart (signals.ensemble.agreement)."""

    probability: NDArray[np.float64]
    agreement: NDArray[np.float64]


class Contribution(NamedTuple):
    """What one feature did to one prediction, in log-odds."""

    feature: str
    value: float
    contribution: float


class Reason(NamedTuple):
    """One contribution in words. `contribution` in log-odds of the voted side: positive speaks for it."""

    feature: str
    value: float
    contribution: float
    text: str


class Vote(NamedTuple):
    """What one voter says about one market and side. `weight` is its share of the decision, `note` a caveat the reader should know."""

    voter: str
    weight: float
    side: str
    probability: float
    reasons: tuple[Reason, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """A strategy as the platform offers it. `style` is how long it means to hold: scalping, day or swing."""

    slug: str
    name: str
    description: str
    style: str
    rule: EntryRule
    plan: PlanConfig


class TrainedEnsemble(Protocol):
    """A loaded model. It looks at `lookback` bars: 1 means the newest alone. `plan` is what its labels followed, and so what is traded."""

    feature_names: tuple[str, ...]
    plan: PlanConfig
    payoffs: tuple[Payoff, Payoff]

    @property
    def lookback(self) -> int: ...

    def predict(
        self, values: NDArray[np.float64], *, starts: NDArray[np.int64] | None = None, at: NDArray[np.int64] | None = None
    ) -> Prediction: ...

    def abstains(self, probability: NDArray[np.float64], level: float) -> NDArray[np.bool_]: ...

    def explain(self, rows: NDArray[np.float64], side: int, top: int = 5) -> list[Contribution]: ...


class Learner(Protocol):
    """One binary learner of TP1-before-stop. Files are in the library's own open format, named by `suffix`.

    With a `lookback` of 1 it is given rows, float32 [n, k]; with more, signals.sequences.Windows of n samples. `fit` calls CHECKPOINT between
    its rounds, or before them where its library gives no hand in between.
    """

    kind: str
    suffix: str
    lookback: int

    def fit(
        self,
        x: Any,
        y: NDArray[np.int8],
        weight: NDArray[np.float64],
        valid: tuple[Any, NDArray[np.int8]] | None,
    ) -> None: ...

    def predict(self, x: Any) -> NDArray[np.float64]: ...

    def contributions(self, x: Any) -> NDArray[np.float64]: ...

    def save(self, path: str) -> str: ...
