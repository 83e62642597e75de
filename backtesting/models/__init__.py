"""Backtest runs and their trades, searches for parameters, look-ahead checks, and decisions on candidates."""

from backtesting.models.check import LookaheadCheck
from backtesting.models.decision import GateDecision, Verdict, WatchLook
from backtesting.models.parameters import Method, ParameterSearch, TrialBatch, Walk
from backtesting.models.run import BacktestRun, BacktestTrade

__all__ = [
    "BacktestRun",
    "BacktestTrade",
    "GateDecision",
    "LookaheadCheck",
    "Method",
    "ParameterSearch",
    "TrialBatch",
    "Verdict",
    "Walk",
    "WatchLook",
]
