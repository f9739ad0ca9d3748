defmodule Python.Application do
  @moduledoc false

  # A Python that cannot be started does not stop the application: the runtime keeps the reason, and
  # calls return it. A setting that makes no sense does stop it: somebody wrote it by mistake.

  use Application

  # What the start needs until Python is looked for. In interactive mode the VM loads a module when it is needed; many at
  # once take half the time. The others are loaded while Python starts (Python.Runtime).
  @first [
    Python.Environment,
    Python.Environment.Mark,
    Python.Interpreter,
    Python.Interpreter.Pyenv,
    Python.Interpreter.Search,
    Python.Library,
    Python.Paths,
    Python.Release.Bundle,
    Python.Runtime,
    Python.Secret,
    Python.Settings,
    Python.Variables,
    :erlang_python_loader
  ]

  @engines Python.Engine.all()

  # What ends a context whose thread does not come back, and the supervisor's patience beyond that, in ms.
  @grace 5_000
  @longest Python.Schema.max_timeout()

  @impl true
  def start(_type, _args) do
    :code.ensure_modules_loaded(@first)

    case settings() do
      {:ok, settings} ->
        begin()

        children =
          [
            {Python.Runtime, settings},
            child(Python.Collector),
            child(Python.Remote.Handles),
            %{id: :pg, start: {Python.Remote.Load, :start_groups, []}},
            child(Python.Remote.Load)
          ] ++
            for(engine <- @engines, do: child(Python.Callback, engine)) ++
            [shutdown(settings)] ++ default_pool(settings) ++ [child(Python.Feeder)]

        Supervisor.start_link(children, strategy: :rest_for_one, name: Python.Supervisor)

      {:error, error} ->
        {:error, Exception.message(error)}
    end
  end

  # To ask a module for its specification loads it, and Python.Runtime, which is started first, has others look for Python
  # meanwhile.
  defp child(module, argument \\ []),
    do: %{id: {module, argument}, start: {module, :start_link, [argument]}}

  defp shutdown(%{shutdown_timeout: timeout}) do
    %{
      id: Python.Shutdown,
      start: {Python.Shutdown, :start_link, [timeout]},
      shutdown: min(timeout + @grace, @longest)
    }
  end

  # What tells this VM from others that had its number before. Python.Environment.Additions, which is not to be loaded by
  # each start, asks for it.
  defp begin do
    key = {Python.Environment.Additions, :vm}
    unless :persistent_term.get(key, nil), do: :persistent_term.put(key, System.os_time())
  end

  defp settings do
    with {:ok, settings} <- Python.Settings.fetch(),
         {:ok, folders} <- Python.Paths.resolve(settings.paths),
         do: {:ok, %{settings | paths: folders}}
  end

  @impl true
  def prep_stop(state) do
    Python.Shutdown.prepare()
    state
  end

  defp default_pool(%{start_pool: false}), do: []

  defp default_pool(settings) do
    options = [
      name: Python.Pool,
      engine: settings.engine,
      size: settings.num_workers,
      max_queue: settings.max_queue,
      max_stuck: settings.max_stuck,
      timeout: settings.worker_timeout,
      init: settings.init,
      decode: settings.decode,
      keep_locals: settings.keep_locals
    ]

    most = if settings.engine == :main, do: [max_size: settings.max_workers], else: []
    options = options ++ most ++ Python.Settings.of_engine(settings)

    if settings.engine == :main,
      do: [%{id: Python.Pool, start: {Python.Pool, :start_process, [options]}}],
      else: [{Python.Pool, options}]
  end
end
