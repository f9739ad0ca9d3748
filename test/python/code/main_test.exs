defmodule Python.Code.MainTest do
  # Code finds itself in `__main__`: in a context in the context's own, elsewhere in the interpreter's.
  use Python.TestCase, async: true

  alias Python.{Context, FreshVM}

  @program File.read!(Path.expand("../../support/python/finds_itself.py", __DIR__))

  # What the program finds in a Python of its own.
  defp plain(program, dir) do
    file = Path.join(dir, "program.py")
    File.write!(file, program)
    code = "exec(compile(open(#{inspect(file)}).read(), 'program', 'exec')); print(results)"
    {output, 0} = System.cmd(Python.info().executable, ["-c", code], stderr_to_stdout: true)
    output |> String.trim() |> String.split("\n") |> List.last()
  end

  @elsewhere (defmodule Elsewhere do
                # Runs in a VM of its own: the program redirects what is printed, which is everybody's.

                # One that outlives the call which asks for it.
                def context do
                  test = self()

                  spawn(fn ->
                    send(test, Python.Context.start_link())
                    Process.sleep(:infinity)
                  end)

                  receive do
                    {:ok, context} -> {:ok, context}
                  end
                end

                def find(program, contexts) do
                  Python.exec!("import pickle\nclass InTheMiddle: pass")
                  found = for _ <- 1..contexts, do: Task.async(fn -> find(program) end)
                  # Meanwhile a pool finds itself.
                  find_in_pool(found)
                  Task.await_many(found, 180_000)
                end

                defp find(program) do
                  {:ok, context} = Python.Context.start_link()
                  :ok = Python.exec(program, context: context, timeout: 120_000)
                  Python.eval!("str(results)", context: context)
                end

                defp find_in_pool(tasks) do
                  true = Python.eval!("pickle.loads(pickle.dumps(InTheMiddle)) is InTheMiddle")
                  if Enum.any?(tasks, &Process.alive?(&1.pid)), do: find_in_pool(tasks)
                end
              end)

  defp context(options \\ []) do
    {:ok, context} = Context.start_link(options)
    context
  end

  describe "code of a context finds itself" do
    @tag :tmp_dir
    test "as plain Python does, in contexts beside each other and beside a pool", %{tmp_dir: dir} do
      expected = plain(@program, dir)
      assert expected =~ "unittest"

      vm = FreshVM.start()
      FreshVM.load(vm, @elsewhere)
      found = FreshVM.call(vm, Elsewhere, :find, [@program, 3], 180_000)
      FreshVM.stop(vm)
      for results <- found, do: assert(results == expected)
    end

    test "when it is called by name, and does not find others" do
      name = define("NAME = 'of all'")
      one = context(init: "def who(): import __main__; return __main__.me\nme = 1")
      other = context(init: "def who(): import __main__; return __main__.me\nme = 2")
      assert Python.call(:__main__, :who, [], context: one) == {:ok, 1}
      assert Python.call(:__main__, :who, [], context: other) == {:ok, 2}
      main = Python.eval!("__import__('sys').modules['__main__']")
      assert Python.eval("hasattr(m, '#{name}')", %{m: main}) == {:ok, true}

      assert Python.eval("hasattr(m, 'me'), hasattr(m, '#{name}')", %{m: main}, context: one) ==
               {:ok, {true, false}}

      assert Python.eval("hasattr(m, 'me')", %{m: main}) == {:ok, false}
    end

    test "in a program that runpy runs there, and afterwards" do
      context = context(init: "import pickle, runpy, sys\nclass Mine: pass")

      assert Python.exec(
               """
               import os, tempfile
               with tempfile.TemporaryDirectory() as folder:
                   with open(folder + "/program.py", "w") as file:
                       file.write("import pickle\\nclass Its: pass\\nsame = pickle.loads(pickle.dumps(Its)) is Its")
                   ran = runpy.run_path(folder + "/program.py", run_name="__main__")
               assert ran["same"] and ran["__name__"] == "__main__"
               assert pickle.loads(pickle.dumps(Mine)) is Mine
               assert "Its" not in globals()
               """,
               context: context
             ) == :ok
    end
  end

  test "the interpreter's __main__ finds itself too, after the start of contexts" do
    context()
    name = define("class NAME:\n    pass")
    code = "p.loads(p.dumps(#{name})) is #{name} and __import__('__main__').__dict__ is globals()"
    assert Python.eval(code, %{p: Python.import!(:pickle)}) == {:ok, true}
    assert Python.call(:__main__, "#{name}.__name__.upper") == {:ok, String.upcase(name)}
    assert {:error, error} = Python.call(:__main__, :no_such_name)
    assert error.message == "module '__main__' has no attribute 'no_such_name'"
    assert Python.call!(:__main__, :__dir__) |> is_list()
  end

  test "names of a module that __main__ makes up when they are asked for are found" do
    # In a context: `__getattr__` is everybody's.
    context = context(init: "def __getattr__(name): return lambda: name")
    assert Python.call(:__main__, :made_up, [], context: context) == {:ok, "made_up"}
    assert Python.eval("__import__('__main__').other()", context: context) == {:ok, "other"}
  end

  describe "when another module takes the place of __main__" do
    @tag :tmp_dir
    test "for a while, calls, code and code with variables meanwhile see the one that was there",
         %{
           tmp_dir: dir
         } do
      file = Path.join(dir, "program.py")
      name = define("def NAME(): return 'there'")
      gate = define("NAME = __import__('threading').Event()")
      begun = define("NAME = __import__('threading').Event()")

      File.write!(file, """
      import sys, threading
      mine = 1
      seen = sys.modules["__main__"].__dict__ is globals()
      begun.set()
      gate.wait(60)
      """)

      running =
        Python.call_async(:runpy, :run_path, [file],
          kwargs: %{
            run_name: "__main__",
            init_globals: %{
              "gate" => Python.eval!(gate, return: :object),
              "begun" => Python.eval!(begun, return: :object)
            }
          },
          return: :object
        )

      assert Python.eval("#{begun}.wait(60)") == {:ok, true}
      code = "#{name}() + x + '#{unique()}'"
      assert Python.call(:__main__, name) == {:ok, "there"}
      assert {:ok, "there!" <> _} = Python.eval(code, %{x: "!"})

      assert Python.eval("p.loads(p.dumps(#{name})) is #{name}", %{p: Python.import!(:pickle)}) ==
               {:ok, true}

      assert Python.eval("hasattr(__import__('__main__'), 'mine')") == {:ok, false}
      Python.exec!("#{gate}.set()")
      assert {:ok, globals} = Python.await(running)
      assert globals["seen"]
      assert {:ok, "there?" <> _} = Python.eval(code, %{x: "?"})
    end

    test "for good, they go on seeing the one that was there" do
      vm = FreshVM.start()
      FreshVM.load(vm, @elsewhere)

      call = fn function, arguments -> FreshVM.call(vm, Python, function, arguments) end
      assert call.(:exec, ["def f(): return n\nn = 1"]) == :ok

      assert call.(:exec, [
               "import sys, types\nold = sys.modules['__main__']\nsys.modules['__main__'] = types.ModuleType('__main__')"
             ]) == :ok

      assert call.(:call, [:__main__, :f]) == {:ok, 1}
      assert call.(:eval, ["n + x", %{x: 1}]) == {:ok, 2}
      assert call.(:exec, ["n = 5"]) == :ok
      assert call.(:eval, ["[n + y for _ in range(1)]", %{y: 1}]) == {:ok, [6]}
      assert Enum.to_list(call.(:call!, [:__main__, :f]) |> List.wrap()) == [5]

      # Contexts find themselves, those that were there before and new ones.
      assert {:ok, context} = call.(:exec, ["pass"]) && FreshVM.call(vm, Elsewhere, :context, [])
      code = "import pickle\nclass Mine: pass\nsame = pickle.loads(pickle.dumps(Mine)) is Mine"
      assert call.(:exec, [code, [context: context]]) == :ok
      assert call.(:eval, ["same", [context: context]]) == {:ok, true}
      assert call.(:eval, ["hasattr(sys.modules['__main__'], 'Mine')"]) == {:ok, false}
      assert call.(:exec, ["del sys.modules['__main__']"]) == :ok
      assert call.(:call, [:__main__, :f]) == {:ok, 5}
      assert call.(:eval, ["n + z", %{z: 1}]) == {:ok, 6}
      FreshVM.stop(vm)
    end
  end

  describe "erlang is a name" do
    test "in __main__, in contexts, in lambdas with variables and in modules, without an import" do
      name = unique("plus")
      Python.register(name, fn a, b -> a + b end)
      assert Python.eval("erlang.call('#{name}', 1, 2)") == {:ok, 3}
      assert Python.eval("erlang.#{name}(x, 2)", %{x: 2}) == {:ok, 4}
      assert Python.eval("[erlang.#{name}(n, 1) for n in range(2)]") == {:ok, [1, 2]}
      assert Python.exec("erlang.#{name}(1, 2)", context: context()) == :ok
      made = define("def NAME(): return erlang.#{name}(3, 4)")
      assert Python.call(:__main__, made) == {:ok, 7}

      assert Python.exec("exec('assert erlang.#{name}(1, 1) == 2', {})") == :ok

      Python.unregister(name)
    end

    test "right after register_function of py" do
      name = unique("listed")
      assert :py.register_function(name, fn [n] -> n + 1 end) == :ok
      assert :py.eval("erlang.call('#{name}', 1)") == {:ok, 2}
      :py.unregister_function(name)
    end
  end
end
