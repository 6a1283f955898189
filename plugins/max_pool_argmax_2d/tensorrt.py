"""MaxPoolArgmax2d as a plugin of TensorRT, which reads the hints below: they are no strings."""

from ..function import DOMAIN
from ..quick import dtype_of, fixed, launch_parameters
from ..vectors import entry_for
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

    @trtp.aot_impl(NAME)
    def launch(
        x: trtp.TensorDesc, outputs: tuple[trtp.TensorDesc, trtp.TensorDesc], tactic: int
    ) -> tuple[str, bytes, trtp.KernelLaunchParams, trtp.SymIntExprs]:
        batch, channels, height, width = x.shape_expr
        rows, columns = batch * channels * height // 2, width // 2
        entry, side = entry_for("max_pool_argmax_2d", dtype_of(x), fixed(outputs[0], 3))
        blocks = trtp.cdiv(rows * columns // side, THREADS)
        return entry, ptx, *launch_parameters(blocks, THREADS, (rows, columns))
