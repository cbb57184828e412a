"""The process of one local model: llama.cpp behind the OpenAI wire format on loopback. It imports nothing of ours.

Standard input brings one line of JSON that says what to serve, and its end ends the process, so that none is left
when its parent is killed. Standard output gets one line of JSON with the address, once the model is loaded; standard
error has what llama.cpp says of errors.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

ERRORS = 1
"""llama.cpp's verbosity for errors alone."""
CACHE = 256
"""Megabytes that llama.cpp may keep of prompts that left their slot; it takes 8,192 where nobody limits it."""


def params(told: dict[str, Any]) -> Any:
    """llama.cpp's parameters for what a parent asks for."""
    import xllamacpp

    made = xllamacpp.CommonParams()
    made.model.path, made.model_alias = told["path"], {told["name"]}
    made.n_parallel, made.n_ctx = told["slots"], told["slots"] * told["context"]
    made.cpuparams.n_threads = made.cpuparams_batch.n_threads = told["threads"]
    made.n_threads_http = 2 * told["slots"] + 2
    made.cache_ram_mib = CACHE
    made.hostnames, made.port, made.api_keys = ["127.0.0.1"], 0, [told["key"]]
    made.verbosity, made.ui, made.endpoint_slots, made.fit_params = ERRORS, False, False, False
    if told["embeds"]:
        made.embedding, made.pooling_type = True, xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        made.n_batch = made.n_ubatch = max(made.n_ubatch, told["context"])  # a text is embedded in one piece
    return made


def main() -> None:
    """Serve until standard input ends."""
    import xllamacpp

    server = xllamacpp.Server(params(json.loads(sys.stdin.buffer.readline())))
    sys.stdout.write(json.dumps({"address": server.listening_address}) + "\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    os._exit(0)  # nothing is worth the wait for threads that may be within a long request


if __name__ == "__main__":
    main()
