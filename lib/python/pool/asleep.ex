defmodule Python.Pool.Asleep do
  @moduledoc false

  # A pool that starts with its first call (the setting `start: :lazy`): its process is there, and nothing of Python's.
  # Callers find no pool to hand their request to, ask the process to start, and wait as long as their timeout says. The
  # process starts once, however many ask. What may take its time, the start of the interpreter, runs in a process of its
  # own, so that the pool's goes on to answer.

  alias Python.{Callback, Deadline, Engine, Hold, NotStartedError, Options}
  alias Python.{StoppedError, TimeoutError}

  defstruct [:options, :helper, callers: []]

  @type t :: %__MODULE__{
          options: map,
          helper: pid | nil,
          callers: [GenServer.from()]
        }

  ## The process of the pool

  @doc """
  Whether a pool waits for its first call. One with an `:init` does not, unless it is that of the application: its start
  says what came of the code. Nor does one whose interpreter runs.
  """
  @spec waits?(map, Python.Settings.t()) :: boolean
  def waits?(_options, %{start: :boot}), do: false

  def waits?(%{name: name, init: init, engine: engine}, %{start: :lazy}) do
    runs = engine.shares_handles?() and engine.prepared?()
    not runs and (init == nil or name == Python.Pool.default())
  end

  @spec new(map) :: t
  def new(options) do
    :persistent_term.put(key(options.name), options.timeout)
    %__MODULE__{options: options}
  end

  @doc "A caller waits for the start, which begins if it has not yet."
  @spec wake(t, GenServer.from()) :: t
  def wake(%{helper: nil} = asleep, from) do
    engine = asleep.options.engine
    # Linked, so that it ends with the pool.
    helper = spawn_link(fn -> exit({:shutdown, {:prepared, Engine.prepare(engine)}}) end)
    wake(%{asleep | helper: helper}, from)
  end

  def wake(asleep, from), do: %{asleep | callers: [from | asleep.callers]}

  @doc "What came of the start of the interpreter, of the exit of the process that did it."
  @spec prepared(term) :: :ok | {:error, Exception.t()}
  def prepared({:shutdown, {:prepared, result}}), do: result

  def prepared(reason),
    do: {:error, NotStartedError.new(:init_failed, %{cause: Exception.format_exit(reason)})}

  @doc "Tells those who wait, in the order in which they came. It sleeps on, until the next one asks."
  @spec tell(t, :ok | {:error, Exception.t()}) :: t
  def tell(asleep, answer) do
    asleep.callers |> Enum.reverse() |> Enum.each(&GenServer.reply(&1, answer))
    %{asleep | helper: nil, callers: []}
  end

  @doc "The pool is awake, has failed, or ends."
  @spec forget(atom) :: :ok
  def forget(name) do
    :persistent_term.erase(key(name))
    :ok
  end

  defp key(name), do: {__MODULE__, name}

  ## Callers

  @doc "Whether a pool of this name waits for its first call."
  @spec asleep?(atom) :: boolean
  def asleep?(name), do: timeout(name) != nil and Process.whereis(name) != nil

  @doc "The timeout of calls to a pool that waits for its first one. Nil if there is none."
  @spec timeout(atom) :: timeout | nil
  def timeout(name), do: :persistent_term.get(key(name), nil)

  @doc "The names of pools that wait for their first call."
  @spec names() :: [atom]
  def names do
    for {{__MODULE__, name}, _timeout} <- :persistent_term.get(), Process.whereis(name), do: name
  end

  @doc """
  Wakes a pool up, and calls `run` with the options of a call, whose timeout is what is left of it. What comes of that,
  or of the start.
  """
  @spec wake_for(atom, Options.t(), (Options.t() -> result)) :: result | {:error, Exception.t()}
        when result: term
  def wake_for(name, options, run) do
    given = options.timeout || timeout(name) || 0

    with timeout when not is_tuple(timeout) <- Hold.limit(given, Callback.held()) do
      deadline = Deadline.in_ms(timeout)

      case ask(name, timeout) do
        :ok -> Deadline.left(deadline) |> run_within(given, options, run) |> explain(name)
        {:error, error} -> {:error, error}
        :timeout -> {:error, TimeoutError.new(given, :starting)}
      end
    end
  end

  defp run_within(0, given, _options, _run), do: {:error, TimeoutError.new(given, :starting)}

  defp run_within(left, given, options, run) do
    with {:error, %TimeoutError{timeout: ^left} = error} <- run.(%{options | timeout: left}),
         do: {:error, TimeoutError.put_timeout(error, given)}
  end

  # The pool's `:init` has failed meanwhile.
  defp explain({:error, %StoppedError{} = error}, name),
    do: {:error, Python.Pool.kept_reason(name) || error}

  defp explain(result, _name), do: result

  defp ask(name, timeout) do
    GenServer.call(name, :wake, timeout)
  catch
    :exit, {:timeout, {GenServer, :call, _}} -> :timeout
    # It has ended.
    :exit, {_reason, {GenServer, :call, _}} -> {:error, Python.Pool.why_not(name)}
  end
end
