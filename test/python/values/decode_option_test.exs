defmodule Python.Values.DecodeOptionTest do
  # `decode:` says what objects become that are handles otherwise.

  use Python.EngineCase, async: true

  alias Python.{Bytes, DecodeError, Object}

  @modules ~w(uuid pathlib datetime enum dataclasses sqlite3)a

  defp eval(code, options),
    do: Python.eval(code, Map.new(@modules, &{&1, Python.import!(&1)}), options)

  setup_all do
    classes =
      define("""
      import dataclasses, enum, typing, uuid
      class NAME:
          class Color(enum.Enum):
              RED = 1
              BLUE = (1, 'two')
          class Number(enum.IntEnum):
              ONE = 1
          class Text(str, enum.Enum):
              A = 'a'
          class Flags(enum.Flag):
              X = 1
              Y = 2
          @dataclasses.dataclass
          class Point:
              x: int
              y: object = None
              KIND: typing.ClassVar[str] = 'point'
              init: dataclasses.InitVar[int] = 0
          @dataclasses.dataclass
          class Point3(Point):
              z: int = 3
          @dataclasses.dataclass(frozen=True)
          class Frozen:
              x: int = 1
          class Plain(Point):
              pass
      """)

    %{c: classes}
  end

  test "without it they are handles", %{c: c} do
    for code <- ["uuid.UUID(int=1)", "pathlib.PurePath('a')", "datetime.timedelta(1)"] do
      assert {:ok, %Object{}} = eval(code, [])
      assert {:ok, %Object{}} = eval(code, decode: [])
    end

    for code <- ["Color.RED", "Flags.X", "Point(1)"],
        do: assert({:ok, %Object{}} = eval("#{c}.#{code}", decode: [uuid: :string]))
  end

  test "uuid" do
    text = "00000000-0000-0000-0000-00000000000a"
    assert eval("[{'k': uuid.UUID(int=10)}]", decode: [uuid: :string]) == {:ok, [%{"k" => text}]}
    assert eval("type('U', (uuid.UUID,), {})(int=10)", decode: [uuid: :string]) == {:ok, text}
    assert eval("{uuid.UUID(int=10): 1}", decode: [uuid: :bytes]) == {:ok, %{<<10::128>> => 1}}

    assert eval("uuid.UUID(int=10)", decode: [uuid: :bytes], return: :bytes) ==
             {:ok, %Bytes{data: <<10::128>>}}
  end

  test "path" do
    assert eval(
             "[pathlib.PurePosixPath('a/b'), pathlib.PureWindowsPath('a/b'), pathlib.Path('ü')]",
             decode: [path: :string]
           ) ==
             {:ok, ["a/b", "a\\b", "ü"]}

    assert {:error, %DecodeError{path: "[0]"}} =
             eval("[pathlib.Path('\\ud800')]", decode: [path: :string])
  end

  test "timedelta" do
    deltas =
      "[datetime.timedelta(days=1, seconds=2, microseconds=3), datetime.timedelta(microseconds=-1), datetime.timedelta.max]"

    max = 86_399_999_999_999_999_999
    assert eval(deltas, decode: [timedelta: :microseconds]) == {:ok, [86_402_000_003, -1, max]}

    assert eval(deltas, decode: [timedelta: :milliseconds]) ==
             {:ok, [86_402_000, -1, div(max, 1_000)]}

    assert eval(deltas, decode: [timedelta: :seconds]) == {:ok, [86_402, -1, div(max, 1_000_000)]}

    assert eval("type('T', (datetime.timedelta,), {})(1)", decode: [timedelta: :seconds]) ==
             {:ok, 86_400}
  end

  test "enum, whose members with a value of the table's are that without it, too", %{c: c} do
    members = "[#{c}.Color.RED, {#{c}.Color.BLUE: 1}, #{c}.Flags.X, #{c}.Number.ONE, #{c}.Text.A]"
    assert eval(members, decode: [enum: :value]) == {:ok, [1, %{{1, "two"} => 1}, 1, 1, "a"]}
    assert eval(members, decode: [enum: :name]) == {:ok, ["RED", %{"BLUE" => 1}, "X", 1, "a"]}
  end

  test "dataclass, with the same settings inside", %{c: c} do
    code = "#{c}.Point(uuid.UUID(int=1), [#{c}.Point3(1, {'k': #{c}.Frozen()}), #{c}.Plain(2)])"
    id = "00000000-0000-0000-0000-000000000001"

    assert eval(code, decode: [dataclass: :map, uuid: :string]) ==
             {:ok,
              %{
                "x" => id,
                "y" => [
                  %{"x" => 1, "y" => %{"k" => %{"x" => 1}}, "z" => 3},
                  %{"x" => 2, "y" => nil}
                ]
              }}

    assert {:ok, %{"x" => %Object{}}} = eval(code, decode: [dataclass: :map])
    # The class itself is no instance.
    assert {:ok, %Object{}} = eval("#{c}.Point", decode: [dataclass: :map])
  end

  test "a dataclass that contains itself, one nested too deep, and a field that does not cross are errors with a path",
       %{c: c} do
    itself =
      Python.eval!("(lambda p: (setattr(p, 'y', [p]), p)[1])(#{c}.Point(1))", return: :object)

    assert {:error, %DecodeError{path: ~s(["y"][0]), reason: reason}} =
             Python.eval("p", %{p: itself}, decode: [dataclass: :map])

    assert reason =~ "contains itself"

    deep =
      Python.eval!(
        "f.reduce(lambda y, _: #{c}.Point(1, y), range(2000), None)",
        %{f: Python.import!(:functools)},
        return: :object
      )

    assert {:error, %DecodeError{reason: reason}} =
             Python.eval("p", %{p: deep}, decode: [dataclass: :map])

    assert reason =~ "nested deeper"

    assert {:error, %DecodeError{path: ~s(["y"])}} =
             eval("#{c}.Point(1, '\\ud800')", decode: [dataclass: :map])

    # Shared is not nested.
    assert eval("[[p, p] for p in [#{c}.Frozen()]][0]", decode: [dataclass: :map]) ==
             {:ok, [%{"x" => 1}, %{"x" => 1}]}
  end

  test "rows of sqlite3" do
    vars = %{sqlite3: Python.import!(:sqlite3)}

    row = fn query, decode ->
      code =
        "[(setattr(c, 'row_factory', sqlite3.Row), c.execute(q).fetchone(), c.close())[1] for c in [sqlite3.connect(':memory:')]][0]"

      Python.eval(code, Map.put(vars, :q, query), decode: decode)
    end

    assert row.("select 1 as a, 'x' as b, null as c", row: :map) ==
             {:ok, %{"a" => 1, "b" => "x", "c" => nil}}

    assert row.("select 1 as a, 'x' as b", row: :tuple) == {:ok, {1, "x"}}
    assert row.("select 1 as a, 'x' as b", row: :list) == {:ok, [1, "x"]}
    assert {:ok, %Object{}} = row.("select 1", [])

    assert {:error, %Python.Error{type: "ValueError", message: message}} =
             row.("select 1 as a, 2 as a", row: :map)

    assert message =~ "expected columns with different names, got: 'a' twice"
  end

  test "holds for every way to call", %{c: c} do
    name = define("def NAME(x): return [#{c}.Color.RED, x]")
    decode = [enum: :name]
    assert Python.call(:__main__, name, [1], decode: decode) == {:ok, ["RED", 1]}

    assert Python.map(:__main__, name, [[1], [2]], decode: decode) ==
             {:ok, [["RED", 1], ["RED", 2]]}

    assert Enum.to_list(Python.stream(:__main__, name, [1], decode: decode)) == ["RED", 1]

    assert Enum.to_list(Python.stream_eval("iter([#{c}.Color.RED] * 5000)", decode: decode)) ==
             List.duplicate("RED", 5_000)

    assert Python.await(Python.call_async(:__main__, name, [1], decode: decode)) ==
             {:ok, ["RED", 1]}

    assert Python.await(Python.eval_async("#{c}.Color.RED", decode: decode)) == {:ok, "RED"}

    assert Python.apply(Python.eval!("lambda: #{c}.Color.RED"), [], decode: decode) ==
             {:ok, "RED"}

    assert Python.eval("#{c}.Color.RED", decode: decode, timeout: :infinity) == {:ok, "RED"}
    assert {:ok, %Object{}} = Python.eval("#{c}.Color.RED", decode: decode, return: :object)
  end

  test "is a pool's and a context's option, which calls override key by key", %{c: c} do
    decode = [enum: :name, uuid: :string]
    id = "00000000-0000-0000-0000-000000000001"
    # Neither knows what the other defines, or the default pool.
    color = unique("Color")
    code = "[#{color}.RED, __import__('uuid').UUID(int=1)]"
    class = "import enum\nclass #{color}(enum.Enum):\n    RED = 1"
    pool = start_pool(decode: decode)
    context = start_context(decode: decode)
    vars = %{}

    for where <- [[pool: pool], [context: context]] do
      Python.exec!(class, where)
      assert Python.eval(code, vars, where) == {:ok, ["RED", id]}
      assert Python.eval(code, vars, [decode: [enum: :value]] ++ where) == {:ok, [1, id]}

      assert {:ok, ["RED", %Object{}]} =
               Python.eval(code, vars, [decode: [uuid: :object]] ++ where)

      assert Python.eval(code, vars, [decode: [dataclass: :map], return: :bytes] ++ where) ==
               {:ok, ["RED", id]}

      assert Enum.to_list(Python.stream_eval(code, vars, where)) == ["RED", id]
    end

    assert {:ok, [%Object{}, %Object{}]} =
             Python.eval("[#{c}.Color.RED, __import__('uuid').UUID(int=1)]")
  end

  test "other values, keys and terms are refused, with what is allowed" do
    for decode <- [
          :map,
          %{uuid: :string},
          [:uuid],
          [uuid: :text],
          [uuid: "string"],
          [foo: :map],
          [{"uuid", :string}],
          [uuid: nil],
          nil
        ] do
      assert_raise ArgumentError, ~r/option :decode .*:string/, fn ->
        Python.eval("1", decode: decode)
      end

      assert_raise ArgumentError, fn -> Python.Context.start_link(decode: decode) end

      assert_raise ArgumentError, fn ->
        Python.Pool.start_link(name: :never_started, decode: decode)
      end
    end

    assert_raise ArgumentError, ~r/unknown option :decode/, fn -> Python.exec("1", decode: []) end
  end

  test "classes that only say that they are of these modules are not" do
    for {module, name} <- [
          {"uuid", "UUID"},
          {"pathlib", "PurePath"},
          {"pydantic.main", "BaseModel"},
          {"sqlite3", "Row"}
        ] do
      code = "type('#{name}', (), {'__module__': '#{module}'})()"

      assert {:ok, %Object{}} =
               eval(code, decode: [uuid: :string, path: :string, pydantic: :map, row: :map])
    end
  end
end
