defmodule Python.Values.PackagesTest do
  # `decode:` with the real pydantic and SQLAlchemy, in a VM of its own.
  use Python.EngineCase, async: true

  alias Python.{FreshVM, Object, Packages}

  @packages ~w(pydantic sqlalchemy pendulum)

  @moduletag skip: Packages.skip(__ENV__, @packages)
  # The first time the packages are installed.
  @moduletag timeout: 300_000

  setup_all do
    {:ok, venv} = Packages.venv(@packages)
    vm = FreshVM.start(settings: [python_path: venv])

    FreshVM.call(vm, Python, :exec!, [
      """
      import datetime, typing, uuid
      import pydantic, pydantic.v1, pydantic.dataclasses
      import sqlalchemy as sa
      import pendulum

      class Inner(pydantic.BaseModel):
          id: uuid.UUID

      class Sub(Inner):
          more: int = 3

      class Outer(pydantic.BaseModel):
          model_config = {"extra": "allow"}
          name: str = pydantic.Field(alias="Name")
          secret: str = pydantic.Field("s", exclude=True)
          inner: Inner
          many: typing.List[Inner] = []
          any: typing.Any = None

          @pydantic.computed_field
          @property
          def size(self) -> int:
              return len(self.many)

      class Ids(pydantic.RootModel[typing.List[int]]):
          pass

      class Old(pydantic.v1.BaseModel):
          a: int
          secret: str = pydantic.v1.Field("s", exclude=True)
          any: typing.Any = None

      @pydantic.dataclasses.dataclass
      class Data:
          a: int

      connection = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False}).connect()
      """,
      [timeout: 120_000]
    ])

    %{eval: fn code, options -> FreshVM.call(vm, Python, :eval, [code, %{}, options]) end}
  end

  @id "00000000-0000-0000-0000-000000000001"

  test "models are maps of their fields, inside too, without those that are excluded", %{
    eval: eval
  } do
    code = """
    Outer(Name="n", inner=Sub(id=uuid.UUID(int=1)), many=[Inner(id=uuid.UUID(int=1))], extra=[1], any=(Ids([1]), Inner(id=uuid.UUID(int=1))))
    """

    assert eval.(code, decode: [pydantic: :map, uuid: :string]) ==
             {:ok,
              %{
                "name" => "n",
                "inner" => %{"id" => @id, "more" => 3},
                "many" => [%{"id" => @id}],
                "any" => {[1], %{"id" => @id}},
                "extra" => [1],
                "size" => 1
              }}

    assert {:ok, %Object{}} = eval.(code, [])
    assert {:ok, %{"inner" => %{"id" => %Object{}}}} = eval.(code, decode: [pydantic: :map])
  end

  test "models of pydantic 1, root models and its dataclasses", %{eval: eval} do
    assert eval.("Old(a=1, any=[Old(a=2)])", decode: [pydantic: :map]) ==
             {:ok, %{"a" => 1, "any" => [%{"a" => 2, "any" => nil}]}}

    assert eval.("[Ids([1, 2])]", decode: [pydantic: :map]) == {:ok, [[1, 2]]}
    assert eval.("Data(a=1)", decode: [dataclass: :map]) == {:ok, %{"a" => 1}}
  end

  test "a model that contains itself is an error with the path", %{eval: eval} do
    code = "(lambda m: (setattr(m, 'any', [m]), m)[1])(Old(a=1))"

    assert {:error, %Python.DecodeError{path: ~s(["any"][0])}} =
             eval.(code, decode: [pydantic: :map])
  end

  test "rows of SQLAlchemy", %{eval: eval} do
    rows =
      "connection.execute(sa.text(\"select 1 as a, 'x' as b union select 2, 'y'\")).fetchall()"

    assert eval.(rows, decode: [row: :map]) ==
             {:ok, [%{"a" => 1, "b" => "x"}, %{"a" => 2, "b" => "y"}]}

    assert eval.(rows, decode: [row: :tuple]) == {:ok, [{1, "x"}, {2, "y"}]}
    assert eval.(rows, decode: [row: :list]) == {:ok, [[1, "x"], [2, "y"]]}
    mappings = String.replace(rows, ".fetchall()", ".mappings().fetchall()")

    assert eval.(mappings, decode: [row: :map]) ==
             {:ok, [%{"a" => 1, "b" => "x"}, %{"a" => 2, "b" => "y"}]}

    assert {:ok, [%Object{}, _]} = eval.(rows, [])
    twice = "connection.execute(sa.text('select 1 as a, 2 as a')).fetchone()"
    assert {:error, %Python.Error{message: message}} = eval.(twice, decode: [row: :map])
    assert message =~ "'a'"
    assert eval.(twice, decode: [row: :tuple]) == {:ok, {1, 2}}
  end

  test "pendulum's dates and times are their bases", %{eval: eval} do
    assert eval.("pendulum.datetime(2024, 7, 1, 12, tz='Europe/Berlin')", []) ==
             {:ok, ~U[2024-07-01 10:00:00Z]}

    assert eval.("[pendulum.date(2024, 7, 1), pendulum.naive(2024, 7, 1)]", []) ==
             {:ok, [~D[2024-07-01], ~N[2024-07-01 00:00:00]]}

    assert eval.("pendulum.duration(minutes=1)", decode: [timedelta: :seconds]) == {:ok, 60}
  end
end
