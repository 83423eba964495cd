"""`kguard doctor` as a user or a pipeline meets it, over the real tools and what can be wrong with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kguard.running.facts import get_it, tool_facts

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]
Script = Callable[[str, str], str]
TOOLS = ("kube-linter", "trivy", "kubescape", "polaris")
OFF = ("checkov", "kube-score")
"""Those that are off by default."""
TRIVY = ("doctor", "--tools", "trivy")
RENDERERS_ALONE = ("doctor", "--tools", "polaris", "--allow-incomplete")
"""With `polaris` allowed to be missing and nothing on PATH, nothing but renderers is run."""


def diagnosis(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What `--json` printed, with tools and renderers by name; the exit code is the one that it tells."""
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == found["exit_code"] == (0 if found["complete"] else 4)
    return found | {kind: {item["name"]: item for item in found[kind]} for kind in ("tools", "renderers")}


def messages(item: dict[str, Any]) -> list[str]:
    return [problem["message"] for problem in item["problems"]]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """A program that stands for a tool, as `--tool-path` takes it; the real one's path is in $REAL."""

    def write(name: str, body: str) -> str:
        path = tmp_path / f"{name}.sh"
        path.write_text(f"#!/bin/sh\nREAL={shutil.which(name)}\n{body}\n")
        path.chmod(0o755)
        return f"{name}={path}"

    return write


def test_every_tool_is_tried_and_what_is_missing_is_named(kguard: Kguard) -> None:
    found = diagnosis(kguard("doctor", "--json"))
    missing = {name for name in TOOLS if shutil.which(name) is None}
    assert missing <= {"kube-linter", "polaris"}
    assert found["complete"] is not bool(missing)
    assert tuple(found["tools"]) == (*TOOLS, *OFF)
    for name, tool in found["tools"].items():
        if name in OFF:
            assert (tool["state"], tool["problems"]) == ("skipped-by-config", [])
        elif name in missing:
            assert (tool["state"], tool["version"], tool["path"], tool["canary"]) == ("missing", None, None, None)
            assert messages(tool) == [f"{name} is not installed. {get_it(name)}"]
        else:
            assert (tool["state"], tool["canary"], tool["problems"]) == ("ok", True, [])
            assert tool["path"] == shutil.which(name)
            assert tool["rules"]["active"] > 30
            assert tool["rules"]["unknown"] == []
    assert {name: (item["state"], item["rendered"]) for name, item in found["renderers"].items()} == {
        "helm": ("ok", True),
        "kustomize": ("ok", True),
    }


def test_tools_that_are_off_by_default_are_tried_when_they_are_asked_for(kguard: Kguard) -> None:
    found = diagnosis(kguard("doctor", "--tools", ",".join(OFF), "--json"))["tools"]
    for name, rules in zip(OFF, (119, 33), strict=True):
        assert (found[name]["state"], found[name]["canary"], found[name]["problems"]) == ("ok", True, [])
        assert (found[name]["rules"]["active"], found[name]["rules"]["unknown"]) == (rules, [])


def test_the_rule_library_is_told_with_its_frameworks_and_digest(kguard: Kguard) -> None:
    rules = diagnosis(kguard("doctor", "--tools", "kubescape", "--frameworks", "nsa,mitre", "--json"))["tools"][
        "kubescape"
    ]["rules"]
    assert [group["name"] for group in rules["groups"]] == ["nsa", "mitre"]
    assert all(0 < group["rules"] <= rules["active"] for group in rules["groups"])
    assert len(rules["digest"]) == 64
    assert rules["folder"] == os.environ["KGUARD_RULES"].partition("=")[2]


def test_the_text_for_a_pipe_has_no_colour_and_ends_with_the_verdict(kguard: Kguard) -> None:
    done = kguard("doctor", "--tools", "trivy,kubescape")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert lines[-1] == "PASS  A scan would be complete. Exit 0."
    trivy = next(line for line in lines if line.startswith("trivy "))
    assert trivy.split()[2:5] == ["ok", "canary", "found"]
    assert trivy.endswith(str(shutil.which("trivy")))
    assert "polaris" in next(line for line in lines if "skipped-by-config" in line and line.startswith("polaris"))


