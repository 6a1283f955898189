"""Facts about the whole project that no other check covers."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

import ocr_trt

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(
    path.parent
    for path in ROOT.rglob("__init__.py")
    if not {".venv", "build", "tests", "benchmarks"} & set(path.relative_to(ROOT).parts)
)
SOURCES = sorted(file for folder in PACKAGES for file in folder.glob("*.py"))


def test_public_names_can_be_imported() -> None:
    for name in ocr_trt.__all__:
        assert getattr(ocr_trt, name) is not None
    assert sorted(ocr_trt.__all__) == ocr_trt.__all__


def test_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ocr_trt.nothing


def test_every_package_is_in_the_wheel() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    (block,) = re.findall(r"^\[tool\.setuptools\]\n.*?^packages = \[\n(.*?)^\]", text, re.M | re.S)
    listed = set(re.findall(r'"(ocr_trt[\w.]*)"', block))
    packages = {".".join(("ocr_trt", *folder.relative_to(ROOT).parts)) for folder in PACKAGES}
    assert listed == packages


def test_minimum_versions_are_the_lower_bounds() -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    texts = [
        *project["dependencies"],
        *(t for name in extras if name not in ("browser", "gpu", "lint") for t in extras[name]),
    ]
    bounds = dict[str, str]()
    for requirement in map(Requirement, texts):
        lower = [s.version for s in requirement.specifier if s.operator in (">=", "==")]
        assert len(lower) == 1, f"{requirement} has no lower bound"
        name = canonicalize_name(requirement.name)
        assert bounds.setdefault(name, lower[0]) == lower[0], f"two lower bounds of {name}"
    lines = (ROOT / "tests" / "minimum-versions.txt").read_text().splitlines()
    exact = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert exact.keys() == bounds.keys()
    for name, bound in bounds.items():  # 1.26 is the bound whose oldest release is 1.26.0
        version = Version(exact[name])
        stem = bound.removesuffix(".*")
        assert version == Version(stem) or version in SpecifierSet(f"=={stem}.*"), name


def test_documents_have_no_conflict_markers() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/*/*.md")]
    marker = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    assert [path.name for path in documents if marker.search(path.read_text("utf-8"))] == []


def test_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == ocr_trt.__version__


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = [n for n in node.body if not isinstance(n, ast.Expr) or n is not node.body[0]]
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
            assert lines <= 60, f"{node.name} has {lines} lines"


def test_command_line_starts_without_heavy_imports() -> None:
    code = (
        "import sys, ocr_trt.cli\n"
        "heavy = {'numpy', 'cv2', 'onnx', 'onnxruntime', 'openvino', 'tensorflow', 'matplotlib',"
        " 'pydantic', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
