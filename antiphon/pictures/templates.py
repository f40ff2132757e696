"""Fill the Jinja templates of HTML pages and SVG pictures."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def filled(name: str, **values: Any) -> str:  # Any: what a template reads
    """Fill the Jinja template `name` of this folder with the values, and return the text.

    Values are escaped for HTML and SVG.
    """
    templates = Environment(
        loader=PackageLoader("antiphon.pictures", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return templates.get_template(name).render(values)
