defmodule Python.Callbacks.CLibrariesTest do
  # Alone: it interrupts at all moments, and looks at what Python tells of exceptions that are lost.
  use Python.TestCase

  alias Python.{FreshVM, Pool, TimeoutError}

  @source Path.expand("../../support/foreign.c", __DIR__)

  setup_all do
    folder = Path.join(System.tmp_dir!(), "foreign_#{System.pid()}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    library = Path.join(folder, "libforeign.so")

    {output, 0} =
      System.cmd(System.get_env("CC", "cc"), ~w(-shared -fPIC -o) ++ [library, @source],
        stderr_to_stdout: true
      )

    assert output == ""
    %{library: library}
  end

  setup do
    Python.SupportModules.find()
    Python.import!(:foreign)

    # ctypes and cffi tell of exceptions in callbacks in these two ways only.
    lost =
      define("""
      import sys
      NAME = []
      NAME_hook, sys.unraisablehook = sys.unraisablehook, lambda lost: NAME.append(repr(lost))
      """)

    on_exit(fn -> Python.exec!("sys.unraisablehook = #{lost}_hook") end)
    %{lost: lost}
  end

  # Calls with timeouts that end at all moments of what takes some ms.
  defp interrupt(pool, function, args, times) do
    for n <- 1..times do
      Python.call(:foreign, function, args, pool: pool, timeout: 1 + rem(n, 15))
    end

    eventually_idle(pool)
  end

  defp assert_never_half(library, lost, begun) do
    counts =
      eventually("all work is done", fn ->
        counts = Python.call!(:foreign, :counts, [library])
        counts["begun"] == counts["ended"] && counts
      end)

    assert counts["begun"] > begun
    assert counts["wrong"] == 0
    assert Python.eval!(lost) == []
  end

  describe "a timeout while a C library calls Python back" do
    test "strikes when a qsort has returned, and what it sorts is sorted", %{lost: lost} do
      pool = start_pool()
      name = unique()
      interrupt(pool, :sort, [name, 200, 20], times(150, 2_000))
      seen = Python.call!(:foreign, :"seen.get", [name])
      assert length(seen) > 10
      assert Enum.all?(seen)
      assert Python.eval!(lost) == []
    end

    test "ends code that sorts for ever", %{lost: lost} do
      pool = start_pool()

      for size <- [2, 50, 500] do
        name = unique()

        assert {:error, %TimeoutError{}} =
                 Python.call(:foreign, :sort_for_ever, [name, size, 10], pool: pool, timeout: 40)

        eventually_idle(pool)
        assert Enum.all?(Python.call!(:foreign, :"seen.get", [name]))
      end

      assert Python.eval!(lost) == []
    end

    for {what, function, args} <- [
          {"that never lets go of its thread", :work, [150, 0]},
          {"that sleeps between its callbacks", :work, [40, 100]},
          {"whose callbacks sleep", :work, [20, 0, 0.0002]},
          {"that is called by its own callbacks", :nested, [30]},
          {"that is called with the GIL held", :held, [300]},
          {"that works for several threads", :work_in_threads, [30, 50]}
        ] do
      # Up to 3.11 the documented function can strike a thread that is just being started in the place of its starter.
      if function == :work_in_threads, do: @tag(native: :layouts)

      test "lets one #{what} end its work", %{library: library, lost: lost} do
        pool = start_pool()
        before = Python.call!(:foreign, :counts, [library])
        args = [library | unquote(args)]
        interrupt(pool, unquote(function), args, times(100, 1_000))
        assert_never_half(library, lost, before["begun"])
      end
    end

    test "is heeded afterwards", %{library: library} do
      pool = start_pool()

      name =
        define("""
        import foreign
        NAME_seen = []
        def NAME(path):
            try:
                foreign.work(path, 20_000, 0)
                while True: pass
            except BaseException as interrupt:
                NAME_seen.append(type(interrupt).__name__)
                raise
        """)

      assert {:error, %TimeoutError{}} =
               Python.call(:__main__, name, [library], pool: pool, timeout: 100)

      eventually_idle(pool)
      assert Python.eval!(name <> "_seen") == ["Interrupt"]
    end

    test "waits for the Elixir function that a callback calls", %{library: library, lost: lost} do
      pool = start_pool()
      before = Python.call!(:foreign, :counts, [library])

      slow = fn number ->
        Process.sleep(5)
        number
      end

      for timeout <- [1, 12, 23] do
        args = [library, 10, slow]

        assert {:error, %TimeoutError{}} =
                 Python.call(:foreign, :work_with_callback, args, pool: pool, timeout: timeout)

        eventually_idle(pool)
      end

      assert_never_half(library, lost, before["begun"])
    end

    test "ends what the callback's Elixir function asks of Python", %{library: library} do
      pool = start_pool()
      name = define("import time\ndef NAME():\n    while True: time.sleep(0.001)")
      before = Python.call!(:foreign, :counts, [library])

      ask = fn number ->
        {:error, _} = Python.call(:__main__, name, [], pool: pool)
        number
      end

      args = [library, 2, ask]

      assert {:error, %TimeoutError{}} =
               Python.call(:foreign, :work_with_callback, args, pool: pool, timeout: 50)

      assert Python.call(:math, :sqrt, [16], pool: pool, timeout: 10_000) == {:ok, 4.0}

      eventually("the library's work is done", fn ->
        Python.call!(:foreign, :counts, [library])["ended"] > before["ended"]
      end)
    end
  end

  test "a killed caller lets the library end its work", %{library: library, lost: lost} do
    pool = start_pool(size: 2)
    before = Python.call!(:foreign, :counts, [library])

    for n <- 1..times(60, 600) do
      {pid, monitor} =
        spawn_monitor(fn ->
          Python.call(:foreign, :work, [library, 100, 0], pool: pool, timeout: :infinity)
        end)

      Process.sleep(rem(n, 7))
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, _}, 10_000
    end

    eventually_idle(pool)
    assert_never_half(library, lost, before["begun"])
  end

  test "a callback that never returns costs its thread, and nothing else" do
    pool = start_pool()
    name = unique()
    started = Python.eval!("[]", %{}, return: :object)

    {ms, result} =
      timed(fn ->
        Python.call(:foreign, :never_returns, [name, started], pool: pool, timeout: 100)
      end)

    assert {:error, %TimeoutError{}} = result
    assert ms < 5_000
    assert Python.call(:math, :sqrt, [16], pool: pool, timeout: 10_000) == {:ok, 4.0}
    assert Pool.stats(pool).workers == 1
    assert Pool.stats(pool).busy >= 1
    Python.call!(:foreign, :"seen.setdefault", [name, []])
    eventually_idle(pool)
  end

  # Here libpython comes first, and has what extension modules look for.
  test "callbacks of ctypes are guarded where nobody sees threads come in", %{library: library} do
    vm = FreshVM.start(env: [{"LD_PRELOAD", Python.info().libpython}])
    on_exit(fn -> FreshVM.stop(vm) end)
    support = Path.expand("../../support/python", __DIR__)
    FreshVM.call(vm, Python, :call!, [:sys, "path.insert", [0, support]])
    refute FreshVM.call(vm, Python, :eval!, ["__import__('erlang')._entries_are_seen()"])

    call = fn function, args, options ->
      FreshVM.call(vm, Python, :call, [:foreign, function, args, options])
    end

    for function <- [:work, :held, :nested] do
      args = if function == :work, do: [library, 150, 0], else: [library, 30]
      for n <- 1..times(50, 500), do: call.(function, args, timeout: 1 + rem(n, 15))
    end

    for _ <- 1..50, do: call.(:sort, ["guarded", 200, 20], timeout: 5)

    eventually("all work is done", fn ->
      {:ok, counts} = call.(:counts, [library], [])
      counts["begun"] > 10 and counts["begun"] == counts["ended"]
    end)

    assert {:ok, %{"wrong" => 0}} = call.(:counts, [library], [])
    assert {:ok, seen} = call.(:"seen.get", ["guarded", []], [])
    assert Enum.all?(seen)
    code = "while True: foreign.sort('guarded', 50, 20)"
    exec = ["import foreign\n" <> code, [timeout: 30]]
    assert {:error, %TimeoutError{}} = FreshVM.call(vm, Python, :exec, exec)

    eventually("it has ended", fn ->
      FreshVM.call(vm, Python.Pool, :stats, [Python.Pool]).busy == 0
    end)
  end

  test "code without callbacks is interrupted as ever, beside such libraries" do
    pool = start_pool()

    name =
      define("""
      import ctypes, time
      def NAME():
          while True:
              ctypes.CDLL(None).usleep(100)
              time.sleep(0.0001)
      """)

    for _ <- 1..10 do
      assert {:error, %TimeoutError{}} = Python.call(:__main__, name, [], pool: pool, timeout: 20)

      eventually_idle(pool)
    end
  end
end
