"""Fitted trees and layers as an ONNX file that predicts, and explains, without scikit-learn.

The graph is written here, operator by operator (decision record "Learners as ONNX" says why no converter is used). The file's own metadata
hold what a graph cannot: the rounds that were kept and the medians of the training rows.
"""

import json

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from signals.learners.sk.fitted import Fitted, Rows

FLOOR = 1e-6


def medians(x: Rows) -> NDArray[np.float32]:
    """Of each feature's known values; 0 where none is known."""
    known = np.isfinite(x)
    return np.array([np.median(x[known[:, k], k]) if known[:, k].any() else 0.0 for k in range(x.shape[1])], dtype=np.float32)


def write(fitted: Fitted, x: Rows) -> bytes:
    """The file of what was fitted on `x`; the same gives the same bytes."""
    from onnx import TensorProto, helper  # only who trains pays for it

    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, x.shape[1]])
    probability = helper.make_tensor_value_info("probability", TensorProto.FLOAT, [None, 1])
    nodes, weights = fitted.graph("rows", "probability")
    graph = helper.make_graph(nodes, "probability that TP1 comes before the stop", [rows], [probability], initializer=weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="traderai")
    helper.set_model_props(model, {"rounds": json.dumps(fitted.rounds), "medians": json.dumps(medians(x).tolist())})
    return bytes(model.SerializeToString(deterministic=True))


class OnnxFile:
    """A file in memory, ready to predict on one thread. Raises ONNX Runtime's own error for bytes that are no such file."""

    def __init__(self, data: bytes) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.data = data
        self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        notes = self._session.get_modelmeta().custom_metadata_map
        self.rounds = int(json.loads(notes["rounds"]))
        self.medians = np.array(json.loads(notes["medians"]), dtype=np.float32)

    def predict(self, x: Rows) -> NDArray[np.float64]:
        """Probability of the positive class, shape [n]."""
        answer = self._session.run(["probability"], {"rows": np.ascontiguousarray(x, dtype=np.float32)})[0]
        return np.asarray(answer, dtype=np.float64)[:, 0]

    def contributions(self, x: Rows) -> NDArray[np.float64]:
        """What each feature does to the log-odds, shape [n, k]: the prediction, less the one with that feature alone at its training median.

        Source: Robnik-Sikonja and Kononenko, Explaining Classifications For Individual Instances, IEEE TKDE 20(5), 2008 (information
        difference in log-odds). Exact for each feature by itself; unlike SHAP values the parts of features that act together do not add up.
        """
        n, k = x.shape
        out = np.empty((n, k))
        for i in range(n):
            rows = np.tile(x[i], (k + 1, 1))
            rows[np.arange(k), np.arange(k)] = self.medians
            odds = _log_odds(self.predict(rows))
            out[i] = odds[k] - odds[:k]
        return out


def _log_odds(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    p = np.clip(probability, FLOOR, 1.0 - FLOOR)
    return np.asarray(np.log(p) - np.log1p(-p))
