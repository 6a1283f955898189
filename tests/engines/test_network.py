"""Networks written by hand, without a GPU: they run as ONNX, and are compared with Keras and with
the network that TensorRT's parser creates from the converted model.
"""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from collections import Counter
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from ocr_trt.common.input_size import InputSize
from ocr_trt.common.onnx_session import onnx_session
from ocr_trt.convert.pipeline import convert
from ocr_trt.convert.sources import open_source
from ocr_trt.engines.base import BuildSettings
from ocr_trt.engines.network.named_weights import named_weights, write_npz
from ocr_trt.engines.network.network import Network, Type
from ocr_trt.engines.network.network_child import NetworkSettings, define_network, network_order
from ocr_trt.engines.network.plan_from_network import plan_from_network
from ocr_trt.engines.targets import backend
from ocr_trt.errors import EngineBuildError, InputFileError, OutputError, UserError
from ocr_trt.models.reference_models import export_reference, trained_model, weights_path
from ocr_trt.spec import load_spec

from .walked import onnx_from_network, weights_of

trt = pytest.importorskip("tensorrt_rtx")
h5py = pytest.importorskip("h5py")

EXAMPLES = Path(__file__).parents[2] / "examples"
SHAPE = (1, 32, 96)
_LOGGER = trt.Logger(trt.Logger.ERROR)  # TensorRT uses the first logger of a process only


def example(name: str) -> Any:
    """A module from the folder of examples, which is not a package."""
    spec = util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recognizer = example("recognizer_network")


def empty() -> tuple[Any, Any]:
    builder = trt.Builder(_LOGGER)
    flag = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    return builder, builder.create_network(flag)


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return named_weights(weights_path("recognizer"))


@pytest.fixture(scope="module")
def model() -> Any:
    return trained_model("recognizer")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_reference("recognizer", tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="module")
def graph(exported: Path) -> onnx.ModelProto:
    spec = load_spec(exported)
    return convert(open_source(spec.source), spec, InputSize(*SHAPE[1:])).model


@pytest.fixture(scope="module")
def parsed(graph: onnx.ModelProto) -> onnx.ModelProto:
    _builder, definition = empty()
    parser = trt.OnnxParser(definition, _LOGGER)
    assert parser.parse(graph.SerializeToString())
    return onnx_from_network(trt, definition)


def written(weights: dict[str, np.ndarray], type: Type = "fp32") -> onnx.ModelProto:
    _builder, definition = empty()
    network = Network(trt, definition, weights, type)
    recognizer.define(network, SHAPE)
    network.check_all_used()
    return onnx_from_network(trt, definition)


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return onnx_session(model, optimize=False).run(None, {"image": images})[0]


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    return rng.uniform(-1, 1, (3, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("type", "tolerance"), [("fp32", 5e-5), ("fp16", 0.05)])
def test_hand_written_network_matches_keras(
    type: Type,
    tolerance: float,
    batch: int,
    weights: dict[str, np.ndarray],
    model: Any,
    images: np.ndarray,
) -> None:
    expected = np.asarray(model(images[:batch].transpose(0, 2, 3, 1), training=False))
    result = run(written(weights, type), images[:batch])
    assert result.shape == (batch, 48, 96)
    assert np.abs(expected).max() > 10
    np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)


def test_walked_parsed_network_matches_its_graph(
    parsed: onnx.ModelProto, graph: onnx.ModelProto, images: np.ndarray
) -> None:
    np.testing.assert_allclose(run(parsed, images), run(graph, images), rtol=0, atol=1e-5)


def test_hand_written_and_parsed_network_are_the_same_network(
    parsed: onnx.ModelProto, weights: dict[str, np.ndarray]
) -> None:
    ours = written(weights)
    assert ours.graph.input == parsed.graph.input
    assert ours.graph.output == parsed.graph.output
    kinds = ("Conv", "LayerNormalization", "Softmax", "Relu", "Gelu")
    for each in (ours, parsed):
        counts = Counter(node.op_type for node in each.graph.node)
        assert [counts[kind] for kind in kinds] == [7, 7, 3, 6, 3]
    result, expected = weights_of(ours), weights_of(parsed)
    assert {kind: len(arrays) for kind, arrays in result.items()} == {
        "Conv": 14,
        "LayerNormalization": 14,
        "Add": 1,
        "MatMul": 13,
    }
    for kind, arrays in expected.items():
        for theirs in arrays:
            matches = [
                index
                for index, own in enumerate(result[kind])
                if own.shape == theirs.shape and np.allclose(own, theirs, rtol=1e-5, atol=1e-6)
            ]
            assert matches, f"a {kind} weight {theirs.shape} of the parsed network is missing"
            del result[kind][matches[0]]
        assert not result[kind]


