defmodule Python.Interpreter do
  @moduledoc """
  The embedded Python interpreter: how it is found, and information about it.

  `find/2` runs the interpreter once, for a few ms, to get information about it. `load/1` opens its libpython in this VM.
  The application does both when it starts; where the interpreter's files say all that it would be asked, it is not run before.
  Call them to check an interpreter beforehand, as `mix python.doctor` does.

  ## Which interpreter

    1. The setting `python_path`: an interpreter (`"/usr/bin/python3.11"`), a virtual
       environment's folder (`".venv"`), the interpreter in one (`".venv/bin/python"`), or a name
       to look up on `PATH` (`"python3.12"`). `~` is the home folder.
    2. The environment variable `VIRTUAL_ENV`, which `activate` of a virtual environment sets.
    3. `python3` on `PATH`, or `python` if there is no `python3`.

  The first of these that is set is used. If it does not work, the next is *not* tried, because another interpreter
  has other packages.

  CPython 3.8 and newer with a shared library is supported, except 3.14.0. The engine `:process` needs no shared library.
  """

  # Decides what to run (Search), runs it (Probe), has the report judged (Report). It may call the loader's NIFs,
  # and knows nothing of pools, workers and the other native library.

  alias Python.Variables
  alias Python.Interpreter.{Probe, Report, Search}
  alias Python.NotStartedError

  @probe_timeout 10_000

  @type t :: %__MODULE__{
          version: {non_neg_integer, non_neg_integer, non_neg_integer},
          version_string: String.t(),
          build: String.t(),
          executable: Path.t(),
          libpython: Path.t() | nil,
          prefix: Path.t(),
          exec_prefix: Path.t(),
          base_prefix: Path.t(),
          base_exec_prefix: Path.t(),
          free_threaded: boolean,
          debug: boolean,
          source: :python_path | :environment | :virtual_env | :path | :pyenv | :uv | :fetched,
          venv: Path.t() | nil,
          tried: [{String.t(), String.t()}]
        }

  @fields [
    :version,
    :version_string,
    :build,
    :executable,
    :libpython,
    :prefix,
    :exec_prefix,
    :base_prefix,
    :base_exec_prefix,
    :free_threaded,
    :debug,
    :source,
    :venv,
    :tried
  ]

  @enforce_keys @fields
  defstruct @fields

  @doc """
  Finds the interpreter and asks it about itself. Returns `{:ok, interpreter}` or
  `{:error, %Python.NotStartedError{}}`.

  The error says which interpreter was tried, why it does not work, and what to do.

  | field | value |
  |---|---|
  | `:version` | such as `{3, 11, 7}` |
  | `:version_string` | such as `"3.11.7"` or `"3.13.0rc2"` |
  | `:build` | `sys.version`, on one line |
  | `:executable` | `sys.executable`; in a virtual environment, the one there |
  | `:libpython` | the path of the shared library, or `nil` |
  | `:prefix`, `:exec_prefix`, `:base_prefix`, `:base_exec_prefix` | as in `sys` |
  | `:venv` | the folder of the virtual environment, or `nil` |
  | `:free_threaded`, `:debug` | the kind of build |
  | `:source` | where it was named: `:python_path`, `:environment` (the setting `python`), `:virtual_env` or `:path` |
  | `:tried` | a list of `{what, outcome}`, two texts |

  ## Options

    * `:timeout` - how long the interpreter may take to answer, in ms. Defaults to #{@probe_timeout}.
    * `:env` - the environment variables, a map of strings. Defaults to `System.get_env/0`.
    * `:embed` - whether it must be one that the VM can load. With `false`, `:libpython` is `nil` if there is none;
      such an interpreter works in a process of its own, see the guide [Engines](engines.md). Defaults to `true`.

  ## Examples

      iex> {:ok, interpreter} = Python.Interpreter.find(nil)
      iex> interpreter.version >= {3, 8, 0}
      true

      iex> {:error, error} = Python.Interpreter.find("/etc")
      iex> {error.reason, error.message}
      {:not_a_virtual_environment,
       ~s(python_path "/etc" is a folder, but not a virtual environment: it has no pyvenv.cfg.)}
  """
  @spec find(String.t() | charlist | nil, keyword) :: {:ok, t} | {:error, NotStartedError.t()}
  def find(python_path, options \\ []) do
    options = options(options)

    with {:ok, candidate} <- locate(python_path, options), do: ask(candidate, options)
  end

  @doc false
  # With the defaults. `meanwhile`: what to do while the interpreter answers, `changes`: to the environment variables,
  # and `from`: who has named it, for Python.Runtime.
  @spec options(keyword) :: keyword
  def options(options) do
    Keyword.validate!(options,
      timeout: @probe_timeout,
      env: nil,
      embed: true,
      changes: %{},
      from: :python_path,
      meanwhile: fn -> :ok end
    )
  end

  @doc false
  # What a path, or the environment, names.
  @spec locate(String.t() | charlist | nil, keyword) ::
          {:ok, Search.candidate()} | {:error, NotStartedError.t()}
  def locate(python_path, options) do
    python_path = if is_list(python_path), do: List.to_string(python_path), else: python_path

    with :ok <- load_native(),
         do: Search.locate(python_path, environment(options), options[:from])
  end

  @doc false
  # The libpython of what was located, if its files tell that it can be started here without running it before
  # (native/erlang_python_loader/src/plain.rs), and nil otherwise.
  @spec plain_library(Search.candidate(), keyword) :: Path.t() | nil
  def plain_library(candidate, options) do
    env = environment(options)

    # As a list: for a map the VM loads more modules.
    if is_binary(env["HOME"]) and Enum.all?(Map.to_list(env), &plain?/1),
      do: :erlang_python_loader.library_plain(candidate.executable, env["HOME"])
  end

  # What neither Python nor the dynamic linker looks at before the interpreter runs, or what only changes what it writes.
  # The images of Docker have most of these.
  @plain ~w(PYTHON PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED PYTHON_VERSION PYTHON_SHA256 PYTHON_PIP_VERSION
            PYTHON_SETUPTOOLS_VERSION PYTHON_GET_PIP_URL PYTHON_GET_PIP_SHA256)

  defp plain?({_name, ""}), do: true
  defp plain?({"PYTHON" <> _ = name, _value}), do: name in @plain
  defp plain?({"LD_" <> _, _value}), do: false
  defp plain?(_other), do: true

  defp environment(options),
    do: Variables.change(options[:env] || System.get_env(), options[:changes])

  @doc false
  # Runs what was located.
  @spec ask(Search.candidate(), keyword) :: {:ok, t} | {:error, NotStartedError.t()}
  def ask(candidate, options) do
    with {:ok, report} <- probe(candidate, options),
         do: Report.judge(candidate, report, options[:embed])
  end

  @doc false
  # What was located and runs in this VM, with what it says of itself.
  @spec running(Search.candidate(), Path.t(), map) :: {:ok, t} | {:error, NotStartedError.t()}
  def running(candidate, libpython, report) do
    library = %{"libpython" => libpython, "libpython_tried" => []}
    Report.judge(candidate, Map.merge(report, library), true)
  end

  @doc """
  Opens the interpreter's libpython in this VM. Returns `:ok` or `{:error, %Python.NotStartedError{}}`.

  It stays open until the VM ends; opening it again returns `:ok`. A VM can hold only one libpython: a second one is an
  error, and so is a library that does not belong to the interpreter.

  ## Examples

      iex> {:ok, interpreter} = Python.Interpreter.find(Python.Settings.read!().python_path)
      iex> Python.Interpreter.load(interpreter)
      :ok
  """
  @spec load(t) :: :ok | {:error, NotStartedError.t()}
  def load(%__MODULE__{libpython: nil} = interpreter),
    do: {:error, Report.not_embeddable(interpreter_name(interpreter), interpreter)}

  def load(%__MODULE__{} = interpreter) do
    with :ok <- load_native(),
         :ok <- open_library(interpreter) do
      check_version(interpreter)
    end
  end

  ## The loader

  defp load_native do
    case :erlang_python_loader.load() do
      :ok ->
        :ok

      {:error, {:escript, file}} ->
        details = %{cause: "the escript #{file} holds no files of priv", escript: file}
        {:error, NotStartedError.new(:not_loaded, details)}

      {:error, {_tag, text}} ->
        {:error, NotStartedError.new(:not_loaded, %{cause: text})}
    end
  end

  defp open_library(interpreter) do
    case :erlang_python_loader.library_open(interpreter.libpython) do
      :ok -> :ok
      {:error, {tag, text}} -> {:error, library_error(tag, interpreter, text)}
    end
  end

  defp library_error(tag, interpreter, text) do
    details = %{
      what: "the library #{interpreter.libpython}",
      cause: text,
      source: interpreter.source,
      tried: interpreter.tried
    }

    case tag do
      :wrong_architecture ->
        NotStartedError.new(:wrong_architecture, details)

      :no_stack_protection ->
        details = Map.put(details, :version, interpreter.version_string)
        NotStartedError.new(:no_stack_protection, details)

      :already_open ->
        remedy = "Restart the VM to change the interpreter."
        NotStartedError.new(:init_failed, Map.put(details, :remedy, remedy))

      _ ->
        NotStartedError.new(:broken, details)
    end
  end

  # A prefix may hold the library of another patch release, left there by an earlier installation:
  # it would run with a standard library that is not its own.
  defp check_version(interpreter) do
    {:ok, build} = :erlang_python_loader.library_version()

    case :binary.split(build, " ") do
      [version | _] when version == interpreter.version_string ->
        :ok

      [version | _] ->
        cause = "#{interpreter.libpython} is the library of Python #{version}"
        {:error, Report.no_shared_library(interpreter_name(interpreter), interpreter, cause)}
    end
  end

  defp interpreter_name(interpreter), do: "the interpreter #{interpreter.executable}"

  ## Finding

  defp probe(candidate, options) do
    case Probe.run(
           candidate.executable,
           options[:timeout],
           options[:changes],
           options[:meanwhile]
         ) do
      {:ok, report} -> {:ok, report}
      {:error, failure} -> {:error, Report.failed(failure, candidate, options[:timeout])}
    end
  end
end
