"""`kguard coverage` with the real tools, as a user meets it: a tool that did not look never missed anything."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coverage_count
import coverage_missed
import jsonschema
import pytest
import yaml

import kguard as kguard_package
from kguard.reports import coverage_v1

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]

SEVERAL = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: shop}
spec:
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      hostPID: true
      containers:
        - name: c
          image: x:1
          securityContext: {privileged: true}
"""
TWO = ("--tools", "trivy,kubescape")
"""Those that every machine has."""
ONE = ("--tools", "kubescape")
"""The quicker of them."""


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    for name in ("web", "api"):
        (tmp_path / "deploy").mkdir(exist_ok=True)
        (tmp_path / "deploy" / f"{name}.yaml").write_text(SEVERAL.replace("NAME", name))
    return tmp_path


def compared(kguard: Kguard, *argv: str, code: int = 0, **options: Any) -> Any:
    done = kguard("coverage", *argv, "-f", "json", **options)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def cells(coverage: Any, tool: str) -> dict[str, Any]:
    """Of the controls with faults."""
    found = ((row, cell) for row in coverage["rows"] for cell in row["cells"] if row["faults"])
    return {row["name"]: cell for row, cell in found if cell["tool"] == tool}


def totals(coverage: Any, tool: str) -> Any:
    (only,) = (one for one in coverage["tools"] if one["name"] == tool)
    return only


def program(folder: Path, *lines: str) -> str:
    file = folder / "fake-trivy"
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return f"trivy={file}"


def real(tool: str) -> str:
    found = shutil.which(tool)
    assert found is not None
    return found


def test_a_comparison_of_paths_and_of_the_report_of_a_scan_are_the_same(
    kguard: Kguard, fixtures: Path, tmp_path: Path
) -> None:
    scan = kguard("scan", str(fixtures / "shop"), "-q", "-o", "run.json")
    assert scan.returncode == 1
    run = json.loads((tmp_path / "run.json").read_text())
    again = compared(kguard, "run.json", code=4)  # a file of the shop is broken
    anew = compared(kguard, str(fixtures / "shop"), code=4)
    jsonschema.validate(again, json.loads(kguard("schema", "coverage").stdout))
    for one in (again, anew):  # times are the run's own
        one["run"]["started"] = ""
        for tool in one["tools"]:
            tool["seconds"] = tool["cpu_seconds"] = None
    assert again == anew
    assert again["incomplete"][-1]["name"] == "inputs"
    catalog = json.loads(kguard("catalog", "-f", "json").stdout)
    counts = coverage_count.counted(run)
    assert counts["faults"] > 100
    assert counts == coverage_count.said(again)
    about = yaml.safe_load((Path(kguard_package.__file__).parent / "data" / "tools.yaml").read_bytes())
    missed = coverage_missed.counted(run, catalog, about)
    assert sum(missed.values()) > 10
    assert missed == coverage_missed.said(again)


def test_the_shape_in_the_package_is_that_of_the_code(kguard: Kguard) -> None:
    assert kguard("schema", "coverage").stdout == coverage_v1.schema()


def test_a_complete_comparison_ends_with_0_whatever_was_found(kguard: Kguard, manifests: Path) -> None:
    found = compared(kguard, "deploy", *TWO)
    assert found["complete"] is True
    assert cells(found, "trivy")["privileged-container"]["faults"]["found"] == 2
    table = kguard("coverage", "deploy", *TWO)
    assert table.returncode == 0
    assert table.stdout.startswith("kguard coverage: 2 tools, profile default: ")
    assert "INCOMPLETE" not in table.stdout


