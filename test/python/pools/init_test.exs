defmodule Python.Pools.InitTest do
  # The code of :init that raises: who started the pool or the context is shown Python's traceback.
  use Python.EngineCase, async: true

  import ExUnit.CaptureLog

  alias Python.{Context, Error, Pool}

  @code "def prepare():\n    return 1 / 0\nprepare()"

  defp name, do: String.to_atom(unique("Elixir.Init"))

  # What is shown to who starts a supervisor, as to who starts the application.
  defp supervised(child) do
    Process.flag(:trap_exit, true)

    {{:error, reason}, _log} =
      with_log(fn -> Supervisor.start_link([child], strategy: :one_for_one) end)

    Exception.format_exit(reason)
  end

  defp assert_traceback(text) do
    assert text =~ "(Python.Error) Traceback (most recent call last):"
    assert text =~ "return 1 / 0"
    assert text =~ "ZeroDivisionError: division by zero"
    refute text =~ "%Python.Error{"
  end

  test "of a pool in a supervision tree is shown with its traceback" do
    reason = supervised({Pool, name: name(), size: 1, init: @code})
    assert_traceback(reason)
  end

  test "of a context in a supervision tree is shown with its traceback" do
    reason = supervised({Context, name: name(), init: @code})
    assert_traceback(reason)
  end

  test "that is no Python is shown with its line" do
    reason = supervised({Pool, name: name(), size: 1, init: "x = = 1"})
    assert reason =~ "SyntaxError"
    assert reason =~ "x = = 1"
  end

  test "that does not end in time is shown as a sentence" do
    child = {Pool, name: name(), size: 1, timeout: 50, init: "import time; time.sleep(0.5)"}
    reason = supervised(child)
    assert reason =~ "(Python.TimeoutError) the call did not end within its timeout of 50 ms"
  end

  test "is the exception, for who starts it" do
    Process.flag(:trap_exit, true)

    capture_log(fn ->
      assert {:error, %Error{type: "ZeroDivisionError"}} =
               Pool.start_link(name: name(), size: 1, init: @code)
    end)

    assert_receive {:EXIT, _, {%Error{}, [_ | _]}}, 5_000
    assert {:error, %Error{type: "ZeroDivisionError"}} = Context.start_link(init: @code)
  end

  test "ends the starter that does not trap exits with the traceback" do
    capture_log(fn ->
      {pid, monitor} =
        spawn_monitor(fn ->
          Pool.start_link(name: name(), size: 1, init: @code)
          Process.sleep(:infinity)
        end)

      assert_receive {:DOWN, ^monitor, _, ^pid, reason}, 10_000
      assert_traceback(Exception.format_exit(reason))
    end)
  end
end
