defmodule Python.Nodes.LeftoversTest do
  # What a node keeps for another one, when its answer, its chunk or its request is dropped: while the caller lives on.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [assert_nothing_left: 1]

  alias Python.Nodes

  @moduletag timeout: 120_000

  setup do
    [a, b] = Nodes.start(2)
    %{a: a, b: b}
  end

  # For such code: ends the proxy, and waits until that is known.
  @kill """
  kill = fn ->
    {proxy, watch} = Process.get({Python.Remote, b})
    monitor = Process.monitor(watch)
    :erpc.call(b, Process, :exit, [proxy, :kill])
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
  end

  """

  # Runs code in a process on the node a that lives on, and is at rest.
  defp live_on(%{a: a, b: b}, code) do
    Nodes.eval(
      a,
      """
      test = self()

      spawn(fn ->
        result = elem(Code.eval_string(code, there: {Python.Pool, b}, b: b), 0)
        send(test, {:result, result})
        :erlang.hibernate(Process, :sleep, [:infinity])
      end)

      receive do: ({:result, result} -> result)
      """,
      code: code,
      b: b.node
    )
  end

  test "nothing is kept of what was dropped, though the caller lives on", context do
    # Handles in chunks of a stream that was left early.
    assert live_on(context, """
           for _ <- 1..10,
               do: Python.stream_eval("(object() for _ in range(100_000))", pool: there, max_chunk: 10) |> Enum.take(1)

           try do
             Python.stream_eval("(object() for _ in range(100))", pool: there, max_chunk: 10) |> Enum.each(fn _ -> throw(:enough) end)
           catch
             :enough -> :left
           end
           """) == :left

    # Handles in answers that came too late, or that nobody has taken.
    assert live_on(context, """
           for _ <- 1..30,
               do: Python.eval("[__import__('time').sleep(0.01), object()]", %{}, pool: there, timeout: 10)

           for _ <- 1..10 do
             call = Python.eval_async("object()", %{}, pool: there)
             Process.sleep(2)
             Python.cancel(call)
           end

           :done
           """) == :done

    # Handles that the body of a with has dropped.
    assert live_on(context, """
           lock = Python.eval!("__import__('threading').Lock()", pool: there)

           Python.with(lock, fn _ ->
             Python.cancel(Python.eval_async("object()", %{}, pool: there))
             Python.eval("[__import__('time').sleep(0.01), object()]", %{}, pool: there, timeout: 10)
             Python.stream_eval("(object() for _ in range(1000))", pool: there, max_chunk: 10) |> Enum.take(1)
             :done
           end)
           """) == :done

    # Functions in requests that were refused.
    assert live_on(context, """
           here = Python.eval!("object()")

           for _ <- 1..10 do
             {:error, %Python.EncodeError{}} = Python.call(:builtins, :print, [fn -> 1 end, here], pool: there)
             {:error, %Python.NotStartedError{}} = Python.call(:builtins, :print, [fn -> 1 end], pool: {:Nope, b})
           end

           :done
           """) == :done

    # A proxy that was killed is replaced, and what its request had is not kept.
    assert live_on(
             context,
             @kill <>
               """
               lock = Python.eval!("__import__('threading').Lock()", pool: there)

               kill.()
               {:ok, true} = Python.call(:builtins, :callable, [fn -> 1 end], pool: there)
               kill.()
               {:ok, true} = Python.await(Python.call_async(:builtins, :callable, [fn -> 1 end], pool: there))
               kill.()
               1 = Python.with(lock, fn _ -> 1 end)
               kill.()
               [0, 1] = Python.stream(:builtins, :range, [2], pool: there) |> Enum.to_list()
               Process.info(self(), :messages)
               """
           ) == {:messages, []}

    assert_nothing_left([context.a, context.b])
  end

  test "nothing is kept of what a proxy had given away when it was killed, though the caller lives on",
       context do
    assert live_on(
             context,
             @kill <>
               """
               # Answers that nobody has looked at.
               for _ <- 1..3 do
                 Python.eval_async("[object() for _ in range(100)]", %{}, pool: there)
                 Python.eval_async("object()", %{}, pool: there)
                 Python.call!(:math, :sqrt, [4], pool: there)
                 Process.sleep(50)
                 kill.()
               end

               # Chunks that were made ahead.
               for number <- 1..3 do
                 try do
                   Python.stream_eval("(object() for _ in range(100_000))", pool: there, max_chunk: 100, prefetch: 1)
                   |> Stream.with_index(1)
                   |> Enum.each(fn {_, index} -> if index == 100 * number, do: kill.() end)
                 rescue
                   error in Python.StoppedError -> error
                 end
               end

               # What a manager has given, and what was asked in its body.
               manager = Python.eval!("__import__('contextlib').nullcontext([object()])", pool: there)

               try do
                 Python.with(manager, fn _ ->
                   Python.eval_async("object()", %{}, pool: there)
                   Process.sleep(50)
                   {_body, _} = Process.get({Python.Remote, b})
                   kill.()
                 end)
               rescue
                 error -> error
               end

               # And it goes on.
               kept = Python.eval!("[1, 2]", pool: there, return: :object)
               Python.len!(kept)
               """
           ) == 2

    assert_nothing_left([context.a, context.b])
  end

  test "what was taken before its proxy was killed can be used on", context do
    assert live_on(context, """
           object = Python.eval!("[1, 2, 3]", pool: there, return: :object)
           [first | _] = Python.stream_eval("([n] for n in range(10))", pool: there, return: :object) |> Enum.to_list()
           # What is said of it has arrived.
           Python.len!(object)
           {proxy, _} = Process.get({Python.Remote, b})
           :erpc.call(b, Process, :exit, [proxy, :kill])
           Process.sleep(3_000)
           {Python.len!(object), Python.len!(first)}
           """) == {3, 1}

    assert_nothing_left([context.a, context.b])
  end
end
