"""What a training may be asked for. Checked before anything is queued."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from signals.learners import DEFAULT, KINDS, SEQUENCES
from signals.learners.tunables import fault
from signals.plan import PlanConfig
from traderai.lib.errors import UserError

BASE_TIMEFRAMES = ("15m", "30m", "1h")
BLOCK_BARS = 400
HOUR_MS = 3_600_000
BARRIERS = ("unit", "stop_atr", "tp1_atr", "tp2_atr", "tp3_atr", "trail_atr")
NEAREST, WIDEST = 0.1, 10.0
MOST_VARIANCE = 10.0
"""Of daily Sharpe ratios: far above any that was ever earned."""


@dataclass(frozen=True, slots=True)
class TrainingParams:
    """folds and stride: walk-forward blocks, and every how many bars a sample is taken. embargo_hours lies between training and test on
    top of the purge by label ends; holdout_share is the newest part of time that training never sees. rounds bounds the trees (or the passes over
    the data) of each learner, patience says after how many without gain one stops. venue is a slug, "" the platform's default. learners are kinds of
    signals.learners.KINDS, kept in that order. tuning sets parameters of some of them,
    {learner: {parameter: value}}.

    plan -- barriers other than the platform's, in units of the plan: {"stop_atr": 1.0, "tp1_atr": 1.0, ...}, or another unit.

    cpcv_groups, cpcv_test_groups -- of combinatorial cross-validation, 0 groups: none. trials -- how many parameter sets this one was chosen from,
    itself included: they deflate its Sharpe ratio. trial_variance -- of the daily out-of-fold Sharpe ratios of those sets, not annualised; None: unknown."""

    timeframe: str = "15m"
    folds: int = 4
    stride: int = 4
    embargo_hours: int = 24
    holdout_share: float = 0.2
    rounds: int = 200
    patience: int = 25
    seed: int = 7
    scope: str = "default"
    venue: str = ""
    learners: tuple[str, ...] = DEFAULT
    cpcv_groups: int = 6
    cpcv_test_groups: int = 2
    tuning: dict[str, dict[str, float]] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    trials: int = 1
    trial_variance: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "learners", _ordered(self.learners))
        if self.timeframe not in BASE_TIMEFRAMES:
            raise UserError(f"timeframe {self.timeframe!r} cannot be trained on: use {', '.join(BASE_TIMEFRAMES)}", field="timeframe")
        bounds = {
            "folds": (2, 10),
            "stride": (1, 96),
            "embargo_hours": (0, 240),
            "rounds": (5, 2_000),
            "patience": (1, 200),
            "seed": (0, 2**31 - 1),
            "cpcv_groups": (0, 10),
            "cpcv_test_groups": (1, 3),
            "trials": (1, 10_000_000),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise UserError(f"{name} must be a whole number from {low} to {high}, not {value!r}", field=name)
        if not isinstance(self.scope, str) or not re.fullmatch(r"[a-z0-9_-]{1,40}", self.scope):
            raise UserError(f"scope {self.scope!r} may only hold lower-case letters, digits, - and _", field="scope")
        if self.cpcv_groups and self.cpcv_groups < self.cpcv_test_groups + 2:
            raise UserError(
                f"cpcv_groups must be 0 or at least cpcv_test_groups + 2, so that one group fits and one calibrates, not {self.cpcv_groups}",
                field="cpcv_groups",
            )
        if not isinstance(self.venue, str):
            raise UserError(f"venue must be a venue's slug, not {self.venue!r}", field="venue")
        if not isinstance(self.holdout_share, float) or not 0.05 <= self.holdout_share <= 0.5:
            raise UserError(f"holdout_share must be from 0.05 to 0.5, not {self.holdout_share!r}", field="holdout_share")
        if self.trial_variance is not None and not _is_variance(self.trial_variance, self.trials):
            raise UserError(
                f"trial_variance must be a number from 0 to {MOST_VARIANCE:g} and needs at least 2 trials, not {self.trial_variance!r} of {self.trials}",
                field="trial_variance",
            )
        _check_plan(self)
        if wrong := fault(self.tuning):
            raise UserError(wrong, field="tuning")
        if idle := sorted(set(self.tuning) - set(self.learners)):
            told = ", ".join(self.learners)
            raise UserError(
                f"tuning: {idle[0]} is not among the learners {told}: add it to them, or leave its parameters out", field="tuning"
            )

    @property
    def embargo_ms(self) -> int:
        return self.embargo_hours * HOUR_MS

    @property
    def checker(self) -> str:
        """The learner that leak tests and paths fit again and again: the training's first that looks at one bar, with its tuning.

        Those that look back take minutes a fit; a training of nothing else is checked by LightGBM, and its report says so.
        """
        return next((kind for kind in self.learners if kind not in SEQUENCES), DEFAULT[0])

    @property
    def plan_config(self) -> PlanConfig:
        """The plan that this training's labels follow. Raises ValueError when `plan` is none."""
        config = PlanConfig.from_json(self.plan)
        usual = PlanConfig()
        for name in PlanConfig.__dataclass_fields__:
            if name not in BARRIERS and getattr(config, name) != getattr(usual, name):
                raise ValueError(f"{name} is the platform's own: only {', '.join(BARRIERS)} can be chosen")
        if (
            max(config.stop_atr, config.tp3_atr, config.trail_atr) > WIDEST
            or min(config.stop_atr, config.tp1_atr, config.trail_atr) < NEAREST
        ):
            raise ValueError(f"distances can be from {NEAREST:g} to {WIDEST:g} units")
        return config

    def bars_needed(self, *, warmup_bars: int, step_ms: int, max_hold_ms: int) -> int:
        """Bars a symbol must have: warm-up, one label and embargo, and BLOCK_BARS for each walk-forward block, before the holdout."""
        gap = (max_hold_ms + self.embargo_ms) // step_ms
        return int((warmup_bars + gap + max(BLOCK_BARS, 2 * gap) * (self.folds + 1)) / (1.0 - self.holdout_share)) + 1


