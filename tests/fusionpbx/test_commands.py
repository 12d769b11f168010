"""Install, show, remove, restore: against FusionPBX's tables in a real PostgreSQL."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from esl_controller.freeswitch.dialplan import render
from esl_controller.fusionpbx.rows import DETAILS, DIALPLANS
from esl_controller.simulator.freeswitch import SwitchStandIn, api
from tests.fusionpbx.conftest import (
    DOMAIN,
    DOMAIN_NAME,
    EXTENSIONS,
    PASSWORD,
    SECRETARY,
    UUID_8000,
    Fusion,
)

REMOVE = ("remove", "--domain", DOMAIN_NAME, "--number", "8000", "--yes")
only_boolean = pytest.mark.parametrize("variant", ["boolean"])


def backups(fusion: Fusion) -> list[Path]:
    return sorted(fusion.folder.glob("fusionpbx-*.json"), key=lambda path: path.stat().st_mtime_ns)


def standin(**more: object) -> SwitchStandIn:
    return SwitchStandIn(event_socket=("127.0.0.1", 0), password=PASSWORD, **more)  # type: ignore[arg-type]


def test_install_writes_both_tables(fusion: Fusion, variant: str) -> None:
    before = fusion.rows()
    fusion.install()
    [row] = fusion.database.sql(
        "SELECT domain_uuid, dialplan_context, dialplan_name, dialplan_number, dialplan_continue,"
        f" dialplan_order, dialplan_enabled FROM {DIALPLANS} WHERE dialplan_uuid = '{UUID_8000}'"
    ).splitlines()
    yes, no = ("t", "f") if variant == "boolean" else ("true", "false")
    assert row == f"{DOMAIN}|{DOMAIN_NAME}|voice_ai_8000|8000|{no}|200|{yes}"
    count = fusion.database.sql(
        f"SELECT count(*) FROM {DETAILS} WHERE dialplan_uuid = '{UUID_8000}'"
    )
    extension = ElementTree.fromstring(fusion.xml())
    assert extension.attrib == {"name": "voice_ai_8000", "continue": "false", "uuid": UUID_8000}
    assert int(count) == len(list(extension.iter())) - 1
    rest = [line for line in fusion.rows().splitlines() if line in before.splitlines()]
    assert set(rest) == set(before.splitlines()), "others are as they were"


def test_the_xml_does_what_esl_controller_dialplan_prints(fusion: Fusion) -> None:
    fusion.install("--socket", "10.0.0.5:8022|10.0.0.6:8022", "--fallback", "transfer op XML a")
    plain = ElementTree.fromstring(
        render(
            domain_uuid=str(DOMAIN),
            secretary_uuid=SECRETARY,
            socket="10.0.0.5:8022|10.0.0.6:8022",
            fallback=[("transfer", "op XML a")],
            context=DOMAIN_NAME,
        )
    )
    [expected] = plain.iter("extension")
    assert [(each.tag, each.attrib) for each in ElementTree.fromstring(fusion.xml()).iter()][
        1:
    ] == [(each.tag, each.attrib) for each in expected.iter()][1:]


@pytest.mark.parametrize("variant", ["boolean"])
def test_it_dials_the_port_of_the_settings(fusion: Fusion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESL_CONTROLLER_ESL_PORT", "8062")
    fusion.install()
    assert 'data="127.0.0.1:8062 async full"' in fusion.xml()
    assert "8022" not in fusion.rows()


@pytest.mark.parametrize("variant", ["boolean"])
def test_users_are_shown_the_name_of_the_secretary(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FusionPBX's pages show the description where a destination is chosen."""
    query = f"SELECT dialplan_description FROM {DIALPLANS} WHERE dialplan_uuid = '{UUID_8000}'"
    folder = fusion.folder / "secretaries"
    monkeypatch.setenv("ESL_CONTROLLER_SECRETARIES_FOLDER", str(folder))
    fusion.install()
    assert fusion.database.sql(query).strip() == "Voice AI", "its file is on another machine"
    folder.mkdir()
    (folder / "ana.toml").write_text(f'name = "Ana d\'Ávila"\nsecretary_uuid = "{SECRETARY}"\n')
    (folder / "wrong.toml").write_text("nam = 1\n")
    fusion.install()
    assert fusion.database.sql(query).strip() == "Ana d'Ávila"


