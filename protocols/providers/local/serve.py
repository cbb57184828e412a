"""The process of one local model: llama.cpp behind the OpenAI wire format on loopback. It imports no other module of
PromptFlow.

It reads one line of JSON from standard input that says what to serve, and ends when standard input ends, so that it
does not outlive a killed parent. Once the model is loaded, it writes one line of JSON with the address to standard
output; llama.cpp writes its errors to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

ERRORS = 1
"""llama.cpp's verbosity for only errors."""
CACHE = 256
"""Limit in megabytes of llama.cpp's cache of prompts that left their slot; its default is 8,192."""


def params(told: dict[str, Any]) -> Any:
    """llama.cpp's parameters for the parent's request."""
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
    os._exit(0)  # do not wait for threads that may be inside a long request


if __name__ == "__main__":
    main()
