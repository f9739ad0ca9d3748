defmodule Python.Engine.Process.CompiledTest do
  # A worker has the compiled code of the package `erlang` from those before it.
  use Python.TestCase, async: true

  alias Python.{CrashedError, FakeWorker}

  @moduletag :tmp_dir

  # What a worker compiles is noted from its first line on. No `.pyc` files are read or written.
  setup %{tmp_dir: dir} = context do
    File.write!(Path.join(dir, "sitecustomize.py"), """
    import sys
    sys.compiled = []
    def note(event, args):
        if event == "compile" and args[1] is not None:
            sys.compiled.append(str(args[1]))
    sys.addaudithook(note)
    """)

    options =
      Keyword.merge([engine: :process, size: 1, env: env(dir)], Map.get(context, :pool, []))

    {:ok, pool: start_pool(options), options: options}
  end

  defp env(dir) do
    %{
      "PYTHONPATH" => dir,
      "PYTHONDONTWRITEBYTECODE" => "1",
      "PYTHONPYCACHEPREFIX" => Path.join(dir, "none")
    }
  end

  # The files of the package that the worker has compiled.
  defp compiled(pool) do
    code = "[file for file in __import__('sys').compiled if '/python/erlang/' in file]"
    Python.eval!(code, pool: pool) |> Enum.map(&Path.basename(&1, ".py"))
  end

  defp crash(pool) do
    assert {:error, %CrashedError{}} = Python.call(:os, :_exit, [3], pool: pool)
  end

  test "is compiled by the first one, and by no other", %{pool: pool, options: options} do
    first = compiled(pool)
    assert "_bootstrap" in first and "_errors" in first and "__init__" in first
    assert compiled(start_pool(options)) == []
    {:ok, context} = options |> Keyword.delete(:size) |> Python.Context.start_link()
    code = "[file for file in __import__('sys').compiled if '/python/erlang/' in file]"
    assert Python.eval!(code, context: context) == []

    crash(pool)
    assert compiled(pool) == []
    # What the one after that is forked from has compiled the rest.
    crash(pool)
    assert compiled(pool) -- first == compiled(pool)
  end

  test "is the same code for those who look at it", %{pool: pool} do
    code = """
    (lambda main, traceback: (
        main.make.__code__.co_filename == main.__file__,
        main.make.__code__.co_firstlineno,
        __import__("inspect").getsource(main.make),
        main.make.__doc__,
    ))(__import__("erlang._main")._main, None)
    """

    first = Python.eval!(String.trim(code), pool: pool)
    assert elem(first, 0)
    crash(pool)
    assert Python.eval!(String.trim(code), pool: pool) == first
    assert Python.eval!("erlang.__spec__.origin == erlang.__file__", pool: pool)

    # Modules that nobody has needed so far are imported as ever.
    assert Python.eval!("__import__('erlang._table')._table.__name__", pool: pool) ==
             "erlang._table"
  end

  test "is compiled anew by another Python, and known from then on", %{tmp_dir: dir} do
    # Optimized from the second start on.
    script = Path.join(dir, "python")

    File.write!(script, """
    #!/bin/sh
    python=$1; shift
    if [ -e #{dir}/started ]; then exec "$python" -O "$@"; fi
    touch #{dir}/started
    exec "$python" "$@"
    """)

    File.chmod!(script, 0o755)

    pool = start_pool(engine: :process, command: [script], env: env(dir))

    optimize = fn -> Python.eval!("__import__('sys').flags.optimize", pool: pool) end
    assert optimize.() == 0
    crash(pool)
    assert optimize.() == 1
    assert "_bootstrap" in compiled(pool)
    crash(pool)
    assert {optimize.(), compiled(pool)} == {1, []}
  end

  if :os.type() == {:unix, :linux} do
    @tag pool: [preload: ["json"]]
    test "is compiled by the process that workers are forked from", %{pool: pool} do
      # Those files that were compiled before the fork are noted, too.
      count = length(compiled(pool))
      assert length(Enum.uniq(compiled(pool))) == count
      crash(pool)
      assert length(compiled(pool)) == count
      assert Python.eval!("__import__('erlang._table')._table.__name__", pool: pool)
      assert length(compiled(pool)) == count
    end
  end

  if :os.type() == {:unix, :linux} do
    @tag pool: [size: 2]
    test "is known to the processes that workers are forked from", %{pool: pool, options: options} do
      assert "_table" in compiled(pool)
      assert compiled(start_pool(options)) == []
      assert compiled(start_pool(Keyword.put(options, :size, 1))) == []
    end
  end

  test "is looked for anew when a file has changed", %{pool: pool, tmp_dir: dir} do
    file = Path.join(dir, "_changing.py")
    names = %{file: file}

    load = fn ->
      Python.eval!(
        "__import__('builtins').changing(file)",
        names,
        pool: pool
      )
    end

    :ok =
      Python.exec(
        """
        import builtins, erlang
        known = {}
        def changing(file):
            erlang._known = known
            names = {}
            try:
                exec(erlang._Loader("erlang._changing", file).get_code("erlang._changing"), names)
            finally:
                erlang._known = None
            return names["value"]
        builtins.changing = changing
        """,
        pool: pool
      )

    File.write!(file, "value = 1")
    assert {load.(), load.()} == {1, 1}
    assert Python.eval!("known['erlang._changing'][0][2]", pool: pool) == 9
    File.write!(file, "value = 22")
    assert load.() == 22
  end

  describe "a worker that says something else" do
    # Nobody else has the same environment.
    defp own(mode) do
      options = FakeWorker.options(mode)
      put_in(options[:env]["FAKE_OWN"], unique())
    end

    test "is heard by those alone that are started in the same way" do
      options = own("compiled")
      pool = start_pool(options)
      {"", said} = Python.call!(:fake, :compiled, [], pool: pool)
      assert {:error, %CrashedError{}} = Python.call(:fake, :exit, [1], pool: pool)
      assert {^said, said} = Python.call!(:fake, :compiled, [], pool: pool)
      assert {^said, _own} = Python.call!(:fake, :compiled, [], pool: start_pool(options))

      for other <- [
            put_in(options[:env]["MORE"], ""),
            Keyword.put(options, :cd, System.tmp_dir!()),
            Keyword.put(options, :command, ["env"])
          ] do
        assert {"", _own} = Python.call!(:fake, :compiled, [], pool: start_pool(other))
      end
    end

    test "is ended when it has run a request by then" do
      pool = start_pool(own(""))

      assert {:error, %CrashedError{} = error} =
               Python.call(:fake, :frame, [15, "00"], pool: pool)

      assert Exception.message(error) =~ "cannot read"
      assert {"", _own} = Python.call!(:fake, :compiled, [], pool: pool)
    end

    test "is ended in its :init" do
      code = "worker.send(15, b'late')"
      options = FakeWorker.options() ++ [init: code, name: :late_compiled]
      Process.flag(:trap_exit, true)
      assert {:error, _} = start_supervised({Python.Pool, options})
    end

    test "does not have more kept than there can be" do
      options = own("compiled")
      options = put_in(options[:env]["FAKE_COMPILED"], "#{5_000_000}")
      pool = start_pool(options)
      Python.call!(:fake, :compiled, [], pool: pool)
      assert {:error, %CrashedError{}} = Python.call(:fake, :exit, [1], pool: pool)
      assert {"", _own} = Python.call!(:fake, :compiled, [], pool: pool)
    end
  end
end
