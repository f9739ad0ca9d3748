defmodule Python.Docs.NotebooksTest do
  # Runs the notebooks in livebooks/ from top to bottom, each in a VM of its own and without Kino, and
  # compares what the cells give with the outputs that are written under them.
  use Python.TestCase, async: true

  alias Python.{FreshVM, Notebook, Packages}

  # These install packages; whether that is possible here is known from those of the other tests.
  @installing ~w(data.livemd llm_stream.livemd)
  @unreachable Packages.skip(__ENV__)

  @folder Path.expand("../../livebooks", __DIR__)
  @notebooks Path.wildcard(Path.join(@folder, "*.livemd"))

  @moduletag timeout: 600_000

  test "there are notebooks" do
    assert Enum.map(@notebooks, &Path.basename/1) == ~w(data.livemd llm_stream.livemd tour.livemd)
  end

  for path <- @notebooks do
    @path path
    @tag skip: Path.basename(path) in @installing and @unreachable
    test "#{Path.basename(path)} runs as it stands, and gives what it says" do
      %{executable: python, python_version: version} = Python.info()
      cache = Path.join(Packages.folder(), "cache-#{version}-#{:erlang.phash2(python)}")

      # The virtual environment of the notebooks is made from the Python of the suite.
      env = [
        {"XDG_CACHE_HOME", cache},
        {"PATH", Path.dirname(python) <> ":" <> System.get_env("PATH")},
        {"PIP_CACHE_DIR", Path.join(:filename.basedir(:user_cache, ""), "pip")},
        {"VIRTUAL_ENV", false}
      ]

      vm = FreshVM.start(start: false, env: env)
      outcome = FreshVM.call(vm, Notebook, :run, [@path], 500_000)

      with {:error, place, text} <- outcome, do: flunk("#{place}: #{text}")
      assert {:ok, cells} = outcome
      assert length(cells) > 5

      for {place, shown, stated} <- cells, stated != [] do
        assert {place, shown} == {place, stated}
      end

      assert Enum.count(cells, fn {_, _, stated} -> stated != [] end) >= 3
      FreshVM.stop(vm)
    end
  end
end
