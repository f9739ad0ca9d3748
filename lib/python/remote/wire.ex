defmodule Python.Remote.Wire do
  @moduledoc false

  # Terms on their way to another node and from one. Handles and functions mean something on their own node only: they cross
  # as references. All else crosses as it is.

  alias Python.{EncodeError, Iterator, Object, StoppedError}
  alias Python.Remote.{Handles, Proxy, Reference}

  ## From a caller

  @doc "What is sent to a node, and whether there are references in it: an error for a handle of another place."
  @spec encode(term, node) :: {:ok, {term, boolean}} | {:error, EncodeError.t()}
  def encode(term, node) do
    {term, found} = collecting(fn -> walk(term, &to_there(&1, node)) end)
    {:ok, {term, found != []}}
  catch
    {:foreign, text} -> {:error, EncodeError.new(text, "arguments", "")}
  end

  # What is found on the way.
  defp collecting(walk) do
    before = Process.put(__MODULE__, [])

    try do
      term = walk.()
      {term, Process.get(__MODULE__)}
    after
      if before, do: Process.put(__MODULE__, before), else: Process.delete(__MODULE__)
    end
  end

  defp found(id) do
    Process.put(__MODULE__, [id | Process.get(__MODULE__)])
    id
  end

  defp to_there(%Object{home: {_home, node, id}}, node),
    do: %Reference{kind: :object, node: node, id: found(id)}

  defp to_there(%Object{home: {_home, other, _id}}, node),
    do: throw({:foreign, foreign("the node #{other}", node)})

  # It came from there by a message, and is what it was if somebody has it there.
  defp to_there(%Object{ref: ref} = object, node) when is_reference(ref) and node(ref) == node do
    found(ref)
    %{object | home: nil}
  end

  defp to_there(%Object{ref: ref}, node) when is_reference(ref) and node(ref) != node(),
    do: throw({:foreign, foreign("the node #{node(ref)}", node)})

  defp to_there(%Object{}, node), do: throw({:foreign, foreign("this node", node)})

  # Its function has a feeder here.
  defp to_there(%Iterator{next: next}, node), do: %Iterator{next: to_there(next, node)}

  defp to_there(function, node) when is_function(function) do
    {:arity, arity} = Function.info(function, :arity)
    id = found(Handles.keep(function, node))
    %Reference{kind: :function, node: node(), id: id, arity: arity}
  end

  defp to_there(_other, _node), do: :as_it_is

  defp foreign(whose, node) do
    "the object belongs to #{whose}, and the call runs on the node #{node}. Python.fetch/2 makes a copy of an object that " <>
      "is on another node"
  end

  ## To a caller

  @doc "What is sent back to a node, and the ids of the handles in it."
  @spec encode_answer(term, node) :: {term, [reference]}
  def encode_answer(answer, node), do: collecting(fn -> walk(answer, &to_here(&1, node)) end)

  # A handle of a third node.
  defp to_here(%Object{home: {_, _, _}}, _node), do: :as_it_is

  defp to_here(%Object{home: home} = object, node),
    do: %Reference{kind: :object, node: node(), id: given(object, node), home: home}

  defp to_here(function, node) when is_function(function) do
    {:arity, arity} = Function.info(function, :arity)
    %Reference{kind: :function, node: node(), id: given(function, node), arity: arity}
  end

  defp to_here(_other, _node), do: :as_it_is

  defp given(term, node), do: found(Handles.keep(term, node))

  ## Arrived

  @doc "What has arrived. `references`: whether there may be some in it; `from`: who is to know that they were taken."
  @spec decode(term, boolean, pid | nil) :: term
  def decode(term, false, _from), do: term

  def decode(term, true, from) do
    {term, ids} = collecting(fn -> walk(term, &arrived/1) end)
    if from && ids != [], do: send(from, {:taken, ids})
    term
  end

  # It has come back.
  defp arrived(%Reference{node: node, id: id}) when node == node() do
    case Handles.fetch(id) do
      {:ok, term, holder} -> Proxy.used(id, term, holder)
      # Whoever it is asked of says that it holds nothing.
      :error -> Proxy.kept(id) || %Object{ref: id}
    end
  end

  defp arrived(%Reference{kind: :object} = reference) do
    found(reference.id)

    %Object{
      ref: Handles.hold(reference),
      home: {reference.home, reference.node, reference.id}
    }
  end

  defp arrived(%Reference{kind: :function} = reference) do
    found(reference.id)
    function(reference, Handles.hold(reference))
  end

  defp arrived(_other), do: :as_it_is

  ## Functions

  # A function that calls one of another node. It holds the guard: when it is gone, so is that.
  for arity <- 0..12 do
    arguments = Macro.generate_arguments(arity, __MODULE__)

    defp function(%Reference{arity: unquote(arity)} = reference, guard),
      do: fn unquote_splicing(arguments) -> call(reference, guard, unquote(arguments)) end
  end

  defp function(%Reference{arity: arity}, _guard),
    do: raise(ArgumentError, "expected a function of at most 12 arguments, got: one of #{arity}")

  defp call(%Reference{node: node, id: id}, guard, arguments) when is_reference(guard) do
    {arguments, ids} = encode_answer(arguments, node)

    case :erpc.call(node, __MODULE__, :called, [id, arguments, ids != [], node()]) do
      {:ok, value, references} -> decode(value, references, nil)
      {:error, error} -> raise error
    end
  rescue
    error in ErlangError ->
      case error.original do
        {:erpc, reason} -> raise StoppedError.away(node, "it cannot be called back: #{reason}")
        _ -> reraise(error, __STACKTRACE__)
      end
  end

  @doc false
  # On the node that a function is from, in a process of its own.
  def called(id, arguments, references, node) do
    arguments = decode(arguments, references, nil)

    case Handles.fetch(id) do
      {:ok, function, _holder} ->
        value = Python.Struct.encode(apply(function, arguments))
        {value, ids} = encode_answer(value, node)
        {:ok, value, ids != []}

      :error ->
        {:error, StoppedError.away(node(), "the function is not kept there any more")}
    end
  end

  ## Walking

  # Puts what `change` gives in the place of parts, unless that is `:as_it_is`.
  defp walk(list, change) when is_list(list), do: walk_list(list, change)

  defp walk(tuple, change) when is_tuple(tuple) do
    tuple |> Tuple.to_list() |> walk_list(change) |> List.to_tuple()
  end

  defp walk(%_{} = struct, change) do
    case change.(struct) do
      :as_it_is -> walk_fields(struct, change)
      other -> other
    end
  end

  defp walk(map, change) when is_map(map),
    do: Map.new(map, fn {key, value} -> {walk(key, change), walk(value, change)} end)

  defp walk(function, change) when is_function(function) do
    case change.(function) do
      :as_it_is -> function
      other -> other
    end
  end

  defp walk(other, _change), do: other

  defp walk_list([head | tail], change), do: [walk(head, change) | walk_list(tail, change)]
  defp walk_list([], _change), do: []
  # The end of an improper one.
  defp walk_list(other, change), do: walk(other, change)

  defp walk_fields(%module{} = struct, change) do
    # As a map, as a struct need not have a module here.
    fields =
      struct |> Map.from_struct() |> Map.new(fn {key, value} -> {key, walk(value, change)} end)

    Map.put(fields, :__struct__, module)
  end
end
