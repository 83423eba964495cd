"""The acts of sabotage that take more than a line: what is planted, what is dropped, and what holds a program back."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# -- told to be silent ------------------------------------------------------------------------------------------------

EVERY_TRIVY_CHECK = "\n".join(f"KSV-{number:04}" for number in range(1, 130))
FILES = {
    ".trivyignore": EVERY_TRIVY_CHECK,
    ".trivyignore.yaml": "misconfigurations: [{id: KSV-0017}, {id: KSV-0010}]\n",
    "trivy.yaml": "severity: [UNKNOWN]\nscan: {skip-dirs: ['**/tree']}\n",
    ".kube-linter.yaml": "checks: {doNotAutoAddDefaults: true}\n",
    ".kube-linter.yml": "checks: {doNotAutoAddDefaults: true}\n",
    "polaris.yaml": "checks: {}\nexemptions: []\n",
    ".polaris.yaml": "checks: {}\nexemptions: []\n",
    "exceptions.json": json.dumps(
        [
            {
                "name": "all",
                "policyType": "postureExceptionPolicy",
                "actions": ["alertOnly"],
                "resources": [{"designatorType": "Attributes", "attributes": {"kind": ".*"}}],
                "posturePolicies": [{"controlID": "C-.*"}],
            }
        ]
    ),
    ".kubescapeignore": "*\n",
    "controls-inputs.json": "{}",
}


def plant(folder: Path) -> None:
    """Every file by which a tool can be told to be silent, and the folders in which they keep what they were told."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    for name in (".kubescape", ".trivy"):
        (folder / name).mkdir()
        (folder / name / "exceptions.json").write_text(FILES["exceptions.json"])


VARIABLES = {
    "TRIVY_SEVERITY": "LOW",
    "TRIVY_SKIP_DIRS": "**/tree",
    "TRIVY_SKIP_FILES": "**/*.yaml",
    "TRIVY_EXIT_CODE": "0",
    "TRIVY_MISCONFIG_SCANNERS": "dockerfile",
    "KS_EXCLUDE_NAMESPACES": "shop",
    "KS_ACCOUNT_ID": "00000000-0000-0000-0000-000000000000",
    "KS_FORMAT": "pretty-printer",
    "KUBESCAPE_MAX_FILE_SIZE": "1",
    "KUBESCAPE_EXCEPTIONS": "exceptions.json",
    "POLARIS_CHECKS": "none",
    "KUBE_LINTER_CONFIG": ".kube-linter.yaml",
    "KUBELINTER_EXCLUDE": "privileged-container",
    "GODEBUG": "madvdontneed=1",
}
NOTHING = """\
# METADATA
# title: Nothing
# custom: {id: KSV-9999, severity: LOW, input: {selector: [{type: kubernetes}]}}
package builtin.kubernetes.KSV9999

import rego.v1

deny contains res if {
	input.kind == "Nothing"
	res := result.new("nothing", input.metadata)
}
"""


def hostile(folder: Path) -> dict[str, str]:
    """Variables that silence tools; a HOME and caches with other rules."""
    folder.mkdir()
    plant(folder)
    cache = folder / "cache"
    checks = cache / "trivy/policy/content/policies/kubernetes"
    checks.mkdir(parents=True)
    (checks / "nothing.rego").write_text(NOTHING)
    (cache / "trivy/policy/content/.manifest").write_text('{"roots": [""]}')
    digest = {"Digest": f"sha256:{'0' * 64}", "DownloadedAt": "2030-01-01T00:00:00Z"}
    (cache / "trivy/policy/metadata.json").write_text(json.dumps(digest))
    homes = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    files = {"TRIVY_IGNOREFILE": str(folder / ".trivyignore"), "TRIVY_CONFIG": str(folder / "trivy.yaml")}
    return VARIABLES | homes | files | {"XDG_CACHE_HOME": str(cache), "KS_CACHE_DIR": str(folder / ".kubescape")}


# -- dropped ----------------------------------------------------------------------------------------------------------


def halved(items: list[Any], way: str) -> list[Any]:
    middle = len(items) // 2
    return {"even": items[::2], "odd": items[1::2], "first": items[:middle], "last": items[middle:]}[way]


def drop(name: str, text: str, way: str, *, inside: bool) -> str:
    """Half of what a tool printed: of its results, or of what stands in each."""
    report = json.loads(text)
    if name == "kube-linter":  # whose results hold nothing
        report["Reports"] = halved(report["Reports"], way)
        return json.dumps(report)
    key = "results" if name == "kubescape" else "Results"
    if not inside:
        report[key] = halved(report[key], way)
        return json.dumps(report)
    for result in report[key]:
        if name == "trivy":
            result["Misconfigurations"] = halved(result.get("Misconfigurations", []), way)
        elif name == "kubescape":
            result["controls"] = halved(result["controls"], way)
        else:
            pod = result["PodResult"] or {"Results": {}, "ContainerResults": []}
            for level in (result, pod, *pod["ContainerResults"]):
                level["Results"] = dict(halved(list((level["Results"] or {}).items()), way))
    return json.dumps(report)


# -- held back --------------------------------------------------------------------------------------------------------

_START = (sys.executable, "-S", "-E", "-c")
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _PR_CAPBSET_DROP = 1, 2, 24


def held_by_modes() -> list[str]:
    """Starts a program whom the modes of files hold, as they do every user but root: root loses the capabilities to pass them over.
    (Another user could not reach a Python or a toolchain in root's home.)"""
    drop = f"prctl({_PR_CAPBSET_DROP}, cap, 0, 0, 0) for cap in ({_CAP_DAC_OVERRIDE}, {_CAP_DAC_READ_SEARCH})"
    return [*_START, f"import ctypes, os, sys; [ctypes.CDLL(None).{drop}]; os.execv(sys.argv[1], sys.argv[1:])"]


def limited_to(size: int) -> list[str]:
    """Starts a program that can write no file beyond a size: writing fails, as it does on a full disk."""
    limit = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
    return [*_START, f"import os, resource, sys; {limit}; os.execv(sys.argv[1], sys.argv[1:])"]
