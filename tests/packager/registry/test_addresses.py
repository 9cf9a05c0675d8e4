from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.registry.addresses import Address, is_loopback
from fnpack.registry.errors import RegistryError


def test_a_location_with_http_behind_tls_stays_encrypted() -> None:
    here = Address.parse("https://registry.test/v2/a/blobs/uploads/")
    assert here.join("http://registry.test/v2/x?_state=1").scheme == "https"
    assert here.join("/v2/x").netloc == "registry.test"
    assert here.join("https://storage.test/x").netloc == "storage.test"
    assert "secret" not in repr(here.join("https://storage.test/x?sig=secret"))


@pytest.mark.parametrize(
    "location", ["http://[", "ftp://x/", "http://a.test:port/", "http://a.test/\u00fc", "http://a.test/a b"]
)
def test_an_address_that_cannot_be_is_refused_and_not_repeated(location: str) -> None:
    with pytest.raises(RegistryError, match="an address") as caught:
        Address.parse("https://registry.test/").join(location)
    assert location not in str(caught.value)


@given(st.text(max_size=60))
def test_any_location_is_an_address_or_refused(location: str) -> None:
    try:
        found = Address.parse("https://registry.test/v2/").join(location)
    except RegistryError:
        return
    assert found.scheme in ("http", "https")
    assert found.target.startswith("/")
    assert found.target.isascii()


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("x.localhost", True),
     ("127.evil.test.x", False), ("127.0.0.1.evil.test", False), ("localhost.evil.test", False), ("10.0.0.1", False)],
)  # fmt: skip
def test_this_machine_is_told_from_names_like_it(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
