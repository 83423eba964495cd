"""Writes fixtures/native again: what kube-linter and polaris print over kguard's own manifests. `make record`."""

from __future__ import annotations

import json
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
            shutil.rmtree(native.STAGE, ignore_errors=True)
            outcome = native.run(tool, stage, native.STAGE / stage)
            folder = native.folder_of(tool, stage)
            folder.mkdir(parents=True)
            (folder / "stdout").write_bytes(outcome.stdout)
            (folder / "stderr").write_bytes(outcome.stderr)
            facts = {**native.circumstances(tool, stage), "exit_code": outcome.exit_code}
            (folder / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
            print(f"{tool} {stage}: exit {outcome.exit_code}, {len(outcome.stdout):,} bytes")
    shutil.rmtree(native.STAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
