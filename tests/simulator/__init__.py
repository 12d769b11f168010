"""The simulators, each without the other."""

import pytest

pytest.register_assert_rewrite("tests.simulator.freeswitch.replay")
