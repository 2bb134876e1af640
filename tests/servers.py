"""A local HTTP server that follows the protocol, or misbehaves as requested."""

import contextlib
import re
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Served:
    "One file, and how the server behaves when a client requests it."

    content: bytes
    etag: str | None = '"1"'
    ranges: bool = True  # supports Range
    if_range: bool = True  # supports If-Range
    length: bool = True  # announces Content-Length
    kind: str = "application/octet-stream"
    most: int | None = None  # bytes sent in one answer, whatever was announced
    stall: float = 0  # seconds without a byte after `most`, before the connection is closed
    times: int | None = None  # answers that break off; None: all
    status: list[int] = field(default_factory=list)  # the first answers have these status codes
    headers: dict[str, str] = field(default_factory=dict)  # of the answers in `status`
    more: dict[str, str] = field(default_factory=dict)  # further headers of every answer
    slow: float = 0  # seconds of waiting after every 64 KiB
    asked: list[dict[str, Any]] = field(default_factory=list)  # the headers of each GET

    def rest(self, asked) -> tuple[int, int]:
        "Return status and first byte of an answer."
        match = re.fullmatch(r"bytes=(\d+)-", asked.get("Range", ""))
        if not match or not self.ranges:
            return 200, 0
        if self.if_range and asked.get("If-Range", self.etag) != self.etag:
            return 200, 0
        start = int(match[1])
        return (206, start) if start < len(self.content) else (416, start)


class Handler(BaseHTTPRequestHandler):
    "Answers requests from the `files` of the server: path -> Served."

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # without this, every answer waits 40 ms for the client

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        served = self.server.files.get(self.path)  # type: ignore[attr-defined]
        if served is None:
            return self.send_error(404)
        if body:
            served.asked.append(dict(self.headers))
        if served.status:
            self.send_response(served.status.pop(0))
            for header in served.headers.items():
                self.send_header(*header)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        status, start = served.rest(self.headers)
        content = served.content[start:] if status != 416 else b""
        self.send_response(status)
        self.send_header("Content-Type", served.kind)
        for header in served.more.items():
            self.send_header(*header)
        if served.etag:
            self.send_header("ETag", served.etag)
        if status == 206:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}"
            )
        if status == 416:
            self.send_header("Content-Range", f"bytes */{len(served.content)}")
        if served.length or status == 416:
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if body:
            self.send(served, content)

    def send(self, served, content):
        breaks = served.most is not None and served.times != 0 and served.most < len(content)
        if breaks:
            content = content[: served.most]
            served.times = None if served.times is None else served.times - 1
        for begin in range(0, len(content), 1 << 16):
            self.wfile.write(content[begin : begin + (1 << 16)])
            time.sleep(served.slow)
        if breaks:
            time.sleep(served.stall)
            self.close_connection = True

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(files: dict[str, Served], encryption: ssl.SSLContext | None = None):
    "Run a server of these files, and yield its address: https with an SSL context, otherwise http."

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_):  # a client that was killed
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    server.files = files  # type: ignore[attr-defined]
    if encryption:
        server.socket = encryption.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.02}).start()
    try:
        yield f"http{'s' if encryption else ''}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
