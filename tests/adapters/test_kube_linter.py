"""kube-linter's words: each form of message that tells a fault from its siblings, and what it could not load."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from kguard.model import Command, Evidence, ObjectHint, Outcome, Parsed, StagePart
from kguard.settings import Profile, Settings

kube_linter = import_module("kguard.adapters.kube_linter")
PART = StagePart(id="1", bundle="b", root=Path("/stage"), files=())


OWN = ("kguard-loaded", "kguard-has-spec", "kguard-pods", "kguard-autoscaler")


def outcome(stdout: bytes = b"", stderr: bytes = b"", code: int = 0) -> Outcome:
    return Outcome(command=Command(argv=("kube-linter",), part=PART), exit_code=code, stdout=stdout, stderr=stderr)


def report(check: str, message: str = "", name: str = "a") -> dict[str, Any]:
    return {
        "Diagnostic": {"Message": message},
        "Check": check,
        "Object": {
            "Metadata": {"FilePath": f"/stage/tree/{name}--1.yaml"},
            "K8sObject": {"Namespace": "", "Name": name, "GroupVersionKind": {"Kind": "Pod"}},
        },
    }


def parse(*reports: dict[str, Any]) -> Parsed:
    checks = [{"name": name, "description": "First. Second."} for name in {item["Check"] for item in reports}]
    parsed: Parsed = kube_linter.parse(outcome(json.dumps({"Checks": checks, "Reports": reports}).encode(), code=1))
    return parsed


def one(check: str, message: str) -> Evidence:
    (evidence,) = parse(report(check, message)).evidence
    return evidence


@pytest.mark.parametrize(
    ("check", "message", "container", "value"),
    [
        ("dangling-ingress", "no service found matching ingress label (shop), port 81", None, "shop"),
        (
            "docker-sock",
            'host system directory "/run/docker.sock" is mounted on container "c"',
            "c",
            "/run/docker.sock",
        ),
        ("drop-net-raw-capability", 'container "c" has ADD capability: "NET_RAW", which matched', "c", "NET_RAW"),
        ("drop-net-raw-capability", 'container "c" has DROP capabilities: ["CHOWN"], but does not', "c", None),
        ("duplicate-env-var", 'Duplicate environment variable A in container "c" found', "c", "A"),
        ("env-value-from", 'The container "c" is referring to an unknown secret "s"', "c", "s"),
        ("env-value-from", 'The container "c" is referring to an unknown config map "m"', "c", "m"),
        ("env-value-from", 'The container "c" is referring to an unknown key "k" in config map "m"', "c", "k"),
        ("env-var-secret", 'environment variable MY_SECRET in container "c" found', "c", "MY_SECRET"),
        ("invalid-target-ports", 'port name "a_b" in container "c" must contain only', "c", "a_b"),
        ("invalid-target-ports", 'port targetPort "a_b" in service "s" must contain only', None, "a_b"),
        ("latest-tag", 'The container "c" is using an invalid container image, "x"', "c", None),
        ("privilege-escalation-container", 'container "c" has SYS_ADMIN capability hence allows', "c", "SYS_ADMIN"),
        ("privilege-escalation-container", 'container "c" is Privileged hence allows', "c", None),
        ("privileged-ports", 'port 80 is mapped in container "c".', "c", "80"),
        ("read-secret-from-env-var", 'environment variable "A" in container "c" uses SecretKeyRef', "c", "A"),
        ("sensitive-host-mounts", 'host system directory "/" is mounted on container "c"', "c", "/"),
        ("sorted-keys", "Keys are not sorted at spec.a[0]. Expected order: [a, b], got: [b, a]", None, "spec.a[0]"),
        ("ssh-port", 'port 22 and protocol TCP in container "c" found', "c", "22"),
        ("unsafe-sysctls", 'resource specifies unsafe sysctl "net.core.somaxconn".', None, "net.core.somaxconn"),
        ("writable-host-mount", "container c mounts path /srv/data on the host as writable", "c", "/srv/data"),
    ],
)
def test_what_a_message_quotes(check: str, message: str, container: str | None, value: str | None) -> None:
    found = one(check, message)
    assert (found.container, found.value) == (container, value)


def test_an_object_is_told_by_file_and_name() -> None:
    found = one("host-ipc", "resource shares host's IPC namespace (via hostIPC=true).")
    assert found.object == ObjectHint(staged="tree/a--1.yaml", kind="Pod", namespace="", name="a")
    assert (found.title, found.native_severity) == ("First", None)
    assert found.url == "https://docs.kubelinter.io/#/generated/checks?id=host-ipc"


def test_what_it_loaded_is_seen_and_what_it_could_not_look_into_is_unread() -> None:
    whole = (report(check, name="whole") for check in ("kguard-loaded", "kguard-has-spec", "kguard-pods", "latest-tag"))
    scaler = (report(check, name="scaler") for check in ("kguard-loaded", "kguard-has-spec", "kguard-autoscaler"))
    untyped = (report(check, name="untyped") for check in ("kguard-loaded", "kguard-has-spec", "use-namespace"))
    parsed = parse(*whole, *scaler, *untyped, report("kguard-loaded", name="config"))
    assert {hint.name for hint in parsed.seen or ()} == {"whole", "scaler", "untyped", "config"}
    assert [(item.object.staged, "could not decode" in item.reason) for item in parsed.unread] == [
        ("tree/untyped--1.yaml", True)
    ]
    assert [(item.rule, item.object.name) for item in parsed.evidence] == [
        ("latest-tag", "whole"),
        ("use-namespace", "untyped"),
    ]
    assert (parsed.records, parsed.rules) == (2, frozenset(("latest-tag", "use-namespace")))


def test_what_failed_to_load_is_unread_and_other_warnings_are_complaints() -> None:
    stderr = (
        b"Warning: failed to load object from /stage/tree/a--1.yaml: failed to decode: json: cannot unmarshal bool\n"
        b"Warning: something else about /stage/tree/b--1.yaml\n"
        b"Warning: no valid objects found.\n"
    )
    parsed = kube_linter.parse(outcome(stderr=stderr))
    assert [(item.object.staged, item.reason) for item in parsed.unread] == [
        ("tree/a--1.yaml", "kube-linter: failed to decode: json: cannot unmarshal bool")
    ]
    assert parsed.complaints == ("something else about tree/b--1.yaml",)
    assert parsed.seen == frozenset()


def test_a_failure_is_told_without_stage_paths() -> None:
    stderr = b"Error: loading from path /stage/tree/a--1.yaml: permission denied\n"
    with pytest.raises(kube_linter.ToolFailure, match=r"^loading from path tree/a--1\.yaml: permission denied$"):
        kube_linter.parse(outcome(stderr=stderr, code=1))


@pytest.mark.parametrize(("profile", "everything"), [(Profile.DEFAULT, b"false"), (Profile.ALL, b"true")])
def test_the_check_that_goes_to_the_network_is_off_in_every_profile(profile: Profile, everything: bytes) -> None:
    settings = Settings(profile=profile)
    config = kube_linter.plan(PART, settings, kube_linter.rules(settings, None)).files["config.yaml"]
    assert b"exclude: [schema-validation]" in config
    assert b"addAllBuiltIn: " + everything in config
    assert all(name.encode() in config for name in OWN)
