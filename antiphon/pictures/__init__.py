"""The graphical language: a grammar as a picture, with Q on the left and R on the right."""

from antiphon.pictures.drawing import Drawing as Drawing, draw as draw, draw_edits as draw_edits
