defmodule Python.Erlang do
  @moduledoc """
  Calls Python from Erlang.

      {ok, 4.0} = py:call(math, sqrt, [16]).
      {ok, 45} = py:eval(<<"sum(range(10))">>).

  Modules, functions, code and the names of keyword arguments are atoms, binaries or strings.
  Python's `None` is `none`.

  | result | meaning |
  |---|---|
  | `{error, {'ZeroDivisionError', Text}}` | an exception of a class of Python itself: an atom and a string |
  | `{error, {<<"json.decoder.JSONDecodeError">>, Text}}` | an exception of another class: a binary with its module, and a string |
  | `{error, timeout}` | the call exceeded its timeout |
  | `{error, overloaded}` | too many calls are waiting |
  | `{error, {encode_error, Text}}`, `{error, {decode_error, Text}}` | a value cannot be converted |
  | `{error, {stopped, Text}}` | the pool was stopped, or the call was cancelled |
  | `{error, {crashed, Text}}` | the Python process that ran the call has ended |
  | `{error, {not_started, Text}}` | there is no interpreter |
  | `{error, {install_error, Text}}` | packages could not be installed |

  Invalid arguments raise an error exception, `{badarg, Text}`.
  """

  # What `py` (src/py.erl) calls. That file is written from this one by `mix python.gen.facade`:
  # names, arities, specs and docs. It speaks to the same layers as `Python` and adds the manners of
  # Erlang.

  alias Python.{
    Arguments,
    Async,
    CrashedError,
    DecodeError,
    EncodeError,
    Feeder,
    Home,
    InstallError,
    NotStartedError,
    Operation,
    Options,
    OverloadedError,
    Request,
    Runtime,
    StoppedError,
    TimeoutError
  }

  alias Python.Environment.OnDemand

  @typedoc "A name or a piece of code."
  @type text :: atom | binary | [char]

  @typedoc "Keyword arguments, or variables."
  @type named :: map | [{text, term}]

  @typedoc "A timeout in ms; `default` is the setting `worker_timeout`."
  @type limit :: timeout | :default

  @typedoc "Why there is no result."
  @type reason ::
          {atom | binary, [char]}
          | :timeout
          | :overloaded

  @type result :: {:ok, term} | {:error, reason}

  @doc """
  Calls a Python function. Returns `{ok, Value}` or `{error, Reason}`.

      {ok, 4.0} = py:call(math, sqrt, [16]).
      {ok, <<"{\\n  \\"foo\\": 1\\n}">>} = py:call(json, dumps, [\#{foo => 1}], \#{indent => 2}).
      {error, timeout} = py:call(time, sleep, [10], \#{}, 100).

  `Kwargs` are keyword arguments, a map or a list of pairs. `Timeout` is in ms or `infinity`, and defaults to the setting
  `worker_timeout`.
  """
  @spec call(module :: text, function :: text, args :: [term], kwargs :: named, timeout :: limit) ::
          result
  def call(module, function, args, kwargs \\ %{}, timeout \\ :default) do
    run(timeout, module, fn ->
      Operation.call(text(module), text(function), args, named(kwargs))
    end)
  end

  @doc """
  Starts a call. Returns a reference at once, for `await/1,2`.

      Ref = py:call_async(math, factorial, [20]),
      {ok, 2432902008176640000} = py:await(Ref).

  Only the calling process can await the call. When that process ends, the call is cancelled. A call that cannot be
  started raises an error exception with the reason, such as `overloaded`.
  """
  @spec call_async(module :: text, function :: text, args :: [term], kwargs :: named) :: Async.t()
  def call_async(module, function, args, kwargs \\ %{}) do
    operation =
      checked(fn -> Operation.call(text(module), text(function), args, named(kwargs)) end)

    case Request.submit(operation, options(:default, module)) do
      {:ok, async} -> async
      {:error, error} -> :erlang.error(reason(error))
    end
  end

  @doc """
  Waits for a call that was started with `call_async/3,4`. Returns `{ok, Value}` or `{error, Reason}`.

      Ref = py:call_async(time, sleep, [1]),
      {error, timeout} = py:await(Ref, 10).

  After `Timeout` ms the call is cancelled. Defaults to 30000.
  """
  @spec await(Async.t(), timeout :: timeout) :: result
  def await(async, timeout \\ 30_000) do
    result(
      checked(fn ->
        is_struct(async, Async) or bad("a reference of call_async", async)
        Python.await(async, timeout)
      end)
    )
  end

  @doc """
  Evaluates one expression, with `Vars` as its variables. Returns `{ok, Value}` or `{error, Reason}`.

      {ok, 45} = py:eval(<<"sum(range(10))">>).
      {ok, 42} = py:eval("x * y", \#{x => 6, y => 7}).
  """
  @spec eval(code :: text, vars :: named, timeout :: limit) :: result
  def eval(code, vars \\ %{}, timeout \\ :default) do
    run(timeout, nil, fn -> Operation.eval(code(code), vars(vars)) end)
  end

  @doc """
  Executes statements in Python's `__main__`. Returns `ok` or `{error, Reason}`.

      ok = py:exec(<<"def double(x): return x * 2">>).
      {ok, 10} = py:call('__main__', double, [5]).
  """
  @spec exec(code :: text, timeout :: limit) :: :ok | {:error, reason}
  def exec(code, timeout \\ :default) do
    run(timeout, nil, fn -> Operation.exec(code(code)) end)
  end

  @doc """
  Returns `{ok, Items}`, all items of the iterable that a call returns, or `{error, Reason}`.

      {ok, [{1, 2}, {1, 3}, {2, 3}]} = py:stream(itertools, combinations, [[1, 2, 3], 2]).
  """
  @spec stream(module :: text, function :: text, args :: [term], kwargs :: named) ::
          {:ok, [term]} | {:error, reason}
  def stream(module, function, args, kwargs \\ %{}) do
    stream_to_list(module, fn ->
      Operation.call(text(module), text(function), args, named(kwargs))
    end)
  end

  @doc """
  Returns `{ok, Items}`, all items of the iterable that an expression returns, or `{error, Reason}`.

      {ok, [0, 1, 4]} = py:stream_eval(<<"(x * x for x in range(3))">>).
  """
  @spec stream_eval(code :: text, vars :: named) :: {:ok, [term]} | {:error, reason}
  def stream_eval(code, vars \\ %{}) do
    stream_to_list(nil, fn -> Operation.eval(code(code), vars(vars)) end)
  end

  @doc """
  Starts a stream that sends its items to the calling process as messages. Returns `{ok, Ref}` or `{error, Reason}`.

      {ok, Ref} = py:stream_start(builtins, range, [2]),
      receive {py_stream, Ref, {data, 0}} -> ok end,
      receive {py_stream, Ref, {data, 1}} -> ok end,
      receive {py_stream, Ref, done} -> ok end.

  Each item is sent as soon as it is made. The last message is `{py_stream, Ref, done}` or
  `{py_stream, Ref, {error, Reason}}`, with the reasons of `call/3,4,5`. If an item takes longer than the setting
  `worker_timeout`, the reason is `timeout`.

  At most a few hundred items of the stream wait in the mailbox. More are made when those are read, whatever else is in
  the mailbox.

  The stream ends with the calling process. When it ends, for any reason, a generator is closed.
  """
  @spec stream_start(module :: text, function :: text, args :: [term], kwargs :: named) ::
          {:ok, reference} | {:error, reason}
  def stream_start(module, function, args, kwargs \\ %{}) do
    operation =
      checked(fn -> Operation.call(text(module), text(function), args, named(kwargs)) end)

    result(Feeder.start(operation, options(:default, module), &reason/1))
  end

  @doc """
  Ends a stream that was started with `stream_start/3,4`, and closes a generator. Returns `ok`.

      {ok, Ref} = py:stream_start(itertools, count, []),
      ok = py:stream_cancel(Ref).

  After it, the stream sends no more messages, and none of them is left in the mailbox of the calling process.
  """
  @spec stream_cancel(reference) :: :ok
  def stream_cancel(reference) do
    checked(fn ->
      is_reference(reference) or bad("a reference of stream_start", reference)
    end)

    Feeder.cancel(reference)
    drop_messages(reference)
  end

  defp drop_messages(reference) do
    receive do
      {:py_stream, ^reference, _} -> drop_messages(reference)
    after
      0 -> :ok
    end
  end

  @doc """
  Returns `{ok, Version}`, the version of Python, such as `<<"3.11.7">>`.

      {ok, <<"3.", _/binary>>} = py:version().
  """
  @spec version() :: {:ok, binary} | {:error, reason}
  def version do
    case Runtime.interpreter() do
      {:ok, interpreter} -> {:ok, interpreter.version_string}
      {:error, error} -> {:error, reason(error)}
    end
  end

  @doc """
  Installs packages. Returns `{ok, Map}` or `{error, Reason}`.

      {ok, \#{packages := []}} = py:install([]).
      {ok, \#{python := _}} = py:install([{packages, []}], [{quiet, true}]).

  It is given a list of requirements, binaries or strings, or the options of the setting `python`, a map or a list of
  pairs. `Options` are further ones. The map has `python`, the version, `folder`, where the packages are or `undefined`,
  and `packages`, a list of `{Name, Version}`. See `Python.install/2`.
  """
  @spec install(
          packages :: [binary | [char]] | [{atom, term}] | map,
          options :: [{atom, term}] | map
        ) ::
          {:ok, map} | {:error, reason}
  def install(packages, options \\ []) do
    {spec, quiet} = checked(fn -> OnDemand.spec!(pairs(packages), pairs(options)) end)

    case OnDemand.run(spec, quiet) do
      {:ok, %{folder: nil} = installed} -> {:ok, %{installed | folder: :undefined}}
      result -> result(result)
    end
  end

  defp pairs(map) when is_map(map) and not is_struct(map), do: Map.to_list(map)
  defp pairs(other), do: other

  @doc """
  Returns `{ok, Map}` with information about the interpreter: `python_version`, `executable`, `libpython`,
  `prefix` and more.

      {ok, \#{free_threaded := false}} = py:info().
  """
  @spec info() :: {:ok, map} | {:error, reason}
  def info do
    {:ok, Python.info()}
  rescue
    error in NotStartedError -> {:error, reason(error)}
  end

  @doc """
  Starts a call and ignores its result. Returns `ok`.

      ok = py:cast(shutil, rmtree, [<<"/tmp/scratch">>, true]).

  The call does not end with the calling process. Its errors are ignored; only a missing interpreter raises an error
  exception, `{not_started, Text}`.
  """
  @spec cast(module :: text, function :: text, args :: [term], kwargs :: named) :: :ok
  def cast(module, function, args, kwargs \\ %{}) do
    operation =
      checked(fn -> Operation.call(text(module), text(function), args, named(kwargs)) end)

    with {:error, error} <- Runtime.status(), do: :erlang.error(reason(error))
    options = options(:default, module)
    spawn(fn -> Request.run(operation, options) end)
    :ok
  end

  @doc """
  Registers a fun under a name, as `erlang.Name` in Python. Returns `ok`.

      py:register_function(add, fun([A, B]) -> A + B end),
      {ok, 3} = py:eval("__import__('erlang').add(1, 2)").

  A fun of arity 1 gets the list of the arguments; a fun of another arity gets the arguments. If the application is not
  running, it raises an error exception `{not_started, Text}`.
  """
  @spec register_function(name :: text, fun :: function) :: :ok
  def register_function(name, fun) do
    register(name, fun, fn ->
      is_function(fun) or bad("a fun, or a module and the name of a function", fun)
    end)
  end

  @doc """
  Registers the function `Module:Function` under a name, as `erlang.Name` in Python. Returns `ok`.

      ok = py:register_function(total, lists, sum),
      {ok, 6} = py:eval("__import__('erlang').total(1, 2, 3)").

  The function gets the list of the arguments.
  """
  @spec register_function(name :: text, module, function :: atom) :: :ok
  def register_function(name, module, function) do
    register(name, {module, function}, fn ->
      for part <- [module, function] do
        is_atom(part) or bad("a module and the name of a function, both atoms", part)
      end
    end)
  end

  @doc """
  Removes a registered function. Returns `ok`, even if there was none.

      ok = py:unregister_function(no_longer).
  """
  @spec unregister_function(name :: text) :: :ok
  def unregister_function(name) do
    checked(fn -> Python.Callback.unregister(callback_name(name)) end)
  end

  @doc """
  Returns `{ok, Value}`, an attribute of an object, or `{error, Reason}`.

      {ok, Path} = py:call(pathlib, 'PurePosixPath', [<<"/a/b.txt">>]),
      {ok, <<".txt">>} = py:getattr(Path, suffix).
  """
  @spec getattr(object :: Python.Object.t(), name :: text) :: result
  def getattr(object, name) do
    run(:default, object, fn ->
      handle(object)
      Operation.call(:builtins, :getattr, [object, Operation.attribute(text(name))], %{})
    end)
  end

  @doc """
  Calls a method of an object. Returns `{ok, Value}` or `{error, Reason}`.

      {ok, Counter} = py:eval("__import__('itertools').count(5)"),
      {ok, 5} = py:call_method(Counter, '__next__', []).
  """
  @spec call_method(object :: Python.Object.t(), method :: text, args :: [term]) :: result
  def call_method(object, method, args) do
    run(:default, object, fn ->
      handle(object)
      Operation.call(object, text(method), args, %{})
    end)
  end

  @doc """
  Converts an object to a term. Returns `{ok, Value}` or `{error, Reason}`.

      {ok, Path} = py:call(pathlib, 'PurePosixPath', [<<"/a/b.txt">>]),
      {ok, \#{}} = py:to_term(Path).

  Objects without a counterpart in Erlang remain objects.
  """
  @spec to_term(object :: Python.Object.t()) :: result
  def to_term(object) do
    run(:default, object, fn ->
      handle(object)
      Operation.convert(object)
    end)
  end

  @doc """
  Returns `{ok, Map}` with counters of Python's memory.

      {ok, \#{allocated_blocks := Blocks}} = py:memory_stats(),
      true = Blocks > 0.

  | key | value |
  |---|---|
  | `allocated_blocks` | memory blocks in use |
  | `gc_counts` | objects allocated since the last collection, by generation |
  | `pending_releases` | handles that the BEAM has collected, and whose objects Python has not released yet |
  """
  @spec memory_stats() :: {:ok, map} | {:error, reason}
  def memory_stats do
    with {:ok, stats} <-
           run(:default, nil, fn -> Operation.call("erlang._object", "memory", [], %{}) end) do
      [blocks, counts] = stats

      {:ok,
       %{
         allocated_blocks: blocks,
         gc_counts: counts,
         pending_releases: Python.Finalizers.info().waiting
       }}
    end
  end

  @doc """
  Runs Python's garbage collector. Returns `{ok, N}`, the number of unreachable objects that it found.

      {ok, _} = py:gc().
  """
  @spec gc() :: {:ok, non_neg_integer} | {:error, reason}
  def gc, do: run(:default, nil, fn -> Operation.call(:gc, :collect, [], %{}) end)

  defp register(name, function, check) do
    checked(fn ->
      check.()
      list = not is_function(function) or is_function(function, 1)
      Python.Callback.register(callback_name(name), function, list)
    end)
  rescue
    error in NotStartedError -> :erlang.error(reason(error))
  end

  defp handle(%Python.Object{ref: ref}) when is_reference(ref), do: :ok
  defp handle(other), do: bad("a Python object", other)

  @spec bad(String.t(), term) :: no_return
  defp bad(allowed, given),
    do: raise(ArgumentError, "expected #{allowed}, got: #{Arguments.short(given)}")

  defp callback_name(name) do
    text = to_text(name)

    if text == "" or not String.valid?(text) do
      bad("the name of a function, an atom or a non-empty binary or string", name)
    end

    text
  end

  defp to_text(name) do
    case text(name) do
      name when is_atom(name) ->
        Atom.to_string(name)

      name when is_binary(name) ->
        name

      other ->
        bad("a name, an atom, a binary or a string", other)
    end
  end

  # `target`: what the operation is about, which has a home if it is an object.
  defp run(timeout, target, operation) do
    {operation, options} = checked(fn -> {operation.(), options(timeout, target)} end)
    result(Request.run(operation, options))
  end

  defp stream_to_list(target, operation) do
    result(Python.Stream.to_list(checked(operation), options(:default, target)))
  end

  defp options(:default, target), do: Home.options(%Options{erlang: true}, target)

  defp options(timeout, target),
    do: Home.options(%Options{erlang: true, timeout: Options.timeout(timeout)}, target)

  defp checked(function) do
    function.()
  rescue
    error in ArgumentError -> :erlang.error({:badarg, Exception.message(error)})
  end

  # An Erlang string; everything else is judged by Operation.
  defp text([_ | _] = string) do
    case :unicode.characters_to_binary(string) do
      text when is_binary(text) -> text
      _ -> string
    end
  rescue
    ArgumentError -> string
  end

  defp text(other), do: other

  defp code([]), do: ""
  defp code(code) when is_atom(code), do: Atom.to_string(code)
  defp code(code), do: text(code)

  defp named(named) when is_map(named) and not is_struct(named) do
    Map.new(named, fn {name, value} -> {text(name), value} end) |> Options.kwargs()
  end

  defp named(named) when is_list(named) do
    named
    |> Options.pairs()
    |> Enum.map(fn {name, value} -> {text(name), value} end)
    |> Options.kwargs()
  end

  defp named(other), do: Options.kwargs(other)

  defp vars(vars) do
    Map.new(named(vars))
  rescue
    ArgumentError ->
      bad("variables as a map or a list of pairs, with atoms, binaries or strings as names", vars)
  end

  defp result({:error, error}), do: {:error, reason(error)}
  defp result(result), do: result

  defp reason(%Python.Error{builtin: true} = error) do
    # One of a few dozen names: Python's own classes, never what Python code makes up.
    {String.to_atom(error.type), String.to_charlist(error.message)}
  end

  defp reason(%Python.Error{} = error) do
    {"#{error.module}.#{error.type}", String.to_charlist(error.message)}
  end

  defp reason(%TimeoutError{}), do: :timeout
  defp reason(%OverloadedError{}), do: :overloaded
  defp reason(%EncodeError{} = error), do: {:encode_error, text_of(error)}
  defp reason(%DecodeError{} = error), do: {:decode_error, text_of(error)}
  defp reason(%NotStartedError{} = error), do: {:not_started, text_of(error)}
  defp reason(%CrashedError{} = error), do: {:crashed, text_of(error)}
  defp reason(%InstallError{} = error), do: {:install_error, text_of(error)}
  defp reason(%StoppedError{} = error), do: {:stopped, text_of(error)}
  defp reason(%ArgumentError{} = error), do: {:badarg, text_of(error)}

  defp text_of(error), do: error |> Exception.message() |> String.to_charlist()
end
