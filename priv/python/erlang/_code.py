"""Compiling what comes from Elixir as text, so that tracebacks can show its lines."""

import io
import itertools
from _ast import PyCF_ONLY_AST
from collections import OrderedDict

from erlang import _main

#: Sources of the code compiled last, by the file name they were given.
sources = OrderedDict()

#: How many of them are kept for tracebacks.
KEPT = 2_048

_numbers = itertools.count(1)


def compile_exec(source):
    """Statements: a code object for ``__main__``."""
    filename = _remember("exec", source)
    try:
        return compile(source, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        # The frames of the compiler say nothing to who wrote the code.
        raise error.with_traceback(None)


def compile_eval(source, names):
    """One expression: a code object, or a function of ``names`` when there are any.

    As parameters the names are visible in lambdas and generator expressions too, which the
    ``locals`` of ``eval`` are not, and they leave ``__main__`` alone.
    """
    # As the builtin eval does.
    source = source.lstrip(" \t\r\n") if not source[:1].strip() else source
    for name in names:
        _check(name)
    filename = _remember("eval", source)
    try:
        tree = compile(source, filename, "eval", PyCF_ONLY_AST, dont_inherit=True)
    except SyntaxError as error:
        raise error.with_traceback(None)
    if not names:
        return compile(tree, filename, "eval", dont_inherit=True)
    # Only here: it takes ms, which a start should not pay.
    import ast

    parameters = ast.parse("lambda %s: None" % ", ".join(names), filename, "eval").body.args
    function = ast.Lambda(args=parameters, body=tree.body)
    ast.copy_location(function, tree.body)
    for node in ast.walk(parameters):
        ast.copy_location(node, tree.body)
    code = compile(ast.Expression(body=function), filename, "eval", dont_inherit=True)
    made = eval(code, _main.NAMES)
    made.__code__ = made.__code__.replace(co_name="<module>")
    return made


def _check(name):
    import keyword

    if not name.isidentifier() or keyword.iskeyword(name):
        raise NameError("a variable cannot be called %r: it is not a Python identifier" % (name,))


def _remember(kind, source):
    filename = "<%s %d>" % (kind, next(_numbers))
    sources[filename] = source
    while len(sources) > KEPT:
        try:
            sources.popitem(last=False)
        except KeyError:
            break
    return filename


def lines_of(filename):
    """The lines of code that came as text, or None."""
    source = sources.get(filename)
    # As Python splits it. `splitlines` knows other line ends too, such as form feeds.
    return None if source is None else io.StringIO(source, None).readlines()
