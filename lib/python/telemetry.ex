defmodule Python.Telemetry do
  @moduledoc """
  The telemetry events of this library.

  They are emitted if `:telemetry` is loaded when the application starts. Add it to your dependencies: it is an optional
  dependency of this application, so it starts first.

  | event | measurements | metadata |
  |---|---|---|
  | `[:python, :call, :start]` | `:system_time`, `:monotonic_time` | see below |
  | `[:python, :call, :stop]` | `:duration`, `:monotonic_time` | see below |
  | `[:python, :call, :exception]` | `:duration`, `:monotonic_time` | see below, with `:kind` (`:error`), `:reason` (the exception struct) and `:stacktrace` (`[]`) |
  | `[:python, :callback, :start]` | `:system_time`, `:monotonic_time` | `:function`, the name of a registered function or the function |
  | `[:python, :callback, :stop]` | `:duration`, `:monotonic_time` | the same |
  | `[:python, :callback, :exception]` | `:duration`, `:monotonic_time` | the same, with `:kind`, `:reason` and `:stacktrace` |
  | `[:python, :loop, :blocked]` | `:duration` so far | `:pool` or `:context` (a pid), `:file`, `:line` and `:function`, which hold up an event loop of the engine `:asyncio` |
  | `[:python, :pool, :queue]` | `:queued` (calls that wait), `:busy` (workers at work) | `:pool` |

  Times are in native units, see `System.convert_time_unit/3`. A call that fails emits `:exception` instead of `:stop`,
  whether the function raises or returns the error.

  The metadata of a call:

    * `:operation` - `:call`, `:eval`, `:exec`, `:map`, `:stream` (when one is opened), `:with`; functions on objects
      also emit `:convert` and `:describe`;
    * `:module` and `:function` - as given to the call; `nil` for code, and where an object is called;
    * `:pool` - the name of the pool, or `nil` in a context;
    * `:context` - as given to the call, or `nil`.

  Metadata is plain data, without handles: `:value` of a `Python.Error` is `nil`, and an object is replaced by its
  reference. So handlers can store and print it without calling Python.

  `[:python, :pool, :queue]` is emitted before each call to a pool. It is the only event of asynchronous calls
  (`Python.call_async/4`, `Python.eval_async/3`, `Python.exec_async/2`), because no code of this library runs in the
  caller when they end.

      :telemetry.attach("slow-python", [:python, :call, :stop], &MyApp.log_slow/4, nil)
  """

  # The only place that emits events.

  alias Python.Options

  @doc false
  # Called when the application starts. A look-up per call would cost more than the answer is worth.
  def init do
    with nil <- :persistent_term.get(__MODULE__, nil),
         do: :persistent_term.put(__MODULE__, Python.Optional.loaded?(:telemetry))
  end

  @doc false
  # Whether there is a library may be another when the application starts again.
  def forget, do: :persistent_term.erase(__MODULE__)

  @doc false
  def enabled?, do: :persistent_term.get(__MODULE__, false)

  @doc false
  # For one that ends elsewhere than where it begins: what `finish/2` is to be given.
  @spec begin(tuple, Options.t()) :: {integer, map}
  def begin(operation, options) do
    metadata = metadata(operation, options)
    start = System.monotonic_time()

    execute(
      [:python, :call, :start],
      %{system_time: System.system_time(), monotonic_time: start},
      metadata
    )

    {start, metadata}
  end

  @doc false
  @spec finish({integer, map}, term) :: :ok
  def finish({start, metadata}, result) do
    measurements = since(start)

    case result do
      {:error, error} ->
        reason = %{kind: :error, reason: plain(error), stacktrace: []}
        execute([:python, :call, :exception], measurements, Map.merge(metadata, reason))

      _ ->
        execute([:python, :call, :stop], measurements, metadata)
    end
  end

  @doc false
  @spec span(tuple, Options.t(), (() -> result)) :: result when result: term
  def span(operation, options, function) do
    span = begin(operation, options)
    result = function.()
    finish(span, result)
    result
  end

  @doc false
  # In the process that runs the callback.
  @spec callback(String.t() | fun, (() -> result)) :: result when result: term
  def callback(target, function) do
    metadata = %{function: target}
    start = System.monotonic_time()

    execute(
      [:python, :callback, :start],
      %{system_time: System.system_time(), monotonic_time: start},
      metadata
    )

    try do
      result = function.()
      execute([:python, :callback, :stop], since(start), metadata)
      result
    catch
      kind, reason ->
        raised = %{kind: kind, reason: plain(reason), stacktrace: plain(__STACKTRACE__)}
        execute([:python, :callback, :exception], since(start), Map.merge(metadata, raised))
        :erlang.raise(kind, reason, __STACKTRACE__)
    end
  end

  defp since(start) do
    stop = System.monotonic_time()
    %{duration: stop - start, monotonic_time: stop}
  end

  @doc false
  @spec queue(atom, module, Python.Engine.pool()) :: :ok
  def queue(pool, engine, native) do
    %{queued: queued, busy: busy} = engine.stats(native)
    execute([:python, :pool, :queue], %{queued: queued, busy: busy}, %{pool: pool})
  end

  @doc false
  # `home`: a pool's name, or the process of a context.
  @spec blocked(atom | pid, map, non_neg_integer) :: :ok
  def blocked(home, place, ms) do
    pool = if is_atom(home), do: home
    context = if is_pid(home), do: home
    duration = System.convert_time_unit(ms, :millisecond, :native)
    metadata = Map.merge(place, %{pool: pool, context: context})
    execute([:python, :loop, :blocked], %{duration: duration}, metadata)
  end

  defp metadata(operation, options) do
    {module, function} =
      case operation do
        {tag, module, function, _, _}
        when tag in [:call, :map] and not is_reference(module) ->
          {module, function}

        {tag, _object, method, _, _} when tag in [:call, :map] ->
          {nil, method}

        _ ->
          {nil, nil}
      end

    %{
      operation: elem(operation, 0),
      module: module,
      function: function,
      pool: unless(options.context, do: options.pool || Python.Pool.default()),
      context: options.context
    }
  end

  # Handlers print and store metadata: with a handle in it that would call Python, from within a call, and
  # keep the object alive. Its reference says which it was.
  defp plain(%Python.Object{ref: ref}) when is_reference(ref), do: ref
  defp plain(%Python.Error{cause: cause} = error), do: %{error | value: nil, cause: plain(cause)}
  defp plain([head | tail]), do: [plain(head) | plain(tail)]

  defp plain(tuple) when is_tuple(tuple),
    do: tuple |> Tuple.to_list() |> plain() |> List.to_tuple()

  defp plain(%module{} = struct) do
    fields = for {key, value} <- Map.from_struct(struct), into: %{}, do: {key, plain(value)}
    Map.put(fields, :__struct__, module)
  end

  defp plain(map) when is_map(map),
    do: for({key, value} <- map, into: %{}, do: {plain(key), plain(value)})

  defp plain(other), do: other

  # The package is the user's to add; this library does not depend on it.
  defp execute(event, measurements, metadata) do
    apply(:telemetry, :execute, [event, measurements, metadata])
  end
end
