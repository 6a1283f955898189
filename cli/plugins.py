"""``ocr-trt plugins``: the custom ops, their kernels, and whether they do what they say."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import EngineBuildError, UserError
from .console import ConsoleReporter, print_json, print_table, quiet_libraries
from .options import Json, Verbose

_FLOOR = 75
"""Of the kernels that TensorRT is given, too."""

if TYPE_CHECKING:
    from ..plugins.plugin import Plugin
    from ..plugins.verify_kernels import KernelMismatch


class Action(str, Enum):
    """What to do with them."""

    LIST = "list"
    COMPILE = "compile"
    VERIFY = "verify"


def plugins(
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    output: Annotated[
        Path | None, typer.Option(help="compile: folder for the PTX; by default a cache.")
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    r"""List custom ops, compile their CUDA kernels to PTX, or verify bodies and kernels.

    No GPU is needed: NVRTC compiles (pip install 'ocr-trt\[cuda]'), and to verify them the kernels
    are run on the CPU, where a C++ compiler's sanitizers watch each access. Where there is a GPU
    they are run on it as well.

    Example: `ocr-trt plugins verify`
    """
    quiet_libraries(verbose=verbose)
    if output is not None and action is not Action.COMPILE:
        raise UserError(f"--output is of compile; {action.value} writes nothing")
    {Action.LIST: _list, Action.COMPILE: _compile, Action.VERIFY: _verify}[action](output, json)


def _list(_: Path | None, json: bool) -> None:
    from ..plugins.registry import PLUGINS

    found = {plugin.name: plugin.entries for plugin in PLUGINS.values()}
    if json:
        print_json(found)
        return
    print_table("Custom ops", ("op", "kernels"), [(n, ", ".join(e)) for n, e in found.items()])


def _compile(output: Path | None, json: bool) -> None:
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
    if json:
        print_json({"nvrtc": version, "ptx": [dict(zip(names, row, strict=True)) for row in rows]})
        return
    title = f"PTX by NVRTC {version}, for drivers of CUDA {version} and later"
    print_table(title, ("op", "from compute capability", "kernels", "bytes"), rows)
    print(f"written to {output or cache.folder}")


def _verify(_: Path | None, json: bool) -> None:
    from dataclasses import asdict

    from ..plugins.registry import PLUGINS
    from ..plugins.verify_kernels import verify_body, verify_on_host

    found: list[KernelMismatch] = []
    reporter = ConsoleReporter(silent=json)
    for plugin in PLUGINS.values():
        with reporter.step(f"verify {plugin.name}"):
            found += [
                *([] if plugin.body is None else [verify_body(plugin)]),
                verify_on_host(plugin, "memory"),
                verify_on_host(plugin, "races"),
                *_on_gpu(plugin),
            ]
    if json:
        print_json([asdict(finding) for finding in found])
    else:
        header = ("op", "implementation", "examples", "wrong")
        rows = [
            (f.plugin, f.implementation, f.examples, "; ".join(f.wrong) or "none") for f in found
        ]
        print_table("Against the NumPy reference", header, rows)
    wrong = [f"{f.plugin}, {f.implementation}" for f in found if f.wrong]
    if wrong:
        raise EngineBuildError(f"not the op: {'; '.join(wrong)}; mend kernel.cu or the body")


def _on_gpu(plugin: Plugin) -> list[KernelMismatch]:
    """Verify on the GPU, if there is one."""
    from ..engines.nvidia.device import CudaDevice, gpu_absence
    from ..plugins.verify_kernels import verify_on_device

    if gpu_absence() is not None:
        return []
    device = CudaDevice()
    with device.current():
        return [verify_on_device(plugin, _FLOOR, device.gpu.name)]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(plugins)
