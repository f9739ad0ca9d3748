defmodule Python.Engine.Asyncio.OriginTest do
  # Whose code runs in an event loop: `erlang.self()`, output and logs are those of the call that it is of.

  use Python.TestCase, async: true

  import ExUnit.CaptureIO

  setup_all do
    name =
      define("""
      class NAME:
          import asyncio, erlang, functools, logging, threading

          async def task():
              await NAME.asyncio.sleep(0.002)
              return NAME.erlang.self()

          async def of_task():
              return await NAME.asyncio.create_task(NAME.task())

          async def of_tasks_of_tasks():
              return await NAME.asyncio.create_task(NAME.of_task())

          async def later(how):
              loop = NAME.asyncio.get_running_loop()
              future = loop.create_future()
              def called(*_):
                  try:
                      future.set_result(NAME.erlang.self())
                  except BaseException as error:
                      future.set_exception(error)
              if how == "soon": loop.call_soon(called)
              if how == "later": loop.call_later(0.001, called)
              if how == "done": NAME.asyncio.create_task(NAME.asyncio.sleep(0)).add_done_callback(called)
              if how == "threadsafe":
                  NAME.threading.Thread(target=lambda: loop.call_soon_threadsafe(called)).start()
              return await future

          async def of_executor():
              loop = NAME.asyncio.get_running_loop()
              return await loop.run_in_executor(None, NAME.asks)

          async def of_thread():
              return await NAME.asyncio.to_thread(NAME.asks)

          def asks():
              return NAME.erlang.call("NAME_caller")

          async def prints(text):
              print(text, "begins")
              await NAME.asyncio.sleep(0.005)
              async def inner():
                  await NAME.asyncio.sleep(0.002)
                  print(text, "in a task")
              await NAME.asyncio.gather(inner(), inner())
              NAME.asyncio.get_running_loop().call_soon(print, text, "is called")
              await NAME.asyncio.sleep(0)
              await NAME.asyncio.get_running_loop().run_in_executor(None, print, text, "in a thread")
              print(text, "ends", end="")

          def prints_at_once(text):
              print(text)

          async def fire_and_forget(future):
              async def background():
                  await NAME.asyncio.sleep(0.05)
                  print("in the background")
                  return NAME.erlang.self()
              NAME.kept = NAME.asyncio.get_running_loop().create_task(background())

          async def waits_for_it(): return await NAME.kept
      """)

    Python.register("#{name}_caller", fn -> hd(Process.get(:"$callers")) end)
    %{name: name, pool: start_pool(engine: :asyncio, timeout: 20_000)}
  end

  defp ask(name, function, args, pool) do
    Python.call!(:__main__, "#{name}.#{function}", args, pool: pool)
  end

  defp from_many(count, fun) do
    calls = for n <- 1..count, do: Task.async(fn -> {self(), fun.(n)} end)
    Task.await_many(calls, 20_000)
  end

  test "erlang.self() is the caller, in tasks and in what the loop calls", %{
    name: name,
    pool: pool
  } do
    for {function, args} <- [
          task: [],
          of_task: [],
          of_tasks_of_tasks: [],
          later: ["soon"],
          later: ["later"],
          later: ["done"],
          later: ["threadsafe"]
        ] do
      for {caller, seen} <- from_many(20, fn _ -> ask(name, function, args, pool) end) do
        assert seen == caller, "#{function} #{inspect(args)}"
      end
    end
  end

  test "callbacks of threads are for the call that runs them", %{name: name, pool: pool} do
    functions =
      if python_version() >= {3, 9}, do: [:of_executor, :of_thread], else: [:of_executor]

    for function <- functions do
      for {caller, seen} <- from_many(20, fn _ -> ask(name, function, [], pool) end) do
        assert seen == caller, "#{function}"
      end
    end
  end

  test "what is printed goes to the caller, whole and in order, before the call returns", %{
    name: name,
    pool: pool
  } do
    outputs =
      from_many(20, fn n ->
        capture_io(fn -> ask(name, :prints, ["call #{n}"], pool) end)
      end)

    for {{_caller, output}, n} <- Enum.with_index(outputs, 1) do
      lines = String.split(output, "\n")
      expected = ["begins", "in a task", "in a task", "is called", "in a thread", "ends"]
      assert lines == Enum.map(expected, &"call #{n} #{&1}")
    end

    assert capture_io(fn -> ask(name, :prints_at_once, ["at once"], pool) end) == "at once\n"
  end

  test "a task that outlives its call belongs to it still", %{name: name, pool: pool} do
    me = self()

    output =
      capture_io(fn ->
        ask(name, :fire_and_forget, [nil], pool)
        assert ask(name, :waits_for_it, [], pool) == me
      end)

    assert output == "in the background\n"
  end
end
