"""Each fault of a number, planted one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.inspection import ProblemKind, inspect, problems
from esl_controller.fusionpbx.rows import DETAILS, DIALPLANS
from esl_controller.simulator.freeswitch import SwitchStandIn
from tests.fusionpbx.conftest import DOMAIN, DOMAIN_NAME, UUID_8000, Fusion

OURS = f"WHERE dialplan_uuid = '{UUID_8000}'"


COPY = (
    f"INSERT INTO {DIALPLANS} (domain_uuid, dialplan_uuid, app_uuid, dialplan_context,"
    " dialplan_name, dialplan_number, dialplan_continue, dialplan_xml, dialplan_order,"
    " dialplan_enabled) SELECT domain_uuid, '77777777-7777-4777-8777-777777777777',"
    " '88888888-8888-4888-8888-888888888888', dialplan_context, dialplan_name, dialplan_number,"
    f" dialplan_continue, dialplan_xml, {{order}}, dialplan_enabled FROM {DIALPLANS} {OURS}"
)
"""As FusionPBX's page copies one (resources/classes/dialplan.php): its XML stays as it is."""
PAGES = (
    "CREATE TABLE v_default_settings (default_setting_category text,"
    " default_setting_subcategory text, default_setting_value text, default_setting_enabled text);"
    " INSERT INTO v_default_settings VALUES"
)
HERE = "('cache', 'location', '{cache}', 'true')"


def sql(text: str) -> Callable[[Fusion], None]:
    def plant(fusion: Fusion) -> None:
        fusion.database.sql(text.replace("{cache}", str(fusion.cache)))

    return plant


def caching(content: Callable[[str], str], seconds: int = 60) -> Callable[[Fusion], None]:
    def plant(fusion: Fusion) -> None:
        fusion.cached.write_text(f"<document><context>{content(fusion.xml())}</context></document>")
        now = fusion.cached.stat().st_mtime
        os.utime(fusion.cached, (now, now + seconds))

    return plant


