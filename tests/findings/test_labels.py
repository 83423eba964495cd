"""Files of labels: what they may look like, and what is said of one that looks otherwise."""

from __future__ import annotations

import pytest
from made import POD

from kguard.errors import UsageError
from kguard.findings.labels import Label, read_labels


def test_a_label_is_a_control_or_a_rule_at_a_place() -> None:
    text = (
        "# of our staging cluster\n"
        "path\tobject\tcontainer\tcontrol\texpected\n"
        "web.yaml\tPod shop/web\tnginx\tprivileged-container\tfail\n"
        "\n"
        "web.yaml\t-\t\ttrivy:KSV-0001\tpass\n"
    )
    found = read_labels(text, "labels.tsv")
    assert found.complete is False
    assert found.labels == (
        Label(path="web.yaml", object="Pod shop/web", container="nginx", name="privileged-container", fault=True),
        Label(path="web.yaml", name="trivy:KSV-0001", fault=False),
    )


@pytest.mark.parametrize("head", ["path,tool,rule,expected", "path,tool,rule_id,expected"])
def test_the_tool_and_its_rule_may_stand_apart_and_commas_part_as_well(head: str) -> None:
    (label,) = read_labels(f'{head}\r\n"a, b.yaml",checkov,CKV_K8S_16,fail\r\n', "l.csv").labels
    assert label == Label(path="a, b.yaml", name="checkov:CKV_K8S_16", fault=True)


def test_a_file_may_say_that_it_has_every_fault() -> None:
    text = "# Complete\npath\tcontrol\texpected\nweb.yaml\tfault\tfail\n"
    assert read_labels(f"\ufeff{text}", "l").complete is True
    assert read_labels(text.replace("# Complete", "# completeness is a virtue"), "l").complete is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "l.tsv: there is no label in it."),
        ("path\tcontrol\texpected\n", "l.tsv: there is no label in it."),
        ("path\texpected\nweb.yaml\tfail\n", "l.tsv:1: the first line names the columns: path, expected, and either"),
        ("# x\npath\tcontrol\nweb.yaml\tfault\n", "l.tsv:2: the first line names the columns"),
        ("path\tcontrol\texpected\nweb.yaml\tfault\tFAIL\n", "l.tsv:2: expected is 'FAIL'; it may be fail or pass."),
        ("path\tcontrol\texpected\n\nweb.yaml\t\tfail\n", "l.tsv:3: a label needs a path, and a control or a tool"),
        ("path\tcontrol\texpected\nweb.yaml\tfault\tfail\tmore\n", "l.tsv:2: 4 cells for 3 columns."),
        ("path\tcontrol\texpected\tpath\nweb.yaml\tfault\tfail\tx\n", "l.tsv:1: two columns have the name 'path'."),
        ('path,control,expected\n"a\nb.yaml",fault,fail\n', "l.tsv:2: it cannot be read as a line of a table: "),
        (
            f"path\tcontrol\texpected\n{'x' * 200_000}\tfault\tfail\n",
            "l.tsv:2: it cannot be read as a line of a table: ",
        ),
        ("path\tcontrol\texpected\na\tb\tfail\nc\tb\tfail\na\tb\tpass\n", "l.tsv:4: it says the contrary of line 2;"),
    ],
)
def test_what_is_no_label_is_an_error_with_its_line(text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        read_labels(text, "l.tsv")
    assert str(error.value).startswith(words)


def test_a_label_that_is_there_twice_counts_once() -> None:
    found = read_labels("path\tcontrol\texpected\n" + "a\tb\tfail\n" * 3 + "a\tc\tpass\n", "l.tsv").labels
    assert [(label.name, label.fault) for label in found] == [("b", True), ("c", False)]


def test_only_the_end_of_a_line_ends_a_label() -> None:
    (label,) = read_labels("path\tcontrol\texpected\r\na\x0b\u2028b.yaml\tfault\tfail\r\n", "l.tsv").labels
    assert label.path == "a\x0b\u2028b.yaml"


def test_an_object_is_called_as_in_the_reports_with_or_without_its_namespace() -> None:
    for name, meant in (
        ("", True),
        ("Pod shop/web", True),
        ("Pod web", True),
        ("Pod prod/web", False),
        ("Job web", False),
    ):
        assert Label(path="p", object=name, name="fault", fault=True).means(POD) is meant
