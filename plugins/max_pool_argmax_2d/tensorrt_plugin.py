"""MaxPoolArgmax2d as a plugin of TensorRT, which reads the type hints below as objects."""

from ..onnx_function import DOMAIN
from ..tensorrt_window_kernels import formats, implementation
from .kernel import KERNELS

NAME = f"{DOMAIN}::MaxPoolArgmax2d"


def register(ptx: bytes) -> None:
    """Register the op with TensorRT; ``ptx`` contains its kernels."""
    import tensorrt.plugin as trtp

    @trtp.register(NAME)
    def describe(x: trtp.TensorDesc) -> tuple[trtp.TensorDesc, trtp.TensorDesc]:
        batch, channels, height, width = x.shape_expr
        shape = (batch, channels, height // 2, width // 2)
        return trtp.from_shape_expr(shape, x.dtype), trtp.from_shape_expr(shape, x.dtype)

    @trtp.autotune(NAME)
    def possible_formats(
        x: trtp.TensorDesc, outputs: tuple[trtp.TensorDesc, trtp.TensorDesc]
    ) -> list[trtp.AutoTuneCombination]:
        return formats(3)

    @trtp.aot_impl(NAME)
    def launch(
        x: trtp.TensorDesc, outputs: tuple[trtp.TensorDesc, trtp.TensorDesc], tactic: int
    ) -> tuple[str, bytes, trtp.KernelLaunchParams, trtp.SymIntExprs]:
        batch, channels, height, width = x.shape_expr
        windows = (batch, channels, height // 2, width // 2)
        return implementation(KERNELS, ptx, x, windows, outputs[0])
