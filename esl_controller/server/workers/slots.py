"""What each worker opens, apart from that of the others. [core]

All of them listen on the Event Socket's port. A stream must reach the very process that has its
call, and two of them must not give FreeSWITCH one UDP port for two lanes: so each slot has a media
port and a range of lane ports of its own.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from esl_controller.config.setting_types import PortRange
from esl_controller.config.settings import PREFIX, Settings, SettingsError

LANES = 20  # ports that a slot has at least
_PORTS = 65535


def check(settings: Settings, slots: int) -> None:
    """Raises SettingsError where the settings leave no room for so many."""
    esl, media = settings.esl, settings.media
    if esl.port == 0:
        raise SettingsError("[esl] port: 0 cannot be shared by workers; name a port")
    if media.port + slots > _PORTS:
        raise SettingsError(f"[media] port: the {slots} ports from {media.port} on are needed")
    lanes = media.lane_ports
    if lanes.last - lanes.first + 1 < slots * LANES:
        raise SettingsError(f"[media] lane_ports: at least {slots * LANES} ports are needed")
    if media.public_url and (urlsplit(media.public_url).port is None or media.port == 0):
        raise SettingsError(
            "[media] public_url: with workers it needs a port, and [media] port, too. Each of the"
            f" {slots} processes is dialled at a port of its own, counted up from these"
        )


def environment(settings: Settings, slot: int, slots: int, workers: int) -> dict[str, str]:
    """The settings of a ``slot`` out of so many, as variables of its environment."""
    esl, media = settings.esl, settings.media
    own = {
        "ESL_SHARE": "true",
        # Of all the calls together; a worker that is full closes its port, and others get them.
        "ESL_MAX_CALLS": str(-(-esl.max_calls // workers)),
        "MEDIA_PORT": str(media.port and media.port + slot),
        "MEDIA_LANE_PORTS": str(_part(media.lane_ports, slot, slots)),
        # The supervisor answers for all.
        "WEB_HOST": "127.0.0.1",
        "WEB_PORT": "0",
    }
    if media.public_url:
        at = urlsplit(media.public_url)
        assert at.port is not None
        host = f"[{at.hostname}]" if ":" in str(at.hostname) else at.hostname
        own["MEDIA_PUBLIC_URL"] = f"{at.scheme}://{host}:{at.port + slot}"
    return {f"{PREFIX}{name}": value for name, value in own.items()}


def _part(ports: PortRange, slot: int, slots: int) -> PortRange:
    size = (ports.last - ports.first + 1) // slots
    first = ports.first + slot * size
    return PortRange(first, first + size - 1)
