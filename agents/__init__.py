"""Players and agents: a player holds parameters, its agent updates them.

This folder may import grammars and errors only.
"""

from antiphon.agents.agent import Agent as Agent
from antiphon.agents.arglocopt import (
    Representation as Representation,
    arglocmax as arglocmax,
    arglocmin as arglocmin,
    arglocopt as arglocopt,
)
from antiphon.agents.clone import Clone as Clone
from antiphon.agents.host import AgentHost as AgentHost
from antiphon.agents.player import Player as Player
from antiphon.agents.specification import AgentSpecification as AgentSpecification
from antiphon.agents.torch_agent import TorchAgent as TorchAgent
