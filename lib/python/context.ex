defmodule Python.Context do
  @moduledoc """
  A context: one thread with its own namespace.

      {:ok, context} = Python.Context.start_link()
      :ok = Python.exec("import sqlite3; db = sqlite3.connect(':memory:')", context: context)
      {:ok, _} = Python.eval("db.execute('create table t (x)')", context: context)

  | | in a context |
  |---|---|
  | thread | All its calls run on one thread, one after the other, first in, first out. Use it for libraries that are bound to a thread (`sqlite3`, some for graphics and GPUs), `threading.local` and event loops |
  | names | Code runs in the `__main__` of the context. Later calls in the same context see its names; others do not |
  | modules | shared with all other calls |
  | context variables | keep their values between calls (`contextvars`), as in a script |
  | `Python.with/3` | while it runs, calls of other processes wait |
  | timeout | The call is interrupted. If it blocks in a C function, later calls wait, up to their own timeouts, because there is no other thread |
  | end | with the process that started it, by `stop/1`, or with its supervisor. The running call is interrupted, waiting calls get a `Python.StoppedError`, and the namespace is cleared on the thread of the context |

  In a supervision tree, by name:

      children = [{Python.Context, name: MyApp.Database, init: "import sqlite3"}]

      Python.eval("1 + 1", context: MyApp.Database)
  """

  # A pool of one worker that is a thread, with a namespace (native/…/src/python/namespace.rs). Calls put
  # their requests into its queue themselves; this process keeps it and ends it.

  use GenServer

  alias Python.{
    Arguments,
    Engine,
    Home,
    Operation,
    Options,
    Request,
    Settings
  }

  @enforce_keys [:pid, :engine, :native, :timeout]
  defstruct [:pid, :engine, :native, :timeout]

  @typedoc "The field `:pid` is the context's process, the others are private."
  @type t :: %__MODULE__{pid: pid, engine: module, native: term, timeout: timeout}

  @doc """
  Starts a context, linked to the caller. Returns `{:ok, context}` or `{:error, exception}`.

  ## Options

  #{Python.Options.Start.docs(:context)}

  Raises `ArgumentError` for an invalid option.

  ## Examples

      iex> {:ok, context} = Python.Context.start_link(init: "x = 1")
      iex> Python.eval("x + 1", context: context)
      {:ok, 2}
  """
  @spec start_link(keyword) :: {:ok, t} | {:error, Exception.t() | {:already_started, pid}}
  def start_link(options \\ []) do
    case start_process(options) do
      {:ok, pid} -> {:ok, GenServer.call(pid, :context)}
      {:error, {error, [_ | _]}} when is_exception(error) -> {:error, error}
      {:error, reason} -> {:error, reason}
    end
  end

  @doc false
  # As supervisors want it: the result is a pid, or a reason that they show as the exception that it is.
  def start_process(options) do
    options = Options.Start.context(options, Settings.read!())
    registered = if options.name, do: [name: options.name], else: []

    # Linked only when it runs: a context that does not start is a result, not the end of whoever
    # asked for it.
    case GenServer.start(__MODULE__, {options, self()}, registered) do
      {:ok, pid} ->
        Process.link(pid)
        {:ok, pid}

      {:error, {:shutdown, error}} ->
        {:error, Python.Error.exit_reason(error)}

      {:error, reason} ->
        {:error, reason}
    end
  end

  @doc false
  def child_spec(options) do
    Arguments.keyword!(options, "a context")
    id = Keyword.get(options, :name) || __MODULE__
    %{id: id, start: {__MODULE__, :start_process, [Options.Start.hide(options)]}}
  end

  @doc """
  Stops a context and interrupts its calls. Returns `:ok`, even if it has already ended.

  ## Examples

      iex> {:ok, context} = Python.Context.start_link()
      iex> Python.Context.stop(context)
      :ok
  """
  @spec stop(t | pid | atom) :: :ok
  def stop(%__MODULE__{pid: pid}), do: stop(pid)

  def stop(pid_or_name) do
    Arguments.context!(pid_or_name)
    Home.context!(pid_or_name)
    GenServer.stop(pid_or_name)
  catch
    # It has ended before, or meanwhile: with its owner, or because its process has crashed.
    :exit, {reason, {GenServer, :stop, _}} when reason != :calling_self -> :ok
  end

  @doc false
  @spec send(t | pid | atom, term) :: :ok
  def send(%__MODULE__{engine: engine, native: native}, message),
    do: engine.send_to_pool(native, message)

  def send(pid_or_name, message) do
    Arguments.context!(pid_or_name, "a %Python.Async{}, ")

    case Home.lookup(%Options{context: pid_or_name}) do
      {:error, error} -> raise error
      {engine, native, _timeout} -> engine.send_to_pool(native, message)
    end
  end

  ## The process

  @impl true
  def init({options, owner}) do
    Process.flag(:trap_exit, true)
    Process.monitor(owner)

    engine = options.engine

    with :ok <- Engine.prepare(engine),
         {:ok, native} <- engine.start(:context, options) do
      start(
        %__MODULE__{
          pid: self(),
          engine: engine,
          native: native,
          timeout: options.timeout
        },
        options.init
      )
    else
      {:error, error} -> {:stop, {:shutdown, error(error)}}
    end
  end

  defp start(%{engine: engine, native: native} = context, init) do
    with {:ok, _worker} <- engine.start_worker(native, :context, 1),
         :ok <- run_init(init, context) do
      engine.open(native)
      {:ok, context}
    else
      {:error, error} ->
        # Calls may wait for it already.
        engine.stop(native)
        {:stop, {:shutdown, error(error)}}
    end
  end

  defp error(error) when is_exception(error), do: error
  defp error(reason), do: Request.error(reason)

  defp run_init(nil, _context), do: :ok

  defp run_init(code, context) do
    Request.run(Operation.exec(code), %Options{context: context, init: true})
  end

  @impl true
  def handle_call(:context, _from, context), do: {:reply, context, context}

  # It ends with its owner, as it should, whatever the owner ended with: nothing to be reported. The
  # monitor is for an owner that died before it was linked.
  @impl true
  def handle_info({:EXIT, _pid, reason}, context), do: {:stop, {:shutdown, reason}, context}
  def handle_info({:DOWN, _, _, _, reason}, context), do: {:stop, {:shutdown, reason}, context}
  def handle_info(_message, context), do: {:noreply, context}

  @impl true
  def terminate(_reason, context), do: context.engine.stop(context.native)
end
