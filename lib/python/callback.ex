defmodule Python.Callback do
  @moduledoc false

  # Runs what Python calls: functions that were passed to it and functions that were registered. Each
  # call gets a process of its own; this one only starts them, so that none holds up another, and ends
  # them when it ends itself. (A Task.Supervisor would cost each call another message there and back, a link a tenth of its
  # time.)

  use GenServer

  alias Python.{Deadline, Engine, Error, NotStartedError, Struct, Telemetry}

  @table __MODULE__

  # How long a device is waited for that should say how wide it is, in ms.
  @geometry 1_000

  # How long callbacks have to end by themselves at the end of the application, in ms.
  @grace 1_000

  # After so many ms without work, garbage is collected.
  @idle 500

  # Where a process that runs a callback keeps it, for requests of its own (Python.Request). An atom: all calls
  # look there, and a tuple would take twice as long.
  @key __MODULE__

  # The table belongs to the supervisor, which calls this: what was registered outlives the process.
  def start_link(engine) do
    if :ets.whereis(@table) == :undefined do
      :ets.new(@table, [:named_table, :public, read_concurrency: true])
    end

    GenServer.start_link(__MODULE__, engine, name: name(engine))
  end

  # Made here: `Module` is large, and would be loaded by each start.
  for engine <- Engine.all() do
    name = if engine == Engine.Main, do: __MODULE__, else: Module.concat(engine, Callback)
    defp name(unquote(engine)), do: unquote(name)
  end

  defp name(engine), do: Module.concat(engine, Callback)

  ## Registered functions

  @doc "Makes a function known to Python by a name. `list`: it takes its arguments as one list."
  @spec register(String.t(), fun | {module, atom}, boolean) :: :ok
  def register(name, function, list) do
    if :ets.whereis(@table) == :undefined, do: raise(NotStartedError.new(:not_started))

    # First: an engine that gets ready meanwhile reads the table.
    :ets.insert(@table, {name, function, list})

    unless Enum.all?(engines(), & &1.callback_register(name, described(function))) do
      :ets.delete(@table, name)

      raise ArgumentError,
            "expected a name that the Python module erlang does not have itself, got: #{inspect(name)}. Register " <>
              "the function under another name"
    end

    :ok
  end

  defp described(%Python.Function{} = function), do: function
  defp described(_function), do: nil

  @spec unregister(String.t()) :: :ok
  def unregister(name) do
    # Where there is no table there is no function either.
    if :ets.whereis(@table) != :undefined, do: :ets.delete(@table, name)
    for engine <- engines(), do: engine.callback_unregister(name)
    :ok
  end

  # Without an interpreter a function can be registered all the same, as the VM runs all the same.
  defp engines, do: Enum.filter(Engine.all(), & &1.prepared?())

  # The callbacks and the bodies of `with` that a process is in, the innermost first, and the innermost body.
  @type running :: {Engine.callbacks(), hold :: map | nil}

  @doc "What the calling process runs, or nil."
  @spec running() :: running | nil
  def running, do: Process.get(@key)

  @doc "The callbacks and the bodies of `with` that the calling process is in, the innermost first."
  @spec handles() :: Engine.callbacks()
  def handles do
    case running() do
      nil -> []
      {handles, _hold} -> handles
    end
  end

  @doc "The body of a `with` that the calling process is in, see `Python.Hold`, or nil."
  @spec held() :: map | nil
  def held do
    case running() do
      nil -> nil
      {_handles, hold} -> hold
    end
  end

  @doc "The calling process enters the body of a `with`. What it was in before, for `leave_hold/1`."
  @spec enter_hold({module, Engine.callback()}, map) :: running | nil
  def enter_hold(handle, hold),
    do: Process.put(@key, {[handle | handles()], within(hold, held())})

  @doc "The calling process is in what another one is in, which waits for it."
  @spec run_as(running | nil) :: :ok
  def run_as(running), do: leave_hold(running)

  @spec leave_hold(running | nil) :: :ok
  def leave_hold(nil), do: with(_ <- Process.delete(@key), do: :ok)
  def leave_hold(outer), do: with(_ <- Process.put(@key, outer), do: :ok)

  # The outer body's time ends the inner one's.
  defp within(hold, %{deadline: deadline, timeout: timeout}) when deadline < hold.deadline,
    do: %{hold | deadline: deadline, timeout: timeout}

  defp within(hold, _outer), do: hold

  ## The process

  @impl true
  def init(engine) do
    Process.flag(:trap_exit, true)

    if engine.prepared?(), do: serve_once(engine)

    # The callbacks that run, each with its process, by its monitor.
    {:ok, {engine, %{}}}
  end

  @doc "The engine is ready: callbacks come to its process from now on."
  @spec serve(module) :: :ok
  def serve(engine) do
    if Process.whereis(name(engine)), do: GenServer.call(name(engine), :serve, :infinity)
    :ok
  catch
    # It has ended meanwhile. The next one finds the engine ready.
    :exit, _reason -> :ok
  end

  @impl true
  def handle_call(:serve, _from, {engine, _callbacks} = state) do
    serve_once(engine)
    {:reply, :ok, state, @idle}
  end

  defp serve_once(engine) do
    unless Process.put(:serves, true) do
      registered =
        for {name, function, _} <- :ets.tab2list(@table), do: {name, described(function)}

      engine.callback_serve(registered)
    end
  end

  @impl true
  def handle_info({:callback, handle, target, args, kwargs, origin}, {engine, callbacks}) do
    {pid, monitor} = spawn_monitor(fn -> run({engine, handle}, target, args, kwargs, origin) end)

    {:noreply, {engine, Map.put(callbacks, monitor, {pid, handle})}, @idle}
  end

  # One that ends without an answer was killed, by the exit of a process that it is linked to for instance.
  def handle_info({:DOWN, monitor, :process, _pid, reason}, {engine, callbacks})
      when is_map_key(callbacks, monitor) do
    {{_pid, handle}, callbacks} = Map.pop!(callbacks, monitor)

    unless engine.callback_answered?(handle) do
      ended = {"exit", "", Exception.format_exit(reason), "", {:exit, reason}}
      engine.callback_answer(handle, {:error, ended})
    end

    {:noreply, {engine, callbacks}, @idle}
  end

  def handle_info({:forward, pid, message}, state) do
    send(pid, message)
    {:noreply, state, @idle}
  end

  def handle_info({:finalizer_blocked, _class, _place, _ms, _counts} = blocked, state) do
    Python.Finalizers.warn(blocked)
    {:noreply, state, @idle}
  end

  def handle_info({what, _home, _place, _ms} = blocked, state)
      when what in [:loop_blocked, :loop_interrupted, :loop_lost] do
    Python.Blocked.report(blocked)
    {:noreply, state, @idle}
  end

  # What passed through here, functions among it, is not to be kept alive by our garbage.
  def handle_info(:timeout, state), do: {:noreply, state, :hibernate}
  def handle_info(_message, state), do: {:noreply, state, @idle}

  # Python does not wait for them any more: its pools have ended before.
  @impl true
  def terminate(_reason, {_engine, callbacks}) do
    for {pid, _handle} <- Map.values(callbacks), do: Process.exit(pid, :shutdown)
    left = await_end(callbacks, Deadline.in_ms(@grace))
    for {pid, _handle} <- Map.values(left), do: Process.exit(pid, :kill)
  end

  defp await_end(callbacks, _deadline) when callbacks == %{}, do: callbacks

  defp await_end(callbacks, deadline) do
    receive do
      {:DOWN, monitor, :process, _pid, _reason} ->
        await_end(Map.delete(callbacks, monitor), deadline)
    after
      Deadline.left(deadline) -> callbacks
    end
  end

  ## The process of one call

  defp run({engine, handle} = callback, target, args, kwargs, {caller, leader}) do
    Process.put(@key, {[callback], nil})
    inherit(caller, leader)

    answer =
      try do
        {function, args} = function(target, args, kwargs)
        {:ok, Struct.encode(observed(target, fn -> apply_to(function, args) end))}
      catch
        kind, reason -> {:error, raised(kind, reason, __STACKTRACE__)}
      end

    engine.callback_answer(handle, answer)
  end

  # What Python prints and reads is no call of anybody's function.
  defp observed(target, call) when is_binary(target) or is_function(target) do
    if Telemetry.enabled?(), do: Telemetry.callback(target, call), else: call.()
  end

  defp observed(_device, call), do: call.()

  # As a task does: what it prints goes where its caller prints, and test tools find the caller.
  defp inherit(caller, leader) do
    if caller, do: Process.put(:"$callers", [caller])
    if there?(leader), do: Process.group_leader(self(), leader)
  end

  # A thread that Python started may outlive the process that its output was for.
  defp there?(leader) when is_pid(leader),
    do: node(leader) != node() or Process.alive?(leader)

  defp there?(nil), do: false

  # What Python prints, reads and logs, see native/erlang_python_nif/src/engine/main/output.rs.
  # The group leader of this process is that of the caller by now, or the VM's own.
  defp function({:device, :stdout}, args, _), do: {&IO.write/1, args}
  defp function({:device, :stderr}, [text], _), do: {&IO.write(:standard_error, &1), [text]}
  defp function({:device, :stdin}, [], _), do: {fn -> read(IO.gets("")) end, []}
  defp function({:device, :stdin}, [count], _), do: {fn -> read(IO.getn("", count)) end, []}

  defp function({:device, :terminal}, [device], _), do: {&terminal/1, [device]}

  defp function({:device, :log}, [level, text, meta], _),
    do: {&:logger.log/3, [String.to_existing_atom(level), text, metadata(meta)]}

  defp function({:device, :function}, [asked], _), do: {&about/1, [asked]}

  defp function(name, args, kwargs) when is_binary(name) do
    case :ets.lookup(@table, name) do
      # Python has put the arguments in their order.
      [{_, %Python.Function{fun: function}, _}] -> {function, args}
      [{_, function, true}] -> {function, [with_kwargs(args, kwargs)]}
      [{_, function, false}] -> {function, with_kwargs(args, kwargs)}
      [] -> raise ArgumentError, "no function is registered as #{inspect(name)}"
    end
  end

  defp function(function, args, kwargs), do: {function, with_kwargs(args, kwargs)}

  # A group leader that is none, such as a file or a test's, answers that it does not know.
  defp terminal("stderr"), do: terminal(Process.whereis(:standard_error))
  defp terminal("stdout"), do: terminal(Process.group_leader())

  defp terminal(device) when is_pid(device) do
    with columns when is_integer(columns) <- geometry(device, :columns),
         rows when is_integer(rows) <- geometry(device, :rows),
         do: {columns, rows}
  end

  defp terminal(_device), do: nil

  # As `:io.columns/1`, which waits for a device that does not answer for as long as it lives.
  defp geometry(device, what) do
    monitor = Process.monitor(device)
    send(device, {:io_request, self(), monitor, {:get_geometry, what}})

    receive do
      {:io_reply, ^monitor, size} when is_integer(size) and size > 0 -> size
      {:io_reply, ^monitor, _} -> nil
      {:DOWN, ^monitor, _, _, _} -> nil
    after
      @geometry -> nil
    end
  end

  # The module, the name and the arity of a function, for Python.
  defp about(function) when is_function(function), do: Python.Function.about(function)

  defp about(name) do
    case :ets.lookup(@table, name) do
      [{_, function, list}] ->
        {module, _name, arity} = Python.Function.about(function)
        # With a list, it takes all arguments as one.
        {module, name, unless(list, do: arity)}

      [] ->
        {"erlang", name, nil}
    end
  end

  defp read(text) when is_binary(text), do: text
  defp read(text) when is_list(text), do: List.to_string(text)
  # The end, or an error.
  defp read(_), do: ""

  # What the log knows by a name of its own, and the rest as it came: its keys are text, which must
  # not become atoms.
  defp metadata(meta) do
    {known, others} = Map.split(meta, ["file", "line", "function", "logger"])

    Enum.reduce(known, %{python: others}, fn
      {"file", file}, all when is_binary(file) -> Map.put(all, :file, String.to_charlist(file))
      {"line", line}, all when is_integer(line) -> Map.put(all, :line, line)
      {"function", name}, all -> Map.put(all, :python_function, name)
      {"logger", name}, all -> Map.put(all, :python_logger, name)
      {_, _}, all -> all
    end)
  end

  defp with_kwargs(args, kwargs) when kwargs == %{}, do: args
  defp with_kwargs(args, kwargs), do: args ++ [kwargs]

  defp apply_to(function, args) when is_function(function, length(args)),
    do: apply(function, args)

  defp apply_to(function, args) when is_function(function) do
    {:arity, arity} = Function.info(function, :arity)

    raise ArgumentError,
          "expected #{arity} argument#{if arity != 1, do: "s"}, got: #{length(args)} (keyword arguments are one more argument, a map, the last)"
  end

  defp apply_to({module, function}, args), do: apply(module, function, args)

  @doc "What is to be raised in Python for what was raised here."
  def raised(kind, reason, stacktrace) do
    reason = if kind == :error, do: Exception.normalize(:error, reason, stacktrace), else: reason
    {type, text} = text(kind, reason)

    {Atom.to_string(kind), type, text, Exception.format_stacktrace(stacktrace), {kind, reason}}
  end

  # An exception of Python's that came through here says what it is itself.
  defp text(:error, %Error{} = error), do: {error.type, error.message}

  defp text(:error, %module{} = error) when is_exception(error),
    do: {inspect(module), Exception.message(error)}

  defp text(_kind, reason), do: {"", inspect(reason)}
end
