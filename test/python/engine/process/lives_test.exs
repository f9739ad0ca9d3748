defmodule Python.Engine.Process.LivesTest do
  # How long workers live, what they may use, and who takes their place.
  use Python.TestCase, async: true

  alias Python.{CrashedError, FakeWorker, Pool}

  @moduletag :capture_log

  setup context do
    {:ok, pool: start_pool([engine: :process, size: 1] ++ Map.get(context, :pool, []))}
  end

  defp os_pid(pool), do: Python.call!(:os, :getpid, [], pool: pool)
  defp alive(os_pids), do: Enum.filter(os_pids, &FakeWorker.alive?/1)

  describe "max_calls" do
    @tag pool: [max_calls: 3, init: "import os"]
    test "replaces a worker after so many calls, and none of its calls fails", %{pool: pool} do
      os_pids = for _ <- 1..12, do: os_pid(pool)

      assert Enum.chunk_every(os_pids, 3) |> Enum.map(&(Enum.uniq(&1) |> length())) == [
               1,
               1,
               1,
               1
             ]

      assert length(Enum.uniq(os_pids)) == 4
      eventually("the others have ended", fn -> length(alive(Enum.uniq(os_pids))) <= 1 end)
      assert Pool.stats(pool).failed == 0
      eventually("there is one", fn -> match?([%{os_pid: _}], Pool.workers(pool)) end)
    end

    @tag pool: [max_calls: 1]
    test "of 1 gives each call a process of its own", %{pool: pool} do
      os_pids = for _ <- 1..5, do: os_pid(pool)
      assert os_pids == Enum.uniq(os_pids)
    end

    @tag pool: [max_calls: 5, size: 2]
    test "holds with many callers", %{pool: pool} do
      calls = for _ <- 1..60, do: Python.call_async(:os, :getpid, [], pool: pool)
      os_pids = for call <- calls, do: call |> Python.await() |> elem(1)
      counts = os_pids |> Enum.frequencies() |> Map.values()
      assert Enum.max(counts) <= 5
      assert Enum.sum(counts) == 60
    end

    @tag pool: [max_calls: 2]
    test "waits for the end of a stream", %{pool: pool} do
      stream = Python.stream_eval("iter(range(5000))", %{}, pool: pool)
      assert Enum.sum(stream) == Enum.sum(0..4999)
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end

    # A worker that waits for a callback runs what waits in the queue besides.
    @tag pool: [max_calls: 2]
    test "waits for a call that was begun beside another one", %{pool: pool} do
      test = self()

      slow =
        Task.async(fn ->
          receive do
            :go -> Python.call(:time, :sleep, [0.5], pool: pool)
          end
        end)

      back = fn ->
        send(slow.pid, :go)
        eventually("it runs", fn -> Pool.stats(pool).busy == 2 end)
        send(test, :begun)
        nil
      end

      assert Python.eval("f()", %{f: back}, pool: pool) == {:ok, nil}
      assert_received :begun
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
      assert Task.await(slow) == {:ok, nil}
      assert Pool.stats(pool).failed == 0
    end

    @tag pool: [max_calls: 1]
    test "leaves a call to what calls Python again", %{pool: pool} do
      back = fn n -> Python.eval!("1 + n", %{n: n}, pool: pool) end
      for _ <- 1..3, do: assert(Python.eval("f(1) + f(2)", %{f: back}, pool: pool) == {:ok, 5})
    end
  end

  describe "max_memory" do
    @tag pool: [max_memory: 150_000_000, init: "kept = []"]
    test "replaces a worker that has more, when there is another one", %{pool: pool} do
      first = os_pid(pool)
      assert Python.exec("kept.append(b'x' * 200_000_000)", pool: pool) == :ok

      eventually("it is replaced", fn -> os_pid(pool) != first end)
      eventually("it has ended", fn -> not FakeWorker.alive?(first) end)
      assert Python.eval("kept", pool: pool) == {:ok, []}
      assert Pool.stats(pool).failed == 0
    end

    @tag pool: [max_memory: 150_000_000, init: "kept = []"]
    test "does not end a worker that is at a call", %{pool: pool} do
      code =
        "(kept.append(b'x' * 200_000_000), __import__('time').sleep(1.5), __import__('os').getpid())[2]"

      first = Python.eval!(code, pool: pool)
      eventually("it is replaced", fn -> os_pid(pool) != first end)
    end
  end

  describe "spares" do
    @tag pool: [spares: 1]
    test "take the place of a worker that has crashed at once", %{pool: pool} do
      {_engine, native, _timeout} = Pool.lookup(pool)
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}

      eventually("there are two", fn ->
        length(:erlang_python_process.process_owners(native)) == 2
      end)

      assert [%{busy: false}] = Pool.workers(pool)

      for _ <- 1..3 do
        Process.sleep(300)
        assert {:error, %CrashedError{}} = Python.call(:os, :_exit, [3], pool: pool)
        assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
      end

      assert [_one] = Pool.workers(pool)
    end

    @tag pool: [spares: 2, init: "import os; mine = os.getpid()"]
    test "have run the :init, and end with the pool", %{pool: pool} do
      {_engine, native, _timeout} = Pool.lookup(pool)

      eventually("there are three", fn ->
        length(:erlang_python_process.process_owners(native)) == 3
      end)

      first = os_pid(pool)
      System.cmd("kill", ["-KILL", "#{first}"])

      eventually("another one runs", fn ->
        Python.eval("mine", pool: pool) not in [{:ok, first}]
      end)

      second = os_pid(pool)
      assert Python.eval("mine", pool: pool) == {:ok, second}
      stop_supervised!(pool)
      eventually("all have ended", fn -> alive([first, second]) == [] end)
    end

    @tag pool: [spares: 2]
    test "that are killed are started again", %{pool: pool} do
      {_engine, native, _timeout} = Pool.lookup(pool)
      owners = fn -> :erlang_python_process.process_owners(native) end
      eventually("there are three", fn -> length(owners.()) == 3 end)
      before = owners.()
      for owner <- before, do: Process.exit(owner, :kill)
      eventually("there are three others", fn -> length(owners.() -- before) == 3 end)
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end
  end

  describe "limits" do
    @tag pool: [limits: [memory: 1_500_000_000], init: "kept = []"]
    test "of memory are a MemoryError, and another worker", %{pool: pool} do
      first = os_pid(pool)

      assert {:error, %Python.Error{type: "MemoryError"}} =
               Python.eval("bytearray(2_000_000_000)", pool: pool)

      assert os_pid(pool) != first
      eventually("it has ended", fn -> not FakeWorker.alive?(first) end)
    end

    @tag pool: [limits: [files: 150]]
    test "of files are an OSError", %{pool: pool} do
      code = "[open('/dev/null') for _ in range(200)]"
      assert {:error, %Python.Error{type: "OSError"}} = Python.eval(code, pool: pool)
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end

    @tag pool: [limits: [cpu: 1]]
    test "of the processor's time end the worker", %{pool: pool} do
      assert {:error, %CrashedError{signal: signal}} =
               Python.eval("sum(range(10**11))", pool: pool)

      assert signal in [:sigxcpu, :sigkill]
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end

    @tag pool: [limits: [processes: 3_456]]
    test "of processes are those of the worker", %{pool: pool} do
      code = "__import__('resource').getrlimit(__import__('resource').RLIMIT_NPROC)"
      assert Python.eval(code, pool: pool) == {:ok, {3_456, 3_456}}
    end

    @tag pool: [limits: [files: 60]]
    test "leave room for the worker itself", %{pool: pool} do
      assert Python.eval("len(open('/dev/null').read())", pool: pool) == {:ok, 0}
    end

    @tag pool: [limits: [files: 4_000_000_000]]
    test "that are higher than those of the VM change nothing", %{pool: pool} do
      code = "__import__('resource').getrlimit(__import__('resource').RLIMIT_NOFILE)[1]"
      {hard, 0} = System.cmd("sh", ["-c", "ulimit -H -n"])
      assert "#{Python.eval!(code, pool: pool)}\n" == hard
    end
  end

  @tag :tmp_dir
  @tag pool: [
         init: """
         import os

         def lines(file, number):
             try:
                 while True:
                     yield number
             finally:
                 os.write(file, b"%d\\n" % number)
         """
       ]
  test "closes all streams at the end, while their code still has what it uses", context do
    %{pool: pool, tmp_dir: dir} = context
    path = Path.join(dir, "lines")
    open = "os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)"
    file = Python.eval!(open, %{path: path}, pool: pool)

    for number <- 1..400 do
      stream = Python.stream(:__main__, :lines, [file, number], pool: pool, max_chunk: 2)
      # It is read from, and stays open.
      assert {:suspended, ^number, _rest} =
               Enumerable.reduce(stream, {:cont, nil}, fn item, _ -> {:suspend, item} end)
    end

    stop_supervised!(pool)
    lines = path |> File.read!() |> String.split("\n", trim: true)
    assert Enum.sort(Enum.map(lines, &String.to_integer/1)) == Enum.to_list(1..400)
  end

  test "invalid options are refused" do
    for {key, value} <- [
          limits: [memory: 0],
          limits: [memory: "1 GB"],
          limits: [ram: 1],
          limits: %{memory: 1},
          limits: 5,
          max_calls: 0,
          max_calls: 1.5,
          max_memory: -1,
          spares: -1,
          spares: :infinity
        ] do
      assert_raise ArgumentError, ~r/the option #{inspect(key)} of a pool/, fn ->
        Pool.start_link([name: NoPool, engine: :process] ++ [{key, value}])
      end
    end

    assert_raise ArgumentError, ~r/unknown option :max_calls of a context/, fn ->
      Python.Context.start_link(engine: :process, max_calls: 5)
    end
  end

  test "a context has limits too" do
    {:ok, context} = Python.Context.start_link(engine: :process, limits: [files: 77])
    code = "__import__('resource').getrlimit(__import__('resource').RLIMIT_NOFILE)"
    assert Python.eval(code, context: context) == {:ok, {77, 77}}
  end
end
