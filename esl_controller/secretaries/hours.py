"""Opening hours: when a company takes calls, by the clock in its time zone. [core]

No clock is read here: times are arguments, in Unix seconds.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import cache, cached_property
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from esl_controller.config.setting_types import Line, Mistakes, Section, Several, shown

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Span(NamedTuple):
    """Open from ``start`` until before ``end``, in minutes after midnight, up to 1440."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.start // 60:02}:{self.start % 60:02}-{self.end // 60:02}:{self.end % 60:02}"


ALL_DAY = (Span(0, 1440),)


class Holiday(NamedTuple):
    """A day of one year, or of every year (``year`` is 0)."""

    year: int
    month: int
    day: int

    def __str__(self) -> str:
        return (f"{self.year:04}-" if self.year else "") + f"{self.month:02}-{self.day:02}"


def _span(value: object) -> Span:
    if isinstance(value, Span):
        return value
    match = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", value) if isinstance(value, str) else None
    hours, minutes, end_hours, end_minutes = map(int, match.groups()) if match else (99,) * 4
    span = Span(hours * 60 + minutes, end_hours * 60 + end_minutes)
    if max(minutes, end_minutes) > 59 or span.start >= 1440 or span.end > 1440:
        raise ValueError(f'{shown(value)} is not a time such as "08:30-12:00" or "18:00-24:00"')
    if span.start >= span.end:
        raise ValueError(
            f"{shown(value)} ends before it begins; write what is after midnight on the next day"
        )
    return span


