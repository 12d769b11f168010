"""A FusionPBX without FusionPBX: its tables in a real PostgreSQL, its file and its cache."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from esl_controller.cli.main import main
from esl_controller.fusionpbx.config import Config, read
from esl_controller.fusionpbx.database import Database, connected
from esl_controller.fusionpbx.rows import DETAILS, DIALPLANS, uuid_of
from esl_controller.simulator.freeswitch import SwitchStandIn
from tests import postgres

DOMAIN = UUID("6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01")
DOMAIN_NAME = "pbx.example.net"
SECRETARY = "c8e3b7d4-21f9-4f6e-b1a7-5e2d9c4f8a02"
UUID_8000 = str(uuid_of(DOMAIN, "8000"))
PASSWORD = "of-the-switch"

_DATES = ", insert_date timestamptz, insert_user uuid, update_date timestamptz, update_user uuid"
_TABLES = """
CREATE TABLE v_domains (domain_uuid uuid PRIMARY KEY, domain_name text, domain_enabled {flag});
CREATE TABLE v_dialplans (domain_uuid uuid, dialplan_uuid uuid PRIMARY KEY, app_uuid uuid,
    hostname text, dialplan_context text, dialplan_name text, dialplan_number text{destination},
    dialplan_continue {flag}, dialplan_xml text, dialplan_order numeric, dialplan_enabled {flag},
    dialplan_description text{dates});
CREATE TABLE v_dialplan_details (domain_uuid uuid, dialplan_uuid uuid,
    dialplan_detail_uuid uuid PRIMARY KEY, dialplan_detail_tag text, dialplan_detail_type text,
    dialplan_detail_data text, dialplan_detail_break text, dialplan_detail_inline text,
    dialplan_detail_group numeric, dialplan_detail_order numeric{enabled}{dates});
INSERT INTO v_domains VALUES ('6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01', 'pbx.example.net', 'true'),
    ('11111111-1111-4111-8111-111111111111', 'other.example.net', 'true');
INSERT INTO v_dialplans (domain_uuid, dialplan_uuid, app_uuid, dialplan_context, dialplan_name,
    dialplan_number, dialplan_continue, dialplan_xml, dialplan_order, dialplan_enabled) VALUES
    (NULL, '22222222-2222-4222-8222-222222222222', '9f356fe7-8cf8-4c14-8fe2-6daf89304458', 'global',
    'variables', '[ext]', 'true', '<extension name="variables" continue="true"'
    ' uuid="22222222-2222-4222-8222-222222222222"><condition field="destination_number"'
    ' expression="^.*$"><action application="set" data="a=b"/></condition></extension>', 10,
    'true'),
    ('6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01', '33333333-3333-4333-8333-333333333333',
    'b81412e8-7253-91f4-e48e-42fc2c9a38d9', 'pbx.example.net', 'meeting', '7000', 'false',
    '<extension name="meeting" continue="false" uuid="33333333-3333-4333-8333-333333333333">'
    '<condition field="destination_number" expression="^70\\d\\d$"><action'
    ' application="conference" data="a"/></condition></extension>', 333, 'true');
INSERT INTO v_dialplan_details (domain_uuid, dialplan_uuid, dialplan_detail_uuid,
    dialplan_detail_tag, dialplan_detail_type, dialplan_detail_data, dialplan_detail_group,
    dialplan_detail_order) VALUES
    ('6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01', '33333333-3333-4333-8333-333333333333',
    '44444444-4444-4444-8444-444444444444', 'condition', 'destination_number', '^70\\d\\d$', 0, 5),
    ('6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01', '33333333-3333-4333-8333-333333333333',
    '55555555-5555-4555-8555-555555555555', 'action', 'conference', 'a', 0, 10);
"""
EXTENSIONS = """
CREATE TABLE v_extensions (domain_uuid uuid, extension text, number_alias text,
    effective_caller_id_name text, enabled boolean);
CREATE TABLE v_call_flows (domain_uuid uuid, call_flow_name text, call_flow_extension text,
    call_flow_enabled text);
INSERT INTO v_extensions VALUES
    ('6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01', '8000', '1002', 'Ana Lima', true),
    ('6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01', '1003', NULL, 'Rui', false),
    ('11111111-1111-4111-8111-111111111111', '1004', '', 'of another tenant', true);
INSERT INTO v_call_flows VALUES
    ('6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01', '', '1005', 'true')
