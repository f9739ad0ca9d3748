defmodule Python.Callbacks.ErrorsTest do
  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  defmodule Refused do
    defexception [:code]
    def message(error), do: "refused with #{error.code}"
  end

  # What Python sees of what a function raises.
  defp seen(function) do
    name =
      define("""
      import erlang
      def NAME(f):
          try:
              f()
          except erlang.Error as error:
              return {
                  'kind': error.kind, 'type': error.type, 'reason': error.reason,
                  'stacktrace': error.stacktrace, 'text': str(error),
                  'bases': [cls.__name__ for cls in type(error).__mro__],
              }
      """)

    Python.call!(:__main__, name, [function])
  end

  describe "in Python" do
    test "an exception is an erlang.Error with its type and text" do
      error = seen(fn -> raise ArgumentError, "größer" end)
      assert error["kind"] == "error"
      assert error["type"] == "ArgumentError"
      assert error["reason"] == "größer"
      assert error["text"] == "ArgumentError: größer"
      assert error["bases"] == ~w(Error Exception BaseException object)
      assert error["stacktrace"] =~ "errors_test.exs:"
      assert error["stacktrace"] =~ "Python.Callbacks.ErrorsTest"
    end

    test "an exception of one's own says its module" do
      error = seen(fn -> raise Refused, code: 7 end)
      assert error["type"] == "Python.Callbacks.ErrorsTest.Refused"
      assert error["reason"] == "refused with 7"
    end

    test "an error of Erlang's has the name of its exception" do
      assert %{"kind" => "error", "type" => "ArithmeticError"} = seen(fn -> div(1, zero()) end)
      assert %{"type" => "ErlangError", "reason" => reason} = seen(fn -> :erlang.error(:odd) end)
      assert reason =~ ":odd"

      assert %{"type" => "ArgumentError"} =
               seen(fn -> String.to_existing_atom("no such atom") end)
    end

    test "what is thrown or exited with is told apart by its kind" do
      assert %{"kind" => "throw", "type" => "", "reason" => "{:a, 1}", "text" => text} =
               seen(fn -> throw({:a, 1}) end)

      assert text == "throw: {:a, 1}"

      assert %{"kind" => "exit", "type" => "", "reason" => ":over", "text" => "exit: :over"} =
               seen(fn -> exit(:over) end)

      assert %{"kind" => "exit", "reason" => ":normal"} = seen(fn -> exit(:normal) end)
    end

    test "a process that is killed is an exit" do
      assert %{"kind" => "exit", "reason" => reason} =
               seen(fn -> Process.exit(self(), :kill) && Process.sleep(:infinity) end)

      assert reason =~ "killed"
    end

    test "the exit of a linked process is told with its reason, as Elixir shows it" do
      capture = fn function -> ExUnit.CaptureLog.with_log(fn -> seen(function) end) |> elem(0) end

      for {function, reason} <- [
            {fn -> Task.await(Task.async(fn -> exit(:reason) end)) end, ":reason"},
            {fn -> Task.await(Task.async(fn -> exit({:shutdown, :over}) end)) end,
             "shutdown: :over"},
            {fn -> spawn_link(fn -> exit({:a, 1}) end) && Process.sleep(:infinity) end,
             "{:a, 1}"},
            {fn ->
               spawn_link(fn -> Process.exit(self(), :kill) end) && Process.sleep(:infinity)
             end, "killed"},
            {fn -> Process.exit(self(), :normal) && Process.sleep(:infinity) end, "normal"}
          ] do
        assert %{"kind" => "exit", "type" => "", "reason" => ^reason, "text" => text} =
                 capture.(function)

        assert text == "exit: " <> reason
      end
    end

    test "an exception in a linked process is told with its text and place" do
      for function <- [
            fn -> Task.await(Task.async(fn -> raise ArgumentError, "größer" end)) end,
            fn ->
              Task.async_stream([1], fn _ -> raise ArgumentError, "größer" end) |> Enum.to_list()
            end
          ] do
        {error, _log} = ExUnit.CaptureLog.with_log(fn -> seen(function) end)
        assert %{"kind" => "exit", "reason" => reason} = error
        assert reason =~ "(ArgumentError) größer"
        assert reason =~ "errors_test.exs:"
      end
    end

    test "the reason comes back to Elixir as the cause" do
      {result, _log} =
        ExUnit.CaptureLog.with_log(fn ->
          Python.eval("f()", %{f: fn -> Task.await(Task.async(fn -> exit(:reason) end)) end})
        end)

      assert {:error, %Python.Error{type: "Error", module: "erlang", message: "exit: :reason"}} =
               result
    end

    test "a linked process that crashes takes the function with it, and Python is told" do
      assert %{"kind" => "exit"} =
               seen(fn ->
                 spawn_link(fn -> exit(:crash) end)
                 Process.sleep(:infinity)
               end)
    end

    test "an exit of a process that was asked is an exit" do
      {:ok, agent} = Agent.start(fn -> 1 end)
      Agent.stop(agent)
      assert %{"kind" => "exit", "reason" => reason} = seen(fn -> Agent.get(agent, & &1) end)
      assert reason =~ "noproc"
    end

    test "an exception that cannot say what it is does no harm" do
      {:module, module, _, _} =
        defmodule Broken do
          defexception [:x]
          def message(_), do: raise("no message")
        end

      assert %{"kind" => "error", "type" => type} = seen(fn -> raise struct(module) end)
      assert type =~ "Broken"
    end

    test "an error is caught and Python goes on" do
      name =
        define("""
        import erlang
        def NAME(f):
            caught = []
            for kind in ('error', 'throw', 'exit', None):
                try:
                    caught.append(f(kind))
                except erlang.Error as error:
                    caught.append(error.kind)
            return caught
        """)

      function = fn
        "error" -> raise "x"
        "throw" -> throw(:x)
        "exit" -> exit(:x)
        nil -> "returned"
      end

      assert Python.call(:__main__, name, [function]) ==
               {:ok, ["error", "throw", "exit", "returned"]}
    end

    test "what the function of the function says goes through both" do
      inner = fn -> raise Refused, code: 1 end
      middle = fn -> Python.eval!("f()", %{f: inner}) end
      error = seen(middle)
      assert error["kind"] == "error"
      assert error["text"] =~ "refused with 1"
    end
  end

  describe "back in Elixir" do
    test "the exception is the cause" do
      assert {:error, %Python.Error{type: "Error", module: "erlang"} = error} =
               Python.eval("f()", %{f: fn -> raise Refused, code: 3 end})

      assert error.cause == %Refused{code: 3}
      assert error.message == "Python.Callbacks.ErrorsTest.Refused: refused with 3"
      assert Exception.message(error) =~ "refused with 3"
      assert Exception.message(error) =~ "erlang.Error"
    end

    test "so are a throw and an exit" do
      assert {:error, %{cause: %ErlangError{original: {:throw, :ball}}}} =
               Python.eval("f()", %{f: fn -> throw(:ball) end})

      assert {:error, %{cause: %ErlangError{original: {:exit, {:shutdown, ref}}}}} =
               Python.eval("f()", %{f: fn -> exit({:shutdown, make_ref()}) end})

      assert is_reference(ref)
    end

    test "the chain goes on through what Python makes of it" do
      name =
        define("""
        def NAME(f):
            try:
                f()
            except Exception as error:
                raise ValueError('in Python') from error
        """)

      assert {:error, %Python.Error{type: "ValueError"} = error} =
               Python.call(:__main__, name, [fn -> raise Refused, code: 4 end])

      assert %Python.Error{type: "Error", cause: %Refused{code: 4}} = error.cause
      message = Exception.message(error)
      assert message =~ "ValueError: in Python"
      assert message =~ "direct cause"
      assert message =~ "refused with 4"
    end

    test "an exception of Python's that came through Elixir is in the chain" do
      function = fn -> Python.eval!("1 / 0") end
      assert {:error, error} = Python.eval("f()", %{f: function})
      assert %Python.Error{type: "Error", cause: %Python.Error{type: "ZeroDivisionError"}} = error
    end

    test "the chain is whole over many turns" do
      assert {:error, error} = Python.eval("f(5)", %{f: &turn/1})

      chain = error |> Stream.iterate(&Map.get(&1, :cause)) |> Enum.take_while(&(&1 != nil))
      assert List.last(chain) == %Refused{code: 0}
      assert Enum.count(chain, &match?(%Python.Error{type: "Error"}, &1)) == 6
      assert Exception.message(error) =~ "refused with 0"
    end

    test "what Python swallows is no error" do
      name =
        define("""
        import contextlib, erlang
        def NAME(f):
            with contextlib.suppress(erlang.Error):
                f()
            return 'went on'
        """)

      assert Python.call(:__main__, name, [fn -> exit(:kill_me) end]) == {:ok, "went on"}
    end

    test "a bang call raises it" do
      assert_raise Python.Error, ~r/refused with 9/, fn ->
        Python.eval!("f()", %{f: fn -> raise Refused, code: 9 end})
      end
    end

    test "Erlang gets the class and the text" do
      assert {:error, {"erlang.Error", text}} =
               :py.eval("f()", %{f: fn -> raise "through py" end})

      assert List.to_string(text) == "RuntimeError: through py"
    end
  end

  describe "erlang.Error" do
    test "can be made and raised by Python code" do
      assert {:error, %Python.Error{type: "Error", cause: nil} = error} =
               Python.exec("import erlang\nraise erlang.Error('exit', 'reason')")

      assert error.message == "exit: reason"
    end

    test "does not mind what becomes of its attributes" do
      name =
        define("""
        import erlang
        def NAME(f, value):
            try:
                f()
            except erlang.Error as error:
                error._original = value
                raise
        """)

      for value <- [nil, 1, "text", self(), [{:error, 1}]] do
        assert {:error, %Python.Error{type: "Error"}} =
                 Python.call(:__main__, name, [fn -> raise "x" end, value])
      end
    end

    test "is pickled like other exceptions" do
      name =
        define("""
        import erlang, pickle
        def NAME(f):
            try:
                f()
            except erlang.Error as error:
                error.__dict__.pop('_original', None)
                copy = pickle.loads(pickle.dumps(error))
                return [copy.kind, copy.type, copy.reason, str(copy)]
        """)

      assert Python.call(:__main__, name, [fn -> raise "x" end]) ==
               {:ok, ["error", "RuntimeError", "x", "RuntimeError: x"]}
    end
  end

  test "a worker is free again after all of this" do
    pool = start_pool(size: 1)

    for kind <- [:raise, :throw, :exit, :kill], _ <- 1..10 do
      function = fn ->
        case kind do
          :raise -> raise "x"
          :throw -> throw(:x)
          :exit -> exit(:x)
          :kill -> Process.exit(self(), :kill)
        end
      end

      assert {:error, %Python.Error{}} = Python.eval("f()", %{f: function}, pool: pool)
    end

    assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
    assert %{workers: 1} = Python.Pool.stats(pool)
  end

  defp zero, do: String.to_integer("0")

  defp turn(0), do: raise(Refused, code: 0)
  defp turn(left), do: Python.eval!("f(n)", %{f: &turn/1, n: left - 1})
end
