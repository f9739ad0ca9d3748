defmodule Python.Engine.Process.LargeTest do
  # Binaries that cross beside the frames, in memory that both sides see.
  use Python.TestCase, async: false

  import Bitwise

  alias Python.{CrashedError, FakeWorker}

  @moduletag :capture_log
  @moduletag timeout: 120_000

  # From here on.
  @large 1_048_576

  # Data that differs everywhere.
  defp data(size) do
    numbers = for n <- 1..(div(size, 4_000) + 1), into: <<>>, do: <<n * 2_654_435_761::64>>
    :binary.copy(numbers, 501) |> binary_part(0, size)
  end

  defp memory do
    for path <- Path.wildcard("/proc/self/fd/*"),
        {:ok, target} <- [File.read_link(path)],
        target =~ "memfd:erlang_python",
        do: target
  end

  defp mapped,
    do: File.read!("/proc/self/maps") |> String.split("memfd:erlang_python") |> length()

  describe "a worker" do
    setup context do
      pool = start_pool([engine: :process] ++ Map.get(context, :pool, []))
      eventually("it is ready", fn -> FakeWorker.os_pids(pool) end)
      # What others have left may go meanwhile. Each worker has one for what it sends.
      {:ok, pool: pool, memory: length(memory())}
    end

    test "gets and gives data of any size", %{pool: pool} do
      for size <- [@large - 1, @large, @large + 1, 4 * @large, 5 * @large + 4095] do
        data = data(size)
        text = String.duplicate("ä", div(size, 2))

        for {value, back} <- [
              {{:bytes, data}, data},
              {Python.buffer(data), data},
              {Python.buffer(data, copy: true), data},
              {text, text}
            ] do
          assert Python.call!(:builtins, :len, [value], pool: pool) == size_of(value)
          assert Python.eval!("x", %{x: value}, pool: pool) === back
        end

        code = "(bytes(x), bytearray(x), memoryview(x), memoryview(bytearray(x))[:])"
        all = Python.eval!(code, %{x: Python.buffer(data)}, pool: pool)
        assert all === {data, data, data, data}
      end
    end

    defp size_of(text) when is_binary(text), do: String.length(text)
    defp size_of({:bytes, data}), do: byte_size(data)
    defp size_of(buffer), do: byte_size(buffer.data)

    test "gets and gives several at once, small ones among them", %{pool: pool} do
      many = for n <- 1..20, do: data(div(@large, 4) * n)
      assert Python.eval!("x", %{x: Enum.map(many, &{:bytes, &1})}, pool: pool) === many
      assert Python.eval!("x", %{x: Enum.map(many, &Python.buffer/1)}, pool: pool) === many
      part = binary_part(Enum.at(many, 19), 1000, @large + 7)
      assert Python.eval!("(x, x)", %{x: Python.buffer(part)}, pool: pool) === {part, part}
    end

    test "sends messages and gets answers of callbacks and streams", %{pool: pool} do
      data = data(@large + 5)
      back = fn bytes -> {:bytes, bytes <> "!"} end

      assert Python.eval!("f(bytes(x))", %{f: back, x: Python.buffer(data)}, pool: pool) ===
               data <> "!"

      # Answers that the link's thread copies, and whose callbacks end at once.
      for size <- [65_536, 70_000, @large] do
        answer = fn _ -> {:bytes, binary_part(data, 0, size)} end
        code = "[len(f(n)) for n in range(50)]"
        assert Python.eval!(code, %{f: answer}, pool: pool) == List.duplicate(size, 50)
      end

      send = "__import__('erlang').send(to, bytes(x))"
      Python.eval!(send, %{to: self(), x: {:bytes, data}}, pool: pool)
      assert_receive ^data
      parts = Python.stream(:builtins, :iter, [[{:bytes, data}, {:bytes, data}]], pool: pool)
      assert Enum.to_list(parts) === [data, data]
    end

    @tag pool: [size: 2]
    test "of several works for many callers", %{pool: pool} do
      1..12
      |> Task.async_stream(
        fn n ->
          data = data(@large * rem(n, 4) + n)

          for _ <- 1..10 do
            assert Python.eval!("x", %{x: {:bytes, data}}, pool: pool) === data
            assert Python.eval!("bytes(x)", %{x: Python.buffer(data)}, pool: pool) === data
          end
        end,
        max_concurrency: 12,
        timeout: 100_000
      )
      |> Stream.run()
    end

    test "keeps what it looks at", %{pool: pool, memory: memory} do
      data = data(3 * @large)
      keep = "globals().update(kept=[x, x[5:]], text=y)"
      Python.eval!(keep, %{x: Python.buffer(data), y: {:bytes, data}}, pool: pool)
      for n <- 1..20, do: Python.eval!("len(x)", %{x: {:bytes, data(@large + n)}}, pool: pool)
      # Longer than unused memory is kept.
      eventually("it is given back", fn -> length(memory()) <= memory end)
      assert Python.eval!("bytes(kept[0])", pool: pool) === data
      assert Python.eval!("text == kept[0] and bytes(kept[1]) == text[5:]", pool: pool)
    end

    test "cannot change a buffer that others see", %{pool: pool} do
      data = data(@large)

      code = """
      import os
      def tries():
          could = []
          for line in open("/proc/self/maps"):
              if "memfd:erlang_python" in line and line.split()[1][1] == "w":
                  could.append(line)
          return could
      """

      :ok = Python.exec(code, pool: pool)
      Python.eval!("globals().update(kept=x)", %{x: Python.buffer(data)}, pool: pool)
      assert Python.eval!("tries()", pool: pool) == []
      assert {:error, _} = Python.eval("kept.__setitem__(0, 1)", pool: pool)
    end

    test "leaves nothing when it ends in the middle", %{pool: pool, memory: memory} do
      data = data(20 * @large)

      for n <- 1..5 do
        call = Python.call_async(:builtins, :len, [{:bytes, data <> <<n>>}], pool: pool)

        [worker] = eventually("it is ready", fn -> FakeWorker.os_pids(pool) end)
        System.cmd("kill", ["-9", "#{worker}"])
        Python.await(call)

        eventually("it is replaced", fn ->
          length = Python.call(:builtins, :len, [Python.buffer(data)], pool: pool)
          FakeWorker.os_pids(pool) not in [nil, [worker]] and length == {:ok, byte_size(data)}
        end)

        assert {:error, %CrashedError{}} =
                 Python.eval("(x, __import__('os')._exit(3))", %{x: {:bytes, data}}, pool: pool)
      end

      eventually("all is given back", fn -> length(memory()) <= memory and mapped() == 1 end)
    end

    test "forked children do not touch what is on its way", %{pool: pool} do
      code = """
      import os
      def fork():
          data = b"p" * 3_000_000
          child = os.fork()
          if child == 0:
              try:
                  import erlang
                  erlang.send(erlang.self(), b"c" * 3_000_000)
              finally:
                  os._exit(0)
          os.waitpid(child, 0)
          return data
      """

      :ok = Python.exec(code, pool: pool)
      assert Python.eval!("fork()", pool: pool) == :binary.copy("p", 3_000_000)
    end
  end

  describe "the VM does not trust a worker that" do
    setup do
      {:ok, pool: start_pool(FakeWorker.options())}
    end

    for {what, arguments} <- [
          {"names a place behind the end", [0, 0, 4 * @large, @large]},
          {"names a place that overflows", [0, 0xFFFFFFFFFFFFFFF0, 0x7FFFFFFF, @large]},
          {"says that it has more than there can be", [0, 0, 0xFFFFFFFFFFFFFFFF, @large]},
          {"has more beside a frame than one may have", [0, 0, 3 <<< 30, 4 <<< 30]},
          {"names memory that is not its tray", [1, 0, 3, @large]}
        ] do
      @tag arguments: arguments
      test "#{what}", %{pool: pool, arguments: arguments} do
        assert {:error, %CrashedError{} = error} =
                 Python.call(:fake, :beside, arguments, pool: pool)

        assert Exception.message(error) =~ "cannot read"
        assert Python.call(:fake, :beside, [0, 0, 3, @large], pool: pool) == {:ok, "abc"}
      end
    end

    test "makes what it was given smaller", %{pool: pool} do
      data = data(2 * @large)
      for n <- 1..3, do: Python.call!(:builtins, :len, [data <> <<n>>], pool: pool)
      assert Python.call!(:fake, :shrink, [], pool: pool) == []
      assert Python.call!(:builtins, :len, [data], pool: pool) == byte_size(data)
    end

    for {what, data} <- [{"frees what there is not", <<99::little-64>>}, {"frees half", <<1>>}] do
      @tag data: data
      test what, %{pool: pool, data: data} do
        assert {:error, %CrashedError{}} =
                 Python.call(:fake, :frame, [13, Base.encode16(data)], pool: pool)

        assert Python.eval("1 + 1", pool: pool) == {:ok, 2}
      end
    end
  end
end
