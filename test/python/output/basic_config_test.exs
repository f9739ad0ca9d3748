defmodule Python.Output.BasicConfigTest do
  # `logging.basicConfig`, each time in a VM of its own and in a plain Python.
  use Python.TestCase, async: true

  alias Python.FreshVM

  @about "print('handlers', [type(h).__name__ for h in logging.getLogger().handlers], logging.getLogger().level)\n"

  defp plain(code) do
    {output, 0} = System.cmd(Python.info().executable, ["-c", code], stderr_to_stdout: true)
    output
  end

  defp ours(code, env \\ []) do
    {output, 0} =
      FreshVM.run(
        "Logger.configure(level: :debug)\nPython.exec!(#{inspect(code, printable_limit: :infinity)})\nLogger.flush()",
        env: env
      )

    output
  end

  for {what, code} <- [
        {"a file", "logging.basicConfig(filename=path, level=logging.DEBUG)"},
        {"a file and a format",
         "logging.basicConfig(filename=path, filemode='w', format='%(levelname)s|%(message)s')"},
        {"a file, twice",
         "logging.basicConfig(filename=path)\nlogging.basicConfig(level=logging.DEBUG, filename=path + '2')"},
        {"a stream",
         "logging.basicConfig(stream=open(path, 'w'), level=logging.INFO, style='{', format='{name} {message}')"},
        {"handlers",
         "logging.basicConfig(handlers=[logging.FileHandler(path), logging.NullHandler()], level='WARNING')"},
        {"no handlers", "logging.basicConfig(handlers=[])"},
        {"force", "logging.basicConfig(filename=path, force=True, level=logging.ERROR)"},
        {"force after another",
         "logging.basicConfig(filename=path + '2')\nlogging.basicConfig(filename=path, force=True, format='again %(message)s')"},
        {"a handler that was added before",
         "logging.getLogger().addHandler(logging.FileHandler(path))\nlogging.getLogger().handlers[:-1] = []\nlogging.getLogger().setLevel(30)\nlogging.basicConfig(filename=path + '2')"},
        {"dictConfig",
         "import logging.config\nlogging.config.dictConfig({'version': 1, 'handlers': {'f': {'class': 'logging.FileHandler', 'filename': path}}, 'root': {'handlers': ['f'], 'level': 'DEBUG'}})"}
      ] do
    @tag :tmp_dir
    test "with #{what} does what it does in plain Python", %{tmp_dir: dir} do
      program = fn path ->
        """
        import logging
        path = #{inspect(path)}
        #{unquote(code)}
        for level in (10, 20, 30, 40): logging.getLogger('app').log(level, 'text %d', level)
        #{@about}for handler in logging.getLogger().handlers: handler.flush()
        import os
        print('file', [open(p).read() for p in (path, path + '2') if os.path.exists(p)])
        """
      end

      [expected, got] = [
        plain(program.(Path.join(dir, "plain"))),
        ours(program.(Path.join(dir, "ours")))
      ]

      # The level of the root is Elixir's where nobody sets it.
      level =
        if expected =~ "] 30\n" and not (unquote(code) =~ "WARNING"), do: &relevel/1, else: & &1

      assert level.(got) == level.(expected)
      refute got =~ "[error]"
    end
  end

  defp relevel(text) do
    text
    |> String.replace(~r/\] (20|30)\n/, "] _\n")
    |> String.replace(~r/(again |INFO:app:|INFO\|)text 20\\n/, "")
  end

  test "with a level or a format keeps Elixir's handler, in the place of the one to the standard error" do
    output =
      ours("""
      import logging
      logging.basicConfig(level=logging.DEBUG, format='<%(levelname)s %(message)s>')
      logging.basicConfig(level=logging.ERROR, format='not this')
      logging.getLogger('app').debug('text')
      #{@about}
      """)

    assert output =~ "<DEBUG text>"
    assert output =~ "handlers ['Handler'] 10"
    refute output =~ "DEBUG:app"

    output =
      ours("import logging\nlogging.basicConfig(level=10)\nlogging.debug('text')\n" <> @about)

    assert output =~ "text"
    refute output =~ "DEBUG:root:text"
  end

  test "that fails leaves Elixir's handler where it is" do
    output =
      ours("""
      import logging
      for options in ({'filename': '/no/such/folder/x'}, {'no_such': 1}, {'stream': 1, 'filename': 'x'}, {'style': '?'}):
          try: logging.basicConfig(**options)
          except (ValueError, OSError) as error: print(type(error).__name__)
      #{@about}logging.warning('still there')
      """)

    errors = for [error] <- Regex.scan(~r/^\w+Error$/m, output), do: error
    assert errors == ~w(FileNotFoundError ValueError ValueError ValueError)
    assert output =~ "handlers ['Handler'] 20\n"

    assert output =~ "still there"
    refute output =~ "WARNING:root"
  end

  test "Elixir's handler can be removed, and added again" do
    output =
      ours("""
      import logging
      root = logging.getLogger()
      handler, = root.handlers
      root.removeHandler(handler)
      logging.getLogger('app').warning('to the last resort')
      print(root.handlers)
      root.addHandler(handler)
      logging.getLogger('app').warning('to Elixir')
      """)

    assert output =~ "to the last resort\n[]\n"
    assert output =~ "[warning] to Elixir" or output =~ "[warn]  to Elixir"
  end
end
