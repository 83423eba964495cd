"""The way back through templates: known faults in known places, and all that could make a line look like another one."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kguard.inputs.helm.gotemplate import TemplateFile
from kguard.inputs.helm.release import Release
from kguard.inputs.helm.templates import Templates
from kguard.inputs.helm.trace import Made, Rendered, TemplateTrace
from kguard.inputs.helm.values import Values
from kguard.inputs.objects import index, lookup
from kguard.model import FieldPath, KubeObject, Location, Precision, Span
from kguard.running.process import run

CHARTS = Path(__file__).resolve().parent.parent.parent.parent / "fixtures" / "charts"
HELMS = ("helm", "helm4")

Render = Callable[..., tuple[KubeObject, ...]]


@pytest.fixture
def render(tmp_path: Path) -> Render:
    """Render a chart with the real helm."""

    def rendered(chart: Path, helm: str = "helm", **options: Any) -> tuple[KubeObject, ...]:
        program = shutil.which(helm)
        assert program is not None, "run the tests with `make test`, which installs helm"
        release = Release(chart=chart, path=chart.name, bundle="helm:test", name="test", **options)
        work = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        return release.objects(run(release.command("helm", work), Path(program), work, timeout=60))

    return rendered


@pytest.fixture
def pod(tmp_path: Path, render: Render) -> Callable[..., KubeObject]:
    """The only object of a chart of one template."""

    def rendered(
        template: str | bytes, own: str = "", helpers: str = "", readme: str = "", **options: Any
    ) -> KubeObject:
        chart = make_chart(tmp_path, {"pod.yaml": template, "_helpers.tpl": helpers}, own)
        (chart / "README").write_text(readme)
        (found,) = render(chart, **options)
        return found

    return rendered


def make_chart(folder: Path, templates: Mapping[str, str | bytes], values: str = "") -> Path:
    chart = folder / "web"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: web\nversion: 0.1.0\n")
    (chart / "values.yaml").write_text(values)
    for name, text in templates.items():
        (chart / "templates" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return chart


def where(obj: KubeObject, *path: str | int) -> Location:
    locations = index(obj).locations
    assert locations is not None
    return locations[path]


def line(obj: KubeObject, *path: str | int) -> int | None:
    """The line that is given, None where only the template is."""
    place = where(obj, *path)
    assert place.precision is (Precision.TEMPLATE if place.line is None else Precision.EXACT)
    return place.line


# -- a chart with known faults ---------------------------------------------------------------------------------------------


def expectations() -> list[tuple[str, ...]]:
    rows = [row.split("\t") for row in (CHARTS / "expected.tsv").read_text().splitlines() if row[:1] != "#"]
    return [tuple(row) for row in rows]


def field_path(text: str) -> FieldPath:
    return tuple(int(key) if key.isdigit() else key.replace("~1", "/") for key in text.split("/")) if text else ()


@pytest.mark.parametrize("helm", HELMS)
@pytest.mark.parametrize("values", ["dev", "prod"])
def test_known_faults_have_known_places(render: Render, helm: str, values: str) -> None:
    chart = CHARTS / "shop"
    objects = {
        f"{obj.ref.kind} {obj.ref.name}": obj for obj in render(chart, helm, values=(chart / f"values-{values}.yaml",))
    }
    rows = [row for row in expectations() if row[0] == values]
    found = []
    for _, name, field, *_ in rows:
        place = where(objects[name], *field_path(field))
        file = place.path.removeprefix("shop/")
        found.append((values, name, field, file, str(place.line or "-"), str(place.precision), ",".join(place.values)))
    assert len(rows) > 10
    assert found == rows


def marked(folder: Path, chart: Path) -> Path:
    """A copy whose template lines without actions say where they stand, in a comment."""
    copy = folder / chart.name
    shutil.copytree(chart, copy)
    for file in copy.rglob("templates/**/*"):
        if not file.is_file() or file.name == "NOTES.txt":
            continue
        text = file.read_text()
        busy = {
            number
            for match in re.finditer(r"\{\{.*?\}\}(?=[^\n]*\n)", text, re.DOTALL)
            for number in range(text.count("\n", 0, match.start()), text.count("\n", 0, match.end()) + 1)
        }
        lines = [
            row
            if number in busy or not row.strip() or row == "---"
            else f"{row} # {file.relative_to(copy)}:{number + 1}"
            for number, row in enumerate(text.split("\n"))
        ]
        file.write_text("\n".join(lines))
    return copy


@pytest.mark.parametrize("values", ["dev", "prod"])
def test_every_line_of_the_chart_agrees_with_a_copy_that_says_its_lines(
    tmp_path: Path, render: Render, values: str
) -> None:
    chart = CHARTS / "shop"
    options = {"values": (chart / f"values-{values}.yaml",)}
    plain = render(chart, **options)
    told = render(marked(tmp_path, chart), **options)
    agreed = 0
    for obj, twin in zip(plain, told, strict=True):
        said = [re.search(r" # (\S+:\d+)$", row) for row in twin.text.decode().split("\n")]
        for path, place in (index(obj).locations or {}).items():
            mark = said[index(obj).staged_spans[path].line - 1]
            if place.line is not None and path and mark is not None:
                assert f"shop/{mark[1]}" == f"{place.path}:{place.line}", (obj.ref, path)
                agreed += 1
    assert agreed > 60


def test_helpers_of_the_real_world_are_read_in_place(corpus: Callable[[str], Path], render: Render) -> None:
    for name, chart in (
        ("podinfo", "charts/podinfo"),
        ("dapr-chart", "charts/dapr"),
        ("microservices-demo", "helm-chart"),
    ):
        objects = render(corpus(name) / chart)
        assert all(where(obj).precision is Precision.OBJECT for obj in objects), name


# -- what could make a line look like another one ------------------------------------------------------------------------------

HEAD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n"
"""Five lines."""
SPEC = "  nodeName: {}\n  {{{{- if eq 1 2 }}}}\n  hostNetwork: true\n  {{{{- end }}}}\n"
"""A field that an action prints, and after it a line that the template never prints itself."""


def test_a_branch_that_is_off_is_not_taken_for_values_that_say_the_same(pod: Callable[..., KubeObject]) -> None:
    template = HEAD + (
        "  {{- if .Values.lit }}\n  hostNetwork: true\n  {{- end }}\n"
        "  {{- with .Values.extra }}{{ toYaml . | nindent 2 }}{{ end }}\n"
    )
    found = pod(template, "lit: 0\nextra: {hostNetwork: true}\n", set_values=(("lit", "false"),))
    assert line(found, "spec", "hostNetwork") is None
    assert where(found, "spec", "hostNetwork").values == ("extra",)


def test_a_branch_that_may_be_off_proves_nothing_beside_values_that_might_say_the_same(
    pod: Callable[..., KubeObject],
) -> None:
    template = HEAD + (
        "  {{- if .Values.lit }}\n  hostNetwork: true\n  {{- end }}\n"
        "  {{- with .Values.extra }}{{ toYaml . | nindent 2 }}{{ end }}\n"
    )
    found = pod(template, "lit: true\nextra: {hostPID: true}\n")
    assert line(found, "spec", "hostNetwork") is None


def test_a_branch_is_proven_where_no_value_can_print_its_text(pod: Callable[..., KubeObject]) -> None:
    template = HEAD + (
        "  {{- if .Values.lit }}\n  hostNetwork: true\n  {{- end }}\n"
        "  {{- with .Values.extra }}\n  securityContext:\n    {{- toYaml . | nindent 4 }}\n  {{- end }}\n"
    )
    found = pod(template, "lit: true\nextra: {runAsUser: 0}\n")
    assert line(found, "spec", "hostNetwork") == 7
    assert line(found, "spec", "securityContext") == 10
    assert line(found, "spec", "securityContext", "runAsUser") is None


@pytest.mark.parametrize("where_set", ["values", "file", "set", "changed", "global", "tpl", "helper"])
def test_a_value_with_line_breaks_may_print_any_line(
    tmp_path: Path, pod: Callable[..., KubeObject], where_set: str
) -> None:
    evil = '"x\\n  hostNetwork: true"'
    action, values, before = "{{ .Values.name }}", f"name: {evil}\n", ""
    options: dict[str, Any] = {}
    match where_set:
        case "file":
            (tmp_path / "more.yaml").write_text(values)
            values, options = "name: x\n", {"values": (tmp_path / "more.yaml",)}
        case "set":
            values, options = "name: x\n", {"set_values": (("name", "x\n  hostNetwork: true"),)}
        case "changed":
            values, before = "name: x\n", f'{{{{- $_ := set .Values "name" {evil} -}}}}\n'
        case "global":
            action, values = "{{ .Values.global.name }}", f"global: {{name: {evil}}}\n"
        case "tpl":
            action, values = "{{ tpl .Values.name $ }}", 'name: "x{{ .Values.more }}"\nmore: "\\n  hostNetwork: true"\n'
        case "helper":
            action = '{{ include "name" . }}'
    template = before + HEAD + SPEC.format(action)
    found = pod(template, values, '{{ define "name" }}{{ .Values.name }}{{ end }}', **options)
    assert lookup(index(found).value, ("spec", "hostNetwork")) is True
    assert line(found, "spec", "hostNetwork") is None


def test_a_key_set_beside_another_is_seen(pod: Callable[..., KubeObject]) -> None:
    template = HEAD + (
        "  {{- with .Values.extra }}{{ toYaml . | nindent 2 }}{{ end }}\n"
        "  {{- if .Values.lit }}\n  hostNetwork: true\n  {{- end }}\n"
    )
    found = pod(template, "lit: true\nextra: {}\n", set_values=(("lit", "false,extra.hostNetwork=true"),))
    assert line(found, "spec", "hostNetwork") is None


CONTAINERS = """\
  containers:
    {{- range .Values.containers }}
    - name: {{ .name }}
      image: x:1
      securityContext:
        privileged: true
    {{- end }}
    - name: own
      image: x:1
      securityContext:
        privileged: true