def test_the_count_of_rules_is_that_of_a_scan(kguard: Kguard, fixtures: Path) -> None:
    """trivy tells only of checks that looked at something, so kguard's own objects have to be of many kinds."""
    flags = ("--tools", "trivy", "--profile", "all")
    scanned = json.loads(kguard("scan", str(fixtures / "shop"), *flags, "-f", "json").stdout)["tools"]
    (count,) = [tool["rules"]["active"] for tool in scanned if tool["processes"]]
    assert diagnosis(kguard("doctor", *flags, "--json"))["tools"]["trivy"]["rules"]["active"] == count


def test_without_any_tool_each_says_how_to_get_it(kguard: Kguard) -> None:
    done = kguard("doctor", path="")
    assert done.returncode == 4
    for name in TOOLS:
        assert f"{name} is not installed. {get_it(name)}" in done.stdout
    wrong, _, notes = done.stdout.partition("\nworth knowing\n")
    for name in ("helm", "kustomize"):
        assert f"{name} is not installed: what it renders would be missing" in notes
        assert f"{name} is not installed" not in wrong
    verdict = "INCOMPLETE  A scan would be incomplete: kube-linter, trivy, kubescape, polaris. Exit 4."
    assert done.stdout.splitlines()[-1] == verdict


def test_who_needs_both_kubescape_and_its_rules_is_told_both_at_once(kguard: Kguard) -> None:
    flags = ("doctor", "--tools", "kubescape", "--json")
    found = diagnosis(kguard(*flags, path="", env={"KGUARD_RULES": "", "XDG_DATA_HOME": "/nowhere"}))
    program, library = found["tools"]["kubescape"]["problems"]
    assert "is not installed" in program["message"]
    assert library["command"] == "kubescape download artifacts --output /nowhere/kguard/rules/kubescape"


def test_an_empty_rule_folder_is_mended_by_one_command(kguard: Kguard, tmp_path: Path) -> None:
    (tmp_path / "my rules").mkdir()
    flags = ("doctor", "--tools", "kubescape", "--rules", "kubescape=my rules")
    tool = diagnosis(kguard(*flags, "--json"))["tools"]["kubescape"]
    (problem,) = tool["problems"]
    assert tool["state"] == "degraded"
    assert problem["message"].startswith(f"no rule library in {tmp_path}/my rules")
    assert problem["command"] == f"kubescape download artifacts --output '{tmp_path}/my rules'"
    assert f"\n               $ {problem['command']}\n" in kguard(*flags).stdout


