"""kguard.yaml: found where it should be, read whole or refused with every mistake in its place."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kguard import config
from kguard.config import (
    Allowed,
    Chart,
    Config,
    Inputs,
    Kustomization,
    find,
    input_settings,
    load,
    merge_settings,
    read,
)
from kguard.errors import UsageError
from kguard.model import Severity
from kguard.settings import ControlSettings, MergeSettings, SeverityRule

WHOLE = """\
inputs:
  exclude: ["**/testdata/**", "!keep/"]
  hidden: true
  namespace: shop
  charts:
    - path: charts/web
      name: prod
      release: web
      namespace: shop
      values: [charts/web/values.yaml, charts/web/values-prod.yaml]
      set: {image.tag: "1.20", replicas: 3, debug: false, extra: null, args: "a,{b}\\\\c"}
      api-versions: [monitoring.coreos.com/v1]
      kube-version: "1.30"
    - {path: charts/web, values: [charts/web/values-dev.yaml]}
    - {path: old.tgz}
  kustomizations:
    - path: overlays/prod
      namespace: shop
      allow-remote: [github.com/org/repo]
"""


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a chart, an archive and an overlay; the working directory is its root."""
    root = tmp_path / "repo"
    for folder in (".git", "charts/web", "overlays/prod"):
        (root / folder).mkdir(parents=True)
    names = ("Chart.yaml", "values.yaml", "values-prod.yaml", "values-dev.yaml")
    for name in (*(f"charts/web/{name}" for name in names), "old.tgz", "overlays/prod/kustomization.yaml"):
        (root / name).write_text("")
    monkeypatch.chdir(root)
    return root


def mistakes(text: str | bytes) -> list[str]:
    """What is said about a kguard.yaml with this text, line by line."""
    Path("kguard.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        load(Path("kguard.yaml"))
    return str(caught.value).splitlines()


def loaded(text: str) -> Config:
    Path("kguard.yaml").write_text(text)
    return load(Path("kguard.yaml"))


# -- what is right --------------------------------------------------------------------------------------------------------


def test_every_key_is_read(tree: Path) -> None:
    assert loaded(WHOLE) == Config(
        inputs=Inputs(
            exclude=("**/testdata/**", "!keep/"),
            hidden=True,
            namespace="shop",
            charts=(
                Chart(
                    path="charts/web",
                    name="prod",
                    release="web",
                    namespace="shop",
                    values=("charts/web/values.yaml", "charts/web/values-prod.yaml"),
                    set={"image.tag": "1.20", "replicas": 3, "debug": False, "extra": None, "args": "a,{b}\\c"},
                    api_versions=("monitoring.coreos.com/v1",),
                    kube_version="1.30",
                ),
                Chart(path="charts/web", values=("charts/web/values-dev.yaml",)),
                Chart(path="old.tgz"),
            ),
            kustomizations=(
                Kustomization(path="overlays/prod", namespace="shop", allow_remote=("github.com/org/repo",)),
            ),
        )
    )


FINDINGS = """\
allow-incomplete:
  - {tool: polaris, reason: not in the image yet}
severity-rule: max
merge:
  never:
    - [trivy:KSV-0014, kube-linter:no-read-only-root-fs]
controls:
  host-network: {severity: low, reason: node agents}
  guild-root: {title: No root, severity: critical, rules: [trivy:KSV-0012, new:X1], scope: container}
"""


def names(kind: str) -> Sequence[str]:
    known = {
        "tool": ("trivy", "polaris", "inputs"),
        "rule": ("trivy:KSV-0014", "kube-linter:no-read-only-root-fs"),
        "controls": ("host-network", "host-pid"),
    }
    return known[kind]


def test_how_findings_are_made(tree: Path) -> None:
    Path("kguard.yaml").write_text(FINDINGS)
    found = load(Path("kguard.yaml"), names)
    assert found.allow_incomplete == (Allowed(tool="polaris", reason="not in the image yet"),)
    merge = merge_settings(found)
    assert merge.severity_rule is SeverityRule.MAX
    assert merge.never == (("trivy:KSV-0014", "kube-linter:no-read-only-root-fs"),)
    assert merge.controls["host-network"] == ControlSettings(severity=Severity.LOW, reason="node agents")
    assert merge.controls["guild-root"].rules == ("trivy:KSV-0012", "new:X1")
    assert merge_settings(Config()) == MergeSettings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allow-incomplete: [{tool: polaris}]", "1:20 allow-incomplete[0]: 'reason' is missing"),
        (
            "allow-incomplete: [{tool: polari, reason: x}]",
            "1:27 allow-incomplete[0].tool: 'polari': not known; did you mean 'polaris'?",
        ),
        ("severity-rule: worst", "1:16 severity-rule: expected catalogue, max or median, found 'worst'"),
        (
            "merge: {never: [[KSV-0014]]}",
            "1:18 merge.never[0][0]: expected a tool's rule, written tool:RULE, found 'KSV-0014'",
        ),
        (
            "merge: {never: [[trivy:KSV-0015]]}",
            "1:18 merge.never[0][0]: 'trivy:KSV-0015': not known; did you mean 'trivy:KSV-0014'?",
        ),
        (
            "controls: {host-netwrk: {severity: low}}",
            (
                "1:12 controls.host-netwrk: the catalogue has no such control; did you mean 'host-network'?"
                " A control of your own needs title, severity and rules"
            ),
        ),
        (
            "controls: {host-pid: {rules: [a:b]}}",
            "1:12 controls.host-pid: stands in the catalogue: its rules and scope cannot be changed here",
        ),
        (
            "controls: {'A b': {rules: [a:b], title: t, severity: low}}",
            "1:12 controls.A b: expected a name of a-z, 0-9 and dashes",
        ),
        (
            "controls: {host-pid: {severity: worst}}",
            "1:33 controls.host-pid.severity: expected critical, high, medium, low or info, found 'worst'",
        ),
    ],
)
def test_what_is_wrong_about_findings_is_told(tree: Path, text: str, message: str) -> None:
    Path("kguard.yaml").write_text(text)
    with pytest.raises(UsageError) as error:
        load(Path("kguard.yaml"), names)
    assert str(error.value) == f"kguard.yaml:{message}"