@pytest.fixture(autouse=True)
def _quiet(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What install prints is not looked at here."""
    yield
    capsys.readouterr()


async def found(fusion: Fusion, number: str = "8000") -> list[ProblemKind]:
    seen = await inspect(fusion.config, DOMAIN_NAME, number)
    assert not seen.unread
    return [problem.kind for problem in problems(seen)]


@pytest.mark.parametrize(
    ("plant", "faults"),
    [
        (lambda fusion: None, []),
        (caching(lambda xml: xml), []),
        (sql(f"UPDATE {DIALPLANS} SET dialplan_enabled = 'false' {OURS}"), [ProblemKind.DISABLED]),
        (sql(f"UPDATE {DIALPLANS} SET dialplan_continue = 'true' {OURS}"), [ProblemKind.CONTINUES]),
        (sql(f"UPDATE {DIALPLANS} SET dialplan_xml = '<a' {OURS}"), [ProblemKind.UNREADABLE]),
        (sql(f"UPDATE {DIALPLANS} SET dialplan_xml = NULL {OURS}"), [ProblemKind.UNREADABLE]),
        (
            sql(f"UPDATE {DIALPLANS} SET dialplan_xml = replace(dialplan_xml, '8022', '1') {OURS}"),
            [ProblemKind.DISAGREE],
        ),
        (
            sql(
                f"UPDATE {DETAILS} SET dialplan_detail_type = 'audio_stream' {OURS}"
                " AND dialplan_detail_type = 'socket'"
            ),
            [ProblemKind.DISAGREE],
        ),
        (
            sql(
                f"UPDATE {DIALPLANS} SET dialplan_order = 5, dialplan_xml ="
                " replace(dialplan_xml, '70', '80') WHERE dialplan_number = '7000'"
            ),
            [ProblemKind.CAUGHT_EARLIER],
        ),
        (sql(f"DELETE FROM {DIALPLANS} {OURS}"), [ProblemKind.ABSENT]),
        (sql(COPY.format(order=300)), [ProblemKind.COPIED]),
        (sql(COPY.format(order=100)), [ProblemKind.COPIED]),
        (sql(f"{PAGES} ('cache', 'method', 'file', 'false'), {HERE}"), []),
        (sql(f"{PAGES} ('cache', 'method', 'memcache', 'true')"), [ProblemKind.CACHE_ELSEWHERE]),
        (
            sql(f"{PAGES} ('cache', 'location', '/elsewhere', 'true')"),
            [ProblemKind.CACHE_ELSEWHERE],
        ),
        (caching(lambda xml: ""), [ProblemKind.STALE_CACHE]),
        (caching(lambda xml: xml.replace("8022", "8021")), [ProblemKind.STALE_CACHE]),
        (caching(lambda xml: "<" + xml), [ProblemKind.STALE_CACHE]),
    ],
)
async def test_that_fault_and_no_other(
    fusion: Fusion, plant: Callable[[Fusion], None], faults: list[ProblemKind]
) -> None:
    await fusion.installing()
    plant(fusion)
    assert await found(fusion) == faults


@pytest.mark.parametrize("variant", ["boolean", "text"])
async def test_a_cache_that_is_older_than_the_row(fusion: Fusion) -> None:
    await fusion.installing()
    caching(lambda xml: xml, seconds=-60)(fusion)
    assert await found(fusion) == [ProblemKind.STALE_CACHE]


async def test_a_cache_that_has_what_was_removed(fusion: Fusion) -> None:
    await fusion.installing()
    caching(lambda xml: xml)(fusion)
    fusion.database.sql(f"DELETE FROM {DIALPLANS} {OURS}")
    assert await found(fusion) == [ProblemKind.ABSENT, ProblemKind.STALE_CACHE]


@pytest.mark.parametrize("variant", ["boolean"])
async def test_what_may_catch_it_is_no_certain_fault(fusion: Fusion) -> None:
    await fusion.installing()
    fusion.database.sql(
        f"UPDATE {DIALPLANS} SET dialplan_order = 5, dialplan_xml ="
        ' \'<extension name="a"><condition field="${x}" expression="y"/>'
        '<condition field="destination_number" expression="8"><action application="answer"/>'
        "</condition></extension>' WHERE dialplan_number = '7000'"
    )
    [problem] = problems(await inspect(fusion.config, str(DOMAIN), "8000"))
    assert (problem.kind, problem.certain) == (ProblemKind.CAUGHT_EARLIER, False)
    assert "may catch 8000" in problem.found


@pytest.mark.parametrize("variant", ["boolean"])
async def test_one_of_another_tool(fusion: Fusion) -> None:
    for number in ("7000", "7042"):
        seen = await inspect(fusion.config, DOMAIN_NAME, number)
        assert seen.row is not None
        assert seen.row.name == "meeting"
        assert len(seen.row.details) == 2
        assert problems(seen) == []


@pytest.mark.parametrize("variant", ["boolean"])
async def test_a_cache_that_cannot_be_read(fusion: Fusion) -> None:
    await fusion.installing()
    fusion.cached.mkdir()
    seen = await inspect(fusion.config, DOMAIN_NAME, "8000")
    assert "cannot be read" in seen.unread
    assert problems(seen) == []
    fusion.configure(**{"cache.method": "memcache"})
    seen = await inspect(fusion.config, DOMAIN_NAME, "8000")
    assert "the switch cannot be reached" in seen.unread


@pytest.mark.parametrize("variant", ["boolean"])
async def test_a_cache_in_memcache(fusion: Fusion, memcached: tuple[str, int]) -> None:
    async def command(text: str) -> str:
        name, _, rest = text.removeprefix("api ").partition(" ")
        return (await standin.api(name, rest)).strip()

    await fusion.installing()
    fusion.configure(**{"cache.method": "memcache"})
    async with SwitchStandIn(memcached=memcached) as standin:
        encoded = fusion.xml().replace("'", "&#39;").replace("\\", "\\\\")
        for value, faults in (("", []), (encoded, []), ("<stale/>", [ProblemKind.STALE_CACHE])):
            if value:
                await standin.api("memcache", f"set dialplan:{DOMAIN_NAME} '{value}'")
            seen = await inspect(fusion.config, DOMAIN_NAME, "8000", command=command)
            assert [problem.kind for problem in problems(seen)] == faults


@pytest.mark.parametrize("variant", ["boolean"])
async def test_without_a_database_it_cannot_be_said(fusion: Fusion) -> None:
    fusion.configure(**{"database.0.port": "1"})
    with pytest.raises(FusionError, match="cannot be reached"):
        await inspect(fusion.config, DOMAIN_NAME, "8000")
