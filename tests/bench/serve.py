"""What the API cannot be: `sink PORT` takes any body; `slow PORT NOTE` is a token endpoint that takes 5 s.

The slow one writes `asked` into the file NOTE as a refresh comes, and `answered` before it answers.
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def take(self):
        """Reads the body, whose length is told or which comes in chunks."""
        left = self.headers.get("content-length")
        if left is not None:
            return self.skip(int(left))
        while size := int(self.rfile.readline(), 16):
            self.skip(size + 2)
        return self.rfile.readline()

    def skip(self, left):
        while left:
            left -= len(self.rfile.read(min(left, 1 << 20)))

    def do_POST(self):
        self.take()
        self.answer(b"taken")

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Slow(Sink):
    def do_POST(self):
        self.take()
        note("asked")
        time.sleep(5)
        note("answered")
        self.answer(json.dumps({"access_token": "another", "token_type": "Bearer", "expires_in": 3600}).encode())


def note(word):
    with open(sys.argv[3], "w", encoding="ascii") as file:
        file.write(word)


handler = {"sink": Sink, "slow": Slow}[sys.argv[1]]
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), handler).serve_forever()
