"""What holds logins can be printed, formatted and put into an error without showing them."""

from __future__ import annotations

import pytest

from fnpack.dependencies.index import PackageIndex
from fnpack.registry.addresses import Address
from fnpack.registry.authorization import Token
from fnpack.registry.credentials import Credential, Found
from fnpack.registry.proxies import Proxy
from fnpack.registry.settings import Proxies, RegistrySettings
from fnpack.registry.transport import Request
from fnpack.spec import Environment, RegistryLogin

SECRET = "s3cret"
LOGIN = RegistryLogin("registry.test", "me", SECRET)
SIGNED = Address("https", "storage.test", 443, f"/blob?sig={SECRET}")


@pytest.mark.parametrize(
    "record",
    [
        LOGIN,
        Environment(base_image_registry=LOGIN),
        Credential("a file", "me", SECRET, SECRET),
        Found(Credential("a file", "me", SECRET), ("a file",)),
        Token(frozenset(), 1.0, SECRET),
        Proxies(f"http://me:{SECRET}@proxy.test", f"http://me:{SECRET}@proxy.test"),
        Proxy("proxy.test", 8080, {"Proxy-Authorization": SECRET}),
        RegistrySettings(
            logins=(LOGIN,),
            variable_login=LOGIN,
            aad_token=SECRET,
            auth_text=SECRET,
            proxies=Proxies(https=f"http://me:{SECRET}@proxy.test"),
        ),
        SIGNED,
        Request("PUT", SIGNED, {"Authorization": SECRET}, SECRET.encode()),
        PackageIndex(f"https://me:{SECRET}@index.test", (f"https://me:{SECRET}@other.test",), proxy=SECRET),
    ],
    ids=lambda record: type(record).__name__,
)
def test_no_secret_is_shown(record: object) -> None:
    shown = (repr(record), str(record), f"{record}", f"{record!r:.999}", repr([record, {"one": record}]))
    assert not [text for text in shown if SECRET in text]
    assert type(record).__name__ in repr(record)


def test_what_is_no_secret_is_shown() -> None:
    assert repr(LOGIN) == "RegistryLogin(address='registry.test', username='me')"
    settings = repr(RegistrySettings(target="registry.test", logins=(LOGIN,)))
    assert "target='registry.test'" in settings
    assert "username='me'" in settings
