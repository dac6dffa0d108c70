"""Calls of gRPC by grpcio, through whatever stands between, to a server of grpcio.

Prints `listening PORT`, reads where to call from its input, makes every kind of call, and prints
`ok NAME` for each. It ends with an error at the first that goes wrong. Messages are plain bytes,
so that no compiler of protocol buffers is needed.
"""

import sys
import threading
import time
from concurrent import futures

import grpc

LARGE = 5 * 1024 * 1024
OPTIONS = [
    ("grpc.max_receive_message_length", 2 * LARGE),
    ("grpc.max_send_message_length", 2 * LARGE),
]
cancelled = threading.Event()
waiting = threading.Event()
remaining = []
credentials = []


def unary(request, context):
    return request


def collect(requests, context):
    return b",".join(requests)


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def talk(requests, context):
    for request in requests:
        yield request + b"!"


def wait(request, context):
    remaining.append(context.time_remaining())
    context.add_callback(cancelled.set)
    waiting.set()
    cancelled.wait(20)
    return b"too late"


def listen(requests, context):
    context.add_callback(cancelled.set)
    yield b"begun"
    waiting.set()
    cancelled.wait(20)


def refuse(request, context):
    context.set_trailing_metadata([("x-why", "because"), ("x-raw-bin", b"\x00\xff")])
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not this: \u00fc")


def fail_late(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no more")


class Service(grpc.GenericRpcHandler):
    """Every kind of method; each call must carry the one credential, and not the caller's."""

    METHODS = {
        "/plain.Chat/Unary": grpc.unary_unary_rpc_method_handler(unary),
        "/plain.Chat/Collect": grpc.stream_unary_rpc_method_handler(collect),
        "/plain.Chat/Count": grpc.unary_stream_rpc_method_handler(count),
        "/plain.Chat/Talk": grpc.stream_stream_rpc_method_handler(talk),
        "/plain.Chat/Wait": grpc.unary_unary_rpc_method_handler(wait),
        "/plain.Chat/Listen": grpc.stream_stream_rpc_method_handler(listen),
        "/plain.Chat/Refuse": grpc.unary_unary_rpc_method_handler(refuse),
        "/plain.Chat/FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    }

    def service(self, details):
        metadata = details.invocation_metadata
        credentials.append([value for name, value in metadata if name == "authorization"])
        return self.METHODS.get(details.method)


def fails(code, call):
    """The error of `call`, which must be of this code."""
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code, (error.code(), error.details())
        return error
    raise AssertionError(f"no {code}")


def call_unary(channel):
    method = channel.unary_unary("/plain.Chat/Unary")
    mine = [("authorization", "Bearer mine"), ("x-other", "kept")]
    for message in [b"", b"hello", bytes(range(256))]:
        assert method(message, timeout=20, metadata=mine) == message


def call_client_stream(channel):
    method = channel.stream_unary("/plain.Chat/Collect")
    assert method(iter([b"a", b"b", b"c"]), timeout=20) == b"a,b,c"
    assert method(iter([]), timeout=20) == b""


def call_server_stream(channel):
    method = channel.unary_stream("/plain.Chat/Count")
    assert list(method(b"500", timeout=20)) == [b"%d" % number for number in range(500)]


def call_both_streams(channel):
    """The next message leaves only after the answer to the one before has come."""
    turn = threading.Semaphore(1)

    def messages():
        for number in range(20):
            assert turn.acquire(timeout=20)
            yield b"%d" % number

    answers = []
    for answer in channel.stream_stream("/plain.Chat/Talk")(messages(), timeout=20):
        answers.append(answer)
        turn.release()
    assert answers == [b"%d!" % number for number in range(20)]


def call_with_deadline(channel):
    cancelled.clear()
    start = time.monotonic()
    method = channel.unary_unary("/plain.Chat/Wait")
    fails(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: method(b"", timeout=0.5))
    assert 0.4 < time.monotonic() - start < 10
    assert 0 < remaining[-1] < 1, f"the server knows the deadline: {remaining[-1]}"
    assert cancelled.wait(10), "the server hears of it"


def call_cancelled(channel):
    for method, kind in [("Wait", channel.unary_unary), ("Listen", channel.stream_stream)]:
        cancelled.clear()
        waiting.clear()
        if method == "Wait":
            call = kind("/plain.Chat/Wait").future(b"")
        else:
            open_end = threading.Event()
            call = kind("/plain.Chat/Listen")(iter(open_end.wait, True))
            assert next(call) == b"begun"
        assert waiting.wait(10)
        call.cancel()
        assert cancelled.wait(10), f"{method}: the server hears of it"
        assert call.code() == grpc.StatusCode.CANCELLED
        if method == "Listen":
            open_end.set()


def call_cancelled_often(channel):
    """Cancelling is no attack: the connection serves the next call."""
    method = channel.unary_stream("/plain.Chat/Count")
    for _ in range(300):
        method(b"1000", timeout=20).cancel()
    call_unary(channel)


def call_large(channel):
    message = bytes(range(256)) * (LARGE // 256)
    assert channel.unary_unary("/plain.Chat/Unary")(message, timeout=60) == message
    answers = channel.stream_stream("/plain.Chat/Talk")(iter([message] * 2), timeout=60)
    assert [len(answer) for answer in answers] == [LARGE + 1] * 2


def call_refused(channel):
    refused = channel.unary_unary("/plain.Chat/Refuse")
    error = fails(grpc.StatusCode.INVALID_ARGUMENT, lambda: refused(b"", timeout=20))
    assert error.details() == "not this: \u00fc"
    trailing = dict(error.trailing_metadata())
    assert trailing["x-why"] == "because" and trailing["x-raw-bin"] == b"\x00\xff"
    missing = channel.unary_unary("/plain.Chat/Nothing")
    fails(grpc.StatusCode.UNIMPLEMENTED, lambda: missing(b"", timeout=20))
    late = channel.unary_stream("/plain.Chat/FailLate")(b"", timeout=20)
    assert [next(late), next(late)] == [b"one", b"two"]
    assert fails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: next(late)).details() == "no more"


def call_compressed(channel):
    method = channel.unary_unary("/plain.Chat/Unary")
    message = b"x" * 100_000
    assert method(message, timeout=20, compression=grpc.Compression.Gzip) == message


def call_at_once(channel):
    method = channel.unary_unary("/plain.Chat/Unary")
    calls = [method.future(b"%d" % number, timeout=20) for number in range(150)]
    assert [call.result() for call in calls] == [b"%d" % number for number in range(150)]


def main():
    server = grpc.server(futures.ThreadPoolExecutor(32), options=OPTIONS)
    server.add_generic_rpc_handlers((Service(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print("listening", port, flush=True)
    address = sys.stdin.readline().strip()
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        for call in [
            call_unary,
            call_client_stream,
            call_server_stream,
            call_both_streams,
            call_with_deadline,
            call_cancelled,
            call_large,
            call_refused,
            call_compressed,
            call_at_once,
            call_cancelled_often,
        ]:
            call(channel)
            print("ok", call.__name__, flush=True)
    for values in credentials:
        assert len(values) == 1 and values[0].startswith("Bearer "), values
        assert values[0] != "Bearer mine"
    server.stop(0).wait()


main()
