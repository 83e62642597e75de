"""Trees as ONNX: one TreeEnsembleRegressor (operator set ai.onnx.ml, version 3) whose leaves add up."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tree(NamedTuple):
    """Nodes of one tree, arrays of shape [nodes], node 0 the root. left < 0 is a leaf; a row goes left when its feature is at most the threshold,
    or is NaN and nan_left."""

    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    nan_left: NDArray[np.bool_]
    value: NDArray[np.float64]


def float32_below(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 at or below each threshold: float32 features compare with it as they do with the threshold itself."""
    near = threshold.astype(np.float32)
    return np.where(near.astype(np.float64) > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def total(trees: Sequence[Tree], base: float, entering: str, leaving: str) -> Any:
    """The node that computes `base` plus the sum of the leaves that a row ends in, shape [n, 1]."""
    from onnx import helper

    sizes = [tree.feature.size for tree in trees]
    leaf = np.concatenate([tree.left < 0 for tree in trees])
    tree_id, node_id = np.repeat(np.arange(len(trees)), sizes), np.concatenate([np.arange(size) for size in sizes])

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(tree, name) for tree in trees])

    return helper.make_node(
        "TreeEnsembleRegressor",
        [entering],
        [leaving],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        base_values=[float(base)],
        nodes_treeids=tree_id.tolist(),
        nodes_nodeids=node_id.tolist(),
        nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_featureids=np.where(leaf, 0, column("feature")).tolist(),
        nodes_values=np.where(leaf, 0.0, float32_below(column("threshold"))).astype(float).tolist(),
        nodes_truenodeids=np.where(leaf, 0, column("left")).tolist(),
        nodes_falsenodeids=np.where(leaf, 0, column("right")).tolist(),
        nodes_missing_value_tracks_true=np.where(leaf, 0, column("nan_left")).astype(int).tolist(),
        target_treeids=tree_id[leaf].tolist(),
        target_nodeids=node_id[leaf].tolist(),
        target_ids=[0] * int(leaf.sum()),
        target_weights=column("value")[leaf].astype(float).tolist(),
    )
