defmodule Python.Hold do
  @moduledoc false

  # Python's `with`, whose body is a function of Elixir's. One request enters the manager, waits for the
  # body, and leaves the manager (native/erlang_python_nif/src/engine/main/hold.rs). What the body asks of Python goes to the
  # worker that waits: one thread and one context of variables for all of it.
  #
  # With a timeout of its own, the body has a process of its own (`Python.Body`), which is killed at the deadline. Then
  # the manager is left, and only then is the caller told, unless that takes too long.
  # Else it runs in the calling process, and nobody can end it: at the deadline the manager is left without it and
  # the worker is free; whatever the body asks from then on is refused.

  alias Python.{Body, Callback, Deadline, Home, Operation, Request, StoppedError, TimeoutError}
  alias Python.Pool.Asleep

  # How long to wait for an answer that may be on its way, in ms.
  @moment 50

  # How long the manager has at the deadline to be left before the caller is told, in ms.
  @leaving 50

  # Flag 512: the request ends with this process, until the body has begun and after it has ended.
  @for_body 512

  @type result ::
          {:ok, term} | {:error, Exception.t()} | {:raised, atom, term, Exception.stacktrace()}

  @doc "Enters `object`, runs `fun` with what that gives, and leaves it."
  @spec run(Python.Object.t(), (term -> term), Python.Options.t()) :: result
  def run(object, fun, options) do
    with {engine, native, timeout} <- Home.lookup(options) do
      reference = make_ref()
      operation = Operation.call("erlang._object", "hold", [object], %{})

      flags = Request.flags(options) + @for_body

      case Request.hand_in(engine, native, reference, flags, operation, timeout) do
        ticket when is_reference(ticket) ->
          hold = %{
            engine: engine,
            ticket: ticket,
            reference: reference,
            native: native,
            timeout: timeout,
            deadline: Deadline.in_ms(timeout),
            apart: is_integer(options.timeout)
          }

          enter(hold, fun)

        refused ->
          {:error, Request.refused(refused, options)}
      end
    else
      {:remote, {node, options}} ->
        Python.Remote.Hold.run(node, object, fun, options)

      {:asleep, pool} ->
        # With a timeout of its own, the body has a process of its own.
        Asleep.wake_for(pool, options, fn woken ->
          run(object, fun, %{woken | timeout: options.timeout && woken.timeout})
        end)

      {:error, error} ->
        {:error, error}
    end
  end

  defp enter(%{reference: reference} = hold, fun) do
    receive do
      {^reference, {:held, callback, entered}} ->
        # Should this process die, the manager is left.
        hold.engine.callback_accept(callback)
        expire(hold)
        body(hold, callback, entered, fun)

      {^reference, answer} ->
        entered(Request.answer(answer))
    after
      Deadline.left(hold.deadline) -> give_up(hold)
    end
  end

  defp expire(%{deadline: :infinity}), do: :ok

  # Where this process looks at the clock itself, it comes first.
  defp expire(%{engine: engine, ticket: ticket, deadline: deadline, apart: apart}) do
    spare = if apart, do: @leaving + @moment, else: 0
    engine.expire(ticket, Deadline.left(deadline) + spare)
  end

  # It was left before the body began.
  defp entered({:error, error}), do: {:error, error}
  defp entered({:ok, _}), do: {:error, StoppedError.new(:stopped)}

  defp body(%{apart: false} = hold, callback, entered, fun) do
    result = run(callback, place(hold), entered, fun)
    ended(hold, callback, result)
  end

  defp body(%{apart: true} = hold, callback, entered, fun) do
    place = place(hold)
    body = Body.start(fn -> run(callback, place, entered, fun) end)

    result = Body.await(body, Deadline.left(hold.deadline))

    # What comes after the deadline may be no more than what its passing has led to.
    if result != :timeout and Deadline.left(hold.deadline) > 0 do
      ended(hold, callback, result)
    else
      # The manager is told why, before the body's end could be taken for the reason. With the body ends what it
      # has asked of Python.
      told = hold.engine.callback_answer(callback, {:error, late_for_python(hold)})
      if result == :timeout, do: Body.kill(body)
      unless told and left?(hold.reference), do: abandon(hold)
      {:error, late(hold)}
    end
  end

  defp left?(reference) do
    receive do
      {^reference, _answer} -> true
    after
      @leaving -> false
    end
  end

  # What the body's own calls need.
  defp place(hold), do: Map.take(hold, [:engine, :native, :timeout, :deadline])

  defp run(callback, place, entered, fun) do
    outer = Callback.enter_hold({place.engine, callback}, place)

    try do
      {:ok, fun.(Python.Error.value!(Python.to_term(entered)))}
    catch
      kind, reason -> {:raised, kind, reason, __STACKTRACE__}
    after
      Callback.leave_hold(outer)
    end
  end

  defp ended(hold, callback, result) do
    # What is at work there for the body, and was not waited for, does not hold up the leaving.
    waited = hold.engine.callback_answer(callback, answer(result))
    left(hold, result, waited)
  end

  # It takes longer to leave the manager, or something else of the request does.
  defp abandon(%{engine: engine, reference: reference, ticket: ticket}) do
    unless engine.cancel(ticket, true) == :running and engine.stop_listening(ticket) do
      flush(reference, @moment)
    end
  end

  defp answer({:ok, _value}), do: {:ok, nil}

  defp answer({:raised, kind, reason, stacktrace}),
    do: {:error, Callback.raised(kind, reason, stacktrace)}

  # `waited`: Python has taken the body's answer, and is leaving the manager.
  defp left(%{reference: reference} = hold, result, waited) do
    patience = if waited, do: Deadline.left(hold.deadline), else: @moment

    receive do
      {^reference, answer} -> outcome(Request.answer(answer), result)
    after
      patience ->
        if waited, do: give_up(hold), else: {:error, late(hold)}
    end
  end

  defp outcome({:ok, "done"}, {:ok, value}), do: {:ok, value}
  defp outcome({:ok, "swallowed"}, {:raised, _, _, _}), do: {:ok, nil}
  defp outcome({:ok, "raised"}, {:raised, _, _, _} = raised), do: raised
  defp outcome({:error, error}, _result), do: {:error, error}
  # It was told of something else than what the body has come to.
  defp outcome({:ok, _}, _result), do: {:error, StoppedError.new(:stopped)}

  defp give_up(%{engine: engine, reference: reference} = hold) do
    case engine.cancel(hold.ticket, true) do
      :queued ->
        {:error, TimeoutError.new(hold.timeout, :queued)}

      :running ->
        location = Request.location(reference, fn -> engine.stop_listening(hold.ticket) end)

        # It may have been entered that very moment.
        flush(reference, 0)
        {:error, TimeoutError.new(hold.timeout, location)}

      :answered ->
        flush(reference, @moment)
        {:error, late(hold)}
    end
  end

  defp flush(reference, patience) do
    receive do
      {^reference, _} -> flush(reference, 0)
    after
      patience -> :ok
    end
  end

  # The manager has been told by now, and is left as a rule.
  defp late(hold), do: TimeoutError.new(hold.timeout, :body)

  defp late_for_python(hold),
    do: {"exit", inspect(TimeoutError), Exception.message(late(hold)), "", nil}

  ## What the body asks of Python

  @doc "A timeout that ends with that of a body, or the error of one that has had its time."
  @spec limit(timeout, map | nil) :: timeout | {:error, TimeoutError.t()}
  def limit(timeout, nil), do: timeout
  def limit(timeout, %{deadline: :infinity}), do: timeout

  def limit(timeout, %{deadline: deadline} = hold) do
    case Deadline.left(deadline) do
      0 -> {:error, late(hold)}
      # Atoms are greater than numbers.
      left -> min(timeout, left)
    end
  end
end
