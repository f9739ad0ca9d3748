defmodule Python.Error do
  @moduledoc """
  Python raised an exception.

      iex> {:error, error} = Python.eval("1 / 0")
      iex> {error.module, error.type, error.message}
      {"builtins", "ZeroDivisionError", "division by zero"}

  `Exception.message/1` is the traceback that Python prints, with causes.

  ## Fields

    * `:type` - the qualified name of the class, such as `"ZeroDivisionError"`;
    * `:module` - the module of the class, such as `"builtins"`;
    * `:message` - the text, `str(exception)`;
    * `:frames` - the traceback, outermost call first: a list of maps with `:file`, `:line`, `:function` and `:code`, the
      text of the line or `nil`. Of more than 128 frames, those in the middle are left out;
    * `:notes` - the notes of `add_note`, a list of strings;
    * `:cause` - the exception that led to this one, or `nil`. It is a `Python.Error`, or for an `erlang.Error` the
      exception that was raised in Elixir;
    * `:link` - how the cause led to it: `:cause` (`raise … from …`), `:context` (raised while the other was handled), or
      `nil`;
    * `:traceback` - the text that Python prints for this exception, without its causes;
    * `:builtin` - whether the class is defined by Python itself;
    * `:hint` - what to do, where Python's text leaves it open: for a missing module, in which interpreter it was looked for and
      how to install it; for code that is to be awaited, where that is done; else `nil`.
      `Exception.message/1` contains it;
    * `:value` - the exception itself, a `Python.Object`.
  """

  alias Python.Object

  @type frame :: %{
          file: String.t(),
          line: non_neg_integer,
          function: String.t(),
          code: String.t() | nil
        }

  @type t :: %__MODULE__{
          type: String.t(),
          module: String.t(),
          message: String.t(),
          frames: [frame],
          notes: [String.t()],
          cause: Exception.t() | nil,
          link: :cause | :context | nil,
          traceback: String.t() | nil,
          builtin: boolean,
          hint: String.t() | nil,
          value: Object.t() | nil
        }

  defexception [
    :type,
    :module,
    :message,
    :cause,
    :link,
    :traceback,
    :hint,
    :value,
    frames: [],
    notes: [],
    builtin: false
  ]

  @doc """
  Returns the traceback that Python prints, with causes.

  ## Examples

      iex> {:error, error} = Python.eval("[][1]")
      iex> error |> Exception.message() |> String.split("\\n") |> List.last()
      "IndexError: list index out of range"
  """
  @impl true
  def message(%__MODULE__{} = error), do: error |> paragraphs() |> Enum.join("\n")

  defp paragraphs(%{cause: nil} = error), do: [text(error)]

  defp paragraphs(error) do
    link =
      case error.link do
        :cause -> "The above exception was the direct cause of the following exception:"
        _ -> "During handling of the above exception, another exception occurred:"
      end

    cause(error.cause) ++ ["", link, "", text(error)]
  end

  defp cause(%__MODULE__{} = error), do: paragraphs(error)
  defp cause(other), do: [Exception.format_banner(:error, other)]

  defp text(%{hint: hint} = error) when is_binary(hint), do: raised_text(error) <> "\n\n" <> hint
  defp text(error), do: raised_text(error)

  defp raised_text(%{traceback: traceback}) when is_binary(traceback),
    do: String.trim_trailing(traceback)

  defp raised_text(error), do: "#{error.type}: #{error.message}"

  @doc false
  def add_note(error, note) do
    traceback = error.traceback && String.trim_trailing(error.traceback) <> "\n" <> note
    %{error | notes: error.notes ++ [note], traceback: traceback}
  end

  @doc false
  # As Python would say it. There was no stack that Python could have said it on.
  def no_stack do
    own("MemoryError", """
    there is no memory for the stack of the call. Nothing has run, so the call can be tried again. Raise the \
    limit of the VM's memory or address space (`ulimit -v`), or lower the setting thread_stack_size\
    """)
  end

  @doc false
  # `text`: what the system says.
  def no_thread(text) do
    own("RuntimeError", """
    can't start new thread: #{text}. Raise the limit of the VM's memory, address space (`ulimit -v`) or threads \
    (`ulimit -u`), or lower the setting thread_stack_size\
    """)
  end

  defp own(type, message) do
    %__MODULE__{type: type, module: "builtins", message: message, builtin: true}
  end

  @doc false
  # From native/erlang_python_nif/src/python/exception.rs: the exception, its cause, the cause's cause, …
  def from_native([]), do: nil

  def from_native([{data, value, original} | causes]) do
    error = from_native([{data, value} | causes])
    %{error | cause: error.cause || raised(original), link: error.link || :cause}
  end

  def from_native([{data, value} | causes]) do
    {type, module, builtin, message, frames, notes, traceback, link, hint} = data

    %__MODULE__{
      type: type,
      module: module,
      message: message,
      frames: Enum.map(frames, &frame/1),
      notes: notes,
      cause: from_native(causes),
      link: link(link),
      traceback: traceback,
      builtin: builtin,
      hint: hint,
      value: value
    }
  end

  defp frame({file, line, function, code}) do
    %{file: file, line: line, function: function, code: code}
  end

  # What was raised on this side and came through Python.
  defp raised({:error, error}), do: error
  defp raised({kind, reason}), do: %ErlangError{original: {kind, reason}}

  defp link("cause"), do: :cause
  defp link("context"), do: :context
  defp link(nil), do: nil

  ## Raising

  # The VM shows 8 entries of a stacktrace. All of Python's are in the message.
  @shown 5

  # Function names become atoms there, and Python code must not be able to fill the atom table.
  @most_atoms 10_000

  @doc false
  @spec raise!(Exception.t()) :: no_return
  def raise!(error) do
    :erlang.raise(:error, error, stacktrace(error))
  end

  @doc false
  # What a function with a `!` gives for the answer of that without.
  @spec value!({:ok, value} | {:error, Exception.t()}) :: value when value: term
  def value!({:ok, value}), do: value
  def value!({:error, error}), do: raise!(error)

  @doc false
  # What shows the exception as one, with its traceback, where a process ends with it.
  @spec exit_reason(Exception.t()) :: {Exception.t(), Exception.stacktrace()}
  def exit_reason(error), do: {error, stacktrace(error)}

  defp stacktrace(error) do
    {:current_stacktrace, [_info, _stacktrace, _raise | stacktrace]} =
      Process.info(self(), :current_stacktrace)

    entries(error) ++ stacktrace
  end

  defp entries(%__MODULE__{frames: frames}) do
    frames |> Enum.reverse() |> Enum.take(@shown) |> Enum.map(&entry/1)
  end

  defp entries(_other), do: []

  defp entry(frame) do
    location = [file: String.to_charlist(frame.file), line: frame.line]
    {:python, atom(frame.function), 0, location}
  end

  defp atom(name) do
    String.to_existing_atom(name)
  rescue
    ArgumentError -> new_atom(name)
  end

  defp new_atom(name) do
    counter = counter()
    count = :counters.get(counter, 1)

    if count < @most_atoms and String.length(name) <= 255 do
      :counters.add(counter, 1, 1)
      String.to_atom(name)
    else
      :function
    end
  end

  defp counter do
    with nil <- :persistent_term.get(__MODULE__, nil) do
      counter = :counters.new(1, [])
      :persistent_term.put(__MODULE__, counter)
      counter
    end
  end

  # An error that is given back to Python is the exception that it was.
  defimpl Python.Encoder do
    def encode(error), do: error.value
  end
end
