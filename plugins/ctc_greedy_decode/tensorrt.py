"""CtcGreedyDecode as a plugin of TensorRT, which reads the hints below: they are no strings."""

from ..onnx_function import DOMAIN
from ..tensorrt_registration import dtype_of, launch_parameters
from .kernel import KINDS, THREADS

NAME = f"{DOMAIN}::CtcGreedyDecode"


def register(ptx: bytes) -> None:
    """Register the op with TensorRT; ``ptx`` holds its kernels."""
    import tensorrt
    import tensorrt.plugin as trtp

    @trtp.register(NAME)
    def describe(
        logits: trtp.TensorDesc, blank: int
    ) -> tuple[trtp.TensorDesc, trtp.TensorDesc, trtp.TensorDesc]:
        count, steps, _ = logits.shape_expr
        return (
            trtp.from_shape_expr((count, steps), tensorrt.int32),
            trtp.from_shape_expr((count,), tensorrt.int32),
            trtp.from_shape_expr((count,), tensorrt.float32),
        )

    @trtp.aot_impl(NAME)
    def launch(
        logits: trtp.TensorDesc,
        blank: int,
        outputs: tuple[trtp.TensorDesc, trtp.TensorDesc, trtp.TensorDesc],
        tactic: int,
    ) -> tuple[str, bytes, trtp.KernelLaunchParams, trtp.SymIntExprs]:
        count, steps, classes = logits.shape_expr
        entry = f"ctc_greedy_decode_{KINDS[dtype_of(logits)]}"
        return entry, ptx, *launch_parameters(count, THREADS, (count, steps, classes, blank))
