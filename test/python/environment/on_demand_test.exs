defmodule Python.Environment.OnDemandTest do
  # Python.install: in VMs of their own, with packages that are made here.
  use Python.TestCase, async: true

  alias Python.{FreshVM, InstallError, Wheels}

  @moduletag skip: Wheels.skip(__ENV__)
  @moduletag :tmp_dir
  @moduletag timeout: 120_000

  setup %{tmp_dir: folder} do
    wheels = Path.join(folder, "wheels")
    for version <- ["1.0", "2.0"], do: Wheels.write(wheels, "shade", version)
    Wheels.write(wheels, "colour", "1.0", requires: ["shade>=1"])
    Wheels.write(wheels, "dark", "1.0", requires: ["shade<2"])
    :ok
  end

  # What runs in the other VM.
  @there (defmodule There do
            # The pool outlives the process that the call runs in.
            def start_pool(options) do
              {:ok, pid} = Python.Pool.start_link(options)
              Process.unlink(pid)
              {:ok, pid}
            end

            def install_at_once(packages, options) do
              packages
              |> Enum.map(&Task.async(fn -> Python.install([&1], options) end))
              |> Task.await_many(90_000)
            end
          end)

  defp start(folder, options) do
    env = [{"ERLANG_PYTHON_CACHE", Path.join(folder, "store")} | Keyword.get(options, :env, [])]
    vm = FreshVM.start(Keyword.put(options, :env, env))
    FreshVM.load(vm, @there)
    vm
  end

  # Nothing is said of it, but for the test of what is said.
  defp install(vm, folder, packages, options \\ []) do
    options = folder |> Wheels.options(options) |> Keyword.delete(:cache)
    FreshVM.call(vm, Python, :install, [packages, [quiet: true] ++ options], 100_000)
  end

  defp version(vm, module, options \\ []) do
    FreshVM.call(vm, Python, :eval!, ["__import__('#{module}').version", %{}, options])
  end

  # Another Python than the system's, which has packages, and is to stay as it is.
  defp venv(folder, packages) do
    venv = Path.join(folder, "venv")
    {:ok, uv} = Wheels.uv()

    wheels =
      "file://" <>
        URI.encode(Path.join(folder, "wheels"), &(URI.char_unreserved?(&1) or &1 == ?/))

    env = Map.to_list(Wheels.env(folder))

    {_, 0} =
      System.cmd(uv, ["venv", "--no-config", "--quiet", "--python", Wheels.python(), venv],
        env: env
      )

    arguments =
      ~w(pip install --no-config --quiet --offline --python) ++
        [venv, "--find-links", wheels | packages]

    if packages != [], do: {_, 0} = System.cmd(uv, arguments, env: env)
    venv
  end

  defp files(folder),
    do: folder |> Path.join("**") |> Path.wildcard() |> Enum.reject(&(&1 =~ "__pycache__"))

  describe "before Python starts" do
    test "an environment is made, and Python starts with it", %{tmp_dir: folder} do
      vm = start(folder, settings: [python_path: nil, start: :lazy])
      assert {:ok, installed} = install(vm, folder, ["colour"])
      assert installed.packages == [{"colour", "1.0"}, {"shade", "2.0"}]

      assert FreshVM.call(vm, Python, :install, [
               ["colour"],
               [quiet: true] ++ Keyword.delete(Wheels.options(folder, []), :cache)
             ]) == {:ok, installed}

      assert version(vm, "shade") == "2.0"
      assert FreshVM.call(vm, Python, :eval!, ["__import__('sys').prefix"]) == installed.folder
      assert FreshVM.call(vm, Python, :info, []).prefix == installed.folder
    end

    test "the lock of a project in the current folder is for its configuration", %{
      tmp_dir: folder
    } do
      vm = start(folder, settings: [python_path: nil, start: :lazy])
      File.write!(Path.join(folder, "python.lock"), "# of: something else\n# python: 3.8\n")
      FreshVM.call(vm, File, :cd!, [folder])
      assert {:ok, _} = install(vm, folder, ["shade==1.0"])
      assert version(vm, "shade") == "1.0"
      # Python runs now.
      assert {:ok, %{packages: [{"dark", "1.0"}]}} = install(vm, folder, ["dark"])
      assert version(vm, "dark") == "1.0"
    end

    test "further calls add to what is asked for", %{tmp_dir: folder} do
      vm = start(folder, settings: [python_path: nil, start: :lazy])
      assert {:ok, %{packages: [{"shade", "2.0"}]}} = install(vm, folder, ["shade"])
      assert {:ok, %{packages: packages}} = install(vm, folder, ["dark"])
      assert packages == [{"dark", "1.0"}, {"shade", "1.0"}]
      assert version(vm, "shade") == "1.0"
    end

    test "what cannot be is an error, and the next call works", %{tmp_dir: folder} do
      vm = start(folder, settings: [python_path: nil, start: :lazy])
      assert {:error, %InstallError{} = error} = install(vm, folder, ["dark", "shade>=2"])
      assert error.output =~ "shade"
      assert {:ok, _} = install(vm, folder, ["dark"])
      assert version(vm, "dark") == "1.0"
    end

    test "the environment of the configuration is made, and can be added to", %{tmp_dir: folder} do
      configured = folder |> Wheels.options(packages: ["dark"]) |> Keyword.delete(:cache)
      vm = start(folder, settings: [python_path: nil, python: configured, start: :lazy])
      assert {:ok, %{packages: [{"dark", "1.0"}, {"shade", "1.0"}]}} = install(vm, folder, [])
      assert {:ok, %{packages: [{"colour", "1.0"}]}} = install(vm, folder, ["colour"])
      assert version(vm, "colour") == "1.0"
      assert version(vm, "shade") == "1.0"
    end

    test "the environment that a start has missed is made for the next one", %{tmp_dir: folder} do
      configured = folder |> Wheels.options(packages: ["shade"]) |> Keyword.delete(:cache)
      vm = start(folder, settings: [python_path: nil, python: configured])

      assert {:error, %Python.NotStartedError{reason: :not_installed}} =
               FreshVM.call(vm, Python, :eval, ["1"])

      assert {:error, %InstallError{reason: :no_python}} = install(vm, folder, ["colour"])
      assert {:ok, %{packages: [{"shade", "2.0"}]}} = install(vm, folder, [])
      :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
      {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
      assert version(vm, "shade") == "2.0"
    end

    test "processes are started with it, too", %{tmp_dir: folder} do
      vm =
        start(folder, settings: [python_path: nil, start: :lazy, engine: :process, num_workers: 1])

      assert {:ok, installed} = install(vm, folder, ["shade"])
      assert version(vm, "shade") == "2.0"
      assert FreshVM.call(vm, Python, :eval!, ["__import__('sys').prefix"]) == installed.folder
    end
  end

  describe "when Python runs" do
    test "packages are there at once, and the Python of the user is as it was", %{tmp_dir: folder} do
      venv = venv(folder, ["dark"])
      vm = start(folder, settings: [python_path: venv])
      assert version(vm, "dark") == "1.0"
      before = files(venv)

      code = "import colour"

      assert {:error, %Python.Error{type: "ModuleNotFoundError"}} =
               FreshVM.call(vm, Python, :exec, [code])

      # What is there is taken into account.
      assert {:ok, %{packages: [{"colour", "1.0"}]}} = install(vm, folder, ["colour"])
      assert FreshVM.call(vm, Python, :exec, [code]) == :ok
      assert version(vm, "shade") == "1.0"
      assert files(venv) == before

      # Another VM has nothing of it.
      other = start(folder, settings: [python_path: venv])

      assert {:error, %Python.Error{type: "ModuleNotFoundError"}} =
               FreshVM.call(other, Python, :exec, [code])
    end

    test "what is there already is left alone, without a network", %{tmp_dir: folder} do
      vm = start(folder, settings: [python_path: venv(folder, ["colour"])])
      assert {:ok, %{packages: []}} = install(vm, folder, ["colour", "shade>=1"])
    end

    test "another version is taken as long as the package has not been imported", %{
      tmp_dir: folder
    } do
      vm = start(folder, settings: [python_path: venv(folder, ["shade==1.0"])])
      assert {:ok, %{packages: [{"shade", "2.0"}]}} = install(vm, folder, ["shade>=2"])
      assert version(vm, "shade") == "2.0"

      assert FreshVM.call(vm, Python, :eval!, [
               "__import__('importlib.metadata').metadata.version('shade')"
             ]) == "2.0"

      # Now it has.
      assert {:error, %InstallError{reason: :imported} = error} = install(vm, folder, ["shade<2"])
      assert error.details.packages == ["shade"]
      assert Exception.message(error) =~ "shade would be replaced"
      assert version(vm, "shade") == "2.0"
      # What does not touch it can be added.
      assert {:ok, %{packages: [{"colour", "1.0"}]}} = install(vm, folder, ["colour"])
      assert version(vm, "colour") == "1.0"
    end

    test "processes have it: those that run, wait, and come later", %{tmp_dir: folder} do
      vm = start(folder, settings: [python_path: venv(folder, [])])
      options = [name: Worked, engine: :process, size: 2, spares: 1]
      {:ok, pool} = FreshVM.call(vm, There, :start_pool, [options])

      {:ok, _} =
        FreshVM.call(vm, There, :start_pool, [
          [name: Forked, engine: :process, size: 1, preload: ["json"]]
        ])

      for name <- [Worked, Forked],
          do: assert({:ok, 2} = FreshVM.call(vm, Python, :eval, ["1 + 1", %{}, [pool: name]]))

      assert {:ok, %{packages: [{"colour", "1.0"}, {"shade", "2.0"}]}} =
               install(vm, folder, ["colour"])

      assert FreshVM.call(vm, Python, :exec, ["import colour", [pool: Worked]]) == :ok
      assert version(vm, "shade", pool: Forked) == "2.0"

      # Others take their places.
      for name <- [Worked, Forked], _ <- 1..3 do
        FreshVM.call(vm, Python, :call, [:os, :_exit, [1], [pool: name]])
        assert version(vm, "shade", pool: name) == "2.0"
      end

      assert is_pid(pool)

      # One of them has imported it, and the VM has not.
      assert {:error, %InstallError{reason: :imported}} = install(vm, folder, ["shade<2"])
    end

    test "a program of processes alone has it", %{tmp_dir: folder} do
      vm =
        start(folder, settings: [python_path: venv(folder, []), engine: :process, num_workers: 2])

      assert FreshVM.call(vm, Python, :exec, ["x = 1"]) == :ok
      assert {:ok, %{packages: [{"shade", "2.0"}]}} = install(vm, folder, ["shade"])
      assert FreshVM.call(vm, Python, :exec, ["import shade"]) == :ok
      assert {:error, %InstallError{reason: :imported}} = install(vm, folder, ["dark"])
    end

    test "several processes ask at once, and each has what it asked for", %{tmp_dir: folder} do
      vm = start(folder, settings: [python_path: venv(folder, [])])
      options = [quiet: true] ++ Keyword.delete(Wheels.options(folder, []), :cache)

      results =
        FreshVM.call(
          vm,
          There,
          :install_at_once,
          [["dark", "colour", "shade<2"], options],
          100_000
        )

      assert [{:ok, _}, {:ok, _}, {:ok, _}] = results
      assert version(vm, "colour") == "1.0"
      assert version(vm, "dark") == "1.0"
    end

    test "another version of Python is refused", %{tmp_dir: folder} do
      vm = start(folder, settings: [python_path: venv(folder, [])])

      assert {:error, %InstallError{reason: :no_python} = error} =
               install(vm, folder, ["shade"], version: "3.99")

      assert Exception.message(error) =~ "start: :lazy"
    end

    test "progress is shown where it was asked, without what was not taken away", %{
      tmp_dir: folder
    } do
      options = Keyword.delete(Wheels.options(folder, []), :cache)

      code =
        "{:ok, _} = Python.install([\"shade>=2\"], #{inspect(options, limit: :infinity, printable_limit: :infinity)})"

      run = [
        settings: [python_path: venv(folder, ["shade==1.0"])],
        env: [{"ERLANG_PYTHON_CACHE", Path.join(folder, "store")}]
      ]

      assert {output, 0} = FreshVM.run(code, run)
      assert output =~ "Adding the packages shade>=2"
      assert output =~ "+ shade==2.0"
      refute output =~ "- shade"
    end
  end

  test "from Erlang", %{tmp_dir: folder} do
    vm = start(folder, settings: [python_path: venv(folder, [])])

    options =
      folder |> Wheels.options([]) |> Keyword.delete(:cache) |> Map.new() |> Map.put(:quiet, true)

    assert {:ok, %{packages: [{"shade", "2.0"}]}} =
             FreshVM.call(vm, :py, :install, [[~c"shade"], options])

    assert FreshVM.call(vm, :py, :eval, ["__import__('shade').version"]) == {:ok, "2.0"}

    assert {:error, {:install_error, text}} =
             FreshVM.call(vm, :py, :install, [[~c"no-such-package"], options])

    assert to_string(text) =~ "no-such-package"
  end
end
