defmodule Python.Engine.Asyncio.Contract.WithTest do
  # The body of a `with` in an event loop.
  use Python.LoopCase, async: true

  defp new(class, arguments, place),
    do: Python.call!(:managers, class, arguments, [return: :object] ++ place)

  defp state(place), do: Python.call!(:managers, :state, [], place) |> hd()

  test "sees the context variables that the manager has set, in a context too" do
    {:ok, context} = Python.Context.start_link(engine: :asyncio)

    for place <- [[pool: start_loop()], [pool: start_loop(size: 3)], [context: context]] do
      Python.with(new(:Token, ["outer"], place), fn _ ->
        assert state(place) == "outer"
        Python.with(new(:Token, ["inner"], place), fn _ -> assert state(place) == "inner" end)
        assert state(place) == "outer"
      end)

      assert state(place) == "clean"
    end
  end

  test "is in the loop of its manager, of several, whatever else they do" do
    place = [pool: start_loop(size: 3)]

    1..60
    |> Task.async_stream(
      fn n ->
        manager = new(:Threads, [], place)

        idents =
          Python.with(manager, fn entered ->
            for _ <- 1..5 do
              Python.call!(:coroutines, :after, [0.001 * rem(n, 3)], place)
              Python.call!(:managers, :ident, [], place)
            end ++ [Python.getattr!(entered, :threads) |> hd()]
          end)

        assert [thread, thread] = Python.getattr!(manager, :threads)
        assert Enum.uniq(idents) == [thread]
      end,
      max_concurrency: 60,
      timeout: 30_000
    )
    |> Stream.run()
  end

  test "is left when it is over, those within it first: at a timeout, a death, and an exception" do
    for place <- [[pool: start_loop()], [pool: start_loop(size: 2)]],
        how <- [:time, :kill, :raise] do
      order = Python.eval!("[]", %{}, [return: :object] ++ place)

      [outer, middle, inner] =
        for n <- ~w(outer middle inner), do: new(:Noting, [order, n], place)

      test = self()

      work = fn ->
        send(test, {:in, how, place})
        if how == :raise, do: raise("in the body"), else: Process.sleep(:infinity)
      end

      run = fn options ->
        Python.with(
          outer,
          fn _ ->
            Python.with(middle, fn _ -> Python.with(inner, fn _ -> work.() end) end)
          end,
          options
        )
      end

      case how do
        :raise ->
          assert_raise RuntimeError, fn -> run.([]) end

        :time ->
          assert_raise Python.TimeoutError, fn -> run.(timeout: 300) end

        :kill ->
          pid = start(fn -> run.(timeout: :infinity) end)
          assert_receive {:in, :kill, ^place}, 5_000
          Process.exit(pid, :kill)
      end

      eventually("all are left", fn -> Python.call!(order, :__len__) == 3 end)
      assert Python.call!(order, :copy, []) == ["inner", "middle", "outer"]
    end
  end
end
