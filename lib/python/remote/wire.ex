defmodule Python.Remote.Wire do
  @moduledoc false

  # Terms on their way to another node and from one. Handles and functions mean something on their own node only: they cross
  # as references. All else crosses as it is.

  alias Python.{DecodeError, EncodeError, Iterator, Object, StoppedError}
  alias Python.Remote.{Far, Handles, Proxy, Reference}

  ## From a caller

  @doc """
  What is sent to a node, with whether there are references in it, and what is kept for that; an error for a handle of another
  place.
  """
  @spec encode(term, node) :: {:ok, {term, boolean}, [reference]} | {:error, EncodeError.t()}
  def encode(term, node) do
    case walked(term, &to_there(&1, node)) do
      {:ok, term, found} -> {:ok, {term, found != []}, found}
      {:foreign, text} -> {:error, EncodeError.new(text, "arguments", "")}
    end
  end

  # What is found on the way is kept, unless the term is not sent.
  defp walked(term, change) do
    if plain?(term) do
      {:ok, term, []}
    else
      before = Process.put(__MODULE__, [])

      try do
        term = walk(term, change)
        {:ok, term, Process.get(__MODULE__)}
      catch
        {__MODULE__, :foreign, text} ->
          Handles.release(Process.get(__MODULE__))
          {:foreign, text}
      after
        if before, do: Process.put(__MODULE__, before), else: Process.delete(__MODULE__)
      end
    end
  end

  defp found(id) do
    Process.put(__MODULE__, [id | Process.get(__MODULE__)])
    id
  end

  defp to_there(%Object{home: {_home, node, id}}, node),
    do: %Reference{kind: :object, node: node, id: found(id)}

  defp to_there(%Object{home: {_home, other, _id}}, node),
    do: foreign("the node #{other}", node)

  # It came from there by a message, and is what it was if somebody has it there.
  defp to_there(%Object{ref: ref} = object, node) when is_reference(ref) and node(ref) == node do
    found(ref)
    %{object | home: nil}
  end

  defp to_there(%Object{ref: ref}, node) when is_reference(ref) and node(ref) != node(),
    do: foreign("the node #{node(ref)}", node)

  defp to_there(%Object{}, node), do: foreign("this node", node)

  # What a stream is of that was kept there.
  defp to_there(%Reference{kind: :source, node: node, id: id} = reference, node) do
    found(id)
    reference
  end

  # Its function has a feeder here.
  defp to_there(%Iterator{next: next}, node), do: %Iterator{next: to_there(next, node)}
  defp to_there(function, node) when is_function(function), do: function(function, node)
  defp to_there(_other, _node), do: :as_it_is

  defp foreign(whose, node) do
    text =
      "the object belongs to #{whose}, and the call runs on the node #{node}. Python.fetch/2 makes a copy of an object that " <>
        "is on another node"

    throw({__MODULE__, :foreign, text})
  end

  defp function(function, node) do
    case Far.reference(function) do
      # It goes home.
      %Reference{node: ^node, id: id} = reference ->
        found(id)
        reference

      _ ->
        reference(function, node)
    end
  end

  defp reference(function, node) do
    {:arity, arity} = Function.info(function, :arity)

    if arity > Far.most() do
      text =
        "a function of #{arity} arguments cannot be called from another node, one of #{Far.most()} can. Let it take a list"

      throw({__MODULE__, :foreign, text})
    end

    {module, name, _arity} = Python.Function.about(function)
    id = found(Handles.keep(function, node))
    %Reference{kind: :function, node: node(), id: id, arity: arity, about: {module, name}}
  end

  ## To a caller

  @doc "What is sent back to a node, and the ids of the handles in it."
  @spec encode_answer(term, node) :: {term, [reference]}
  def encode_answer(answer, node), do: encode_answer(answer, node, &{:error, &1})

  @doc "The same for what a function is given or gives, which is raised if it cannot be sent."
  @spec encode!(term, node) :: {term, [reference]}
  def encode!(term, node) do
    case walked(term, &to_here(&1, node)) do
      {:ok, term, ids} -> {term, ids}
      {:foreign, text} -> raise ArgumentError, text
    end
  end

  @doc "The same for a chunk of a stream."
  @spec encode_chunk(term, node) :: {term, [reference]}
  def encode_chunk(chunk, node), do: encode_answer(chunk, node, &{:failed, [], &1})

  defp encode_answer(answer, node, failed) do
    case walked(answer, &to_here(&1, node)) do
      {:ok, term, ids} -> {term, ids}
      {:foreign, text} -> {failed.(DecodeError.new(text, "")), []}
    end
  end

  # A handle of a third node.
  defp to_here(%Object{home: {_, _, _}}, _node), do: :as_it_is

  defp to_here(%Object{home: home} = object, node) do
    id = found(Handles.keep(object, node))
    %Reference{kind: :object, node: node(), id: id, home: home}
  end

  defp to_here(function, node) when is_function(function), do: function(function, node)
  defp to_here(_other, _node), do: :as_it_is

  ## Arrived

  @doc "What has arrived. `references`: whether there may be some in it. Raises for one of this node that is not kept any more."
  @spec decode(term, boolean) :: term
  def decode(term, false), do: term

  def decode(term, true) do
    {:ok, term, _ids} = walked(term, &arrived/1)
    term
  end

  @doc "What was given to this process, by `keeper` if there are handles in it, who is told that they were taken. `of`: what it was sent in."
  @spec take(term, pid | nil, reference) :: term
  def take(term, nil, _of), do: term

  def take(term, keeper, of) do
    term = decode(term, true)
    Proxy.tell(keeper, {:taken, of})
    term
  end

  # It has come back.
  defp arrived(%Reference{node: node, id: id}) when node == node() do
    case Handles.fetch(id) do
      {:ok, term, holder} -> Proxy.used(id, term, holder)
      :error -> Proxy.kept(id) || raise StoppedError.gone(node)
    end
  end

  defp arrived(%Reference{kind: :object} = reference) do
    %Object{
      ref: Handles.hold(reference),
      home: {reference.home, reference.node, reference.id}
    }
  end

  defp arrived(%Reference{kind: :function} = reference),
    do: Far.function(reference, Handles.hold(reference))

  defp arrived(_other), do: :as_it_is

  ## Walking

  # Most terms have nothing in them that is to be changed, which is found faster than they are made anew.
  defp plain?([head | tail])
       when is_number(head) or is_binary(head) or is_atom(head),
       do: plain?(tail)

  defp plain?([head | tail]), do: plain?(head) and plain?(tail)
  defp plain?(tuple) when is_tuple(tuple), do: tuple |> Tuple.to_list() |> plain?()
  defp plain?(%Object{}), do: false
  defp plain?(%Reference{}), do: false
  defp plain?(map) when is_map(map), do: map |> :maps.iterator() |> :maps.next() |> plain_pairs?()
  defp plain?(other), do: not is_function(other)

  defp plain_pairs?(:none), do: true

  defp plain_pairs?({key, value, iterator}),
    do: plain?(key) and plain?(value) and plain_pairs?(:maps.next(iterator))

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
