"""The essay's grammars, a file each; imports the rest of `antiphon.grammars` only."""

from antiphon.grammars.library.backprop import backprop as backprop
from antiphon.grammars.library.dac import dac as dac
from antiphon.grammars.library.gan import gan as gan
from antiphon.grammars.library.vae import vae as vae
