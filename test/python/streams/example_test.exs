defmodule Python.Streams.ExampleTest do
  use Python.StreamCase, async: true

  @example Path.expand("../../../examples/stream_words.exs", __DIR__)

  test "examples/stream_words.exs streams words" do
    output = ExUnit.CaptureIO.capture_io(fn -> Code.eval_file(@example) end)
    assert output =~ "Alice opened the door"
    assert [_, read, written] = Regex.run(~r/(\d+) words were read. .* after (\d+)\./, output)
    assert read == written
  end
end
