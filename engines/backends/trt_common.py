"""What TensorRT 10, TensorRT 11 and TensorRT-RTX share: nearly everything.

The builders are native code that can abort on a bad graph. They run in a child process, which makes
that an error message.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path

import onnx

from ...calibration.quantize import Int8Style
from ...errors import EngineBuildError, TargetMissingError
from ...onnx_file import as_file
from ...plugins.cuda.nvrtc import nvrtc_version
from ...plugins.quick import plugin_module
from ..lower.plugins import mark_plugins
from .base import Backend, BuildSettings, GraphNeeds, Presence, Runner, RunSettings
from .trt_child import NOT_WRITTEN

_TIMEOUT = 3600  # seconds


def gpu_absence() -> tuple[str, str] | None:
    """Return (reason, remedy) why no NVIDIA GPU can be used here, or None."""
    try:
        import pycuda.driver as cuda
    except ImportError:
        return (
            "pycuda is not installed",
            "pip install 'ocr-trt[gpu]' on a machine with an NVIDIA GPU",
        )
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        return f"no usable NVIDIA driver ({error})", "install the driver of your NVIDIA GPU"
    return None if count else ("no NVIDIA GPU found", "use a machine with one")


def _in_child(order: dict[str, object], model: onnx.ModelProto) -> subprocess.CompletedProcess[str]:
    """Start a child on a graph and wait for it."""
    with as_file(model) as path:
        text = json.dumps({**order, "model": str(path)})
        command = [sys.executable, "-m", "ocr_trt.engines.backends.trt_child", text]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired:
            raise EngineBuildError(
                f"{order['module']}: the builder was stopped after an hour"
            ) from None


def build_in_child(
    module: str, model: onnx.ModelProto, plan: Path, settings: BuildSettings
) -> None:
    """Build a plan in a child process.

    Args:
        module: "tensorrt" or "tensorrt_rtx".
        model: typed graph, functions and all.
        plan: file to write.
        settings: profiles and GPUs to build for.

    Raises:
        EngineBuildError: the builder refused the graph, logged an error, crashed or took an hour.
        OSError: the plan cannot be written.
    """
    model, plugins = mark_plugins(model) if settings.plugins else (model, 0)
    order: dict[str, object] = {
        "module": module,
        "plan": str(plan),
        "max_batch": settings.max_batch,
        "compute_capabilities": list(settings.compute_capabilities),
        "plugins": plugins,
    }
    done = _in_child(order, model)
    if done.returncode == NOT_WRITTEN:
        number = int(done.stderr.split()[-1])
        raise OSError(number, os.strerror(number), str(plan))
    if done.returncode:
        raise EngineBuildError(f"{module} refuses the graph: {_last_words(done)}")


def refusals_in_child(module: str, model: onnx.ModelProto) -> dict[str, str]:
    """Let the parser say, in a child process, which nodes it refuses, and why.

    A crash of it is an answer too: "" -> what the process died of.
    """
    done = _in_child({"module": module, "plan": None}, model)
    if done.returncode:
        return {"": _last_words(done)}
    return dict(json.loads(done.stdout))


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"its builder crashed with signal {-done.returncode}: {done.stderr.strip()[-300:]}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(lines[-3:]) if lines else f"exit code {done.returncode} without a message"


class NvidiaBackend(Backend):
    """One of NVIDIA's builders. Its plans are built here; ocr-trt does not run them yet."""

    precisions = ("fp32", "bf16", "fp16", "int8")
    suffix = ".plan"

    def __init__(self, *, name: str, package: str, extra: str, builds_without_gpu: bool) -> None:
        self.name = name
        self._package, self._extra = package, extra
        self._builds_without_gpu = self.for_named_gpus = builds_without_gpu
        self.takes_plugins = package == "tensorrt"
        self.times_kernels = not builds_without_gpu

    def presence(self) -> Presence:
        """Look for the package, and for a GPU."""
        if util.find_spec(self._package) is None:
            remedy = f"pip install 'ocr-trt[{self._extra}]'"
            reason = f"{self.name} is not installed"
            return Presence(can_build=False, can_run=False, reason=reason, remedy=remedy)
        version, absence = metadata.version(self.name), gpu_absence()
        can_build = absence is None or self._builds_without_gpu
        reason, remedy = absence or (
            "ocr-trt cannot run its plans yet",
            "run them with NVIDIA's runtime",
        )
        return Presence(
            can_build=can_build, can_run=False, version=version, reason=reason, remedy=remedy
        )

    def _check_presence(self) -> None:
        presence = self.presence()
        if not presence.can_build:
            raise TargetMissingError(f"target {self.name}: {presence.reason}; {presence.remedy}")

    def check_plugins(self) -> None:
        """See whether there is what makes kernels, and what takes them."""
        if not self.takes_plugins:
            super().check_plugins()
        if plugin_module() is None:
            raise TargetMissingError(
                "--plugins needs TensorRT 10.9 or later: pip install --upgrade 'ocr-trt[gpu,cuda]'"
            )
        nvrtc_version()

    def needs(self) -> GraphNeeds:
        """Deconvolutions have no int8 kernels; attention is fused in 16 bits only."""
        style = Int8Style(shares_scales=True, rounds_skips=True)
        return GraphNeeds(lower_deconvolutions=True, style=style, rest="fp16")

    def refusals(self, model: onnx.ModelProto) -> dict[str, str]:
        """Ask NVIDIA's parser."""
        self._check_presence()
        return refusals_in_child(self._package, model)

    def build(self, model: onnx.ModelProto, plan: Path, settings: BuildSettings) -> None:
        """Call NVIDIA's builder."""
        self._check_presence()
        if not self.takes_plugins:
            settings = replace(settings, plugins=False)
        build_in_child(self._package, model, plan, settings)

    def open(self, plan: Path, *, label: str, settings: RunSettings, max_batch: int) -> Runner:
        """Not here: say why."""
        presence = self.presence()
        raise TargetMissingError(f"{label}: {presence.reason}; {presence.remedy}")
