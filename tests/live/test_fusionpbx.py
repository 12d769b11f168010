"""What `esl-controller fusionpbx` writes is what FreeSWITCH serves, and calls through it reach us.

FusionPBX's handler puts the rows' XML into the answer as it is; here a file of the dialplan's
directory does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from esl_controller.freeswitch.leg import Leg, event_socket
from esl_controller.fusionpbx.config import read
from esl_controller.fusionpbx.inspection import inspect, problems
from tests import postgres
from tests.fusionpbx.conftest import DOMAIN, Fusion, make_tables
from tests.live.freeswitch import PASSWORD, FreeSwitch
from tests.live.rig import Phone, caller_settings, live

NUMBER = "8100"
CONTEXT = "default"


@pytest.fixture
def fusion(
    any_switch: FreeSwitch,
    postgresql: postgres.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fusion]:
    """FusionPBX's tables and file, with the real switch as its switch."""
    monkeypatch.chdir(tmp_path)
    made = Fusion(postgres.Database(postgresql), tmp_path)
    make_tables(made.database, "boolean")
    made.cache.mkdir()
    there = {"port": str(any_switch.event_port), "password": PASSWORD}
    made.configure(**{f"switch.event_socket.{name}": value for name, value in there.items()})
    served = any_switch.directory / "conf" / "dialplan" / "0_fusionpbx.xml"
    yield made
    served.unlink(missing_ok=True)
    any_switch.api("reloadxml")
    made.database.drop()


async def serve(fusion: Fusion, switch: FreeSwitch) -> None:
    """What FusionPBX's handler does: every row of the context that is enabled, in order."""
    rows = fusion.database.sql(
        "SELECT dialplan_xml FROM v_dialplans WHERE dialplan_context IN ('default', 'global')"
        " AND dialplan_enabled ORDER BY dialplan_order"
    )
    served = switch.directory / "conf" / "dialplan" / "0_fusionpbx.xml"
    served.write_text(f"<include>\n{rows}\n</include>\n")
    await asyncio.to_thread(switch.api, "reloadxml")


async def test_the_switch_serves_it_and_a_call_reaches_us(
    any_switch: FreeSwitch, fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    there = ("--number", NUMBER, "--context", CONTEXT)
    words = ("--socket", f"127.0.0.1:{any_switch.controller_port}", *there)
    assert await fusion.installing(*words) == 1, "the handler has not served it yet"
    assert f"failed: the switch does not serve {NUMBER} in default" in capsys.readouterr().out
    await serve(fusion, any_switch)
    assert await fusion.installing(*words) == 0
    told = capsys.readouterr().out
    assert "the rows are as they should be" in told
    assert "ok: reloadxml" in told
    assert f"ok: the switch serves it: {NUMBER} in default" in told
    found = await inspect(read(fusion.file), str(DOMAIN), NUMBER, CONTEXT)
    assert problems(found) == []

    async with live(any_switch) as rig:
        settings = caller_settings(any_switch)
        async with event_socket(settings.freeswitch) as connection:
            leg = Leg(connection, settings.media)
            failure = await leg.dial(f"loopback/{NUMBER}/{CONTEXT}", {}, timeout=10)
            assert not failure, failure
            async with leg.lane():
                await Phone(leg).hears_speech()
            await leg.hang_up()
        await rig.all_over()
        call = await rig.stored()
        assert call.domain_uuid == str(DOMAIN)

    remove = ("remove", "--domain", str(DOMAIN), "--number", NUMBER, "--yes")
    assert await fusion.running(*remove) == 1
    assert f"failed: the switch still serves {NUMBER}" in capsys.readouterr().out
    await serve(fusion, any_switch)
    assert NUMBER not in await asyncio.to_thread(
        any_switch.api, f"xml_locate dialplan context name {CONTEXT}"
    )


async def test_the_event_for_other_nodes_arrives(any_switch: FreeSwitch, fusion: Fusion) -> None:
    settings = caller_settings(any_switch)
    got: asyncio.Queue[tuple[str, str]] = asyncio.Queue(maxsize=10)
    async with event_socket(settings.freeswitch) as connection:

        async def note(event: dict[str, str]) -> None:
            got.put_nowait((event["API-Command"], event["API-Command-Argument"]))

        connection.on("fusion::file", note)
        await connection.send("event plain CUSTOM fusion::file")
        await fusion.installing("--number", NUMBER)
        async with asyncio.timeout(5):
            assert await got.get() == ("cache", "delete dialplan.pbx.example.net")
