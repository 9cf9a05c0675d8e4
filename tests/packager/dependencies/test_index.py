from __future__ import annotations

from pathlib import Path

import pytest

from fnpack.dependencies.index import PackageIndex

PRIVATE = "https://user:s3cret@packages.example/simple"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A user with nothing set, whose system-wide files do not count either."""
    return {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), "PIP_CONFIG_FILE": "/dev/null"}


def with_pip_conf(environ: dict[str, str], folder: Path, text: str) -> dict[str, str]:
    path = folder / ".config" / "pip" / "pip.conf"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return {key: value for key, value in environ.items() if key != "PIP_CONFIG_FILE"}


def test_without_settings_there_is_nothing_to_hand_over(environ: dict[str, str]) -> None:
    index = PackageIndex.discover(environ)
    assert (index.pip_conf(), index.ca_bundle(), index.netrc()) == (None, None, None)
    assert index.uv_environment() == {"UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_pip_variables_reach_uv_and_the_build(environ: dict[str, str], tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"PEM")
    environ |= {
        "PIP_INDEX_URL": PRIVATE,
        "PIP_EXTRA_INDEX_URL": "https://one.example/simple https://two.example/simple",
        "PIP_TRUSTED_HOST": "one.example",
        "PIP_CERT": str(ca),
        "PIP_DEFAULT_TIMEOUT": "60",
        "HTTPS_PROXY": "http://proxy.example:3128",
    }
    index = PackageIndex.discover(environ)
    assert index.pip_conf() == (
        b"[global]\n"
        b"index-url = https://user:s3cret@packages.example/simple\n"
        b"extra-index-url = https://one.example/simple\n    https://two.example/simple\n"
        b"trusted-host = one.example\n"
        b"proxy = http://proxy.example:3128\n"
        b"timeout = 60\n"
    )
    assert index.ca_bundle() == b"PEM"
    given = index.uv_environment()
    assert given["UV_DEFAULT_INDEX"] == PRIVATE
    assert given["UV_INDEX"] == "https://one.example/simple https://two.example/simple"
    assert given["UV_INSECURE_HOST"] == "one.example"
    assert given["SSL_CERT_FILE"] == str(ca)


def test_environment_wins_over_pip_conf(environ: dict[str, str], tmp_path: Path) -> None:
    environ = with_pip_conf(
        environ,
        tmp_path,
        "[global]\nindex-url = https://file.example/simple\nextra_index_url = https://extra.example/s\n",
    )
    index = PackageIndex.discover({**environ, "PIP_INDEX_URL": "https://env.example/simple"})
    assert index.index_url == "https://env.example/simple"
    assert "https://extra.example/s" in index.extra_index_urls


def test_paths_of_this_machine_stay_out_of_the_build(environ: dict[str, str], tmp_path: Path) -> None:
    environ |= {"PIP_FIND_LINKS": f"{tmp_path} /nowhere", "PIP_EXTRA_INDEX_URL": f"file://{tmp_path}"}
    index = PackageIndex.discover(environ)
    assert index.pip_conf() is None
    assert index.find_links == (tmp_path,)


def test_uv_settings_win_and_still_reach_pip_in_the_build(environ: dict[str, str]) -> None:
    environ |= {"UV_DEFAULT_INDEX": f"corp={PRIVATE}", "PIP_INDEX_URL": "https://pip.example/simple"}
    index = PackageIndex.discover(environ)
    assert index.index_url == PRIVATE
    assert "UV_DEFAULT_INDEX" not in index.uv_environment()


def test_uv_toml_counts(environ: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / ".config" / "uv" / "uv.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        '[[index]]\nurl = "https://a.example/s"\ndefault = true\n[[index]]\nurl = "https://b.example/s"\n'
    )
    index = PackageIndex.discover(environ)
    assert (index.index_url, index.extra_index_urls) == ("https://a.example/s", ("https://b.example/s",))


def test_proxy_is_left_out_where_no_proxy_names_the_index(environ: dict[str, str]) -> None:
    environ |= {"https_proxy": "http://proxy.example:1", "PIP_INDEX_URL": "https://pypi.corp.example/simple"}
    assert PackageIndex.discover({**environ, "NO_PROXY": ".corp.example"}).proxy is None
    assert PackageIndex.discover({**environ, "NO_PROXY": "other.example"}).proxy == "http://proxy.example:1"


def test_netrc_gives_the_index_hosts_alone(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(
        "machine packages.example login me password pw\nmachine bank.example login me password secret\n"
    )
    (tmp_path / ".netrc").chmod(0o600)
    index = PackageIndex.discover({**environ, "PIP_INDEX_URL": "https://packages.example/simple"})
    assert index.netrc() == b"machine packages.example\n  login me\n  password pw\n"


def test_repr_shows_no_credentials(environ: dict[str, str]) -> None:
    assert "s3cret" not in repr(PackageIndex.discover({**environ, "PIP_INDEX_URL": PRIVATE}))
