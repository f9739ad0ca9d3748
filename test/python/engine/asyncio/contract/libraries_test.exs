defmodule Python.Engine.Asyncio.Contract.LibrariesTest do
  # What libraries and debuggers see of a call's task, and what of asyncio they use there.
  use Python.LoopCase, async: false

  alias Python.Error

  setup do
    {:ok, pool: start_loop()}
  end

  @looks """
  import asyncio, inspect, io

  async def NAME_inner():
      task = asyncio.current_task()
      coro = task.get_coro()
      text = io.StringIO()
      task.print_stack(file=text)
      return {
          "repr": repr(task),
          "stack": [frame.f_code.co_name for frame in task.get_stack()],
          "printed": text.getvalue(),
          "state": inspect.getcoroutinestate(coro),
          "coroutine": asyncio.iscoroutine(coro) and inspect.isawaitable(coro),
          "name": coro.__qualname__,
          "code": coro.cr_code.co_name,
          "in all": task in asyncio.all_tasks(),
          "done": task.done(),
      }

  async def NAME():
      return await NAME_inner()
  """

  test "a task is what it is in asyncio.run", %{pool: pool} do
    function = define(@looks)
    on_loop = Python.call!(:__main__, function, [], pool: pool)
    code = "__import__('asyncio').run(#{function}())"
    alone = Python.eval!(code)

    assert List.last(on_loop["stack"]) == function

    for key <- ["state", "coroutine", "name", "code", "in all", "done"],
        do: assert({key, on_loop[key]} == {key, alone[key]})

    assert on_loop["repr"] =~ function
    assert on_loop["printed"] =~ "await #{function}_inner()"
  end

  test "from outside it is seen where it waits", %{pool: pool, name: name} do
    call = Python.call_async(:coroutines, :held, [name], pool: pool)
    eventually_told(name, "begun")

    code = """
    [(repr(t), [f.f_code.co_name for f in t.get_stack()], __import__('inspect').getcoroutinestate(t.get_coro()))
     for t in coroutines.asyncio.all_tasks() if t is not coroutines.asyncio.current_task()]
    """

    assert {:ok, [{repr, stack, "CORO_SUSPENDED"}]} = Python.eval(String.trim(code), pool: pool)
    assert repr =~ "held"
    assert "held" in stack
    open_gate(name)
    assert Python.await(call) == {:ok, "through"}
  end

  test "the tools of asyncio work", %{pool: pool} do
    source = """
    import asyncio, contextlib

    class NAME:
        async def semaphore():
            slots = asyncio.Semaphore(2)
            most = now = 0
            async def one():
                nonlocal most, now
                async with slots:
                    now += 1
                    most = max(most, now)
                    await asyncio.sleep(0.001)
                    now -= 1
            await asyncio.gather(*[one() for _ in range(10)])
            return most

        async def condition():
            condition = asyncio.Condition()
            async def wait():
                async with condition:
                    await condition.wait()
                    return 1
            tasks = [asyncio.ensure_future(wait()) for _ in range(5)]
            await asyncio.sleep(0.01)
            async with condition:
                condition.notify_all()
            return sum(await asyncio.gather(*tasks))

        async def completed():
            return sorted([await f for f in asyncio.as_completed([coroutines.answer(n) for n in range(5)])])

        async def waited():
            tasks = [asyncio.ensure_future(coroutines.answer(n)) for n in range(3)]
            done, pending = await asyncio.wait(tasks)
            return [len(done), len(pending)]

        async def stack():
            told = []
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_callback(NAME.tell, told)
                await asyncio.sleep(0)
            return told

        async def tell(told):
            await asyncio.sleep(0)
            told.append("left")

        async def sockets():
            async def serve(reader, writer):
                writer.write((await reader.readline()).upper())
                await writer.drain()
                writer.close()
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\\n")
            answer = await reader.read()
            writer.close()
            server.close()
            return answer.decode()

        async def names():
            loop = asyncio.get_running_loop()
            return len(await loop.getaddrinfo("127.0.0.1", 80)) > 0

        async def program():
            process = await asyncio.create_subprocess_exec(
                "sh", "-c", "echo out; exit 3", stdout=asyncio.subprocess.PIPE)
            out, _ = await process.communicate()
            return [out.decode(), process.returncode]

        async def programs():
            async def one(n):
                process = await asyncio.create_subprocess_shell("exit %d" % n)
                return await process.wait()
            return await asyncio.gather(*[one(n) for n in range(10)])

        async def killed():
            process = await asyncio.create_subprocess_exec("sleep", "1000")
            try:
                await asyncio.wait_for(process.wait(), 0.05)
            except asyncio.TimeoutError:
                process.kill()
            return await process.wait()
    """

    name = define(source)

    for {function, expected} <- [
          semaphore: 2,
          condition: 5,
          completed: [0, 1, 2, 3, 4],
          waited: [3, 0],
          stack: ["left"],
          sockets: "HELLO\n",
          names: true,
          program: ["out\n", 3],
          programs: Enum.to_list(0..9),
          killed: -9
        ] do
      result = Python.call(:__main__, "#{name}.#{function}", [], pool: pool, timeout: 20_000)
      assert {function, result} == {function, {:ok, expected}}
    end

    # The VM's own programs are waited for by the VM.
    assert {"x\n", 4} = System.cmd("sh", ["-c", "echo x; exit 4"])
    assert Python.call!(:subprocess, :call, [["sh", "-c", "exit 5"]]) == 5
    eventually_no_tasks(pool)
  end

  @tag python: "3.11"
  test "asyncio.timeout, Runner and Barrier work", %{pool: pool} do
    source = """
    import asyncio

    class NAME:
        async def timeout():
            try:
                async with asyncio.timeout(0.02):
                    await asyncio.sleep(1000)
            except TimeoutError:
                return asyncio.current_task().cancelling()

        async def barrier():
            barrier = asyncio.Barrier(3)
            return sorted(await asyncio.gather(*[barrier.wait() for _ in range(3)]))

        async def runner():
            def run():
                with asyncio.Runner() as runner:
                    return runner.run(coroutines.answer(5))
            return await asyncio.to_thread(run)

        async def nested():
            try:
                async with asyncio.timeout(1000):
                    async with asyncio.timeout(0.02):
                        async with asyncio.TaskGroup() as group:
                            group.create_task(asyncio.sleep(1000))
            except TimeoutError:
                return "inner"
    """

    name = define(source)

    for {function, expected} <- [timeout: 0, barrier: [0, 1, 2], runner: 5, nested: "inner"] do
      result = Python.call(:__main__, "#{name}.#{function}", [], pool: pool, timeout: 20_000)
      assert {function, result} == {function, {:ok, expected}}
    end
  end

  test "a traced and a profiled loop works", %{pool: pool} do
    code =
      "import sys\nsys.setprofile(lambda *a: None)\nawait coroutines.answer()\nsys.setprofile(None)"

    assert Python.exec(code, pool: pool) == :ok
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
  end

  test "warnings of coroutines that were never awaited are told", %{pool: pool} do
    code = "coroutines.answer(1) and None"
    assert Python.eval(code, pool: pool) == {:ok, nil}
    on_loop(pool, :collect)
    assert on_loop(pool, :answer, [1]) == {:ok, 1}
  end

  test "an error has the frames of the user's code alone", %{pool: pool} do
    function =
      define(
        "async def NAME_inner():\n    await coroutines.fail('x')\nasync def NAME():\n    await NAME_inner()"
      )

    assert {:error, %Error{frames: frames}} = Python.call(:__main__, function, [], pool: pool)
    assert Enum.map(frames, & &1.function) == [function, function <> "_inner", "fail"]
  end
end
