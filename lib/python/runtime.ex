defmodule Python.Runtime do
  @moduledoc false

  # The interpreter of this VM: found, loaded and started once, at the start of the application, or when it is needed: with
  # the setting `start: :lazy` for the first call, and if the default pool has another engine (the setting `engine`) for
  # the first pool or context of the engine `:main`. The process only remembers what came of it; it runs no Python. What others want to know is in a persistent term, so that
  # asking costs nothing and works whatever this process does.

  use GenServer

  alias Python.{Environment, Interpreter, NotStartedError, Optional, Secret, Telemetry, Variables}
  alias Python.Interpreter.Running

  @start_timeout 60_000

  def child_spec(settings),
    do: %{id: __MODULE__, start: {__MODULE__, :start_link, [Secret.hide(settings)]}}

  # The state is the settings, whose `env` may have passwords in it.
  def start_link(settings), do: GenServer.start_link(__MODULE__, settings, name: __MODULE__)

  @doc """
  The interpreter that runs, or the reason why none does. `:idle`: none has been needed yet.
  """
  @spec status() :: {:ok, Interpreter.t()} | {:error, NotStartedError.t()} | :idle
  def status do
    :persistent_term.get(__MODULE__, nil) || {:error, NotStartedError.new(:not_started)}
  end

  @doc "The interpreter that runs, which is started if that has not been tried yet, or the reason why none does."
  @spec ensure() :: {:ok, Interpreter.t()} | {:error, NotStartedError.t()}
  def ensure do
    with :idle <- status(), do: GenServer.call(__MODULE__, :start, :infinity)
  catch
    # The application ends.
    :exit, _reason -> {:error, NotStartedError.new(:not_started)}
  end

  @doc "The interpreter that runs, or the one of the settings, which Python processes are started with."
  @spec interpreter() :: {:ok, Interpreter.t()} | {:error, NotStartedError.t()}
  def interpreter do
    with :idle <- status() do
      settings = Python.Settings.read!()
      # What the search depends on.
      key =
        {__MODULE__, settings.python_path, Enum.map(["VIRTUAL_ENV", "PATH"], &System.get_env/1)}

      with nil <- :persistent_term.get(key, nil),
           options = [changes: settings.env, embed: settings.engine != :process],
           {:ok, interpreter} <- Interpreter.find(settings.python_path, options) do
        interpreter = {:ok, %{interpreter | libpython: nil}}
        :persistent_term.put(key, interpreter)
        interpreter
      end
    end
  end

  @doc "The version of the native libraries."
  @spec native_version() :: String.t()
  def native_version do
    {:ok, version} =
      if Python.Library.loaded?(:erlang_python) do
        :erlang_python.runtime_nif_version()
      else
        :ok = :erlang_python_process.load()
        :erlang_python_process.process_version()
      end

    version
  end

  @impl true
  def init(hidden) do
    Process.flag(:trap_exit, true)
    settings = Secret.reveal(hidden)

    status =
      if settings.engine == :main and settings.start == :boot, do: start(settings), else: :idle

    # To look whether there is a library takes as long as to load one, so a start does it while Python starts.
    Telemetry.init()
    :persistent_term.put(__MODULE__, status)
    {:ok, hidden}
  end

  @impl true
  def handle_call(:start, _from, hidden) do
    if status() == :idle,
      do: :persistent_term.put(__MODULE__, start(latest(Secret.reveal(hidden))))

    {:reply, status(), hidden}
  end

  # Which Python it is may be said until then, as `Python.install/2` does.
  defp latest(settings) do
    case Python.Settings.fetch() do
      {:ok, now} -> Map.merge(settings, Map.take(now, [:python, :python_path]))
      {:error, _} -> settings
    end
  end

  @impl true
  def terminate(_reason, _state) do
    :persistent_term.erase(__MODULE__)
    Telemetry.forget()
  end

  # A start that took longer than we waited.
  @impl true
  def handle_info(_message, state), do: {:noreply, state}

  # In interactive mode the VM loads a module when it is needed. While the interpreter answers, and while it starts, there
  # is time for those that its start needs, and for those of the rest of the application's start and of the first call.
  @needed [:erlang_python, Interpreter.Probe, Interpreter.Report, Optional, Running]
  @then [
    :pg,
    Python,
    Python.Arguments,
    Python.Callback,
    Python.Collector,
    Python.Decode,
    Python.Engine,
    Python.Engine.Asyncio,
    Python.Engine.Main,
    Python.Engine.Main.Worker,
    Python.Engine.Native,
    Python.Engine.Process,
    Python.Feeder,
    Python.Home,
    Python.Operation,
    Python.Options,
    Python.Options.Start,
    Python.Pool,
    Python.Pool.Asleep,
    Python.Remote.Handles,
    Python.Remote.Load,
    Python.Request,
    Python.Schema,
    Python.Shutdown,
    Python.Telemetry,
    String.Chars,
    String.Chars.Integer
  ]

  # Of the structs that Python knows, for which their modules are not loaded. What is put into one of them besides its
  # fields would be lost in Python. `Decimal` may not be there.
  @fields Enum.map(Python.Struct.native() -- [Decimal], fn
            MapSet -> {MapSet, Map.keys(MapSet.new())}
            module -> {module, Map.keys(module.__struct__())}
          end)

  # Newer versions of Elixir have none, and warn where one is asked of the struct itself.
  @set_version Keyword.get(Map.to_list(MapSet.new()), :version)

  defp start(settings) do
    {owner, start} = {self(), make_ref()}
    # While the interpreter is looked for, which waits for the file system.
    loading = spawn(fn -> :code.ensure_modules_loaded(@needed) end)

    meanwhile = fn ->
      await_end(loading)
      send(owner, {start, config(settings)})
    end

    # It loads modules, which would hold up those that the start needs.
    later = &send(owner, {start, :later, &1})

    with {:ok, {path, from}} <- Environment.python(settings, later),
         options = [meanwhile: meanwhile, changes: settings.env, from: from],
         options = Interpreter.options(options),
         {:ok, candidate} <- Interpreter.locate(path, options) do
      libpython = if first?(), do: Interpreter.plain_library(candidate, options)

      if libpython && open(libpython, meanwhile) do
        start_plain(candidate, libpython, options, settings, start)
      else
        await_end(loading)
        start_asked(candidate, options, settings, start)
      end
    end
  end

  defp await_end(process) do
    monitor = Process.monitor(process)
    receive(do: ({:DOWN, ^monitor, _, _, _} -> :ok))
  end

  # Without Running, which is being loaded.
  defp first?, do: :persistent_term.get(Running, nil) == nil

  defp start_asked(candidate, options, settings, start) do
    # An interpreter takes longer to answer than all of them.
    before = options[:meanwhile]

    meanwhile = fn ->
      before.()
      :code.ensure_modules_loaded(@then)
    end

    options = Keyword.put(options, :meanwhile, meanwhile)

    with {:ok, interpreter} <- Interpreter.ask(candidate, options),
         {:ok, interpreter} <- Running.check(interpreter, settings),
         :ok <- Interpreter.load(interpreter),
         :ok <- load_native() do
      # What has failed may be half done, and may yet come up after we have waited for it.
      Running.remember(interpreter, settings)

      interpreter.executable |> initialize(settings, start) |> outcome(interpreter)
    end
  end

  # It runs before it was asked. Where that fails it is asked all the same: as a program it can say why.
  defp start_plain(candidate, libpython, options, settings, start) do
    with :ok <- load_native(),
         started = initialize(candidate.executable, settings, start),
         {:ok, interpreter} <- started_plain(started, candidate, libpython, options) do
      Running.remember(interpreter, settings)
      outcome(started, interpreter)
    end
  end

  defp outcome({:failed, text}, interpreter), do: {:error, init_failed(interpreter, text)}
  defp outcome(_started, interpreter), do: {:ok, interpreter}

  defp started_plain({:started, report}, candidate, libpython, _options),
    do: Interpreter.running(candidate, libpython, report)

  defp started_plain(_other, candidate, _libpython, options),
    do: Interpreter.ask(candidate, options)

  # If it cannot be opened, the interpreter is asked: it may know more.
  defp open(libpython, meanwhile) do
    {_pid, monitor} =
      spawn_monitor(fn ->
        exit({:shutdown, :erlang_python_loader.library_open(libpython)})
      end)

    meanwhile.()
    receive(do: ({:DOWN, ^monitor, _, _, reason} -> reason == {:shutdown, :ok}))
  end

  defp load_native do
    case :erlang_python.load() do
      :ok -> :ok
      {:error, {_tag, text}} -> {:error, NotStartedError.new(:not_loaded, %{cause: text})}
    end
  end

  @doc "What every Python is told that this library starts, in the VM or in a process of its own."
  @spec config(Python.Settings.t()) :: map
  def config(settings) do
    decimal = for module <- [Decimal], Optional.loaded?(module), do: {module, fields(module)}

    %{
      package: Application.app_dir(:erlang_python, "priv/python/erlang"),
      paths: settings.paths,
      stack_size: settings.thread_stack_size,
      stdio: settings.stdio,
      logging: settings.logging,
      notebook: Optional.loaded?(Kino.Render),
      native_layouts: settings.native_layouts,
      native_memory: settings.native_memory,
      set_version: @set_version,
      decimal: decimal != [],
      fields: decimal ++ @fields
    }
  end

  defp fields(module), do: Map.keys(module.__struct__())

  defp initialize(executable, settings, start) do
    config =
      Map.merge(prepared_config(settings, start), %{
        program: executable,
        environment: Map.to_list(Variables.with_changes(settings.env))
      })

    case :erlang_python.runtime_start(config, self()) do
      :ok ->
        :code.ensure_modules_loaded(@then)
        Telemetry.init()
        receive(do: ({^start, :later, work} -> spawn(work)), after: (0 -> :ok))
        await_start()

      started_before_or_failed ->
        started_before_or_failed
    end
  end

  # It was prepared while the interpreter answered.
  defp prepared_config(settings, start) do
    receive do
      {^start, config} -> config
    after
      0 -> config(settings)
    end
  end

  defp await_start do
    receive do
      {:started, report} -> {:started, report}
      {:failed, text} -> {:failed, text}
    after
      @start_timeout -> {:failed, "it did not come up within #{@start_timeout} ms"}
    end
  end

  defp init_failed(interpreter, cause) do
    NotStartedError.new(:init_failed, %{
      what: "the interpreter #{interpreter.executable}",
      cause: cause,
      source: interpreter.source,
      tried: interpreter.tried
    })
  end
end
