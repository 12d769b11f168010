"""``doctor --call``: a test call through the dialplan, with words said, heard and timed."""

from __future__ import annotations

import contextlib
import io

from esl_controller.diagnostics import place_call
from esl_controller.diagnostics.doctor.case import Case, Check
from esl_controller.diagnostics.doctor.report import Finding, failed, ok, warning
from esl_controller.freeswitch.leg import CallFailed, event_socket

LIMIT_S = 45.0
SLOW_S = 5.0


async def call(case: Case) -> Finding:
    """Is the call answered and greeted, and do its words get a reply?"""
    audio, rate = place_call.bundled_words(case.settings.agent.language)
    plan = place_call.CallPlan(case.number, case.context, audio, rate, None, LIMIT_S)
    async with event_socket(case.settings.freeswitch) as connection:
        caller = place_call.Caller(connection, case.settings, plan)
        try:
            # What it prints while it runs does not belong in the report.
            with contextlib.redirect_stdout(io.StringIO()):
                await caller.run()
        except CallFailed as failure:
            return failed(
                str(failure),
                "all checks before this one found nothing, so something else is wrong.",
                f"esl-controller call {case.number} --context {case.context} --record call.wav\n"
                "journalctl -u 'esl-controller*' -o cat    its last lines",
            )
        finally:
            await caller.leg.hang_up()
    heard = caller.heard
    greeting = heard.utterances[0][0]
    if heard.said_at is None:
        return failed(
            "the call was greeted and ended before we could say anything",
            "the controller hung up, or the dialplan did.",
            "journalctl -u 'esl-controller*' -o cat    its last lines",
        )
    ended = heard.said_at + heard.said_for
    assert heard.reply is not None, "else the call has failed"
    if heard.answered_after > SLOW_S:
        return warning(
            f"the call was only answered after {heard.answered_after:.1f} s",
            "an extension before ours makes every caller wait. FreeSWITCH's example configuration"
            " waits 10 s as long as default_password in vars.xml is 1234.",
            "set another default_password in vars.xml, or correct that extension; then\n"
            "fs_cli -x reloadxml",
        )
    return ok(
        f"answered, greeted after {greeting * 1000:.0f} ms; our {heard.said_for:.1f} s of words had"
        f" a reply {(heard.reply - ended) * 1000:.0f} ms after they ended"
    )


CHECKS = (
    Check(
        "test call",
        call,
        needs=(
            *("switch", "switch modules", "dialplan", "dialplan target", "controller"),
            *("our event socket", "our media", "lane", "model"),
        ),
    ),
)
