defmodule Python.Engine.Process.AloneTest do
  # A VM that runs Python in processes only has no libpython, and needs none.
  use Python.TestCase, async: true

  alias Python.{FreshVM, NotStartedError}

  @moduletag :tmp_dir
  @moduletag :capture_log

  setup do
    {:ok, python: Python.info().executable}
  end

  defp call(vm, function, arguments), do: FreshVM.call(vm, Python, function, arguments)

  defp eval!(vm, code) do
    {result, _} = FreshVM.call(vm, Code, :eval_string, [code])
    result
  end

  defp maps(vm), do: FreshVM.call(vm, File, :read!, ["/proc/self/maps"])

  defp refute_libpython(vm) do
    if File.exists?("/proc/self/maps") do
      refute maps(vm) =~ "libpython"
      refute maps(vm) =~ "liberlang_python_nif"
    end
  end

  # An interpreter that says of itself what a static one says, and has its libpython all the same.
  defp static(dir, python) do
    path = Path.join(dir, "python3")
    probe = Application.app_dir(:erlang_python, "priv/python/probe.py")
    {report, 0} = System.cmd(python, [probe])

    report =
      report
      |> String.replace(~r/"libpython": "[^"]*"/, ~s("libpython": null))
      |> String.replace(
        ~r/"libpython_tried": \[[^\]]*\]/,
        ~s("libpython_tried": ["/x/libpython.so"])
      )
      |> String.replace(~r/"enable_shared": true/, ~s("enable_shared": false))

    File.write!(path <> ".report", report)

    File.write!(path, """
    #!/bin/sh
    case "$1" in
      */probe.py) exec cat '#{path}.report' ;;
      *) exec '#{python}' "$@" ;;
    esac
    """)

    File.chmod!(path, 0o755)
    path
  end

  test "with the setting engine: :process everything works, and the VM loads no libpython" do
    vm = FreshVM.start(settings: [engine: :process, num_workers: 1])
    assert call(vm, :call, [:math, :sqrt, [16]]) == {:ok, 4.0}

    assert eval!(vm, """
           {:ok, counter} = Python.eval("__import__('collections').Counter('aab')")
           {:ok, context} = Python.Context.start_link(engine: :process, init: "n = 41")
           Python.register("double", fn n -> 2 * n end)

           [
             Python.call(:builtins, :sorted, [[3, 1, 2]], kwargs: %{key: fn n -> -n end}),
             Python.exec("import erlang; doubled = erlang.double(21)"),
             Python.eval("doubled"),
             Enum.to_list(Python.stream_eval("(n * n for n in range(4))")),
             counter["a"],
             Python.eval("n + 1", context: context),
             Python.call(:builtins, :sum, [Python.iterator(1..4)]),
             Python.call(:builtins, :max, [[1, 2]], timeout: :infinity),
             Python.with(Python.eval!("__import__('io').StringIO('text')"), &Python.call!(&1, :read)),
             elem(Python.call(:time, :sleep, [5], timeout: 50), 1).__struct__,
             elem(Python.eval("1 / 0"), 1).type
           ]
           """) == [
             {:ok, [3, 2, 1]},
             :ok,
             {:ok, 42},
             [0, 1, 4, 9],
             2,
             {:ok, 42},
             {:ok, 10},
             {:ok, 2},
             "text",
             Python.TimeoutError,
             "ZeroDivisionError"
           ]

    assert %{libpython: nil, python_version: version} = call(vm, :info, [])
    assert FreshVM.call(vm, :py, :version, []) == {:ok, version}
    assert version == Python.info().python_version
    refute_libpython(vm)
  end

  test "a pool or a context of the engine :main is started there all the same" do
    vm = FreshVM.start(settings: [engine: :process, num_workers: 1])
    assert call(vm, :eval, ["1 + 1"]) == {:ok, 2}
    refute_libpython(vm)

    assert eval!(vm, """
           Python.register("triple", fn n -> 3 * n end)
           {:ok, _pool} = Python.Pool.start_link(name: Main, engine: :main, size: 1)
           # What is in one engine's Python calls the other one.
           inner = fn n -> Python.eval!("n + 1", %{n: n}, pool: Main) end

           [
             Python.eval("__import__('erlang').triple(2)", pool: Main),
             Python.eval("f(1)", %{f: inner}),
             Python.eval("f(1)", %{f: fn n -> Python.eval!("n + 2", %{n: n}) end}, pool: Main),
             Python.eval("__import__('os').getpid()", pool: Main) == {:ok, String.to_integer(System.pid())}
           ]
           """) == [{:ok, 6}, {:ok, 2}, {:ok, 3}, true]

    assert is_binary(call(vm, :info, []).libpython)
  end

  test "a Python without a library is as good as any for a process", %{
    tmp_dir: dir,
    python: python
  } do
    static = static(dir, python)

    # As the default engine it cannot be.
    vm = FreshVM.start(settings: [python_path: static])
    assert {:error, %NotStartedError{reason: :no_shared_library} = error} = call(vm, :eval, ["1"])
    assert error.remedy =~ "engine: :process"

    assert eval!(vm, """
           {:ok, _pool} = Python.Pool.start_link(name: Own, engine: :process, size: 1)

           [
             Python.eval("1 + 1", pool: Own),
             Enum.to_list(Python.stream_eval("range(3)", pool: Own)),
             Python.eval("f(2)", %{f: fn n -> Python.eval!("n + 1", %{n: n}, pool: Own) end}, pool: Own)
           ]
           """) == [{:ok, 2}, [0, 1, 2], {:ok, 3}]

    refute_libpython(vm)

    vm = FreshVM.start(settings: [python_path: static, engine: :process])
    assert call(vm, :eval, ["1 + 1"]) == {:ok, 2}
    assert call(vm, :info, []).libpython == nil
    # Of the other engine there is the reason.
    code =
      "{:ok, _} = Python.Pool.start_link(name: Main, engine: :main); Python.eval(\"1\", pool: Main)"

    assert {:error, %NotStartedError{reason: :no_shared_library}} = eval!(vm, code)
    assert call(vm, :eval, ["1 + 1"]) == {:ok, 2}
    refute_libpython(vm)
  end

  test "what the default pool does not need is not started" do
    vm = FreshVM.start(settings: [engine: :process, start_pool: false])
    refute_libpython(vm)
    assert {:error, %NotStartedError{reason: :disabled}} = call(vm, :eval, ["1"])
    assert eval!(vm, "Python.iterator([1]).__struct__") == Python.Iterator

    # The library of the engine :process is loaded by the first pool of it.
    vm = FreshVM.start()
    assert call(vm, :eval, ["1 + 1"]) == {:ok, 2}
    if File.exists?("/proc/self/maps"), do: refute(maps(vm) =~ "liberlang_python_process")
  end

  test "the doctor tells both", %{tmp_dir: dir, python: python} do
    static = static(dir, python)
    doctor = fn vm -> FreshVM.call(vm, Python.Doctor, :run, [[]]) end
    shown = fn checks -> Python.Doctor.format(checks) end

    checks = doctor.(FreshVM.start(start: false, settings: [python_path: static]))
    refute Python.Doctor.healthy?(checks)
    assert shown.(checks) =~ ~r/\[error\] .* without a shared library/
    assert shown.(checks) =~ "[ok]      Python can run in processes of its own"

    vm = FreshVM.start(start: false, settings: [python_path: static, engine: :process])
    checks = doctor.(vm)
    assert Python.Doctor.healthy?(checks)
    assert shown.(checks) =~ ~r/\[warning\] .* without a shared library/
    assert shown.(checks) =~ "1 + 1 = 2"
    refute_libpython(vm)

    vm = FreshVM.start(start: false, settings: [engine: :process])
    checks = doctor.(vm)
    assert Enum.all?(checks, &(&1.status == :ok)), shown.(checks)
    assert shown.(checks) =~ "Python can be embedded: it has a libpython"
    refute_libpython(vm)

    checks = doctor.(FreshVM.start(start: false))
    assert Enum.all?(checks, &(&1.status == :ok)), shown.(checks)
    assert shown.(checks) =~ "Python can be embedded: libpython was opened"
    assert shown.(checks) =~ "Python can run in processes of its own"
  end
end
