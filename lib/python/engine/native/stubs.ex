defmodule Python.Engine.Native.Stubs do
  @moduledoc false

  # The functions that the native libraries of all engines have, grouped by the file that has them: stubs and no logic.
  # What they do is documented there.

  defmacro __using__(_options) do
    quote do
      # nif/pool.rs
      def pool_decode(_pool, _settings), do: not_loaded()
      def pool_open(_pool), do: not_loaded()
      def pool_keep_locals(_pool), do: not_loaded()
      def pool_close(_pool), do: not_loaded()
      def pool_send(_pool, _message), do: not_loaded()
      def pool_stats(_pool), do: not_loaded()
      def pool_limit_stuck(_pool, _most), do: not_loaded()
      def pool_is_jammed(_pool), do: not_loaded()
      def pool_stuck(_pool), do: not_loaded()

      # nif/request.rs
      def request_submit(_pool, _reference, _flags, _operation, _leader, _timeout),
        do: not_loaded()

      def request_look(_ticket, _last), do: not_loaded()
      def request_send(_ticket, _message), do: not_loaded()
      def request_watch(_ticket, _owner), do: not_loaded()
      def request_limit(_ticket, _timeout), do: not_loaded()
      def request_expire(_ticket, _timeout), do: not_loaded()
      def request_claim(_ticket), do: not_loaded()
      def request_cancel(_ticket, _listens), do: not_loaded()
      def request_close(_ticket), do: not_loaded()
      def request_abandon(_ticket), do: not_loaded()

      # nif/callback.rs
      def guard_new(_pid, _number), do: not_loaded()
      def callback_accept(_callback), do: not_loaded()
      def callback_answered(_callback), do: not_loaded()
      def callback_answer(_callback, _answer), do: not_loaded()

      def callback_submit(_callbacks, _pool, _reference, _flags_and_timeout, _operation, _leader),
        do: not_loaded()

      # nif/stream.rs
      def stream_demand(_stream, _reference, _callbacks), do: not_loaded()
      def stream_flush(_stream), do: not_loaded()
      def stream_cancel(_stream), do: not_loaded()
      def stream_stop_listening(_stream), do: not_loaded()
      def stream_close(_stream, _reference, _callbacks), do: not_loaded()

      # nif/table.rs
      def table_begin(_length, _texts), do: not_loaded()
      def table_add(_packing, _list), do: not_loaded()
      def table_end(_packing, _as_binaries), do: not_loaded()

      defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
    end
  end
end
