defmodule Python.Calls.RefusedArgumentsTest do
  # Every public function with each of its arguments of a wrong type: an ArgumentError in the caller, which says
  # what was given. A function that is added has to be added to the tables here.
  use Python.EngineCase, async: true

  alias Python.{Async, Context, Object, Pool}

  # Examples of what makes no sense, by the kind of argument.
  @no_options [
    nil,
    1,
    "timeout",
    %{timeout: 1},
    {:timeout, 1},
    [1],
    [:timeout],
    [{:timeout, 1} | 2]
  ]
  defp wrong(kind), do: Map.fetch!(wrong(), kind)

  defp wrong do
    %{
      target: [nil, true, 1, 1.5, [], ~c"math", {:math}, %{}, Sentiment, %Object{ref: nil}],
      name: [nil, false, 1, 1.5, [], ~c"sqrt", {:sqrt}, %{}, Sqrt],
      module: [nil, true, 1, [], ~c"math", {:math}, %{}, Sentiment, My.Sentiment, <<255>>],
      args: [nil, 1, "x", :x, %{}, {1}, [1 | 2]],
      calls: [nil, 1, "x", %{}, [1], [[1] | [2]], [[1 | 2]], [[], 5]],
      code: [nil, 1, :x, ~c"1", ["1"], %{}, {"1"}],
      vars: [nil, 1, "x", :x, {:x, 1}, %{1 => 2}, %{[] => 1}, 1..2],
      handle: [
        nil,
        true,
        1,
        1.5,
        :math,
        "math",
        [],
        {1},
        %{ref: 1}
      ],
      async: [
        nil,
        1,
        :async,
        "x",
        self(),
        make_ref(),
        %{},
        [],
        {:ok, 1},
        %Async{ref: 1, ticket: nil, owner: self()}
      ],
      fun: [nil, 1, :f, "f", [], {Kernel, :abs}],
      function_opts:
        @no_options ++ [[zzz: 1], [name: 1], [args: 1], [args: [x: "int", y: "int"]]],
      fun1: [nil, 1, :f, &Kernel.self/0, &Kernel.max/2, {Kernel, :abs}],
      function_name: [nil, true, 1, "", [], ~c"f", {:f}, <<255>>, %{}],
      function: [nil, 1, :f, "f", {1, 2}, {:lists, "sum"}, {:lists, :sum, 1}, []],
      binary: [nil, 1, :a, [1], %{}, <<1::3>>],
      enumerable: [nil, 1, 1.5, :a, "abc", {1}, self(), &Kernel.abs/1],
      timeout: [nil, -1, 1.5, :soon, "1", [], 4_294_967_296],
      receiver: [1, "x", [], %{}, make_ref(), {:a}, nil, true],
      pool_name: [nil, true, 1, 1.5, "x", [], {:x}, %{}],
      pool: [nil, true, 1, "pool", [], %{}, self(), NoSuchPool],
      context: [1, "x", [], %{}, make_ref(), nil, true],
      options:
        @no_options ++
          [[zzz: 1], [timeout: -1], [timeout: :soon], [pool: nil], [pool: "x"], [context: 1]],
      no_options: @no_options,
      opts: @no_options ++ [[zzz: 1]],
      packages: [
        nil,
        1,
        "numpy",
        :numpy,
        ~c"numpy",
        {:a},
        %{},
        [1],
        ["a" | "b"],
        ["-r x"],
        [zzz: 1],
        [version: 3],
        [packages: "numpy"]
      ],
      install: @no_options ++ [[zzz: 1], [quiet: 1], [offline: 1], [version: "three"]],
      start: @no_options ++ [[zzz: 1], [name: "x"], [name: A, timeout: 0], [name: A, init: 1]]
    }
  end

  # The function, arguments that would do, and the kinds of those that have one.
  defp table(handle, async) do
    [
      {Python, :call, [:math, :sqrt, [1], []], [:target, :name, :args, :options]},
      {Python, :call!, [:math, :sqrt, [1], []], [:target, :name, :args, :options]},
      {Python, :call_async, [:math, :sqrt, [1], []], [:target, :name, :args, :options]},
      {Python, :map, [:math, :sqrt, [[1]], []], [:target, :name, :calls, :options]},
      {Python, :stream, [:builtins, :range, [1], []], [:target, :name, :args, :options]},
      {Python, :eval, ["1", %{}, []], [:code, :vars, :options]},
      {Python, :eval!, ["1", %{}, []], [:code, :vars, :options]},
      {Python, :eval_async, ["1", %{}, []], [:code, :vars, :options]},
      {Python, :stream_eval, ["[1]", %{}, []], [:code, :vars, :options]},
      {Python, :exec, ["1", []], [:code, :options]},
      {Python, :exec!, ["1", []], [:code, :options]},
      {Python, :exec_async, ["1", []], [:code, :options]},
      {Python, :await, [async, 5_000], [:async, :timeout]},
      {Python, :cancel, [async], [:async]},
      {Python, :send, [async, 1], [:receiver, nil]},
      {Python, :import, [:math, []], [:module, :opts]},
      {Python, :import!, [:math, []], [:module, :opts]},
      {Python, :apply, [handle, [], []], [:handle, :args, :options]},
      {Python, :apply!, [handle, [], []], [:handle, :args, :options]},
      {Python, :getattr, [handle, :x, []], [:handle, :name, :opts]},
      {Python, :getattr!, [handle, :x, []], [:handle, :name, :opts]},
      {Python, :setattr, [handle, :x, 1, []], [:handle, :name, nil, :opts]},
      {Python, :setattr!, [handle, :x, 1, []], [:handle, :name, nil, :opts]},
      {Python, :getitem, [handle, 0, []], [:handle, nil, :opts]},
      {Python, :getitem!, [handle, 0, []], [:handle, nil, :opts]},
      {Python, :setitem, [handle, 0, 1, []], [:handle, nil, nil, :opts]},
      {Python, :setitem!, [handle, 0, 1, []], [:handle, nil, nil, :opts]},
      {Python, :len, [handle, []], [:handle, :opts]},
      {Python, :len!, [handle, []], [:handle, :opts]},
      {Python, :str, [handle, []], [:handle, :opts]},
      {Python, :str!, [handle, []], [:handle, :opts]},
      {Python, :repr, [handle, []], [:handle, :opts]},
      {Python, :repr!, [handle, []], [:handle, :opts]},
      {Python, :type, [handle, []], [:handle, :opts]},
      {Python, :callable?, [handle, []], [:handle, :opts]},
      {Python, :to_term, [handle, []], [:handle, :opts]},
      {Python, :to_term!, [handle, []], [:handle, :opts]},
      {Python, :fetch, [handle, []], [:handle, :opts]},
      {Python, :fetch!, [handle, []], [:handle, :opts]},
      {Python, :to_object, [1, []], [nil, :opts]},
      {Python, :to_object!, [1, []], [nil, :opts]},
      {Python, :with, [handle, &Function.identity/1, []], [:handle, :fun1, :opts]},
      {Python, :buffer, ["abc", []], [:binary, :opts]},
      {Python, :iterator, [[1]], [:enumerable]},
      {Python, :function, [&Kernel.abs/1, []], [:fun, :function_opts]},
      {Python, :register, [:never_registered, &Kernel.abs/1], [:function_name, :function]},
      {Python, :unregister, [:never_registered], [:function_name]},
      {Python, :install, [[], []], [:packages, :install]},
      {Python, :install!, [[], []], [:packages, :install]},
      {Python, :info, [], []},
      {Pool, :start_link, [[name: A]], [:start]},
      {Pool, :child_spec, [[name: A]], [:no_options]},
      {Pool, :stats, [Python.Pool], [:pool]},
      {Pool, :whereabouts, [Python.Pool], [:pool_name]},
      {Pool, :workers, [Python.Pool], [:pool]},
      {Pool, :default, [], []},
      {Context, :start_link, [[]], [:start]},
      {Context, :child_spec, [[]], [:no_options]},
      {Context, :stop, [:no_such_context], [:context]}
    ]
  end

  setup do
    # Nothing else runs in a table, so an answer that comes late is nobody's.
    handle = Python.to_object!([1])
    call = Python.call_async(:time, :sleep, [0])
    %{table: table(handle, call), erlang_table: erlang_table(handle, call)}
  end

  test "a wrong argument of any function is an ArgumentError that says what was given", context do
    mistakes =
      for {module, name, args, kinds} <- context.table,
          {kind, position} <- Enum.with_index(kinds),
          kind != nil,
          value <- wrong(kind),
          # The first of two optional arguments that is a list is taken for the second.
          not (kind == :vars and is_list(value)),
          args = List.replace_at(args, position, value),
          mistake = mistake(value, fn -> apply(module, name, args) end) do
        "#{inspect(module)}.#{name}, #{kind} #{inspect(value, structs: false)}: #{mistake}"
      end

    assert mistakes == [], Enum.join(mistakes, "\n")
  end

  defp mistake(value, fun) do
    "returned " <> inspect(fun.(), limit: 10)
  rescue
    error in ArgumentError -> if not says(error.message, value), do: error.message
    error -> inspect(error)
  catch
    kind, reason -> inspect({kind, reason})
  end

  # The value itself, or, of options, the one that is wrong.
  defp says(message, value) do
    message =~ inspect(value) or message =~ inspect(value, structs: false) or
      (is_list(value) and Enum.any?(proper(value), &shows(message, &1))) or
      (is_map(value) and not is_struct(value) and Enum.any?(value, &shows(message, &1)))
  end

  defp shows(message, {key, value}), do: message =~ inspect(key) or message =~ inspect(value)
  defp shows(message, other), do: message =~ inspect(other)

  defp proper([head | tail]), do: [head | proper(tail)]
  defp proper(_end), do: []

  test "the table has all functions", context do
    tested = for {module, name, _, _} <- context.table, uniq: true, do: {module, name}

    for module <- [Python, Pool, Context],
        {:docs_v1, _, _, _, _, _, docs} = Code.fetch_docs(module),
        {{:function, name, _}, _, _, %{}, _} <- docs do
      assert {module, name} in tested,
             "#{inspect(module)}.#{name} is not tested with wrong arguments"
    end
  end

  ## Erlang

  # What is text in Erlang may be an atom, a binary or a string.
  defp wrong_in_erlang do
    %{
      text: [nil, 1, 1.5, [], {:math}, %{}, [?m | ?a], self()],
      module: [true, 1, [], {:math}, %{}, Sentiment],
      name: [nil, true, 1, 1.5, [], {:sqrt}, %{}, [?a | ?b], Sqrt],
      args: wrong(:args),
      kwargs: [nil, 1, "x", :x, {:a, 1}, [1], [{:a, 1} | 2], %{1 => 2}, [{1, 2}], [{:a, 1, 2}]],
      vars: [nil, 1, "x", :x, {:a, 1}, [1], [{:a, 1} | 2], %{1 => 2}, [{1, 2}], [{:a, 1, 2}]],
      code: [1, 1.5, {"1"}, %{}, self(), [?1 | ?2]],
      limit: [nil, -1, 1.5, :soon, "1", [], 4_294_967_296],
      timeout: wrong(:timeout),
      async: wrong(:async),
      handle: wrong(:handle),
      reference: [nil, 1, :ref, self(), {}, []],
      function_name: [1, "", [], {:f}, <<255>>, %{}, [?a | ?b]],
      packages: [nil, 1, "numpy", :numpy, ~c"numpy", {:a}, %{1 => 2}, [1], [zzz: 1], [?a | ?b]],
      install: [nil, 1, "x", {:a, 1}, [1], [{:a, 1} | 2], %{1 => 2}, [quiet: 1]],
      fun: [nil, 1, :f, "f", {:lists, :sum}, []],
      atom: [1, "lists", ~c"lists", {}]
    }
  end

  defp erlang_table(handle, async) do
    call = [:math, :sqrt, [1], %{}]
    kinds = [:module, :name, :args, :kwargs]

    [
      {:call, call ++ [5_000], kinds ++ [:limit]},
      {:call_async, call, kinds},
      {:cast, call, kinds},
      {:stream, [:builtins, :range, [1], %{}], kinds},
      {:stream_start, [:builtins, :range, [1], %{}], kinds},
      {:eval, ["1", %{}, 5_000], [:code, :vars, :limit]},
      {:stream_eval, ["[1]", %{}], [:code, :vars]},
      {:exec, ["1", 5_000], [:code, :limit]},
      {:await, [async, 5_000], [:async, :timeout]},
      {:stream_cancel, [make_ref()], [:reference]},
      {:register_function, [:never_registered, &Kernel.abs/1], [:function_name, :fun]},
      {:register_function, [:never_registered, :lists, :sum], [:function_name, :atom, :atom]},
      {:unregister_function, [:never_registered], [:function_name]},
      {:getattr, [handle, :x], [:handle, :name]},
      {:call_method, [handle, :index, [1]], [:handle, :name, :args]},
      {:to_term, [handle], [:handle]},
      {:version, [], []},
      {:install, [[], []], [:packages, :install]},
      {:info, [], []},
      {:memory_stats, [], []},
      {:gc, [], []}
    ]
  end

  test "a wrong argument of any function of py is {badarg, Text}", context do
    mistakes =
      for {name, args, kinds} <- context.erlang_table,
          {kind, position} <- Enum.with_index(kinds),
          value <- Map.fetch!(wrong_in_erlang(), kind),
          args = List.replace_at(args, position, value),
          mistake = badarg_mistake(fn -> apply(:py, name, args) end) do
        "py:#{name}, #{kind} #{inspect(value, structs: false)}: #{mistake}"
      end

    assert mistakes == [], Enum.join(mistakes, "\n")
  end

  defp badarg_mistake(fun) do
    "returned " <> inspect(fun.(), limit: 10)
  catch
    :error, {:badarg, text} when is_binary(text) -> if not (text =~ " "), do: text
    kind, reason -> inspect({kind, reason})
  end

  test "the table has all functions of py", context do
    tested = for {name, args, _} <- context.erlang_table, do: {name, length(args)}

    for {name, arity} <- :py.module_info(:exports), name != :module_info do
      assert Enum.any?(tested, fn {tested, most} -> tested == name and most >= arity end),
             "py:#{name}/#{arity} is not tested with wrong arguments"
    end
  end
end
