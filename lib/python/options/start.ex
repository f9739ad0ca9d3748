defmodule Python.Options.Start do
  @moduledoc false

  # The options that pools and contexts are started with. Each is declared once, like those of calls; an engine has
  # its own beside them.

  alias Python.{Engine, Schema, Secret, Settings}

  {:integer, fewest, most} = Settings.type(:num_workers).type

  # `:kinds`, if not both have it. `:as`: the setting that says what is allowed.
  @start [
    name: %{
      type: {:check, &__MODULE__.name/1},
      allowed: "an atom",
      default: nil,
      doc: %{
        pool: "an atom, for the option `:pool` of calls. Required.",
        context: "an atom to register its process under, for the option `:context` of calls."
      }
    },
    size: %{
      as: :num_workers,
      default: {:setting, :num_workers},
      kinds: [:pool],
      doc: "the number of workers: calls that run at the same time, #{fewest} to #{most}."
    },
    max_queue: %{
      as: :max_queue,
      default: {:setting, :max_queue},
      doc: "calls that may wait, or `:infinity`; beyond it, calls get a `Python.OverloadedError`."
    },
    max_stuck: %{
      as: :max_stuck,
      default: Settings.default(:max_stuck),
      kinds: [:pool],
      doc: """
      calls that may be stuck, see below, or `:infinity`; beyond it, calls get a `Python.OverloadedError`.
      """
    },
    timeout: %{
      as: :worker_timeout,
      default: {:setting, :worker_timeout},
      doc: "the timeout of calls without `:timeout`, in ms, or `:infinity`."
    },
    decode: %{
      type: {:parse, &Python.Decode.settings/1},
      default: [],
      doc: """
      as for [calls](`m:Python#module-decode`), which override it key by key.
      """
    },
    engine: %{
      type: {:check, &Engine.fetch/1},
      allowed: "one of " <> Enum.map_join(Engine.names(), ", ", &inspect/1),
      default: :main,
      doc:
        "the engine that runs Python. `:main` is the interpreter of the VM; `:asyncio` are event loops in it; `:process` " <>
          "are processes of the operating system."
    },
    init: %{
      type: {:check, &__MODULE__.code/1},
      allowed: "Python code, a string",
      default: nil,
      doc: %{
        pool:
          "code that is executed in `__main__` when the pool starts. If it raises, the pool does not start.",
        context: "code that is executed first. If it raises, the context does not start."
      }
    },
    keep_locals: %{
      type: :boolean,
      default: false,
      doc: "as for [calls](`m:Python#module-options`), which override it."
    }
  ]

  @start for {key, entry} <- @start, do: {key, Map.merge(Settings.type(entry[:as]), entry)}

  @doc "Their documentation, as a list in Markdown."
  @spec docs(Engine.kind()) :: String.t()
  def docs(kind), do: Schema.docs(common(kind))

  @doc "The options of a pool, with the settings as their defaults. `:engine` is a module."
  @spec pool(keyword, Python.Settings.t()) :: map
  def pool(options, settings) do
    given = options
    options = validate!(given, :pool, "a pool", settings)

    if options.name == nil,
      do: raise(ArgumentError, "expected the option :name of a pool to be an atom, got: nil")

    with_most(options, given, settings)
  end

  # Who has said how many there are wants no others.
  defp with_most(%{max_size: nil, size: size} = options, given, settings) do
    most = if Keyword.has_key?(given, :size), do: size, else: max(size, settings.max_workers)
    %{options | max_size: most}
  end

  defp with_most(%{max_size: most, size: size}, _given, _settings) when most < size do
    raise ArgumentError,
          "expected the option :max_size of a pool to be at least its :size, which is #{size}, got: #{most}"
  end

  defp with_most(options, _given, _settings), do: options

  # What may have passwords in it: variables, and URLs of package indexes.
  @secret [:env, :python]

  @doc "Options as a supervisor keeps and shows them."
  @spec hide(keyword) :: keyword
  def hide(options) do
    for {key, value} <- options do
      hide? = key in @secret and (is_list(value) or is_map(value))
      {key, if(hide?, do: Secret.hide(value), else: value)}
    end
  end

  @doc "The options of a context, with the settings as their defaults. `:engine` is a module."
  @spec context(keyword, Python.Settings.t()) :: map
  def context(options, settings), do: validate!(options, :context, "a context", settings)

  defp validate!(options, kind, what, settings) do
    # First, as an engine has options of its own. Of two of a name the last one holds.
    engine =
      if Keyword.keyword?(options),
        do: options |> Keyword.get_values(:engine) |> List.last(@start[:engine].default)

    fetched = Engine.fetch(engine)

    own =
      case fetched do
        {:ok, engine} -> engine.options(kind)
        :error -> []
      end

    common = put_in(common(kind)[:engine].type, {:check, fn _engine -> fetched end})
    elsewhere = fn key -> elsewhere(key, kind, what) end
    Schema.validate!(options, with_own(common, own), what, settings, elsewhere)
  end

  # Whose option it is, if it is one of another engine or kind.
  defp elsewhere(key, kind, what) do
    other = if kind == :pool, do: :context, else: :pool

    engines = fn kind ->
      for {name, engine} <- Engine.named(), Keyword.has_key?(engine.options(kind), key), do: name
    end

    cond do
      (names = engines.(kind)) != [] ->
        ". It is an option of #{what} with #{Enum.map_join(names, " or ", &"engine: #{inspect(&1)}")}"

      Keyword.has_key?(common(other), key) or engines.(other) != [] ->
        ". Only a #{other} has it"

      true ->
        ""
    end
  end

  # An engine may have other defaults, or other limits.
  defp with_own(common, own) do
    Enum.map(common, fn {key, entry} -> {key, Keyword.get(own, key, entry)} end) ++
      Keyword.drop(own, Keyword.keys(common))
  end

  defp common(kind) do
    for {key, entry} <- @start, kind in Map.get(entry, :kinds, [kind]) do
      {key, with(%{doc: %{^kind => doc}} <- entry, do: %{entry | doc: doc})}
    end
  end

  @doc false
  def name(name) when is_atom(name) and name not in [true, false], do: {:ok, name}
  def name(_other), do: :error

  @doc false
  def code(code) when is_nil(code) or is_binary(code), do: {:ok, code}
  def code(_other), do: :error

  @doc "The limit of a queue, as native code has it."
  @spec native_queue(pos_integer | :infinity) :: pos_integer
  def native_queue(:infinity), do: 0xFFFFFFFF
  def native_queue(limit), do: limit

  @doc "The limit of stuck calls, as native code has it."
  @spec native_stuck(pos_integer | :infinity) :: non_neg_integer
  def native_stuck(:infinity), do: 0
  def native_stuck(limit), do: limit
end
