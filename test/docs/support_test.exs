defmodule Python.Docs.SupportTest do
  # What the suite is made of.
  use Python.TestCase, async: true

  test "the compiled helpers name no folder of the checkout that they were compiled in" do
    root = Python.Checkout.path(".")
    assert File.exists?(Python.Checkout.path("mix.exs"))

    for file <- Path.wildcard(Path.join(root, "test/support/*.ex")),
        Path.basename(file) != "checkout.ex" do
      refute File.read!(file) =~ "__DIR__", "#{file}: use Python.Checkout.path/1"
    end
  end
end
