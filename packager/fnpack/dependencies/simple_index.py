"""Asks a package index for one file by its name (PEP 503 and 691): where it is now, if not where the lock says."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from http.client import HTTPException
from urllib.parse import unquote, urljoin, urlsplit

from fnpack.dependencies.index import PackageIndex, without_login
from fnpack.dependencies.transport import AnswerError, Transport

_ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
_MOST_BYTES = 64 << 20


def find_file(transport: Transport, index: PackageIndex, name: str, filename: str) -> str | None:
    """The address of the file `filename` of the project `name`; None where no index that is set has it."""
    for url in (index.index_url, *index.extra_index_urls):
        if url is None:
            continue
        page = f"{url.rstrip('/')}/{name}/"
        try:
            with transport.get(page, accept=_ACCEPT) as response:
                body = response.read(_MOST_BYTES)
                is_json = "json" in (response.headers["Content-Type"] or "")
        except (AnswerError, OSError, HTTPException):
            continue
        for link in _json_links(body) if is_json else _html_links(body):
            if unquote(urlsplit(link).path).rpartition("/")[2] == filename:
                return urljoin(without_login(page), link).partition("#")[0]
    return None


def _json_links(body: bytes) -> list[str]:
    try:
        return [str(file["url"]) for file in json.loads(body)["files"]]
    except (ValueError, KeyError, TypeError):
        return []


def _html_links(body: bytes) -> list[str]:
    parser = _Links()
    parser.feed(body.decode("utf-8", "replace"))
    return parser.found


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == "a" and name == "href" and value]
