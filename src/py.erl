%% Written by `mix python.gen.facade` from lib/python/erlang.ex. Do not edit.
-module(py).

%% OTP 27 and later have documentation attributes.
-if(?OTP_RELEASE >= 27).
-define(MODULEDOC(Text), -moduledoc(Text)).
-define(DOC(Text), -doc(Text)).
-else.
-define(MODULEDOC(Text), -compile([])).
-define(DOC(Text), -compile([])).
-endif.

?MODULEDOC("Calls Python from Erlang.\n\n    {ok, 4.0} = py:call(math, sqrt, [16]).\n    {ok, 45} = py:eval(<<\"sum(range(10))\">>).\n\nModules, functions, code and the names of keyword arguments are atoms, binaries or strings.\nPython's `None` is `none`.\n\n| result | meaning |\n|---|---|\n| `{error, {'ZeroDivisionError', Text}}` | an exception of a class of Python itself: an atom and a string |\n| `{error, {<<\"json.decoder.JSONDecodeError\">>, Text}}` | an exception of another class: a binary with its module, and a string |\n| `{error, timeout}` | the call exceeded its timeout |\n| `{error, overloaded}` | too many calls are waiting |\n| `{error, {encode_error, Text}}`, `{error, {decode_error, Text}}` | a value cannot be converted |\n| `{error, {stopped, Text}}` | the pool was stopped, or the call was cancelled |\n| `{error, {crashed, Text}}` | the Python process that ran the call has ended |\n| `{error, {not_started, Text}}` | there is no interpreter |\n| `{error, {install_error, Text}}` | packages could not be installed |\n\nInvalid arguments raise an error exception, `{badarg, Text}`.").

-export([call/3, call/4, call/5]).
-export([call_async/3, call_async/4]).
-export([await/1, await/2]).
-export([eval/1, eval/2, eval/3]).
-export([exec/1, exec/2]).
-export([stream/3, stream/4]).
-export([stream_eval/1, stream_eval/2]).
-export([stream_start/3, stream_start/4]).
-export([stream_cancel/1]).
-export([version/0]).
-export([install/1, install/2]).
-export([info/0]).
-export([cast/3, cast/4]).
-export([register_function/2]).
-export([register_function/3]).
-export([unregister_function/1]).
-export([getattr/2]).
-export([call_method/3]).
-export([to_term/1]).
-export([memory_stats/0]).
-export([gc/0]).

-export_type([limit/0, named/0, reason/0, result/0, text/0]).

-type limit() :: timeout() | default.
-type named() :: map() | [{text(), term()}].
-type reason() :: {atom() | binary(), [char()]} | timeout | overloaded.
-type result() :: {ok, term()} | {error, reason()}.
-type text() :: atom() | binary() | [char()].

?DOC("Calls a Python function. Returns `{ok, Value}` or `{error, Reason}`.\n\n    {ok, 4.0} = py:call(math, sqrt, [16]).\n    {ok, <<\"{\\n  \\\"foo\\\": 1\\n}\">>} = py:call(json, dumps, [#{foo => 1}], #{indent => 2}).\n    {error, timeout} = py:call(time, sleep, [10], #{}, 100).\n\n`Kwargs` are keyword arguments, a map or a list of pairs. `Timeout` is in ms or `infinity`, and defaults to the setting\n`worker_timeout`.").
-spec call(Module :: text(), Function :: text(), Args :: [term()]) ->
              result().
call(Module, Function, Args) ->
    'Elixir.Python.Erlang':call(Module, Function, Args).

?DOC("See `call/3`.").
-spec call(Module :: text(),
           Function :: text(),
           Args :: [term()],
           Kwargs :: named()) ->
              result().
call(Module, Function, Args, Kwargs) ->
    'Elixir.Python.Erlang':call(Module, Function, Args, Kwargs).

?DOC("See `call/3`.").
-spec call(Module :: text(),
           Function :: text(),
           Args :: [term()],
           Kwargs :: named(),
           Timeout :: limit()) ->
              result().
call(Module, Function, Args, Kwargs, Timeout) ->
    'Elixir.Python.Erlang':call(Module, Function, Args, Kwargs, Timeout).

