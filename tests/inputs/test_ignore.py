"""What is left out is what git leaves out, what the user says, and nothing else; and hostile ignore files cost neither time nor truth."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kguard.errors import UsageError
from kguard.inputs.ignore import MAX_BYTES, MAX_PATTERN, MAX_PATTERNS, Ignore, broken, repository
from kguard.settings import Exclude

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="compared with the real git")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(root: Path, files: dict[str, str]) -> None:
    """Files by path; a path that ends with a slash is an empty folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (root / name).mkdir(exist_ok=True)
        else:
            (root / name).write_text(text)


def a_repository(root: Path, exclude: Sequence[str] = ()) -> None:
    write(root, {".git/HEAD": "ref: refs/heads/main\n", ".git/info/exclude": "\n".join(exclude)})
    write(root, {".git/objects/": "", ".git/refs/": ""})


def below(root: Path) -> Iterator[Path]:
    """Every path below a folder, but git's own."""
    return (path for path in sorted(root.rglob("*")) if ".git" not in path.relative_to(root).parts)


def reasons(root: Path, **options: bool | list[Exclude]) -> dict[str, str]:
    """Every path below `root` that is left out, with its reason."""
    ignore = Ignore(root, **options)  # type: ignore[arg-type]
    found = {path.relative_to(root).as_posix(): ignore.why_ignored(path, path.is_dir()) for path in below(root)}
    return {path: reason for path, reason in found.items() if reason is not None}


def excluded(*patterns: str, folder: Path | None = None, source: str = "--exclude") -> list[Exclude]:
    return [Exclude(pattern=pattern, folder=folder, source=source) for pattern in patterns]


# -- as git does ----------------------------------------------------------------------------------------------------------


def git_says(root: Path) -> dict[str, str]:
    """The same as `reasons`, from `git check-ignore` in its own process."""
    paths = [path.relative_to(root).as_posix() for path in below(root)]
    asked = "".join(f"{path}\0" for path in paths).encode()
    command = ["git", "check-ignore", "--verbose", "--non-matching", "-z", "--no-index", "--stdin"]
    environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(root)}
    done = subprocess.run(command, input=asked, capture_output=True, check=False, cwd=root, env=environment)
    fields = done.stdout.decode().split("\0")[:-1]
    assert len(fields) == 4 * len(paths), done.stderr
    answers = zip(*[iter(fields)] * 4, strict=True)
    return {
        path: f"git-ignored ({source}:{line})"
        for source, line, pattern, path in answers
        if source and not pattern.startswith("!")
    }


def hold_against_git(root: Path) -> None:
    here = Path.cwd()
    os.chdir(root)
    try:
        ours = {path: reason for path, reason in reasons(Path()).items() if reason != "hidden"}
        assert ours == git_says(root)
    finally:
        os.chdir(here)


TRICKY = """
build/ !src/ | src/build/a build/a src/a x/build
* !*/ !*.yaml | a.txt a.yaml d/b.yaml d/b.txt
a/* !a/b | a/b/c a/c a/d/e
a/** !a/keep | a/keep a/d/e a/d/keep
foo !foo/x | foo/x foo/y
b !/a/b | a/b/b/c a/b/d b/c
**/b | b a/b a/c/b/d
a/**/b | a/b a/x/b a/x/y/b ab a/xb
**/ | a b/c
**/*.yaml !x.yaml | a.yaml d/x.yaml d/e/b.yaml
/*.yaml | a.yaml d/a.yaml
d/*.yaml | d/a.yaml d/e/a.yaml x/d/a.yaml
*** | a d/a
/***/a/ | x/y/a/b a/b
foo[!a]bar [!-z]q | foo/bar fooxbar fooabar aq
[]x]y [^a-c]z [*] | ]y xy dz bz * a
\\#a \\!b \\* a\\b | #a !b * x ab
#a | #a a
/ // ! | a b/c
a//b | a/b
a\\  | a\\ a
[a a\\ | [a a\\ a
?? | ab a abc
*.tar.* *-*-* | x.tar.gz a-b-c a-b a.tar
x/ | x y/x/z
!x x !x | x y/x
.hidden !.hidden/ | .hidden a/.hidden/b
dir/**/ | dir/a dir/b/c
/a/b/c | a/b/c x/a/b/c
"""


