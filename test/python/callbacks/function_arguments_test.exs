defmodule Python.Callbacks.FunctionArgumentsTest do
  use Python.EngineCase, async: true

  @moduletag blocks: "plain functions wait for Elixir"

  describe "a function as an argument" do
    test "is a callable" do
      assert Python.eval("callable(f)", %{f: fn -> 1 end}) == {:ok, true}
      assert Python.eval("f()", %{f: fn -> 1 end}) == {:ok, 1}
      assert Python.eval("f(1, 2, 3)", %{f: fn a, b, c -> a + b + c end}) == {:ok, 6}
      assert Python.eval("type(f).__name__", %{f: fn -> 1 end}) == {:ok, "Function"}
    end

    test "may be one of Erlang's, a capture or a closure" do
      offset = 40
      assert Python.eval("f([1, 2])", %{f: &:lists.sum/1}) == {:ok, 3}
      assert Python.eval("f('a')", %{f: &String.upcase/1}) == {:ok, "A"}
      assert Python.eval("f(2)", %{f: &(&1 + offset)}) == {:ok, 42}
    end

    test "gets keyword arguments as a last map, or refuses them" do
      assert Python.eval("f(1, a=2)", %{f: fn x, options -> {x, options} end}) ==
               {:ok, {1, %{"a" => 2}}}

      assert {:error, error} = Python.eval("f(1, a=2)", %{f: fn x -> x end})
      assert error.message =~ "expected 1 argument, got: 2 (keyword arguments are one more"
    end

    test "is a key for sorted" do
      words = ~w(pear fig banana)

      assert Python.call(:builtins, :sorted, [words], kwargs: %{key: &String.length/1}) ==
               {:ok, ~w(fig pear banana)}

      assert Python.call(:builtins, :max, [words], kwargs: %{key: &String.reverse/1}) ==
               {:ok, "pear"}
    end

    test "is mapped, filtered and reduced with" do
      assert Python.eval("list(map(f, range(5)))", %{f: &(&1 * &1)}) == {:ok, [0, 1, 4, 9, 16]}

      assert Python.eval("list(filter(f, range(5)))", %{f: &(rem(&1, 2) == 0)}) ==
               {:ok, [0, 2, 4]}

      assert Python.call(:functools, :reduce, [&Kernel.-/2, [10, 1, 2]]) == {:ok, 7}
    end

    test "replaces in regular expressions" do
      shout = fn match -> match |> Python.call!(:group, [0]) |> String.upcase() end
      assert Python.call(:re, :sub, ["b+", shout, "abba bob"]) == {:ok, "aBBa BoB"}
    end

    test "is found at any depth" do
      data = %{"ops" => [%{"f" => &(&1 + 1)}, {&(&1 * 10), [fn x -> -x end]}]}

      assert Python.eval(
               "[d['ops'][0]['f'](4), d['ops'][1][0](4), d['ops'][1][1][0](4)]",
               %{d: data}
             ) == {:ok, [5, 40, -4]}
    end

    test "comes back as the same function" do
      function = fn -> :same end
      assert Python.eval("f", %{f: function}) == {:ok, function}
      assert Python.eval("[f, (f,)]", %{f: function}) == {:ok, [function, {function}]}
      assert {:ok, ^function} = Python.eval("f(g)", %{f: fn g -> g end, g: function})
    end

    test "equals itself and can be a key" do
      function = &String.upcase/1

      assert Python.eval("[f == g, f == h, hash(f) == hash(g), len({f, g, h})]", %{
               f: function,
               g: &String.upcase/1,
               h: &String.downcase/1
             }) == {:ok, [true, false, true, 2]}
    end

    test "gives objects of Python's as they are" do
      assert Python.eval("f(o) is o", %{f: fn o -> o end, o: Python.eval!("object()")}) ==
               {:ok, true}
    end

    test "is in the argument of a call in a context and of a stream" do
      context = start_context(init: "def twice(f, x): return f(f(x))")

      assert Python.call(:__main__, :twice, [&(&1 * 3), 2], context: context) == {:ok, 18}
      assert Enum.to_list(Python.stream(:builtins, :map, [&(&1 + 1), [1, 2, 3]])) == [2, 3, 4]
    end

    test "runs in a process of its own, with the group leader of the caller" do
      test = self()

      {:ok, {pid, leader, callers}} =
        Python.eval("f()", %{
          f: fn -> {self(), Process.group_leader(), Process.get(:"$callers")} end
        })

      assert pid != test
      assert leader == Process.group_leader()
      assert callers == [test]
    end

    test "that returns what cannot cross raises in Python" do
      assert {:error, error} = Python.eval("f()", %{f: fn -> [1, <<1::3>>] end})
      assert Exception.message(error) =~ "bit"
      assert {:error, error} = Python.eval("f()", %{f: fn -> %URI{} end})
      assert Exception.message(error) =~ "URI"
      assert {:error, error} = Python.eval("f()", %{f: fn -> [1 | 2] end})
      assert Exception.message(error) =~ "improper"
    end

    test "that is given what cannot cross raises in Python" do
      assert {:error, error} = Python.eval("f('\\ud800')", %{f: fn x -> x end})
      assert Exception.message(error) =~ "surrogate"

      assert {:error, error} =
               Python.eval("(lambda l: (l.append(l), f(l)))([])", %{f: fn x -> x end})

      assert Exception.message(error) =~ "itself"
    end
  end

  describe "a function that Python keeps" do
    test "can be called after the call" do
      name = define("def NAME(f): NAME.kept = f")
      test = self()

      assert Python.call(:__main__, name, [fn x -> send(test, {:later, x}) |> elem(1) end]) ==
               {:ok, nil}

      assert Python.call(:__main__, "#{name}.kept", [7]) == {:ok, 7}
      assert_received {:later, 7}
      # By another process too.
      task = Task.async(fn -> Python.call(:__main__, "#{name}.kept", [8]) end)
      assert Task.await(task) == {:ok, 8}
      assert_received {:later, 8}
    end

    test "outlives the process that made it" do
      name = define("def NAME(f): NAME.kept = f")

      Task.await(
        Task.async(fn ->
          parent = self()
          Python.call!(:__main__, name, [fn -> parent end])
        end)
      )

      assert {:ok, pid} = Python.call(:__main__, "#{name}.kept")
      refute Process.alive?(pid)
    end

    test "is called by threads that Python made" do
      name =
        define("""
        import threading
        def NAME(f, count):
            results = []
            threads = [
                threading.Thread(target=lambda i=i: results.append(f(i))) for i in range(count)
            ]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            return sorted(results)
        """)

      assert Python.call(:__main__, name, [&(&1 * 2), 10]) == {:ok, Enum.map(0..9, &(&1 * 2))}
    end

    test "is called by the threads of an executor" do
      name =
        define("""
        from concurrent.futures import ThreadPoolExecutor
        def NAME(f, count):
            with ThreadPoolExecutor(4) as executor:
                return list(executor.map(f, range(count)))
        """)

      assert Python.call(:__main__, name, [&Integer.to_string/1, 50]) ==
               {:ok, Enum.map(0..49, &Integer.to_string/1)}
    end

    test "may call Python from a thread's callback" do
      name =
        define("""
        from concurrent.futures import ThreadPoolExecutor
        def NAME(f, count):
            with ThreadPoolExecutor(4) as executor:
                return list(executor.map(f, range(count)))
        """)

      pool = start_pool(size: 1, timeout: 10_000)
      square = fn x -> Python.eval!("x * x", %{x: x}, pool: pool) end

      assert Python.call(:__main__, name, [square, 20], pool: pool) ==
               {:ok, Enum.map(0..19, &(&1 * &1))}
    end

    test "raises in a thread what it raises" do
      name =
        define("""
        from concurrent.futures import ThreadPoolExecutor
        def NAME(f):
            with ThreadPoolExecutor(1) as executor:
                return str(executor.submit(f).exception())
        """)

      assert Python.call(:__main__, name, [fn -> raise "in a thread" end]) ==
               {:ok, "RuntimeError: in a thread"}
    end
  end

  describe "a function that is dropped" do
    # The object that the function refers to lives in Python as long as the function does, and the
    # function as long as Python's callable: that it goes says that all of them went.
    test "is released on both sides" do
      name =
        define("""
        import weakref
        class NAME:
            kept = None
            @classmethod
            def make(cls):
                made = cls()
                cls.alive = weakref.ref(made)
                return made
            @classmethod
            def keep(cls, f): cls.kept = f
            @classmethod
            def gone(cls): return cls.alive() is None
        """)

      {pid, monitor} =
        spawn_monitor(fn ->
          object = Python.call!(:__main__, "#{name}.make", [], return: :object)
          Python.call!(:__main__, "#{name}.keep", [fn -> object end])
        end)

      assert_receive {:DOWN, ^monitor, _, ^pid, :normal}, 15_000
      assert Python.call(:__main__, "#{name}.gone") == {:ok, false}
      # The maker is gone, and the function still has it.
      assert {:ok, %Python.Object{}} = Python.call(:__main__, "#{name}.kept")
      :erlang.garbage_collect()
      assert Python.call(:__main__, "#{name}.gone") == {:ok, false}

      Python.exec!("#{name}.kept = None")

      eventually("the object of the dropped function is gone", fn ->
        for pid <- Process.list(), do: :erlang.garbage_collect(pid)
        Python.call!(:__main__, "#{name}.gone")
      end)
    end

    test "frees the binaries that it refers to" do
      name = define("def NAME(f): NAME.kept = f")
      size = 32_000_000

      {pid, monitor} =
        spawn_monitor(fn ->
          large = :binary.copy("x", size)
          Python.call!(:__main__, name, [fn -> byte_size(large) end])
        end)

      assert_receive {:DOWN, ^monitor, _, ^pid, :normal}, 15_000
      assert Python.call(:__main__, "#{name}.kept") == {:ok, size}
      held = :erlang.memory(:binary)
      assert held >= size
      Python.exec!("#{name}.kept = None")

      eventually("the memory of the binary is free", fn ->
        for pid <- Process.list(), do: :erlang.garbage_collect(pid)
        :erlang.memory(:binary) < held - div(size, 2)
      end)
    end
  end
end
