"""The graphical language: a grammar as a picture, with Q on the left and R on the right."""

from antiphon.pictures.drawing import Drawing as Drawing
from antiphon.pictures.drawing import draw as draw
from antiphon.pictures.drawing import draw_edits as draw_edits
