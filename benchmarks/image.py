"""The image: what it weighs, and how long builds, pushes and the commands around them take, beside other builders."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from command_times import engine_load, inspection, start_up
from delay_proxy import DelayProxy
from image_cases import WANTED, Leg, bytes_sent, memory, times
from image_contenders import compile_fnpack, contenders, docker_program, make_base, remove_images
from image_sizes import sizes
from measure import EXAMPLE, MODEL, Table

import base_image
from services import Registry

if TYPE_CHECKING:
    from docker import DockerClient

ROUND_TRIP_S = 0.05
NOTES = [
    "Whole commands, median (min to max), and the median ratio to the first column, turn by turn. The app needs numpy, "
    "scikit-learn and scipy; first builds have a model of 1 kB, the others one of 200 MB. Base image, registry and "
    "Engine are on this machine.",
    "Cold: fnpack's and uv's caches are empty, no lock file; packages come over the network from the index, "
    "which varies. The Engine's contenders always fetch packages (BuildKit with pip, BentoML with uv and "
    "apt-get); what they have built once they cannot build first again, so they run once. On a new CI machine they "
    "build as the first time; fnpack takes from the image that the registry has what it needs to know.",
    "Peers: Truss asks for docker-buildx and its own base image; MLflow's build-docker for `python:3.X-slim` by that "
    "name and takes minutes; Cog (a Go program) and `func` pull builders and base images: none is built here.",
]


def run(work: Path) -> list[Table]:
    """Measure; `work` is an empty folder. Needs a Docker Engine and a docker command line with BuildKit."""
    project = work / "diabetes"
    shutil.copytree(EXAMPLE, project)
    if not (project / MODEL).exists():
        subprocess.run([sys.executable, "train.py"], cwd=project, check=True, capture_output=True)
    storage = work / "registry"
    with (
        base_image.docker_engine() as engine,
        Registry(storage) as registry,
        DelayProxy(registry.address, ROUND_TRIP_S) as proxy,
    ):
        base = base_image.ensure(engine)
        near, far = Leg(registry.address, storage, work), Leg(proxy.address, storage, work, proxy)
        return [sizes(engine, project, base), *builds(engine, base, near, far, work)]


def builds(engine: DockerClient, base: str, near_leg: Leg, far_leg: Leg, work: Path) -> list[Table]:
    """All that is timed."""
    docker, registries = docker_program(), (near_leg.registry, far_leg.registry)
    compile_fnpack()
    label = make_base(engine, docker, base, registries, work)
    try:
        found = contenders(work, docker)
        names = [one.name for one in found]
        near = near_leg.measure(found)
        far_too = [one for one in found if not one.is_near_only]
        far = far_leg.measure(far_too)
        by_hand = next(one for one in found if one.repository == "by-hand")
        tables = [
            times("Build and push to a registry on this machine", names, near, WANTED),
            times("The same, 50 ms away (round trip)", [one.name for one in far_too], far, {}),
            bytes_sent(found, near, far),
            memory(names, near),
            engine_load(found[0], by_hand, registries[0], docker, work),
            inspection(*registries, found[0].repository),
            start_up(),
        ]
        tables[0].notes.extend("\n".join(NOTES).splitlines())
        return tables
    finally:
        remove_images(engine, label, registries)
