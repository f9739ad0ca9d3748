defmodule Python.Engine.Asyncio.PackagesTest do
  # What a user does with packages: clients, a server and a driver that live on the loop. In a VM whose Python has them.
  use Python.TestCase, async: false

  alias Python.{FreshVM, Packages}

  @packages ~w(aiohttp aiosqlite httpx redis uvloop)
  @moduletag skip: Packages.skip(__ENV__, @packages)
  @moduletag timeout: 180_000

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    paths = [Python.Checkout.path("test/support/python")]
    vm = FreshVM.start(settings: [python_path: venv, paths: paths])
    # aiohttp and httpx log each request.
    FreshVM.call(vm, :logger, :set_primary_config, [:level, :error])
    on_exit(fn -> FreshVM.stop(vm) end)
    {:ok, vm: vm}
  end

  # Runs code there, with two pools: of uvloop and of asyncio.
  defp on_loops(vm, code, loops \\ [:uvloop, :asyncio]) do
    for loop <- loops do
      text = """
      Process.flag(:trap_exit, true)

      {:ok, supervisor} =
        Supervisor.start_link([{Python.Pool, name: Loop, engine: :asyncio, loop: #{inspect(loop)}}],
          strategy: :one_for_one
        )

      try do
        call = fn name, args -> Python.call!(:http_work, name, args, pool: Loop) end
        Python.exec!("import asyncio, http_work", pool: Loop)

        eventually = fn eventually, what, condition, left ->
          cond do
            value = condition.() -> value
            left == 0 -> raise "it did not come about that \#{what}"
            true ->
              Process.sleep(10)
              eventually.(eventually, what, condition, left - 1)
          end
        end

        eventually = &eventually.(eventually, &1, &2, 1500)
        _ = {call, eventually}
        #{code}
        {:gave, result}
      catch
        kind, error -> {:raised, Exception.format(kind, error, __STACKTRACE__)}
      after
        if Process.alive?(supervisor), do: Supervisor.stop(supervisor)
      end
      """

      case FreshVM.call(vm, Code, :eval_string, [text], 150_000) do
        {{:gave, result}, _} -> {loop, result}
        {{:raised, text}, _} -> flunk("with #{loop}: #{text}")
      end
    end
  end

  @server """
  shop = Python.call!(:http_work, :Shop, [], pool: Loop)
  address = Python.call!(shop, :start)
  session = call.(:session, [address])
  client = call.(:client, [address])
  numbers = fn -> Python.call!(shop, :numbers) end
  """

  @close """
  Python.call!(session, :close)
  Python.call!(client, :aclose)
  Python.call!(shop, :stop)
  """

  test "each pool has the loop that it was asked for", %{vm: vm} do
    code = "Python.eval!(\"type(asyncio.get_running_loop()).__module__\", pool: Loop)"

    for {loop, module} <- on_loops(vm, "result = #{code}") do
      assert module =~ Atom.to_string(loop)
    end

    [{:auto, module}] = on_loops(vm, "result = #{code}", [:auto])
    assert module =~ "uvloop"
  end

  test "a client session is used by thousands of calls of all processes", %{vm: vm} do
    code =
      @server <>
        """
        results =
          # Those of httpx wait for their connection in a list that each of them goes through.
          for {name, client, count} <- [{:number, session, 2000}, {:httpx_number, client, 50}] do
            1..count
            |> Task.async_stream(fn n -> {n, call.(name, [client, n])} end, max_concurrency: 1000, timeout: 60_000)
            |> Enum.all?(fn {:ok, {n, number}} -> n == number end)
          end

        bytes = :crypto.strong_rand_bytes(3_000_000)
        echoed = call.(:post, [session, {:bytes, bytes}]) == bytes
        result = {results, echoed, numbers.()["now"]}
        """ <> @close

    for {loop, result} <- on_loops(vm, code),
        do: assert({loop, result} == {loop, {[true, true], true, 0}})
  end

  test "handlers of a server await Elixir", %{vm: vm} do
    code =
      @server <>
        """
        Python.register(:shout, &String.upcase/1)
        Python.register(:fails, fn _ -> raise "no" end)

        # Which calls Python again, on the same loop.
        Python.register(:again, fn n -> call.(:number, [session, String.to_integer(n)]) end)

        shouted =
          1..200
          |> Task.async_stream(fn n -> call.(:get, [session, "/elixir/shout/a\#{n}"]) end, max_concurrency: 200, timeout: 60_000)
          |> Enum.map(fn {:ok, text} -> text end)

        expected = for n <- 1..200, do: ~s({"value": "A\#{n}"})
        failed = Python.call(:http_work, :get, [session, "/elixir/fails/x"], pool: Loop)
        {:error, %Python.Error{type: "ClientResponseError"} = error} = failed
        again = call.(:get, [session, "/elixir/again/7"])
        result = {shouted == expected, Exception.message(error) =~ "500", again}
        """ <> @close

    for {loop, result} <- on_loops(vm, code),
        do: assert({loop, result} == {loop, {true, true, ~s({"value": 7})}})
  end

  test "events are streams; a reader that leaves ends the request", %{vm: vm} do
    code =
      @server <>
        """
        read = fn name, client, count -> Python.stream(:http_work, name, [client, count], pool: Loop) end
        all = for {name, client} <- [events: session, httpx_events: client], do: Enum.to_list(read.(name, client, 500)) == Enum.to_list(0..499)
        some = for {name, client} <- [events: session, httpx_events: client], do: Enum.take(read.(name, client, 1_000_000), 3)

        {reader, monitor} =
          spawn_monitor(fn -> Enum.each(read.(:events, session, 1_000_000), &(&1 == 10 && exit(:enough))) end)

        receive do {:DOWN, ^monitor, _, ^reader, :enough} -> :ok end
        eventually.("all requests have ended", fn -> numbers.()["now"] == 0 end)
        eventually.("no connection is in use", fn -> call.(:acquired, [session]) == 0 end)
        result = {all, some}
        """ <> @close

    for {loop, result} <- on_loops(vm, code),
        do: assert({loop, result} == {loop, {[true, true], [[0, 1, 2], [0, 1, 2]]}})
  end

  test "requests of calls that time out or whose caller is killed are cancelled", %{vm: vm} do
    code =
      @server <>
        """
        for _ <- 1..20, {client, name} <- [{session, :get}] do
          {:error, %Python.TimeoutError{}} = Python.call(:http_work, name, [client, "/slow"], pool: Loop, timeout: 50)
        end

        callers = for _ <- 1..50, do: spawn(fn -> call.(:get, [session, "/slow"]) end)
        eventually.("they have asked", fn -> numbers.()["now"] >= 50 end)
        for caller <- callers, do: Process.exit(caller, :kill)
        eventually.("no connection is in use", fn -> call.(:acquired, [session]) == 0 end)
        works = call.(:number, [session, 5])
        result = works
        """ <> @close

    for {loop, result} <- on_loops(vm, code), do: assert({loop, result} == {loop, 5})
  end

  test "a driver of a database over a socket", %{vm: vm} do
    code = """
    server = Python.call!(:fake_redis, :Server, [], pool: Loop)
    port = Python.call!(server, :start)
    Python.exec!("import redis.asyncio", pool: Loop)
    redis = Python.call!("redis.asyncio", :Redis, [], kwargs: %{port: port, max_connections: 20, decode_responses: true, protocol: 2}, pool: Loop, return: :object)
    true = Python.call!(redis, :set, ["tea", "3"])
    three = Python.call!(redis, :get, ["tea"])
    none = Python.call!(redis, :get, ["coal"])

    1..15
    |> Enum.map(fn _ -> Task.async(fn -> for _ <- 1..100, do: Python.call!(redis, :incrby, ["count", 1]) end) end)
    |> Task.await_many(60_000)

    count = Python.call!(redis, :get, ["count"])
    {:error, %Python.TimeoutError{}} = Python.call(redis, :blpop, ["list", 100], timeout: 50)
    {:error, error} = Python.call(redis, :execute_command, ["NONSENSE"])
    pong = Python.call!(redis, :ping)
    {_, opened} = Python.call!(:fake_redis, :counts, [server], pool: Loop)
    Python.call!(redis, :aclose)
    eventually.("its connections are closed", fn -> match?({0, _}, Python.call!(:fake_redis, :counts, [server], pool: Loop)) end)
    Python.call!(server, :stop)
    result = {three, none, count, pong, opened <= 21, error.type}
    """

    for {loop, result} <- on_loops(vm, code),
        do: assert({loop, result} == {loop, {"3", nil, "1500", true, true, "ResponseError"}})
  end

  test "a pool that stops with sessions and servers open ends the requests", %{vm: vm} do
    code =
      @server <>
        """
        calls = for _ <- 1..20, do: Python.call_async(:http_work, :get, [session, "/slow"], pool: Loop)
        eventually.("they have asked", fn -> numbers.()["now"] == 20 end)
        Supervisor.stop(supervisor)
        answers = for call <- calls, {:error, error} <- [Python.await(call)], uniq: true, do: error.__struct__
        result = {answers, Python.call!(shop, :numbers, [], pool: Python.Pool)["now"]}
        """

    for {loop, result} <- on_loops(vm, code),
        do: assert({loop, result} == {loop, {[Python.StoppedError], 0}})
  end
end
