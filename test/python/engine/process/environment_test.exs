defmodule Python.Engine.Process.EnvironmentTest do
  # Pools of the engine :process with packages of their own, each in a VM of its own.
  use Python.TestCase, async: true

  alias Python.{FreshVM, NotStartedError, Wheels}

  @moduletag skip: Wheels.skip(__ENV__)
  @moduletag :tmp_dir
  @moduletag timeout: 120_000

  @there (defmodule There do
            def pool(name, python, more \\ []) do
              options = [name: name, engine: :process, size: 1, python: python] ++ more
              {:ok, pid} = Python.Pool.start_link(options)
              Process.unlink(pid)
              :ok
            rescue
              error in ArgumentError -> {:raised, error.message}
            end

            def context(python) do
              with {:ok, context} <- Python.Context.start_link(engine: :process, python: python),
                   do: Python.eval("__import__('shade').version", context: context)
            end
          end)

  setup %{tmp_dir: folder} do
    for version <- ["1.0", "2.0", "3.0"],
        do: Wheels.write(Path.join(folder, "wheels"), "shade", version)

    :ok
  end

  defp spec(folder, requirement), do: Wheels.options(folder, packages: [requirement])

  defp start(folder, settings \\ []) do
    vm =
      FreshVM.start(
        settings: settings,
        env: [{"ERLANG_PYTHON_CACHE", Path.join(folder, "store")}]
      )

    FreshVM.load(vm, @there)
    vm
  end

  defp install(vm, spec) do
    FreshVM.call(vm, Python, :install, [spec, [quiet: true, pool: true]], 100_000)
  end

  defp pool(vm, name, python, more \\ []) do
    FreshVM.call(vm, There, :pool, [name, python, more])
  end

  defp version(vm, pool) do
    FreshVM.call(vm, Python, :eval, ["__import__('shade').version", %{}, [pool: pool]])
  end

  test "each has its own, and the VM's Python has none", %{tmp_dir: folder} do
    vm = start(folder)
    one = spec(folder, "shade==1.0")
    two = spec(folder, "shade==2.0")
    assert {:ok, %{packages: [{"shade", "1.0"}]}} = install(vm, one)
    assert {:ok, %{packages: [{"shade", "2.0"}]}} = install(vm, two)
    assert :ok = pool(vm, One, one)
    assert :ok = pool(vm, Two, two)
    assert version(vm, One) == {:ok, "1.0"}
    assert version(vm, Two) == {:ok, "2.0"}
    assert FreshVM.call(vm, There, :context, [two]) == {:ok, "2.0"}

    assert {:error, %Python.Error{type: "ModuleNotFoundError"}} =
             FreshVM.call(vm, Python, :eval, ["__import__('shade')"])

    # Forked ones too.
    assert :ok = pool(vm, Forked, one, preload: ["shade"])
    assert version(vm, Forked) == {:ok, "1.0"}
  end

  test "what is not installed says what to do, and works when that is done", %{tmp_dir: folder} do
    vm = start(folder)
    spec = spec(folder, "shade==1.0")
    assert :ok = pool(vm, Absent, spec)
    assert {:error, %NotStartedError{reason: :not_installed} = error} = version(vm, Absent)
    text = Exception.message(error)
    assert text =~ "the option :python, with the packages shade==1.0"
    assert text =~ "environments"
    assert text =~ "`mix python.install`"
    assert text =~ "`pool: true`"

    assert {:ok, _} = install(vm, spec)
    eventually("the pool finds it", fn -> version(vm, Absent) == {:ok, "1.0"} end)
  end

  test "one of the setting `environments` has a name", %{tmp_dir: folder} do
    settings = [environments: [old: spec(folder, "shade==1.0"), new: spec(folder, "shade>=2")]]
    vm = start(folder, settings)
    {:ok, settings} = Python.Settings.validate(settings)

    for {_name, spec} <- settings.environments do
      # As `mix python.install` does.
      assert {:ok, _} = Python.Environment.Install.run(spec, fn _line -> :ok end)
    end

    assert :ok = pool(vm, Old, :old)
    assert :ok = pool(vm, New, :new)
    assert version(vm, Old) == {:ok, "1.0"}
    assert version(vm, New) == {:ok, "3.0"}

    assert {:raised, text} = pool(vm, Other, :other)
    assert text =~ "no environment :other"
    assert text =~ ":old and :new"
  end

  test "one that is not installed is named by its name", %{tmp_dir: folder} do
    vm = start(folder, environments: [old: spec(folder, "shade==1.0")])
    assert :ok = pool(vm, Old, :old)
    assert {:error, %NotStartedError{reason: :not_installed} = error} = version(vm, Old)
    assert Exception.message(error) =~ ":old in the setting environments"
    assert Exception.message(error) =~ "Run `mix python.install`."
  end

  test "invalid ones are refused", %{tmp_dir: folder} do
    vm = start(folder)

    for {python, part} <- [
          {[package: ["shade"]], "unknown key :package of the option :python"},
          {[packages: "shade"], "expected the key :packages of the option :python"},
          {[packages: ["shade"], requirements: "r.txt"], "one of"},
          {[], "expected the option :python to be"},
          {1, "expected the option :python to be"},
          {"", "expected the option :python to be"},
          {:nowhere, "no environment :nowhere"}
        ] do
      assert {:raised, text} = pool(vm, Invalid, python)
      assert text =~ part
    end

    for {environments, part} <- [
          {[{"old", []}], "the setting :environments"},
          {[old: [], old: []], "the setting :environments"},
          {[old: [packages: 1]], "the key :packages of the environment :old"},
          {[nil: [packages: []]], "the setting :environments"},
          {:old, "the setting :environments"}
        ] do
      assert {:error, error} = Python.Settings.validate(environments: environments)
      assert error.message =~ part
    end
  end
end
