"""The doctor's checks of FusionPBX: a healthy one is well, and each fault is found by one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from esl_controller.config.loading import load
from esl_controller.config.settings import FreeswitchSettings
from esl_controller.diagnostics.doctor import dialplan_checks, fusionpbx_checks
from esl_controller.diagnostics.doctor.case import Ask, Case, examine
from esl_controller.diagnostics.doctor.report import Report, Status
from esl_controller.freeswitch.leg import event_socket
from esl_controller.fusionpbx import config
from esl_controller.fusionpbx.rows import DETAILS, DIALPLANS
from esl_controller.simulator.freeswitch import SwitchStandIn, api
from tests.fusionpbx import shipped
from tests.fusionpbx.conftest import DOMAIN, DOMAIN_NAME, EXTENSIONS, PASSWORD, UUID_8000, Fusion

pytestmark = pytest.mark.parametrize("variant", ["boolean"])
OURS = f"WHERE dialplan_uuid = '{UUID_8000}'"
UUID_DID = "77777777-7777-4777-8777-777777777777"
ROW, CACHE = fusionpbx_checks.NAMES


async def statuses(
    fusion: Fusion,
    context: str = DOMAIN_NAME,
    wanted: Ask | None = None,
    *,
    domain: str = "",
    configured: Path | None = None,
) -> dict[str, Status]:
    """How the checks of FusionPBX and of the dialplan come out, at a switch that tells of none."""
    report = await examined(fusion, context, wanted, there=(domain, configured))
    return {name: finding.status for name, finding in report.findings.items()}


async def examined(
    fusion: Fusion,
    context: str = DOMAIN_NAME,
    wanted: Ask | None = None,
    there: tuple[str, Path | None] = ("", None),
    number: str = "8000",
    **configured: str,
) -> Report:
    """The report; ``there`` are the domain and FusionPBX's file as they are named, ``configured``
    is what is inside the switch's configurations."""
    async with (
        SwitchStandIn(event_socket=("127.0.0.1", 0), password=PASSWORD) as switch,
        AsyncExitStack() as stack,
    ):
        fusion.at(switch)
        switch.installation.configurations.update(configured)
        assert switch.event_socket
        at = {"port": switch.event_socket[1], "password": PASSWORD}
        settings = FreeswitchSettings.model_validate(at)
        connection = await stack.enter_async_context(event_socket(settings))
        case = Case(load(None, {}), number, context, stack, *there, switch=connection)
        checks = (*fusionpbx_checks.CHECKS, *dialplan_checks.CHECKS)
        return await examine(case, checks, lambda *_: None, wanted)


