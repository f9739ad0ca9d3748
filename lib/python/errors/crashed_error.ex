defmodule Python.CrashedError do
  @moduledoc """
  The process that ran the call has ended: by a segmentation fault, `os._exit`, a signal, for lack of memory.

  Only the engine `:process` returns it; in the VM's own interpreter, such an end would be that of the VM. The pool
  starts another worker. Other calls are not affected.

  ## Fields

    * `:signal` - the signal that ended the process, such as `:sigsegv` or `:sigkill`, or `nil`;
    * `:exit_status` - the status that it exited with, or `nil`;
    * `:traceback` - Python's own report of a fatal error, a text, or `nil`;
    * `:message` - all of it, in one sentence.

  ## Examples

      iex> Exception.message(Python.CrashedError.new(:sigsegv, nil, nil))
      "the Python process was ended by SIGSEGV while it ran the call"
  """

  @type t :: %__MODULE__{
          signal: atom | pos_integer | nil,
          exit_status: non_neg_integer | nil,
          traceback: String.t() | nil,
          message: String.t()
        }

  defexception [:signal, :exit_status, :traceback, :message]

  @doc false
  @spec new(atom | pos_integer | nil, non_neg_integer | nil, String.t() | nil) :: t
  def new(signal, exit_status, traceback) do
    %__MODULE__{
      signal: signal,
      exit_status: exit_status,
      traceback: traceback,
      message: "the Python process #{ended(signal, exit_status)} while it ran the call"
    }
  end

  @doc """
  Returns how it ended, and Python's own report if there is one.

  ## Examples

      iex> Exception.message(%Python.CrashedError{exit_status: 3, message: "the Python process exited with status 3"})
      "the Python process exited with status 3"
  """
  @impl true
  def message(%__MODULE__{traceback: nil, message: message}), do: message

  def message(%__MODULE__{traceback: traceback, message: message}),
    do: message <> ":\n\n" <> String.trim_trailing(traceback)

  @doc false
  # As a part of a sentence.
  def ended(nil, nil), do: "ended"
  def ended(nil, status), do: "exited with status #{status}"

  # Where a limit of the system's is lower, that holds.
  def ended(:sigxcpu, _status) do
    "was ended by SIGXCPU, the limit of its computing time (:cpu in the option :limits of its pool, or `ulimit -t`),"
  end

  def ended(signal, _status) when is_atom(signal),
    do: "was ended by #{signal |> Atom.to_string() |> String.upcase()}"

  def ended(signal, _status), do: "was ended by the signal #{signal}"
end
