defmodule Python.Interpreter.RestartTest do
  # The application is stopped and started again: the interpreter is the one that it was.
  use Python.TestCase, async: true

  import Python.FakePython, only: [make_venv: 2, suite_python: 0]

  alias Python.{Checkout, Doctor, FreshVM, NotStartedError}

  @moduletag :tmp_dir

  setup_all do
    {:ok, suite_python()}
  end

  defp restart(vm, changes) do
    assert :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
    for {key, value} <- changes, do: put(vm, key, value)
    assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
  end

  defp put(vm, key, value) do
    FreshVM.call(vm, Application, :put_env, [:erlang_python, key, value])
  end

  defp info(vm), do: FreshVM.call(vm, Python, :info, [])

  # What Python itself says of where it is.
  defp place(vm) do
    FreshVM.call(vm, Python, :eval!, [
      "(__import__('sys').executable, __import__('sys').prefix, __import__('platform').python_version())"
    ])
  end

  defp assert_true_info(vm) do
    info = info(vm)
    assert {info.executable, info.prefix, info.python_version} == place(vm)
    info
  end

  defp assert_refused(vm, texts) do
    assert {:error, %NotStartedError{reason: :init_failed} = error} =
             FreshVM.call(vm, Python, :eval, ["1"])

    for text <- ["lives as long as the VM" | texts], do: assert(error.message =~ text)
    assert error.remedy =~ "Restart the VM"
    error
  end

  test "with the settings of before it is the same", %{python: python} do
    vm = FreshVM.start(settings: [python_path: python])
    before = assert_true_info(vm)
    restart(vm, [])
    assert Map.delete(assert_true_info(vm), :pools) == Map.delete(before, :pools)
  end

  test "a virtual environment of the same Python is refused, and the way back works", context do
    %{python: python, tmp_dir: dir} = context
    folder = Path.join(dir, "venv")
    make_venv(python, folder)

    vm = FreshVM.start(settings: [python_path: python])
    before = assert_true_info(vm)

    restart(vm, python_path: folder)
    error = assert_refused(vm, [before.executable, before.prefix, folder])
    assert error.details.running == before.executable

    # It can be stopped as it is, and refused again.
    restart(vm, [])
    assert_refused(vm, [folder])

    restart(vm, python_path: python)
    assert Map.delete(assert_true_info(vm), :pools) == Map.delete(before, :pools)
  end

  test "out of a virtual environment there is no way either", %{python: python, tmp_dir: dir} do
    [one, other] = for name <- ["one", "other"], do: Path.join(dir, name)
    for folder <- [one, other], do: make_venv(python, folder)

    vm = FreshVM.start(settings: [python_path: one])
    assert assert_true_info(vm).venv == one

    for path <- [python, other] do
      restart(vm, python_path: path)
      assert_refused(vm, [one])
    end

    # Its names: the interpreter in it, by its two names, and a link to the folder.
    link = Path.join(dir, "link")
    File.ln_s!(one, link)

    for path <- [Path.join(one, "bin/python"), Path.join(one, "bin/python3"), link, one] do
      restart(vm, python_path: path)
      assert assert_true_info(vm).venv == one
    end
  end

  test "VIRTUAL_ENV decides anew, and another one is refused", %{python: python, tmp_dir: dir} do
    [one, other] = for name <- ["one", "other"], do: Path.join(dir, name)
    for folder <- [one, other], do: make_venv(python, folder)

    vm = FreshVM.start(settings: [python_path: nil], env: [{"VIRTUAL_ENV", one}])
    assert assert_true_info(vm).venv == one

    FreshVM.call(vm, System, :put_env, ["VIRTUAL_ENV", other])
    restart(vm, [])
    assert_refused(vm, [one, other])

    # Named by the setting it is the one that runs.
    restart(vm, python_path: one)
    assert assert_true_info(vm).venv == one

    FreshVM.call(vm, System, :put_env, ["VIRTUAL_ENV", one])
    restart(vm, python_path: nil)
    assert assert_true_info(vm).venv == one
  end

  test "a link to the interpreter is the interpreter", %{python: python, tmp_dir: dir} do
    link = Path.join(dir, "python")
    File.ln_s!(real(python), link)
    vm = FreshVM.start(settings: [python_path: python])
    restart(vm, python_path: link)
    assert assert_true_info(vm).prefix == info(vm).prefix
  end

  defp real(path) do
    {real, 0} =
      System.cmd(path, ["-c", "import os, sys; print(os.path.realpath(sys.executable), end='')"])

    real
  end

  test "another version of Python is refused", %{python: python, interpreter: interpreter} do
    case Enum.find(pythons(), fn [version, _] -> version != interpreter.version_string end) do
      nil ->
        :ok

      [_, path] ->
        vm = FreshVM.start(settings: [python_path: python])
        before = assert_true_info(vm)
        restart(vm, python_path: path)
        assert_refused(vm, [before.executable, before.python_version])
        restart(vm, python_path: python)
        assert assert_true_info(vm).python_version == before.python_version
    end
  end

  # Those at hand, each as its version and its path.
  defp pythons do
    {output, _} = System.cmd(Checkout.path("scripts/pythons.sh"), [])
    for line <- String.split(output, "\n", trim: true), do: String.split(line, " ", parts: 2)
  end

  test "a path that leads nowhere is refused as ever, and the way back works", %{python: python} do
    vm = FreshVM.start(settings: [python_path: python])
    restart(vm, python_path: "/no/such/python")
    assert {:error, %{reason: :not_found}} = FreshVM.call(vm, Python, :eval, ["1"])
    restart(vm, python_path: python)
    assert_true_info(vm)
  end

  test "the settings that Python was started with are those of the interpreter" do
    vm = FreshVM.start(settings: [env: %{"ONE" => "1", "TWO" => "2"}])

    for {key, value, texts} <- [
          {:thread_stack_size, 64 * 1_048_576, [":thread_stack_size 16777216", "67108864"]},
          {:stdio, false, [":stdio true instead of false"]},
          {:logging, false, [":logging true instead of false"]},
          {:env, %{"ONE" => "1", "TWO" => "secret", "THREE" => nil}, ["TWO", "THREE"]}
        ] do
      before = FreshVM.call(vm, Application, :get_env, [:erlang_python, key])
      restart(vm, [{key, value}])
      error = assert_refused(vm, texts)
      refute error.message =~ "secret"
      refute error.message =~ ~s("ONE")

      if before == nil do
        FreshVM.call(vm, Application, :delete_env, [:erlang_python, key])
      else
        put(vm, key, before)
      end
    end

    restart(vm, env: [{~c"TWO", ~c"2"}, {"ONE", "1"}])
    assert FreshVM.call(vm, Python, :eval!, ["__import__('os').environ['TWO']"]) == "2"
  end

  test "the settings of the application are taken anew", %{python: python} do
    vm = FreshVM.start(settings: [python_path: python, num_workers: 2])

    restart(vm,
      num_workers: 3,
      worker_timeout: 100,
      shutdown_timeout: 500,
      python_path: python
    )

    assert %{workers: 3} = FreshVM.call(vm, Python.Pool, :stats, [Python.Pool.default()])

    assert {:error, %Python.TimeoutError{}} =
             FreshVM.call(vm, Python, :call, [:time, :sleep, [10]])

    restart(vm, start_pool: false)
    assert {:error, %{reason: :disabled}} = FreshVM.call(vm, Python, :eval, ["1"])
    restart(vm, start_pool: true)
    assert {:ok, 2} = FreshVM.call(vm, Python, :eval, ["1 + 1"])
  end

  test "the doctor tells where another interpreter is asked about than the one that runs",
       %{python: python, tmp_dir: dir} do
    folder = Path.join(dir, "venv")
    make_venv(python, folder)
    vm = FreshVM.start(settings: [python_path: python])

    checks = FreshVM.call(vm, Doctor, :run, [[python: folder]])
    assert %{title: title, remedy: remedy} = Enum.find(checks, &(&1.status == :error))
    assert title =~ "lives as long as the VM"
    assert remedy =~ "Restart the VM"
    assert Doctor.healthy?(FreshVM.call(vm, Doctor, :run, [[python: python]]))
  end
end
