defmodule Python.Interpreter.BeforeStartTest do
  # Every function before the application is started, without its default pool, and without a Python, each in a VM
  # of its own: what cannot be done says why, and nothing else is raised.
  use Python.TestCase, async: true

  alias Python.{FreshVM, NotStartedError}

  @there (defmodule There do
            # Each function, and what it gives: a value, what it raised, or what it exited with.
            def outcomes do
              Process.flag(:trap_exit, true)
              for {name, fun} <- functions(), into: %{}, do: {name, outcome(fun)}
            end

            defp outcome(fun) do
              fun.()
            rescue
              error -> {:raised, error}
            catch
              kind, reason -> {kind, reason}
            end

            defp functions do
              object = %Python.Object{ref: make_ref()}

              [
                call: fn -> Python.call(:math, :sqrt, [4]) end,
                call!: fn -> Python.call!(:math, :sqrt, [4]) end,
                eval: fn -> Python.eval("1") end,
                exec: fn -> Python.exec("1") end,
                map: fn -> Python.map(:math, :sqrt, [[4]]) end,
                call_async: fn -> Python.call_async(:math, :sqrt, [4]) end,
                eval_async: fn -> Python.eval_async("1") end,
                exec_async: fn -> Python.exec_async("1") end,
                stream: fn -> Enum.to_list(Python.stream(:builtins, :range, [2])) end,
                stream_eval: fn -> Enum.to_list(Python.stream_eval("[1]")) end,
                import: fn -> Python.import(:math) end,
                import!: fn -> Python.import!(:math) end,
                to_object: fn -> Python.to_object([1]) end,
                getattr: fn -> Python.getattr(object, :real) end,
                setitem: fn -> Python.setitem(object, 0, 1) end,
                len!: fn -> Python.len!(object) end,
                to_term: fn -> Python.to_term(object) end,
                type: fn -> Python.type(object) end,
                callable?: fn -> Python.callable?(object) end,
                apply: fn -> Python.apply(object, []) end,
                with: fn -> Python.with(object, & &1) end,
                access: fn -> object["key"] end,
                enum: fn -> Enum.to_list(object) end,
                to_string: fn -> to_string(object) end,
                inspect: fn -> inspect(object) end,
                buffer: fn -> Python.buffer("abc") end,
                iterator: fn -> Python.iterator([1]) end,
                register: fn -> Python.register(:kept, fn -> 5 end) end,
                unregister: fn -> Python.unregister(:never) end,
                send: fn -> Python.send(NoSuchContext, 1) end,
                info: fn -> Python.info() end,
                context: fn -> Python.Context.start_link() end,
                pool: fn -> Python.Pool.start_link(name: SomePool, size: 1) end,
                stop: fn -> Python.Context.stop(NoSuchContext) end,
                py_call: fn -> :py.call(:math, :sqrt, [4]) end,
                py_eval: fn -> :py.eval("1") end,
                py_exec: fn -> :py.exec("1") end,
                py_call_async: fn -> :py.call_async(:math, :sqrt, [4]) end,
                py_stream: fn -> :py.stream(:builtins, :range, [2]) end,
                py_stream_eval: fn -> :py.stream_eval("[1]") end,
                py_stream_start: fn ->
                  with {:ok, reference} <- :py.stream_start(:builtins, :range, [2]) do
                    receive do: ({:py_stream, ^reference, answer} -> answer)
                  end
                end,
                py_stream_cancel: fn -> :py.stream_cancel(make_ref()) end,
                py_version: fn -> :py.version() end,
                py_info: fn -> :py.info() end,
                py_memory_stats: fn -> :py.memory_stats() end,
                py_gc: fn -> :py.gc() end,
                py_cast: fn -> :py.cast(:math, :sqrt, [4]) end,
                py_getattr: fn -> :py.getattr(object, :real) end,
                py_to_term: fn -> :py.to_term(object) end,
                py_register: fn -> :py.register_function(:kept, fn [] -> 5 end) end,
                py_unregister: fn -> :py.unregister_function(:never) end
              ]
            end
          end)

  # What needs no interpreter.
  @always [:buffer, :inspect, :unregister, :stop, :py_stream_cancel, :py_unregister]

  defp outcomes(vm) do
    FreshVM.load(vm, @there)
    FreshVM.call(vm, There, :outcomes, [])
  end

  defp assert_refused(outcomes, names, reason) do
    for name <- names do
      case Map.fetch!(outcomes, name) do
        {tag, %NotStartedError{reason: ^reason}} when tag in [:raised, :error] -> :ok
        {:error, {:not_started, text}} when is_list(text) -> :ok
        {:raised, %ErlangError{original: {:not_started, text}}} when is_list(text) -> :ok
        other -> flunk("#{name}: #{inspect(other)}")
      end
    end
  end

  test "before the application is started" do
    vm = FreshVM.start(start: false)
    outcomes = outcomes(vm)
    assert_refused(outcomes, Map.keys(outcomes) -- @always, :not_started)
    assert %Python.Buffer{} = outcomes.buffer
    assert outcomes.unregister == :ok

    # And after it was stopped.
    assert {:ok, _} = FreshVM.call(vm, Application, :ensure_all_started, [:erlang_python])
    assert :ok = FreshVM.call(vm, Application, :stop, [:erlang_python])
    outcomes = outcomes(vm)
    assert_refused(outcomes, Map.keys(outcomes) -- @always, :not_started)
  end

  test "without a Python" do
    vm = FreshVM.start(settings: [python_path: "/no/such/python"])
    outcomes = outcomes(vm)

    # What is registered waits for a Python.
    kept = [:register, :py_register, :pool]
    assert_refused(outcomes, Map.keys(outcomes) -- (@always ++ kept), :not_found)
    assert outcomes.register == :ok and outcomes.py_register == :ok
    assert {:ok, _} = outcomes.pool
  end

  test "without the default pool" do
    vm = FreshVM.start(settings: [start_pool: false])
    outcomes = outcomes(vm)

    served = ~w(iterator register py_register info py_info py_version context send pool py_cast)a

    # Nothing was asked of the handle, which is none, where there is no pool to ask.
    assert_refused(outcomes, Map.keys(outcomes) -- (@always ++ served), :disabled)
    assert %Python.Iterator{} = outcomes.iterator
    assert %{pools: []} = outcomes.info
    assert {:ok, %Python.Context{}} = outcomes.context
    assert {:raised, %NotStartedError{details: %{missing: :context}}} = outcomes.send
  end
end
