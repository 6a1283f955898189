"""A graph is compared with its model while both decide alike at ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from ocr_trt.builder.compare import check_parity
from ocr_trt.builder.ties import Ties, difference_without_ties
from ocr_trt.common.input_size import InputSize
from ocr_trt.engines.engine import Engine
from ocr_trt.engines.onnxruntime.backend import runner_from_model
from ocr_trt.engines.tensorflow.baseline import TensorFlowRunner
from ocr_trt.engines.tensorflow.decisions import decisions
from ocr_trt.errors import ConversionError
from ocr_trt.spec import spec_from_dict

LIMIT = 1e-3
SPEC = spec_from_dict(
    {
        "name": "ties",
        "role": "detector",
        "source": {"path": "ties.pb"},
        "input": {
            "name": "image", "shape": [1, 8, 12, 3], "mean": [127.5], "scale": [1 / 127.5],
        },
        "output": {"name": "map"},
    }
)  # fmt: skip
# The sign of each feature decides about the output. The features themselves equal the model's.
TEXT = """
    <ir_version: 10, opset_import: ["" : 20]>
    agraph (float[N,3,8,12] image) => (float[N,1,8,12] map)
        <float[N,1,8,12] mean, float[N,1,8,12] features, float[N,1,8,12] choice> {
        axes = Constant <value_ints = [1]> ()
        shift = Constant <value_float = SHIFT> ()
        half = Constant <value_float = 0.5> ()
        one = Constant <value_float = 1.0> ()
        factor = Constant <value_float = FACTOR> ()
        mean = ReduceMean (image, axes)
        tiny = Mul (mean, shift)
        features = Add (tiny, shift)
        zero = Constant <value_float = 0.0> ()
        positive = Greater (features, zero)
        choice = Where (positive, one, half)
        map = Mul (choice, factor)
    }
"""


def graph(shift: float, factor: float) -> onnx.ModelProto:
    return onnx.parser.parse_model(
        TEXT.replace("SHIFT", f"{shift:.9f}").replace("FACTOR", str(factor))
    )


def model(shift: float, factor: float) -> Callable[[Any], Any]:
    import tensorflow as tf

    def call(image: Any) -> Any:
        features = tf.reduce_mean(image, 3, keepdims=True) * shift + shift
        return tf.where(features > 0.0, 1.0, 0.5) * factor

    return tf.function(call)


def engines(ours: onnx.ModelProto, theirs: Callable[[Any], Any]) -> tuple[Engine, Engine]:
    runner = runner_from_model(ours, label="onnxruntime", max_batch=1)
    baseline = TensorFlowRunner(theirs, SPEC, SPEC.input.size, label="tensorflow")
    return (
        Engine(label="fp32 graph", spec=SPEC, open_runner=lambda _: runner),
        Engine(label="baseline", spec=SPEC, open_runner=lambda _: baseline),
    )


def test_other_decisions_pass() -> None:
    """The features are 1e-7 in the model and -1e-7 in the graph: rounding errors of a zero."""
    ours = graph(-1e-7, 0.8)
    pair = engines(ours, model(1e-7, 0.8))
    found = check_parity(*pair, graphs={SPEC.input.size: ours})
    assert found.largest < 1e-6
    assert found.ties is not None
    assert found.ties.share == 1.0
    assert found.ties.largest == pytest.approx(0.4)
    # An engine built from this graph cannot be forced, but may differ as much.
    assert check_parity(*pair, ties=found.ties).largest == pytest.approx(0.4)
    with pytest.raises(ConversionError, match=r"0\.4"):
        check_parity(*pair)
    with pytest.raises(ConversionError, match=r"0\.4"):
        check_parity(*pair, ties=Ties(share=0.2, largest=0.4))
    with pytest.raises(ConversionError, match=r"0\.4"):
        check_parity(*pair, ties=Ties(share=1.0, largest=0.1))


@pytest.mark.parametrize(
    ("shift", "factor"), [(-1e-7, 0.7), (-0.1, 0.8)], ids=["behind the tie", "in front of it"]
)
def test_a_wrong_graph_is_refused(shift: float, factor: float) -> None:
    ours = graph(shift, factor)
    with pytest.raises(ConversionError, match="differs from the model"):
        check_parity(*engines(ours, model(1e-7, 0.8)), graphs={SPEC.input.size: ours})


def test_a_model_without_decisions_has_no_inputs() -> None:
    import tensorflow as tf

    image = tf.zeros([1, 8, 12, 3])
    assert decisions(tf.function(lambda x: x * 2), image) is None
    found = decisions(model(1e-7, 0.8), image)
    assert found is not None
    (array,) = found.inputs.values()
    assert array.shape == (1, 8, 12, 1)
    assert found.output.shape == (1, 8, 12, 1)


def test_values_that_match_no_input_give_no_verdict() -> None:
    image = np.ones((1, 3, 8, 12), np.float32)
    inputs = {"other": np.full((1, 8, 12, 1), 5, np.float32)}
    output = np.ones((1, 1, 8, 12), np.float32)
    assert difference_without_ties(graph(1e-7, 1.0), image, inputs, output, LIMIT) is None


@pytest.mark.full
def test_saturated_max_unpooling(tmp_path: Any) -> None:
    """TensorFlow's tanh is exactly 1 there; onnxruntime's differs in the last bit."""
    import keras
    from keras import layers

    from ocr_trt.convert.pipeline import convert
    from ocr_trt.convert.sources import open_source
    from ocr_trt.engines.tensorflow.baseline import baseline_runner
    from ocr_trt.models.keras_layers import MaxPoolArgmax2D, MaxUnpool2D

    keras.utils.set_random_seed(1)
    x = image = keras.Input((64, 96, 3), name="image")
    places = []
    for number in range(3):
        wide = keras.initializers.RandomNormal(0, 8 / (3 * (8 if number else 3) ** 0.5))
        x = layers.Conv2D(8, 3, padding="same", kernel_initializer=wide, activation="tanh")(x)
        x, place = MaxPoolArgmax2D()(x)
        places.append(place)
    for _ in range(3):
        x = layers.Conv2D(8, 3, padding="same", activation="relu")(MaxUnpool2D()(x, places.pop()))
    x = layers.Conv2D(1, 1, activation="sigmoid")(x)
    keras.Model(image, x).export(tmp_path / "m", format="tf_saved_model", verbose=False)
    settings = {**SPEC.model_dump(), "source": {"path": tmp_path / "m"}}
    settings["input"]["shape"], settings["output"]["name"] = [1, 64, 96, 3], "output_0"
    spec = spec_from_dict(settings)
    source = open_source(spec.source)
    proto = convert(source, spec).model
    runner = runner_from_model(proto, label="onnxruntime", max_batch=1)
    baseline = baseline_runner(source, spec)
    pair = [
        Engine(label="fp32 graph", spec=spec, open_runner=lambda _, r=each: r)
        for each in (runner, baseline)
    ]
    found = check_parity(*pair, graphs={InputSize(64, 96): proto})
    assert found.largest < 1e-5
    assert found.ties is not None, "some decisions did differ"
