"""The graphical language: a grammar as a picture, Q on the left and R on the right; imports all below, draws with Graphviz."""

from antiphon.pictures.drawing import Drawing as Drawing
from antiphon.pictures.drawing import draw as draw
