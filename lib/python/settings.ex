defmodule Python.Settings do
  # One schema: the types, the defaults, the validation and the table in the documentation.
  # No process, no native code; it reads the application environment and nothing else.

  alias Python.{Arguments, Schema}
  alias Python.Environment.{Secrets, Spec}
  alias Python.Engine.Process.Options

  # Python's default recursion limit of 1000 fits into this, whatever recurses.
  @stack_min 8 * 1_048_576
  @stack_max 1_073_741_824

  @max_timeout Schema.max_timeout()

  # A thread each, with what it uses of its stack.
  @most_workers 64

  @schema [
    num_workers: %{
      type: {:integer, 1, 1024},
      default: &__MODULE__.default_num_workers/0,
      default_text: "schedulers online, at most dirty I/O schedulers − 2",
      doc:
        "The workers of the default pool: calls that run at the same time. With `engine: :asyncio`: event loops, 1 by default."
    },
    max_workers: %{
      type: {:integer, 1, 1024},
      default: nil,
      default_text: "64; `num_workers` where that is set",
      doc:
        "The workers that the default pool grows to while its workers wait without the GIL. For `engine: :main`. See the guide " <>
          "In production."
    },
    python_path: %{
      type: :path,
      default: nil,
      doc:
        "The interpreter, or the folder of a virtual environment. " <>
          "Without it: `VIRTUAL_ENV`, then `python3` on `PATH`."
    },
    python: %{
      type: :python,
      default: nil,
      doc:
        "The environment with Python and its packages that `mix python.install` makes, in place of `python_path`. See " <>
          "the guide Packages."
    },
    environments: %{
      type: :environments,
      default: [],
      doc:
        "Further environments that `mix python.install` makes, by their names, for the option `:python` of pools with " <>
          "`engine: :process`."
    },
    worker_timeout: %{
      type: {:integer_or_infinity, 1, @max_timeout},
      unit: "ms",
      default: 30_000,
      doc: "The timeout of calls without `:timeout`."
    },
    max_queue: %{
      type: {:integer_or_infinity, 1, 1_000_000_000},
      default: 10_000,
      doc: "Calls that may wait for a worker; beyond it, calls get a `Python.OverloadedError`."
    },
    thread_stack_size: %{
      type: {:integer, @stack_min, @stack_max},
      unit: "bytes",
      default: 16 * 1_048_576,
      default_text: "16777216 (16 MiB)",
      doc: "The size of the stack for Python code, for each thread that runs some."
    },
    engine: %{
      type: {:one_of, Python.Engine.names()},
      default: :main,
      doc:
        "The engine of the default pool: `:main` is the interpreter of the VM, `:asyncio` are event loops in it, " <>
          "`:process` are processes of the operating system. With `:process` the VM loads no libpython until a pool or context of `:main` starts. " <>
          "See the guide Engines."
    },
    start: %{
      type: {:one_of, [:boot, :lazy]},
      default: :boot,
      doc:
        "When Python is started: `:boot`, with the application, or `:lazy`, with the first call. " <>
          "Contexts, and pools of your own with `:init`, start it when they are started."
    },
    start_pool: %{
      type: :boolean,
      default: true,
      doc: "Whether the application starts the default pool."
    },
    stdio: %{
      type: :boolean,
      default: true,
      doc: "Whether Python's `print` goes to the group leader of the process that made the call."
    },
    logging: %{
      type: :boolean,
      default: true,
      doc: "Whether Python's `logging` goes to `Logger`."
    },
    env: %{
      type: :env,
      default: %{},
      doc:
        "Environment variables for Python and its child processes, in addition to those of `System.get_env/0` at " <>
          "the start. `nil` removes one."
    },
    paths: %{
      type: :paths,
      default: [],
      doc:
        "Folders to put at the front of `sys.path`. A relative one is in the release or its application, else in the " <>
          "current folder; `{:my_app, \"priv/python\"}` is in the folder of that application."
    },
    init: %{
      type: :code,
      default: nil,
      doc: "Code that the default pool executes in `__main__` before its first call."
    },
    decode: %{
      type: :decode,
      default: [],
      doc: "The option `:decode` of the default pool: which objects are converted."
    },
    max_stuck: %{
      type: {:integer_or_infinity, 1, 1_000_000},
      default: 100,
      doc: "Calls of the default pool that may be stuck; see `Python.Pool`."
    },
    keep_locals: %{
      type: :boolean,
      default: false,
      doc: "Whether errors of the default pool keep the variables of their frames."
    },
    shutdown_timeout: %{
      type: {:integer, 0, @max_timeout},
      unit: "ms",
      default: 1_000,
      doc:
        "How long Python's exit handlers (`atexit`) may run when the application stops. " <>
          "With 0 they do not run."
    },
    native_layouts: %{
      type: :boolean,
      default: true,
      doc:
        "Whether values are read and made in place, where the memory of Python and of the VM looks as expected. " <>
          "With `false` only documented functions are used, for builds of Python that this fails on."
    },
    native_memory: %{
      type: :boolean,
      default: true,
      doc:
        "Whether Python's pieces of memory of 128 kB to 8 MB come from a store that keeps up to 16 MB. " <>
          "With `false` Python's own allocators are used."
    }
  ]

  # Options of the engine `:process` that have a setting for the default pool; what others of them say, `python_path` and
  # `env` do.
  described = fn option ->
    doc = option.doc |> String.replace("\n", " ") |> String.trim()
    option |> Map.delete(:default_text) |> Map.put(:doc, "With `engine: :process`: #{doc}")
  end

  @of_processes for {key, option} <- Options.schema(:pool),
                    key not in [:python, :env],
                    do: {key, described.(option)}

  @schema @schema ++ @of_processes
  @keys Keyword.keys(@schema)
  @keys_of_processes Keyword.keys(@of_processes)

  # What the types allow that only settings have.
  @allowed_of_types %{
    path: "a non-empty string or charlist, or `nil`",
    code: "Python code, a string or charlist, or `nil`",
    decode: "a keyword list such as `[uuid: :string, path: :string]`, see the option `:decode`",
    env: ~s(a map of strings such as `%{"OMP_NUM_THREADS" => "1"}`, with `nil` to remove one),
    python:
      ~s(a keyword list such as `[version: "3.13", packages: ["numpy~=2.1"]]`, `[requirements: "requirements.txt"]` ) <>
        ~s(or `[project: "python"]`, or `nil`),
    environments: ~s(a keyword list such as `[old: [packages: ["numpy~=1.26"]]]`),
    paths: ~s(a list of folders such as `["priv/python", {:my_app, "priv/python"}]`)
  }

  allowed = fn setting ->
    Map.get_lazy(@allowed_of_types, setting.type, fn -> Schema.allowed(setting, "`") end)
  end

  @allowed for {key, setting} <- @schema, do: {key, allowed.(setting)}

  @docs Enum.join(
          [
            "| setting | default | allowed | meaning |",
            "|---|---|---|---|"
          ] ++
            for {key, setting} <- @schema do
              default = Map.get_lazy(setting, :default_text, fn -> inspect(setting.default) end)
              "| `#{key}` | #{default} | #{@allowed[key]} | #{setting.doc} |"
            end,
          "\n"
        )

  @moduledoc """
  The settings of the application `:erlang_python`.

  The application reads them from its environment when it starts:

      config :erlang_python,
        python_path: "/opt/app/.venv",
        num_workers: 4

  or in `sys.config`:

      [{erlang_python, [{python_path, "/opt/app/.venv"}, {num_workers, 4}]}].

  #{@docs}

  An invalid or unknown setting stops the application at its start, with a message that says what is allowed.

  The application can be stopped and started again with other settings, except those of the interpreter, which lives as
  long as the VM: `python_path` and `python` (another name of the same interpreter is allowed), `thread_stack_size`, `stdio`,
  `logging`, `env`, `paths`, `native_layouts` and `native_memory`. To change one of these, restart the VM. Without a restart, the application starts, and
  calls return `Python.NotStartedError`.
  """

  @type t :: %__MODULE__{
          num_workers: pos_integer,
          max_workers: pos_integer,
          python_path: String.t() | nil,
          python: Python.Environment.Spec.t() | nil,
          environments: [{atom, Python.Environment.Spec.t()}],
          worker_timeout: pos_integer | :infinity,
          max_queue: pos_integer | :infinity,
          thread_stack_size: pos_integer,
          engine: :main | :process | :asyncio,
          start: :boot | :lazy,
          start_pool: boolean,
          stdio: boolean,
          logging: boolean,
          env: %{optional(String.t()) => String.t() | nil},
          paths: [String.t() | {atom, String.t()}],
          init: String.t() | nil,
          decode: keyword(atom),
          max_stuck: pos_integer | :infinity,
          keep_locals: boolean,
          shutdown_timeout: non_neg_integer,
          native_layouts: boolean,
          native_memory: boolean,
          cd: String.t() | nil,
          command: [String.t()],
          kill_after: non_neg_integer,
          limits: keyword(pos_integer),
          spares: non_neg_integer,
          preload: [String.t()],
          max_calls: pos_integer | :infinity,
          max_memory: pos_integer | :infinity
        }

  @enforce_keys @keys
  defstruct @keys

  @doc """
  Reads the settings of the running node. Returns `{:ok, settings}`, or `{:error, %ArgumentError{}}` for the first
  invalid setting.

  ## Examples

      iex> {:ok, settings} = Python.Settings.fetch()
      iex> settings.thread_stack_size
      16777216
  """
  @spec fetch() :: {:ok, t} | {:error, Exception.t()}
  def fetch do
    # Some OTP releases list the key of the .app file here.
    :erlang_python
    |> Application.get_all_env()
    |> Keyword.delete(:included_applications)
    |> validate()
  end

  @doc """
  Returns the settings of the running node. Raises `ArgumentError` for an invalid one.

  ## Examples

      iex> Python.Settings.read!().worker_timeout
      30000
  """
  @spec read!() :: t
  def read! do
    case fetch() do
      {:ok, settings} -> settings
      {:error, error} -> raise error
    end
  end

  @doc """
  Checks settings. Returns `{:ok, settings}`, the defaults replaced by those of `given`, or `{:error, %ArgumentError{}}`.

  ## Examples

      iex> {:ok, settings} = Python.Settings.validate(worker_timeout: 500, python_path: ~c"/usr/bin/python3")
      iex> {settings.worker_timeout, settings.python_path, settings.start_pool}
      {500, "/usr/bin/python3", true}

      iex> {:error, error} = Python.Settings.validate(worker_timeout: 0)
      iex> error.message
      "expected the setting :worker_timeout of :erlang_python to be an integer from 1 to 4294967295 ms, or `:infinity`, got: 0"

      iex> {:error, error} = Python.Settings.validate(num_worker: 2)
      iex> error.message
      "unknown setting :num_worker of :erlang_python (did you mean :num_workers?); the settings are " <>
        ":num_workers, :max_workers, :python_path, :python, :environments, :worker_timeout, :max_queue, :thread_stack_size, " <>
        ":engine, :start, :start_pool, :stdio, :logging, :env, :paths, :init, :decode, :max_stuck, :keep_locals, :shutdown_timeout, " <>
        ":native_layouts, :native_memory, :cd, :command, :kill_after, :limits, :spares, :preload, :max_calls and :max_memory"
  """
  @spec validate(keyword) :: {:ok, t} | {:error, Exception.t()}
  def validate(given) do
    with nil <- Enum.find_value(given, fn {key, _value} -> key not in @keys && unknown(key) end),
         {:ok, settings} <- cast_all(given),
         nil <- two_pythons(settings),
         nil <- too_few(settings),
         nil <- Enum.find_value(given, fn {key, _value} -> idle(key, settings.engine) end) do
      {:ok, settings}
    else
      {:error, error} -> {:error, error}
      text -> {:error, ArgumentError.exception(text)}
    end
  end

  defp two_pythons(%{python: %{}, python_path: path}) when is_binary(path) do
    "the settings :python_path and :python of :erlang_python both say which Python to use, got python_path: " <>
      "#{inspect(path)}; leave one of them out"
  end

  defp two_pythons(_settings), do: nil

  defp too_few(%{num_workers: workers, max_workers: most}) when most < workers do
    "expected the setting :max_workers of :erlang_python to be at least :num_workers, which is #{workers}, got: #{most}"
  end

  defp too_few(_settings), do: nil

  # What has no effect is a mistake.
  defp idle(:max_workers, engine) when engine != :main do
    "the setting :max_workers of :erlang_python is for the engine :main, got the setting engine: " <>
      "#{inspect(engine)}; leave it out"
  end

  defp idle(key, engine) when key in @keys_of_processes and engine != :process do
    "the setting #{inspect(key)} of :erlang_python is for the engine :process, got the setting engine: " <>
      "#{inspect(engine)}; set it to :process, or give the option to a pool of your own"
  end

  defp idle(_key, _engine), do: nil

  @doc """
  Returns the table of all settings, in Markdown.

  ## Examples

      iex> Python.Settings.docs() =~ "| `worker_timeout` | 30000 |"
      true
  """
  @spec docs() :: String.t()
  def docs, do: @docs

  @doc """
  Returns the keys of all settings.

  ## Examples

      iex> :python_path in Python.Settings.keys()
      true
  """
  @spec keys() :: [atom]
  def keys, do: @keys

  # Options of pools that have a setting of their own have its type, and its default where that is not looked up at
  # the start.
  @doc false
  def type(nil), do: %{}
  def type(key), do: Map.take(@schema[key], [:type, :unit])

  @doc false
  def default(key), do: @schema[key].default

  # The options that the default pool has beside the common ones.
  @doc false
  def of_engine(%{engine: :process} = settings),
    do: settings |> Map.take(@keys_of_processes) |> Map.to_list()

  def of_engine(_settings), do: []

  @doc false
  def default_num_workers do
    # One dirty I/O scheduler stays free for files, one for whatever else the project does there.
    spare = :erlang.system_info(:dirty_io_schedulers) - 2
    max(1, min(:erlang.system_info(:schedulers_online), spare))
  end

  defp cast_all(given) do
    with {:ok, settings} <- cast_all(@schema, given, %{}),
         do: {:ok, struct!(__MODULE__, settings |> with_loops(given) |> with_most(given))}
  end

  # Not by `Enum.reduce_while/3`, for which the VM loads a protocol.
  defp cast_all([], _given, settings), do: {:ok, settings}

  defp cast_all([{key, setting} | others], given, settings) do
    case cast_given(given_for(key, given), setting) do
      {:ok, value} -> cast_all(others, given, Map.put(settings, key, value))
      {:error, error} -> {:error, error}
      :error -> {:error, ArgumentError.exception(refusal(key, given[key]))}
    end
  end

  # One event loop runs thousands of calls.
  defp with_loops(%{engine: :asyncio} = settings, given) do
    if Keyword.has_key?(given, :num_workers), do: settings, else: %{settings | num_workers: 1}
  end

  defp with_loops(settings, _given), do: settings

  # Who has said how many there are wants no others.
  defp with_most(%{max_workers: nil, num_workers: workers} = settings, given) do
    fixed = settings.engine != :main or Keyword.has_key?(given, :num_workers)
    %{settings | max_workers: if(fixed, do: workers, else: max(workers, @most_workers))}
  end

  defp with_most(settings, _given), do: settings

  # Text is a list of characters in sys.config.
  defp given_for(key, given) do
    case Keyword.fetch(given, key) do
      {:ok, value} when key == :cd -> {:ok, text(value)}
      {:ok, value} when key in [:command, :preload] -> {:ok, texts(value)}
      given -> given
    end
  end

  defp texts(values) when is_list(values),
    do: if(List.improper?(values), do: values, else: Enum.map(values, &text/1))

  defp texts(value), do: value

  defp text([_ | _] = value) do
    case cast_charlist(:path, value) do
      {:ok, text} -> text
      :error -> value
    end
  end

  defp text(value), do: value

  defp cast_given(:error, %{default: default}) when is_function(default), do: {:ok, default.()}
  defp cast_given(:error, %{default: default}), do: {:ok, default}
  defp cast_given({:ok, value}, %{type: type}), do: cast(type, value)

  # What Erlang and Elixir write for "none".
  defp cast(:path, value) when value in [nil, :undefined], do: {:ok, nil}

  defp cast(:path, value) when is_binary(value) do
    if value == "" or String.contains?(value, <<0>>), do: :error, else: {:ok, value}
  end

  defp cast(:path, [_ | _] = value), do: cast_charlist(:path, value)

  defp cast(:code, value) when value in [nil, :undefined], do: {:ok, nil}

  defp cast(:code, code) when is_binary(code) do
    if String.valid?(code), do: {:ok, code}, else: :error
  end

  defp cast(:code, code) when is_list(code), do: cast_charlist(:code, code)

  defp cast(:python, value) when value in [nil, :undefined], do: {:ok, nil}
  defp cast(:python, value), do: Spec.new(value, "the setting :python of :erlang_python")

  defp cast(:environments, value) when value in [nil, :undefined], do: {:ok, []}
  defp cast(:environments, value), do: Spec.named(value)

  defp cast(:decode, decode) do
    Python.Decode.settings(decode)
    {:ok, decode}
  rescue
    ArgumentError -> :error
  end

  defp cast(:env, %{} = env) when not is_struct(env), do: cast(:env, Map.to_list(env))

  defp cast(:env, env) when is_list(env) do
    if not List.improper?(env) and Enum.all?(env, &match?({_, _}, &1)),
      do: cast_env(env),
      else: :error
  end

  defp cast(:paths, paths) when is_list(paths) do
    if List.improper?(paths), do: :error, else: cast_paths(paths)
  end

  defp cast(type, _value) when is_map_key(@allowed_of_types, type), do: :error
  defp cast(type, value), do: Schema.cast(type, value)

  defp cast_charlist(type, value) do
    with false <- List.improper?(value),
         true <- Enum.all?(value, &is_integer/1),
         text when is_binary(text) <- :unicode.characters_to_binary(value) do
      cast(type, text)
    else
      _ -> :error
    end
  end

  defp cast_paths(paths) do
    folders = Enum.map(paths, &cast_folder/1)
    if :error in folders, do: :error, else: {:ok, folders}
  end

  defp cast_folder({app, path}) when is_atom(app) and app not in [nil, true, false] do
    with path when is_binary(path) <- cast_folder(path), do: {app, path}
  end

  defp cast_folder(path) do
    case cast(:path, path) do
      {:ok, path} when is_binary(path) -> if String.valid?(path), do: path, else: :error
      _ -> :error
    end
  end

  defp cast_env(env) do
    Enum.reduce_while(env, {:ok, %{}}, fn {name, value}, {:ok, all} ->
      with {:ok, name} when is_binary(name) <- cast(:path, name),
           false <- String.contains?(name, "="),
           {:ok, value} <- cast_variable(value),
           true <- String.valid?(name) and (value == nil or String.valid?(value)) do
        {:cont, {:ok, Map.put(all, name, value)}}
      else
        _ -> {:halt, :error}
      end
    end)
  end

  # `false` as in the options of ports.
  defp cast_variable(value) when value in [nil, :undefined, false], do: {:ok, nil}
  defp cast_variable(value) when value in ["", []], do: {:ok, ""}
  defp cast_variable(value), do: cast(:path, value)

  defp refusal(key, value) do
    "expected the setting #{inspect(key)} of :erlang_python to be #{@allowed[key]}, got: #{inspect(Secrets.shown(value))}"
  end

  defp unknown(key) do
    "unknown setting #{inspect(key)} of :erlang_python#{Arguments.did_you_mean(key, @keys)}; the settings are " <>
      "#{Arguments.list(@keys)}"
  end
end

defimpl Inspect, for: Python.Settings do
  # `mix python.doctor` shows them, and so do reports of crashes.
  def inspect(%{env: env} = settings, options) when is_map(env) do
    Inspect.Any.inspect(%{settings | env: Python.Environment.Secrets.shown(env)}, options)
  end

  def inspect(settings, options), do: Inspect.Any.inspect(settings, options)
end