def test_a_tool_that_is_not_there_did_not_look(kguard: Kguard, manifests: Path) -> None:
    (manifests / "bin").mkdir()
    (manifests / "bin" / "kubescape").symlink_to(real("kubescape"))
    flags = ("deploy", *TWO)
    found = compared(kguard, *flags, code=4, path=str(manifests / "bin"))
    trivy = cells(found, "trivy")
    assert {cell["state"] for cell in trivy.values()} <= {"did not look", "no rule"}
    assert trivy["privileged-container"]["state"] == "did not look"
    assert totals(found, "trivy")["faults"]["missed"] == 0
    assert cells(found, "kubescape")["privileged-container"]["faults"]["found"] == 2
    done = kguard("coverage", *flags, path=str(manifests / "bin"))
    assert done.returncode == 4
    assert done.stdout.splitlines()[1].startswith("INCOMPLETE  trivy did not look at everything: missing: ")
    allowed = kguard("coverage", *flags, "--allow-incomplete", "trivy", path=str(manifests / "bin"))
    assert allowed.returncode == 0
    assert allowed.stdout.splitlines()[1].startswith("incomplete, as allowed  trivy")


@pytest.mark.parametrize(
    "silence",
    [
        """echo '{"SchemaVersion":2,"ArtifactType":"filesystem","Results":[]}'""",
        # it names what it was given, and finds nothing
        'exec REAL "$@" --severity CRITICAL',
    ],
)
def test_a_silent_tool_did_not_look(kguard: Kguard, manifests: Path, silence: str) -> None:
    fake = program(
        manifests, f'case "$1" in version) exec {real("trivy")} "$@";; esac', silence.replace("REAL", real("trivy"))
    )
    found = compared(kguard, "deploy", *TWO, "--tool-path", fake, code=4)
    assert totals(found, "trivy")["state"] == "degraded"
    assert totals(found, "trivy")["faults"]["missed"] == 0
    assert cells(found, "trivy")["privileged-container"]["state"] == "did not look"
    assert cells(found, "trivy")["host-pid"]["faults"]["did_not_look"] == 2


def test_a_tool_that_was_given_only_a_part_missed_nothing_of_the_rest(kguard: Kguard, manifests: Path) -> None:
    fake = program(
        manifests,
        f'case "$1" in version) exec {real("trivy")} "$@";; esac',
        'for last; do :; done; cp -r "$last" part; rm part/tree/api--*',
        'for word; do shift; [ "$word" = "$last" ] && word=part; set -- "$@" "$word"; done',
        f'exec {real("trivy")} "$@"',
    )
    found = compared(kguard, "deploy", *TWO, "--tool-path", fake, code=4)
    privileged = cells(found, "trivy")["privileged-container"]
    assert (privileged["faults"]["found"], privileged["faults"]["did_not_look"]) == (1, 1)
    assert totals(found, "trivy")["faults"]["missed"] == 0
    assert "did not read 1 of 2 objects" in found["incomplete"][0]["reason"]


def test_an_object_that_kills_a_tool_was_not_looked_at_and_the_others_were(kguard: Kguard, manifests: Path) -> None:
    fake = program(
        manifests,
        f'case "$1" in version) exec {real("trivy")} "$@";; esac',
        'for last; do :; done; find "$last" -name "api--*" | grep -q . && kill -SEGV $$',
        f'exec {real("trivy")} "$@"',
    )
    found = compared(kguard, "deploy", *TWO, "--tool-path", fake, code=4)
    privileged = cells(found, "trivy")["privileged-container"]
    assert (privileged["faults"]["found"], privileged["faults"]["did_not_look"]) == (1, 1)
    assert totals(found, "trivy")["faults"]["missed"] == 0


def test_what_is_excluded_is_nobodys_fault(kguard: Kguard, manifests: Path) -> None:
    found = compared(kguard, "deploy", *TWO, "--exclude", "api.yaml")
    assert {cell["faults"]["found"] for cell in cells(found, "trivy").values()} <= {0, 1}
    assert found["run"]["objects"] == 1


