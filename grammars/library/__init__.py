"""The essay's grammars, a file each; imports the rest of `antiphon.grammars` only."""

from antiphon.grammars.library.backprop import backprop as backprop
from antiphon.grammars.library.black_box_descent import black_box_descent as black_box_descent
from antiphon.grammars.library.dac import dac as dac
from antiphon.grammars.library.gray_box_descent import gray_box_descent as gray_box_descent
