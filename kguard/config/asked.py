"""What `kguard.yaml` asks for, as settings."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from kguard.config.checks import absolute
from kguard.config.shape import FILE_NAME, Chart, Config, Control
from kguard.model import Severity
from kguard.settings import (
    ChartSettings,
    ControlSettings,
    Exclude,
    InputSettings,
    KustomizationSettings,
    MergeSettings,
    SeverityRule,
)


def input_settings(config: Config, path: Path) -> InputSettings:
    """The settings that a configuration, read from `path`, asks for; its paths are made absolute."""
    folder = Path(os.path.abspath(path.parent))
    inputs = config.inputs
    return InputSettings(
        exclude=tuple(Exclude(pattern=pattern, folder=folder, source=FILE_NAME) for pattern in inputs.exclude),
        hidden=inputs.hidden,
        namespace=inputs.namespace,
        charts=tuple(_chart_settings(chart, folder) for chart in inputs.charts),
        kustomizations=tuple(
            KustomizationSettings(
                path=absolute(folder, item.path),
                namespace=item.namespace,
                allow_remote=frozenset(item.allow_remote),
            )
            for item in inputs.kustomizations
        ),
    )


def merge_settings(config: Config) -> MergeSettings:
    """How findings are made, as a configuration asks for it."""
    return MergeSettings(
        severity_rule=SeverityRule(config.severity_rule or SeverityRule.CATALOGUE),
        controls={name: _control_settings(control) for name, control in config.controls.items()},
        never=config.merge.never,
    )


def _control_settings(control: Control) -> ControlSettings:
    return ControlSettings(
        severity=Severity(control.severity) if control.severity else None,
        reason=control.reason or "",
        title=control.title,
        harm=control.harm,
        remediation=control.remediation,
        rules=control.rules,
        scope=control.scope or "object",
    )


def _chart_settings(chart: Chart, folder: Path) -> ChartSettings:
    return ChartSettings(
        path=absolute(folder, chart.path),
        name=chart.name,
        release=chart.release,
        namespace=chart.namespace,
        values=tuple(absolute(folder, file) for file in chart.values),
        set_values=tuple((key, _plain(value)) for key, value in chart.set.items() if not isinstance(value, str)),
        set_strings=tuple((key, _escaped(value)) for key, value in chart.set.items() if isinstance(value, str)),
        api_versions=chart.api_versions,
        kube_version=chart.kube_version,
    )


def _plain(value: float | bool | None) -> str:
    """A number, a truth value or nothing as helm's --set reads it."""
    return msgspec.json.encode(value).decode()


def _escaped(text: str) -> str:
    """Text as helm's --set-string reads it: there a comma starts the next value, and a brace a list."""
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("{", "\\{")
