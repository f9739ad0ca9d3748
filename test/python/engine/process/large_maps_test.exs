defmodule Python.Engine.Process.LargeMapsTest do
  # Answers with large maps, which are made on a scheduler and not by the thread that reads what a worker sends.
  use Python.TestCase, async: false

  alias Python.{CrashedError, DecodeError, FakeWorker}

  @moduletag :capture_log
  @moduletag timeout: 120_000

  describe "a worker" do
    setup context do
      {:ok, pool: start_pool([engine: :process] ++ Map.get(context, :pool, []))}
    end

    test "gives maps of any size", %{pool: pool} do
      for count <- [31, 32, 33, 128, 129, 999, 1_000, 1_001, 20_000] do
        map = Map.new(1..count, &{"key #{&1}", &1})
        assert Python.eval!("m", %{m: map}, pool: pool) == map

        assert Python.eval!("{'in': [m, (1.5, m)]}", %{m: map}, pool: pool) == %{
                 "in" => [map, {1.5, map}]
               }

        assert Python.eval!("{2 * n: [n] for n in range(c)}", %{c: count}, pool: pool) ==
                 doubled(count)

        assert Python.eval!("[m, list(range(3000)), print]", %{m: map}, pool: pool) |> hd() == map
      end
    end

    defp doubled(count), do: Map.new(0..(count - 1), &{2 * &1, [&1]})

    test "gives them in streams, and to the caller of async", %{pool: pool} do
      map = Map.new(1..5_000, &{"key #{&1}", &1})
      source = "iter([m] * 3)"
      assert Enum.to_list(Python.stream_eval(source, %{m: map}, pool: pool)) == [map, map, map]
      tasks = for _ <- 1..5, do: Python.eval_async("m", %{m: map}, pool: pool)
      for task <- tasks, do: assert(Python.await(task) == {:ok, map})
    end

    test "refuses keys that are one term", %{pool: pool} do
      source = "{**{str(i): 0 for i in range(5000)}, **{b'7': 1}}"
      assert {:error, %DecodeError{}} = Python.eval(source, %{}, pool: pool)
    end

    @tag pool: [size: 2]
    test "answers all who wait, also when it ends at any time", %{pool: pool} do
      me = self()
      map = Map.new(1..3_000, &{"key #{&1}", &1})

      callers =
        for _ <- 1..8 do
          spawn_link(fn ->
            for _ <- 1..15, do: send(me, {self(), Python.eval("m", %{m: map}, pool: pool)})
          end)
        end

      for _ <- 1..4 do
        Process.sleep(30)
        for os_pid <- FakeWorker.os_pids(pool) || [], do: System.cmd("kill", ["-9", "#{os_pid}"])
      end

      for caller <- callers, _ <- 1..15 do
        assert_receive {^caller, answer}, 60_000
        assert match?({:ok, ^map}, answer) or match?({:error, %CrashedError{}}, answer)
      end
    end
  end

  describe "a broken worker" do
    setup do
      {:ok, pool: start_pool(FakeWorker.options())}
    end

    for {what, arguments} <- [
          {"has a key twice", [2_000, "ok", 1]},
          {"names an atom that there is not", [2_000, "no such atom anywhere", 0]}
        ] do
      @tag arguments: arguments
      test "#{what}", %{pool: pool, arguments: arguments} do
        assert {:error, %CrashedError{} = error} = Python.call(:fake, :map, arguments, pool: pool)
        assert Exception.message(error) =~ "cannot read"

        assert {:ok, %{"atom" => :ok, "1999" => 1999}} =
                 Python.call(:fake, :map, [2_000, "ok", 0], pool: pool)
      end
    end
  end
end
