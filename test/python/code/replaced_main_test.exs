defmodule Python.Code.ReplacedMainTest do
  # `sys.modules` is everybody's: in VMs of their own.
  use Python.TestCase, async: true

  alias Python.{Error, FreshVM}

  # A context that outlives the call which asks for it.
  @elsewhere (defmodule Elsewhere.Replaced do
                def context do
                  test = self()

                  spawn(fn ->
                    send(test, Python.Context.start_link())
                    Process.sleep(:infinity)
                  end)

                  receive do
                    {:ok, context} -> context
                  end
                end

                # Within one request of a context, which replaces `__main__` and puts it back.
                def nested(context) do
                  ask = fn code -> Python.eval!(code, context: context) end
                  Python.exec!("import sys, types", context: context)

                  Python.call!(:__main__, :outer, [ask], context: context)
                end
              end)

  setup do
    vm = FreshVM.start()
    FreshVM.load(vm, @elsewhere)
    on_exit(fn -> FreshVM.stop(vm) end)
    %{vm: vm, context: context(vm)}
  end

  defp context(vm), do: FreshVM.call(vm, Elsewhere.Replaced, :context, [])
  defp exec(vm, code, options \\ []), do: FreshVM.call(vm, Python, :exec, [code, options])
  defp eval(vm, code, options \\ []), do: FreshVM.call(vm, Python, :eval, [code, options])

  # A pool finds itself, whatever contexts have done.
  defp assert_whole(vm, options \\ []) do
    assert exec(
             vm,
             """
             import __main__, pickle, sys
             class Mine: pass
             def found(): return 1
             assert pickle.loads(pickle.dumps(Mine)) is Mine
             assert __main__.found is found and __main__.__dict__ is globals()
             assert sys.modules["__main__"] is __main__
             """,
             options
           ) == :ok

    assert FreshVM.call(vm, Python, :call, [:__main__, :found, [], options]) == {:ok, 1}
  end

  describe "a context that puts something else in the place of __main__" do
    for {what, code} <- [
          {"a module", "types.ModuleType('__main__')"},
          {"a module of its own class", "type('M', (types.ModuleType,), {})('__main__')"},
          {"an object", "types.SimpleNamespace()"},
          {"a module of others", "types"}
        ] do
      test "replaces its own alone, with #{what}", %{vm: vm, context: context} do
        assert_whole(vm)
        main = eval(vm, "id(sys.modules['__main__'])")
        other = context(vm)
        assert_whole(vm, context: other)

        assert exec(
                 vm,
                 """
                 import sys, types
                 own = sys.modules["__main__"] = #{unquote(code)}
                 own.inside = 7
                 import __main__
                 assert __main__ is own
                 """,
                 context: context
               ) == :ok

        assert eval(vm, "id(sys.modules['__main__'])") == main
        assert_whole(vm)
        assert_whole(vm, context: other)
        assert eval(vm, "hasattr(sys.modules['__main__'], 'inside')") == {:ok, false}

        # Its code goes on in its names, as in plain Python; an import finds what it has put there.
        assert eval(vm, "own.inside", context: context) == {:ok, 7}
        assert eval(vm, "__import__('__main__').inside", context: context) == {:ok, 7}
        # In further requests too, and again.
        assert exec(vm, "sys.modules['__main__'] = types.SimpleNamespace(inside=8)",
                 context: context
               ) == :ok

        assert eval(vm, "__import__('__main__').inside", context: context) == {:ok, 8}
        assert_whole(vm)
        assert_whole(vm, context: other)
        assert_whole(vm, context: context(vm))
      end
    end

    for code <- ["del sys.modules['__main__']", "sys.modules['__main__'] = None"] do
      test "or nothing: #{code}", %{vm: vm, context: context} do
        assert_whole(vm)
        assert exec(vm, "import sys\n#{unquote(code)}", context: context) == :ok
        assert_whole(vm)
        assert exec(vm, "n = 1\nassert n == 1", context: context) == :ok
        assert_whole(vm, context: context(vm))
      end
    end

    test "and raises, does no harm to others", %{vm: vm, context: context} do
      assert_whole(vm)

      assert {:error, %Error{type: "ZeroDivisionError"}} =
               exec(vm, "import sys, types\nsys.modules['__main__'] = types\n1/0",
                 context: context
               )

      assert_whole(vm)

      assert {:error, %Python.TimeoutError{}} =
               exec(vm, "import sys, types\nsys.modules['__main__'] = types\nwhile True: pass",
                 context: context,
                 timeout: 300
               )

      eventually(
        "the module of the interpreter is back",
        fn -> eval(vm, "sys.modules['__main__'].__name__") == {:ok, "__main__"} end,
        10_000
      )

      assert_whole(vm)
    end

    test "for a while, has it for as long, and in calls from its callbacks", %{
      vm: vm,
      context: context
    } do
      assert exec(
               vm,
               """
               import sys, types
               def outer(ask):
                   main = sys.modules["__main__"]
                   sys.modules["__main__"] = types.ModuleType("__main__")
                   try:
                       inner = ask("outer.__name__ + str(len([n for n in (1, 2)]))")
                   finally:
                       sys.modules["__main__"] = main
                   return inner, sys.modules["__main__"].outer is outer
               """,
               context: context
             ) == :ok

      assert FreshVM.call(vm, Elsewhere.Replaced, :nested, [context]) == {"outer2", true}
      assert_whole(vm)
      assert_whole(vm, context: context)
    end
  end

  describe "what is taken out of sys.modules and cannot be made anew" do
    test "is there again when it is imported", %{vm: vm, context: context} do
      assert_whole(vm)

      assert exec(vm, """
             import sys, builtins, __main__, erlang, erlang._errors
             kept = sys, builtins, __main__, erlang, erlang._errors
             specs = [m.__spec__ for m in kept]
             for name in ("sys", "builtins", "__main__", "erlang", "erlang._errors"):
                 del sys.modules[name]
             import sys, builtins, __main__, erlang, erlang._errors
             for old, new, spec in zip(kept, (sys, builtins, __main__, erlang, erlang._errors), specs):
                 assert old is new and new.__spec__ is spec, (old, new)
             assert sys.modules["sys"] is sys
             """) == :ok

      assert_whole(vm)
      assert_whole(vm, context: context)
    end

    for where <- [:pool, :context] do
      test "all of them: sys.modules.clear() in a #{where}", %{vm: vm, context: context} do
        assert_whole(vm)
        options = if unquote(where) == :pool, do: [], else: [context: context]
        assert exec(vm, "import sys\nsys.modules.clear()", options) == :ok

        for options <- [[], [context: context], [context: context(vm)]] do
          assert eval(vm, "1 + 1", options) == {:ok, 2}
          assert_whole(vm, options)
          assert {:ok, 4.0} = FreshVM.call(vm, Python, :call, [:math, :sqrt, [16], options])

          assert {:ok, ~s({"a": 1})} =
                   FreshVM.call(vm, Python, :call, [:json, :dumps, [%{a: 1}], options])

          assert {:ok, ~D[2020-02-03]} =
                   FreshVM.call(vm, Python, :eval, ["d", %{d: ~D[2020-02-03]}, options])

          assert eval(vm, "erlang.self() is not None", options) == {:ok, true}

          assert exec(
                   vm,
                   """
                   import asyncio, erlang, logging, subprocess, threading
                   async def main(): return 5
                   assert asyncio.run(main()) == 5
                   assert subprocess.check_output(["echo", "x"]) == b"x\\n"
                   seen = []
                   thread = threading.Thread(target=seen.append, args=(erlang.self(),))
                   thread.start()
                   thread.join()
                   assert seen == [erlang.self()]
                   """,
                   options
                 ) == :ok

          assert {:error, %Error{type: "ZeroDivisionError", frames: [_ | _]}} =
                   eval(vm, "1/0", options)

          assert {:error, %Python.TimeoutError{}} =
                   exec(vm, "while True: pass", [timeout: 200] ++ options)
        end

        assert FreshVM.alive?(vm)
      end
    end
  end
end