@pytest.fixture(autouse=True)
def asked(fusion: Fusion, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What FreeSWITCH is asked about its dialplan, of which it cannot tell."""
    dialplans: list[str] = []
    monkeypatch.setattr(config, "DEFAULT_FILES", (fusion.file,))
    located = vars(api)["COMMANDS"]["xml_locate"]

    def only_configurations(switch: SwitchStandIn, arg: str) -> str:
        if "configuration" in arg:
            return str(located(switch, arg))
        dialplans.append(arg)
        return "-ERR can't find\n"

    monkeypatch.setitem(vars(api)["COMMANDS"], "xml_locate", only_configurations)
    return dialplans


async def test_all_is_well(fusion: Fusion, asked: list[str]) -> None:
    await fusion.installing()
    asked.clear()
    found = await statuses(fusion)
    assert set(found.values()) == {Status.OK}, found
    assert set(found) >= {ROW, CACHE, "dialplan", "dialplan identity"}
    assert not asked, "it would log two errors"


async def test_all_is_well_among_what_fusionpbx_ships(fusion: Fusion) -> None:
    """Its rows continue by "1", and let conditions fail; neither takes the number from us."""
    fusion.database.sql(shipped.inserts(str(DOMAIN), DOMAIN_NAME))
    await fusion.installing()
    found = await statuses(fusion)
    assert set(found.values()) == {Status.OK}, found


async def test_another_context_of_the_domain(fusion: Fusion) -> None:
    await fusion.installing("--context", "sales")
    found = await statuses(fusion, "sales", domain=DOMAIN_NAME)
    assert set(found.values()) == {Status.OK}, found
    report = await examined(fusion, "support", there=(DOMAIN_NAME, None))
    absent = report.findings[ROW]
    assert absent.status is Status.FAILED
    assert f"--domain {DOMAIN_NAME} --context support --number 8000" in absent.remedy


async def test_a_configuration_at_another_place(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fusion.installing()
    monkeypatch.setattr(config, "DEFAULT_FILES", ())
    found = await statuses(fusion, configured=fusion.file)
    assert set(found.values()) == {Status.OK}, found


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (f"UPDATE {DIALPLANS} SET dialplan_enabled = false {OURS}", ROW),
        (f"UPDATE {DIALPLANS} SET dialplan_continue = true {OURS}", ROW),
        (f"UPDATE {DIALPLANS} SET dialplan_xml = replace(dialplan_xml, '80', '90') {OURS}", ROW),
        (f"DELETE FROM {DIALPLANS} {OURS}", ROW),
        (
            f"UPDATE {DIALPLANS} SET dialplan_order = 5, dialplan_xml ="
            " replace(dialplan_xml, '70', '80') WHERE dialplan_number = '7000'",
            ROW,
        ),
    ],
)
async def test_that_fault_alone_is_told(fusion: Fusion, plant: str, check: str) -> None:
    await fusion.installing()
    fusion.database.sql(plant)
    found = await statuses(fusion)
    assert [name for name, status in found.items() if status is Status.FAILED] == [check]
    assert found["dialplan"] is Status.SKIPPED


async def test_a_stale_cache(fusion: Fusion) -> None:
    await fusion.installing()
    fusion.cached.write_text("<document/>")
    found = await statuses(fusion)
    assert [name for name, status in found.items() if status is Status.FAILED] == [CACHE]


async def test_a_stale_cache_is_dropped_if_that_is_wanted(fusion: Fusion) -> None:
    await fusion.installing()
    fusion.cached.write_text("<document/>")
    other = fusion.cached.with_name("dialplan.other.example.net")
    other.write_text("<document/>")
    found = await statuses(fusion, wanted=lambda what: what.startswith("rm -f "))
    assert set(found.values()) == {Status.OK}, found
    assert not fusion.cached.exists()
    assert other.exists()


async def test_a_context_that_is_no_domain(fusion: Fusion) -> None:
    assert (await statuses(fusion, "default"))[ROW] is Status.FAILED


@pytest.mark.parametrize(
    "gone", [lambda fusion: fusion.file.unlink(), lambda fusion: fusion.cache.rename("elsewhere")]
)
async def test_what_is_not_here_is_no_fault(
    fusion: Fusion, gone: Callable[[Fusion], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    await fusion.installing()
    monkeypatch.setattr(Fusion, "at", lambda *_: None)
    gone(fusion)
    found = await statuses(fusion)
    assert Status.FAILED not in [found[name] for name in fusionpbx_checks.NAMES]


DIALPLAN = ("dialplan", "dialplan target", "dialplan resume", "dialplan identity")


@pytest.mark.parametrize("key", ["database.0.type", "database.0.port"])
async def test_a_dialplan_that_cannot_be_looked_at_is_no_fault(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """FusionPBX is here and its tables are not ours to read: the extension may well be there."""
    monkeypatch.setattr(Fusion, "at", lambda *_: None)
    fusion.configure(**{key: "1"})
    found = await statuses(fusion)
    assert {found[name] for name in (ROW, CACHE, *DIALPLAN)} == {Status.SKIPPED}, found


async def test_a_fusionpbx_on_another_machine(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    bindings = '<param name="xml-handler-bindings" value="configuration,dialplan,directory"/>'
    monkeypatch.setattr(config, "DEFAULT_FILES", ())
    report = await examined(fusion, lua=f"<settings>{bindings}</settings>")
    assert {report.findings[name].status for name in DIALPLAN} == {Status.SKIPPED}
    assert "on its machine" in report.findings["dialplan"].found


async def test_the_first_fault_of_the_seed(fusion: Fusion) -> None:
    """What mends it is FusionPBX's, not a file of the dialplan's directory."""
    fusion.database.sql(
        f"UPDATE {DIALPLANS} SET dialplan_number = '8000', dialplan_xml = '<extension"
        ' name="voice" uuid="33333333-3333-4333-8333-333333333333"><condition'
        ' field="destination_number" expression="^8000$"><action application="audio_stream"'
        """ data="ws://127.0.0.1:8085/ws/a/b"/></condition></extension>' """
        f"WHERE dialplan_number = '7000';\nDELETE FROM {DETAILS}"
    )
    report = await examined(fusion)
    found = report.findings["dialplan"]
    assert "uses audio_stream as an application" in found.found
    assert "disable that dialplan" in found.remedy
    assert f"fusionpbx install --domain {DOMAIN_NAME} --number 8000" in found.remedy


