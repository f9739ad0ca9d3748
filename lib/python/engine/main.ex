defmodule Python.Engine.Main do
  @moduledoc false

  # The engine `:main`, the VM's own interpreter: each function is one of native/erlang_python_nif, where it is
  # documented. What belongs to the interpreter and to no pool (its start and end, the weight of its handles, text
  # of code) is not asked for here.

  use Python.Engine.Native,
    native: :erlang_python,
    callbacks: [Python.Engine.Main, Python.Engine.Asyncio],
    # For up to 9 µs each.
    looks: 16

  alias Python.Engine.Main.Worker
  alias Python.Engine.Native
  alias Python.Library
  alias Python.Options.Start
  alias Python.{Runtime, Schema, Settings}

  @impl true
  def status, do: known(Runtime.status())

  # It is started when it is needed.
  defp known(:idle), do: :ok
  defp known({:ok, _interpreter}), do: :ok
  defp known(error), do: error

  @impl true
  def prepare, do: known(Runtime.ensure())

  @impl true
  def prepared?, do: match?({:ok, _interpreter}, Runtime.status())

  @impl true
  def options(:pool), do: schema()
  def options(:context), do: []

  @doc false
  # What pools have beside the common options.
  @spec schema() :: Python.Schema.t()
  def schema do
    type = Settings.type(:max_workers)

    [
      max_size:
        Map.merge(type, %{
          type: {:check, &most/1},
          allowed: Schema.allowed(type),
          default: nil,
          default_text:
            " Defaults to `:size` if that is given, else to the setting `max_workers`.",
          doc:
            "the number of workers that the pool grows to while its workers wait without the GIL, at least `:size`; see " <>
              "the guide [In production](production.md#pools-that-grow)."
        })
    ]
  end

  # Not given.
  defp most(nil), do: {:ok, nil}
  defp most(value), do: Schema.cast(Settings.type(:max_workers).type, value)

  # There is one interpreter.
  @impl true
  def shares_handles?, do: true

  ## Pools

  @impl true
  def start(kind, options) do
    # One without a name is a context.
    name = if kind == :pool, do: options.name
    queue = Start.native_queue(options.max_queue)
    pool = :erlang_python.pool_new(name, queue, options.timeout, options.init != nil)
    Native.configure(:erlang_python, pool, kind, options)
    if kind == :pool, do: :erlang_python.pool_allow_extras(pool, options.max_size - options.size)
    {:ok, pool}
  end

  @impl true
  defdelegate open(pool), to: :erlang_python, as: :pool_open

  @impl true
  defdelegate stop(pool), to: :erlang_python, as: :pool_close

  # A context's is a thread for life.
  @impl true
  def start_worker(pool, :context, id), do: start_thread(pool, id)

  def start_worker(pool, :pool, id) do
    case :erlang_python.worker_slot(slots()) do
      :none -> start_thread(pool, id)
      slot -> {:ok, Worker.start_link(pool, id, slot)}
    end
  end

  defp start_thread(pool, id),
    do: with(:ok <- :erlang_python.worker_spawn(pool, id), do: {:ok, nil})

  # Two dirty schedulers are left to the VM: it reads its files there.
  defp slots, do: max(:erlang.system_info(:dirty_io_schedulers) - 2, 1)

  @impl true
  def context(pid) do
    # A VM whose Python is in processes may never load it.
    if Library.loaded?(:erlang_python), do: :erlang_python.pool_of_context(pid)
  end

  # They share the VM's process.
  @impl true
  def workers(pool) do
    for {busy, calls} <- :erlang_python.pool_workers(pool),
        do: %{os_pid: nil, busy: busy, calls: calls, memory: nil}
  end

  # They start with the interpreter.
  @impl true
  def count_workers(pool), do: {length(:erlang_python.pool_workers(pool)), true}

  ## Requests

  # A worker that has to be woken takes longer than one native function may wait. The last time the caller only says
  # that it does not look any more.
  defp look(ticket, left) do
    last = left == 1 or :erlang.statistics(:total_run_queue_lengths) > 0

    case :erlang_python.request_look(ticket, last) do
      :soon -> look(ticket, left - 1)
      {answer} -> {answer}
      :later -> ticket
    end
  end

  @impl true
  defdelegate run(pool, flags, operation, leader), to: :erlang_python, as: :request_run

  ## Callbacks

  @impl true
  defdelegate callback_serve(registered), to: :erlang_python

  @impl true
  defdelegate callback_register(name, function), to: :erlang_python

  @impl true
  defdelegate callback_unregister(name), to: :erlang_python
end
