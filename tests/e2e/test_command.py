"""The command as a user or a pipeline meets it: exit codes, words, and what goes where."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from kguard import __version__

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]


def report_of(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_help_and_version(kguard: Kguard) -> None:
    assert "scan" in kguard("--help").stdout
    assert kguard("--version").stdout == f"kguard {__version__}\n"


def test_a_path_that_is_not_there_ends_before_any_tool_runs(kguard: Kguard, pod: Path) -> None:
    done = kguard("scan", "pod.yaml", "nowhere", path="")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: nowhere does not exist; nothing was scanned. Name a file or folder that does.\n"


def test_only_junk_is_nothing_to_scan(kguard: Kguard, tmp_path: Path) -> None:
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk/values.yaml").write_text("a: 1\n")
    done = kguard("scan", "junk")
    assert done.returncode == 3
    assert "no Kubernetes object in junk: 1 YAML or JSON files were looked at" in done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--fail-on", "hgih"], "did you mean 'high'"),
        (["--tools", "trivi"], "did you mean 'trivy'"),
        (["--profile", "al"], "did you mean 'all'"),
        (["-f", "htlm"], "did you mean 'html'"),
        (["--allow-incomplete", "input"], "did you mean 'inputs'"),
        (["--rules", "kubescape=nowhere"], "there is no such folder"),
        (["--rules", "trivy=."], "--rules: 'trivy' is not known; valid: kubescape."),
        (["--tool-path", "trivy=nowhere"], "there is no such file"),
        (["-o", "no/report.html"], "the folder no does not exist"),
        (["-o", "a.html", "-o", "a.html"], "given twice"),
        (["--timeout", "nan"], "give 1 to 86400 seconds"),
        (["--timeout", "inf"], "give 1 to 86400 seconds"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(kguard: Kguard, pod: Path, flags: list[str], words: str) -> None:
    done = kguard("scan", "pod.yaml", *flags, path="")
    assert done.returncode == 2
    assert words in done.stderr


def test_without_any_tool_the_run_is_incomplete_and_says_where_to_get_them(kguard: Kguard, pod: Path) -> None:
    done = kguard("scan", "pod.yaml", path="")
    assert done.returncode == 4
    for tool in ("kube-linter", "trivy", "kubescape", "polaris"):
        assert re.search(rf"{tool} is not installed.*https://github.com/.*--tools -{tool}", done.stdout)
    assert done.stdout.splitlines()[-1].startswith("INCOMPLETE  No finding at or above high")
    allowed = kguard("scan", "pod.yaml", "--allow-incomplete", "kube-linter,trivy,kubescape,polaris", path="")
    assert allowed.returncode == 0


def test_one_privileged_pod_is_one_finding_of_the_tools_that_run(kguard: Kguard, pod: Path) -> None:
    done = kguard("scan", "pod.yaml", "--tools", "trivy,kubescape", "-f", "json")
    report = report_of(done)
    assert done.returncode == report["gate"]["exit_code"] == 1
    (finding,) = [item for item in report["findings"] if item["control"] == "privileged-container"]
    assert finding["tools"] == ["kubescape", "trivy"]
    assert finding["location"] == {"path": "pod.yaml", "line": 8, "end_line": 8, "precision": "exact", "values": []}
    assert finding["container"] == "c"
    assert {tool["name"]: tool["state"] for tool in report["tools"]} == {
        "checkov": "skipped-by-config",
        "kube-linter": "skipped-by-config",
        "kube-score": "skipped-by-config",
        "kubescape": "ok",
        "polaris": "skipped-by-config",
        "trivy": "ok",
    }


def test_stdin(kguard: Kguard, pod: Path) -> None:
    done = kguard("scan", "-", "--tools", "trivy", "-f", "json", stdin=pod.read_text())
    assert {finding["location"]["path"] for finding in report_of(done)["findings"]} == {"-"}


def test_a_broken_file_beside_a_good_one_makes_the_inputs_incomplete(kguard: Kguard, pod: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("apiVersion: v1\nkind: Pod\nmetadata:\n\tname: x\n")
    done = kguard("scan", "pod.yaml", "broken.yaml", "--tools", "trivy", "--fail-on", "never")
    assert done.returncode == 4
    assert "broken.yaml, line 4: tab used for indentation. This document is skipped." in done.stdout
    assert "Incomplete: inputs (1 manifest could not be read)" in done.stdout


def test_two_runs_are_the_same_but_for_time_and_cost(kguard: Kguard, fixtures: Path) -> None:
    def run(*paths: str) -> str:
        text = kguard("scan", *paths, "--tools", "trivy,kubescape", "-f", "json").stdout
        text = re.sub(r'"(started|seconds|cpu_seconds|peak_memory_bytes)": [^,\n]+', r'"\1": 0', text)
        return re.sub(r'"command": \[.*?\]', "", text, flags=re.DOTALL)

    shop, clean = str(fixtures / "shop"), str(fixtures / "shop-clean")
    first = run(shop, clean)
    assert run(shop, clean) == first
    assert run(clean, shop).replace(f'"{clean}",\n   "{shop}"', f'"{shop}",\n   "{clean}"') == first


def test_reports_are_files_of_the_format_that_their_names_say(kguard: Kguard, pod: Path, tmp_path: Path) -> None:
    done = kguard("scan", "pod.yaml", "--tools", "trivy", "-o", "r.html", "-o", "r.json", "-o", "r.md", "-o", "r.txt")
    assert done.returncode == 1
    assert "privileged-container" in done.stdout
    schema = json.loads(kguard("schema", "report").stdout)
    jsonschema.validate(json.loads((tmp_path / "r.json").read_text()), schema)
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pod.yaml", "r.html", "r.json", "r.md", "r.txt"]
    again = kguard("report", "r.json", "-o", "again.html", path="")
    assert again.returncode == 0
    assert (tmp_path / "again.html").read_text() == (tmp_path / "r.html").read_text()
    assert "privileged-container" in kguard("report", "r.json", path="").stdout


def test_a_pipe_gets_no_escape_codes(kguard: Kguard, pod: Path) -> None:
    done = kguard("scan", "pod.yaml", "--tools", "trivy")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_full_disk_is_no_bug(kguard: Kguard, pod: Path) -> None:
    with open("/dev/full", "w") as full:
        argv = [str(Path(sys.executable).parent / "kguard"), "scan", str(pod), "--tools", "trivy"]
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr == "error: No space left on device: no whole report could be written. Make room and run again.\n"


def test_quiet_says_only_what_must_not_be_missed(kguard: Kguard, pod: Path) -> None:
    done = kguard("scan", "pod.yaml", "--tools", "trivy", "-q")
    assert done.stdout == ""
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["FAIL"]


def test_verbose_names_every_file(kguard: Kguard, fixtures: Path) -> None:
    shop = str(fixtures / "shop")
    text = kguard("scan", shop, "--tools", "trivy", "-v").stdout
    assert re.search(r"^not-kubernetes +\S*settings.yaml  no object with apiVersion and kind$", text, re.MULTILINE)
    assert len(re.findall(r"^(?:scanned|not-kubernetes) ", text, re.MULTILINE)) == 11
    assert re.search(r"^ignored +\S*\.hidden  hidden$", text, re.MULTILINE)
    assert "not-kubernetes" not in kguard("scan", shop, "--tools", "trivy").stdout


def test_flags_win_over_the_environment(kguard: Kguard, pod: Path) -> None:
    env = {"KGUARD_FAIL_ON": "never", "KGUARD_TOOLS": "trivy"}
    assert kguard("scan", "pod.yaml", env=env).returncode == 0
    assert kguard("scan", "pod.yaml", "--fail-on", "high", env=env).returncode == 1


def test_values_of_secrets_and_variables_are_in_no_report(kguard: Kguard, fixtures: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData:\n  password: open-sesame-42\n"
    )
    names = ("r.html", "r.json", "r.md", "r.txt")
    kguard("scan", str(fixtures / "shop"), "secret.yaml", *(word for name in names for word in ("-o", name)))
    for name in names:
        text = (tmp_path / name).read_text()
        for value in ("correct-horse-battery", "tok-3f9a77c1", "open-sesame-42"):
            assert value not in text


def test_nothing_is_left_in_the_temp_folder_or_the_source(kguard: Kguard, pod: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    kguard("scan", "pod.yaml", "--tools", "trivy,kubescape", env={"TMPDIR": str(scratch)})
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pod.yaml", "scratch"]


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(stop: signal.Signals, pod: Path, tmp_path: Path) -> None:
    scratch, marker = tmp_path / "scratch", f"{tmp_path}/marker"
    scratch.mkdir()
    slow = tmp_path / "trivy"
    version = json.dumps({"Version": "0.76.0"})
    slow.write_text(f"#!/bin/sh\n[ \"$1\" = version ] && echo '{version}' && exit\necho $$ >{marker}\nexec sleep 600\n")
    slow.chmod(0o755)
    argv = [
        str(Path(sys.executable).parent / "kguard"),
        "scan",
        "pod.yaml",
        "--tools",
        "trivy",
        "--tool-path",
        f"trivy={slow}",
    ]
    process = subprocess.Popen(
        argv, cwd=tmp_path, env={**os.environ, "TMPDIR": str(scratch)}, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 30
    while not Path(marker).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(Path(marker).read_text())
    process.send_signal(stop)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stderr == "interrupted: no report was written.\n"
    assert list(scratch.iterdir()) == []
    assert not Path(f"/proc/{child}").exists()
