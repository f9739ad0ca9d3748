"""Compiling what comes from Elixir as text, so that tracebacks can show its lines."""

import itertools
import keyword

from erlang import _lines, _main

_numbers = itertools.count(1)

lines_of = _lines.lines_of


#: Code with ``await`` outside of functions is a coroutine when it runs. As in ``ast``, which takes ms to be imported.
AWAITS = 0x2000
#: A tree and no code.
ONLY_AST = 0x400


def compile_exec(source, file, line, awaits=False):
    """Statements: a code object for ``__main__``. ``line``: where in the file they begin. ``awaits``: with ``await``."""
    filename = file or "<exec %d>" % next(_numbers)
    code = _compile(_from_line(line, source), filename, "exec", AWAITS if awaits else 0)
    _lines.remember(filename, line, source, code, file is not None)
    return code


def compile_eval(source, names, file, line, awaits=False):
    """One expression: a code object, or a function of ``names`` when there are any.

    As parameters the names are visible in lambdas and generator expressions too, which the
    ``locals`` of ``eval`` are not, and they leave ``__main__`` alone.
    """
    # As the builtin eval does.
    stripped = source.lstrip(" \t\r\n") if not source[:1].strip() else source
    line += source[: len(source) - len(stripped)].count("\n")
    for name in names:
        _check(name)
    filename = file or "<eval %d>" % next(_numbers)
    code, value = _compile_expression(_from_line(line, stripped), names, filename, awaits)
    _lines.remember(filename, line, stripped, code, file is not None)
    return value


def _compile_expression(source, names, filename, awaits):
    flags = AWAITS if awaits else 0
    if not names:
        code = _compile(source, filename, "eval", flags)
        return code, code
    tree = _compile(source, filename, "eval", ONLY_AST | flags)
    if awaits and _compile(source, filename, "eval", flags).co_flags & COROUTINE:
        return _compile_coroutine(tree, source, names, filename)
    expression = _compile("lambda %s: None" % ", ".join(names), filename, "eval", ONLY_AST)
    function = expression.body
    function.body = tree.body
    for node in (function, *function.args.args):
        for attribute in function._attributes:
            setattr(node, attribute, getattr(tree.body, attribute, None))
    code = _compile(expression, filename, "eval", source=source)
    made = eval(code, _main.NAMES)
    made.__code__ = made.__code__.replace(co_name="<module>")
    return made.__code__, made


#: Of code that is a coroutine when it runs.
COROUTINE = 0x80


def _compile_coroutine(tree, source, names, filename):
    """A function of ``names`` that gives a coroutine: a lambda has no ``await``."""
    text = "async def expression(%s): return None" % ", ".join(names)
    module = _compile(text, filename, "exec", ONLY_AST)
    function = module.body[0]
    function.body[0].value = tree.body
    for node in (function, function.body[0], *function.args.args):
        for attribute in function._attributes:
            if hasattr(node, attribute):
                setattr(node, attribute, getattr(tree.body, attribute, None))
    code = _compile(module, filename, "exec", source=source)
    made = next(constant for constant in code.co_consts if hasattr(constant, "co_code"))
    made = type(_compile_coroutine)(made.replace(co_name="<module>"), _main.NAMES)
    return made.__code__, made


def _from_line(line, source):
    """Lines before it move all that Python says of lines: in errors and warnings of the compiler too."""
    if line == 1:
        return source
    return "\n" * (line - 1) + (source[1:] if source.startswith("\ufeff") else source)


#: How often to try again where threads have disturbed each other.
TRIES = 100


def _compile(code, filename, mode, flags=0, source=None):
    try:
        for _ in range(TRIES):
            try:
                return compile(code, filename, mode, flags, dont_inherit=True)
            except SystemError as error:
                # Python 3.11 counts the depth of a tree in one place for all threads. They take turns if the
                # garbage collector runs a finalizer meanwhile: https://github.com/python/cpython/issues/106905
                if "recursion depth mismatch" not in str(error):
                    raise
        return compile(code, filename, mode, flags, dont_inherit=True)
    except SyntaxError as error:
        source = code if source is None else source
        if error.text is None and error.lineno and error.filename == filename:
            # Found after parsing, when Python looks for the line in a file.
            lines = source.splitlines(True)
            if error.lineno <= len(lines):
                error.text = lines[error.lineno - 1]
        # The frames of the compiler say nothing to who wrote the code.
        raise error.with_traceback(None)


def _check(name):
    if not name.isidentifier() or keyword.iskeyword(name):
        raise NameError("expected the name of a variable to be a Python identifier, got: %r" % (name,))