def _is_variance(value: Any, trials: int) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0.0 <= value <= MOST_VARIANCE and trials >= 2


def _check_plan(params: TrainingParams) -> None:
    if not isinstance(params.plan, dict):
        raise UserError(f"plan must be an object of {', '.join(BARRIERS)}, not {params.plan!r}", field="plan")
    try:
        params.plan_config  # noqa: B018  (asked for what it refuses)
    except ValueError as error:
        raise UserError(f"plan: {error}", field="plan") from error


def _ordered(kinds: Any) -> tuple[str, ...]:
    """The kinds in the order of KINDS, whatever order they were named in: equal choices give equal models."""
    if not isinstance(kinds, list | tuple) or not kinds or len(set(map(str, kinds))) < len(kinds):
        raise UserError(f"learners must be a list of different kinds, not {kinds!r}: choose from {', '.join(KINDS)}", field="learners")
    for kind in kinds:
        if not isinstance(kind, str) or kind not in KINDS:
            raise UserError(f"learner {kind!r} is unknown: choose from {', '.join(KINDS)}", field="learners")
    return tuple(kind for kind in KINDS if kind in kinds)


def barriers(text: str) -> dict[str, Any]:
    """TrainingParams.plan from what a person types: stop, TP1, TP2 and TP3 in units of the plan, with commas between; the platform's when empty.

    Raises UserError unless there are four numbers. What numbers are possible, TrainingParams says.
    """
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    try:
        values = [float(part) for part in parts]
    except ValueError:
        values = []
    if parts and len(values) != 4:
        raise UserError(
            f"barriers must be four numbers with commas between, stop, TP1, TP2, TP3, as in 1, 1, 2, 3, not {text!r}", field="plan"
        )
    return dict(zip(("stop_atr", "tp1_atr", "tp2_atr", "tp3_atr"), values, strict=False))


def parse(params: Mapping[str, Any] | None) -> TrainingParams:
    """TrainingParams from a JSON object. Raises UserError naming an unknown or impossible entry."""
    given = dict(params or {})
    known = {field.name for field in fields(TrainingParams)}
    unknown = sorted(set(given) - known)
    if unknown:
        raise UserError(f"params: {unknown[0]!r} is unknown; use {', '.join(sorted(known))}", field=unknown[0])
    return TrainingParams(**given)


def to_json(params: TrainingParams) -> dict[str, Any]:
    """The inverse of parse."""
    return {**asdict(params), "learners": list(params.learners)}
