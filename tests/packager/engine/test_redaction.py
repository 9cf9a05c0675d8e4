from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fnpack.engine.redaction import Redactor

PIP_CONF = b"""[global]
index-url = https://robot:s%2Fcret@pypi.example.test/simple
timeout = 60
"""


@pytest.mark.parametrize(
    "said",
    [
        "Looking in indexes: https://robot:s%2Fcret@pypi.example.test/simple",
        "401 for user robot with password s/cret",
        "password s%2Fcret",
        "header robot:s%2Fcret",
        PIP_CONF.decode(),
    ],
)
def test_no_form_of_an_index_password_is_shown(said: str) -> None:
    shown = Redactor([PIP_CONF])(said)
    assert "s%2Fcret" not in shown
    assert "s/cret" not in shown
    assert "***" in shown


def test_password_with_an_at_sign_is_masked_whole() -> None:
    shown = Redactor([b"index-url = https://robot:open@sesame@pypi.example.test/simple"])("sent open@sesame")
    assert shown == "sent ***"


def test_words_that_merely_occur_in_a_secret_file_stay() -> None:
    assert Redactor([PIP_CONF])("installed in 60 seconds") == "installed in 60 seconds"


def test_nothing_is_masked_without_secrets() -> None:
    assert Redactor([])("index-url = x") == "index-url = x"
    assert Redactor([b"", b"\n"])("text") == "text"


@given(st.lists(st.text(min_size=1, max_size=30), max_size=4), st.text(), st.text())
def test_a_secret_inside_any_text_is_gone(others: list[str], before: str, after: str) -> None:
    secret = "§token§"
    shown = Redactor([secret.encode(), *(other.encode("utf-8", "replace") for other in others)])(
        before.replace("§", "") + secret + after.replace("§", "")
    )
    assert secret not in shown
