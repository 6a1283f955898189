"""Best path decoding of CTC scores where they lie: labels come out, not scores. See README.md."""

from __future__ import annotations

from ..onnx_function import DOMAIN
from ..plugin import Plugin
from . import tensorrt
from .kernel import ENTRIES, SOURCE, launch
from .reference import ctc_greedy_decode, examples

NAME = "CtcGreedyDecode"

# Compaction: a kept step goes to the place that the sum of the kept ones before it names, all
# others to one column more, which is cut off.
BODY = """
<opset_import: ["" : 20], domain: "ocr_trt">
CtcGreedyDecode <blank> (logits) => (labels, lengths, scores) {
    first = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    last = Constant <value_ints = [-1]> ()
    none = Constant <value_int = -1> ()
    end = Constant <value_ints = [9223372036854775807]> ()
    time = Constant <value_ints = [1]> ()
    classes = Constant <value_ints = [2]> ()
    blank_label = Constant <value_int: int = @blank> ()
    best = ArgMax <axis = 2, keepdims = 0> (logits)
    start = Slice (best, first, one, time)
    blank_start = Mul (start, first)
    before_all = Add (blank_start, blank_label)
    all_but_last = Slice (best, first, last, time)
    previous = Concat <axis = 1> (before_all, all_but_last)
    is_blank = Equal (best, blank_label)
    is_repeat = Equal (best, previous)
    is_dropped = Or (is_blank, is_repeat)
    is_kept = Not (is_dropped)
    kept = Cast <to = 7> (is_kept)
    axis = Constant <value_int = 1> ()
    passed = CumSum (kept, axis)
    target = Sub (passed, one)
    shape = Shape (best)
    steps = Slice (shape, one, end)
    place = Where (is_kept, target, steps)
    blank_column = Mul (start, first)
    wide_zeros = Concat <axis = 1> (best, blank_column)
    zeros = Mul (wide_zeros, first)
    empty = Add (zeros, none)
    scattered = ScatterElements <axis = 1> (empty, place, best)
    labels_64 = Slice (scattered, first, steps, time)
    labels = Cast <to = 6> (labels_64)
    count = ReduceSum <keepdims = 0> (kept, time)
    lengths = Cast <to = 6> (count)
    scores_32 = Cast <to = 1> (logits)
    top = ReduceMax <keepdims = 1> (scores_32, classes)
    below = Sub (scores_32, top)
    shares = Exp (below)
    total = ReduceSum <keepdims = 0> (shares, classes)
    log_total = Log (total)
    log_probability = Neg (log_total)
    zero = Constant <value_float = 0.0> ()
    counted = Where (is_kept, log_probability, zero)
    sum = ReduceSum <keepdims = 0> (counted, time)
    count_32 = Cast <to = 1> (count)
    one_32 = Constant <value_float = 1.0> ()
    divisor = Max (count_32, one_32)
    mean = Div (sum, divisor)
    has_none = Equal (count, first)
    large = Constant <value_float = 3.0e38> ()
    factor = Constant <value_float = -10.0> ()
    nothing = Mul (large, factor)
    scores = Where (has_none, nothing, mean)
}
"""

PLUGIN = Plugin(
    name=NAME,
    body=BODY,
    reference=lambda inputs, attributes: ctc_greedy_decode(inputs[0], attributes["blank"]),
    source=SOURCE,
    entries=ENTRIES,
    launch=launch,
    examples=examples,
    register=tensorrt.register,
    tolerance=2e-6,
)

__all__ = ["BODY", "DOMAIN", "NAME", "PLUGIN", "ctc_greedy_decode"]
