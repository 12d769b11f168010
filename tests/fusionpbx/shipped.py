"""What FusionPBX ships in a domain's context, as far as it decides who gets a call.

The facts of its rows as its own upgrade wrote them (source of 2026-08-21): name, order, how it
continues, and what its conditions ask. The actions are ours and do nothing.
"""

from __future__ import annotations

from uuid import UUID, uuid5

ANY = ("", "", "")
_NAMESPACE = UUID("33333333-3333-4333-8333-333333333333")
_TRUE = "^true$"
_PARK = r"^(park)?\+?\*(59(0[1-9]|[1-9][0-9]))$"
_NUMBER = "destination_number"

ROWS: tuple[tuple[int, str, str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        *(10, "user_exists", "1"),
        (("${loopback_leg}", "^B$", "never"), ANY, ("${user_exists}", _TRUE, "")),
    ),
    (15, "caller-details", "1", (("${caller_destination}", "^$", "never"),)),
    (18, "global-variables", "1", (ANY,)),
    (20, "domain-variables", "1", (ANY,)),
    (35, "call-direction", "1", (("${call_direction}", "^$", "never"),)),
    (
        *(50, "user_record", "1"),
        (
            *(("${user_exists}", _TRUE, "never"), ("${user_record}", "^all$", "never")) * 4,
            *(("${record_session}", _TRUE, ""), ("${call_direction}", "^inbound", "never")) * 3,
            *(("${record_path}", "^$", ""), ("${record_session}", _TRUE, "")),
        ),
    ),
    (60, "redial", "1", ((_NUMBER, r"^(redial|\*870)$", "on-true"), ("", "", "never"))),
    (65, "emergency_recent_calls", "", ((_NUMBER, r"^\*9411$", "on-true"),)),
    (70, "speed_dial", "", ((_NUMBER, r"^\*0(.*)$", ""),)),
    (82, "default_hold_music", "1", (("${hold_music}", "^$", ""),)),
    (
        *(200, "agent_status", ""),
        ((_NUMBER, r"^\*22$", "on-true"), (_NUMBER, r"^(?:agent\+|\*22)(.+)$", "")),
    ),
    (
        *(230, "group-intercept", ""),
        ((_NUMBER, r"^\*8$", ""), ("${sip_h_X-intercept_uuid}", "^(.+)$", "on-true"), ANY),
    ),
    (
        *(310, "extension-to-voicemail", ""),
        (
            ("${user_exists}", _TRUE, ""),
            ("username", r"^\Q${caller_id_number}\E$", ""),
            (_NUMBER, r"^\Q${caller_id_number}\E$", ""),
        ),
    ),
    (
        *(320, "vmain", ""),
        (
            (_NUMBER, r"^vmain$|^\*4000$|^\*98$", "never"),
            (_NUMBER, r"^(vmain$|^\*4000$|^\*98|voicemail\+)(\d{2,12})$", ""),
        ),
    ),
    (330, "is_transfer", "", ((_NUMBER, "^is_transfer$", ""), ("${digits}", r"^(\d+)$", ""))),
    (
        *(470, "valet_park", ""),
        (
            *((_NUMBER, _PARK, "never"), ("${sip_refer_to}", "^.+$", "never")),
            *((_NUMBER, _PARK, ""), ("${referred_by_user}", "^.+$", "never")),
            ("${park_in_use}:${referred_by_user}", "^true:.+$", "on-true"),
            ("${park_in_use}", "true", "never"),
        ),
    ),
    (
        *(490, "do-not-disturb", ""),
        (
            (_NUMBER, r"^\*77$", "on-true"),
            (_NUMBER, r"^\*78$|\*363$", "on-true"),
            (_NUMBER, r"^dnd\+${caller_id_number}$", "on-true"),
        ),
    ),
    (
        *(500, "call-forward", ""),
        (
            (_NUMBER, r"^\*72(\d{2,20})$", "on-true"),
            (_NUMBER, r"^\*72$", "on-true"),
            (_NUMBER, r"^forward\+(\Q${caller_id_number}\E)(?:\/(\d+))?$", "on-true"),
        ),
    ),
    (
        *(515, "call-forward-all", ""),
        (("${forward_all_enabled}", "true", ""), ("${call_direction}", "^local$", "on-true")),
    ),
    (890, "local_extension", "1", (("${user_exists}", "true", ""), ANY)),
    (900, "voicemail", "", (("${user_exists}", "true", ""),)),
)


def uuid(name: str) -> UUID:
    """The dialplan_uuid of a row."""
    return uuid5(_NAMESPACE, name)


def xml(name: str, continues: str, conditions: tuple[tuple[str, str, str], ...]) -> str:
    """The dialplan_xml of a row."""
    lines = [f'<extension name="{name}" continue="{continues}" uuid="{uuid(name)}">']
    for field, expression, stop in conditions:
        more = f' break="{stop}"' if stop else ""
        lines.append(f'<condition field="{field}" expression="{expression}"{more}>')
        lines.append(f'<action application="set" data="of={name}"/></condition>')
    return "".join([*lines, "</extension>"])


def context() -> str:
    """What is inside the domain's context."""
    return "".join(xml(name, continues, conditions) for _, name, continues, conditions in ROWS)


def inserts(domain: str, domain_name: str) -> str:
    """Statements that put the rows into v_dialplans."""
    columns = (
        *("domain_uuid", "dialplan_uuid", "dialplan_context", "dialplan_name"),
        *("dialplan_continue", "dialplan_xml", "dialplan_order", "dialplan_enabled"),
    )
    lines = []
    for order, name, continues, conditions in ROWS:
        there = (domain, uuid(name), domain_name, name, continues == "1")
        values = (*there, xml(name, continues, conditions), order, True)
        quoted = ", ".join(f"'{value}'" for value in values)
        lines.append(f"INSERT INTO v_dialplans ({', '.join(columns)}) VALUES ({quoted})")
    return ";\n".join(lines)
