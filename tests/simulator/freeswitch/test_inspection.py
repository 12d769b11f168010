"""Contract: the stand-in answers questions about itself as FreeSWITCH did."""

from __future__ import annotations

import re

from esl_controller.simulator.freeswitch import SwitchStandIn
from tests.simulator.freeswitch.rig import capture, dial, parse

SHAPES = {
    "api strmicroepoch": r"\d{16}",
    "api xml_locate configuration configuration name event_socket.conf": (
        r'<configuration name="event_socket.conf">.*<param name="listen-ip" value="127.0.0.1">'
        r'</param>.*<param name="password" value="ClueCon"></param>.*</configuration>\s*'
    ),
    "api xml_locate configuration configuration name modules.conf": (
        r'<configuration name="modules.conf">.*<load module="mod_audio_stream".*</configuration>\s*'
    ),
}
"""Answers that differ from switch to switch: what they look like."""


async def test_inspection() -> None:
    lines = capture("inspection")
    async with SwitchStandIn(event_socket=("127.0.0.1", 0)) as switch:
        assert switch.event_socket
        controller = await dial(switch.event_socket)
        command = ""
        for line in lines:
            if line["from"] == "controller":
                command = line["text"].strip()
                controller.send(line["text"])
                continue
            expected = parse(line["text"], strict=False)
            actual = await controller.reply()
            if (shape := SHAPES.get(command)) is not None:
                for body in (expected.body, actual.body):
                    assert re.fullmatch(shape, body, re.DOTALL), (command, body)
            else:
                assert actual.body == expected.body, command
        await controller.close()
