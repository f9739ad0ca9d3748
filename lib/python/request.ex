defmodule Python.Request do
  @moduledoc false

  # Hands an operation to a pool and waits for its answer: the only `receive` for answers.
  #
  # The caller waits itself, so that its deadline holds whatever Python does. The ticket is the
  # caller's hold on its request; it is not given away, so that a caller that dies takes its request
  # with it (native/erlang_python_nif/src/pool/request.rs).

  alias Python.{Async, Callback, Engine, Hold, Home, Options, OverloadedError, Pool, StoppedError}
  alias Python.Engine.Process.NotStarted
  alias Python.Pool.Asleep
  alias Python.{Remote, Telemetry, TimeoutError}

  @return_object 1
  @erlang 2
  @cancel_on_drop 4
  @init 32
  @return_bytes 8
  # What the option :decode says is above these.
  @decode 0x10000
  @may_run_here 1024
  @keep_locals 64
  @let_go_of_locals 128

  # How long the caller waits to be told at which line Python was, in ms. Python has to be between
  # two bytecodes to be asked.
  @listen 25

  # How long a message may take that was sent, in ms.
  @told 5_000

  @type answer :: {:ok, term} | :ok | {:error, Exception.t()}

  @doc "Runs an operation and waits for its answer, at most as long as the options say."
  @spec run(tuple, Options.t()) :: answer
  def run(operation, options) do
    if Telemetry.enabled?() do
      Telemetry.span(operation, options, fn -> run_encoding(operation, options) end)
    else
      run_encoding(operation, options)
    end
  end

  @doc "The same without events, for what is the library's own."
  @spec run_quietly(tuple, Options.t()) :: answer
  def run_quietly(operation, options), do: run_encoding(operation, options)

  defp run_encoding(operation, options) do
    case run_once(operation, options) do
      {:error, {:encode_struct, error}} -> run_encoded(operation, options, error)
      answer -> answer
    end
  end

  # Arguments are converted before anything runs, so the operation can be handed in again.
  defp run_encoded(operation, options, error) do
    case Python.Struct.encode(operation) do
      ^operation ->
        {:error, error}

      encoded ->
        case run_once(encoded, options) do
          {:error, {:encode_struct, error}} -> {:error, error}
          answer -> answer
        end
    end
  end

  defp run_once(operation, options) do
    case Home.lookup(options) do
      {:error, error} ->
        {:error, error}

      {engine, pool, timeout} when elem(operation, 0) == :stream ->
        with {:ok, stream} <- run_in(engine, pool, timeout, operation, options),
             do: {:ok, {engine, stream}}

      {engine, pool, timeout} ->
        run_in(engine, pool, timeout, operation, options)

      {:asleep, pool} ->
        Asleep.wake_for(pool, options, &run_once(operation, &1))

      {:remote, {node, options}} when elem(operation, 0) == :stream ->
        with {:ok, stream} <- Remote.open(node, operation, options),
             do: {:ok, {Remote, stream}}

      {:remote, {node, options}} ->
        Remote.run(node, operation, options)
    end
  end

  # Who would never give up can as well run the request itself, where somebody would have to be woken for it.
  defp run_in(engine, pool, :infinity, operation, %{context: nil} = options),
    do: run_there(engine, pool, :infinity, operation, options, @may_run_here)

  defp run_in(engine, pool, timeout, operation, options),
    do: run_there(engine, pool, timeout, operation, options, 0)

  defp run_there(engine, pool, timeout, operation, options, way) do
    # Made in the function that waits: the VM then passes over older messages at once.
    reference = make_ref()
    flags = flags(options) + @cancel_on_drop + way

    case hand_in(engine, pool, reference, flags, operation, timeout) do
      ticket when is_reference(ticket) ->
        receive do
          {^reference, answer} -> answer(answer)
        after
          timeout -> give_up(engine, ticket, reference, timeout)
        end

      {answer} ->
        answer(answer)

      :here ->
        case Engine.run(engine, pool, flags(options), operation, Process.group_leader()) do
          :busy -> run_there(engine, pool, :infinity, operation, options, 0)
          answer -> answer(answer)
        end

      refused ->
        {:error, refused(refused, options)}
    end
  end

  @doc false
  # The requests of a callback, or of the body of a `with`, are run by the thread that waits for it, if they
  # are for the same pool: otherwise all of a pool's workers could be waiting for each other.
  def hand_in(engine, pool, reference, flags, operation, timeout) do
    leader = Process.group_leader()

    case Callback.running() do
      nil ->
        Engine.submit(engine, pool, reference, flags, operation, leader, timeout)

      {callbacks, _hold} ->
        engine.submit_nested(callbacks, pool, reference, {flags, timeout}, operation, leader)
    end
  end

  @doc "Hands an operation in, for the caller to wait for later."
  @spec submit(tuple, Options.t()) :: {:ok, Async.t()} | {:error, Exception.t()}
  def submit(operation, options) do
    case Home.lookup(options) do
      {:error, error} ->
        {:error, error}

      {engine, pool, timeout} ->
        reference = make_ref()
        operation = Python.Struct.encode(operation)

        case hand_in(engine, pool, reference, flags(options), operation, timeout) do
          ticket when is_reference(ticket) ->
            engine.watch(ticket, self())
            if timeout != :infinity, do: engine.limit(ticket, timeout)
            {:ok, %Async{ref: reference, ticket: ticket, owner: self(), engine: engine}}

          refused ->
            {:error, refused(refused, options)}
        end

      # Its time begins when it is handed in.
      {:asleep, pool} ->
        Asleep.wake_for(pool, options, fn _left -> submit(operation, options) end)

      {:remote, {node, options}} ->
        Remote.submit(node, operation, options)
    end
  end

  @doc "Waits for what was submitted. False if somebody has done so before."
  @spec await(Async.t(), timeout) :: answer | :claimed
  def await(%Async{engine: {Remote, _proxy, _claims}} = async, timeout),
    do: Remote.await(async, timeout)

  def await(%Async{ref: reference, ticket: ticket, engine: engine}, timeout) do
    if engine.claim(ticket) do
      answer =
        receive do
          {^reference, answer} -> answer(answer)
        after
          timeout -> give_up(engine, ticket, reference, timeout)
        end

      with {:error, {:encode_struct, error}} <- answer, do: {:error, error}
    else
      # Another process may have cancelled it when the answer was there already.
      receive do
        {^reference, _answer} -> :claimed
      after
        0 -> :claimed
      end
    end
  end

  @doc "Sends a message to the code that was submitted."
  @spec send(Async.t(), term) :: :ok
  def send(%Async{engine: {Remote, _proxy, _claims}} = async, message),
    do: Remote.send_to_request(async, message)

  def send(%Async{ticket: ticket, engine: engine}, message),
    do: engine.send_to_request(ticket, message)

  @doc "Gives up what was submitted, and whatever has come of it."
  @spec cancel(Async.t()) :: :ok
  def cancel(%Async{engine: {Remote, _proxy, _claims}} = async), do: Remote.cancel(async)

  def cancel(%Async{ref: reference, ticket: ticket, owner: owner, engine: engine}) do
    unclaimed = engine.claim(ticket)

    cond do
      # The owner may be waiting this moment.
      not unclaimed and owner != self() ->
        engine.abandon(ticket)

      # An answer that nobody has taken is in the owner's mailbox, or about to be.
      engine.cancel(ticket, false) == :answered and unclaimed and owner == self() ->
        receive do
          {^reference, _answer} -> :ok
        end

      true ->
        :ok
    end
  end

  @doc "The timeout of what these options are for."
  @spec timeout(Options.t()) :: timeout
  def timeout(%{timeout: nil} = options) do
    case Home.lookup(options) do
      # The demand will be refused, and say why.
      {:error, _} -> 0
      {_engine, _pool, timeout} -> timeout
      {:asleep, pool} -> timeout(%{options | timeout: Asleep.timeout(pool) || 0})
      # Who runs it there looks at the clock.
      {:remote, _there} -> :infinity
    end
  end

  def timeout(%{timeout: timeout}) do
    with {:error, _} <- Hold.limit(timeout, Callback.held()), do: 0
  end

  ## Giving up

  defp give_up(engine, ticket, reference, timeout) do
    case engine.cancel(ticket, true) do
      :answered ->
        # The answer won by a hair, and is in the mailbox or about to be.
        receive do
          {^reference, answer} -> answer(answer)
        end

      :queued ->
        {:error, TimeoutError.new(timeout, :queued)}

      :running ->
        location = location(reference, fn -> engine.stop_listening(ticket) end)
        {:error, TimeoutError.new(timeout, location)}
    end
  end

  @doc "Where Python was. `stop` stops listening, and says whether nothing had been told before."
  @spec location(reference, (() -> boolean)) :: tuple | :none
  def location(reference, stop) do
    receive do
      {^reference, {:location, location}} -> location
    after
      @listen ->
        if stop.() do
          :none
        else
          # It is there, or about to be.
          receive do
            {^reference, {:location, location}} -> location
          after
            @told -> :none
          end
        end
    end
  end

  ## Answers

  # To be tried again with the struct encoded.
  @doc false
  def answer({:error, {:encode_struct, _, _, _} = reason}) do
    {:error, {:encode_struct, error(reason)}}
  end

  def answer({:error, {:error, _, {:encode_struct, _, _, _}} = reason}) do
    {:error, {:encode_struct, error(reason)}}
  end

  def answer({:error, reason}), do: {:error, error(reason)}
  def answer(answer), do: answer

  @doc "The exception for a reason that the native code gives."
  @spec error(term) :: Exception.t()
  def error({:exception, chain}), do: Python.Error.from_native(chain)

  def error({:encode_struct, reason, place, path}), do: error({:encode, reason, place, path})
  def error({:encode, reason, place, path}), do: Python.EncodeError.new(reason, place, path)
  def error({:decode, reason, path}), do: Python.DecodeError.new(reason, path)
  def error({:error, index, reason}), do: at_index(error(reason), index)
  def error({:timed_out, timeout, false}), do: TimeoutError.new(timeout, :queued)
  def error({:timed_out, timeout, true}), do: TimeoutError.new(timeout, :none)
  def error({:bad_request, text}), do: ArgumentError.exception(text)
  def error(:no_memory), do: Python.Error.no_stack()
  def error({:no_thread, text}), do: Python.Error.no_thread(text)

  def error({:crashed, signal, exit_status, traceback}),
    do: Python.CrashedError.new(signal, exit_status, traceback)

  def error({:not_started, reason}), do: NotStarted.exception(reason)
  def error(reason) when is_atom(reason), do: StoppedError.new(reason)

  defp at_index(%Python.Error{} = error, index) do
    Python.Error.add_note(error, "in the call with index #{index}")
  end

  defp at_index(error, index) do
    %{error | message: "#{error.message} (in the call with index #{index})"}
  end

  @doc false
  def refused(:overloaded, options) do
    pool = options.context || options.pool || Pool.default()

    with {engine, native, _timeout} when is_atom(pool) <- Pool.lookup(pool),
         true <- engine.jammed?(native) do
      OverloadedError.stuck(pool, Python.Stuck.calls(engine, native))
    else
      _ -> OverloadedError.new(pool)
    end
  end

  def refused(:closed, _options), do: StoppedError.new(:closed)

  @doc false
  def flags(%{init: true}), do: @init
  def flags(%{return: :value, erlang: false, decode: 0, keep_locals: nil}), do: 0

  def flags(%{return: return, erlang: erlang, decode: decode, keep_locals: keep}) do
    returns(return) + if(erlang, do: @erlang, else: 0) + locals(keep) + decode * @decode
  end

  defp returns(:value), do: 0
  defp returns(:object), do: @return_object
  defp returns(:bytes), do: @return_bytes

  defp locals(nil), do: 0
  defp locals(true), do: @keep_locals
  defp locals(false), do: @let_go_of_locals
end
