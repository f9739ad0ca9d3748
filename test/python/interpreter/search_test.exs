defmodule Python.Interpreter.SearchTest do
  use Python.TestCase, async: true

  import Python.FakePython

  alias Python.{FakePython, FreshVM, Interpreter, NotStartedError}

  doctest Python.Interpreter
  doctest Python.NotStartedError

  setup_all do
    {:ok, FakePython.suite_python()}
  end

  describe "python_path" do
    test "may be an interpreter", %{python: python} do
      assert {:ok, interpreter} = Interpreter.find(python)
      assert interpreter.source == :python_path
      assert interpreter.executable == python
      assert interpreter == interpreter |> Map.put(:libpython, existing(interpreter.libpython))
    end

    test "may be a charlist", %{python: python} do
      assert {:ok, %{executable: ^python}} = Interpreter.find(String.to_charlist(python))
    end

    test "is asked for its version, prefixes and library", %{python: python} do
      {:ok, interpreter} = Interpreter.find(python)

      assert ask(python, "'%d.%d.%d' % sys.version_info[:3]") ==
               interpreter.version |> Tuple.to_list() |> Enum.join(".")

      assert ask(python, "sys.version.split()[0]") == interpreter.version_string
      assert ask(python, "' '.join(sys.version.split())") == interpreter.build
      assert ask(python, "sys.executable") == interpreter.executable
      assert ask(python, "sys.prefix") == interpreter.prefix
      assert ask(python, "sys.exec_prefix") == interpreter.exec_prefix
      assert ask(python, "sys.base_prefix") == interpreter.base_prefix
      assert ask(python, "sys.base_exec_prefix") == interpreter.base_exec_prefix
      refute interpreter.free_threaded
    end

    @tag :tmp_dir
    test "may be a name on PATH", %{python: python, tmp_dir: dir} do
      File.ln_s!(python, Path.join(dir, "some-python"))
      env = %{"PATH" => "/nonexistent:" <> dir}

      assert {:ok, %{source: :python_path, version: version}} =
               Interpreter.find("some-python", env: env)

      assert version >= {3, 8, 0}
      assert_refused(:not_found, Interpreter.find("some-python", env: %{"PATH" => ""}), "on PATH")
    end

    test "may start with ~" do
      assert_refused(:not_found, Interpreter.find("~/no/such/python"), Path.expand("~/no/such"))
    end

    test "that does not exist is told with its name" do
      error = assert_refused(:not_found, Interpreter.find("/no/such/python"), "/no/such/python")
      assert Exception.message(error) =~ "python_path"
      assert [{_what, "no such file or directory"}] = error.details.tried
    end

    test "below a file is told as missing" do
      assert_refused(:not_found, Interpreter.find("/etc/passwd/python"), "not a directory")
    end

    @tag :tmp_dir
    test "that is a folder without an environment in it is told", %{tmp_dir: dir} do
      error = assert_refused(:not_a_virtual_environment, Interpreter.find(dir), "pyvenv.cfg")
      assert error.remedy =~ "python3 -m venv #{dir}"
    end

    @tag :tmp_dir
    test "that is an installation's folder is told its interpreter", %{tmp_dir: dir} do
      python = script(dir, "bin/python3", "exit 0")
      error = assert_refused(:not_a_virtual_environment, Interpreter.find(dir))
      assert error.remedy =~ python
    end
  end

  describe "virtual environments" do
    setup %{python: python, tmp_dir: dir} do
      venv = Path.join(dir, "a venv")
      make_venv(python, venv)
      {:ok, venv: venv}
    end

    @tag :tmp_dir
    test "are taken by folder and by interpreter", %{venv: venv, interpreter: base} do
      for path <- [
            venv,
            venv <> "/",
            Path.join(venv, "bin/python"),
            Path.join(venv, "bin/python3")
          ] do
        assert {:ok, interpreter} = Interpreter.find(path)
        assert interpreter.venv == venv
        assert interpreter.prefix == venv
        assert interpreter.exec_prefix == venv
        assert Path.dirname(interpreter.executable) == Path.join(venv, "bin")
        assert interpreter.base_prefix == base.base_prefix
        assert interpreter.version == base.version
        assert interpreter.libpython == base.libpython
      end
    end

    @tag :tmp_dir
    test "are taken from VIRTUAL_ENV when there is no python_path", %{venv: venv, python: python} do
      env = %{"VIRTUAL_ENV" => venv, "PATH" => "/nonexistent"}
      assert {:ok, %{source: :virtual_env, venv: ^venv}} = Interpreter.find(nil, env: env)

      assert {:ok, %{source: :python_path, executable: ^python}} =
               Interpreter.find(python, env: env)
    end

    @tag :tmp_dir
    test "through a link keep the name of the link", %{venv: venv, tmp_dir: dir} do
      link = Path.join(dir, "current")
      File.ln_s!(venv, link)
      assert {:ok, %{venv: ^link}} = Interpreter.find(link)
    end

    @tag :tmp_dir
    test "whose base is gone are to be made again", %{venv: venv} do
      python = Path.join(venv, "bin/python")
      for file <- Path.wildcard(Path.join(venv, "bin/python*")), do: File.rm!(file)
      File.ln_s!("/gone/bin/python3", python)
      File.ln_s!("python", Path.join(venv, "bin/python3"))

      for path <- [venv, python, Path.join(venv, "bin/python3")] do
        error = assert_refused(:broken, Interpreter.find(path), "/gone/bin/python3")
        assert error.remedy =~ "python3 -m venv --clear #{venv}"
      end
    end

    @tag :tmp_dir
    test "without an interpreter are to be made again", %{venv: venv} do
      File.rm_rf!(Path.join(venv, "bin"))
      error = assert_refused(:broken, Interpreter.find(venv), "no interpreter in it")
      assert error.remedy =~ "--clear"
    end

    @tag :tmp_dir
    test "may have a name that is not ASCII, nor even UTF-8", %{python: python, tmp_dir: dir} do
      venv = Path.join(dir, "größe 🐍 \"x\"")
      make_venv(python, venv)
      link = Path.join(dir, <<"caf", 0xE9>>)
      File.ln_s!(venv, link)

      # Where the locale is C, ExUnit cannot empty a folder that has such names in it.
      on_exit(fn ->
        File.rm!(link)
        File.rename!(venv, Path.join(dir, "plain"))
      end)

      for path <- [venv, link] do
        assert {:ok, %{venv: ^path, prefix: ^path}} = Interpreter.find(path)
      end
    end
  end

  describe "VIRTUAL_ENV" do
    test "that names no folder is an error, not passed over" do
      env = %{"VIRTUAL_ENV" => "/no/such/venv", "PATH" => System.get_env("PATH")}
      error = assert_refused(:not_found, Interpreter.find(nil, env: env), "VIRTUAL_ENV")
      assert error.remedy =~ "unset it"
    end

    @tag :tmp_dir
    test "that names another folder is an error", %{tmp_dir: dir} do
      found = Interpreter.find(nil, env: %{"VIRTUAL_ENV" => dir})
      assert_refused(:not_a_virtual_environment, found, "VIRTUAL_ENV")
    end

    @tag :tmp_dir
    test "that is empty counts as not set", %{python: python, tmp_dir: dir} do
      wrapper(dir, "python3", python)
      env = %{"VIRTUAL_ENV" => "", "PATH" => dir}
      assert {:ok, %{source: :path}} = Interpreter.find(nil, env: env)
    end
  end

  describe "PATH" do
    @tag :tmp_dir
    test "is searched for python3, then for python", %{python: python, tmp_dir: dir} do
      wrapper(dir, "python", python)
      assert {:ok, interpreter} = Interpreter.find(nil, env: %{"PATH" => dir})
      assert interpreter.source == :path
      assert {"python3 on PATH", "not found"} in interpreter.tried

      script(dir, "python3", "echo no python; exit 3")
      assert_refused(:broken, Interpreter.find(nil, env: %{"PATH" => dir}), "no python")
    end

    test "without a Python is told" do
      found = Interpreter.find(nil, env: %{"PATH" => "/nonexistent"})
      error = assert_refused(:not_found, found, "PATH (/nonexistent)")
      assert {"python on PATH", "not found"} in error.details.tried

      assert_refused(:not_found, Interpreter.find(nil, env: %{}), "PATH is empty")
    end
  end

  describe "a Python that cannot be embedded" do
    setup %{python: python} do
      {:ok, report: report(python)}
    end

    @describetag :tmp_dir

    test "because it is too old", %{report: report, tmp_dir: dir} do
      report =
        change(report, ~r/"version": \[[^\]]*\], "version_string": "[^"]*"/, """
        "version": [3, 7, 16], "version_string": "3.7.16"\
        """)

      found = Interpreter.find(reporter(dir, report))
      assert_refused(:too_old, found, "is Python 3.7.16, and Python 3.8 or newer is needed")
    end

    test "because it is not CPython", %{report: report, tmp_dir: dir} do
      report = change(report, ~s("implementation": "cpython"), ~s("implementation": "pypy"))
      assert_refused(:not_cpython, Interpreter.find(reporter(dir, report)), "is PyPy 3")
    end

    test "because it is free-threaded", %{report: report, tmp_dir: dir} do
      report = change(report, ~s("free_threaded": false), ~s("free_threaded": true))
      found = Interpreter.find(reporter(dir, report))
      assert_refused(:free_threaded_unsupported, found, "free-threaded build")
    end

    test "because it is built for another processor", %{report: report, tmp_dir: dir} do
      other = if :erlang.system_info(:wordsize) == 8, do: 32, else: 64
      report = change(report, ~r/"pointer_bits": \d+/, ~s("pointer_bits": #{other}))
      found = Interpreter.find(reporter(dir, report))
      assert_refused(:wrong_architecture, found, "#{other}-bit pointers")
    end

    test "because it has no shared library", %{report: report, tmp_dir: dir} do
      for {prefix, remedy} <- [
            {"/root/.pyenv/versions/3.11.7",
             "PYTHON_CONFIGURE_OPTS=--enable-shared pyenv install --force 3.11.7"},
            {"/opt/python", "uv python install"}
          ] do
        report =
          report
          |> change(~r/"libpython": "[^"]*"/, ~s("libpython": null))
          |> change(~r/"libpython_tried": \[[^\]]*\]/, ~s("libpython_tried": ["/x/libpython.so"]))
          |> change(~r/"base_prefix": "[^"]*"/, ~s("base_prefix": "#{prefix}"))

        found = Interpreter.find(reporter(dir, report))
        error = assert_refused(:no_shared_library, found, "no libpython.so in /x")
        assert error.remedy =~ remedy
        assert {"/x/libpython.so", "not there"} in error.details.tried
      end
    end
  end

  test "every Python of this machine is told right", %{python: python} do
    root = System.get_env("PYENV_ROOT", Path.expand("~/.pyenv"))

    installed =
      [python, "/usr/bin/python3" | Path.wildcard(Path.join(root, "versions/*/bin/python"))]
      |> Enum.filter(&File.exists?/1)
      |> Enum.uniq()

    for python <- installed do
      # Of an old and a new one alike.
      version = ask(python, "'%d.%d.%d' % sys.version_info[:3]")

      case Interpreter.find(python) do
        {:ok, interpreter} ->
          assert interpreter.version == version |> split_version()
          assert interpreter.version >= {3, 8, 0}
          assert File.regular?(interpreter.libpython)

        {:error, %{reason: :too_old} = error} ->
          assert split_version(version) < {3, 8, 0}
          assert error.message =~ "is Python #{version}"

        # Debian installs python3 without the package of its library.
        {:error, %{reason: :no_shared_library} = error} ->
          assert error.message =~ version
      end
    end
  end

  describe "load/1" do
    test "opens the library once", %{interpreter: interpreter} do
      assert Interpreter.load(interpreter) == :ok
      assert Interpreter.load(interpreter) == :ok
      assert {:ok, build} = :erlang_python_loader.library_version()
      assert String.starts_with?(build, interpreter.version_string <> " ")
    end

    @tag :tmp_dir
    test "refuses a second library", %{interpreter: interpreter, tmp_dir: dir} do
      :ok = Interpreter.load(interpreter)
      copy = Path.join(dir, "libpython3.so")
      File.cp!(interpreter.libpython, copy)

      assert {:error, error} = Interpreter.load(%{interpreter | libpython: copy})
      assert error.reason == :init_failed
      assert error.message =~ "can hold only one libpython"
      assert error.remedy =~ "Restart the VM"
    end

    test "refuses the library of another release", %{interpreter: interpreter} do
      assert {:error, error} = Interpreter.load(%{interpreter | version_string: "3.8.99"})
      assert error.reason == :no_shared_library
      assert error.message =~ "#{interpreter.libpython} is the library of Python"
    end

    @tag :tmp_dir
    test "refuses a library that is missing or none, and says which", context do
      # In a VM that has opened libpython already both are refused for that.
      text = Path.join(context.tmp_dir, "libpython3.so")
      File.write!(text, "no library")

      for libpython <- ["/no/such/libpython3.so", text] do
        interpreter = %{context.interpreter | libpython: libpython}
        assert {:error, %NotStartedError{} = error} = Interpreter.load(interpreter)
        assert error.reason in [:broken, :init_failed]
        assert error.message =~ libpython
      end
    end

    @tag :tmp_dir
    @tag skip: System.find_executable("cc") == nil && "there is no C compiler"
    test "refuses a Python 3.14 that cannot be told where its stack is", context do
      source = Path.join(context.tmp_dir, "early.c")
      File.write!(source, ~s|const char *Py_GetVersion(void) { return "3.14.0 (main)"; }\n|)
      library = Path.join(context.tmp_dir, "libpython3.14.so")
      {_, 0} = System.cmd("cc", ["-shared", "-fPIC", "-o", library, source])

      # This VM has a libpython already.
      vm = FreshVM.start(start: false)
      early = %{context.interpreter | libpython: library, version_string: "3.14.0"}
      assert {:error, error} = FreshVM.call(vm, Interpreter, :load, [early])
      assert error.reason == :no_stack_protection
      assert error.message =~ "is Python 3.14.0, one of the first releases of 3.14"
      assert error.remedy =~ "Install a newer release of Python 3.14."
    end
  end

  test "an unknown option is refused", %{python: python} do
    assert_raise ArgumentError, fn -> Interpreter.find(python, time: 1) end
  end
end
