defmodule Python.Environment.BundleTest do
  # What is put into a release, without a release: test/mix/bundle_test.exs makes one.
  use Python.TestCase, async: true

  alias Python.{InstallError, Settings, Wheels}
  alias Python.Release.Build

  @moduletag :tmp_dir
  @moduletag timeout: 120_000

  defp make(folder, python, options \\ []) do
    {:ok, settings} = Settings.validate(python: python)
    root = Path.join(folder, "release")
    File.mkdir_p!(root)
    Build.make(root, settings, options, fn _line -> :ok end)
  end

  test "without the setting `python` it says what to set", %{tmp_dir: folder} do
    assert {:error, %InstallError{reason: :invalid} = error} = make(folder, nil)
    assert Exception.message(error) =~ "config :erlang_python, python:"
  end

  test "invalid options are refused", %{tmp_dir: folder} do
    for options <- [[keep: ["everything"]], [keep: "test"], [compile: 1], [strip: true], :all] do
      assert {:error, %ArgumentError{message: message}} = make(folder, [packages: []], options)
      assert message =~ ~s("tkinter")
    end
  end

  test "a folder that is not there is refused" do
    {:ok, settings} = Settings.validate(python: [packages: []])

    assert {:error, %InstallError{reason: :invalid} = error} =
             Build.make("/no/such/release", settings, [], fn _line -> :ok end)

    assert Exception.message(error) =~ "/no/such/release"
  end

  describe "an environment" do
    @describetag skip: Wheels.skip(__ENV__)

    setup %{tmp_dir: folder} do
      # It is large.
      on_exit(fn -> File.rm_rf!(folder) end)
      wheels = Path.join(folder, "wheels")
      Wheels.write(wheels, "shade", "1.0")
      Wheels.write(wheels, "shade", "2.0")
      # It leads to a folder of this machine.
      files = %{"linked.py" => "", "linked.pth" => "/opt/elsewhere\n"}
      Wheels.write(wheels, "linked", "1.0", files: files)
      :ok
    end

    # Not compiled: that takes most of the time.
    defp made(folder, packages, options \\ []) do
      make(folder, Wheels.options(folder, packages: packages), [compile: false] ++ options)
    end

    test "that does not work on another machine says that the release is to be built anew", %{
      tmp_dir: folder
    } do
      {:ok, [%{folder: bundle}]} = made(folder, ["shade"])
      python = Python.Release.Bundle.interpreter(bundle)
      File.rm!(Path.join(bundle, "bin/python3"))
      File.write!(python, "#!/bin/sh\necho no libpython >&2; exit 127\n")
      File.chmod!(python, 0o755)
      {:error, error} = Python.Interpreter.find(python, from: :environment)
      assert error.message =~ "no libpython"
      assert error.remedy =~ "build the release on the kind of system"
      refute error.remedy =~ "mix python.install"

      said = "error while loading shared libraries: libexpat.so.1: cannot open shared object file"
      File.write!(python, "#!/bin/sh\necho '#{said}' >&2; exit 127\n")
      {:error, error} = Python.Interpreter.find(python, from: :environment)
      assert error.remedy =~ "package with libexpat.so.1"
    end

    defp run(python, code, env \\ []) do
      {output, 0} = System.cmd(python, ["-c", code], env: env, stderr_to_stdout: true)
      String.trim(output)
    end

    test "is taken anew, and stays as it is if that fails", %{tmp_dir: folder} do
      release = Path.join(folder, "release")
      python = Path.join(release, "python/bin/python3")

      assert {:ok, [info]} = made(folder, ["shade==1.0"])
      assert info.folder == Path.join(release, "python")
      assert info.packages == 1
      assert info.size > 1_000_000
      assert run(python, "import shade; print(shade.version)") == "1.0"

      assert {:ok, [_]} = made(folder, ["shade==2.0"], keep: ["ensurepip"])
      assert run(python, "import shade; print(shade.version)") == "2.0"
      assert run(python, "import ensurepip; print('kept')") == "kept"

      assert {:error, %InstallError{reason: :failed} = error} = made(folder, ["linked"])
      assert Exception.message(error) =~ "linked.pth"
      assert Exception.message(error) =~ "/opt/elsewhere"
      assert run(python, "import shade; print(shade.version)") == "2.0"
      assert File.ls!(release) == ["python"]

      # Moved, with variables that lead elsewhere.
      moved = Path.join(folder, "moved")
      File.rename!(release, moved)
      python = Path.join(moved, "python/bin/python3")
      env = [{"LD_LIBRARY_PATH", "/nonexistent"}, {"VIRTUAL_ENV", "/nonexistent"}]

      code =
        "import sys, sysconfig; print(sys.prefix, sysconfig.get_path('purelib').startswith(sys.prefix))"

      assert run(python, code, env) == "#{moved}/python True"
    end

    # Builds a project without any package from an index.
    @backend """
    import os
    import zipfile

    INFO = "kiosk-0.1.dist-info"


    def build(folder, files):
        name = "kiosk-0.1-py3-none-any.whl"
        files = dict(files)
        files[INFO + "/METADATA"] = "Metadata-Version: 2.1\\nName: kiosk\\nVersion: 0.1\\n"
        files[INFO + "/WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        files[INFO + "/entry_points.txt"] = "[console_scripts]\\nkiosk = kiosk:main\\n"
        files[INFO + "/RECORD"] = "".join(name + ",,\\n" for name in [*files, INFO + "/RECORD"])
        with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
            for path, text in files.items():
                wheel.writestr(path, text)
        return name


    def build_wheel(folder, config_settings=None, metadata_directory=None):
        with open("src/kiosk.py") as file:
            return build(folder, {"kiosk.py": file.read()})


    def build_editable(folder, config_settings=None, metadata_directory=None):
        return build(folder, {"kiosk.pth": os.path.abspath("src")})
    """

    @pyproject """
    [project]
    name = "kiosk"
    version = "0.1"
    requires-python = ">=3.8"

    [build-system]
    requires = []
    build-backend = "backend"
    backend-path = ["."]
    """

    test "has a project that is installed in place as a copy", %{tmp_dir: folder} do
      project = Path.join(folder, "project")
      File.mkdir_p!(Path.join(project, "src"))
      File.write!(Path.join(project, "backend.py"), @backend)
      File.write!(Path.join(project, "pyproject.toml"), @pyproject)
      source = "def price():\n    return 3\n\n\ndef main():\n    print(price())\n"
      File.write!(Path.join(project, "src/kiosk.py"), source)

      options = Wheels.options(folder, project: project)
      assert {:ok, [_]} = make(folder, options, compile: false)
      File.rm_rf!(project)
      moved = Path.join(folder, "moved")
      File.rename!(Path.join(folder, "release"), moved)

      python = Path.join(moved, "python/bin/python3")
      assert run(python, "import kiosk; print(kiosk.price(), kiosk.__file__)") =~ ~r/\A3 #{moved}/
      assert {"3\n", 0} = System.cmd(Path.join(moved, "python/bin/kiosk"), [])
    end
  end
end
