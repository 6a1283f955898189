"""The order of the passes, and why each stands where it does.

PREPARE -> io_passes -> PASSES
"""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from ..spec import ModelSpec
from .outcome import Outcome
from .passes.channel_first_io import batch_first_output, channel_first_input, channel_first_output
from .passes.close_loops import close_loops
from .passes.collapse_views import collapse_views
from .passes.fold_affine import fold_affine
from .passes.fold_constants import fold_constants
from .passes.fold_scale import fold_scale
from .passes.fuse_attention import fuse_attention
from .passes.inline_branches import inline_branches
from .passes.lower_resize import lower_resize
from .passes.lower_reverse_sequence import lower_reverse_sequence
from .passes.raise_activations import raise_activations
from .passes.raise_dense import raise_dense
from .passes.raise_directions import raise_directions
from .passes.raise_grid_sample import raise_grid_sample
from .passes.raise_group_norms import raise_group_norms
from .passes.raise_max_unpool import raise_max_unpool
from .passes.raise_norms import raise_norms
from .passes.raise_recurrent import raise_recurrent
from .passes.raise_resize import raise_resize
from .passes.raise_where import raise_where
from .passes.remove_fake_quantization import remove_fake_quantization
from .passes.remove_pixel_casts import remove_pixel_casts
from .passes.settle_loop_types import settle_loop_types
from .passes.sink_views import sink_views
from .passes.split_heads import split_heads

Pass = Callable[[ir.Model], Outcome]

PREPARE: tuple[Pass, ...] = (
    # First: the checker refuses the types that tf2onnx declares for the results of some loops.
    settle_loop_types,
    # Early: all later rules are written for float graphs, without Q/DQ between their nodes.
    remove_fake_quantization,
    # raise_recurrent runs one step of a loop, and needs its bounds and weights as constants.
    fold_constants,
    # If -> Where. Before loops, because shapes behind an If may become known.
    inline_branches,
    # Loop or Scan -> LSTM, GRU, RNN. Values behind a Loop have no known shape until then.
    raise_recurrent,
    # The loops that stay get a number of steps and shapes; loops behind them can be raised then.
    close_loops,
    # Needs the recurrent ops of the passes above: flips around them become their direction.
    raise_directions,
    # Shapes behind former loops are known now, and what is computed from them becomes constant.
    fold_constants,
    # Lengths computed from the image. After raise_directions, which takes constant full lengths.
    lower_reverse_sequence,
    # Again: the branches of an If behind a former loop have known shapes now.
    inline_branches,
    # Pixels of an integer type: removes Round and Cast where the next node casts back to float.
    remove_pixel_casts,
)
"""Passes that must come before any pass that reads shapes."""

PASSES: tuple[Pass, ...] = (
    # Raise: a subgraph that an exporter spelled out becomes the one ONNX op that it computes.
    # Most rules recognize it by running it, and need shapes and constants as numbers.
    fold_constants,
    # MaxPool with indices + scatter -> MaxPoolArgmax2d + MaxUnpool2d.
    raise_max_unpool,
    # Cubic Resize -> MatMul, sizes -> scales. Before raise_resize, which changes the modes by which
    # this pass recognizes a position between two pixels.
    lower_resize,
    # Nearest-neighbor enlarging by Tile, Reshape, ... -> Resize.
    raise_resize,
    # Bilinear sampling by four gathers -> GridSample.
    raise_grid_sample,
    # A sum of masked products -> Where; as a sum it turns to NaN in fp16.
    raise_where,
    # Elementwise subgraphs of one input -> Gelu, HardSwish, Mish, HardSigmoid.
    raise_activations,
    # Moments, squared differences and rsqrt -> LayerNormalization.
    raise_norms,
    # The same over groups of channels -> InstanceNormalization.
    raise_group_norms,
    # Drops the constants and nodes that raised ops no longer need.
    fold_constants,
    # Views: einsum leaves chains of them, and raise_dense matches single Reshapes.
    collapse_views,
    # Dense layers run on the tensor itself; their Reshapes move up or down.
    raise_dense,
    # A Reshape that sank below one MatMul can sink below the next once its views have merged.
    collapse_views,
    raise_dense,
    collapse_views,
    # Transposes, Squeezes and Unsqueezes move down through other ops, until they cancel.
    sink_views,
    # Cancels or merges the views that have met.
    collapse_views,
    # Again: a Transpose between the nodes of an activation has sunk below it.
    raise_activations,
    # Matches query, key and value in their normal form, so it follows all view passes.
    fuse_attention,
    # The same for models that compute query, key and value in one product already.
    split_heads,
    # Scales fold only into the layer directly in front or behind: views must be gone from between.
    fold_affine,
    fold_scale,
    # Merges what the folds above left constant.
    fold_constants,
)
"""Passes on a graph whose shapes are all known."""


def io_passes(spec: ModelSpec) -> tuple[Pass, ...]:
    """Return the passes that give a model the layout of engines: NCHW in, (N, T, C) classes out."""
    passes: list[Pass] = []
    if spec.input.layout == "NHWC":
        passes.append(channel_first_input)
        if spec.role == "detector":
            passes.append(channel_first_output)
    if spec.role == "recognizer" and spec.output.layout == "TNC":
        passes.append(batch_first_output)
    return tuple(passes)


def rule_names() -> list[str]:
    """Return the names of all rules in their order, each once."""
    return list(dict.fromkeys(rule.__name__ for rule in (*PREPARE, *PASSES)))
