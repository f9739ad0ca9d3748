defmodule Python.Errors.LocalsTest do
  # An error keeps its exception, that its traceback, and that the frames: what these hold is let go of,
  # unless it is asked for.
  use Python.EngineCase, async: true

  @held "{t.tb_frame.f_code.co_name: sorted(t.tb_frame.f_locals) for t in traces(e)}"

  @source """
  def traces_of_locals(e):
      trace = e.__traceback__
      while trace is not None:
          yield trace
          trace = trace.tb_next

  class LocalsKept:
      pass

  def locals_fail(keep=None):
      big = LocalsKept()
      if keep is not None:
          import weakref
          keep.append(weakref.ref(big))
      return locals_inner([1])

  def locals_inner(items):
      other = 1
      raise ValueError(items)
  """

  setup_all do: Python.exec!(@source)

  defp held(error) do
    code = @held |> String.replace("traces", "traces_of_locals")
    Python.eval!(code, %{e: error.value}, at_home(error.value))
  end

  defp failed({:error, %Python.Error{} = error}), do: error

  @nothing %{"locals_fail" => [], "locals_inner" => []}
  @all %{"locals_fail" => ["big", "keep"], "locals_inner" => ["items", "other"]}

  test "an error keeps no variables, and its text and frames all the same" do
    error = failed(Python.call(:__main__, :locals_fail))
    assert held(error) == @nothing
    assert Enum.map(error.frames, & &1.function) == ["locals_fail", "locals_inner"]

    assert Python.eval!(
             "__import__('traceback').format_exception(type(e), e, e.__traceback__)[-1]",
             %{
               e: error.value
             }
           ) == "ValueError: [1]\n"

    code = failed(Python.eval("locals_fail()"))
    assert Map.delete(held(code), "<module>") == @nothing
    code = failed(Python.exec("locals_fail()"))
    assert Map.delete(held(code), "<module>") == @nothing
  end

  test "what only the frames held is freed before the call returns" do
    Python.exec!("locals_freed = []")
    failed(Python.eval("locals_fail(locals_freed)"))
    assert Python.eval!("[ref() is None for ref in locals_freed]") == [true]
  end

  test "with :keep_locals they stay, for a call, a pool or a context" do
    assert held(failed(Python.call(:__main__, :locals_fail, [], keep_locals: true))) == @all

    assert %{"locals_fail" => [_, _]} =
             held(failed(Python.eval("locals_fail()", %{}, keep_locals: true)))

    assert %{"locals_fail" => [_, _]} =
             held(failed(Python.exec("locals_fail()", keep_locals: true)))

    {:error, _} = map = Python.map(:__main__, :locals_fail, [[]], keep_locals: true)
    assert held(failed(map)) == @all

    async = Python.call_async(:__main__, :locals_fail, [], keep_locals: true)
    assert held(failed(Python.await(async))) == @all
    here = Python.call(:__main__, :locals_fail, [], keep_locals: true, timeout: :infinity)
    assert held(failed(here)) == @all

    pool = start_pool(keep_locals: true)
    Python.exec!(@source, pool: pool)
    assert held(failed(Python.call(:__main__, :locals_fail, [], pool: pool))) == @all
    off = Python.call(:__main__, :locals_fail, [], pool: pool, keep_locals: false)
    assert held(failed(off)) == @nothing

    context = start_context(keep_locals: true)
    Python.exec!(@source, context: context)
    Python.exec!("def fail(x): raise ValueError(x)", context: context)

    assert held(failed(Python.call(:__main__, :fail, [1], context: context))) == %{
             "fail" => ["x"]
           }
  end

  test "in streams as in calls" do
    Python.exec!("""
    def locals_stream():
        data = [1]
        yield 1
        locals_fail()
    """)

    stream = fn options ->
      error =
        assert_raise Python.Error, fn ->
          :__main__ |> Python.stream(:locals_stream, [], options) |> Stream.run()
        end

      held(error)
    end

    assert stream.([]) == Map.put(@nothing, "locals_stream", [])
    assert stream.(keep_locals: true) == Map.put(@all, "locals_stream", ["data"])
  end

  test "the option is a boolean" do
    assert_raise ArgumentError, ~r/:keep_locals to be true or false, got: 1/, fn ->
      Python.call(:math, :sqrt, [1], keep_locals: 1)
    end

    assert_raise ArgumentError, ~r/:keep_locals of a pool to be true or false/, fn ->
      Python.Pool.start_link(name: unique() |> String.to_atom(), keep_locals: nil)
    end
  end

  test "what led to an error lets go as well, in groups too" do
    Python.exec!("""
    def locals_caught():
        mine = 1
        try:
            locals_fail()
        except ValueError:
            raise KeyError(1)

    def locals_from():
        try:
            locals_fail()
        except ValueError as error:
            cause = error
        raise KeyError(2) from cause
    """)

    for function <- [:locals_caught, :locals_from] do
      error = failed(Python.call(:__main__, function))
      assert Map.values(held(error)) == [[]]
      assert held(error.cause) |> Map.values() |> Enum.uniq() == [[]]
    end

    if python_version() >= {3, 11} do
      Python.exec!("""
      def locals_group():
          errors = []
          for _ in range(2):
              try:
                  locals_fail()
              except ValueError as error:
                  errors.append(error)
          raise ExceptionGroup("both", errors)
      """)

      error = failed(Python.call(:__main__, :locals_group))

      assert Python.eval!(
               "[list(t.tb_frame.f_locals) for each in e.exceptions for t in traces_of_locals(each)]",
               %{e: error.value}
             )
             |> Enum.uniq() == [[]]
    end
  end

  test "a generator that has caught the exception, and goes on, is left alone" do
    Python.exec!("""
    def locals_goes_on():
        caught = None
        value = "still there"
        for _ in range(3):
            try:
                yield caught
            except ValueError as error:
                caught = error
        yield value

    def locals_raise_again(generator):
        next(generator)
        raise generator.throw(ValueError("thrown"))
    """)

    generator = Python.call!(:__main__, :locals_goes_on)
    error = failed(Python.call(:__main__, :locals_raise_again, [generator]))
    assert error.message == "thrown"
    assert Python.call!(:builtins, :list, [generator]) |> List.last() == "still there"
  end

  test "a coroutine that has caught the exception, and goes on, is left alone" do
    Python.exec!("""
    import types

    @types.coroutine
    def locals_pause():
        return (yield)

    async def locals_coroutine():
        value = "still there"
        while True:
            try:
                await locals_pause()
                return value
            except ValueError:
                pass

    def locals_throw(coroutine):
        coroutine.send(None)
        error = ValueError("thrown")
        coroutine.throw(error)
        raise error

    def locals_finish(coroutine):
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value
    """)

    coroutine = Python.call!(:__main__, :locals_coroutine, [], return: :object)
    failed(Python.call(:__main__, :locals_throw, [coroutine]))
    assert Python.call!(:__main__, :locals_finish, [coroutine]) == "still there"
  end

  test "generators and coroutines that are finished let go" do
    Python.exec!("""
    import asyncio

    def locals_generator():
        data = 1
        yield locals_fail()

    async def locals_awaits():
        data = 1
        await locals_awaited()

    async def locals_awaited():
        more = 1
        await asyncio.sleep(0)
        locals_fail()

    def locals_run():
        return asyncio.run(locals_awaits())
    """)

    for code <- ["list(locals_generator())", "locals_run()"] do
      assert Python.eval(code)
             |> failed()
             |> held()
             |> Map.drop(["<module>"])
             |> Map.values()
             |> Enum.uniq() ==
               [[]]
    end
  end

  @tag blocks: "a plain function waits for Elixir"
  test "frames that still run keep what they hold" do
    Python.exec!("""
    def locals_outer(ask):
        mine = "still there"
        answer = ask()
        return mine, answer

    def locals_reraised(error):
        raise error
    """)

    ask = fn -> failed(Python.call(:__main__, :locals_fail)).type end
    assert Python.call!(:__main__, :locals_outer, [ask]) == {"still there", "ValueError"}

    # An exception whose traceback has a frame that is running.
    Python.exec!("""
    def locals_shared(ask):
        mine = "still there"
        try:
            raise ValueError("x")
        except ValueError as error:
            answer = ask(error)
        return mine, answer
    """)

    ask = fn error -> failed(Python.call(:__main__, :locals_reraised, [error])).type end
    assert Python.call!(:__main__, :locals_shared, [ask]) == {"still there", "ValueError"}
  end

  test "deep recursion lets go of every frame" do
    Python.exec!("""
    def locals_deep(n):
        data = n
        return locals_deep(n - 1) if n else locals_fail()
    """)

    error = failed(Python.call(:__main__, :locals_deep, [800]))
    assert held(error) |> Map.values() |> Enum.uniq() == [[]]
    endless = failed(Python.call(:__main__, :locals_deep, [-1]))
    assert endless.type == "RecursionError"
    assert held(endless) |> Map.values() |> Enum.uniq() == [[]]
  end

  test "a finalizer that raises is no matter of the error's" do
    Python.exec!("""
    class LocalsFinal:
        def __del__(self):
            raise KeyError("in the finalizer")

    def locals_final():
        final = LocalsFinal()
        raise ValueError("mine")
    """)

    ExUnit.CaptureIO.capture_io(:stderr, fn ->
      assert failed(Python.call(:__main__, :locals_final)).message == "mine"
    end)
  end
end
