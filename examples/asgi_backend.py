"""Read text in an asyncio web server: an ASGI application, as Starlette and FastAPI build on.

pip install uvicorn
DETECTOR=bundles/detector RECOGNIZER=bundles/recognizer uvicorn asgi_backend:app
curl --data-binary @photo.jpg http://127.0.0.1:8000
"""

import json
import os

import ocr_trt

reader = ocr_trt.open_reader(os.environ["DETECTOR"], os.environ["RECOGNIZER"], mode="throughput")


async def app(scope, receive, send):
    if scope["type"] != "http":  # servers accept that an application has no "lifespan"
        raise NotImplementedError(scope["type"])
    data, message = b"", {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        data += message.get("body", b"")
    try:
        status, answer = 200, (await reader.aread(data)).to_json()
    except ocr_trt.UserError as error:  # not an image, damaged, or too large
        status, answer = 422, json.dumps({"error": str(error)})
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.encode()})
