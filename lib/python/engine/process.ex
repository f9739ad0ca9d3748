defmodule Python.Engine.Process do
  @moduledoc false

  # The engine `:process`: Python in processes of the operating system, one for each worker
  # (native/erlang_python_nif/src/engine/process). Requests, streams and their limits are those of the engine `:main`;
  # what a worker is, how it starts and how it ends, is here and in Python.Engine.Process.Worker.

  # How often it is looked for an answer, for up to 9 µs each.
  @looks 16

  use Python.Engine.Native, native: :erlang_python_process, looks: @looks

  alias Python.Engine.Native
  alias Python.Engine.Process.{Names, NotStarted, Options, Spares, Template, Worker}
  alias Python.Options.Start
  alias Python.{NotStartedError, Operation, Runtime}

  # How long a worker may take until it can run something, in ms.
  @start_after 60_000

  # How long a worker may take to end by itself, beside the time that Python's own exit handlers have, in ms.
  @stop_after 500

  # It needs its native library, and no interpreter in the VM.
  @impl true
  def status do
    case Runtime.status() do
      {:error, %NotStartedError{reason: :not_started} = error} -> {:error, error}
      _any -> :ok
    end
  end

  @impl true
  def prepare do
    with :ok <- status(), :ok <- load() do
      case :erlang_python_process.process_begin(Python.Settings.read!().native_layouts) do
        :ok -> :ok
        {:error, text} -> {:error, NotStartedError.new(:not_loaded, %{cause: text})}
      end
    end
  end

  defp load do
    with {:error, {_tag, text}} <- :erlang_python_process.load(),
         do: {:error, NotStartedError.new(:not_loaded, %{cause: text})}
  end

  @impl true
  def prepared?, do: status() == :ok and Python.Library.loaded?(:erlang_python_process)

  @impl true
  defdelegate options(kind), to: Options, as: :schema

  # Each worker has its own.
  @impl true
  def shares_handles?, do: false

  ## Pools

  @impl true
  def start(kind, options) do
    settings = Python.Settings.read!()

    with {:ok, paths} <- paths(settings) do
      # One without a name is a context.
      name = if kind == :pool, do: options.name
      command = Worker.command(options, settings)

      config = %{
        settings: settings(kind, options, %{settings | paths: paths}),
        init: options.init && {Operation.exec(options.init), Process.group_leader()},
        kill_after: options.kill_after,
        stop_after: settings.shutdown_timeout + @stop_after,
        start_after: @start_after,
        max_calls: Map.get(options, :max_calls, :infinity) |> number(),
        bounded: Keyword.has_key?(options.limits, :memory),
        way: Worker.way(command),
        started_by: NotStarted.started_by(options)
      }

      queue = Start.native_queue(options.max_queue)
      pool = :erlang_python_process.process_new(name, queue, options.timeout, config)
      Native.configure(:erlang_python_process, pool, kind, options)

      # The process of a pool starts its workers itself.
      command = with_template(kind, pool, command, options, config.settings)
      Process.put({__MODULE__, pool}, with_spares(kind, pool, command, options))
      {:ok, pool}
    end
  end

  defp number(:infinity), do: 0
  defp number(number), do: number

  # With a `:command`, which may be there to keep workers apart, each is started by that, unless modules are to be shared.
  defp with_template(:pool, pool, command, %{preload: modules} = options, settings)
       when modules != [] or options.command == [] do
    # Elsewhere a process that is forked from one with libraries of the system in it is not sure to work.
    if :os.type() == {:unix, :linux} do
      # A single worker is there sooner, and takes less, by itself. Those that follow are there at once.
      before = if modules == [] and options.size + options.spares == 1, do: 1, else: 0
      %{paths: paths, package: package} = settings
      what = %{modules: modules, paths: paths, package: package, before: before}
      {:ok, template} = Template.start_link(pool, command, what)
      %{command | template: template}
    else
      command
    end
  end

  defp with_template(_kind, _pool, command, _options, _settings), do: command

  defp with_spares(:context, _pool, command, _options), do: command

  defp with_spares(:pool, pool, command, options) do
    {:ok, spares} = Spares.start_link(pool, command, options.spares)
    %{command | spares: spares}
  end

  defp paths(settings) do
    with {:error, error} <- Python.Paths.resolve(settings.paths), do: {:error, error}
  end

  # What a worker is told first.
  defp settings(kind, options, settings) do
    Map.merge(Runtime.config(settings), %{
      home: if(kind == :pool, do: options.name, else: self()),
      context: kind == :context,
      decode: options.decode,
      keep_locals: options.keep_locals,
      limits: Map.new(options.limits),
      preload: Map.get(options, :preload, []),
      shutdown_timeout: settings.shutdown_timeout
    })
  end

  @impl true
  def open(pool) do
    :erlang_python_process.pool_open(pool)
    with %{spares: spares} when is_pid(spares) <- command(pool), do: Spares.open(spares)
    :ok
  end

  defp command(pool), do: Process.get({__MODULE__, pool})

  @impl true
  def stop(pool) do
    :erlang_python_process.pool_close(pool)
    :erlang_python_process.process_stop(pool)
    settings = Python.Settings.read!()
    deadline = now() + settings.shutdown_timeout + 2 * @stop_after

    await_end(
      for(pid <- :erlang_python_process.process_owners(pool), do: Process.monitor(pid)),
      deadline
    )

    :erlang_python_process.process_kill(pool)
  end

  # A worker ends with the process that looks after it.
  defp await_end([], _deadline), do: :ok

  defp await_end([monitor | others], deadline) do
    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} -> await_end(others, deadline)
    after
      max(deadline - now(), 0) ->
        for(left <- [monitor | others], do: Process.demonitor(left, [:flush]))
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  @impl true
  def start_worker(pool, kind, id) do
    command = command(pool)

    case command.spares && Spares.enter(command.spares) do
      nil -> Worker.start_link(pool, kind, id, command)
      pid -> {:ok, pid}
    end
  end

  @impl true
  def context(pid) do
    if Python.Library.loaded?(:erlang_python_process),
      do: :erlang_python_process.process_of_context(pid)
  end

  @impl true
  def workers(pool) do
    for {os_pid, busy, calls} <- :erlang_python_process.process_workers(pool) do
      os_pid = if os_pid > 0, do: os_pid
      %{os_pid: os_pid, busy: busy, calls: calls, memory: os_pid && Worker.memory(os_pid)}
    end
  end

  @impl true
  def count_workers(pool) do
    workers = :erlang_python_process.process_workers(pool)
    {length(workers), Enum.any?(workers, fn {os_pid, _busy, _calls} -> os_pid > 0 end)}
  end

  ## Requests

  # A worker that has to be woken, or calls Elixir, takes longer than one native function may wait.
  defp look(ticket, left) do
    # The last look never says `:soon`.
    with 0 <- :erlang.statistics(:total_run_queue_lengths),
         :soon <- :erlang_python_process.request_look(ticket, left == 1) do
      look(ticket, left - 1)
    else
      {answer} -> {answer}
      _later -> ticket
    end
  end

  # There is no place for the caller.
  @impl true
  def run(_pool, _flags, _operation, _leader), do: :busy

  ## Callbacks

  @impl true
  defdelegate callback_serve(registered), to: :erlang_python_process, as: :process_serve

  @impl true
  def callback_register(name, function) do
    not Names.taken?(name) and :erlang_python_process.process_register(name, function)
  end

  @impl true
  defdelegate callback_unregister(name), to: :erlang_python_process, as: :process_unregister

  # The next callback often follows at once.
  @impl true
  def callback_answer(callback, answer) do
    answered = :erlang_python_process.callback_answer(callback, answer)
    if answered, do: look_on(callback, @looks)
    answered
  end

  # The last look never says that it is worth it to look again.
  defp look_on(callback, left) do
    if :erlang.statistics(:total_run_queue_lengths) == 0 and
         :erlang_python_process.process_look(callback, left == @looks, left == 1),
       do: look_on(callback, left - 1),
       else: :ok
  end
end
