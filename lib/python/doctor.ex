defmodule Python.Doctor do
  @moduledoc """
  Checks whether Python can be started, in the VM and in processes of its own, and says what was found and how to fix
  problems. What the setting `engine` does not ask for is no more than a warning if it does not work.

  `mix python.doctor` prints it. In a release, which has no Mix:

      bin/my_app eval "IO.puts(Python.Doctor.format(Python.Doctor.run()))"
  """

  # Asks the modules that do the work and has no opinion of its own: the sentences about what is
  # wrong are those of Python.NotStartedError.

  alias Python.{Environment, Interpreter, NotStartedError, Paths, Settings}
  alias Python.Environment.{Check, Lock, Secrets, Spec}
  alias Python.Interpreter.Running
  alias Python.Release.Bundle

  @typedoc """
  The result of one check: its title, its status, details, and for an `:error` or a `:warning` the remedy. `:skipped`
  means that an earlier error prevented the check.
  """
  @type check :: %{
          title: String.t(),
          status: :ok | :warning | :error | :skipped,
          lines: [String.t()],
          remedy: String.t() | nil
        }

  @libraries [
    "liberlang_python_loader",
    "liberlang_python_nif",
    "liberlang_python_process",
    "liberlang_python_worker"
  ]

  @doc """
  Checks everything that Python needs to start, and starts it. Returns the list of checks, in that order.

  ## Options

    * `:python` - the interpreter or virtual environment to check. Defaults to the setting `python_path`.
    * `:start` - whether to start the application `:erlang_python` and run an expression in Python. Defaults to `true`.

  ## Examples

      iex> checks = Python.Doctor.run(python: "/no/such/python", start: false)
      iex> for %{status: :error} = check <- checks, do: check.title
      [~s(python_path "/no/such/python" was not found: no such file or directory.)]
  """
  @spec run(keyword) :: [check]
  def run(options \\ []) do
    options = Keyword.validate!(options, python: nil, start: true)
    # In a release that evaluates an expression it is not loaded, and its settings are not there.
    _ = Application.load(:erlang_python)

    {checks, _known} =
      Enum.map_reduce(
        [
          &system/1,
          &settings/1,
          &libraries/1,
          &environment/1,
          &interpreter/1,
          &venv/1,
          &libpython/1,
          &live/1,
          &processes/1
        ],
        %{options: options, stop: nil},
        fn check, known -> check.(known) end
      )

    List.flatten(checks)
  end

  @doc """
  Returns whether Python can be started: whether no check is an `:error`.

  ## Examples

      iex> Python.Doctor.healthy?(Python.Doctor.run(python: "/no/such/python", start: false))
      false
  """
  @spec healthy?([check]) :: boolean
  def healthy?(checks), do: not Enum.any?(checks, &(&1.status == :error))

  @doc """
  Returns the checks as text for a terminal, without colours.

  ## Examples

      iex> Python.Doctor.format([%{title: "Python 3.11.7", status: :ok, lines: ["/usr/bin/python3"], remedy: nil}])
      "[ok]      Python 3.11.7\\n            /usr/bin/python3\\n"
  """
  @spec format([check]) :: String.t()
  def format(checks) do
    Enum.map_join(checks, fn check ->
      mark = String.pad_trailing("[#{check.status}]", 10)
      remedy = if check.remedy, do: ["What to do: " <> check.remedy], else: []
      lines = for line <- check.lines ++ remedy, do: ["            ", line, "\n"]
      IO.iodata_to_binary([mark, check.title, "\n" | lines])
    end)
  end

  ## The checks: each gets what is known so far and adds to it

  defp system(known) do
    title =
      "Erlang/OTP #{System.otp_release()} (NIF #{:erlang.system_info(:nif_version)}), " <>
        "Elixir #{System.version()}, #{:erlang.system_info(:system_architecture)}"

    {ok(title, []), known}
  end

  defp settings(known) do
    with {:ok, settings} <- Settings.fetch(),
         {:ok, folders} <- Paths.resolve(settings.paths) do
      settings = %{settings | paths: folders}
      lines = for key <- Settings.keys(), do: row(key, shown(Map.fetch!(settings, key)))
      {ok("Settings", lines), Map.put(known, :settings, settings)}
    else
      {:error, error} ->
        remedy = "Correct the configuration of :erlang_python, in config.exs or sys.config."
        {error(Exception.message(error), [], remedy), %{known | stop: "the settings"}}
    end
  end

  defp shown(value), do: value |> Python.Environment.Secrets.shown() |> inspect()

  defp libraries(known) do
    case :erlang_python_loader.path() do
      {:ok, loader} ->
        folder = Path.dirname(loader)
        files = Enum.map(@libraries, &Path.join(folder, &1 <> extension()))
        lines = Enum.map(files, &row(Path.basename(&1), size(&1)))
        libraries(known, folder, lines, Enum.reject(files, &File.regular?/1))

      {:error, {_tag, text}} ->
        not_loaded(known, text, [])
    end
  end

  defp libraries(known, folder, lines, []) do
    {ok("Native libraries in #{folder}", lines), known}
  end

  defp libraries(known, _folder, lines, missing) do
    not_loaded(known, "#{Enum.join(missing, " and ")} is not there", lines)
  end

  # The interpreter is looked for all the same: the loader alone is enough for that.
  defp not_loaded(known, cause, lines) do
    error = NotStartedError.new(:not_loaded, %{cause: cause})
    {error(error.message, lines, error.remedy), Map.put(known, :no_start, "the native libraries")}
  end

  # Of the setting `python`; in a release, which may have its own, there is no store to look into.
  defp environment(%{stop: nil, settings: %{python: %Spec{} = spec}, options: options} = known) do
    if options[:python],
      do: {[], known},
      else: with(:none <- in_release(known), do: environment(spec, Check.run(spec), known))
  end

  defp environment(%{stop: nil, options: options} = known) do
    with false <- is_binary(options[:python] || known.settings.python_path),
         {check, known} <- in_release(known) do
      {check, known}
    else
      _ -> {[], known}
    end
  end

  defp environment(known), do: {[], known}

  defp environment(spec, %{environment: nil} = checked, known) do
    [{text, remedy} | _] = checked.problems
    lines = rows_of(spec) ++ for note <- checked.notes, do: row("note", note)
    {error(sentence(text), lines, remedy), %{known | stop: "the environment"}}
  end

  defp environment(spec, checked, known), do: {installed(spec, checked), known}

  defp in_release(known) do
    with {:ok, folder, mark} <- Bundle.find() do
      packages = for {name, version} <- mark.packages, do: row("package", "#{name} #{version}")
      {ok("Python in the release, with #{mark.of}", [row("folder", folder) | packages]), known}
    end
  end

  defp installed(spec, %{environment: environment, problems: problems, notes: notes}) do
    mark = environment.mark

    lines =
      [
        row("folder", environment.folder),
        row("made", "#{mark[:made]} by uv #{mark[:uv]} (#{uv(mark[:uv_source])})"),
        row("made with", "#{mark[:base]}, Python #{mark[:python]} (#{source(mark[:found])})"),
        row("lock", if(mark[:locked], do: Path.relative_to_cwd(Lock.path(spec)), else: "none"))
      ] ++
        rows_of(spec) ++
        for({name, version} <- mark[:packages] || [], do: row("package", "#{name} #{version}")) ++
        for note <- notes, do: row("note", note)

    case problems do
      [] -> ok("Environment with #{Spec.describe(spec)}", lines)
      [{text, remedy} | _] -> check(:warning, sentence(text), lines, remedy)
    end
  end

  defp rows_of(spec) do
    for {key, value} <- [
          index: spec.index,
          extra_index: spec.extra_index,
          find_links: spec.find_links
        ],
        text <- List.wrap(value),
        do: row(key, Secrets.mask_url(text))
  end

  defp sentence(text), do: String.replace(text, ~r/\A\p{Ll}/u, &String.upcase/1)

  defp uv(:configured), do: "of the setting"
  defp uv(:path), do: "on PATH"
  defp uv(_downloaded), do: "downloaded"

  defp interpreter(%{stop: nil} = known) do
    case find(known.options[:python], known.settings) do
      {:ok, interpreter} ->
        lines = [
          row("executable", interpreter.executable),
          row("found through", found(interpreter)),
          row("version", interpreter.build),
          row("prefix", interpreter.prefix),
          row("base prefix", interpreter.base_prefix),
          row("libpython", interpreter.libpython || "none")
        ]

        check = ok("Python #{interpreter.version_string}", lines ++ tried(interpreter.tried))
        {check, Map.put(known, :interpreter, interpreter)}

      {:error, error} ->
        output = for line <- lines(error.details[:output]), do: row("it printed", line)
        lines = output ++ tried(error.details[:tried] || [])
        {error(error.message, lines, error.remedy), %{known | stop: "the interpreter"}}
    end
  end

  defp interpreter(known), do: {skipped("The interpreter", known.stop), known}

  defp find(python, settings) do
    with {:ok, {path, from}} <- named(python, settings) do
      # Whether it can be embedded is looked at below.
      Interpreter.find(path, changes: settings.env, embed: false, from: from)
    end
  end

  defp named(nil, settings), do: Environment.python(settings)
  defp named(python, _settings), do: {:ok, {python, :python_path}}

  defp venv(%{interpreter: %{venv: nil}} = known), do: {ok("No virtual environment", []), known}

  defp venv(%{interpreter: %{venv: venv} = interpreter} = known) do
    {major, minor, _micro} = interpreter.version
    packages = Path.join(venv, "lib/python#{major}.#{minor}/site-packages")

    if File.dir?(packages) or match?({:win32, _}, :os.type()) do
      {ok("Virtual environment #{venv}", [row("packages", packages)]), known}
    else
      # The interpreter that it links to has been replaced by a newer one.
      title = "The virtual environment #{venv} was made for another Python: no #{packages}."
      remedy = "Run `python3 -m venv --upgrade #{venv}` and install its packages again."
      {check(:warning, title, [], remedy), known}
    end
  end

  defp venv(known), do: {[], known}

  # With the engine `:process` the VM is not to load it.
  defp libpython(%{interpreter: %{libpython: file}, settings: %{engine: :process}} = known)
       when is_binary(file) do
    lines = [row("opened", "no, because of the setting engine: :process")]
    {ok("Python can be embedded: it has a libpython", lines), known}
  end

  defp libpython(%{interpreter: interpreter} = known) do
    case Interpreter.load(interpreter) do
      :ok ->
        title = "Python can be embedded: libpython was opened and is that of the interpreter"
        {ok(title, []), known}

      {:error, error} ->
        status = if known.settings.engine == :main, do: :error, else: :warning
        lines = [row("needed", "by the engine :main only")]

        {check(status, error.message, lines, error.remedy),
         Map.put(known, :no_main, "the library")}
    end
  end

  defp libpython(known), do: {skipped("Its libpython", known.stop), known}

  defp live(%{options: options} = known) do
    stop = known.stop || known[:no_start] || (known.settings.engine == :main && known[:no_main])

    cond do
      not options[:start] -> {[], known}
      stop -> {skipped("Starting Python", stop), known}
      true -> {start(known.interpreter, known.settings, options[:python]), known}
    end
  end

  # The default pool has shown it otherwise.
  defp processes(%{settings: %{engine: :main}, options: options} = known) do
    stop = known.stop || known[:no_start]

    cond do
      not options[:start] -> {[], known}
      stop -> {skipped("A Python process", stop), known}
      true -> {process(options[:python]), known}
    end
  end

  defp processes(known), do: {[], known}

  ## Starting

  # In a VM that runs Python, it may be another one that was looked at.
  defp start(_interpreter, %{engine: :process}, python), do: start(python)

  defp start(interpreter, settings, python) do
    case Running.check(interpreter, settings) do
      {:ok, _} -> start(python)
      {:error, error} -> error(error.message, [], error.remedy)
    end
  end

  defp start(python) do
    begin = System.monotonic_time(:microsecond)
    with :ok <- start_application(python), do: compute(Python.eval("1 + 1"), begin)
  end

  defp start_application(python) do
    if python, do: Application.put_env(:erlang_python, :python_path, python)

    with {:error, reason} <- Application.ensure_all_started(:erlang_python) do
      title = "The application :erlang_python did not start: #{inspect(reason)}."
      error(title, [], "The log has more about it.")
    else
      {:ok, _started} -> :ok
    end
  end

  # A pool of one, for this. Whether it works is of no matter for the default pool.
  defp process(python) do
    with :ok <- start_application(python),
         {:ok, pool} <- Python.Pool.start_link(name: __MODULE__, engine: :process, size: 1) do
      result = Python.eval("1 + 1", %{}, pool: __MODULE__)
      GenServer.stop(pool)

      case result do
        {:ok, 2} ->
          ok("Python can run in processes of its own (engine: :process)", [])

        {:error, error} ->
          check(
            :warning,
            "Python cannot run in processes of its own.",
            [Exception.message(error)],
            nil
          )
      end
    else
      {:error, reason} ->
        check(:warning, "Python cannot run in processes: #{inspect(reason)}", [], nil)

      failed ->
        failed
    end
  end

  defp compute({:ok, 2}, begin) do
    took = System.monotonic_time(:microsecond) - begin
    ok("Python computed 1 + 1 = 2, #{div(took, 1000)} ms after the start began", native())
  end

  # A project may well have its pools in its own supervision tree.
  defp compute({:error, %NotStartedError{reason: :disabled} = error}, _begin) do
    check(:warning, "Python was started, and not called: #{error.message}", [], error.remedy)
  end

  defp compute({:error, %NotStartedError{} = error}, _begin) do
    error(error.message, [], error.remedy)
  end

  defp compute(other, _begin) do
    text =
      case other do
        {:error, error} when is_exception(error) -> Exception.message(error)
        _ -> inspect(other)
      end

    remedy = "Please report this with the whole output of `mix python.doctor`."
    error("Python did not compute 1 + 1: #{text}", [], remedy)
  end

  defp native do
    if Python.Library.loaded?(:erlang_python),
      do: native_layouts(),
      else: [row("engine", ":process: the VM has loaded no libpython")]
  end

  defp native_layouts do
    {layouts, memory} = :erlang_python.runtime_native()
    layouts = if layouts == [], do: "none", else: Enum.join(layouts, ", ")

    [
      row("layouts read in place", layouts),
      row("large pieces of memory", if(memory, do: "kept for their next use", else: "Python's"))
    ]
  end

  ## Texts

  defp tried(tried), do: for({what, outcome} <- tried, do: row("tried", "#{what}: #{outcome}"))

  defp lines(nil), do: []
  defp lines(output), do: String.split(output, "\n", trim: true)

  defp found(%{source: :environment, prefix: prefix}) do
    case Bundle.find() do
      {:ok, ^prefix, mark} -> "the release, which has #{mark.of}"
      _ -> "the setting python"
    end
  end

  defp found(%{source: source}), do: source(source)

  defp source(:python_path), do: "the setting python_path"

  defp source(:virtual_env), do: "the environment variable VIRTUAL_ENV"
  defp source(:path), do: "PATH"
  defp source(:pyenv), do: "pyenv"
  defp source(:uv), do: "one of uv"
  defp source(:fetched), do: "fetched by uv"
  defp source(_other), do: "nothing"

  defp size(file) do
    case File.stat(file) do
      {:ok, %{size: size}} -> "#{div(size, 1024)} KiB"
      {:error, reason} -> to_string(:file.format_error(reason))
    end
  end

  # erlang:load_nif/2 takes .so on macOS too.
  defp extension, do: if(match?({:win32, _}, :os.type()), do: ".dll", else: ".so")

  defp row(name, value), do: String.pad_trailing(to_string(name), 28) <> value

  defp ok(title, lines), do: check(:ok, title, lines, nil)
  defp error(title, lines, remedy), do: check(:error, title, lines, remedy)

  defp skipped(title, stop),
    do: check(:skipped, "#{title}: not tried because of #{stop}", [], nil)

  defp check(status, title, lines, remedy) do
    %{title: title, status: status, lines: lines, remedy: remedy}
  end
end
