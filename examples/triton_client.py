"""Read text with the pipeline that ``ocr-trt export triton`` wrote, from a Triton server.

pip install 'tritonclient[grpc]'
python triton_client.py photo.jpg [localhost:8001] [ocr]
"""

import sys
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput


def read(client, content, pipeline="ocr", page=1):
    """Return (text, quad (4, 2), box score, text score) of each line of an image."""
    image = InferInput("image", [1], "BYTES")
    image.set_data_from_numpy(np.array([content], np.object_))
    number = InferInput("page", [1], "INT32")  # optional: of a PDF or TIFF file, from 1
    number.set_data_from_numpy(np.array([page], np.int32))
    result = client.infer(pipeline, [image, number])
    texts = [text.decode() for text in result.as_numpy("texts")]
    names = ("quads", "box_scores", "text_scores")
    return list(zip(texts, *(result.as_numpy(name) for name in names), strict=True))


if __name__ == "__main__":
    path, server, pipeline = (*sys.argv[1:], *("localhost:8001", "ocr")[len(sys.argv) - 2 :])
    with InferenceServerClient(server) as client:
        for text, quad, _, score in read(client, Path(path).read_bytes(), pipeline):
            print(f"{score:.2f}  {quad[0].round().astype(int).tolist()}  {text}")
