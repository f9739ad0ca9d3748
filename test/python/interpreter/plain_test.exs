defmodule Python.Interpreter.PlainTest do
  # An interpreter that need not be asked: what its files say has to be what it says itself.
  use Python.TestCase, async: true

  import Python.FakePython, only: [make_venv: 2, suite_python: 0]

  alias Python.{FreshVM, Interpreter}

  @moduletag :tmp_dir

  setup_all do
    {:ok, suite_python()}
  end

  setup %{python: python, tmp_dir: dir} do
    venv = Path.join(dir, "venv")
    make_venv(python, venv)
    [site] = Path.wildcard(Path.join(venv, "lib/python3*/site-packages"))
    {:ok, venv: venv, site: site, plain: plain(venv)}
  end

  defp plain(path, env \\ %{"HOME" => "/nonexistent"}) do
    options = Interpreter.options(env: env)
    {:ok, candidate} = Interpreter.locate(path, options)
    Interpreter.plain_library(candidate, options)
  end

  # Of a Python that is linked with its library, or Debian's; of others nothing is known by their files.
  defp known?(%{plain: plain}), do: plain != nil

  # The program is asked where its library is.
  defp without_places({:ok, interpreter}), do: {:ok, %{interpreter | tried: []}}

  test "the library is the one that the interpreter has", context do
    if known?(context), do: assert(context.plain == context.interpreter.libpython)
  end

  test "what is installed may run at the start", %{site: site, venv: venv} = context do
    for {name, text, plain?} <- [
          {"package.py", "", true},
          {"folders.pth", "# a comment\n\n/nonexistent\nimportant\n", true},
          {"code.pth", "/nonexistent\nimport os\n", false},
          {"code.pth", "import\tos", false},
          {"code.pth", "\uFEFFimport os", false},
          {"code.pth", "/nonexistent\vimport os", false},
          {"code.pth", " /nonexistent", false},
          {"code.pth", String.duplicate("# a comment\n", 100_000), false},
          {"sitecustomize.py", "", false},
          {"usercustomize.pyc", "", false}
        ] do
      file = Path.join(site, name)
      File.write!(file, text)
      assert plain(venv) == if(plain?, do: context.plain), "#{name}: #{inspect(text)}"
      File.rm!(file)
    end

    # Nobody writes into it.
    {_, 0} = System.cmd("mkfifo", [Path.join(site, "pipe.pth")])
    assert plain(venv) == nil
    File.rm!(Path.join(site, "pipe.pth"))

    File.mkdir_p!(Path.join(venv, "elsewhere/sitecustomize"))
    File.write!(Path.join(site, "folders.pth"), Path.join(venv, "elsewhere"))
    assert plain(venv) == nil
  end

  # One that has a minor version in its name, and a library in Debian's place for it.
  defp debian?(python) do
    [arch | _] = String.split(to_string(:erlang.system_info(:system_architecture)), "-")
    library = "/usr/lib/#{arch}-linux-gnu/lib#{Path.basename(python)}.so.1.0"

    python =~ ~r/3\.\d+$/ and File.regular?(library) and File.lstat!(python).type == :regular and
      File.stat!(python).mtime == File.stat!(library).mtime
  end

  test "the library of Debian's is known, though it is not linked with it", %{tmp_dir: dir} do
    for python <- Path.wildcard("/usr/bin/python3.*"), debian?(python) do
      venv = Path.join(dir, Path.basename(python))
      make_venv(python, venv)
      assert {:ok, found} = Interpreter.find(venv)
      assert plain(venv) == found.libpython

      vm = FreshVM.start(settings: [python_path: venv])
      started = FreshVM.call(vm, Python.Runtime, :status, [])
      assert without_places(started) == without_places({:ok, found})

      site = Path.join(venv, "lib/#{Path.basename(python)}/site-packages")
      File.write!(Path.join(site, "sitecustomize.py"), "")
      assert plain(venv) == nil
    end
  end

  test "lines that widespread tools write are known", %{site: site, venv: venv} = context do
    distutils =
      "import os; var = 'SETUPTOOLS_USE_DISTUTILS'; " <>
        "enabled = os.environ.get(var, 'local') == 'local'; " <>
        "enabled and __import__('_distutils_hack').add_shim(); "

    editable = "import __editable___shop_1_0_finder; __editable___shop_1_0_finder.install()"

    for {line, module} <- [
          {distutils, "_distutils_hack/__init__.py"},
          {"import _virtualenv", "_virtualenv.py"},
          {editable, "__editable___shop_1_0_finder.py"}
        ] do
      [pth, module] = Enum.map(["tool.pth", module], &Path.join(site, &1))
      File.write!(pth, line)
      assert plain(venv) == nil, "without what it imports: #{line}"

      File.mkdir_p!(Path.dirname(module))
      File.write!(module, "")
      assert plain(venv) == context.plain, line

      for more <- ["; import os", "\nimport os", "x"] do
        File.write!(pth, String.trim(line) <> more)
        assert plain(venv) == nil, line <> more
      end

      File.rm!(pth)
    end
  end

  test "the environment may say more", %{venv: venv} = context do
    for {name, value, plain?} <- [
          {"PATH", "/bin", true},
          {"PYTHONDONTWRITEBYTECODE", "1", true},
          {"PYTHON_VERSION", "3.13.0", true},
          {"PYTHONPATH", "", true},
          {"PYTHONPATH", "/nonexistent", false},
          {"PYTHONHOME", "/nonexistent", false},
          {"LD_LIBRARY_PATH", "/nonexistent", false}
        ] do
      env = %{"HOME" => "/nonexistent", name => value}
      assert plain(venv, env) == if(plain?, do: context.plain), "#{name}=#{value}"
    end

    assert plain(venv, %{}) == nil
    assert plain(venv, %{"HOME" => ""}) == nil
  end

  test "the user's own packages count where they are seen",
       %{venv: venv, tmp_dir: dir} = context do
    {major, minor, _} = context.interpreter.version
    site = Path.join(dir, ".local/lib/python#{major}.#{minor}/site-packages")
    File.mkdir_p!(site)
    File.write!(Path.join(site, "usercustomize.py"), "")
    assert plain(venv, %{"HOME" => dir}) == context.plain

    config = Path.join(venv, "pyvenv.cfg")
    text = File.read!(config)

    for other <- [
          String.replace(text, "= false", "= true"),
          # They are, if nothing is said of it, and in each version that takes this for the end of a line.
          String.replace(text, ~r/^include-system-.*$/m, ""),
          text <> "prompt = shop\rinclude-system-site-packages = true\n"
        ] do
      File.write!(config, other)
      assert plain(venv, %{"HOME" => dir}) == nil, other
    end

    File.write!(config, String.replace(text, "\n", "\r\n"))
    assert plain(venv, %{"HOME" => dir}) == context.plain
  end

  test "what is unusual is not known", %{venv: venv, tmp_dir: dir} do
    config = Path.join(venv, "pyvenv.cfg")
    text = File.read!(config)

    # Its library would be looked for beside it.
    [_, home] = Regex.run(~r/^home = (.*)$/m, text)
    File.ln_s!(home, Path.join(dir, "bin"))

    for other <- [
          String.replace(text, ~r/^home = .*$/m, "home = #{dir}"),
          String.replace(text, ~r/^home = .*$/m, "home = #{dir}/bin"),
          String.replace(text, ~r/^home = .*$/m, ""),
          text <> "home = /nonexistent\n",
          text <> <<0xFF>>
        ] do
      File.write!(config, other)
      assert plain(venv) == nil
    end

    File.write!(config, text)
    File.write!(Path.join(venv, "bin/python._pth"), "")
    assert plain(venv) == nil

    for script <- ["#!/bin/sh\nexit 1\n", <<0x7F, "ELF", 2, 1, 1, 0::800>>] do
      python = Path.join(dir, "python")
      File.write!(python, script)
      File.chmod!(python, 0o755)
      assert plain(python) == nil
    end
  end

  test "starts, and says the same of itself as when it is asked", %{venv: venv} do
    vm = FreshVM.start(settings: [python_path: venv])
    assert {:ok, found} = Interpreter.find(venv)
    started = FreshVM.call(vm, Python.Runtime, :status, [])
    assert without_places(started) == without_places({:ok, found})
    assert FreshVM.call(vm, Python, :eval, ["__import__('sys').prefix"]) == {:ok, venv}

    # The next start asks it.
    assert FreshVM.call(vm, Application, :stop, [:erlang_python]) == :ok
    assert FreshVM.call(vm, Application, :start, [:erlang_python]) == :ok
    assert FreshVM.call(vm, Python.Runtime, :status, []) == {:ok, found}
  end

  test "that does not start says why", %{python: python, tmp_dir: dir} = context do
    # All files that are looked for are there, and empty.
    {major, minor, _} = context.interpreter.version
    library = Path.join(dir, "base/lib/python#{major}.#{minor}")
    for folder <- ["encodings", "lib-dynload"], do: File.mkdir_p!(Path.join(library, folder))

    for file <- ["os.py", "site.py", "encodings/__init__.py"],
        do: File.write!(Path.join(library, file), "")

    File.mkdir_p!(Path.join(dir, "base/bin"))
    broken = Path.join(dir, "base/bin/python3")
    File.cp!(python |> Path.expand() |> real(), broken)
    # Debian's has one place.
    if known?(context) and context.interpreter.base_prefix != "/usr",
      do: assert(plain(broken) == context.plain)

    vm = FreshVM.start(settings: [python_path: broken])
    assert {:error, %{reason: :broken}} = FreshVM.call(vm, Python, :eval, ["1"])
    assert {:error, %{reason: :broken}} = Interpreter.find(broken)
  end

  defp real(path) do
    case File.read_link(path) do
      {:ok, target} -> target |> Path.expand(Path.dirname(path)) |> real()
      {:error, _} -> path
    end
  end
end
