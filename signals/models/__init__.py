"""Strategies, models, training runs, signals and what was rejected."""

from signals.models.drift import DriftFeature, DriftReport, DriftSource, DriftVerdict
from signals.models.model import ModelStatus, ModelVersion, TrainingLine, TrainingRun
from signals.models.search import Search, SearchLog, SearchTrial, TrialState
from signals.models.signal import Rejection, ScanRun, Signal, SignalSide, SignalStatus
from signals.models.strategy import StrategyConfig

__all__ = [
    "DriftFeature",
    "DriftReport",
    "DriftSource",
    "DriftVerdict",
    "ModelStatus",
    "ModelVersion",
    "Rejection",
    "ScanRun",
    "Search",
    "SearchLog",
    "SearchTrial",
    "Signal",
    "SignalSide",
    "SignalStatus",
    "StrategyConfig",
    "TrainingLine",
    "TrainingRun",
    "TrialState",
]
