defmodule Python.Environment.Spec do
  @moduledoc false

  # What an environment is to be: the setting `python`, the option `:python` of a pool, the options of
  # `Python.install/2`. Declared once: names, validation and the list in the documentation.

  alias Python.{Arguments, Paths, Schema}
  alias Python.Environment.{Secrets, Version}

  @schema [
    version: %{
      type: {:check, &__MODULE__.version/1},
      allowed: ~s(a version of Python such as "3.13", "3.13.2" or ">=3.10,<3.14"),
      doc:
        ~s(the version of Python, such as `"3.13"`, `"3.13.2"` or `">=3.10,<3.14"`, in the words of PEP 440. Without it: ) <>
          "what the `pyproject.toml` requires, else any."
    },
    packages: %{
      type: {:check, &__MODULE__.packages/1},
      allowed: ~s(a list of requirements such as ["numpy~=2.1", "pandas"]),
      doc: ~s(a list of requirements such as `["numpy~=2.1", "pandas"]`.)
    },
    requirements: %{
      type: {:check, &__MODULE__.place/1},
      allowed: ~s(the path of a file such as "requirements.txt"),
      doc: "a file of requirements, in place of `:packages`."
    },
    project: %{
      type: {:check, &__MODULE__.place/1},
      allowed: ~s(a folder such as "python" that has a pyproject.toml),
      doc: "a folder that has a `pyproject.toml`, in place of `:packages`."
    },
    index: %{
      type: {:check, &__MODULE__.text/1},
      allowed:
        ~s(the URL of a package index such as "https://${USER}:${TOKEN}@pypi.example.com/simple"),
      doc: "the URL of the package index, in place of the one that uv has by default."
    },
    extra_index: %{
      type: {:check, &__MODULE__.texts/1},
      allowed: "the URL of a package index, or a list of them",
      default: [],
      doc:
        "the URL of another index, or a list of them. A package that is in one of these is taken from there."
    },
    find_links: %{
      type: {:check, &__MODULE__.texts/1},
      allowed: "a folder with wheels or the URL of a page with links to some, or a list of them",
      default: [],
      doc: "a folder with wheels or the URL of a page with links to some, or a list of them."
    },
    offline: %{
      type: :boolean,
      default: false,
      doc: "whether to do without a network, with what is in uv's cache and in `:find_links`."
    },
    uv: %{
      type: {:check, &__MODULE__.text/1},
      allowed: "the path of the program uv, or the URL of a mirror of its releases",
      doc:
        "the path of the program uv, or the URL of a mirror of its releases. Without it: `uv` on `PATH`, else a " <>
          "version of uv that is downloaded."
    },
    env: %{
      type: {:check, &__MODULE__.env/1},
      allowed: ~s(a map of strings such as %{"HTTPS_PROXY" => "http://proxy:3128"}),
      default: %{},
      doc: "environment variables for uv, a map of strings."
    },
    cache: %{
      type: {:check, &__MODULE__.text/1},
      allowed: "a folder",
      doc: "the folder of the environments. Without it: the user's folder for caches."
    }
  ]

  @keys Keyword.keys(@schema)
  @sources [:packages, :requirements, :project]

  @type t :: %__MODULE__{
          version: String.t() | nil,
          packages: [String.t()] | nil,
          requirements: Path.t() | nil,
          project: Path.t() | nil,
          index: String.t() | nil,
          extra_index: [String.t()],
          find_links: [String.t()],
          offline: boolean,
          uv: String.t() | nil,
          env: %{optional(String.t()) => String.t()},
          cache: Path.t() | nil,
          base: Path.t(),
          embed: boolean | nil,
          name: atom,
          configured: boolean
        }

  @enforce_keys [:base]
  # `:base`: what relative paths are relative to. `:embed`: whether the VM is to load its Python; nil: as the settings say.
  # `:name`: in the setting `environments`; `false`: it is an option of a pool, and in no setting. `:configured`: whether the
  # lock beside the `mix.exs` is for it, which is not for packages that a call or a pool names.
  defstruct for({key, entry} <- @schema, do: {key, entry[:default]}) ++
              [:base, :embed, :name, configured: true]

  @doc "The options, as a list in Markdown."
  @spec docs() :: String.t()
  def docs, do: Schema.docs(@schema)

  @doc """
  The environment that these options ask for, with absolute paths. `what`: where they are from, for errors.
  """
  @spec new(term, String.t()) :: {:ok, t} | {:error, Exception.t()}
  def new(options, what) do
    with :ok <- keyword(options, what),
         :ok <- known(options, what),
         {:ok, values} <- cast_all(options, what),
         :ok <- one_source(options, what) do
      {:ok, settle(struct!(__MODULE__, [{:base, base()} | values]))}
    else
      {:error, text} -> {:error, ArgumentError.exception(text)}
    end
  end

  # A start without Mix loads nothing for that.
  defp base,
    do: if(:erlang.module_loaded(Mix.Project), do: Paths.project(), else: File.cwd!())

  @doc "The environments of the setting `environments`, by their names. Only Python processes have them."
  @spec named(term) :: {:ok, [{atom, t}]} | {:error, Exception.t()} | :error
  def named(environments) do
    if Keyword.keyword?(environments) and
         Enum.uniq_by(environments, &elem(&1, 0)) == environments,
       do: named(environments, []),
       else: :error
  end

  defp named([], specs), do: {:ok, Enum.reverse(specs)}
  defp named([{name, _options} | _others], _specs) when name in [nil, true, false], do: :error

  defp named([{name, options} | others], specs) do
    with {:ok, spec} <-
           new(options, "the environment #{inspect(name)} of the setting :environments"),
         do: named(others, [{name, %{spec | name: name, embed: false}} | specs])
  end

  defp keyword(options, what) do
    if options != [] and Keyword.keyword?(options) do
      :ok
    else
      {:error,
       ~s(expected #{what} to be a keyword list such as [version: "3.13", packages: ["numpy~=2.1"]] ) <>
         "(#{Arguments.list(@keys)}), got: #{Secrets.inspect(options)}#{path(options, what)}"}
    end
  end

  # What python_path takes.
  defp path(options, "the setting " <> _) when is_binary(options),
    do: ". Did you mean the setting :python_path?"

  defp path(_options, _what), do: ""

  defp known(options, what) do
    case Enum.find(Keyword.keys(options), &(&1 not in @keys)) do
      nil ->
        :ok

      key ->
        {:error,
         "unknown key #{inspect(key)} of #{what}#{Arguments.did_you_mean(key, @keys)}; the keys are " <>
           "#{Arguments.list(@keys)}"}
    end
  end

  # What Erlang and Elixir write for "none" is the default. Of two of a name the last one holds.
  defp cast_all(options, what) do
    options
    |> Enum.reject(fn {_key, value} -> value in [nil, :undefined] end)
    |> Enum.reduce_while({:ok, []}, fn {key, value}, {:ok, values} ->
      entry = @schema[key]

      case Schema.cast(entry.type, value) do
        {:ok, value} ->
          {:cont, {:ok, Keyword.put(values, key, value)}}

        :error ->
          {:halt,
           {:error,
            "expected the key #{inspect(key)} of #{what} to be #{Schema.allowed(entry)}, " <>
              "got: #{Secrets.inspect(value)}"}}
      end
    end)
  end

  defp one_source(options, what) do
    case for(key <- @sources, options[key] not in [nil, :undefined], do: key) do
      [_, _ | _] = several ->
        {:error,
         "expected #{what} to have one of #{Arguments.list(@sources)}, got: #{Arguments.list(several)}"}

      _one ->
        :ok
    end
  end

  ## Paths

  defp settle(spec) do
    %{
      spec
      | requirements: spec.requirements && found(spec.requirements, spec.base),
        project: spec.project && found(spec.project, spec.base),
        find_links: Enum.map(spec.find_links, &link(&1, spec.base)),
        uv: spec.uv && link(spec.uv, spec.base),
        cache: spec.cache && Path.expand(spec.cache, spec.base)
    }
  end

  # In a release or the folder of an application, as the folders of the setting `paths`; else in that of the project.
  defp found(entry, base) do
    candidates = Paths.candidates(entry)
    more = if is_binary(entry), do: [Path.expand(entry, base)], else: []
    Enum.find(candidates ++ more, List.last(candidates), &File.exists?/1)
  end

  defp link(link, base), do: if(url?(link), do: link, else: Path.expand(link, base))

  @doc "Whether it is a URL and no path."
  @spec url?(String.t()) :: boolean
  def url?(text), do: text =~ ~r/\A[a-z][a-z0-9+.-]+:\/\//i

  @doc "The folder of its environments; for nil, of those that name none."
  @spec store(t | nil) :: Path.t()
  def store(%{cache: cache}) when is_binary(cache), do: cache

  def store(_spec) do
    case System.get_env("ERLANG_PYTHON_CACHE", "") do
      "" -> user_cache()
      folder -> Path.expand(folder)
    end
  end

  defp user_cache do
    case basedir() do
      {:ok, folder} -> List.to_string(folder)
      :none -> Path.expand("_build/erlang_python")
    end
  end

  defp basedir do
    {:ok, :filename.basedir(:user_cache, ~c"erlang_python")}
  rescue
    # Without a home there is none.
    _ -> :none
  end

  ## Types: text is a list of characters in sys.config

  @doc false
  def version(value) do
    with {:ok, text} <- text(value) do
      # Without a number of a minor version there is nothing to be said.
      with {:ok, _clauses} <- Version.parse(text),
           true <- String.contains?(text, "."),
           do: {:ok, String.replace(text, " ", "")},
           else: (_ -> :error)
    end
  end

  # An option of pip among them would be taken for a package's.
  @doc false
  def packages(values) do
    with true <-
           (is_list(values) and not List.improper?(values) and not List.ascii_printable?(values)) or
             values == [],
         {:ok, texts} <- each(values, &text/1),
         texts = Enum.map(texts, &trim/1),
         false <- Enum.any?(texts, &(&1 == "" or &1 =~ ~r/\A[-#]|[\r\n]/)) do
      {:ok, texts}
    else
      _ -> :error
    end
  end

  # `String.trim/1` would load what it knows of Unicode with each start.
  defp trim(text), do: if(text =~ ~r/\A\s|\s\z/, do: String.trim(text), else: text)

  @doc false
  def texts([_ | _] = values) do
    case text(values) do
      {:ok, text} -> {:ok, [text]}
      :error -> if List.improper?(values), do: :error, else: each(values, &text/1)
    end
  end

  def texts([]), do: {:ok, []}
  def texts(value), do: with({:ok, text} <- text(value), do: {:ok, [text]})

  @doc false
  def text(value) when is_binary(value) do
    if value != "" and String.valid?(value) and not String.contains?(value, <<0>>),
      do: {:ok, value},
      else: :error
  end

  def text([_ | _] = value) do
    with false <- List.improper?(value),
         true <- Enum.all?(value, &is_integer/1),
         text when is_binary(text) <- :unicode.characters_to_binary(value) do
      text(text)
    else
      _ -> :error
    end
  end

  def text(_value), do: :error

  @doc false
  def place({app, path}) when is_atom(app) and app not in [nil, true, false] do
    with {:ok, path} <- text(path), do: {:ok, {app, path}}
  end

  def place(value), do: text(value)

  @doc false
  def env(%{} = env) when not is_struct(env), do: env(Map.to_list(env))

  def env(env) when is_list(env) do
    pair = fn
      {name, value} when value in ["", []] ->
        with({:ok, name} <- text(name), do: {:ok, {name, ""}})

      {name, value} ->
        with({:ok, name} <- text(name), {:ok, value} <- text(value), do: {:ok, {name, value}})

      _ ->
        :error
    end

    with false <- List.improper?(env),
         {:ok, pairs} <- each(env, pair),
         false <- Enum.any?(pairs, fn {name, _} -> String.contains?(name, "=") end) do
      {:ok, Map.new(pairs)}
    else
      _ -> :error
    end
  end

  def env(_env), do: :error

  defp each(values, cast) do
    results = Enum.map(values, cast)
    if :error in results, do: :error, else: {:ok, Enum.map(results, &elem(&1, 1))}
  end

  ## What it is about

  @doc "Where it is from, as a part of a sentence."
  @spec origin(t) :: String.t()
  def origin(%{name: nil}), do: "the setting python"
  def origin(%{name: false}), do: "the option :python"
  def origin(%{name: name}), do: "#{inspect(name)} in the setting environments"

  @doc "As a part of a sentence."
  @spec describe(t) :: String.t()
  def describe(%{project: folder}) when is_binary(folder), do: "the project #{shown(folder)}"

  def describe(%{requirements: file}) when is_binary(file),
    do: "the requirements of #{shown(file)}"

  def describe(%{packages: [_ | _] = packages}) do
    {first, others} = Enum.split(packages, 5)
    more = if others == [], do: "", else: " and #{length(others)} more"
    "the packages #{Enum.map_join(first, ", ", &Secrets.mask_url/1)}#{more}"
  end

  def describe(%{version: version}) when is_binary(version), do: "Python #{version}"
  def describe(_spec), do: "no packages"

  defp shown(path), do: Path.relative_to_cwd(path)

  @doc "What tells environments apart on a machine where the files that a spec names are not, such as that of a release."
  @spec identity(t) :: term
  def identity(spec) do
    {spec.version, Enum.sort(Enum.map(spec.packages || [], &Secrets.without/1)),
     spec.requirements && Path.basename(spec.requirements),
     spec.project && Path.basename(spec.project)}
  end
end

defimpl Inspect, for: Python.Environment.Spec do
  # Settings are shown by `mix python.doctor`, and may be in a report of a crash.
  alias Python.Environment.Secrets

  def inspect(spec, options) do
    given =
      for {key, value} <- Map.from_struct(spec),
          value not in [nil, [], %{}, false],
          key not in [:base, :embed, :name, :configured],
          do: {key, shown(key, value)}

    Inspect.Algebra.concat(["#Python.Environment<", Inspect.Algebra.to_doc(given, options), ">"])
  end

  defp shown(:env, env),
    do:
      Map.new(env, fn {name, value} ->
        {name, if(Secrets.name?(name), do: "****", else: Secrets.mask_url(value))}
      end)

  defp shown(_key, values) when is_list(values), do: Enum.map(values, &Secrets.mask_url/1)
  defp shown(_key, value) when is_binary(value), do: Secrets.mask_url(value)
  defp shown(_key, value), do: value
end
