defmodule Python.Interpreter.StartTest do
  # What is settled when the application starts, each in a VM of its own.
  use Python.TestCase, async: true

  import Python.FakePython,
    only: [make_venv: 2, report: 1, reporter: 2, script: 3, suite_python: 0]

  alias Python.{FreshVM, NotStartedError}

  @moduletag :tmp_dir

  setup_all do
    {:ok, suite_python()}
  end

  # What has to be done by a process of that VM.
  @there (defmodule There do
            def raising(fun) do
              fun.()
              :nothing_raised
            rescue
              error -> error
            end

            def stream, do: raising(fn -> Enum.to_list(Python.stream_eval("[1]")) end)
            def async, do: raising(fn -> Python.call_async(:math, :sqrt, [4]) end)
            def bang, do: raising(fn -> Python.call!(:math, :sqrt, [4]) end)
            def info, do: raising(fn -> Python.info() end)
          end)

  # The application runs, and says everywhere why Python does not.
  defp assert_not_started(vm, reason, text) do
    applications = FreshVM.call(vm, Application, :started_applications, [])
    assert List.keymember?(applications, :erlang_python, 0)
    FreshVM.load(vm, @there)

    assert {:error, %NotStartedError{reason: ^reason} = error} =
             FreshVM.call(vm, Python, :call, [:math, :sqrt, [4]])

    assert Exception.message(error) =~ text
    assert Exception.message(error) =~ error.remedy

    assert {:error, ^error} = FreshVM.call(vm, Python, :eval, ["1"])
    assert {:error, ^error} = FreshVM.call(vm, Python, :exec, ["1"])
    assert {:error, ^error} = FreshVM.call(vm, Python, :map, [:math, :sqrt, [[1]]])

    for raising <- [:stream, :async, :bang, :info],
        do: assert(FreshVM.call(vm, There, raising, []) == error)

    child = {Python.Pool, name: SomePool, size: 2}
    assert {:ok, _} = FreshVM.call(vm, Supervisor, :start_child, [Python.Supervisor, child])
    assert {:error, ^error} = FreshVM.call(vm, Python, :eval, ["1", [pool: SomePool]])
    assert %{workers: 0, busy: 0} = FreshVM.call(vm, Python.Pool, :stats, [SomePool])
    error
  end

  describe "the application starts all the same, and calls say why," do
    test "without any Python" do
      vm =
        FreshVM.start(start: false, settings: [python_path: nil], env: [{"VIRTUAL_ENV", false}])

      FreshVM.call(vm, System, :put_env, ["PATH", "/nonexistent"])
      assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
      error = assert_not_started(vm, :not_found, "PATH")
      assert error.remedy =~ "python_path"
    end

    test "with a path that leads nowhere" do
      vm = FreshVM.start(settings: [python_path: "/no/such/python"])
      assert_not_started(vm, :not_found, "/no/such/python")
    end

    test "with a folder that is no virtual environment", %{tmp_dir: dir} do
      vm = FreshVM.start(settings: [python_path: dir])
      assert_not_started(vm, :not_a_virtual_environment, dir)
    end

    test "with a VIRTUAL_ENV that is gone", %{tmp_dir: dir} do
      folder = Path.join(dir, "gone")
      vm = FreshVM.start(settings: [python_path: nil], env: [{"VIRTUAL_ENV", folder}])
      assert_not_started(vm, :not_found, folder)
    end

    test "with a Python that is too old", %{tmp_dir: dir, python: python} do
      old = String.replace(report(python), ~r/"version": \[[^]]*\]/, ~s("version": [3, 7, 16]))
      vm = FreshVM.start(settings: [python_path: reporter(dir, old)])
      assert_not_started(vm, :too_old, "3.8")
    end

    test "with a Python that has no shared library", %{tmp_dir: dir, python: python} do
      static =
        report(python)
        |> String.replace(~r/"libpython": "[^"]*"/, ~s("libpython": null))
        |> String.replace(~r/"enable_shared": true/, ~s("enable_shared": false))

      vm = FreshVM.start(settings: [python_path: reporter(dir, static)])
      error = assert_not_started(vm, :no_shared_library, "shared library")
      assert error.remedy =~ "shared" or error.remedy =~ "libpython"
    end

    test "with a library that is none", %{tmp_dir: dir, python: python} do
      library = Path.join(dir, "libpython3.so")
      File.write!(library, "not a library")

      broken =
        String.replace(report(python), ~r/"libpython": "[^"]*"/, ~s("libpython": "#{library}"))

      vm = FreshVM.start(settings: [python_path: reporter(dir, broken)])
      assert_not_started(vm, :broken, library)
    end

    test "with a program that is no Python", %{tmp_dir: dir} do
      vm = FreshVM.start(settings: [python_path: script(dir, "python", "echo hello")])
      assert_not_started(vm, :broken, Path.join(dir, "python"))
    end

    test "with a Python whose start is ended by what is installed", %{tmp_dir: dir} do
      for {number, code} <- [{1, "raise SystemExit(3)"}, {2, "import os; os._exit(0)"}] do
        folder = Path.join(dir, "#{number}")
        File.mkdir_p!(folder)
        File.write!(Path.join(folder, "sitecustomize.py"), code)
        vm = FreshVM.start(env: [{"PYTHONPATH", folder}])
        assert_not_started(vm, :broken, "python")
      end
    end
  end

  describe "an invalid setting" do
    test "stops the start with a sentence" do
      vm = FreshVM.start(start: false)

      for {key, value} <- [num_workers: 0, worker_timeout: "1", max_queue: 0.5, no_such_key: 1] do
        FreshVM.call(vm, Application, :put_env, [:erlang_python, key, value])

        assert {:error, {:erlang_python, reason}} =
                 FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])

        assert inspect(reason) =~ "#{key}"
        FreshVM.call(vm, Application, :delete_env, [:erlang_python, key])
      end

      assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
      assert FreshVM.call(vm, Python, :eval, ["1 + 1"]) == {:ok, 2}
    end
  end

  describe "the settings" do
    test "of the default pool are those that were made" do
      settings = [num_workers: 3, worker_timeout: 40, max_queue: 1]
      vm = FreshVM.start(settings: settings)
      assert %{workers: 3} = FreshVM.call(vm, Python.Pool, :stats, [Python.Pool])

      assert {:error, %Python.TimeoutError{timeout: 40}} =
               FreshVM.call(vm, Python, :call, [:time, :sleep, [5]])
    end

    test "may be charlists, as Erlang writes them", %{python: python} do
      vm = FreshVM.start(settings: [python_path: String.to_charlist(python)])
      assert FreshVM.call(vm, Python, :eval, ["1 + 1"]) == {:ok, 2}
    end

    test "can leave the default pool out" do
      vm = FreshVM.start(settings: [start_pool: false])

      assert {:error, %NotStartedError{reason: :disabled}} =
               FreshVM.call(vm, Python, :eval, ["1"])

      child = {Python.Pool, name: OwnPool, size: 1}
      assert {:ok, _} = FreshVM.call(vm, Supervisor, :start_child, [Python.Supervisor, child])
      assert FreshVM.call(vm, Python, :eval, ["1 + 1", [pool: OwnPool]]) == {:ok, 2}
      assert FreshVM.call(vm, Python, :info, []).pools == [OwnPool]
    end
  end

  describe "the application" do
    test "can be stopped and started again, and Python has kept what it knew" do
      vm = FreshVM.start()
      assert FreshVM.call(vm, Python, :exec, ["x = 41"]) == :ok

      for _ <- 1..3 do
        assert FreshVM.call(vm, Application, :stop, [:erlang_python]) == :ok

        assert {:error, %NotStartedError{reason: :not_started}} =
                 FreshVM.call(vm, Python, :eval, ["x"])

        assert FreshVM.call(vm, Application, :start, [:erlang_python]) == :ok
        assert FreshVM.call(vm, Python, :eval, ["x + 1"]) == {:ok, 42}
      end
    end

    test "says so when it was never started" do
      vm = FreshVM.start(start: false)

      assert {:error, %NotStartedError{reason: :not_started} = error} =
               FreshVM.call(vm, Python, :eval, ["1"])

      assert Exception.message(error) =~ "ensure_all_started"
    end

    test "can be stopped while Python code runs" do
      vm = FreshVM.start()
      caller = FreshVM.call(vm, :erlang, :spawn, [Python, :exec, ["while True: pass"]])

      eventually("it runs", fn ->
        FreshVM.call(vm, Python.Pool, :stats, [Python.Pool]).busy == 1
      end)

      assert FreshVM.call(vm, Application, :stop, [:erlang_python]) == :ok

      eventually("the caller was told", fn -> not FreshVM.call(vm, Process, :alive?, [caller]) end)

      assert FreshVM.call(vm, Application, :start, [:erlang_python]) == :ok
      assert FreshVM.call(vm, Python, :eval, ["1 + 1"]) == {:ok, 2}
    end
  end

  describe "a virtual environment" do
    setup %{tmp_dir: dir, python: python} do
      venv = Path.join(dir, "venv")
      make_venv(python, venv)
      {:ok, venv: venv}
    end

    defp assert_in_venv(vm, venv) do
      [site] = Path.wildcard(Path.join(venv, "lib/python3*/site-packages"))
      File.write!(Path.join(site, "only_there.py"), "def f(): return 'from the venv'")
      assert FreshVM.call(vm, Python, :call, [:only_there, :f]) == {:ok, "from the venv"}
      assert FreshVM.call(vm, Python, :eval, ["__import__('sys').prefix"]) == {:ok, venv}
      assert {:ok, executable} = FreshVM.call(vm, Python, :eval, ["__import__('sys').executable"])
      assert Path.dirname(executable) == Path.join(venv, "bin")

      assert FreshVM.call(vm, Python, :eval, [
               "__import__('sys').base_prefix != __import__('sys').prefix"
             ]) == {:ok, true}

      # Those that it starts are in the same one.
      code =
        "__import__('subprocess').check_output([__import__('sys').executable, '-c', 'import only_there, sys; print(sys.prefix)'])"

      assert FreshVM.call(vm, Python, :eval, [code]) == {:ok, venv <> "\n"}
      assert %{venv: ^venv, prefix: ^venv} = FreshVM.call(vm, Python, :info, [])
    end

    test "may be given as its folder", %{venv: venv} do
      assert_in_venv(FreshVM.start(settings: [python_path: venv]), venv)
    end

    test "may be given as its interpreter", %{venv: venv} do
      assert_in_venv(FreshVM.start(settings: [python_path: Path.join(venv, "bin/python")]), venv)
    end

    test "may have a name that is not UTF-8", %{venv: venv} do
      odd = Path.join(Path.dirname(venv), <<"caf", 0xE9>>)
      File.ln_s!(venv, odd)
      vm = FreshVM.start(settings: [python_path: odd])

      assert FreshVM.call(vm, Python, :eval, [
               "__import__('os').fsencode(__import__('sys').prefix)"
             ]) ==
               {:ok, odd}
    end

    test "may be given by VIRTUAL_ENV", %{venv: venv} do
      vm = FreshVM.start(settings: [python_path: nil], env: [{"VIRTUAL_ENV", venv}])
      assert_in_venv(vm, venv)
    end

    test "gives way to python_path", %{venv: venv, python: python} do
      vm = FreshVM.start(settings: [python_path: python], env: [{"VIRTUAL_ENV", venv}])
      assert FreshVM.call(vm, Python, :info, []).venv != venv
    end
  end

  describe "info" do
    test "says what runs", %{python: python, interpreter: interpreter} do
      info = Python.info()
      assert info.python_version == interpreter.version_string
      assert info.executable == python
      assert File.exists?(info.libpython)
      assert Python.eval!("__import__('sys').prefix") == info.prefix
      assert Python.eval!("__import__('sys').executable") == info.executable
      assert Python.eval!("__import__('platform').python_version()") == info.python_version
      assert Python.Pool in info.pools
      assert info.free_threaded == false
      assert is_binary(info.nif_version)
    end
  end
end