"""
"""Some of what may have a number besides a dialplan; other tables of that kind are missing."""
VARIANTS = {
    "boolean": {
        "flag": "boolean",
        "destination": ", dialplan_destination boolean",
        "enabled": ", dialplan_detail_enabled boolean",
        "dates": _DATES,
    },
    "text": {
        "flag": "text",
        "destination": ", dialplan_destination text",
        "enabled": ", dialplan_detail_enabled text",
        "dates": _DATES,
    },
    "older": {"flag": "text", "destination": "", "enabled": "", "dates": ""},
}


def make_tables(database: postgres.Database, variant: str) -> None:
    """FusionPBX's tables, with a dialplan of its own and one of another tool."""
    database.sql(_TABLES.format(**VARIANTS[variant]))


@dataclass
class Fusion:
    """What a test gets."""

    database: postgres.Database
    folder: Path

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.folder / "config.conf"

    @property
    def cache(self) -> Path:
        """Its cache's folder, with files of others."""
        return self.folder / "cache"

    @property
    def cached(self) -> Path:
        """What the cache has of the domain's dialplan."""
        return self.cache / f"dialplan.{DOMAIN_NAME}"

    @property
    def config(self) -> Config:
        """What we read of its configuration."""
        return read(self.file)

    def configure(self, **values: str) -> None:
        """Write its configuration; an underscore stands for a dot, the first ones only."""
        server = self.database.server
        lines = {
            "database.0.type": "pgsql",
            "database.0.host": "127.0.0.1",
            "database.0.port": str(server.port),
            "database.0.sslmode": "prefer",
            "database.0.name": self.database.name,
            "database.0.username": "postgres",
            "database.0.password": postgres.PASSWORD,
            "cache.method": "file",
            "cache.location": str(self.cache),
            "switch.event_socket.port": str(free_port()),
            **values,
        }
        text = "\n".join(f"{key} = {value}" for key, value in lines.items())
        self.file.write_text(f"# of FusionPBX\n{text}\n")

    def at(self, switch: SwitchStandIn, **values: str) -> None:
        """Its switch is the stand-in."""
        assert switch.event_socket
        there = {
            "switch.event_socket.port": str(switch.event_socket[1]),
            "switch.event_socket.password": PASSWORD,
        }
        self.configure(**there, **values)

    def rows(self) -> str:
        """All there is in both tables."""
        return self.database.sql(
            f"SELECT * FROM {DIALPLANS} ORDER BY dialplan_uuid;\n"
            f"SELECT * FROM {DETAILS} ORDER BY dialplan_detail_uuid"
        )

    def xml(self, uuid: str = UUID_8000) -> str:
        """What is served of a dialplan."""
        return self.database.sql(
            f"SELECT dialplan_xml FROM {DIALPLANS} WHERE dialplan_uuid = '{uuid}'"
        )

    async def ask(self, question: Callable[[Database], Awaitable[Any]]) -> Any:
        """Something of the database's module."""
        async with connected(self.config) as database:
            return await question(database)

    def run(self, *words: str) -> int:
        """``esl-controller fusionpbx`` with these words; its exit status."""
        return main(["fusionpbx", "--fusionpbx", str(self.file), *words])

    def install(self, *words: str) -> int:
        """Install 8000 without being asked."""
        named = ("--domain", DOMAIN_NAME, "--secretary-uuid", SECRETARY)
        return self.run("install", *named, "--yes", *words)

    async def running(self, *words: str) -> int:
        """``run``, beside the event loop of the test."""
        return await asyncio.to_thread(self.run, *words)

    async def installing(self, *words: str) -> int:
        """``install``, beside the event loop of the test."""
        return await asyncio.to_thread(self.install, *words)


@pytest.fixture(params=list(VARIANTS))
def variant(request: pytest.FixtureRequest) -> str:
    """Which columns there are, and of which types. A test may choose for itself."""
    return str(request.param)


@pytest.fixture
def fusion(
    variant: str,
    postgresql: postgres.Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Fusion]:
    """FusionPBX on this machine; its switch does not run."""
    monkeypatch.chdir(tmp_path)
    made = Fusion(postgres.Database(postgresql), tmp_path)
    make_tables(made.database, variant)
    made.cache.mkdir()
    for name in ("dialplan.other.example.net", "dialplan.pbx.example.net.x", "directory.1000"):
        (made.cache / name).write_text("of others")
    made.configure()
    yield made
    made.database.drop()


@pytest.fixture
def memcached(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A real memcached."""
    program = shutil.which("memcached")
    if program is None:
        pytest.skip("there is no memcached: apt install memcached")
    port = free_port()
    user = ["-u", "nobody"]
    process = subprocess.Popen(
        [program, *user, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "8"]
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "memcached does not listen"
                time.sleep(0.02)
        yield "127.0.0.1", port
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
