defmodule Python do
  @moduledoc """
  Calls Python from Elixir.

      iex> Python.call(:math, :sqrt, [16])
      {:ok, 4.0}

      iex> Python.eval("sum(x * x for x in xs)", %{xs: [1, 2, 3]})
      {:ok, 14}

      iex> Python.exec("def double(x): return x * 2")
      :ok
      iex> Python.call!(:__main__, :double, [21])
      42

  CPython runs inside the VM. Calls run on the workers of a pool, never on the schedulers that run Elixir code.
  All processes share one interpreter: what one process imports or defines, the others see.

  ## Calls

  `call/4`, `eval/3` and `exec/2` return `{:ok, value}` (`exec/2` returns `:ok`) or `{:error, exception}`. The
  variants with `!` return the value or raise the exception.

  A call has a *target* and a *name*:

    * the target is the name of a module (an atom or a string, such as `:math` or `"os.path"`) or a
      `Python.Object`, whose method is called;
    * the name is an atom or a string. Dots in it walk attributes: `"path.join"`.

  Code runs in Python's `__main__`, which all processes share: later calls see what `exec/2` defines there.

  ## Options

  #{Python.Options.docs(:call)}

  The functions on objects, such as `getattr/3` and `len/2`, take `:timeout`, `:pool` and `:context`. Those that
  return a value of the object also take `:return`. Without `:pool` and `:context` they run at the home of the object.

  An invalid option raises `ArgumentError`.

  ### Decode

  `decode: [uuid: :string, path: :string]` converts objects that are a `Python.Object` otherwise. `:object` as a value
  leaves the object in Python. The arguments of a function that Python calls are not decoded.

  | key | values | converts |
  |---|---|---|
  | `:uuid` | `:string`, `:bytes` | `uuid.UUID` |
  | `:path` | `:string` | paths of `pathlib` |
  | `:timedelta` | `:microseconds`, `:milliseconds`, `:seconds` | `datetime.timedelta`, to an integer, rounded down |
  | `:enum` | `:value`, `:name` | members of `enum.Enum` |
  | `:dataclass` | `:map` | instances of dataclasses |
  | `:pydantic` | `:map` | models of pydantic, without the fields that they exclude |
  | `:row` | `:map`, `:tuple`, `:list` | rows of SQLAlchemy, `sqlite3` and asyncpg |

  ## Errors

  | error | meaning |
  |---|---|
  | `Python.Error` | Python raised an exception |
  | `Python.TimeoutError` | the call exceeded its timeout |
  | `Python.EncodeError`, `Python.DecodeError` | a value cannot be converted |
  | `Python.OverloadedError` | too many calls are waiting |
  | `Python.StoppedError` | the pool was stopped, or the call was cancelled |
  | `Python.NotStartedError` | there is no interpreter, or no such pool; says what to do |
  """

  import Kernel, except: [apply: 3, send: 2]

  alias Python.{Arguments, Async, Home, Object, Operation, Options, Request, Runtime}
  alias Python.Environment.OnDemand

  @typedoc "The name of a module, or an object."
  @type target :: atom | String.t() | Object.t()

  @typedoc "The name of a function or method."
  @type name :: atom | String.t()

  @typedoc "Python code."
  @type code :: String.t()

  @typedoc "Variables for code: names and values."
  @type vars :: %{optional(atom | String.t()) => term}

  @type option ::
          {:kwargs, map | keyword}
          | {:timeout, timeout}
          | {:return, :value | :object | :bytes}
          | {:decode, keyword(atom)}
          | {:pool, atom}
          | {:context, Python.Context.t() | pid | atom}
          | {:file, String.t()}
          | {:line, pos_integer}
  @type options :: [option]
  @typedoc "Options of the functions on objects."
  @type object_options :: [
          {:timeout, timeout} | {:pool, atom} | {:context, Python.Context.t() | pid | atom}
        ]
  @type value_options :: [
          {:timeout, timeout}
          | {:return, :value | :object}
          | {:pool, atom}
          | {:context, Python.Context.t() | pid | atom}
        ]
  @type stream_options :: [
          option
          | {:max_chunk, pos_integer}
          | {:max_wait, non_neg_integer}
          | {:prefetch, non_neg_integer}
        ]

  @type result :: {:ok, term} | {:error, Exception.t()}

  @doc group: "Calling"
  @doc """
  Calls a Python function. Returns `{:ok, value}` or `{:error, exception}`.

  See the module documentation for [targets and names](#module-calls) and the [options](#module-options).
  Raises `ArgumentError` if `args` is not a list or an option is invalid.

  ## Examples

      iex> Python.call(:math, :sqrt, [16])
      {:ok, 4.0}

      iex> Python.call(:json, :dumps, [%{"a" => 1}], kwargs: %{indent: 2})
      {:ok, ~s({\\n  "a": 1\\n})}

      iex> {:error, error} = Python.call(:math, :sqrt, [-1])
      iex> error.type
      "ValueError"
  """
  @spec call(target, name, [term], options) :: result
  def call(target, name, args \\ [], opts \\ []) do
    options = opts |> Options.call() |> Home.options(target)
    Request.run(Operation.call(target, name, args, options.kwargs), options)
  end

  @doc group: "Calling"
  @doc """
  Calls a Python function. Returns the value or raises the exception. See `call/4`.

  Python's frames are on top of the stacktrace, so IEx and `Logger` show where in Python it was raised.

  ## Examples

      iex> Python.call!("os.path", :join, ["a", "b"])
      "a/b"
  """
  @spec call!(target, name, [term], options) :: term
  def call!(target, name, args \\ [], opts \\ []), do: bang(call(target, name, args, opts))

  @doc group: "Calling"
  @doc """
  Evaluates one expression. Returns `{:ok, value}` or `{:error, exception}`.

  `vars` are variables for this expression only. A keyword list in their place is taken as `opts`. Takes the
  [options](#module-options) of `call/4` except `:kwargs`, and `:file` and `:line`. Raises `ArgumentError` if the code is
  not a string or an option is invalid.

  ## Examples

      iex> Python.eval("sum(range(10))")
      {:ok, 45}

      iex> Python.eval("[x * n for x in range(3)]", %{n: 10})
      {:ok, [0, 10, 20]}

      iex> {:error, %Python.TimeoutError{}} = Python.eval("[i for i in iter(int, 1)]", timeout: 50)

      iex> {:error, error} = Python.eval("1 / 0", file: "lib/rates.ex", line: 12)
      iex> hd(error.frames)
      %{file: "lib/rates.ex", line: 12, function: "<module>", code: "1 / 0"}
  """
  @spec eval(code, vars | options, options) :: result
  def eval(code, vars \\ %{}, opts \\ [])
  def eval(code, opts, []) when is_list(opts), do: eval(code, %{}, opts)

  def eval(code, vars, opts) do
    options = Options.call(opts, :code)
    Request.run(Operation.eval(code, vars, Options.place(options)), options)
  end

  @doc group: "Calling"
  @doc """
  Evaluates one expression. Returns the value or raises the exception. See `eval/3`.

  ## Examples

      iex> Python.eval!("2 ** 100")
      1267650600228229401496703205376
  """
  @spec eval!(code, vars | options, options) :: term
  def eval!(code, vars \\ %{}, opts \\ []), do: bang(eval(code, vars, opts))

  @doc group: "Calling"
  @doc """
  Executes statements in `__main__`. Returns `:ok` or `{:error, exception}`.

  Takes the [options](#module-options) `:timeout`, `:pool`, `:context`, `:keep_locals`, `:file` and `:line`. With
  `:context`, the statements run in the `__main__` of the context. Raises `ArgumentError` if the code is not a string or an
  option is invalid.

  ## Examples

      iex> Python.exec(\"""
      ...> import math
      ...> def area(r):
      ...>     return math.pi * r ** 2
      ...> \""")
      :ok
      iex> Python.call(:__main__, :area, [1])
      {:ok, 3.141592653589793}
  """
  @spec exec(code, options) :: :ok | {:error, Exception.t()}
  def exec(code, opts \\ []) do
    options = Options.call(opts, :exec)
    Request.run(Operation.exec(code, Options.place(options)), options)
  end

  @doc group: "Calling"
  @doc """
  Executes statements in `__main__`. Returns `:ok` or raises the exception. See `exec/2`.

  ## Examples

      iex> Python.exec!("answer = 42")
      :ok
  """
  @spec exec!(code, options) :: :ok
  def exec!(code, opts \\ []), do: bang(exec(code, opts))

  @doc group: "Asynchronous calls"
  @doc """
  Starts a call. Returns a `Python.Async` at once, for `await/2` or `cancel/1`.

  The call belongs to the calling process: when that process ends, the call is cancelled. Takes the options of `call/4`;
  `:timeout` applies whether or not a process waits for the call. Raises `Python.OverloadedError` or
  `Python.NotStartedError` if the call cannot be started.

  ## Examples

      iex> async = Python.call_async(:math, :factorial, [20])
      iex> Python.await(async)
      {:ok, 2432902008176640000}
  """
  @spec call_async(target, name, [term], options) :: Async.t()
  def call_async(target, name, args \\ [], opts \\ []) do
    options = opts |> Options.call() |> Home.options(target)
    submit(Operation.call(target, name, args, options.kwargs), options)
  end

  @doc group: "Asynchronous calls"
  @doc """
  Starts the evaluation of one expression. Returns a `Python.Async` at once, for `await/2` or `cancel/1`.

  `vars` and the options are those of `eval/3`; owner, timeout and exceptions are those of `call_async/4`.

  ## Examples

      iex> async = Python.eval_async("sum(x * x for x in xs)", %{xs: [1, 2, 3]})
      iex> Python.await(async)
      {:ok, 14}
  """
  @spec eval_async(code, vars | options, options) :: Async.t()
  def eval_async(code, vars \\ %{}, opts \\ [])
  def eval_async(code, opts, []) when is_list(opts), do: eval_async(code, %{}, opts)

  def eval_async(code, vars, opts) do
    options = Options.call(opts, :code)
    submit(Operation.eval(code, vars, Options.place(options)), options)
  end

  @doc group: "Asynchronous calls"
  @doc """
  Starts the execution of statements. Returns a `Python.Async` at once, for `await/2` or `cancel/1`.

  `await/2` returns `:ok` or `{:error, exception}`. The options are those of `exec/2`; owner, timeout and exceptions
  are those of `call_async/4`.

  ## Examples

      iex> async = Python.exec_async("started = True")
      iex> Python.await(async)
      :ok
      iex> Python.eval("started")
      {:ok, true}
  """
  @spec exec_async(code, options) :: Async.t()
  def exec_async(code, opts \\ []) do
    options = Options.call(opts, :exec)
    submit(Operation.exec(code, Options.place(options)), options)
  end

  defp submit(operation, options) do
    case Request.submit(operation, options) do
      {:ok, async} -> async
      {:error, error} -> raise error
    end
  end

  @doc group: "Asynchronous calls"
  @doc """
  Waits for a call that was started with `call_async/4`, `eval_async/3` or `exec_async/2`. Returns
  `{:ok, value}` (`:ok` for `exec_async/2`) or `{:error, exception}`.

  After `timeout` ms the call is cancelled and the result is a `Python.TimeoutError`. `timeout` is in ms or
  `:infinity`, and defaults to 30000.

  Raises `ArgumentError` if another process started the call, if it was awaited or cancelled before, or if `async` is
  not a `Python.Async`.

  ## Examples

      iex> async = Python.call_async(:time, :sleep, [10])
      iex> {:error, %Python.TimeoutError{}} = Python.await(async, 10)
  """
  @spec await(Async.t(), timeout) :: result | :ok
  def await(async, timeout \\ 30_000)

  def await(%Async{owner: owner} = async, timeout) when owner == self() do
    Arguments.async!(async)

    case Request.await(async, Options.timeout(timeout)) do
      :claimed ->
        raise ArgumentError,
              "expected a call that was not awaited or cancelled before, got: #{inspect(async)}. A call can be " <>
                "awaited once"

      answer ->
        answer
    end
  end

  def await(%Async{} = async, _timeout) do
    raise ArgumentError,
          "expected the owner to await #{inspect(async)}, got: #{inspect(self())}. Only the process that started a " <>
            "call can await it"
  end

  def await(other, _timeout), do: Arguments.async!(other)

  @doc group: "Asynchronous calls"
  @doc """
  Cancels a call that was started with `call_async/4`, `eval_async/3` or `exec_async/2`. Returns `:ok`.

  Any process may cancel it. If the owner is waiting, it gets a `Python.StoppedError`. If the call has already ended,
  its result is dropped. Raises `ArgumentError` if `async` is not a `Python.Async`.

  ## Examples

      iex> async = Python.call_async(:time, :sleep, [10])
      iex> Python.cancel(async)
      :ok
  """
  @spec cancel(Async.t()) :: :ok
  def cancel(async) do
    Arguments.async!(async)
    Request.cancel(async)
  end

  @doc group: "Calling"
  @doc """
  Calls a Python function once for each list of arguments, in a single request. Returns `{:ok, results}` or
  `{:error, exception}`.

  The results are in the order of the arguments. The first error ends it; a note in the error gives the index of the
  failed call. Takes the options of `call/4`: `:kwargs` are passed to every call, `:timeout` covers all of them together.

  ## Examples

      iex> Python.map(:math, :pow, [[2, 3], [3, 2]])
      {:ok, [8.0, 9.0]}
  """
  @spec map(target, name, [[term]], options) :: {:ok, [term]} | {:error, Exception.t()}
  def map(target, name, list_of_args, opts \\ []) do
    options = opts |> Options.call() |> Home.options(target)
    Request.run(Operation.map(target, name, list_of_args, options.kwargs), options)
  end

  @doc group: "Streams"
  @doc """
  Returns a lazy stream of the items of the iterable that a call returns.

  Nothing runs until the stream is enumerated. Items are fetched in chunks, on demand; a slow item is delivered as soon
  as it is made. When the enumeration ends, for any reason, a generator is closed and its `finally` blocks run. An
  exception is raised in the consumer, after the items before it. Asynchronous generators, and other objects with
  `__aiter__`, are run by an event loop.

  A stream holds a worker only while it makes a chunk: thousands can be open at once.

  ## Options

  Those of `call/4`, where `:timeout` applies to each chunk, and:

  #{Python.Options.docs(:stream)}

  ## Examples

      iex> Python.stream(:itertools, :count, [10, 5]) |> Enum.take(3)
      [10, 15, 20]
  """
  @spec stream(target, name, [term], stream_options) :: Enumerable.t()
  def stream(target, name, args \\ [], opts \\ []) do
    options = opts |> Options.call(:stream) |> Home.options(target)
    Python.Stream.new(Operation.call(target, name, args, options.kwargs), options)
  end

  @doc group: "Streams"
  @doc """
  Returns a lazy stream of the items of the iterable that an expression returns. See `stream/4` and `eval/3`.

  ## Examples

      iex> Python.stream_eval("(x * x for x in range(n))", %{n: 4}) |> Enum.to_list()
      [0, 1, 4, 9]
  """
  @spec stream_eval(code, vars | stream_options, stream_options) :: Enumerable.t()
  def stream_eval(code, vars \\ %{}, opts \\ [])
  def stream_eval(code, opts, []) when is_list(opts), do: stream_eval(code, %{}, opts)

  def stream_eval(code, vars, opts) do
    options = Options.call(opts, :stream_code)
    Python.Stream.new(Operation.eval(code, vars, Options.place(options)), options)
  end

  ## Objects

  @doc group: "Objects"
  @doc """
  Imports a module. Returns `{:ok, object}` or `{:error, exception}`.

  Calls import their module themselves. An imported module is an object like any other.

  ## Examples

      iex> {:ok, json} = Python.import(:json)
      iex> Python.call(json, :dumps, [[1, 2]])
      {:ok, "[1, 2]"}
  """
  @spec import(atom | String.t(), object_options) :: {:ok, Object.t()} | {:error, Exception.t()}
  def import(name, opts \\ []) do
    options = %{Options.call(opts, :object) | return: :object}

    Request.run(
      Operation.call(:importlib, :import_module, [Operation.module(name)], %{}),
      options
    )
  end

  @doc group: "Objects"
  @doc """
  Imports a module. Returns the object or raises the exception.

  ## Examples

      iex> Python.getattr!(Python.import!(:math), :pi)
      3.141592653589793
  """
  @spec import!(atom | String.t(), object_options) :: Object.t()
  def import!(name, opts \\ []), do: bang(__MODULE__.import(name, opts))

  @doc group: "Objects"
  @doc """
  Reads an attribute of an object. Returns `{:ok, value}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, complex} = Python.eval("3 + 4j")
      iex> Python.getattr(complex, :imag)
      {:ok, 4.0}
  """
  @spec getattr(Object.t(), name, value_options) :: result
  defdelegate getattr(object, name, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Reads an attribute of an object. Returns the value or raises the exception.

  ## Examples

      iex> Python.getattr!(Python.eval!("3 + 4j"), :real)
      3.0
  """
  @spec getattr!(Object.t(), name, value_options) :: term
  def getattr!(object, name, opts \\ []), do: bang(getattr(object, name, opts))

  @doc group: "Objects"
  @doc """
  Sets an attribute of an object. Returns `:ok` or `{:error, exception}`.

  ## Examples

      iex> {:ok, object} = Python.call(:types, :SimpleNamespace, [], return: :object)
      iex> Python.setattr(object, :colour, "red")
      :ok
      iex> Python.getattr(object, :colour)
      {:ok, "red"}
  """
  @spec setattr(Object.t(), name, term, object_options) :: :ok | {:error, Exception.t()}
  defdelegate setattr(object, name, value, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Sets an attribute of an object. Returns `:ok` or raises the exception.

  ## Examples

      iex> object = Python.call!(:types, :SimpleNamespace)
      iex> Python.setattr!(object, :colour, "red")
      :ok
  """
  @spec setattr!(Object.t(), name, term, object_options) :: :ok
  def setattr!(object, name, value, opts \\ []), do: bang(setattr(object, name, value, opts))

  @doc group: "Objects"
  @doc """
  Reads an item of an object, `object[key]`. Returns `{:ok, value}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, list} = Python.to_object(["a", "b"])
      iex> Python.getitem(list, -1)
      {:ok, "b"}
      iex> {:error, error} = Python.getitem(list, 2)
      iex> error.type
      "IndexError"
  """
  @spec getitem(Object.t(), term, value_options) :: result
  defdelegate getitem(object, key, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Reads an item of an object, `object[key]`. Returns the value or raises the exception.

  ## Examples

      iex> Python.getitem!(Python.to_object!(["a", "b"]), -1)
      "b"
  """
  @spec getitem!(Object.t(), term, value_options) :: term
  def getitem!(object, key, opts \\ []), do: bang(getitem(object, key, opts))

  @doc group: "Objects"
  @doc """
  Sets an item of an object, `object[key] = value`. Returns `:ok` or `{:error, exception}`.

  ## Examples

      iex> {:ok, dict} = Python.to_object(%{})
      iex> Python.setitem(dict, "a", 1)
      :ok
      iex> Python.to_term(dict)
      {:ok, %{"a" => 1}}
  """
  @spec setitem(Object.t(), term, term, object_options) :: :ok | {:error, Exception.t()}
  defdelegate setitem(object, key, value, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Sets an item of an object, `object[key] = value`. Returns `:ok` or raises the exception.

  ## Examples

      iex> list = Python.to_object!(["a", "b"])
      iex> Python.setitem!(list, 0, "c")
      :ok
      iex> Python.to_term!(list)
      ["c", "b"]
  """
  @spec setitem!(Object.t(), term, term, object_options) :: :ok
  def setitem!(object, key, value, opts \\ []), do: bang(setitem(object, key, value, opts))

  @doc group: "Objects"
  @doc """
  Asks for the length of an object, `len(object)`. Returns `{:ok, integer}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, range} = Python.to_object(1..10)
      iex> Python.len(range)
      {:ok, 10}
  """
  @spec len(Object.t(), object_options) :: {:ok, non_neg_integer} | {:error, Exception.t()}
  defdelegate len(object, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Asks for the length of an object, `len(object)`. Returns the integer or raises the exception.

  ## Examples

      iex> Python.len!(Python.to_object!(%{"a" => 1}))
      1
  """
  @spec len!(Object.t(), object_options) :: non_neg_integer
  def len!(object, opts \\ []), do: bang(len(object, opts))

  @doc group: "Objects"
  @doc """
  Converts an object to text, `str(object)`. Returns `{:ok, string}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, path} = Python.call(:pathlib, :PurePosixPath, ["a", "b"])
      iex> Python.str(path)
      {:ok, "a/b"}
  """
  @spec str(Object.t(), object_options) :: {:ok, String.t()} | {:error, Exception.t()}
  defdelegate str(object, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Converts an object to text, `str(object)`. Returns the string or raises the exception.

  ## Examples

      iex> Python.str!(Python.eval!("3 + 4j"))
      "(3+4j)"
  """
  @spec str!(Object.t(), object_options) :: String.t()
  def str!(object, opts \\ []), do: bang(str(object, opts))

  @doc group: "Objects"
  @doc """
  Asks for the representation of an object, `repr(object)`. Returns `{:ok, string}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, object} = Python.to_object("it's")
      iex> Python.repr(object)
      {:ok, ~s("it's")}
  """
  @spec repr(Object.t(), object_options) :: {:ok, String.t()} | {:error, Exception.t()}
  defdelegate repr(object, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Asks for the representation of an object, `repr(object)`. Returns the string or raises the exception.

  ## Examples

      iex> Python.repr!(Python.to_object!(["a", nil]))
      "['a', None]"
  """
  @spec repr!(Object.t(), object_options) :: String.t()
  def repr!(object, opts \\ []), do: bang(repr(object, opts))

  @doc group: "Objects"
  @doc """
  Returns the name of the class of an object, with its module unless that is `builtins`.

  Raises the exception if Python cannot be asked.

  ## Examples

      iex> Python.type(Python.call!(:collections, :Counter, [], return: :object))
      "collections.Counter"
      iex> Python.type(Python.to_object!([1]))
      "list"
  """
  @spec type(Object.t(), object_options) :: String.t()
  defdelegate type(object, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Returns whether an object can be called. Raises the exception if Python cannot be asked.

  ## Examples

      iex> Python.callable?(Python.getattr!(Python.import!(:math), :sqrt))
      true
  """
  @spec callable?(Object.t(), object_options) :: boolean
  defdelegate callable?(object, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  Calls an object. Returns `{:ok, value}` or `{:error, exception}`. Takes the options of `call/4`.

  ## Examples

      iex> {:ok, add} = Python.eval("lambda a, b=1: a + b")
      iex> Python.apply(add, [2], kwargs: %{b: 3})
      {:ok, 5}
  """
  @spec apply(Object.t(), [term], options) :: result
  def apply(callable, args, opts \\ []) do
    options = opts |> Options.call() |> Home.options(callable)
    Request.run(Operation.apply(callable, args, options.kwargs), options)
  end

  @doc group: "Objects"
  @doc """
  Calls an object. Returns the value or raises the exception. Takes the options of `call/4`.

  ## Examples

      iex> Python.apply!(Python.eval!("lambda a, b: a * b"), [6, 7])
      42
  """
  @spec apply!(Object.t(), [term], options) :: term
  def apply!(callable, args, opts \\ []), do: bang(__MODULE__.apply(callable, args, opts))

  @doc group: "Objects"
  @doc """
  Converts an object to a term. Returns `{:ok, value}` or `{:error, exception}`.

  Objects without a counterpart in Elixir remain a `Python.Object`.

  ## Examples

      iex> {:ok, counter} = Python.call(:collections, :Counter, ["aab"], return: :object)
      iex> Python.to_term(counter)
      {:ok, %{"a" => 2, "b" => 1}}
  """
  @spec to_term(Object.t(), object_options) :: result
  def to_term(object, opts \\ []) do
    Arguments.handle!(object)
    options = opts |> Options.call(:object) |> Home.options(object)
    Request.run(Operation.convert(object), options)
  end

  @doc group: "Objects"
  @doc """
  Converts an object to a term. Returns the value or raises the exception.

  ## Examples

      iex> Python.to_term!(Python.eval!("[1, 2]", return: :object))
      [1, 2]
  """
  @spec to_term!(Object.t(), object_options) :: term
  def to_term!(object, opts \\ []), do: bang(to_term(object, opts))

  @doc group: "Objects"
  @doc """
  Makes a copy of an object of another node, by `pickle`. Returns `{:ok, object}` or `{:error, exception}`.

  The copy is made in the pool or context that the options name, else in the pool of the application. The classes of
  what is copied have to be importable here too. A handle of this node is returned as it is. See the guide
  [Nodes](nodes.md).

  ## Examples

      iex> {:ok, counter} = Python.call(:collections, :Counter, ["aab"], return: :object)
      iex> Python.fetch(counter) == {:ok, counter}
      true
  """
  @spec fetch(Object.t(), object_options) :: {:ok, Object.t()} | {:error, Exception.t()}
  def fetch(object, opts \\ []) do
    Arguments.handle!(object)
    options = Options.call(opts, :object)

    case Home.options(options, object) do
      %{pool: {:home, _home, _node}} -> Python.Remote.fetch(object, options)
      _ -> {:ok, object}
    end
  end

  @doc group: "Objects"
  @doc """
  Makes a copy of an object of another node. Returns the object or raises the exception. See `fetch/2`.

  ## Examples

      iex> counter = Python.call!(:collections, :Counter, ["aab"], return: :object)
      iex> Python.fetch!(counter) == counter
      true
  """
  @spec fetch!(Object.t(), object_options) :: Object.t()
  def fetch!(object, opts \\ []), do: bang(fetch(object, opts))

  @doc group: "Objects"
  @doc """
  Converts a term and keeps it in Python. Returns `{:ok, object}` or `{:error, exception}`.

  Use it for a value that many calls need: it is converted only once.

  ## Examples

      iex> {:ok, numbers} = Python.to_object(Enum.to_list(1..1000))
      iex> {Python.call(:builtins, :sum, [numbers]), Python.call(:builtins, :max, [numbers])}
      {{:ok, 500500}, {:ok, 1000}}
  """
  @spec to_object(term, object_options) :: {:ok, Object.t()} | {:error, Exception.t()}
  def to_object(term, opts \\ []) do
    Request.run(Operation.convert(term), %{Options.call(opts, :object) | return: :object})
  end

  @doc group: "Objects"
  @doc """
  Converts a term and keeps it in Python. Returns the object or raises the exception.

  ## Examples

      iex> Python.to_object!(%{"a" => [1, nil]})
      #Python.Object<<class 'dict'> {'a': [1, None]}>
  """
  @spec to_object!(term, object_options) :: Object.t()
  def to_object!(term, opts \\ []), do: bang(to_object(term, opts))

  @doc group: "Objects"
  @doc """
  Wraps a binary that Python sees as a read-only `memoryview`, without copying its bytes. Returns a `Python.Buffer`.

  Pass it as an argument. The binary lives as long as Python uses it. Raises `ArgumentError` if it is not a binary or
  the option is invalid.

  > #### Some libraries write to read-only memory {: .warning}
  >
  > A binary must never change: other processes, literals and sub-binaries may share its bytes. Most libraries
  > respect that the `memoryview` is read-only. Some do not: a tensor of `torch.frombuffer` writes into
  > the binary. Pass a copy to such a library, with `copy: true`.

  ## Options

    * `:copy` - if `true`, Python gets a writable copy, a new one for each argument. Defaults to `false`.

  ## Examples

      iex> data = :binary.copy("abc", 1_000_000)
      iex> Python.call(:zlib, :crc32, [Python.buffer(data)]) == {:ok, :erlang.crc32(data)}
      true

      iex> Python.eval!("x.readonly", %{x: Python.buffer("abc", copy: true)})
      false
  """
  @spec buffer(binary, copy: boolean) :: Python.Buffer.t()
  def buffer(binary, opts \\ [])

  def buffer(binary, opts) when is_binary(binary),
    do: %Python.Buffer{data: binary, copy: Options.buffer(opts)}

  def buffer(other, _opts) do
    raise ArgumentError, "expected a binary for a buffer, got: #{Arguments.short(other)}"
  end

  @doc group: "Streams"
  @doc """
  Wraps an enumerable that Python sees as an iterator. Returns a `Python.Iterator`.

  Pass it as an argument. A separate process enumerates it, in chunks, as Python asks for items. An exception of the
  enumerable is raised in Python as an `erlang.Error`, after the items before it. An iterator can be consumed once. It
  needs the process that made it: when that has ended, Python has an `erlang.Error` instead of further items.

  Raises `ArgumentError` if it cannot be enumerated, and `Python.NotStartedError` if there is no interpreter.

  ## Examples

      iex> Python.call(:builtins, :sum, [Python.iterator(Stream.map(1..1000, &(&1 * 2)))])
      {:ok, 1001000}

      iex> Python.eval("[next(it), next(it)]", %{it: Python.iterator(Stream.iterate(1, &(&1 * 3)))})
      {:ok, [1, 3]}
  """
  @spec iterator(Enumerable.t()) :: Python.Iterator.t()
  def iterator(enumerable), do: Python.Iterator.new(enumerable)

  @doc group: "Objects"
  @doc """
  Runs `fun` inside a context manager, like Python's `with`. Returns the result of `fun`.

  `fun` gets the value of `__enter__`. An exception of `fun` reaches `__exit__` as an `erlang.Error` and is then raised
  here; if the manager suppresses it, the result is `nil`. Exceptions of Python are raised too.

  One worker enters the manager, runs the Python calls of `fun`, and leaves the manager: on one thread, with one set of
  context variables. So managers that change thread-local state or context variables work, and other calls do not see
  the change. This applies to calls in `fun` without `:pool` and `:context`, or with the same one. Other processes, such
  as tasks that `fun` starts, use other workers. In a `Python.Context`, the calls of other processes wait until `fun` is
  done.

  Where `fun` runs:

    * without `:timeout`, or with `:infinity`, in the calling process: `self()`, the mailbox and the process dictionary
      are the caller's;
    * with `:timeout`, in a new process, because Elixir code can only be stopped with its process. Like a task, it has the
      caller's group leader and Logger metadata, and the caller first in `$callers`. `fun` and its result are copied. Its
      exceptions, throws and exits arrive here. It ends with the caller.

  If the caller dies, entering is interrupted; a manager that was entered is left. An `__exit__` that takes longer than
  a second after that is interrupted.

  ## Options

    * `:timeout` - the time for all of it, in ms, or `:infinity`. After it, `fun` is killed, `__exit__` is called with an
      `erlang.Error`, and then a `Python.TimeoutError` is raised. An `__exit__` that takes longer than 50 ms is left to
      finish in the background; it is interrupted after a second.

      Defaults to the timeout of the pool or context, which ends everything except `fun`: `fun` continues in its process, its
      further Python calls fail with a `Python.TimeoutError`, and when it ends, that error is raised.
    * `:pool` and `:context` - where to run. Default to the home of the manager.

  ## Examples

      iex> {:ok, file} = Python.call(:io, :StringIO, ["one two"], return: :object)
      iex> Python.with(file, fn file -> Python.call!(file, :read) end)
      "one two"
      iex> Python.getattr(file, :closed)
      {:ok, true}

      iex> {:ok, context} = Python.call(:decimal, :localcontext, [])
      iex> Python.with(context, fn context ->
      ...>   Python.setattr!(context, :prec, 4)
      ...>   Python.eval!("str(__import__('decimal').Decimal(1) / 3)")
      ...> end)
      "0.3333"
  """
  @spec with(Object.t(), (term -> result), object_options) :: result when result: term
  defdelegate with(object, fun, opts \\ []), to: Object

  ## Callbacks

  @doc group: "Callbacks"
  @doc """
  Registers a function under a name, as `erlang.name` in Python. Returns `:ok`.

  `function` is a function, `{module, function}`, or a description from `function/2`. In Python, `erlang.name(...)`,
  `erlang.call("name", ...)` and `from erlang import name` use it.

  A function of arity n takes n arguments. Keyword arguments are one more argument, a map with string keys, the last.
  The function runs in a new process, and Python gets its result. Its exceptions are an `erlang.Error` in Python.

  Registering a name again replaces the function. Names of the module `erlang` itself cannot be registered. To pass a
  function as an argument, you need not register it: functions are callables in Python.

  Raises `ArgumentError` if the name or the function is invalid or the name is taken, and `Python.NotStartedError` if the
  application is not running.

  ## Examples

      iex> Python.register(:add, fn a, b -> a + b end)
      :ok
      iex> Python.eval("__import__('erlang').add(1, 2)")
      {:ok, 3}
      iex> Python.eval("sorted(words, key=f)", %{words: ["ccc", "a", "bb"], f: &String.length/1})
      {:ok, ["a", "bb", "ccc"]}
  """
  @spec register(atom | String.t(), fun | {module, atom} | Python.Function.t()) :: :ok
  def register(name, function) do
    Python.Callback.register(callback_name(name), callback_function(function), false)
  end

  @doc group: "Callbacks"
  @doc """
  Removes a registered function. Returns `:ok`, even if there was none.

  ## Examples

      iex> Python.unregister(:no_longer)
      :ok
  """
  @spec unregister(atom | String.t()) :: :ok
  def unregister(name), do: Python.Callback.unregister(callback_name(name))

  defp callback_name(name) when is_atom(name) and name not in [nil, true, false],
    do: name |> Atom.to_string() |> callback_name()

  defp callback_name(name) do
    if is_binary(name) and name != "" and String.valid?(name) do
      name
    else
      raise ArgumentError,
            "expected the name of a function, an atom or a non-empty string, got: #{inspect(name)}"
    end
  end

  defp callback_function(function) when is_function(function), do: function
  defp callback_function(%Python.Function{} = function), do: function

  defp callback_function({module, function}) when is_atom(module) and is_atom(function),
    do: {module, function}

  defp callback_function(other) do
    raise ArgumentError,
          "expected a function, {module, function} or the result of Python.function/2, got: #{inspect(other)}"
  end

  @doc group: "Callbacks"
  @doc """
  Describes a function for Python: its name, its parameters with their types, and its documentation. Returns
  a `Python.Function`.

  Pass it as an argument, at any depth, or register it. Every Elixir function is a callable in Python, with a name and a
  signature by its arity. A described one can also be called with keyword arguments, and frameworks that build schemas
  from signatures (FastAPI, pydantic, LangChain, DuckDB) find its types.

  Raises `ArgumentError` if it is not a function or an option is invalid. A type that Python cannot resolve is a
  `TypeError` of the call.

  ## Options

    * `:name` - its name in Python. Defaults to the name of the function; an anonymous function gets that of the
      function that contains it.
    * `:args` - its parameters, as many as the function has: a keyword list of names and types. A type is one of these;
      `{type, default}` gives the last parameters defaults.
        * an expression of builtins and `typing`: `"int"`, `"list[float]"`, `"Optional[int]"`;
        * another type with its module: `"decimal.Decimal"`;
        * a `%Python.Object{}`, the type itself;
        * `nil`, for no type.

      Defaults to `arg1`, `arg2`, …, by position only.
    * `:returns` - the type of its result. Defaults to none.
    * `:doc` - its documentation, a string. Defaults to none.

  ## Examples

      iex> repeat =
      ...>   Python.function(&String.duplicate/2,
      ...>     name: "repeat",
      ...>     args: [text: "str", times: {"int", 2}],
      ...>     returns: "str",
      ...>     doc: "Repeats a text."
      ...>   )
      iex> Python.eval!("(f.__name__, str(inspect.signature(f)))", %{f: repeat, inspect: Python.import!(:inspect)})
      {"repeat", "(text: str, times: int = 2) -> str"}
      iex> Python.eval!("(f('a'), f(times=3, text='b'))", %{f: repeat})
      {"aa", "bbb"}
  """
  @spec function(fun, keyword) :: Python.Function.t()
  def function(fun, opts \\ []), do: Python.Function.new(fun, opts)

  @doc group: "Asynchronous calls"
  @doc """
  Sends a message to running Python code: to a context, or to a call that was started with
  `call_async/4`, `eval_async/3` or `exec_async/2`. Returns `:ok`.

  The code receives it with `erlang.receive(timeout=seconds)`. A context keeps unread messages for its later calls.

  ## Examples

      iex> {:ok, context} = Python.Context.start_link(init: "import erlang")
      iex> Python.send(context, %{"n" => 1})
      :ok
      iex> Python.eval("erlang.receive(timeout=5)", context: context)
      {:ok, %{"n" => 1}}
  """
  @spec send(Python.Context.t() | pid | atom | Async.t(), term) :: :ok
  def send(%Async{} = async, message) do
    Arguments.async!(async)
    Request.send(async, Python.Struct.encode(message))
  end

  def send(context, message), do: Python.Context.send(context, Python.Struct.encode(message))

  @doc group: "Packages"
  @doc """
  Installs packages from scripts and notebooks. Returns `{:ok, installed}` or `{:error, exception}`.

  It is given a list of requirements, or the options of the setting `python`:

      Python.install(["numpy~=2.1", "pandas"])
      Python.install(version: "3.13", requirements: "requirements.txt")

  Before Python starts, for which the setting `start: :lazy` waits, it makes an environment, or reuses the one that was
  made for the same. Python then starts with it. Further calls add to what is asked for. With the setting `python`, it
  makes that environment, and adds packages to it.

  When Python runs, the packages are added to it, for this VM only: no environment and no Python of the system is changed.
  They can be imported at once, also by the processes of the engine `:process` that have the same Python. A package that
  has been imported cannot be replaced: that is a `Python.InstallError`.

  `installed` is a map:

  | key | value |
  |---|---|
  | `:python` | the version of Python |
  | `:folder` | where the packages are, or `nil` if there was nothing to do |
  | `:packages` | a list of `{name, version}`: those of the environment, or those that were added |

  The errors are a `Python.InstallError` with the text of uv and a remedy, or a `Python.NotStartedError`. Invalid options raise an
  `ArgumentError`. The guide [Packages](packages.md) has more.

  ## Options

  #{Python.Environment.Spec.docs()}
    * `:quiet` - whether to print no progress. Defaults to `false`.
    * `:pool` - whether the environment is one for pools of the engine `:process` that have the same options as their
      option `:python`. Nothing is added to the VM's Python then. Defaults to `false`.

  ## Examples

      iex> {:ok, installed} = Python.install([])
      iex> installed.packages
      []
  """
  @spec install([String.t()] | keyword, keyword) :: result
  def install(packages_or_options, opts \\ []) do
    {spec, quiet} = OnDemand.spec!(packages_or_options, opts)
    OnDemand.run(spec, quiet)
  end

  @doc group: "Packages"
  @doc """
  Installs packages. Returns what was installed, or raises the exception. See `install/2`.

  ## Examples

      iex> Python.install!([]).packages
      []
  """
  @spec install!([String.t()] | keyword, keyword) :: map
  def install!(packages_or_options, opts \\ []), do: bang(install(packages_or_options, opts))

  @doc group: "Information"
  @doc """
  Returns a map with information about the interpreter: that of the VM, or with the setting `engine: :process` the one
  that the Python processes of the default pool are started with.

  | key | value |
  |---|---|
  | `:python_version` | such as `"3.11.7"` |
  | `:executable`, `:prefix`, `:base_prefix` | paths |
  | `:libpython` | the path of the library that the VM has loaded, or `nil` |
  | `:venv` | the folder of the virtual environment, or `nil` |
  | `:free_threaded` | whether it is a free-threaded build |
  | `:nif_version` | the version of the native library |
  | `:pools` | the names of the running pools |
  | `:finalizers` | `:waiting`, the number of objects without handles that are not released yet, and `:blocked` |
  | `:stuck`, `:stuck_at` | as in `Python.Pool.stats/1`, for all pools; each call has its `:pool` |

  `:blocked` is a list of the finalizers (`__del__` methods) that block. Each is a map with the `:class` of the object,
  the `:file`, `:line` and `:function` of the finalizer (`nil` in C code), and the time in `:ms`.

  Raises `Python.NotStartedError` if there is no interpreter.

  ## Examples

      iex> Python.info().free_threaded
      false
  """
  @spec info() :: map
  def info do
    case Runtime.interpreter() do
      {:ok, interpreter} ->
        stuck = Python.Stuck.all()

        %{
          python_version: interpreter.version_string,
          executable: interpreter.executable,
          libpython: interpreter.libpython,
          prefix: interpreter.prefix,
          base_prefix: interpreter.base_prefix,
          venv: interpreter.venv,
          free_threaded: interpreter.free_threaded,
          nif_version: Runtime.native_version(),
          pools: Python.Pool.names(),
          finalizers: Python.Finalizers.info(),
          stuck: length(stuck),
          stuck_at: stuck
        }

      {:error, error} ->
        raise error
    end
  end

  defp bang({:ok, value}), do: value
  defp bang(:ok), do: :ok
  defp bang({:error, error}), do: Python.Error.raise!(error)
end