def test_install_again_changes_nothing(fusion: Fusion, capsys: pytest.CaptureFixture[str]) -> None:
    fusion.install()
    rows = fusion.rows()
    capsys.readouterr()
    fusion.install()
    assert fusion.rows() == rows
    assert "the rows are as they should be" in capsys.readouterr().out
    assert len(backups(fusion)) == 1


def test_what_was_edited_is_made_good_and_can_be_had_back(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.install()
    fusion.database.sql(
        f"UPDATE {DIALPLANS} SET dialplan_order = 7, dialplan_description = 'a''b\\c' WHERE"
        f" dialplan_uuid = '{UUID_8000}';\nDELETE FROM {DETAILS} WHERE dialplan_uuid ="
        f" '{UUID_8000}' AND dialplan_detail_order = 5"
    )
    edited = fusion.rows()
    capsys.readouterr()
    fusion.install()
    out = capsys.readouterr().out
    assert "-dialplan_order: 7" in out
    assert "+dialplan_order: 200" in out
    assert "rows that say something else" in out
    assert "rows that say the same" in out
    fusion.run("--restore", str(backups(fusion)[-1]), "--yes")
    assert fusion.rows() == edited


def test_remove_and_restore(fusion: Fusion) -> None:
    before = fusion.rows()
    fusion.install()
    installed = fusion.rows()
    fusion.run(*REMOVE)
    assert fusion.rows() == before
    first, second = backups(fusion)
    fusion.run("--restore", str(second), "--yes")
    assert fusion.rows() == installed
    fusion.run("--restore", str(first), "--yes")
    assert fusion.rows() == before


def test_the_printed_statements_do_the_same(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_dates(rows: str) -> str:
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d[^|\n]*", "DATE", rows)

    assert fusion.install("--sql") == 0
    printed = capsys.readouterr().out
    fusion.database.sql(printed)
    by_hand = fusion.rows()
    fusion.run(*REMOVE)
    fusion.install()
    assert without_dates(fusion.rows()) == without_dates(by_hand)
    assert printed.endswith(f"-- rm -f {fusion.cached}\n-- fs_cli -x reloadxml\n")
    assert len(backups(fusion)) == 2, "--sql itself keeps nothing, for it changes nothing"


def test_a_dry_run_changes_nothing(fusion: Fusion, capsys: pytest.CaptureFixture[str]) -> None:
    before = fusion.rows()
    fusion.cached.write_text("old")
    assert fusion.install("--dry-run") == 0
    assert '+<extension name="voice_ai_8000"' in capsys.readouterr().out
    assert fusion.rows() == before
    assert fusion.cached.exists()
    assert not backups(fusion)


@only_boolean
@pytest.mark.parametrize(
    ("answer", "written"), [("y\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_it_asks(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch, answer: str, written: bool
) -> None:
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    status = fusion.run("install", "--domain", DOMAIN_NAME, "--secretary-uuid", SECRETARY)
    assert status == 1, "there is no switch, or nothing was done"
    assert bool(fusion.xml()) == written


@only_boolean
def test_without_a_terminal_it_says_yes_is_missing(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stdin in (io.StringIO("y\n"), None):  # None: it was closed
        monkeypatch.setattr(sys, "stdin", stdin)
        status = fusion.run("install", "--domain", DOMAIN_NAME, "--secretary-uuid", SECRETARY)
        assert status == 1
        [line] = capsys.readouterr().err.splitlines()
        assert "say --yes" in line
    assert not fusion.xml()
    assert not backups(fusion)


def test_a_number_that_another_dialplan_has_is_refused(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fusion.rows()
    assert fusion.install("--number", "7042") == 1
    told = capsys.readouterr()
    assert "meeting  order 333  33333333-3333-4333-8333-333333333333 has 7042" in told.out
    [line] = told.err.splitlines()
    assert "7042 is taken" in line
    assert fusion.rows() == before
    fusion.install("--number", "7042", "--beside")
    assert set(before.splitlines()) <= set(fusion.rows().splitlines())


@only_boolean
@pytest.mark.parametrize(
    ("number", "owner"),
    [
        ("8000", "the extension Ana Lima"),
        ("1002", "the extension Ana Lima"),
        ("1005", "the call flow 1005"),
    ],
)
def test_a_number_that_is_an_extension_or_the_like_is_refused(
    fusion: Fusion, capsys: pytest.CaptureFixture[str], number: str, owner: str
) -> None:
    fusion.database.sql(EXTENSIONS)
    before = fusion.rows()
    assert fusion.install("--number", number) == 1
    told = capsys.readouterr()
    assert f"{owner} has {number}" in told.out
    assert f"{number} is taken" in told.err
    assert fusion.rows() == before
    fusion.install("--number", number, "--beside")
    assert fusion.rows() != before
    capsys.readouterr()
    assert fusion.run("show") == 0
    assert f"warning: {owner} has {number}, too" in capsys.readouterr().out


@only_boolean
@pytest.mark.parametrize("number", ["1003", "1004", "1006"])
def test_what_is_disabled_or_of_another_domain_has_no_number(fusion: Fusion, number: str) -> None:
    fusion.database.sql(EXTENSIONS)
    before = fusion.rows()
    fusion.install("--number", number)
    assert fusion.rows() != before


@only_boolean
def test_one_that_takes_every_call(fusion: Fusion, capsys: pytest.CaptureFixture[str]) -> None:
    """At the end it is for what is left; before ours it takes our calls, too."""
    xml = '<condition field="" expression=""><action application="hangup" data=""/></condition>'
    fusion.database.sql(
        f"UPDATE {DIALPLANS} SET dialplan_number = '', dialplan_xml ="
        f" '<extension name=\"all\">{xml}</extension>' WHERE dialplan_order = 333"
    )
    fusion.install()
    assert fusion.xml()
    assert fusion.run("show") == 0
    fusion.database.sql(f"UPDATE {DIALPLANS} SET dialplan_order = 100 WHERE dialplan_order = 333")
    capsys.readouterr()
    assert fusion.run("show") == 1
    assert "comes before it and catches 8000" in capsys.readouterr().out
    assert fusion.install("--number", "8001") == 1
    assert "8001 is taken" in capsys.readouterr().err


def test_a_disabled_one_has_no_number(fusion: Fusion) -> None:
    fusion.database.sql(
        f"UPDATE {DIALPLANS} SET dialplan_enabled = 'false' WHERE dialplan_order = 333"
    )
    fusion.install("--number", "7042")
    assert fusion.database.sql(f"SELECT count(*) FROM {DIALPLANS}") == "3"


@only_boolean
def test_remove_takes_only_our_own(fusion: Fusion, capsys: pytest.CaptureFixture[str]) -> None:
    before = fusion.rows()
    assert fusion.run("remove", "--domain", DOMAIN_NAME, "--number", "7000", "--yes") == 1
    assert "no extension of ours for '7000'" in capsys.readouterr().err
    assert fusion.rows() == before


@only_boolean
def test_one_whose_number_was_changed_on_the_page(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.install()
    fusion.database.sql(
        f"UPDATE {DIALPLANS} SET dialplan_number = '8100',"
        " dialplan_xml = replace(dialplan_xml, '8000', '8100') WHERE dialplan_number = '8000'"
    )
    assert fusion.install("--number", "8100") == 1
    assert "it is ours, and its number was changed in FusionPBX" in capsys.readouterr().out
    assert fusion.run("remove", "--domain", DOMAIN_NAME, "--number", "8100", "--yes") == 1
    assert "8100  voice_ai_8000" in capsys.readouterr().err
    fusion.run(*REMOVE)
    assert not fusion.xml()


@only_boolean
def test_one_whose_domain_is_gone(fusion: Fusion, capsys: pytest.CaptureFixture[str]) -> None:
    fusion.install()
    fusion.database.sql("DELETE FROM v_domains WHERE domain_name = 'pbx.example.net'")
    assert fusion.run("show") == 0
    assert f"8000  voice_ai_8000  order 200  {UUID_8000}: its domain {DOMAIN} is gone" in (
        capsys.readouterr().out
    )


@only_boolean
def test_what_somebody_else_changed_meanwhile_is_not_overwritten(
    fusion: Fusion, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.install()
    fusion.database.sql(f"UPDATE {DIALPLANS} SET dialplan_order = 7 WHERE dialplan_order = 200")

    class Slow(io.StringIO):
        def isatty(self) -> bool:
            return True

        def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
            fusion.database.sql(
                f"UPDATE {DIALPLANS} SET dialplan_order = 8 WHERE dialplan_order = 7"
            )
            return "y\n"

    monkeypatch.setattr(sys, "stdin", Slow())
    status = fusion.run("install", "--domain", DOMAIN_NAME, "--secretary-uuid", SECRETARY)
    assert status == 1
    assert "somebody else has changed the rows" in capsys.readouterr().err
    assert fusion.database.sql(f"SELECT count(*) FROM {DIALPLANS} WHERE dialplan_order = 8") == "1"


@only_boolean
def test_all_or_nothing(fusion: Fusion, capsys: pytest.CaptureFixture[str]) -> None:
    fusion.database.sql(f"ALTER TABLE {DETAILS} ADD CHECK (dialplan_detail_type <> 'hangup')")
    before = fusion.rows()
    assert fusion.install() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "nothing was changed: new row" in line
    assert fusion.rows() == before


@only_boolean
def test_without_a_backup_nothing_is_written(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = fusion.folder / "taken.json"
    taken.write_text("mine")
    assert fusion.install("--backup", str(taken)) == 1
    assert "nothing was changed" in capsys.readouterr().err
    assert not fusion.xml()
    assert taken.read_text() == "mine"


@only_boolean
def test_a_backup_is_for_its_owner_only(fusion: Fusion) -> None:
    fusion.install("--backup", str(fusion.folder / "b.json"))
    assert (fusion.folder / "b.json").stat().st_mode & 0o777 == 0o600


@only_boolean
def test_one_file_of_the_cache_goes(fusion: Fusion) -> None:
    fusion.cached.write_text("stale")
    others = sorted(path.name for path in fusion.cache.iterdir() if path != fusion.cached)
    fusion.install()
    assert sorted(path.name for path in fusion.cache.iterdir()) == others


@only_boolean
def test_without_the_switch_the_rows_are_written(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fusion.install() == 1
    out = capsys.readouterr().out
    assert fusion.xml()
    assert "the rows are written" in out
    assert "failed: no connection to FreeSWITCH's Event Socket" in out
    assert out.endswith(f" by hand: rm -f {fusion.cached}; fs_cli -x reloadxml\n")


@only_boolean
async def test_a_password_of_fusionpbxs_is_corrected_in_its_file(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes before FREESWITCH_PASSWORD."""
    async with standin() as switch:
        fusion.at(switch)
        text = fusion.file.read_text().replace(PASSWORD, "an old one")
        fusion.file.write_text(text)
        assert await fusion.installing() == 1
    out = capsys.readouterr().out
    assert f"refused the password: switch.event_socket.password in {fusion.file}" in out
    assert "FREESWITCH_PASSWORD" not in out
    assert "an old one" not in out


@only_boolean
def test_where_fusionpbx_is_elsewhere_its_cache_is_named(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.configure(**{"cache.location": "/nonexistent/cache"})
    assert fusion.install() == 1
    assert "failed: there is no /nonexistent/cache on this machine" in capsys.readouterr().out


@only_boolean
async def test_the_switch_and_other_nodes_are_told(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    async with standin() as switch:
        events: list[tuple[str | None, dict[str, str]]] = []
        switch.core.listeners.append(
            lambda event: events.append((event.subclass, dict(event.headers)))
        )
        fusion.at(switch)
        switch.contexts[DOMAIN_NAME] = ""
        assert await fusion.installing() == 1, "it is not served yet"
        assert "failed: the switch does not serve 8000" in capsys.readouterr().out
        switch.contexts[DOMAIN_NAME] = fusion.xml()
        assert await fusion.installing() == 0
        assert "ok: the switch serves it: 8000 in pbx.example.net" in capsys.readouterr().out
        assert await fusion.running(*REMOVE) == 1
        assert "failed: the switch still serves 8000" in capsys.readouterr().out
    told = [headers for subclass, headers in events if subclass == "fusion::file"]
    assert len(told) == 3
    for headers in told:
        assert headers["API-Command"] == "cache"
        assert headers["API-Command-Argument"] == f"delete dialplan.{DOMAIN_NAME}"


@only_boolean
async def test_memcache(
    fusion: Fusion, memcached: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    async with standin(memcached=memcached) as switch:
        events: list[dict[str, str]] = []
        switch.core.listeners.append(
            lambda event: (
                events.append(dict(event.headers)) if event.subclass == "fusion::memcache" else None
            )
        )
        fusion.at(switch, **{"cache.method": "memcache"})
        for key in (DOMAIN_NAME, "other.example.net"):
            assert await switch.api("memcache", f"set dialplan:{key} '<stale/>'") == "+OK\n"
        await fusion.installing()
        switch.contexts[DOMAIN_NAME] = fusion.xml()
        assert await switch.api("memcache", f"get dialplan:{DOMAIN_NAME}") == "-ERR NOT FOUND\n"
        assert await switch.api("memcache", "get dialplan:other.example.net") == "<stale/>"
        assert events[0]["API-Command"] == "memcache"
        assert events[0]["API-Command-Argument"] == f"delete dialplan:{DOMAIN_NAME}"
        assert await fusion.installing() == 0, "a key that is not there is no fault"
        capsys.readouterr()
        assert await fusion.running("show") == 0
        await switch.api("memcache", f"set dialplan:{DOMAIN_NAME} '<stale/>'")
        assert await fusion.running("show") == 1
        assert "failed: the cache of pbx.example.net" in capsys.readouterr().out


@only_boolean
async def test_memcache_without_its_module(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    async with standin() as switch:
        fusion.at(switch, **{"cache.method": "memcache"})
        assert await fusion.installing() == 1
    assert "is mod_memcache loaded?" in capsys.readouterr().out
    assert fusion.xml()


@only_boolean
async def test_a_switch_that_tells_only_of_public(
    fusion: Fusion, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(api)["COMMANDS"], "xml_locate", lambda *_: "-ERR can't find\n")
    async with standin() as switch:
        fusion.at(switch)
        assert await fusion.installing() == 0
    assert "unknown: what the switch serves in pbx.example.net cannot be" in capsys.readouterr().out


def test_show(fusion: Fusion, capsys: pytest.CaptureFixture[str]) -> None:
    assert fusion.run("show") == 0
    assert "no extension of ours" in capsys.readouterr().out
    fusion.install()
    capsys.readouterr()
    assert fusion.run("show") == 0
    expected = f"{DOMAIN_NAME}  8000  voice_ai_8000  order 200  {UUID_8000}  enabled\n"
    assert capsys.readouterr().out == expected
    assert fusion.run("show", "--domain", "other.example.net") == 0
    assert fusion.run("show", "--domain", str(DOMAIN), "--number", "7000") == 0
    assert "meeting" in capsys.readouterr().out
    assert fusion.run("show", "--domain", str(DOMAIN), "--number", "6000") == 1
    assert "FusionPBX has no dialplan for 6000" in capsys.readouterr().out


def test_show_of_an_extension_in_another_context(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.install("--context", "sales")
    capsys.readouterr()
    for words in ((), ("--number", "8000")):
        assert fusion.run("show", "--domain", DOMAIN_NAME, *words) == 0
        assert str(UUID_8000) in capsys.readouterr().out


@only_boolean
@pytest.mark.parametrize(
    ("words", "mistake"),
    [
        (["install", "--domain", "x.example.net"], "there are: other.example.net, pbx.example.net"),
        (["install", "--context", "public"], "let a destination of FusionPBX"),
        (["install", "--context", "global"], "is not one domain's"),
        (["install", "--context", "a/../b"], "context: 'a/../b' may hold letters"),
        (["install", "--fallback", "log a & b"], "puts its details into the XML as they are"),
        (["--restore", "CONFIG"], "is not a backup of esl-controller fusionpbx"),
        (["show", "--number", "8000"], "show --number needs --domain"),
        ([], "say install, show, remove, or --restore FILE"),
        (["--restore", "CONFIG", "show"], "say install, show, remove, or --restore FILE"),
    ],
)
def test_a_mistake_is_one_line(
    fusion: Fusion, capsys: pytest.CaptureFixture[str], words: list[str], mistake: str
) -> None:
    before = fusion.rows()
    words = [str(fusion.file) if word == "CONFIG" else word for word in words]
    given = {"--domain": DOMAIN_NAME, "--secretary-uuid": SECRETARY, "--yes": None}
    if words[:1] == ["install"]:
        words += [
            word
            for name, value in given.items()
            if name not in words
            for word in (name, value)
            if word
        ]
    assert fusion.run(*words) in (1, 2)
    [line] = capsys.readouterr().err.splitlines()
    assert mistake in line
    assert fusion.rows() == before


@only_boolean
@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("database.0.password", "wrong", "check database.0.username and database.0.password in"),
        ("database.0.name", "nobody", "check database.0.name in"),
        ("database.0.port", "1", "is PostgreSQL running there"),
        ("database.0.host", "pbx..example.net", "is PostgreSQL running there"),
        ("database.0.name", "postgres", "has no table v_dialplans: it is not FusionPBX's"),
    ],
)
def test_a_database_that_cannot_be_had_is_one_line(
    fusion: Fusion, capsys: pytest.CaptureFixture[str], key: str, value: str, line: str
) -> None:
    fusion.configure(**{key: value})
    assert fusion.install() == 1
    [told] = capsys.readouterr().err.splitlines()
    assert line in told
    assert "s3cret" not in told


@only_boolean
def test_a_restored_file_may_name_nothing_but_our_own(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.install()
    fusion.run(*REMOVE)
    kept = backups(fusion)[-1]
    before = fusion.rows()
    for old, new in (
        (UUID_8000, "33333333-3333-4333-8333-333333333333"),
        ('"dialplan_name"', '"dialplan_name = 1; DROP TABLE v_domains; --"'),
        (f'"dialplan_context": "{DOMAIN_NAME}"', '"dialplan_context": "../../etc/passwd"'),
        (f'"{fusion.database.name}"', '"another"'),
        ('"format": "esl-controller fusionpbx 1"', '"format": 1'),
        (": null", ": [1]"),
    ):
        text = kept.read_text()
        assert old in text
        forged = fusion.folder / "forged.json"
        forged.write_text(text.replace(old, new))
        assert fusion.run("--restore", str(forged), "--yes") == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
        assert fusion.rows() == before
    json.loads(kept.read_text())


def test_as_a_process(fusion: Fusion) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "esl_controller", "fusionpbx", "show", "--fusionpbx", fusion.file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "no extension of ours" in done.stdout