?DOC("Starts a call. Returns a reference at once, for `await/1,2`.\n\n    Ref = py:call_async(math, factorial, [20]),\n    {ok, 2432902008176640000} = py:await(Ref).\n\nOnly the calling process can await the call. When that process ends, the call is cancelled. A call that cannot be\nstarted raises an error exception with the reason, such as `overloaded`.").
-spec call_async(Module :: text(), Function :: text(), Args :: [term()]) ->
                    'Elixir.Python.Async':t().
call_async(Module, Function, Args) ->
    'Elixir.Python.Erlang':call_async(Module, Function, Args).

?DOC("See `call_async/3`.").
-spec call_async(Module :: text(),
                 Function :: text(),
                 Args :: [term()],
                 Kwargs :: named()) ->
                    'Elixir.Python.Async':t().
call_async(Module, Function, Args, Kwargs) ->
    'Elixir.Python.Erlang':call_async(Module, Function, Args, Kwargs).

?DOC("Waits for a call that was started with `call_async/3,4`. Returns `{ok, Value}` or `{error, Reason}`.\n\n    Ref = py:call_async(time, sleep, [1]),\n    {error, timeout} = py:await(Ref, 10).\n\nAfter `Timeout` ms the call is cancelled. Defaults to 30000.").
-spec await('Elixir.Python.Async':t()) -> result().
await(Async) ->
    'Elixir.Python.Erlang':await(Async).

?DOC("See `await/1`.").
-spec await('Elixir.Python.Async':t(), Timeout :: timeout()) -> result().
await(Async, Timeout) ->
    'Elixir.Python.Erlang':await(Async, Timeout).

?DOC("Evaluates one expression, with `Vars` as its variables. Returns `{ok, Value}` or `{error, Reason}`.\n\n    {ok, 45} = py:eval(<<\"sum(range(10))\">>).\n    {ok, 42} = py:eval(\"x * y\", #{x => 6, y => 7}).").
-spec eval(Code :: text()) -> result().
eval(Code) ->
    'Elixir.Python.Erlang':eval(Code).

?DOC("See `eval/1`.").
-spec eval(Code :: text(), Vars :: named()) -> result().
eval(Code, Vars) ->
    'Elixir.Python.Erlang':eval(Code, Vars).

?DOC("See `eval/1`.").
-spec eval(Code :: text(), Vars :: named(), Timeout :: limit()) ->
              result().
eval(Code, Vars, Timeout) ->
    'Elixir.Python.Erlang':eval(Code, Vars, Timeout).

?DOC("Executes statements in Python's `__main__`. Returns `ok` or `{error, Reason}`.\n\n    ok = py:exec(<<\"def double(x): return x * 2\">>).\n    {ok, 10} = py:call('__main__', double, [5]).").
-spec exec(Code :: text()) -> ok | {error, reason()}.
exec(Code) ->
    'Elixir.Python.Erlang':exec(Code).

?DOC("See `exec/1`.").
-spec exec(Code :: text(), Timeout :: limit()) -> ok | {error, reason()}.
exec(Code, Timeout) ->
    'Elixir.Python.Erlang':exec(Code, Timeout).

?DOC("Returns `{ok, Items}`, all items of the iterable that a call returns, or `{error, Reason}`.\n\n    {ok, [{1, 2}, {1, 3}, {2, 3}]} = py:stream(itertools, combinations, [[1, 2, 3], 2]).").
-spec stream(Module :: text(), Function :: text(), Args :: [term()]) ->
                {ok, [term()]} | {error, reason()}.
stream(Module, Function, Args) ->
    'Elixir.Python.Erlang':stream(Module, Function, Args).

?DOC("See `stream/3`.").
-spec stream(Module :: text(),
             Function :: text(),
             Args :: [term()],
             Kwargs :: named()) ->
                {ok, [term()]} | {error, reason()}.
stream(Module, Function, Args, Kwargs) ->
    'Elixir.Python.Erlang':stream(Module, Function, Args, Kwargs).

?DOC("Returns `{ok, Items}`, all items of the iterable that an expression returns, or `{error, Reason}`.\n\n    {ok, [0, 1, 4]} = py:stream_eval(<<\"(x * x for x in range(3))\">>).").
-spec stream_eval(Code :: text()) -> {ok, [term()]} | {error, reason()}.
stream_eval(Code) ->
    'Elixir.Python.Erlang':stream_eval(Code).

