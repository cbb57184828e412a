"""Stands in for llama.cpp's wheel: the same two classes, and a server that answers with the last message reversed.

A file that holds BROKEN cannot be loaded, one that holds ABORT or ILLEGAL ends the process by a signal, one that
holds LONG or CHATTER has something else written in front of the address, one that holds HANG is loaded for ever, and
a message `die` kills the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

llama_pooling_type = SimpleNamespace(LLAMA_POOLING_TYPE_MEAN=1)


class CommonParams(SimpleNamespace):
    """A bag of settings."""

    def __init__(self) -> None:
        bags = {name: SimpleNamespace() for name in ("model", "cpuparams", "cpuparams_batch")}
        super().__init__(**bags, n_ubatch=512)


class Server:
    """Listens on loopback from the moment that it is made."""

    def __init__(self, params: Any) -> None:
        content = Path(params.model.path).read_bytes()
        if b"ABORT" in content:
            os.abort()
        if b"ILLEGAL" in content:
            os.kill(os.getpid(), signal.SIGILL)
        if b"LONG" in content:
            os.write(1, b"hello " * 1000)
        if b"CHATTER" in content:
            os.write(1, b"hello\n")
        if b"HANG" in content:
            signal.pause()
        if b"BROKEN" in content:
            said = "error loading model: tensor 'x' is not within the file bounds"
            lines = ("warmed up for nothing", said, "failed to load model")
            sys.stderr.writelines(f"0.00.1 E llama_model_load: {line}\n" for line in lines)
            raise RuntimeError("Failed to init server, please check the input params.")
        httpd = ThreadingHTTPServer(("127.0.0.1", 0), handler(params))
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        self.listening_address = f"http://127.0.0.1:{httpd.server_port}"


def handler(params: Any) -> type[BaseHTTPRequestHandler]:
    """Answers as llama.cpp does, as far as anybody looks."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {params.api_keys[0]}":
                return self.say(401, {"error": {"code": 401, "message": "Invalid API Key"}})
            turns = body.get("messages") or [{"content": "".join(body.get("input", ()))}]
            text = body.get("prompt") or turns[-1]["content"]
            if text == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            most = params.n_ctx // params.n_parallel
            if len(text) > most:
                said = f"request ({len(text)} tokens) exceeds the available context size ({most} tokens)"
                error = {"code": 400, "message": said, "type": "exceed_context_size_error", "n_ctx": most}
                return self.say(400, {"error": error})
            usage = {"prompt_tokens": len(text), "completion_tokens": 1}
            choice = {"finish_reason": "stop", "text": text[::-1], "message": {"content": text[::-1]}}
            answer = {"model": next(iter(params.model_alias)), "choices": [choice], "usage": usage}
            if self.path.endswith("/embeddings"):
                answer = {"data": [{"embedding": [1.0, 2.0]}], "usage": usage}
            return self.say(200, answer)

        def say(self, status: int, document: object) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    return Handler
