defmodule Python.Stream do
  @moduledoc false

  # Iterators as lazy enumerables. The consumer demands chunks and waits for them itself; between
  # two demands a stream holds no worker and sends no messages
  # (native/erlang_python_nif/src/pool/stream).

  alias Python.{Callback, Deadline, Hold, Operation, Options, Request, StoppedError, TimeoutError}
  alias Python.Remote.{Reference, Wire}

  # `source`: a `call` or an `eval`, or what stands for one that the node `made` is from keeps; then `guard` is to be held
  # (Python.Remote.Trackable). `made`: a reference, as a node may get its name, or another, meanwhile; that of a reference follows.
  @enforce_keys [:source, :options, :made]
  defstruct @enforce_keys ++ [:guard]

  @type t :: %__MODULE__{
          source: tuple | Reference.t(),
          options: Options.t(),
          made: reference,
          guard: reference | nil
        }

  # How long the consumer waits for a generator to be closed, in ms. It is closed all the same.
  @close_timeout 1_000

  # How long to wait, at most, before looking again whether a chunk was begun, in ms.
  @longest_look 50

  @doc "The items of what `source` (a `call` or an `eval`) gives."
  @spec new(tuple, Options.t()) :: t
  def new(source, options),
    do: %__MODULE__{source: source, options: options, made: make_ref()}

  @doc "The same, for `Enumerable`."
  @spec enumerable(t) :: Enumerable.t()
  def enumerable(%__MODULE__{source: source, options: options, guard: guard} = stream) do
    Stream.resource(
      fn -> {:more, open!(source, options, node(stream.made))} end,
      &next(&1, options),
      &leave(&1, guard)
    )
  end

  @doc "All items at once, for callers who want a list or an error."
  @spec to_list(tuple, Options.t()) :: {:ok, list} | {:error, Exception.t()}
  def to_list(source, options) do
    with {:ok, stream} <- open(source, options) do
      {state, result} = collect(stream, options, [])
      leave({state, stream})
      result
    end
  end

  @typedoc "An open stream, with its engine."
  @type open :: {module, Python.Engine.stream()}

  @doc "Opens a stream, for `chunk/2`."
  @spec open(tuple, Options.t()) :: {:ok, open} | {:error, Exception.t()}
  def open(source, options) do
    source
    |> Operation.stream(options.max_chunk, options.max_wait, options.prefetch)
    |> Request.run(options)
  end

  # One that was sent to another node is read where it was made, as its maker meant it.
  defp open!(source, options, node) do
    # It may be back.
    source = Wire.decode(source, is_struct(source) and node == node())

    case open(source, Python.Home.as_on(node, options)) do
      {:ok, stream} -> stream
      {:error, error} -> Python.Error.raise!(error)
    end
  end

  # What is to be raised after the items before it waits in the state.
  defp next({{:failed, error}, _stream}, _options), do: Python.Error.raise!(error)
  defp next({:done, _stream} = state, _options), do: {:halt, state}

  defp next({:more, stream}, options) do
    case chunk(stream, options) do
      {:failed, items, error} -> {items, {{:failed, error}, stream}}
      {state, items} -> {items, {state, stream}}
    end
  end

  defp collect(stream, options, chunks) do
    case chunk(stream, options) do
      {:more, items} -> collect(stream, options, [items | chunks])
      {:done, items} -> {:done, {:ok, [items | chunks] |> Enum.reverse() |> Enum.concat()}}
      {:failed, _items, error} -> {{:failed, error}, {:error, error}}
    end
  end

  @doc "The next items: `{:more | :done, items}`, or `{:failed, items_before, error}`."
  @spec chunk(open, Options.t()) ::
          {:more | :done, list} | {:failed, list, Exception.t()}
  def chunk({Python.Remote, stream}, options), do: Python.Remote.chunk(stream, options)

  def chunk(stream, options) do
    # In a body whose time is over.
    with {:error, error} <- Hold.limit(:infinity, Callback.held()) do
      {:failed, [], error}
    else
      _ -> demand(stream, options)
    end
  end

  defp demand({engine, native} = stream, options) do
    timeout = Request.timeout(options)
    reference = make_ref()

    case engine.stream_demand(native, reference, Callback.handles()) do
      :coming ->
        case wait(stream, reference, options.max_wait, Deadline.in_ms(timeout), timeout) do
          {:failed, items, :overloaded} ->
            {:failed, items, Request.refused(:overloaded, options)}

          answer ->
            answer
        end

      :ended ->
        {:done, []}

      refused ->
        {:failed, [], Request.refused(refused, options)}
    end
  end

  # The chunk comes when it is full, or at the first item after `max_wait`. Items that were made
  # before, by a generator that now takes its time, have to be asked for.
  defp wait({engine, native} = stream, reference, look, deadline, timeout) do
    receive do
      {^reference, answer} -> answer(answer)
    after
      min(look, Deadline.left(deadline)) ->
        if Deadline.left(deadline) == 0 do
          give_up(stream, reference, timeout)
        else
          case engine.stream_flush(native) do
            :early ->
              look = min(max(look, 1) * 2, @longest_look)
              wait(stream, reference, look, deadline, timeout)

            _ ->
              wait_long(stream, reference, deadline, timeout)
          end
        end
    end
  end

  defp wait_long(stream, reference, deadline, timeout) do
    receive do
      {^reference, answer} -> answer(answer)
    after
      Deadline.left(deadline) -> give_up(stream, reference, timeout)
    end
  end

  defp answer({:ok, {:failed, items, reason}}), do: {:failed, items, Request.error(reason)}
  defp answer({:ok, {state, items}}), do: {state, items}
  defp answer({:error, :overloaded}), do: {:failed, [], :overloaded}
  defp answer({:error, reason}), do: {:failed, [], Request.error(reason)}

  defp give_up({engine, native}, reference, timeout) do
    case engine.stream_cancel(native) do
      :answered ->
        # On its way, unless its worker died this moment.
        receive do
          {^reference, answer} -> answer(answer)
        after
          @close_timeout -> {:failed, [], StoppedError.new(:worker_down)}
        end

      :queued ->
        engine.stream_stop_listening(native)
        {:failed, [], TimeoutError.new(timeout, :queued)}

      :running ->
        location = Request.location(reference, fn -> engine.stream_stop_listening(native) end)
        {:failed, [], TimeoutError.new(timeout, location)}
    end
  end

  # What is kept elsewhere for a stream is kept until its end.
  defp leave(state, _guard), do: leave(state)

  # Who hears of an error need not wait: after a timeout not for what blocks.
  defp leave({{:failed, _error}, stream}), do: close(stream, 0)
  defp leave({_state, stream}), do: close(stream, @close_timeout)

  @doc "Closes a stream, and waits so many ms for it."
  @spec close(open, timeout) :: :ok
  def close(stream, timeout \\ @close_timeout)
  def close({Python.Remote, stream}, timeout), do: Python.Remote.close(stream, timeout)

  def close({engine, native}, timeout) do
    reference = make_ref()

    unless engine.stream_close(native, reference, Callback.handles()) do
      receive do
        {^reference, _closed} -> :ok
      after
        timeout ->
          unless engine.stream_stop_listening(native) do
            receive do
              {^reference, _closed} -> :ok
            after
              @close_timeout -> :ok
            end
          end
      end
    end

    :ok
  end

  defimpl Enumerable do
    def reduce(stream, acc, fun),
      do: stream |> Python.Stream.enumerable() |> Enumerable.reduce(acc, fun)

    # An iterator knows no better.
    def count(_stream), do: {:error, __MODULE__}
    def member?(_stream, _element), do: {:error, __MODULE__}
    def slice(_stream), do: {:error, __MODULE__}
  end

  defimpl Inspect do
    def inspect(%{source: source}, _options), do: "#Python.Stream<#{text(source)}>"

    defp text({:call, target, name, _args, _kwargs}) when is_atom(target) or is_binary(target),
      do: "#{target}.#{name}"

    defp text({:call, _object, name, _args, _kwargs}), do: "of #{name || "an object"}"
    defp text({:eval, code, _vars, _place}), do: Kernel.inspect(code, printable_limit: 60)
    defp text(%{node: node}), do: "of the node #{node}"
  end
end
