"""`kguard catalog`: what is chosen, how it is printed, and the reference page that is generated from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from kguard import catalog
from kguard.errors import UsageError
from kguard.findings.catalogue import load_catalogue

DOCS = Path(__file__).resolve().parent.parent / "docs"


def ids(**asked: str) -> list[str]:
    return [control.id for control in catalog.chosen(**asked)]


def test_without_a_question_it_is_everything() -> None:
    assert len(ids()) == len(load_catalogue().controls) == 322


def test_a_rule_leads_to_every_control_that_it_serves() -> None:
    assert ids(word="kubescape:C-0057") == ["sys-admin-capability", "privileged-container"]
    assert ids(word="host-pid") == ["host-pid"]
    assert ids(word="KSV017") == ["privileged-container"]
    with pytest.raises(UsageError, match="did you mean trivy:KSV-"):
        ids(word="trivy:KSV-9999")


@pytest.mark.parametrize(
    ("framework", "inside", "outside"),
    [
        ("PSS", "host-pid", "liveness-probe-missing"),
        ("pss restricted", "allow-privilege-escalation", "host-pid"),
        ("cis 5.2", "host-pid", "liveness-probe-missing"),
        ("cwe-250", "drop-all-capabilities", "host-pid"),
    ],
)
def test_a_framework_by_name_or_by_part(framework: str, inside: str, outside: str) -> None:
    found = ids(framework=framework)
    assert inside in found
    assert outside not in found


def test_a_part_is_not_the_beginning_of_another_number() -> None:
    named = {name for control in catalog.chosen(framework="cis 5.1") for name in control.references}
    assert any(name.startswith("CIS 5.1.") for name in named)
    only_10 = [c.id for c in catalog.chosen(framework="cis 5.2.1")]
    assert set(only_10) < set(ids(framework="cis 5.2"))


def test_tools_and_frameworks_narrow_each_other() -> None:
    both = ids(tool="polaris", framework="pss")
    assert set(both) == set(ids(tool="polaris")) & set(ids(framework="pss"))
    assert both


def test_the_table_tells_exact_partial_secondary_and_no_rule() -> None:
    rows = {
        line.split()[1]: line.split() for line in catalog.table(catalog.chosen()).splitlines()[1:] if line[:1].isalpha()
    }
    assert rows["host-pid"][2:6] == ["x", "x", "x", "x"]
    assert rows["run-as-non-root"][2:6] == ["~", "~", "~", "x"]
    assert rows["net-raw-capability-added"][2:6] == ["+", "x", "+", "-"]


def test_every_rule_is_told_to_programs() -> None:
    (data,) = map(catalog.as_data, catalog.chosen(word="host-pid"))
    rules = {(rule["tool"], rule["rule"]): rule["partial"] for rule in data["rules"]}
    assert rules["kubescape", "C-0038"] is True
    assert rules["trivy", "KSV-0010"] is False
    assert all(data[key] for key in ("because", "harm", "remediation", "example"))


def test_the_reference_page_is_the_one_of_the_data() -> None:
    assert (DOCS / "catalogue.md").read_text() == "".join(catalog.page(catalog.chosen())), "run `make generate`"
