defmodule Python.Environment.PathsTest do
  # The setting `paths`: folders of one's own in front of `sys.path`, each in a VM of its own.
  use Python.TestCase, async: true

  alias Python.{FreshVM, NotStartedError, Paths, Settings}

  @moduletag :tmp_dir

  # A folder with a module that says which it is.
  defp folder(dir, name) do
    folder = Path.join(dir, name)
    File.mkdir_p!(folder)
    File.write!(Path.join(folder, "shelf.py"), "WHERE = '#{name}'\n")
    folder
  end

  defp start(vm, settings) do
    for {key, value} <- settings,
        do: FreshVM.call(vm, Application, :put_env, [:erlang_python, key, value])

    FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
  end

  # A VM without the application, with more on its code path, in a folder of its own.
  defp fresh(options) do
    vm = FreshVM.start(start: false, env: options[:env] || [])

    for path <- options[:code] || [],
        do: FreshVM.call(vm, :code, :add_path, [String.to_charlist(path)])

    if options[:cd], do: FreshVM.call(vm, File, :cd!, [options[:cd]])
    vm
  end

  # An application of that name: only its place counts.
  defp app(dir, name) do
    ebin = Path.join([dir, name, "ebin"])
    File.mkdir_p!(ebin)
    ebin
  end

  defp run(vm, code), do: vm |> FreshVM.call(Code, :eval_string, [code]) |> elem(0)
  defp path(vm), do: FreshVM.call(vm, Python, :eval!, ["list(__import__('sys').path)"])
  defp where(vm), do: FreshVM.call(vm, Python, :eval!, ["__import__('shelf').WHERE"])

  defp refused(vm, paths) do
    assert {:error, {:erlang_python, reason}} = start(vm, paths: paths)
    text = inspect(reason, limit: :infinity, printable_limit: :infinity)
    assert text =~ "the setting :paths of :erlang_python has "
    assert text =~ paths |> List.last() |> inspect() |> inspect() |> String.trim("\"")
    text
  end

  test "folders come first, in their order and once, with modules and packages", %{tmp_dir: dir} do
    one = folder(dir, "one")
    two = folder(dir, "größe und zwei")
    File.mkdir_p!(Path.join(two, "pack/part"))
    File.write!(Path.join(two, "pack/part/thing.py"), "def f(): return 42")

    vm = FreshVM.start(settings: [paths: [one, String.to_charlist(two), one <> "/"]])
    assert [^one, ^two | rest] = path(vm)
    assert one not in rest
    assert where(vm) == "one"
    assert FreshVM.call(vm, Python, :call!, ["pack.part.thing", :f, []]) == 42

    assert "one" ==
             run(vm, """
             {:ok, context} = Python.Context.start_link()
             Python.eval!("__import__('shelf').WHERE", %{}, context: context)
             """)

    # Processes of `multiprocessing` import from there too.
    assert "one" ==
             run(vm, """
             Python.exec!(\"\"\"
             import multiprocessing
             with multiprocessing.Pool(1) as pool:
                 where = pool.apply(eval, ("__import__('shelf').WHERE",))
             \"\"\", timeout: 60_000)
             Python.eval!("where")
             """)
  end

  test "they take precedence over installed packages and the standard library", %{tmp_dir: dir} do
    one = Path.join(dir, "one")
    File.mkdir_p!(one)
    File.write!(Path.join(one, "colorsys.py"), "WHERE = 'mine'")
    vm = FreshVM.start(settings: [paths: [one]])
    assert FreshVM.call(vm, Python, :eval!, ["__import__('colorsys').WHERE"]) == "mine"
  end

  test "a relative folder is in the current folder", %{tmp_dir: dir} do
    folder(dir, "priv/python")
    vm = fresh(cd: dir)
    assert {:ok, _} = start(vm, paths: ["priv/python"])
    assert hd(path(vm)) == Path.join(dir, "priv/python")
    assert where(vm) == "priv/python"
  end

  test "a folder of an application is found wherever the VM was started", %{tmp_dir: dir} do
    folder(dir, "my_app/priv/python")
    vm = fresh(code: [app(dir, "my_app")])
    assert {:ok, _} = start(vm, paths: [{:my_app, ~c"priv/python"}])
    assert where(vm) == "my_app/priv/python"
  end

  test "in a release, a relative folder is in its application, else in the release", context do
    %{tmp_dir: dir} = context
    folder(dir, "lib/my_app-1.0.0/priv/python")
    folder(dir, "files/python")
    env = [{"RELEASE_ROOT", dir}, {"RELEASE_NAME", "my_app"}]
    code = [app(dir, "lib/my_app-1.0.0")]

    vm = fresh(env: env, code: code, cd: "/")
    assert {:ok, _} = start(vm, paths: ["priv/python", "files/python"])

    assert ["lib/my_app-1.0.0/priv/python", "files/python"] ==
             vm |> path() |> Enum.take(2) |> Enum.map(&Path.relative_to(&1, dir))

    # A release with another name than its application.
    vm = fresh(env: [{"RELEASE_ROOT", dir}, {"RELEASE_NAME", "other"}], code: code, cd: "/")
    assert {:ok, _} = start(vm, paths: ["files/python", {:my_app, "priv/python"}])
    assert where(vm) == "files/python"

    # A VM that a release has started, in a project.
    other = Path.join(dir, "project")
    folder(other, "python")
    vm = fresh(env: env, cd: other)
    assert {:ok, _} = start(vm, paths: ["python"])
    assert where(vm) == "python"
  end

  test "a folder that does not exist stops the start, and says where it was looked for",
       context do
    %{tmp_dir: dir} = context
    folder(dir, "python")
    File.write!(Path.join(dir, "file"), "")
    vm = fresh(cd: dir)

    assert refused(vm, ["pyton"]) =~ "there is no folder #{dir}/pyton. Create it"
    assert refused(vm, ["python", "file"]) =~ "there is no folder #{dir}/file"
    assert refused(vm, ["/no/such/folder"]) =~ "there is no folder /no/such/folder"
    assert refused(vm, [{:stdlib, "no/such"}]) =~ ~r"there is no folder /.*stdlib-[\d.]+/no/such"
    assert refused(vm, [{:no_such_app, "priv"}]) =~ "there is no application :no_such_app"

    for {key, value} <- [{"RELEASE_ROOT", dir}, {"RELEASE_NAME", "stdlib"}],
        do: FreshVM.call(vm, System, :put_env, [key, value])

    assert refused(vm, ["here"]) =~ ~r"folder /.*stdlib-[\d.]+/here, nor #{dir}/here. Create"

    # It is put right, and nothing has been started with what was wrong.
    assert {:ok, _} = start(vm, paths: ["python"])
    assert where(vm) == "python"
  end

  test "the doctor says so", %{tmp_dir: dir} do
    vm = fresh(cd: dir)
    FreshVM.call(vm, Application, :put_env, [:erlang_python, :paths, ["pyton"]])
    checks = FreshVM.call(vm, Python.Doctor, :run, [])
    assert [%{title: title, remedy: remedy}] = for(%{status: :error} = check <- checks, do: check)
    assert title =~ ~s(the setting :paths of :erlang_python has "pyton", but there is no folder)
    assert remedy =~ "Correct the configuration"
  end

  test "another value takes a restart of the VM, and another name of the same does not",
       context do
    %{tmp_dir: dir} = context
    one = folder(dir, "one")
    two = folder(dir, "two")
    vm = fresh(cd: dir)
    assert {:ok, _} = start(vm, paths: [one])

    assert :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
    assert {:ok, _} = start(vm, paths: ["one"])
    assert where(vm) == "one"

    assert :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
    assert {:ok, _} = start(vm, paths: ["two"])
    assert {:error, %NotStartedError{} = error} = FreshVM.call(vm, Python, :eval, ["1"])
    assert error.message =~ ~s(:paths ["#{one}"] instead of ["#{two}"])
  end

  for paths <- [
        "priv/python",
        ~c"priv/python",
        :python,
        nil,
        [""],
        [nil],
        [:python],
        ["a\0b"],
        [<<255>>],
        ["a" | "b"],
        [{"my_app", "priv"}],
        [{nil, "priv"}],
        [{:my_app, nil}],
        [{:my_app, ""}],
        [{:my_app, "priv", "python"}],
        [["a", "b"]],
        %{a: "b"}
      ] do
    test "#{inspect(paths)} is refused with what is allowed" do
      assert {:error, %ArgumentError{message: message}} =
               Settings.validate(paths: unquote(Macro.escape(paths)))

      assert message =~
               "expected the setting :paths of :erlang_python to be a list of folders such as "

      assert message =~ ~s(`["priv/python", {:my_app)
      assert message =~ ", got: "
    end
  end

  test "without any, nothing is changed" do
    assert {:ok, %{paths: []}} = Settings.validate([])
    assert {:ok, []} = Paths.resolve([])
  end
end
