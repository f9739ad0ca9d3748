defmodule Python.Engine.Process.SmallCallsTest do
  # Calls that go by the memory which the VM and a Python process share, and all that may come in between.
  use Python.TestCase, async: true

  alias Python.{CrashedError, FreshVM, StoppedError, TimeoutError}

  @moduletag :capture_log

  setup context do
    {:ok, pool: start_pool([engine: :process, size: 1] ++ Map.get(context, :pool, []))}
  end

  test "calls and answers of all sizes are whole", %{pool: pool} do
    for size <- [0, 1, 7, 8, 100, 3_900, 3_990, 4_000, 4_050, 4_090, 4_096, 4_100, 5_000, 70_000],
        _ <- 1..5 do
      text = :binary.copy("x", size)
      assert Python.call(:operator, :concat, [text, "y"], pool: pool) == {:ok, text <> "y"}
      assert Python.call(:builtins, :len, [text], pool: pool) == {:ok, size}
      assert Python.call(:operator, :mul, ["x", size], pool: pool) == {:ok, text}
    end

    for n <- 1..2_000,
        do: assert(Python.call(:operator, :add, [n, 1], pool: pool) == {:ok, n + 1})

    assert empty?()
  end

  test "what Python sends is there before the answer", %{pool: pool} do
    code = "__import__('erlang').send(pid, n) or n"

    for n <- 1..500 do
      assert {:ok, _} = Python.eval(code, %{pid: self(), n: n}, pool: pool)
      assert_received ^n
    end
  end

  test "messages of all sizes come in their order, and before the answer", %{pool: pool} do
    code = """
    import erlang
    def tell(pid, count):
        for n in range(count):
            erlang.send(pid, (n, "x" * (5_000 if n % 7 == 3 else n % 100)))
    """

    Python.exec(code, pool: pool)

    for _ <- 1..5 do
      assert Python.eval("tell(pid, 500)", %{pid: self()}, pool: pool) == {:ok, nil}
      for n <- 0..499, do: assert_received({^n, _})
      assert empty?()
    end
  end

  test "callbacks get their own answers, of all sizes", %{pool: pool} do
    code = "[f(n, 'x' * (5_000 if n % 7 == 3 else n % 100)) for n in range(1_000)] and None"
    own = self()

    answer = fn n, text ->
      if rem(n, 100) == 0, do: send(own, n)
      if rem(n, 5) == 2, do: String.duplicate("y", 5_000), else: {n, text}
    end

    assert Python.eval(code, %{f: answer}, pool: pool) == {:ok, nil}
    for n <- 0..9, n = n * 100, do: assert_received(^n)

    check = "all(f(n) == n + 1 for n in range(2_000))"
    assert Python.eval(check, %{f: &(&1 + 1)}, pool: pool) == {:ok, true}
  end

  test "callbacks of several threads and calls within them come out right", %{pool: pool} do
    code = """
    import threading
    def work(f, count):
        found = []
        def own(m):
            found.append(all(f(m, n) == m * n for n in range(count)))
        threads = [threading.Thread(target=own, args=(m,)) for m in range(4)]
        for thread in threads: thread.start()
        own(10)
        for thread in threads: thread.join()
        return found
    """

    Python.exec(code, pool: pool)
    multiply = fn m, n -> Python.call!(:operator, :mul, [m, n], pool: pool) end
    work = fn f -> Python.eval("work(f, 50)", %{f: f}, pool: pool, timeout: 60_000) end
    assert work.(&(&1 * &2)) == {:ok, List.duplicate(true, 5)}
    assert work.(multiply) == {:ok, List.duplicate(true, 5)}
  end

  test "a callback that takes its time is waited for, and one that is killed is told", %{
    pool: pool
  } do
    slow = fn ms ->
      Process.sleep(ms)
      ms
    end

    assert Python.eval("[f(n % 4) for n in range(100)][-1]", %{f: slow}, pool: pool) == {:ok, 3}

    for _ <- 1..20 do
      killed = fn -> Process.exit(self(), :kill) end
      assert {:error, %Python.Error{}} = Python.eval("f()", %{f: killed}, pool: pool)
    end
  end

  test "what was registered before a call is there in it", %{pool: pool} do
    name = unique("registered")
    code = "__import__('erlang').#{name}()"

    for n <- 1..100 do
      Python.register(name, fn -> n end)
      assert Python.eval(code, %{}, pool: pool) == {:ok, n}
    end

    Python.unregister(name)
  end

  test "functions come back, and are let go", %{pool: pool} do
    for n <- 1..500 do
      own = fn -> n end
      assert {:ok, ^own} = Python.eval("f", %{f: own}, pool: pool)
      assert {:ok, [^own, 1]} = Python.eval("[f, 1]", %{f: own}, pool: pool)
    end
  end

  test "errors are those of any call", %{pool: pool} do
    for _ <- 1..50 do
      assert {:error, %Python.Error{type: "ZeroDivisionError"}} =
               Python.eval("1/0", %{}, pool: pool)

      assert {:error, %Python.EncodeError{}} = Python.call(:builtins, :len, [%URI{}], pool: pool)
      assert {:ok, %Python.Object{} = object} = Python.call(:builtins, :object, [], pool: pool)
      assert {:ok, "<object object" <> _} = Python.call(:builtins, :str, [object], pool: pool)
    end
  end

  @tag pool: [kill_after: 2_000]
  test "a call whose time is over has one end", %{pool: pool} do
    answers =
      for n <- 1..300 do
        ms = rem(n, 4) / 2
        code = "__import__('time').sleep(#{ms / 1000}) or #{n}"

        case Python.eval(code, %{}, pool: pool, timeout: 1) do
          {:ok, ^n} -> :ok
          {:error, %TimeoutError{}} -> :timeout
        end
      end

    assert :timeout in answers
    assert Python.eval("1 + 1", %{}, pool: pool) == {:ok, 2}
    Process.sleep(50)
    assert empty?()
    eventually("nothing is at work", fn -> Python.Pool.stats(pool).busy == 0 end)
  end

  test "callers that are killed leave nothing behind", %{pool: pool} do
    for n <- 1..100 do
      code = "__import__('time').sleep(#{rem(n, 3) / 1000})"
      caller = spawn(fn -> for _ <- 1..1_000, do: Python.eval(code, %{}, pool: pool) end)
      if rem(n, 2) == 0, do: Process.sleep(rem(n, 5))
      Process.exit(caller, :kill)
      assert Python.call(:operator, :add, [n, 1], pool: pool) == {:ok, n + 1}
    end

    eventually("nothing is at work", fn ->
      match?(%{busy: 0, queued: 0}, Python.Pool.stats(pool))
    end)
  end

  test "calls that are given up by others have one end", %{pool: pool} do
    for n <- 1..200 do
      call =
        Python.eval_async("__import__('time').sleep(#{rem(n, 3) / 1000}) or #{n}", %{}, pool: pool)

      if rem(n, 2) == 0, do: Process.sleep(rem(n, 3))
      Python.cancel(call)
      assert Python.call(:operator, :add, [n, 1], pool: pool) == {:ok, n + 1}
    end

    assert empty?()
  end

  test "a crash is the answer to its call, once", %{pool: pool} do
    for n <- 1..8 do
      assert Python.call(:operator, :add, [n, 1], pool: pool) == {:ok, n + 1}

      assert {:error, %CrashedError{exit_status: 3}} =
               Python.call(:os, :_exit, [3], pool: pool, timeout: 30_000)
    end

    Process.sleep(50)
    assert empty?()
  end

  @tag pool: [size: 2]
  test "each of many callers gets its own answers", %{pool: pool} do
    tasks =
      for caller <- 1..64 do
        Task.async(fn ->
          for n <- 1..100 do
            wanted = caller * 1_000 + n + 1
            arguments = [caller * 1_000 + n, 1]
            assert Python.call(:operator, :add, arguments, pool: pool) == {:ok, wanted}
          end

          empty?()
        end)
      end

    assert Enum.all?(Task.await_many(tasks, 60_000))
    assert %{busy: 0, queued: 0, done: done} = Python.Pool.stats(pool)
    assert done >= 6_400
  end

  @hostile (defmodule Hostile do
              # What the process writes where only the VM writes, and what it says that cannot be.
              @source """
              import ctypes, random, threading
              def place():
                  with open('/proc/self/maps') as maps:
                      for line in maps:
                          if 'memfd:python_calls' in line:
                              start, end = (int(n, 16) for n in line.split()[0].split('-'))
                              return (ctypes.c_ubyte * (end - start)).from_address(start)
              def words():
                  found = place()
                  return (ctypes.c_uint * (len(found) // 4)).from_buffer(found)
              # Behind two large places there are small ones, 64 for answers and 64 for requests.
              PLACE, SMALL = 4160 // 4, 1088 // 4
              def spoil(kind):
                  w = words()
                  ANSWER = PLACE * 2 + SMALL * random.randrange(64)
                  AHEAD = PLACE * 2 + SMALL * random.randrange(64, 128)
                  if kind == 0:
                      w[ANSWER] = random.choice([3, 4, 77, 2**32 - 1])
                  elif kind == 1:
                      w[ANSWER + 1] = random.choice([0, 1, 4097, 2**31, 2**32 - 1])
                      w[ANSWER] = 2
                  elif kind == 2:
                      for at in range(ANSWER + 2, ANSWER + 60):
                          w[at] = random.getrandbits(32)
                      w[ANSWER + 1] = random.choice([random.randrange(1024), 2**32 - 1])
                      w[ANSWER] = 2
                  elif kind == 3:
                      w[0] = random.choice([0, 1, 2, 3, 77])
                  elif kind == 4:
                      for at in range(len(w)):
                          w[at] = random.getrandbits(32)
                  elif kind == 5:
                      frame = bytes([3]) + bytes(random.getrandbits(8) for _ in range(40))
                      ctypes.memmove(ctypes.addressof(w) + 4 * ANSWER + 8, frame, len(frame))
                      w[ANSWER + 1] = len(frame)
                      w[ANSWER] = 2
                  elif kind == 6:
                      for _ in range(40):
                          w[PLACE * 2 + SMALL * random.randrange(64, 128)] = random.choice([0, 1, 2, 3, 4, 5, 77])
                  elif kind == 7:
                      w[AHEAD + 1] = random.getrandbits(32)
                      w[AHEAD] = 2
                  return kind
              def always():
                  while True:
                      spoil(random.randrange(8))
              def begin():
                  threading.Thread(target=always, daemon=True).start()
              """

              # What comes of calls of a pool whose process spoils it all.
              def calls(kind, count) do
                name = :"hostile_#{System.unique_integer([:positive])}"
                options = [name: name, engine: :process, size: 1, kill_after: 50, init: @source]
                {:ok, pid} = Python.Pool.start_link(options)
                one = fn -> Python.eval("spoil(#{kind})", %{}, pool: name, timeout: 200) end

                if kind == :thread, do: Python.exec("begin()", pool: name, timeout: 1_000)

                one =
                  if kind == :thread,
                    do: fn -> Python.eval("1", %{}, pool: name, timeout: 200) end,
                    else: one

                # Of many callers, some have what they ask for there when it is spoiled.
                callers = for _ <- 1..8, do: Task.async(fn -> for _ <- 1..count, do: one.() end)
                ends = callers |> Task.await_many(:infinity) |> Enum.concat()
                Supervisor.stop(pid)
                for answer <- ends, uniq: true, do: ending(answer)
              end

              defp ending({:ok, _}), do: :ok
              defp ending({:error, %error{}}), do: error
            end)

  test "whatever a process writes into the memory, the VM lives" do
    vm = FreshVM.start()
    FreshVM.load(vm, @hostile)

    for kind <- [0, 1, 2, 3, 4, 5, 6, 7, :thread] do
      ends = FreshVM.call(vm, Hostile, :calls, [kind, 20])
      assert Enum.all?(ends, &(&1 in [:ok, CrashedError, StoppedError, TimeoutError]))
    end

    assert FreshVM.call(vm, Python, :eval!, ["1 + 1"]) == 2
  end

  defp empty? do
    receive do
      message -> flunk("unexpected: #{inspect(message)}")
    after
      0 -> true
    end
  end
end
