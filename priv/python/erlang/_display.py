"""How an object shows itself in a notebook: the richest form that it has, of those that Livebook draws.

Objects say so by the methods that Jupyter has given names to, ``_repr_html_`` and its kin. What one of
them raises is no reason to show nothing: then the next form is tried.
"""

import base64
import logging
import sys
import types

import erlang
from erlang import _table

#: What is shown of the forms that there are, richest first.
FORMS = ("text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/latex")

#: How objects offer them one by one.
METHODS = {
    "text/html": "_repr_html_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
}

#: Who has a method of this name has one of any name, and offers nothing by it.
NOBODYS = "_erlang_a_name_that_nobody_has_"


def display(value):
    """The form of an object: a media type and its content, ``table`` and nothing, or ``None``."""
    if isinstance(value, (type, types.ModuleType)) or _attempt(getattr, value, NOBODYS, None) is not None:
        return None
    if _attempt(_table.is_table, value):
        return ("table", None)
    return _figure(value) or _bundle(value) or _one_by_one(value) or _picture(value)


def _attempt(function, *args, **kwargs):
    """What a function of somebody else's gives, or ``None`` if it raises."""
    try:
        return function(*args, **kwargs)
    except erlang.Interrupt:
        # The time is up: for all forms.
        raise
    except BaseException:
        name = getattr(function, "__qualname__", repr(type(function)))
        logging.getLogger("erlang.display").debug("%s failed", name, exc_info=True)
        return None


## Figures


def _figure(value):
    figure = _attempt(_figure_of, value)
    if figure is None:
        return None
    for options in ({"bbox_inches": "tight"}, {}):
        data = _attempt(_save, figure, options)
        if data:
            return ("image/png", data)
    return None


def _figure_of(value):
    """The figure that something belongs to, or what can save itself like one."""
    artist = getattr(sys.modules.get("matplotlib.artist"), "Artist", None)
    if artist is not None:
        first = _first_of_array(value)
        if isinstance(first, artist):
            value = first
        if isinstance(value, artist):
            # Subfigures and axes know the figure that they are in, and the outermost itself.
            figure = value.figure
            while figure is not None and figure.figure is not figure:
                figure = figure.figure
            return figure
    return value if callable(getattr(value, "savefig", None)) else None


def _first_of_array(value):
    """An array of axes is what some functions that draw several give back."""
    array = getattr(sys.modules.get("numpy"), "ndarray", None)
    if array is not None and isinstance(value, array) and value.dtype == object and value.size:
        return value.flat[0]
    return value


def _save(figure, options):
    import io

    with io.BytesIO() as buffer:
        figure.savefig(buffer, format="png", **options)
        return buffer.getvalue()


## Forms that an object offers


def _bundle(value):
    method = _attempt(getattr, value, "_repr_mimebundle_", None)
    if not callable(method):
        return None
    # Some that were written by hand take no arguments.
    bundle = _content(_attempt(method, include=None, exclude=None) or _attempt(method))
    if not isinstance(bundle, dict):
        return None
    for form in FORMS:
        shown = _shown(form, bundle.get(form))
        if shown:
            return shown
    # Charts of Vega-Lite are data for a viewer; Altair's know how to bring one along.
    if any(str(form).startswith("application/vnd.vega") for form in bundle):
        to_html = _attempt(getattr, value, "to_html", None)
        return _shown("text/html", _attempt(to_html, fullhtml=False) if to_html else None)
    return None


def _one_by_one(value):
    for form in FORMS:
        method = _attempt(getattr, value, METHODS[form], None)
        if callable(method):
            shown = _shown(form, _attempt(method))
            if shown:
                return shown
    return None


def _content(content):
    """Without the metadata, which may come with it."""
    return content[0] if isinstance(content, tuple) and len(content) == 2 else content


def _shown(form, content):
    content = _content(content)
    if form in ("image/png", "image/jpeg"):
        if isinstance(content, str):
            content = _attempt(base64.b64decode, content)
        if isinstance(content, (bytes, bytearray, memoryview)) and len(content):
            return (form, bytes(content))
    elif isinstance(content, str) and content.strip():
        # A surrogate without its other half cannot be sent.
        return (form, content.encode("utf-8", "replace").decode("utf-8"))
    return None


def _picture(value):
    """Pillow's pictures have forms of their own, but not in every mode of colours."""
    image = getattr(sys.modules.get("PIL.Image"), "Image", None)
    if image is None or not isinstance(value, image):
        return None
    return _shown("image/png", _attempt(lambda: value.convert("RGB")._repr_png_()))
