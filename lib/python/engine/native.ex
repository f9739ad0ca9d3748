defmodule Python.Engine.Native do
  @moduledoc false

  # What engines have in common whose pools, requests and streams are those of native/erlang_python_nif: each function
  # is one of the engine's native library, where it is documented. An engine says `use Python.Engine.Native` with the
  # module of that, and defines what is its own. Each engine has a library, with pools, requests and streams of its own:
  # that of `:process` needs no libpython.

  alias Python.Options.Start

  @doc "Tells a new pool or context the options that are the same for all engines."
  @spec configure(module, Python.Engine.pool(), Python.Engine.kind(), map) :: :ok
  def configure(native, pool, kind, options) do
    native.pool_decode(pool, options.decode)
    if options.keep_locals, do: native.pool_keep_locals(pool)
    if kind == :pool, do: native.pool_limit_stuck(pool, Start.native_stuck(options.max_stuck))

    :ok
  end

  @doc "A native library, for what all of them have and what needs no pool, if one can be loaded."
  @spec any() :: {:ok, module} | :error
  def any do
    cond do
      Python.Library.loaded?(:erlang_python) -> {:ok, :erlang_python}
      :erlang_python_process.load() == :ok -> {:ok, :erlang_python_process}
      true -> :error
    end
  end

  # In the engine itself, so that a call of it is one of the native function.
  # `:callbacks`: the engines whose callbacks and bodies of `with` are those of the same library. `:looks`: how often it is
  # looked for an answer that may come at once, by the engine's `look/2`.
  defmacro __using__(options) do
    native = Keyword.fetch!(options, :native)
    engines = Keyword.get(options, :callbacks, [__CALLER__.module])

    quote do
      @behaviour Python.Engine

      @impl true
      defdelegate stats(pool), to: unquote(native), as: :pool_stats

      @impl true
      defdelegate stuck(pool), to: unquote(native), as: :pool_stuck

      @impl true
      defdelegate jammed?(pool), to: unquote(native), as: :pool_is_jammed

      @impl true
      defdelegate send_to_pool(pool, message), to: unquote(native), as: :pool_send

      ## Requests

      unquote(submit(native, options[:looks]))

      @impl true
      def submit_nested(callbacks, pool, reference, flags, operation, leader),
        do:
          unquote(native).callback_submit(
            own(callbacks),
            pool,
            reference,
            flags,
            operation,
            leader
          )

      @impl true
      defdelegate cancel(ticket, listens), to: unquote(native), as: :request_cancel

      @impl true
      defdelegate stop_listening(ticket), to: unquote(native), as: :request_close

      @impl true
      defdelegate limit(ticket, timeout), to: unquote(native), as: :request_limit

      @impl true
      defdelegate expire(ticket, timeout), to: unquote(native), as: :request_expire

      @impl true
      defdelegate claim(ticket), to: unquote(native), as: :request_claim

      @impl true
      defdelegate watch(ticket, owner), to: unquote(native), as: :request_watch

      @impl true
      defdelegate abandon(ticket), to: unquote(native), as: :request_abandon

      @impl true
      defdelegate send_to_request(ticket, message), to: unquote(native), as: :request_send

      ## Streams

      @impl true
      def stream_demand(stream, reference, callbacks),
        do: unquote(native).stream_demand(stream, reference, own(callbacks))

      @impl true
      defdelegate stream_flush(stream), to: unquote(native)

      @impl true
      defdelegate stream_cancel(stream), to: unquote(native)

      @impl true
      defdelegate stream_stop_listening(stream), to: unquote(native)

      @impl true
      def stream_close(stream, reference, callbacks),
        do: unquote(native).stream_close(stream, reference, own(callbacks))

      ## Callbacks

      @impl true
      defdelegate callback_accept(callback), to: unquote(native)

      @impl true
      defdelegate callback_answered?(callback), to: unquote(native), as: :callback_answered

      @impl true
      defdelegate callback_answer(callback, answer), to: unquote(native)

      @impl true
      def guard(pid), do: unquote(native).guard_new(pid, nil)

      # Another engine's are nothing that this one knows.
      defp own(callbacks),
        do: for({engine, callback} <- callbacks, engine in unquote(engines), do: callback)

      defoverridable submit: 6, callback_answer: 2
    end
  end

  defp submit(native, nil) do
    quote do
      @impl true
      defdelegate submit(pool, reference, flags, operation, leader, timeout),
        to: unquote(native),
        as: :request_submit
    end
  end

  defp submit(native, looks) do
    quote do
      # Other processes wait for the scheduler.
      @in_the_way 256

      # The caller may wait a moment for the answer in the native function, if no other process waits for the scheduler.
      @impl true
      def submit(pool, reference, flags, operation, leader, timeout) do
        waiting = :erlang.statistics(:total_run_queue_lengths)
        flags = if waiting == 0, do: flags, else: flags + @in_the_way

        case unquote(native).request_submit(pool, reference, flags, operation, leader, timeout) do
          {:soon, ticket} -> look(ticket, unquote(looks))
          handed_in -> handed_in
        end
      end
    end
  end
end
