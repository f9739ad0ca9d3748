defmodule Python.Home do
  @moduledoc false

  # Where a call runs: the pool or context that it names, else that of the handle it is about, else the
  # default pool. All look-ups of pools and contexts pass through here.
  #
  # A handle's home is an atom, the name of a pool, or a pid, the process of a context; its node is
  # that of its reference.

  alias Python.{
    Arguments,
    Callback,
    Context,
    Engine,
    Hold,
    NotStartedError,
    Object,
    Options,
    Pool
  }

  alias Python.Pool.Asleep
  alias Python.Remote.Load
  alias Python.{Settings, StoppedError, Telemetry, TimeoutError}

  @type home :: atom | pid

  @doc "The options with the home of what the call is about, if they name no place themselves."
  @spec options(Options.t(), term) :: Options.t()
  def options(options, %Object{home: {home, node, _id}}) when node != node(),
    do: away(options, home, node)

  # One that was sent to another node, and came back.
  def options(options, %Object{home: {home, _node, id}}),
    do: options(options, %Object{ref: id, home: home})

  # It came by a message. It can be used as long as somebody there has it.
  def options(options, %Object{ref: ref, home: home})
      when is_reference(ref) and node(ref) != node(),
      do: away(options, home, node(ref))

  def options(%{pool: nil, context: nil} = options, %Object{home: home}) when home != nil,
    do: at_home(options, home)

  def options(options, _target), do: options

  # The place that the options name is one of the handle's node, or the call is refused there.
  defp away(%{pool: nil, context: nil} = options, home, node),
    do: %{options | pool: {:home, home, node}}

  defp away(%{pool: {name, :any}} = options, _home, node), do: %{options | pool: {name, node}}

  # It is no argument that a pool of this node knows.
  defp away(%{pool: {_name, _node}} = options, _home, _node_of_it), do: options
  defp away(options, _home, node), do: %{options | pool: {:elsewhere, node}, context: nil}

  @doc "Options that were meant for a node."
  @spec as_on(node, Options.t()) :: Options.t()
  def as_on(node, options) when node == node(), do: options

  def as_on(node, %{context: nil, pool: pool} = options) when is_atom(pool),
    do: %{options | pool: {:home, pool, node}}

  def as_on(_node, options), do: options

  defp at_home(options, nil), do: %{options | pool: nil, context: nil}

  defp at_home(options, pid) when is_pid(pid),
    do: %{options | pool: nil, context: pid, at_home: true}

  defp at_home(options, pool), do: %{options | pool: pool, context: nil, at_home: true}

  @doc """
  The engine, what it knows the pool or context by, and how long to wait for the answer. `{:asleep, pool}` if a pool is to
  be woken up first, see `Python.Pool.Asleep`; `{:remote, {node, options}}` for another node, with the options there.
  """
  @spec lookup(Options.t()) ::
          Pool.lookup()
          | {:asleep, atom}
          | {:remote, {node, Options.t()}}
          | {:error, Exception.t()}
  def lookup(%{context: nil, pool: {:elsewhere, node}}) do
    {:error,
     Python.EncodeError.new(
       "it belongs to the node #{node}, and the call is to run on #{node()}. Leave out :pool and :context, so that it runs there, or make a " <>
         "copy here with Python.fetch/2",
       "the object",
       ""
     )}
  end

  def lookup(%{context: nil, pool: {:home, home, node}} = options),
    do: {:remote, {node, at_home(options, home)}}

  def lookup(%{context: nil, pool: {name, :any}} = options) do
    case Load.nearest(name) do
      node when node == node() -> lookup(%{options | pool: name})
      nil -> {:error, no_pool(name, options)}
      node -> {:remote, {node, %{options | pool: name}}}
    end
  end

  def lookup(%{context: nil, pool: {name, node}} = options),
    do: {:remote, {node, %{options | pool: name}}}

  def lookup(%{context: %Context{pid: pid}} = options) when node(pid) != node(),
    do: {:remote, {node(pid), %{options | context: pid}}}

  def lookup(%{context: pid} = options) when is_pid(pid) and node(pid) != node(),
    do: {:remote, {node(pid), options}}

  # What names no place goes where the body of a `with` is that it is in. So does what is asked of a pool's
  # handle, if any worker of the engine will do.
  def lookup(%{context: nil, pool: pool, timeout: timeout} = options) do
    case Callback.held() do
      nil ->
        pool(pool || Pool.default(), timeout, options, nil)

      %{engine: Python.Remote, native: node} when pool == nil ->
        {:remote, {node, options}}

      hold ->
        if pool == nil or (options.at_home and shared?(pool, hold)),
          do: limited(hold.engine, hold.native, timeout || hold.timeout, hold),
          else: pool(pool, timeout, options, hold)
    end
  end

  def lookup(%{context: %Context{pid: pid} = context, timeout: timeout}) do
    here!(pid)
    limited(context.engine, context.native, timeout || context.timeout, Callback.held())
  end

  def lookup(%{context: context, timeout: timeout} = options) do
    with {engine, native, default} <- context(context, timeout) do
      limited(engine, native, timeout || default, Callback.held())
    else
      :none -> {:error, no_context(context, options)}
      {:error, error} -> {:error, error}
    end
  end

  defp pool(pool, timeout, options, hold) do
    case Pool.lookup(pool) do
      {engine, native, default} ->
        if Telemetry.enabled?(), do: Telemetry.queue(pool, engine, native)
        limited(engine, native, timeout || default, hold)

      nil ->
        if Asleep.asleep?(pool), do: {:asleep, pool}, else: {:error, no_pool(pool, options)}
    end
  end

  defp limited(engine, native, timeout, nil), do: {engine, native, timeout}

  defp limited(engine, native, timeout, hold) do
    with timeout when timeout == :infinity or is_integer(timeout) <- Hold.limit(timeout, hold),
         do: {engine, native, timeout}
  end

  # Whether the body of a `with` can use the handles of a pool.
  defp shared?(_pool, %{engine: Python.Remote}), do: false

  defp shared?(pool, %{engine: engine}) do
    case Pool.lookup(pool) do
      {^engine, _native, _timeout} -> engine.shares_handles?()
      other -> other == nil
    end
  end

  @doc """
  The look-up of a context that is given by its pid or name; `:none` if it is not there. Raises for the pid or the
  name of anything else: no process gets a message that it does not know.
  """
  @spec context(pid | atom, timeout | nil) ::
          Pool.lookup() | :none | {:error, Exception.t()}
  def context(context, timeout) do
    with :ok <- Engine.any_status() do
      pid = if is_pid(context), do: context, else: Process.whereis(context)

      if is_pid(pid) do
        here!(pid)
        Engine.context(pid) || starting(pid, context, timeout)
      else
        :none
      end
    end
  end

  # It has its name before it has a queue.
  defp starting(pid, context, timeout) do
    case kind(pid) do
      :context ->
        wait = timeout || Settings.read!().worker_timeout

        try do
          context = GenServer.call(pid, :context, wait)
          {context.engine, context.native, context.timeout}
        catch
          :exit, {:timeout, _} -> {:error, TimeoutError.new(wait, :queued)}
          :exit, {:noproc, _} -> :none
          # It has ended before it was there: what waits in a queue is told the same.
          :exit, {_reason, _} -> {:error, StoppedError.new(:closed)}
        end

      :gone ->
        :none

      other ->
        raise ArgumentError, not_a(context, other, :context)
    end
  end

  @doc "Raises if a name is that of a process which is no pool."
  @spec pool!(atom) :: :ok
  def pool!(name) do
    with pid when is_pid(pid) <- Process.whereis(name),
         other when other not in [:pool, :gone] <- kind(pid) do
      raise ArgumentError, not_a(name, other, :pool)
    else
      _ -> :ok
    end
  end

  @doc "Raises if a process is no context. It may be gone."
  @spec context!(pid | atom) :: :ok
  def context!(context) do
    with pid when is_pid(pid) and node(pid) == node() <-
           if(is_pid(context), do: context, else: Process.whereis(context)),
         other when other not in [:context, :gone] <- kind(pid) do
      raise ArgumentError, not_a(context, other, :context)
    else
      _ -> :ok
    end
  end

  # What a process is, without a message to it.
  defp kind(pid) do
    cond do
      not Process.alive?(pid) ->
        :gone

      true ->
        case :proc_lib.translate_initial_call(pid) do
          {Context, :init, 1} -> :context
          {Pool, :init, 1} -> :pool
          _ -> if Process.alive?(pid), do: :process, else: :gone
        end
    end
  end

  defp not_a(given, :pool, :context),
    do: "expected a context, got: #{short(given)}, which is a pool. Use the option :pool"

  defp not_a(given, :context, :pool),
    do: "expected a pool, got: #{short(given)}, which is a context. Use the option :context"

  defp not_a(given, :process, wanted),
    do:
      "expected a #{wanted}, got: #{short(given)}, which is another process. Start a #{wanted} with " <>
        if(wanted == :pool, do: "Python.Pool.start_link/1", else: "Python.Context.start_link/1")

  defp here!(pid) when node(pid) == node(), do: :ok

  defp here!(pid) do
    raise ArgumentError,
          "expected a context of the node #{node()}, got: #{inspect(pid)} of the node #{node(pid)}. Call Python " <>
            "there with :erpc.call/4"
  end

  defp no_pool(pool, %{at_home: true}) when pool != Python.Pool do
    case Engine.any_status() do
      {:error, error} -> error
      :ok -> StoppedError.home("pool #{short(pool)}")
    end
  end

  defp no_pool(pool, _options) do
    pool!(pool)
    Pool.why_not(pool)
  end

  defp no_context(context, %{at_home: true}), do: StoppedError.home("context #{short(context)}")

  defp no_context(context, _options) do
    NotStartedError.missing(
      :context,
      context,
      "there is no context #{short(context)}.",
      "Start one with Python.Context.start_link/1."
    )
  end

  defp short(term), do: Arguments.short(term)
end
