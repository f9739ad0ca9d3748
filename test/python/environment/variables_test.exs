defmodule Python.Environment.VariablesTest do
  # What Python sees of the environment, each in a VM of its own.
  use Python.TestCase, async: true

  alias Python.{FreshVM, Settings}

  @start "{:ok, _} = Application.ensure_all_started(:erlang_python)\n"

  # Everybody who has an environment: Python, C, and a child.
  @seen """
  seen = fn name ->
    Python.exec!("import ctypes, os, subprocess, sys\\nlibc = ctypes.CDLL(None)\\nlibc.getenv.restype = ctypes.c_char_p")
    Python.eval!("[os.environ.get(n), libc.getenv(n.encode()), subprocess.run([sys.executable, '-c', 'import os, sys; print(os.environ.get(sys.argv[1]))', n], stdout=subprocess.PIPE).stdout.decode().strip()]", %{n: name})
  end
  """

  defp run(code, options \\ []) do
    {output, status} = FreshVM.run(code, Keyword.put_new(options, :start, false))
    assert {0, output} == {status, output}
    output
  end

  test "what is put before the start is seen by Python, C and children, and what is deleted is not" do
    run(
      """
      System.put_env("OMP_NUM_THREADS", "1")
      System.put_env("CHANGED", "größe")
      System.put_env("EMPTY", "")
      System.delete_env("DELETED")
      """ <>
        @start <>
        @seen <>
        """
        ["1", "1", "1"] = seen.("OMP_NUM_THREADS")
        ["größe", "größe", "größe"] = seen.("CHANGED")
        ["", "", ""] = seen.("EMPTY")
        [nil, nil, "None"] = seen.("DELETED")
        ["there", "there", "there"] = seen.("KEPT")
        """,
      env: [{"CHANGED", "before"}, {"DELETED", "there"}, {"KEPT", "there"}]
    )
  end

  @tag :tmp_dir
  test "Python's own variables count", %{tmp_dir: dir} do
    File.write!(Path.join(dir, "put_in_the_path.py"), "x = 42")

    run(
      """
      System.put_env("PYTHONPATH", #{inspect(dir)})
      System.put_env("PYTHONUTF8", "1")
      System.put_env("PYTHONOPTIMIZE", "2")
      System.put_env("TZ", "LINE-14")
      """ <>
        @start <>
        """
        {:ok, 42} = Python.eval("__import__('put_in_the_path').x")
        {:ok, {1, 2}} = Python.eval("(sys.flags.utf8_mode, sys.flags.optimize)", %{sys: Python.import!(:sys)})
        {:ok, -50_400} = Python.eval("__import__('time').timezone")
        {:ok, 14} = Python.eval("__import__('time').localtime(0).tm_hour")
        """,
      env: [{"PYTHONPATH", "/no/such/folder"}, {"TZ", "UTC"}]
    )
  end

  test "what would stop Python stops it, and what is put right does not" do
    output =
      run(
        """
        System.put_env("PYTHONHASHSEED", "nonsense")
        """ <>
          @start <>
          """
          {:error, %Python.NotStartedError{} = error} = Python.call(:math, :sqrt, [16])
          IO.puts(Exception.message(error))
          """
      )

    assert output =~ "PYTHONHASHSEED"

    run("System.delete_env(\"PYTHONHASHSEED\")\n" <> @start <> "{:ok, 1} = Python.eval(\"1\")",
      env: [{"PYTHONHASHSEED", "nonsense"}]
    )
  end

  test "many variables and long ones are all there" do
    run(
      "for n <- 1..2_000, do: System.put_env(\"V#\{n}\", String.duplicate(\"x\", n))\n" <>
        @start <>
        """
        {:ok, true} = Python.eval("all(os.environ['V%d' % n] == 'x' * n for n in range(1, 2001))", %{os: Python.import!(:os)})
        """
    )
  end

  @tag :tmp_dir
  test "a value that is not UTF-8 stays what it is", %{tmp_dir: dir} do
    script = Path.join(dir, "script.exs")

    File.write!(script, """
    Application.put_env(:erlang_python, :python_path, #{inspect(Python.info().executable)})
    #{@start}
    {:ok, true} = Python.eval("os.environb[b'RAW'] == bytes([97, 255, 228])", %{os: Python.import!(:os)})
    """)

    paths = for path <- :code.get_path(), do: ["-pa ", Path.expand(path), " "]
    command = "export RAW=$(printf 'a\\377\\344'); exec elixir #{paths} #{script}"
    assert {"", 0} = FreshVM.execute("/bin/sh", ["-c", command], [{"PYTHON", false}], 60_000)
  end

  test "what changes after the start does not cross" do
    run(
      @start <>
        """
        System.put_env("AFTER_THE_START", "1")
        {:ok, nil} = Python.eval("__import__('os').environ.get('AFTER_THE_START')")
        Python.exec!("import os; os.environ['BY_PYTHON'] = '1'; os.environ['PATH'] += ':/x'")
        nil = System.get_env("BY_PYTHON")
        {:ok, "1\\n"} = Python.eval("subprocess.check_output(['sh', '-c', 'echo $BY_PYTHON'])", %{subprocess: Python.import!(:subprocess)})
        """
    )
  end

  describe "the setting env" do
    test "adds to the environment of Python and its children, and leaves the VM's alone" do
      run(
        "System.put_env(\"PUT\", \"1\")\nApplication.put_env(:erlang_python, :env, %{\"SET\" => \"2\", \"PUT\" => \"3\", \"GONE\" => nil, \"PYTHONOPTIMIZE\" => \"1\"})\n" <>
          @start <>
          @seen <>
          """
          ["2", "2", "2"] = seen.("SET")
          ["3", "3", "3"] = seen.("PUT")
          [nil, nil, "None"] = seen.("GONE")
          {:ok, 1} = Python.eval("sys.flags.optimize")
          {nil, "1", "there"} = {System.get_env("SET"), System.get_env("PUT"), System.get_env("GONE")}
          """,
        env: [{"GONE", "there"}]
      )
    end

    test "is the environment in which Python is looked for, and started the first time" do
      output =
        run(
          @start <>
            """
            {:error, error} = Python.eval("1")
            IO.puts(Exception.message(error))
            """,
          settings: [python_path: nil, env: %{"VIRTUAL_ENV" => "/no/such/environment"}]
        )

      assert output =~ "/no/such/environment"

      output =
        run(@start <> "{:error, error} = Python.eval(\"1\")\nIO.puts(Exception.message(error))",
          settings: [env: %{"PYTHONHASHSEED" => "nonsense"}]
        )

      assert output =~ "PYTHONHASHSEED"
    end

    test "is a map of strings, charlists as in sys.config among them" do
      assert {:ok, %{env: env}} =
               Settings.validate(
                 env: %{"A" => "1", ~c"B" => ~c"2", "C" => nil, "D" => "", "E" => false}
               )

      assert env == %{"A" => "1", "B" => "2", "C" => nil, "D" => "", "E" => nil}
      assert {:ok, %{env: %{"A" => "x"}}} = Settings.validate(env: [{"A", "x"}])

      for env <- [
            %{"A=B" => "1"},
            %{"" => "1"},
            %{"A" => "x\0"},
            %{"A\0" => "x"},
            %{"A" => 1},
            %{a: "x"},
            %{"A" => <<255>>},
            [1],
            "A=1",
            nil,
            [{"A", "1"} | :improper]
          ] do
        assert {:error, error} = Settings.validate(env: env)

        assert error.message =~
                 "expected the setting :env of :erlang_python to be a map of strings"

        assert error.message =~ "got: #{inspect(env)}"
      end
    end
  end
end
