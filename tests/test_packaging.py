"""The wheel: complete, and safe to run beside a hostile `adapters/` folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    # a copy of the tree without what earlier builds left: setuptools would ship a deleted module from build/
    ignore = shutil.ignore_patterns(".git", ".venv", "build", "*.egg-info", "out", "__pycache__", ".*_cache", "native")
    shutil.copytree(ROOT, source, ignore=ignore)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_has_everything_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {name for name in names if not name.startswith("kguard_cli-")}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "kguard").rglob("*") if path.is_file()}
    modules = {name for name in modules if "__pycache__" not in name}
    extra = {
        f"kguard/{folder}/{path.name}"
        for folder in ("adapters", "templates")
        for path in (ROOT / folder).iterdir()
        if path.is_file()
    }
    assert shipped == modules | extra
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_never_runs_code_of_the_folder_it_stands_in(wheel: Path, tmp_path: Path) -> None:
    site, repository = tmp_path / "site", tmp_path / "repository"
    (repository / "adapters").mkdir(parents=True)
    (repository / "adapters/__init__.py").write_text("raise SystemExit('hostile adapters ran')\n")
    (repository / "kguard.py").write_text("raise SystemExit('hostile kguard ran')\n")
    (repository / "pod.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n")
    zipfile.ZipFile(wheel).extractall(site)
    libraries = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    run = f"import sys; sys.path[:0] = [{str(site)!r}]; sys.argv = ['kguard', 'scan', 'pod.yaml']; from kguard.cli import main; main()"
    env = {"PATH": "", "PYTHONPATH": libraries, "HOME": str(tmp_path)}
    # -P: what an installed console script does, too: the working directory is not on the path
    done = subprocess.run(
        [sys.executable, "-P", "-c", run], cwd=repository, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 4, done.stderr
    assert "hostile" not in done.stdout + done.stderr
