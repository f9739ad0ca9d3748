"""Functions of Elixir and Erlang, as good callables as those of Python.

Frameworks ask a callable for its name, its signature and its types, keep weak references to it, bind it to
objects, and some take nothing but functions. So the class says that its instances are such.
"""

import builtins
import sys

import erlang

_FunctionType = type(lambda: None)
_MethodType = type(_FunctionType.__get__(lambda self: None, 0))


class _OfEach(str):
    """What the class says of itself in this place, where its instances have something of their own."""

    def __new__(cls, text, make):
        self = super().__new__(cls, text)
        self.make = make
        return self

    def __get__(self, instance, owner=None):
        return str.__str__(self) if instance is None else self.make(instance)


class Function(erlang._Function):
    __doc__ = _OfEach("A function of Elixir or Erlang.", lambda self: None)
    __module__ = _OfEach("erlang", lambda self: _about(self)[0])
    __class__ = property(lambda self: _FunctionType)

    def __getattr__(self, name):
        make = _MADE.get(name)
        if make is None:
            raise AttributeError("'function' object has no attribute %r" % name)
        value = make(self)
        self.__dict__[name] = value
        return value

    def __get__(self, instance, owner=None):
        return self if instance is None else _MethodType(self, instance)

    def __reduce_ex__(self, _protocol):
        name = self._name()
        if name is not None:
            return erlang._registered, (name,)
        raise TypeError(
            "cannot pickle %r: a function of Elixir or Erlang exists only in its VM. Register it with "
            "Python.register, and call it by its name in the pickled code" % self
        )


def _about(function):
    """``(module, name, arity)``"""
    about = function.__dict__.get("_about")
    if about is None:
        try:
            about = function._ask()
        except Exception:
            # Nobody can be asked now.
            return ("erlang", "function", None)
        function.__dict__["_about"] = about
    return about


def _signature(function):
    from inspect import Parameter, Signature

    arity = _about(function)[2]
    if arity is not None:
        return Signature(
            [Parameter("arg%d" % n, Parameter.POSITIONAL_ONLY) for n in range(1, arity + 1)]
        )
    return Signature(
        [Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kwargs", Parameter.VAR_KEYWORD)]
    )


def _code(function):
    """The code of a function with the same parameters, which does nothing."""
    empty = function.__signature__.empty
    parameters = [
        parameter.replace(annotation=empty, default=empty)
        for parameter in function.__signature__.parameters.values()
    ]
    signature = function.__signature__.replace(parameters=parameters, return_annotation=empty)
    names = {}
    source = "def function%s:\n    raise RuntimeError('this is a function of Elixir')" % signature
    exec(compile(source, "<elixir>", "exec"), names)
    return names["function"].__code__.replace(co_name=function.__name__)


#: What functions of Python's have besides, made when it is asked for.
_MADE = {
    "__name__": lambda function: _about(function)[1],
    "__qualname__": lambda function: function.__name__,
    "__signature__": _signature,
    "__annotations__": lambda function: {},
    "__code__": _code,
    "__defaults__": lambda function: None,
    "__kwdefaults__": lambda function: None,
    "__globals__": lambda function: {},
    "__closure__": lambda function: None,
    "__type_params__": lambda function: (),
}


def described(called, name, args, returns, doc):
    """The callable for a ``%Python.Function{}``. Each argument is ``(name, type, [default])``."""
    if name is None and isinstance(called, str):
        # It is registered by this name.
        name = called
    if args is None:
        function = erlang._make_function(called)
    else:
        names = [arg[0] for arg in args]
        defaults = [default for arg in args for default in arg[2]]
        function = erlang._make_function(called, (name or "function", names, defaults))
        _sign(function, args, returns, tuple(defaults) or None)
    if name is not None:
        function.__name__ = function.__qualname__ = name
    if doc is not None:
        function.__doc__ = doc
    if args is None and returns is not None:
        kind = _resolved(returns, "the type of what it returns")
        function.__annotations__ = {"return": kind}
        function.__signature__ = _signature(function).replace(return_annotation=kind)
    return function


def _sign(function, args, returns, defaults):
    from inspect import Parameter, Signature

    parameters = []
    annotations = {}
    for name, kind, default in args:
        if kind is not None:
            annotations[name] = _resolved(kind, "the type of the argument %r" % name)
        parameters.append(
            Parameter(
                name,
                Parameter.POSITIONAL_OR_KEYWORD,
                annotation=annotations.get(name, Parameter.empty),
                default=default[0] if default else Parameter.empty,
            )
        )
    if returns is not None:
        annotations["return"] = _resolved(returns, "the type of what it returns")
    function.__signature__ = Signature(
        parameters, return_annotation=annotations.get("return", Signature.empty)
    )
    function.__annotations__ = annotations
    function.__defaults__ = defaults


#: The types that were resolved, by their text.
_types = {}

#: How many are kept.
_MOST = 256


def _resolved(kind, what):
    """The type that a text names. Anything else is the type itself."""
    if not isinstance(kind, str):
        return kind
    if kind == "None":
        return None
    try:
        return _types[kind]
    except KeyError:
        pass
    try:
        found = _evaluated(kind)
    except Exception as exception:
        raise TypeError(
            "expected %s of this function to be a type, got: %r, which cannot be resolved (%s: %s). Use a type of "
            "builtins or typing, another one with its module, such as 'decimal.Decimal', or an object"
            % (what, kind, type(exception).__name__, exception)
        ) from None
    if len(_types) >= _MOST:
        _types.clear()
    _types[kind] = found
    return found


def _evaluated(kind):
    code = compile(kind.strip(), "<type>", "eval")
    try:
        return eval(code, {"__builtins__": {}}, _Names())
    except TypeError:
        if sys.version_info >= (3, 9):
            raise
        # There `list[int]` is `typing.List[int]`.
        return eval(code, {"__builtins__": {}}, _OldNames())


class _Names(dict):
    """The names in a type: of builtins, of typing, of modules."""

    def __missing__(self, name):
        if hasattr(builtins, name):
            return getattr(builtins, name)
        import typing

        if hasattr(typing, name):
            return getattr(typing, name)
        import importlib

        try:
            return _Module(importlib.import_module(name))
        except ImportError:
            raise NameError("name %r is not defined" % name) from None


class _OldNames(_Names):
    def __missing__(self, name):
        import typing

        if name in ("list", "dict", "set", "tuple", "type"):
            return getattr(typing, name.capitalize())
        if name == "frozenset":
            return typing.FrozenSet
        return super().__missing__(name)


class _Module:
    """A module whose submodules are imported as they are named."""

    def __init__(self, module):
        self._module = module

    def __getattr__(self, name):
        try:
            found = getattr(self._module, name)
        except AttributeError:
            import importlib

            try:
                found = importlib.import_module("%s.%s" % (self._module.__name__, name))
            except ImportError:
                raise AttributeError(
                    "module %r has no attribute %r" % (self._module.__name__, name)
                ) from None
        return _Module(found) if isinstance(found, type(sys)) else found
