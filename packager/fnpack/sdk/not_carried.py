"""What of SDK v1 fnpack does not carry over: each ends with an error that says what to use instead."""

from __future__ import annotations

from typing import NoReturn

from fnpack.exceptions import UserErrorException

DEPLOY = (
    "build an image with `fnpack.contrib.functions.package_http(...)` or `fnpack build` and run it where you like: "
    "Azure Functions, Container Apps, Kubernetes, a VM; on this machine `LocalWebservice.deploy_configuration()`"
)


class NotCarriedOver(UserErrorException):
    """A part of SDK v1 that has no counterpart here; the text says what to use instead."""

    code = "FN509"


def not_carried_over(what: str, instead: str) -> NoReturn:
    """Raise NotCarriedOver."""
    raise NotCarriedOver(f"{what} is not part of fnpack", hint=instead)


class _Absent:
    """A class of SDK v1 of which only the name is left, so that imports go on to work."""

    _what, _instead = "", ""

    def __new__(cls, *args: object, **kwargs: object) -> NoReturn:
        """Say what to use instead."""
        not_carried_over(cls._what, cls._instead)

    @classmethod
    def deploy_configuration(cls, *args: object, **kwargs: object) -> NoReturn:
        """Say what to use instead."""
        not_carried_over(f"{cls._what}.deploy_configuration", cls._instead)


class AciWebservice(_Absent):
    """A service on Azure Container Instances."""

    _what, _instead = "AciWebservice", f"{DEPLOY}. CPU and memory are options of that platform"


class AksWebservice(_Absent):
    """A service on Kubernetes."""

    _what = "AksWebservice"
    _instead = f"{DEPLOY}. Replicas and autoscaling belong into the Kubernetes manifest"


class AksEndpoint(_Absent):
    """Several versions of a service behind one address."""

    _what = "AksEndpoint"
    _instead = f"{DEPLOY}. Traffic is split by Kubernetes, Container Apps revisions or deployment slots"
