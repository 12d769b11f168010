"""What a literal may hold, and that nothing else stands in a statement."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Text, literal

from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.statements import (
    as_text,
    delete,
    insert,
    parameterised,
    quoted,
    table,
    update,
)
from tests import postgres

UUID = "33333333-3333-4333-8333-333333333333"
TABLE = table(
    "v_dialplans", {"dialplan_uuid": "uuid", "dialplan_order": "numeric", "order": "text"}
)


@pytest.mark.parametrize("odd", ['x"; DROP TABLE v_domains; --', "uuid) --", "a b", "", "X"])
def test_a_column_with_an_odd_name_or_type_stands_in_no_statement(odd: str) -> None:
    with pytest.raises(AssertionError):
        table("v_dialplans", {odd: "text"})
    with pytest.raises(AssertionError):
        table("v_dialplans", {"dialplan_uuid": odd})


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_literal_ends_where_the_value_does(value: str) -> None:
    kind, inside = re.fullmatch(r"(E?)'(.*)'", quoted(value), re.DOTALL).groups()  # type: ignore[union-attr]
    assert re.fullmatch(r"(?:[^']|'')*", inside)
    assert re.fullmatch(r"(?:[^\\]|\\\\)*" if kind else r"[^\\]*", inside)
    read = inside.replace("''", "'")
    assert (read.replace("\\\\", "\\") if kind else read) == value


def test_postgresql_reads_literals_as_they_were_meant(postgresql: postgres.Server) -> None:
    hard = ["a'b", "a\\'b", "'; DROP TABLE x; --", "\\", "$$x$$", "{}", "é\U0001f600", "a\tb", ":x"]
    for setting in ("on", "off"):
        for value in hard:
            same = literal(value, Text()) == literal(value, Text())
            rebuilt = "".join(f"chr({ord(char)})||" for char in value) + "''"
            asked = f"SELECT {as_text(same)[:-1]} AND {quoted(value)} = {rebuilt};"
            done = postgresql.sql(f"SET standard_conforming_strings = {setting};\n{asked}")
            assert done.splitlines()[-1] == "t", value


def test_nothing_stands_in_a_parameterised_statement() -> None:
    statement = insert(TABLE, {"order": "'; --", "dialplan_uuid": None})
    assert parameterised(statement) == (
        'INSERT INTO v_dialplans (dialplan_uuid, "order")'
        " VALUES (CAST($1::VARCHAR AS uuid), CAST($2::VARCHAR AS text))",
        [None, "'; --"],
    )
    assert as_text(statement) == (
        'INSERT INTO v_dialplans (dialplan_uuid, "order")'
        " VALUES (CAST(NULL AS uuid), CAST('''; --' AS text));"
    )


def test_a_zero_byte_is_refused() -> None:
    with pytest.raises(FusionError):
        quoted("a\0")
    with pytest.raises(FusionError):
        as_text(insert(TABLE, {"order": "a\0"}))


HARD = ["a'b", "a\\'b", "'; DROP TABLE x; --", "\\", "$$x$$", "{}", "é\U0001f600", "%s %% :x", None]


def test_a_row_is_written_as_it_is_given(postgresql: postgres.Server) -> None:
    """By the printed statements, in every setting of PostgreSQL."""
    database = postgres.Database(postgresql)
    made = 'CREATE TABLE v_dialplans (dialplan_uuid uuid, dialplan_order numeric, "order" text);'
    try:
        database.sql(made)
        for setting in ("on", "off"):
            for value in HARD:
                rebuilt = "NULL"
                if value is not None:
                    rebuilt = "".join(f"chr({ord(char)})||" for char in value) + "''"
                row = {"dialplan_uuid": UUID, "dialplan_order": "1.50", "order": value}
                statements = [
                    f"SET standard_conforming_strings = {setting};",
                    as_text(insert(TABLE, {**row, "order": "before"})),
                    as_text(update(TABLE, row, UUID)),
                    f'SELECT dialplan_order, "order" IS NOT DISTINCT FROM {rebuilt}'
                    " FROM v_dialplans;",
                    as_text(delete(TABLE, UUID)),
                    "SELECT count(*) FROM v_dialplans;",
                ]
                told = database.sql("\n".join(statements)).splitlines()
                assert [line for line in told if line[:1].isdigit()] == ["1.50|t", "0"], value
    finally:
        database.drop()
