"""MaxUnpool2d as a plugin of TensorRT, which reads the type hints below as objects."""

from ..onnx_function import DOMAIN
from ..tensorrt_window_kernels import formats, implementation
from .kernel import KERNELS

NAME = f"{DOMAIN}::MaxUnpool2d"


def register(ptx: bytes) -> None:
    """Register the op with TensorRT; ``ptx`` contains its kernels."""
    import tensorrt.plugin as trtp

    @trtp.register(NAME)
    def describe(values: trtp.TensorDesc, place: trtp.TensorDesc) -> trtp.TensorDesc:
        if place.dtype != values.dtype:
            raise ValueError(f"MaxUnpool2d: values are {values.dtype}, places {place.dtype}")
        batch, channels, height, width = values.shape_expr
        return trtp.from_shape_expr((batch, channels, height * 2, width * 2), values.dtype)

    @trtp.autotune(NAME)
    def possible_formats(
        values: trtp.TensorDesc, place: trtp.TensorDesc, outputs: tuple[trtp.TensorDesc]
    ) -> list[trtp.AutoTuneCombination]:
        return formats(3)

    @trtp.aot_impl(NAME)
    def launch(
        values: trtp.TensorDesc,
        place: trtp.TensorDesc,
        outputs: tuple[trtp.TensorDesc],
        tactic: int,
    ) -> tuple[str, bytes, trtp.KernelLaunchParams, trtp.SymIntExprs]:
        return implementation(KERNELS, ptx, values, values.shape_expr, values)
