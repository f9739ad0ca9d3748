defmodule Python.Operation do
  @moduledoc false

  # What a request asks of Python, as native/erlang_python_nif/src/engine/main/call.rs reads it. Everything that
  # a caller can get wrong is refused here, in the caller.

  import Python.Arguments, only: [is_alias: 1, short: 1]

  alias Python.Arguments

  # What is put into a handle besides its fields would be lost.
  @object_size map_size(Python.Object.__struct__())

  @type target :: atom | String.t() | Python.Object.t()
  @type name :: atom | String.t()
  @type place :: {file :: String.t() | nil, line :: pos_integer} | nil

  @type t :: tuple

  @spec call(target, name, [term], map | list) :: tuple
  def call(target, name, args, kwargs),
    do: {:call, target(target), name(name), args(args), kwargs}

  @doc "A call of the object itself."
  @spec apply(Python.Object.t(), [term], map | list) :: tuple
  def apply(%Python.Object{ref: callable} = object, args, kwargs) when is_reference(callable) do
    {:call, target(object), nil, args(args), kwargs}
  end

  def apply(other, _args, _kwargs), do: Arguments.handle!(other)

  @doc "The items of an array; `copy`: or its memory."
  @spec array(Python.Object.t(), boolean) :: tuple
  def array(%Python.Object{} = object, copy), do: {:array_of, target(object), not copy}

  @doc "The cells of a data frame, by rows or by columns."
  @spec table(Python.Object.t(), boolean, boolean) :: tuple
  def table(%Python.Object{} = object, by_rows, nan_is_nil),
    do: {:table_of, target(object), by_rows, nan_is_nil}

  @doc "The value as it is in Python."
  @spec convert(term) :: tuple
  def convert(value), do: {:convert, value}

  @doc "The name of an attribute, as Python has it."
  @spec attribute(name) :: String.t()
  def attribute(name) do
    name = name(name)

    cond do
      is_atom(name) -> Atom.to_string(name)
      String.valid?(name) -> name
      true -> raise ArgumentError, "expected a name in UTF-8, got: #{short(name)}"
    end
  end

  @doc "The name of a module."
  @spec module(atom | String.t()) :: atom | String.t()
  def module(name) when is_alias(name), do: Arguments.alias_as_module!(name)
  def module(name) when is_atom(name) and name not in [nil, true, false], do: name

  def module(name) do
    if is_binary(name) and String.valid?(name) do
      name
    else
      raise ArgumentError,
            "expected the name of a module, an atom or a string, got: #{short(name)}"
    end
  end

  @spec map(target, name, [[term]], map | list) :: tuple
  def map(target, name, list, kwargs) do
    unless proper?(list) and Enum.all?(list, &proper?/1) do
      raise ArgumentError,
            "expected a list of lists of arguments, such as [[1, 2], [3, 4]], got: #{short(list)}"
    end

    {:map, target(target), name(name), list, kwargs}
  end

  @doc "`place`: where the code stands, `{file, line}`."
  @spec eval(String.t(), map, place) :: tuple
  def eval(code, vars, place \\ nil), do: {:eval, code(code), vars(vars), place}

  @spec exec(String.t(), place) :: tuple
  def exec(code, place \\ nil), do: {:exec, code(code), place}

  @doc "A stream of what a `call` or an `eval` gives."
  @spec stream(tuple, pos_integer, non_neg_integer, non_neg_integer) :: tuple
  def stream(source, max_chunk, max_wait, prefetch) do
    {:stream, max_chunk, max_wait, prefetch, source}
  end

  @spec describe(Python.Object.t(), pos_integer) :: tuple
  def describe(%Python.Object{} = object, limit), do: {:describe, reference(object), limit}

  @doc "An operation that has come from another node: what it is about is here."
  @spec arrived(tuple) :: tuple
  def arrived({:stream, max_chunk, max_wait, prefetch, source}),
    do: {:stream, max_chunk, max_wait, prefetch, arrived(source)}

  def arrived(operation) when tuple_size(operation) > 1 do
    case elem(operation, 1) do
      %Python.Object{ref: ref} when elem(operation, 0) != :convert -> put_elem(operation, 1, ref)
      _ -> operation
    end
  end

  defp target(%Python.Object{ref: ref, home: _} = object)
       when is_reference(ref) and map_size(object) == @object_size,
       do: reference(object)

  defp target(%Python.Object{ref: ref} = object) when is_reference(ref) do
    fault =
      case Map.keys(object) -- Map.keys(%Python.Object{ref: nil}) do
        [] ->
          "one without the key :home. Pass the handle as Python returned it"

        [key | _] ->
          "one with the key #{inspect(key)}, which is not a field and would be lost. To change the Python object, " <>
            "use Python.setitem/3 or Python.setattr/3"
      end

    raise ArgumentError,
          "expected the target of a call to be an unchanged %Python.Object{}, got: #{fault}"
  end

  defp target(module) when is_binary(module), do: module
  defp target(module) when is_alias(module), do: Arguments.alias_as_module!(module)
  defp target(module) when is_atom(module) and module not in [nil, true, false], do: module

  defp target(other) do
    raise ArgumentError,
          "expected the target of a call to be the name of a module (an atom or a string) or a %Python.Object{}, " <>
            "got: #{short(other)}"
  end

  # One of another node crosses as it is (Python.Remote.Wire).
  defp reference(%Python.Object{home: {_home, node, _id}} = object) when node != node(),
    do: object

  # It was there, and is back.
  defp reference(%Python.Object{home: {_home, _node, id}}) do
    case Python.Remote.Handles.fetch(id) do
      {:ok, %Python.Object{ref: ref}, _holder} -> ref
      _ -> id
    end
  end

  defp reference(%Python.Object{ref: ref} = object)
       when is_reference(ref) and node(ref) != node(),
       do: object

  defp reference(%Python.Object{ref: ref}), do: ref

  defp name(name) when is_binary(name), do: name
  defp name(name) when is_alias(name), do: Arguments.alias_as_name!(name)
  defp name(name) when is_atom(name) and name not in [nil, true, false], do: name

  defp name(other) do
    raise ArgumentError,
          "expected the name of a function, an atom or a string, got: #{short(other)}"
  end

  defp args(args) do
    if proper?(args) do
      args
    else
      raise ArgumentError, "expected a #{list_of_arguments(args)}"
    end
  end

  defp list_of_arguments(improper) when is_list(improper),
    do: "proper list of arguments, got: #{short(improper)}"

  defp list_of_arguments(other),
    do: "list of arguments, got: #{short(other)}. Did you mean [#{short(other)}]?"

  defp proper?(list), do: is_list(list) and not List.improper?(list)

  defp code(code) when is_binary(code), do: code

  defp code(other) do
    raise ArgumentError, "expected Python code, a string, got: #{short(other)}"
  end

  defp vars(vars) when is_map(vars) and not is_struct(vars) do
    Enum.each(vars, fn {name, _value} ->
      unless is_atom(name) or is_binary(name) do
        raise ArgumentError,
              "expected the name of a variable, an atom or a string, got: #{short(name)}"
      end
    end)

    vars
  end

  defp vars(other) do
    raise ArgumentError, "expected variables as a map of names and values, got: #{short(other)}"
  end
end
