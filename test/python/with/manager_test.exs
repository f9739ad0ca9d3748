defmodule Python.With.ManagerTest do
  # What `Python.with` makes of a context manager, and of what becomes of its body.
  use Python.EngineCase, async: true

  alias Python.{DecodeError, Error}

  setup_all do: Python.SupportModules.find()

  defp object(code), do: Python.eval!(code, return: :object)
  defp new(class, arguments \\ []), do: Python.call!(:managers, class, arguments)
  defp log(manager), do: Python.getattr!(manager, :log)
  defp error(manager, name), do: manager |> Python.getattr!(:error) |> Python.getattr!(name)

  test "enters, gives what the function gives, and leaves" do
    manager = new(:Manager)
    any = make_ref()

    assert Python.with(manager, fn entered ->
             assert Python.eval!("a is b", %{a: entered, b: manager})
             assert log(manager) == ["enter"]
             {:any, any}
           end) == {:any, any}

    assert log(manager) == ["enter", "exit"]
    assert Python.getattr!(manager, :kind) == nil
  end

  test "gives the function what __enter__ gives, as a value" do
    manager = new(:Manager, [false, object("lambda: [1, None]")])
    assert Python.with(manager, & &1) == [1, nil]
  end

  @tag engine: :main
  test "works with Python's own" do
    lock = Python.call!(:threading, :Lock)
    assert Python.with(lock, fn true -> Python.call!(lock, :locked) end)
    refute Python.call!(lock, :locked)

    file = Python.call!(:tempfile, :TemporaryFile, [])
    assert Python.with(file, &Python.call!(&1, :write, [{:bytes, "abc"}])) == 3
    assert Python.getattr!(file, :closed)

    error = Python.getattr!(Python.import!(:erlang), :Error)
    suppressing = Python.call!(:contextlib, :suppress, [error])
    assert Python.with(suppressing, fn _ -> raise "swallowed" end) == nil
  end

  test "tells __exit__ of what is raised, thrown, or an exit, and goes on raising it" do
    manager = new(:Manager)

    assert_raise ArithmeticError, fn ->
      Python.with(manager, fn _ -> raise ArithmeticError end)
    end

    assert log(manager) == ["enter", "exit"]
    assert Python.eval!("m.kind is __import__('erlang').Error", %{m: manager})
    assert Python.eval!("isinstance(m.error, m.kind)", %{m: manager})
    assert error(manager, :kind) == "error"

    assert Python.eval!("str(m.error)", %{m: manager}) =~
             "bad argument in arithmetic expression"

    assert error(manager, :stacktrace) =~ "manager_test.exs"

    manager = new(:Manager)
    assert catch_throw(Python.with(manager, fn _ -> throw({:a, 1}) end)) == {:a, 1}
    assert error(manager, :kind) == "throw"

    manager = new(:Manager)
    assert catch_exit(Python.with(manager, fn _ -> exit(:enough) end)) == :enough
    assert error(manager, :kind) == "exit"

    manager = new(:Manager)
    divide = fn _ -> Python.eval!("1 / 0") end
    assert_raise Error, ~r/division/, fn -> Python.with(manager, divide) end
    assert log(manager) == ["enter", "exit"]
  end

  test "keeps the stacktrace of what was raised" do
    Python.with(new(:Manager), fn _ -> deep_in_here() end)
  rescue
    RuntimeError ->
      assert Enum.any?(__STACKTRACE__, &match?({__MODULE__, :deep_in_here, _, _}, &1))
  end

  # Not the last call, so that it stays in the stacktrace.
  defp deep_in_here, do: [raise("here")]

  test "gives nil if the manager swallows it" do
    for work <- [fn _ -> raise "x" end, fn _ -> throw(:x) end, fn _ -> exit(:x) end] do
      manager = new(:Manager, [true])
      assert Python.with(manager, work) == nil
      assert log(manager) == ["enter", "exit"]
    end
  end

  test "raises what __exit__ raises" do
    manager = new(:Manager, [false, nil, object("lambda: 1 / 0")])
    assert_raise Error, ~r/division/, fn -> Python.with(manager, fn _ -> 1 end) end
    assert_raise Error, ~r/division/, fn -> Python.with(manager, fn _ -> raise "mine" end) end
  end

  test "does not leave what could not be entered" do
    manager = new(:Manager, [false, object("lambda: 1 / 0")])
    assert_raise Error, ~r/division/, fn -> Python.with(manager, fn _ -> flunk("in") end) end
    assert log(manager) == ["enter"]

    assert_raise Error, ~r/__enter__/, fn ->
      Python.with(object("5"), fn _ -> flunk("in") end)
    end
  end

  test "leaves what was entered but could not be converted" do
    manager = new(:Manager, [false, object("lambda: '\\ud800'")])
    assert_raise DecodeError, fn -> Python.with(manager, fn _ -> flunk("in") end) end
    assert log(manager) == ["enter", "exit"]
  end

  test "can be nested" do
    {outer, inner} = {new(:Manager), new(:Manager, [true])}

    assert Python.with(outer, fn _ ->
             Python.with(inner, fn _ -> raise "inner" end)
             :went_on
           end) == :went_on

    assert Python.getattr!(outer, :error) == nil
    assert Python.getattr!(inner, :error) != nil
  end
end
