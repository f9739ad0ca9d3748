defmodule Python.Function do
  @moduledoc """
  A function with its name, parameters and documentation for Python. See `Python.function/2`.

      iex> Python.function(&String.duplicate/2, name: "repeat", args: [text: "str", times: {"int", 2}], returns: "str")
      #Python.Function<repeat(text: str, times: int = 2) -> str>
  """

  alias Python.{Arguments, Object}

  @enforce_keys [:fun]
  defstruct [:fun, :name, :args, :returns, :doc]

  @typedoc "A Python type: its name, such as `\"int\"` or `\"list[str]\"`, or the object; `nil` for none."
  @type type :: String.t() | atom | Object.t()

  @typedoc "The fields are private."
  @type t :: %__MODULE__{
          fun: fun,
          name: String.t() | nil,
          args: [{String.t(), String.t() | Object.t() | nil, [] | [term]}] | nil,
          returns: String.t() | Object.t() | nil,
          doc: String.t() | nil
        }

  @options [:name, :args, :returns, :doc]

  @reserved ~w(False None True and as assert async await break class continue def del elif else except
               finally for from global if import in is lambda nonlocal not or pass raise return try while
               with yield)

  @doc false
  @spec new(term, term) :: t
  def new(fun, options) do
    unless is_function(fun) do
      raise ArgumentError, "expected a function, got: #{Arguments.short(fun)}"
    end

    unless Keyword.keyword?(options) do
      raise ArgumentError,
            "expected a keyword list of options of a function (#{Arguments.list(@options)}), " <>
              "got: #{Arguments.short(options)}"
    end

    Enum.reduce(options, %__MODULE__{fun: fun}, fn {key, value}, function ->
      unless key in @options do
        raise ArgumentError,
              "unknown option #{inspect(key)} of a function#{Arguments.did_you_mean(key, @options)}; " <>
                "the options are #{Arguments.list(@options)}"
      end

      Map.put(function, key, check(key, value, fun))
    end)
  end

  defp check(_key, nil, _fun), do: nil

  defp check(:name, name, _fun), do: text(name) || wrong(:name, "an atom or a string", name)

  defp check(:doc, doc, _fun) when is_binary(doc), do: text(doc) || wrong(:doc, "a string", doc)
  defp check(:doc, doc, _fun), do: wrong(:doc, "a string", doc)

  defp check(:returns, type, _fun), do: type(type, "the option :returns")

  defp check(:args, args, fun) do
    {:arity, arity} = Function.info(fun, :arity)
    unless is_list(args) and not List.improper?(args), do: wrong_args(args)

    unless length(args) == arity do
      raise ArgumentError,
            "expected :args to describe #{arity} arguments, as many as the function has, got: #{length(args)}, " <>
              "#{Arguments.short(args)}"
    end

    args = Enum.map(args, &arg(&1, args))
    names = Enum.map(args, &elem(&1, 0))

    case names -- Enum.uniq(names) do
      [] ->
        :ok

      [name | _] ->
        raise ArgumentError, "expected different names in :args, got: #{inspect(name)} twice"
    end

    case Enum.drop_while(args, &(elem(&1, 2) == [])) |> Enum.find(&(elem(&1, 2) == [])) do
      nil ->
        args

      {name, _, _} ->
        raise ArgumentError,
              "expected a default for the argument #{inspect(name)}, got: none. In Python, only the last arguments " <>
                "can have defaults, and an argument before it has one"
    end
  end

  defp arg({name, {type, default}}, args) do
    {name, type, []} = arg({name, type}, args)
    {name, type, [Python.Struct.encode(default)]}
  end

  defp arg({name, type}, args) when is_atom(name) or is_binary(name) do
    name = text(name) || wrong_args(args)

    unless name =~ ~r/^[\p{L}_][\p{L}\p{N}_]*$/u and name not in @reserved do
      raise ArgumentError,
            "expected the name of an argument to be a Python identifier and not a reserved word, " <>
              "got: #{inspect(name)}"
    end

    {name, type(type, "the type of the argument #{inspect(name)}"), []}
  end

  defp arg(_other, args), do: wrong_args(args)

  defp type(nil, _what), do: nil
  defp type(%Object{} = type, _what), do: type

  defp type(type, what) do
    text(type) ||
      raise ArgumentError,
            "expected #{what} to be the name of a Python type, such as \"int\" or \"list[str]\", or a " <>
              "%Python.Object{}, got: #{Arguments.short(type)}"
  end

  defp text(text) when is_binary(text), do: if(text != "" and String.valid?(text), do: text)
  defp text(atom) when is_atom(atom) and atom not in [nil, true, false], do: Atom.to_string(atom)
  defp text(_other), do: nil

  @spec wrong_args(term) :: no_return
  defp wrong_args(args) do
    wrong(:args, "a keyword list of types, such as [x: \"int\", y: {\"str\", \"default\"}]", args)
  end

  @spec wrong(atom, String.t(), term) :: no_return
  defp wrong(key, allowed, value) do
    raise ArgumentError,
          "expected the option #{inspect(key)} of a function to be #{allowed}, got: #{Arguments.short(value)}"
  end

  @doc false
  # The module, the name and the arity, if it has one, for Python.
  @spec about(fun | {module, atom} | t) :: {String.t(), String.t(), arity | nil}
  def about(%__MODULE__{fun: fun}), do: about(fun)

  def about(function) when is_function(function) do
    info = Map.new(Function.info(function))

    # One of another node is called after what it stands for.
    case Python.Remote.Far.reference(function) do
      %{about: {module, name}} -> {module, name, info.arity}
      nil -> {module(info.module), name(info.type, Atom.to_string(info.name)), info.arity}
    end
  end

  def about({module, function}) do
    arity =
      with {:module, _} <- Code.ensure_loaded(module),
           [arity] <- for({^function, arity} <- module.module_info(:exports), do: arity) do
        arity
      else
        _ -> nil
      end

    {module(module), Atom.to_string(function), arity}
  end

  defp module(module) do
    case Atom.to_string(module) do
      "Elixir." <> name -> name
      name -> name
    end
  end

  # An anonymous one is called after the function that it is in, and a number: "-run/2-fun-0-".
  defp name(:external, name), do: name

  defp name(:local, name) do
    case name |> String.replace(~r/[^\p{L}\p{N}]+/u, "_") |> String.trim("_") do
      "" -> "function"
      name -> name
    end
  end

  defimpl Inspect do
    def inspect(function, _options) do
      "#Python.Function<#{function.name || Kernel.inspect(function.fun)}#{args(function.args)}" <>
        "#{returns(function.returns)}>"
    end

    defp args(nil), do: ""
    defp args(args), do: "(#{Enum.map_join(args, ", ", &arg/1)})"

    defp arg({name, type, default}) do
      default = for value <- default, do: " = #{Kernel.inspect(value, limit: 5)}"
      "#{name}#{type && ": #{type(type)}"}#{default}"
    end

    defp returns(nil), do: ""
    defp returns(type), do: " -> #{type(type)}"

    defp type(type) when is_binary(type), do: type
    defp type(object), do: Kernel.inspect(object)
  end
end
