"""Bad input costs itself only: a line that says what and where, the rest scanned, and an exit code that is not 0."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Kguard = Callable[..., "subprocess.CompletedProcess[str]"]

HEAD = b"apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\n"
TRIVY = """\
#!{python}
import json, sys
from pathlib import Path

if sys.argv[1] == "version":
    print(json.dumps({{"Version": "0.76.0"}}))
else:
    root = Path(sys.argv[-1])
    found = dict(ID="KSV-0017", Title="Privileged", Message="Container 'c' of Pod 'p' should set privileged to false",
                 Severity="HIGH", Status="FAIL", CauseMetadata={{"StartLine": 8, "EndLine": 8}})
    files = sorted(path for path in root.rglob("*") if path.is_file())
    results = [dict(Target=path.relative_to(root).as_posix(), Class="config", Type="kubernetes",
                    Misconfigurations=[found] if b"privileged: true" in path.read_bytes() else []) for path in files]
    print(json.dumps(dict(SchemaVersion=2, ArtifactType="filesystem", Results=results)))
"""


@pytest.fixture
def scan(kguard: Kguard, tmp_path_factory: pytest.TempPathFactory) -> Kguard:
    """`kguard scan` with a trivy that reads every file and reports containers that are privileged."""
    program = tmp_path_factory.mktemp("bin") / "trivy"
    program.write_text(TRIVY.format(python=sys.executable))
    program.chmod(0o755)

    def run(*argv: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        return kguard("scan", *argv, "--no-canary", "--tools", "trivy", "--tool-path", f"trivy={program}", **kwargs)

    return run


def report_of(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def bomb(item: str) -> bytes:
    """Each level holds the one below nine times."""
    levels = (item.format(level=level, below=",".join([f"*a{level - 1}"] * 9)) for level in range(1, 12))
    return HEAD + b"a0: &a0 {x: y}\n" + "\n".join(levels).encode()


LIMIT = "once its aliases are expanded, the limit. This document is skipped."
DEEP = "nested deeper than 200 levels, the limit. This document is skipped."
NEVER_READ = {
    "tab.yaml": (HEAD + b"spec:\n\thostPID: true\n", 5, "tab used for indentation. This document is skipped."),
    "braces.yaml": (
        HEAD + b"spec:\n  {{ .Values.spec }}\n  a: b\n",
        6,
        "not YAML: it has template braces {{ }}; render it first. This document is skipped.",
    ),
    "quote.yaml": (HEAD + b'spec: "x\n', 5, "not YAML: found unexpected end of stream. This document is skipped."),
    "open-brackets.yaml": (HEAD + b"spec: " + b"[" * 30_000 + b"\n", 4, DEEP),
    "brackets.yaml": (HEAD + b"spec: " + b"[" * 30_000 + b"]" * 30_000, 4, DEEP),
    "blocks.yaml": (HEAD + b"".join(b" " * depth + b"a:\n" for depth in range(400)), 204, DEEP),
    "bomb.yaml": (bomb("a{level}: &a{level} [{below}]"), 10, f"more than 1,000,000 values {LIMIT}"),
    "merge-bomb.yaml": (bomb("a{level}: &a{level} {{<<: [{below}]}}"), 10, f"more than 1,000,000 values {LIMIT}"),
    "self.yaml": (HEAD + b"a: &a [*a]\n", 4, "the alias *a holds itself. This document is skipped."),
    "alias.yaml": (HEAD + b"a: *nothing\n", 4, "not YAML: found undefined alias. This document is skipped."),
    "surrogate.yaml": (
        HEAD + b'a: "\\ud800"\n',
        4,
        "not YAML: found invalid Unicode character escape code. This document is skipped.",
    ),
    "latin-1.yaml": (HEAD + b"# caf\xe9\n", 4, "not UTF-8 (byte 0xe9); save it as UTF-8. The file is skipped."),
    "utf-16.yaml": (HEAD.decode().encode("utf-16"), None, "UTF-16, not UTF-8; save it as UTF-8. The file is skipped."),
}


def test_what_cannot_be_read_is_said_and_the_rest_is_scanned(scan: Kguard, pod: Path, tmp_path: Path) -> None:
    for name, (data, _, _) in NEVER_READ.items():
        (tmp_path / name).write_bytes(data)
    done = scan(".", "--fail-on", "never", "-f", "json")
    report = report_of(done)
    said = {problem["path"]: (problem["line"], problem["message"]) for problem in report["inputs"]["problems"]}
    assert said == {name: (line, message) for name, (_, line, message) in NEVER_READ.items()}
    for name, (_, line, message) in NEVER_READ.items():
        assert f"{name}{f', line {line}' if line else ''}: {message}\n" in done.stderr
    assert {file["path"] for file in report["inputs"]["files"] if file["state"] == "unreadable"} == {*NEVER_READ}
    assert [finding["location"]["path"] for finding in report["findings"]] == ["pod.yaml"]
    assert done.returncode == report["gate"]["exit_code"] == 4
    assert report["gate"]["incomplete"] == ["inputs"]
    assert report["gate"]["reason"].endswith(f"Incomplete: inputs ({len(NEVER_READ)} manifests could not be read).")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (HEAD + b"a: \x1b[31m\n", "control characters are not allowed"),
        (b'{"apiVersion":"v1","kind":"Pod",\n"metadata":{"name":"bad"\n', "not YAML: did not find expected"),
    ],
    ids=["control characters", "half a JSON file"],
)
def test_what_cannot_be_read_on_an_unknown_line(scan: Kguard, tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "bad.json").write_bytes(data)
    done = scan("bad.json")
    assert done.returncode == 4
    assert words in done.stdout


def test_a_bad_document_costs_no_other_of_its_file(scan: Kguard, pod: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(HEAD + b"spec: [\n---\n" + pod.read_bytes() + b"---\n" + HEAD)
    report = report_of(scan("bad.yaml", "-f", "json"))
    assert (report["summary"]["objects"], report["gate"]["exit_code"]) == (2, 1)
    (problem,) = report["inputs"]["problems"]
    assert (problem["document"], problem["message"].split(". ")[-1]) == (
        1,
        "This document is skipped; the other 2 in the file are scanned.",
    )
    assert [finding["location"]["line"] for finding in report["findings"]] == [13]


def test_findings_and_unread_input_are_both_in_the_verdict(scan: Kguard, pod: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(HEAD + b"\tx\n")
    done = scan(".")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == (
        "FAIL  1 finding at or above high (fail_on: high). Also incomplete: inputs (1 manifest could not be read). Exit 1."
    )
    allowed = scan(".", "--fail-on", "never", "--allow-incomplete", "inputs")
    assert allowed.returncode == 0
    assert "Incomplete, as allowed: inputs (1 manifest could not be read)." in allowed.stdout


def test_nothing_but_a_broken_manifest_is_not_nothing_to_scan(scan: Kguard, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_bytes(HEAD + b"\tx\n")
    assert scan("bad.yaml").returncode == 4


@pytest.mark.parametrize("data", [b"", b"---\n---\n", b"# nothing\n", b"- 1\n", b"a: [\n"], ids=repr)
def test_junk_is_nothing_to_scan(scan: Kguard, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "junk.yaml").write_bytes(data)
    assert scan("junk.yaml").returncode == 3
    assert scan("-", stdin=data.decode()).returncode == 3


def test_an_empty_folder_is_nothing_to_scan(scan: Kguard, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert scan("empty").returncode == 3


def test_a_broken_manifest_on_stdin(scan: Kguard) -> None:
    done = scan("-", stdin=HEAD.decode() + "\tx\n")
    assert done.returncode == 4
    assert "inputs  -, line 4: tab used for indentation" in done.stdout


def test_a_file_of_more_than_64_mib(scan: Kguard, pod: Path, tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.write(HEAD)
        file.truncate(64 * 2**20 + 1)
    done = scan(".", "--fail-on", "never")
    assert done.returncode == 4
    assert "inputs  huge.yaml: larger than 64 MiB, the limit for one file. The file is skipped." in done.stdout


def test_ten_thousand_documents_in_one_file(scan: Kguard, tmp_path: Path) -> None:
    document = "apiVersion: v1\nkind: Pod\nmetadata: {{name: p{}}}\n"
    (tmp_path / "many.yaml").write_text("---\n".join(document.format(number) for number in range(10_000)))
    report = report_of(scan("many.yaml", "-f", "json"))
    assert report["summary"]["objects"] == 10_000
    (trivy,) = [tool for tool in report["tools"] if tool["name"] == "trivy"]
    assert (trivy["state"], trivy["objects"]["read"]) == ("ok", 10_000)


def test_links_and_files_that_are_none(scan: Kguard, pod: Path, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "secret.yaml").write_bytes(pod.read_bytes())
    tree = tmp_path / "tree"
    tree.mkdir()
    pod.rename(tree / "pod.yaml")
    for name, target in {
        "dangling.yaml": "nowhere",
        "self.yaml": "self.yaml",
        "loop": ".",
        "out": str(outside),
        "out.yaml": str(outside / "secret.yaml"),
        "inside.yaml": "pod.yaml",
    }.items():
        (tree / name).symlink_to(target)
    os.mkfifo(tree / "pipe.yaml")
    done = scan("tree", "-f", "json", "--fail-on", "never")
    report = report_of(done)
    assert {problem["path"] for problem in report["inputs"]["problems"]} == {"tree/dangling.yaml", "tree/self.yaml"}
    files = {file["path"].removeprefix("tree/"): (file["state"], file["reason"]) for file in report["inputs"]["files"]}
    assert files["loop"] == files["out"] == ("ignored", "a link to a folder; links are not followed")
    assert files["out.yaml"] == ("ignored", "a link that leaves the scanned folder")
    assert files["pipe.yaml"] == ("ignored", "not a regular file")
    assert files["pod.yaml"] == ("scanned", None)
    assert done.returncode == 4


NAMES = ["new\nline", "$(touch pwned)`touch pwned`;touch pwned&|", "-rf", "\x1b[31mred", "é😀 %s%00", "back\\slash'\""]


def test_names_are_names_and_nothing_else(scan: Kguard, pod: Path, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        text = pod.read_text().replace("name: p,", f"name: p{number},")
        (tmp_path / f"{name}.yaml").write_text(text)
    before = sorted(tmp_path.iterdir())
    done = scan(".", "--all", "-v")
    assert done.returncode == 1
    assert sorted(tmp_path.iterdir()) == before
    assert "\x1b" not in done.stdout
    rows = [line for line in done.stdout.splitlines() if "privileged-container" in line]
    assert len(rows) == len(NAMES) + 1
    assert any("new\\nline.yaml:8" in row for row in rows)


def test_a_name_that_is_not_utf8(scan: Kguard, pod: Path, tmp_path: Path) -> None:
    os.rename(pod, os.fsencode(tmp_path) + b"/odd-\xff.yaml")
    done = scan(".", "-f", "json")
    assert done.returncode == 1
    assert [finding["location"]["path"] for finding in report_of(done)["findings"]] == ["odd-\\xff.yaml"]


def test_a_path_that_is_given_twice_is_scanned_once(scan: Kguard, pod: Path) -> None:
    report = report_of(scan("pod.yaml", "./pod.yaml", ".", "-f", "json"))
    assert (report["summary"]["objects"], len(report["findings"])) == (1, 1)


def test_a_tag_constructs_nothing(scan: Kguard, tmp_path: Path) -> None:
    (tmp_path / "tag.yaml").write_bytes(HEAD + b"a: !!python/object/apply:os.mkdir [pwned]\n")
    assert scan("tag.yaml").returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tag.yaml"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "this is no kguard/report/v1 report"),
        ("{", "this is no kguard/report/v1 report"),
        ('{"schema": "kguard/report/v2"}', "this is no kguard/report/v1 report"),
        ('{"schema": "kguard/report/v1", "findings": 1}', "this is no kguard/report/v1 report"),
        ("[" * 100_000, "this is no kguard/report/v1 report"),
    ],
    ids=["empty", "half", "another version", "wrong fields", "deep"],
)
def test_what_is_no_report_is_not_rendered(kguard: Kguard, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "run.json").write_text(text)
    done = kguard("report", "run.json", "-f", "html")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_report_that_is_not_there(kguard: Kguard) -> None:
    done = kguard("report", "run.json")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_colour_is_for_terminals_that_want_it(scan: Kguard, pod: Path, tmp_path: Path) -> None:
    def on_a_terminal(**env: str) -> bytes:
        """What a terminal 100 columns wide shows of stdout."""
        shown, stdout = pty.openpty()
        program = Path(sys.executable).parent / "kguard"
        own = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
        scan("pod.yaml", "-o", "run.json")
        subprocess.run(
            [program, "report", "run.json"], cwd=tmp_path, stdout=stdout, env=own | env, check=True, timeout=60
        )
        os.close(stdout)
        read = b""
        try:
            while chunk := os.read(shown, 65_536):
                read += chunk
        except OSError:  # what a terminal says once nobody writes to it
            pass
        os.close(shown)
        return read

    assert b"\x1b[" in on_a_terminal(TERM="xterm")
    assert b"\x1b" not in on_a_terminal(TERM="xterm", NO_COLOR="1")
    assert b"\x1b" not in on_a_terminal(TERM="dumb")


def test_values_are_in_no_report_however_they_are_written(scan: Kguard, tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(
        "apiVersion: v1\n"
        "kind: Pod\n"
        "metadata:\n"
        "  name: p\n"
        '  annotations: {kubectl.kubernetes.io/last-applied-configuration: \'{"value":"hunter1"}\'}\n'
        "spec:\n"
        "  containers:\n"
        "    - securityContext: {privileged: true}  # not hunter1\n"
        "      env:\n"
        "        - {value: hunter1, name: A}\n"
        '        - {"name": "B", "v\\x61lue": "hun\\x74er2"}\n'
        "        - name: C\n"
        "          value: |\n"
        "            hunter3\n"
        "        - {name: D, value: hunter4, value: hunter5}\n"
    )
    names = ["r.json", "r.html", "r.md", "r.txt"]
    done = scan("pod.yaml", *(word for name in names for word in ("-o", name)))
    assert done.returncode == 1
    assert "# not ***" in (tmp_path / "r.html").read_text()
    for text in (done.stdout, *((tmp_path / name).read_text() for name in names)):
        assert "hunter" not in text
        assert "hun\\" not in text