"""


def test_containers_of_a_loop_and_one_beside_them(pod: Callable[..., KubeObject]) -> None:
    found = pod(HEAD + CONTAINERS, "containers: [{name: a}, {name: own}]\n")
    lines = [line(found, "spec", "containers", number, "securityContext", "privileged") for number in range(3)]
    assert lines == [11, 11, 16]
    assert [line(found, "spec", "containers", number) for number in range(3)] == [8, 8, 13]
    assert where(found, "spec", "containers", 1, "name").values == ("containers[].name",)


def test_a_loop_that_breaks(pod: Callable[..., KubeObject]) -> None:
    loop = (
        '  containers:\n    {{- range .Values.containers }}\n    - name: {{ . }}\n      {{- if eq . "a" }}{{ continue }}{{ end }}\n'
        '      image: x:1\n      {{- if eq . "b" }}{{ break }}{{ end }}\n      tty: true\n    {{- end }}\n'
    )
    found = pod(HEAD + loop, "containers: [a, b, c]\n")
    assert "image" not in index(found).value["spec"]["containers"][0]
    assert "tty" not in index(found).value["spec"]["containers"][1]
    assert line(found, "spec", "containers", 1, "image") == 10


def test_text_in_block_scalars_and_comments_is_not_a_field(pod: Callable[..., KubeObject]) -> None:
    template = """\
