"""SQL, XML, paths and commands through every argument, and through what stands in the tables."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esl_controller.fusionpbx.database import connected
from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.rows import DIALPLANS
from tests.fusionpbx.conftest import DOMAIN, DOMAIN_NAME, SECRETARY, UUID_8000, Fusion

NASTY = [
    "'; DROP TABLE v_domains; --",
    "pbx.example.net' OR '1'='1",
    "\\'; DELETE FROM v_dialplans; --",
    '"/><action application="system" data="reboot"/><x y="',
    "]]><!-- &amp; <a>",
    "../../../etc/passwd",
    "8000\napi shutdown",
    "8000\r\n\r\n",
    "${system(reboot)}",
    "$(reboot)",
    "`reboot`",
    "a\0b",
    "\x1b[2J",
    "％２７",
]
ARGUMENTS = ["--domain", "--number", "--secretary-uuid", "--socket", "--fallback", "--context"]
ARGUMENTS += ["--name", "--order"]

pytestmark = pytest.mark.parametrize("variant", ["boolean"])


def everything(fusion: Fusion) -> object:
    """All that could be changed."""
    files = {path: path.read_bytes() for path in fusion.folder.rglob("*") if path.is_file()}
    return fusion.rows(), fusion.database.sql("SELECT * FROM v_domains"), files


def status(fusion: Fusion, *words: str) -> int:
    try:
        return fusion.run(*words, "--yes")
    except SystemExit as over:
        return int(over.code or 0)


def test_nothing_gets_in_by_an_argument(fusion: Fusion, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(fusion)
    for argument in ARGUMENTS:
        for nasty in NASTY:
            given = {"--domain": DOMAIN_NAME, "--secretary-uuid": SECRETARY, argument: nasty}
            words = [f"{name}={text}" for name, text in given.items()]
            assert status(fusion, "install", *words) in (1, 2), (argument, nasty)
            told = capsys.readouterr().err
            assert len(told.splitlines()) == 1, (argument, nasty)
            assert told.rstrip("\n").isprintable()
            assert everything(fusion) == before, (argument, nasty)


def test_nothing_gets_in_by_those_of_the_other_actions(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.install()
    before = everything(fusion)
    capsys.readouterr()
    for nasty in NASTY:
        for words in (
            ["remove", f"--domain={nasty}", "--number=8000"],
            ["remove", f"--domain={DOMAIN_NAME}", f"--number={nasty}"],
            ["show", f"--domain={nasty}"],
            [f"--restore={nasty}"],
            ["show", f"--fusionpbx={nasty}"],
        ):
            assert status(fusion, *words) in (1, 2), words
            assert len(capsys.readouterr().err.splitlines()) == 1, words
            assert everything(fusion) == before, words


@pytest.mark.parametrize("name", [nasty for nasty in NASTY if "\0" not in nasty])
def test_nothing_gets_in_by_the_name_of_a_domain(
    fusion: Fusion, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    literal = "||".join(f"chr({ord(char)})" for char in name)
    fusion.database.sql(
        f"UPDATE v_domains SET domain_name = {literal} WHERE domain_uuid = '{DOMAIN}'"
    )
    before = everything(fusion)
    words = ("install", "--domain", str(DOMAIN), "--secretary-uuid", SECRETARY)
    assert status(fusion, *words) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1
    assert told.rstrip("\n").isprintable()
    assert everything(fusion) == before


@pytest.mark.parametrize("context", ["../victim", "/victim", "x/../../victim", "a\nb", "$(x)"])
def test_no_other_file_goes_by_what_stands_in_our_own_row(
    fusion: Fusion, capsys: pytest.CaptureFixture[str], context: str
) -> None:
    victims = [fusion.folder / "victim", fusion.cache / "dialplan.x", fusion.cache / "victim"]
    fusion.install()
    for victim in victims:
        victim.touch()
    fusion.database.sql(
        f"UPDATE {DIALPLANS} SET dialplan_context = '{context}' WHERE dialplan_uuid = '{UUID_8000}'"
    )
    capsys.readouterr()
    assert status(fusion, "remove", "--domain", DOMAIN_NAME, "--number", "8000") == 1
    assert "flush the cache in FusionPBX" in capsys.readouterr().out
    assert all(victim.exists() for victim in victims)
    assert not fusion.xml()


def test_what_others_wrote_is_shown_without_its_control_characters(
    fusion: Fusion, capsys: pytest.CaptureFixture[str]
) -> None:
    fusion.database.sql(
        f"UPDATE {DIALPLANS} SET dialplan_name = E'\\x1b[2Jx' WHERE dialplan_order = 333"
    )
    fusion.install("--number", "7000")
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
    assert r"\x1b[2Jx" in told.out


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.text(max_size=20) | st.text("'\\;-\" x", max_size=8))
def test_any_text_is_a_domain_that_there_is_none_of(fusion: Fusion, name: str) -> None:
    async def ask() -> None:
        async with connected(fusion.config) as database:
            await database.domain(name)

    with pytest.raises(FusionError) as caught:
        asyncio.run(ask())
    assert len(str(caught.value).splitlines()) == 1


def test_a_backup_may_be_anywhere_but_nowhere_else(fusion: Fusion, tmp_path: Path) -> None:
    fusion.install("--number", "..")
    [kept] = tmp_path.glob("fusionpbx-*")
    assert kept.name.startswith("fusionpbx-..-")
