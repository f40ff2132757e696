"""Draw a grammar as a picture: its Query graph (Q) on the left, and its Response graph (R) on the right."""

from antiphon.pictures.drawing import Drawing as Drawing, draw as draw, draw_edits as draw_edits
