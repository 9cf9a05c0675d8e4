"""A build that changes nothing imports no more than it needs: half of its time is imports."""

from __future__ import annotations

import subprocess
import sys

MODULES = (
    "fnpack.cli.build", "fnpack.daemonless", "fnpack.registry", "fnpack.registry.referrers",
    "fnpack.dependencies.provide", "fnpack.dependencies.lock", "fnpack.dependencies.index",
    "fnpack.image.host_lock", "fnpack.image.labels", "fnpack.models.references",
    "fnpack.oci.model_layers", "fnpack.oci.wheel_layers", "fnpack.oci.function_app", "fnpack.oci.writer",
    "fnpack.provenance.sbom",
)  # fmt: skip
COLD = (
    "dataclasses", "difflib", "tarfile", "packaging", "configparser", "http.client", "isal", "shlex",
    "fnpack.config.built_in", "fnpack.config.conda", "fnpack.config.inference", "fnpack.dependencies.fetch",
    "fnpack.dependencies.resolver", "fnpack.oci.base_scan", "fnpack.oci.layer_entries", "fnpack.registry.azure",
    "fnpack.registry.proxies", "fnpack.registry.trust",
)  # fmt: skip


def test_modules_of_a_warm_build_import_nothing_that_only_a_cold_one_needs() -> None:
    code = f"import sys, {', '.join(MODULES)}; print([name for name in {COLD} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"
