"""Holds connections open and says when all are: `rest` after one answer each, `slow` in mid-answer."""

import socket
import sys
import time

port, count, manner = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
path = {"rest": "/1k", "slow": "/slow"}[manner]
request = f"GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()


def answer(connection, whole):
    """Reads an answer, or only its beginning."""
    got = b""
    while b"\r\n\r\n" not in got or (whole and len(got.split(b"\r\n\r\n", 1)[1]) < 1024):
        piece = connection.recv(65536)
        if not piece:
            sys.exit("closed too early")
        got += piece
    if not got.startswith(b"HTTP/1.1 200"):
        sys.exit(got[:60].decode())


held = []
for _ in range(count):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(request)
    held.append(connection)
    if manner == "rest":
        answer(connection, True)
if manner == "slow":
    for connection in held:
        answer(connection, False)
# What a proxy does with connections that rest, it does within this time.
time.sleep(9 if manner == "rest" else 1)
print("held", flush=True)
time.sleep(600)
