"""Actors, machines and drivers that are killed: no image is lost, none is read twice."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.batch import program
from tests.batch.conftest import write_images

pytestmark = pytest.mark.full

IMAGES, BROKEN, BLOCK = 300, 30, 4


def test_actor_and_driver_are_killed(tmp_path: Path, engines: tuple[object, ...]) -> None:
    images = write_images(tmp_path / "images", IMAGES, broken=BROKEN)
    output = tmp_path / "out"
    command = (images, *engines, "--output", output, "--block", BLOCK, "--json")
    mark = {"OCR_TRT_TEST": str(output)}
    first = program.start(*command, **mark)
    program.wait_for(lambda: program.committed(output) >= 5, first)
    actor = program.wait_for(lambda: program.processes(output, "ray::MapWorker"), first)[0]
    program.kill(actor)
    before = program.committed(output)
    program.wait_for(lambda: program.committed(output) >= before + 10, first)
    program.kill(first.pid)
    program.finished(first)
    code, out, err = program.batch(*command, **mark)
    assert code == 3, err
    summary = json.loads(out)
    assert summary["images"] == summary["rows"] == IMAGES
    assert summary["failed"] == BROKEN
    assert 15 * BLOCK <= summary["read_earlier"] < IMAGES
    program.check_like_run(output, images, engines)
    # A third run finds nothing to do.
    code, out, _ = program.batch(*command, **mark)
    assert code == 3 and json.loads(out)["read_earlier"] == IMAGES
    program.check_like_run(output, images, engines)


def test_machine_of_a_cluster_is_killed(
    tmp_path: Path, engines: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    # Without a token, so that Ray writes none to the home folder.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    images = write_images(tmp_path / "images", IMAGES, broken=BROKEN)
    output = tmp_path / "out"
    # Below it are sockets, whose paths must be short.
    folder = tempfile.mkdtemp(dir="/tmp")
    # Ray's Cluster writes its address into this folder, but does not create it.
    monkeypatch.setenv("RAY_TMPDIR", folder)
    (Path(folder) / "ray").mkdir()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 3, "temp_dir": folder})
    try:
        second = cluster.add_node(num_cpus=1)
        options = ("--ray", cluster.address, "--actors", 2, "--threads", 1, "--json")
        process = program.start(images, *engines, "--output", output, "--block", BLOCK, *options)
        program.wait_for(lambda: program.committed(output) >= 10, process)
        cluster.remove_node(second, allow_graceful=False)
        code, out, err = program.finished(process)
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
    assert code == 3, err
    summary = json.loads(out)
    assert summary["images"] == summary["rows"] == IMAGES
    assert summary["failed"] == BROKEN
    program.check_like_run(output, images, engines)
