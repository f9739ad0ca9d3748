defmodule :erlang_python do
  @moduledoc false

  # The functions of native/erlang_python_nif, grouped by the file that has them: stubs and no
  # logic. What they do is documented there.
  #
  # The library is loaded by load/0, not by @on_load: it cannot be loaded before libpython has been
  # opened, and a module whose on_load fails stops the boot of a release in embedded mode. When this code
  # takes the place of other that has loaded it, @on_load loads it again.

  @on_load :load_again

  @doc "Loads the library; `:ok` too when that has been done before."
  @spec load() :: :ok | {:error, {atom, String.t()}}
  def load do
    path = path()
    with :ok <- load_from(path), do: Python.Library.loaded(__MODULE__, path)
  end

  @doc false
  def load_again do
    # Other modules may not be there yet.
    if :persistent_term.get({__MODULE__, :library}, nil) do
      case Python.Library.again(__MODULE__, path()) do
        {:load, path} -> load_from(path)
        {:refuse, text} -> {:error, text}
      end
    else
      :ok
    end
  end

  defp path do
    :filename.join([:code.priv_dir(:erlang_python), ~c"native", ~c"liberlang_python_nif"])
  end

  defp load_from(path) do
    case :erlang.load_nif(path, 0) do
      :ok -> :ok
      {:error, {:reload, _text}} -> :ok
      {:error, {tag, text}} -> {:error, {tag, List.to_string(text)}}
    end
  end

  # nif/runtime.rs
  def runtime_start(_config, _owner), do: not_loaded()
  def runtime_ending, do: not_loaded()
  def runtime_native, do: not_loaded()
  def runtime_pending_releases, do: not_loaded()
  def runtime_blocked_finalizers, do: not_loaded()
  def runtime_nif_version, do: not_loaded()

  # nif/pool.rs
  def pool_decode(_pool, _settings), do: not_loaded()
  def pool_new(_name, _max_queue, _timeout, _held), do: not_loaded()
  def pool_open(_pool), do: not_loaded()
  def pool_of_context(_pid), do: not_loaded()
  def pool_keep_locals(_pool), do: not_loaded()
  def pool_close(_pool), do: not_loaded()
  def pool_send(_pool, _message), do: not_loaded()
  def pool_stats(_pool), do: not_loaded()
  def pool_limit_stuck(_pool, _most), do: not_loaded()
  def pool_is_jammed(_pool), do: not_loaded()
  def pool_stuck(_pool), do: not_loaded()
  def pool_workers(_pool), do: not_loaded()

  # nif/process.rs
  def process_new(_name, _max_queue, _timeout, _config), do: not_loaded()
  def process_of_context(_pid), do: not_loaded()
  def process_join(_pool, _id, _spare), do: not_loaded()
  def process_enter(_link), do: not_loaded()
  def process_retire(_link), do: not_loaded()
  def process_spawn(_link, _arguments, _environment, _folder), do: not_loaded()
  def process_fail(_link, _reason), do: not_loaded()
  def process_pause(_pool), do: not_loaded()
  def process_workers(_pool), do: not_loaded()
  def process_owners(_pool), do: not_loaded()
  def process_stop(_pool), do: not_loaded()
  def process_kill(_pool), do: not_loaded()
  def process_serve(_names), do: not_loaded()
  def process_register(_name, _described), do: not_loaded()
  def process_unregister(_name), do: not_loaded()

  # nif/worker.rs
  def worker_slot(_limit), do: not_loaded()
  def worker_new(_pool, _id, _slot), do: not_loaded()
  def worker_spawn(_pool, _id), do: not_loaded()
  def worker_drain(_worker), do: not_loaded()

  # nif/request.rs
  def request_submit(_pool, _reference, _flags, _operation, _leader, _timeout), do: not_loaded()
  def request_run(_pool, _flags, _operation, _leader), do: not_loaded()
  def request_send(_ticket, _message), do: not_loaded()
  def request_watch(_ticket, _owner), do: not_loaded()
  def request_limit(_ticket, _timeout), do: not_loaded()
  def request_expire(_ticket, _timeout), do: not_loaded()
  def request_claim(_ticket), do: not_loaded()
  def request_cancel(_ticket, _listens), do: not_loaded()
  def request_close(_ticket), do: not_loaded()
  def request_abandon(_ticket), do: not_loaded()

  # nif/callback.rs
  def callback_serve(_names), do: not_loaded()
  def callback_register(_name, _described), do: not_loaded()
  def callback_unregister(_name), do: not_loaded()
  def guard_new(_pid), do: not_loaded()
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

  # nif/source.rs
  def source_line(_file, _number), do: not_loaded()
  # nif/ledger.rs
  def ledger_collected, do: not_loaded()

  defp not_loaded, do: :erlang.nif_error(:nif_not_loaded)
end
