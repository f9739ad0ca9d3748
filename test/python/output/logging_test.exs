defmodule Python.Output.LoggingTest do
  # Its handler sees the log of all tests, which are told apart by a mark in the text.
  use Python.EngineCase, async: true

  alias Python.FreshVM

  # A handler of Erlang's: an event is sent to the process in its configuration.
  defmodule Handler do
    def log(event, %{config: %{test: test, mark: mark}}) do
      text = text(event.msg)
      if text =~ mark, do: send(test, {:log, event.level, text, event.meta})
    end

    defp text({:string, text}), do: IO.chardata_to_string(text)
    defp text({:report, report}), do: inspect(report)
    defp text({format, args}), do: format |> :io_lib.format(args) |> IO.chardata_to_string()
  end

  setup do
    mark = unique("mark")
    id = String.to_atom(mark)
    :ok = :logger.add_handler(id, Handler, %{config: %{test: self(), mark: mark}})
    on_exit(fn -> :logger.remove_handler(id) end)
    %{mark: mark}
  end

  defp logged(code) do
    assert Python.exec(code) == :ok
    assert_receive {:log, level, text, meta}, 15_000
    {level, text, meta}
  end

  describe "logging" do
    test "has its levels", %{mark: mark} do
      for {name, level} <- [
            info: :info,
            warning: :warning,
            error: :error,
            critical: :critical,
            exception: :error
          ] do
        assert {^level, text, _} =
                 logged("import logging; logging.getLogger('app').#{name}('#{mark}')")

        assert text =~ mark
      end
    end

    test "has levels between them", %{mark: mark} do
      code = fn level -> "import logging; logging.getLogger('app').log(#{level}, '#{mark}')" end
      assert {:info, _, _} = logged(code.(25))
      assert {:warning, _, _} = logged(code.(35))
      assert {:critical, _, _} = logged(code.(99))
    end

    test "shows what is for debugging when a logger asks for it", %{mark: mark} do
      level = :logger.get_primary_config().level
      logger = unique("logger")
      Python.exec!("import logging; logging.getLogger('#{logger}').debug('#{mark} unseen')")
      Python.exec!("logging.getLogger('#{logger}').setLevel(logging.DEBUG)")

      if :logger.compare_levels(level, :debug) != :gt do
        assert {:debug, text, _} = logged("logging.getLogger('#{logger}').debug('#{mark}')")
        assert text == mark
      end

      refute_received {:log, _, _, _}
    end

    test "has the logger's name, the file, the line and the function", %{mark: mark} do
      code = """
      import logging
      def warns():
          logging.getLogger('my.app').warning('%s %d', '#{mark}', 7)
      warns()
      """

      assert {:warning, text, meta} = logged(code)
      assert text == "#{mark} 7"
      assert meta.python_logger == "my.app"
      assert meta.line == 3
      assert to_string(meta.file) =~ "exec"
      assert meta.python_function == "warns"
    end

    @tag :tmp_dir
    test "has the file of a module", %{mark: mark, tmp_dir: dir} do
      module =
        write_module(dir, "import logging\n\ndef f():\n    logging.error('#{mark} größe')\n")

      assert Python.call(module, :f) == {:ok, nil}
      assert_receive {:log, :error, text, meta}, 15_000
      assert text == "#{mark} größe"
      assert meta.python_logger == "root"
      assert meta.line == 4
      assert to_string(meta.file) == Path.join(dir, module <> ".py")
    end

    test "has the traceback of an exception", %{mark: mark} do
      code = """
      import logging
      try:
          1 / 0
      except ZeroDivisionError:
          logging.getLogger('app').exception('#{mark}')
      """

      assert {:error, text, _} = logged(code)
      assert text =~ ~r/^#{mark}\nTraceback .*ZeroDivisionError: division by zero$/s
    end

    test "may hold anything", %{mark: mark} do
      assert {:error, text, _} =
               logged("import logging; logging.error('#{mark} %s', 'a\\0\\ud800🐍 ~p ~s')")

      assert text == "#{mark} a\0\\ud800🐍 ~p ~s"
    end

    test "comes from threads too", %{mark: mark} do
      assert {:warning, _, _} =
               logged("""
               import logging, threading
               thread = threading.Thread(target=logging.warning, args=('#{mark}',))
               thread.start()
               thread.join()
               """)
    end

    test "in great numbers does not pile up before other callbacks" do
      server = Process.whereis(Python.Callback)
      logger = unique("logger")

      task =
        Task.async(fn ->
          Python.exec("""
          import logging
          for n in range(3000): logging.getLogger('#{logger}').info('%d', n)
          """)
        end)

      lengths =
        Stream.repeatedly(fn -> Process.info(server, :message_queue_len) |> elem(1) end)
        |> Enum.take_while(fn _ -> Task.yield(task, 1) == nil end)

      assert Enum.max(lengths, fn -> 0 end) < 1_000
    end

    test "keeps its order", %{mark: mark} do
      Python.exec!("import logging\nfor n in range(100): logging.warning('#{mark} %d', n)")

      for n <- 0..99 do
        expected = "#{mark} #{n}"
        assert_receive {:log, :warning, text, _}, 15_000
        assert text == expected
      end
    end
  end

  describe "a warning" do
    test "is logged with its category and its place", %{mark: mark} do
      code = """
      import warnings
      warnings.simplefilter('always', UserWarning)
      warnings.warn('#{mark} old')
      """

      assert {:warning, text, meta} = logged(code)
      assert text == "UserWarning: #{mark} old"
      assert meta.python_logger == "py.warnings"
      assert meta.line == 3
    end

    test "of a coroutine that nobody has awaited says who does", %{mark: mark} do
      code = """
      async def coroutine_#{mark}():
          pass
      coroutine_#{mark}()
      None
      """

      assert {:warning, text, _meta} = logged(code)

      assert text =~
               "coroutine 'coroutine_#{mark}' was never awaited. A pool with engine: :asyncio"
    end

    test "may be caught", %{mark: mark} do
      assert Python.exec("""
             import warnings
             with warnings.catch_warnings(record=True) as caught:
                 warnings.simplefilter('always')
                 warnings.warn('#{mark}')
             assert len(caught) == 1
             """) == :ok

      refute_received {:log, _, _, _}
    end

    test "may be an error" do
      assert {:error, %Python.Error{type: "UserWarning"}} =
               Python.exec("""
               import warnings
               with warnings.catch_warnings():
                   warnings.simplefilter('error')
                   warnings.warn('strict')
               """)
    end
  end

  describe "erlang.log" do
    test "has Erlang's levels, and what else is given", %{mark: mark} do
      for level <- ~w(info notice warning error critical alert emergency) do
        expected = String.to_atom(level)

        assert {^expected, ^mark, meta} =
                 logged("import erlang; erlang.log('#{level}', '#{mark}', user=7, line=12)")

        assert meta.python == %{"user" => 7}
        assert meta.line == 12
      end
    end

    test "refuses other levels" do
      assert {:error, %Python.Error{type: "ValueError"} = error} =
               Python.call(:erlang, :log, ["loud", "text"])

      assert error.message =~ ~s|expected a level (debug, info, notice, warning|
      assert {:error, %Python.Error{type: "TypeError"}} = Python.call(:erlang, :log, ["info"])
      assert {:error, %Python.Error{type: "TypeError"}} = Python.call(:erlang, :log, ["info", 1])
    end

    test "minds nothing that it is given", %{mark: mark} do
      code = "import erlang; erlang.log('error', '#{mark}', file=1, line='x', logger=None, pid=2)"
      assert {:error, ^mark, meta} = logged(code)
      assert meta.python["pid"] == 2
      assert is_pid(meta.pid)
      # Whatever formats it goes on working: the log of the VM is not taken down by text.
      assert {:error, _, _} = logged("import erlang; erlang.log('error', '#{mark}', time='soon')")
      assert Process.whereis(Python.Callback)
    end
  end

  test "in a VM where it is switched off Python logs to its standard error" do
    {output, status} =
      FreshVM.run(
        """
        Python.exec!("import logging; logging.getLogger('app').warning('to stderr')")
        0 = Python.eval!("len(__import__('logging').getLogger().handlers)")
        Python.exec!("import warnings; warnings.warn('a warning')")
        """,
        settings: [logging: false]
      )

    assert {0, _} = {status, output}
    assert output =~ "to stderr"
    assert output =~ "UserWarning: a warning"
    refute output =~ "[warn"
  end
end
