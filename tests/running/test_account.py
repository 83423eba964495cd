"""staged = read + out of scope + unread, whatever a tool says."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kguard.model import ObjectCounts, ObjectHint, ObjectRef, Parsed, RuleSet, StagedFile, StagePart, Unread
from kguard.running.account import account, in_scope, nothing_read, total

PODS = RuleSet(source="test", kinds=frozenset(("/v1/Pod",)))
EVERY_KIND = RuleSet(source="test")
UNSEEN = "nothing in the tool's output shows that it was read"


def staged(path: str, kind: str = "Pod", *, namespace: str | None = None, **flags: bool) -> StagedFile:
    ref = ObjectRef(group="", version="v1", kind=kind, namespace=namespace, name=path.removesuffix(".yaml"))
    return StagedFile(path=path, ref=ref, **flags)


def part(*files: StagedFile) -> StagePart:
    return StagePart(id="1", bundle="plain", root=Path("/stage"), files=files)


def said(seen: list[ObjectHint] | None, *unread: Unread) -> Parsed:
    return Parsed(evidence=(), seen=None if seen is None else frozenset(seen), unread=unread)


def at(path: str) -> ObjectHint:
    return ObjectHint(staged=path)


def test_each_object_has_its_place() -> None:
    files = (staged("read.yaml"), staged("config.yaml", "ConfigMap"), staged("silent.yaml"), staged("bad.yaml"))
    held = account(part(*files), said([at("read.yaml")], Unread(object=at("bad.yaml"), reason="tabs")), PODS)
    assert held.counts == ObjectCounts(staged=4, read=1, out_of_scope=1, unread=2)
    assert held.unread == ((files[2], UNSEEN), (files[3], "tabs"))
    assert (sorted(held.outside), held.unknown) == (["v1/ConfigMap"], ())


def test_an_object_that_was_read_counts_as_read_whatever_its_kind() -> None:
    held = account(part(staged("config.yaml", "ConfigMap")), said([at("config.yaml")]), PODS)
    assert held.counts == ObjectCounts(staged=1, read=1)


def test_a_tool_that_says_it_failed_is_believed_over_its_results() -> None:
    held = account(
        part(staged("a.yaml")), said([at("a.yaml")], Unread(object=at("a.yaml"), reason="in part")), EVERY_KIND
    )
    assert held.counts == ObjectCounts(staged=1, read=0, unread=1)


def test_a_tool_that_cannot_tell_what_it_read_tells_what_it_did_not() -> None:
    files = (staged("a.yaml"), staged("b.yaml"), staged("config.yaml", "ConfigMap"))
    held = account(part(*files), said(None, Unread(object=at("b.yaml"), reason="a number for a text")), PODS)
    assert held.counts == ObjectCounts(staged=3, read=None, unread=1)
    assert held.unread == ((files[1], "a number for a text"),)


def test_what_its_author_hides_is_read_unless_the_tool_says_that_it_could_not() -> None:
    files = (staged("hidden.yaml", silenced=True), staged("broken.yaml", silenced=True), staged("silent.yaml"))
    held = account(part(*files), said([], Unread(object=at("broken.yaml"), reason="tabs")), EVERY_KIND)
    assert held.counts == ObjectCounts(staged=3, read=1, unread=2)
    assert held.unread == ((files[1], "tabs"), (files[2], UNSEEN))
    assert nothing_read(part(*files), "it died").counts.unread == 3


def test_names_do_for_paths_and_no_namespace_is_the_empty_one() -> None:
    files = (staged("a.yaml"), staged("b.yaml", namespace="shop"), staged("c.yaml", namespace=""))
    hints = [
        ObjectHint(kind="Pod", namespace="", name="a"),
        ObjectHint(kind="Pod", namespace="shop", name="b"),
        ObjectHint(kind="Pod", name="c"),
    ]
    assert account(part(*files), said(hints), EVERY_KIND).counts == ObjectCounts(staged=3, read=3)


def test_one_name_does_not_vouch_for_two_objects() -> None:
    """Two staged objects that a tool names alike: it proved to have read one."""
    twin = ObjectRef(group="apps", version="v1", kind="Pod", namespace=None, name="a")
    files = (staged("a.yaml"), StagedFile(path="b.yaml", ref=twin))
    assert account(part(*files), said([ObjectHint(kind="Pod", name="a")]), EVERY_KIND).counts.unread == 1


def test_context_is_accounted_for_where_it_is_judged() -> None:
    files = (staged("a.yaml"), staged("limits.yaml", "LimitRange", context=True))
    unread = Unread(object=at("limits.yaml"), reason="tabs")
    assert account(part(*files), said([at("a.yaml")], unread), EVERY_KIND).counts == ObjectCounts(staged=1, read=1)
    assert nothing_read(part(*files), "it died").unread == ((files[0], "it died"),)


def test_what_was_never_staged_is_not_lost() -> None:
    unread = (
        Unread(object=at("elsewhere.yaml"), reason="no such file"),
        Unread(object=ObjectHint(kind="Pod", namespace="shop", name="b"), reason="why not"),
    )
    held = account(part(staged("a.yaml")), said([at("a.yaml")], *unread), EVERY_KIND)
    assert held.unknown == ("elsewhere.yaml: no such file", "Pod shop b: why not")
    assert held.unread == ()


def test_a_process_that_failed_read_nothing() -> None:
    files = (staged("a.yaml"), staged("b.yaml"))
    held = nothing_read(part(*files), "it died")
    assert held.counts == ObjectCounts(staged=2, read=0, unread=2)
    assert held.unread == ((files[0], "it died"), (files[1], "it died"))


def test_patterns_of_kinds() -> None:
    deployment = ObjectRef(group="apps", version="v1", kind="Deployment", namespace=None, name="web")
    pod = ObjectRef(group="", version="v1", kind="Pod", namespace=None, name="web")

    def scope(*patterns: str) -> tuple[bool, bool]:
        rules = RuleSet(source="test", kinds=frozenset(patterns))
        return in_scope(deployment, rules), in_scope(pod, rules)

    assert scope() == (False, False)
    assert scope("/v1/Pod") == (False, True)
    assert scope("*/*/Deployment") == (True, False)
    assert scope("apps/*/*") == (True, False)
    assert scope("*/v1/*") == (True, True)
    assert scope("apps/v1beta1/Deployment", "/v1/Po*") == (False, False), "a star stands for a whole part"
    assert in_scope(pod, EVERY_KIND)


def test_a_sum_knows_what_was_read_only_if_all_do() -> None:
    known, unknown = ObjectCounts(staged=3, read=1, out_of_scope=1, unread=1), ObjectCounts(staged=2, unread=1)
    assert total([known, known]) == ObjectCounts(staged=6, read=2, out_of_scope=2, unread=2)
    assert total([known, unknown]) == ObjectCounts(staged=5, read=None, out_of_scope=1, unread=2)
    assert total([]) == ObjectCounts(staged=0, read=0)


paths = st.sampled_from([f"{number}.yaml" for number in range(8)])
files_of_a_part = st.lists(
    st.builds(staged, paths, st.sampled_from(["Pod", "ConfigMap"]), context=st.booleans(), silenced=st.booleans()),
    unique_by=lambda file: file.path,
)


@given(files=files_of_a_part, seen=st.sets(paths), unread=st.sets(paths))
def test_the_account_balances(files: list[StagedFile], seen: set[str], unread: set[str]) -> None:
    parsed = said([at(path) for path in seen], *(Unread(object=at(path), reason="why") for path in unread))
    held = account(part(*files), parsed, PODS)
    counts = held.counts
    assert counts.read is not None
    assert min(counts.read, counts.out_of_scope, counts.unread) >= 0
    assert counts.staged == counts.read + counts.out_of_scope + counts.unread
    assert counts.staged == sum(not file.context for file in files)
    assert counts.unread == len(held.unread)
