defmodule Python.MatrixTest do
  # What `make matrix` makes of the last lines of a run, as each version of Elixir words them.
  use Python.TestCase, async: true

  @script Path.expand("../../scripts/test_counts.sh", __DIR__)

  defp counts(text) do
    file = Path.join(System.tmp_dir!(), "counts_#{System.unique_integer([:positive])}")
    File.write!(file, text)
    on_exit(fn -> File.rm(file) end)
    {output, 0} = System.cmd("sh", ["-c", "exec #{@script} < #{file}"])
    String.trim(output)
  end

  test "the tests that ran and those that failed are read, in the words of Elixir before 1.20" do
    assert counts("Finished in 1.0 seconds\n93 tests, 0 failures\n\nRandomized\n") == "93 0"
    assert counts("1 doctest, 1 test, 1 failure\n") == "2 1"

    assert counts("77 doctests, 3 properties, 20 tests, 2 failures, 8 excluded, 1 skipped\n") ==
             "91 2"

    assert counts("...\e[31m5 tests, 3 failures\e[0m\n") == "5 3"
  end

  test "the same, in the words of Elixir 1.20" do
    assert counts("Finished in 1.0 seconds\n\nResult: 62 passed, 1 excluded\n") == "62 0"

    assert counts("""
           Result: 1365/1379 passed (77/77 doctests, 1288/1302 tests), 8 skipped, 2 excluded
           Failed: 14 tests
           """) == "1379 14"
  end

  test "a run that does not come to its end has no counts" do
    assert counts("") == "- -"
    assert counts("....Segmentation fault\n") == "- -"
    assert counts("Compilation failed\n") == "- -"
  end
end