@pytest.mark.parametrize(
    ("check", "said", "instead"),
    [
        ("dialplan target", " async full", ""),
        ("dialplan target", ":8022", ":9"),
        ("dialplan resume", "socket_resume=true", "x=y"),
        ("dialplan identity", "domain_uuid=", "domain_uuid=not-"),
    ],
)
async def test_what_is_wrong_within_ours_is_mended_by_installing_again(
    fusion: Fusion, check: str, said: str, instead: str
) -> None:
    await fusion.installing()
    for table, column in ((DETAILS, "dialplan_detail_data"), (DIALPLANS, "dialplan_xml")):
        fusion.database.sql(
            f"UPDATE {table} SET {column} = replace({column}, '{said}', '{instead}') {OURS}"
        )
    findings = (await examined(fusion)).findings
    bad = (Status.FAILED, Status.WARNING)
    assert [name for name, finding in findings.items() if finding.status in bad] == [check]
    assert "reloadxml" not in findings[check].remedy
    assert f"fusionpbx install --domain {DOMAIN_NAME} --number 8000" in findings[check].remedy
    await fusion.installing()
    assert set((await statuses(fusion)).values()) == {Status.OK}


async def test_a_destination_of_fusionpbx_is_never_to_be_saved_or_disabled(fusion: Fusion) -> None:
    """The XML of an inbound route holds more than its details, and would lose it if saved."""
    await fusion.installing()
    app, did = "c03b422e-13a8-bd1b-e42b-b6b9b4d27ce4", "+551130001234"
    values = f"'{DOMAIN}', '{UUID_DID}', '{app}', 'sales', 'did', '{did}', 'false', 'true', 100"
    xml = (
        f'<extension name="did" continue="false" uuid="{UUID_DID}"><condition'
        ' field="destination_number" expression="^\\+551130001234$"><action application="export"'
        ' data="call_direction=inbound" inline="true"/><action application="transfer"'
        f' data="8000 XML {DOMAIN_NAME}"/></condition></extension>'
    )
    columns = "domain_uuid, dialplan_uuid"
    fusion.database.sql(
        f"INSERT INTO {DIALPLANS} ({columns}, app_uuid, dialplan_context, dialplan_name,"
        " dialplan_number, dialplan_continue, dialplan_enabled, dialplan_order, dialplan_xml)"
        f" VALUES ({values}, '{xml}');\n"
        f"INSERT INTO {DETAILS} ({columns}, dialplan_detail_uuid, dialplan_detail_tag,"
        " dialplan_detail_type, dialplan_detail_data, dialplan_detail_group,"
        f" dialplan_detail_order) VALUES ('{DOMAIN}', '{UUID_DID}', '{UUID_DID}', 'action',"
        f" 'transfer', '8000 XML {DOMAIN_NAME}', 0, 10)"
    )
    report = await examined(fusion, "sales", there=(DOMAIN_NAME, None), number=did)
    assert report.findings[ROW].status is Status.OK
    onward = report.findings["dialplan"]
    assert onward.status is Status.WARNING
    assert f"transfers the call to 8000 in '{DOMAIN_NAME}'" in onward.found
    assert onward.remedy == f"esl-controller doctor --number 8000 --context {DOMAIN_NAME}"
    assert report.exit_status == 0


async def test_a_number_that_an_extension_has_is_told(fusion: Fusion) -> None:
    fusion.database.sql(EXTENSIONS)
    absent = (await examined(fusion)).findings[ROW]
    assert "no dialplan for 8000 in pbx.example.net; the extension Ana Lima has" in absent.found
    assert "--number OTHER" in absent.remedy
    await fusion.installing("--beside")
    found = (await examined(fusion)).findings[ROW]
    assert found.status is Status.WARNING
    assert "the extension Ana Lima has 8000, too" in found.found
