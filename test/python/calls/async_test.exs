defmodule Python.Calls.AsyncTest do
  use Python.EngineCase, async: true

  import Python.Notes

  alias Python.{Async, Error, TimeoutError}

  setup_all do: Python.SupportModules.find()

  # A pool of one worker that is held up until `release` is called.
  defp held_pool do
    pool = start_pool()
    gate = new_name()
    holder = Python.call_async(:notes, :wait, [gate], pool: pool)
    eventually_busy(pool)

    release = fn ->
      open_gate(gate)
      Python.await(holder)
    end

    {pool, release}
  end

  describe "call_async" do
    test "returns at once, and await gives the result" do
      # What it waits for comes afterwards.
      gate = new_name()
      assert %Async{} = async = Python.call_async(:notes, :wait, [gate])
      open_gate(gate)
      assert Python.await(async) == {:ok, nil}
    end

    test "takes the options of call" do
      async = Python.call_async(:json, :dumps, [[1]], kwargs: %{indent: 1}, return: :object)
      assert {:ok, %Python.Object{}} = Python.await(async)
      assert_raise ArgumentError, fn -> Python.call_async(:math, :sqrt, [1], tiemout: 1) end
      assert_raise ArgumentError, fn -> Python.call_async(:math, :sqrt, 1) end
    end

    test "gives errors as call does" do
      async = Python.call_async(:math, :sqrt, [-1])
      assert {:error, %Error{type: "ValueError"}} = Python.await(async)

      async = Python.call_async(:builtins, :len, [<<1::3>>])
      assert {:error, %Python.EncodeError{}} = Python.await(async)
    end

    test "runs many at the same time, and each gets its own result" do
      asyncs = for n <- 1..500, do: {n, Python.call_async(:math, :pow, [n, 2])}

      for {n, async} <- Enum.shuffle(asyncs),
          do: assert(Python.await(async) == {:ok, n * n * 1.0})
    end

    test "raises if there is no such pool" do
      assert_raise Python.NotStartedError, ~r/NoSuchPool/, fn ->
        Python.call_async(:math, :sqrt, [4], pool: NoSuchPool)
      end
    end

    test "is inspected without its insides" do
      async = Python.call_async(:math, :sqrt, [4])
      assert inspect(async) == "#Python.Async<owner: #{inspect(self())}>"
      assert Python.await(async) == {:ok, 2.0}
    end
  end

  describe "eval_async" do
    test "returns at once, and await gives the value of the expression" do
      gate = new_name()
      code = "__import__('notes').wait(gate) or n"
      assert %Async{} = async = Python.eval_async(code, %{gate: gate, n: 0.3})
      open_gate(gate)
      assert Python.await(async) == {:ok, 0.3}
    end

    test "takes variables or options, as eval does" do
      assert Python.await(Python.eval_async("1 + 1")) == {:ok, 2}
      assert {:ok, %Python.Object{}} = Python.await(Python.eval_async("[1]", return: :object))

      async = Python.eval_async("x", %{x: [1]}, return: :object)
      assert {:ok, %Python.Object{}} = Python.await(async)

      assert {:error, %TimeoutError{timeout: 20}} =
               Python.await(Python.eval_async("[i for i in iter(int, 1)]", timeout: 20))

      assert_raise ArgumentError, ~r/%{x: 1}/, fn -> Python.eval_async("x", x: 1) end
      assert_raise ArgumentError, fn -> Python.eval_async(:code) end
    end

    test "gives errors as eval does" do
      assert {:error, %Error{type: "NameError"}} = Python.await(Python.eval_async(unique()))
      assert {:error, %Error{type: "SyntaxError"}} = Python.await(Python.eval_async("x = 1"))
      async = Python.eval_async("x", %{x: <<1::3>>})
      assert {:error, %Python.EncodeError{}} = Python.await(async)
    end

    test "encodes the structs among its variables" do
      assert Python.await(Python.eval_async("x", %{x: ~D[2024-02-29]})) == {:ok, ~D[2024-02-29]}
    end

    test "and exec_async say where the code stands" do
      place = [file: "tea.exs", line: 7]

      for async <- [Python.eval_async("1 / 0", place), Python.exec_async("1 / 0", place)] do
        assert {:error, %Error{frames: [%{file: "tea.exs", line: 7}]}} = Python.await(async)
      end
    end

    test "runs in a context" do
      context = start_context(init: "x = 5")
      assert Python.await(Python.eval_async("x + 1", context: context)) == {:ok, 6}
    end

    test "raises where it cannot be started" do
      assert_raise Python.NotStartedError, fn -> Python.eval_async("1", pool: NoSuchPool) end
    end
  end

  describe "exec_async" do
    test "returns at once, and await is :ok when it is done" do
      {name, gate} = {unique(), new_name()}
      code = "__import__('notes').wait(#{inspect(gate)}); #{name} = 1"
      assert %Async{} = async = Python.exec_async(code)
      open_gate(gate)
      assert Python.await(async) == :ok
      assert Python.eval(name) == {:ok, 1}
    end

    test "gives errors as exec does" do
      assert {:error, %Error{type: "ValueError"}} =
               Python.await(Python.exec_async("raise ValueError(1)"))

      assert_raise ArgumentError, ~r/:return/, fn -> Python.exec_async("1", return: :object) end
      assert_raise ArgumentError, fn -> Python.exec_async(1) end
      assert_raise Python.NotStartedError, fn -> Python.exec_async("1", pool: NoSuchPool) end
    end

    test "is limited by its own timeout and by that of await" do
      pool = start_pool()
      loop = "while True: pass"
      async = Python.exec_async(loop, pool: pool, timeout: 20)
      assert {:error, %TimeoutError{timeout: 20}} = Python.await(async)

      async = Python.exec_async(loop, pool: pool)
      assert {:error, %TimeoutError{timeout: 20}} = Python.await(async, 20)
      eventually_idle(pool)
      assert messages() == []
    end

    @tag blocks: "plain code waits for a message"
    test "and eval_async can be cancelled, sent to, and end with their owner" do
      pool = start_pool()

      for start <- [
            fn -> Python.exec_async("while True: pass", pool: pool) end,
            fn -> Python.eval_async("[i for i in iter(int, 1)]", pool: pool) end
          ] do
        async = start.()
        eventually_busy(pool)
        assert Python.cancel(async) == :ok
        eventually_idle(pool)

        owner = spawn(fn -> start.() && Process.sleep(:infinity) end)
        eventually_busy(pool)
        Process.exit(owner, :kill)
        eventually_idle(pool)
      end

      async = Python.eval_async("__import__('erlang').receive(timeout=10)", pool: pool)
      assert Python.send(async, :hello) == :ok
      assert Python.await(async) == {:ok, "hello"}
    end
  end

  describe "await" do
    test "waits for its own answer whatever else is in the mailbox" do
      for n <- 1..1_000, do: send(self(), {:other, n})
      async = Python.call_async(:math, :sqrt, [4])
      send(self(), :later)
      assert Python.await(async) == {:ok, 2.0}
      assert length(messages()) == 1_001
    end

    test "after its timeout is a TimeoutError, and the work is cancelled" do
      pool = start_pool()
      async = Python.call_async(:time, :sleep, [30], pool: pool)
      assert {:error, %TimeoutError{timeout: 20}} = Python.await(async, 20)
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
      assert messages() == []
    end

    test "may wait without end" do
      async = Python.call_async(:time, :sleep, [0.05])
      assert Python.await(async, :infinity) == {:ok, nil}
    end

    test "with a timeout of 0 takes what is there" do
      async = Python.call_async(:math, :sqrt, [4])
      eventually("the answer is there", fn -> messages() != [] end)
      assert Python.await(async, 0) == {:ok, 2.0}
    end

    test "twice raises" do
      async = Python.call_async(:math, :sqrt, [4])
      assert Python.await(async) == {:ok, 2.0}
      assert_raise ArgumentError, ~r/awaited or cancelled before/, fn -> Python.await(async) end
    end

    test "in another process raises" do
      async = Python.call_async(:math, :sqrt, [4])

      task =
        Task.async(fn ->
          assert_raise ArgumentError, ~r/expected the owner to await/, fn ->
            Python.await(async)
          end
        end)

      Task.await(task)
      assert Python.await(async) == {:ok, 2.0}
    end

    test "refuses an invalid timeout, and the call can still be awaited" do
      async = Python.call_async(:math, :sqrt, [4])
      assert_raise ArgumentError, fn -> Python.await(async, -1) end
      assert_raise ArgumentError, fn -> Python.await(async, :soon) end
      assert Python.await(async) == {:ok, 2.0}
    end
  end

  describe "cancel" do
    test "keeps a call that waits from running" do
      name = define("NAME = []")
      {pool, release} = held_pool()
      async = Python.call_async(:__main__, name <> ".append", [1], pool: pool)
      assert Python.Pool.stats(pool).queued == 1
      assert Python.cancel(async) == :ok
      assert Python.Pool.stats(pool).queued == 0
      release.()
      eventually_idle(pool)
      assert Python.eval(name, pool: pool) == {:ok, []}
      assert messages() == []
    end

    test "interrupts a call that runs" do
      pool = start_pool()
      name = define("def NAME():\n    while True: pass")
      async = Python.call_async(:__main__, name, [], pool: pool)
      eventually_busy(pool)
      assert Python.cancel(async) == :ok
      eventually_idle(pool)
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
      assert messages() == []
    end

    test "drops an answer that is there" do
      async = Python.call_async(:math, :sqrt, [4])
      eventually("the answer is there", fn -> messages() != [] end)
      assert Python.cancel(async) == :ok
      assert messages() == []
    end

    test "may come twice, and after await" do
      async = Python.call_async(:math, :sqrt, [4])
      assert Python.await(async) == {:ok, 2.0}
      assert Python.cancel(async) == :ok
      assert Python.cancel(async) == :ok
      assert messages() == []
    end

    test "before await makes await raise" do
      async = Python.call_async(:time, :sleep, [30])
      assert Python.cancel(async) == :ok
      assert_raise ArgumentError, fn -> Python.await(async) end
    end

    test "by another process ends the owner's waiting" do
      async = Python.call_async(:time, :sleep, [30], pool: start_pool())
      other = Task.async(fn -> Process.sleep(50) && Python.cancel(async) end)

      {ms, result} =
        timed(fn ->
          try do
            Python.await(async, 10_000)
          rescue
            error -> {:error, error}
          end
        end)

      assert {:error, %Python.StoppedError{reason: :cancelled}} = result
      assert ms < 10_000
      assert Task.await(other) == :ok
      assert messages() == []
    end
  end

  describe "when the owner dies" do
    test "a call that runs is interrupted" do
      pool = start_pool()
      name = define("def NAME():\n    while True: pass")
      {pid, monitor} = spawn_monitor(fn -> async_and_wait(name, pool) end)
      eventually_busy(pool)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      eventually_idle(pool)
      assert Python.call(:math, :sqrt, [4], pool: pool) == {:ok, 2.0}
    end

    test "a call that waits never runs, even if others know of it" do
      name = define("NAME = []")
      {pool, release} = held_pool()
      test = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          send(test, Python.call_async(:__main__, name <> ".append", [1], pool: pool))
          Process.sleep(:infinity)
        end)

      assert_receive %Async{}, 5_000
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      eventually("nothing waits", fn -> Python.Pool.stats(pool).queued == 0 end)
      release.()
      eventually_idle(pool)
      assert Python.eval(name, pool: pool) == {:ok, []}
    end

    defp async_and_wait(name, pool) do
      Python.call_async(:__main__, name, [], pool: pool)
      Process.sleep(:infinity)
    end
  end
end