@needs_git
@pytest.mark.parametrize("line", [line for line in TRICKY.splitlines() if line])
def test_patterns_mean_what_they_mean_to_git(tree: Path, line: str) -> None:
    patterns, paths = line.split("| ")
    a_repository(tree)
    write(
        tree, {path: "" for path in paths.split() if "\\" not in path} | {".gitignore": "\n".join(patterns.split(" "))}
    )
    assert list(below(tree))
    hold_against_git(tree)


ATOMS = [
    "a",
    "b",
    "ab",
    "*",
    "?",
    "[ab]",
    "[!a]",
    "[^b]",
    "[a-c]",
    "[]a]",
    "[[]",
    "[",
    "\\a",
    "\\*",
    "\\",
    "\\ ",
    " ",
    "\t",
    ".",
    "#",
]
PARTS = [*ATOMS, "!", "/", "/", "/", "**/", "/**", "**"]
NAMES = ["a", "b", "ab", "aab", "a b", "c", "#", "!a", "*", "a ", "[", "]", "a.b", "\\a"]
DIFFERENT = re.compile(r"[^/*]\*\*|\\/|\[[^/]*\\|\[[^]]*/")
"""What the module says that it does otherwise: `a**/b`, `\\/`, a backslash or a slash in a bracket."""

pattern = st.lists(st.sampled_from(PARTS), min_size=1, max_size=5).map("".join)
patterns = st.lists(pattern.filter(lambda text: not DIFFERENT.search(text)), max_size=6)
Entries = dict[str, Any]
"""Names to what is in them; None is a file."""
folder: st.SearchStrategy[Entries] = st.deferred(
    lambda: st.dictionaries(st.sampled_from(NAMES), st.none() | folder, max_size=4)
)


def grow(root: Path, entries: Entries, ignored: Iterator[list[str]]) -> None:
    root.mkdir(exist_ok=True)
    for name, inside in entries.items():
        if inside is None:
            (root / name).write_text("")
        else:
            grow(root / name, inside, ignored)
    (root / ".gitignore").write_text("\n".join(next(ignored, [])))


