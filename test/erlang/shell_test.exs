defmodule Python.Erlang.ShellTest do
  # A plain `erl`: the compiled modules of the project and of Elixir on its code path, and no Elixir
  # in sight.

  use Python.TestCase, async: true

  @moduletag :tmp_dir

  setup %{tmp_dir: folder} do
    File.write!(Path.join(folder, "mymodule.py"), """
    def generate_tokens(prompt):
        for token in prompt.split():
            yield token
    """)

    :ok
  end

  test "every line of the Quick Start runs", %{tmp_dir: folder} do
    output =
      erl(folder, settings(), """
      %% As any application, it needs those that it depends on.
      {ok, _} = application:ensure_all_started(logger).
      {ok, _} = application:ensure_all_started(elixir).
      Prompt = <<"to be or not">>.

      %% Start the application
      ok = application:start(erlang_python).

      %% Call a Python function
      {ok, 4.0} = py:call(math, sqrt, [16]).

      %% With keyword arguments
      {ok, Json} = py:call(json, dumps, [\#{foo => bar}], \#{indent => 2}).

      %% Evaluate an expression
      {ok, 45} = py:eval(<<"sum(range(10))">>).

      %% Execute statements
      ok = py:exec(<<"
      def my_func(x):
          return x * 2
      ">>).
      {ok, 10} = py:call('__main__', my_func, [5]).

      %% Async calls
      Ref = py:call_async(math, factorial, [100]),
      %% ... do other work ...
      {ok, Result} = py:await(Ref).

      %% Streaming from generators
      {ok, Chunks} = py:stream(mymodule, generate_tokens, [Prompt]).

      [<<"to">>, <<"be">>, <<"or">>, <<"not">>] = Chunks.
      <<"{\\n  \\"foo\\": \\"bar\\"\\n}">> = Json.
      158 = length(integer_to_list(Result)).
      io:format("the end~n").
      """)

    assert output =~ "the end"
    refute output =~ "** exception"
  end

  test "the application starts on its own, with the settings of sys.config", %{tmp_dir: folder} do
    settings = """
    [
      {erlang_python, [
        {num_workers, 3},           %% Number of Python workers
        {python_path, "#{python().executable}"},
        {worker_timeout, 150}     %% Default timeout in ms
      ]}
    ].
    """

    output =
      erl(folder, settings, """
      {ok, _} = application:ensure_all_started(erlang_python).
      {ok, <<"#{python().python_version}">>} = py:version().
      {ok, <<"#{python().executable}">>} = py:eval("__import__('sys').executable").
      \#{workers := 3} = 'Elixir.Python.Pool':stats('Elixir.Python.Pool').
      {error, timeout} = py:call(time, sleep, [10]).
      io:format("the end~n").
      """)

    assert output =~ "the end"
    refute output =~ "** exception"
  end

  test "an invalid setting stops the start, with a message", %{tmp_dir: folder} do
    output =
      erl(folder, "[{erlang_python, [{num_workers, none}]}].", """
      {error, _} = application:ensure_all_started(erlang_python).
      io:format("the end~n").
      """)

    assert output =~ "the end"

    assert output =~
             "expected the setting :num_workers of :erlang_python to be an integer from 1 to 1024, got: :none"
  end

  # What a shell answers to these lines.
  defp erl(folder, settings, lines) do
    File.write!(Path.join(folder, "sys.config"), settings)
    File.write!(Path.join(folder, "lines"), lines <> "halt().\n")

    paths =
      for app <- [:erlang_python, :elixir, :logger] do
        ["-pa", app |> :code.lib_dir() |> Path.join("ebin")]
      end

    arguments = List.flatten([paths, "-config", "sys"])

    {output, 0} =
      System.cmd("sh", ["-c", ~s(exec erl "$@" < lines), "erl" | arguments],
        cd: folder,
        stderr_to_stdout: true,
        env: [{"ERL_LIBS", nil}]
      )

    output
  end

  defp settings, do: ~s([{erlang_python, [{python_path, "#{python().executable}"}]}].)

  defp python, do: Python.info()
end
