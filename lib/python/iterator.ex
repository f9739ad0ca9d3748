defmodule Python.Iterator do
  @moduledoc """
  An enumerable that Python sees as an iterator. See `Python.iterator/1`.

      iex> Python.call(:builtins, :max, [Python.iterator([3, 7, 5])])
      {:ok, 7}
  """

  # The enumerable is enumerated by a process of its own, chunk by chunk as Python asks for them. It
  # ends with the enumerable, with the process that made the iterator, or when nobody has the
  # iterator any more, on either side. Whoever reads on after the second has an error.

  alias Python.{Arguments, Engine, StoppedError}

  @enforce_keys [:next]
  defstruct [:next]

  @typedoc "The field is private."
  @type t :: %__MODULE__{next: (() -> {:more | :done, list})}

  # A chunk has twice as many items as the one before, up to this many, but ends after this long, so
  # that items which take long to make are not held back.
  @largest 1_024
  @longest 1

  @doc false
  @spec new(Enumerable.t()) :: t
  def new(enumerable) do
    unless enumerable?(enumerable) do
      raise ArgumentError,
            "expected an enumerable, such as a list or a stream, got: #{Arguments.short(enumerable)}"
    end

    with {:error, error} <- Engine.any_status(), do: raise(error)
    owner = self()
    # Not linked: what the enumerable raises is Python's to know, not the owner's to die of.
    feeder = spawn(fn -> start(enumerable, owner) end)
    guard = Engine.guard(feeder)
    %__MODULE__{next: fn -> next(feeder, guard) end}
  end

  # Of functions, those of two arguments are.
  defp enumerable?(fun) when is_function(fun), do: is_function(fun, 2)
  defp enumerable?(other), do: Enumerable.impl_for(other) != nil

  ## In the process of a callback

  # The guard is not used but held: when the function is gone, so is it, and the feeder is told.
  defp next(feeder, guard) when is_reference(guard) do
    reference = Process.monitor(feeder)
    send(feeder, {:next, self(), reference})

    receive do
      {^reference, answer} ->
        Process.demonitor(reference, [:flush])
        answer(answer)

      # Python asks no more when it has had the end. An end would let it go on with a part of the items.
      {:DOWN, ^reference, _, _, _} ->
        raise %{
          StoppedError.new(:stopped)
          | message:
              "the items of this iterator have ended before their end: the process that made it with " <>
                "Python.iterator/1 has ended. Let that process live as long as the iterator is read, or give " <>
                "Python a list"
        }
    end
  end

  defp answer({:raised, kind, reason, stacktrace}), do: :erlang.raise(kind, reason, stacktrace)
  defp answer(answer), do: answer

  ## The feeder

  defp start(enumerable, owner) do
    Process.monitor(owner)

    # One item at a time; how many go together is decided by the clock.
    step = fn item, _ -> {:suspend, item} end
    continue = &Enumerable.reduce(enumerable, &1, step)
    feed(continue, 1)
  end

  defp feed(continue, size) do
    receive do
      {:next, from, reference} ->
        deadline = System.monotonic_time(:millisecond) + @longest

        case chunk(continue, size, deadline, []) do
          {:more, items, continue} ->
            send(from, {reference, {:more, items}})
            feed(continue, min(size * 2, @largest))

          {:done, items} ->
            send(from, {reference, {:done, items}})

          {:raised, [], raised} ->
            send(from, {reference, raised})

          {:raised, items, raised} ->
            send(from, {reference, {:more, items}})
            fail(raised)
        end

      # The owner is gone, or nobody has the iterator any more.
      gone when gone == :dropped or elem(gone, 0) == :DOWN ->
        halt(continue)
    end
  end

  # What was raised is raised in Python when it asks for more.
  defp fail(raised) do
    receive do
      {:next, from, reference} -> send(from, {reference, raised})
      _gone -> :ok
    end
  end

  defp chunk(continue, left, deadline, items) do
    case step(continue) do
      {:suspended, item, continue} ->
        items = [item | items]

        if left == 1 or System.monotonic_time(:millisecond) >= deadline do
          {:more, Enum.reverse(items), continue}
        else
          chunk(continue, left - 1, deadline, items)
        end

      {:raised, _, _, _} = raised ->
        {:raised, Enum.reverse(items), raised}

      _done ->
        {:done, Enum.reverse(items)}
    end
  end

  defp step(continue) do
    continue.({:cont, nil})
  catch
    kind, reason -> {:raised, kind, reason, __STACKTRACE__}
  end

  # Lets the enumerable clean up after itself.
  defp halt(continue) do
    continue.({:halt, nil})
  catch
    _kind, _reason -> :ok
  end
end