@needs_git
@settings(deadline=None, max_examples=150)
@given(entries=folder, ignored=st.lists(patterns, max_size=4), exclude=patterns, top=patterns)
def test_any_pattern_in_any_tree_means_what_it_means_to_git(
    entries: Entries, ignored: list[list[str]], exclude: list[str], top: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        grow(root, entries, iter(ignored))
        a_repository(root, exclude)
        (root / ".gitignore").write_text("\r\n".join(top))
        hold_against_git(root)


def test_git_ignore_files_count_from_the_repository_down_and_the_inner_wins(tree: Path) -> None:
    a_repository(tree, ["*.log"])
    write(tree, {".gitignore": "*.tmp\n/apps/web/top\n", "apps/.gitignore": "#\n!keep.tmp\n"})
    write(tree, {"apps/web/.gitignore": "local\n!a.log\n"})
    write(tree, dict.fromkeys(["apps/web/x.tmp", "apps/web/keep.tmp", "apps/web/top", "apps/web/in/deep/local"], ""))
    write(tree, dict.fromkeys(["apps/web/a.log", "apps/web/b.log", "apps/web/in/top"], ""))
    assert {path: why for path, why in reasons(tree / "apps/web").items() if why != "hidden"} == {
        "x.tmp": "git-ignored (.gitignore:1)",
        "top": "git-ignored (.gitignore:2)",
        "in/deep/local": "git-ignored (apps/web/.gitignore:1)",
        "b.log": "git-ignored (.git/info/exclude:1)",
    }


def test_outside_a_repository_git_ignores_nothing(tree: Path) -> None:
    write(tree, {".gitignore": "a.yaml", "a.yaml": ""})
    assert reasons(tree) == {".gitignore": "hidden"}


def test_a_repository_inside_a_repository_has_rules_of_its_own(tree: Path) -> None:
    a_repository(tree, ["x"])
    write(tree, {".gitignore": "*.tmp", "sub/.gitignore": "a", "sub/a": "", "sub/b.tmp": "", "sub/x": "", "c.tmp": ""})
    a_repository(tree / "sub", ["e"])
    write(tree, {"sub/e": ""})
    found = {path: why for path, why in reasons(tree).items() if why.startswith("git-ignored")}
    assert found == {
        "c.tmp": "git-ignored (.gitignore:1)",
        "sub/a": "git-ignored (sub/.gitignore:1)",
        "sub/e": "git-ignored (sub/.git/info/exclude:1)",
    }


def test_the_root_itself_is_never_left_out(tree: Path) -> None:
    a_repository(tree)
    write(tree, {".gitignore": ".build/\n", ".build/a.yaml": ""})
    ignore = Ignore(Path(".build"))
    assert ignore.why_ignored(Path(".build"), True) is None
    assert ignore.why_ignored(Path(".build/a.yaml"), False) is None
    with pytest.raises(ValueError, match="not below"):
        ignore.why_ignored(Path("other"), False)


# -- kguard's own ---------------------------------------------------------------------------------------------------------


def test_a_kguardignore_holds_for_its_folder_and_below_in_a_repository_or_not(tree: Path) -> None:
    write(tree, {".kguardignore": "# ours\n*.tmp\n!b.tmp\n", "sub/.kguardignore": "/only\nb.tmp\n"})
    write(tree, dict.fromkeys(["a.tmp", "b.tmp", "only", "sub/only", "sub/x/b.tmp", "sub/x/only"], ""))
    found = {path: why for path, why in reasons(tree).items() if why != "hidden"}
    assert found == {
        "a.tmp": ".kguardignore:2",
        "sub/only": "sub/.kguardignore:1",
        "sub/x/b.tmp": "sub/.kguardignore:2",
    }
    assert reasons(tree / "sub" / "x", hidden=True) == {}
    a_repository(tree)
    assert reasons(tree / "sub", hidden=True) == {"only": "sub/.kguardignore:1", "x/b.tmp": "sub/.kguardignore:2"}


def test_what_is_in_a_folder_that_is_left_out_cannot_be_brought_back(tree: Path) -> None:
    write(tree, {".kguardignore": "gone/\n!gone/a.yaml\n", "gone/a.yaml": "", "gone/.kguardignore": "!a.yaml"})
    assert reasons(tree) == {
        ".kguardignore": "hidden",
        "gone": ".kguardignore:1",
        "gone/a.yaml": ".kguardignore:1",
        "gone/.kguardignore": ".kguardignore:1",
    }


def test_hidden_brings_back_hidden_and_git_ignored_but_not_what_the_user_left_out(tree: Path) -> None:
    a_repository(tree)
    write(
        tree,
        {".gitignore": "out/\n.k\n.x\n", ".kguardignore": ".k", ".github/a.yaml": "", "out/a": "", ".k": "", ".x": ""},
    )
    assert reasons(tree, exclude=excluded(".x")) == {
        ".gitignore": "hidden",
        ".kguardignore": "hidden",
        ".github": "hidden",
        ".github/a.yaml": "hidden",
        "out": "git-ignored (.gitignore:1)",
        "out/a": "git-ignored (.gitignore:1)",
        ".k": ".kguardignore:1",
        ".x": "excluded by --exclude '.x'",
    }
    assert reasons(tree, exclude=excluded(".x"), hidden=True) == {
        ".k": ".kguardignore:1",
        ".x": "excluded by --exclude '.x'",
    }


def test_the_data_of_git_are_never_looked_at(tree: Path) -> None:
    a_repository(tree)
    ignore = Ignore(tree, hidden=True, exclude=excluded("!.git"))
    assert ignore.why_ignored(tree / ".git", True) == "git's own data"
    assert ignore.why_ignored(tree / ".git/HEAD", False) == "git's own data"
    assert ignore.why_ignored(tree / "sub/.git", False) == "git's own data"


def test_excludes_are_relative_to_the_working_directory_and_the_last_one_counts(tree: Path) -> None:
    write(tree, dict.fromkeys(["d/a.yaml", "d/keep.yaml", "d/e/a.yaml", "d/testdata/x"], ""))
    given = excluded("/d/*.yaml", "**/testdata/**", "!keep.yaml")
    assert reasons(tree / "d", exclude=given) == {
        "a.yaml": "excluded by --exclude '/d/*.yaml'",
        "testdata/x": "excluded by --exclude '**/testdata/**'",
    }
    assert reasons(tree / "d", exclude=excluded("/a.yaml")) == {}


def test_excludes_are_relative_to_a_root_that_lies_elsewhere(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tree, {"repo/a.yaml": "", "repo/b/a.yaml": "", "here/": ""})
    monkeypatch.chdir(tree / "here")
    assert list(reasons(Path("../repo"), exclude=excluded("/a.yaml"))) == ["a.yaml"]


def test_excludes_of_a_configuration_are_relative_to_its_folder_and_touch_nothing_else(tree: Path) -> None:
    write(tree, dict.fromkeys(["a/x/y.yaml", "b/x/y.yaml"], ""))
    given = excluded("/x/*.yaml", "x/", folder=tree / "a", source="kguard.yaml")
    assert reasons(tree, exclude=given[:1]) == {"a/x/y.yaml": "excluded by kguard.yaml '/x/*.yaml'"}
    assert reasons(tree, exclude=given) == dict.fromkeys(["a/x", "a/x/y.yaml"], "excluded by kguard.yaml 'x/'")
    assert list(reasons(tree / "a", exclude=given)) == ["x", "x/y.yaml"]
    assert reasons(tree / "a/x", exclude=given) == {"y.yaml": "excluded by kguard.yaml '/x/*.yaml'"}
    assert reasons(tree / "b", exclude=given) == {}


def test_a_root_that_is_a_link_has_the_rules_of_where_it_leads(tree: Path) -> None:
    a_repository(tree / "repo")
    write(tree / "repo", {".gitignore": "/apps/*.tmp\n", "apps/a.tmp": "", "apps/a.yaml": ""})
    (tree / "link").symlink_to("repo/apps")
    assert reasons(Path("link")) == {"a.tmp": "git-ignored (repo/.gitignore:1)"}
    assert list(reasons(Path("link"), exclude=excluded("link/a.yaml"))) == ["a.tmp", "a.yaml"]


def test_the_repository_is_found_upwards(tree: Path) -> None:
    write(tree, {"repo/.git": "gitdir: elsewhere", "repo/a/b/": "", "c/": ""})
    assert repository(tree / "repo/a/b") == (tree / "repo").resolve()
    assert repository(tree / "repo") == (tree / "repo").resolve()
    assert repository(tree / "c") != (tree / "repo").resolve()


# -- hostile --------------------------------------------------------------------------------------------------------------


BROKEN = ["[a", "a\\", "a//b", "!", "/", "[z-a]", "x" * (MAX_PATTERN + 1), "ok/[/x", "!/"]


@pytest.mark.parametrize("text", BROKEN)
def test_a_broken_pattern_is_named_where_it_is_ours_and_passed_over_where_it_is_gits(tree: Path, text: str) -> None:
    assert broken(text) is not None
    with pytest.raises(UsageError, match=r"^--exclude '"):
        Ignore(tree, exclude=excluded(text))
    a_repository(tree)
    write(tree, {".gitignore": f"{text}\na.yaml\n", "a.yaml": "", "b.yaml": ""})
    assert reasons(tree, hidden=True) == {}
    assert reasons(tree)["a.yaml"] == "git-ignored (.gitignore:2)"
    write(tree, {"sub/.kguardignore": f"# first\n{text}\n", "sub/a": ""})
    with pytest.raises(UsageError, match=r"^sub/\.kguardignore:2: '"):
        reasons(tree)


@pytest.mark.parametrize("text", ["", "  ", "# x", "a", "!a", "a/", "**", "a\\ ", "[[]", "[!]]"])
def test_a_good_pattern_is_not_called_broken(text: str) -> None:
    assert broken(text) is None


@pytest.mark.parametrize("name", [".gitignore", ".kguardignore"])
def test_an_ignore_file_beyond_the_limits_ends_the_walk(tree: Path, name: str) -> None:
    a_repository(tree)
    write(tree, {name: "a\n" * (MAX_PATTERNS + 1)})
    with pytest.raises(UsageError, match=rf"^\{name}: more than 5,000 patterns"):
        Ignore(tree)
    write(tree, {name: "#" * (MAX_BYTES + 1)})
    with pytest.raises(UsageError, match=rf"^\{name}: larger than 1024 KiB"):
        Ignore(tree)


def test_links_and_pipes_are_not_read(tree: Path) -> None:
    a_repository(tree)
    write(tree, {"outside": "*\n", "a": "", "sub/": "", "pipe/": ""})
    (tree / ".gitignore").symlink_to("outside")
    os.mkfifo(tree / "pipe/.gitignore")
    assert reasons(tree, hidden=True) == {}
    assert set(reasons(tree)) == {".gitignore", "pipe/.gitignore"}
    (tree / "sub/.kguardignore").symlink_to("../outside")
    with pytest.raises(UsageError, match=r"^sub/\.kguardignore: a link; links are not followed"):
        reasons(tree)
    os.mkfifo(tree / "pipe/.kguardignore")
    with pytest.raises(UsageError, match=r"^pipe/\.kguardignore: not a regular file"):
        reasons(tree / "pipe")


def test_names_that_are_not_utf8_match_as_they_are(tree: Path) -> None:
    (tree / ".kguardignore").write_bytes(b"\xef\xbb\xbf/f\xfc\r\n\x1b[31m[\r")
    with pytest.raises(UsageError) as caught:
        Ignore(tree)
    assert "\x1b" not in str(caught.value)
    (tree / ".kguardignore").write_bytes(b"\xef\xbb\xbf/f\xfc\r\n")
    ignore = Ignore(tree)
    assert ignore.why_ignored(tree / os.fsdecode(b"f\xfc"), False) == ".kguardignore:1"
    assert ignore.why_ignored(tree / os.fsdecode(b"f\xfd"), False) is None


# sized so that backtracking takes seconds, not for ever
CATASTROPHES = [
    ("*a*a*a*a*b", "a" * 200),
    ("*[a]*[a]*[a]*[a]*b", "a" * 200),
    ("*****b", "a" * 200),
    ("**/**/**/**/**a", "b" * 10 + "/b" * 200),
    ("a/**/a/**/a/**/a/**/b", "a/" * 200 + "c"),
    ("**/*a*a*a*b/**/*a*a*a*b", ("a" * 100 + "/") * 30 + "c"),
]


@pytest.mark.parametrize(("text", "path"), CATASTROPHES)
def test_no_pattern_takes_long(tree: Path, text: str, path: str) -> None:
    # asked about the one long path alone, without its folders: it is the matching that is measured
    ignore = Ignore(tree, exclude=excluded(text))
    started = time.process_time()
    assert ignore._exclude[0].last(path.split("/"), False) is None
    assert time.process_time() - started < 0.5


def test_no_warning_of_the_library_reaches_the_user(tree: Path) -> None:
    write(tree, {".kguardignore": "[[a]\nb[[]\n[a||b]\n", "[": "", "a": ""})  # warnings are errors in the tests
    assert set(reasons(tree, hidden=True)) == {"[", "a"}