def test_a_set_of_values_is_called_as_its_last_file_unless_it_has_a_name() -> None:
    values = ("a/values.yaml", "a/values-prod.yaml")
    assert Chart(path="a", name="prod", values=values).set_name == "prod"
    assert Chart(path="a", values=values).set_name == "values-prod.yaml"
    assert Chart(path="a").set_name is None


def test_settings_have_absolute_paths_and_values_as_helm_takes_them(tree: Path) -> None:
    found = input_settings(loaded(WHOLE), Path("kguard.yaml"))
    assert [(item.pattern, item.folder, item.source) for item in found.exclude] == [
        ("**/testdata/**", tree, "kguard.yaml"),
        ("!keep/", tree, "kguard.yaml"),
    ]
    assert (found.hidden, found.namespace) == (True, "shop")
    web, dev, old = found.charts
    assert web.path == tree / "charts/web"
    assert web.values == (tree / "charts/web/values.yaml", tree / "charts/web/values-prod.yaml")
    assert web.set_values == (("replicas", "3"), ("debug", "false"), ("extra", "null"))
    assert web.set_strings == (("image.tag", "1.20"), ("args", r"a\,\{b}\\c"))
    assert (web.name, web.release, web.namespace, web.kube_version) == ("prod", "web", "shop", "1.30")
    assert web.api_versions == ("monitoring.coreos.com/v1",)
    assert (dev.name, old.path) == (None, tree / "old.tgz")
    (overlay,) = found.kustomizations
    assert (overlay.path, overlay.namespace) == (tree / "overlays/prod", "shop")
    assert overlay.allow_remote == {"github.com/org/repo"}


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "---\n", "--- # a comment\n", "\ufeff", "inputs: {}", "inputs: {namespace: }"]
)
def test_what_says_nothing_is_the_default(tree: Path, text: str) -> None:
    assert loaded(text) == Config()


def test_aliases_and_windows_line_ends_are_read(tree: Path) -> None:
    text = "---\r\ninputs:\r\n  exclude: [&a x]\r\n  charts: [{path: charts/web, api-versions: [*a]}]\r\n"
    assert loaded(text).inputs.charts[0].api_versions == ("x",)


# -- what is wrong --------------------------------------------------------------------------------------------------------


def test_the_key_that_is_meant_is_named_with_line_and_column(tree: Path) -> None:
    text = "# ours\n---\ninputs:\n  charts:\n    - path: charts/web\n      vaules: [x]\n    - path: old.tgz\n"
    assert mistakes(text) == ["kguard.yaml:6:7 inputs.charts[0].vaules: unknown key; did you mean 'values'?"]


