"""Fills the templates of pages and pictures, by Jinja."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def filled(name: str, **values: Any) -> str:  # Any: what a template reads
    """Return the template `name` of this folder, filled with the values. Texts are escaped for HTML and SVG."""
    templates = Environment(
        loader=PackageLoader("antiphon.pictures", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(name).render(values)
