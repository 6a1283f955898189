"""``ocr-trt models``: models that need no download of their own."""

from __future__ import annotations

import shutil
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.files import check_writable, write_whole
from ..errors import OutputError, UserError
from .printing import print_json, print_table
from .shared_options import DisplayOptions

if TYPE_CHECKING:
    from ..common.progress import Reporter
    from ..spec import Role

REFERENCE = "reference"
"""Name of the models that come with this package."""


class ModelsAction(str, Enum):
    """What to do with the models."""

    LIST = "list"
    GET = "get"


def models(
    action: Annotated[ModelsAction, typer.Argument(help="What to do.")] = ModelsAction.LIST,
    name: Annotated[str | None, typer.Argument(help="Model to get.", show_default=False)] = None,
    *,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for the models and their specs. Default: the model's name."),
    ] = None,
    display: DisplayOptions,
) -> None:
    """List models that need no download of their own, or write one with its specs.

    The reference models come with this package. Other models are files of installed packages.

    Example: `ocr-trt models get ppocr-v6-small --output models`
    """
    if action is ModelsAction.LIST:
        if name is not None or output is not None:
            raise UserError(f"to write a model, run: ocr-trt models get {name or 'NAME'}")
        _list(display)
        return
    if name is None:
        raise UserError("name the model; ocr-trt models lists them")
    folder = output or Path(name)
    specs = write_model(name, folder, display.reporter())
    if display.json:
        print_json({"specs": {role: str(path) for role, path in specs.items()}})
        return
    paths = " ".join(map(str, specs.values()))
    print(f"{folder}: next, run: ocr-trt build {paths} --calibration DIR")


def _list(display: DisplayOptions) -> None:
    from ..models.catalog import installed_files, wheel_models

    rows: list[dict[str, Any]] = [
        {
            "name": REFERENCE,
            "about": "U-Net detector and CTC recognizer for English, trained on synthetic images",
            "available": True,
            "install": None,
        }
    ]
    rows += [
        {
            "name": name,
            "about": model.about,
            "available": installed_files(model) is not None,
            "install": model.install,
        }
        for name, model in wheel_models().items()
    ]
    if display.json:
        print_json(rows)
        return
    cells = [
        (row["name"], row["about"], "yes" if row["available"] else f"no; {row['install']}")
        for row in rows
    ]
    print_table("models", ("name", "contents", "installed"), cells)
    print("To write one with its specs: ocr-trt models get NAME")


def write_model(
    name: str, folder: Path, reporter: Reporter, *, replaces: bool = False
) -> dict[Role, Path]:
    """Write copies of a model's files and their specs to a folder; return the specs.

    ``replaces``: write over the files of an earlier call.

    Raises:
        InputFileError: there is no such model, or it is not installed.
        OutputError: the folder contains one of the files already, or cannot be written.
    """
    from ..models.catalog import model_files, wheel_models
    from ..models.reference_models import REFERENCE_ROLES

    files = None if name == REFERENCE else model_files(name)
    roles: tuple[Role, ...] = REFERENCE_ROLES if files is None else (*files.models,)
    specs: dict[Role, Path] = {role: folder / f"{role}.yaml" for role in roles}
    for path in specs.values():
        if path.exists() and not replaces:
            raise OutputError(f"{path}: exists already; choose another folder with --output")
    if files is None:
        from ..convert.sources.tf_graph import import_tensorflow
        from ..models.reference_models import export_reference

        with reporter.step("export the reference models as SavedModels"):
            # Before Keras does: TensorFlow would print start-up messages. Before the folder is
            # created: without TensorFlow, it would be left empty.
            import_tensorflow()
            check_writable(folder)
            return {role: export_reference(role, folder) for role in REFERENCE_ROLES}
    check_writable(folder)
    preset = wheel_models()[name].preset
    for file in files.licenses:
        shutil.copyfile(file, folder / f"{name}-{file.name}")
    for role in roles:
        model = folder / f"{name}-{role}{files.models[role].suffix}"
        shutil.copyfile(files.models[role], model)
        write_whole(specs[role], _spec_of(model, role, preset, reporter))
    return specs


def _spec_of(model: Path, role: Role, preset: str, reporter: Reporter) -> str:
    """Return the text of a model's spec."""
    from ..convert.draft import draft_spec
    from ..convert.hints import Hints
    from ..convert.preset import load_preset
    from ..spec import SourceSpec
    from .spec_text import spec_text

    hints = Hints(source=SourceSpec(path=model), preset=load_preset(preset).of(role))
    return spec_text(draft_spec(role, hints, reporter), model.parent)
