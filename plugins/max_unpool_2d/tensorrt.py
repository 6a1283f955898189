"""MaxUnpool2d as a plugin of TensorRT, which reads the hints below: they are no strings."""

from ..hwc8 import SIDE
from ..onnx_function import DOMAIN
from ..tensorrt_registration import combinations, dtype_of, fixed, is_hwc8, launch_parameters
from ..vector_entries import entry_for, entry_hwc8
from .kernel import SHARE, THREADS

NAME = f"{DOMAIN}::MaxUnpool2d"


def register(ptx: bytes) -> None:
    """Register the op with TensorRT; ``ptx`` holds its kernels."""
    import tensorrt.plugin as trtp

    @trtp.register(NAME)
    def describe(values: trtp.TensorDesc, place: trtp.TensorDesc) -> trtp.TensorDesc:
        if place.dtype != values.dtype:
            raise ValueError(f"MaxUnpool2d: values are {values.dtype}, places {place.dtype}")
        batch, channels, height, width = values.shape_expr
        return trtp.from_shape_expr((batch, channels, height * 2, width * 2), values.dtype)

    @trtp.autotune(NAME)
    def formats(
        values: trtp.TensorDesc, place: trtp.TensorDesc, outputs: tuple[trtp.TensorDesc]
    ) -> list[trtp.AutoTuneCombination]:
        return combinations(3)

    @trtp.aot_impl(NAME)
    def launch(
        values: trtp.TensorDesc,
        place: trtp.TensorDesc,
        outputs: tuple[trtp.TensorDesc],
        tactic: int,
    ) -> tuple[str, bytes, trtp.KernelLaunchParams, trtp.SymIntExprs]:
        batch, channels, height, width = values.shape_expr
        if is_hwc8(values):
            sizes = (batch * height, width, trtp.cdiv(channels, SIDE))
            blocks = trtp.cdiv(sizes[0] * sizes[1] * sizes[2], THREADS)
            entry = entry_hwc8("max_unpool_2d")
            return entry, ptx, *launch_parameters(blocks, THREADS, sizes)
        rows = batch * channels * height
        entry, side = entry_for("max_unpool_2d", dtype_of(values), fixed(values, 3), SHARE)
        blocks = trtp.cdiv(rows * width // side, THREADS)
        return entry, ptx, *launch_parameters(blocks, THREADS, (rows, width))
