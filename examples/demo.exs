# Elixir using Python. `make demo` runs this file, and so does `mix run examples/demo.exs`.

defmodule Demo.Screen do
  @moduledoc false

  # Plain text, so that it reads well in a log file too.

  def title(text), do: IO.puts("\n#{text}\n")
  def say(text), do: text |> String.replace(~r/^(?=.)/m, "  ") |> IO.puts()

  # Shows an expression and what it gives.
  defmacro show(expression, expected) do
    code = Macro.to_string(expression)

    quote do
      value = unquote(expression)
      Demo.Screen.say("iex> #{unquote(code)}\n#{inspect(value)}")
      Demo.Screen.check(unquote(code), value == unquote(expected))
    end
  end

  def bar(length), do: String.duplicate(block(), length)
  def block, do: if(:io.getopts()[:encoding] == :unicode, do: "■", else: "#")
  def right(value, width), do: value |> to_string() |> String.pad_leading(width)

  # Python's own format(): "1,234.5" and the like.
  def format(number, spec), do: Python.call!(:builtins, :format, [number, spec])

  # Paths as seen from here.
  def brief(text), do: String.replace(text, File.cwd!() <> "/", "")

  def check(_what, true), do: true

  def check(what, false) do
    IO.puts(:stderr, "demo.exs: #{what}: not as expected")
    System.halt(1)
  end
end

