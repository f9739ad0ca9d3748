defmodule Python.Interpreter.LazyTest do
  # With `start: :lazy` Python is started by the first call. Each in a VM of its own.
  use Python.TestCase, async: true

  import Python.FakePython, only: [poll: 2, script: 3, suite_python: 0]

  alias Python.{FreshVM, NotStartedError, TimeoutError}

  @moduletag :tmp_dir

  setup_all do
    {:ok, suite_python()}
  end

  @there (defmodule There do
            # Calls of so many processes at once, each with what came of it and how long it took.
            def at_once(count, fun) do
              1..count
              |> Enum.map(fn _ -> Task.async(fn -> clocked(fun) end) end)
              |> Task.await_many(60_000)
            end

            def clocked(fun) do
              {time, result} = :timer.tc(fun)
              {result, div(time, 1000)}
            end

            def call(options), do: Python.call(:math, :sqrt, [16], options)
            def many(count, options), do: at_once(count, fn -> call(options) end)

            # In one process, which waits for what it has asked for.
            def async do
              Python.await(Python.call_async(:math, :sqrt, [16]))
            end

            def stream, do: Enum.to_list(Python.stream(:builtins, :range, [3]))

            def stream_start do
              {:ok, reference} = :py.stream_start(:builtins, :range, [1])
              receive do: ({:py_stream, ^reference, answer} -> answer)
            end

            def iterator do
              Python.call(:builtins, :sum, [Python.iterator([1, 2])])
            end

            def with_body do
              Python.with(Python.eval!("open('/dev/null')", %{}, return: :object), fn _ ->
                :body
              end)
            end

            def no_handle do
              Python.with(%Python.Object{ref: make_ref()}, fn _ -> :body end)
            rescue
              error -> {:raised, error}
            end

            def erlang, do: :py.call(:math, :sqrt, [16])
            def map, do: Python.map(:math, :sqrt, [[4], [9]])
            def exec, do: Python.exec("x = 1")

            def context do
              {:ok, context} = Python.Context.start_link()
              Python.eval("1 + 1", context: context)
            end

            def registered do
              :ok = Python.register(:five, fn -> 5 end)
              Python.eval("__import__('erlang').five()")
            end

            def raised(fun) do
              fun.()
            rescue
              error -> error
            end

            def pools do
              {:ok, _} = Python.Pool.start_link(name: One, size: 1)
              {:ok, _} = Python.Pool.start_link(name: Two, engine: :asyncio)

              for pool <- [One, Two, One, Two] do
                Task.async(fn -> call(pool: pool) end)
              end
              |> Task.await_many(60_000)
            end

            def own_init(code) do
              Process.flag(:trap_exit, true)
              with {:ok, _} <- Python.Pool.start_link(name: Own, size: 1, init: code), do: :ok
            end
          end)

  defp start(settings, options \\ []) do
    settings = [start: :lazy] ++ settings
    vm = FreshVM.start([settings: settings] ++ options)
    FreshVM.load(vm, @there)
    vm
  end

  # Whether the VM has loaded a libpython.
  defp loaded?(vm) do
    if File.exists?("/proc/self/maps"),
      do: FreshVM.call(vm, File, :read!, ["/proc/self/maps"]) =~ "libpython",
      else: FreshVM.call(vm, Python.Library, :loaded?, [:erlang_python])
  end

  defp there(vm, name, arguments \\ []), do: FreshVM.call(vm, There, name, arguments)

  # An interpreter that takes its time when it is looked at.
  defp slow(dir, python, seconds) do
    script(
      dir,
      "slow",
      ~s(echo started >> '#{dir}/starts'\nsleep #{seconds}\nexec '#{python}' "$@")
    )
  end

  defp starts(dir), do: dir |> Path.join("starts") |> File.read!() |> String.split()

  test "the VM has no libpython until the first call" do
    vm = start([])
    refute loaded?(vm)

    assert %{workers: 0, busy: 0, queued: 0} =
             FreshVM.call(vm, Python.Pool, :stats, [Python.Pool])

    assert FreshVM.call(vm, Python.Pool, :workers, [Python.Pool]) == []
    assert FreshVM.call(vm, Python.Runtime, :status, []) == :idle

    assert %{pools: [Python.Pool], python_version: "3." <> _} =
             FreshVM.call(vm, Python, :info, [])

    assert {:ok, "3." <> _} = FreshVM.call(vm, :py, :version, [])
    refute loaded?(vm)

    assert there(vm, :call, [[]]) == {:ok, 4.0}
    assert loaded?(vm)
    assert %{workers: workers} = FreshVM.call(vm, Python.Pool, :stats, [Python.Pool])
    assert workers > 0
    assert FreshVM.call(vm, Python, :info, []).libpython
  end

  test "the first call may be of any kind" do
    vm = start([])

    for {function, result} <- [
          async: {:ok, 4.0},
          stream: [0, 1, 2],
          stream_start: {:data, 0},
          iterator: {:ok, 3},
          context: {:ok, 2},
          with_body: :body,
          registered: {:ok, 5},
          erlang: {:ok, 4.0},
          map: {:ok, [2.0, 3.0]},
          exec: :ok
        ] do
      assert {function, there(vm, function)} == {function, result}
      assert :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
      assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
      assert FreshVM.call(vm, Python.Runtime, :status, []) == :idle
    end

    assert {:raised, %Python.EncodeError{}} = there(vm, :no_handle)
  end

  for engine <- [:asyncio, :process] do
    test "pools of the engine #{inspect(engine)} start with their first call" do
      vm = start(engine: unquote(engine), num_workers: 1)
      refute loaded?(vm)
      assert FreshVM.call(vm, Python.Pool, :workers, [Python.Pool]) == []

      for {result, _ms} <- there(vm, :many, [10, []]), do: assert(result == {:ok, 4.0})
      assert [_worker] = FreshVM.call(vm, Python.Pool, :workers, [Python.Pool])
      assert there(vm, :stream) == [0, 1, 2]
    end
  end

  test "Python is started once, however many call at once", %{tmp_dir: dir, python: python} do
    vm = start(python_path: slow(dir, python, 0.3))
    results = there(vm, :many, [50, []])
    assert for({result, _ms} <- results, result != {:ok, 4.0}, do: result) == []
    assert starts(dir) == ["started"]
  end

  test "pools share the start", %{tmp_dir: dir, python: python} do
    vm = start(python_path: slow(dir, python, 0.3), start_pool: false)

    assert there(vm, :pools) == List.duplicate({:ok, 4.0}, 4)
    assert starts(dir) == ["started"]
  end

  test "a call ends at its timeout though the start takes longer, and later ones work", context do
    %{tmp_dir: dir, python: python} = context
    vm = start(python_path: slow(dir, python, 1))

    for {result, ms} <- there(vm, :many, [5, [timeout: 200]]) do
      assert {:error, %TimeoutError{timeout: 200, reason: :queued} = error} = result
      assert error.message =~ "200 ms"
      assert ms >= 200
    end

    # The pool answers meanwhile.
    assert %{queued: _} = FreshVM.call(vm, Python.Pool, :stats, [Python.Pool])
    assert there(vm, :call, [[timeout: 20_000]]) == {:ok, 4.0}
    assert starts(dir) == ["started"]
  end

  test "the time of the start is part of the timeout of a call", %{tmp_dir: dir, python: python} do
    # With more time, where the machine is too busy to start it in that.
    error =
      Enum.find_value([2_500, 20_000], fn timeout ->
        vm = start(python_path: slow(dir, python, 1))
        arguments = [:time, :sleep, [60], [timeout: timeout]]

        assert {:error, %TimeoutError{timeout: ^timeout} = error} =
                 FreshVM.call(vm, Python, :call, arguments)

        error.reason == :running && error
      end)

    # Not what the start has left of it.
    assert error.message =~ ~r/\b(2500|20000) ms/
    refute error.message =~ ~r/\b1\d{3,4} ms/
  end

  test "what is wrong with Python reaches all callers" do
    vm = start(python_path: "/no/such/python")

    for {result, _ms} <- there(vm, :many, [5, []]) do
      assert {:error, %NotStartedError{reason: :not_found}} = result
    end

    assert {:error, %NotStartedError{reason: :not_found}} = there(vm, :call, [[]])
    assert %NotStartedError{reason: :not_found} = there(vm, :raised, [&There.stream/0])
    assert %NotStartedError{reason: :not_found} = there(vm, :raised, [&There.async/0])
    assert {:error, %NotStartedError{}} = FreshVM.call(vm, Python.Context, :start_link, [])
    assert {:error, {:not_started, _}} = FreshVM.call(vm, :py, :call, [:math, :sqrt, [16]])
  end

  test "environment variables that are set before the first call, and `paths`, are Python's", %{
    tmp_dir: dir
  } do
    File.write!(Path.join(dir, "lazily_found.py"), "there = 'here'")
    vm = start(env: %{"FROM_SETTING" => "b"}, paths: [dir])
    FreshVM.call(vm, System, :put_env, ["FROM_ELIXIR", "a"])
    code = "[__import__('os').environ.get(name) for name in ('FROM_ELIXIR', 'FROM_SETTING')]"
    assert FreshVM.call(vm, Python, :eval, [code]) == {:ok, ["a", "b"]}

    # C has it too.
    child = "__import__('subprocess').check_output('echo $FROM_ELIXIR $FROM_SETTING', shell=True)"
    assert FreshVM.call(vm, Python, :eval, [child]) == {:ok, "a b\n"}
    assert FreshVM.call(vm, Python, :eval, ["__import__('lazily_found').there"]) == {:ok, "here"}
  end

  test "a virtual environment that VIRTUAL_ENV names before the first call is used", context do
    %{tmp_dir: dir, python: python} = context
    venv = Path.join(dir, "venv")
    Python.FakePython.make_venv(python, venv)
    vm = start([python_path: nil], env: [{"VIRTUAL_ENV", false}])
    _ = FreshVM.call(vm, :py, :version, [])
    FreshVM.call(vm, System, :put_env, ["VIRTUAL_ENV", venv])
    assert FreshVM.call(vm, Python, :eval, ["__import__('sys').prefix"]) == {:ok, venv}
    assert FreshVM.call(vm, Python, :info, []).prefix == venv
  end

  describe "the code of `init`" do
    test "of the application's pool runs with the first call" do
      vm = start(init: "import time; time.sleep(0.3); ready = 'yes'")
      refute loaded?(vm)
      assert FreshVM.call(vm, Python, :eval, ["ready"]) == {:ok, "yes"}
    end

    @tag :capture_log
    test "of the application's pool that raises is told to all callers, and the VM lives" do
      vm = start(init: "import time; time.sleep(0.3); raise ValueError('no model')")

      for {result, _ms} <- there(vm, :many, [5, []]), do: assert({:error, _} = result)

      for _ <- 1..5 do
        assert {:error, %NotStartedError{reason: :init_failed} = error} = there(vm, :call, [[]])
        assert Exception.message(error) =~ "no model"
      end

      applications = FreshVM.call(vm, Application, :started_applications, [])
      assert List.keymember?(applications, :erlang_python, 0)
      assert %{workers: 0} = FreshVM.call(vm, Python.Pool, :stats, [Python.Pool])
    end

    test "of another pool runs when that starts, which says what came of it" do
      vm = start(start_pool: false)
      assert {:error, %Python.Error{type: "ZeroDivisionError"}} = there(vm, :own_init, ["1 / 0"])
      assert there(vm, :own_init, ["x = 1"]) == :ok
    end
  end

  test "the application can be stopped before anything has started, and started again" do
    vm = start([])
    assert :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
    refute loaded?(vm)
    assert {:error, %NotStartedError{reason: :not_started}} = there(vm, :call, [[]])

    assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
    assert there(vm, :call, [[]]) == {:ok, 4.0}

    # The interpreter lives on, and is found again.
    assert :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
    assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
    assert FreshVM.call(vm, Python.Runtime, :status, []) == :idle
    assert there(vm, :registered) == {:ok, 5}
    assert there(vm, :call, [[]]) == {:ok, 4.0}
  end

  test "the application can be stopped while it starts", %{tmp_dir: dir, python: python} do
    vm = start(python_path: slow(dir, python, 1))
    caller = Task.async(fn -> there(vm, :call, [[]]) end)
    poll("nothing starts", fn -> File.exists?(Path.join(dir, "starts")) end)
    assert :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
    assert {:error, error} = Task.await(caller, 60_000)
    assert is_exception(error)
    assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
    assert there(vm, :call, [[]]) == {:ok, 4.0}
  end

  test "a VM that has never called Python ends at once" do
    assert {output, 0} =
             FreshVM.run("IO.puts(inspect(Python.Runtime.status()))", settings: [start: :lazy])

    assert output =~ ":idle"
  end

  test "the doctor starts Python" do
    vm = start([])
    checks = FreshVM.call(vm, Python.Doctor, :run, [[]])
    assert Python.Doctor.healthy?(checks), Python.Doctor.format(checks)
    assert Python.Doctor.format(checks) =~ "Python computed 1 + 1 = 2"
  end

  test "an invalid value is refused" do
    assert {:error, error} = Python.Settings.validate(start: :later)
    assert error.message =~ "the setting :start of :erlang_python to be :boot or :lazy"
    assert {:ok, %{start: :boot}} = Python.Settings.validate([])
  end
end
