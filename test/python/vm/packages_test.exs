defmodule Python.VM.PackagesTest do
  # Libraries that fork and execute, with the real ones.
  use Python.TestCase, async: false

  alias Python.{FreshVM, Packages}

  @packages ~w(joblib==1.4.2 pexpect multiprocess billiard gevent psutil numpy)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  # The first time the packages are installed.
  @moduletag timeout: 300_000
  @moduletag :tmp_dir

  @folder Path.expand("../../support/python", __DIR__)
  @path "__import__('sys').path.insert(0, #{inspect(@folder)})"

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    vm = FreshVM.start(settings: [python_path: venv])
    :ok = FreshVM.call(vm, Python, :exec, [@path])
    %{vm: vm, venv: venv}
  end

  defp call(vm, function, arguments \\ [], options \\ []) do
    options = Keyword.merge([timeout: 100_000], options)
    FreshVM.call(vm, Python, :call, [:starts_processes, function, arguments, options], 120_000)
  end

  test "joblib with its default backend", %{vm: vm} do
    assert call(vm, :joblib_default) == {:ok, [0, 1, 4, 9]}
  end

  test "pexpect", %{vm: vm} do
    assert call(vm, :pexpect_talks) == {:ok, "hi"}
  end

  test "multiprocess and billiard spawn, and say so where they are to fork", %{vm: vm} do
    for name <- ~w(multiprocess billiard multiprocessing) do
      assert call(vm, :pool_of, [name]) == {:ok, {"spawn", [1, 4, 9]}}

      assert {:error, %Python.Error{type: "RuntimeError", message: message}} =
               call(vm, :fork_of, [name])

      assert message =~ "Use the start method 'spawn'"
    end
  end

  test "gevent.subprocess, and subprocess patched by gevent", %{venv: venv} do
    # It changes the whole interpreter.
    vm = FreshVM.start(settings: [python_path: venv])

    FreshVM.load(
      vm,
      defmodule InContext do
        def run(path) do
          {:ok, context} = Python.Context.start_link()
          :ok = Python.exec(path, context: context)

          for function <- [:gevent_runs, :gevent_patched] do
            Python.call(:starts_processes, function, [], context: context, timeout: 60_000)
          end
        end
      end
    )

    assert FreshVM.call(vm, __MODULE__.InContext, :run, [@path]) == [{:ok, "hi"}, {:ok, "hi"}]
  end

  test "code that kills all children leaves the VM its helper", %{venv: venv} do
    vm = FreshVM.start(settings: [python_path: venv])
    :ok = FreshVM.call(vm, Python, :exec, [@path])
    assert call(vm, :kill_children) == {:ok, 1}
    assert FreshVM.call(vm, System, :cmd, ["echo", ["x"]]) == {"x\n", 0}
  end

  for {ending, name} <- [{"System.stop(3)", "stop"}, {"System.halt(3)", "halt"}] do
    test "joblib's workers are gone after #{ending}", %{venv: venv, tmp_dir: dir} do
      prefix = Path.join(dir, unquote(name) <> "_")

      code = """
      Python.exec!(#{inspect(@path)})
      Python.call!(:starts_processes, :joblib_workers, [#{inspect(prefix)}], timeout: 100_000)
      #{unquote(ending)}
      Process.sleep(:infinity)
      """

      assert {_, 3} = FreshVM.run(code, timeout: 120_000, settings: [python_path: venv])
      pids = for path <- Path.wildcard(prefix <> "*"), do: String.replace_prefix(path, prefix, "")
      assert pids != []

      eventually("they are gone", fn ->
        Enum.all?(pids, fn pid ->
          case File.read("/proc/#{pid}/stat") do
            {:ok, stat} -> stat =~ ") Z"
            _ -> true
          end
        end)
      end)
    end
  end

  test "the VM ends with its status while OpenBLAS is at work", %{venv: venv} do
    endings = Enum.take(Stream.cycle(["System.stop(3)", "System.halt(3)"]), times(4, 20))

    ends =
      together(endings, fn ending ->
        code = """
        Python.exec!(#{inspect(@path)})
        Python.exec!("import numpy", timeout: 60_000)
        {:error, %Python.TimeoutError{}} =
          Python.call(:starts_processes, :decompose, [], timeout: 700)
        #{ending}
        Process.sleep(:infinity)
        """

        FreshVM.run(code, timeout: 60_000, settings: [python_path: venv])
      end)

    assert Enum.uniq(for {_output, status} <- ends, do: status) == [3]
  end
end
