defmodule Python.Nodes.LoadTest do
  # Which node is taken, with pools that sleep, that cannot run anything, and that have too much to do.

  use ExUnit.Case, async: true

  import Python.Nodes, only: [assert_soon: 2]

  alias Python.Nodes

  @moduletag timeout: 120_000
  @moduletag engine: :main

  defp whereabouts(node, name),
    do: Nodes.eval(node, "Python.Pool.whereabouts(name)", name: name)

  defp pid(node, name) do
    {:ok, pid} = Nodes.eval(node, "Python.call(:os, :getpid, [], pool: {name, :any})", name: name)

    pid
  end

  defp os_pid(node), do: String.to_integer(Nodes.eval(node, "System.pid()"))

  test "a pool that is asleep is known, and woken when no other is idle" do
    [a, b] = Nodes.start(2, settings: [start: :lazy])
    nodes = [a.node, b.node]
    assert_soon("both are known", fn -> whereabouts(a, Python.Pool) == nodes end)

    # Its own, and then that one, as it is awake.
    assert pid(a, Python.Pool) == os_pid(a)

    assert_soon("it is known there", fn ->
      Nodes.eval(b, "Python.Remote.Load.nearest(Python.Pool)") == a.node
    end)

    assert pid(b, Python.Pool) == os_pid(a)
    assert Nodes.eval(b, "Python.Pool.Asleep.asleep?(Python.Pool)")

    assert Nodes.eval(a, "Python.call(:os, :getpid, [], pool: {Python.Pool, b})", b: b.node) ==
             {:ok, os_pid(b)}

    assert whereabouts(a, Python.Pool) == nodes
  end

  test "a pool that is asleep alone is woken" do
    [a] = Nodes.start(1, settings: [start: :lazy])
    assert pid(a, Python.Pool) == os_pid(a)
  end

  test "a pool that cannot run anything is not taken" do
    [a] = Nodes.start(1)
    b = Nodes.start_one(a, 7, settings: [start: :lazy, init: "no such thing"])
    c = Nodes.start_one(a, 8, settings: [python_path: "/no/such/python"])
    Nodes.connect(b, c)

    assert {:error, %Python.NotStartedError{}} = Nodes.eval(b, "Python.call(:math, :sqrt, [16])")

    assert_soon("it is known everywhere", fn ->
      Enum.all?([a, b, c], &(whereabouts(&1, Python.Pool) == [a.node]))
    end)

    for node <- [b, c], do: assert(pid(node, Python.Pool) == os_pid(a))
  end

  test "pools are known again when what knows them has ended" do
    [a, b] = Nodes.start(2)

    # In no tree that would be started anew.
    Nodes.eval(b, """
    spawn(fn -> {:ok, _} = Python.Pool.start_link(name: :Mine, size: 1); Process.sleep(:infinity) end)
    """)

    for process <- [Python.Remote.Load, Python.Remote] do
      assert_soon("it is known", fn -> whereabouts(a, :Mine) == [b.node] end)
      Nodes.eval(b, "pid = Process.whereis(name); Process.exit(pid, :kill)", name: process)

      assert_soon("it has started again", fn ->
        Nodes.eval(b, "Python.call(:math, :sqrt, [16])") == {:ok, 4.0} and
          Enum.all?([a, b], &(whereabouts(&1, Python.Pool) |> Enum.sort() == [a.node, b.node]))
      end)
    end

    assert_soon("it is known", fn -> whereabouts(a, :Mine) == [b.node] end)
    assert pid(a, :Mine) == os_pid(b)

    # What they do not know does not end them, and with them the pools.
    before = Nodes.eval(b, "Process.whereis(Python.Pool)")

    Nodes.eval(b, """
    for name <- [Python.Remote.Load, Python.Remote.Handles], message <- [:x, {:release, 5}, {:load, :x, 5}] do
      send(name, message)
      GenServer.cast(name, message)
      :sys.get_state(name)
    end
    """)

    assert Nodes.eval(b, "Process.whereis(Python.Pool)") == before
  end
end
