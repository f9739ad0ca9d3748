defmodule Python.NotStartedError do
  @moduledoc """
  There is no Python interpreter, or no pool or context of that name.

  Without an interpreter the application still starts, and every call returns `{:error, error}`. `mix python.doctor`
  prints the same messages.

  ## Fields

    * `:reason` - an atom to match, see below;
    * `:message` - what was looked for, and what is wrong with it;
    * `:remedy` - what to do;
    * `:details` - a map with the parts of the message. `:tried` is a list of `{what, outcome}`; `:output` contains the
      last lines that the interpreter printed.

  ## Reasons

  | reason | meaning |
  |---|---|
  | `:not_found` | there is no such file, folder or program |
  | `:not_installed` | the environment of the setting `python` has not been made yet |
  | `:not_executable` | the file is not executable |
  | `:broken` | it does not run, does not answer like a Python, or its library does not load |
  | `:not_a_virtual_environment` | the folder is not a virtual environment |
  | `:too_old` | older than Python 3.8 |
  | `:not_cpython` | another implementation of Python, such as PyPy |
  | `:free_threaded_unsupported` | a free-threaded build (`python3.13t`) |
  | `:wrong_architecture` | built for another kind of processor than the Erlang VM |
  | `:no_stack_protection` | one of the first releases of Python 3.14, such as 3.14.0 |
  | `:no_shared_library` | the interpreter has no shared library (libpython) of its own |
  | `:probe_timeout` | the interpreter did not answer in time |
  | `:not_loaded` | a native library of erlang_python is missing or does not load |
  | `:init_failed` | Python could not be initialised, or this VM already runs another Python, or the same one with other settings |
  | `:not_started` | the application `:erlang_python` is not running, or there is no pool or context of that name |
  | `:disabled` | the default pool is switched off by `start_pool: false` |

  ## Examples

      iex> {:error, error} = Python.Interpreter.find("/no/such/python")
      iex> error.reason
      :not_found
      iex> Exception.message(error)
      ~s(Python is not running: python_path "/no/such/python" was not found: no such file or directory. ) <>
        "Set python_path in the configuration of :erlang_python to another interpreter or virtual " <>
        "environment, or leave it out to use VIRTUAL_ENV or python3 on PATH."
  """

  # Only sentences: what it is told in `details` it does not look up again.

  alias Python.Release.Bundle

  @type reason ::
          :not_found
          | :not_installed
          | :not_executable
          | :broken
          | :not_a_virtual_environment
          | :too_old
          | :not_cpython
          | :free_threaded_unsupported
          | :wrong_architecture
          | :no_stack_protection
          | :no_shared_library
          | :probe_timeout
          | :not_loaded
          | :init_failed
          | :not_started
          | :disabled

  @type t :: %__MODULE__{
          reason: reason,
          message: String.t(),
          remedy: String.t(),
          details: map
        }

  @enforce_keys [:reason, :message, :remedy]
  defexception [:reason, :message, :remedy, details: %{}]

  @doc """
  Returns the error for `reason`, with a message made from `details`.

  ## Details

    * `:what` - the setting and its value, `"python3 on PATH"`, …; required for reasons about an interpreter;
    * `:cause` - what is wrong with it, for `:not_found`, `:not_installed`, `:broken`, `:no_shared_library`,
      `:wrong_architecture`, `:no_stack_protection`, `:not_loaded` and `:init_failed`;
    * `:executable`, `:version`, `:build`, `:prefix`, `:folder`, `:interpreter`, `:timeout`,
      `:implementation` - for the reasons that use them;
    * `:remedy` - replaces the usual remedy;
    * other keys are kept.

  ## Examples

      iex> error = Python.NotStartedError.new(:too_old, %{what: "python3 on PATH", version: "2.7.18"})
      iex> error.message
      "python3 on PATH is Python 2.7.18, and Python 3.8 or newer is needed."
  """
  @spec new(reason, map) :: t
  def new(reason, details \\ %{}) do
    %__MODULE__{
      reason: reason,
      message: sentence(reason, details),
      remedy: Map.get_lazy(details, :remedy, fn -> remedy(reason, details) end),
      details: Map.delete(details, :remedy)
    }
  end

  @doc """
  Returns the error for the options of `raise/2`: `:reason`, and `:details` for `new/2`.

  ## Examples

      iex> raise Python.NotStartedError, reason: :disabled
      ** (Python.NotStartedError) Python is not running: the default pool is switched off by start_pool: false. Add `{Python.Pool, name: MyApp.Python}` to your supervision tree and pass `pool: MyApp.Python`, or set start_pool: true.
  """
  @impl true
  def exception(options) do
    reason = Keyword.get(options, :reason, :not_started)
    new(reason, Map.new(Keyword.get(options, :details, %{})))
  end

  @doc """
  Returns the message and the remedy, in one paragraph.

  ## Examples

      iex> Exception.message(Python.NotStartedError.new(:not_started))
      "Python is not running: the application :erlang_python is not started. Call " <>
        "`Application.ensure_all_started(:erlang_python)`, or list :erlang_python among the " <>
        "applications that yours depends on."
  """
  @impl true
  # Python runs, only what was named does not.
  def message(%__MODULE__{details: %{missing: _}} = error), do: "#{error.message} #{error.remedy}"

  def message(%__MODULE__{} = error) do
    "Python is not running: #{error.message} #{error.remedy}"
  end

  @doc false
  # A pool or a context of a name that nobody has, while Python runs.
  @spec missing(:pool | :context, term, String.t(), String.t()) :: t
  def missing(kind, name, message, remedy) do
    details = %{missing: kind, name: name}
    %__MODULE__{reason: :not_started, message: message, remedy: remedy, details: details}
  end

  @doc false
  # A node that cannot be called.
  @spec away(node, String.t(), String.t()) :: t
  def away(node, cause, remedy) do
    message = "the node #{node} cannot be called: #{cause}."
    details = %{node: node, cause: cause}
    %__MODULE__{reason: :not_started, message: message, remedy: remedy, details: details}
  end

  ## What is wrong

  defp sentence(:not_found, d), do: "#{d.what} was not found: #{d.cause}."
  defp sentence(:not_installed, d), do: "#{d.what} is not installed: #{d.cause}."
  defp sentence(:not_executable, d), do: "#{d.what} is a file that is not executable."
  defp sentence(:broken, d), do: "#{d.what} does not work: #{d.cause}."

  defp sentence(:not_a_virtual_environment, d) do
    "#{d.what} is a folder, but not a virtual environment: it has no pyvenv.cfg."
  end

  defp sentence(:too_old, d) do
    "#{d.what} is Python #{d.version}, and Python 3.8 or newer is needed."
  end

  defp sentence(:not_cpython, d) do
    "#{d.what} is #{d.implementation} #{d.version}, and only CPython can be embedded."
  end

  defp sentence(:free_threaded_unsupported, d) do
    "#{d.what} is a free-threaded build of Python #{d.version}, which lacks the stable ABI " <>
      "that erlang_python needs."
  end

  defp sentence(:wrong_architecture, d) do
    "#{d.what} is built for another processor than this Erlang VM: #{d.cause}."
  end

  defp sentence(:no_stack_protection, d) do
    "#{d.what} is Python #{d.version}, one of the first releases of 3.14, which lack a function that sets the " <>
      "bounds of the stack: #{d.cause}."
  end

  defp sentence(:no_shared_library, d) do
    "#{d.what} is Python #{d.version} without a shared library, which embedding needs: #{d.cause}."
  end

  defp sentence(:probe_timeout, d) do
    "#{d.what} does not work: it did not report its version within #{d.timeout} ms."
  end

  defp sentence(:not_loaded, d) do
    "a native library of erlang_python was not loaded: #{d.cause}."
  end

  defp sentence(:init_failed, %{what: what, cause: cause}) do
    "#{what} could not be initialised: #{cause}."
  end

  defp sentence(:init_failed, d) do
    "the interpreter could not be initialised: #{Map.get(d, :cause, "it gave no reason")}."
  end

  defp sentence(:not_started, _), do: "the application :erlang_python is not started."
  defp sentence(:disabled, _), do: "the default pool is switched off by start_pool: false."

  ## What to do

  defp remedy(:not_found, %{source: :virtual_env, path: path} = d) do
    "Create it with `python3 -m venv #{path}`. #{or_another(d)}"
  end

  defp remedy(:not_installed, _d), do: "Run `mix python.install`."
  defp remedy(:not_executable, d), do: "Run `chmod +x #{d.executable}`. #{or_another(d)}"

  # The interpreter that it was made with has been removed; in a release there is no other.
  defp remedy(:broken, %{source: :environment} = d) do
    cond do
      not Bundle.interpreter?(Map.get(d, :executable, "")) ->
        "Run `mix python.install`."

      match?({:unix, :linux}, :os.type()) and not File.exists?("/proc/self") ->
        "Mount /proc: without it, programs do not find the libraries that lie beside them in the release."

      library = missing_library(d.cause) ->
        "Install the system's package with #{library}, which the Python in the release needs, or build the release with a " <>
          "standalone Python, which needs none."

      true ->
        "It is the Python in the release: build the release on the kind of system that it runs on."
    end
  end

  defp remedy(:broken, %{folder: folder} = d) do
    "Create the virtual environment again with `python3 -m venv --clear #{folder}` and install " <>
      "its packages. #{or_another(d)}"
  end

  defp remedy(reason, %{executable: executable} = d) when reason in [:broken, :probe_timeout] do
    "Run `#{executable} -c 'import sys'` in a shell to see what happens. #{or_another(d)}"
  end

  defp remedy(:not_a_virtual_environment, %{interpreter: interpreter} = d) do
    "If you mean the interpreter in it, give its path, #{interpreter}. #{or_another(d)}"
  end

  defp remedy(:not_a_virtual_environment, %{path: path} = d) do
    "Create one there with `python3 -m venv #{path}`. #{or_another(d)}"
  end

  defp remedy(:too_old, d), do: "Install Python 3.8 or newer. #{another(d)}"
  defp remedy(:not_cpython, d), do: "Install CPython 3.8 or newer. #{another(d)}"

  defp remedy(:free_threaded_unsupported, d) do
    "Install the ordinary build of Python #{minor(d.version)}, the one without a `t` in its " <>
      "name. #{another(d)}"
  end

  defp remedy(:wrong_architecture, d) do
    "Install a Python for #{:erlang.system_info(:system_architecture)} with " <>
      "#{8 * :erlang.system_info(:wordsize)}-bit pointers. #{another(d)}"
  end

  defp remedy(:no_stack_protection, d) do
    "Install a newer release of Python #{minor(d.version)}. #{another(d)}"
  end

  defp remedy(:no_shared_library, d) do
    "#{install(d)} #{or_another(d)} Processes of its own need none: set engine: :process."
  end

  defp remedy(:not_loaded, %{escript: file}) do
    "A native library cannot be loaded out of an escript. Build a release with `mix release`, or ship the " <>
      "compiled applications and name their folder: " <>
      "`ERL_LIBS=_build/prod/lib #{Path.basename(file)}`."
  end

  defp remedy(:not_loaded, _) do
    "In a project, run `mix deps.compile erlang_python --force` (in a checkout of erlang_python " <>
      "`mix compile --force`). Build a release on the same kind of system that it runs on."
  end

  # `mix python.doctor` looks at the settings alone.
  defp remedy(:init_failed, %{source: :option} = d), do: another(d)
  defp remedy(:init_failed, d), do: "`mix python.doctor` shows what was found. #{another(d)}"

  defp remedy(:not_started, _) do
    "Call `Application.ensure_all_started(:erlang_python)`, or list :erlang_python among the " <>
      "applications that yours depends on."
  end

  defp remedy(:disabled, _) do
    "Add `{Python.Pool, name: MyApp.Python}` to your supervision tree and pass " <>
      "`pool: MyApp.Python`, or set start_pool: true."
  end

  defp remedy(_reason, d), do: another(d)

  # Only what would make a difference: a setting that is made hides those that come after it.
  defp another(%{source: :python_path}) do
    "Set python_path in the configuration of :erlang_python to another interpreter or virtual " <>
      "environment, or leave it out to use VIRTUAL_ENV or python3 on PATH."
  end

  defp another(%{source: :environment}) do
    "Set python in the configuration of :erlang_python to have another version, and run `mix python.install`."
  end

  defp another(%{source: :option}) do
    "Set the option :python of the pool or context to another interpreter or virtual environment, or leave it out to " <>
      "use the Python of the settings."
  end

  defp another(%{source: :virtual_env}) do
    "Set VIRTUAL_ENV to the folder of another virtual environment, unset it to use python3 on " <>
      "PATH, or set python_path in the configuration of :erlang_python."
  end

  defp another(_) do
    "Set python_path in the configuration of :erlang_python to an interpreter or to a virtual " <>
      ~s{environment's folder (`config :erlang_python, python_path: "/path/to/python3"`), } <>
      "set VIRTUAL_ENV to such a folder, or put python3 on PATH."
  end

  # One that lies in the release is missing for another reason.
  defp missing_library(cause) do
    case Regex.run(~r/(lib[\w.+-]+\.so[\w.]*): cannot open shared object file/, cause) do
      [_, "libpython" <> _] -> nil
      [_, library] -> library
      nil -> nil
    end
  end

  defp or_another(d) do
    "S" <> rest = another(d)
    "Or s" <> rest
  end

  ## How to get a shared library

  defp install(%{prefix: prefix, version: version}) do
    cond do
      String.contains?(prefix, "/.pyenv/versions/") or
          String.contains?(prefix, "/pyenv/versions/") ->
        "Build it again with one: `PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force " <>
          "#{Path.basename(prefix)}`."

      prefix == "/usr" and File.exists?("/etc/debian_version") ->
        "Install the package that has it: `sudo apt-get install libpython#{minor(version)}`."

      String.contains?(prefix, "/.asdf/") or String.contains?(prefix, "/mise/") ->
        "Build it again with PYTHON_CONFIGURE_OPTS=--enable-shared in the environment."

      true ->
        "Build it with `./configure --enable-shared`, or install one with a shared library, such as those of " <>
          "`uv python install #{minor(version)}` and conda."
    end
  end

  defp minor(version), do: version |> String.split(".") |> Enum.take(2) |> Enum.join(".")
end
