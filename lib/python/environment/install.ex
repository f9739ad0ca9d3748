defmodule Python.Environment.Install do
  @moduledoc false

  # Makes the environment of a spec, if there is none: a virtual environment that can be moved, with what the lock
  # pins, or with what is asked for where there is no lock.

  alias Python.Environment
  alias Python.Environment.{Base, Key, Requirements, Spec, Store, Uv}
  alias Python.InstallError

  @doc "The environment of a spec, which is made if it is not there, or anyway with `force`."
  @spec run(Spec.t(), Uv.show(), boolean) :: {:ok, Environment.t()} | {:error, Exception.t()}
  def run(%Spec{} = spec, show, force \\ false) do
    store = Spec.store(spec)

    with :ok <- Requirements.check(spec),
         :ok <- locked(spec),
         {:ok, interpreter} <- Base.find(spec, store, show) do
      request = Key.request(spec)
      key = Key.environment(request, interpreter)
      waiting = fn -> show.("Waiting for another process that makes the same environment") end

      work = fn folder -> make(spec, interpreter, request, store, folder, show) end

      # The interpreter is a link to one that may have been removed.
      sound? = &(not force and File.exists?(Environment.interpreter(&1)))

      with {:ok, folder, made} <- Store.make(store, {"environments", key}, waiting, work, sound?),
           # The request of a project without a lock has changed by that.
           :ok <- Store.remember(store, Key.request(spec), key) do
        {:ok, Environment.new(folder, made)}
      end
    end
  end

  # Before anything is downloaded.
  defp locked(spec) do
    with result when result == :none or elem(result, 0) == :ok <- Environment.Lock.fetch(spec),
         do: :ok
  end

  defp make(spec, interpreter, request, store, folder, show) do
    started = System.monotonic_time(:millisecond)

    show.(
      "Making an environment for #{Spec.describe(spec)}, Python #{interpreter.version_string}"
    )

    Store.temporary(store, fn temporary ->
      with {:ok, uv} <- Uv.find(spec, interpreter.executable, store, show),
           {:ok, lists, cd} <- Requirements.plan(uv, spec, interpreter, temporary, show),
           :ok <- venv(uv, spec, interpreter.executable, folder),
           :ok <- install(uv, spec, Environment.interpreter(folder), lists, cd, show) do
        packages = packages(folder)
        took = (System.monotonic_time(:millisecond) - started) / 1000

        show.("Made in #{:erlang.float_to_binary(took, decimals: 1)} s")

        {:ok, mark(spec, interpreter, request, uv, packages)}
      end
    end)
  end

  @doc "Makes a virtual environment that can be moved, with this interpreter."
  @spec venv(Uv.t(), Spec.t(), Path.t(), Path.t()) :: :ok | {:error, InstallError.t()}
  def venv(uv, spec, python, folder) do
    arguments = ["venv", "--quiet", "--relocatable", "--no-project", "--python", python, folder]

    with {:ok, output} <- Uv.run(uv, spec, "making a virtual environment", arguments, []) do
      if File.exists?(Environment.interpreter(folder)),
        do: :ok,
        else:
          {:error,
           InstallError.new(:no_uv, "#{uv.path} has made no virtual environment", output: output)}
    end
  end

  @doc "Installs by lists of arguments for `uv pip install`."
  @spec install(Uv.t(), Spec.t(), Path.t(), [[String.t()]], Path.t(), Uv.show()) ::
          :ok | {:error, InstallError.t()}
  def install(uv, spec, python, lists, cd, show) do
    Enum.reduce_while(lists, :ok, fn list, :ok ->
      arguments = ["pip", "install", "--python", python] ++ list

      case Uv.run(uv, spec, "installing #{Spec.describe(spec)}", arguments, cd: cd, show: show) do
        {:ok, _} -> {:cont, :ok}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
  end

  @doc "The names and versions of the packages in the folder of an environment."
  @spec packages(Path.t()) :: [{String.t(), String.t()}]
  def packages(folder) do
    for path <- Path.wildcard(Path.join(folder, "lib/python*/site-packages/*.dist-info")),
        [name, version] <- [path |> Path.basename(".dist-info") |> String.split("-", parts: 2)],
        do: {String.replace(name, "_", "-"), version}
  end

  defp mark(spec, interpreter, request, uv, packages) do
    %{
      request: request,
      of: Spec.describe(spec),
      python: interpreter.version_string,
      base: interpreter.executable,
      base_prefix: interpreter.base_prefix,
      found: interpreter.source,
      uv: uv.version,
      uv_source: uv.source,
      locked: Environment.Lock.read(spec) != :none,
      packages: packages,
      made: DateTime.utc_now() |> DateTime.truncate(:second) |> DateTime.to_iso8601()
    }
  end
end