apiVersion: v1
kind: Pod
metadata:
  name: p
  annotations:
    a: |
      hostNetwork: true
      # hostPID: true
    b: "hostPID: true"
spec:
  # hostNetwork: true
  {{- /* hostNetwork: true */}}
  hostNetwork: true
  hostPID: true # hostPID: true
"""
    found = pod(template)
    assert (line(found, "spec", "hostNetwork"), line(found, "spec", "hostPID")) == (13, 14)
    assert where(found, "metadata", "annotations", "a").end_line == 8


def test_the_last_of_duplicate_keys_is_the_one_that_counts(pod: Callable[..., KubeObject]) -> None:
    found = pod(HEAD + "  hostNetwork: false\n  hostNetwork: true\n")
    assert line(found, "spec", "hostNetwork") == 7


def test_windows_line_ends_and_a_byte_order_mark(pod: Callable[..., KubeObject]) -> None:
    template = (
        HEAD
        + "  {{- if .Values.lit }}\n  hostNetwork: true\n  {{- end }}\n  hostPID: {{ .Values.lit }}\n  hostIPC: true\n"
    )
    found = pod(b"\xef\xbb\xbf" + template.replace("\n", "\r\n").encode(), "lit: true\n")
    assert (line(found, "spec", "hostNetwork"), line(found, "spec", "hostPID"), line(found, "spec", "hostIPC")) == (
        7,
        None,
        10,
    )


@pytest.mark.parametrize("character", ["\r", "\x85", "\u2028"])
def test_a_line_break_that_only_yaml_knows_gives_no_lines(pod: Callable[..., KubeObject], character: str) -> None:
    found = pod(HEAD + f"  # one{character}  # two\n  imagePullSecrets:\n  - a\n  - b\n  - c\n")
    assert line(found, "spec", "imagePullSecrets", 0) is None


def test_tabs_stand_where_yaml_takes_them(pod: Callable[..., KubeObject]) -> None:
    found = pod(HEAD + "  hostNetwork:\ttrue\n{{-\t/* a comment */}}\n  hostPID: true\n")
    assert (line(found, "spec", "hostNetwork"), line(found, "spec", "hostPID")) == (6, 8)


def test_actions_over_several_lines_and_braces_in_texts(pod: Callable[..., KubeObject]) -> None:
    template = HEAD + (
        '  nodeName: {{ printf "}}%s"\n    `{{ {\n{`\n    | replace "\\n" "" | replace "}" "" | replace "{" "" | trim | quote\n  }}\n'
        "  hostNetwork: true\n"
    )
    found = pod(template)
    assert line(found, "spec", "nodeName") is None
    assert line(found, "spec", "hostNetwork") == 11


def test_the_same_document_twice_is_not_told_apart(tmp_path: Path, render: Render) -> None:
    text = "{{- if .Values.lit }}\n" + HEAD + "  hostPID: true\n---\n{{- end }}\n" + HEAD + "  hostPID: true\n"
    for obj in render(make_chart(tmp_path, {"pods.yaml": text}, "lit: true\n")):
        assert line(obj, "spec", "hostPID") is None


def test_documents_of_one_template_keep_their_lines_in_whatever_order_they_are_printed(
    tmp_path: Path, render: Render
) -> None:
    text = (
        HEAD
        + "  hostPID: true\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: n\n--- # last\n"
        + HEAD
        + "  hostIPC: true\n"
    )
    first, *others = render(make_chart(tmp_path, {"all.yaml": text}))
    assert first.ref.kind == "Namespace"
    assert [obj.origin.document for obj in (first, *others)] == [1, 2, 3]
    assert (where(first).line, line(others[0], "spec", "hostPID"), line(others[1], "spec", "hostIPC")) == (8, 6, 18)


def test_separators_out_of_actions(tmp_path: Path, render: Render) -> None:
    text = (
        HEAD + "  hostPID: true\n{{ .Values.separator }}\n" + HEAD.replace("name: p", "name: q") + "  hostPID: true\n"
    )
    objects = render(make_chart(tmp_path, {"all.yaml": text}, 'separator: "---"\n'))
    assert {obj.ref.name: line(obj, "spec", "hostPID") for obj in objects} == {"p": 6, "q": 13}


def test_a_document_out_of_an_action(tmp_path: Path, render: Render) -> None:
    text = HEAD + "  hostPID: true\n{{ .Values.more }}\n"
    more = ("---\n" + HEAD + "  hostPID: true\n").replace("\n", "\n  ")
    objects = render(make_chart(tmp_path, {"all.yaml": text}, f"more: |-\n  {more}"))
    assert [line(obj, "spec", "hostPID") for obj in objects] == [None, None]


def test_a_hook_that_helm_drops_is_reckoned_with(pod: Callable[..., KubeObject]) -> None:
    hook = HEAD.replace("name: p", "name: h\n  annotations: {helm.sh/hook: never}") + "---\n"
    template = (
        "{{- if eq 1 1 }}\n" + hook + HEAD + "  hostPID: true\n{{- else }}\n" + HEAD + "  hostPID: true\n{{- end }}\n"
    )
    found = pod(template)
    assert line(found, "spec", "hostPID") is None
    assert line(found, "metadata", "name") is None


def test_a_helper_with_the_name_of_a_template_takes_its_place(tmp_path: Path, render: Render) -> None:
    text = HEAD + "  hostPID: true\n"
    other = '{{ define "web/templates/a.yaml" }}\n\n' + text + "{{ end }}"
    (found,) = render(make_chart(tmp_path, {"a.yaml": text, "z.yaml": other}))
    assert line(found, "spec", "hostPID") is None


def test_a_helper_that_is_defined_twice_is_not_guessed(tmp_path: Path, render: Render) -> None:
    define = '{{ define "spec" }}hostPID: true{{ end }}'
    templates = {"_a.tpl": define, "_b.tpl": "\n\n" + define, "pod.yaml": HEAD + '  {{ include "spec" . }}\n'}
    (found,) = render(make_chart(tmp_path, templates))
    assert line(found, "spec", "hostPID") is None
    assert where(found, "spec", "hostPID").path == "web/templates/pod.yaml"


def test_fields_that_are_set_on_the_line_of_an_action_are_the_templates(pod: Callable[..., KubeObject]) -> None:
    found = pod(HEAD + "  hostPID: {{ if .Values.pid }}true{{ else }}false{{ end }}\n", "pid: true\n")
    assert line(found, "spec", "hostPID") is None
    assert where(found, "spec", "hostPID").values == ("pid",)


def test_what_helm_cuts_out_gives_no_lines(pod: Callable[..., KubeObject]) -> None:
    template = "  {{- if eq 1 1 }}\n  hostPID: true<no value>\n  {{- else }}\n  hostPID: true\n  {{- end }}\n"
    assert line(pod(HEAD + template), "spec", "hostPID") is None


def test_items_of_lists_have_the_lines_of_the_template(tmp_path: Path, render: Render) -> None:
    text = (
        "apiVersion: v1\nkind: PodList\nitems:\n{{- range .Values.names }}\n- metadata:\n    name: {{ . }}\n  spec:\n    hostPID: true\n"
        "{{- end }}\n"
    )
    objects = render(make_chart(tmp_path, {"list.yaml": text}, "names: [a, b]\n"))
    assert [(obj.ref.kind, line(obj, "spec", "hostPID"), obj.origin.item) for obj in objects] == [
        ("Pod", 8, 1),
        ("Pod", 8, 2),
    ]
    # what an item takes from its list stands nowhere in it
    assert where(objects[0]).precision is where(objects[0], "kind").precision is Precision.TEMPLATE


def test_keys_of_values_through_blocks_variables_and_helpers(pod: Callable[..., KubeObject]) -> None:
    template = HEAD + (
        "  {{- $pod := .Values.pod }}\n"
        "  nodeName: {{ $pod.node }}\n"
        '  hostname: {{ index .Values "other" "host" | quote }}\n'
        "  {{- with .Values.a.b }}\n  subdomain: {{ .c }}{{ $.Values.d }}\n  {{- end }}\n"
        '  schedulerName: {{ include "scheduler" (dict "of" .Values.scheduler) }}\n'
        "  nodeSelector:\n    {{- range $key, $value := .Values.labels }}\n    {{ $key }}: {{ $value }}\n    {{- end }}\n"
    )
    values = "pod: {node: n}\nother: {host: h}\na: {b: {c: s}}\nd: x\nscheduler: {name: q}\nlabels: {l: v}\n"
    found = pod(template, values, '{{ define "scheduler" }}{{ .of.name }}{{ end }}')
    keys = {name: where(found, "spec", name).values for name in ("nodeName", "hostname", "subdomain", "schedulerName")}
    assert keys == {
        "nodeName": ("pod.node",),
        "hostname": ("other.host",),
        "subdomain": ("a.b.c", "d"),
        "schedulerName": ("scheduler",),
    }
    assert where(found, "spec", "nodeSelector", "l").values == ("labels",)


@pytest.mark.parametrize(
    ("action", "helpers"),
    [
        ('{{ template "x" "a" | quote }}', '{{ define "x" }}x\n  hostNetwork: true{{ end }}'),
        ('{{ block "x" . }}x\n  hostNetwork: true{{ end }}', ""),
        ('{{ ("a" | index .Values).b }}', ""),
        ('{{ printf "x%c  hostNetwork: true" 10 }}', ""),
        ('{{ print "x\\n  hostNetwork: true" }}', ""),
        ("{{ print `x\n  hostNetwork: true` }}", ""),
        ('{{ $x := "y" }}{{ if .Values.a }}{{ $x = .Values.a.b }}{{ end }}{{ $x }}', ""),
        ('{{ range $i, $x := list .Values.a.b }}{{ $x }}{{ end }}', ""),
        ('{{ range $x := list 1 }}{{ $.Values.a.b }}{{ end }}', ""),
        ('{{ with .Values.a }}{{ with .b }}{{ . }}{{ end }}{{ end }}', ""),
        ('{{ include "x" (dict "k" .Values.a.b) }}', '{{ define "x" }}{{ .k }}{{ end }}'),
        ('{{ include "x" . | trim }}', '{{ define "x" }}{{ include "y" .Values }}{{ end }}{{ define "y" }}{{ .a.b }}{{ end }}'),
        ('{{ (.Values.a | mustDeepCopy).b }}', ""),
        ('{{ .Values.global.g.b }}', ""),
        ('{{ toYaml .Values.a.c | fromYaml | toString | replace "]" "" | replace "map[x:" "" }}', ""),
        ('{{ get .Values.a "b" }}', ""),
        ('{{ .Values.a.d | b64dec }}', ""),
        ('{{ "x" | println }}  hostNetwork: true', ""),
        ('{{ .Chart.Description | default .Values.a.b }}', ""),
        ('{{ $_ := merge .Values (dict "z" (dict "y" .Values.a.b)) }}{{ .Values.z.y }}', ""),
        ('{{ $_ := merge (dict "a" .Values.m) (dict "a" (dict "n" .Values.a.b)) }}{{ .Values.m.n }}', ""),
        ('{{ $_ := tpl .Values.change . }}{{ .Values.z }}', ""),
        ('{{ $_ := tpl (.Files.Get "README") . }}{{ .Values.z }}', ""),
    ],
)  # fmt: skip
def test_ways_to_print_a_line_break(pod: Callable[..., KubeObject], action: str, helpers: str) -> None:
    evil = '"x\\n  hostNetwork: true"'
    coded = "eAogIGhvc3ROZXR3b3JrOiB0cnVl"
    values = f"a: {{b: {evil}, c: {{x: {evil}}}, d: {coded}}}\nb: v\nglobal: {{g: {{b: {evil}}}}}\nm: {{o: 1}}\n"
    change = '{{ $_ := set .Values "z" .Values.a.b }}'
    template = HEAD + SPEC.format(action)
    found = pod(template, values + (f"change: '{change}'\n" if "change" in action else ""), helpers, readme=change)
    assert index(found).value["spec"]["hostNetwork"] is True
    off = template.count("\n", 0, template.rindex("hostNetwork")) + 1
    place = where(found, "spec", "hostNetwork")
    assert (place.path, place.line) != ("web/templates/pod.yaml", off)


@pytest.mark.parametrize("values", ["lit: no\n", "true: 1\nlit: 1\n", "on: 1\nlit: 1\n", "lit: 00\n", "lit: n\n"])
def test_words_that_readers_of_yaml_read_differently(pod: Callable[..., KubeObject], values: str) -> None:
    """Whatever helm makes of them, the line that it prints is the one that is given, or none is."""
    template = HEAD + (
        "  {{- if .Values.lit }}\n  hostNetwork: true\n  {{- else if .Values.true }}\n  hostNetwork: true\n"
        "  {{- else }}\n  hostNetwork: true\n  {{- end }}\n"
    )
    assert line(pod(template, values), "spec", "hostNetwork") is None


def test_numbers_that_are_counted_to(pod: Callable[..., KubeObject]) -> None:
    template = HEAD + "  {{- range .Values.count }}\n  {{- if . }}\n  hostPID: true\n  {{- end }}\n  {{- end }}\n"
    template += "  {{- if eq 1 2 }}\n  hostPID: true\n  {{- end }}\n"
    found = pod(template, set_values=(("count", "2"),))
    assert line(found, "spec", "hostPID") in (None, 8)


def test_branches_that_differ_are_told_apart(pod: Callable[..., KubeObject]) -> None:
    template = HEAD + (
        '  {{- if eq .Values.lit "a" }}\n  hostNetwork: true\n  {{- else if eq .Values.lit "b" }}\n  hostPID: true\n'
        "  {{- else }}\n  hostIPC: true\n  {{- end }}\n"
    )
    assert line(pod(template, "lit: b\n"), "spec", "hostPID") == 9


def test_values_of_a_subchart_that_its_parent_sets(tmp_path: Path, render: Render) -> None:
    chart = make_chart(tmp_path, {}, 'sub: {name: "x\\n  hostNetwork: true", lit: false}\n')
    make_chart(tmp_path / "web/charts", {"pod.yaml": HEAD + SPEC.format("{{ .Values.name }}")}, "name: x\nlit: true\n")
    (tmp_path / "web/charts/web").rename(tmp_path / "web/charts/sub")
    (tmp_path / "web/charts/sub/Chart.yaml").write_text("apiVersion: v2\nname: sub\nversion: 0.1.0\n")
    (found,) = render(chart)
    assert line(found, "spec", "hostNetwork") is None
    assert where(found, "spec", "nodeName").values == ("sub.name",)


def test_global_values_of_the_parent(tmp_path: Path, render: Render) -> None:
    chart = make_chart(tmp_path, {}, 'global: {name: "x\\n  hostNetwork: true"}\n')
    make_chart(tmp_path / "web/charts", {"pod.yaml": HEAD + SPEC.format("{{ .Values.global.name }}")})
    (tmp_path / "web/charts/web").rename(tmp_path / "web/charts/sub")
    (tmp_path / "web/charts/sub/Chart.yaml").write_text("apiVersion: v2\nname: sub\nversion: 0.1.0\n")
    (found,) = render(chart)
    assert line(found, "spec", "hostNetwork") is None
    assert where(found, "spec", "nodeName").values == ("global.name",)


def test_values_that_a_subchart_hands_up(tmp_path: Path, render: Render) -> None:
    chart = make_chart(tmp_path, {"pod.yaml": HEAD + SPEC.format("{{ .Values.got.name }}")}, "lit: false\n")
    (chart / "Chart.yaml").write_text(
        "apiVersion: v2\nname: web\nversion: 0.1.0\ndependencies:\n"
        "- {name: sub, version: 0.1.0, import-values: [{child: up, parent: got}]}\n"
    )
    make_chart(tmp_path / "web/charts", {}, 'up: {name: "x\\n  hostNetwork: true"}\n')
    (tmp_path / "web/charts/web").rename(tmp_path / "web/charts/sub")
    (tmp_path / "web/charts/sub/Chart.yaml").write_text("apiVersion: v2\nname: sub\nversion: 0.1.0\n")
    (found,) = render(chart)
    assert line(found, "spec", "hostNetwork") is None


def test_a_helper_of_the_parent_takes_the_place_of_the_subcharts(tmp_path: Path, render: Render) -> None:
    chart = make_chart(tmp_path, {"_h.tpl": '{{ define "spec" }}\n  hostPID: true{{ end }}'})
    make_chart(
        tmp_path / "web/charts",
        {"_h.tpl": '{{ define "spec" }}\n\n  hostPID: true{{ end }}', "pod.yaml": HEAD + '{{ include "spec" . }}\n'},
    )
    (tmp_path / "web/charts/web").rename(tmp_path / "web/charts/sub")
    (tmp_path / "web/charts/sub/Chart.yaml").write_text("apiVersion: v2\nname: sub\nversion: 0.1.0\n")
    (found,) = render(chart)
    assert where(found, "spec", "hostPID").path in ("web/templates/_h.tpl", "web/charts/sub/templates/pod.yaml")
    assert line(found, "spec", "hostPID") in (None, 2)


# -- what would take too long -------------------------------------------------------------------------------------------------


def templates_of(text: str, values: Any = None, *others: str) -> Templates:
    files = [
        TemplateFile(name=f"t{number}", path=f"t{number}", text=each, lined=True, prefix=())
        for number, each in enumerate((text, *others))
    ]
    return Templates(files, Values([((), values or {})]))


@pytest.mark.parametrize(
    "text",
    [
        "{{" * 400_000,
        "{{ if .a }}" * 50_000,
        "{{ if .a }}b{{ else " + "if .a }}b{{ else " * 5_000 + "}}{{ end }}",
        "{{ end }}",
        "{{ else }}",
        "{{ if .a }}{{ else }}{{ else }}{{ end }}",
        "{{ define .x }}{{ end }}",
        '{{ "open }}',
        "x" * 2_000_000,
    ],
)
def test_templates_that_are_not_read(text: str) -> None:
    templates = templates_of(text)
    grammar = templates.grammar("t0")
    assert grammar is None or grammar.read("x", alone=True) is None


@pytest.mark.parametrize(
    "text",
    [
        "{{ " + "(" * 50_000 + ")" * 50_000 + " }}",
        "{{ .a }}" * 20_000,
        "{{ if .a }}a{{ end }}" * 10_000,
        '{{ define "x" }}' + '{{ include "x" . }}a' * 20 + '{{ end }}{{ include "x" . }}',
        "{{ range .a }}" * 25 + "{{ .b }}a" * 300 + "{{ end }}" * 25,
        '{{ define "x" }}'
        + "{{ if .a }}" * 27
        + '{{ include "x" '
        + "(list " * 8
        + '(include "x" .)'
        + ")" * 8
        + " | quote }}"
        + "{{ end }}" * 28
        + '{{ include "x" . }}',
    ],
)
def test_templates_of_many_readings_end(text: str) -> None:
    start = time.monotonic()
    grammar = templates_of(text, {"a": [1]}).grammar("t0")
    rows = grammar.read("a" * 2_000, alone=False) if grammar else None
    assert rows is None or all(isinstance(row, tuple) for row in rows)
    assert time.monotonic() - start < 20


def test_a_template_that_grows_too_large_in_place_is_read_without_its_helpers() -> None:
    text = (
        '{{ define "x" }}'
        + "a: 1\n" * 2_000
        + "{{ end }}first: 1"
        + '{{ include "x" . | nindent 2 }}' * 6
        + "\nlast: 1"
    )
    grammar = templates_of(text).grammar("t0")
    assert grammar is not None
    rows = grammar.read("first: 1" + "\n  a: 1" * 6 + "\nlast: 1", alone=True)
    assert rows is not None
    assert [whole & grammar.language.anything == 0 for _, whole in rows] == [True, *[False] * 6, True]


def test_a_template_that_is_not_understood_may_define_any_helper() -> None:
    include = 'a: {{ include "x" . }}\nb: 1'
    known, unknown = (
        templates_of(include, None, '{{ define "x" }}1{{ end }}'),
        templates_of(include, None, '{{ define "x" }}1{{ end }}', "{{"),
    )
    for templates, expected in ((known, True), (unknown, False)):
        grammar = templates.grammar("t0")
        assert grammar is not None
        rows = grammar.read("a: 1\nb: 1", alone=True)
        assert rows is not None
        assert (rows[0][1] & grammar.language.anything == 0) is expected
    assert templates_of("a: 1", None, '{{ define "t0" }}{{').grammar("t0") is None


# -- texts that nobody thought of ---------------------------------------------------------------------------------------------

LINES = st.sampled_from(["a: 1", "b: 2", "  a: 1", "- a: 1", "- b: 2", "---", "x"])
"""None of them blank: `{{-` would take them away."""
PRINTED = st.lists(st.one_of(LINES, st.just("")), min_size=0, max_size=3).map("\n".join)


class Written:
    """A template as it is written and what it prints, each printed line with the line that it stands on, None for an action's."""

    def __init__(self) -> None:
        self.source: list[str] = []
        self.printed: list[tuple[str, int | None]] = []
        self.values: dict[str, Any] = {}

    def value(self, value: Any) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f".Values.{name}"

    def text(self, text: str, shown: bool) -> None:
        self.source.append(text)
        if shown:
            self.printed.append((text, len(self.source)))

    def action(self, value: str, pad: int, shown: bool) -> None:
        """On a line of its own, which is taken away with it."""
        name = self.value(value)
        self.source.append(f"{{{{- {name} | nindent {pad} }}}}" if pad else f"{{{{ {name} }}}}")
        if shown:
            self.printed += [(" " * pad + row, None) for row in value.split("\n")]


