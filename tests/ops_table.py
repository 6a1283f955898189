"""Write docs/ops.md: how every TensorFlow op is converted.

python tests/ops_table.py
"""

from __future__ import annotations

import re
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path

from ocr_trt.convert.tf_ops.refused import NAMED_LIKE_ONNX, reason_of
from ocr_trt.convert.tf_ops.rules import OPSET, handlers, modules_of_rules

DOCUMENT = Path(__file__).parent.parent / "docs" / "ops.md"
PACKAGES = ("tensorflow-cpu", "tf2onnx", "onnx")

_OUTSIDE = re.compile(
    r"\w*(Dataset|TPU|Tpu|Collective|Nccl|Summary|Iterator|Queue|Barrier|Reader|Stage|Unstage|Mutex"
    r"|Session|Outfeed|Infeed|XlaSparse|BoostedTrees|Sdca|Accumulator|Table|Debug|Stats|Shard"
    r"|Checkpoint|Snapshot|Cudnn|Cache|Batch(Function|IFFT|FFT)|Embedding|Csr|CSR|CandidateSampler"
    r"|Multinomial|Decode|Encode|Parse|String|Unicode|Regex|Wav|Proto|CSV|TensorMap|Optional"
    r"|Stack|Accelerator|Variant|Audio|Collect|Rng|Seed|Variable|VarHandle|Save|Restore|Merge"
    r"|PyFunc|Grad|Backprop|Apply|Scatter(Add|Sub|Mul|Div|Update|Max|Min)$|Worker|Distributed"
    r"|Prelinearize|Cross|Sparse|Ragged|Kmeans|KMC2|Lookup|Stateless|Boosted|Sampler)\w*"
)
"""Ops of training, of input pipelines and of other devices: one line in the document."""

_HEAD = """\
# TensorFlow ops

`python tests/ops_table.py` writes this page from the handlers of tf2onnx and the rules of
`convert/tf_ops/`. It was made with {versions}, opset {opset}.

- An op with a rule is written with standard ONNX ops that every target runs. Where the rule needs
  a constant (an axis, a size, indices) and the model computes it, tf2onnx's own conversion is used
  if it has one. Rules of `complex_numbers` and `fourier` write complex tensors as pairs of real
  ones.
- An op that tf2onnx converts may be refused by a target: `inspect --target` lists such nodes.
- A refused op ends the conversion with an error that names the op, the layer, and what to do.

`python tests/tf_ops.py` converts one function per op, compares it with TensorFlow on onnxruntime
and OpenVINO, and parses it with TensorRT-RTX.

"""


_BEFORE = frozenset({
    "FakeQuantWithMinMaxVarsPerChannel",  # and the next line: convert/sources/fake_quantization.py
    "QuantizeAndDequantizeV2", "QuantizeAndDequantizeV3", "QuantizeAndDequantizeV4",
    "Assert", "BroadcastArgs", "ConcatOffset", "DataFormatDimMap", "DataFormatVecPermute",
    "LinSpace", "PartitionedCall", "Print", "PrintV2", "Rank", "ReadVariableOp", "ResourceGather",
    "ResourceGatherNd", "StatefulPartitionedCall", "VarHandleOp", "VariableShape", "VariableV2",
})  # fmt: skip
"""Ops that are gone before tf2onnx runs: calls, variables, and arithmetic of shapes."""

_LOOPS = re.compile(
    r"(TensorArray|TensorList|EmptyTensorList|Switch|Merge|Enter|Exit|Next|LoopC)\w*"
)
"""Ops of loops: tf2onnx matches the whole loop."""


def _raw_ops() -> list[str]:
    import tensorflow as tf

    return sorted(name for name in dir(tf.raw_ops) if name[0].isupper())


def rule_section() -> str:
    """Return the part of the document that lists the rules."""
    lines = ["## Ops with a rule", "", "| op | module |", "|---|---|"]
    for op, modules in sorted(modules_of_rules().items()):
        lines.append(f"| `{op}` | {', '.join(f'`{name}`' for name in modules)} |")
    return "\n".join(lines) + "\n"


def table() -> str:
    """Return the document."""
    from tf2onnx.handler import tf_op

    rules = set(handlers()) - set(NAMED_LIKE_ONNX)
    own = set(tf_op.create_mapping(OPSET, None))
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    text = _HEAD.format(versions=versions, opset=OPSET) + rule_section()
    rest = [op for op in _raw_ops() if op not in rules]
    native = [op for op in rest if op in own]
    text += f"\n## Ops that tf2onnx converts\n\n{', '.join(f'`{op}`' for op in native)}\n"
    text += (
        "\n## Ops that need no conversion\n\nCalls are inlined, variables become constants, fake "
        "quantization with a fixed range\nbecomes arithmetic, and "
    )
    text += "arithmetic of shapes is computed before the export: "
    text += ", ".join(f"`{op}`" for op in sorted(_BEFORE - own)) + ".\n\nOps of loops, such as "
    text += "`TensorListReserve` and `Merge`, are converted with the whole loop or not at all.\n"
    reasons: dict[str, list[str]] = defaultdict(list)
    outside = 0
    for op in rest:
        if op in own:
            continue
        if op in _BEFORE or _LOOPS.match(op):
            continue
        if _OUTSIDE.fullmatch(op):
            outside += 1
            continue
        reasons[reason_of(op) or "no rule: write the layer with other ops"].append(op)
    text += "\n## Refused ops\n\n| reason and what to do | ops |\n|---|---|\n"
    for reason, ops in sorted(reasons.items()):
        text += f"| {reason} | {', '.join(f'`{op}`' for op in ops)} |\n"
    return text + (
        f"\nThe {outside} other ops of `tf.raw_ops` belong to training, input pipelines, files,\n"
        "text, sparse and ragged tensors, tables or other devices. They are refused by name.\n"
    )


def main() -> None:
    """Write the document."""
    DOCUMENT.write_text(table(), "utf-8")


if __name__ == "__main__":
    main()
