defmodule Python.Engine.Process.EndsTest do
  # How workers end, and what they do that they should not. With workers that are plain Python scripts.
  use Python.TestCase, async: true

  import ExUnit.CaptureLog

  alias Python.{CrashedError, FakeWorker, NotStartedError, Pool, StoppedError, TimeoutError}

  @moduletag :capture_log

  setup context do
    options = Keyword.merge(FakeWorker.options(), Map.get(context, :pool, []))
    {:ok, pool: start_pool(options)}
  end

  test "the end of a worker is an error for its call alone", %{pool: pool} do
    assert {:error, %CrashedError{exit_status: 3, signal: nil} = error} =
             Python.call(:fake, :exit, [3], pool: pool)

    assert Exception.message(error) =~ "status 3"
    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}

    assert {:error, %CrashedError{exit_status: nil, signal: :sigsegv}} =
             Python.call(:fake, :kill, [11], pool: pool)

    calls = [Python.call_async(:fake, :kill, [9], pool: pool)]
    calls = calls ++ for n <- 1..10, do: Python.call_async(:operator, :add, [n, 1], pool: pool)
    [killed | others] = for call <- calls, do: Python.await(call)
    assert {:error, %CrashedError{signal: :sigkill}} = killed
    assert others == for(n <- 1..10, do: {:ok, n + 1})
  end

  test "a worker that is killed while it has nothing to do is replaced", %{pool: pool} do
    [os_pid] = eventually("it is ready", fn -> FakeWorker.os_pids(pool) end)
    System.cmd("kill", ["-9", "#{os_pid}"])

    eventually("another one is there", fn ->
      os_pids = FakeWorker.os_pids(pool)
      os_pids && os_pids != [] && os_pid not in os_pids
    end)

    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
  end

  @tag pool: [kill_after: 100]
  test "a call that cannot be interrupted is killed, with its worker", %{pool: pool} do
    {ms, result} = timed(fn -> Python.call(:fake, :hang, [], pool: pool, timeout: 100) end)
    assert {:error, %TimeoutError{}} = result
    assert ms < 2_000
    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    eventually("nothing is stuck", fn -> Pool.stats(pool).stuck == 0 end)
  end

  test "what a worker has printed at its end is told", %{pool: pool} do
    assert {:error, %CrashedError{traceback: report, signal: :sigabrt}} =
             Python.call(:fake, :fatal, [], pool: pool)

    assert report =~ "Fatal Python error: out of luck"
  end

  for {what, kind, data} <- [
        {"an unknown kind", 77, ""},
        {"half a term", 3, <<1::little-64, 0, 108, 9>>},
        {"an answer without end", 3, <<1::little-64, 0, 108, 0xFFFFFFFF::32>>},
        {"an atom that there is not", 3, <<1::little-64, 0, 119, 9, "no_such_1">>},
        {"an unknown tag", 3, <<1::little-64, 0, 250>>},
        {"a second greeting", 1, <<1::little-32, 5::little-64, 106>>},
        {"a message to nobody", 6, <<97, 1, 97, 1>>},
        {"numbers that are not there", 8, <<0xFFFFFFFF::little-32>>},
        {"a term that nobody keeps", 3, <<1::little-64, 0, 203, 1, 99::little-64, 0::32>>}
      ] do
    @tag kind: kind, data: data
    test "a worker that sends #{what} is ended", %{pool: pool, kind: kind, data: data} do
      assert {:error, %CrashedError{} = error} =
               Python.call(:fake, :frame, [kind, Base.encode16(data)], pool: pool)

      assert Exception.message(error) =~ "cannot read"
      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end
  end

  for {what, data} <- [
        {"an impossible length", <<0xFFFFFFFF::32, 1, 2, 3>>},
        {"an empty frame", <<0::32>>}
      ] do
    @tag data: data
    test "a worker that sends #{what} is ended", %{pool: pool, data: data} do
      assert {:error, %CrashedError{}} =
               Python.call(:fake, :raw, [Base.encode16(data)], pool: pool)

      assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    end
  end

  test "answers to requests that nobody has made are nothing", %{pool: pool} do
    call =
      Python.call_async(:fake, :frame, [3, Base.encode16(<<9::little-64, 0, 106>>)], pool: pool)

    eventually_busy(pool)
    Python.cancel(call)
    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
  end

  test "nothing is left when the pool ends", %{pool: pool} do
    os_pid = Python.eval!("__import__('os').getpid()", pool: pool)
    child = Python.call!(:fake, :child, [], pool: pool)
    assert FakeWorker.alive?(os_pid) and FakeWorker.alive?(child)
    stop_supervised!(pool)
    refute FakeWorker.alive?(os_pid)
    eventually("its child has ended", fn -> not FakeWorker.alive?(child) end)
  end

  test "nothing is left when the pool's process is killed", %{pool: pool} do
    os_pid = Python.eval!("__import__('os').getpid()", pool: pool)
    Process.exit(Process.whereis(pool), :kill)
    eventually("it has ended", fn -> not FakeWorker.alive?(os_pid) end)
  end

  test "text below Python comes out, line by line" do
    output =
      ExUnit.CaptureIO.capture_io(fn ->
        {:ok, pid} = Pool.start_link(FakeWorker.options() ++ [name: :prints, size: 1])
        Python.call!(:fake, :write, [1, "one\ntw"], pool: :prints)
        Python.call!(:fake, :write, [1, "o\n"], pool: :prints)
        GenServer.stop(pid)
      end)

    assert output == "one\ntwo\n"
  end

  describe "a worker that does not start" do
    test "is the reason that calls get, and the pool lives on" do
      log =
        capture_log(fn ->
          pool = start_pool(FakeWorker.options("exit") ++ [size: 2])
          assert {:error, %NotStartedError{} = error} = Python.eval("1", pool: pool)
          assert Exception.message(error) =~ "status 3"
          assert Exception.message(error) =~ "cannot start"
          assert {:error, %NotStartedError{}} = Python.exec("1", pool: pool)
          pid = Process.whereis(pool)
          for _ <- 1..20, do: assert({:error, %NotStartedError{}} = Python.eval("1", pool: pool))
          assert Process.whereis(pool) == pid
          {_engine, native, _timeout} = Pool.lookup(pool)
          owners = :erlang_python_process.process_owners(native)

          eventually("one is replaced", fn ->
            :erlang_python_process.process_owners(native) != owners
          end)
        end)

      assert log =~ "did not start"
    end

    test "says why, in its own words" do
      pool = start_pool(FakeWorker.options("failed"))
      assert {:error, error} = Python.eval("1", pool: pool)
      assert Exception.message(error) =~ "it has no mood"
    end

    test "of another version is refused" do
      pool = start_pool(FakeWorker.options("version"))
      assert {:error, error} = Python.eval("1", pool: pool)
      assert Exception.message(error) =~ "another version"
    end

    test "as there is no such interpreter says so" do
      pool = start_pool(engine: :process, python: "/no/such/python")
      assert {:error, %NotStartedError{reason: :not_found}} = Python.eval("1", pool: pool)
    end

    test "as there is no such command says so" do
      pool = start_pool(FakeWorker.options() ++ [command: ["/no/such/nice"]])
      assert {:error, %NotStartedError{} = error} = Python.eval("1", pool: pool)
      assert Exception.message(error) =~ "No such file"
    end

    test "leaves a pool with an :init, or a context, unstarted" do
      Process.flag(:trap_exit, true)
      options = FakeWorker.options("exit") ++ [name: :unstarted, size: 1, init: "pass"]
      assert {:error, %NotStartedError{}} = Pool.start_link(options)
      assert {:error, %NotStartedError{}} = Python.Context.start_link(FakeWorker.options("exit"))
    end

    test "does so when it can again" do
      folder = System.tmp_dir!()
      python = Path.join(folder, unique("python"))
      pool = start_pool(engine: :process, python: python)
      assert {:error, %NotStartedError{}} = Python.eval("1", pool: pool)
      File.ln_s!(FakeWorker.options()[:python], python)
      on_exit(fn -> File.rm!(python) end)
      eventually("it works", fn -> Python.eval("1 + 1", pool: pool) == {:ok, 2} end)
    end
  end

  test "an environment is that of the VM with changes, or has nothing else" do
    name = unique("NAME")
    System.put_env(name, "1")
    on_exit(fn -> System.delete_env(name) end)
    ask = "[__import__('os').environ.get(n, '') for n in ('#{name}', 'OWN')]"

    for {env, expected} <- [
          {%{"OWN" => "2"}, ["1", "2"]},
          {%{name => nil}, ["", ""]},
          {%{"OWN" => "2", "PATH" => System.get_env("PATH"), clear: true}, ["", "2"]}
        ] do
      pool = start_pool(Keyword.put(FakeWorker.options(), :env, env))
      assert Python.eval!(ask, pool: pool) == expected
    end
  end

  test "a folder and a command are those of the worker" do
    pool = start_pool(FakeWorker.options() ++ [cd: "/", command: ["nice", "-n", "3"]])
    assert Python.eval!("__import__('os').getcwd()", pool: pool) == "/"
    assert Python.eval!("__import__('os').nice(0)", pool: pool) >= 3
  end

  test "a worker has no descriptor of the VM's" do
    pool = start_pool(FakeWorker.options())

    names =
      Python.eval!(
        "[__import__('os').readlink('/proc/self/fd/' + n) for n in __import__('os').listdir('/proc/self/fd') if __import__('os').path.exists('/proc/self/fd/' + n)]",
        pool: pool
      )

    assert Enum.count(names, &(&1 =~ "socket")) <= 1
    assert length(names) <= 6
  end

  test "invalid options are refused" do
    for {key, value} <- [
          env: %{a: 1},
          env: %{"A=B" => "1"},
          cd: 1,
          command: "nice",
          command: [1],
          kill_after: -1
        ] do
      assert_raise ArgumentError, ~r/the option #{inspect(key)} of a pool/, fn ->
        Pool.start_link([name: NoPool, engine: :process] ++ [{key, value}])
      end
    end
  end

  test "a handle on nothing is none: what waits for a stopped pool is told", %{pool: pool} do
    handle = Python.call!(:builtins, :list, [[1]], pool: pool, return: :object)
    stop_supervised!(pool)
    assert {:error, %StoppedError{}} = Python.call(handle, :count, [1])
  end
end
