"""Charts: what they are made of, in folders and in archives, and what is refused of them."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from kguard.inputs.helm import files
from kguard.inputs.helm.chart import Chart, read_chart, role
from kguard.inputs.nodes import Unreadable

CHARTS = Path(__file__).resolve().parent.parent.parent.parent / "fixtures" / "charts"
SHOP = CHARTS / "shop"
CHART = "apiVersion: v2\nname: web\nversion: 0.1.0\n"


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def archive(folder: Path, target: Path, top: str) -> Path:
    with tarfile.open(target, "w:gz") as tar:
        tar.add(folder, arcname=top)
    return target


def chart_of(path: Path) -> Chart:
    chart = read_chart(path)
    assert chart is not None
    return chart


def test_a_chart_says_what_it_is() -> None:
    chart = chart_of(SHOP)
    assert (chart.name, chart.version, chart.library) == ("shop", "1.2.3", False)
    assert [(item.name, item.alias, item.repository) for item in chart.dependencies] == [
        ("cache", "store", "file://charts/cache"),
        ("parts", None, "file://charts/parts"),
    ]
    assert [(inner.name, inner.library, inner.path) for inner in chart.subcharts] == [
        ("cache", False, SHOP / "charts/cache"),
        ("parts", True, SHOP / "charts/parts"),
    ]
    assert chart.missing == ()


def test_a_folder_without_a_chart_is_none(tmp_path: Path) -> None:
    assert read_chart(tmp_path) is None
    assert read_chart(tmp_path / "missing") is None
    assert read_chart(archive(CHARTS / "shop/templates", tmp_path / "x.tgz", "x")) is None


def test_charts_in_archives_and_archives_in_charts(tmp_path: Path) -> None:
    copy = tmp_path / "shop"
    shutil.copytree(SHOP, copy)
    archive(copy / "charts/cache", copy / "charts/cache-0.1.0.tgz", "cache")
    shutil.rmtree(copy / "charts/cache")
    (copy / "charts/_notes").mkdir()
    write(copy / "charts/_notes", {"Chart.yaml": CHART})
    for found in (chart_of(copy), chart_of(archive(copy, tmp_path / "shop-1.2.3.tgz", "shop"))):
        assert sorted(inner.name for inner in found.subcharts) == ["cache", "parts"]
        assert found.missing == ()
    inner = next(each for each in chart_of(copy).subcharts if each.name == "cache")
    assert (inner.path, inner.inside) == (copy / "charts/cache-0.1.0.tgz", "cache")


def test_dependencies_of_old_charts_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Chart.yaml": "name: old\nversion: 1.0.0\n",
            "requirements.yaml": "dependencies:\n- {name: db, version: 1.x}\n",
        },
    )
    assert [item.name for item in chart_of(tmp_path).missing] == ["db"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "gives no name"),
        ("[web]", "not a mapping"),
        ("name: [web]", "gives no name"),
        ("name: {{ web }}", "not YAML|gives no name"),
        ("{" * 5000, "nested deeper"),
        ("a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*{'a' if n == 0 else f'b{n - 1}'}" + f", *{'a' if n == 0 else f'b{n - 1}'}]\n" for n in range(30)), "once its aliases"),
        (b"\xff\xfen\x00", "not UTF-8"),
        ("name: web\nname: [", "not YAML"),
    ],
)  # fmt: skip
def test_a_chart_that_cannot_be_read(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(Unreadable, match=message):
        read_chart(write(tmp_path, {"Chart.yaml": text}))
    with pytest.raises(Unreadable, match=f"charts/web: .*({message})"):
        read_chart(write(tmp_path / "outer", {"Chart.yaml": CHART, "charts/web/Chart.yaml": text}))


def test_tags_make_nothing(tmp_path: Path) -> None:
    text = f"name: web\nversion: !!python/object/apply:os.system ['touch {tmp_path}/made']\n"
    assert chart_of(write(tmp_path, {"Chart.yaml": text})).name == "web"
    assert not (tmp_path / "made").exists()


def test_a_chart_inside_itself(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": CHART}).joinpath("charts").mkdir()
    (tmp_path / "charts/again").symlink_to(tmp_path)
    with pytest.raises(Unreadable, match="charts inside charts deeper than 8"):
        read_chart(tmp_path)


def test_archives_that_are_none(tmp_path: Path) -> None:
    whole = archive(SHOP, tmp_path / "whole.tgz", "shop").read_bytes()
    cases = {"empty": b"", "text": b"name: web\n", "cut": whole[:200], "gzip": gzip.compress(b"x" * 5000)}
    for name, data in cases.items():
        write(tmp_path, {f"{name}.tgz": data})
        with pytest.raises(Unreadable, match=f"{name}.tgz is not a chart archive"):
            read_chart(tmp_path / f"{name}.tgz")


def test_an_archive_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_ARCHIVE_BYTES", 10 * 2**20)
    bomb = tmp_path / "bomb.tgz"
    with tarfile.open(bomb, "w:gz") as tar:
        member = tarfile.TarInfo("web/Chart.yaml")
        member.size = 20 * 2**20
        tar.addfile(member, io.BytesIO(b"#" * member.size))
    assert bomb.stat().st_size < 2**16
    with pytest.raises(Unreadable, match="larger than 10 MiB once it is unpacked"):
        read_chart(bomb)


def test_an_archive_with_names_that_lead_out(tmp_path: Path) -> None:
    hostile = tmp_path / "in/web.tgz"
    hostile.parent.mkdir()
    with tarfile.open(hostile, "w:gz") as tar:
        for name in ("../../out.yaml", "/out.yaml", "web/Chart.yaml", "web/charts/../../out/Chart.yaml"):
            member = tarfile.TarInfo(name)
            member.size = len(CHART)
            tar.addfile(member, io.BytesIO(CHART.encode()))
        link = tarfile.TarInfo("web/values.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert chart_of(hostile).name == "web"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "web.tgz"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Chart.yaml", "metadata of the chart"),
        ("Chart.lock", "metadata of the chart"),
        ("templates/web.yaml", "template of the chart"),
        ("templates/tests/smoke.yaml", "template of the chart"),
        ("crds/widgets.yaml", "CRD of the chart"),
        ("values.yaml", "values of the chart"),
        ("values-dev.yaml", "values of the chart"),
        ("values.schema.json", "values of the chart"),
        ("ci/test-values.yaml", "values of the chart"),
        ("charts/cache/templates/cache.yaml", "subchart, rendered with its parent"),
        ("charts/cache-0.1.0.tgz", "subchart, rendered with its parent"),
        ("files/dashboard.json", "file of the chart"),
        ("templates", "file of the chart"),
    ],
)
def test_what_a_file_is_to_its_chart(path: str, expected: str) -> None:
    assert role(chart_of(SHOP), SHOP / path) == expected
