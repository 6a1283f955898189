"""The files in deploy/ name options, folders and ports that exist. Docker itself is not run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from ocr_trt.serve.settings import Times
from tests.cli.in_process import succeeds

DEPLOY = Path(__file__).parents[2] / "deploy"


def test_dockerfile_uses_options_that_exist() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    known = succeeds("serve", "--help")
    for kind in ("ENTRYPOINT", "CMD"):
        words = json.loads(re.findall(rf"^{kind} (\[.*\])$", text, re.M)[-1])
        options = [word for word in words if word.startswith("--")]
        assert options and all(option in known for option in options)
    assert re.search(r"^USER (?!root)\w+$", text, re.M) and "HEALTHCHECK" in text
    extras = re.findall(r"'\.\[(.*?)\]'", text)
    project = (DEPLOY.parent / "pyproject.toml").read_text()
    assert all(f"\n{extra} = [" in project for extra in extras[0].split(","))


def test_compose_file_is_consistent() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    assert (DEPLOY / services["ocr"]["build"]["context"] / "deploy" / "Dockerfile").is_file()
    for service in services.values():
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:")
        for volume in service["volumes"]:
            source = volume.rsplit(":/", 1)[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists()
            elif "$" not in source:
                assert source in compose["volumes"]
    seconds = int(services["ocr"]["stop_grace_period"].removesuffix("s"))
    assert seconds > Times().drain, "Docker must not kill the service while it drains"
    prometheus = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text())
    (job,) = prometheus["scrape_configs"]
    assert job["static_configs"][0]["targets"] == ["ocr:8000"]