?DOC("See `stream_eval/1`.").
-spec stream_eval(Code :: text(), Vars :: named()) ->
                     {ok, [term()]} | {error, reason()}.
stream_eval(Code, Vars) ->
    'Elixir.Python.Erlang':stream_eval(Code, Vars).

?DOC("Starts a stream that sends its items to the calling process as messages. Returns `{ok, Ref}` or `{error, Reason}`.\n\n    {ok, Ref} = py:stream_start(builtins, range, [2]),\n    receive {py_stream, Ref, {data, 0}} -> ok end,\n    receive {py_stream, Ref, {data, 1}} -> ok end,\n    receive {py_stream, Ref, done} -> ok end.\n\nEach item is sent as soon as it is made. The last message is `{py_stream, Ref, done}` or\n`{py_stream, Ref, {error, Reason}}`, with the reasons of `call/3,4,5`. If an item takes longer than the setting\n`worker_timeout`, the reason is `timeout`.\n\nAt most a few hundred items of the stream wait in the mailbox. More are made when those are read, whatever else is in\nthe mailbox.\n\nThe stream ends with the calling process. When it ends, for any reason, a generator is closed.").
-spec stream_start(Module :: text(),
                   Function :: text(),
                   Args :: [term()]) ->
                      {ok, reference()} | {error, reason()}.
stream_start(Module, Function, Args) ->
    'Elixir.Python.Erlang':stream_start(Module, Function, Args).

?DOC("See `stream_start/3`.").
-spec stream_start(Module :: text(),
                   Function :: text(),
                   Args :: [term()],
                   Kwargs :: named()) ->
                      {ok, reference()} | {error, reason()}.
stream_start(Module, Function, Args, Kwargs) ->
    'Elixir.Python.Erlang':stream_start(Module, Function, Args, Kwargs).

?DOC("Ends a stream that was started with `stream_start/3,4`, and closes a generator. Returns `ok`.\n\n    {ok, Ref} = py:stream_start(itertools, count, []),\n    ok = py:stream_cancel(Ref).\n\nAfter it, the stream sends no more messages, and none of them is left in the mailbox of the calling process.").
-spec stream_cancel(reference()) -> ok.
stream_cancel(Reference) ->
    'Elixir.Python.Erlang':stream_cancel(Reference).

?DOC("Returns `{ok, Version}`, the version of Python, such as `<<\"3.11.7\">>`.\n\n    {ok, <<\"3.\", _/binary>>} = py:version().").
-spec version() -> {ok, binary()} | {error, reason()}.
version() ->
    'Elixir.Python.Erlang':version().

?DOC("Installs packages. Returns `{ok, Map}` or `{error, Reason}`.\n\n    {ok, #{packages := []}} = py:install([]).\n    {ok, #{python := _}} = py:install([{packages, []}], [{quiet, true}]).\n\nIt is given a list of requirements, binaries or strings, or the options of the setting `python`, a map or a list of\npairs. `Options` are further ones. The map has `python`, the version, `folder`, where the packages are or `undefined`,\nand `packages`, a list of `{Name, Version}`. See `Python.install/2`.").
-spec install(Packages ::
                  [binary() | [char()]] | [{atom(), term()}] | map()) ->
                 {ok, map()} | {error, reason()}.
install(Packages) ->
    'Elixir.Python.Erlang':install(Packages).

?DOC("See `install/1`.").
-spec install(Packages ::
                  [binary() | [char()]] | [{atom(), term()}] | map(),
              Options :: [{atom(), term()}] | map()) ->
                 {ok, map()} | {error, reason()}.
install(Packages, Options) ->
    'Elixir.Python.Erlang':install(Packages, Options).

?DOC("Returns `{ok, Map}` with information about the interpreter: `python_version`, `executable`, `libpython`,\n`prefix` and more.\n\n    {ok, #{free_threaded := false}} = py:info().").
-spec info() -> {ok, map()} | {error, reason()}.
info() ->
    'Elixir.Python.Erlang':info().

?DOC("Starts a call and ignores its result. Returns `ok`.\n\n    ok = py:cast(shutil, rmtree, [<<\"/tmp/scratch\">>, true]).\n\nThe call does not end with the calling process. Its errors are ignored; only a missing interpreter raises an error\nexception, `{not_started, Text}`.").
-spec cast(Module :: text(), Function :: text(), Args :: [term()]) -> ok.
cast(Module, Function, Args) ->
    'Elixir.Python.Erlang':cast(Module, Function, Args).