def test_all_mistakes_are_told_in_the_order_of_the_file(tree: Path) -> None:
    text = """\
input: {}
inputs:
  hidden: "yes"
  exclude:
    - "[a"
    - 3
  charts:
    - name: x
      set: {a: [hunter2], "": 1}
    - {path: charts/web, values: charts/web/values.yaml, api_versions: []}
    - path: charts/api
      kube-version: 1.30
      release: Web_1
  kustomizations: {path: x}
"""
    assert mistakes(text) == [
        "kguard.yaml:1:1 input: unknown key; did you mean 'inputs'?",
        "kguard.yaml:3:11 inputs.hidden: expected true or false, found 'yes'",
        "kguard.yaml:5:7 inputs.exclude[0]: '[a': a bracket that is not closed",
        "kguard.yaml:6:7 inputs.exclude[1]: expected a pattern, found the number 3; put it in quotes",
        "kguard.yaml:8:7 inputs.charts[0]: 'path' is missing",
        "kguard.yaml:9:16 inputs.charts[0].set.a: expected text or a whole number or a number or true or false or nothing, found a list",
        "kguard.yaml:9:27 inputs.charts[0].set: an empty key",
        "kguard.yaml:10:34 inputs.charts[1].values: expected a list, found 'charts/web/values.yaml'",
        "kguard.yaml:10:58 inputs.charts[1].api_versions: unknown key; did you mean 'api-versions'?",
        "kguard.yaml:11:13 inputs.charts[2].path: 'charts/api': there is no such path",
        'kguard.yaml:12:21 inputs.charts[2].kube-version: expected a version such as "1.30", found the number 1.30; put it in quotes',
        "kguard.yaml:13:16 inputs.charts[2].release: expected a name of at most 53 a-z, 0-9 and dashes, found 'Web_1'",
        "kguard.yaml:14:19 inputs.kustomizations: expected a list, found keys with values",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[a]", "1:1 expected keys with values (inputs, allow-incomplete, severity-rule, merge, controls), found a list"),
        ("text", "1:1 expected keys with values (inputs, allow-incomplete, severity-rule, merge, controls), found 'text'"),
        ("inputs:", "1:8 inputs: expected keys with values (exclude, hidden, namespace, charts, kustomizations), found nothing"),
        ("inputs: {exclude: }", "1:19 inputs.exclude: expected a list, found nothing"),
        ("inputs: {exclude: [~]}", "1:20 inputs.exclude[0]: expected a pattern, found nothing"),
        ("inputs: {exclude: ['']}", "1:20 inputs.exclude[0]: expected a pattern, found ''"),
        ("inputs: {namespace: on}", "1:21 inputs.namespace: expected a name of at most 63 a-z, 0-9 and dashes, found the truth value on; put it in quotes"),
        ('inputs: {namespace: "a\\n"}', "1:21 inputs.namespace: expected a name of at most 63 a-z, 0-9 and dashes, found 'a\\n'"),
        ("inputs: {hidden: 1}", "1:18 inputs.hidden: expected true or false, found the number 1"),
        ("inputs: {charts: [x]}", "1:19 inputs.charts[0]: expected keys with values (path, name, release, namespace, values, set, api-versions, kube-version), found 'x'"),
        ("inputs: {charts: [{path: old.tgz, set: 1}]}", "1:40 inputs.charts[0].set: expected keys with values, found the number 1"),
        ("inputs: {hidden: true, hidden: true}", "1:24 inputs: 'hidden' stands in line 1 already"),
        ("inputs: {charts: [{path: old.tgz, set: {a: 1,\n a: 2}}]}", "2:2 inputs.charts[0].set: 'a' stands in line 1 already"),
        ("inputs: {[a]: 1}", "1:10 inputs: expected a key, found a list"),
        ("a: &a {}\n<<: *a", "2:1 <<: unknown key; valid: inputs, allow-incomplete, severity-rule, merge, controls"),
        ("zzz: 1", "1:1 zzz: unknown key; valid: inputs, allow-incomplete, severity-rule, merge, controls"),
        ('"\\e[31mz": 1', "1:1 z: unknown key; valid: inputs, allow-incomplete, severity-rule, merge, controls"),
        ("tools: {path: ./evil}", "1:1 tools: unknown key; kguard.yaml never names programs to run: use --tool-path NAME=FILE"),
        ("inputs: {charts: [{path: old.tgz, exec: ./evil}]}", "1:35 inputs.charts[0].exec: unknown key; kguard.yaml never names programs to run: use --tool-path NAME=FILE"),
    ],
)  # fmt: skip
def test_a_wrong_shape_says_what_is_expected_and_what_stands_there(tree: Path, text: str, message: str) -> None:
    assert f"kguard.yaml:{message}" in mistakes(text)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("charts/none", "there is no such path"),
        ("charts", "no chart: neither a folder with Chart.yaml nor a .tgz"),
        ("kguard.yaml", "no chart: neither a folder with Chart.yaml nor a .tgz"),
        ("../outside", "leaves the repository"),
        ("charts/../../outside", "leaves the repository"),
        ("link", "leaves the repository"),
        ("/etc", "an absolute path; write it relative to the folder of kguard.yaml"),
        ("a\\0b", "holds control characters"),
        ("a\\u202eb", "holds control characters"),
    ],
)
def test_a_path_is_one_of_the_repository(tree: Path, path: str, message: str) -> None:
    (tree.parent / "outside").mkdir()
    (tree.parent / "outside/Chart.yaml").write_text("")
    (tree / "link").symlink_to("../outside")
    (line,) = mistakes(f'inputs: {{charts: [{{path: "{path}"}}]}}')
    assert re.fullmatch(rf"kguard\.yaml:1:26 inputs\.charts\[0\]\.path: '.*': {re.escape(message)}", line)


