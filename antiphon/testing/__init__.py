"""The contracts of agents, oracles, environments and channels, as functions that users run on their own."""

from antiphon.testing.agents import check_agent as check_agent
from antiphon.testing.channels import check_channel as check_channel
from antiphon.testing.environments import check_environment as check_environment
from antiphon.testing.oracles import check_oracle as check_oracle
