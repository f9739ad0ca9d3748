defmodule Python.Timeouts.LocksTest do
  # Alone: some of it takes the interpreter for itself.
  use Python.EngineCase

  setup do
    Python.SupportModules.find()
    Python.exec!("import locks; locks.errors.clear(); locks.ended.clear()")
  end

  # A pool in which calls meet at one object, and where that is: anywhere in the VM's interpreter, so that others look
  # after it, or in the one process of the pool.
  defp start(size \\ 4) do
    if Python.Engines.in_vm?() do
      {start_pool(size: size), []}
    else
      pool = start_pool(size: 1)
      {pool, [pool: pool]}
    end
  end

  # Calls a method that never ends from several processes, again and again, with short timeouts.
  defp interrupt(object, method, pool, times) do
    1..4
    |> Enum.map(fn _ ->
      Task.async(fn ->
        for _ <- 1..times do
          timeout = :rand.uniform(8)
          result = Python.call(object, method, [], pool: pool, timeout: timeout)
          assert {:error, %Python.TimeoutError{}} = result
        end
      end)
    end)
    |> Task.await_many(60_000)

    eventually_idle(pool)
  end

  defp new(class, where, arguments \\ []) do
    Python.call!(:locks, class, arguments, [return: :object] ++ where)
  end

  defp lock(kind, where), do: Python.call!(:threading, kind, [], [return: :object] ++ where)

  describe "interrupts at any moment leave free, and whole," do
    test "a queue that all use" do
      {pool, where} = start()
      channel = new(:Channel, where)
      interrupt(channel, :exchange, pool, times(60, 5_000))
      assert Python.call!(channel, :is_free) == true
      assert Python.eval!("__import__('locks').errors", where) == []
    end

    for kind <- [:Lock, :RLock] do
      test "a condition on a #{kind} that is waited for" do
        {pool, where} = start()
        waiting = new(:Waiting, where, [lock(unquote(kind), where)])
        interrupt(waiting, :wait, pool, times(60, 5_000))
        assert Python.call!(waiting, :is_free) == true
        # The one who is interrupted between the two steps of an RLock's wait is told so.
        if unquote(kind) == :Lock,
          do: assert(Python.eval!("__import__('locks').errors", where) == [])
      end
    end

    for kind <- [:Lock, :RLock, :Condition] do
      test "a #{kind} that is taken in a loop, by with" do
        {pool, where} = start()
        counter = new(:Counter, where, [lock(unquote(kind), where)])
        interrupt(counter, :run, pool, times(60, 5_000))
        assert Python.call!(counter, :is_free) == true
      end
    end

    test "a lock that is waited for when the interrupt comes" do
      {pool, where} = start(1)

      name =
        define("""
        import threading
        NAME_lock = threading.Lock()
        def NAME_take():
            # Another thread gives it back, after the deadline.
            NAME_lock.acquire()
            threading.Timer(0.06, NAME_lock.release).start()
        def taken(): return NAME_lock
        def NAME():
            with taken():
                while True:
                    pass
        """)

      for _ <- 1..10 do
        Python.call!(:__main__, "#{name}_take", [], pool: pool)

        assert {:error, %Python.TimeoutError{}} =
                 Python.call(:__main__, name, [], pool: pool, timeout: 30)

        eventually_idle(pool)
        # Where the wait itself can be interrupted, that was before the lock was given back.
        eventually("it is free", fn -> not Python.eval!("#{name}_lock.locked()", where) end)
      end
    end

    test "a lock that is taken after another function has returned" do
      {pool, where} = start()

      name =
        define("""
        import threading, time
        NAME_lock = threading.Lock()
        def NAME_last(): return time.monotonic()
        def NAME():
            while True:
                NAME_last()
                with NAME_lock:
                    len("")
        """)

      interrupt(:__main__, name, pool, times(60, 5_000))
      assert Python.eval!("#{name}_lock.locked()", where) == false
    end

    test "the locks of logging and of imports" do
      {pool, where} = start()

      name =
        define("""
        import logging
        NAME_log = logging.getLogger("NAME")
        NAME_log.propagate = False
        NAME_log.addHandler(logging.StreamHandler(__import__("io").StringIO()))
        def NAME():
            while True:
                NAME_log.warning("text")
                import json.decoder
        """)

      interrupt(:__main__, name, pool, times(60, 5_000))

      assert Python.exec("#{name}_log.warning('text'); import json", [timeout: 10_000] ++ where) ==
               :ok
    end
  end

  test "a loop of queue operations is interrupted soon, though it holds the lock most of the time" do
    {pool, where} = start(1)
    channel = new(:Channel, where)

    late =
      for n <- 1..20 do
        # Under load its time may be over before it has begun.
        eventually("the loop has begun and ended", fn ->
          assert {:error, %Python.TimeoutError{}} =
                   Python.call(channel, :loop, [n], pool: pool, timeout: 20)

          deadline = System.os_time(:microsecond) / 1.0e6
          eventually_idle(pool)
          ended = "[at for m, at in __import__('locks').ended if m == n]"

          with [at | _] <- Python.eval!(ended, %{n: n}, where),
               do: at - deadline,
               else: ([] -> nil)
        end)
      end

    # Where it could not be, this took seconds.
    assert late |> Enum.sort() |> Enum.at(10) < 0.5
    assert Python.call!(channel, :is_free)
  end

  test "conditions are entered and left in every way as before" do
    assert Python.exec("""
           import contextlib, threading
           for condition in (threading.Condition(), threading.Condition(threading.Lock())):
               with condition:
                   condition.notify_all()
                   assert not condition.acquire(False) or condition.release() is None
               condition.__enter__()
               condition.__exit__(None, None, None)
               with contextlib.ExitStack() as stack:
                   stack.enter_context(condition)
                   condition.notify()
               threading.Condition.__enter__(condition)
               threading.Condition.__exit__(condition, None, None, None)
               try:
                   condition.notify()
               except RuntimeError:
                   pass
               else:
                   raise AssertionError("still held")

           class Own(threading.Condition):
               def __enter__(self):
                   self.entered = True
                   return super().__enter__()

           with Own() as entered:
               assert entered is True
           """) == :ok
  end
end
