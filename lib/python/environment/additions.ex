defmodule Python.Environment.Additions do
  @moduledoc false

  # Packages for a Python that runs. Neither its environment is changed, which other VMs may have, nor a user's own
  # Python: the packages are in a folder of their own, which is put on `sys.path` of this VM's Pythons
  # (priv/python/erlang/_additions.py).
  #
  # uv is to resolve for what is installed already. It gets a virtual environment that has the metadata of these packages
  # and nothing else of them, and installs into that. What it takes away there would be replaced.

  alias Python.{Engine, Environment}

  alias Python.Environment.{
    Failure,
    Install,
    Key,
    Mark,
    Requirements,
    Spec,
    Store,
    Uv,
    Version
  }

  alias Python.{InstallError, Interpreter, Runtime, Settings}
  alias Python.Native.Lock

  @module :"erlang._additions"
  @timeout 60_000

  @type result :: %{packages: [{String.t(), String.t()}], folder: Path.t() | nil}

  @doc "Adds the packages of a spec to the Pythons of this VM that have this interpreter."
  @spec add(Spec.t(), Interpreter.t(), Uv.show()) :: {:ok, result} | {:error, Exception.t()}
  def add(%Spec{} = spec, interpreter, show) do
    store = Spec.store(spec)

    with :ok <- fits(spec, interpreter),
         :ok <- Requirements.check(spec),
         {:ok, installed} <-
           in_python(&Python.call(@module, :installed, [], context: &1, timeout: @timeout)) do
      key = key(spec, interpreter, installed)
      waiting = fn -> show.("Waiting for another process that installs the same packages") end
      work = fn folder -> make(spec, interpreter, installed, store, folder, show) end

      with {:ok, folder, _made} <- Store.make(store, {"additions", key}, waiting, work),
           mark = Mark.read(folder),
           :ok <- not_imported(mark.replaced, interpreter),
           :ok <- use(store, folder, mark, interpreter) do
        {:ok, %{packages: mark.packages, folder: folder}}
      end
    end
  end

  defp fits(%{version: nil}, _interpreter), do: :ok

  defp fits(%{version: version}, interpreter) do
    {:ok, clauses} = Version.parse(version)

    if Version.fits?(clauses, interpreter) do
      :ok
    else
      {:error,
       InstallError.new(
         :no_python,
         "Python #{interpreter.version_string} runs in this VM already, and not #{version}",
         remedy:
           "Call Python.install/2 before Python starts: set start: :lazy, and restart the VM."
       )}
    end
  end

  defp key(spec, interpreter, installed) do
    Key.hash({Key.request(spec), Key.environment("", interpreter), interpreter.prefix, installed})
  end

  ## Python

  # A context needs no pool, and is not in the way of calls. That of a process has what its workers have.
  defp in_python(function) do
    engine = if in_vm?(), do: :main, else: :process

    with {:ok, context} <- Python.Context.start_link(engine: engine) do
      try do
        function.(context)
      after
        Python.Context.stop(context)
      end
    end
  end

  ## Making

  defp make(spec, interpreter, installed, store, folder, show) do
    show.("Adding #{Spec.describe(spec)} to Python #{interpreter.version_string}")
    # It is not what is installed that loses something.
    show = &unless(&1 =~ ~r/\A(Uninstalled | - )/, do: show.(&1))

    Store.temporary(store, fn temporary ->
      with {:ok, uv} <- Uv.find(spec, interpreter.executable, store, show),
           {:ok, lists, cd} <- Requirements.plan(uv, spec, interpreter, temporary, show),
           :ok <- Install.venv(uv, spec, interpreter.executable, folder),
           {:ok, there} <- pretend(folder, installed),
           :ok <- Install.install(uv, spec, Environment.interpreter(folder), lists, cd, show) do
        gone = for {name, _version, path} <- there, not File.exists?(path), do: name
        for {_name, _version, path} <- there, do: File.rm_rf(path)
        {:ok, %{packages: Install.packages(folder), replaced: gone, of: Spec.describe(spec)}}
      end
    end)
  end

  # What uv reads of an installed package, and what it removes.
  defp pretend(folder, installed) do
    site = site_packages(folder)

    Enum.reduce_while(installed, {:ok, []}, fn {name, version, requirements}, {:ok, there} ->
      info = "#{String.replace(name, ~r/[-_.]+/, "_")}-#{version}.dist-info"
      path = Path.join(site, info)
      lines = ["Metadata-Version: 2.1", "Name: #{name}", "Version: #{version}"]
      lines = lines ++ for(text <- requirements, do: "Requires-Dist: #{text}")
      record = "#{info}/METADATA,,\n#{info}/INSTALLER,,\n#{info}/RECORD,,\n"

      with :ok <- File.mkdir_p(path),
           :ok <- File.write(Path.join(path, "METADATA"), Enum.join(lines, "\n") <> "\n\n"),
           :ok <- File.write(Path.join(path, "INSTALLER"), "erlang_python\n"),
           :ok <- File.write(Path.join(path, "RECORD"), record) do
        {:cont, {:ok, [{name, version, path} | there]}}
      else
        {:error, reason} -> {:halt, {:error, Failure.file(reason, path)}}
      end
    end)
  end

  defp site_packages(folder) do
    [site] = Path.wildcard(Path.join(folder, "lib/python*/site-packages"))
    site
  end

  ## Checking

  defp not_imported([], _interpreter), do: :ok

  defp not_imported(names, interpreter) do
    in_vm =
      if in_vm?(),
        do: in_python(&Python.call(@module, :imported, [names], context: &1, timeout: @timeout)),
        else: {:ok, []}

    with {:ok, []} <- in_vm,
         [] <- for(pool <- pools(interpreter), name = in_pool(pool, names), do: name) do
      :ok
    else
      {:ok, [_ | _] = names} -> {:error, imported(names)}
      [_ | _] = names -> {:error, imported(Enum.uniq(names))}
      {:error, error} -> {:error, error}
    end
  end

  defp in_pool(pool, names) do
    code = "from erlang import _additions\n_additions.check(_names)"
    # Each worker has modules of its own, and says so by an error.
    code = String.replace(code, "_names", "[" <> Enum.map_join(names, ", ", &"'#{&1}'") <> "]")

    case Python.exec(code, pool: pool, timeout: @timeout) do
      {:error, %Python.Error{type: "ImportError", message: message}} ->
        message |> String.split() |> hd()

      _ ->
        nil
    end
  end

  defp imported(names) do
    list = Enum.join(names, " and ")

    InstallError.new(
      :imported,
      "#{list} would be replaced by another version, and Python has imported it already",
      remedy:
        "Ask for it before it is imported, with start: :lazy and a restart of the VM, or for other versions.",
      details: %{packages: names}
    )
  end

  ## Using

  defp use(_store, _folder, %{packages: []}, _interpreter), do: :ok

  defp use(store, folder, _mark, interpreter) do
    Store.use(store, Path.basename(folder))
    site = site_packages(folder)

    with :ok <- announce(interpreter.prefix, site) do
      if in_vm?() do
        with {:ok, nil} <-
               in_python(&Python.call(@module, :add, [site], context: &1, timeout: @timeout)),
             do: :ok
      else
        :ok
      end
    end
  end

  # For processes.
  defp announce(prefix, site) do
    file = file()

    with :ok <- File.mkdir_p(Path.dirname(file)),
         :ok <- File.write(file, "#{prefix}\t#{site}\n", [:append]) do
      :ok
    else
      # There is nobody to read it.
      {:error, reason} ->
        if(pools(nil) == [], do: :ok, else: {:error, Failure.file(reason, file)})
    end
  end

  @doc "The variable that names the file with the folders to Python processes."
  @spec variable() :: String.t()
  def variable, do: "ERLANG_PYTHON_ADDITIONS=" <> file()

  # One of its own for each VM: another one may have had the number of this one before.
  defp file do
    store =
      case Settings.fetch() do
        {:ok, %{python: spec}} -> Spec.store(spec)
        _ -> Spec.store(nil)
      end

    vm = :persistent_term.get({__MODULE__, :vm}, 0)
    Path.join([store, "added", "#{vm}.#{Lock.host()}.#{System.pid()}"])
  end

  # The pools of processes that run and have this interpreter, or any.
  defp pools(interpreter) do
    for name <- Python.Pool.names() -- Python.Pool.Asleep.names(),
        {Engine.Process, _, _} <- [Python.Pool.lookup(name)],
        interpreter == nil or
          Python.eval("__import__('sys').prefix", %{}, pool: name) == {:ok, interpreter.prefix},
        do: name
  end

  # Whether the VM's Python runs.
  defp in_vm?, do: match?({:ok, _}, Runtime.status())

  @doc "Whether a Python runs that packages could be added to."
  @spec running?() :: boolean
  def running? do
    in_vm?() or (Runtime.status() == :idle and pools(nil) != [])
  end
end
