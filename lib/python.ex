defmodule Python do
  @moduledoc """
  Python, called from Elixir as if it were a local module.

      iex> Python.call(:math, :sqrt, [16])
      {:ok, 4.0}

      iex> Python.eval("sum(x * x for x in xs)", %{xs: [1, 2, 3]})
      {:ok, 14}

      iex> Python.exec("def double(x): return x * 2")
      :ok
      iex> Python.call!(:__main__, :double, [21])
      42

  The interpreter runs in the VM itself. Calls run on the workers of a pool, never on the
  schedulers that run Elixir code. All processes share one interpreter: what one imports or
  defines, the others see.

  ## Calls

  `call/4`, `eval/3` and `exec/2` return `{:ok, value}` (or `:ok`) or `{:error, exception}`; the
  forms with `!` return the value or raise the exception.

  A call's `target` is a module's name (an atom or a string, with dots if need be: `"os.path"`) or
  a `Python.Object`, whose method is then called. Its `name` is an atom or a string; dots in it
  walk attributes (`"path.join"`).

  Code runs in Python's `__main__`. What `exec/2` defines there is seen by every later call, from
  every process.

  ## Options

  #{Python.Options.docs(:call)}

  The functions on objects, such as `getattr/3` and `len/2`, take `:timeout`, `:pool` and `:context`, and
  those that give a value of an object `:return`. They run where the object is at home if no option says
  otherwise.

  A call with an option that makes no sense raises `ArgumentError`.

  ## Errors

    * `Python.Error` - Python raised an exception;
    * `Python.TimeoutError` - it took too long;
    * `Python.EncodeError`, `Python.DecodeError` - a value that cannot cross;
    * `Python.OverloadedError` - too many calls wait already;
    * `Python.StoppedError` - the pool was stopped meanwhile;
    * `Python.NotStartedError` - there is no interpreter; says what to do.
  """

  import Kernel, except: [apply: 3, send: 2]

  alias Python.{Arguments, Async, Home, Object, Operation, Options, Request, Runtime}

  @typedoc "A module's name or an object."
  @type target :: atom | String.t() | Object.t()

  @typedoc "The name of a function or method."
  @type name :: atom | String.t()

  @typedoc "Code, and the names that it may use."
  @type code :: String.t()
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

  The module documentation says what a target and a name may be, and has the
  [options](#module-options). Raises `ArgumentError` for arguments that are no list and for options that
  make no sense.

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

  The frames of Python are in the stacktrace, so that IEx and `Logger` show where it happened.

  ## Examples

      iex> Python.call!("os.path", :join, ["a", "b"])
      "a/b"
  """
  @spec call!(target, name, [term], options) :: term
  def call!(target, name, args \\ [], opts \\ []), do: bang(call(target, name, args, opts))

  @doc group: "Calling"
  @doc """
  Evaluates one expression. Returns `{:ok, value}` or `{:error, exception}`.

  `vars` are names for the expression. They are seen everywhere in it and nowhere else. A keyword
  list in their place is taken as `opts`. The [options](#module-options) are those of `call/4` without
  `:kwargs`, and `:file` and `:line`. Raises `ArgumentError` for options that make no sense and for code that is no string.

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

  The [options](#module-options) are `:timeout`, `:pool`, `:context`, `:file` and `:line`; in a context the statements run in
  its own `__main__`. Raises `ArgumentError` for options that make no sense and for code that is no string.

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

  @doc group: "Calls that run meanwhile"
  @doc """
  Starts a call. Returns a `Python.Async` at once, for `await/2` or `cancel/1`.

  It belongs to the calling process: when that ends, the work is cancelled. Takes the options of
  `call/4`; `:timeout` limits the work, whether anybody waits for it or not. Raises if the call
  cannot be started (`Python.OverloadedError`, `Python.NotStartedError`).

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

  @doc group: "Calls that run meanwhile"
  @doc """
  Starts the evaluation of one expression. Returns a `Python.Async` at once, for `await/2` or `cancel/1`.

  `vars` and the options are those of `eval/3`; owner, timeout and what it raises are those of `call_async/4`.

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

  @doc group: "Calls that run meanwhile"
  @doc """
  Starts the execution of statements. Returns a `Python.Async` at once, for `await/2` or `cancel/1`.

  `await/2` returns `:ok` for it, or `{:error, exception}`. The options are those of `exec/2`; owner, timeout and
  what it raises are those of `call_async/4`.

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

  @doc group: "Calls that run meanwhile"
  @doc """
  Waits for a call that was started with `call_async/4`, `eval_async/3` or `exec_async/2`. Returns
  `{:ok, value}` (`:ok` for `exec_async/2`) or `{:error, exception}`.

  After `timeout` ms the work is cancelled and the result is a `Python.TimeoutError`. Raises
  `ArgumentError` in another process than the one that started the call, the second time, and for what is no
  `Python.Async`.

  ## Examples

      iex> async = Python.call_async(:time, :sleep, [10])
      iex> {:error, %Python.TimeoutError{}} = Python.await(async, 10)
  """
  @spec await(Async.t(), timeout) :: result | :ok
  def await(async, timeout \\ 30_000)

  def await(%Async{owner: owner} = async, timeout) when owner == self() do
    Arguments.async!(async, "be waited for")

    case Request.await(async, Options.timeout(timeout)) do
      :claimed ->
        raise ArgumentError, "#{inspect(async)} was waited for before, or cancelled"

      answer ->
        answer
    end
  end

  def await(%Async{} = async, _timeout) do
    raise ArgumentError,
          "#{inspect(async)} can only be waited for by its owner, not by #{inspect(self())}"
  end

  def await(other, _timeout), do: Arguments.async!(other, "be waited for")

  @doc group: "Calls that run meanwhile"
  @doc """
  Cancels a call that was started with `call_async/4`, `eval_async/3` or `exec_async/2`. Returns `:ok`.

  Its answer is dropped if there is one already. Any process may cancel it; the owner, if it waits, gets a
  `Python.StoppedError` then. Raises `ArgumentError` for what is no `Python.Async`.

  ## Examples

      iex> async = Python.call_async(:time, :sleep, [10])
      iex> Python.cancel(async)
      :ok
  """
  @spec cancel(Async.t()) :: :ok
  def cancel(async) do
    Arguments.async!(async, "be cancelled")
    Request.cancel(async)
  end

  @doc group: "Calling"
  @doc """
  Calls a Python function once for each list of arguments, in one crossing. Returns `{:ok, results}` or
  `{:error, exception}`.

  The results are in the order of the arguments. The first error ends it, with a note that says which
  call it was. Takes the options of `call/4`; `:kwargs` go to every call, `:timeout` is for
  all of them together.

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
  Returns a lazy stream of the items of the iterable that a call gives.

  Nothing runs before the stream is enumerated. The items come in chunks, as the consumer asks for
  them; an item that takes long to make is delivered as soon as it is there. When the enumeration
  ends, however it does, a generator is closed, so that its `finally` blocks run. An exception is
  raised in the consumer after the items before it. Asynchronous generators, and whatever has
  `__aiter__`, are driven by an event loop.

  While no chunk is made, a stream holds no worker: thousands may be open at once.

  ## Options

  Those of `call/4`, with `:timeout` for each chunk, and:

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
  Returns a lazy stream of the items of the iterable that an expression gives. See `stream/4` and `eval/3`.

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

  Calls import the modules they name by themselves; an imported module is an object like others.

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
  An attribute of an object. Returns `{:ok, value}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, complex} = Python.eval("3 + 4j")
      iex> Python.getattr(complex, :imag)
      {:ok, 4.0}
  """
  @spec getattr(Object.t(), name, value_options) :: result
  defdelegate getattr(object, name, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  An attribute of an object. Returns the value or raises the exception.

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
  An item of an object, `object[key]`. Returns `{:ok, value}` or `{:error, exception}`.

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
  An item of an object, `object[key]`. Returns the value or raises the exception.

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
  The length of an object. Returns `{:ok, integer}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, range} = Python.to_object(1..10)
      iex> Python.len(range)
      {:ok, 10}
  """
  @spec len(Object.t(), object_options) :: {:ok, non_neg_integer} | {:error, Exception.t()}
  defdelegate len(object, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  The length of an object. Returns the integer or raises the exception.

  ## Examples

      iex> Python.len!(Python.to_object!(%{"a" => 1}))
      1
  """
  @spec len!(Object.t(), object_options) :: non_neg_integer
  def len!(object, opts \\ []), do: bang(len(object, opts))

  @doc group: "Objects"
  @doc """
  The text of an object, `str(object)`. Returns `{:ok, string}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, path} = Python.call(:pathlib, :PurePosixPath, ["a", "b"])
      iex> Python.str(path)
      {:ok, "a/b"}
  """
  @spec str(Object.t(), object_options) :: {:ok, String.t()} | {:error, Exception.t()}
  defdelegate str(object, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  The text of an object, `str(object)`. Returns the string or raises the exception.

  ## Examples

      iex> Python.str!(Python.eval!("3 + 4j"))
      "(3+4j)"
  """
  @spec str!(Object.t(), object_options) :: String.t()
  def str!(object, opts \\ []), do: bang(str(object, opts))

  @doc group: "Objects"
  @doc """
  The representation of an object, `repr(object)`. Returns `{:ok, string}` or `{:error, exception}`.

  ## Examples

      iex> {:ok, object} = Python.to_object("it's")
      iex> Python.repr(object)
      {:ok, ~s("it's")}
  """
  @spec repr(Object.t(), object_options) :: {:ok, String.t()} | {:error, Exception.t()}
  defdelegate repr(object, opts \\ []), to: Object

  @doc group: "Objects"
  @doc """
  The representation of an object, `repr(object)`. Returns the string or raises the exception.

  ## Examples

      iex> Python.repr!(Python.to_object!(["a", nil]))
      "['a', None]"
  """
  @spec repr!(Object.t(), object_options) :: String.t()
  def repr!(object, opts \\ []), do: bang(repr(object, opts))

  @doc group: "Objects"
  @doc """
  Returns the name of an object's class, with its module if that is not `builtins`.

  Raises if it cannot be asked.

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
  Returns whether an object can be called. Raises if it cannot be asked.

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
  Converts an object now. Returns `{:ok, value}` or `{:error, exception}`.

  What has no counterpart is a `Python.Object` again.

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
  Converts an object now. Returns the value or raises the exception.

  ## Examples

      iex> Python.to_term!(Python.eval!("[1, 2]", return: :object))
      [1, 2]
  """
  @spec to_term!(Object.t(), object_options) :: term
  def to_term!(object, opts \\ []), do: bang(to_term(object, opts))

  @doc group: "Objects"
  @doc """
  Converts a term and keeps it in Python. Returns `{:ok, object}` or `{:error, exception}`.

  For a value that many calls use: it is converted once.

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
  Wraps a binary that Python is to see as a read-only `memoryview`, without a copy of its bytes. Returns a
  `Python.Buffer`.

  Pass it as an argument. The binary lives as long as Python uses it. Raises `ArgumentError` for
  anything but a binary and for an option that makes no sense.

  > #### Some libraries write to what is read-only {: .warning}
  >
  > A binary never changes, and other processes, literals and sub-binaries may share its bytes. Most libraries
  > respect that the `memoryview` is read-only. Some do not: a tensor of `torch.frombuffer` writes into
  > the binary. Give such a library a copy, with `copy: true`.

  ## Options

    * `:copy` - whether Python gets a copy of its own, which may be written to. Defaults to `false`. A copy is
      made for each argument.

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
    raise ArgumentError, "only a binary can be a buffer, not #{Arguments.short(other)}"
  end

  @doc group: "Streams"
  @doc """
  Wraps an enumerable that Python is to see as an iterator. Returns a `Python.Iterator`.

  That is to be passed as an argument. Python pulls from the enumerable as it goes, in chunks;
  a process of its own enumerates it. What the enumerable raises is raised in Python as an
  `erlang.Error`, after the items before it. An iterator can be used up once, and ends with the
  process that made it. Raises `ArgumentError` for what cannot be enumerated, and `Python.NotStartedError` if
  there is no interpreter.

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
  Python's `with`: enters a context manager, calls `fun` with what that gives, and leaves it. Returns
  what `fun` returns.

  What `fun` raises reaches `__exit__` as an `erlang.Error` and is then
  raised here, unless the manager swallows it: then the result is `nil`. Raises what Python raises.

  A worker waits for `fun` meanwhile. It enters the manager, runs
  what `fun` asks of Python, and leaves the manager: on one thread, and in one context of variables. So
  managers work that change either of these, and nobody else sees the change. In `fun` this holds for
  calls that name no `:pool` or `:context`, and for those that name the same one; other processes, such as
  tasks that `fun` starts, have their own workers. In a `Python.Context` the calls of other processes
  wait until `fun` is done.

  Without `:timeout`, `fun` runs in the calling process: `self()`, the mailbox and the process dictionary are the
  caller's. With `:timeout`, unless that is `:infinity`, it runs in a process of its own, because an Elixir function
  that does not end can only be ended with its process. That is a process as a task has, with the caller's
  group leader and Logger metadata, and the caller first among its `$callers`; `fun` and its value are copied. What
  it raises, throws or exits with arrives here, and if the caller ends, so does it.

  ## Options

    * `:timeout` - how long all of it may take, in ms, or `:infinity`. Then `fun` is killed, `__exit__` is called, with
      an `erlang.Error`, and the worker is free. The `Python.TimeoutError` is raised here.

      Defaults to the timeout of the pool or context, which ends everything but `fun`: that goes on in its process, what
      it asks of Python from then on is refused with a `Python.TimeoutError`, and when it ends that is raised here.
    * `:pool` and `:context` - where to run. Defaults to where the manager is at home.

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
  Makes a function known to Python as `erlang.name`. Returns `:ok`.

  `function` is a function, `{module, function}`, or a function that `function/2` describes. In Python, `erlang.name(...)`,
  `erlang.call("name", ...)` and `from erlang import name` call it. A function of arity n takes n
  arguments; keyword arguments are one more, a map with string keys, after the others. It runs in a
  process of its own, and Python gets what it returns. What it raises is an `erlang.Error` there.

  Registering a name again replaces the function. A name that the module `erlang` has itself cannot be registered.
  Functions need not be registered to be passed as
  arguments: in Python they are callables. Raises `ArgumentError` for a name that is no atom or string or
  is taken, and for what is no function, and `Python.NotStartedError` while the application does not run.

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
  Makes a registered function unknown again. Returns `:ok`, also if there was none.

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
            "the name of a function is an atom or a string that is not empty, not #{inspect(name)}"
    end
  end

  defp callback_function(function) when is_function(function), do: function
  defp callback_function(%Python.Function{} = function), do: function

  defp callback_function({module, function}) when is_atom(module) and is_atom(function),
    do: {module, function}

  defp callback_function(other) do
    raise ArgumentError,
          "what is registered is a function, {module, function} or what Python.function/2 gives, " <>
            "not #{inspect(other)}"
  end

  @doc group: "Callbacks"
  @doc """
  Describes a function for Python: its name, its parameters with their types, and its documentation. Returns
  a `Python.Function`.

  Pass it as an argument, anywhere in one, or register it. Every function is a callable in Python that has a name, a
  signature by its arity, and what else Python's own functions have. A described one can be called with keywords, and
  frameworks that build schemas from signatures (FastAPI, pydantic, LangChain, DuckDB) find its types.

  Raises `ArgumentError` for anything but a function and for options that make no sense. A type that
  Python cannot resolve is a `TypeError` of the call.

  ## Options

    * `:name` - what it is called in Python. Defaults to the function's own name; an anonymous one is called after
      the function that it is in.
    * `:args` - its parameters, as many as the function has: a keyword list from names to types. A type is `"int"`,
      `"str"`, `"list[float]"`, `"Optional[int]"`, any expression of builtins and `typing`; `"decimal.Decimal"`, with its
      module; a `%Python.Object{}`, the type itself; or `nil`, for none. `{type, default}` gives the last ones defaults.
      Without it the parameters are `arg1`, `arg2`, …, by position only.
    * `:returns` - the type of what it returns. Defaults to none.
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

  @doc group: "Calls that run meanwhile"
  @doc """
  Sends a message to Python code that runs: to a context, or to a call that was started with
  `call_async/4`, `eval_async/3` or `exec_async/2`. Returns `:ok`.

  The code gets it from `erlang.receive(timeout=seconds)`. A context keeps messages that nobody has
  received for its later calls.

  ## Examples

      iex> {:ok, context} = Python.Context.start_link(init: "import erlang")
      iex> Python.send(context, %{"n" => 1})
      :ok
      iex> Python.eval("erlang.receive(timeout=5)", context: context)
      {:ok, %{"n" => 1}}
  """
  @spec send(Python.Context.t() | pid | atom | Async.t(), term) :: :ok
  def send(%Async{} = async, message) do
    Arguments.async!(async, "be sent to")
    Request.send(async, Python.Struct.encode(message))
  end

  def send(context, message), do: Python.Context.send(context, Python.Struct.encode(message))

  @doc group: "Information"
  @doc """
  Returns what is known about the interpreter that runs.

  It is a map with `:python_version` (such as `"3.11.7"`), `:executable`, `:libpython`, `:prefix`,
  `:base_prefix`, `:venv` (a folder or `nil`), `:free_threaded`, `:nif_version` and `:pools`, the
  names of the pools that run. `:finalizers` tells of the objects whose handles are gone: how many are `:waiting` to be
  released, and a list of the finalizers (`__del__` methods) that are `:blocked`, each a map with the object's `:class`,
  `:file`, `:line` and `:function` of the finalizer (`nil` in C code), and for how many `:ms`. `:stuck` and `:stuck_at` are
  those of `Python.Pool.stats/1`, of all pools, each call with its `:pool`. Raises
  `Python.NotStartedError` if there is no interpreter.

  ## Examples

      iex> Python.info().free_threaded
      false
  """
  @spec info() :: map
  def info do
    case Runtime.status() do
      {:ok, interpreter} ->
        {:ok, nif_version} = :erlang_python.runtime_nif_version()
        stuck = Python.Stuck.all()

        %{
          python_version: interpreter.version_string,
          executable: interpreter.executable,
          libpython: interpreter.libpython,
          prefix: interpreter.prefix,
          base_prefix: interpreter.base_prefix,
          venv: interpreter.venv,
          free_threaded: interpreter.free_threaded,
          nif_version: nif_version,
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
