defmodule Python.Remote.Far do
  @moduledoc false

  # Functions of other nodes, and how they are called.

  alias Python.StoppedError
  alias Python.Remote.{Handles, Reference, Wire}

  # As many arguments as functions have that the shell makes.
  @most 20

  @doc "How many arguments such a function has at most."
  @spec most() :: arity
  def most, do: @most

  @doc "A function that calls one of another node. It holds the guard: when it is gone, so is that."
  @spec function(Reference.t(), reference) :: fun
  for arity <- 0..@most do
    arguments = Macro.generate_arguments(arity, __MODULE__)

    def function(%Reference{arity: unquote(arity)} = reference, guard),
      do: fn unquote_splicing(arguments) -> call(reference, guard, unquote(arguments)) end
  end

  @doc "What such a function stands for; nil for any other."
  @spec reference(fun) :: Reference.t() | nil
  def reference(function) do
    with {:module, __MODULE__} <- Function.info(function, :module),
         {:env, env} <- Function.info(function, :env) do
      Enum.find(env, &is_struct(&1, Reference))
    else
      _ -> nil
    end
  end

  defp call(%Reference{node: node, id: id}, guard, arguments) when is_reference(guard) do
    {arguments, ids} = Wire.encode!(arguments, node)

    case :erpc.call(node, __MODULE__, :called, [id, arguments, ids != [], node()]) do
      {:ok, value, references} ->
        Wire.decode(value, references)

      {:raised, kind, reason, references, stacktrace} ->
        :erlang.raise(kind, Wire.decode(reason, references), stacktrace)

      {:error, error} ->
        raise error
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
    arguments = Wire.decode(arguments, references)

    case Handles.fetch(id) do
      {:ok, function, _holder} ->
        run(function, arguments, node)

      :error ->
        {:error, StoppedError.away(node(), "the function is not kept there any more")}
    end
  end

  # What it raises is raised there, with what it has to say.
  defp run(function, arguments, node) do
    value = Python.Struct.encode(apply(function, arguments))
    {value, ids} = Wire.encode!(value, node)
    {:ok, value, ids != []}
  catch
    kind, reason ->
      {reason, ids} = reason(kind, reason, __STACKTRACE__, node)
      {:raised, kind, reason, ids != [], __STACKTRACE__}
  end

  defp reason(kind, reason, stacktrace, node) do
    reason = if kind == :error, do: Exception.normalize(:error, reason, stacktrace), else: reason
    Wire.encode!(reason, node)
  rescue
    error in ArgumentError -> {error, []}
  end
end
