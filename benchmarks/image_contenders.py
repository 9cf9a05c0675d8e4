"""Who builds the same app in the image benchmark: fnpack's builders, a Dockerfile written by hand, BentoML.

Each has a project, a cache and a repository of its own, so that none warms another's.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from measure import EXAMPLE, ROOT, Sample, sample
from peer_environments import PEERS, environment

from fnpack.dependencies.index import PackageIndex

if TYPE_CHECKING:
    from docker import DockerClient

APP = PEERS / "image"
MODEL_BYTES = 200_000_000
SMALL_MODEL = os.urandom(1000)
FNPACK = str(Path(sys.executable).with_name("fnpack"))
FNPACK_OPTIONS = [
    "--model",
    "model.bin",
    "--trigger",
    "http",
    "--auth-level",
    "anonymous",
    "--progress",
    "none",
]
LABEL = "fnpack.bench"


@dataclass
class Contender:
    """One way to build and push; `commands` makes them of the tag and the base image."""

    name: str
    project: Path
    commands: Callable[[str, str], Sequence[Sequence[str]]]
    environment: dict[str, str] = field(default_factory=dict)
    by_engine: bool = True
    is_slow: bool = False  # it runs once in each case
    is_near_only: bool = False
    has_check: bool = False
    prepare: Callable[[str], None] = lambda base: None

    def run(self, registry: str, repository: str = "") -> Sample:
        """Build and push."""
        base = f"{registry}/base:1"
        self.prepare(base)
        runs = [sample(command, self.project, self.environment)
                for command in self.commands(f"{registry}/{repository or self.repository}:1", base)]  # fmt: skip
        return sum(runs[1:], runs[0])

    @property
    def repository(self) -> str:
        """Where it pushes to."""
        return self.project.name

    def edit_script(self) -> None:
        """Add a line to the entry script."""
        with (self.project / "score.py").open("a") as script:
            script.write(f"# {uuid.uuid4()}\n")

    def change_model(self) -> None:
        """Make the model 200 MB, or change a few bytes of it."""
        path = self.project / "model.bin"
        if path.stat().st_size < MODEL_BYTES:
            path.write_bytes(os.urandom(MODEL_BYTES))
        with path.open("r+b") as model:
            model.seek(MODEL_BYTES // 2)
            model.write(uuid.uuid4().bytes)


def elsewhere(one: Contender, work: Path, wheels_of: Contender | None = None) -> Contender:
    """The same in a checkout of its own, with empty caches of fnpack and uv; with another's wheels, if asked."""
    folder = work / uuid.uuid4().hex
    shutil.copytree(one.project, folder)
    caches = caches_in(work)
    if wheels_of:
        wheels = Path(wheels_of.environment["FNPACK_CACHE"]) / "wheels"
        shutil.copytree(wheels, Path(caches["FNPACK_CACHE"]) / "wheels", copy_function=os.link)
    return replace(one, project=folder, environment={**one.environment, **caches})


def remove_checkout(one: Contender) -> None:
    """Remove its project and its caches."""
    shutil.rmtree(one.project)
    shutil.rmtree(Path(one.environment["FNPACK_CACHE"]).parent, ignore_errors=True)


def compile_fnpack() -> None:
    """What is installed has its byte code; a checkout may not."""
    for folder in ("packager", "function_host", "triggers"):
        compileall.compile_dir(ROOT / folder, quiet=1)
    sample([FNPACK, "build", "--help"])


def caches_in(work: Path) -> dict[str, str]:
    """Where fnpack and uv find empty caches."""
    folder = work / "caches" / uuid.uuid4().hex
    return {"FNPACK_CACHE": str(folder / "fnpack"), "UV_CACHE_DIR": str(folder / "uv")}


def contenders(work: Path, docker: str) -> list[Contender]:
    """All that can build here; the first is what the others are compared with."""
    return [
        fnpack_builder(work, "fnpack", "oci", "--no-check"),
        fnpack_builder(work, "fnpack, with its check", "oci"),
        fnpack_builder(work, "fnpack --builder docker", "docker", "--no-check"),
        fnpack_builder(work, "fnpack --builder dockerfile", "dockerfile", "--no-check"),
        by_hand(work, docker),
        bento(work, docker),
    ]


def fnpack_builder(work: Path, name: str, builder: str, *options: str) -> Contender:
    """One of fnpack's builders."""

    def commands(tag: str, base: str) -> list[list[str]]:
        build = [FNPACK, "build", *FNPACK_OPTIONS, "--builder", builder, *options]
        return [[*build, "--base-image", base, "--tag", tag, "--push"]]

    project = project_copy(work, "-".join((builder, *options)).replace("--", ""))
    return Contender(
        name,
        project,
        commands,
        caches_in(work),
        by_engine=builder != "oci",
        has_check="--no-check" not in options,
        is_near_only=builder == "dockerfile",
    )


