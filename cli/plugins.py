"""``ocr-trt plugins``: list the custom ops, compile their kernels, and verify them."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EngineBuildError, UserError
from .printing import print_json, print_table
from .shared_options import DisplayOptions

if TYPE_CHECKING:
    from ..plugins.plugin import Plugin
    from ..plugins.verify_kernels import KernelMismatch


_FLOOR = 75
"""Compute capability 7.5, times ten: `verify` compiles kernels for it, as for TensorRT."""


class PluginsAction(str, Enum):
    """What to do with the custom ops."""

    LIST = "list"
    COMPILE = "compile"
    VERIFY = "verify"


def plugins(
    action: Annotated[PluginsAction, typer.Argument(help="What to do.")] = PluginsAction.LIST,
    *,
    output: Annotated[
        Path | None, typer.Option(help="For compile: folder for the PTX files. Default: the cache.")
    ] = None,
    display: DisplayOptions,
) -> None:
    r"""List custom ops, compile their CUDA kernels to PTX, or verify function bodies and kernels.

    No GPU is required. `compile` uses NVRTC (pip install 'ocr-trt\[cuda]'). `verify` runs the
    kernels on the CPU under the sanitizers of a C++ compiler, which check every memory access, and
    also on the GPU if there is one.

    Example: `ocr-trt plugins verify`
    """
    if output is not None and action is not PluginsAction.COMPILE:
        raise UserError(f"--output: {action.value} writes no files; use it with compile")
    if action is PluginsAction.LIST:
        _list(display)
    elif action is PluginsAction.COMPILE:
        _compile(output, display)
    else:
        _verify(display)


def _list(display: DisplayOptions) -> None:
    from ..plugins.registry import PLUGINS

    kernels = {plugin.name: plugin.entries for plugin in PLUGINS.values()}
    if display.json:
        print_json(kernels)
        return
    print_table("Custom ops", ("op", "kernels"), [(n, ", ".join(k)) for n, k in kernels.items()])


def _compile(output: Path | None, display: DisplayOptions) -> None:
    from ..common.cache import named_cache
    from ..common.files import check_writable, write_whole
    from ..plugins.cuda.nvrtc import FLOORS, entries_of, nvrtc_version, ptx_from_source
    from ..plugins.registry import PLUGINS

    if output is not None:
        check_writable(output)
    cache = named_cache("ptx")
    version, rows = ".".join(map(str, nvrtc_version())), []
    for plugin in PLUGINS.values():
        for floor in FLOORS:
            ptx = ptx_from_source(plugin.source, floor, None if output else cache)
            if output is not None:
                write_whole(output / f"{plugin.source.parent.name}.compute_{floor}.ptx", ptx)
            rows.append((plugin.name, f"{floor / 10:.1f}", len(entries_of(ptx)), len(ptx)))
    names = ("op", "compute_capability", "kernels", "bytes")
    if display.json:
        print_json({"nvrtc": version, "ptx": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    title = f"PTX by NVRTC {version}, for drivers of CUDA {version} and later"
    print_table(title, ("op", "from compute capability", "kernels", "bytes"), rows)
    print(f"written to {output or cache.folder}")


def _verify(display: DisplayOptions) -> None:
    from dataclasses import asdict

    from ..plugins.registry import PLUGINS
    from ..plugins.verify_kernels import verify_body, verify_on_host

    results: list[KernelMismatch] = []  # `wrong` is empty if there is no mismatch
    reporter = display.reporter()
    for plugin in PLUGINS.values():
        with reporter.step(f"verify {plugin.name}"):
            results += [
                *([] if plugin.body is None else [verify_body(plugin)]),
                verify_on_host(plugin, "memory"),
                verify_on_host(plugin, "races"),
                *_on_gpu(plugin),
            ]
    if display.json:
        print_json([asdict(result) for result in results])
    else:
        header = ("op", "implementation", "examples", "wrong")
        rows = [
            (r.plugin, r.implementation, r.examples, "; ".join(r.wrong) or "none") for r in results
        ]
        print_table("Against the NumPy reference", header, rows)
    wrong = [f"{r.plugin}, {r.implementation}" for r in results if r.wrong]
    if wrong:
        raise EngineBuildError(
            f"differs from the NumPy reference: {'; '.join(wrong)}; fix kernel.cu or the function "
            "body"
        )


def _on_gpu(plugin: Plugin) -> list[KernelMismatch]:
    """Verify on the GPU, if there is one."""
    from ..engines.nvidia.device import CudaDevice, gpu_absence
    from ..plugins.verify_kernels import verify_on_device

    if gpu_absence() is not None:
        return []
    device = CudaDevice()
    with device.current():
        return [verify_on_device(plugin, _FLOOR, device.gpu.name)]
