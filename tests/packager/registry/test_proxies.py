from __future__ import annotations

import pytest

from fnpack.registry.errors import ProxyFailed
from fnpack.registry.proxies import is_excepted, proxy_for
from fnpack.registry.settings import Proxies, RegistrySettings


@pytest.mark.parametrize(
    ("host", "port", "exceptions", "excepted"),
    [
        ("registry.corp.test", 443, "corp.test", True),
        ("registry.corp.test", 443, ".corp.test", True),
        ("registry.corp.test", 443, "*.corp.test", True),
        ("registry.notcorp.test", 443, "corp.test", False),
        ("Registry.Corp.Test", 443, "other, corp.test", True),
        ("registry.test", 5000, "registry.test:5000", True),
        ("registry.test", 443, "registry.test:5000", False),
        ("10.1.2.3", 443, "10.0.0.0/8", True),
        ("11.1.2.3", 443, "10.0.0.0/8", False),
        ("fd00::1", 443, "[fd00::1]", True),
        ("registry.test", 443, "*", True),
        ("registry.test", 443, "", False),
    ],
)
def test_no_proxy_names_hosts_domains_ports_and_networks(
    host: str, port: int, exceptions: str, excepted: bool
) -> None:
    settings = RegistrySettings.discover({"HOME": "/nowhere", "NO_PROXY": exceptions})
    assert is_excepted(host, port, settings.proxies.exceptions) is excepted


def test_the_proxy_is_chosen_by_the_scheme_and_this_machine_is_always_direct() -> None:
    env = {
        "HOME": "/x",
        "https_proxy": "http://p.test:3128",
        "HTTP_PROXY": "q.test",
        "ALL_PROXY": "http://r.test",
    }
    proxies = RegistrySettings.discover(env).proxies
    secure, plain = proxy_for("https", "a.test", 443, proxies), proxy_for("http", "a.test", 80, proxies)
    assert secure is not None
    assert plain is not None
    assert (secure.host, secure.port, plain.host, plain.port) == ("p.test", 3128, "q.test", 80)
    for host in ("127.0.0.1", "localhost", "::1", "x.localhost"):
        assert proxy_for("https", host, 443, proxies) is None


def test_a_proxys_login_is_sent_and_never_shown() -> None:
    proxies = Proxies(https="http://me:p%40ss@p.test:1")
    found = proxy_for("https", "a.test", 443, proxies)
    assert found is not None
    assert found.headers["Proxy-Authorization"] == "Basic bWU6cEBzcw=="
    assert "p%40ss" not in repr(proxies)
    assert "bWU6" not in repr(found)


@pytest.mark.parametrize("address", ["socks5://p.test:1080", "https://p.test", "http://p.test:port"])
def test_a_proxy_of_another_kind_is_refused_by_its_variables_name(address: str) -> None:
    with pytest.raises(ProxyFailed, match="HTTPS_PROXY") as caught:
        proxy_for("https", "a.test", 443, Proxies(https=address))
    assert caught.value.code == "FN473"
