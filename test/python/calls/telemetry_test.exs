defmodule Python.Calls.TelemetryTest do
  # In a VM of its own: whether :telemetry is there is looked at when the application starts.
  use Python.EngineCase, async: true

  alias Python.FreshVM

  # What contexts there are started with.
  @engine inspect(Python.Engines.options())

  # What the package does, as far as it matters here.
  @telemetry """
  defmodule :telemetry do
    def execute(event, measurements, metadata) do
      send(:events, {event, measurements, metadata})
    end
  end

  defmodule Events do
    def of(function) do
      Process.register(self(), :events)
      result = function.()
      Process.unregister(:events)
      {result, all()}
    end

    defp all do
      receive do
        {[:python | _], _, _} = event -> [event | all()]
      after
        0 -> []
      end
    end
  end

  {:ok, _} = Application.ensure_all_started(:erlang_python)
  """

  defp run(code) do
    assert {output, 0} = FreshVM.run(@telemetry <> code, start: false)
    output
  end

  test "a call emits the queue, its start and its stop, with what it is and how long it took" do
    assert run("""
           {{:ok, 4.0}, events} = Events.of(fn -> Python.call(:math, "sqrt", [16]) end)
           [{[:python, :pool, :queue], queue, of_pool}, started, stopped] =
             Enum.sort_by(events, fn {[_, what | _], _, _} -> what != :pool end)

           %{queued: 0, busy: busy} = queue
           true = is_integer(busy)
           %{pool: Python.Pool} = of_pool

           {[:python, :call, :start], %{system_time: _, monotonic_time: start}, metadata} = started
           {[:python, :call, :stop], %{duration: took, monotonic_time: stop}, ^metadata} = stopped
           true = took > 0 and stop - start == took

           %{operation: :call, module: :math, function: "sqrt", pool: Python.Pool, context: nil} =
             metadata

           IO.puts("as it should be")
           """) =~ "as it should be"
  end

  test "a call that fails emits the error in place of its stop" do
    assert run("""
           for {code, options, error} <- [
                 {"1 / 0", [], Python.Error},
                 {"__import__('time').sleep(5)", [timeout: 20], Python.TimeoutError},
                 {"1", [pool: Nowhere], Python.NotStartedError}
               ] do
             {{:error, _}, events} = Events.of(fn -> Python.eval(code, options) end)
             names = for {[:python, :call, what], _, _} <- events, do: what
             [:start, :exception] = names
             {_, %{duration: _}, metadata} = List.last(events)
             %{kind: :error, reason: %{__struct__: ^error}, stacktrace: [], operation: :eval} = metadata
           end

           IO.puts("as it should be")
           """) =~ "as it should be"
  end

  test "the other operations say what they are, and contexts which they are" do
    assert run("""
           {:ok, context} = Python.Context.start_link(#{@engine})

           for {operation, function} <- [
                 {:exec, fn -> Python.exec("pass") end},
                 {:map, fn -> Python.map(:math, :sqrt, [[4]]) end},
                 {:stream, fn -> Enum.to_list(Python.stream_eval("range(3)")) end}
               ] do
             {_, events} = Events.of(function)
             [%{operation: ^operation}] = for {[_, :call, :stop], _, metadata} <- events, do: metadata
           end

           {_, events} = Events.of(fn -> Python.eval("1", context: context) end)
           [] = for {[_, :pool, _], _, _} = event <- events, do: event
           [%{context: ^context, pool: nil}] = for {[_, :call, :stop], _, m} <- events, do: m
           IO.puts("as it should be")
           """) =~ "as it should be"
  end

  test "callbacks emit events of their own, in their own process" do
    assert run("""
           Python.register(:double, fn x -> 2 * x end)
           Python.register(:fail, fn -> raise "no" end)
           {{:ok, 4}, events} = Events.of(fn -> Python.eval("__import__('erlang').double(2)") end)
           ["double", "double"] = for {[_, :callback, _], _, %{function: f}} <- events, do: f
           [:start, :stop] = for {[_, :callback, what], _, _} <- events, do: what

           {{:error, _}, events} = Events.of(fn -> Python.eval("__import__('erlang').fail()") end)
           [:start, :exception] = for {[_, :callback, what], _, _} <- events, do: what
           [%{kind: :error, reason: %RuntimeError{}}] =
             for {[_, :callback, :exception], _, metadata} <- events, do: metadata

           IO.puts("as it should be")
           """) =~ "as it should be"
  end

  test "metadata is plain data: showing it calls no Python" do
    assert run("""
           Python.register(:give, fn object -> raise KeyError, key: object, term: [{object, %{object => 1}}] end)
           {:ok, context} = Python.Context.start_link(#{@engine})

           tries = [
             fn -> Python.eval("1 / 0") end,
             fn -> Python.eval("1 / 0", context: context) end,
             fn -> Python.eval("__import__('erlang').give(object())") end,
             fn -> Python.eval("f(object())", %{f: fn object -> throw({:o, object}) end}) end,
             fn -> Python.eval("f(object())", %{f: fn 5 -> 1 end}) end,
             fn -> Python.eval("f(object())", %{f: fn object -> Python.call!(object, :nope) end}) end,
             fn -> Python.call(Python.eval!("object()"), :nope) end
           ]

           for try <- tries do
             {{:error, _}, events} = Events.of(try)
             true = Enum.any?(events, &match?({[_, _, :exception], _, _}, &1))
             {_, []} = Events.of(fn -> inspect(events, limit: :infinity, structs: true) end)
             false = inspect(events, limit: :infinity, structs: false) =~ "Elixir.Python.Object"
           end

           {{:error, %{value: %Python.Object{}}}, _} = Events.of(fn -> Python.eval("1 / 0") end)
           IO.puts("as it should be")
           """) =~ "as it should be"
  end

  test "a with is one call" do
    assert run("""
           {lock, _} = Events.of(fn -> Python.call!(:threading, :Lock) end)
           {1, events} = Events.of(fn -> Python.with(lock, fn _ -> 1 end) end)
           {[_, _, :start], _, %{operation: :with}} = List.keyfind(events, [:python, :call, :start], 0)
           {[_, _, :stop], _, %{operation: :with}} = List.last(events)
           IO.puts("as it should be")
           """) =~ "as it should be"
  end

  @tag :tmp_dir
  test "the application telemetry is started first, where it is there", %{tmp_dir: folder} do
    project = Mix.Project.get!()
    refute :telemetry in project.application()[:applications]

    app =
      {:application, :telemetry, vsn: ~c"1.0.0", modules: [], registered: [], applications: []}

    File.write!(Path.join(folder, "telemetry.app"), :io_lib.format("~p.~n", [app]))
    Code.append_path(folder)
    on_exit(fn -> Code.delete_path(folder) end)
    assert :telemetry in project.application()[:applications]
    assert :telemetry in project.application()[:optional_applications]
  end

  test "without :telemetry nothing is emitted, and nothing fails" do
    assert {output, 0} = FreshVM.run(~s|IO.inspect(Python.eval("1 + 1"))|)
    assert output =~ "{:ok, 2}"
  end
end
