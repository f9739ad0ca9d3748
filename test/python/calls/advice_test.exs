defmodule Python.Calls.AdviceTest do
  # What a message advises: what was meant, and what to write.
  use Python.EngineCase, async: true

  defp message(fun), do: assert_raise(ArgumentError, fun).message

  describe "an unknown option" do
    test "that is misspelt names the one that was meant" do
      for {given, meant, call} <- [
            {:timout, :timeout, &Python.call(:math, :sqrt, [4], &1)},
            {:time_out, :timeout, &Python.eval("1", &1)},
            {:kwarg, :kwargs, &Python.map(:math, :sqrt, [[4]], &1)},
            {:contex, :context, &Python.exec("1", &1)},
            {:pools, :pool, &Python.call_async(:math, :sqrt, [4], &1)},
            {:retrun, :return, &Python.eval_async("1", &1)},
            {:maxchunk, :max_chunk, &Python.stream(:builtins, :range, [4], &1)},
            {:prefech, :prefetch, &Python.stream_eval("[1]", &1)},
            {:max_qeue, :max_queue, &Python.Pool.start_link([name: A] ++ &1)},
            {:timeuot, :timeout, &Python.Context.start_link(&1)}
          ] do
        message = message(fn -> call.([{given, 5}]) end)
        assert message =~ "unknown option #{inspect(given)}"
        assert message =~ "(did you mean #{inspect(meant)}?)"
        assert message =~ "the options are "
      end
    end

    test "that is like none is not compared" do
      refute message(fn -> Python.call(:math, :sqrt, [4], zzz: 1) end) =~ "did you mean"
    end

    test "of a pool or a context may be one of another engine, or of a pool alone" do
      for {options, engine} <- [
            {[spares: 2], ":process"},
            {[limits: [cpu: 1]], ":process"},
            {[engine: :asyncio, preload: ["json"]], ":process"},
            {[loop: :uvloop], ":asyncio"},
            {[engine: :process, max_size: 9], ":main"}
          ] do
        message = message(fn -> Python.Pool.start_link([name: A] ++ options) end)
        assert message =~ "It is an option of a pool with engine: #{engine}"
      end

      assert message(fn -> Python.Context.start_link(cd: "/") end) =~
               "It is an option of a context with engine: :process"

      for option <- [:size, :spares, :max_size] do
        assert message(fn -> Python.Context.start_link([{option, 1}]) end) =~ "Only a pool has it"
      end

      refute message(fn -> Python.Pool.start_link(name: A, zzz: 1) end) =~ "engine: "
    end

    test "of a call may be a keyword argument of Python's" do
      for call <- [
            &Python.call(:subprocess, :run, [["true"]], &1),
            &Python.stream(:builtins, :range, [4], &1),
            &Python.apply(Python.eval!("dict"), [], &1)
          ] do
        assert message(fn -> call.(text: true) end) =~ "go in :kwargs: kwargs: %{text: true}"
        assert message(fn -> call.([{"text", true}]) end) =~ ~s(kwargs: %{"text" => true})
      end

      refute message(fn -> Python.call(:math, :sqrt, [4], prefetch: 1) end) =~ "Python's"
    end

    test "of an eval may be a variable" do
      for eval <- [
            &Python.eval("x", &1),
            &Python.eval!("x", &1),
            &Python.eval_async("x", &1),
            &Python.stream_eval("x", &1),
            &Python.eval("x", %{}, &1)
          ] do
        message = message(fn -> eval.(x: 1) end)
        assert message =~ "unknown option :x"
        assert message =~ "Variables go in a map, before the options: %{x: 1}"
      end

      assert message(fn -> Python.eval("x * y", x: 2, timeout: 9, y: 3) end) =~ "%{x: 2, y: 3}"
      assert message(fn -> Python.eval("x", text: "a") end) =~ ~s(%{text: "a"})
      assert message(fn -> Python.exec("print(x)", x: 1) end) =~ "exec takes no variables"
    end
  end

  describe "an alias of Elixir's" do
    test "as a module says what to write" do
      for call <- [
            fn -> Python.call(Sentiment, :run) end,
            fn -> Python.call_async(Sentiment, :run) end,
            fn -> Python.map(Sentiment, :run, [[]]) end,
            fn -> Python.stream(Sentiment, :run) end,
            fn -> Python.import(Sentiment) end
          ] do
        message = message(call)
        assert message =~ "got: Sentiment, an Elixir alias"
        assert message =~ ~s("sentiment" for the file sentiment.py)
      end

      assert message(fn -> Python.call(MyApp.TextTools, :run) end) =~
               ~s("my_app.text_tools" for the file my_app/text_tools.py)

      assert {:EXIT, {{:badarg, text}, _}} =
               catch_exit_of(fn -> :py.call(Sentiment, :run, []) end)

      assert text =~ ~s("sentiment")
    end

    test "as the name of a class or an attribute says what to write" do
      message = message(fn -> Python.call(:collections, Counter, ["aab"]) end)
      assert message =~ ~s(Did you mean :Counter or "Counter"?)
      assert message(fn -> Python.getattr(Python.import!(:collections), Counter) end) == message
      assert Python.call(:collections, :Counter, ["aab"]) == {:ok, %{"a" => 2, "b" => 1}}
    end

    test "is none where it only begins like one" do
      for module <- [:"Elixir", :Elixirs, :"Elixir/x"] do
        assert {:error, %Python.Error{type: "ModuleNotFoundError"}} = Python.call(module, :f)
      end
    end
  end

  defp catch_exit_of(fun) do
    fun.()
  catch
    :error, reason -> {:EXIT, {reason, []}}
  end

  describe "a pool or a context that is not there" do
    test "is named, with the pools that are" do
      pool = start_pool()

      for result <- [
            Python.call(:math, :sqrt, [4], pool: NoSuchPool),
            Python.eval("1", pool: NoSuchPool),
            Python.exec("1", pool: NoSuchPool),
            Python.map(:math, :sqrt, [[4]], pool: NoSuchPool)
          ] do
        assert {:error, %Python.NotStartedError{reason: :not_started} = error} = result
        message = Exception.message(error)
        assert message =~ "there is no pool NoSuchPool; there are "
        assert message =~ inspect(pool) and message =~ "Python.Pool"
        assert message =~ "{Python.Pool, name: NoSuchPool}"
        refute message =~ "not running"
      end

      assert {:error, error} = Python.eval("1", context: NoSuchContext)
      assert Exception.message(error) =~ ~r/\Athere is no context NoSuchContext\. Start one/
      error = assert_raise Python.NotStartedError, fn -> Python.send(NoSuchContext, 1) end
      assert Exception.message(error) =~ "there is no context NoSuchContext"
    end
  end

  describe "a value that is not a started call" do
    test "cannot be waited for or cancelled" do
      task = Task.async(fn -> :done end)
      assert message(fn -> Python.await(task) end) =~ "the functions of Task"
      assert Task.await(task) == :done
      assert message(fn -> Python.cancel(make_ref()) end) =~ "expected a %Python.Async{}"

      assert message(fn -> Python.send(5, 1) end) =~
               "a %Python.Async{}, a %Python.Context{}, its pid or its name"
    end
  end
end
