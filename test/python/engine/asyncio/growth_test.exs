defmodule Python.Engine.Asyncio.GrowthTest do
  # Objects that grow while a call awaits something: as in `Python.Objects.GrowthTest`.
  use Python.TestCase

  # In MB. All that is made for one kind is 1,000.
  @most 350

  @prelude ~S'''
  {:ok, _} = Python.Pool.start_link(name: L, engine: :asyncio)

  Python.exec!("""
  import asyncio

  def big():
      return bytearray(b"x") * 10_000_000

  class Lazy:
      async def load(self):
          await asyncio.sleep(0)
          self.data = big()
      async def fit(self):
          await asyncio.sleep(0)
          self.data = big()
          return self
      async def broken(self):
          await asyncio.sleep(0)
          self.data = big()
          raise ValueError("no more")

  async def fill(object, other=None):
      await asyncio.sleep(0)
      (object or other).data = big()
  """)

  new = fn -> Python.call!(:__main__, :Lazy, [], return: :object) end
  '''

  @kinds [
    {"methods", "times.(100, fn -> Python.call!(new.(), :load, [], pool: L) end)"},
    {"methods that return the object",
     "times.(100, fn -> Python.call!(new.(), :fit, [], pool: L) end)"},
    {"methods that fail",
     "times.(100, fn -> {:error, _} = Python.call(new.(), :broken, [], pool: L) end)"},
    {"arguments", "times.(100, fn -> Python.call!(:__main__, :fill, [new.()], pool: L) end)"},
    {"keyword arguments",
     "times.(100, fn -> Python.call!(:__main__, :fill, [nil], kwargs: %{other: new.()}, pool: L) end)"},
    {"maps of calls",
     "times.(100, fn -> {:ok, _} = Python.map(:__main__, :fill, [[new.()]], pool: L) end)"},
    {"variables",
     ~S|times.(100, fn -> Python.eval!("await x.load()", %{x: new.()}, pool: L) end)|},
    {"asynchronous calls",
     "times.(100, fn -> {:ok, _} = Python.await(Python.call_async(new.(), :load, [], pool: L)) end)"}
  ]

  @tag timeout: 600_000
  @tag skip: if(:os.type() != {:unix, :linux}, do: "reads /proc")
  test "what has grown while a call waited is freed in time" do
    Python.Peaks.assert_below(@most, @prelude <> Python.Peaks.settling(), @kinds)
  end
end
