"""The page of a run: one file without links to other resources, as a report on disk or for the dashboard.

Its data is escaped as HTML in an element that is not displayed, and the script writes it into the page as text. The
Content-Security-Policy allows this one script and this one style sheet, by their hashes (CSP Level 3, section 8.4:
https://www.w3.org/TR/CSP3/#external-hash), and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from importlib import resources
from typing import Any

import orjson

from protocols.prompt import fill

SCRIPTS = (
    "dom.js",
    "scales.js",
    "charts.js",
    "tree.js",
    "ring.js",
    "tables.js",
    "detail.js",
    "answers.js",
    "labels.js",
    "live.js",
    "main.js",
)
"""In order of dependence."""


def report_page(document: Mapping[str, Any]) -> str:
    """A page that holds all of its data and makes no requests."""
    return _page(html.escape(orjson.dumps(document).decode("utf-8")), "'none'")


def live_page() -> str:
    """A page that gets its data from its own server."""
    return _page("", "'self'")


def still_page(title: str, body: str) -> str:
    """A page without scripts. `body`: HTML, in which all text from elsewhere is escaped."""
    style = _asset("page.css") + _asset("beside.css")
    policy = f"default-src 'none'; style-src {_hash(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    name = html.escape(title)
    return _framed(name, policy, style, fill(_asset("still.html"), {"title": name, "body": body}))


def live_policy() -> str:
    """The Content-Security-Policy of `live_page`, with the directive that only a header can set."""
    policy = _policy(_asset("page.css"), _script(), "'self'")
    return f"{policy}; frame-ancestors 'none'"


def _page(data: str, connect: str) -> str:
    style, script = _asset("page.css"), _script()
    body = fill(_asset("page.html"), {"script": script, "data": data})
    return _framed("PromptFlow", _policy(style, script, connect), style, body)


def _framed(title: str, policy: str, style: str, body: str) -> str:
    parts = {"title": title, "policy": policy, "style": style, "body": body.rstrip("\n")}
    return fill(_asset("frame.html"), parts)


def _policy(style: str, script: str, connect: str) -> str:
    own = f"style-src {_hash(style)}; script-src {_hash(script)}"
    return f"default-src 'none'; {own}; img-src data:; connect-src {connect}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"


def _script() -> str:
    return "".join(map(_asset, SCRIPTS))


def _asset(name: str) -> str:
    return resources.files("agents.views.page").joinpath("assets", name).read_text(encoding="utf-8")
