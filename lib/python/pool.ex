defmodule Python.Pool do
  @moduledoc """
  A pool of workers that run Python calls.

  The application starts one pool, the default for calls without `:pool`. Add others to your supervision tree, so that
  one kind of work does not delay another:

      children = [
        {Python.Pool, name: MyApp.Models, size: 2, max_queue: 100, timeout: 60_000}
      ]

      Python.call(:model, :predict, [input], pool: MyApp.Models)

  All pools use one interpreter, and share `__main__` and imported modules. Calls wait in the queue of the pool, first
  in, first out, until a worker is free.

  ## Options

  #{Python.Options.Start.docs(:pool)}

  With the engine `:main`, there is one more:

  #{Python.Schema.docs(Python.Engine.Main.schema())}

  With the engine `:process`, each worker is a process of the operating system, with modules and a `__main__` of its own:
  calls run at the same time on several processors, and one that crashes is a `Python.CrashedError` for one call. `exec` runs
  on every worker. A handle lives in its worker, and calls that use it wait for that worker. There are more options:

  #{Python.Schema.docs(Python.Engine.Process.Options.schema(:pool))}

  With the engine `:asyncio`, each worker is an event loop in the VM's interpreter: thousands of calls wait in one at the
  same time. A call whose result can be awaited is awaited there, and `eval` and `exec` take `await` at the top level;
  `return: :object` leaves a coroutine as it is. A timeout, the death of the caller and `Python.cancel/1` cancel the
  task, whose `finally` blocks run. There are these options, or other defaults:

  #{Python.Schema.docs(Python.Engine.Asyncio.schema())}

  A call is *stuck* if it was given up (it timed out, or its caller died) and is still inside Python, in a C function
  that cannot be interrupted. Each stuck call keeps a thread. In an event loop a call is stuck if it holds up the loop in such a
  function, or goes on after it was cancelled twice. A loop that is lost, to code of no call, counts as one.
  """

  # The process keeps the workers' number; no request passes through it. Callers put theirs into the
  # native queue themselves (Python.Request), and workers answer them directly.

  use GenServer

  alias Python.{
    Arguments,
    Engine,
    Home,
    NotStartedError,
    Operation,
    Options,
    Request,
    Settings,
    Stuck
  }

  alias Python.Pool.Asleep
  alias Python.Remote.Load

  # What a request needs of a pool: its engine, what that knows the pool by, and its default timeout in ms.
  @typedoc false
  @type lookup :: {engine :: module, Python.Engine.pool(), timeout}

  @type stats :: %{
          workers: non_neg_integer,
          busy: non_neg_integer,
          queued: non_neg_integer,
          done: non_neg_integer,
          failed: non_neg_integer,
          timed_out: non_neg_integer,
          stuck: non_neg_integer,
          stuck_at: [map]
        }

  @doc """
  Returns the name of the pool that the application starts.

  ## Examples

      iex> Python.Pool.default()
      Python.Pool
  """
  @spec default() :: atom
  def default, do: __MODULE__

  @doc """
  Starts a pool, linked to the caller. Returns `{:ok, pid}` or `{:error, reason}`.

  See the [options](#module-options). If the code of `:init` raises, the reason is the exception. If there is no
  interpreter, the pool starts all the same, and its calls return `Python.NotStartedError`. If the application is not
  started, that error is the reason. Raises `ArgumentError` for an invalid option.

  ## Examples

      iex> {:ok, _pid} = Python.Pool.start_link(name: MyApp.Models, size: 2, timeout: 60_000)
      iex> Python.call(:math, :sqrt, [16], pool: MyApp.Models)
      {:ok, 4.0}
  """
  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(options) do
    with {:error, {error, [_ | _]}} when is_exception(error) <- start_process(options) do
      {:error, error}
    end
  end

  @doc false
  # As supervisors want it, which show the reason.
  def start_process(options) do
    options = Options.Start.pool(options, Settings.read!())
    GenServer.start_link(__MODULE__, options, name: options.name)
  end

  @doc false
  def child_spec(options) do
    Arguments.keyword!(options, "a pool")
    id = Keyword.get(options, :name, __MODULE__)
    %{id: id, start: {__MODULE__, :start_process, [Options.Start.hide(options)]}}
  end

  @doc """
  Returns a map with the counters of a pool since its start.

  | key | value |
  |---|---|
  | `:workers`, `:busy` | workers, those that the pool has grown by among them, and those of them that run a call |
  | `:queued` | calls that wait for a worker |
  | `:done` | calls that succeeded |
  | `:failed` | calls that ended with an exception, or with a value that cannot be converted |
  | `:timed_out` | calls that exceeded their timeout |
  | `:stuck` | calls that were given up and are still inside Python |
  | `:stuck_at` | a list of maps, one for each of them: `:file`, `:line`, `:function` (`nil` outside of Python code), and the time since it was given up in `:ms` |

  Raises `ArgumentError` if there is no pool of that name.

  ## Examples

      iex> stats = Python.Pool.stats(Python.Pool)
      iex> stats.workers >= 1 and stats.queued >= 0
      true
  """
  @spec stats(atom) :: stats
  def stats(name) do
    case ask(name) do
      %{native: nil} ->
        none = %{busy: 0, queued: 0, done: 0, failed: 0, timed_out: 0, stuck: 0}
        Map.merge(none, %{workers: 0, stuck_at: []})

      %{engine: engine, native: native, workers: workers} ->
        stuck_at = Stuck.calls(engine, native)
        {extras, stats} = Map.pop(engine.stats(native), :extras, 0)
        Map.merge(stats, %{workers: workers + extras, stuck_at: stuck_at})
    end
  end

  @doc """
  Returns the nodes that have a pool of this name, this node first.

  A pool is one of them from its start on. See the guide [Nodes](nodes.md).

  ## Examples

      iex> Python.Pool.whereabouts(Python.Pool) == [node()]
      true
  """
  @spec whereabouts(atom) :: [node]
  def whereabouts(name) when is_atom(name) and name not in [nil, true, false],
    do: Load.whereabouts(name)

  def whereabouts(other) do
    raise ArgumentError, "expected the name of a pool, an atom, got: #{Arguments.short(other)}"
  end

  @typedoc "`:os_pid` and `:memory` (in bytes) are those of workers that are processes of the operating system."
  @type worker :: %{
          os_pid: pos_integer | nil,
          busy: boolean,
          calls: non_neg_integer,
          memory: non_neg_integer | nil
        }

  # How long a pool's process is waited for, in ms: while its `:init` runs, it does not answer.
  @patience 1_000

  @doc """
  Returns the workers of a pool, a list of maps.

  | key | value |
  |---|---|
  | `:busy` | whether the worker runs a call |
  | `:calls` | the calls and chunks of streams that it has begun |
  | `:os_pid`, `:memory` | its process and memory in bytes, if it is an operating-system process, else `nil` |

  A worker that was replaced because its call is stuck is not in the list. Raises `ArgumentError` if there is no pool of
  that name.

  ## Examples

      iex> {:ok, _pid} = Python.Pool.start_link(name: MyApp.Counted, size: 1)
      iex> Python.call(:math, :sqrt, [16], pool: MyApp.Counted)
      iex> [worker] = Python.Pool.workers(MyApp.Counted)
      iex> {worker.calls, worker.os_pid}
      {1, nil}
  """
  @spec workers(atom) :: [worker]
  def workers(name) do
    case ask(name) do
      %{native: nil} -> []
      %{engine: engine, native: native} -> engine.workers(native)
    end
  end

  defp ask(name) when is_atom(name) and name not in [nil, true, false] do
    Home.pool!(name)

    try do
      GenServer.call(name, :stats, @patience)
    catch
      # Its :init runs.
      :exit, {:timeout, {GenServer, :call, _}} -> starting(name)
      # It is not there, or it has ended meanwhile.
      :exit, {_reason, {GenServer, :call, _}} -> raise ArgumentError, missing(name)
    end
  end

  defp ask(other) do
    raise ArgumentError, "expected the name of a pool, an atom, got: #{Arguments.short(other)}"
  end

  defp starting(name) do
    case lookup(name) do
      {engine, native, _} ->
        # The process knows no others.
        extras = Map.get(engine.stats(native), :extras, 0)
        %{engine: engine, native: native, workers: length(engine.workers(native)) - extras}

      nil ->
        %{native: nil}
    end
  end

  @doc false
  # One that was killed has left its look-up behind.
  @spec names() :: [atom]
  def names do
    awake =
      for {key, _lookup} <- :persistent_term.get(),
          name = name(key),
          Process.whereis(name),
          do: name

    awake ++ Asleep.names()
  end

  @doc false
  @spec lookup(atom) :: lookup | nil
  def lookup(name), do: :persistent_term.get(key(name), nil)

  # That of the application has a key which is found twice as fast.
  defp key(__MODULE__), do: __MODULE__
  defp key(name), do: {__MODULE__, name}

  # Why a pool cannot run anything, while there is its process.
  defp reason_key(name), do: {__MODULE__, name, :reason}

  defp name(__MODULE__), do: __MODULE__
  defp name({__MODULE__, name}), do: name
  defp name(_other), do: nil

  @doc false
  # Why there is no such pool.
  @spec why_not(atom) :: NotStartedError.t()
  def why_not(name) do
    case own_reason(name) || status(name) do
      {:error, error} ->
        error

      :ok when name == __MODULE__ ->
        reason = if Settings.read!().start_pool, do: :not_started, else: :disabled
        NotStartedError.new(reason)

      :ok ->
        NotStartedError.missing(:pool, name, missing(name) <> ".", remedy(name))
    end
  end

  # Another engine may be able to run something.
  defp own_reason(name) do
    with error when error != nil <- kept_reason(name), do: {:error, error}
  end

  @doc false
  # What its own start has come to.
  @spec kept_reason(atom) :: Exception.t() | nil
  def kept_reason(name) do
    error = :persistent_term.get(reason_key(name), nil)
    if error && Process.whereis(name), do: error
  end

  # The default pool has one engine, which may be the one that cannot run.
  defp status(__MODULE__), do: Engine.module(Settings.read!().engine).status()
  defp status(_name), do: Engine.any_status()

  defp missing(name), do: "there is no pool #{Arguments.short(name)}; #{others()}"

  defp others do
    case Enum.sort(names()) do
      [] -> "no pool runs"
      [only] -> "there is #{inspect(only)}"
      names -> "there are #{Arguments.list(names)}"
    end
  end

  defp remedy(name) do
    "Add `{Python.Pool, name: #{inspect(name)}}` to your supervision tree, or leave :pool out to " <>
      "use the default pool."
  end

  ## The process

  # `workers` are the ids of those that count, `processes` the pids of all that are processes.
  # `warned`: how many calls were stuck when the log was told. `asleep`: it waits for its first call.
  defstruct [
    :name,
    :engine,
    :native,
    :max_stuck,
    :asleep,
    next_id: 1,
    workers: MapSet.new(),
    processes: %{},
    warned: 0
  ]

  # When to try again to start a worker, in ms.
  @again 100

  @impl true
  def init(options) do
    Process.flag(:trap_exit, true)

    state = %__MODULE__{
      name: options.name,
      engine: options.engine,
      max_stuck: options.max_stuck
    }

    # One that was killed has left it behind.
    :persistent_term.erase(reason_key(state.name))

    if Asleep.waits?(options, Settings.read!()) do
      state = %{state | asleep: Asleep.new(options)}
      Load.join(state.name)
      {:ok, state}
    else
      start_now(Engine.prepare(options.engine), options, state)
    end
  end

  defp start_now(:ok, options, state) do
    with {:ok, state} <- start(options, state),
         {:error, error} <- run_init(options, state) do
      stop(state)
      {:stop, Python.Error.exit_reason(error)}
    else
      {:ok, state} -> {:ok, state}
      {:error, error} -> {:stop, Python.Error.exit_reason(error)}
    end
  end

  # It would never know of a start that comes later.
  defp start_now({:error, %NotStartedError{reason: :not_started} = error}, _options, _state),
    do: {:stop, Python.Error.exit_reason(error)}

  defp start_now({:error, error}, _options, state), do: {:ok, keep(error, state)}

  # The first call has come. Nobody but callers can be told what is wrong.
  defp wake_up(:ok, %{asleep: %{options: options} = asleep} = state) do
    {:links, links} = Process.info(self(), :links)

    with {:ok, started} <- start(options, state) do
      # From here on requests wait in the queue, for the `:init` too.
      Asleep.tell(asleep, :ok)
      started = awake(started)

      with {:error, error} <- run_init(options, started) do
        # First, so that calls that are refused now find it.
        state = keep(init_failed(error), awake(state))
        stop(started)
        end_others(links)
        state
      else
        {:ok, started} -> started
      end
    else
      {:error, error} ->
        end_others(links)
        wake_up({:error, error}, state)
    end
  end

  # The application does not run. It may yet be started.
  defp wake_up(
         {:error, %NotStartedError{reason: :not_started}} = failed,
         %{asleep: asleep} = state
       ),
       do: %{state | asleep: Asleep.tell(asleep, failed)}

  defp wake_up({:error, error}, %{asleep: asleep} = state) do
    state = keep(error, awake(state))
    Asleep.tell(asleep, {:error, error})
    state
  end

  # What the engine has started ends, and the pool does not.
  defp end_others(before) do
    {:links, links} = Process.info(self(), :links)

    for pid <- links -- before, is_pid(pid) do
      Process.unlink(pid)
      Process.exit(pid, :shutdown)
    end
  end

  defp awake(state) do
    Asleep.forget(state.name)
    %{state | asleep: nil}
  end

  # What its calls get from now on.
  defp keep(error, state) do
    :persistent_term.put(reason_key(state.name), error)
    Load.leave(state.name)
    state
  end

  defp init_failed(error) do
    :logger.error("The :init of a pool has failed: #{Exception.message(error)}")
    details = %{what: "the pool", cause: Exception.message(error), error: error}
    NotStartedError.new(:init_failed, details)
  end

  # With workers, and without its `:init`.
  defp start(options, %{engine: engine} = state) do
    with {:ok, native} <- engine.start(:pool, options),
         {:ok, state} <- start_workers(options, %{state | native: native}) do
      :persistent_term.put(key(options.name), {engine, native, options.timeout})
      Load.join(options.name)
      {:ok, state}
    else
      {:error, reason} -> {:error, error(reason)}
    end
  end

  defp start_workers(options, state) do
    with {:error, reason} <- add_workers(options.size, state) do
      state.engine.stop(state.native)
      {:error, reason}
    end
  end

  defp error(error) when is_exception(error), do: error
  defp error(reason), do: Request.error(reason)

  defp add_workers(0, state), do: {:ok, state}

  defp add_workers(count, state) do
    with {:ok, state} <- start_worker(state), do: add_workers(count - 1, state)
  end

  defp run_init(%{init: nil}, state) do
    state.engine.open(state.native)
    {:ok, state}
  end

  defp run_init(%{init: code, name: name}, state) do
    case Request.run(Operation.exec(code), %Options{pool: name, init: true}) do
      :ok ->
        state.engine.open(state.native)
        {:ok, state}

      {:error, error} ->
        {:error, error}
    end
  end

  @impl true
  def handle_call(:stats, _from, state) do
    {:reply, %{state | workers: MapSet.size(state.workers)}, state}
  end

  # It has woken up meanwhile, or has failed.
  def handle_call(:wake, _from, %{asleep: nil} = state), do: {:reply, :ok, state}

  def handle_call(:wake, from, %{asleep: asleep} = state),
    do: {:noreply, %{state | asleep: Asleep.wake(asleep, from)}}

  # From the native library's clock: the worker is held up by a request that was cancelled, and takes no more.
  @impl true
  def handle_info({:worker_stuck, id}, state) do
    native = {state.engine, state.native}
    warned = Stuck.warn(state.name, native, state.max_stuck, state.warned)
    state = %{state | warned: warned}

    # It may have come back in the meantime and ended, and been replaced for that.
    if id in state.workers do
      {:noreply, state |> forget(id) |> replace_worker()}
    else
      {:noreply, state}
    end
  end

  # It takes no more, and its process ends.
  def handle_info({:worker_leaves, pid}, state) when is_map_key(state.processes, pid) do
    id = Map.fetch!(state.processes, pid)

    if id in state.workers,
      do: {:noreply, state |> forget(id) |> replace_worker()},
      else: {:noreply, state}
  end

  def handle_info({:EXIT, pid, _reason}, state) when is_map_key(state.processes, pid) do
    {id, processes} = Map.pop!(state.processes, pid)
    state = %{state | processes: processes}

    if id in state.workers do
      {:noreply, state |> forget(id) |> replace_worker()}
    else
      {:noreply, state}
    end
  end

  def handle_info({:EXIT, pid, reason}, %{asleep: %{helper: pid}} = state),
    do: {:noreply, wake_up(Asleep.prepared(reason), state)}

  def handle_info(:replace_worker, %{native: nil} = state), do: {:noreply, state}
  def handle_info(:replace_worker, state), do: {:noreply, replace_worker(state)}
  # Of what has belonged to a pool that has failed.
  def handle_info({:EXIT, _pid, _reason}, %{native: nil} = state), do: {:noreply, state}
  def handle_info({:EXIT, _pid, reason}, state), do: {:stop, reason, state}
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, %{native: nil} = state) do
    :persistent_term.erase(reason_key(state.name))
    Asleep.forget(state.name)
  end

  def terminate(_reason, state), do: stop(state)

  defp stop(state) do
    :persistent_term.erase(key(state.name))
    state.engine.stop(state.native)
  end

  # While there is no thread to be had, the others do the work.
  defp replace_worker(state) do
    case start_worker(state) do
      {:ok, state} ->
        state

      {:error, _reason} ->
        Process.send_after(self(), :replace_worker, @again)
        state
    end
  end

  defp start_worker(%{next_id: id} = state) do
    with {:ok, pid} <- state.engine.start_worker(state.native, :pool, id) do
      processes = if pid, do: Map.put(state.processes, pid, id), else: state.processes
      workers = MapSet.put(state.workers, id)
      {:ok, %{state | next_id: id + 1, workers: workers, processes: processes}}
    end
  end

  defp forget(state, id), do: %{state | workers: MapSet.delete(state.workers, id)}
end