def test_fp16_network_has_fp32_only_at_input_and_output(weights: dict[str, np.ndarray]) -> None:
    _builder, definition = empty()
    network = Network(trt, definition, weights, "fp16")
    recognizer.define(network, SHAPE)
    types = {}
    for index in range(definition.num_layers):
        layer = definition.get_layer(index)
        types[layer.name] = layer.get_output(0).dtype.name
    full = {name for name, type in types.items() if type == "FLOAT"}
    assert {name.partition("/")[0] for name in full} == {"classes_cast", "classes", "logits"}
    assert set(types.values()) == {"HALF", "FLOAT"}
    assert definition.get_input(0).dtype == definition.get_output(0).dtype == trt.float32


def without(weights: dict[str, np.ndarray], name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in weights.items() if key != name}


@pytest.mark.parametrize(
    ("name", "array", "type", "message"),
    [
        ("norm/beta", None, "fp32", "no weight is named 'norm/beta'; there are: norm/gamma"),
        ("norm/beta", np.zeros(191), "fp32", r"has shape \[191\], expected \[192\]"),
        ("norm/beta", np.zeros((192, 1)), "fp32", r"has shape \[192, 1\], expected \[192\]"),
        ("norm/beta", np.full(192, np.nan), "fp32", "norm/beta: its weights reach nan"),
        ("stem_norm/gamma", np.full(32, 1e9), "fp16", "reach .*float16"),
        ("block4_norm2/beta", np.zeros(192), "fp32", "1 weights are not used: block4_norm2/beta"),
        ("block4_norm1/gamma", np.ones(192), "fp32", "'block4_norm1/beta'"),
        ("block1_attention/key/kernel", np.zeros((192, 3, 64)), "fp32", r"expected \[192, 4, 48\]"),
        ("collapse/kernel", np.zeros((6, 1, 192, 192)), "fp32", r"images \(1, 48, W\)"),
    ],
    ids=[
        "missing",
        "too short",
        "of another rank",
        "no number",
        "too large for 16 bits",
        "one too many",
        "half a block too many",
        "heads that differ",
        "of a taller network",
    ],
)
def test_weights_of_another_network_are_refused(
    name: str,
    array: np.ndarray | None,
    type: Type,
    message: str,
    weights: dict[str, np.ndarray],
) -> None:
    wrong = without(weights, name) | ({} if array is None else {name: array})
    with pytest.raises(InputFileError, match=message):
        written(wrong, type)


def test_weights_left_on_purpose_need_not_be_used() -> None:
    _builder, definition = empty()
    network = Network(trt, definition, {"a/kernel": np.ones(1), "b/kernel": np.ones(1)})
    network.leave("a/")
    with pytest.raises(InputFileError, match="1 weights are not used: b/kernel"):
        network.check_all_used()
    network.leave("b/")
    network.check_all_used()


def test_arrays_live_as_long_as_the_network() -> None:
    _builder, definition = empty()
    network = Network(trt, definition, {})
    array = network.hold(np.ones(9), network.input("x", (1,)), "w")
    held = weakref.ref(array)
    del array
    gc.collect()
    assert held() is not None


