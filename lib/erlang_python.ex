defmodule :erlang_python do
  @moduledoc false

  # The functions of native/erlang_python_nif for the engines `:main` and `:asyncio`, grouped by the file that has them: stubs and no
  # logic. What they do is documented there. The library cannot be loaded before libpython has been opened.

  use Python.Library, file: "liberlang_python_nif"
  use Python.Engine.Native.Stubs

  # nif/runtime.rs
  def runtime_start(_config, _owner), do: not_loaded()
  def runtime_ending, do: not_loaded()
  def runtime_native, do: not_loaded()
  def runtime_pending_releases, do: not_loaded()
  def runtime_blocked_finalizers, do: not_loaded()
  def runtime_nif_version, do: not_loaded()

  # nif/pool.rs
  def pool_new(_name, _max_queue, _timeout, _held), do: not_loaded()
  def pool_of_context(_pid), do: not_loaded()
  def pool_workers(_pool), do: not_loaded()
  def pool_allow_extras(_pool, _most), do: not_loaded()

  # nif/worker.rs
  def worker_slot(_limit), do: not_loaded()
  def worker_new(_pool, _id, _slot), do: not_loaded()
  def worker_spawn(_pool, _id), do: not_loaded()
  def worker_drain(_worker), do: not_loaded()

  # nif/event_loop.rs
  def loop_new(_name, _max_queue, _timeout, _held, _size, _block_warning), do: not_loaded()
  def loop_spawn(_pool, _id, _kind, _patience), do: not_loaded()
  def loop_state(_pool, _id), do: not_loaded()
  def loop_count(_pool), do: not_loaded()
  def loop_of_context(_pid), do: not_loaded()

  # nif/request.rs
  def request_run(_pool, _flags, _operation, _leader), do: not_loaded()

  # nif/registered.rs
  def callback_serve(_names), do: not_loaded()
  def callback_register(_name, _described), do: not_loaded()
  def callback_unregister(_name), do: not_loaded()

  # nif/source.rs
  def source_line(_file, _number), do: not_loaded()
  # nif/ledger.rs
  def ledger_collected, do: not_loaded()
end