def test_a_missed_cell_has_an_example_that_explain_knows(kguard: Kguard, fixtures: Path, tmp_path: Path) -> None:
    kguard("scan", str(fixtures / "shop"), *TWO, "-q", "-o", "run.json")
    found = compared(kguard, "run.json", code=4)
    missed = [(row["name"], cell) for row in found["rows"] for cell in row["cells"] if cell["faults"]["missed"]]
    assert missed
    for control, cell in missed:
        done = kguard("explain", cell["example"]["fingerprint"], "--run", "run.json", "--json")
        sections = {section["key"]: section["items"] for section in json.loads(done.stdout)["sections"]}
        assert {item["name"]: item["text"] for item in sections["about"]}["control"] == control
        assert {item["name"]: item["word"] for item in sections["looked"]}[cell["tool"]] == "missed"


def test_the_profile_with_every_rule_turns_off_into_found(kguard: Kguard, manifests: Path) -> None:
    usual, every = (compared(kguard, "deploy", *TWO, "--profile", profile) for profile in ("default", "all"))
    off = [name for name, cell in cells(usual, "kubescape").items() if cell["state"] == "off"]
    assert off
    assert not [name for name in off if cells(every, "kubescape").get(name, {"state": ""})["state"] == "off"]
    assert every["run"]["profile"] == "all"


def test_labels_give_precision_and_recall(kguard: Kguard, manifests: Path) -> None:
    (manifests / "deploy" / "labels.tsv").write_text(
        "# complete\npath\tobject\tcontainer\tcontrol\texpected\n"
        "web.yaml\tDeployment shop/web\tc\tprivileged-container\tfail\n"
        "api.yaml\t\t\ttrivy:KSV-0010\tfail\n"
        "web.yaml\t\t\tdrop-all-capabilities\tpass\n"
        "gone.yaml\t\t\thost-pid\tfail\n"
    )
    found = compared(kguard, "deploy", *TWO, "--labels", "deploy/labels.tsv")["labels"]
    trivy, kubescape = ({score["tool"]: score for score in found["scores"]}[tool] for tool in ("trivy", "kubescape"))
    assert (found["faults"], found["passes"], found["absent"], found["complete"]) == (2, 1, 1, True)
    # of the api privileged-container, of the web host-pid, and both lack a drop of capabilities: one of these is labelled as right
    assert (trivy["recall"], trivy["wrong"], trivy["precision"]) == (1.0, 4, round(2 / 6, 4))
    assert kubescape["recall"] == 1.0


def test_labels_of_a_windows_path(kguard: Kguard, manifests: Path) -> None:
    (manifests / "labels.csv").write_text("path,control,expected\ndeploy\\web.yaml,host-pid,fail\n")
    kguard("scan", "deploy", *ONE, "-q", "-o", "run.json")
    found = compared(kguard, "run.json", "--labels", "labels.csv")["labels"]
    assert (found["faults"], found["absent"]) == (1, 0)


def test_rows_of_another_kind(kguard: Kguard, manifests: Path) -> None:
    kguard("scan", "deploy", *ONE, "-q", "-o", "run.json")
    for by, name in (("category", "pod-security"), ("namespace", "shop"), ("framework", "PSS baseline")):
        assert name in {row["name"] for row in compared(kguard, "run.json", "--by", by)["rows"]}


