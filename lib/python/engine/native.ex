defmodule Python.Engine.Native do
  @moduledoc false

  # What engines have in common whose pools, requests and streams are those of native/erlang_python_nif: each function
  # is one of the native library, where it is documented. An engine says `use Python.Engine.Native`, and defines what
  # is its own.

  alias Python.Options.Start

  @doc "Tells a new pool or context the options that are the same for all engines."
  @spec configure(Python.Engine.pool(), Python.Engine.kind(), map) :: :ok
  def configure(pool, kind, options) do
    :erlang_python.pool_decode(pool, options.decode)
    if options.keep_locals, do: :erlang_python.pool_keep_locals(pool)

    if kind == :pool,
      do: :erlang_python.pool_limit_stuck(pool, Start.native_stuck(options.max_stuck))

    :ok
  end

  # In the engine itself, so that a call of it is one of the native function.
  defmacro __using__(_options) do
    quote do
      @behaviour Python.Engine

      @impl true
      defdelegate stats(pool), to: :erlang_python, as: :pool_stats

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
        do:
          :erlang_python.callback_submit(
            own(callbacks),
            pool,
            reference,
            flags,
            operation,
            leader
          )

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
      defdelegate callback_accept(callback), to: :erlang_python

      @impl true
      defdelegate callback_answered?(callback), to: :erlang_python, as: :callback_answered

      @impl true
      defdelegate callback_answer(callback, answer), to: :erlang_python

      # Another engine's are nothing that this one knows.
      defp own(callbacks), do: for({__MODULE__, callback} <- callbacks, do: callback)

      defoverridable submit: 6
    end
  end
end
