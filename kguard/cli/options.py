"""The values of flags: text from the command line or the environment to settings, with the nearest valid word in every error."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

from kguard import config
from kguard.errors import UsageError
from kguard.model import Severity
from kguard.running.facts import tool_facts
from kguard.scan import known_names
from kguard.settings import Exclude, InputSettings, MergeSettings, SeverityRule


def words(text: str | None) -> tuple[str, ...]:
    """The words of a comma-separated list."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def choice(flag: str, value: str, valid: Collection[str]) -> str:
    """`value`, if it is one of `valid`; otherwise a UsageError with the nearest valid word."""
    if value in valid:
        return value
    near = get_close_matches(value, sorted(valid), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(sorted(valid))}."
    raise UsageError(f"{flag}: {value!r} is not known; {hint}")


def tools(text: str | None, known: Sequence[str], off: Collection[str] = ()) -> tuple[str, ...] | None:
    """`a,b` runs these tools; `+c,-d` adds to and takes away from those that are not off by default. None: just these."""
    given = words(text)
    if not given:
        return None
    signed = [word for word in given if word[0] in "+-"]
    if signed and len(signed) != len(given):
        raise UsageError(f"--tools {text}: either name the tools to run (a,b) or change the set (+c,-d), not both.")
    names = {choice("--tools", word[1:] if word in signed else word, known) for word in given}
    if signed:
        dropped = {word[1:] for word in signed if word[0] == "-"}
        names = names.union(name for name in known if name not in off) - dropped
    if not names:
        raise UsageError(f"--tools {text} leaves no tool to run.")
    return tuple(name for name in known if name in names)


def allow_incomplete(text: str | None, known: Sequence[str]) -> Mapping[str, str]:
    """Tool names and `inputs`; a flag gives no reason."""
    return {choice("--allow-incomplete", word, (*known, "inputs")): "" for word in words(text)}


def merge(settings: MergeSettings, severity_rule: str | None) -> MergeSettings:
    """How findings are made: what kguard.yaml says, and the flag in its stead."""
    if severity_rule is None:
        return settings
    word = choice("--severity-rule", severity_rule.lower(), [rule.value for rule in SeverityRule])
    return replace(settings, severity_rule=SeverityRule(word))


def severity_bar(text: str) -> Severity | None:
    """The bar of the gate; None is `never`."""
    valid = [severity.value for severity in Severity if severity is not Severity.UNKNOWN]
    word = choice("--fail-on", text.lower(), (*valid, "never"))
    return None if word == "never" else Severity(word)


def seconds(text: float) -> float:
    """A deadline: a number of seconds that comes to an end."""
    if not 1 <= text <= 86_400:  # not a number is not in between either
        raise UsageError(f"--timeout {text:g}: give 1 to 86400 seconds.")
    return text


def with_rule_files(known: Sequence[str]) -> tuple[str, ...]:
    """The tools whose rules are files; one that another package brings may be such a tool."""
    return tuple(name for name in known if name not in tool_facts() or tool_facts()[name].rules)


def named_paths(flag: str, pairs: Sequence[str], known: Sequence[str], *, folder: bool) -> Mapping[str, Path]:
    """`NAME=PATH` pairs by tool name; each path exists and is what it should be."""
    found: dict[str, Path] = {}
    for pair in pairs:
        name, equals, path = pair.partition("=")
        if not equals or not path:
            raise UsageError(f"{flag} {pair}: write it as NAME=PATH, for example {flag} kubescape=PATH.")
        choice(flag, name, known)
        found[name] = Path(path).absolute()
        if not (found[name].is_dir() if folder else found[name].is_file()):
            raise UsageError(f"{flag} {pair}: there is no such {'folder' if folder else 'file'}.")
    return MappingProxyType(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """What kguard.yaml asks for; the defaults where there is none."""

    inputs: InputSettings = field(default_factory=InputSettings)
    merge: MergeSettings = field(default_factory=MergeSettings)
    allow_incomplete: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    path: str | None = None


def configured(config_file: str | None) -> Configured:
    """kguard.yaml: the one named, or the one found."""
    path = Path(config_file) if config_file else config.find()
    if path is None:
        return Configured()
    found = config.load(path, known_names)
    return Configured(
        inputs=config.input_settings(found, path),
        merge=config.merge_settings(found),
        allow_incomplete={item.tool: item.reason for item in found.allow_incomplete},
        path=path.as_posix(),
    )


def inputs(settings: InputSettings, exclude: Sequence[str], *, hidden: bool) -> InputSettings:
    """What is looked at: what kguard.yaml says, and the flags on top of it."""
    given = tuple(Exclude(pattern=pattern, folder=None, source="--exclude") for pattern in exclude)
    return replace(settings, exclude=settings.exclude + given, hidden=settings.hidden or hidden)