def test_values_and_kustomizations_are_paths_too(tree: Path) -> None:
    text = "inputs:\n  charts: [{path: old.tgz, values: [charts, ../x]}]\n  kustomizations: [{path: charts}]\n"
    assert mistakes(text) == [
        "kguard.yaml:2:37 inputs.charts[0].values[0]: 'charts': not a file",
        "kguard.yaml:2:45 inputs.charts[0].values[1]: '../x': leaves the repository",
        "kguard.yaml:3:27 inputs.kustomizations[0].path: 'charts': no folder with a kustomization.yaml",
    ]


def test_without_a_repository_no_path_leaves_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "chart.tgz").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    assert mistakes("inputs: {charts: [{path: ../chart.tgz}]}") == [
        "kguard.yaml:1:26 inputs.charts[0].path: '../chart.tgz': leaves the folder of kguard.yaml"
    ]


def test_paths_are_relative_to_the_configuration_and_may_climb_inside_the_repository(tree: Path) -> None:
    (tree / "ci").mkdir()
    (tree / "ci/kguard.yaml").write_text("inputs: {charts: [{path: ../charts/web}]}")
    path = Path("ci/kguard.yaml")
    assert input_settings(load(path), path).charts[0].path == tree / "charts/web"


def test_two_bundles_cannot_have_the_same_path_and_name(tree: Path) -> None:
    text = """\
inputs:
  charts:
    - path: charts/web
    - {path: ./charts//web/, name: prod}
    - {path: charts/web, name: other, values: [charts/web/values.yaml]}
    - {path: charts/web/, release: second}
    - {path: charts/web, values: [charts/web/values.yaml]}
    - {path: charts/web, name: values.yaml}
  kustomizations: [{path: overlays/prod}, {path: overlays/prod, namespace: x}]
"""
    assert mistakes(text) == [
        "kguard.yaml:6:7 inputs.charts[3]: the same path and name as inputs.charts[0]",
        "kguard.yaml:8:7 inputs.charts[5]: the same path and name as inputs.charts[4]",
        "kguard.yaml:9:43 inputs.kustomizations[1]: the same path as inputs.kustomizations[0]",
    ]


# -- hostile and unreadable -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"inputs:\n  x: \xff\n", "kguard.yaml:2: not UTF-8 (byte 0xff); save it as UTF-8."),
        ("inputs: {}".encode("utf-16"), "kguard.yaml:1: not UTF-8 (byte 0xff); save it as UTF-8."),
        (b"#" * (read.MAX_BYTES + 1), "kguard.yaml: larger than 1024 KiB, the limit for a configuration."),
        (b"inputs: {}\n---\na: 1\n", "kguard.yaml:3: a second document; a configuration is one."),
        (b"# x\ninputs:\n\thidden: true\n", "kguard.yaml:3: tab used for indentation."),
        (b"inputs: [\n", "kguard.yaml:2: not YAML: did not find expected node content."),
        (b"inputs: &a [*a]\n", "kguard.yaml:1: the alias *a holds itself."),
        (b"inputs: " + b"[" * 30_000, "kguard.yaml:1: nested deeper than 200 levels, the limit."),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x,x]\n" + b"".join(b"%c: &%c [%s]\n" % (n, n, b",".join([b"*%c" % (n - 1)] * 10)) for n in range(98, 106)),
            "kguard.yaml:6: more than 1,000,000 values once its aliases are expanded, the limit.",
        ),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_why(tree: Path, data: bytes, message: str) -> None:
    assert mistakes(data) == [message]


