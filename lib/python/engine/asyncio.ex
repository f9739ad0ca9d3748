defmodule Python.Engine.Asyncio do
  @moduledoc false

  # The engine `:asyncio`: workers are event loops in the VM's interpreter
  # (native/erlang_python_nif/src/engine/asyncio). The interpreter, its handles, its callbacks and the native library are
  # those of the engine `:main`; what differs is when a request runs: thousands wait in one loop at the same time.

  use Python.Engine.Native,
    native: :erlang_python,
    callbacks: [Python.Engine.Main, Python.Engine.Asyncio]

  alias Python.Engine.{Main, Native}
  alias Python.{Library, NotStartedError, Schema}
  alias Python.Options.Start

  # How often it is looked whether a loop has started or ended, in ms, and how long a start may take.
  @look 2
  @start_after 60_000

  # How long a loop may take to end beside the time that its tasks have, in ms.
  @stop_after 500

  @impl true
  defdelegate status, to: Main

  # The callbacks of its code are those of the interpreter.
  @impl true
  def prepare, do: Python.Engine.prepare(Main)

  @impl true
  defdelegate prepared?, to: Main

  @impl true
  def options(:pool), do: [size: size(), max_queue: max_queue()] ++ common()
  def options(:context), do: [max_queue: max_queue()] ++ common()

  @doc "The options that its pools have beside the common ones, or with other defaults."
  @spec schema() :: Schema.t()
  def schema, do: options(:pool)

  defp size do
    %{
      type: {:integer, 1, 1_024},
      default: 1,
      doc: """
      the number of event loops, 1 to 1024, each on a thread. One runs thousands of calls that wait; objects of asyncio,
      such as client sessions, belong to the loop that they were made in, and fail in another one.
      """
    }
  end

  defp max_queue do
    %{
      type: {:integer_or_infinity, 1, 1_000_000_000},
      default: 10_000,
      doc: """
      calls in flight, those that wait for a result among them, or `:infinity`; beyond it, calls get a
      `Python.OverloadedError`.
      """
    }
  end

  defp common do
    [
      loop: %{
        type: {:one_of, [:auto, :asyncio, :uvloop]},
        default: :auto,
        doc: """
        the kind of loop: `:asyncio` is Python's own, `:uvloop` that of the package `uvloop`, and `:auto` takes uvloop if it
        can be imported.
        """
      },
      block_warning: %{
        type: {:integer_or_infinity, 1, Schema.max_timeout()},
        unit: "ms",
        default: 100,
        doc: """
        how long code may hold up its loop, in ms, until a warning names the line, or `:infinity`. Each line is named once.
        """
      }
    ]
  end

  # There is one interpreter.
  @impl true
  def shares_handles?, do: true

  ## Pools

  @impl true
  def start(kind, options) do
    # One without a name is a context.
    name = if kind == :pool, do: options.name
    queue = Start.native_queue(options.max_queue)

    pool =
      :erlang_python.loop_new(
        name,
        queue,
        options.timeout,
        options.init != nil,
        Map.get(options, :size, 1),
        options.block_warning
      )

    Native.configure(:erlang_python, pool, kind, options)

    # The process of a pool starts its workers itself.
    Process.put({__MODULE__, pool}, Atom.to_string(options.loop))
    {:ok, pool}
  end

  @impl true
  defdelegate open(pool), to: :erlang_python, as: :pool_open

  # Its tasks are cancelled, and have some time to end.
  @impl true
  def stop(pool) do
    :erlang_python.pool_close(pool)
    await_end(pool, now() + patience() + @stop_after)
  end

  defp patience, do: Python.Settings.read!().shutdown_timeout

  defp await_end(pool, deadline) do
    if :erlang_python.loop_count(pool) > 0 and now() < deadline do
      Process.sleep(@look)
      await_end(pool, deadline)
    else
      :ok
    end
  end

  @impl true
  def start_worker(pool, _kind, id) do
    loop = Process.get({__MODULE__, pool})

    with :ok <- :erlang_python.loop_spawn(pool, id, loop, patience()),
         do: await_start(pool, id, loop, now() + @start_after)
  end

  defp await_start(pool, id, loop, deadline) do
    case :erlang_python.loop_state(pool, id) do
      :ok ->
        {:ok, nil}

      {:error, text} ->
        {:error, not_started(loop, text)}

      :starting ->
        if now() < deadline do
          Process.sleep(@look)
          await_start(pool, id, loop, deadline)
        else
          {:error, {:no_thread, "the event loop does not start: Python is busy"}}
        end
    end
  end

  # As `import` says it: a uvloop that is there may fail in another way.
  defp not_started("uvloop", "ModuleNotFoundError: No module named 'uvloop'" = text) do
    python =
      case Python.Runtime.status() do
        {:ok, interpreter} -> interpreter.executable
        _other -> "this Python"
      end

    NotStartedError.new(:init_failed, %{
      what: "the event loop of the option loop: :uvloop",
      cause: "the package uvloop is not installed for #{python} (#{text})",
      remedy:
        "Install it, or set loop: :asyncio, or :auto to use uvloop only where it is installed."
    })
  end

  defp not_started(_loop, text) do
    NotStartedError.new(:init_failed, %{
      what: "the event loop",
      cause: text,
      remedy: "The option :loop can name another kind of loop, :asyncio or :uvloop."
    })
  end

  defp now, do: System.monotonic_time(:millisecond)

  @impl true
  def context(pid) do
    if Library.loaded?(:erlang_python), do: :erlang_python.loop_of_context(pid)
  end

  @impl true
  defdelegate workers(pool), to: Main

  @impl true
  defdelegate count_workers(pool), to: Main

  ## Requests

  # A loop has no place for the caller.
  @impl true
  def run(_pool, _flags, _operation, _leader), do: :busy

  ## Callbacks

  # They come to the process of the engine `:main`, which knows the registered functions.
  @impl true
  def callback_serve(_registered), do: :ok

  @impl true
  def callback_register(_name, _function), do: true

  @impl true
  def callback_unregister(_name), do: :ok
end
