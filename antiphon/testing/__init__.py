"""Conformance tests that users can run on their own agents, oracles, environments, channels and regroupings."""

from antiphon.coordinator.regrouping import check_regrouping as check_regrouping
from antiphon.testing.agent import check_agent as check_agent
from antiphon.testing.channel import check_channel as check_channel
from antiphon.testing.environment import check_environment as check_environment
from antiphon.testing.oracle import check_oracle as check_oracle
