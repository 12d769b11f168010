"""The stand-ins, each tested by itself and as a whole."""

import pytest

pytest.register_assert_rewrite("tests.simulator.freeswitch.replay")