OWN = """
import os

def scale(network, shape):
    x = network.input("image", (-1, *shape))
    network.output(network.constant(network.weight("scale", *shape), x, "scale"), "scaled")

def crash(network, shape):
    os.abort()

def refuse(network, shape):
    network.add("concatenation", "nothing", [])
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module that defines a network; it becomes the current folder."""
    (tmp_path / "own_network.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def build_own(function: str, folder: Path, weights: dict[str, np.ndarray]) -> Path:
    path = folder / "own.plan"
    network = NetworkSettings(shape=(1, 2, 3), definition=f"own_network:{function}")
    plan_from_network("tensorrt-rtx", weights, path, network, BuildSettings(max_batch=4))
    return path


def check_size(plan: Path, bytes_each: int, weights: dict[str, np.ndarray]) -> None:
    least = bytes_each * sum(array.size for array in weights.values() if array.ndim > 1)
    assert least < plan.stat().st_size < 2 * least, "weights of the type, and kernels"


def test_example_becomes_a_plan(weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    plan = tmp_path / "recognizer.plan"
    command = [sys.executable, "recognizer_network.py", str(plan)]
    done = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{plan}: {plan.stat().st_size} bytes\n"
    check_size(plan, 4, weights)


@pytest.mark.full
def test_example_in_16_bits_becomes_a_plan(
    weights: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    settings = BuildSettings(max_batch=4, options={"compute-capability": "8.9"})
    definition = "recognizer_network:define"
    network = NetworkSettings(shape=SHAPE, type="fp16", definition=definition)
    plan_from_network("tensorrt-rtx", weights, tmp_path / "plan", network, settings)
    check_size(tmp_path / "plan", 2, weights)


def test_example_of_the_readme_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    text = (EXAMPLES / "README.md").read_text()
    definition, script = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_network.py").write_text(definition)
    with h5py.File("model.weights.h5", "w") as file:
        for name, shapes in (("conv", [(3, 3, 3, 8)]), ("norm", [(8,)] * 4)):
            group = file.create_group(f"layers/{name}/vars")
            group.attrs["name"] = name
            for number, shape in enumerate(shapes):
                group[str(number)] = rng.uniform(0.5, 1, shape).astype(np.float32)
    exec(script, {})
    assert (tmp_path / "model.plan").stat().st_size > 1000


@pytest.mark.parametrize(
    ("function", "weights", "error", "message"),
    [
        ("scale", {"file": np.ones(1)}, InputFileError, "no weight is named 'scale'"),
        ("crash", {"scale": np.ones(1)}, EngineBuildError, "its builder crashed with signal 6"),
        ("refuse", {"scale": np.ones(1)}, EngineBuildError, "nothing: TensorRT refuses a layer"),
    ],
    ids=["wrong weights", "a crash", "a layer that TensorRT refuses"],
)
def test_error_in_the_child_is_raised_in_the_parent(
    function: str,
    weights: dict[str, np.ndarray],
    error: type[Exception],
    message: str,
    own: Path,
) -> None:
    with pytest.raises(error, match=message):
        build_own(function, own, weights)
    assert not (own / "own.plan").exists()


@pytest.mark.parametrize("name", ["math:absent", "no_such_module:define", "math", ":sin"])
def test_definition_that_cannot_be_imported_is_refused(name: str, tmp_path: Path) -> None:
    write_npz(tmp_path / "w.npz", {"scale": np.ones(1)})
    settings = NetworkSettings(shape=SHAPE, definition=name)
    order = network_order(settings, tmp_path / "w.npz")["network"]
    with pytest.raises(InputFileError, match=f"definition '{name}' cannot be imported"):
        define_network(trt, None, order)


def test_wrong_request_is_refused_before_the_child_starts(tmp_path: Path) -> None:
    network, path = NetworkSettings(shape=SHAPE, definition="own:define"), tmp_path / "plan"
    with pytest.raises(UserError, match=r"openvino .*\btensorrt, tensorrt-rtx"):
        plan_from_network("openvino", {}, path, network, BuildSettings())
    with pytest.raises(UserError, match=r"option plugins .* leave the option out"):
        plan_from_network(
            "tensorrt-rtx", {}, path, network, BuildSettings(options={"plugins": "yes"})
        )
    with pytest.raises(OutputError, match="is a folder"):
        plan_from_network("tensorrt-rtx", {}, tmp_path, network, BuildSettings())
    if not backend("tensorrt").availability().can_build:
        with pytest.raises(UserError, match="target tensorrt: "):
            plan_from_network("tensorrt", {}, path, network, BuildSettings())