defmodule Demo do
  @moduledoc false

  import Demo.Screen

  @folder Path.relative_to_cwd(__DIR__)

  # It says which process it ran in.
  @counting """
  import os

  def count(most):
      total = 0
      for number in range(most):
          total += number
      return os.getpid()
  """

  def run do
    # Where the Python modules of this demo are.
    Python.call!(:sys, "path.append", [Path.join(@folder, "python")])

    info = Python.info()

    IO.puts("Elixir #{System.version()} with Python #{info.python_version} in the same process")

    calls()
    book()
    planets()
    exception()
    timeout()
    async()
    processes()
  end

  defp calls do
    title("Calls")

    show(Python.call!(:math, :sqrt, [16]), 4.0)
    show(Python.call!("os.path", :splitext, ["alice.txt"]), {"alice", ".txt"})

    show(
      Python.call!(:json, :dumps, [%{tea: [6, nil]}], kwargs: [indent: 0]),
      ~s({\n"tea": [\n6,\nnull\n]\n})
    )

    show(Python.eval!("sorted(xs, key=abs)", %{xs: [3, -1, 2]}), [-1, 2, 3])
    show(Python.eval!("2 ** 100"), Integer.pow(2, 100))
  end

  defp book do
    title("A book, in data/alice.txt")

    # The book stays in Python. Elixir has a handle, and calls its methods.
    book = Python.call!(:book, :Book, [Path.join(@folder, "data/alice.txt")])
    summary = Python.call!(book, :summary)

    say(inspect(book))

    say(
      "#{summary["sentences"]} sentences of #{format(summary["words per sentence"], ".1f")} " <>
        "words, the longest of #{summary["longest sentence"]}.\n" <>
        "#{summary["different"]} different words, #{summary["only once"]} of them used once. " <>
        "#{format(summary["spoken"], ".0%")} is in quotation marks.\n"
    )

    say("Its most frequent words of more than four letters:")

    for {word, count} <- Python.call!(book, :most_common, [6], kwargs: [longer_than: 4]) do
      say("#{right(word, 9)} #{right(count, 4)}  #{bar(count)}")
    end

    say("\nDifferent words by the number of words read, as a Python generator finds them:")

    last =
      for {read, met} <- Python.stream(book, :growth, [1000]), reduce: nil do
        _ ->
          say("#{right(format(read, ","), 9)} #{right(met, 4)}  #{bar(div(met, 20))}")
          met
      end

    check("the stream ends where the summary does", last == summary["different"])
  end

  defp planets do
    title("Eight years: the long part")
    say("Each planet of data/planets.csv falls around the Sun, in steps of 15 minutes.\n")

    planets = Python.call!(:planets, :read, [Path.join(@folder, "data/planets.csv")])
    published = Map.new(planets, &{&1["name"], &1["period"]})

    # Shown as Python yields it: a block for each tenth of the way around, then the year's length.
    Enum.reduce(Python.stream(:planets, :years, [planets], timeout: :infinity), nil, fn
      {name, "tenth", _}, current ->
        if name != current, do: IO.write("  #{String.pad_trailing(name, 8)} ")
        IO.write(block())
        name

      {name, "days", days}, name ->
        off = days / published[name] - 1

        IO.puts(
          " #{right(format(days, ",.1f"), 8)} days; NASA has " <>
            "#{right(format(published[name], ",.1f"), 8)}, #{right(format(off, "+.2%"), 6)}"
        )

        check("the year of #{name}", abs(off) < 0.02)
        nil
    end)
  end

  defp exception do
    title("A Python exception")

    rows = ["planet,mass", "Vulcan,unknown"]
    {:error, %Python.Error{} = error} = Python.call(:planets, :parse, [rows])

    say(error |> Exception.message() |> brief())
    check("the exception", {error.module, error.type} == {"planets", "BadRow"})
    check("its cause", error.cause.type == "ValueError")
  end

  defp timeout do
    title("A timeout")

    {ms, answer} = timed(fn -> Python.call(:perfect, :odd, [], timeout: 300) end)
    {:error, %Python.TimeoutError{} = error} = answer
    say("After #{format(ms, ".0f")} ms: #{error |> Exception.message() |> brief()}")

    {ms, root} = timed(fn -> Python.call!(:math, :sqrt, [9]) end)
    say("The next call took #{format(ms, ".2f")} ms.")

    check("the next call", root == 3.0)
    check("nothing is left running", settled?(fn -> Python.Pool.stats(Python.Pool).busy == 0 end))
  end

  defp async do
    title("Many calls at once")

    {:ok, pool} = Python.Pool.start_link(name: Demo.Pool, size: 8)

    {ms, answers} =
      timed(fn ->
        calls = for _ <- 1..8, do: Python.call_async(:time, :sleep, [0.25], pool: Demo.Pool)
        Enum.map(calls, &Python.await/1)
      end)

    GenServer.stop(pool)

    say("8 calls that wait for 0.25 s each took #{format(ms / 1000, ".2f")} s on 8 workers.")
    check("all of them ended well", answers == List.duplicate({:ok, nil}, 8))
    check("they waited side by side", ms < 1500)
  end

  # A pool whose Python runs in processes of its own.
  defp processes do
    title("Python in processes of its own: side by side, and a crash that costs one call")

    {:ok, pool} = Python.Pool.start_link(name: Demo.Processes, engine: :process, size: 2)
    :ok = Python.exec(@counting, pool: Demo.Processes)
    count = fn -> Python.call!(:__main__, :count, [2_000_000], pool: Demo.Processes) end

    {one, _} = timed(count)
    {two, pids} = timed(fn -> [count, count] |> Enum.map(&Task.async/1) |> Task.await_many() end)

    say(
      "One call that computes took #{format(one, ".0f")} ms, two took #{format(two, ".0f")} ms."
    )

    check("they ran in two processes", length(Enum.uniq(pids)) == 2)

    {ms, answer} = timed(fn -> Python.call(:os, :abort, [], pool: Demo.Processes) end)
    {:error, %Python.CrashedError{signal: signal}} = answer
    say("os.abort() was an error after #{format(ms, ".1f")} ms: #{inspect(signal)}.")

    {ms, root} = timed(fn -> Python.call!(:math, :sqrt, [9], pool: Demo.Processes) end)
    say("The next call took #{format(ms, ".2f")} ms.")
    check("the call after a crash", root == 3.0)

    GenServer.stop(pool)
  end

  defp timed(work) do
    start = System.monotonic_time(:microsecond)
    result = work.()
    {(System.monotonic_time(:microsecond) - start) / 1000, result}
  end

  defp settled?(condition, left \\ 100) do
    condition.() or (left > 0 and Process.sleep(20) == :ok and settled?(condition, left - 1))
  end
end

Demo.run()