?DOC("See `cast/3`.").
-spec cast(Module :: text(),
           Function :: text(),
           Args :: [term()],
           Kwargs :: named()) ->
              ok.
cast(Module, Function, Args, Kwargs) ->
    'Elixir.Python.Erlang':cast(Module, Function, Args, Kwargs).

?DOC("Registers a fun under a name, as `erlang.Name` in Python. Returns `ok`.\n\n    py:register_function(add, fun([A, B]) -> A + B end),\n    {ok, 3} = py:eval(\"__import__('erlang').add(1, 2)\").\n\nA fun of arity 1 gets the list of the arguments; a fun of another arity gets the arguments. If the application is not\nrunning, it raises an error exception `{not_started, Text}`.").
-spec register_function(Name :: text(), Fun :: function()) -> ok.
register_function(Name, Fun) ->
    'Elixir.Python.Erlang':register_function(Name, Fun).

?DOC("Registers the function `Module:Function` under a name, as `erlang.Name` in Python. Returns `ok`.\n\n    ok = py:register_function(total, lists, sum),\n    {ok, 6} = py:eval(\"__import__('erlang').total(1, 2, 3)\").\n\nThe function gets the list of the arguments.").
-spec register_function(Name :: text(), module(), Function :: atom()) ->
                           ok.
register_function(Name, Module, Function) ->
    'Elixir.Python.Erlang':register_function(Name, Module, Function).

?DOC("Removes a registered function. Returns `ok`, even if there was none.\n\n    ok = py:unregister_function(no_longer).").
-spec unregister_function(Name :: text()) -> ok.
unregister_function(Name) ->
    'Elixir.Python.Erlang':unregister_function(Name).

?DOC("Returns `{ok, Value}`, an attribute of an object, or `{error, Reason}`.\n\n    {ok, Path} = py:call(pathlib, 'PurePosixPath', [<<\"/a/b.txt\">>]),\n    {ok, <<\".txt\">>} = py:getattr(Path, suffix).").
-spec getattr(Object :: 'Elixir.Python.Object':t(), Name :: text()) ->
                 result().
getattr(Object, Name) ->
    'Elixir.Python.Erlang':getattr(Object, Name).

?DOC("Calls a method of an object. Returns `{ok, Value}` or `{error, Reason}`.\n\n    {ok, Counter} = py:eval(\"__import__('itertools').count(5)\"),\n    {ok, 5} = py:call_method(Counter, '__next__', []).").
-spec call_method(Object :: 'Elixir.Python.Object':t(),
                  Method :: text(),
                  Args :: [term()]) ->
                     result().
call_method(Object, Method, Args) ->
    'Elixir.Python.Erlang':call_method(Object, Method, Args).

?DOC("Converts an object to a term. Returns `{ok, Value}` or `{error, Reason}`.\n\n    {ok, Path} = py:call(pathlib, 'PurePosixPath', [<<\"/a/b.txt\">>]),\n    {ok, #{}} = py:to_term(Path).\n\nObjects without a counterpart in Erlang remain objects.").
-spec to_term(Object :: 'Elixir.Python.Object':t()) -> result().
to_term(Object) ->
    'Elixir.Python.Erlang':to_term(Object).

?DOC("Returns `{ok, Map}` with counters of Python's memory.\n\n    {ok, #{allocated_blocks := Blocks}} = py:memory_stats(),\n    true = Blocks > 0.\n\n| key | value |\n|---|---|\n| `allocated_blocks` | memory blocks in use |\n| `gc_counts` | objects allocated since the last collection, by generation |\n| `pending_releases` | handles that the BEAM has collected, and whose objects Python has not released yet |").
-spec memory_stats() -> {ok, map()} | {error, reason()}.
memory_stats() ->
    'Elixir.Python.Erlang':memory_stats().

?DOC("Runs Python's garbage collector. Returns `{ok, N}`, the number of unreachable objects that it found.\n\n    {ok, _} = py:gc().").
-spec gc() -> {ok, non_neg_integer()} | {error, reason()}.
gc() ->
    'Elixir.Python.Erlang':gc().
