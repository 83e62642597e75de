"""Has the world left what a model learned from? Distributions of its features and answers, daily, against those of its training.

What is heavy (features, learners) is imported with `checks`, so by whoever looks, not by pages that show what was found.
"""
