defmodule Python.Engine.Process.Worker do
  @moduledoc false

  # Looks after one Python process: starts it, hands on what it writes below Python, and ends with it. It sees no
  # request. The pool's process, which is linked to it, starts another one in its place.

  alias Python.{Environment, Interpreter, Secret, Variables}
  alias Python.Environment.Spec
  alias Python.Engine.Process.{NotStarted, Spares, Template}
  alias Python.Native.Library

  require Logger

  @type command :: %{
          name: atom,
          python: String.t() | Secret.t() | nil,
          prefix: [String.t()],
          environment: Secret.t(),
          cd: String.t() | nil,
          max_memory: pos_integer | nil,
          pool: pid,
          spares: pid | nil,
          template: pid | nil
        }

  @doc "What the workers of a pool are started with."
  @spec command(map, Python.Settings.t()) :: command
  def command(options, settings) do
    {clear, changes} = options.env |> Secret.reveal() |> Map.pop(:clear, false)
    base = if clear, do: %{}, else: Variables.with_changes(settings.env)

    %{
      name: options.name,
      python: options.python,
      prefix: options.command,
      environment: base |> Variables.change(changes) |> Secret.hide(),
      cd: options.cd && Path.expand(options.cd),
      max_memory: with(:infinity <- Map.get(options, :max_memory), do: nil),
      pool: self(),
      spares: nil,
      template: nil
    }
  end

  @doc "Tells ways to start a worker apart. The environment may have secrets, so that it is not kept for that."
  @spec way(command) :: binary
  def way(command) do
    started_by =
      for key <- [:python, :prefix, :environment, :cd],
          do: Secret.reveal(Map.fetch!(command, key))

    :erlang.md5(:erlang.term_to_binary({started_by, File.cwd()}))
  end

  # How often it looks at the memory of a worker whose memory is limited, in ms.
  @look 250

  @doc """
  Starts a worker. That of a context is waited for until it is ready. A `:spare` one runs nothing until it gets
  `{:spare, :enter}`.
  """
  @spec start_link(term, Python.Engine.kind() | :spare, pos_integer, command) ::
          {:ok, pid} | {:error, term}
  def start_link(pool, kind, id, command),
    do: :proc_lib.start_link(__MODULE__, :init, [self(), pool, kind, id, command])

  @doc false
  def init(starter, pool, kind, id, command) do
    link = :erlang_python_process.process_join(pool, id, kind == :spare)
    waits = if kind == :context, do: starter
    state = %{link: link, command: command, starter: waits, os_pid: nil, worn: false}
    # From here on requests can be for this worker.
    if kind != :context, do: :proc_lib.init_ack(starter, {:ok, self()})
    # The one before may have failed.
    Process.sleep(:erlang_python_process.process_pause(pool))
    start(state)
    __MODULE__.loop(state)
  end

  defp start(%{link: link, command: command}) do
    template = command.template && Template.link(command.template)

    with {:error, reason} <- start_from(template, link, command),
         do: :erlang_python_process.process_fail(link, {:not_started, reason})
  end

  defp start_from(nil, link, command), do: spawn(link, command, [], [])

  defp start_from(template, link, command) do
    # It may have ended this moment.
    with {:error, :no_template} <- :erlang_python_process.process_fork(link, template),
         do: start_from(nil, link, command)
  end

  @doc "Starts a process. `mode`: what its guard is told, `arguments`: what it is told itself."
  @spec spawn(reference, command, [String.t()], [String.t()]) :: :ok | {:error, term}
  def spawn(link, command, mode, arguments) do
    with :ok <- folder(command.cd),
         {:ok, python} <- locate(command) do
      environment =
        for {name, value} <- Secret.reveal(command.environment), do: "#{name}=#{value}"

      environment = [Python.Environment.Additions.variable() | environment]
      guarded = [guard() | mode] ++ [System.pid() | command.prefix]
      arguments = guarded ++ [python, script(), library() | arguments]
      :erlang_python_process.process_spawn(link, arguments, environment, command.cd)
    end
  end

  # They may have come, or gone, since the last time.
  defp folder(cd), do: if(cd == nil or File.dir?(cd), do: :ok, else: NotStarted.no_folder(cd))

  defp locate(%{python: python, environment: environment}) do
    with {:ok, {path, from}} <- python(Secret.reveal(python)),
         env = Map.merge(System.get_env(), Secret.reveal(environment)),
         {:ok, candidate} <- Interpreter.Search.locate(path, env, from),
         do: {:ok, candidate.executable}
  end

  defp python(nil), do: Environment.python(Python.Settings.read!())

  defp python(%Spec{} = spec),
    do: with({:ok, path} <- Environment.locate(spec), do: {:ok, {path, :environment}})

  defp python(path), do: {:ok, {path, :option}}

  defp script, do: Application.app_dir(:erlang_python, "priv/python/worker/start.py")

  defp library, do: native("erlang_python_worker")

  @doc "The program that ends with the VM, and with which all ends that a worker has started."
  @spec guard() :: Path.t()
  def guard, do: native("erlang_python_guard")

  defp native(crate) do
    name = Library.installed_name(crate, Library.host())
    Application.app_dir(:erlang_python, Path.join("priv/native", name))
  end

  @doc false
  def loop(state) do
    receive do
      {:python_process, :ready, os_pid} ->
        if state.command.spares, do: Spares.ready(state.command.spares)
        if state.command.max_memory, do: Process.send_after(self(), :look, @look)
        __MODULE__.loop(started(%{state | os_pid: os_pid}, {:ok, self()}))

      {:python_process, :make} ->
        :erlang_python_process.process_make(state.link)
        __MODULE__.loop(state)

      {:python_process, :wearing} ->
        __MODULE__.loop(wear(state, :goes))

      {:python_process, :leaving} ->
        if state.command.spares, do: Spares.leaving(state.command.spares)
        send(state.command.pool, {:worker_leaves, self()})
        __MODULE__.loop(state)

      :look ->
        __MODULE__.loop(look(state))

      {:spare, :enter} ->
        # It may be gone, which is told too.
        :erlang_python_process.process_enter(state.link)
        __MODULE__.loop(state)

      {:spare, :retire} ->
        :erlang_python_process.process_retire(state.link)
        # What reads a stream of it comes to the end first.
        Process.send_after(self(), {:spare, :retire}, @look)
        __MODULE__.loop(state)

      {:python_process, :output, descriptor, text} ->
        write(descriptor, text)
        __MODULE__.loop(state)

      {:python_process, :ended, reason} ->
        exit({:shutdown, reason})

      {:python_process, :failed, reason, pause} ->
        # Those who call are told. Another worker is started when this process ends.
        state = started(state, {:error, reason})
        log(state.command.name, reason, pause)
        Process.sleep(pause)
        exit({:shutdown, reason})

      _other ->
        __MODULE__.loop(state)
    end
  end

  # A worker that has too much memory stays until there is another one.
  defp look(state) do
    memory = memory(state.os_pid) || 0

    if memory > state.command.max_memory do
      wear(state, :asks)
    else
      Process.send_after(self(), :look, @look)
      state
    end
  end

  defp wear(%{worn: false, command: %{spares: spares}} = state, how) when is_pid(spares) do
    Spares.wearing(spares, how)
    %{state | worn: true}
  end

  defp wear(state, _how), do: state

  defp started(%{starter: nil} = state, _result), do: state

  defp started(%{starter: starter} = state, result) do
    with {:error, _reason} <- result, do: Process.unlink(starter)
    :proc_lib.init_ack(starter, result)
    %{state | starter: nil}
  end

  defp log(name, reason, pause) do
    error = Python.Request.error(reason)

    :logger.warning(
      "a Python process of #{inspect(name || Python.Context)} did not start; the next try is in #{pause} ms. " <>
        Exception.message(error)
    )
  end

  @doc "Hands on what C code prints, and Python's own reports, as bytes."
  @spec write(1 | 2, binary) :: :ok
  def write(descriptor, text) do
    device = if descriptor == 1, do: :stdio, else: :standard_error
    if String.valid?(text), do: IO.write(device, text), else: IO.binwrite(device, text)
  catch
    # The device is gone.
    :error, _reason -> :ok
  end

  @doc "How much memory a process has, in bytes, or nil."
  @spec memory(pos_integer) :: non_neg_integer | nil
  def memory(os_pid) do
    case File.read("/proc/#{os_pid}/status") do
      {:ok, status} ->
        with [_, kilobytes] <- Regex.run(~r/^VmRSS:\s+(\d+) kB/m, status),
             do: String.to_integer(kilobytes) * 1024

      {:error, _reason} ->
        memory_by_ps(os_pid)
    end
  end

  # Where there is no /proc.
  defp memory_by_ps(os_pid) do
    with {_unix, name} when name != :linux <- :os.type(),
         ps when is_binary(ps) <- System.find_executable("ps"),
         {text, 0} <- System.cmd(ps, ["-o", "rss=", "-p", "#{os_pid}"], stderr_to_stdout: true),
         {kilobytes, _rest} <- Integer.parse(String.trim(text)) do
      kilobytes * 1024
    else
      _ -> nil
    end
  end
end
