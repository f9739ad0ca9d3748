defmodule Python.Timeouts.LocksTest do
  # Alone: some of it takes the interpreter for itself.
  use Python.EngineCase

  setup do
    Python.SupportModules.find()
    Python.exec!("import locks; locks.errors.clear(); locks.ended.clear()")
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

  defp new(class, arguments \\ []) do
    Python.call!(:locks, class, arguments, return: :object)
  end

  defp lock(kind), do: Python.call!(:threading, kind, [], return: :object)

  describe "interrupts at any moment leave free, and whole," do
    test "a queue that all use" do
      pool = start_pool(size: 4)
      channel = new(:Channel)
      interrupt(channel, :exchange, pool, times(60, 5_000))
      assert Python.call!(channel, :is_free) == true
      assert Python.eval!("locks.errors") == []
    end

    for kind <- [:Lock, :RLock] do
      test "a condition on a #{kind} that is waited for" do
        pool = start_pool(size: 4)
        waiting = new(:Waiting, [lock(unquote(kind))])
        interrupt(waiting, :wait, pool, times(60, 5_000))
        assert Python.call!(waiting, :is_free) == true
        # The one who is interrupted between the two steps of an RLock's wait is told so.
        if unquote(kind) == :Lock, do: assert(Python.eval!("locks.errors") == [])
      end
    end

    for kind <- [:Lock, :RLock, :Condition] do
      test "a #{kind} that is taken in a loop, by with" do
        pool = start_pool(size: 4)
        counter = new(:Counter, [lock(unquote(kind))])
        interrupt(counter, :run, pool, times(60, 5_000))
        assert Python.call!(counter, :is_free) == true
      end
    end

    test "a lock that is waited for when the interrupt comes" do
      pool = start_pool()

      name =
        define("""
        import threading
        NAME_lock = threading.Lock()
        def taken(): return NAME_lock
        def NAME():
            with taken():
                while True:
                    pass
        """)

      for _ <- 1..10 do
        Python.exec!("#{name}_lock.acquire()")

        assert {:error, %Python.TimeoutError{}} =
                 Python.call(:__main__, name, [], pool: pool, timeout: 30)

        Python.exec!("#{name}_lock.release()")
        eventually_idle(pool)
        assert Python.eval!("#{name}_lock.locked()") == false
      end
    end

    test "a lock that is taken after another function has returned" do
      pool = start_pool(size: 4)

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
      assert Python.eval!("#{name}_lock.locked()") == false
    end

    test "the locks of logging and of imports" do
      pool = start_pool(size: 4)

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
      assert Python.exec("#{name}_log.warning('text'); import json", timeout: 10_000) == :ok
    end
  end

  test "a loop of queue operations is interrupted soon, though it holds the lock most of the time" do
    pool = start_pool()
    channel = new(:Channel)

    late =
      for n <- 1..20 do
        assert {:error, %Python.TimeoutError{}} =
                 Python.call(channel, :loop, [n], pool: pool, timeout: 20)

        deadline = System.os_time(:microsecond) / 1.0e6

        eventually("the loop has ended", fn -> Python.eval!("len(locks.ended)") == n end)
        Python.eval!("locks.ended[-1][1]") - deadline
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
