defmodule Python.Values.BuffersTest do
  # Big data: what is shared between the two sides, how long it lives, and that it is not copied.

  use Python.EngineCase, async: true

  alias Python.{Bytes, DecodeError, Error, FreshVM}

  # From here on strings and bytes of Python share their memory with the binaries.
  @shared 65_536

  defp object(code, vars \\ %{}), do: Python.eval!(code, vars, return: :object)

  # In a process of its own, whose heap goes with it.
  defp elsewhere(fun), do: fun |> Task.async() |> Task.await(60_000)

  # Data that differs everywhere.
  defp data(size), do: binary_part(numbers(div(size, 8) + 1, []), 0, size)
  defp numbers(0, acc), do: IO.iodata_to_binary(acc)
  defp numbers(n, acc), do: numbers(n - 1, [<<n * 2_654_435_761::64>> | acc])

  describe "Python.buffer" do
    test "is a read-only memoryview of the binary" do
      for size <- [0, 1, 63, 64, 65, @shared, 1_000_000] do
        data = data(size)
        vars = %{x: Python.buffer(data), y: %Bytes{data: data}}

        assert Python.eval!("(type(x).__name__, x.readonly, x.nbytes, x.ndim, x.format)", vars) ==
                 {"memoryview", true, size, 1, "B"}

        assert Python.eval!("bytes(x) == y", vars)
        assert Python.call!(:builtins, :len, [vars.x]) == size
        assert Python.eval!("x", vars) == data
      end
    end

    test "is what Python's functions on data take" do
      data = data(100_000)
      buffer = Python.buffer(data)
      assert Python.call!(:zlib, :crc32, [buffer]) == :erlang.crc32(data)
      assert Python.call!(:builtins, :bytes, [buffer]) == data
      <<_::8-bytes, number::64, _::binary>> = data
      assert Python.call!(:struct, :unpack_from, [">Q", buffer, 8]) == {number}
      hash = Python.call!(:hashlib, :sha256, [buffer], return: :object)
      assert Python.call!(hash, :digest) == :crypto.hash(:sha256, data)
      assert Python.call!(:base64, :b64encode, [buffer]) == Base.encode64(data)
      stream = Python.call!(:io, :BytesIO, [buffer])
      assert Python.call!(stream, :read, [10]) == binary_part(data, 0, 10)
    end

    test "may be anywhere in an argument" do
      data = data(100)
      assert Python.eval!("len(x[0]['k'][1])", %{x: [%{"k" => {1, Python.buffer(data)}}]}) == 100

      assert Python.call!(:builtins, :dict, [], kwargs: [a: Python.buffer(data)]) == %{
               "a" => data
             }

      assert Python.repr!(Python.to_object!(Python.buffer(data))) =~ "<memory at"
    end

    test "cannot be written to" do
      data = data(1_000)
      view = Python.to_object!(Python.buffer(data))
      assert {:error, %Error{type: "TypeError"}} = Python.setitem(view, 0, 1)
      assert {:error, %Error{}} = Python.call(:ctypes, "c_char.from_buffer", [view])
      assert {:error, %Error{}} = Python.eval("x.cast('H').__setitem__(0, 1)", %{x: view})
      assert Python.to_term!(view) == data
      assert data == data(1_000)
    end

    test "can be cut, cast and released" do
      data = data(1_000)
      view = Python.to_object!(Python.buffer(data))
      slice = Python.call!(:builtins, :slice, [10, 20])
      assert Python.getitem!(view, slice) == binary_part(data, 10, 10)
      assert Python.eval!("x.cast('B', [10, 100])[3, 4]", %{x: view}) == :binary.at(data, 304)
      backwards = data |> :binary.bin_to_list() |> Enum.reverse() |> :binary.list_to_bin()
      assert Python.eval!("x[::-1]", %{x: view}) == backwards
      assert Python.call!(view, :release) == nil
      assert {:error, %DecodeError{}} = Python.to_term(view)
      assert {:error, %Error{type: "ValueError"}} = Python.len(view)
    end

    test "of a part of a binary is that part, wherever it begins" do
      whole = data(200_000)

      for bits <- [0, 1, 3, 7, 8], size <- [1, 64, 65, 1_000, 100_000] do
        part = part_at(whole, bits, size)
        assert Python.call!(:zlib, :crc32, [Python.buffer(part)]) == :erlang.crc32(part)
      end
    end

    test "of a binary that is appended to afterwards is what it was" do
      # The VM appends in place where it can: the bytes that Python sees must not move or change.
      binary = Enum.reduce(1..2_000, <<>>, fn n, acc -> <<acc::binary, n::32>> end)
      view = Python.to_object!(Python.buffer(binary))

      longer = Enum.reduce(1..50_000, binary, fn n, acc -> <<acc::binary, n::32>> end)
      other = <<binary::binary, 0::800>>
      :erlang.garbage_collect()

      assert byte_size(longer) == 4 * 52_000
      assert binary_part(longer, 0, 8_000) == binary
      assert binary_part(other, 0, 8_000) == binary
      assert Python.to_term!(view) == binary
      expected = for n <- 1..2_000, into: <<>>, do: <<n::32>>
      assert Python.call!(:zlib, :crc32, [view]) == :erlang.crc32(expected)
    end

    test "takes only binaries" do
      for term <- [<<1::3>>, nil, 5, ~c"a", %{}] do
        assert_raise ArgumentError, fn -> Python.buffer(term) end
      end

      assert inspect(Python.buffer("abc")) == "#Python.Buffer<3 bytes>"
    end
  end

  describe "Python.buffer with copy: true" do
    test "is a memoryview of Python's own, which may be written to" do
      for size <- [0, 1, 64, 1_000, 3_000_000] do
        data = data(size)
        view = Python.to_object!(Python.buffer(data, copy: true))

        assert Python.eval!("(type(x).__name__, x.readonly, x.nbytes, x.format)", %{x: view}) ==
                 {"memoryview", false, size, "B"}

        assert Python.to_term!(view) == data

        if size > 0 do
          Python.setitem!(view, 0, 255)
          assert :binary.at(Python.to_term!(view), 0) == 255
        end

        assert data == data(size)
      end
    end

    test "is another one for each argument" do
      buffer = Python.buffer("abc", copy: true)

      assert Python.eval!("(x.__setitem__(0, 0), x[0], y[0])", %{x: buffer, y: buffer}) ==
               {nil, 0, ?a}
    end

    test "can be written to by what writes to the read-only" do
      data = data(1_000)
      buffer = Python.buffer(data, copy: true)
      # ctypes is as deaf as torch.frombuffer, but needs a writable buffer to begin with.
      Python.eval!("c.memset(c.addressof(c.c_char.from_buffer(x)), 0, 1000)", %{
        c: Python.import!(:ctypes),
        x: buffer
      })

      assert data == data(1_000)
    end

    test "false is the default, and all else is refused" do
      assert Python.eval!("x.readonly", %{x: Python.buffer("abc", copy: false)})

      for options <- [
            [copy: 1],
            [copy: nil],
            [other: true],
            %{copy: true},
            :copy,
            [copy: true, copy: true]
          ] do
        assert_raise ArgumentError, ~r/copy: true or copy: false/, fn ->
          Python.buffer("abc", options)
        end
      end
    end
  end

  describe "while large data is copied" do
    @describetag engine: :main
    # A thread of Python notes when it gets its turn. If it had none while the data is copied, its longest
    # pause would be as long as that takes. Others may hold it up; so it has some attempts.
    setup :ticks

    defp ticks(_) do
      ticks =
        define("""
        import threading, time
        class NAME:
            def __init__(self):
                self.longest, self.on = 0, True
                self.thread = threading.Thread(target=self.run, daemon=True)
                self.thread.start()
            def run(self):
                last = time.perf_counter()
                while self.on:
                    now = time.perf_counter()
                    self.longest, last = max(self.longest, now - last), now
            def end(self):
                self.on = False
                self.thread.join()
                return self.longest * 1000
        """)

      %{ticks: ticks}
    end

    defp others_go_on(ticks, work) do
      eventually("others go on", fn ->
        ticking = Python.call!(:__main__, ticks, [], return: :object)
        {took, _} = timed(work)
        Python.call!(ticking, :end) < took / 4
      end)
    end

    test "out of a bytearray, or a memoryview with gaps, others go on", %{ticks: ticks} do
      for code <- ["bytearray(200_000_000)", "memoryview(bytearray(200_000_000))[::2]"] do
        object = object(code)
        others_go_on(ticks, fn -> Python.to_term!(object) end)
      end
    end

    test "into a bytes or a str, others go on", %{ticks: ticks} do
      for data <- [
            %Bytes{data: :binary.copy("a", 100_000_000)},
            :binary.copy("a", 100_000_000),
            :binary.copy("ä€", 20_000_000)
          ] do
        others_go_on(ticks, fn -> Python.call!(:builtins, :len, [data]) end)
      end
    end

    test "it is the same, whatever it is" do
      for text <- ["a", "ä", "€", "🐍", "aä€🐍"] do
        data = :binary.copy(text, 400_000)
        n = div(1_048_576, byte_size(text))

        for data <- [
              data,
              data <> "a",
              :binary.copy(text, n - 1),
              :binary.copy(text, n),
              :binary.copy(text, n + 1)
            ] do
          assert Python.eval!("(type(x).__name__, x == y.decode())", %{
                   x: data,
                   y: %Bytes{data: data}
                 }) == {"str", true}
        end

        broken = data <> <<255>>

        assert Python.eval!("(type(x).__name__, x == bytes(y))", %{
                 x: broken,
                 y: Python.buffer(broken)
               }) == {"bytes", true}

        assert Python.eval!("{x: 1}", %{x: data}) == %{data => 1}
      end
    end
  end

  describe "a binary" do
    test "of a large str or bytes is the whole of it, at any size" do
      for size <- [@shared - 1, @shared, @shared + 1, 1_000_000] do
        assert Python.eval!("b'\\xff' * n", %{n: size}) == :binary.copy(<<255>>, size)
        assert Python.eval!("'x' * n", %{n: size}) == :binary.copy("x", size)
        assert Python.eval!("'ü🐍' * n", %{n: size}) == :binary.copy("ü🐍", size)
        assert Python.eval!("bytearray(b'a' * n)", %{n: size}) == :binary.copy("a", size)
        assert Python.eval!("memoryview(b'ab' * n)[::2]", %{n: size}) == :binary.copy("a", size)
      end
    end

    test "of Python can be sent, kept, cut and used as any other" do
      binary = Python.eval!("bytes(range(256)) * 4_096")
      assert byte_size(binary) == 1_048_576

      {crc, part} =
        elsewhere(fn -> {:erlang.crc32(binary), binary_part(binary, 500_000, 256)} end)

      assert crc == Python.call!(:zlib, :crc32, [%Bytes{data: binary}])
      assert byte_size(part) == 256
      assert :erlang.term_to_binary(binary) |> :erlang.binary_to_term() == binary
      assert binary <> "x" == <<binary::binary, "x">>
      assert Map.fetch!(%{binary => 1}, binary) == 1
      assert Python.eval!("x == y", %{x: Python.buffer(binary), y: %Bytes{data: binary}})
    end

    test "of a subclass that lies about its length is what it is" do
      name = define("class NAME(bytes):\n    __len__ = lambda self: 5\n    __getitem__ = None")
      assert Python.eval!("#{name}(b'x' * 100_000)") == :binary.copy("x", 100_000)
    end

    test "of a bytearray does not change when that does" do
      array = object("bytearray(b'a' * 100_000)")
      binary = Python.to_term!(array)
      Python.setitem!(array, 0, 98)
      Python.call!(array, :extend, [%Bytes{data: "more"}])
      assert binary == :binary.copy("a", 100_000)
    end
  end

  describe "while one side reads, the other forgets:" do
    # A subclass that counts its living instances.
    defp counting(base) do
      define("""
      import threading
      class NAME(#{base}):
          living = 0
          # They come and go on several threads, and adding is more than one step.
          lock = threading.RLock()
          def __new__(cls, *arguments):
              with cls.lock: cls.living += 1
              return super().__new__(cls, *arguments)
          def __del__(self):
              with self.lock: type(self).living -= 1
      """)
    end

    defp living(class), do: Python.eval!("#{class}.living")

    test "Python has a part of a binary that Elixir has dropped" do
      size = 5_000_000

      {view, crc} =
        elsewhere(fn ->
          data = data(size)
          whole = Python.to_object!(Python.buffer(data))
          view = Python.eval!("x[1_000_000:2_000_000]", %{x: whole}, return: :object)
          {view, :erlang.crc32(binary_part(data, 1_000_000, 1_000_000))}
        end)

      # The process and its heap are gone; what is allocated now would be where its binary was.
      for _ <- 1..20 do
        :erlang.garbage_collect()
        assert :erlang.crc32(:binary.copy(<<255>>, size)) != crc
        assert Python.call!(:zlib, :crc32, [view]) == crc
      end
    end

    test "a thread of Python goes on reading what Elixir has dropped" do
      name =
        define("""
        import threading, zlib
        class NAME(threading.Thread):
            def __init__(self, view):
                super().__init__(daemon=True)
                self.view, self.wrong, self.rounds, self.stop = view, 0, 0, False
                self.crc = zlib.crc32(view)
            def run(self):
                while not self.stop:
                    self.rounds += 1
                    self.wrong += zlib.crc32(self.view) != self.crc
        """)

      reader =
        elsewhere(fn ->
          reader = Python.call!(:__main__, name, [Python.buffer(data(2_000_000))])
          Python.call!(reader, :start)
          reader
        end)

      for _ <- 1..30 do
        :erlang.garbage_collect()
        assert byte_size(:binary.copy(<<0>>, 2_000_000)) == 2_000_000
      end

      eventually("it has read a few times", fn -> Python.getattr!(reader, :rounds) > 5 end)
      Python.setattr!(reader, :stop, true)
      Python.call!(reader, :join)
      assert Python.getattr!(reader, :wrong) == 0
    end

    for {base, content} <- [bytes: "b'abcdefgh' * 200_000", str: "'abcdefgh' * 200_000"] do
      # What comes from a process is a copy.
      @tag engine: :main
      test "Elixir has a part of a #{base} that Python has dropped" do
        class = counting(unquote(base))
        {:ok, holder} = Agent.start_link(fn -> nil end)

        elsewhere(fn ->
          whole = Python.eval!("#{class}(#{unquote(content)})")
          Agent.update(holder, fn _ -> binary_part(whole, 800_000, 80) end)
        end)

        # Python has no reference to it any more, but Elixir has, to a part of its bytes.
        for _ <- 1..10 do
          Python.exec!("import gc; gc.collect(); [bytes(1_600_000) for _ in range(3)]")
          assert Agent.get(holder, & &1) == String.duplicate("abcdefgh", 10)
        end

        assert living(class) == 1
        Agent.stop(holder)
        eventually("the object has gone", fn -> living(class) == 0 end)
      end
    end

    test "Elixir reads what Python drops meanwhile" do
      class = counting("bytes")
      expected = :erlang.crc32(:binary.copy(for(n <- 0..255, into: <<>>, do: <<n>>), 2_000))

      readers =
        for _ <- 1..4 do
          Task.async(fn ->
            for _ <- 1..15 do
              binary = Python.eval!("#{class}(bytes(range(256)) * 2_000)")
              assert :erlang.crc32(binary) == expected
              :erlang.garbage_collect()
            end
          end)
        end

      for _ <- 1..20, do: Python.exec!("import gc; gc.collect()")
      Task.await_many(readers, 60_000)
      eventually("the objects have gone", fn -> living(class) == 0 end)
    end

    test "what Python gives back of a buffer outlives both" do
      parts =
        elsewhere(fn ->
          view = Python.to_object!(Python.buffer(data(1_000_000)))
          # A copy of a part, and bytes made of it, which are shared.
          {Python.eval!("x[10:70_010]", %{x: view}),
           Python.eval!("bytes(x[10:70_010])", %{x: view})}
        end)

      for _ <- 1..5 do
        :erlang.garbage_collect()
        Python.exec!("import gc; gc.collect()")
      end

      part = binary_part(data(1_000_000), 10, 70_000)
      assert parts == {part, part}
    end
  end

  describe "100 MB" do
    @describetag engine: :main
    # In a VM of its own, whose memory nobody else uses.
    @script """
    defmodule Big do
      def size, do: 100_000_000
      def data, do: :binary.copy("0123456789", div(size(), 10))

      # Resident memory in MB: now, and at its highest.
      def rss, do: kb("VmRSS")
      def peak, do: kb("VmHWM")

      defp kb(key) do
        [_, kb] = Regex.run(~r/\#{key}:\\s+(\\d+) kB/, File.read!("/proc/self/status"))
        div(String.to_integer(kb), 1_000)
      end

      # The fastest of a few, in µs.
      def fastest(fun), do: 1..5 |> Enum.map(fn _ -> elem(:timer.tc(fun), 0) end) |> Enum.min()
    end

    # What happens once.
    Python.call!(:zlib, :crc32, [Python.buffer("x")])
    """

    if File.exists?("/proc/self/status") do
      test "reach Python in the time of a small call, without a copy" do
        {small, large, more, peak} =
          run("""
          data = Big.data()
          :erlang.garbage_collect()
          before = Big.rss()
          len = fn binary -> Python.call!(:builtins, :len, [Python.buffer(binary)]) end
          small = Big.fastest(fn -> 4 = len.("abcd") end)
          large = Big.fastest(fn -> 100_000_000 = len.(data) end)
          true = Python.call!(:zlib, :crc32, [Python.buffer(data)]) == :erlang.crc32(data)
          IO.inspect({small, large, Big.rss() - before, Big.peak() - before})
          """)

        assert large < 50 * small + 1_000, "#{large} µs, a small call #{small} µs"
        assert more < 30
        assert peak < 30
      end

      test "come from Python in the time of a small call, without a copy" do
        {small, large, more, peak} =
          run("""
          Python.exec!("data = b'0123456789' * 10_000_000; text = 'x' * 100_000_000")
          before = Big.rss()
          small = Big.fastest(fn -> "abcd" = Python.eval!("'abcd'") end)
          large = Big.fastest(fn -> 100_000_000 = byte_size(Python.eval!("data")) end)
          text = Big.fastest(fn -> 100_000_000 = byte_size(Python.eval!("text")) end)
          both = Big.fastest(fn -> [%{"k" => {_, _}}] = Python.eval!("[{'k': (data, text)}]") end)
          binary = Python.eval!("data")
          true = Python.eval!("__import__('zlib').crc32(data)") == :erlang.crc32(binary)
          IO.inspect({small, Enum.max([large, text, both]), Big.rss() - before, Big.peak() - before})
          """)

        assert large < 50 * small + 1_000, "#{large} µs, a small call #{small} µs"
        assert more < 30
        assert peak < 30
      end

      test "of a bytearray and of a memoryview are copied once" do
        {copied, peak} =
          run("""
          Python.exec!("array = bytearray(100_000_000); view = memoryview(array)[:]; array[5] = 7")
          before = Big.rss()
          binary = Python.eval!("array")
          {100_000_000, 7} = {byte_size(binary), :binary.at(binary, 5)}
          copied = Big.rss() - before
          peak = Big.peak() - before
          binary = Python.eval!("view")
          {100_000_000, 7} = {byte_size(binary), :binary.at(binary, 5)}
          IO.inspect({copied, peak})
          """)

        assert copied in 80..130
        assert peak in 80..130
      end

      test "are given up on both sides" do
        {peak} =
          run("""
          for _ <- 1..20 do
            work = fn ->
              view = Python.to_object!(Python.buffer(Big.data()))
              100_000_000 = Python.len!(view)
              100_000_000 = byte_size(Python.eval!("bytes(100_000_000)"))
            end

            Task.await(Task.async(work), :infinity)
          end

          IO.inspect({Big.peak()})
          """)

        # 4 GB have been there in all. What is dropped is freed soon, not at once.
        assert peak < 1_500
      end

      defp run(code) do
        assert {output, 0} = FreshVM.run(@script <> code, timeout: 120_000)
        {result, _} = Code.eval_string(output)
        result
      end
    else
      @tag skip: "the system has no /proc/self/status"
      test "cross without a copy", do: :ok
    end
  end
end
