"""What is read of FusionPBX's tables, whatever their types, and what is said when that fails."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from esl_controller.fusionpbx.errors import FusionError, NoSuchDomain
from esl_controller.fusionpbx.rows import APP_UUID, DETAILS, DIALPLANS, StoredRows
from tests.fusionpbx.conftest import DOMAIN, DOMAIN_NAME, UUID_8000, Fusion

MEETING = UUID("33333333-3333-4333-8333-333333333333")
only_boolean = pytest.mark.parametrize("variant", ["boolean"])


@pytest.mark.parametrize("wanted", [DOMAIN_NAME, DOMAIN_NAME.upper(), str(DOMAIN)])
async def test_a_domain_by_its_name_or_uuid(fusion: Fusion, wanted: str) -> None:
    found = await fusion.ask(lambda database: database.domain(wanted))
    assert (found.uuid, found.name) == (DOMAIN, DOMAIN_NAME)


@only_boolean
async def test_another_domain_is_refused_and_those_there_are_named(fusion: Fusion) -> None:
    with pytest.raises(NoSuchDomain, match=r"no domain.*there are: other\.example.*, pbx\."):
        await fusion.ask(lambda database: database.domain("elsewhere"))
    fusion.database.sql(f"UPDATE v_domains SET domain_name = '{DOMAIN_NAME}'")
    with pytest.raises(NoSuchDomain, match="is several domains"):
        await fusion.ask(lambda database: database.domain(DOMAIN_NAME))


async def test_rows_are_read_as_text(fusion: Fusion, variant: str) -> None:
    stored = await fusion.ask(lambda database: database.stored(MEETING))
    assert stored.dialplan["dialplan_order"] == "333"
    assert stored.dialplan["dialplan_enabled"] == "true"
    assert stored.dialplan["hostname"] is None
    assert ("dialplan_destination" in stored.dialplan) == (variant != "older")
    assert [row["dialplan_detail_type"] for row in stored.details] == [
        "destination_number",
        "conference",
    ]
    assert await fusion.ask(lambda database: database.stored(UUID(int=0))) == StoredRows()


async def test_a_context_in_its_order_with_what_is_everywhere(fusion: Fusion) -> None:
    """Orders are numbers: 20 comes before 100."""
    for order, context in ((100, "${domain_name}"), (20, "other.example.net"), (20, "global")):
        fusion.database.sql(
            f"INSERT INTO {DIALPLANS} (dialplan_uuid, dialplan_context, dialplan_name,"
            f" dialplan_order) VALUES (gen_random_uuid(), '{context}', '{context}', {order})"
        )
    found = await fusion.ask(lambda database: database.dialplans(DOMAIN_NAME))
    assert [row.name for row in found] == ["variables", "global", "${domain_name}", "meeting"]


async def test_ours_and_those_whose_domain_is_gone(fusion: Fusion) -> None:
    await fusion.installing()

    async def names(*, orphaned: bool) -> list[str]:
        return [row.number for row in await fusion.ask(lambda db: db.ours(orphaned=orphaned))]

    assert (await names(orphaned=False), await names(orphaned=True)) == (["8000"], [])
    fusion.database.sql(f"DELETE FROM v_domains WHERE domain_uuid = '{DOMAIN}'")
    assert (await names(orphaned=False), await names(orphaned=True)) == ([], ["8000"])
    assert fusion.database.sql(
        f"SELECT app_uuid FROM {DIALPLANS} WHERE dialplan_uuid = '{UUID_8000}'"
    ) == str(APP_UUID)


@only_boolean
async def test_the_tables_of_another_schema_are_not_meant(fusion: Fusion) -> None:
    fusion.database.sql(
        f"CREATE SCHEMA old; CREATE TABLE old.{DIALPLANS} (dialplan_uuid uuid, x text)"
    )
    assert "x" not in (await fusion.ask(_tables))[DIALPLANS].columns


@only_boolean
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda fusion: fusion.database.sql(f"DROP TABLE {DETAILS}"), f"has no table {DETAILS}"),
        (
            lambda fusion: fusion.configure(**{"database.0.name": "nobodys"}),
            "check database.0.name in",
        ),
        (
            lambda fusion: fusion.configure(**{"database.0.password": "wrong"}),
            "check database.0.username and database.0.password in",
        ),
        (
            lambda fusion: fusion.configure(**{"database.0.port": "9"}),
            "is PostgreSQL running there",
        ),
    ],
)
async def test_what_cannot_be_reached_is_one_line(
    fusion: Fusion, fault: Callable[[Fusion], object], told: str
) -> None:
    fault(fusion)
    with pytest.raises(FusionError, match=told) as caught:
        await fusion.ask(_tables)
    assert len(str(caught.value).splitlines()) == 1


async def _tables(database: object) -> object:
    return database.tables  # type: ignore[attr-defined]
