defmodule Python.Object do
  @moduledoc """
  A handle to a Python object.

  Python values without a counterpart in Elixir arrive as handles. `return: :object` asks for one:

      iex> Python.call!(:collections, :Counter, ["aab"], return: :object)
      #Python.Object<<class 'collections.Counter'> Counter({'a': 2, 'b': 1})>

  A handle can be an argument or part of one, the target of a call, sent to other processes, and stored. The object is
  released when no process has the handle any more.

  ## Home

  The home of a handle is the pool or context that made it. Its methods, the functions of `Python` on objects, and the
  protocols below run there. So a database cursor that a `Python.Context` opened is read on the thread that opened it:

      iex> {:ok, context} = Python.Context.start_link(init: "import sqlite3; db = sqlite3.connect(':memory:')")
      iex> {:ok, cursor} = Python.eval("db.execute('values (1), (2)')", context: context)
      iex> Enum.to_list(cursor)
      [{1}, {2}]

  The options `:pool` and `:context` choose another place. If the home has stopped, the result is a
  `Python.StoppedError`. A pool that is started again under the same name is the home again. Only the target of a call
  chooses where the call runs; handles among the arguments do not. A handle of another node is asked there, see the guide
  [Nodes](nodes.md).

  ## Protocols

  | protocol | in Python |
  |---|---|
  | `Access` | `object[key]`, or `nil` if there is no such key or index |
  | `Enumerable` | iteration (over the keys of a `dict`), lazily and in chunks; of asynchronous iterators too |
  | `String.Chars` | `str(object)` |
  | `Inspect` | the class and `repr(object)`, shortened |

  The first three raise the exception if Python raises.

      iex> {:ok, object} = Python.to_object(%{"a" => 1})
      iex> {object["a"], object["b"]}
      {1, nil}

  `Access` functions that update, such as `pop_in/2`, change the Python object itself, for all who have a handle.

  When an enumeration ends early, a generator is closed:

      iex> {:ok, evens} = Python.eval("(x for x in itertools.count() if x % 2 == 0)", %{itertools: elem(Python.import(:itertools), 1)})
      iex> Enum.take(evens, 3)
      [0, 2, 4]

      iex> {:ok, object} = Python.to_object([1, 2])
      iex> "it is \#{object}"
      "it is [1, 2]"
  """

  alias Python.{Arguments, Hold, Home, Operation, Options, Request, Telemetry}

  @behaviour Access

  @enforce_keys [:ref]
  defstruct [:ref, :home]

  @typedoc "The fields are private."
  @type t :: %__MODULE__{ref: reference, home: atom | pid | {atom | pid, node, reference}}

  @helpers "erlang._object"

  @doc false
  def getattr(object, name, opts \\ []),
    do: run(:builtins, :getattr, [object, Operation.attribute(name)], opts, :value)

  @doc false
  def setattr(object, name, value, opts \\ []) do
    done(run(:builtins, :setattr, [object, Operation.attribute(name), value], opts))
  end

  @doc false
  def getitem(object, key, opts \\ []), do: run(:operator, :getitem, [object, key], opts, :value)

  @doc false
  def setitem(object, key, value, opts \\ []),
    do: done(run(:operator, :setitem, [object, key, value], opts))

  @doc false
  def len(object, opts \\ []), do: run(:builtins, :len, [object], opts)

  @doc false
  def str(object, opts \\ []), do: run(:builtins, :str, [object], opts)

  @doc false
  def repr(object, opts \\ []), do: run(:builtins, :repr, [object], opts)

  @doc false
  def type(object, opts \\ []), do: Python.Error.value!(run(@helpers, :type_name, [object], opts))

  @doc false
  def callable?(object, opts \\ []),
    do: Python.Error.value!(run(:builtins, :callable, [object], opts))

  @doc false
  def with(object, fun, opts \\ []) do
    Arguments.handle!(object)

    unless is_function(fun, 1) do
      raise ArgumentError,
            "expected a function of one argument for Python.with, got: #{Arguments.short(fun)}"
    end

    options = opts |> Options.call(:object) |> Home.options(object)
    run = fn -> Hold.run(object, fun, options) end

    case if(Telemetry.enabled?(), do: Telemetry.span({:with}, options, run), else: run.()) do
      {:ok, value} -> value
      {:error, error} -> Python.Error.raise!(error)
      {:raised, kind, reason, stacktrace} -> :erlang.raise(kind, reason, stacktrace)
    end
  end

  # At the object's home, if the options name no other place.
  defp run(target, name, [object | _] = args, opts \\ [], kind \\ :object) do
    Arguments.handle!(object)
    options = opts |> Options.call(kind) |> Home.options(object)
    Request.run(Operation.call(target, name, args, %{}), options)
  end

  defp done({:ok, _none}), do: :ok
  defp done(error), do: error

  ## Access

  @impl Access
  def fetch(object, key) do
    case getitem(object, key) do
      {:ok, value} -> {:ok, value}
      {:error, error} -> if missing?(error), do: :error, else: Python.Error.raise!(error)
    end
  end

  defp missing?(%Python.Error{builtin: true, type: type}) when type in ["KeyError", "IndexError"],
    do: true

  defp missing?(%Python.Error{builtin: false, value: %__MODULE__{} = exception}) do
    run(@helpers, :says_missing, [exception]) == {:ok, true}
  end

  defp missing?(_error), do: false

  @impl Access
  def get_and_update(object, key, fun) do
    current =
      case fetch(object, key) do
        {:ok, value} -> value
        :error -> nil
      end

    case fun.(current) do
      {get, update} ->
        Python.Error.value!(run(:operator, :setitem, [object, key, update]))
        {get, object}

      :pop ->
        pop(object, key)
    end
  end

  @impl Access
  def pop(object, key) do
    case fetch(object, key) do
      {:ok, value} ->
        Python.Error.value!(run(:operator, :delitem, [object, key]))
        {value, object}

      :error ->
        {nil, object}
    end
  end

  defimpl Inspect do
    alias Python.{Home, Operation, Options, Request}

    # An inspected value must not hold up whoever inspects it.
    @timeout 1_000
    @limit 200

    def inspect(object, _options) do
      options = Home.options(%Options{timeout: @timeout}, object)

      case Request.run(Operation.describe(object, @limit), options) do
        {:ok, {class, text}} -> "#Python.Object<#{class} #{text}>"
        {:error, _} -> "#Python.Object<#{Kernel.inspect(object.ref)}>"
      end
    end
  end

  defimpl Enumerable do
    alias Python.{Home, Operation, Options}

    def reduce(object, acc, fun) do
      source = Operation.call("erlang._stream", :itself, [object], %{})
      Enumerable.reduce(Python.Stream.new(source, Home.options(%Options{}, object)), acc, fun)
    end

    # Counting, finding and slicing go through the items: an iterator knows no better.
    def count(_object), do: {:error, __MODULE__}
    def member?(_object, _element), do: {:error, __MODULE__}
    def slice(_object), do: {:error, __MODULE__}
  end

  defimpl String.Chars do
    def to_string(object) do
      case Python.Object.str(object) do
        {:ok, text} -> text
        {:error, error} -> Python.Error.raise!(error)
      end
    end
  end
end
