defmodule Python.TimeoutError do
  @moduledoc """
  A call exceeded its timeout.

  The call is cancelled. If it was in the queue, it never runs. If it was running, `erlang.Interrupt` is raised in its
  code. Code that cannot be interrupted (a C function that blocks) continues, and the pool replaces its worker.

      iex> {:error, error} = Python.call(:time, :sleep, [1], timeout: 50)
      iex> {error.__struct__, error.timeout}
      {Python.TimeoutError, 50}

  ## Fields

    * `:timeout` - the timeout, in ms;
    * `:reason` - `:queued` (no worker was free in that time, Python was still being started, or another node did not take the call) or
      `:running`;
    * `:location` - where Python was, a map with `:file`, `:line`, `:function` and `:code`; `nil` if the call had not begun
      or Python could not be asked in time;
    * `:message` - a text.
  """

  @type t :: %__MODULE__{
          timeout: non_neg_integer,
          reason: :queued | :running,
          location: Python.Error.frame() | nil,
          message: String.t()
        }

  defexception [:timeout, :reason, :location, :message]

  @doc false
  def new(timeout, :queued) do
    %__MODULE__{
      timeout: timeout,
      reason: :queued,
      message:
        "the call did not begin within its timeout of #{timeout} ms: all workers of the pool " <>
          "were busy"
    }
  end

  # The connection to it is full, or to be made.
  def new(timeout, {:away, node}) do
    %__MODULE__{
      timeout: timeout,
      reason: :queued,
      message:
        "the call did not begin within its timeout of #{timeout} ms: the node #{node} did not take it in that time"
    }
  end

  # The pool waits for its first call, with which Python starts.
  def new(timeout, :starting) do
    %__MODULE__{
      timeout: timeout,
      reason: :queued,
      message:
        "the call did not begin within its timeout of #{timeout} ms: it starts Python, which took longer"
    }
  end

  # Of a body of `Python.with/3`: Elixir code, so there is no place in Python.
  def new(timeout, :body) do
    %__MODULE__{
      timeout: timeout,
      reason: :running,
      message:
        "the function of Python.with did not end within the timeout of #{timeout} ms; it was killed, and the context " <>
          "manager was left"
    }
  end

  def new(timeout, :none) do
    %__MODULE__{
      timeout: timeout,
      reason: :running,
      message: "the call did not end within its timeout of #{timeout} ms"
    }
  end

  def new(timeout, {file, line, function}),
    do: new(timeout, {file, line, function, Python.Source.line(file, line)})

  def new(timeout, {file, line, function, code}) do
    location = %{file: file, line: line, function: function, code: code}
    shown = if code, do: ": #{code}", else: ""

    %__MODULE__{
      timeout: timeout,
      reason: :running,
      location: location,
      message:
        "the call did not end within its timeout of #{timeout} ms; Python was at " <>
          "#{file}:#{line} in #{function}#{shown}"
    }
  end

  @doc false
  # Part of the time was gone before the call was handed in.
  def put_timeout(%__MODULE__{timeout: left} = error, timeout) do
    message = String.replace(error.message, "timeout of #{left} ms", "timeout of #{timeout} ms")
    %{error | timeout: timeout, message: message}
  end
end
