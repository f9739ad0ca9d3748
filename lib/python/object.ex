defmodule Python.Object do
  @moduledoc """
  A handle to a Python object.

  Values that have no counterpart in Elixir arrive as handles, and `return: :object` asks for one:

      iex> Python.call!(:collections, :Counter, ["aab"], return: :object)
      #Python.Object<<class 'collections.Counter'> Counter({'a': 2, 'b': 1})>

  A handle can be passed back to Python as an argument or inside of one, be the target of a call,
  be sent to other processes and be stored. Python's reference is given up when the BEAM's garbage
  collector finds that nobody has the handle any more.

  ## Protocols

  `object[key]` is Python's `object[key]`, or `nil` if there is no such key or index:

      iex> {:ok, object} = Python.to_object(%{"a" => 1})
      iex> {object["a"], object["b"]}
      {1, nil}

  `Access` functions that change something, such as `pop_in/2`, change the Python object: it is one
  and the same, whoever has a handle.

  `Enum` and `Stream` iterate as Python does (over the keys of a `dict`), lazily and in chunks.
  When the enumeration ends early, a generator is closed:

      iex> {:ok, evens} = Python.eval("(x for x in itertools.count() if x % 2 == 0)", %{itertools: elem(Python.import(:itertools), 1)})
      iex> Enum.take(evens, 3)
      [0, 2, 4]

  In a string it is `str(object)`:

      iex> {:ok, object} = Python.to_object([1, 2])
      iex> "it is \#{object}"
      "it is [1, 2]"

  These raise if Python raises.
  """

  alias Python.{Arguments, Operation, Options, Request}

  @behaviour Access

  @enforce_keys [:ref]
  defstruct [:ref]

  @typedoc "The field is private."
  @type t :: %__MODULE__{ref: reference}

  @helpers "erlang._object"

  @doc false
  def getattr(object, name), do: run(:builtins, :getattr, [object, Operation.attribute(name)])

  @doc false
  def setattr(object, name, value) do
    done(run(:builtins, :setattr, [object, Operation.attribute(name), value]))
  end

  @doc false
  def getitem(object, key), do: run(:operator, :getitem, [object, key])

  @doc false
  def setitem(object, key, value), do: done(run(:operator, :setitem, [object, key, value]))

  @doc false
  def len(object), do: run(:builtins, :len, [object])

  @doc false
  def str(object), do: run(:builtins, :str, [object])

  @doc false
  def repr(object), do: run(:builtins, :repr, [object])

  @doc false
  def type(object), do: value!(run(@helpers, :type_name, [object]))

  @doc false
  def callable?(object), do: value!(run(:builtins, :callable, [object]))

  @doc false
  def with(object, fun) do
    Arguments.handle!(object)

    unless is_function(fun, 1) do
      raise ArgumentError,
            "what is run inside of Python's with is a function of one argument, " <>
              "not #{Arguments.short(fun)}"
    end

    # As an object first: a value that cannot be converted comes after the entering, and is to be
    # left like any other error.
    entered =
      value!(
        Request.run(Operation.call(@helpers, :enter, [object], %{}), %Options{return: :object})
      )

    try do
      fun.(value!(Python.to_term(entered)))
    catch
      kind, reason ->
        stacktrace = __STACKTRACE__

        error =
          {Atom.to_string(kind), Exception.format_banner(kind, reason, stacktrace),
           Exception.format_stacktrace(stacktrace)}

        unless value!(run(@helpers, :leave, [object, error])) do
          :erlang.raise(kind, reason, stacktrace)
        end
    else
      value ->
        false = value!(run(@helpers, :leave, [object, nil]))
        value
    end
  end

  defp run(target, name, [object | _] = args) do
    Arguments.handle!(object)
    Request.run(Operation.call(target, name, args, %{}), %Options{})
  end

  defp done({:ok, _none}), do: :ok
  defp done(error), do: error

  defp value!({:ok, value}), do: value
  defp value!({:error, error}), do: Python.Error.raise!(error)

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
        value!(run(:operator, :setitem, [object, key, update]))
        {get, object}

      :pop ->
        pop(object, key)
    end
  end

  @impl Access
  def pop(object, key) do
    case fetch(object, key) do
      {:ok, value} ->
        value!(run(:operator, :delitem, [object, key]))
        {value, object}

      :error ->
        {nil, object}
    end
  end

  defimpl Inspect do
    alias Python.{Operation, Options, Request}

    # An inspected value must not hold up whoever inspects it.
    @timeout 1_000
    @limit 200

    def inspect(object, _options) do
      case Request.run(Operation.describe(object, @limit), %Options{timeout: @timeout}) do
        {:ok, {class, text}} -> "#Python.Object<#{class} #{text}>"
        {:error, _} -> "#Python.Object<#{Kernel.inspect(object.ref)}>"
      end
    end
  end

  defimpl Enumerable do
    alias Python.{Operation, Options}

    def reduce(object, acc, fun) do
      source = Operation.call(:builtins, :iter, [object], %{})
      Enumerable.reduce(Python.Stream.new(source, %Options{}), acc, fun)
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
