"""A TensorRT network that is being defined, and the weights of its layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ...convert.sources.large_weights import Weights
from ...errors import EngineBuildError, InputFileError

Type = Literal["fp32", "fp16"]
_ARRAYS = {"fp32": np.float32, "fp16": np.float16}
_MEMBERS = {"fp32": "FLOAT", "fp16": "HALF"}


class Network:
    """TensorRT's INetworkDefinition with named weights; ``building_blocks`` adds layers to it.

    It must exist until the plan is built, because TensorRT keeps pointers into its arrays.

    Args:
        trt: the module ``tensorrt`` or ``tensorrt_rtx``.
        definition: an empty, strongly typed INetworkDefinition.
        weights: arrays by name.
        type: the type of all layers, unless :meth:`cast` changes it.
    """

    def __init__(self, trt: Any, definition: Any, weights: Weights, type: Type = "fp32") -> None:
        self.trt, self.definition, self.type = trt, definition, type
        self._weights, self._unused = weights, set(weights)
        self._held: list[npt.NDArray] = []

    def input(self, name: str, shape: Sequence[int]) -> Any:
        """Add a float32 input; return it in the network's type. A size of -1 is free."""
        tensor = self.definition.add_input(name, self.trt.float32, tuple(shape))
        if tensor is None:
            raise EngineBuildError(f"TensorRT refuses the input {name} of shape {list(shape)}")
        return self.cast(tensor, self.type, f"{name}_cast")

    def output(self, tensor: Any, name: str) -> None:
        """Mark a tensor as an output, in float32."""
        tensor = self.cast(tensor, "fp32", f"{name}_cast")
        tensor.name = name
        self.definition.mark_output(tensor)

    def cast(self, tensor: Any, type: Type, name: str) -> Any:
        """Return a tensor in another type. Layers that read it compute in that type."""
        expected = getattr(self.trt.DataType, _MEMBERS[type])
        if tensor.dtype == expected:
            return tensor
        return self.add("cast", name, tensor, expected)[1]

    def add(self, kind: str, name: str, *arguments: Any) -> tuple[Any, Any]:
        """Call ``add_<kind>`` of the definition; return the layer, named, and its first output.

        Raises:
            EngineBuildError: TensorRT refuses it.
        """
        layer = getattr(self.definition, f"add_{kind}")(*arguments)
        if layer is None:
            # Of the arguments, only tensors have this attribute.
            inputs = [list(each.shape) for each in arguments if hasattr(each, "is_network_input")]
            raise EngineBuildError(
                f"{name}: TensorRT refuses a layer {kind} with inputs of shapes {inputs}"
            )
        # TensorRT's messages and profiles name layers and tensors.
        layer.name = name
        tensor = layer.get_output(0)
        tensor.name = name
        return layer, tensor

    def has(self, name: str) -> bool:
        """Whether the file has a weight of that name."""
        return name in self._weights

    def weight(self, name: str, *shape: int | None) -> npt.NDArray[np.float64]:
        """Return a weight in float64. In ``shape``, None stands for any size.

        Raises:
            InputFileError: there is no weight of that name, or it has another shape.
        """
        if name not in self._weights:
            layer = name.rpartition("/")[0]
            near = sorted(each for each in self._weights if each.startswith(f"{layer}/"))
            listed = ", ".join(near or sorted(self._weights)[:10])
            raise InputFileError(f"no weight is named {name!r}; there are: {listed}")
        weight = self._weights[name]
        pairs = zip(weight.shape, shape, strict=False)
        if weight.ndim != len(shape) or any(one not in (None, size) for size, one in pairs):
            expected = ["any" if size is None else size for size in shape]
            raise InputFileError(
                f"the weight {name!r} has shape {list(weight.shape)}, expected {expected}"
            )
        self._unused.discard(name)
        # In float64: weights with a folded normalization are rounded only once, in ``hold``.
        return weight.astype(np.float64)

    def leave(self, prefix: str) -> None:
        """Declare that the weights whose names start with ``prefix`` are intentionally not used."""
        self._unused = {name for name in self._unused if not name.startswith(prefix)}

    def check_all_used(self) -> None:
        """Check that every weight is used, because a network that lacks a block would also build.

        Raises:
            InputFileError: a weight was neither used nor left out by :meth:`leave`.
        """
        if self._unused:
            listed = ", ".join(sorted(self._unused)[:10])
            raise InputFileError(
                f"{len(self._unused)} weights are not used: {listed}; use them, or leave them out "
                "with network.leave(prefix)"
            )

    def hold(self, array: npt.NDArray, like: Any, name: str) -> npt.NDArray:
        """Convert an array to the type of the tensor ``like``, contiguous, and keep it alive.

        Raises:
            InputFileError: a number is not finite in that type.
        """
        half = like.dtype == self.trt.DataType.HALF
        with np.errstate(over="ignore"):
            held = np.ascontiguousarray(array, _ARRAYS["fp16" if half else "fp32"])
        if not np.isfinite(held).all():
            raise InputFileError(
                f"{name}: its weights reach {np.abs(array).max():.3g}, which {held.dtype} cannot "
                "represent"
            )
        # trt.Weights holds a pointer, not a reference.
        self._held.append(held)
        return held

    def constant(self, array: npt.NDArray, like: Any, name: str) -> Any:
        """Return a constant tensor in the type of the tensor ``like``."""
        held = self.hold(array, like, name)
        return self.add("constant", name, held.shape, self.trt.Weights(held))[1]
