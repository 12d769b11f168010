"""Reading FusionPBX's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from esl_controller.fusionpbx.config import read
from esl_controller.fusionpbx.errors import FusionError

LEAST = "database.0.name = fusionpbx\ndatabase.0.username = fusionpbx\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.conf"


def test_what_is_said(file: Path) -> None:
    file.write_text(
        "#database system settings\n"
        "database.0.type = pgsql\ndatabase.0.host = 10.0.0.2\ndatabase.0.port = 6432\n"
        "database.0.sslmode = require\ndatabase.0.name = fusion\ndatabase.0.username = me\n"
        "database.0.password = a=b;c\n; cache.method = memcache\n"
        'cache.method = file\ncache.location = "/var/cache/x y"\n'
        "switch.event_socket.host = 10.0.0.3\nswitch.event_socket.port = 9021\n"
        "switch.event_socket.password = hidden\n"
    )
    config = read(file)
    assert (config.host, config.port, config.sslmode) == ("10.0.0.2", 6432, "require")
    assert (config.database, config.username, config.password) == ("fusion", "me", "a=b;c")
    assert (config.cache_method, config.cache_location) == ("file", Path("/var/cache/x y"))
    there = config.event_socket
    assert (there.host, there.port, there.password) == ("10.0.0.3", 9021, "hidden")
    assert "a=b;c" not in repr(config)
    assert "hidden" not in repr(config)


def test_what_is_not_said(file: Path) -> None:
    file.write_text(LEAST)
    config = read(file)
    assert (config.host, config.port, config.sslmode) == ("127.0.0.1", 5432, "prefer")
    assert (config.cache_method, config.event_socket.port) == ("memcache", None)
    assert config.cache_location == Path("/var/cache/fusionpbx")


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "database.0.name is missing"),
        ("database.0.name = x\n", "database.0.username is missing"),
        (LEAST + "database.0.type = sqlite\n", "database.0.type is 'sqlite'"),
        (LEAST + "database.0.port = 0\n", "database.0.port is not a port"),
        (LEAST + "database.0.port = 5432 5433\n", "database.0.port is not a port"),
        (LEAST + "switch.event_socket.port = 70000\n", "switch.event_socket.port is not a port"),
        (LEAST + "database.0.sslmode = yes\n", "database.0.sslmode is not one of disable"),
        (LEAST + "cache.method = redis\n", "cache.method is neither file nor memcache"),
    ],
)
def test_a_mistake_is_one_line(file: Path, text: str, mistake: str) -> None:
    file.write_text(text)
    with pytest.raises(FusionError) as caught:
        read(file)
    [line] = str(caught.value).splitlines()
    assert mistake in line
    assert str(file) in line


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(FusionError, match="--fusionpbx FILE"):
            read(path)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(FusionError, match="it is not text"):
        read(tmp_path / "binary")
