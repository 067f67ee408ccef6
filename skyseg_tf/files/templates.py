"""HTML from Jinja templates, which lie beside the modules that fill them."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def render_html(template: Path, **values: object) -> str:
    """Fills a template; every value is escaped, and one that is missing is an error.

    Args:
      template: an .html file.
      **values: what it is filled with.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(values)
