"""What systemd is told, by the datagrams that sd_notify(3) describes."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from esl_controller.server.service_manager import ServiceManager


@pytest.mark.parametrize("abstract", [False, True])
def test_it_is_told_by_datagrams(socket_folder: Path, abstract: bool) -> None:
    name = f"@esl-controller-{os.getpid()}" if abstract else str(socket_folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(name.replace("@", "\0", 1))
        manager = ServiceManager({"NOTIFY_SOCKET": name})
        manager.ready()
        manager.alive()
        manager.stopping()
        told = [there.recv(100) for _ in range(3)]
    assert told == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nowhere/notify"}])
def test_nobody_need_be_there(environment: dict[str, str]) -> None:
    ServiceManager(environment).alive()
