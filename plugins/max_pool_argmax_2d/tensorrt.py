"""MaxPoolArgmax2d as a plugin of TensorRT, which reads the hints below: they are no strings."""

from ..hwc8 import SIDE
from ..onnx_function import DOMAIN
from ..tensorrt_registration import combinations, dtype_of, fixed, is_hwc8, launch_parameters
from ..vector_entries import entry_for, entry_hwc8
from .kernel import THREADS

NAME = f"{DOMAIN}::MaxPoolArgmax2d"


def register(ptx: bytes) -> None:
    """Register the op with TensorRT; ``ptx`` holds its kernels."""
    import tensorrt.plugin as trtp

    @trtp.register(NAME)
    def describe(x: trtp.TensorDesc) -> tuple[trtp.TensorDesc, trtp.TensorDesc]:
        batch, channels, height, width = x.shape_expr
        shape = (batch, channels, height // 2, width // 2)
        return trtp.from_shape_expr(shape, x.dtype), trtp.from_shape_expr(shape, x.dtype)

    @trtp.autotune(NAME)
    def formats(
        x: trtp.TensorDesc, outputs: tuple[trtp.TensorDesc, trtp.TensorDesc]
    ) -> list[trtp.AutoTuneCombination]:
        return combinations(3)

    @trtp.aot_impl(NAME)
    def launch(
        x: trtp.TensorDesc, outputs: tuple[trtp.TensorDesc, trtp.TensorDesc], tactic: int
    ) -> tuple[str, bytes, trtp.KernelLaunchParams, trtp.SymIntExprs]:
        batch, channels, height, width = x.shape_expr
        if is_hwc8(x):
            sizes = (batch * height // 2, width // 2, trtp.cdiv(channels, SIDE))
            blocks = trtp.cdiv(sizes[0] * sizes[1] * sizes[2], THREADS)
            entry = entry_hwc8("max_pool_argmax_2d")
            return entry, ptx, *launch_parameters(blocks, THREADS, sizes)
        rows, columns = batch * channels * height // 2, width // 2
        entry, side = entry_for("max_pool_argmax_2d", dtype_of(x), fixed(outputs[0], 3))
        blocks = trtp.cdiv(rows * columns // side, THREADS)
        return entry, ptx, *launch_parameters(blocks, THREADS, (rows, columns))
