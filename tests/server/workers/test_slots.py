"""What each worker opens, apart from the others."""

from __future__ import annotations

from itertools import pairwise

import pytest

from esl_controller.config.loading import load
from esl_controller.config.settings import PREFIX, Settings, SettingsError
from esl_controller.server.workers import slots


def settings(**values: str) -> Settings:
    return load(None, {f"{PREFIX}{name}": value for name, value in values.items()}).settings


def of_slot(given: Settings, slot: int, count: int = 6, workers: int = 4) -> Settings:
    return load(None, slots.environment(given, slot, count, workers)).settings


def test_ports_and_lanes_are_apart_and_within_what_was_given() -> None:
    given = settings(MEDIA_PORT="9000", MEDIA_LANE_PORTS="40000-40999")
    each = [of_slot(given, slot) for slot in range(6)]
    assert [one.media.port for one in each] == [9000, 9001, 9002, 9003, 9004, 9005]
    ranges = [one.media.lane_ports for one in each]
    assert ranges[0].first == 40000
    assert ranges[-1].last <= 40999
    assert all(a.last < b.first for a, b in pairwise(ranges))
    assert all(one.esl.share for one in each)


@pytest.mark.parametrize(("total", "each"), [(0, 0), (1, 1), (4, 1), (10, 3)])
def test_the_limit_of_calls_is_that_of_all_together(total: int, each: int) -> None:
    assert of_slot(settings(ESL_MAX_CALLS=str(total)), 0).esl.max_calls == each


@pytest.mark.parametrize(
    ("url", "dialled"),
    [
        ("ws://10.0.0.5:9000", "ws://10.0.0.5:9002"),
        ("wss://voice.example.net:443", "wss://voice.example.net:445"),
        ("ws://[fd00::5]:9000", "ws://[fd00::5]:9002"),
    ],
)
def test_the_url_that_freeswitch_dials_counts_up_with_the_port(url: str, dialled: str) -> None:
    assert of_slot(settings(MEDIA_PUBLIC_URL=url), 2).media.public_url == dialled


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"ESL_PORT": "0"}, "[esl] port"),
        ({"MEDIA_PORT": "65533"}, "[media] port"),
        ({"MEDIA_LANE_PORTS": "40000-40050"}, "[media] lane_ports"),
        ({"MEDIA_PUBLIC_URL": "wss://voice.example.net"}, "[media] public_url"),
        ({"MEDIA_PUBLIC_URL": "ws://10.0.0.5:9000", "MEDIA_PORT": "0"}, "[media] public_url"),
    ],
)
def test_what_leaves_no_room_for_them_is_told_with_its_setting(
    values: dict[str, str], names: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        slots.check(settings(**values), 6)
    assert str(refused.value).startswith(names)


def test_the_usual_settings_have_room_for_the_most_workers() -> None:
    slots.check(settings(), 66)