def _in_order(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    for before, after in pairwise(spans):
        if after.start < before.end:
            raise ValueError(f'"{after}" begins before "{before}" ends')
    return spans


def _holiday(value: object) -> Holiday:
    if isinstance(value, Holiday):
        return value
    match = re.fullmatch(r"(?:(\d{4})-)?(\d\d)-(\d\d)", value) if isinstance(value, str) else None
    holiday = Holiday(*map(int, match.groups("0") if match else (0, 0, 0)))
    try:
        date(holiday.year or 2000, holiday.month, holiday.day)  # 2000 is a leap year
    except ValueError:
        raise ValueError(
            f'{shown(value)} is not a date such as "2026-11-20", or "12-25" for every year'
        ) from None
    return holiday


# zoneinfo looks for a name as a package within tzdata, in as many steps as it has parts.
_ZONE_NAME = re.compile(r"[A-Za-z0-9_+-]{1,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _zone_name(value: str) -> str:
    try:
        if value and not _ZONE_NAME.fullmatch(value):
            raise ValueError
        if value:
            _zone(value)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"{shown(value)} is not a time zone such as America/Sao_Paulo or Europe/London"
        ) from None
    return value


_as_text = PlainSerializer(str, when_used="json")  # which _span and _holiday read
Day = Annotated[
    Several[Annotated[Span, BeforeValidator(_span), _as_text]],
    AfterValidator(_in_order),
]
Holidays = Several[Annotated[Holiday, BeforeValidator(_holiday), _as_text]]


class Hours(Section):
    """When the company takes calls, and what happens outside that time."""

    zone: Annotated[str, AfterValidator(_zone_name)] = Field(
        default="",
        description="IANA time zone of the times below, such as America/Sao_Paulo.",
        examples=["America/Sao_Paulo"],
    )
    monday: Day | None = Field(
        default=None,
        description='Times such as "08:00-12:00", any number a day, up to "24:00". A day without'
        " times is closed. If no day has times, those that are not [] are open all day: without any"
        " of these keys it is always open, and with seven times [] always closed.",
        examples=[["08:00-12:00", "13:30-18:00"]],
    )
    tuesday: Day | None = Field(default=None, description="As above.", examples=[[]])
    wednesday: Day | None = Field(default=None, description="As above.", examples=[[]])
    thursday: Day | None = Field(default=None, description="As above.", examples=[[]])
    friday: Day | None = Field(default=None, description="As above.", examples=[[]])
    saturday: Day | None = Field(default=None, description="As above.", examples=[[]])
    sunday: Day | None = Field(default=None, description="As above.", examples=[[]])
    holidays: Holidays = Field(
        default=(),
        description='Days on which it is closed: "2026-11-20", or "12-25" for every year.',
    )
    say: Line = Field(
        default="",
        description="What it says first outside these times, instead of the greeting. Empty: a"
        " short sentence in the language.",
    )
    do: Literal["talk", "message", "hangup", "transfer"] = Field(
        default="message",
        description="What happens then: talk (as always), message (take one, transfer nobody),"
        " hangup, or transfer (to the destination).",
    )
    destination: Line = Field(
        default="", description='With do = "transfer": the name of a destination.'
    )

    @cached_property
    def week(self) -> tuple[tuple[Span, ...], ...]:
        """The times of each day, Monday to Sunday."""
        written: list[tuple[Span, ...] | None] = [getattr(self, day) for day in DAYS]
        otherwise = () if any(written) else ALL_DAY
        return tuple(otherwise if times is None else times for times in written)

    @cached_property
    def closed_on(self) -> frozenset[Holiday]:
        """The holidays, to look a day up in."""
        return frozenset(self.holidays)

    @property
    def always_open(self) -> bool:
        """Whether it is never closed."""
        return all(times == ALL_DAY for times in self.week) and not self.holidays

    @property
    def always_closed(self) -> bool:
        """Whether it is never open."""
        return not any(self.week)

    @model_validator(mode="after")
    def _consistent(self) -> Hours:
        mistakes = []
        if not (self.always_open or self.always_closed or self.zone):
            mistakes.append(("zone", "is missing: in which time zone?"))
        if self.do == "transfer" and not self.destination:
            mistakes.append(("destination", 'is missing: do = "transfer" needs one'))
        if self.do != "transfer" and self.destination:
            mistakes.append(("destination", 'is only for do = "transfer"'))
        if mistakes:
            raise Mistakes(mistakes)
        return self


def is_open(hours: Hours, unix_time: float) -> bool:
    """Whether calls are taken at ``unix_time``."""
    if hours.always_open or hours.always_closed:
        return hours.always_open
    now = datetime.fromtimestamp(unix_time, _zone(hours.zone))
    minute = now.hour * 60 + now.minute
    return any(span.start <= minute < span.end for span in _spans(hours, now.date()))


def opens_next(hours: Hours, unix_time: float) -> float | None:
    """When it opens next: ``unix_time`` if it is open, None if it stays closed for a year."""
    if is_open(hours, unix_time):
        return unix_time
    if hours.always_closed:
        return None
    today = datetime.fromtimestamp(unix_time, _zone(hours.zone)).date()
    openings = (
        opening
        for ahead in range(367)
        for opening in _openings(hours, today + timedelta(days=ahead), unix_time)
    )
    return next(openings, None)


def _spans(hours: Hours, day: date) -> tuple[Span, ...]:
    if {Holiday(day.year, day.month, day.day), Holiday(0, day.month, day.day)} & hours.closed_on:
        return ()
    return hours.week[day.weekday()]


def _openings(hours: Hours, day: date, after: float) -> Iterator[float]:
    """The Unix times of ``day`` at which it opens, from ``after`` on: the beginnings of its times,
    and a change of the clock that leads into them, or skips a beginning or an end."""
    zone = _zone(hours.zone)
    openings = set(_clock_changes(day, zone))
    folds = (0, 1) if openings else (0,)  # what comes twice, or not at all, does on such a day only
    for span in _spans(hours, day):
        start = datetime.combine(day, time(*divmod(span.start, 60)), zone)
        openings |= {start.replace(fold=fold).timestamp() for fold in folds}
    later = sorted(opening for opening in openings if opening > after)
    return (opening for opening in later if is_open(hours, opening))


def _clock_changes(day: date, zone: ZoneInfo) -> Iterator[float]:
    """The Unix time at which the clock changes, if it does on ``day``."""
    midnight = datetime.combine(day, time(), zone)
    # If midnight itself is skipped, the change comes with the first second of the day.
    seconds = range(
        int(midnight.timestamp()) - 1, int((midnight + timedelta(days=1)).timestamp()) + 1
    )

    def offset(second: int) -> timedelta | None:
        return datetime.fromtimestamp(second, zone).utcoffset()

    before = offset(seconds[0])
    if offset(seconds[-1]) != before:
        changed = bisect_left(seconds, True, key=lambda second: offset(second) != before)
        yield float(seconds[changed])
