defmodule Python.Environment.Base do
  @moduledoc false

  # The interpreter that an environment is made with. The first that fits of
  #
  #   1. VIRTUAL_ENV: the interpreter of the environment that somebody has activated
  #   2. `python3.13`, `python3` and `python` on PATH
  #   3. the builds that were fetched for other environments, in the folder of the environments
  #   4. the versions of pyenv, and those of uv
  #   5. a build that runs in any folder, which uv fetches
  #
  # `UV_PYTHON_PREFERENCE` and `UV_PYTHON_DOWNLOADS` have the meaning that they have for uv: with `only-managed` 1, 2 and
  # pyenv are left out, with `only-system` and `never` 3 to 5 or 5.

  alias Python.{InstallError, Interpreter}
  alias Python.Environment.{Spec, Uv, Version}
  alias Python.Interpreter.Search

  @newest 15
  @oldest 8

  @doc "The interpreter for a spec, which uv fetches if there is none. `show`: for progress."
  @spec find(Spec.t(), Path.t(), Uv.show()) ::
          {:ok, Interpreter.t()} | {:error, InstallError.t()}
  def find(%Spec{} = spec, store, show) do
    search(spec, store, embed: embed?(spec), fetch: &fetch_by_uv(spec, store, show, &1, &2, &3))
  end

  defp embed?(%{embed: nil}), do: Application.get_env(:erlang_python, :engine) != :process
  defp embed?(%{embed: embed}), do: embed

  @doc """
  The same, with

    * `:embed` - whether it must be one that the VM can load. Defaults to `true`.
    * `:env` - the environment variables. Defaults to those of the VM, with the spec's.
    * `:fetch` - a function that is given what to fetch, in uv's words, the folder to put it into, and an interpreter that
      does not fit, or nil. Without it, nothing is fetched.
  """
  @spec search(Spec.t(), Path.t(), keyword) ::
          {:ok, Interpreter.t()} | {:error, InstallError.t()}
  def search(spec, store, options) do
    env = Keyword.get_lazy(options, :env, fn -> Map.merge(System.get_env(), spec.env) end)
    embed = Keyword.get(options, :embed, true)

    with {:ok, wanted} <- wanted(spec) do
      search = %{
        wanted: wanted,
        text: text(spec),
        embed: embed,
        env: env,
        spec: spec,
        folder: Path.join(store, "pythons")
      }

      with {:none, tried} <- first(candidates(search), search, []),
           do: fetch(search, tried, options[:fetch])
    end
  end

  # The interpreter is one whose pip may fetch uv.
  defp fetch_by_uv(spec, store, show, text, folder, interpreter) do
    with {:ok, uv} <- Uv.find(spec, interpreter && interpreter.executable, store, show) do
      show.("Fetching Python #{text}")
      arguments = ["python", "install", text, "--install-dir", folder, "--no-bin"]
      doing = "fetching Python #{text}"
      with {:ok, _output} <- Uv.run(uv, spec, doing, arguments, show: show), do: :ok
    end
  end

  ## What is wanted

  defp wanted(spec) do
    case Version.parse(text(spec)) do
      {:ok, clauses} ->
        {:ok, clauses}

      :error ->
        message = "requires-python of #{spec.project} is #{inspect(text(spec))}"
        remedy = ~s(Write a version such as ">=3.10,<3.14", or set :version.)
        {:error, InstallError.new(:invalid, message, remedy: remedy)}
    end
  end

  defp text(%{version: nil, project: folder}) when is_binary(folder) do
    with {:ok, text} <- File.read(Path.join(folder, "pyproject.toml")),
         [_, _quote, version] <-
           Regex.run(~r/^\s*requires-python\s*=\s*(["'])([^"'\n]*)\1/m, text) do
      String.trim(version)
    else
      _ -> nil
    end
  end

  defp text(%{version: version}), do: version

  ## The search

  defp first([], _search, tried), do: {:none, Enum.reverse(tried)}

  defp first([{source, path} | others], search, tried) do
    case look(path, search) do
      {:ok, interpreter} -> {:ok, %{interpreter | source: source}}
      {:no, why} -> first(others, search, [{path, why} | tried])
    end
  end

  defp look(path, search) do
    # The version comes first: a Python that nobody wants need not be one that can be embedded.
    case Interpreter.find(path, embed: false) do
      {:ok, interpreter} ->
        cond do
          not Version.fits?(search.wanted, interpreter) -> {:no, {:other, interpreter}}
          search.embed and interpreter.libpython == nil -> {:no, {:cannot_embed, interpreter}}
          true -> {:ok, interpreter}
        end

      {:error, error} ->
        {:no, {:unusable, error}}
    end
  end

  defp candidates(%{env: env} = search) do
    case preference(env) do
      "only-managed" -> managed(search)
      "only-system" -> virtual_env(env) ++ on_path(search) ++ pyenv(search)
      "managed" -> managed(search) ++ virtual_env(env) ++ on_path(search) ++ pyenv(search)
      _system -> virtual_env(env) ++ on_path(search) ++ managed(search) ++ pyenv(search)
    end
    |> Enum.uniq_by(fn {_source, path} -> path end)
  end

  defp preference(env) do
    cond do
      yes?(env["UV_MANAGED_PYTHON"]) -> "only-managed"
      yes?(env["UV_NO_MANAGED_PYTHON"]) -> "only-system"
      true -> env["UV_PYTHON_PREFERENCE"]
    end
  end

  defp yes?(value), do: value in ["1", "true"]

  defp virtual_env(env) do
    case env["VIRTUAL_ENV"] do
      unset when unset in [nil, ""] ->
        []

      folder ->
        for path <- [Path.join(folder, "bin/python")],
            File.exists?(path),
            do: {:virtual_env, path}
    end
  end

  defp on_path(%{wanted: wanted, env: env}) do
    # The default of the user, unless one version is wanted.
    names =
      case Version.minor(wanted) do
        nil -> ["python3", "python"] ++ minors(wanted)
        minor -> ["python#{minor}", "python3", "python"]
      end

    for name <- names, path = Search.find_program(name, env), do: {:path, path}
  end

  defp minors([]), do: []
  defp minors(_wanted), do: for(minor <- @newest..@oldest//-1, do: "python3.#{minor}")

  defp managed(%{env: env} = search) do
    fetched(search) ++ for path <- builds(uv_folder(env), search), do: {:uv, path}
  end

  defp fetched(search), do: for(path <- builds(search.folder, search), do: {:fetched, path})

  defp uv_folder(env) do
    home = env["HOME"] || "/"
    data = set(env, "XDG_DATA_HOME") || Path.join(home, ".local/share")
    set(env, "UV_PYTHON_INSTALL_DIR") || Path.join(data, "uv/python")
  end

  defp pyenv(%{env: env} = search) do
    root = set(env, "PYENV_ROOT") || Path.join(env["HOME"] || "/", ".pyenv")
    for path <- builds(Path.join(root, "versions"), search), do: {:pyenv, path}
  end

  defp set(env, name), do: with("" <- Map.get(env, name, ""), do: nil)

  # The newest first. The names have the version, and a link to one without is the same.
  defp builds(folder, %{wanted: wanted}) do
    names = with {:error, _} <- File.ls(folder), do: {:ok, []}
    {:ok, names} = names

    for(name <- names, version = Version.of_name(name), do: {version, name})
    |> Enum.filter(fn {version, _name} -> Version.fits?(wanted, version) end)
    |> Enum.sort(:desc)
    |> Enum.map(fn {_version, name} -> Path.join([folder, name, "bin/python3"]) end)
    |> Enum.filter(&File.exists?/1)
  end

  ## Fetching

  defp fetch(%{env: env, spec: spec} = search, tried, fetch) do
    cond do
      fetch == nil ->
        {:error, none(search, tried, nil)}

      spec.offline or yes?(env["UV_OFFLINE"]) ->
        {:error, none(search, tried, "none was fetched, because it is to work offline")}

      preference(env) == "only-system" ->
        {:error,
         none(search, tried, "none was fetched, because uv is to use those of the system only")}

      env["UV_PYTHON_DOWNLOADS"] in ["never", "manual"] ->
        {:error, none(search, tried, "none was fetched, because UV_PYTHON_DOWNLOADS forbids it")}

      true ->
        fetch_with(fetch, search, tried)
    end
  end

  defp fetch_with(fetch, search, tried) do
    python = Enum.find_value(tried, fn {_path, why} -> usable(why) end)

    case fetch.(search.text || ">=3.#{@oldest}", search.folder, python) do
      :ok ->
        with {:none, more} <- first(fetched(search), search, []),
             do: {:error, none(search, tried ++ more, "uv has fetched none that does")}

      {:error, error} ->
        none = none(search, tried, "uv could not fetch one")

        {:error,
         %{error | message: "#{none.message}: #{error.message}", remedy: remedy(tried, error)}}
    end
  end

  defp usable({reason, interpreter}) when reason in [:other, :cannot_embed], do: interpreter
  defp usable(_reason), do: nil

  defp none(search, tried, why) do
    message = "no Python was found that fits#{version(search)}#{in_vm(search)}#{list(tried)}"
    message = if why, do: "#{message}; #{why}", else: message

    InstallError.new(:no_python, message,
      remedy: remedy(tried, nil),
      details: %{tried: for({path, why} <- tried, do: {path, outcome(why)}), version: search.text}
    )
  end

  defp version(%{text: nil}), do: ""
  defp version(%{text: text}), do: " the version #{text}"

  defp in_vm(%{embed: true}), do: " and can be embedded"
  defp in_vm(_search), do: ""

  # What is of another version is of no interest, unless there is nothing else.
  defp list(tried) do
    near = for {_path, why} = one <- tried, elem(why, 0) != :other, do: one
    shown = if near == [], do: tried, else: near
    shown = Enum.take(shown, 5)

    if shown == [],
      do: "",
      else:
        " (" <>
          Enum.map_join(shown, "; ", fn {path, why} -> "#{path}: #{outcome(why)}" end) <> ")"
  end

  defp outcome({:other, interpreter}), do: "Python #{interpreter.version_string}"

  defp outcome({:cannot_embed, interpreter}),
    do: "Python #{interpreter.version_string}, which has no shared library"

  defp outcome({:unusable, error}), do: error.details[:cause] || error.message

  defp remedy(tried, error) do
    process =
      if Enum.any?(tried, &match?({_, {:cannot_embed, _}}, &1)),
        do: ["Set engine: :process, as Python processes need no shared library."],
        else: []

    install = ["Install such a Python, and put it on PATH or into pyenv."]
    Enum.join(process ++ List.wrap(error && error.remedy) ++ install, " ")
  end
end
