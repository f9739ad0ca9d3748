defmodule Python.VM.ReloadTest do
  # The code of the native modules is loaded again while Python runs: by `:code.load_file`, by a compiler,
  # in another version's folder. In VMs of their own, as all that runs in one is concerned.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @moduletag timeout: 180_000

  @prelude ~S'''
  defmodule Reload do
    # Does it again and again, until it is told to stop. Gives what has come of it, each once.
    def again(fun) do
      parent = self()
      spawn_link(fn -> send(parent, {self(), loop(fun, MapSet.new(), 0)}) end)
    end

    defp loop(fun, seen, count) do
      seen =
        try do
          MapSet.put(seen, outcome(fun.()))
        rescue
          error -> MapSet.put(seen, error.__struct__)
        catch
          :exit, reason -> MapSet.put(seen, {:exit, reason})
        end

      receive do
        :stop -> {MapSet.to_list(seen), count}
      after
        0 -> loop(fun, seen, count + 1)
      end
    end

    defp outcome({:error, %error{}}), do: error
    defp outcome(_), do: :ok

    def stop(pids) do
      for pid <- pids, do: send(pid, :stop)
      for pid <- pids, do: receive(do: ({^pid, outcome} -> outcome))
    end

    def load(module) do
      :code.purge(module)
      {:module, ^module} = :code.load_file(module)
    end

    def eventually(fun, tries \\ 1_000) do
      cond do
        fun.() -> :ok
        tries == 0 -> raise "it did not come about"
        true -> Process.sleep(10) && eventually(fun, tries - 1)
      end
    end
  end

  Python.exec!("""
  import gc, time

  class Counted:
      living = 0
      def __init__(self):
          Counted.living += 1
      def __del__(self):
          Counted.living -= 1

  def items():
      for n in range(5_000):
          yield n
  """)
  '''

  defp run(code, options \\ []) do
    {output, status} = FreshVM.run(@prelude <> code, [timeout: 120_000] ++ options)
    assert status == 0, output
    output
  end

  test "twenty times, while calls, streams, contexts and callbacks run" do
    output =
      run(~S'''
      handles = for _ <- 1..100, do: Python.call!(:__main__, :Counted)
      {:ok, context} = Python.Context.start_link()
      workers = Python.Pool.stats(Python.Pool).workers

      pids = [
        Reload.again(fn -> Python.call(:math, :sqrt, [4]) end),
        Reload.again(fn -> Python.call(:time, :sleep, [0.01]) end),
        Reload.again(fn -> Python.call(:time, :sleep, [0.2]) end),
        Reload.again(fn -> 12_497_500 = Python.stream(:__main__, :items) |> Enum.sum() end),
        Reload.again(fn -> Python.eval("1 + 1", %{}, context: context) end),
        Reload.again(fn -> Python.eval("f(1)", %{f: fn n -> n + 1 end}) end),
        Reload.again(fn -> Python.map(:math, :sqrt, [[1], [4]]) end)
      ]

      for n <- 1..20 do
        Reload.load(:erlang_python)
        Reload.load(:erlang_python_loader)
        if rem(n, 4) == 0, do: Reload.load(Python.Engine.Main.Worker)
        Process.sleep(50)
      end

      for {outcomes, count} <- Reload.stop(pids), do: IO.inspect({outcomes, count > 2}, label: "outcomes")
      Reload.eventually(fn -> Python.Pool.stats(Python.Pool).workers == workers end)
      100 = Python.eval!("Counted.living")
      true = Enum.all?(handles, &(Python.type(&1) == "__main__.Counted"))
      {:ok, 2} = Python.eval("1 + 1", %{}, context: context)
      IO.puts("all there")
      ''')

    assert output =~ "all there"
    assert length(Regex.scan(~r/outcomes: .*true/, output)) == 7, output

    for [_, outcomes] <- Regex.scan(~r/outcomes: \{\[(.*)\], \w+\}/, output) do
      # What ran in the old code when that was purged has ended with it.
      assert outcomes in [":ok", "Python.StoppedError, :ok", ":ok, Python.StoppedError"], output
    end
  end

  test "handles made before are freed afterwards" do
    output =
      run(~S'''
      parent = self()

      owner = spawn(fn ->
        handles = for _ <- 1..50, do: Python.call!(:__main__, :Counted)
        send(parent, :made)
        receive(do: (:stop -> length(handles)))
      end)

      receive(do: (:made -> :ok))
      50 = Python.eval!("Counted.living")
      for _ <- 1..3, do: Reload.load(:erlang_python)
      50 = Python.eval!("Counted.living")
      send(owner, :stop)
      Reload.eventually(fn -> Python.eval!("Counted.living") == 0 end)
      IO.puts("freed")
      ''')

    assert output =~ "freed"
  end

  test "by a compiler, as recompile in IEx does" do
    output =
      run(~S'''
      Code.compiler_options(ignore_module_conflict: true)
      pids = [Reload.again(fn -> Python.call(:math, :sqrt, [4]) end)]

      for _ <- 1..3, file <- ~w(lib/erlang_python.ex lib/erlang_python_loader.ex lib/python/engine/main/worker.ex) do
        Code.compile_file(file)
        {:ok, 2.0} = Python.call(:math, :sqrt, [4])
      end

      IO.inspect(Reload.stop(pids))
      {:ok, 2.0} = Python.call(:math, :sqrt, [4], timeout: :infinity)
      IO.puts("compiled")
      ''')

    assert output =~ "compiled"
    refute output =~ "nif_not_loaded"
  end

  test "the application starts again afterwards" do
    output =
      run(~S'''
      for _ <- 1..3 do
        Reload.load(:erlang_python)
        Reload.load(:erlang_python_loader)
        :ok = Application.stop(:erlang_python)
        :ok = Application.start(:erlang_python)
        {:ok, 2.0} = Python.call(:math, :sqrt, [4])
      end

      # With none of the old code left.
      Application.stop(:erlang_python)
      for module <- [:erlang_python, :erlang_python_loader] do
        :code.purge(module)
        :code.delete(module)
        :code.purge(module)
      end
      :ok = Application.start(:erlang_python)
      {:ok, 2.0} = Python.call(:math, :sqrt, [4])
      IO.puts("started")
      ''')

    assert output =~ "started"
  end

  describe "with a copy of the application" do
    @describetag :tmp_dir

    # The folder of an application: its beams and native libraries.
    @copy ~S'''
    copy = fn name ->
      app = Path.join(folder, name)
      from = Application.app_dir(:erlang_python)
      File.mkdir_p!(Path.join(app, "priv"))
      File.cp_r!(Path.join(from, "ebin"), Path.join(app, "ebin"))
      for part <- ["native", "python"] do
        File.cp_r!(Path.join([from, "priv", part]), Path.join([app, "priv", part]))
      end
      Code.prepend_path(Path.join(app, "ebin"))
      app
    end
    '''

    defp run_with_copies(folder, code) do
      code = "folder = #{inspect(folder)}\n" <> @copy <> code
      assert {output, 0} = FreshVM.run(code, start: false, timeout: 120_000)
      output
    end

    test "a library that was built anew is refused, and the old code works on", %{tmp_dir: folder} do
      output =
        run_with_copies(
          folder,
          ~S'''
          app = copy.("erlang_python-1")
          {:ok, _} = Application.ensure_all_started(:erlang_python)
          {:ok, 2.0} = Python.call(:math, :sqrt, [4])
          library = Path.join(app, "priv/native/liberlang_python_nif.so")
          true = to_string(:code.priv_dir(:erlang_python)) =~ "erlang_python-1"
          File.write!(library <> ".new", [File.read!(library), 0])
          File.rename!(library <> ".new", library)

          for _ <- 1..3 do
            :code.purge(:erlang_python)
            {:error, :on_load_failure} = :code.load_file(:erlang_python)
            {:ok, 2.0} = Python.call(:math, :sqrt, [4])
          end

          # Deleted first, as IEx does: the library that is in memory goes on.
          :code.purge(:erlang_python)
          :code.delete(:erlang_python)
          {:module, :erlang_python} = :code.load_file(:erlang_python)
          {:ok, 2.0} = Python.call(:math, :sqrt, [4])
          IO.puts("works on")
          '''
        )

      assert output =~ "works on"
      assert output =~ "Restart the VM"
    end

    test "the same library in the folder of another version is taken", %{tmp_dir: folder} do
      output =
        run_with_copies(
          folder,
          ~S'''
          copy.("erlang_python-1")
          {:ok, _} = Application.ensure_all_started(:erlang_python)
          object = Python.eval!("object()")
          copy.("erlang_python-2")
          true = to_string(:code.priv_dir(:erlang_python)) =~ "erlang_python-2"

          for _ <- 1..3 do
            :code.purge(:erlang_python)
            {:module, :erlang_python} = :code.load_file(:erlang_python)
          end

          "object" = Python.type(object)
          IO.puts("taken")
          '''
        )

      assert output =~ "taken"
    end
  end
end