def test_a_path_that_is_no_file_says_so(tree: Path) -> None:
    for path, message in [(Path("none.yaml"), "there is no such file"), (Path("charts"), "not a regular file")]:
        with pytest.raises(UsageError, match=rf"^{path}: {message}\.$"):
            load(path)
    os.mkfifo("kguard.yaml")
    with pytest.raises(UsageError, match="not a regular file"):
        load(Path("kguard.yaml"))


def test_a_file_without_permission_says_so(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    Path("kguard.yaml").touch()
    monkeypatch.setattr(Path, "open", refused)  # root may read every file
    with pytest.raises(UsageError, match=r"^kguard\.yaml: cannot be read: Permission denied\.$"):
        load(Path("kguard.yaml"))


def test_a_file_of_mistakes_is_told_up_to_a_limit(tree: Path) -> None:
    found = mistakes("".join(f"key{number}: 1\n" for number in range(5000)))
    assert len(found) == read.MAX_MISTAKES + 1
    assert found[-1] == "and more"


TEXTS = st.sampled_from(
    ["path", "inputs", "charts", "set", "a", "", "true", "1.5", "[a", "../x", "charts/web", "\x1b[0m", "ü"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.sampled_from(list(Chart.__struct_encode_fields__)), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(charts=VALUES, rest=VALUES)
def test_whatever_stands_there_is_a_configuration_or_a_list_of_mistakes(
    charts: Any, rest: Any, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("any") / "kguard.yaml"
    path.write_text(yaml.safe_dump({"inputs": {"charts": charts}, **(rest if isinstance(rest, dict) else {})}))
    said = None
    try:
        found = load(path)
    except UsageError as error:
        said = str(error)
    if said is None:
        assert msgspec.convert(yaml.safe_load(path.read_text()), Config) == found
    else:
        assert all(re.match(r".*kguard\.yaml:\d+:\d+ ", line) for line in said.splitlines())
        assert "\x1b" not in said


# -- where it is found ----------------------------------------------------------------------------------------------------


def test_it_is_found_upwards_to_the_root_of_the_repository(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree.parent / "kguard.yaml").write_text("")
    assert find() is None
    monkeypatch.chdir(tree / "charts/web")
    assert find() is None
    (tree / "kguard.yaml").write_text("")
    assert find() == Path("../../kguard.yaml")
    (tree / "charts/kguard.yaml").write_text("zzz: 1")
    assert find() == Path("../kguard.yaml")
    with pytest.raises(UsageError, match=r"^\.\./kguard\.yaml:1:1 zzz: unknown key"):
        load(Path("../kguard.yaml"))


def test_without_a_repository_it_is_found_only_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "kguard.yaml").write_text("")
    monkeypatch.chdir(tmp_path / "sub")
    assert find() is None
    monkeypatch.chdir(tmp_path)
    assert find() == Path("kguard.yaml")


def test_a_link_is_followed_inside_the_repository_only(tree: Path) -> None:
    (tree / "ci").mkdir()
    (tree / "ci/shared.yaml").write_text("")
    (tree / "kguard.yaml").symlink_to("ci/shared.yaml")
    assert find() == Path("kguard.yaml")
    (tree / "kguard.yaml").unlink()
    (tree.parent / "theirs.yaml").write_text("")
    (tree / "kguard.yaml").symlink_to("../theirs.yaml")
    with pytest.raises(UsageError, match=r"^kguard\.yaml: a link that leaves the repository"):
        find()
    assert load(Path("kguard.yaml")) == Config()  # named by the user it is read


# -- the schema -----------------------------------------------------------------------------------------------------------


def schema() -> Any:
    return json.loads((files("kguard") / "data" / "schema" / "config.json").read_text())


def test_the_schema_that_ships_is_the_one_of_the_types() -> None:
    assert (files("kguard") / "data" / "schema" / "config.json").read_text() == config.schema(), "run `make generate`"


def test_the_schema_takes_what_is_right_and_refuses_what_is_wrong() -> None:
    jsonschema.validate(yaml.safe_load(WHOLE), schema())
    wrongs: list[Any] = [
        {"input": {}},
        {"inputs": {"charts": [{}]}},
        {"inputs": {"namespace": "A"}},
        {"inputs": {"hidden": 1}},
    ]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema())


def test_every_key_is_described_in_the_schema() -> None:
    for struct in schema()["$defs"].values():
        for key, value in struct["properties"].items():
            assert value["description"].endswith((".", "quotes.")), key
