defmodule Python.Environment.PythonVariablesTest do
  # The environment variables that Python reads when it starts, each in a VM of its own.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @works """
  {:ok, 4.0} = Python.call(:math, :sqrt, [16])
  {:ok, "ß🐍"} = Python.eval("s", %{s: "ß🐍"})
  :ok = Python.exec("import subprocess, threading, decimal, json")
  {:ok, "hi\\n"} = Python.eval("subprocess.check_output(['echo', 'hi'])")
  {:error, error} = Python.exec("def f(n): return f(n + 1)\\nf(0)")
  "RecursionError" = error.type
  [0, 1] = Enum.take(Python.stream(:itertools, :count), 2)
  {:error, %Python.TimeoutError{}} = Python.exec("while True: pass", timeout: 20)
  IO.puts("it works")
  """

  defp assert_works(env) do
    assert {output, 0} = FreshVM.run(@works, env: env)
    assert output =~ "it works\n"
  end

  for env <- [
        [{"LC_ALL", "C"}],
        [{"LC_ALL", "no_such.locale"}],
        [{"PYTHONMALLOC", "debug"}],
        [{"PYTHONDEVMODE", "1"}],
        [{"PYTHONOPTIMIZE", "2"}],
        [{"PYTHONWARNINGS", "error"}],
        [{"PYTHONPATH", "/no/such/folder"}],
        [{"PYTHONDONTWRITEBYTECODE", "1"}, {"PYTHONUNBUFFERED", "1"}, {"HOME", false}]
      ] do
    test "Python works with #{Enum.map_join(env, " ", fn {name, value} -> "#{name}=#{value}" end)}" do
      assert_works(unquote(env))
    end
  end

  test "Python works with PYTHONVERBOSE=1" do
    assert_works([{"PYTHONVERBOSE", "1"}])
  end

  @tag :tmp_dir
  test "modules are found in PYTHONPATH, and what is in the current folder takes no module's place",
       %{tmp_dir: dir} do
    File.write!(Path.join(dir, "in_the_path.py"), "x = 42")
    File.write!(Path.join(dir, "random.py"), "x = 'not the one'")

    code = """
    File.cd!(#{inspect(dir)})
    {:ok, 42} = Python.eval("__import__('in_the_path').x")
    true = Python.eval!("hasattr(__import__('random'), 'randint')")
    IO.puts("it works")
    """

    path = Path.join(dir, "path")
    File.mkdir_p!(path)
    File.rename!(Path.join(dir, "in_the_path.py"), Path.join(path, "in_the_path.py"))
    assert {output, 0} = FreshVM.run(code, env: [{"PYTHONPATH", path}])
    assert output =~ "it works\n"
  end

  for {name, value} <- [
        {"PYTHONHOME", "/no/such/folder"},
        {"PYTHONHASHSEED", "nonsense"},
        {"PYTHONMALLOC", "nonsense"},
        {"PYTHONUTF8", "5"},
        {"PYTHONIOENCODING", "nonsense"}
      ] do
    test "the VM lives on with #{name}=#{value}, and calls say what is wrong" do
      code = """
      {:error, %Python.NotStartedError{} = error} = Python.call(:math, :sqrt, [16])
      IO.puts(Exception.message(error))
      """

      assert {output, 0} = FreshVM.run(code, env: [{unquote(name), unquote(value)}])
      assert output =~ "Python is not running"
      assert output =~ ~r/#{unquote(name)}|Fatal Python error/
    end
  end
end
