"""`chorale serve` as its operator sees it."""

from pathlib import Path

from tests.end_to_end.server import serve


def test_what_it_keeps_is_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with serve(data):
        kept = [data, *data.iterdir()]
        assert {"chorale.db", "grants.pem"} <= {each.name for each in kept}
        assert {each.name: oct(each.stat().st_mode & 0o077) for each in kept} == {each.name: "0o0" for each in kept}
