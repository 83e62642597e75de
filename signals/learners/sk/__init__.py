"""scikit-learn's learners. They are fitted by scikit-learn, kept as ONNX and predicted by ONNX Runtime, from the first out-of-fold row on."""

from signals.learners.sk import boosting, forest, perceptron
from signals.learners.sk.learner import OnnxLearner


class ForestLearner(OnnxLearner):
    """Random forest."""

    kind = "forest"
    train = staticmethod(forest.train)


class HistBoostingLearner(OnnxLearner):
    """Histogram gradient boosting."""

    kind = "histgb"
    train = staticmethod(boosting.train)


class PerceptronLearner(OnnxLearner):
    """Multi-layer perceptron."""

    kind = "mlp"
    train = staticmethod(perceptron.train)
