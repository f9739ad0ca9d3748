defmodule Python.Timeouts.InterruptsTest do
  # What a timeout does to code, whatever it is at. Alone: it measures time, and some of it takes the
  # interpreter for itself.
  use Python.EngineCase

  import Python.Lateness

  alias Python.{FreshVM, Pool, TimeoutError}

  describe "a call that runs past its timeout" do
    @tag blocks: "a function in C holds its loop until it returns"
    test "again and again leaves the pool and the VM's files as they were" do
      pool = start_pool()

      for _ <- 1..30 do
        assert {:error, %TimeoutError{}} = Python.call(:time, :sleep, [1], pool: pool, timeout: 5)
      end

      assert_works_at_once(pool)
      assert {:ok, _} = File.read(__ENV__.file)
      eventually_idle(pool)
    end

    test "in exec and map and await is interrupted" do
      pool = start_pool()
      loop = "while True: pass"
      assert_times_out(40, fn -> Python.exec(loop, pool: pool, timeout: 40) end)
      name = define("def NAME(n):\n    while True: pass")
      calls = [[1], [2]]
      assert_times_out(40, fn -> Python.map(:__main__, name, calls, pool: pool, timeout: 40) end)

      assert_times_out(40, fn ->
        Python.await(Python.call_async(:__main__, name, [1], pool: pool), 40)
      end)

      assert_works_at_once(pool)
    end

    test "is not interrupted in a short __del__ method, which would lose that" do
      pool = start_pool()
      note_lost(pool)

      name =
        define("""
        import time

        class Released:
            def __del__(self):
                time.sleep(0.001)

        def NAME():
            while True:
                Released()
                time.sleep(0.004)
        """)

      for n <- 1..30 do
        timeout = 10 + rem(n, 7)

        assert {:error, %TimeoutError{}} =
                 Python.call(:__main__, name, [], pool: pool, timeout: timeout)
      end

      eventually_idle(pool)
      assert Python.eval("lost", pool: pool) == {:ok, []}
    end

    test "is interrupted in a __del__ method that does not end" do
      pool = start_pool()
      note_lost(pool)

      name =
        define("""
        class Endless:
            def __del__(self):
                while True:
                    pass

        def NAME():
            Endless()
        """)

      assert_times_out(40, fn -> Python.call(:__main__, name, [], pool: pool, timeout: 40) end)
      eventually_idle(pool)
      assert {:ok, [_ | _]} = Python.eval("lost", pool: pool)
    end

    test "while its module is imported can be called again" do
      pool = start_pool()
      folder = Path.join(System.tmp_dir!(), unique("slow"))
      File.mkdir_p!(folder)
      on_exit(fn -> File.rm_rf!(folder) end)
      module = write_module(folder, "import time\nfor _ in range(20): time.sleep(0.01)\nx = 1")
      options = [pool: pool, timeout: 20]
      assert {:error, %TimeoutError{}} = Python.call(module, "x.__add__", [1], options)
      assert_works_at_once(pool)
      assert Python.call(module, "x.__add__", [1], pool: pool) == {:ok, 2}
    end

    test "while its arguments or its result are converted is over" do
      pool = start_pool()
      list = Enum.to_list(1..3_000_000)

      # A caller that gets no processor meanwhile finds the answer.
      eventually("it is over while the argument is converted", fn ->
        result = Python.call(:builtins, :len, [list], pool: pool, timeout: 5)
        match?({:error, %TimeoutError{}}, result)
      end)

      eventually("it is over while the result is converted", fn ->
        result = Python.eval("list(range(5_000_000))", pool: pool, timeout: 5)
        match?({:error, %TimeoutError{}}, result)
      end)

      eventually_idle(pool)
      assert_works_at_once(pool)
    end
  end

  describe "a value without end" do
    test "is given up when the caller is gone" do
      pool = start_pool()
      # Shares its parts: small in Python, 2 ** 40 elements as a term.
      name = define("NAME = [1]\nfor _ in range(40): NAME = [NAME, NAME]")
      assert_times_out(50, fn -> Python.eval(name, pool: pool, timeout: 50) end)
      assert_works_at_once(pool)
    end
  end

  describe "code that is interrupted" do
    @tag engine: :main
    test "and does not care is left behind" do
      pool = start_pool()

      name =
        define("""
        import time
        NAME_stop = []
        def NAME():
            while not NAME_stop:
                try:
                    while not NAME_stop: time.sleep(0.001)
                except BaseException: pass
        """)

      for _ <- 1..3 do
        assert_times_out(30, fn -> Python.call(:__main__, name, [], pool: pool, timeout: 30) end)
        assert_works_at_once(pool)
      end

      Python.exec!("#{name}_stop.append(1)")
      eventually_idle(pool)
    end

    # Not here: should an import be left half-way, nobody could import any more.
    @tag engine: :main
    test "in an import leaves imports that work" do
      vm = FreshVM.start()

      source = """
      import importlib, sys
      def f():
          for name in ('colorsys', 'quopri', 'fractions', 'statistics', 'plistlib'):
              sys.modules.pop(name, None)
              importlib.import_module(name)
      """

      assert FreshVM.call(vm, Python, :exec, [source]) == :ok
      pools = for _ <- 1..2, do: String.to_atom(unique("pool"))

      for pool <- pools do
        child = {Pool, name: pool, size: 1}
        {:ok, _} = FreshVM.call(vm, Supervisor, :start_child, [Python.Supervisor, child])
      end

      [interrupted, other] = pools

      for n <- 1..times(500, 10_000) do
        options = [pool: interrupted, timeout: rem(n, 20)]
        FreshVM.call(vm, Python, :call, [:__main__, :f, [], options])
      end

      options = [pool: other, timeout: 10_000]
      assert FreshVM.call(vm, Python, :call, [:__main__, :f, [], options]) == {:ok, nil}
    end
  end

  # Notes in `lost` what Python cannot raise.
  defp note_lost(pool) do
    Python.exec!(
      """
      import sys
      lost = []
      hook_before = sys.unraisablehook
      sys.unraisablehook = lambda one: lost.append(repr(one.exc_type))
      """,
      pool: pool
    )

    on_exit(fn ->
      Python.exec!(
        "import sys; sys.unraisablehook = globals().pop('hook_before', sys.unraisablehook)"
      )
    end)
  end
end
