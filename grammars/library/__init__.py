"""The essay's grammars, a file each; imports the rest of `antiphon.grammars` only."""

from antiphon.grammars.library.backprop import backprop as backprop
from antiphon.grammars.library.critic_derivative import critic_derivative as critic_derivative
from antiphon.grammars.library.dac import dac as dac
from antiphon.grammars.library.dac_bandit import dac_bandit as dac_bandit
