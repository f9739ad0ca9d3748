defmodule Python.Environment.Indexes do
  @moduledoc false

  # The environment that uv runs in: the indexes of a spec with their passwords, which so are in no argument; no
  # settings of this user or machine that would change what is installed or where; what it takes to reach a network.

  alias Python.Environment.{Secrets, Spec}
  alias Python.InstallError

  # What the machine may say: how to reach a network, and where uv keeps its files.
  @kept ~w(UV_CACHE_DIR UV_NATIVE_TLS UV_SYSTEM_CERTS UV_OFFLINE UV_LINK_MODE UV_KEYRING_PROVIDER UV_INSECURE_HOST
    UV_PYTHON_INSTALL_DIR UV_PYTHON_INSTALL_MIRROR UV_PYTHON_DOWNLOADS_JSON_URL UV_PYTHON_CACHE_DIR)
  @kept_pattern ~r/\AUV_(HTTP_|CONCURRENT_|REQUEST_|INDEX_.+_(USERNAME|PASSWORD)\z)/
  # Where packages come from, if the spec says nothing of it.
  @indexes ~w(UV_DEFAULT_INDEX UV_INDEX UV_INDEX_URL UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_NO_INDEX UV_INDEX_STRATEGY)
  # They would lead to another Python, or change the one that is asked.
  @python ~w(VIRTUAL_ENV CONDA_PREFIX CONDA_DEFAULT_ENV PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHONUSERBASE
    PYTHONOPTIMIZE PYTHONDONTWRITEBYTECODE PYTHONPLATLIBDIR PYTHONINSPECT PYTHONWARNINGS __PYVENV_LAUNCHER__)

  @type t :: %{
          env: %{optional(String.t()) => String.t() | nil},
          mask: (String.t() -> String.t()),
          arguments: [String.t()]
        }

  @doc "The changes to the environment for a spec, and what hides its secrets."
  @spec of(Spec.t()) :: {:ok, t} | {:error, InstallError.t()}
  def of(%Spec{} = spec) do
    all = Map.merge(System.get_env(), spec.env)

    with {:ok, [index]} <- urls(List.wrap(spec.index), all, [nil]),
         {:ok, extra} <- urls(spec.extra_index, all, []),
         {:ok, links} <- urls(Enum.filter(spec.find_links, &Spec.url?/1), all, []) do
      given? = index != nil or extra != [] or spec.find_links != []

      env =
        clean(all, if(given?, do: [], else: @indexes))
        |> Map.merge(
          %{
            "UV_DEFAULT_INDEX" => index,
            "UV_INDEX" => joined(extra),
            "UV_FIND_LINKS" => joined(links)
          },
          fn _name, kept, new -> new || if(given?, do: nil, else: kept) end
        )
        |> Map.merge(%{
          # Only by `uv python install`, see Base.
          "UV_PYTHON_DOWNLOADS" => "manual",
          "UV_NO_PROGRESS" => "1",
          "NO_COLOR" => "1"
        })
        |> Map.merge(homeless(all))
        |> Map.merge(spec.env)

      secrets =
        Secrets.collect(
          [index || ""] ++ extra ++ links ++ Enum.filter(Map.values(all), &(&1 =~ "://")),
          used(spec, all)
        )

      {:ok,
       %{
         env: env,
         mask: &(&1 |> Secrets.mask(secrets) |> Secrets.mask_url()),
         arguments: folders(spec)
       }}
    end
  end

  @doc "The arguments for the folders with wheels. In a name, uv takes a comma for the end of it, and in a URL not."
  @spec folders(Spec.t()) :: [String.t()]
  def folders(spec) do
    for folder <- spec.find_links, not Spec.url?(folder) do
      "--find-links=file://" <> URI.encode(folder, &(URI.char_unreserved?(&1) or &1 == ?/))
    end
  end

  @doc "A URL of the spec with the values of its variables, and what hides these."
  @spec url(Spec.t(), String.t()) ::
          {:ok, String.t(), (String.t() -> String.t())} | {:error, InstallError.t()}
  def url(spec, url) do
    env = Map.merge(System.get_env(), spec.env)

    case Secrets.expand_url(url, env) do
      {:ok, expanded} ->
        secrets = Secrets.collect([expanded], Secrets.named(url, env))
        {:ok, expanded, &(&1 |> Secrets.mask(secrets) |> Secrets.mask_url())}

      {:error, names} ->
        {:error, missing(names)}
    end
  end

  defp urls(urls, env, default) do
    urls
    |> Enum.map(&Secrets.expand_url(&1, env))
    |> Enum.reduce_while({:ok, []}, fn
      {:ok, url}, {:ok, urls} -> {:cont, {:ok, urls ++ [url]}}
      {:error, names}, _ -> {:halt, {:error, missing(names)}}
    end)
    |> case do
      {:ok, []} -> {:ok, default}
      result -> result
    end
  end

  defp missing(names) do
    list = Enum.join(names, " and ")

    InstallError.new(
      :missing_variable,
      "the environment variable #{list}, which a URL of the settings names, is not set",
      remedy: "Set it where this runs, or in the key :env of the setting python.",
      details: %{names: names}
    )
  end

  defp joined([]), do: nil
  defp joined(urls), do: Enum.join(urls, " ")

  # The variables that are named somewhere, too: their values are in what uv prints, as it expands them itself.
  defp used(spec, all) do
    urls =
      List.wrap(spec.packages) ++ List.wrap(spec.index) ++ spec.extra_index ++ spec.find_links

    Map.filter(all, fn {name, _} -> Secrets.name?(name) end)
    |> Map.merge(Secrets.named(Enum.join(urls, " "), all))
  end

  # uv keeps its files at home.
  defp homeless(all) do
    if all["HOME"] in [nil, ""] and all["UV_CACHE_DIR"] in [nil, ""] and
         all["XDG_CACHE_HOME"] in [nil, ""],
       do: %{"UV_CACHE_DIR" => Path.join(System.tmp_dir!(), "erlang_python_uv")},
       else: %{}
  end

  @doc "The changes that remove from an environment what would interfere. `but`: names that stay."
  @spec clean(map, [String.t()]) :: %{optional(String.t()) => nil}
  def clean(all, but \\ []) do
    # There is no option for the settings of a user and the system alone: a project's are to be read.
    settings = %{
      "XDG_CONFIG_HOME" => "/nonexistent",
      "XDG_CONFIG_DIRS" => "/nonexistent",
      "UV_NO_SYSTEM_CONFIG" => "1"
    }

    for {name, _value} <- all,
        (String.starts_with?(name, "UV_") and name not in @kept and not (name =~ @kept_pattern)) or
          name in @python,
        name not in but,
        into: settings,
        do: {name, nil}
  end
end
