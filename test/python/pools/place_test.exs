defmodule Python.Pools.PlaceTest do
  # :pool and :context: what is none, and what is not ready yet.

  use Python.EngineCase, async: true

  alias Python.{Context, NotStartedError, Pool, StoppedError, TimeoutError}

  defmodule Server do
    @moduledoc false
    # It dies of any message.
    use GenServer
    def init(nil), do: {:ok, nil}
  end

  defp named, do: String.to_atom(unique("Elixir.TestName"))

  describe "a process that is no pool or context" do
    test "is refused in the caller, and gets no message" do
      {server, agent, plain, supervisor} = {named(), named(), named(), named()}

      start_supervised!(%{
        id: server,
        start: {GenServer, :start_link, [Server, nil, [name: server]]}
      })

      start_supervised!(%{id: agent, start: {Agent, :start_link, [fn -> 0 end, [name: agent]]}})
      start_supervised!({Task.Supervisor, name: supervisor})
      process = spawn(fn -> receive do: (:end -> :ok) end)
      Process.register(process, plain)

      for name <- [server, agent, plain, supervisor], place <- [name, Process.whereis(name)] do
        pid = Process.whereis(name)

        assert_raise ArgumentError, ~r/expected a context/, fn ->
          Python.eval("1", context: place)
        end

        assert_raise ArgumentError, ~r/expected a context/, fn ->
          Python.exec("1", context: place)
        end

        assert_raise ArgumentError, ~r/expected a context/, fn ->
          Python.call(:math, :sqrt, [4], context: place)
        end

        assert_raise ArgumentError, ~r/expected a context/, fn ->
          Python.call_async(:math, :sqrt, [4], context: place)
        end

        assert_raise ArgumentError, ~r/expected a context/, fn ->
          Enum.to_list(Python.stream_eval("[1]", context: place))
        end

        assert_raise ArgumentError, ~r/expected a context/, fn -> Python.send(place, 1) end
        assert_raise ArgumentError, ~r/expected a context/, fn -> Context.stop(place) end

        if is_atom(place) do
          assert_raise ArgumentError, ~r/expected a pool/, fn -> Python.eval("1", pool: place) end
          assert_raise ArgumentError, ~r/expected a pool/, fn -> Pool.stats(place) end

          assert_raise ArgumentError, ~r/expected a pool/, fn ->
            Enum.to_list(Python.stream_eval("[1]", pool: place))
          end
        end

        assert Process.whereis(name) == pid
        assert Process.info(pid, :message_queue_len) == {:message_queue_len, 0}
      end

      send(process, :end)
    end

    test "which holds for a pool as a context, and a context as a pool" do
      pool = start_pool()
      name = named()
      context = start_context(name: name)

      for place <- [pool, Process.whereis(pool)] do
        assert_raise ArgumentError, ~r/Use the option :pool/, fn ->
          Python.eval("1", context: place)
        end

        assert_raise ArgumentError, ~r/Use the option :pool/, fn -> Context.stop(place) end
      end

      assert_raise ArgumentError, ~r/Use the option :context/, fn ->
        Python.eval("1", pool: name)
      end

      assert_raise ArgumentError, ~r/Use the option :context/, fn -> Pool.stats(name) end
      assert_raise ArgumentError, fn -> Pool.stats(context) end
      assert_raise ArgumentError, fn -> Pool.stats(context.pid) end
      assert Python.eval!("1", pool: pool) == 1
      assert Python.eval!("1", context: name) == 1
      assert Python.eval!("1", context: context.pid) == 1
    end

    test "and the default pool is no context" do
      assert_raise ArgumentError, ~r/Use the option :pool/, fn ->
        Python.eval("1", context: Pool)
      end

      assert Python.eval!("1") == 1
    end
  end

  test "what is not there is an error" do
    context = start_context()
    :ok = Context.stop(context)

    for place <- [named(), context.pid, spawn(fn -> :ok end)] do
      eventually("it is gone", fn -> not is_pid(place) or not Process.alive?(place) end)
      assert {:error, %NotStartedError{}} = Python.eval("1", context: place)
      assert Context.stop(place) == :ok
    end

    assert {:error, %NotStartedError{}} = Python.eval("1", pool: named())
  end

  describe "calls wait for :init" do
    # Until the file is there.
    defp init(file) do
      """
      import os, time
      while not os.path.exists(#{inspect(file)}):
          time.sleep(0.005)
      #{unique("ready")} = True
      """
    end

    defp file, do: Path.join(System.tmp_dir!(), unique("init"))

    defp start(:pool, options) do
      name = named()
      {:ok, _} = start_supervised({Pool, [name: name, size: 2] ++ options})
      [pool: name]
    end

    defp start(:context, options) do
      name = named()
      {:ok, _} = start_supervised({Context, [name: name] ++ options})
      [context: name]
    end

    for kind <- [:pool, :context] do
      test "of a #{kind}, and run when it is done" do
        {file, name, ready} = {file(), named(), unique("ready")}
        on_exit(fn -> File.rm(file) end)
        place = [{unquote(kind), name}]
        code = init(file) <> "#{ready} = True\n"
        test = self()

        starter =
          Task.async(fn ->
            options = [name: name, init: code]

            {:ok, _} =
              if unquote(kind) == :pool,
                do: Pool.start_link([size: 2] ++ options),
                else: Context.start_link(options)

            send(test, :started)
            receive do: (:end -> :ok)
          end)

        eventually("it has a name", fn -> Process.whereis(name) end)

        tasks =
          for timeout <- [10_000, :infinity, 10_000, 5_000] do
            Task.async(fn ->
              eventually("it takes calls", fn ->
                result = Python.eval("#{ready}", [timeout: timeout] ++ place)
                match?({:error, %NotStartedError{}}, result) || {:ok, result}
                if match?({:error, %NotStartedError{}}, result), do: nil, else: result
              end)
            end)
          end

        late =
          eventually("it is known", fn ->
            result = Python.eval("1", [timeout: 30] ++ place)
            if match?({:error, %NotStartedError{}}, result), do: nil, else: result
          end)

        assert {:error, %TimeoutError{reason: :queued}} = late
        refute_received :started
        File.touch!(file)
        assert Task.await_many(tasks, 20_000) == List.duplicate({:ok, true}, 4)
        assert_receive :started, 10_000
        assert Python.eval("#{ready}", place) == {:ok, true}
        send(starter.pid, :end)
        Task.await(starter)
      end

      test "of a #{kind}, and are told when it fails" do
        {file, name} = {file(), named()}
        on_exit(fn -> File.rm(file) end)
        place = [{unquote(kind), name}]
        Process.flag(:trap_exit, true)

        starter =
          Task.async(fn ->
            Process.flag(:trap_exit, true)
            options = [name: name, init: init(file) <> "1 / 0\n"]

            if unquote(kind) == :pool,
              do: Pool.start_link([size: 2] ++ options),
              else: Context.start_link(options)
          end)

        task =
          Task.async(fn ->
            eventually("it waits", fn ->
              result = Python.eval("1", place)
              if match?({:error, %NotStartedError{}}, result), do: nil, else: result
            end)
          end)

        eventually("it waits", fn ->
          match?({:error, %TimeoutError{}}, Python.eval("1", [timeout: 10] ++ place))
        end)

        File.touch!(file)
        assert {:error, %StoppedError{}} = Task.await(task, 20_000)
        assert {:error, _} = Task.await(starter, 20_000)
      end

      test "of a #{kind}, which may call Elixir, and that Python" do
        name = unique("asked")
        Python.register(name, fn -> Python.eval!("40 + 2") end)
        on_exit(fn -> Python.unregister(name) end)
        ready = unique("ready")
        place = start(unquote(kind), init: "import erlang; #{ready} = erlang.call('#{name}')")
        assert Python.eval(ready, place) == {:ok, 42}
      end
    end

    test "and functions that :init calls may call the pool itself" do
      {name, ready} = {unique("asked"), unique("ready")}
      pool = named()
      Python.register(name, fn -> Python.eval!("40 + 2", pool: pool) end)
      on_exit(fn -> Python.unregister(name) end)

      start_supervised!(
        {Pool, name: pool, size: 1, init: "#{ready} = __import__('erlang').call('#{name}')"}
      )

      assert Python.eval(ready, pool: pool) == {:ok, 42}
    end
  end
end