def test_a_rule_file_that_is_cut_off_is_mended_by_the_same_command(kguard: Kguard, tmp_path: Path) -> None:
    shutil.copytree(os.environ["KGUARD_RULES"].partition("=")[2], tmp_path / "rules")
    whole = (tmp_path / "rules/nsa.json").read_bytes()
    (tmp_path / "rules/nsa.json").write_bytes(whole[: len(whole) // 2])
    tool = diagnosis(kguard("doctor", "--tools", "kubescape", "--rules", "kubescape=rules", "--json"))["tools"][
        "kubescape"
    ]
    (problem,) = tool["problems"]
    assert problem["message"].startswith("nsa.json in its rule library ")
    assert problem["command"] == f"kubescape download artifacts --output {tmp_path}/rules"


def test_a_wrong_framework_is_answered_with_those_that_there_are(kguard: Kguard) -> None:
    tool = diagnosis(kguard("doctor", "--tools", "kubescape", "--frameworks", "nas", "--json"))["tools"]["kubescape"]
    (problem,) = tool["problems"]
    assert "has no framework nas; it has allcontrols, " in problem["message"]
    assert problem["command"] is None
    assert tool["rules"]["active"] is None
    assert len(tool["rules"]["digest"]) == 64


def test_frameworks_that_cannot_prove_that_kubescape_looks_are_told(kguard: Kguard) -> None:
    tool = diagnosis(kguard("doctor", "--tools", "kubescape", "--frameworks", "soc2", "--json"))["tools"]["kubescape"]
    assert (tool["state"], tool["canary"]) == ("ok", None)
    assert any("whether it looks is not proven" in note for note in tool["notes"])


def test_a_tool_that_is_another_program(kguard: Kguard) -> None:
    tool = diagnosis(kguard(*TRIVY, "--tool-path", f"trivy={shutil.which('true')}", "--json"))["tools"]["trivy"]
    assert tool["state"] == "wrong-version"
    assert messages(tool) == [
        f"{shutil.which('true')} does not answer as trivy does: its version command printed ''. {get_it('trivy')}"
    ]


def test_a_version_that_kguard_cannot_read(kguard: Kguard, script: Script) -> None:
    old = script("trivy", """echo '{"Version": "0.50.0"}'""")
    tool = diagnosis(kguard(*TRIVY, "--tool-path", old, "--json"))["tools"]["trivy"]
    assert (tool["state"], tool["version"]) == ("wrong-version", "0.50.0")
    assert "trivy 0.50.0 is not a version that kguard can read" in messages(tool)[0]
    assert tool_facts()["trivy"].releases in messages(tool)[0]


@pytest.mark.parametrize(("version", "older"), [("0.70.0", True), ("0.99.0", False)])
def test_a_version_that_was_never_tried_is_told_and_no_failure(
    kguard: Kguard, script: Script, version: str, older: bool
) -> None:
    other = script("trivy", f"""[ "$1" = version ] && echo '{{"Version": "{version}"}}' && exit\nexec $REAL "$@" """)
    found = diagnosis(kguard(*TRIVY, "--tool-path", other, "--json"))
    (note,) = found["tools"]["trivy"]["notes"]
    assert found["complete"] is True
    assert f"trivy {version} is not among the versions that kguard was tried with: " in note
    assert ("it is older" in note) is older


def test_a_tool_with_nothing_to_say_does_not_look(kguard: Kguard, script: Script) -> None:
    body = """[ "$1" = version ] && echo '{"Version": "0.76.0"}' && exit
echo '{"SchemaVersion": 2, "ArtifactName": ".", "ArtifactType": "filesystem", "Results": []}'"""
    hollow = script("trivy", body)
    done = kguard(*TRIVY, "--tool-path", hollow)
    assert done.returncode == 4
    assert "canary missed" in done.stdout
    assert "trivy did not report KSV-" in done.stdout
    assert diagnosis(kguard(*TRIVY, "--tool-path", hollow, "--json"))["tools"]["trivy"]["canary"] is False


def test_a_tool_with_some_checks_off_does_not_look(kguard: Kguard, script: Script) -> None:
    sabotaged = script("trivy", """[ "$1" = version ] || set -- "$@" --severity HIGH,CRITICAL\nexec $REAL "$@" """)
    tool = diagnosis(kguard(*TRIVY, "--tool-path", sabotaged, "--json"))["tools"]["trivy"]
    assert (tool["state"], tool["canary"]) == ("degraded", False)
    assert get_it("trivy") in messages(tool)[0]


def test_a_tool_that_hangs(kguard: Kguard, script: Script) -> None:
    found = diagnosis(kguard(*TRIVY, "--timeout", "1", "--tool-path", script("trivy", "exec sleep 60"), "--json"))
    assert found["tools"]["trivy"]["state"] == "timed-out"


def test_rules_that_the_catalogue_does_not_know_are_named(kguard: Kguard, script: Script) -> None:
    body = """[ "$1" = version ] && echo 0.8.3 && exit
echo '{"Checks": [{"name": "privileged-container"}, {"name": "brand-new"}], "Reports": null}'"""
    flags = ("doctor", "--tools", "kube-linter", "--tool-path", script("kube-linter", body))
    assert diagnosis(kguard(*flags, "--json"))["tools"]["kube-linter"]["rules"]["unknown"] == ["brand-new"]
    assert "1 rule that kguard's catalogue does not know: brand-new" in kguard(*flags).stdout


@pytest.mark.parametrize("word", ["flag", "kguard.yaml"])
def test_what_is_allowed_to_be_incomplete_fails_nothing(kguard: Kguard, tmp_path: Path, word: str) -> None:
    flags = ("--allow-incomplete", "trivy") if word == "flag" else ()
    if word == "kguard.yaml":
        text = "allow-incomplete:\n  - {tool: trivy, reason: not bought yet}\n"
        (tmp_path / "kguard.yaml").write_text(text)
    done = kguard(*TRIVY, *flags, path="")
    assert done.returncode == 0
    assert "allowed: trivy is not installed" in done.stdout
    assert done.stdout.endswith("PASS  A scan would be complete, but for what is allowed: trivy. Exit 0.\n")


def test_a_broken_kguard_yaml_ends_before_any_tool_runs(kguard: Kguard, tmp_path: Path, script: Script) -> None:
    (tmp_path / "kguard.yaml").write_text("inptus: {}\n")
    done = kguard(*TRIVY, "--tool-path", script("trivy", f"touch {tmp_path}/ran"))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: kguard.yaml:1:1 inptus: ")
    assert not (tmp_path / "ran").exists()


def test_a_wrong_word_is_answered_as_in_scan(kguard: Kguard) -> None:
    done = kguard("doctor", "--tools", "trivi")
    assert (done.returncode, done.stderr) == (2, "error: --tools: 'trivi' is not known; did you mean 'trivy'?\n")


# -- renderers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        (
            "helm",
            "echo 'Error: no plugins today' >&2; exit 1",
            "helm did not render kguard's own chart: no plugins today",
        ),
        ("helm", "exit 0", "helm did not render kguard's own chart: it printed something else"),
        (
            "kustomize",
            "echo 'Error: out of order' >&2; exit 1",
            "kustomize did not render kguard's own kustomization: kustomize: Error: out of order",
        ),
        ("kustomize", "exec sed s/kguard-// doctor.yaml", "kustomize did not render kguard's own kustomization: "),
    ],
)
def test_a_renderer_that_is_there_and_broken_fails(
    kguard: Kguard, script: Script, name: str, body: str, words: str
) -> None:
    program = ("--tool-path", script(name, body))
    found = diagnosis(kguard(*RENDERERS_ALONE, "polaris", *program, "--json", path=""))
    renderer = found["renderers"][name]
    assert (found["complete"], renderer["state"], renderer["rendered"]) == (False, "failed", False)
    assert messages(renderer)[0].startswith(words)
    assert tool_facts()[name].releases in messages(renderer)[0]
    assert kguard(*RENDERERS_ALONE, "polaris,inputs", *program, path="").returncode == 0