def by_hand(work: Path, docker: str) -> Contender:
    """`docker build` and `docker push` of a Dockerfile in good order, by BuildKit."""
    project = project_copy(work, "by-hand", "Dockerfile")
    return Contender(
        "docker build, docker push",
        project,
        lambda tag, base: [
            docker_build(docker, tag, base, work),
            [docker, "push", "-q", tag],
        ],
        {"DOCKER_BUILDKIT": "1"},
    )


def docker_build(docker: str, tag: str, base: str, work: Path) -> list[str]:
    """The command that builds a context with pip's settings as a secret."""
    secret = work / "pip.conf"
    if not secret.exists():
        secret.touch(0o600)
        secret.write_bytes(PackageIndex.discover().pip_conf() or b"")
    return [
        docker, "build", "-q", "-t", tag, "--build-arg", f"BASE={base}",
        "--secret", f"id=pip.conf,src={secret}", ".",
    ]  # fmt: skip


def bento(work: Path, docker: str) -> Contender:
    """BentoML: a Bento, its image, a push."""
    project = project_copy(work, "bento", "service.py")
    programs = work / "programs"
    programs.mkdir()
    (programs / "docker").symlink_to(docker)
    bin_folder = environment("bentoml")
    template = (project / "service.py").read_text()

    def prepare(base: str) -> None:
        (project / "service.py").write_text(template.replace("BASE_IMAGE", base))
        shutil.rmtree(work / "bentos", ignore_errors=True)  # each holds the model

    def commands(tag: str, base: str) -> list[list[str]]:
        bentoml = f"{bin_folder}/bentoml"
        return [
            [bentoml, "build", "-q"],
            [bentoml, "containerize", "score:latest", "-t", tag],
            [docker, "push", "-q", tag],
        ]

    return Contender(
        "BentoML build, containerize, docker push",
        project,
        commands,
        {
            "BENTOML_HOME": str(work / "bentos"),
            "BENTOML_DO_NOT_TRACK": "True",
            "DOCKER_BUILDKIT": "1",
            "PATH": f"{programs}:{bin_folder}:{os.environ['PATH']}",
        },
        is_slow=True,
        is_near_only=True,
        prepare=prepare,
    )


def project_copy(work: Path, name: str, *more: str) -> Path:
    """A folder with script, requirements and a small model."""
    project = work / name
    project.mkdir()
    for file in (APP / "score.py", EXAMPLE / "requirements.txt", *(APP / name for name in more)):
        shutil.copy(file, project)
    (project / "model.bin").write_bytes(SMALL_MODEL)
    return project


def docker_program() -> str:
    """A `docker` that can ask an Engine for a BuildKit build: with buildx, or so old that it needs none."""
    for folder in os.environ["PATH"].split(os.pathsep):
        found = shutil.which("docker", path=folder)
        if found is None:
            continue
        probe = subprocess.run(
            [found, "build", "--help"], env={**os.environ, "DOCKER_BUILDKIT": "1"}, capture_output=True, check=False
        )  # fmt: skip
        if probe.returncode == 0:
            return found
    raise SystemExit(
        "the image benchmark needs a docker command line with BuildKit (docker-buildx, or docker.io)"
    )


def make_base(
    engine: DockerClient, docker: str, local_base: str, registries: Sequence[str], work: Path
) -> str:
    """Make the base image of this run and push it; returns the label that all images made from it have."""
    label = uuid.uuid4().hex
    context = work / "base"
    context.mkdir()
    shutil.copy(APP / "base.Dockerfile", context / "Dockerfile")
    (context / "unique").write_text(label)
    (context / "ca.crt").write_bytes(
        PackageIndex.discover().ca_bundle() or Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()
    )
    name = f"{registries[0]}/base:1"
    build = [*docker_build(docker, name, local_base, work), "--build-arg", f"LABEL={label}"]
    sample(build, context, {"DOCKER_BUILDKIT": "1"})
    for registry in registries:
        engine.images.get(name).tag(f"{registry}/base", "1")
    sample([docker, "push", "-q", name])
    return label


def remove_images(engine: DockerClient, label: str, registries: Sequence[str]) -> None:
    """Leave none of this run's images in the Engine."""
    for image in engine.api.images():
        names = [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]
        is_ours = any(name.startswith(f"{registry}/") for name in names for registry in registries)
        if is_ours or (image["Labels"] or {}).get(LABEL) == label:
            engine.api.remove_image(image["Id"], force=True)
