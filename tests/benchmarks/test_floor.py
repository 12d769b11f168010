"""The program that makes a controller's system calls, and the figures that are made of it."""

from __future__ import annotations

import pytest

from benchmarks import floor
from benchmarks.processes import BenchError

needs_compiler = pytest.mark.skipif(floor.compiler() is None, reason="there is no C compiler")


def test_the_bytes_of_a_call_are_those_on_the_wire() -> None:
    narrow = floor.Traffic.of("PCMU", "amigniter")
    assert (narrow.message_ms, narrow.message_bytes, narrow.frame_bytes) == (20, 8 + 320, 320)
    assert (narrow.append_bytes, narrow.delta_bytes) == (60 + 216, 200 + 1068)
    wide = floor.Traffic.of("L16", "sptmru")
    assert (wide.message_ms, wide.message_bytes, wide.frame_bytes) == (40, 8 + 1280, 640)
    assert (wide.append_bytes, wide.delta_bytes) == (60 + 2560, 200 + 6400)


@needs_compiler
async def test_it_does_what_a_controller_does_as_often() -> None:
    found = await floor.floor(3, 0.5, floor.Traffic.of("PCMU", "sptmru"))
    assert found.messages == pytest.approx(25, rel=0.2)
    assert found.deltas == pytest.approx(10, rel=0.2)
    assert found.frames == pytest.approx(50, rel=0.2)
    assert 0 <= found.kernel_ms <= found.cpu_ms < 100  # told in ticks of 4 ms


async def test_without_a_compiler_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(floor, "COMPILERS", ())
    with pytest.raises(BenchError, match="apt install gcc"):
        await floor.floor(1, 0.1, floor.Traffic.of("PCMU", "sptmru"))


@needs_compiler
def test_the_table_has_a_line_for_each_number_of_calls(capsys: pytest.CaptureFixture[str]) -> None:
    assert floor.main(["1", "2", "--seconds", "0.1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["1", "2"]
    assert floor.main(["0", "--seconds", "0.1"]) == 2
    assert "floor: CALLS and SECONDS" in capsys.readouterr().err
