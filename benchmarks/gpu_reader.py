"""The pipeline with its kernels on a GPU against the pipeline on the CPU, on labeled images.

    python benchmarks/gpu_reader.py DETECTOR RECOGNIZER DATA

Both run the bundles' quantized graphs in onnxruntime on the host, so only the kernels can cause a
difference. Bundles may be for any target. Prints the line of docs/gpu.md.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx

from ocr_trt.engines.bundle import load_bundle
from ocr_trt.engines.nvidia.device import CudaDevice
from ocr_trt.ocr.dataset import load_dataset
from ocr_trt.ocr.image import load_image
from ocr_trt.ocr.metrics.detection import detection_score
from ocr_trt.ocr.metrics.end_to_end import match_lines, match_places


def renamed(path: Path) -> onnx.ModelProto:
    """Read a graph, its input called x and its output y."""
    model = onnx.load(path)
    (image,), (output,) = model.graph.input, model.graph.output
    names = {image.name: "x", output.name: "y"}
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    image.name, output.name = "x", "y"
    return model


def main() -> None:
    """Read all images of the folder with both pipelines."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("detector", type=Path, help="bundle of a detector")
    parser.add_argument("recognizer", type=Path, help="bundle of a recognizer")
    parser.add_argument("data", type=Path, help="labeled folder")
    options = parser.parse_args()
    # The readers around plans on the host are those of the GPU's tests, which are no package that
    # is installed.
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.gpu.test_reader import readers

    bundles = [load_bundle(path) for path in (options.detector, options.recognizer)]
    paths = {
        (bundle.spec.role, entry.size): bundle.path(entry.model)
        for bundle in bundles
        for entry in bundle.manifest.engines
    }
    same = total = 0
    places: tuple[list, list] = ([], [])
    lines: tuple[list, list] = ([], [])
    with CudaDevice().current():
        both = readers(
            tuple(bundle.spec for bundle in bundles),
            lambda role, size: renamed(paths[role, size]),
        )
        for scene in load_dataset(options.data).scenes:
            image = load_image(scene.path)
            found = [reader.read(image) for reader in both]
            texts = [Counter(line.text for line in own) for own in found]
            same, total = same + (texts[0] & texts[1]).total(), total + texts[1].total()
            for own, boxes, read in zip(found, places, lines, strict=True):
                quads = np.array([line.quad for line in own], np.float32).reshape(-1, 4, 2)
                matching = match_places(quads, scene.quads, scene.texts, scene.ignore)
                boxes.append(matching.counts)
                words = [line.text for line in own]
                read.append(match_lines(matching, words, scene.texts).counts)
    hmeans = [[100 * detection_score(each).hmean for each in kind] for kind in (places, lines)]
    print(
        f"{same} of {total} lines equal; hmean {hmeans[0][0]:.2f} / {hmeans[0][1]:.2f}, end-to-end "
        f"{hmeans[1][0]:.2f} / {hmeans[1][1]:.2f} (GPU / CPU)"
    )


if __name__ == "__main__":
    main()
