"""Read text over HTTP with nothing but the standard library.

python web_backend.py bundles/detector bundles/recognizer
curl --data-binary @photo.jpg http://127.0.0.1:8000
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import ocr_trt


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        try:  # each request has a thread of its own, and all of them share the reader
            data = self.rfile.read(min(int(self.headers["Content-Length"] or 0), 32 << 20))
            status, answer = 200, self.server.reader.read(data).to_json()
        except ocr_trt.UserError as error:  # not an image, damaged, or too large
            status, answer = 422, json.dumps({"error": str(error)})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(answer.encode())


if __name__ == "__main__":
    detector, recognizer, port = (*sys.argv[1:], "8000")[:3]
    with ocr_trt.open_reader(detector, recognizer, mode="throughput") as reader:
        server = ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
        server.reader = reader
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
