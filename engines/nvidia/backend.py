"""The implementation of both of NVIDIA's targets, ``tensorrt.py`` and ``tensorrt_rtx.py``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

import onnx

from ...calibration.int8_style import Int8Style
from ...common.cache import key_from
from ...errors import TargetMissingError
from ...plugins.cuda.nvrtc import nvrtc_version
from ...plugins.registration import plugin_module
from ..base import Availability, Backend, BuildSettings, GraphNeeds, RunSettings
from ..build_options import option_names, parse_options
from ..runner import Runner
from .builder import Builder, build_in_child, refusals_in_child
from .device import CudaDevice, Gpu, gpu_absence, gpu_here
from .features import features_of
from .infer_request import PlanSettings
from .load_plan import check_built_with, engine_from_plan, refit_from_model
from .options import NvidiaOptions
from .plan_runner import PlanRunner


class NvidiaBackend(Backend):
    """A target that uses one of NVIDIA's packages.

    Args:
        name: name of the target and of the distribution on PyPI.
        package: the Python module.
        extra: the extra of ocr-trt that installs it.
        refused: options that only the other package has, with the reasons.
        runs_on: returns whether it runs on GPUs of a compute capability (major, minor).
    """

    precisions = ("fp32", "bf16", "fp16", "int8")
    suffix = ".plan"

    def __init__(
        self,
        *,
        name: str,
        package: str,
        extra: str,
        refused: Mapping[str, str] | None = None,
        runs_on: Callable[[tuple[int, int]], bool] = lambda capability: True,
    ) -> None:
        self.name, self._runs_on = name, runs_on
        self._package, self._extra, self.refused_options = package, extra, refused or {}
        names = option_names(NvidiaOptions)
        self.option_names = tuple(name for name in names if name not in self.refused_options)
        # TensorRT for RTX compiles for any GPU; TensorRT times kernels on the GPU of this machine.
        self._builds_without_gpu = package == "tensorrt_rtx"
        self.times_kernels = not self._builds_without_gpu

    def availability(self) -> Availability:
        """Look for the package, and for a GPU."""
        if util.find_spec(self._package) is None:
            hint = f"pip install 'ocr-trt[{self._extra}]'"
            reason = f"{self.name} is not installed"
            return Availability(can_build=False, can_run=False, reason=reason, hint=hint)
        version, absence = self._version(), gpu_absence() or self._why_not_here()
        if absence is None:
            return Availability(can_build=True, can_run=True, version=version)
        reason, hint = absence
        return Availability(
            can_build=self._builds_without_gpu,
            can_run=False,
            version=version,
            reason=reason,
            hint=hint,
        )

    def _version(self) -> str:
        """Return the version of the distribution that contains the module."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            # TensorRT is also distributed as tensorrt-cu12 and the like. Finding that name reads
            # the file lists of all packages, which is slow.
            others = metadata.packages_distributions().get(self._package, [])
            return metadata.version(others[0]) if others else "unknown"

    def _why_not_here(self) -> tuple[str, str] | None:
        """Return (reason, hint) why it does not run on the GPU of this machine, or None."""
        gpu = gpu_here()
        if self._runs_on(_numbers(gpu.compute_capability)):
            return None
        what = f"{gpu.name} (compute capability {gpu.compute_capability})"
        return f"{self.name} does not run on {what}", "use the target tensorrt on this GPU"

    def can_run_built(self, settings: Mapping[str, Any]) -> bool:
        """Whether a plan with these ``settings`` is for the GPU of this machine."""
        if not self.availability().can_run:
            return False
        if not self._builds_without_gpu:
            return True
        own, named = gpu_here().compute_capability, settings.get("compute_capabilities")
        if isinstance(named, list) and named:  # the origin of a manifest is unknown
            return own in named
        # By default TensorRT for RTX builds for Ampere (8.0) and later.
        return _numbers(own) >= (8, 0)

    def options_from(self, options: Mapping[str, str]) -> NvidiaOptions:
        """Parse the options that this package has; the others keep their defaults.

        Raises:
            UserError: a value is wrong.
        """
        own = {n: text for n, text in options.items() if n not in self.refused_options}
        return parse_options(NvidiaOptions, own)

    def wants_sparse_weights(self, options: Mapping[str, str]) -> bool:
        """Return the option ``sparse``."""
        return self.options_from(options).sparse

    def check_options(self, options: Mapping[str, str]) -> None:
        """Check the values; for plugins also that TensorRT is new enough and NVRTC is installed."""
        if not self.options_from(options).plugins:
            return
        if plugin_module() is None:
            raise TargetMissingError(
                "option plugins needs TensorRT 10.9 or later: "
                "pip install --upgrade 'ocr-trt[gpu,cuda]'"
            )
        nvrtc_version()

    def needs(self) -> GraphNeeds:
        """Quantize residual sums too. The fallback is fp16: attention is fused in 16 bits only."""
        style = Int8Style(shares_scales=True, rounds_skips=True)
        # Tensor cores read int8 channels in groups of 16, and fp16 channels in groups of 8.
        return GraphNeeds(style=style, fallback="fp16", channel_multiple=16)

    def lower(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """Replace deconvolutions, because they have no int8 kernels."""
        # Here and below, because onnx_ir takes half a second: a wrong option is refused at once.
        from ..lower_deconvolutions import lower_deconvolutions

        return lower_deconvolutions(model)

    def refusals(self, model: onnx.ModelProto) -> dict[str, str]:
        """Parse the graph with NVIDIA's parser."""
        self.check_can_build()
        from .lower_loops import lower_loops

        return refusals_in_child(self._package, lower_loops(model))

    def _gpu_for_timing(self) -> Gpu | None:
        """Return the GPU on which the builder times kernels; TensorRT for RTX times none."""
        return None if self._builds_without_gpu or gpu_absence() else gpu_here()

    def built_with(self, settings: BuildSettings) -> dict[str, Any]:
        """Return the options, and the GPU if the plan depends on it; loading checks both."""
        gpu, options = self._gpu_for_timing(), self.options_from(settings.options)
        return {
            "compute_capabilities": list(options.compute_capability),
            "plugins": options.plugins,
            "options": options.changed(),
            **({} if gpu is None else {"gpu": asdict(gpu)}),
        }

    def build(self, model: onnx.ModelProto, plan: Path, settings: BuildSettings) -> None:
        """Build a plan in a child process."""
        self.check_can_build()
        from .lower_loops import lower_loops

        gpu, options = self._gpu_for_timing(), self.options_from(settings.options)
        timings = None
        if gpu is not None and options.timing_cache:
            timings = key_from([self.name, self.availability().version, gpu.name])
        builder = Builder(
            module=self._package,
            max_batch=settings.max_batch,
            options=options,
            can_load=self.can_run(settings),
            timing_cache=timings,
        )
        build_in_child(builder, lower_loops(model), plan)

    def open(self, plan: Path, *, label: str, settings: RunSettings, max_batch: int) -> Runner:
        """Check that the plan is for this GPU and this version of the package, then load it."""
        availability = self.availability()
        if not availability.can_run:
            raise TargetMissingError(f"{label}: {availability.reason}; {availability.hint}")
        trt, device = import_module(self._package), CudaDevice()
        features, gpu = features_of(trt), device.gpu
        if settings.built is not None:
            trusted = settings.is_trusted
            check_built_with(
                settings.built, availability.version, gpu, features, is_trusted=trusted
            )
        data = plan.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        # Compiled kernels can be reused for the same plan, GPU and version only.
        key = key_from([self.name, availability.version, gpu.name, digest])
        with device.current():
            engine = engine_from_plan(trt, data, features, is_trusted=settings.is_trusted)
            refit_from_model(trt, engine, settings.model)
        return PlanRunner(
            trt,
            engine,
            device,
            features,
            label=label,
            settings=PlanSettings(
                streams=settings.streams or PlanSettings.streams,
                use_graphs=settings.use_graphs,
                runtime_cache=key if features.captures_itself else None,
            ),
        )


def _numbers(capability: str) -> tuple[int, int]:
    major, minor = map(int, capability.split("."))
    return major, minor
