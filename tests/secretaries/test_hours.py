"""Opening hours: wall clocks, holidays, midnight, and the two nights when a clock is moved."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from esl_controller.secretaries.hours import DAYS, Hours, is_open, opens_next

WEEK: dict[str, Any] = {day: ["08:00-12:00", "13:30-18:00"] for day in DAYS[:5]}


def hours(zone: str = "Europe/London", **keys: Any) -> Hours:
    return Hours.model_validate({"zone": zone, **keys})


def at(text: str, zone: str = "Europe/London", fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-11-23 07:59:59.999", False),  # a Monday
        ("2026-11-23 08:00", True),
        ("2026-11-23 11:59:59.999", True),
        ("2026-11-23 12:00", False),
        ("2026-11-23 13:30", True),
        ("2026-11-27 17:59", True),
        ("2026-11-28 09:00", False),
        ("2026-12-25 09:00", False),  # a Friday
        ("2027-03-26 09:00", False),
        ("2028-03-24 09:00", True),  # a holiday of 2027 only
    ],
)
def test_open_and_closed(when: str, expected: bool) -> None:
    weekly = hours(**WEEK, holidays=["12-25", "2027-03-26", "2028-03-26"])
    assert is_open(weekly, at(when)) is expected


def test_the_wall_clock_is_that_of_the_zone() -> None:
    moment = at("2026-11-23 08:30", "America/Sao_Paulo")
    assert is_open(hours("America/Sao_Paulo", **WEEK), moment)
    assert not is_open(hours("Asia/Tokyo", **WEEK), moment)


def test_the_clock_that_is_put_forward_or_back_opens_by_the_wall_clock() -> None:
    early = hours(sunday=["01:30-08:00"], saturday=["22:00-24:00"])
    assert at("2026-03-29 02:00") - at("2026-03-29 00:59") == 60  # 01:00 is 02:00 in spring
    assert is_open(early, at("2026-03-29 02:00"))
    assert opens_next(early, at("2026-03-29 00:30")) == at("2026-03-29 02:00")
    for fold in (0, 1):
        opening = at("2026-10-25 01:30", fold=fold)
        assert is_open(early, opening)
        assert not is_open(early, opening - 1)
    assert opens_next(early, at("2026-10-25 00:30")) == at("2026-10-25 01:30")
    assert opens_next(early, at("2026-10-25 01:29", fold=1)) == at("2026-10-25 01:30", fold=1)


@pytest.mark.parametrize(
    ("zone", "keys", "now", "expected"),
    [
        # 02:00-03:00 comes twice in Berlin on 2026-10-25. (b) is the second time.
        ("Europe/Berlin", ["02:00-02:10", "02:30-02:40"], "02:15", "02:30"),
        ("Europe/Berlin", ["02:00-02:10", "02:30-02:40"], "02:45", "02:00b"),
        ("Europe/Berlin", ["02:00-02:10", "02:30-02:40"], "02:15b", "02:30b"),
        ("Europe/Berlin", ["00:00-02:30", "04:00-05:00"], "02:30", "02:00b"),
        ("Europe/Berlin", ["00:00-02:30", "04:00-05:00"], "02:30b", "04:00"),
        ("Europe/Berlin", ["02:30-03:00", "04:00-05:00"], "02:10", "02:30"),
        ("Europe/Berlin", ["02:30-03:00", "04:00-05:00"], "02:10b", "02:30b"),
        # The first hour of a day, and the last one of another.
        ("America/Havana", ["00:00-00:30", "08:00-09:00"], "2026-11-01 00:45", "00:00b"),
        ("America/Sao_Paulo", ["22:00-23:30"], "2019-02-16 23:45", "23:00b"),
        ("America/Sao_Paulo", ["22:00-23:30"], "2019-02-16 23:45b", "2019-02-17 22:00"),
        # And the hours that are skipped: 00:00-01:00 and 02:00-03:00.
        ("America/Sao_Paulo", ["00:30-02:00"], "2018-11-03 23:00", "2018-11-04 01:00"),
        ("Europe/Berlin", ["02:30-04:00"], "2026-03-29 01:59", "2026-03-29 03:00"),
    ],
)
def test_the_next_opening_around_the_hour_that_comes_twice_or_never(
    zone: str, keys: list[str], now: str, expected: str
) -> None:
    def moment(text: str) -> float:
        day = now[:10] if len(now) > 10 else "2026-10-25"
        wall = text.rstrip("b")
        return at(wall if len(wall) > 5 else f"{day} {wall}", zone, int(text.endswith("b")))

    assert opens_next(hours(zone, **dict.fromkeys(DAYS, keys)), moment(now)) == moment(expected)


def test_midnight_is_no_gap() -> None:
    night = hours(saturday=["22:00-24:00"], sunday=["00:00-02:00"])
    for when in ("2026-11-21 23:59:59.999", "2026-11-22 00:00", "2026-11-22 01:59"):
        assert is_open(night, at(when))
    assert not is_open(night, at("2026-11-22 02:00"))
    assert not is_open(night, at("2026-11-21 00:30"))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-23 09:00", "2026-11-23 09:00"),
        ("2026-11-23 12:00", "2026-11-23 13:30"),
        ("2026-11-27 18:00", "2026-11-30 08:00"),
        ("2026-12-24 18:00", "2026-12-28 08:00"),
    ],
)
def test_opens_next(now: str, expected: str) -> None:
    assert opens_next(hours(**WEEK, holidays=["12-25"]), at(now)) == at(expected)


def test_without_times_it_is_open_but_on_holidays() -> None:
    assert is_open(Hours(), 0.0)
    assert opens_next(Hours(), 5.0) == 5.0
    only = hours(holidays=["12-25"])
    assert is_open(only, at("2026-12-24 23:59"))
    assert not is_open(only, at("2026-12-25 00:00"))
    assert opens_next(only, at("2026-12-25 12:00")) == at("2026-12-26 00:00")


def test_what_never_opens_has_no_next_time() -> None:
    holidays = [f"{date(2000, 1, 1) + timedelta(n):%m-%d}" for n in range(366)]
    assert opens_next(hours(**WEEK, holidays=holidays), at("2026-11-23 09:00")) is None
    holidays.remove("02-29")
    leap = at("2027-11-23 09:00")
    assert opens_next(hours(**WEEK, holidays=holidays), leap) == at("2028-02-29 08:00")


@settings(max_examples=200)
@given(
    st.floats(at("2026-01-01 00:00"), at("2028-01-01 00:00")),
    st.sampled_from(["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Tokyo"]),
)
def test_the_next_opening_is_open_and_the_moment_before_is_not(now: float, zone: str) -> None:
    sunday = ["00:30-01:15", "01:45-02:15", "02:30-02:45", "04:00-05:00"]
    weekly = hours(zone, **WEEK, sunday=sunday, holidays=["12-25"])
    opening = opens_next(weekly, now)
    assert opening is not None
    assert opening >= now
    minutes = min(int(opening - now) // 60, 240)
    assert not any(is_open(weekly, now + 60 * minute) for minute in range(minutes))
    assert is_open(weekly, opening)
    if opening > now:
        assert not is_open(weekly, now)
        assert not is_open(weekly, opening - 0.001)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"monday": ["8:00-12:00"]}, "is not a time such as"),
        ({"monday": ["08:00-12:60"]}, "is not a time such as"),
        ({"monday": ["24:00-24:00"]}, "is not a time such as"),
        ({"monday": ["08:00-24:01"]}, "is not a time such as"),
        ({"monday": [8]}, "8 is not a time such as"),
        ({"monday": ["12:00-12:00"]}, "ends before it begins"),
        ({"monday": ["22:00-06:00"]}, "write what is after midnight on the next day"),
        ({"monday": ["09:00-12:00", "11:00-13:00"]}, '"11:00-13:00" begins before "09:00-12:00"'),
        ({"monday": ["13:00-14:00", "09:00-12:00"]}, '"09:00-12:00" begins before "13:00-14:00"'),
        ({"holidays": ["2026-02-29"]}, "is not a date such as"),
        ({"holidays": ["25/12"]}, "is not a date such as"),
        ({"holidays": ["00-00"]}, "is not a date such as"),
        ({"zone": "Brasilia"}, "is not a time zone such as"),
        ({"zone": "America"}, "is not a time zone such as"),
        ({"zone": "../../etc/passwd"}, "is not a time zone such as"),
        ({"zone": "a/" * 2000 + "b"}, "is not a time zone such as"),
        ({"zone": "", "monday": ["08:00-12:00"]}, "zone is missing"),
        ({"zone": "", "holidays": ["12-25"]}, "zone is missing"),
        ({"do": "transfer"}, "destination is missing"),
        ({"do": "talk", "destination": "x"}, "destination is only for do"),
    ],
)
def test_mistakes(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        hours(**keys)
    [error] = caught.value.errors()
    assert message in error["msg"]


def test_contiguous_times_and_the_29th_of_february_are_right() -> None:
    assert hours(monday=["08:00-12:00", "12:00-13:00"], holidays=["02-29"]).week[0][1].start == 720


CLOSED: dict[str, Any] = {day: [] for day in DAYS}


def test_seven_days_without_times_are_always_closed() -> None:
    never = Hours.model_validate(CLOSED)
    assert never.always_closed
    assert not never.always_open
    assert not is_open(never, at("2026-11-23 09:00"))
    assert opens_next(never, at("2026-11-23 09:00")) is None
    assert not is_open(hours(**CLOSED, holidays=["12-25"]), at("2026-11-23 09:00"))


def test_where_no_day_has_times_those_that_are_not_written_are_open() -> None:
    rests = hours(sunday=[])
    assert not rests.always_open
    assert is_open(rests, at("2026-11-21 23:59"))  # a Saturday
    assert not is_open(rests, at("2026-11-22 12:00"))
    assert opens_next(rests, at("2026-11-22 12:00")) == at("2026-11-23 00:00")


def test_a_day_is_closed_where_others_have_times() -> None:
    assert hours(monday=["08:00-12:00"]).week[1:] == ((),) * 6
