"""Writes fixtures/native again: what kube-linter and polaris print over kguard's own manifests. `make record`."""

from __future__ import annotations

import shutil
import sys

import native


def main() -> int:
    absent = [tool for tool in native.RECORDED if not native.installed(tool)]
    if absent:
        wanted = ", ".join(f"{tool} {native.RECORDED[tool]}" for tool in absent)
        print(
            f"error: not on PATH: {wanted}. Nothing was recorded; the recordings that are there stay.", file=sys.stderr
        )
        return 1
    for tool in native.RECORDED:
        shutil.rmtree(native.RECORDINGS / tool, ignore_errors=True)
        for stage in native.STAGES:
            outcome = native.record(tool, stage)
            print(f"{tool} {stage}: exit {outcome.exit_code}, {len(outcome.stdout):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
