defmodule Python.Engine.Process.AdviceTest do
  # What a message says of handles of another engine, and of a worker that did not start or was ended: which option to change.
  use Python.TestCase, async: true

  alias Python.{Context, CrashedError, EncodeError, NotStartedError}

  @moduletag :capture_log

  describe "a handle of another engine" do
    setup do
      process = start_pool(engine: :process, size: 1)
      {:ok, context} = Context.start_link([])
      {:ok, own} = Context.start_link(engine: :process)

      handle = fn place ->
        Python.call!(:builtins, :list, [[1, 2]], [return: :object] ++ place)
      end

      main = start_pool(size: 1)
      asyncio = start_pool(engine: :asyncio)

      {:ok,
       crossings: [
         {handle.(pool: main), "the pool #{inspect(main)}", pool: process},
         {handle.(pool: asyncio), "the pool #{inspect(asyncio)}", pool: process},
         {handle.(context: context), "a context", pool: process},
         {handle.(pool: main), "the pool #{inspect(main)}", context: own},
         {handle.(pool: process), "the pool #{inspect(process)}", pool: main},
         {handle.(pool: process), "the pool #{inspect(process)}", pool: asyncio},
         {handle.(context: own), "a context", pool: main}
       ]}
    end

    test "is told with its home as an argument", %{crossings: crossings} do
      for {handle, home, place} <- crossings do
        for result <- [
              Python.call(:builtins, :len, [handle], place),
              Python.eval("x", %{x: %{"a" => handle}}, place),
              Python.await(Python.call_async(:builtins, :len, [[handle]], place)),
              Python.map(:builtins, :len, [[handle]], place)
            ] do
          assert {:error, %EncodeError{} = error} = result
          assert error.reason =~ "is in another Python, that of #{home}. Call it there"
          assert error.reason =~ "Python.to_term/2"
        end
      end
    end

    test "is told so as the target of a call", %{crossings: crossings} do
      for {handle, _home, place} <- crossings do
        for result <- [
              Python.call(handle, :copy, [], place),
              Python.await(Python.call_async(handle, :copy, [], place))
            ] do
          assert {:error, %ArgumentError{message: message}} = result
          assert message =~ "got one of a pool or context with another engine"
          assert message =~ "Leave out :pool and :context"
        end

        # As the messages advise.
        assert Python.call(handle, :copy) == {:ok, [1, 2]}
        assert Python.to_term(handle) == {:ok, [1, 2]}
      end
    end
  end

  test "a worker that has computed for as long as it may says which limit that was" do
    pool = start_pool(engine: :process, size: 1, limits: [cpu: 1])

    assert {:error, %CrashedError{signal: :sigxcpu} = error} =
             Python.eval("sum(range(10**11))", pool: pool)

    assert Exception.message(error) =~ "computing time (:cpu in the option :limits of its pool"
  end

  describe "a worker that does not start for an option" do
    defp refused(options) do
      pool = start_pool([engine: :process, size: 1] ++ options)
      assert {:error, %NotStartedError{} = error} = Python.eval("1", pool: pool)
      stop_supervised!(pool)
      message = Exception.message(error)
      refute message =~ "python_path"
      message
    end

    test "names :python" do
      message = refused(python: "/no/such/python")
      assert message =~ ~s(the option python: "/no/such/python" was not found)
      assert message =~ "Set the option :python of the pool or context to another"

      message = refused(python: "/bin/false")
      assert message =~ ~s(the option python: "/bin/false")
      assert message =~ "status 1"
      assert message =~ "Set the option :python"
    end

    @tag :tmp_dir
    test "says which version of Python is needed", %{tmp_dir: folder} do
      # One that says it is older, as there may be none here.
      python = Path.join(folder, "python3")
      executable = Python.eval!("__import__('sys').executable")
      start = Application.app_dir(:erlang_python, "priv/python/worker/start.py")
      code = "import sys; sys.version_info = (3, 7, 16); exec(open('#{start}').read())"
      File.write!(python, "#!/bin/sh\nexec #{executable} -c \"#{code}\"\n")
      File.chmod!(python, 0o755)
      message = refused(python: python)
      assert message =~ "Python 3.8 or newer is needed, and #{executable}"
      assert message =~ "is Python 3.7.16"
      assert message =~ "Set the option :python"
      assert refused(python: python, command: ["nice"]) =~ "Set the option :python"
    end

    test "names :command" do
      for command <- [["/no/such/program", "--flag=secret"], ["/bin/false"]] do
        message = refused(command: command)
        assert message =~ "the option command: [#{inspect(hd(command))}, …]"
        assert message =~ "The option :command has to name a program that"
        refute message =~ "secret"
      end
    end

    test "names :preload, a setting for modules, and the module" do
      message = refused(preload: ["no_such_module"])
      assert message =~ "the option :preload"
      assert message =~ "no_such_module cannot be preloaded: ModuleNotFoundError"
      assert message =~ "the setting paths"
    end

    test "names :cd" do
      message = refused(cd: "/no/such/folder")
      assert message =~ ~s(the option cd: "/no/such/folder" was not found: no such folder)
    end

    test "names :limits that are too low" do
      message = refused(limits: [files: 3])
      assert message =~ "the option limits: [files: 3]"
      assert message =~ "or leave it out of the option :limits"
    end
  end
end
