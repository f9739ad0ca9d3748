defmodule Python.Values.NativeClassesTest do
  # The classes of the package `erlang` that are native hold what Python must not get at. Their
  # instances come from us alone; those that Python makes all the same, as by changing the class, hold
  # nothing, and say so.
  use Python.EngineCase, async: true

  alias Python.FreshVM

  @tried ~S'''
  folder = Path.expand("test/support/python")
  Python.call!(:sys, "path.insert", [0, folder])
  Python.exec!("import native_types as nt")

  port = Port.open({:spawn, "cat"}, [])
  raised = fn -> raise "x" end
  Python.exec!("""
  import erlang

  def caught(function):
      try:
          function()
      except erlang.Error as error:
          return error._original
  """)
  # In an event loop a function of Elixir is awaited, and there are the loop's own.
  {caught, more} =
    if Python.eval!("__import__('asyncio')._get_running_loop() is not None"),
      do: {"await nt.caught(raised)", "*(await nt.of_loop(raised))"},
      else: {"caught(raised)", ""}

  {:ok, instances} =
    Python.eval(
      "nt.remember([*given, erlang.Atom('ok'), erlang._origin(), erlang._stand, #{caught}, erlang._Guarded(len), #{more}])",
      %{given: [self(), make_ref(), port, &String.upcase/1, Python.buffer("xyz")], raised: raised}
    )

  names = Python.call!(:native_types, :names)
  IO.puts("without an instance: #{inspect(names -- instances)}")
  IO.puts("classes: #{inspect(names)}")

  for name <- names do
    IO.puts("making #{name}")
    Python.exec!("made = nt.make(#{inspect(name)})")
    count = Python.eval!("len(made)")
    for n <- 0..(count - 1)//1 do
      IO.puts("using #{name} #{n}")
      {:ok, _} = Python.eval("nt.use(made[n])", %{n: n})
      # Given to Elixir, as a value and as a handle, in a container, to a function, as a message.
      Python.eval("made[n]", %{n: n})
      {:ok, object} = Python.eval("made[n]", %{n: n}, return: :object)
      inspect(object)
      Python.call(:builtins, :repr, [object])
      Python.eval("[made[n], {made[n]: 1}]", %{n: n})
      Python.eval("f(made[n])", %{n: n, f: fn x -> x end})
      Python.eval("erlang.send(made[n], 1)", %{n: n})
      Python.eval("erlang.send(to, made[n])", %{n: n, to: self()})
      Python.eval("erlang._adopt(made[n])", %{n: n})
      Python.eval("made[n]()", %{n: n})
    end
    Python.exec!("del made; import gc; gc.collect()")
  end

  {:ok, "xyz"} = Python.eval("bytes(b)", %{b: Python.buffer("xyz")})
  me = self()
  {:ok, {^me, ^port}} = Python.eval("x", %{x: {me, port}})
  IO.puts("lives")
  '''

  test "no instance of a native class that Python makes by itself ends the VM" do
    {output, status} = FreshVM.run(@tried, timeout: 120_000)
    assert {status, output =~ "lives"} == {0, true}, "#{status}: #{output}"
    assert output =~ "without an instance: []"

    for name <- ~w(Atom Binary _Function Pid Port Ref _Guarded _Origin _Term) do
      assert output =~ ~s("#{name}")
    end
  end

  test "the class behind a buffer makes no instances" do
    {:error, error} = Python.eval("type(b.obj)()", %{b: Python.buffer("xyz")})
    assert error.type == "TypeError"
    assert error.message =~ "Binary"

    assert {:error, %Python.Error{type: "TypeError"}} =
             Python.eval("object.__new__(type(b.obj))", %{b: Python.buffer("xyz")})
  end
end