def test_a_renderer_is_missed_where_kguard_yaml_has_work_for_it(kguard: Kguard, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 1.0.0\n")
    (tmp_path / "kguard.yaml").write_text("inputs:\n  charts:\n    - path: web\n")
    found = diagnosis(kguard(*RENDERERS_ALONE, "polaris", "--json", path=""))
    assert found["complete"] is False
    assert "helm is not installed, and kguard.yaml names" in messages(found["renderers"]["helm"])[0]
    assert found["renderers"]["kustomize"]["problems"] == []
    assert found["settings"]["config_path"].endswith("kguard.yaml")


def test_kubectl_stands_in_for_kustomize(kguard: Kguard, tmp_path: Path) -> None:
    kubectl = tmp_path / "bin/kubectl"
    kubectl.parent.mkdir()
    kubectl.write_text(
        "#!/bin/sh\n[ $1 = version ] && echo 'Client Version: v1.32.4' && echo 'Kustomize Version: v5.5.0' && exit\n"
        f'[ $1 = kustomize ] && exec {shutil.which("kustomize")} build "$2"\n'
    )
    kubectl.chmod(0o755)
    found = diagnosis(kguard(*RENDERERS_ALONE, "polaris", "--json", path=str(kubectl.parent)))
    renderer = found["renderers"]["kustomize"]
    assert found["complete"] is True
    assert (renderer["state"], renderer["version"], renderer["path"]) == ("ok", "5.5.0", str(kubectl))


# -- the folder for temporary files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["absent", "a file"])
def test_a_temporary_folder_that_cannot_be_used_is_told(kguard: Kguard, tmp_path: Path, kind: str) -> None:
    wanted = tmp_path / "scratch"
    if kind == "a file":
        wanted.touch()
    done = kguard(*TRIVY, env={"TMPDIR": str(wanted)})
    assert done.returncode == 0
    assert f"{wanted} cannot be written to: temporary files go to " in done.stdout


def test_without_a_temporary_folder_nothing_is_tried(tmp_path: Path) -> None:
    """No file can be written at all, as on a full disk."""
    command = f"ulimit -f 0; exec {Path(sys.executable).parent / 'kguard'} doctor"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 4
    assert "no folder for temporary files can be written to. Make room, or set TMPDIR" in done.stdout
    assert done.stdout.endswith("INCOMPLETE  No scan can run without a folder for temporary files. Exit 4.\n")


def test_nothing_is_left_behind(kguard: Kguard, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = diagnosis(kguard("doctor", "--tools", "trivy,kubescape", "--json", env={"TMPDIR": str(scratch)}))
    assert found["temporary"]["path"] == str(scratch)
    assert found["temporary"]["free_bytes"] > 0
    assert list(scratch.iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["scratch"]
