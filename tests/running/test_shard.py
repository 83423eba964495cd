"""However a bundle is split, each object is judged once and every process sees what it must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from kguard.model import KubeObject, Splitting
from kguard.running.contract import Adapter
from kguard.running.shard import Part, parts

NewObject = Callable[..., KubeObject]
NewAdapter = Callable[..., Adapter]
Identity = tuple[str, str, str]


kinds = st.sampled_from(["Pod", "Service", "LimitRange", "ResourceQuota"])
names = st.sampled_from(["a", "b", "c"])
namespaces = st.sampled_from([None, "", "shop"])
identities = st.lists(st.tuples(kinds, namespaces, names), max_size=60)
CONTEXT = frozenset(("LimitRange", "ResourceQuota"))


def build(new_object: NewObject, drawn: Sequence[tuple[str, str | None, str]]) -> list[KubeObject]:
    return [
        new_object(f"tree/{number}.yaml", kind, name, namespace=namespace)
        for number, (kind, namespace, name) in enumerate(drawn)
    ]


def judged_once(split: Sequence[Part], objects: Sequence[KubeObject]) -> bool:
    return Counter(obj.staged for part in split for obj in part.judged) == Counter(obj.staged for obj in objects)


def identity(obj: KubeObject) -> Identity:
    return (obj.ref.kind, obj.ref.namespace or "", obj.ref.name)


@given(drawn=identities, limit=st.integers(3, 20), jobs=st.integers(1, 8))
def test_shares_by_number(
    new_object: NewObject, new_adapter: NewAdapter, drawn: list[tuple[str, str | None, str]], limit: int, jobs: int
) -> None:
    objects = build(new_object, drawn)
    split = parts(new_adapter(context_kinds=CONTEXT, part_limit=limit), objects, jobs)
    assert judged_once(split, objects)
    assert all(0 < len(part.objects) <= limit for part in split)
    there = {obj.ref.kind for obj in objects} & CONTEXT
    assert all({obj.ref.kind for obj in part.objects} >= there for part in split)
    assert [list(part.objects) for part in split] == [sorted(part.objects, key=objects.index) for part in split], (
        "the bundle's order"
    )


@given(drawn=identities, jobs=st.integers(1, 8))
def test_no_two_of_one_identity(
    new_object: NewObject, new_adapter: NewAdapter, drawn: list[tuple[str, str | None, str]], jobs: int
) -> None:
    objects = build(new_object, drawn)
    split = parts(new_adapter(splitting=Splitting.BUNDLE, context_kinds=CONTEXT, unique_identities=True), objects, jobs)
    assert judged_once(split, objects)
    partners = {identity(obj) for obj in objects if obj.ref.kind in CONTEXT}
    for part in split:
        counted = Counter(identity(obj) for obj in part.objects)
        assert max(counted.values()) == 1
        assert part.context <= {obj.staged for obj in objects if obj.ref.kind in CONTEXT}
        assert partners <= set(counted), "every partner that a run over all would have seen, or its namesake"
    most = max(Counter(identity(obj) for obj in objects).values(), default=0)
    assert len(split) == most


@given(drawn=identities, splitting=st.sampled_from([Splitting.BUNDLE, Splitting.FOLDER]), jobs=st.integers(1, 8))
def test_who_looks_across_objects_gets_them_all(
    new_object: NewObject,
    new_adapter: NewAdapter,
    drawn: list[tuple[str, str | None, str]],
    splitting: Splitting,
    jobs: int,
) -> None:
    objects = build(new_object, drawn)
    split = parts(new_adapter(splitting=splitting, context_kinds=CONTEXT, part_limit=5), objects, jobs)
    assert split == ((Part(objects=tuple(objects)),) if objects else ())


def sizes(new_object: NewObject, new_adapter: NewAdapter, count: int, jobs: int) -> list[int]:
    objects = build(new_object, [("Pod", None, str(number)) for number in range(count)])
    return [len(part.objects) for part in parts(new_adapter(part_limit=500), objects, jobs)]


def test_a_process_is_started_where_it_pays(new_object: NewObject, new_adapter: NewAdapter) -> None:
    assert sizes(new_object, new_adapter, 99, jobs=2) == [99]
    assert sizes(new_object, new_adapter, 144, jobs=2) == [72, 72]
    assert sizes(new_object, new_adapter, 144, jobs=16) == [72, 72]
    assert sizes(new_object, new_adapter, 1000, jobs=1) == [500, 500]
    assert sizes(new_object, new_adapter, 1200, jobs=2) == [300, 300, 300, 300], "three parts would leave a core idle"
    assert sizes(new_object, new_adapter, 1201, jobs=1) == [401, 400, 400]


def test_many_context_objects_do_not_crowd_out_the_others(new_object: NewObject, new_adapter: NewAdapter) -> None:
    """A namespace each with a LimitRange: one of them is enough in each part, the others are judged like any object."""
    drawn = [("LimitRange", f"team-{number}", "limits") for number in range(600)]
    objects = build(new_object, [*drawn, *(("Pod", None, str(number)) for number in range(400))])
    split = parts(new_adapter(context_kinds=CONTEXT, part_limit=500), objects, jobs=1)
    assert [len(part.objects) for part in split] == [334, 334, 334]
    assert [len(part.judged) for part in split] == [334, 333, 333]
    assert judged_once(split, objects)


def test_context_of_another_api_version_is_context_of_its_own(new_object: NewObject, new_adapter: NewAdapter) -> None:
    objects = [
        new_object("tree/a.yaml", "LimitRange", "a"),
        new_object("tree/b.yaml", "LimitRange", "b", group="example.com"),
        *(new_object(f"tree/{number}.yaml") for number in range(100)),
    ]
    first, second = parts(new_adapter(context_kinds=CONTEXT, part_limit=500), objects, jobs=2)
    assert first.context == frozenset()
    assert second.context == {"tree/a.yaml", "tree/b.yaml"}


def test_partners_come_along_without_being_judged(new_object: NewObject, new_adapter: NewAdapter) -> None:
    dev, prod = new_object("dev/web.yaml", "Pod", "web"), new_object("prod/web.yaml", "Pod", "web")
    limits = new_object("dev/limits.yaml", "LimitRange", "limits")
    split = parts(
        new_adapter(splitting=Splitting.BUNDLE, context_kinds=CONTEXT, unique_identities=True),
        [dev, limits, prod],
        jobs=2,
    )
    assert split == (
        Part(objects=(dev, limits)),
        Part(objects=(prod, limits), context=frozenset(("dev/limits.yaml",))),
    )


def test_a_partner_never_stands_beside_its_namesake(new_object: NewObject, new_adapter: NewAdapter) -> None:
    first, second = new_object("a.yaml", "LimitRange", "limits"), new_object("b.yaml", "LimitRange", "limits")
    split = parts(
        new_adapter(splitting=Splitting.BUNDLE, context_kinds=CONTEXT, unique_identities=True), [first, second], jobs=2
    )
    assert split == (Part(objects=(first,)), Part(objects=(second,)))
