"""Objects that show themselves in notebooks, well or badly."""

import base64
import gc
import time
import weakref

#: A picture of one pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def shows(**forms):
    """An object with these methods: ``html="x"`` is ``_repr_html_``; an exception is raised."""

    def method(content):
        def give(self):
            if isinstance(content, BaseException):
                raise content
            return content

        return give

    methods = {"_repr_%s_" % name: method(content) for name, content in forms.items()}
    methods["__repr__"] = lambda self: "<in words>"
    return type("Shows", (), methods)()


def failing(form, **forms):
    """The same, whose first form raises one exception after the other, each time."""
    return shows(**dict(forms, **{form: ValueError("no form today")}))


def leaving(**forms):
    return shows(html=SystemExit(1), svg=KeyboardInterrupt(), **forms)


def bundle(*content):
    """An object with a ``_repr_mimebundle_`` as IPython calls it."""

    class Bundle:
        def _repr_mimebundle_(self, include=None, exclude=None):
            return content[0] if len(content) == 1 else content

        def _repr_html_(self):
            return "<b>by itself</b>"

    return Bundle()


class Chart:
    """What Altair's charts do."""

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"application/vnd.vegalite.v5+json": {"mark": "bar"}, "text/plain": "a chart"}

    def to_html(self, fullhtml=True):
        return "<html/>" if fullhtml else "<div>a chart</div>"


class Savable:
    """What seaborn's grids do; this one knows no options but the format."""

    def savefig(self, file, format):
        assert format == "png"
        file.write(PNG)


class Slow:
    def _repr_html_(self):
        while True:
            time.sleep(0.01)

    def __repr__(self):
        return "<slow>"


class Everything:
    """Has any attribute, and says yes to all."""

    def __getattr__(self, name):
        return lambda *args, **kwargs: "yes"

    def __repr__(self):
        return "<everything>"


class Nothing:
    def __getattribute__(self, name):
        raise RuntimeError("nothing of that")


class Deep:
    def _repr_html_(self):
        return self._repr_html_()

    def _repr_markdown_(self):
        return "*not so deep*"


living = weakref.WeakSet()


class Counted:
    def __init__(self):
        living.add(self)

    def _repr_html_(self):
        return "<b>counted</b>"


def alive():
    gc.collect()
    return len(living)
