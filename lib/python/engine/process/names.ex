defmodule Python.Engine.Process.Names do
  @moduledoc false

  # The names that the Python module `erlang` has itself, which no function can be registered by. In the VM's own
  # interpreter the module is asked; here a function may be registered before there is a process to ask.

  @package "priv/python/erlang"

  @modules for file <- Path.wildcard(Path.join(@package, "*.py")), do: Path.basename(file, ".py")

  # What the native library and `__init__.py` put there.
  @own ~w(Atom Error Function Interrupt Pid Port Ref acall areceive call log on_interrupt receive register_decoder
          self send time_left whereis
          _FileFinder _Function _Guarded _Loader _SourceFileLoader _adopt _alone _decoders_exist _end_workers _ends_the_vm
          _entries_are_seen _finalize _flush _give_back _hold _hold_in_loop _in_loop _is_ending _is_forked _is_registered
          _is_the_vms_signal _known _leave_in_loop _load_term _loads _mail_future _make_function _make_young _on_interrupts _origin _pass_mail _read
          _read_line _registered _stand _sys _take _take_message
          _terminal _trust_callbacks _write _write_error)

  # What a module has in any version.
  @of_modules ~w(__all__ __annotate__ __annotations__ __builtins__ __cached__ __class__ __delattr__ __dict__ __dir__ __doc__
                 __eq__ __file__ __format__ __ge__ __getattr__ __getattribute__ __getstate__ __gt__ __hash__ __init__
                 __init_subclass__ __le__ __loader__ __lt__ __name__ __ne__ __new__ __package__ __path__ __reduce__
                 __reduce_ex__ __repr__ __setattr__ __sizeof__ __spec__ __str__ __subclasshook__)

  @taken MapSet.new(@modules ++ @own ++ @of_modules)

  @doc "Whether it is one of those."
  @spec taken?(String.t()) :: boolean
  def taken?(name), do: MapSet.member?(@taken, name)
end