STEPS = st.recursive(
    st.one_of(st.tuples(st.just("text"), LINES), st.tuples(st.just("action"), PRINTED, st.sampled_from([0, 2]))),
    lambda inner: st.one_of(
        st.tuples(st.just("if"), st.booleans(), st.lists(inner, max_size=3), st.lists(inner, max_size=2)),
        st.tuples(st.just("range"), st.integers(0, 2), st.lists(inner, max_size=3)),
    ),
    max_leaves=8,
)


def write(steps: Sequence[Any], to: Written, shown: bool) -> None:
    for kind, *what in steps:
        match kind:
            case "text":
                to.text(what[0], shown)
            case "action":
                to.action(what[0], what[1], shown)
            case "if":
                to.source.append(f"{{{{- if {to.value(what[0])} }}}}")
                write(what[1], to, shown and what[0])
                to.source.append("{{- else }}")
                write(what[2], to, shown and not what[0])
                to.source.append("{{- end }}")
            case "range":
                to.source.append(f"{{{{- range {to.value([1] * what[0])} }}}}".replace(".Values", "$.Values"))
                start = len(to.printed)
                write(what[1], to, shown and what[0] > 0)
                to.printed += to.printed[start:] * (what[0] - 1)
                to.source.append("{{- end }}")


@settings(max_examples=400, deadline=None)
@given(st.lists(STEPS, min_size=1, max_size=6))
def test_no_line_is_ever_given_that_another_one_printed(steps: Sequence[Any]) -> None:
    written = Written()
    written.text("first: 0", True)
    write(steps, written, True)
    source = (
        "\n".join(written.source).replace("(.Values", "($.Values").replace("{{ .V", "{{ $.V").replace("- .V", "- $.V")
    )
    source = source.replace("if .V", "if $.V")
    values = Values([((), written.values)])
    file = TemplateFile(name="t", path="t", text=source, lined=True, prefix=())
    documents = split(written.printed)
    for document in documents:
        spans: dict[FieldPath, Span] = {(number,): Span(number + 1, number + 1) for number in range(len(document))}
        rendered = Rendered(text="\n".join(row for row, _ in document), line=1, alone=len(documents) == 1)
        trace = TemplateTrace(Made(source="t", spans=None), Templates([file], values), "t", rendered)
        places = trace.locations({}, spans)
        for number, (row, truth) in enumerate(document):
            given_line = places[number,].line
            assert given_line is None or not row.strip() or given_line == truth, (source, document, number)


def split(printed: Sequence[tuple[str, int | None]]) -> list[list[tuple[str, int | None]]]:
    """As helm splits what a template prints, blank lines around documents taken away."""
    documents: list[list[tuple[str, int | None]]] = [[]]
    for row, origin in printed:
        if row.startswith("---"):
            documents.append([])
        else:
            documents[-1].append((row, origin))
    for document in documents:
        while document and not document[-1][0].strip():
            document.pop()
        while document and not document[0][0].strip():
            document.pop(0)
        if document:
            document[0] = (document[0][0].lstrip(), document[0][1])
    return [document for document in documents if document]


def test_a_reading_of_the_random_texts_is_found() -> None:
    """Else the test above would show nothing."""
    source = "first: 0\n{{- if $.Values.v0 }}\na: 1\n{{- else }}\nb: 2\n{{- end }}\nx"
    file = TemplateFile(name="t", path="t", text=source, lined=True, prefix=())
    grammar = Templates([file], Values([((), {"v0": True})])).grammar("t")
    assert grammar is not None
    rows = grammar.read("first: 0\na: 1\nx", alone=True)
    assert rows is not None
    assert all(whole for _, whole in rows)
