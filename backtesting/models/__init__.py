"""Backtest runs and their trades, searches for parameters, look-ahead checks, decisions on candidates, and links to reports."""

from backtesting.models.check import LookaheadCheck
from backtesting.models.decision import GateDecision, Verdict, WatchLook
from backtesting.models.parameters import Method, ParameterSearch, TrialBatch, Walk
from backtesting.models.run import BacktestRun, BacktestTrade
from backtesting.models.share import SharedLink

__all__ = [
    "BacktestRun",
    "BacktestTrade",
    "GateDecision",
    "LookaheadCheck",
    "Method",
    "ParameterSearch",
    "SharedLink",
    "TrialBatch",
    "Verdict",
    "Walk",
    "WatchLook",
]
