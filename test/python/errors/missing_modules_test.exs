defmodule Python.Errors.MissingModulesTest do
  # What is said of a module that is not there: where it was looked for, and how to install it.
  use Python.EngineCase, async: true

  import Python.FakePython, only: [make_venv: 2, suite_python: 0]

  alias Python.{Error, FreshVM}

  setup_all do
    {:ok, suite_python()}
  end

  defp message({:error, %Error{} = error}), do: Exception.message(error)

  describe "a module that is not there" do
    test "is told with the interpreter, the environment and the command that installs it" do
      executable = Python.eval!("__import__('sys').executable")
      version = Python.call!(:platform, :python_version)

      for result <- [
            Python.call(:no_such_package, :f),
            Python.call("no_such_package.part", :f),
            Python.import(:no_such_package),
            Python.import("no_such_package.part"),
            Python.exec("import no_such_package.part"),
            Python.eval("__import__('no_such_package')"),
            Python.map(:no_such_package, :f, [[]]),
            Python.await(Python.call_async(:no_such_package, :f))
          ] do
        message = message(result)
        assert message =~ "ModuleNotFoundError: No module named 'no_such_package'\n\n"
        assert message =~ "Python #{version} (#{executable}, "
        assert message =~ ~r/install .*no_such_package$/m
        assert message =~ "the setting paths"
        assert message =~ "sys.path"

        {:error, error} = result
        assert error.message == "No module named 'no_such_package'"
        assert {error.type, error.module} == {"ModuleNotFoundError", "builtins"}
        assert error.builtin
      end

      error = assert_raise Error, fn -> Enum.to_list(Python.stream(:no_such_package, :f)) end
      assert error.hint =~ "install"

      assert :py.call(:no_such_package, :f, []) ==
               {:error, {:ModuleNotFoundError, ~c"No module named 'no_such_package'"}}
    end

    test "shows nothing of the machinery of imports, and all of the code that imports" do
      for result <- [Python.call(:no_such_package, :f), Python.import(:no_such_package)] do
        assert {:error, %Error{frames: []} = error} = result
        refute Exception.message(error) =~ "importlib"
        refute Exception.message(error) =~ "Traceback"
      end

      name = define("def NAME():\n    import no_such_package")
      assert {:error, %Error{frames: [%{function: ^name}]} = error} = Python.call(:__main__, name)
      assert Exception.message(error) =~ "import no_such_package"
    end

    test "is told so in the chain of causes too" do
      {:error, error} =
        Python.exec("""
        try:
            import no_such_package
        except ImportError as cause:
            raise RuntimeError("cannot draw") from cause
        """)

      assert error.hint == nil
      assert error.cause.hint =~ "install"
      assert Exception.message(error) =~ ~r/install no_such_package.*RuntimeError: cannot draw\z/s
    end

    test "is installed by the name of its package" do
      for {module, package} <- [
            {"cv2", "opencv-python"},
            {"sklearn", "scikit-learn"},
            {"yaml", "pyyaml"},
            {"PIL", "pillow"}
          ] do
        {:error, error} =
          Python.exec("raise ModuleNotFoundError('no #{module}', name='#{module}')")

        assert error.hint =~ ~r/install .*#{package}$/m
      end
    end

    test "is no package where it is a part of one, of Python, or no name" do
      for {name, hint} <- [
            {"json.no_such_part", nil},
            {"_no_such_extension", nil},
            {"x; rm -rf .", nil},
            {"größe", nil},
            {"", nil},
            {"tkinter", "standard library"}
          ] do
        {:error, error} = Python.exec("raise ModuleNotFoundError('gone', name=#{inspect(name)})")

        if hint, do: assert(error.hint =~ hint), else: assert(error.hint == nil)
        refute to_string(error.hint) =~ "install #{name}"
      end

      for code <- [
            "raise ModuleNotFoundError('no name')",
            "raise ModuleNotFoundError('no text', name=5)",
            "raise ImportError('another', name='math')",
            "from math import no_such_name",
            "class E(ImportError):\n    name = property(lambda self: 1 / 0)\nraise E()"
          ] do
        assert {:error, %Error{hint: nil}} = Python.exec(code)
      end
    end

    test "that Python has no more is said to be so" do
      {:error, error} = Python.exec("raise ModuleNotFoundError('gone', name='imp')")

      if python_version() >= {3, 12},
        do: assert(error.hint =~ "no imp since 3.12"),
        else: assert(error.hint =~ ~r/standard library|install/)
    end
  end

  describe "the command" do
    @describetag :tmp_dir
    defp hint(vm) do
      {:error, error} = FreshVM.call(vm, Python, :import, [:no_such_package])
      error.hint
    end

    test "is that of the virtual environment, without pip uv's", %{tmp_dir: dir, python: python} do
      venv = Path.join(dir, "venv")
      make_venv(python, venv)
      vm = FreshVM.start(settings: [python_path: venv])
      hint = hint(vm)
      assert hint =~ "the virtual environment #{venv})"
      assert hint =~ "uv pip install --python #{venv}/bin/python"

      FreshVM.call(vm, Python, :exec, [
        "import sys, types; sys.modules['pip'] = types.ModuleType('pip')\n" <>
          "sys.modules['pip'].__spec__ = sys.__spec__"
      ])

      assert hint(vm) =~ ~r"    #{venv}/bin/python\S* -m pip install no_such_package$"m
    end

    test "is Mix's in an environment of the setting, with its lock", %{tmp_dir: dir} = context do
      venv = Path.join(dir, "venv")
      make_venv(context.python, venv)
      vm = FreshVM.start(settings: [python_path: venv])
      mark = Path.join(venv, "erlang_python.term")

      for {locked, advice} <- [
            {false, "and run mix python.install"},
            {true, "and run mix python.lock and mix python.install"}
          ] do
        File.write!(mark, Python.Environment.Mark.text(%{locked: locked, packages: []}))
        hint = hint(vm)
        assert hint =~ ~S|Python.install(["no_such_package"])|
        assert hint =~ "in the setting python #{advice}"
      end
    end

    test "makes a virtual environment where the system does not let pip in", %{tmp_dir: dir} do
      File.write!(Path.join(dir, "EXTERNALLY-MANAGED"), "")
      vm = FreshVM.start()
      code = "import sysconfig; sysconfig.get_path = lambda name: #{inspect(dir)}"
      assert FreshVM.call(vm, Python, :exec, [code]) == :ok

      {:ok, prefixes} =
        FreshVM.call(vm, Python, :eval, [
          "(__import__('sys').prefix, __import__('sys').base_prefix)"
        ])

      if elem(prefixes, 0) == elem(prefixes, 1) do
        assert hint(vm) =~ "-m venv .venv && .venv/bin/python -m pip install no_such_package"
        assert hint(vm) =~ ~s(python_path: ".venv")
      end
    end
  end

  describe "another module that is called erlang" do
    @describetag :tmp_dir

    setup %{tmp_dir: dir} do
      vm = FreshVM.start(env: [{"PYTHONPATH", dir}])
      %{vm: vm, path: Path.join(dir, "erlang.py")}
    end

    test "is named where something of it is asked for", %{vm: vm, path: file} do
      assert {:error, error} =
               FreshVM.call(vm, Python, :eval, ["__import__('erlang').OtpErlangAtom"])

      assert error.message =~ "erlang has no function 'OtpErlangAtom'; register one"
      refute error.message =~ file

      File.write!(file, "class OtpErlangAtom: pass")
      FreshVM.call(vm, Python, :call, [:importlib, :invalidate_caches])

      assert {:error, error} =
               FreshVM.call(vm, Python, :eval, ["__import__('erlang').OtpErlangAtom"])

      assert error.message =~ "erlang is the module of erlang_python. Another one, #{file}"

      assert {:error, error} =
               FreshVM.call(vm, Python, :exec, ["from erlang import OtpErlangAtom"])

      assert error.type == "ImportError"
      assert error.hint =~ "erlang is the module of erlang_python. Another one, #{file}"
      assert Exception.message(error) =~ error.hint

      # What has it all the same, under another name.
      code = """
      import importlib.util, sys
      spec = importlib.util.spec_from_file_location("erlang_py", #{inspect(file)})
      erlang_py = importlib.util.module_from_spec(spec)
      spec.loader.exec_module(erlang_py)
      """

      assert FreshVM.call(vm, Python, :exec, [code]) == :ok

      assert {:ok, "OtpErlangAtom"} =
               FreshVM.call(vm, Python, :eval, ["erlang_py.OtpErlangAtom.__name__"])
    end
  end
end
