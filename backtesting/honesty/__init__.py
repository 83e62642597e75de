"""The honesty checklist: 24 questions that a careful reader would ask of a backtest, each answered with every run.

sayings has the questions, checklist the answers to all of them; the other modules answer some each.
"""