def test_every_format_has_the_whole_of_it(kguard: Kguard, manifests: Path) -> None:
    files = [f"out.{suffix}" for suffix in ("json", "csv", "md", "html", "txt")]
    done = kguard("coverage", "deploy", *ONE, "-q", *(word for file in files for word in ("-o", file)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    lines = list(csv.DictReader(io.StringIO((manifests / "out.csv").read_text())))
    rows = json.loads((manifests / "out.json").read_text())["rows"]
    cells = {(row["name"], cell["tool"]): cell for row in rows for cell in row["cells"]}
    assert [(line["name"], line["tool"]) for line in lines] == list(cells)
    assert all(line["state"] == cells[line["name"], line["tool"]]["state"] for line in lines)
    for file in ("out.md", "out.html", "out.txt"):
        assert "host-pid" in (manifests / file).read_text().replace("\\", "")


def test_the_tab_of_the_report_is_the_same_after_the_scan_and_from_its_json(kguard: Kguard, manifests: Path) -> None:
    kguard("scan", "deploy", *ONE, "-q", "-o", "run.json", "-o", "scan.html")
    kguard("report", "run.json", "-o", "report.html")
    kguard("coverage", "run.json", "-o", "coverage.html")
    scan, report, coverage = ((manifests / f"{name}.html").read_text() for name in ("scan", "report", "coverage"))
    assert scan == report
    assert scan.partition('<section id="coverage">')[2] == coverage.partition('<section id="coverage">')[2] != ""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("deploy", "--by", "contrl"), "--by: 'contrl' is not known; did you mean 'control'?"),
        (("deploy", "-f", "xml"), "--format: 'xml' is not known"),
        (("deploy", "--labels", "no.tsv"), "--labels no.tsv: No such file or directory."),
        (("nowhere",), "nowhere"),
    ],
)
def test_what_is_wrong_is_said_before_any_tool_runs(
    kguard: Kguard, manifests: Path, argv: tuple[str, ...], words: str
) -> None:
    done = kguard("coverage", *argv, path="")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_report_cannot_tell_what_other_rules_would_have_found(kguard: Kguard, manifests: Path) -> None:
    kguard("scan", "deploy", *ONE, "-q", "-o", "run.json")
    assert kguard("coverage", "run.json", "--profile", "default").returncode == 0
    done = kguard("coverage", "run.json", "--profile", "all")
    assert done.returncode == 2
    assert "run.json was made with profile default; name the manifests to scan them anew." in done.stderr
    assert kguard("coverage", "run.json", *ONE).returncode == 2


def test_a_report_stands_alone_and_one_of_another_version_is_no_manifest(kguard: Kguard, manifests: Path) -> None:
    (manifests / "run.json").write_text('{"schema": "kguard/report/v1"}')
    (manifests / "later.json").write_text('{"schema": "kguard/report/v2"}')
    done = kguard("coverage", "deploy", "run.json", path="")
    assert (done.returncode, done.stdout) == (2, "")
    assert "run.json is the report of a scan, which is compared alone" in done.stderr
    done = kguard("coverage", "later.json", path="")
    assert done.returncode == 2
    assert "this is no kguard/report/v1 report" in done.stderr


def test_stdin_is_no_file_of_the_run_unless_it_was_named(kguard: Kguard, manifests: Path) -> None:
    (manifests / "empty").mkdir()
    done = kguard("coverage", "empty")
    assert done.returncode == 3
    assert "no Kubernetes object in empty: 0 YAML or JSON files" in done.stderr


def test_a_report_or_manifests_on_stdin(kguard: Kguard, manifests: Path) -> None:
    kguard("scan", "deploy", *ONE, "-q", "-o", "run.json")
    text = (manifests / "run.json").read_text()
    assert compared(kguard, "-", stdin=text)["faults"] == compared(kguard, "run.json")["faults"] > 0
    assert compared(kguard, "-", *ONE, stdin=SEVERAL.replace("NAME", "web"))["run"]["objects"] == 1


def test_the_count_by_hand_says_where_it_differs(kguard: Kguard, manifests: Path) -> None:
    for file, argv in {
        "run.json": ("scan", "deploy", *ONE, "--fail-on", "never", "-f", "json"),
        "coverage.json": ("coverage", "run.json", "-f", "json"),
    }.items():
        (manifests / file).write_text(kguard(*argv).stdout)
    script = Path(__file__).resolve().parents[1] / "coverage_count.py"
    command = [sys.executable, str(script), "run.json", "coverage.json"]

    def count() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=manifests, capture_output=True, text=True, check=False, env={**os.environ})

    assert count().returncode == 0
    changed = (manifests / "coverage.json").read_text().replace('"exactly": ', '"exactly": 1', 1)
    (manifests / "coverage.json").write_text(changed)
    assert count().returncode == 1
    assert "DIFFERS  exactly" in count().stdout
