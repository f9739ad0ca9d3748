defmodule :erlang_python_process do
  @moduledoc false

  # The functions of native/erlang_python_process for the engine `:process`: stubs and no logic. They are those of
  # native/erlang_python_nif that need no Python, where they are documented. So the library loads without a libpython,
  # and beside that of the engine `:main`, of which it knows nothing.

  use Python.Library, file: "liberlang_python_process"
  use Python.Engine.Native.Stubs

  # nif/process.rs
  def process_begin(_native_layouts), do: not_loaded()
  def process_version, do: not_loaded()
  def process_new(_name, _max_queue, _timeout, _config), do: not_loaded()
  def process_of_context(_pid), do: not_loaded()
  def process_join(_pool, _id, _spare), do: not_loaded()
  def process_template(_pool), do: not_loaded()
  def process_fork(_link, _template), do: not_loaded()
  def process_look(_callback, _first, _last), do: not_loaded()
  def process_enter(_link), do: not_loaded()
  def process_retire(_link), do: not_loaded()
  def process_make(_link), do: not_loaded()
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
end
