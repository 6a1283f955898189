"""Let TensorFlow compute what does not depend on the image, in its own types and rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_OPTIMIZERS = ("constfold", "function", "dependency")
"""Those that tf2onnx runs; others move or merge the ops by which it recognizes recurrent layers."""


def folded(graph: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """Return a GraphDef in which all ops that read only constants are constants.

    tf2onnx folds, too, but it leaves fake quantization of constants in the graph.

    Args:
        graph: the GraphDef.
        inputs: names of the tensors that a caller feeds.
        outputs: names of the tensors that a caller reads.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf.meta_graph_pb2 import CollectionDef
    from tensorflow.python.grappler import tf_optimizer

    config = tf.compat.v1.ConfigProto()
    config.graph_options.infer_shapes = True
    config.graph_options.rewrite_options.optimizers[:] = _OPTIMIZERS
    with tf.Graph().as_default():
        meta = tf.compat.v1.train.export_meta_graph(graph_def=graph)
    ends = CollectionDef()
    ends.node_list.value.extend([*inputs, *outputs])
    # Grappler keeps the nodes of this collection.
    meta.collection_def["train_op"].CopyFrom(ends)
    return tf_optimizer.OptimizeGraph(config, meta)
