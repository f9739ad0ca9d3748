defmodule Python.Errors.RecursionTest do
  # Recursion without end is an exception, on every path into Python and on every version of it. It
  # runs in a VM of its own, so that one that does end is a test that fails.
  use Python.EngineCase

  alias Python.{Error, FreshVM}

  @file_of_cases Path.expand("../../support/python/recursion.py", __DIR__)
  @external_resource @file_of_cases

  @cases Regex.scan(~r/^def (\w+)\(\):$/m, File.read!(@file_of_cases), capture: :all_but_first)
         |> List.flatten()

  # What has to be done by a process of that VM.
  @there (defmodule There do
            def async, do: Python.await(Python.call_async(:recursion, :sort_key))

            def stream(name) do
              arguments = if name == "generate", do: [0], else: []
              take(Python.stream(:recursion, name, arguments))
            end

            defp take(stream) do
              Enum.each(stream, &send(self(), {:item, &1}))
            rescue
              error -> {:error, {items(), Exception.message(error)}}
            end

            defp items do
              receive do
                {:item, item} -> [item | items()]
              after
                0 -> []
              end
            end

            def method_of_recursive do
              Python.call(Python.call!(:recursion, :Recursive), :method)
            end

            def many(count, name) do
              1..count
              |> Enum.map(fn _ -> Task.async(Python, :call, [:recursion, name]) end)
              |> Task.await_many(60_000)
            end

            def inspect(name) do
              Kernel.inspect(Python.call!(:recursion, name, [], return: :object))
            end

            def drop(name) do
              {:ok, _} =
                Task.await(Task.async(Python, :call, [:recursion, name, [], [return: :object]]))

              :erlang.garbage_collect()
            end
          end)

  setup_all do
    start_supervised!(%{id: :vm, start: {Agent, :start_link, [&start_vm/0, [name: __MODULE__]]}})
    :ok
  end

  defp start_vm do
    vm = FreshVM.start()
    folder = Path.dirname(@file_of_cases)
    {:ok, nil} = FreshVM.call(vm, Python, :call, [:sys, "path.append", [folder]])
    :ok = FreshVM.call(vm, Python, :exec, ["import recursion, sys, warnings"])
    FreshVM.load(vm, @there)
    vm
  end

  # A test that has ended the VM takes no other one with it.
  setup do
    vm =
      Agent.get_and_update(
        __MODULE__,
        fn vm ->
          vm = if FreshVM.alive?(vm), do: vm, else: start_vm()
          {vm, vm}
        end,
        60_000
      )

    {:ok, vm: vm}
  end

  defp run(vm, function, arguments) do
    result = FreshVM.call(vm, Python, function, arguments)
    assert FreshVM.call(vm, Python, :call, [:math, :sqrt, [16]]) == {:ok, 4.0}
    result
  end

  defp assert_recursion(result) do
    assert {:error, %Error{type: "RecursionError"} = error} = result
    # From 3.14 on recursion in C ends where the stack does.
    assert Exception.message(error) =~
             ~r/RecursionError: (maximum recursion depth exceeded|Stack overflow \(used \d+ kB\))/
  end

  # In the VM a script that sets a higher limit gets what the stack lasts for. In a process it gets what it sets, as in
  # any program, and may end that process.
  defp limits, do: if(Python.Engines.in_vm?(), do: [false, true], else: [false])

  # As scripts do that want more.
  defp raise_limit(vm) do
    source = "warnings.simplefilter('ignore'); sys.setrecursionlimit(10 ** 9)"
    FreshVM.call(vm, Python, :exec, [source])
    on_exit(fn -> FreshVM.call(vm, Python, :exec, ["sys.setrecursionlimit(1000)"]) end)
  end

  test "there are cases" do
    assert length(@cases) > 50
  end

  for name <- @cases do
    test "of the kind #{name} is an exception, whatever the limit is set to", %{vm: vm} do
      name = unquote(name)
      {:ok, others} = run(vm, :eval, ["recursion.OTHERS"])

      for raise_limit? <- limits() do
        if raise_limit?, do: raise_limit(vm)
        result = run(vm, :call, [:recursion, name])

        if name in Tuple.to_list(others) do
          assert {:error, %Error{}} = result
        else
          assert_recursion(result)
        end
      end
    end
  end

  describe "is an exception with the highest limit" do
    @describetag engine: :main

    setup %{vm: vm} do
      raise_limit(vm)
      :ok
    end

    test "in call", %{vm: vm} do
      assert_recursion(run(vm, :call, [:recursion, :sort_key]))
    end

    test "in eval, with variables and without", %{vm: vm} do
      assert_recursion(run(vm, :eval, ["recursion.sort_key()"]))
      assert_recursion(run(vm, :eval, ["[recursion.sort_key() for _ in x]", %{x: [1]}]))
    end

    test "in exec", %{vm: vm} do
      assert_recursion(run(vm, :exec, ["def f(n): return f(n + 1)\nf(0)"]))
      assert_recursion(run(vm, :exec, ["recursion.sort_key()"]))
    end

    test "in map", %{vm: vm} do
      assert_recursion(run(vm, :map, [:recursion, :sort_key, [[], []]]))
    end

    test "in call_async", %{vm: vm} do
      assert_recursion(FreshVM.call(vm, There, :async, []))
    end

    test "in a stream, while it is made and while it runs", %{vm: vm} do
      assert {:error, {[0], message}} = FreshVM.call(vm, There, :stream, ["generate"])
      assert message =~ "RecursionError"
      assert {:error, {[], message}} = FreshVM.call(vm, There, :stream, ["sort_key"])
      assert message =~ "RecursionError"

      assert {:error, {[], message}} = FreshVM.call(vm, There, :stream, ["RecursiveIterator"])

      assert message =~ "RecursionError"
    end

    test "while a callable is looked up", %{vm: vm} do
      assert_recursion(FreshVM.call(vm, There, :method_of_recursive, []))
    end

    test "on many workers at the same time", %{vm: vm} do
      for result <- FreshVM.call(vm, There, :many, [16, :sort_key]) do
        assert_recursion(result)
      end
    end
  end

  test "in a repr leaves an object that can be inspected", %{vm: vm} do
    assert FreshVM.call(vm, There, :inspect, ["Recursive"]) =~
             "repr() failed with RecursionError"

    assert FreshVM.call(vm, There, :inspect, ["nested_slice"]) =~ "RecursionError"
  end

  test "in __del__ holds up nobody, wherever the object ends", %{vm: vm} do
    # In a call, and when the BEAM drops the last handle.
    assert {:ok, nil} = run(vm, :eval, ["[recursion.RecursiveEnd(), None][1]"])
    FreshVM.call(vm, There, :drop, ["RecursiveEnd"])

    eventually("the second object has ended", fn ->
      run(vm, :eval, ["recursion.RecursiveEnd.ended"]) == {:ok, 2}
    end)
  end

  test "does not come of freeing what is nested deeply", %{vm: vm} do
    for made <- ["nested_list", "nested_dict"] do
      assert {:ok, nil} = run(vm, :eval, ["[recursion.#{made}(1_000_000), None][1]"])
      FreshVM.call(vm, There, :drop, [made])
    end

    if Python.Engines.in_vm?() do
      eventually("all handles are given up", fn ->
        FreshVM.call(vm, :erlang_python, :runtime_pending_releases, []) == 0
      end)
    end

    assert run(vm, :eval, ["1"]) == {:ok, 1}
  end

  test "may go as deep as the limit says", %{vm: vm} do
    source = "def f(n): return 0 if n == 0 else 1 + f(n - 1)"
    run(vm, :exec, [source])
    assert run(vm, :call, [:__main__, :f, [900]]) == {:ok, 900}
    run(vm, :exec, ["sys.setrecursionlimit(2000)"])
    assert run(vm, :call, [:__main__, :f, [1_900]]) == {:ok, 1_900}
    run(vm, :exec, ["sys.setrecursionlimit(1000)"])
  end

  @tag engine: :main
  test "cannot be let loose by a limit that is no int", %{vm: vm} do
    source = """
    class Index:
        def __index__(self): return 10 ** 9
        __int__ = __index__
    class Int(int):
        def __gt__(self, other): return False
    """

    run(vm, :exec, [source])

    for limit <- ["Index()", "Int(10 ** 9)", "True"] do
      run(vm, :exec, ["sys.setrecursionlimit(#{limit})"])
      assert {:ok, now} = run(vm, :eval, ["sys.getrecursionlimit()"])
      assert now <= 1_000_000
      run(vm, :exec, ["sys.setrecursionlimit(1000)"])
    end

    for limit <- ["'x'", "-1", "0", "None"] do
      assert {:error, %Error{}} = run(vm, :exec, ["sys.setrecursionlimit(#{limit})"])
    end

    assert run(vm, :eval, ["sys.getrecursionlimit()"]) == {:ok, 1_000}
  end
end
