defmodule Python.Engine.Main do
  @moduledoc false

  # The engine `:main`, the VM's own interpreter: each function is one of native/erlang_python_nif, where it is
  # documented. What belongs to the interpreter and to no pool (its start and end, the weight of its handles, text
  # of code) is not asked for here.

  @behaviour Python.Engine

  alias Python.Engine.Main.Worker
  alias Python.Options.Start
  alias Python.Runtime

  @impl true
  def status, do: with({:ok, _interpreter} <- Runtime.status(), do: :ok)

  # The common ones.
  @impl true
  def options(_kind), do: []

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
    :erlang_python.pool_decode(pool, options.decode)
    if options.keep_locals, do: :erlang_python.pool_keep_locals(pool)

    if kind == :pool,
      do: :erlang_python.pool_limit_stuck(pool, Start.native_stuck(options.max_stuck))

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
  defdelegate context(pid), to: :erlang_python, as: :pool_of_context

  @impl true
  defdelegate stats(pool), to: :erlang_python, as: :pool_stats

  # They share the VM's process.
  @impl true
  def workers(pool) do
    for {busy, calls} <- :erlang_python.pool_workers(pool),
        do: %{os_pid: nil, busy: busy, calls: calls, memory: nil}
  end

  @impl true
  defdelegate stuck(pool), to: :erlang_python, as: :pool_stuck

  @impl true
  defdelegate jammed?(pool), to: :erlang_python, as: :pool_is_jammed

  @impl true
  defdelegate send_to_pool(pool, message), to: :erlang_python, as: :pool_send

  ## Requests

  @impl true
  defdelegate submit(pool, reference, flags, operation, leader, timeout),
    to: :erlang_python,
    as: :request_submit

  @impl true
  def submit_nested(callbacks, pool, reference, flags, operation, leader),
    do: :erlang_python.callback_submit(own(callbacks), pool, reference, flags, operation, leader)

  @impl true
  defdelegate run(pool, flags, operation, leader), to: :erlang_python, as: :request_run

  @impl true
  defdelegate cancel(ticket, listens), to: :erlang_python, as: :request_cancel

  @impl true
  defdelegate stop_listening(ticket), to: :erlang_python, as: :request_close

  @impl true
  defdelegate limit(ticket, timeout), to: :erlang_python, as: :request_limit

  @impl true
  defdelegate expire(ticket, timeout), to: :erlang_python, as: :request_expire

  @impl true
  defdelegate claim(ticket), to: :erlang_python, as: :request_claim

  @impl true
  defdelegate watch(ticket, owner), to: :erlang_python, as: :request_watch

  @impl true
  defdelegate abandon(ticket), to: :erlang_python, as: :request_abandon

  @impl true
  defdelegate send_to_request(ticket, message), to: :erlang_python, as: :request_send

  ## Streams

  @impl true
  def stream_demand(stream, reference, callbacks),
    do: :erlang_python.stream_demand(stream, reference, own(callbacks))

  @impl true
  defdelegate stream_flush(stream), to: :erlang_python

  @impl true
  defdelegate stream_cancel(stream), to: :erlang_python

  @impl true
  defdelegate stream_stop_listening(stream), to: :erlang_python

  @impl true
  def stream_close(stream, reference, callbacks),
    do: :erlang_python.stream_close(stream, reference, own(callbacks))

  ## Callbacks

  @impl true
  defdelegate callback_serve(registered), to: :erlang_python

  @impl true
  defdelegate callback_register(name, function), to: :erlang_python

  @impl true
  defdelegate callback_unregister(name), to: :erlang_python

  @impl true
  defdelegate callback_accept(callback), to: :erlang_python

  @impl true
  defdelegate callback_answered?(callback), to: :erlang_python, as: :callback_answered

  @impl true
  defdelegate callback_answer(callback, answer), to: :erlang_python

  # Another engine's are nothing that the native code knows.
  defp own(callbacks), do: for({__MODULE__, callback} <- callbacks, do: callback)
end
