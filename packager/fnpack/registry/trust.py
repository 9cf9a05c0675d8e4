"""Whom to trust: TLS contexts with the CAs and client certificates of one host."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from fnpack.registry.errors import TlsFailed
from fnpack.registry.settings import RegistrySettings


def context_for(host: str, settings: RegistrySettings, *, verified: bool = True) -> ssl.SSLContext:
    """A context for `host[:port]`: the system's CAs, those that variables name, and those of docker's certs.d."""
    if not verified:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context
    context = ssl.create_default_context()
    path = Path()
    try:
        for path in (*_fallback(settings), *settings.ca_files, *_certificates(host, settings, ".crt")):
            is_folder = path.is_dir()
            context.load_verify_locations(None if is_folder else path, path if is_folder else None)
        for path in _certificates(host, settings, ".cert"):
            context.load_cert_chain(path, path.with_suffix(".key"))
    except OSError as exc:  # SSLError is one
        raise TlsFailed(
            f"the certificate file `{path}` cannot be used: {exc.strerror or exc}",
            registry=host,
            hint="It must be a PEM file that you may read; SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or a "
            "certs.d folder names it.",
        ) from exc
    return context


def failure(host: str, error: ssl.SSLError) -> TlsFailed:
    """What to tell when TLS to `host` failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        if "expired" in reason or "not yet valid" in reason:
            hint = "The certificate is out of its time, or this machine's clock is wrong."
        elif "mismatch" in reason or "doesn't match" in reason:
            hint = "Use the name that the certificate is made out to."
        else:
            hint = (
                f"If a private CA or a proxy that inspects traffic made the certificate, name the CA's file in "
                f"SSL_CERT_FILE, or put it at /etc/docker/certs.d/{host}/ca.crt. "
                f"For a test registry, `--insecure-registry {host}` asks for no proof."
            )
        return TlsFailed(f"the certificate of `{host}` is not trusted: {reason}", registry=host, hint=hint)
    words = (error.reason or error.strerror or str(error)).replace("_", " ").lower()
    if "wrong version number" in words or "record layer failure" in words:
        return TlsFailed(
            f"`{host}` does not speak TLS",
            registry=host,
            hint=f"If it speaks plain HTTP, and you trust the network to it, give `--insecure-registry {host}`.",
        )
    return TlsFailed(
        f"TLS with `{host}` failed: {words}",
        registry=host,
        hint="Check that the address and port are the registry's, and that no proxy in between breaks TLS.",
    )


def _fallback(settings: RegistrySettings) -> Iterator[Path]:
    """certifi's CAs, where the Python has none of the system's: some builds for macOS."""
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath or settings.ca_files):
        try:
            import certifi
        except ImportError:
            return
        yield Path(certifi.where())


def _certificates(host: str, settings: RegistrySettings, ending: str) -> list[Path]:
    folders = (folder / host for folder in settings.certificate_folders)
    return [path for folder in folders if folder.is_dir() for path in sorted(folder.glob(f"*{ending}"))]
