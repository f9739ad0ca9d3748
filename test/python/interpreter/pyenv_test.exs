defmodule Python.Interpreter.PyenvTest do
  use Python.TestCase, async: true

  import Python.FakePython

  alias Python.{FakePython, Interpreter}

  @moduletag :tmp_dir

  setup_all do
    {:ok, FakePython.suite_python()}
  end

  describe "pyenv's shims" do
    setup %{python: python, tmp_dir: dir} do
      real = wrapper(dir, "versions/3.98.1/bin/python3", python)
      wrapper(dir, "versions/3.97.1/bin/python3", python)

      shim = script(dir, "shims/python3", "echo the shim was run; exit 1")
      File.write!(Path.join(dir, ".python-version"), "3.98.1\n")
      {:ok, real: real, shim: shim, env: %{"PATH" => Path.dirname(shim), "PYENV_DIR" => dir}}
    end

    test "are passed by when they stand for one version", %{real: real, shim: shim, env: env} do
      for python_path <- [nil, shim, "python3"] do
        assert {:ok, interpreter} = Interpreter.find(python_path, env: env)
        assert Enum.any?(interpreter.tried, fn {_what, outcome} -> outcome =~ real end)
      end
    end

    test "follow .python-version and PYENV_VERSION", %{env: env, tmp_dir: dir} do
      File.write!(Path.join(dir, ".python-version"), "# ours\n\n  3.97.1  \n")
      assert {:ok, interpreter} = Interpreter.find(nil, env: env)
      assert Enum.any?(interpreter.tried, fn {_what, outcome} -> outcome =~ "3.97.1" end)

      env = Map.put(env, "PYENV_VERSION", "3.98.1")
      assert {:ok, interpreter} = Interpreter.find(nil, env: env)
      assert Enum.any?(interpreter.tried, fn {_what, outcome} -> outcome =~ "3.98.1" end)
    end

    test "are run when only they can tell", %{env: env} do
      for version <- ["system", "3.98", "3.98.1:3.97.1", "../versions/3.98.1", "9.9.9"] do
        env = Map.put(env, "PYENV_VERSION", version)
        assert_refused(:broken, Interpreter.find(nil, env: env), "the shim was run")
      end
    end
  end
end
